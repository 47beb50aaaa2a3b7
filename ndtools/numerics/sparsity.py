r"""How sparse values are: measures of their distribution, from sums that add up over images.

Values are about 0 (their mean was taken off) and in units of their standard deviation. Each measure follows from
a few sums and from a histogram of |x| on a logarithmic axis (16 bins an octave, each with the mean of what fell
into it), so images can be added one by one in any order, in memory that does not depend on their number:

* kurtosis n Σx⁴/(Σx²)²: 3 for a Gaussian, 6 for a Laplace distribution;
* Hoyer's (√n − Σ|x|/√Σx²)/(√n − 1): 0 if all |x| are equal, 1 if all but one are 0;
* the Gini index of |x|: 0 if all are equal, near 1 if few hold all (Hurley and Rickard 2009);
* near_zero: the share of |x| < 0.1;
* ggd_shape: β of the generalised Gaussian density exp(−(|x|/α)^β), by maximum likelihood between 0.1 and 20: 2 is
  Gaussian, 1 Laplace, less is heavier-tailed, more is flatter. Undefined where the best β is at such an end.

Neighbouring pixels are not independent, images more or less are. So intervals come from leaving out images, one group
of them after the other (the jackknife, Efron and Stein 1981): sums add up, so what is left follows from the sums of
each group, without a second pass. The unit is each remainder's own standard deviation; what the values were made with
(means taken off, a whitening) is held fixed, so intervals do not hold its uncertainty. They are symmetric on a scale
without ends (the logarithm, or for shares the logit) and as wide as Student's t asks for. Measured coverage:
``benchmarks/interval_coverage.py``.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit, gammaln, logit, stdtrit

__all__ = ["MEASURES", "REACH", "ROUNDING", "Density", "Distribution", "Estimate", "SparsitySums"]

MEASURES = ("kurtosis", "hoyer", "gini", "near_zero", "ggd_shape")
REACH = 10.0  # of the histograms on either side, standard deviations
ROUNDING = 1e-6  # of float32 sums, in units of their terms: a smaller standard deviation is none
NEAR_ZERO = 0.1
SHAPES = (0.1, 20.0)  # of the generalised Gaussian; two values of equal size would give infinity
_SHAPES_TRIED = 60  # 9 % apart
_PER_OCTAVE, _LOWEST, _HIGHEST = 16, -14, 7  # of the histogram: |x| from 2^-14 to 2^7, and one bin on either side
_BINS = _PER_OCTAVE * (_HIGHEST - _LOWEST) + 2
_COUNT, _ABS, _SQUARE, _FOURTH, _NEAR, _HISTOGRAM = range(6)  # columns of the sums


@dataclass(frozen=True)
class Estimate:
    """A measure and its uncertainty.

    Attributes
    ----------
    value : float or None
        Of all images; None if undefined: no values, or all of them 0, or a shape at the end of its range.
    low, high : float or None
        Ends of its 95 % interval; None if none was asked for, or the measure is undefined without some image.
    """

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, eq=False)
class Distribution:
    """Values of all channels and images, before or after deconvolution.

    Attributes
    ----------
    sigma : float
        Their standard deviation, from the covariance: pixels in [0, 1] before. 0 if it is nothing but rounding.
    measures : dict of str to Estimate
        Of this module; all are undefined without variance.
    density : array of shape (bins,)
        Of x/σ.
    clipped : float
        Share of the values beyond the edges.
    """

    sigma: float
    measures: dict[str, Estimate]
    density: NDArray[np.float64]
    clipped: float

    def numbers(self) -> dict[str, Any]:
        """Return what the .json file holds of it."""
        return {
            **{name: estimate.value for name, estimate in self.measures.items()},
            "clipped": self.clipped,
            "sigma": self.sigma,
            "intervals": {name: [estimate.low, estimate.high] for name, estimate in self.measures.items()},
        }


class SparsitySums:
    """Sums over images that all measures follow from.

    Parameters
    ----------
    replicates : int
        Groups that images are dealt to, each of which is left out once for the intervals; 0 for no intervals.
    """

    def __init__(self, replicates: int = 0) -> None:
        self._sums = np.zeros((max(1, replicates), _HISTOGRAM + 2 * _BINS))  # of each group

    def add(self, values: NDArray[np.float32], generator: np.random.Generator) -> Self:
        """Add the values of an image.

        Parameters
        ----------
        values : array
            Measured from 0, in units of the standard deviation of all images. Any shape.
        generator : numpy.random.Generator
            Draws the image's group. One for each image, so that the order of images does not matter.

        Returns
        -------
        Self
            The sums.

        Raises
        ------
        ValueError
            If a value is not finite.
        """
        if not np.isfinite(values).all():
            raise ValueError("values must be finite, got nan or inf")
        size = np.abs(values.ravel())
        with np.errstate(divide="ignore"):
            place = np.floor(_PER_OCTAVE * (np.log2(size) - _LOWEST))
        bins = np.clip(place, -1, _BINS - 2).astype(np.intp) + 1
        square = np.square(size, dtype=np.float64)
        self._sums[generator.integers(len(self._sums))] += np.concatenate(
            [
                [size.size, size.sum(dtype=np.float64), square.sum(), np.square(square).sum()],
                [np.count_nonzero(size < NEAR_ZERO)],
                np.bincount(bins, minlength=_BINS),
                np.bincount(bins, weights=size, minlength=_BINS),
            ]
        )
        return self

    def merge(self, other: "SparsitySums") -> Self:
        """Add the sums of other images, dealt to as many groups."""
        self._sums += other._sums
        return self

    @property
    def count(self) -> int:
        """Number of values."""
        return int(self._sums[:, _COUNT].sum())

    def measures(self) -> dict[str, Estimate]:
        """Return every one of :data:`MEASURES` with its interval, which needs images in two groups at least."""
        whole, groups = self._sums.sum(0), self._sums[self._sums[:, _COUNT] > 0]
        values, unit = _measures(whole, 1.0), _deviation(whole)
        rests = []
        if len(groups) > 1:
            rests = [_measures(rest, _deviation(rest) / unit if unit else 1.0) for rest in whole - groups]
        return {
            name: Estimate(
                value if math.isfinite(value) else None,
                *_interval(value, np.array([rest[name] for rest in rests]), _SCALES[name]),
            )
            for name, value in values.items()
        }


Scale = tuple[Callable[..., NDArray[np.float64]], Callable[..., NDArray[np.float64]]]
_POSITIVE: Scale = (np.log, np.exp)
_SHARE: Scale = (logit, expit)  # between 0 and 1
_SCALES = {"kurtosis": _POSITIVE, "hoyer": _SHARE, "gini": _SHARE, "near_zero": _SHARE, "ggd_shape": _POSITIVE}


def _interval(value: float, rests: NDArray[np.float64], scale: Scale) -> tuple[float, float] | tuple[None, None]:
    """Return the ends of the 95 % interval of a value, given what it is without each of the groups."""
    to_line, back = scale
    with np.errstate(divide="ignore", invalid="ignore"):
        middle, others = to_line(value), to_line(rests)
    if len(rests) < 2 or not np.isfinite([middle, *others]).all():
        return None, None
    freedom = len(rests) - 1
    error = math.sqrt(freedom * float(np.var(others)))
    low, high = back(middle + stdtrit(freedom, 0.975) * error * np.array([-1.0, 1.0]))
    return float(low), float(high)


def _deviation(sums: NDArray[np.float64]) -> float:
    return math.sqrt(float(sums[_SQUARE] / sums[_COUNT])) if sums[_COUNT] else 0.0


def _measures(sums: NDArray[np.float64], unit: float) -> dict[str, float]:
    """Return all measures, of values in units of which ``unit`` make a standard deviation of all images' one."""
    n, total, square, fourth, near = (float(x) for x in sums[:_HISTOGRAM])
    counts, totals = sums[_HISTOGRAM:].reshape(2, _BINS)
    if not (n and square):
        return dict.fromkeys(MEASURES, math.nan)
    # The exact count at 0.1, and the histogram for what lies between that and the threshold of this unit.
    near += _below(counts, NEAR_ZERO * unit) - _below(counts, NEAR_ZERO)
    used = counts > 0
    counts, totals = counts[used], totals[used]
    below = np.cumsum(totals) - totals
    return {
        "kurtosis": n * fourth / square**2,
        "hoyer": (math.sqrt(n) - total / math.sqrt(square)) / (math.sqrt(n) - 1) if n > 1 else math.nan,
        # One less twice the area under the Lorenz curve, a trapezium for each bin.
        "gini": 1 - float((counts * (2 * below + totals)).sum()) / (n * total),
        "near_zero": near / n,
        "ggd_shape": _shape(counts, totals / counts),
    }


