"""Sets of images compared: the result of ``ndtools compare-sets``, live or read back from its files."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ndtools.drawing.shown import ShownResult
from ndtools.experiments.compare_sets.config import CompareSetsConfig
from ndtools.experiments.compare_sets.differences import RelativeDifference, Uncertain, standardised
from ndtools.experiments.compare_sets.measures import RidgeUsed, SetMeasures
from ndtools.numerics.ridge import RidgeChoice
from ndtools.numerics.sparsity import Estimate
from ndtools.results.read import SavedResult
from ndtools.text import source_name, with_error

__all__ = ["CompareSetsResult", "SetDifference"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SetDifference:
    """What two sets differ in. Signed differences are those of the first set less the second.

    Attributes
    ----------
    names : (str, str)
        Names of both sets.
    kernels : RelativeDifference
        Difference of all kernels.
    responses : RelativeDifference
        Difference of the frequency responses of the kernels by which channels enter themselves.
    neighbours, channels : Uncertain
        Differences of the correlations of neighbouring pixels, and of channels.
    sparsity : dict of str to Estimate
        Differences of the measures of sparsity of the deconvolved images, by name; empty if they were not measured.
    """

    names: tuple[str, str]
    kernels: RelativeDifference
    responses: RelativeDifference
    neighbours: Uncertain
    channels: Uncertain
    sparsity: dict[str, Estimate]

    @property
    def tested(self) -> tuple[RelativeDifference | Uncertain, ...]:
        """Differences whose standard errors are by a bootstrap."""
        return self.kernels, self.responses, self.neighbours, self.channels

    def numbers(self) -> dict[str, Any]:
        """Return the entries of the .json file."""
        return {
            "sets": list(self.names),
            "kernels": vars(self.kernels),
            "responses": vars(self.responses),
            "correlations": {"neighbours": vars(self.neighbours), "channels": vars(self.channels)},
            "sparsity": {name: vars(estimate) for name, estimate in self.sparsity.items()},
        }

    @classmethod
    def from_numbers(cls, numbers: Mapping[str, Any]) -> "SetDifference":
        """Restore the differences from what `numbers` returned."""
        first, second = numbers["sets"]
        return cls(
            (first, second),
            RelativeDifference.from_numbers(numbers["kernels"]),
            RelativeDifference.from_numbers(numbers["responses"]),
            Uncertain(**numbers["correlations"]["neighbours"]),
            Uncertain(**numbers["correlations"]["channels"]),
            {name: Estimate(**estimate) for name, estimate in numbers["sparsity"].items()},
        )


@dataclass(frozen=True, eq=False, repr=False)
class CompareSetsResult(ShownResult):
    """Two or three sets of images, compared for one kernel size and ridge.

    Attributes
    ----------
    config : CompareSetsConfig
        Configuration of this run.
    sets : tuple of SetMeasures
        Measures of each set.
    differences : tuple of SetDifference
        Differences of each pair of sets: A and B, A and C, B and C.
    edges : array of shape (bins + 1,)
        Edges of the bins of the densities of the sets, in units of σ.
    device : str
        Device on which the covariances were computed.
    """

    config: CompareSetsConfig
    sets: tuple[SetMeasures, ...]
    differences: tuple[SetDifference, ...]
    edges: Array
    device: str

    @property
    def source(self) -> str:
        """Names of the sources of all sets, printable."""
        return ", ".join(each.source for each in self.sets)

    @property
    def fit(self) -> RidgeUsed:
        """Ridge and precision of the first set, by which results of several ridges are ordered."""
        return self.sets[0].fit

    @property
    def ridge(self) -> RidgeChoice | None:
        """Choice of the ridge of the first set, if it was "auto"."""
        return self.sets[0].ridge

    @property
    def pairs(self) -> tuple[tuple[SetMeasures, SetMeasures], ...]:
        """Pairs of sets in the order of ``differences``."""
        return tuple(itertools.combinations(self.sets, 2))

    def in_errors(self, pair: int) -> Array | None:
        """Return the difference of the kernels of a pair in units of its standard error, (C, C, k, k).

        Parameters
        ----------
        pair : int
            Place of the pair in ``pairs``.

        Returns
        -------
        array or None
            (K_a − K_b)/√(se_a² + se_b²), NaN where the error is 0; None without standard errors.
        """
        first, second = self.pairs[pair]
        if first.kernels_error is None or second.kernels_error is None:
            return None
        return standardised(first.kernels - second.kernels, first.kernels_error, second.kernels_error)

    def summary(self) -> Sequence[str]:
        """Return lines that say what the result comes from, and its main numbers."""
        k = self.config.kernel_size
        lines = [
            f"{each.name} {source_name(each.source, 40)}: {each.images.counted}, {each.patches:,} patches of {k}×{k},"
            f" eps {each.fit.eps:.3g}"
            for each in self.sets
        ]
        for each in self.differences:
            text = f"{' − '.join(each.names)}: kernels differ by {each.kernels}"
            if each.kernels.in_errors is not None:
                text += f", {each.kernels.in_errors:.1f} errors ({each.kernels.in_errors_chance:.1f} by chance)"
            if each.sparsity:
                text += f" · kurtosis by {with_error(each.sparsity['kurtosis'].value)}"
            lines.append(text)
        return lines

    def arrays(self) -> dict[str, Array]:
        """Return the arrays of the .npz file by name."""
        found = {"edges": self.edges}
        for each in self.sets:
            found |= each.arrays()
        for i, (first, second) in enumerate(self.pairs):
            if (z := self.in_errors(i)) is not None:
                found[f"{first.name}_{second.name}_in_errors"] = z
        return found

    def numbers(self) -> dict[str, Any]:
        """Return the numbers of the .json file by key."""
        return {
            "kernel_size": self.config.kernel_size,
            "relative_eps": self.config.eps == "paper" or (self.config.relative_eps and self.config.eps != "auto"),
            "sets": [each.numbers() for each in self.sets],
            "differences": [each.numbers() for each in self.differences],
        }

    @classmethod
    def from_saved(cls, saved: SavedResult) -> "CompareSetsResult":
        """Restore the result from its files; DataError if they are not those of a whole result of this command."""
        with saved.restoring("compare-sets"):
            return cls(
                config=saved.configuration(CompareSetsConfig),
                sets=tuple(SetMeasures.from_saved(numbers, saved.arrays) for numbers in saved.numbers["sets"]),
                differences=tuple(SetDifference.from_numbers(numbers) for numbers in saved.numbers["differences"]),
                edges=saved.arrays["edges"],
                device=saved.device,
            )
