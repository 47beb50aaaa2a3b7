"""How uncertain kernels are, by resampling images."""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ndtools.errors import NumericalError, NumericalWarning
from ndtools.moments.resampling import correction, warn_of_groups
from ndtools.numerics.covariance import Covariance
from ndtools.numerics.inverse_sqrt import Method, inverse_sqrt
from ndtools.numerics.products import ridged
from ndtools.results.read import SavedResult, floats, optional_float
from ndtools.text import percent

__all__ = ["KernelBootstrap", "bootstrap_kernels"]

ORDERS = 8  # in which groups are added up
ROUNDING = 1e-12  # relative changes of kernels below this are none

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class KernelBootstrap:
    """The spread of kernels over images.

    Groups of images (dealt at random, or as they were put into files of moments) are drawn with replacement. If
    groups are of about equal size, and images in them are independent, the spread of their sums is that of as many
    images drawn one by one. With g groups it is √((g - 1)/g) too small, which is made up for.

    Attributes
    ----------
    replicates, groups, total : int
        Numbers of bootstrap replicates, of groups of images, and of images in all groups.
    failed : int
        Number of replicates and subsets that have no kernels, since their D does not exist; they are left out.
    error : array of shape (C, C, k, k)
        Standard error of each weight of the kernels. Not finite if fewer than two replicates have kernels.
    relative_error : float
        ‖error‖/‖kernels‖; 0 if nothing but rounding.
    per_image : float
        c = √N · ``relative_error`` for N images: kernels of n images differ by about c/√n from those of infinitely
        many, if n is large enough for that to be small.
    per_image_error : float
        Its standard error, from how the changes spread that each group's absence makes, and over replicates.
    images : array of shape (m,)
        Numbers of images in subsets: harmonic means, where groups differ in size.
    change : array of shape (m,)
        Root mean square of ‖K_n − K‖/‖K‖ for kernels K_n of n of the images and K of all of them.
    change_error : array of shape (m,)
        Its standard error, over the orders in which groups were added.
    settles_at : int or None
        From this of ``images`` on each ``change`` is that of ``per_image`` within two standard errors; with fewer
        images kernels change in other ways than in proportion. None if the last is not.
    samples : array of shape (replicates - failed, C, C, k, k)
        Kernels of replicates.
    """

    replicates: int
    groups: int
    total: int
    failed: int
    error: Array
    relative_error: float
    per_image: float
    per_image_error: float
    images: NDArray[np.int64]
    change: Array
    change_error: Array
    settles_at: int | None
    samples: Array = field(repr=False)

    def expected_change(self, images: Array) -> Array:
        """Return c·√(1/n − 1/N), by which kernels of n of the images differ from those of all N."""
        return _expected(self.per_image, images, self.total)

    def change_in_words(self, images: int) -> str:
        """Write c/√n with its standard error, in per cent of the kernels, for a number n of images."""
        scale = 1 / math.sqrt(images)
        return percent(scale * self.per_image, scale * self.per_image_error, digits=2)

    def arrays(self) -> dict[str, Array]:
        """Return the arrays of the .npz file by name."""
        return {"kernels_error": self.error, "kernels_samples": self.samples}

    def numbers(self) -> dict[str, Any]:
        """Return what the .json file holds of it."""
        return {name: value for name, value in vars(self).items() if name not in ("error", "samples")}

    @classmethod
    def from_saved(cls, saved: SavedResult) -> "KernelBootstrap":
        """Restore the bootstrap from the files of kernels."""
        values = dict(saved.numbers["bootstrap"])
        for name in ("relative_error", "per_image", "per_image_error"):
            values[name] = optional_float(values[name])
        for name in ("change", "change_error"):
            values[name] = floats(values[name])
        values["images"] = np.array(values["images"], dtype=np.int64)
        return cls(**values, error=saved.arrays["kernels_error"], samples=saved.arrays["kernels_samples"])

    def standard_error(self, values: Sequence[float]) -> float | None:
        """Return the standard error of what was measured of each of the samples; None if it is not finite of two."""
        finite = [value for value in values if math.isfinite(value)]
        return float(np.std(finite, ddof=1)) * correction(self.groups) if len(finite) > 1 else None