def _below(counts: NDArray[np.float64], size: float) -> float:
    """Return how many values are smaller than ``size``, spread evenly within each bin."""
    edges = np.exp2(_LOWEST + np.arange(_BINS - 1) / _PER_OCTAVE)
    return float(np.interp(size, np.insert(edges, 0, 0.0), np.insert(np.cumsum(counts[:-1]), 0, 0.0)))


def _shape(counts: NDArray[np.float64], sizes: NDArray[np.float64]) -> float:
    """Fit β of exp(−(|x|/α)^β), α profiled out: α^β = β·mean(|x|^β); nan at an end of its range."""
    n, positive = counts.sum(), sizes > 0
    shares, logs = counts[positive] / n, np.log(sizes[positive])
    largest = logs.max()
    relative = logs - largest  # in logarithms, or a large β overflows

    def cost(log_beta: NDArray[np.float64]) -> NDArray[np.float64]:
        beta = np.exp(log_beta)
        log_mean = beta * largest + np.log(np.exp(beta[:, None] * relative) @ shares)
        found: NDArray[np.float64] = gammaln(1 / beta) - log_beta + (log_beta + log_mean + 1) / beta
        return found

    # There may be several minima: refine about the deepest of a grid.
    grid = np.linspace(math.log(SHAPES[0]), math.log(SHAPES[1]), _SHAPES_TRIED)
    best = int(cost(grid).argmin())
    if best in (0, len(grid) - 1):
        return math.nan
    found = minimize_scalar(
        lambda x: float(cost(np.array([x]))[0]),
        bounds=(grid[best - 1], grid[best + 1]),
        method="bounded",
        options={"xatol": 1e-5},
    )
    return math.exp(float(found.x))


class Density:
    """Histogram of values on a linear axis.

    Parameters
    ----------
    edges : array of shape (bins + 1,)
        Equally spaced, ascending.
    """

    def __init__(self, edges: NDArray[np.float64]) -> None:
        self.edges = edges
        self.counts = np.zeros(len(edges) - 1)
        self.total = 0

    def add(self, values: NDArray[np.float32]) -> Self:
        """Add values of any shape; those outside the edges count only in the total."""
        low, high = self.edges[0], self.edges[-1]
        self.counts += np.histogram(values, bins=len(self.counts), range=(low, high))[0]
        self.total += values.size
        return self

    def merge(self, other: "Density") -> Self:
        """Add another histogram with the same edges."""
        self.counts += other.counts
        self.total += other.total
        return self

    @property
    def clipped(self) -> float:
        """Share of the values outside the edges."""
        return 1 - float(self.counts.sum()) / self.total if self.total else 0.0

    @property
    def density(self) -> NDArray[np.float64]:
        """Probability density in each bin; it integrates to 1 − ``clipped``."""
        return self.counts / (max(self.total, 1) * np.diff(self.edges))
