r"""Least squares of two concentric Gaussians: the searches behind a difference of Gaussians and its intervals.

The Gaussians are integrated over pixels. For given widths, the best volumes solve a linear problem, so that searches
are over the logarithms of the two widths only (variable projection, Golub and Pereyra 1973).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import minimum_filter
from scipy.optimize import least_squares
from scipy.special import erf

from ndtools.numerics.kernel_profiles import ROUNDING

__all__ = ["FREE", "ONE", "GaussianPairs", "Held", "Optimum", "Volumes", "gaussians", "held_ratio", "held_volume"]

Array = NDArray[np.float64]
Held = tuple[float | None, float | None]  # log σ_c and log σ_s if they are not to be searched for
Coordinates = Callable[[Array], tuple[Array, Array]]  # maps search coordinates to log σ and its derivatives

SMALLEST_SIGMA = 0.05  # pixels: in double precision the centre pixel holds all the volume, as for any narrower one
SMALLEST_STEP = (1.1, 0.2)  # σ_s² >= (1.1·σ_c)² + 0.2²: closer Gaussians would only fit the derivative of a Gaussian
LARGEST_SIGMA = 1.0  # in units of k: a seventh of the volume lies inside the kernel, the rest is extrapolated
GRID = 40  # widths of the grid on which searches start
STARTS = 4  # of a search at most: the deepest minima on the grid
SIGNS = np.array([1.0, -1.0])  # the second Gaussian is subtracted


@dataclass(frozen=True, eq=False)
class Volumes:
    """Volumes (V_c, V_s) that a fit may choose from: offset + basis·z for any z.

    Attributes
    ----------
    offset : array of shape (2,)
        Volumes for z = 0.
    basis : array of shape (2, m)
        Directions in which the volumes are free.
    """

    offset: Array
    basis: Array


FREE = Volumes(np.zeros(2), np.eye(2))
ONE = Volumes(np.zeros(2), np.array([[1.0], [0.0]]))  # one Gaussian, without a surround


def held_volume(i: int, value: float, among: Volumes = FREE) -> Volumes:
    """Hold V_c (i = 0) or V_s (i = 1) at a value; the other one stays as free as it is ``among`` some volumes."""
    kept = np.array([column for column in among.basis.T if not column[i]]).reshape(-1, 2).T
    return Volumes(value * np.eye(2)[i], kept)


def held_ratio(value: float) -> Volumes:
    """Hold V_s/V_c at a value."""
    return Volumes(np.zeros(2), np.array([[1.0], [value]]))


@dataclass(frozen=True, eq=False)
class Optimum:
    """Best fit of a search.

    Attributes
    ----------
    log_sigma : array of shape (2,)
        Logarithms of σ_c and σ_s in pixels.
    volumes : array of shape (2,)
        Volumes V_c and V_s.
    squares : float
        Sum of squared residuals.
    """

    log_sigma: Array
    volumes: Array
    squares: float


class GaussianPairs:
    """Pairs of Gaussians to be fitted to a kernel.

    Parameters
    ----------
    target : array of shape (k, k)
        Kernel with an odd side k.
    """

    def __init__(self, target: Array) -> None:
        self.target, self.k = target, len(target)
        self.low, self.high = math.log(SMALLEST_SIGMA), math.log(LARGEST_SIGMA * self.k)
        self.highest = self._widest(self.high)
        self.ranges = ((self.low, self.highest), (float(nearest(self.low)[0]), self.high))
        self.grid = np.linspace(self.low, self.high, GRID)
        line = _lines(self.grid, self.k)[0]
        gram = (line.T @ line) ** 2  # both factors of the product are the same
        own, overlap = np.diag(gram), np.einsum("ya,yx,xa->a", line, target, line)
        center, surround = (places.ravel() for places in np.indices((GRID, GRID)))
        cross = -gram.ravel()
        self._normal = np.stack([own[center], cross, cross, own[surround]], axis=1).reshape(-1, 2, 2)
        self._right = np.stack([overlap[center], -overlap[surround]], axis=1)
        self._apart = self.grid[surround] > nearest(self.grid[center])[0]
        self._energy = float((target * target).sum())

    def on_grid(self, volumes: Volumes) -> Array:
        """Return the least sum of squares for σ_c by row and σ_s by column; infinite where they are not permitted."""
        right = self._right - self._normal @ volumes.offset
        squares = self._energy - (self._right + right) @ volumes.offset
        if volumes.basis.size:
            normal = volumes.basis.T @ self._normal[self._apart] @ volumes.basis
            along = right[self._apart] @ volumes.basis
            squares[self._apart] -= (along * np.linalg.solve(normal, along[..., None])[..., 0]).sum(-1)
        squares[~self._apart] = np.inf
        return squares.reshape(GRID, GRID)

    def volumes_on_grid(self) -> Array:
        """Return the best volumes for σ_c by row and σ_s by column, (n, n, 2); nan where they are not permitted."""
        volumes = np.full((GRID * GRID, 2), np.nan)
        volumes[self._apart] = np.linalg.solve(self._normal[self._apart], self._right[self._apart, :, None])[..., 0]
        return volumes.reshape(GRID, GRID, 2)

    def starts(self, volumes: Volumes, held: Held = (None, None)) -> list[Array]:
        """Return log σ at the deepest minima on the grid, of which one may be held at a value."""
        squares = self.on_grid(volumes)
        for i, value in enumerate(held):
            if value is not None:  # only the row or column nearest to it
                place = int(np.abs(self.grid - value).argmin())
                others = np.delete(np.arange(GRID), place)
                squares[(others, slice(None)) if i == 0 else (slice(None), others)] = np.inf
        minimum = minimum_filter(squares, 3, mode="nearest")
        places = np.argwhere((squares <= minimum) & np.isfinite(squares))
        deepest = sorted(places.tolist(), key=lambda place: float(squares[tuple(place)]))[:STARTS]
        return [self.grid[place] for place in deepest]

    def best(self, volumes: Volumes, starts: list[Array], tolerance: float = 1e-15) -> Optimum:
        """Return the best of the local optima that are reached from some starts, with both σ free."""
        found = [self.refine(volumes, start, tolerance=tolerance) for start in starts]
        return min(found, key=lambda optimum: optimum.squares)

    def best_single(self) -> Optimum:
        """Return the best fit of one Gaussian, with σ_s at its upper end, where it has no meaning."""
        squares = self._energy - self._right[::GRID, 0] ** 2 / self._normal[::GRID, 0, 0]
        minima = np.flatnonzero(squares <= minimum_filter(squares, 3, mode="nearest"))
        starts = self.grid[minima[np.argsort(squares[minima])][:STARTS]]
        found = (self.refine(ONE, np.array([start, self.high]), held=(None, self.high)) for start in starts)
        return min(found, key=lambda optimum: optimum.squares)

    def solve(self, volumes: Volumes, log_sigma: Array) -> tuple[Array, Array, Array]:
        """Return the best volumes for given widths, the residual, and its Jacobian by log σ (Kaufman 1975)."""
        shapes, derivatives = gaussians(log_sigma, self.k)
        shapes, derivatives = shapes * SIGNS, derivatives * SIGNS
        q, r = np.linalg.qr(shapes @ volumes.basis)
        rest = self.target.ravel() - shapes @ volumes.offset
        along = q.T @ rest
        solved: Array = volumes.offset + volumes.basis @ np.linalg.solve(r, along)
        change = derivatives * solved
        return solved, rest - q @ along, q @ (q.T @ change) - change

    def refine(
        self,
        volumes: Volumes,
        start: Array,
        *,
        held: Held = (None, None),
        tolerance: float = 1e-15,
    ) -> Optimum:
        """Return the local optimum that is reached from log σ = ``start``, of which some may be held at a value."""
        p, box, to_log_sigma = self._coordinates(start, held)

        @lru_cache(maxsize=1)  # the residual and its Jacobian are asked for one after the other
        def evaluated(p: tuple[float, ...]) -> tuple[Array, Array]:
            log_sigma, chain = to_log_sigma(np.array(p))
            _, rest, change = self.solve(volumes, log_sigma)
            return rest, change @ chain

        if len(p):
            # Method "dogbox" ends on a bound exactly; "trf" would only approach it.
            p = least_squares(
                lambda p: evaluated(tuple(p))[0],
                p,
                lambda p: evaluated(tuple(p))[1],
                tuple(box),
                method="dogbox",
                ftol=tolerance,
                xtol=tolerance,
                gtol=1e-15,  # absolute, where squares may be small
            ).x
        log_sigma = to_log_sigma(p)[0]
        solved, rest, _ = self.solve(volumes, log_sigma)
        return Optimum(log_sigma, solved, float(rest @ rest))

    def _coordinates(self, start: Array, held: Held) -> tuple[Array, Array, Coordinates]:
        """Return the start, the box (rows: lower and upper ends) and the meaning of search coordinates."""
        u, s = held
        if u is None and s is None:
            # log σ_c, and how far log σ_s is between its ends: the box then has no constraint between the two.
            def pair(p: Array) -> tuple[Array, Array]:
                least, change = nearest(p[0])
                slope = np.array([[1.0, 0.0], [(1 - p[1]) * change, self.high - least]])
                return np.array([p[0], least + p[1] * (self.high - least)]), slope

            box = np.array([[self.low, 0.0], [self.highest, 1.0]])
            least = nearest(start[0])[0]
            share = (start[1] - least) / (self.high - least) if self.high - least > ROUNDING else 0.0
            return np.clip([start[0], share], *box), box, pair
        if u is not None:
            i, ends, value = 1, (float(nearest(u)[0]), self.high), u
        else:
            assert s is not None
            i, ends, value = 0, (self.low, self._widest(s)), s
        if (u is not None and s is not None) or ends[1] - ends[0] < ROUNDING:  # nothing is left to search for
            fixed = np.array([u if u is not None else ends[0], s if s is not None else ends[0]])
            return np.empty(0), np.empty((2, 0)), lambda p: (fixed, np.empty((2, 0)))
        column = np.eye(2)[:, [i]]
        box = np.array(ends)[:, None]
        return np.clip(start[[i]], *box), box, lambda p: (np.insert(p, 1 - i, value), column)

    def _widest(self, s: float) -> float:
        """Return the largest log σ_c that log σ_s = s permits."""
        return math.log(math.sqrt(math.exp(2 * s) - SMALLEST_STEP[1] ** 2) / SMALLEST_STEP[0])


def nearest(u: Array | float) -> tuple[Array, Array]:
    """Return the smallest log σ_s that log σ_c = u permits, and its derivative."""
    square = (SMALLEST_STEP[0] * np.exp(u)) ** 2
    return np.log(square + SMALLEST_STEP[1] ** 2) / 2, square / (square + SMALLEST_STEP[1] ** 2)


def gaussians(log_sigma: Array, k: int) -> tuple[Array, Array]:
    """Return Gaussians of volume 1 on k×k pixels and their derivatives by log σ, as columns of (k², m) arrays."""
    line, slope = _lines(log_sigma, k)
    mixed = slope[:, None] * line
    return (line[:, None] * line).reshape(k * k, -1), (mixed + mixed.swapaxes(0, 1)).reshape(k * k, -1)


def _lines(log_sigma: Array, k: int) -> tuple[Array, Array]:
    """Return Gaussians of area 1 on k pixels and their derivatives by log σ, as columns of (k, m) arrays."""
    edges = (np.arange(k + 1) - k / 2)[:, None] / (math.sqrt(2) * np.exp(log_sigma))
    return np.diff(erf(edges), axis=0) / 2, np.diff(-edges * np.exp(-(edges**2)), axis=0) / math.sqrt(math.pi)
