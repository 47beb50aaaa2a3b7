"""How far the kernels, responses and correlations of two sets of images are apart, and how far by chance."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.special import stdtrit

from ndtools.text import percent, with_error

__all__ = ["RelativeDifference", "Uncertain", "degrees_of_freedom", "spread_of", "standardised"]

Array = NDArray[np.float64]

ROUNDING = 1e-6  # share of a number below which its standard error is rounding
TURNS = 2.0  # standard deviations over draws of the bootstrap within which a verdict is unsure
CHANCE = 0.95  # share of pairs of equal sets that differ by less than `RelativeDifference.chance`


@dataclass(frozen=True)
class Uncertain:
    """A number with its standard error.

    Attributes
    ----------
    value : float or None
        The number; None if it is undefined.
    error : float or None
        Its standard error; None without a bootstrap.
    freedom : float or None
        Degrees of freedom of the standard error, which few groups of images leave uncertain; None for a certain one.
    draws : float or None
        Degrees of freedom of the standard error by the number of replicates alone; None for a certain one.
    """

    value: float | None
    error: float | None
    freedom: float | None = None
    draws: float | None = None

    def __str__(self) -> str:
        return with_error(self.value, self.error)

    def __sub__(self, other: "Uncertain") -> "Uncertain":
        """Return the difference from a number of an independent set."""
        if self.value is None or other.value is None:
            return Uncertain(None, None)
        if self.error is None or other.error is None:
            return Uncertain(self.value - other.value, None)
        variances = (self.error**2, other.error**2)
        freedom = _welch(variances, (self.freedom, other.freedom))
        draws = _welch(variances, (self.draws, other.draws))
        return Uncertain(self.value - other.value, math.hypot(self.error, other.error), freedom, draws)

    @property
    def limit(self) -> float:
        """Number of standard errors that 95 % of numbers with mean 0 stay below."""
        return _quantile(self.freedom)

    @property
    def is_apart(self) -> bool | None:
        """Whether the 95 % interval of the number, by Student's t, leaves out 0; None if that is not known."""
        if self.value is None or not self.error:
            return None
        return abs(self.value) > self.limit * self.error

    @property
    def is_unsure(self) -> bool:
        """Whether other draws of the bootstrap could turn `is_apart`."""
        if self.value is None or not self.error:
            return False
        return _could_turn(abs(self.value), self.limit * self.error, self.draws)

    @classmethod
    def of(cls, value: float, samples: Array | None, freedom: float | None = None) -> "Uncertain":
        """Return a number, of which bootstrap replicates have these values; NaN is undefined."""
        if not math.isfinite(value):
            return cls(None, None)
        finite = samples[np.isfinite(samples)] if samples is not None else np.empty(0)
        if len(finite) < 2:
            return cls(value, None)
        error = float(np.std(finite, ddof=1))
        if error < ROUNDING * abs(value):  # grey images: channels are equal, whatever the images are
            return cls(round(value, -math.floor(math.log10(ROUNDING))), 0.0)
        return cls(value, error, freedom, len(finite) - 1)


