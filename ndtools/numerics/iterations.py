r"""Iterations towards the inverse square root: what they are, not whether their result is any good.

All act on A/‖A‖, whose eigenvalues x lie in (0, 1] as ‖A‖ >= λ_max (Frobenius norm, trace), and yield Z
with D = Z/√‖A‖ ≈ A^(-1/2). In exact arithmetic each works on every eigenvalue alone: a recurrence
z ← z·h(x z²) from z = 1, h perhaps another in each step, whose limit is x^(-1/2).

Newton-Schulz, coupled or vanilla, has h(m) = (3 − m)/2: z rises monotonically. A fixed number n of iterations
therefore whitens partially: eigenvalues far below ‖A‖·1.5^(−2n) are all amplified alike, by 1.5^n/√‖A‖
(n = 5: below ‖A‖/58). The gain √x·z_n(x) is what an eigenvalue's standard deviation becomes: 1 is white.

The two differ in floating point. In the coupled one, Y ≈ A Z is carried along and corrects what rounding
does to Z; the vanilla one forgets its errors' origin, and they grow (:mod:`ndtools.numerics.stability`).

References: Higham 2008, *Functions of Matrices*, eq. 6.35 (coupled), 7.12 (vanilla), and Cheng, Higham, Kenney and
Laub 2001 (product form of Denman-Beavers), with the scaling of Byers and Xu 2008. Ye et al. 2020, sec. 4.5.3, A.2,
A.8. Amsel et al. 2025, *The Polar Express* (the best polynomial in each step makes the best composition).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from ndtools.errors import OptionError

__all__ = [
    "CoupledChebyshev",
    "CoupledNewtonSchulz",
    "DenmanBeavers",
    "Iteration",
    "Norm",
    "VanillaNewtonSchulz",
    "iterates",
    "norms",
]

Norm = Literal["fro", "trace"]
N_ITER = 15  # Ye et al. 2020, A.2, for the first layer; 5 for the others


@dataclass(frozen=True, kw_only=True)
class Iteration:
    """What the iterations have in common.

    Attributes
    ----------
    n_iter : int
        How many.
    norm : {"fro", "trace"}
        ‖A‖: Frobenius norm or trace.
    """

    PRODUCTS: ClassVar[tuple[int, int]]
    """Products of d×d matrices in the first and in each further iteration; an inverse counts as one (it has as many
    operations, which take several times as long)."""

    n_iter: int = N_ITER
    norm: Norm = "fro"

    def __post_init__(self) -> None:
        if self.n_iter < 1:
            raise OptionError("iterations", f"must be at least 1, got {self.n_iter}")
        if self.norm not in {"fro", "trace"}:
            raise OptionError("norm", f"must be 'fro' or 'trace', got {self.norm!r}")

    def steps(self, a: Tensor) -> Iterator[Tensor]:
        """Yield Z of iteration 1, 2, ..., ``n_iter`` for normalised ``a`` (..., d, d), in its dtype."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class CoupledNewtonSchulz(Iteration):
    """Coupled Newton-Schulz iteration, numerically stable.

    Y = A/‖A‖, Z = I; then ``n_iter`` times T = (3I − Z Y)/2, Y ← Y T, Z ← T Z; D = Z/√‖A‖. ``norm`` chooses
    ‖A‖: Frobenius norm or trace. To converge takes about ln(‖A‖/λ_min)/(2 ln 1.5) + 4 iterations.
    """

    PRODUCTS: ClassVar[tuple[int, int]] = (0, 3)

    def steps(self, a: Tensor) -> Iterator[Tensor]:  # noqa: D102
        eye = _eye(a)
        y = a
        z = t = (3 * eye - y) / 2
        yield z
        for _ in range(self.n_iter - 1):
            y = y @ t  # made when needed: the last iteration needs no new Y
            t = (3 * eye - z @ y) / 2
            z = t @ z
            yield z


