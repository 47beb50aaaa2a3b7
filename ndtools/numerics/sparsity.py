r"""Measures of the sparsity of values, from sums that add up over images.

Values x have mean 0 (it was subtracted) and are in units of their standard deviation. Each measure is computed from
a few sums and from a histogram of |x| on a logarithmic axis (16 bins an octave, each with the mean of the values in
it). Images can therefore be added one by one in any order, in memory that does not depend on their number:

* kurtosis n Σx⁴/(Σx²)²: 3 for a Gaussian, 6 for a Laplace distribution;
* Hoyer's (√n − Σ|x|/√Σx²)/(√n − 1): 0 if all |x| are equal, 1 if all but one are 0;
* the Gini index of |x|: 0 if all are equal, near 1 if few hold all (Hurley and Rickard 2009);
* near_zero: the share of |x| < 0.1;
* ggd_shape: β of the generalised Gaussian density exp(−(|x|/α)^β), by maximum likelihood between 0.1 and 20: 2 is
  Gaussian, 1 Laplace, a smaller β is heavier-tailed, a larger one flatter. Undefined if the best β is 0.1 or 20.

Neighbouring pixels are not independent, but different images nearly are. Confidence intervals therefore come from
leaving out one group of images after the other (the jackknife, Efron and Stein 1981). Sums add up, so the sums of the
remaining images follow from those of each group, without a second pass. The unit is the standard deviation of the
remaining images. The means and the whitening by which the values were made are held fixed, so the intervals do not
include their uncertainty. Intervals are symmetric on an unbounded scale (the logarithm, or for shares the logit), and
their width is given by Student's t. Measured coverage: ``benchmarks/interval_coverage.py``.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit, gammaln, logit, stdtrit

__all__ = [
    "MEASURES",
    "REACH",
    "ROUNDING",
    "Density",
    "Distribution",
    "Estimate",
    "SparsitySums",
    "difference",
    "measured",
]

MEASURES = ("kurtosis", "hoyer", "gini", "near_zero", "ggd_shape")
REACH = 10.0  # standard deviations that the histograms cover on either side
OF_OFFSET = (
    0.03  # weight, among these terms, of an offset that was taken off before: variances lose 1e-15 of its square
)
ROUNDING = 1e-6  # error of float32 sums, in units of their terms: a smaller standard deviation counts as 0
NEAR_ZERO = 0.1
SHAPES = (0.1, 20.0)  # range of β of the generalised Gaussian; two values of equal size would give infinity
_SHAPES_TRIED = 60  # values of β on a grid, 9 % apart
_PER_OCTAVE, _LOWEST, _HIGHEST = 16, -14, 7  # the histogram covers |x| from 2^-14 to 2^7, and one bin on either side
_BINS = _PER_OCTAVE * (_HIGHEST - _LOWEST) + 2
_COUNT, _ABS, _SQUARE, _FOURTH, _NEAR, _HISTOGRAM = range(6)  # columns of the sums


@dataclass(frozen=True)
class Estimate:
    """Value of a measure with its 95 % confidence interval.

    Attributes
    ----------
    value : float or None
        Value of the measure over all images. None if it is undefined: there are no values, all of them are 0, or the
        shape is at an end of its range.
    low, high : float or None
        Ends of the 95 % interval. None if no interval was requested, or the measure is undefined without some images.
    """

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, eq=False)
class Distribution:
    """Distribution of the values of all channels and images, before or after deconvolution.

    Attributes
    ----------
    sigma : float
        Standard deviation σ of the values, from the covariance; in units of pixels in [0, 1] before deconvolution.
        0 if it is only rounding.
    measures : dict of str to Estimate
        Sparsity measures by name (see :data:`MEASURES`); all are undefined without variance.
    density : array of shape (bins,)
        Probability density of x/σ in each bin.
    clipped : float
        Share of the values beyond the edges of the density.
    """

    sigma: float
    measures: dict[str, Estimate]
    density: NDArray[np.float64]
    clipped: float

    def numbers(self) -> dict[str, Any]:
        """Return the entries of the .json file about this distribution."""
        return {
            **{name: estimate.value for name, estimate in self.measures.items()},
            "clipped": self.clipped,
            "sigma": self.sigma,
            "intervals": {name: [estimate.low, estimate.high] for name, estimate in self.measures.items()},
        }


class SparsitySums:
    """Accumulator of the sums over images from which all measures are computed.

    Parameters
    ----------
    replicates : int
        Number of groups that images are dealt to; each is left out once for the intervals. 0 for no intervals.
    """

    def __init__(self, replicates: int = 0) -> None:
        self._sums = np.zeros((max(1, replicates), _HISTOGRAM + 2 * _BINS))  # one row per group

    def add(self, values: NDArray[np.float32], generator: np.random.Generator) -> Self:
        """Add the values of an image.

        Parameters
        ----------
        values : array
            Values of any shape, with mean 0 over all images, in units of the standard deviation of all images.
        generator : numpy.random.Generator
            Random generator that draws the image's group. Each image has its own, so that their order does not matter.

        Returns
        -------
        Self
            This accumulator, updated.

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
        """Add the sums of other images, which were dealt to the same number of groups."""
        self._sums += other._sums
        return self

    @property
    def count(self) -> int:
        """Number of values added."""
        return int(self._sums[:, _COUNT].sum())

    @property
    def deviation(self) -> float:
        """Root mean square of the values added, in the unit in which they were added."""
        return _deviation(self._sums.sum(0))

    def measures(self, unit: float = 1.0) -> dict[str, Estimate]:
        """Return each of :data:`MEASURES` with its interval, which needs images in at least two groups.

        Parameters
        ----------
        unit : float
            Standard deviation of all values, in the unit in which they were added. Default 1.

        Returns
        -------
        dict of str to Estimate
            Measures by name.
        """
        whole, groups = self._sums.sum(0), self._sums[self._sums[:, _COUNT] > 0]
        values, deviation = _measures(whole, unit), _deviation(whole)
        rests = []
        if len(groups) > 1:
            rests = [
                _measures(rest, unit * _deviation(rest) / deviation if deviation else 1.0) for rest in whole - groups
            ]
        return {
            name: Estimate(
                value if math.isfinite(value) else None,
                *_interval(value, np.array([rest[name] for rest in rests]), _SCALES[name], _LEAST.get(name, -math.inf)),
            )
            for name, value in values.items()
        }


