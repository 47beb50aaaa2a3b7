"""Welch's t-test: the difference of two means whose runs may spread differently."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

__all__ = ["Difference", "difference"]


@dataclass(frozen=True)
class Difference:
    """Difference of the mean accuracies of two arms, in points of per cent.

    Attributes
    ----------
    value : float
        Mean of an arm less that of the arm that it is compared with.
    epoch : int or None
        Epoch at which both were compared, because one of them has not finished; None at the end of training.
    t, freedom, p : float or None
        Welch's t, its degrees of freedom, and the two-sided probability of such a difference by chance. None if an arm
        has a single run, or no run of either arm differs from another.
    low, high : float or None
        Ends of the 95 % confidence interval, under the same conditions.
    """

    value: float
    epoch: int | None = None
    t: float | None = None
    freedom: float | None = None
    p: float | None = None
    low: float | None = None
    high: float | None = None

    def numbers(self) -> dict[str, Any]:
        """Return the entries of the .json file about this difference."""
        return asdict(self)


def difference(ours: NDArray[np.float64], theirs: NDArray[np.float64], epoch: int | None = None) -> Difference:
    """Compare the accuracies of the runs of two arms by Welch's t-test.

    Parameters
    ----------
    ours, theirs : array of shape (n,)
        Accuracies of the runs of an arm, and of the arm that it is compared with; at least one each.
    epoch : int, optional
        Epoch at which both were taken; by default the last.

    Returns
    -------
    Difference
        The difference of the means; with t, p and interval if both arms have at least two runs and some of them differ.
    """
    value = float(ours.mean() - theirs.mean())
    n, m = len(ours), len(theirs)
    if min(n, m) < 2:
        return Difference(value, epoch)
    a, b = float(ours.var(ddof=1)) / n, float(theirs.var(ddof=1)) / m
    if not a + b > 0:
        return Difference(value, epoch)
    error, freedom = math.sqrt(a + b), (a + b) ** 2 / (a**2 / (n - 1) + b**2 / (m - 1))
    t = value / error
    reach = float(stdtrit(freedom, 0.975)) * error
    return Difference(value, epoch, t, freedom, float(2 * stdtr(freedom, -abs(t))), value - reach, value + reach)
