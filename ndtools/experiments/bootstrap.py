"""How uncertain kernels are, by resampling images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ndtools.numerics.covariance import Covariance
from ndtools.numerics.inverse_sqrt import Method, inverse_sqrt

__all__ = ["GROUPS", "KernelBootstrap", "bootstrap_kernels"]

GROUPS = 32  # of images at most: moments add up, so a group is read once and resampled as one
ORDERS = 8  # in which groups are added up


@dataclass(frozen=True, eq=False)
class KernelBootstrap:
    """The spread of kernels over images.

    Images are dealt into groups at random, and groups are drawn with replacement: the spread of their sums is that
    of as many images drawn one by one.

    Attributes
    ----------
    replicates, groups : int
        How many.
    error : array of shape (C, C, k, k)
        Standard error of each weight of the kernels: the standard deviation over replicates.
    relative_error : float
        ‖error‖/‖kernels‖.
    images : array of shape (m,)
        Numbers of images.
    change : array of shape (m,)
        Root mean square of ‖K_n − K‖/‖K‖ for kernels K_n of n of the images and K of all of them.
    per_image : float
        c of the fit c·√(1/n − 1/N) to ``change``, which sampling n of N independent images without replacement
        makes: kernels of n images differ by about c/√n from those of infinitely many.
    """

    replicates: int
    groups: int
    error: NDArray[np.float64]
    relative_error: float
    images: NDArray[np.int64]
    change: NDArray[np.float64]
    per_image: float

    def numbers(self) -> dict[str, Any]:
        """Return what the .json file holds of it."""
        return {name: value for name, value in vars(self).items() if name != "error"}


def bootstrap_kernels(
    parts: Sequence[Covariance],
    sizes: Sequence[int],
    *,
    eps: float,
    method: Method,
    replicates: int,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> KernelBootstrap:
    """Resample groups of images.

    Parameters
    ----------
    parts : sequence of Covariance
        Of each group, two at least.
    sizes : sequence of int
        Images in each.
    eps : float
        The ridge, absolute.
    method : Method
        Of the inverse square root.
    replicates : int
        How many, two at least.
    seed : int
        Of the draws.
    progress : callable, optional
        Told how many of how many kernels are done.

    Returns
    -------
    KernelBootstrap
        Standard errors, and how kernels settle as images are added.
    """
    rng = np.random.default_rng(seed)
    count, c = len(parts), parts[0].channels
    ky, kx = parts[0].kernel_size
    steps = np.unique(np.geomspace(1, count, 1 + int(np.ceil(np.log2(count)))).round().astype(int))[:-1]
    total, done = replicates + ORDERS * len(steps) + 1, 0

    def kernels(weights: NDArray[np.int64]) -> NDArray[np.float64]:
        nonlocal done
        matrix = Covariance.pooled(parts, weights.tolist()).matrix
        root = inverse_sqrt(matrix + eps * torch.eye(len(matrix), dtype=torch.float64), method).matrix
        done += 1
        if progress:
            progress(done, total)
        return root.view(c, ky, kx, c, ky, kx)[:, ky // 2, kx // 2].numpy()

    whole = kernels(np.ones(count, dtype=int))
    size = float(np.linalg.norm(whole))
    drawn = rng.multinomial(count, np.full(count, 1 / count), replicates)
    error = np.std([kernels(weights) for weights in drawn], axis=0, ddof=1)
    changes = np.zeros((ORDERS, len(steps)))
    images = np.zeros((ORDERS, len(steps)))
    for order in range(ORDERS):
        places = rng.permutation(count)
        for i, step in enumerate(steps):
            weights = np.isin(np.arange(count), places[:step]).astype(int)
            changes[order, i] = np.linalg.norm(kernels(weights) - whole) / size
            images[order, i] = weights @ np.asarray(sizes)
    change, n = np.sqrt(np.square(changes).mean(0)), images.mean(0)
    # Least squares of log change with slope 1 in log √(1/n − 1/N).
    root = np.sqrt(1 / n - 1 / sum(sizes))
    per_image = float(np.exp(np.log(change / root).mean())) if (change > 0).all() else 0.0
    return KernelBootstrap(
        replicates=replicates,
        groups=count,
        error=error,
        relative_error=float(np.linalg.norm(error)) / size,
        images=n.round().astype(int),
        change=change,
        per_image=per_image,
    )