def measured(values: NDArray[Any], *, terms: float, about_mean: bool = True) -> Distribution:
    """Measure the distribution of the values of one image, without intervals.

    Parameters
    ----------
    values : array of shape (C, H, W)
        Values of all channels.
    terms : float
        Size of the terms that the values are sums of. A standard deviation that their rounding explains counts as 0.
    about_mean : bool
        Whether the mean that each channel has in this image is subtracted first. Default True. Without, the unit is the
        root mean square of the values.

    Returns
    -------
    Distribution
        Measures, and the density in 201 bins between 10 standard deviations on either side.
    """
    centred = values - values.mean((1, 2), dtype=np.float64, keepdims=True) if about_mean else values
    sigma = math.sqrt(float(np.square(centred, dtype=np.float64).mean()))
    if sigma <= ROUNDING * terms:
        sigma, centred = 0.0, np.zeros_like(centred)
    scaled = (centred / (sigma or 1)).astype(np.float32)
    density = Density(np.linspace(-REACH, REACH, 202)).add(scaled)
    sums = SparsitySums().add(scaled, np.random.default_rng(0))
    return Distribution(sigma, sums.measures(), density.density, density.clipped)


def difference(first: Estimate, second: Estimate) -> Estimate:
    """Return the difference of two measures of independent sets of images with its 95 % confidence interval.

    The interval comes from those of both measures, whose ends are at different distances from the value (MOVER, Zou
    and Donner 2008, "Construction of confidence limits about effect measures: a general approach", Statistics in
    Medicine 27): low = a − b − √((a − low_a)² + (high_b − b)²), and high likewise.

    Parameters
    ----------
    first, second : Estimate
        The measures a and b.

    Returns
    -------
    Estimate
        a − b. Its value is None if a or b is undefined, and its ends are None if an interval is missing.

    Examples
    --------
    >>> difference(Estimate(9.0, 6.0, 13.0), Estimate(5.0, 3.0, 9.0))
    Estimate(value=4.0, low=-1.0, high=8.47213595499958)
    """
    if first.value is None or second.value is None:
        return Estimate(None, None, None)
    value = first.value - second.value
    if first.low is None or first.high is None or second.low is None or second.high is None:
        return Estimate(value, None, None)
    below = math.hypot(first.value - first.low, second.high - second.value)
    above = math.hypot(first.high - first.value, second.value - second.low)
    return Estimate(value, value - below, value + above)


Scale = tuple[Callable[..., NDArray[np.float64]], Callable[..., NDArray[np.float64]]]
_POSITIVE: Scale = (np.log, np.exp)
_SHARE: Scale = (logit, expit)  # between 0 and 1
_SCALES = {"kurtosis": _POSITIVE, "hoyer": _SHARE, "gini": _SHARE, "near_zero": _SHARE, "ggd_shape": _POSITIVE}
_LEAST = {"kurtosis": 1.0}  # by the inequality of Cauchy and Schwarz