@dataclass(frozen=True, kw_only=True)
class VanillaNewtonSchulz(Iteration):
    """Uncoupled iteration, unstable unless A is nearly a multiple of the identity; for comparison.

    Z = I; then ``n_iter`` times Z ← (3Z − Z³ A/‖A‖)/2; D = Z/√‖A‖, ``norm`` as above.
    """

    PRODUCTS: ClassVar[tuple[int, int]] = (0, 3)

    def steps(self, a: Tensor) -> Iterator[Tensor]:  # noqa: D102
        z = (3 * _eye(a) - a) / 2
        yield z
        for _ in range(self.n_iter - 1):
            z = (3 * z - z @ z @ z @ a) / 2
            yield z


@dataclass(frozen=True, kw_only=True)
class _Bounded(Iteration):
    n_iter: int = 10
    lower: float = 1e-5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.lower <= 1:
            raise OptionError("lower", f"must be above 0 and at most 1, got {self.lower}")

    def _lower(self, dtype: torch.dtype) -> float:
        """Return ``lower``, or the machine epsilon: what is less cannot be told from 0 in that precision."""
        return min(1.0, max(self.lower, torch.finfo(dtype).eps))


@dataclass(frozen=True, kw_only=True)
class CoupledChebyshev(_Bounded):
    """Coupled iteration of degree 5 whose polynomial is the best for what is known of the spectrum.

    As coupled Newton-Schulz, with T = p I + q M + r M², M = Z Y: on singular values σ = √(x z²) between
    l and u this makes σ(p + q σ² + r σ⁴), as near to 1 as any such polynomial can (it attains its largest
    error four times with changing sign, as Chebyshev found), and the next iteration knows by how much. It begins
    with [√``lower``, 1]. One product an iteration more than Newton-Schulz, and a third of the iterations.

    Attributes
    ----------
    lower : float
        About λ_min/‖A‖, above 0; with a ridge eps, eps/‖A‖ is a lower bound of that. Off by a factor of ten,
        in either direction, it costs about one iteration. Much too low it costs digits, too, since the
        eigenvalues are then spread before they are gathered (float32, κ = 10 and 1e-6: 5 times the residual).
        Taken as the machine epsilon at least.
    """

    PRODUCTS: ClassVar[tuple[int, int]] = (1, 4)

    def steps(self, a: Tensor) -> Iterator[Tensor]:  # noqa: D102
        eye, y = _eye(a), a
        z, low, high = eye, math.sqrt(self._lower(a.dtype)), 1.0
        for i in range(self.n_iter):
            p, q, r, error = best_quintic(low, high)
            low, high = low * (p + low**2 * (q + low**2 * r)), 1 + error
            m = z @ y if i else a
            t = p * eye + q * m + r * (m @ m)
            z = t @ z if i else t
            yield z
            y = y @ t if i + 1 < self.n_iter else y


@dataclass(frozen=True, kw_only=True)
class DenmanBeavers(_Bounded):
    """Product form of the Denman-Beavers iteration, scaled; inverts a matrix in each iteration.

    M = A/‖A‖, Z = I; then ``n_iter`` times Z ← (μZ + Z M⁻¹/μ)/2, M ← (2I + μ²M + M⁻¹/μ²)/4;
    D = Z/√‖A‖. With √m of all eigenvalues m of M between l and u, μ = (l u)^(−1/2) makes them lie between 1 and
    (√(u/l) + √(l/u))/2. It begins with [√``lower``, 1] and takes 9 iterations down to κ = 1e16. float32 and
    float64 only, as the inverse is.

    Attributes
    ----------
    lower : float
        About λ_min/‖A‖; off by a factor of ten it costs less than one iteration. Taken as the machine epsilon at
        least.
    """

    PRODUCTS: ClassVar[tuple[int, int]] = (1, 2)

    def steps(self, a: Tensor) -> Iterator[Tensor]:  # noqa: D102
        if a.dtype not in (torch.float32, torch.float64):
            raise OptionError("dtype", f"of the Denman-Beavers iteration must be float32 or float64, got {a.dtype}")
        eye, m, z = _eye(a), a, _eye(a)
        low, high = math.sqrt(self._lower(a.dtype)), 1.0
        for i in range(self.n_iter):
            inverse, info = torch.linalg.inv_ex(m)
            inverse = inverse.where((info == 0)[..., None, None], torch.nan)  # singular: lost, as by any iteration
            scale = 1 / math.sqrt(low * high)
            z = (scale * z + (z @ inverse if i else inverse) / scale) / 2
            m = eye / 2 + (scale**2 * m + inverse / scale**2) / 4
            low, high = 1.0, (math.sqrt(high / low) + math.sqrt(low / high)) / 2
            yield z


