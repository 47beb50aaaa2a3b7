"""What the paper says of figure 10, "heavy-tailed, most values near zero", judged at the paper's own ridge."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ndtools.text import percent
from ndtools.validation import PAPER_RIDGE

if TYPE_CHECKING:
    from ndtools.experiments.sparsity.result import SparsityResult
    from ndtools.numerics.sparsity import Estimate

__all__ = ["Verdict", "verdicts"]

ROUNDING = 1e-6  # relative difference of ridges that are equal
GAUSSIAN, LAPLACE = 3.0, 6.0  # kurtosis
MOST = 0.5


@dataclass(frozen=True)
class Verdict:
    """Whether both parts of the paper's sentence hold for the deconvolved pixels of a result.

    Attributes
    ----------
    kernel_size : int
        Side of the patches in pixels.
    kurtosis, near_zero : Estimate
        Kurtosis, and share of the values within 0.1 σ.
    """

    kernel_size: int
    kurtosis: "Estimate"
    near_zero: "Estimate"

    @classmethod
    def of(cls, result: "SparsityResult") -> "Verdict | None":
        """Judge a result; None if its ridge is not the paper's, or it has no variance."""
        relative = result.fit.relative_eps if result.fit else None
        measures = result.after.measures
        if relative is None or not math.isclose(relative, PAPER_RIDGE, rel_tol=ROUNDING):
            return None
        if result.config.whitening != "patch" or measures["kurtosis"].value is None:
            return None
        return cls(result.config.kernel_size, measures["kurtosis"], measures["near_zero"])

    @property
    def heavy_tailed(self) -> bool | None:
        """Whether the tails are heavier than those of a Gaussian, whose kurtosis is 3; None if the interval holds 3."""
        low, high = self.kurtosis.low, self.kurtosis.high
        undecided = low is not None and high is not None and low <= GAUSSIAN < high
        return None if undecided else self._exceeds(GAUSSIAN)

    @property
    def most_near_zero(self) -> bool:
        """Whether more than half of the values lie within 0.1 σ."""
        return self.near_zero.value is not None and self.near_zero.value > MOST

    def numbers(self) -> dict[str, Any]:
        """Return the entries of the .json file."""
        return {"heavy_tailed": self.heavy_tailed, "most_near_zero": self.most_near_zero}

    def __str__(self) -> str:
        k = self.kernel_size
        levels = (f"above the {level:g} of {name}" for name, level in _LEVELS.items() if self._exceeds(level))
        least = "not above" if self.heavy_tailed is False else "an interval that contains"
        return (
            f'At the paper\'s ridge, {k}×{k}: "heavy-tailed" {_holds(self.heavy_tailed)}, as the kurtosis is'
            f" {_number(self.kurtosis)}, {next(levels, f'{least} the 3 of a Gaussian')};"
            f' "most values near zero" {_holds(self.most_near_zero)}, as {_share(self.near_zero)} lie within 0.1 σ'
            " (Gaussian 8.0 %, Laplace 13.2 %)."
        )

    def _exceeds(self, level: float) -> bool:
        low = self.kurtosis.value if self.kurtosis.low is None else self.kurtosis.low
        return low is not None and low > level


_LEVELS = {"a Laplace distribution": LAPLACE, "a Gaussian": GAUSSIAN}


def verdicts(results: "Iterable[SparsityResult]") -> list[Verdict]:
    """Return the verdicts of those results that have the paper's ridge."""
    return [verdict for result in results if (verdict := Verdict.of(result))]


def _holds(true: bool | None) -> str:
    return "cannot be decided" if true is None else "holds" if true else "does not hold"


def _number(estimate: "Estimate") -> str:
    interval = "" if estimate.low is None else f" ({estimate.low:.3g} to {estimate.high:.3g})"
    return f"{estimate.value:.3g}{interval}"


def _share(estimate: "Estimate") -> str:
    if estimate.value is None:
        return "none"
    if estimate.low is None or estimate.high is None:
        return percent(estimate.value)
    return f"{percent(estimate.value)} ({100 * estimate.low:.3g} to {100 * estimate.high:.3g})"
