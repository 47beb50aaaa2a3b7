r"""Fit of a difference of Gaussians to a deconvolution kernel: the usual model of retinal ganglion cells.

References: Rodieck 1965; Enroth-Cugell and Robson 1966. Kernels have shape (k, k) with k odd, and their centre pixel is
kernel[k//2, k//2]. Kernels that whiten images whose power spectrum falls like f^-2 fall like r^-3 with the distance r
from the centre. No Gaussian does, so a difference of Gaussians describes the middle of such a kernel and misses its
tails, the more so the larger k is. :mod:`ndtools.numerics.center_surround` measures kernels without assuming a shape.
"""

import math
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import erf
from scipy.stats import f as f_distribution

from ndtools.numerics.gaussian_pairs import (
    FREE,
    ONE,
    GaussianPairs,
    Held,
    Optimum,
    Volumes,
    gaussians,
    held_ratio,
    held_volume,
    nearest,
)
from ndtools.numerics.kernel_profiles import ROUNDING, checked_kernel, largest_weight

__all__ = ["PARAMETERS", "DifferenceOfGaussians", "fit_difference_of_gaussians"]

Array = NDArray[np.float64]
Interval = tuple[float | None, float | None]

CONFIDENCE = 0.95
TOLERANCE = 1e-7  # of sums of squares at the ends of intervals, which are found to 1e-4 of their width
OPEN = 1e9  # step, in units of the largest weight, from which on a volume counts as unlimited
PARAMETERS = ("center_sigma", "surround_sigma", "center_volume", "surround_volume", "volume_ratio")


@dataclass(frozen=True)
class DifferenceOfGaussians:
    r"""Difference of two concentric Gaussians that is nearest to a kernel.

    With G(σ) a Gaussian of volume 1 about the centre pixel, integrated over each pixel,

        kernel ≈ V_c·G(σ_c) − V_s·G(σ_s),    G(σ)[y, x] = g(y)·g(x),
        g(x) = (erf((x + 1/2)/(√2 σ)) − erf((x − 1/2)/(√2 σ)))/2.

    Attributes
    ----------
    center_volume, surround_volume : float
        Volumes V_c and V_s, in the kernel's unit times pixels². They are sums over the whole plane, including the part
        outside the kernel. Both are positive for an on-centre kernel and negative for an off-centre one. They have
        opposite signs where there is no antagonism.
    center_sigma, surround_sigma : float
        Standard deviations σ_c < σ_s along each axis in pixels.
    volume_ratio : float
        Ratio V_s/V_c of the integrated sensitivities; 1 if the response to a uniform image is 0. nan if V_c is 0.
    residual : float
        Relative error ‖kernel − fit‖/‖kernel‖, in Frobenius norms.
    at_bound : bool
        Whether the kernel leaves σ_c or σ_s open at one end (see ``intervals``), or the Gaussians are as close as they
        may be, σ_s² = (1.1·σ_c)² + 0.2². The usual case is a centre of a single pixel: every σ_c up to
        ``center_limit`` describes it about equally well. Also true if one Gaussian suffices: then V_s is 0, and σ_s,
        at its upper end k, has no meaning.
    residual_off_center : float or None
        Relative error ‖kernel − fit‖/‖kernel‖ over all pixels but the centre, which outweighs them and is always
        fitted. 1 if the fit explains none of them; None if they are 0.
    center_bound, surround_bound : {"≤", "≥", None}
        Direction of the limit if σ_c or σ_s is only known to be at most, or at least, the limit. None if it is between
        two ends, or not known at all.
    center_limit, surround_limit : float or None
        Limit in pixels: the end of the interval that is not open. None without such a limit.
    intervals : dict of str to (float or None, float or None)
        Lower and upper ends of 95 % intervals of ``center_sigma``, ``surround_sigma``, ``center_volume``,
        ``surround_volume`` and ``volume_ratio``, by name. None for an end that is open: as good a fit exists at the end
        of the range of σ, or with Gaussians as close, or a surround as wide, as they may be. If one Gaussian suffices,
        there are intervals of its σ_c and V_c only. Empty if the fit was made without intervals.
    """

    center_volume: float
    surround_volume: float
    center_sigma: float
    surround_sigma: float
    volume_ratio: float
    residual: float
    at_bound: bool
    residual_off_center: float | None = None
    center_bound: str | None = None
    surround_bound: str | None = None
    center_limit: float | None = None
    surround_limit: float | None = None
    intervals: dict[str, Interval] = field(default_factory=dict)

    @property
    def center_radius(self) -> float:
        """Radius √2·σ_c in pixels at which the centre has fallen to 1/e, the r_c of physiologists."""
        return math.sqrt(2) * self.center_sigma

    @property
    def surround_radius(self) -> float:
        """Radius √2·σ_s in pixels at which the surround has fallen to 1/e, the r_s of physiologists."""
        return math.sqrt(2) * self.surround_sigma

    def kernel(self, k: int) -> Array:
        """Evaluate the fit on the pixels of a kernel.

        Parameters
        ----------
        k : int
            Side of the kernel in pixels, odd; it may differ from the side of the fitted kernel.

        Returns
        -------
        array of shape (k, k)
            Values of V_c·G(σ_c) − V_s·G(σ_s).

        Raises
        ------
        ValueError
            If ``k`` is even or below 1.
        """
        if k < 1 or k % 2 == 0:
            raise ValueError(f"k must be odd and at least 1, got {k}")
        shapes, _ = gaussians(np.log([self.center_sigma, self.surround_sigma]), k)
        fit: Array = shapes @ np.array([self.center_volume, -self.surround_volume])
        return fit.reshape(k, k)

    def radial(self, radius: ArrayLike) -> Array:
        """Evaluate the fit for pixels at any distance from the centre, averaged over directions.

        Parameters
        ----------
        radius : array of shape (n,)
            Distances of the middles of the pixels from the centre, in pixels.

        Returns
        -------
        array of shape (n,)
            Mean of the fit over the directions at each distance.
        """
        angle = (np.arange(32) + 0.5) * (math.pi / 64)  # evenly spaced over a quarter turn
        places = np.asarray(radius, dtype=np.float64)[:, None, None] * np.stack([np.cos(angle), np.sin(angle)])
        values = np.zeros(len(places))
        for volume, sigma in ((self.center_volume, self.center_sigma), (-self.surround_volume, self.surround_sigma)):
            edges = (places[..., None] + np.array([-0.5, 0.5])) / (math.sqrt(2) * sigma)
            values += volume * (np.diff(erf(edges))[..., 0] / 2).prod(1).mean(1)
        return values


