r"""Fit of a difference of Gaussians to a deconvolution kernel: the usual model of retinal ganglion cells.

References: Rodieck 1965; Enroth-Cugell and Robson 1966. Kernels have shape (k, k) with k odd, and their centre pixel is
kernel[k//2, k//2]. Kernels that whiten images whose power spectrum falls like f^-2 fall like r^-3 with the distance r
from the centre. No Gaussian does, so a difference of Gaussians describes the middle of such a kernel and misses its
tails, the more so the larger k is. :mod:`ndtools.numerics.kernel_profiles` measures kernels without assuming a shape.
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
Search = Callable[[Array], tuple[Array, Array]]  # maps search coordinates to log σ and its derivatives

SMALLEST_SIGMA = 0.05  # pixels: in double precision the centre pixel holds all the volume, as for any narrower one
SMALLEST_STEP = (1.1, 0.2)  # σ_s² >= (1.1·σ_c)² + 0.2²: closer Gaussians would only fit the derivative of a Gaussian
LARGEST_SIGMA = 1.0  # in units of k: a seventh of the volume lies inside the kernel, the rest is extrapolated


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
        Ratio V_s/V_c; 1 if the response to a uniform image is 0. nan if V_c is 0.
    residual : float
        Relative error ‖kernel − fit‖/‖kernel‖, in Frobenius norms.
    at_bound : bool
        Whether σ_c, σ_s or their distance is at the end of its range, and so not measured. The usual case is a centre
        of a single pixel. Then σ_c = 0.05 stands for every width too narrow to be told from 0, that is, up to
        ``center_limit``, and the other parameters are valid. If σ_s² = (1.1·σ_c)² + 0.2², only the difference of the
        volumes has a meaning. Also true if one Gaussian suffices: then V_s is 0, and σ_s, at its upper end k, has no
        meaning.
    residual_off_center : float or None
        Relative error ‖kernel − fit‖/‖kernel‖ over all pixels but the centre, which outweighs them and is always
        fitted. 1 if the fit explains none of them; None if they are 0.
    center_bound, surround_bound : {"≤", "≥", None}
        Direction of the limit if σ_c or σ_s is at an end of its range: it is only known to be at most, or at least,
        the limit. None if it was measured.
    center_limit, surround_limit : float or None
        Limit in pixels: the σ farthest from the end of its range whose best fit is still no worse than noise would
        make it, by the criterion that put the fit at the end (see Notes of `fit_difference_of_gaussians`). None if σ
        was measured, and for the surround if one Gaussian suffices.
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
        gaussians, _ = _gaussians(np.log([self.center_sigma, self.surround_sigma]), k)
        fit: Array = gaussians @ np.array([self.center_volume, -self.surround_volume])
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


def fit_difference_of_gaussians(kernel: ArrayLike) -> DifferenceOfGaussians:
    """Fit two concentric Gaussians to a kernel by least squares.

    Parameters
    ----------
    kernel : array of shape (k, k)
        Kernel of either polarity, with k odd and at least 5. The nine pixels of a 3×3 kernel lie at only three
        distances from the centre, which four parameters fit in many ways.

    Returns
    -------
    DifferenceOfGaussians
        Best fit with all σ in [0.05, k] pixels and σ_s² at least (1.1·σ_c)² + 0.2². A parameter is at the end of its
        range if the best fit is there, or if a fit there is no worse than noise would make it (see Notes).

    Raises
    ------
    ValueError
        If the kernel is zero everywhere, not finite, or not of this shape.

    Notes
    -----
    The method is variable projection (Golub and Pereyra 1973): for given σ the volumes solve a linear problem, so the
    search is over log σ only. It starts on a grid and continues from the deepest minima by Gauss-Newton, with Kaufman's
    Jacobian −P·∂Φ·V (P projects out the Gaussians Φ). There is no offset, and all pixels have the same weight. The
    centre dominates, because errors are squared.

    A fit at a bound has one parameter less. It is preferred if its sum of squares exceeds the least one by at most
    4 s². One Gaussian alone has two parameters less, and is preferred up to 8 s². Here s² = least/(k² − 4) would be the
    variance of white noise in the kernel, so the threshold is two standard errors. The residual of a real kernel is
    misfit rather than noise; s² is therefore too large, and the test is cautious. The limit of a σ is how far it may be
    from the bound by the same test.

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
    low, high = math.log(SMALLEST_SIGMA), math.log(LARGEST_SIGMA * k)

    def pair(p: Array) -> tuple[Array, Array]:
        """Map coordinates in a box to log σ and its derivatives; σ_c < σ_s then needs no constraint."""
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

    # The residual is taken for noise: a parameter counts as measured if fixing it costs more than 2 standard errors.
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
    residual = target.ravel() - _gaussians(log_sigma, k)[0] @ volumes
    off_center = np.delete(np.stack([residual, target.ravel()]), k * k // 2, axis=1)
    residual_off, target_off = np.linalg.norm(off_center, axis=1)
    is_end = [bool(abs(a - b) < ROUNDING) for a, b in zip(log_sigma, (low, _nearest(log_sigma[0])[0]), strict=True)]
    is_top = [bool(abs(a - b) < ROUNDING) for a, b in zip(log_sigma, (highest, high), strict=True)]
    bounds = ["≤" if end else "≥" if top else None for end, top in zip(is_end, is_top, strict=True)]

    def excess(i: int, value: float) -> float:
        """Return the sum of squares of the best fit with a given log σ_i, less what is allowed."""
        if suffices:
            return _squares(target, np.array([value])) - allowed - 4 * noise
        box = (low, _widest(value)) if i else (float(_nearest(value)[0]), high)
        if box[1] - box[0] < ROUNDING:  # σ_i is at the end of its range, where the other σ has one value only
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
        residual=float(np.linalg.norm(residual) / np.linalg.norm(target)),
        at_bound=at_bound,
        residual_off_center=float(residual_off / target_off) if target_off else None,
        center_bound=bounds[0],
        surround_bound=bounds[1],
        center_limit=limits[0],
        surround_limit=limits[1],
    )


