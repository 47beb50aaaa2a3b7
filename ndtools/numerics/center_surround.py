r"""A deconvolution kernel as a difference of Gaussians, which is how retinal ganglion cells are described.

See Rodieck 1965; Enroth-Cugell and Robson 1966. The kernels have shape (k, k), k odd, and their centre pixel is
kernel[k//2, k//2]. Kernels that whiten images whose power spectrum falls like f^-2 fall like r^-3, which no Gaussian
does: a difference of Gaussians describes the middle of such a kernel and misses its tails, more so the larger k.
:mod:`ndtools.numerics.kernel_profiles` measures them without presupposing a shape.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import solve_triangular
from scipy.ndimage import minimum_filter
from scipy.optimize import brentq, least_squares
from scipy.special import erf

from ndtools.numerics.kernel_profiles import ROUNDING, checked_kernel, largest_weight

__all__ = ["DifferenceOfGaussians", "fit_difference_of_gaussians"]

Array = NDArray[np.float64]
Search = Callable[[Array], tuple[Array, Array]]  # from what is searched to log σ, and their derivatives by it

SMALLEST_SIGMA = 0.05  # pixels: in double precision all the volume is in the centre pixel, as of any narrower one
SMALLEST_STEP = (1.1, 0.2)  # σ_s² at least (1.1·σ_c)² + 0.2²; nearer to each other, their derivative is fitted
LARGEST_SIGMA = 1.0  # in units of k: a seventh of the volume lies inside the kernel, the rest is extrapolated


@dataclass(frozen=True)
class DifferenceOfGaussians:
    r"""Two concentric Gaussians that together are nearest to a kernel.

    With G(σ) a Gaussian of volume 1 about the centre pixel, integrated over each pixel,

        kernel ≈ V_c·G(σ_c) − V_s·G(σ_s),    G(σ)[y, x] = g(y)·g(x),
        g(x) = (erf((x + 1/2)/(√2 σ)) − erf((x − 1/2)/(√2 σ)))/2.

    Attributes
    ----------
    center_volume, surround_volume : float
        V_c and V_s, in the kernel's unit times pixels². Sums over the whole plane, also over what lies outside the
        kernel. Both positive for an on-centre kernel, both negative for an off-centre one; of opposite signs where
        there is no antagonism.
    center_sigma, surround_sigma : float
        σ_c < σ_s, standard deviations along each axis in pixels.
    volume_ratio : float
        V_s/V_c; 1 if a uniform image evokes nothing. nan if V_c is 0.
    residual : float
        ‖kernel − fit‖/‖kernel‖, Frobenius norms.
    at_bound : bool
        Whether σ_c, σ_s or their distance is at the end of its range, and so not measured. The usual case is a centre
        of a single pixel: σ_c = 0.05 then stands for all that is too narrow to be told from 0, which is everything up
        to ``center_limit``, and the other parameters hold. If σ_s² = (1.1·σ_c)² + 0.2², the volumes mean nothing
        apart, only their difference. Also set if one Gaussian suffices: V_s is 0, and σ_s, at its upper end k, means
        nothing.
    residual_off_center : float or None
        ‖kernel − fit‖/‖kernel‖ over all pixels but the centre, which outweighs them and is always met. 1 if the fit
        says nothing about them; None if they are 0.
    center_bound, surround_bound : {"≤", "≥", None}
        How σ_c and σ_s are known if they are at an end of their range: only that they are below, or above, a limit.
    center_limit, surround_limit : float or None
        That limit in pixels: the σ farthest from the end of its range whose best fit is still not worse than noise
        would make it, by the criterion that put the fit on the end (see Notes of `fit_difference_of_gaussians`). None
        where σ was measured, and for the surround where one Gaussian suffices.
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

    def kernel(self, k: int) -> Array:
        """Evaluate the fit.

        Parameters
        ----------
        k : int
            Side in pixels, odd; need not be that of the fitted kernel.

        Returns
        -------
        array of shape (k, k)
            V_c·G(σ_c) − V_s·G(σ_s).

        Raises
        ------
        ValueError
            If ``k`` is even or below 1.
        """
        if k < 1 or k % 2 == 0:
            raise ValueError(f"k must be odd and at least 1, got {k}")
        gaussians, _ = _gaussians(np.log([self.center_sigma, self.surround_sigma]), k)
        fit: Array = gaussians @ np.array([self.center_volume, -self.surround_volume])
        return fit.reshape(k, k)

    def radial(self, radius: ArrayLike) -> Array:
        """Evaluate the fit for pixels anywhere.

        Parameters
        ----------
        radius : array of shape (n,)
            Distances of the pixels' middles from the centre in pixels.

        Returns
        -------
        array of shape (n,)
            Means over directions.
        """
        angle = (np.arange(32) + 0.5) * (math.pi / 64)  # a quarter of a turn, evenly
        places = np.asarray(radius, dtype=np.float64)[:, None, None] * np.stack([np.cos(angle), np.sin(angle)])
        values = np.zeros(len(places))
        for volume, sigma in ((self.center_volume, self.center_sigma), (-self.surround_volume, self.surround_sigma)):
            edges = (places[..., None] + np.array([-0.5, 0.5])) / (math.sqrt(2) * sigma)
            values += volume * (np.diff(erf(edges))[..., 0] / 2).prod(1).mean(1)
        return values