def fit_difference_of_gaussians(kernel: ArrayLike, *, intervals: bool = True) -> DifferenceOfGaussians:
    """Fit two concentric Gaussians to a kernel by least squares.

    Parameters
    ----------
    kernel : array of shape (k, k)
        Kernel of either polarity, with k odd and at least 5. The nine pixels of a 3×3 kernel lie at only three
        distances from the centre, which four parameters fit in many ways.
    intervals : bool, default True
        Whether to compute the intervals of the parameters, which take ten times as long as the fit.

    Returns
    -------
    DifferenceOfGaussians
        Best fit with all σ in [0.05, k] pixels and σ_s² at least (1.1·σ_c)² + 0.2², or one Gaussian if it suffices.

    Raises
    ------
    ValueError
        If the kernel is zero everywhere, not finite, or not of this shape.

    Notes
    -----
    The method is variable projection (Golub and Pereyra 1973): for given σ the volumes solve a linear problem, so the
    search is over log σ only. It starts on a grid and continues from the deepest minima by Gauss-Newton. There is no
    offset, and all pixels have the same weight. The centre dominates, because errors are squared.

    Intervals are of profile likelihood: they hold all values of a parameter for which the other parameters can be
    chosen such that the sum of squares exceeds the least one, S, by at most F·S/ν. Here F is the 95 % quantile of the F
    distribution with 1 and ν = (k² + 1)/2 − 4 degrees of freedom. They hold the true value for 95 of 100 kernels with
    independent noise. Kernels of images are equal to themselves turned by half a turn, and so is the model; therefore
    opposite pixels count as one. The residual of such a kernel is misfit rather than noise. Then the intervals hold the
    values that describe the kernel about as well as the best ones do. How much these vary over images is for a
    bootstrap to tell. One Gaussian suffices if its sum of squares exceeds S by at most 2·F·S/ν, F having 2 and ν
    degrees of freedom.

    A parameter that a kernel does not determine varies a lot between kernels that are nearly equal. The ends of its
    interval do not.

    Examples
    --------
    >>> cell = DifferenceOfGaussians(2.0, 1.6, 0.5, 2.0, 0.8, 0.0, False)
    >>> fit = fit_difference_of_gaussians(cell.kernel(15))
    >>> print(f"{fit.center_sigma:.3f} {fit.surround_sigma:.3f} {fit.volume_ratio:.3f}")
    0.500 2.000 0.800
    """
    kernel = checked_kernel(kernel, least=5)
    k, scale = len(kernel), largest_weight(kernel)
    target = kernel / scale  # prevents squares from overflowing
    pairs = GaussianPairs((target + target[::-1, ::-1]) / 2)
    best, single = pairs.best(FREE, pairs.starts(FREE)), pairs.best_single()
    freedom = (k * k + 1) / 2 - 4
    noise = best.squares / freedom
    exact = (ROUNDING * float(np.linalg.norm(target))) ** 2
    suffices = single.squares <= best.squares + 2 * noise * float(f_distribution.ppf(CONFIDENCE, 2, freedom)) + exact
    model = single if suffices else best
    found: dict[str, Interval] = {}
    if intervals:
        allowed = model.squares + noise * float(f_distribution.ppf(CONFIDENCE, 1, freedom)) + exact
        region = _Region(pairs, model, ONE if suffices else FREE, allowed)
        names = ("center_sigma", "center_volume") if suffices else PARAMETERS
        found = {name: _in_unit(name, region.interval(name), scale) for name in names}
    center, surround = float(model.volumes[0]), 0.0 + float(model.volumes[1])
    left = target.ravel() - gaussians(model.log_sigma, k)[0] @ np.array([center, -surround])
    left_off, target_off = np.linalg.norm(np.delete(np.stack([left, target.ravel()]), k * k // 2, axis=1), axis=1)
    bounds = [_bound(found.get(name)) for name in PARAMETERS[:2]]
    close = bool(model.log_sigma[1] - nearest(model.log_sigma[0])[0] < ROUNDING)
    is_open = any(None in found.get(name, ()) for name in PARAMETERS[:2])
    return DifferenceOfGaussians(
        center_volume=center * scale,
        surround_volume=surround * scale,
        center_sigma=float(np.exp(model.log_sigma[0])),
        surround_sigma=float(np.exp(model.log_sigma[1])),
        volume_ratio=0.0 + surround / center if center else math.nan,
        residual=float(np.linalg.norm(left) / np.linalg.norm(target)),
        at_bound=suffices or close or is_open,
        residual_off_center=float(left_off / target_off) if target_off else None,
        center_bound=bounds[0][0],
        surround_bound=bounds[1][0],
        center_limit=bounds[0][1],
        surround_limit=bounds[1][1],
        intervals=found,
    )


def _in_unit(name: str, ends: Interval, scale: float) -> Interval:
    """Return an interval in the unit of the parameter: pixels for a σ, the kernel's for a volume."""
    if name.endswith("sigma"):
        return tuple(None if end is None else math.exp(end) for end in ends)  # type: ignore[return-value]
    factor = scale if name.endswith("volume") else 1.0
    return tuple(None if end is None else factor * end for end in ends)  # type: ignore[return-value]


def _bound(ends: Interval | None) -> tuple[str | None, float | None]:
    """Return the direction of a limit and the limit, for an interval that is open at one end."""
    low, high = ends or (None, None)
    if (low is None) == (high is None):
        return None, None
    return ("≤", high) if low is None else ("≥", low)


class _Region:
    """Parameters of the fits whose sum of squares is at most what is allowed."""

    def __init__(self, pairs: GaussianPairs, best: Optimum, base: Volumes, allowed: float) -> None:
        self.pairs, self.best, self.base, self.allowed = pairs, best, base, allowed
        self.log_surround = float(best.log_sigma[1]) if base is ONE else None
        self.steps = self._first_steps()
        on_grid = pairs.on_grid(base)
        places = np.argwhere(on_grid <= allowed) if base is FREE else np.empty((0, 2), dtype=int)
        volumes = pairs.volumes_on_grid()[tuple(places.T)] if len(places) else np.empty((0, 2))
        self.reached = [Optimum(pairs.grid[place], volume, 0.0) for place, volume in zip(places, volumes, strict=True)]

    def interval(self, name: str) -> Interval:
        """Return the ends of a parameter: log σ, or a volume, or their ratio."""
        return self._end(name, -1), self._end(name, 1)

    def _end(self, name: str, direction: int) -> float | None:
        """Return the lower (direction −1) or upper (1) end of a parameter; None if it is open."""
        inside, near = _value(name, self.best), self.best.log_sigma
        farthest = max(self.reached, key=lambda optimum: direction * _value(name, optimum), default=self.best)
        if direction * (_value(name, farthest) - inside) > 0:
            inside, near = _value(name, farthest), farthest.log_sigma
        limit = math.inf
        if name in PARAMETERS[:2]:
            limit = direction * self.pairs.ranges[PARAMETERS.index(name)][direction > 0]

        @lru_cache
        def excess(value: float) -> float:
            """Return how far the best fit with this value is outside: linear in it, if the model is linear."""
            nonlocal near
            found = self._nearest(name, value, near)
            if found.squares <= self.allowed:  # else it may be far from all that are
                near = found.log_sigma
            return math.sqrt(max(0.0, found.squares - self.best.squares) / (self.allowed - self.best.squares)) - 1

        step = 1.2 * self.steps[name]
        outside = direction * min(direction * inside + step, limit)
        while excess(outside) <= 0:
            if direction * outside >= limit or step > OPEN:
                return None
            inside, step = outside, 2 * step
            outside = direction * min(direction * inside + step, limit)
        end = inside
        if excess(inside) < 0:  # else by rounding only: the fit itself has no excess
            end = brentq(excess, inside, outside, xtol=1e-4 * abs(outside - inside) + 1e-15, rtol=1e-14)
        return None if name not in PARAMETERS[:2] and self._is_cut(near) else float(end)

    def _nearest(self, name: str, value: float, near: Array) -> Optimum:
        """Return the best fit with a parameter held at a value, from a nearby fit or from the grid."""
        volumes = self.base
        held: Held = (None, self.log_surround)
        if name == "center_sigma":
            held = (value, self.log_surround)
        elif name == "surround_sigma":
            held = (None, value)
        elif name == "volume_ratio":
            volumes = held_ratio(value)
        else:
            volumes = held_volume(("center_volume", "surround_volume").index(name), value, self.base)
        found = self.pairs.refine(volumes, near, held=held, tolerance=TOLERANCE)
        if found.squares > self.allowed and self.base is FREE:  # elsewhere there may be a fit that is not outside
            others = (
                self.pairs.refine(volumes, start, held=held, tolerance=TOLERANCE)
                for start in self.pairs.starts(volumes, held)[:2]
            )
            found = min((found, *others), key=lambda optimum: optimum.squares)
        return found

    def _is_cut(self, log_sigma: Array) -> bool:
        """Return whether a fit has Gaussians as close, or a surround as wide, as they may be."""
        if self.base is ONE:
            return False
        return bool(log_sigma[1] - nearest(log_sigma[0])[0] < 1e-9 or log_sigma[1] > self.pairs.high - 1e-9)

    def _first_steps(self) -> dict[str, float]:
        """Return about how far each end is from the best value: where it is, if the model is linear and σ small."""
        shapes, slopes = gaussians(self.best.log_sigma, self.pairs.k)
        center, surround = self.best.volumes
        jacobian = np.concatenate([slopes * self.best.volumes, shapes], axis=1)
        covariance = (self.allowed - self.best.squares) * np.linalg.pinv(jacobian.T @ jacobian)
        to_ratio = np.array([0, 0, surround / center, 1]) / center if center else np.zeros(4)  # the sign of V_s is −1
        variance = np.append(covariance.diagonal(), to_ratio @ covariance @ to_ratio)
        most = np.array([0.5, 0.5, *(np.abs(self.best.volumes) + 0.1), 0.5])
        return dict(zip(PARAMETERS, np.clip(np.sqrt(np.maximum(variance, 0)), 1e-12, most).tolist(), strict=True))


def _value(name: str, optimum: Optimum) -> float:
    """Return a parameter of a fit: log σ, or a volume, or their ratio."""
    if name in PARAMETERS[:2]:
        return float(optimum.log_sigma[PARAMETERS.index(name)])
    center, surround = optimum.volumes
    if name == "volume_ratio":
        return float(surround / center) if center else 0.0
    return float(center if name == "center_volume" else surround)