@dataclass(frozen=True)
class RelativeDifference:
    """Difference of two arrays of numbers, such as kernels, in units of their size.

    Attributes
    ----------
    value : float
        ‖a − b‖ over the mean of ‖a‖ and ‖b‖.
    error : float or None
        Its standard error over both sets of images; None without a bootstrap.
    chance : float or None
        Difference that 95 % of pairs of such sets would stay below if both came from the same images.
    in_errors : float or None
        Root mean square of (a − b)/√(se_a² + se_b²): near 1 for sets of the same images. Unlike ``value``, it is not
        dominated by the largest numbers, which may be the least certain.
    in_errors_chance : float or None
        Root mean square that 95 % of pairs of such sets would stay below if both came from the same images.
    draws : float or None
        Degrees of freedom of the standard errors by the number of replicates alone; None without a bootstrap.
    """

    value: float
    error: float | None
    chance: float | None
    in_errors: float | None
    in_errors_chance: float | None
    draws: float | None = None

    def __str__(self) -> str:
        return percent(self.value, self.error, digits=2)

    @property
    def is_apart(self) -> bool | None:
        """Whether the difference in standard errors is larger than by chance; None if that is not known."""
        if self.in_errors is None or self.in_errors_chance is None:
            return None
        return self.in_errors > self.in_errors_chance

    @property
    def is_unsure(self) -> bool:
        """Whether other draws of the bootstrap could turn `is_apart`."""
        if self.in_errors is None or self.in_errors_chance is None:
            return False
        return _could_turn(self.in_errors, self.in_errors_chance, self.draws)

    @classmethod
    def of(
        cls, a: Array, b: Array, samples: tuple[Array | None, Array | None], groups: tuple[int, int] = (1, 1)
    ) -> "RelativeDifference":
        """Measure the difference of two arrays.

        Parameters
        ----------
        a, b : array
            Numbers of both sets, of the same shape.
        samples : (array or None, array or None)
            Values in bootstrap replicates of both sets, one replicate a row; None without a bootstrap.
        groups : (int, int)
            Number of groups of images of each set that were resampled.

        Returns
        -------
        RelativeDifference
            Difference with its standard error and what chance makes of it. All pairs of replicates are used.
        """
        size = (float(np.linalg.norm(a)) + float(np.linalg.norm(b))) / 2
        value = float(np.linalg.norm(a - b)) / size
        kept = [_whole(sample) for sample in samples if sample is not None]
        if len(kept) < 2 or min(map(len, kept)) < 2:
            return cls(value, None, None, None, None)
        deviations = [sample - sample.mean(0) for sample in kept]
        around = [x.ravel() + deviation for x, deviation in zip((a, b), deviations, strict=True)]
        norms = [np.linalg.norm(each, axis=1) for each in around]
        apart = cdist(*around) / ((norms[0][:, None] + norms[1]) / 2)
        errors = [spread_of(sample) for sample in kept]
        freedoms = [degrees_of_freedom(count, len(sample)) for count, sample in zip(groups, kept, strict=True)]
        widening = _widening([float(np.square(error).sum()) for error in errors], freedoms)
        chance = float(np.quantile(cdist(*deviations), CHANCE)) / size * widening
        uncertain = np.hypot(*errors) > 0
        in_errors = in_errors_chance = draws = None
        if uncertain.any():
            unit = np.hypot(*errors)[uncertain] * math.sqrt(uncertain.sum())
            in_errors = float(np.linalg.norm((a - b).ravel()[uncertain] / unit))
            noise = cdist(*(deviation[:, uncertain] / unit for deviation in deviations))
            shares = [float(np.square(error[uncertain] / unit).sum()) for error in errors]
            in_errors_chance = float(np.quantile(noise, CHANCE)) * _widening(shares, freedoms)
            draws = _welch(shares, [len(sample) - 1 for sample in kept])
        return cls(value, float(np.std(apart, ddof=1)), chance, in_errors, in_errors_chance, draws)

    @classmethod
    def from_numbers(cls, numbers: Mapping[str, Any]) -> "RelativeDifference":
        """Restore the difference from the entries of a .json file."""
        return cls(**numbers)


def spread_of(samples: Array) -> Array:
    """Return the standard error of each number, from its values in replicates, one replicate a row."""
    kept = _whole(samples)
    error = np.std(kept, axis=0, ddof=1) if len(kept) > 1 else np.full(kept.shape[1], math.nan)
    return np.asarray(error.reshape(samples.shape[1:]))


def standardised(difference: Array, first: Array, second: Array) -> Array:
    """Return a difference in units of its standard error; NaN where that is 0 or not known."""
    error = np.hypot(first, second)
    return np.divide(difference, error, out=np.full_like(difference, math.nan), where=error > 0)


def degrees_of_freedom(groups: int, replicates: int) -> float:
    """Return the degrees of freedom of a variance by a bootstrap of groups of images."""
    return 1 / (1 / max(1, groups - 1) + 1 / max(1, replicates - 1))


def _welch(variances: Sequence[float], freedoms: Sequence[float | None]) -> float | None:
    """Return the degrees of freedom of the sum of two variances (Welch 1947); None if both are certain."""
    pairs = [(variance, freedom) for variance, freedom in zip(variances, freedoms, strict=True) if freedom]
    uncertain = sum(variance**2 / freedom for variance, freedom in pairs)
    return sum(variances) ** 2 / uncertain if uncertain else None


def _could_turn(value: float, limit: float, draws: float | None) -> bool:
    """Return whether other draws of a bootstrap could move a number to the other side of its limit.

    Parameters
    ----------
    value, limit : float
        Number and its limit, of which one is in units of the standard error.
    draws : float or None
        Degrees of freedom of the standard error by the number of draws; None for a certain one.

    Returns
    -------
    bool
        Whether they are closer than `TURNS` relative errors of the standard error, 1/√(2·draws). That of a mean of
        many numbers is less, as far as they are independent.
    """
    if draws is None or min(value, limit) <= 0:
        return False
    return abs(math.log(value / limit)) < TURNS / math.sqrt(2 * draws)


def _quantile(freedom: float | None) -> float:
    """Return how many standard errors 95 % of numbers with mean 0 stay below."""
    return float(stdtrit(math.inf if freedom is None else freedom, 0.975))


def _widening(variances: Sequence[float], freedoms: Sequence[float]) -> float:
    """Return by how much errors that are uncertain themselves widen the range of chance: Student's t for Gauss's."""
    return _quantile(_welch(variances, freedoms)) / _quantile(None)


def _whole(samples: Array) -> Array:
    """Return replicates as rows, without those that have undefined values."""
    rows = samples.reshape(len(samples), -1)
    return rows[np.isfinite(rows).all(1)]
