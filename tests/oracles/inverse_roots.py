"""Matrices of a given spectrum, and what Newton-Schulz iterations give for them by their eigenvalues, in float64."""

import math

import numpy as np
import scipy.linalg
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from tests.places import real
from tests.tolerance import rtol

Array = NDArray[np.float64]
# A real spectrum: the 27 eigenvalues of the covariance of 3x3x3 patches of a photograph on [0, 1], eps 1e-5.
SPECTRUM = np.array(
    [9.18351e-05, 0.000100867, 0.000112252, 0.000116913, 0.000136904, 0.000150123, 0.000156696, 0.00018393]
    + [0.000192049, 0.000228426, 0.000235862, 0.000300792, 0.000373355, 0.000410427, 0.000533206, 0.000613875]
    + [0.000759363, 0.00104929, 0.00108953, 0.0012904, 0.00259699, 0.00314598, 0.00594721, 0.00772004]
    + [0.0174948, 0.0733466, 0.763212]
)


def log_spaced(d: int, condition: float) -> Array:
    return np.logspace(0, -math.log10(condition), d)


def rotation(d: int, seed: int) -> Array:
    return scipy.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))[0]  # type: ignore[no-any-return]


def spd(spectrum: Array, seed: int = 0) -> Tensor:
    """Return a float64 matrix with that spectrum in a random orthogonal basis."""
    q = rotation(len(spectrum), seed)
    a = (q * spectrum) @ q.T
    return torch.from_numpy((a + a.T) / 2)


def inverse_root(a: Array) -> Array:
    """Return A^(-1/2) of a symmetric positive definite matrix by its eigenvalues."""
    values, vectors = np.linalg.eigh(a)
    return (vectors / np.sqrt(values)) @ vectors.T  # type: ignore[no-any-return]


def photograph_covariance() -> Tensor:
    """Covariance of the 3×3 patches of the photograph of the paper's figure 7, plus its ridge; skips without it."""
    with Image.open(real("lenna.png")) as file:
        pixels = np.asarray(file) / 255
    patches = np.lib.stride_tricks.sliding_window_view(pixels, (3, 3), axis=(0, 1)).reshape(-1, 27)
    return torch.from_numpy(np.cov(patches.T, bias=True) + 1e-5 * np.eye(27))


def scalar_iterates(x: Array, n_iter: int) -> Array:
    """Return z_0 ... z_n of the recurrence on normalised eigenvalues x: shape (n + 1, d)."""
    z = [np.ones_like(x)]
    for _ in range(n_iter):
        z.append(z[-1] * (3 - x * z[-1] ** 2) / 2)
    return np.stack(z)


def assert_stable(residual: dict[int, float], a: Tensor, dtype: torch.dtype) -> None:
    """Check that coupled iterations leave the residual of the recurrence on the exact eigenvalues, and rounding.

    Rounding at the solution is 4 eps cond(A) in each of d directions. Later iterations neither damp nor amplify it,
    so what each adds sums up like the steps of a random walk: as the root of their number, of which the 15 until
    convergence count as one.
    """
    values = np.linalg.eigvalsh(a.numpy())
    x = values / np.linalg.norm(values)
    z = scalar_iterates(x, 20)
    rounding = math.sqrt(len(a)) * rtol(dtype, values[-1] / values[0])
    for n, value in residual.items():
        exact = float(np.linalg.norm(z[n] ** 2 * x - 1)) if n <= 20 else 0.0
        assert abs(value - exact) <= rounding * max(1, math.sqrt(n / 15)), n


def newton_schulz_by_spectrum(a, n_iter):
    """A^(-1/2) after n coupled Newton-Schulz iterations: the scalar recurrence on the eigenvalues of a."""
    values, vectors = torch.linalg.eigh(a)
    norm = a.square().sum().sqrt()
    y, z = values / norm, torch.ones_like(values)
    for _ in range(n_iter):
        t = (3 - z * y) / 2
        y, z = y * t, z * t
    return (vectors * (z / norm.sqrt())) @ vectors.mT