def _limit(excess: Callable[[float], float], ends: tuple[float, float], at: float, bound: str) -> float:
    """Return the largest (``bound`` "≤") or smallest σ that is reached from log σ = ``at`` without ``excess`` > 0."""
    far = ends[1] if bound == "≤" else ends[0]
    if excess(far) <= 0:
        return math.exp(far)
    if excess(at) >= 0:  # only by rounding: the fit itself has no excess
        return math.exp(at)
    return math.exp(brentq(excess, at, far, xtol=1e-3))  # limits are shown to two digits


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
    """Return the best coefficients of Gaussians, the residual of ``target``, and the residual's Jacobian by log σ."""
    gaussians, derivatives = _gaussians(log_sigma, len(target))
    q, r = np.linalg.qr(gaussians)
    flat = target.ravel()
    along = q.T @ flat
    volumes: Array = solve_triangular(r, along)
    change = derivatives * volumes
    return volumes, flat - q @ along, q @ (q.T @ change) - change


def _squares(target: Array, log_sigma: Array) -> float:
    """Return the least sum of squared residuals for Gaussians of given widths."""
    residual = _project(log_sigma, target)[1]
    return float(residual @ residual)


def _refine(
    target: Array, start: Array, box: Array, to_log_sigma: Search, tolerance: float = 1e-15
) -> tuple[Array, float]:
    """Return a local optimum in a box (rows: lower and upper ends), and its sum of squared residuals."""

    def residual(p: Array) -> Array:
        return _project(to_log_sigma(p)[0], target)[1]

    def jacobian(p: Array) -> Array:
        log_sigma, chain = to_log_sigma(p)
        return _project(log_sigma, target)[2] @ chain

    # Method "dogbox" ends on a bound exactly; "trf" would only approach it.
    tolerances = dict.fromkeys(("ftol", "xtol", "gtol"), tolerance)
    optimum = least_squares(residual, start, jacobian, tuple(box), method="dogbox", **tolerances)
    return optimum.x, float(optimum.fun @ optimum.fun)


def _starts(target: Array, low: float, high: float, n: int = 40, most: int = 4) -> tuple[list[Array], list[Array]]:
    """Return log σ of one Gaussian, and of two, at the deepest minima of the error on a grid."""
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