def best_quintic(low: float, high: float) -> tuple[float, float, float, float]:
    """Find the odd polynomial of degree 5 nearest to 1 between two positive numbers, by Remez' exchange.

    Parameters
    ----------
    low, high : float
        0 < low <= high.

    Returns
    -------
    tuple of float
        p, q, r of σ(p + q σ² + r σ⁴), and its largest distance from 1 on [low, high].
    """
    if high - low < 1e-2 * high:  # nearly a point, where solving loses digits: Taylor, with four times an error of 1e-7
        center = (low + high) / 2
        width = (high - low) / (2 * center)
        return 15 / (8 * center), -5 / (4 * center**3), 3 / (8 * center**5), 5 / 2 * width**3
    inner, before = np.array([3 * low + high, low + 3 * high]) / 4, np.zeros(2)
    for _ in range(100):
        x = np.array([low, *inner, high])
        p, q, r, error = np.linalg.solve(np.stack([x, x**3, x**5, [1, -1, 1, -1]], axis=1), np.ones(4))
        if np.abs(inner - before).max() <= 1e-9 * high:  # an error e of theirs makes one of e² in the polynomial
            break
        before = inner
        # Where the derivative p + 3q σ² + 5r σ⁴ vanishes.
        root = math.sqrt(9 * q * q - 20 * p * r)
        inner = np.sqrt((-3 * q + np.array([-root, root])) / (10 * r))
    return float(p), float(q), float(r), float(error)


def norms(matrix: Tensor, kind: str) -> Tensor:
    """Return ‖A‖ of each matrix, summed in float64: no overflow, and one rounding.

    Parameters
    ----------
    matrix : Tensor of shape (..., d, d)
        A.
    kind : {"fro", "trace"}
        Frobenius norm or trace.

    Returns
    -------
    Tensor of shape (...)
        float64.
    """
    if kind == "fro":
        largest = matrix.detach().abs().amax((-2, -1), keepdim=True).double().clamp_min(torch.finfo(torch.float64).tiny)
        norm: Tensor = torch.linalg.vector_norm(matrix / largest, dim=(-2, -1), dtype=torch.float64)
        return norm * largest[..., 0, 0]
    return matrix.diagonal(dim1=-2, dim2=-1).sum(-1, dtype=torch.float64)


def iterates(matrix: Tensor, method: Iteration) -> Iterator[Tensor]:
    """Yield the successive iterates of A^(-1/2), Z/√‖A‖, after iteration 1, 2, ..., ``n_iter``.

    The bare recurrence in the dtype of ``matrix`` (..., d, d): nothing is checked or synchronised, NaN in
    gives NaN out. Consume it inside :func:`ndtools.numerics.inverse_sqrt.full_precision` unless reduced precision
    is what you study.
    """
    norm = norms(matrix, method.norm)[..., None, None]
    scale = norm.sqrt().to(matrix.dtype)
    for z in method.steps((matrix / norm).to(matrix.dtype)):  # divided in float64, in which the norm fits
        yield z / scale


def _eye(a: Tensor) -> Tensor:
    return torch.eye(a.shape[-1], dtype=a.dtype, device=a.device)