def _interval(
    value: float, rests: NDArray[np.float64], scale: Scale, least: float = -math.inf
) -> tuple[float, float] | tuple[None, None]:
    """Return the ends of the 95 % interval of a value, given its values ``rests`` without each of the groups."""
    to_line, back = scale
    with np.errstate(divide="ignore", invalid="ignore"):
        middle, others = to_line(value), to_line(rests)
    if len(rests) < 2 or not np.isfinite([middle, *others]).all():
        return None, None
    freedom = len(rests) - 1
    error = math.sqrt(freedom * float(np.var(others)))
    low, high = back(middle + stdtrit(freedom, 0.975) * error * np.array([-1.0, 1.0]))
    return max(float(low), least), float(high)


def _deviation(sums: NDArray[np.float64]) -> float:
    return math.sqrt(float(sums[_SQUARE] / sums[_COUNT])) if sums[_COUNT] else 0.0


def _measures(sums: NDArray[np.float64], unit: float) -> dict[str, float]:
    """Return all measures of values whose standard deviation is ``unit``, in units of that of all images."""
    n, total, square, fourth, near = (float(x) for x in sums[:_HISTOGRAM])
    counts, totals = sums[_HISTOGRAM:].reshape(2, _BINS)
    if not (n and square):
        return dict.fromkeys(MEASURES, math.nan)
    # The count below 0.1 is exact; the histogram gives the values between 0.1 and the threshold in this unit.
    near += _below(counts, NEAR_ZERO * unit) - _below(counts, NEAR_ZERO)
    used = counts > 0
    counts, totals = counts[used], totals[used]
    below = np.cumsum(totals) - totals
    return {
        "kurtosis": n * fourth / square**2,
        "hoyer": (math.sqrt(n) - total / math.sqrt(square)) / (math.sqrt(n) - 1) if n > 1 else math.nan,
        # 1 minus twice the area under the Lorenz curve, with one trapezium per bin.
        "gini": 1 - float((counts * (2 * below + totals)).sum()) / (n * total),
        "near_zero": near / n,
        "ggd_shape": _shape(counts, totals / counts),
    }


def _below(counts: NDArray[np.float64], size: float) -> float:
    """Return the number of values smaller than ``size``, if values are spread evenly within each bin."""
    edges = np.exp2(_LOWEST + np.arange(_BINS - 1) / _PER_OCTAVE)
    return float(np.interp(size, np.insert(edges, 0, 0.0), np.insert(np.cumsum(counts[:-1]), 0, 0.0)))


def _shape(counts: NDArray[np.float64], sizes: NDArray[np.float64]) -> float:
    """Fit β of exp(−(|x|/α)^β), with α profiled out by α^β = β·mean(|x|^β); nan at an end of the range of β."""
    n, positive = counts.sum(), sizes > 0
    shares, logs = counts[positive] / n, np.log(sizes[positive])
    largest = logs.max()
    relative = logs - largest  # logarithms, because powers with a large β overflow

    def cost(log_beta: NDArray[np.float64]) -> NDArray[np.float64]:
        beta = np.exp(log_beta)
        log_mean = beta * largest + np.log(np.exp(beta[:, None] * relative) @ shares)
        negative_log_likelihood: NDArray[np.float64] = gammaln(1 / beta) - log_beta + (log_beta + log_mean + 1) / beta
        return negative_log_likelihood

    # There may be several minima: refine the deepest one on a grid.
    grid = np.linspace(math.log(SHAPES[0]), math.log(SHAPES[1]), _SHAPES_TRIED)
    best = int(cost(grid).argmin())
    if best in (0, len(grid) - 1):
        return math.nan
    optimum = minimize_scalar(
        lambda x: float(cost(np.array([x]))[0]),
        bounds=(grid[best - 1], grid[best + 1]),
        method="bounded",
        options={"xatol": 1e-5},
    )
    return math.exp(float(optimum.x))


class Density:
    """Histogram of values on a linear axis.

    Parameters
    ----------
    edges : array of shape (bins + 1,)
        Edges of the bins, equally spaced and ascending.
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

    def rescaled(self, unit: float, edges: NDArray[np.float64]) -> "Density":
        """Return the histogram of the values divided by ``unit``, with other edges.

        Parameters
        ----------
        unit : float
            Divisor of the values; 0 leaves them as they are.
        edges : array of shape (bins + 1,)
            Edges of the new bins. Values are taken to be spread evenly within each old bin.

        Returns
        -------
        Density
            The new histogram; it has the same total.
        """
        new = Density(edges)
        below = np.concatenate([[0.0], np.cumsum(self.counts)])
        new.counts = np.diff(np.interp(edges * (unit or 1.0), self.edges, below))
        new.total = self.total
        return new

    @property
    def clipped(self) -> float:
        """Share of the values outside the edges."""
        return 1 - float(self.counts.sum()) / self.total if self.total else 0.0

    @property
    def density(self) -> NDArray[np.float64]:
        """Probability density in each bin; it integrates to 1 − ``clipped``."""
        return self.counts / (max(self.total, 1) * np.diff(self.edges))
