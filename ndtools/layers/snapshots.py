"""Whether tensors are still what they were."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

__all__ = ["Snapshot", "snapshot"]


@dataclass(frozen=True)
class Snapshot:
    """What tensors are at a time.

    Attributes
    ----------
    tensors : tuple of Tensor
        They themselves.
    versions : tuple of int, optional
        How often each was written to, as far as torch knows; not for those of inference mode.
    values : tuple of Tensor
        What tells writes that torch does not count.
    """

    tensors: tuple[Tensor, ...]
    versions: tuple[int, ...] | None
    values: tuple[Tensor, ...]

    def same_as(self, other: "Snapshot") -> bool:
        """Return whether the tensors are those of another time, unchanged."""
        return (
            self.versions is not None
            and self.versions == other.versions
            and all(a is b for a, b in zip(self.tensors, other.tensors, strict=True))
            and all(torch.equal(a, b) for a, b in zip(self.values, other.values, strict=True))
        )

    def kept(self) -> "Snapshot":
        """Return it with copies of the values, to compare with later."""
        return replace(self, values=tuple(value.clone() for value in self.values))


def snapshot(tensors: Iterable[Tensor], values: Iterable[Tensor]) -> Snapshot:
    """Note what tensors are.

    Parameters
    ----------
    tensors : iterable of Tensor
        All of them.
    values : iterable of Tensor
        Some of their values.

    Returns
    -------
    Snapshot
        That shares the values with the tensors.
    """
    tensors = tuple(tensors)
    known = not any(t.is_inference() for t in tensors)
    return Snapshot(tensors, tuple(t._version for t in tensors) if known else None, tuple(values))
