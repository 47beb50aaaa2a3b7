"""Several results of the same images in one: for a list of ridges, of kernel sizes, or of both."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from numpy.typing import NDArray

from ndtools.drawing.shown import ShownResult, figures_of
from ndtools.errors import OptionError
from ndtools.results.read import SavedResult
from ndtools.text import source_name
from ndtools.validation import Configuration, Ridge

if TYPE_CHECKING:
    from ndtools.drawing.pictures import Picture

__all__ = ["MOST_RIDGES", "MOST_SIZES", "Series", "SeriesConfig", "configurations"]

MOST_RIDGES, MOST_SIZES = 12, 6  # more make no figure that can be read

R = TypeVar("R", bound=ShownResult)
C = TypeVar("C")


@dataclass(frozen=True, repr=False)
class SeriesConfig(Configuration):
    """Configuration of a series.

    Attributes
    ----------
    members : tuple
        Configurations of the members, which differ in ``kernel_size`` and ``eps`` alone.
    """

    members: tuple[Any, ...]

    @property
    def seed(self) -> int:
        """Seed of all random numbers of the run."""
        return int(self.members[0].seed)


@dataclass(frozen=True, eq=False, repr=False)
class Series(ShownResult, Generic[R]):
    """Results of the same images for several ridges, kernel sizes, or both.

    The members are ordinary results, in the order of kernel sizes and then of ridges. The .json file lists their
    numbers as ``series``; the .npz file holds the arrays of member i with the prefix ``i_``, as in ``0_kernels``. An
    array that a member shares with the one before it is there once.

    Attributes
    ----------
    members : tuple
        Results, at least one.
    """

    members: tuple[R, ...]

    def __len__(self) -> int:
        return len(self.members)

    def __iter__(self) -> Iterator[R]:
        return iter(self.members)

    def __getitem__(self, position: int) -> R:
        return self.members[position]

    @property
    def config(self) -> SeriesConfig:
        """Configurations of all members."""
        return SeriesConfig(tuple(member.config for member in self.members))

    @property
    def device(self) -> str:
        """Device on which the results were computed."""
        return self.members[0].device

    @property
    def source(self) -> str:
        """Name of the images, printable."""
        return self.members[0].source

    def summary(self) -> Sequence[str]:
        """Return lines that say what the results come from, and what they differ in."""
        members: tuple[Any, ...] = self.members
        sizes = dict.fromkeys(f"{size}×{size}" for size in (member.config.kernel_size for member in members))
        asked = dict.fromkeys(member.config.eps for member in members)
        ridges = ", ".join(eps if isinstance(eps, str) else f"{eps:.3g}" for eps in asked)
        unit = " of the mean variance" if members[0].config.relative_eps else ""
        lines = [
            f"{source_name(self.source)} · {len(members)} of {type(members[0]).__name__}",
            f"patches of {', '.join(sizes)}",
            f"eps {ridges}{unit}",
        ]
        if conditions := [member.fit.condition for member in members if member.fit]:
            lines[-1] += f" · condition {min(conditions):.3g} to {max(conditions):.3g}"
        return lines

    def pictures(self) -> "Mapping[str, Picture]":
        """Return the figures of a series of the experiment, with their captions, by label: "" for the main one."""
        return figures_of(type(self.members[0]), "SERIES")

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays of the .npz file by name."""
        arrays: dict[str, NDArray[Any]] = {}
        before: dict[str, NDArray[Any]] = {}
        for i, member in enumerate(self.members):
            own = member.arrays()
            arrays |= {f"{i}_{name}": array for name, array in own.items() if not _same(array, before.get(name))}
            before = own
        return arrays

    def numbers(self) -> dict[str, Any]:
        """Return the numbers of the .json file by key."""
        return {"series": [member.numbers() for member in self.members]}

    @classmethod
    def from_saved(cls, saved: SavedResult, kind: type[R]) -> "Series[R]":
        """Restore the series from its files; ``kind`` is the class of its members."""
        with saved.restoring(saved.experiment):
            configs, numbers = saved.manifest["config"]["members"], saved.numbers["series"]
            members, arrays = [], dict[str, NDArray[Any]]()
            for i, (config, own) in enumerate(zip(configs, numbers, strict=True)):
                prefix = f"{i}_"
                arrays = arrays | {
                    name.removeprefix(prefix): array for name, array in saved.arrays.items() if name.startswith(prefix)
                }
                member = replace(saved, manifest=saved.manifest | {"config": config}, numbers=own, arrays=arrays)
                members.append(kind.from_saved(member))  # type: ignore[attr-defined]
            if not members:
                raise ValueError("its series is empty")
            return cls(tuple(members))


def configurations(
    config: C, kernel_sizes: Sequence[int] | None, ridges: Sequence[Ridge] | None
) -> tuple[tuple[int, ...], tuple[Ridge, ...], tuple[C, ...]]:
    """Return the configurations of the members of a series.

    Parameters
    ----------
    config : dataclass instance
        Configuration of all members, with fields ``kernel_size`` and ``eps``.
    kernel_sizes : sequence of int, optional
        Sides of the patches in pixels, at most 6. Default: that of ``config``.
    ridges : sequence of float, "paper" or "auto", optional
        Ridges, at most 12. Default: that of ``config``.

    Returns
    -------
    sizes : tuple of int
        Kernel sizes, each once.
    eps : tuple
        Ridges, each once.
    members : tuple
        Configurations: for each kernel size in turn, one for each ridge.

    Raises
    ------
    OptionError
        If there are too many of them, or one of them is not allowed. One of several ridges must not be 0, which has no
        place on the logarithmic axes of ridges.
    """
    sizes = tuple(dict.fromkeys(kernel_sizes or (config.kernel_size,)))  # type: ignore[attr-defined]
    eps = tuple(dict.fromkeys(ridges or (config.eps,)))  # type: ignore[attr-defined]
    for name, values, most in (("kernel_size", sizes, MOST_SIZES), ("eps", eps, MOST_RIDGES)):
        if len(values) > most:
            raise OptionError(name, f"must be at most {most} values, got {len(values)}")
    members = tuple(
        replace(config, kernel_size=k, eps=e)  # type: ignore[type-var]
        for k, e in itertools.product(sizes, eps)
    )
    if len(members) > 1 and 0 in eps:
        raise OptionError("eps", "must be above 0 where there are several results, whose axis of eps is logarithmic")
    return sizes, eps, members


def _same(array: NDArray[Any], other: NDArray[Any] | None) -> bool:
    """Return whether two arrays are the same numbers in memory."""
    if other is None:
        return False
    one, two = array.__array_interface__, other.__array_interface__
    return all(one[key] == two[key] for key in ("data", "shape", "typestr", "strides"))