def fit_difference_of_gaussians(kernel: ArrayLike) -> DifferenceOfGaussians:
    """Fit two concentric Gaussians to a kernel by least squares.

    Parameters
    ----------
    kernel : array of shape (k, k)
        Of either polarity, k odd and at least 5: the nine pixels of a 3×3 lie at three distances from the centre,
        which four parameters fit in many ways.

    Returns
    -------
    DifferenceOfGaussians
        All σ in [0.05, k] pixels, σ_s² at least (1.1·σ_c)² + 0.2². At the end of such a range if the best fit is
        there, or if a fit there is not worse than noise would make it (see Notes).

    Raises
    ------
    ValueError
        If the kernel is zero everywhere, not finite, or not of such a shape.

    Notes
    -----
    Variable projection (Golub and Pereyra 1973): for given σ the volumes solve a linear problem, so only log σ are
    searched, first on a grid, then by Gauss-Newton from its deepest minima, with Kaufman's Jacobian −P·∂Φ·V (P
    projects out the Gaussians Φ). There is no offset, and all pixels weigh the same: the centre, whose error is
    squared as all others, dominates.

    A fit at a bound, of one parameter less, is preferred if its sum of squares exceeds the least by at most 4 s²
    (and one Gaussian alone, of two less, by 8 s²), where s² = least/(k² − 4) would be the variance of white noise
    in the kernel: two standard errors. What a real kernel leaves is misfit rather than noise, so that s² is too
    large, and the test on the side of caution. How far from the bound σ may be by the
    same test is its limit.

    Examples
    --------
    >>> cell = DifferenceOfGaussians(2.0, 1.6, 0.5, 2.0, 0.8, 0.0, False)
    >>> fit = fit_difference_of_gaussians(cell.kernel(15))
    >>> print(f"{fit.center_sigma:.3f} {fit.surround_sigma:.3f} {fit.volume_ratio:.3f}")
    0.500 2.000 0.800
    """
    kernel = checked_kernel(kernel, least=5)
    k, scale = len(kernel), largest_weight(kernel)
    target = kernel / scale  # so that no square overflows
    low, high = math.log(SMALLEST_SIGMA), math.log(LARGEST_SIGMA * k)

    def pair(p: Array) -> tuple[Array, Array]:
        """From a box, so that the order of the two σ is no constraint."""
        u, t = p
        nearest, change = _nearest(u)
        return np.array([u, nearest + t * (high - nearest)]), np.array([[1.0, 0.0], [(1 - t) * change, high - nearest]])

    highest = _widest(high)
    box = np.array([[low, 0.0], [highest, 1.0]])

    def on_face(i: int, value: float) -> Search:
        def face(p: Array) -> tuple[Array, Array]:
            log_sigma, chain = pair(np.insert(p, i, value))
            return log_sigma, np.delete(chain, i, axis=1)

        return face

    singles, pairs = _starts(target, low, high)
    inside = []
    for inner, outer in pairs:
        nearest = _nearest(inner)[0]
        start = np.clip([inner, (outer - nearest) / (high - nearest)], *box)
        inside.append(_refine(target, start, box, pair))
    best, squares = min(inside, key=lambda fit: fit[1])
    faces = []
    for i, value in ((0, low), (1, 0.0), (1, 1.0)):
        p, error = _refine(target, np.delete(best, i), np.delete(box, i, axis=1), on_face(i, value))
        faces.append((on_face(i, value)(p)[0], error))
    alone = (_refine(target, start, np.array([[low], [high]]), lambda p: (p, np.eye(1))) for start in singles)
    one, error_of_one = min(alone, key=lambda fit: fit[1])

    # What is left is taken for noise: a parameter is measured if fixing it costs more than 2 standard errors would.
    noise = squares / (k * k - 4)
    exact = (ROUNDING * float(np.linalg.norm(target))) ** 2
    on_bound, error_on_bound = min(faces, key=lambda fit: fit[1])
    at_bound = True
    allowed = squares + 4 * noise + exact
    suffices = error_of_one <= allowed + 4 * noise
    if suffices:
        log_sigma = np.array([min(one[0], highest), high])
        volumes = np.append(_project(log_sigma[:1], target)[0], 0.0)
    elif error_on_bound <= allowed:
        log_sigma, volumes = on_bound, _project(on_bound, target)[0]
    else:
        log_sigma, at_bound = pair(best)[0], False
        volumes = _project(log_sigma, target)[0]
    center, surround = float(volumes[0]), 0.0 - float(volumes[1])
    left = target.ravel() - _gaussians(log_sigma, k)[0] @ volumes
    off_center = np.delete(np.stack([left, target.ravel()]), k * k // 2, axis=1)
    left_off, target_off = np.linalg.norm(off_center, axis=1)
    is_end = [bool(abs(a - b) < ROUNDING) for a, b in zip(log_sigma, (low, _nearest(log_sigma[0])[0]), strict=True)]
    is_top = [bool(abs(a - b) < ROUNDING) for a, b in zip(log_sigma, (highest, high), strict=True)]
    bounds = ["≤" if end else "≥" if top else None for end, top in zip(is_end, is_top, strict=True)]

    def excess(i: int, value: float) -> float:
        """Return by how much the best fit with a given log σ_i is worse than allowed."""
        if suffices:
            return _squares(target, np.array([value])) - allowed - 4 * noise
        box = (low, _widest(value)) if i else (float(_nearest(value)[0]), high)
        if box[1] - box[0] < ROUNDING:  # at the end of its range σ_i leaves one other
            return _squares(target, np.insert(box[:1], i, value)) - allowed
        rows = np.delete(np.eye(2), i, axis=1)

        def fixed(p: Array) -> tuple[Array, Array]:
            return np.insert(p, i, value), rows

        start = np.clip(np.delete(log_sigma, i), *box)
        return _refine(target, start, np.array(box)[:, None], fixed, tolerance=1e-9)[1] - allowed

    ranges = ((low, highest), (float(_nearest(low)[0]), high))
    limits = [
        _limit(partial(excess, i), ranges[i], float(log_sigma[i]), bound) if bound and not (suffices and i) else None
        for i, bound in enumerate(bounds)
    ]
    return DifferenceOfGaussians(
        center_volume=center * scale,
        surround_volume=surround * scale,
        center_sigma=float(np.exp(log_sigma[0])),
        surround_sigma=float(np.exp(log_sigma[1])),
        volume_ratio=0.0 + surround / center if center else math.nan,
        residual=float(np.linalg.norm(left) / np.linalg.norm(target)),
        at_bound=at_bound,
        residual_off_center=float(left_off / target_off) if target_off else None,
        center_bound=bounds[0],
        surround_bound=bounds[1],
        center_limit=limits[0],
        surround_limit=limits[1],
    )


def _limit(excess: Callable[[float], float], ends: tuple[float, float], at: float, bound: str) -> float:
    """Return the σ up to which (down to which) log σ = ``at`` can go until ``excess`` is positive."""
    far = ends[1] if bound == "≤" else ends[0]
    if excess(far) <= 0:
        return math.exp(far)
    if excess(at) >= 0:  # by rounding: the fit is where there is no excess
        return math.exp(at)
    return math.exp(brentq(excess, at, far, xtol=1e-3))  # shown to two digits


def _nearest(u: Array | float) -> tuple[Array, Array]:
    """Return the smallest log σ_s that log σ_c = u permits, and its derivative."""
    square = (SMALLEST_STEP[0] * np.exp(u)) ** 2
    return np.log(square + SMALLEST_STEP[1] ** 2) / 2, square / (square + SMALLEST_STEP[1] ** 2)


def _widest(s: float) -> float:
    """Return the largest log σ_c that log σ_s = s permits."""
    return math.log(math.sqrt(math.exp(2 * s) - SMALLEST_STEP[1] ** 2) / SMALLEST_STEP[0])


def _gaussians(log_sigma: Array, k: int) -> tuple[Array, Array]:
    """Return G(σ) and its derivatives by log σ, as columns of (k², m) arrays."""
    edges = (np.arange(k + 1) - k / 2)[:, None] / (math.sqrt(2) * np.exp(log_sigma))
    line = np.diff(erf(edges), axis=0) / 2
    slope = np.diff(-edges * np.exp(-(edges**2)), axis=0) / math.sqrt(math.pi)
    mixed = slope[:, None] * line
    return (line[:, None] * line).reshape(k * k, -1), (mixed + mixed.swapaxes(0, 1)).reshape(k * k, -1)


def _project(log_sigma: Array, target: Array) -> tuple[Array, Array, Array]:
    """Return the best coefficients of Gaussians, what they leave of ``target``, and its Jacobian by log σ."""
    gaussians, derivatives = _gaussians(log_sigma, len(target))
    q, r = np.linalg.qr(gaussians)
    flat = target.ravel()
    along = q.T @ flat
    volumes: Array = solve_triangular(r, along)
    change = derivatives * volumes
    return volumes, flat - q @ along, q @ (q.T @ change) - change


def _squares(target: Array, log_sigma: Array) -> float:
    """Return the sum of squares that Gaussians of given widths leave."""
    left = _project(log_sigma, target)[1]
    return float(left @ left)


def _refine(
    target: Array, start: Array, box: Array, to_log_sigma: Search, tolerance: float = 1e-15
) -> tuple[Array, float]:
    """Return a local optimum in the box (its lower and its upper ends), and the sum of squares that it leaves."""

    def residual(p: Array) -> Array:
        return _project(to_log_sigma(p)[0], target)[1]

    def jacobian(p: Array) -> Array:
        log_sigma, chain = to_log_sigma(p)
        return _project(log_sigma, target)[2] @ chain

    # dogbox ends on a bound exactly; trf would only approach it.
    tolerances = dict.fromkeys(("ftol", "xtol", "gtol"), tolerance)
    found = least_squares(residual, start, jacobian, tuple(box), method="dogbox", **tolerances)
    return found.x, float(found.fun @ found.fun)


def _starts(target: Array, low: float, high: float, n: int = 40, most: int = 4) -> tuple[list[Array], list[Array]]:
    """Return log σ of one Gaussian and of two, where the error on a grid has its deepest minima."""
    k, log_sigma = len(target), np.linspace(low, high, n)
    line = np.diff(erf((np.arange(k + 1) - k / 2)[:, None] / (math.sqrt(2) * np.exp(log_sigma))), axis=0) / 2
    gram = (line.T @ line) ** 2  # both factors of the product are the same
    overlap = np.einsum("ya,yx,xa->a", line, target, line)
    own = np.diag(gram)
    alone = -(overlap**2) / own
    determinant = own[:, None] * own - gram**2
    apart = log_sigma > _nearest(log_sigma[:, None])[0]
    explained = overlap[:, None] ** 2 * own + own[:, None] * overlap**2 - 2 * gram * np.outer(overlap, overlap)
    both = np.full((n, n), np.inf)
    both[apart] = -explained[apart] / determinant[apart]

    def minima(error: Array) -> list[tuple[int, ...]]:
        places = np.argwhere((error <= minimum_filter(error, 3, mode="nearest")) & np.isfinite(error))
        return sorted((tuple(int(i) for i in place) for place in places), key=lambda i: float(error[i]))[:most]

    return [log_sigma[list(i)] for i in minima(alone)], [log_sigma[list(i)] for i in minima(both)]