def bootstrap_kernels(
    parts: Sequence[Covariance],
    sizes: Sequence[int],
    *,
    eps: float,
    relative: bool = False,
    method: Method,
    replicates: int,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> KernelBootstrap:
    """Resample groups of images.

    Parameters
    ----------
    parts : sequence of Covariance
        Covariance of each group of images, at least two.
    sizes : sequence of int
        Images in each.
    eps : float
        Ridge added to the covariance.
    relative : bool
        Whether ``eps`` is in units of the mean variance, which is that of each resampled set by itself. Default False.
    method : Method
        Method of the inverse square root.
    replicates : int
        Number of bootstrap replicates, at least two.
    seed : int
        Seed of the random draws of groups.
    progress : callable, optional
        Told how many of how many kernels are done.

    Returns
    -------
    KernelBootstrap
        Standard errors, and how kernels settle as images are added.

    Warns
    -----
    NumericalWarning
        If there are few groups, or of very different sizes, or resampled sets have no kernels.
    """
    warn_of_groups(sizes)
    rng, count = np.random.default_rng(seed), len(parts)
    steps = np.unique(np.geomspace(1, count, 1 + int(np.ceil(np.log2(count)))).round().astype(int))[:-1]
    orders = ORDERS if count > 2 else 2  # all there are
    total = 1 + replicates + count + orders * len(steps)
    kernels = _Resampler(parts, (eps, relative), method, total, progress)
    whole = kernels.of(np.ones(count, dtype=int), needed=True)
    size = float(np.linalg.norm(whole))
    samples = np.stack([kernels.of(w) for w in rng.multinomial(count, np.full(count, 1 / count), replicates)])
    samples = samples[np.isfinite(samples).all((1, 2, 3, 4))]
    error = np.full_like(whole, math.nan)
    if len(samples) > 1:
        error = np.std(samples, axis=0, ddof=1) * correction(count)
    relative_error = float(np.linalg.norm(error)) / size
    if relative_error < ROUNDING:
        relative_error = 0.0
    without = np.stack([kernels.of(1 - row) for row in np.eye(count, dtype=int)])
    spread = math.hypot(_relative_spread(without), _relative_spread(samples))
    images, change, change_error = _settling(kernels, whole, np.asarray(sizes), steps, orders, rng)
    per_image = relative_error * math.sqrt(sum(sizes))
    expected = _expected(per_image, images, sum(sizes))
    apart = np.abs(change - expected) > 2 * np.hypot(change_error, spread * expected)
    first = np.flatnonzero(apart)[-1] + 1 if apart.any() else 0
    settled = first < len(images) and math.isfinite(relative_error)
    kernels.warn()
    return KernelBootstrap(
        replicates=replicates,
        groups=count,
        total=sum(sizes),
        failed=kernels.failed,
        error=error,
        relative_error=relative_error,
        per_image=per_image,
        per_image_error=per_image * spread,
        images=images.round().astype(int),
        change=change,
        change_error=change_error,
        settles_at=int(images[first].round()) if settled else None,
        samples=samples,
    )


class _Resampler:
    """Kernels of groups of images, some of them more than once or not at all."""

    def __init__(
        self,
        parts: Sequence[Covariance],
        ridge: tuple[float, bool],
        method: Method,
        total: int,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self.parts, self.method, self.total, self.progress = parts, method, total, progress
        self.eps, self.relative = ridge
        self.done = self.failed = 0

    def of(self, weights: NDArray[np.int64], *, needed: bool = False) -> Array:
        """Return the kernels (C, C, k, k), not finite where there are none, unless they are ``needed``."""
        c, (ky, kx) = self.parts[0].channels, self.parts[0].kernel_size
        self.done += 1
        if self.progress:
            self.progress(self.done, self.total)
        try:
            pooled = Covariance.pooled(self.parts, weights.tolist())
            eps = self.eps * pooled.mean_variance if self.relative else self.eps
            root = inverse_sqrt(ridged(pooled.matrix, eps), self.method).matrix
        except NumericalError:
            if needed:
                raise
            self.failed += 1
            return np.full((c, c, ky, kx), math.nan)
        kernels: Array = root.view(c, ky, kx, c, ky, kx)[:, ky // 2, kx // 2].numpy()
        return kernels

    def warn(self) -> None:
        """Say so if some had no kernels."""
        if self.failed:
            warnings.warn(
                f"{self.failed} of {self.done} resampled sets of images have no kernels, and are left out: "
                "errors are too small; take a larger eps",
                NumericalWarning,
                stacklevel=3,
            )


def _settling(
    kernels: _Resampler,
    whole: Array,
    sizes: NDArray[np.int64],
    steps: NDArray[np.int64],
    orders: int,
    rng: np.random.Generator,
) -> tuple[Array, Array, Array]:
    """Return numbers of images, how far their kernels are from all images' ones, and the standard error of that."""
    count, size = len(sizes), float(np.linalg.norm(whole))
    squares, inverse = np.zeros((orders, len(steps))), np.zeros((orders, len(steps)))
    for order in range(orders):
        places = np.roll(np.arange(count), order) if count == 2 else rng.permutation(count)
        for i, step in enumerate(steps):
            weights = np.isin(np.arange(count), places[:step]).astype(int)
            squares[order, i] = (np.linalg.norm(kernels.of(weights) - whole) / size) ** 2
            inverse[order, i] = 1 / (weights @ sizes)  # what the square of a change goes with
    found = np.isfinite(squares)
    kept = found.any(0)
    squares, found, inverse = squares[:, kept], found[:, kept], inverse[:, kept]
    squares[~found | (squares < ROUNDING**2)] = 0
    many = found.sum(0)
    mean = squares.sum(0) / many
    variance = (np.square(squares - mean) * found).sum(0) / np.maximum(many - 1, 1) / many
    change = np.sqrt(mean)
    error = np.divide(np.sqrt(variance), 2 * change, out=np.zeros_like(change), where=change > 0)
    return 1 / inverse.mean(0), change, error


def _expected(per_image: float, images: Array, total: int) -> Array:
    return per_image * np.sqrt(np.maximum(0, 1 / images - 1 / total))


def _relative_spread(kernels: Array) -> float:
    """Return the relative standard error of the root mean square of ‖K - mean‖ over some kernels."""
    kernels = kernels[np.isfinite(kernels).all((1, 2, 3, 4))]
    if len(kernels) < 2:
        return math.nan
    squares = np.square(kernels - kernels.mean(0)).sum((1, 2, 3, 4))
    return float(squares.std(ddof=1) / (2 * squares.mean() * math.sqrt(len(squares)))) if squares.any() else 0.0
