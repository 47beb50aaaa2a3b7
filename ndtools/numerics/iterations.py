r"""Iterations towards the inverse square root, without checks of the matrix or of the result.

All of them act on A/‖A‖ and yield Z with D = Z/√‖A‖ ≈ A^(-1/2). The eigenvalues x of A/‖A‖ lie in (0, 1], because
‖A‖ >= λ_max (Frobenius norm, trace). In exact arithmetic each iteration acts on every eigenvalue alone, by a recurrence
z ← z·h(x z²) from z = 1, where h may change from step to step. The limit is x^(-1/2).

Newton-Schulz, in whichever form, has h(m) = (3 − m)/2, and z rises monotonically. A fixed number n of iterations
therefore whitens partially: all eigenvalues far below ‖A‖·1.5^(−2n) are amplified alike, by 1.5^n/√‖A‖
(n = 5: below ‖A‖/58). Along an eigenvector, the standard deviation becomes the gain √x·z_n(x): 1 is white. Other
polynomials h are in :mod:`ndtools.numerics.schedules`.

The forms differ in floating point. The coupled iteration carries Y ≈ A Z along, which corrects the effect of rounding
on Z. The vanilla iteration has no such correction, and its errors grow (:mod:`ndtools.numerics.stability`). The Gram
iteration carries M ≈ Z A Z along: it converges to I whatever happened to Z, whose errors stay as they are.

References: Higham 2008, *Functions of Matrices*, eq. 6.35 (coupled), 7.12 (vanilla), and Cheng, Higham, Kenney and
Laub 2001 (product form of Denman-Beavers), with the scaling of Byers and Xu 2008. Ye et al. 2020, sec. 4.5.3, A.2,
A.8. Amsel et al. 2025, *The Polar Express* (the best polynomial in each step makes the best composition). Zhang, Amsel,
Chen and Dao 2026, *Gram Newton-Schulz*, https://dao-lab.ai/blog/2026/gram-newton-schulz (with restarts).
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ndtools.errors import OptionError
from ndtools.numerics.schedules import SIMPLE, Coefficients, check_rows, steps_of

__all__ = [
    "CoupledChebyshev",
    "CoupledNewtonSchulz",
    "DenmanBeavers",
    "GramNewtonSchulz",
    "Iteration",
    "Norm",
    "RestartForm",
    "VanillaNewtonSchulz",
    "iterates",
    "norms",
    "polynomial",
]

Norm = Literal["fro", "trace"]
RestartForm = Literal["zazt", "zaz"]
N_ITER = 15  # Ye et al. 2020, A.2, for the first layer; 5 for the others


@dataclass(frozen=True, kw_only=True)
class Iteration:
    """Base of all iterations, with the settings that they share.

    Attributes
    ----------
    n_iter : int
        Number of iterations, at least 1.
    norm : {"fro", "trace"}
        Norm ‖A‖ that A is divided by: Frobenius norm (default) or trace.
    """

    n_iter: int = N_ITER
    norm: Norm = "fro"

    def __post_init__(self) -> None:
        if self.n_iter < 1:
            raise OptionError("iterations", f"must be at least 1, got {self.n_iter}")
        if self.norm not in {"fro", "trace"}:
            raise OptionError("norm", f"must be 'fro' or 'trace', got {self.norm!r}")

    def steps(self, a: Tensor) -> Iterator[Tensor]:
        """Yield Z after iteration 1, 2, ..., ``n_iter`` for normalised ``a`` of shape (..., d, d), in its dtype."""
        raise NotImplementedError

    def products(self, iteration: int) -> int:
        """Return the number of matrix products up to an iteration.

        Parameters
        ----------
        iteration : int
            Number of an iteration, counted from 1.

        Returns
        -------
        int
            Number of products of d×d matrices in iterations 1 to ``iteration``. An inverse counts as one: it has as
            many operations, but takes several times as long.
        """
        return 3 * (iteration - 1)


@dataclass(frozen=True, kw_only=True)
class _Scheduled(Iteration):
    coefficients: Coefficients = SIMPLE

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rows(self.coefficients)

    def products(self, iteration: int) -> int:  # noqa: D102
        rows = self.coefficients[:iteration]
        repeated = iteration - len(rows)  # of the last row
        powers = sum(len(row) - 2 for row in rows) + repeated * (len(self.coefficients[-1]) - 2)  # M² and higher
        return super().products(iteration) + powers


@dataclass(frozen=True, kw_only=True)
class CoupledNewtonSchulz(_Scheduled):
    """Coupled Newton-Schulz iteration, numerically stable.

    Y = A/‖A‖, Z = I; then ``n_iter`` times T = (3I − Z Y)/2, Y ← Y T, Z ← T Z; D = Z/√‖A‖. ``norm`` chooses
    ‖A‖: Frobenius norm or trace. Convergence takes about ln(‖A‖/λ_min)/(2 ln 1.5) + 4 iterations.

    Attributes
    ----------
    coefficients : tuple of tuple of float
        Coefficients (q_0, q_1, ...) of T = q_0 I + q_1 Z Y + q_2 (Z Y)² + ... in iteration 1, 2, ...; the last row
        repeats. Default: (3I − Z Y)/2. Published ones are in :mod:`ndtools.numerics.schedules`.
    """

    def steps(self, a: Tensor) -> Iterator[Tensor]:  # noqa: D102
        return _coupled(a, steps_of(self.coefficients, self.n_iter))


@dataclass(frozen=True, kw_only=True)
class GramNewtonSchulz(_Scheduled):
    """Newton-Schulz iteration on M = Z A Z/‖A‖, which converges to I: Muon's Gram Newton-Schulz, ND++'s inverse Newton.

    M = A/‖A‖, Z = I; then ``n_iter`` times T = (3I − M)/2, Z ← T Z, M ← T M T; D = Z/√‖A‖. It takes as many products
    as the coupled iteration, which it equals in exact arithmetic. Rounding errors of Z do not reach M and stay in Z.

    With ``restart``, M is computed afresh from Z and A before every ``restart`` iterations. The form Z A Zᵀ corrects
    the errors of Z, except rotations of D, which leave D A Dᵀ as it is. For a square A it takes the two products
    that T M T takes. With Z A Z, errors grow by :func:`ndtools.numerics.stability.restart_growth`, and with Z ← Z T
    (as in ND++, which does not restart) they grow for κ > 14.

    Attributes
    ----------
    coefficients : tuple of tuple of float
        Coefficients (q_0, q_1, ...) of T = q_0 I + q_1 M + q_2 M² + ... in iteration 1, 2, ...; the last row repeats.
        Default: (3I − M)/2. Published ones are in :mod:`ndtools.numerics.schedules`.
    restart : int, optional
        Number of iterations after which M is computed afresh, at least 1. Default: never.
    restart_form : {"zazt", "zaz"}
        Formula of the restart: Z A Zᵀ (default), or Z A Z, which is unstable unless A is nearly c·I.
    """

    restart: int | None = None
    restart_form: RestartForm = "zazt"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.restart is not None and self.restart < 1:
            raise OptionError("restart", f"must be at least 1, got {self.restart}")
        if self.restart_form not in {"zazt", "zaz"}:
            raise OptionError("restart_form", f"must be 'zazt' or 'zaz', got {self.restart_form!r}")

    def steps(self, a: Tensor) -> Iterator[Tensor]:  # noqa: D102
        m = z = t = a
        for i, row in enumerate(steps_of(self.coefficients, self.n_iter)):
            if i and self.restart and i % self.restart == 0:
                m = z @ a @ (z.mT if self.restart_form == "zazt" else z)
            elif i:
                m = t @ m @ t  # T M Tᵀ would keep an antisymmetric error of M, which turns Z a little in each step
            t = polynomial(m, row)
            z = t @ z if i else t
            yield z


@dataclass(frozen=True, kw_only=True)
class VanillaNewtonSchulz(Iteration):
    """Vanilla (uncoupled) Newton-Schulz iteration, for comparison: unstable unless A is nearly c·I.

    Z = I; then ``n_iter`` times Z ← (3Z − Z³ A/‖A‖)/2; D = Z/√‖A‖, ``norm`` as above.
    """

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
        """Return ``lower``, raised to the machine epsilon: smaller numbers cannot be told from 0 in that precision."""
        return min(1.0, max(self.lower, torch.finfo(dtype).eps))


@dataclass(frozen=True, kw_only=True)
class CoupledChebyshev(_Bounded):
    """Coupled iteration of degree 5 with the best polynomial for the known range of the spectrum.

    It is coupled Newton-Schulz with T = p I + q M + r M², M = Z Y. Singular values σ = √(x z²) between l and u become
    σ(p + q σ² + r σ⁴), as near to 1 as such a polynomial can bring all of them (it attains its largest error four
    times with alternating sign, as Chebyshev found). That error gives the range [l, u] of the next iteration; the
    first range is [√``lower``, 1]. Each iteration takes one product more than Newton-Schulz, and a third as many
    iterations are needed.

    Attributes
    ----------
    lower : float
        Approximate λ_min/‖A‖, in (0, 1]. With a ridge eps, eps/‖A‖ is a lower bound of it. An error by a factor of
        ten, in either direction, costs about one iteration. A value that is much too low costs digits, too, since
        the eigenvalues are then spread before they are gathered (float32, κ = 10 and 1e-6: 5 times the residual).
        Values below the machine epsilon are raised to it.
    """

    def steps(self, a: Tensor) -> Iterator[Tensor]:  # noqa: D102
        return _coupled(a, self._rows(a.dtype))

    def products(self, iteration: int) -> int:  # noqa: D102
        return super().products(iteration) + iteration  # M²

    def _rows(self, dtype: torch.dtype) -> Iterator[tuple[float, ...]]:
        low, high = math.sqrt(self._lower(dtype)), 1.0
        for _ in range(self.n_iter):
            p, q, r, error = best_quintic(low, high)
            yield p, q, r
            low, high = low * (p + low**2 * (q + low**2 * r)), 1 + error


@dataclass(frozen=True, kw_only=True)
class DenmanBeavers(_Bounded):
    """Product form of the Denman-Beavers iteration, scaled; each iteration inverts a matrix.

    M = A/‖A‖, Z = I; then ``n_iter`` times Z ← (μZ + Z M⁻¹/μ)/2, M ← (2I + μ²M + M⁻¹/μ²)/4;
    D = Z/√‖A‖. If √m lies between l and u for all eigenvalues m of M, μ = (l u)^(−1/2) brings √m between 1 and
    (√(u/l) + √(l/u))/2. The first range [l, u] is [√``lower``, 1]. Up to κ = 1e16 the iteration takes 9 iterations.
    Only float32 and float64 are possible, as for matrix inverses in torch.

    Attributes
    ----------
    lower : float
        Approximate λ_min/‖A‖, in (0, 1]. An error by a factor of ten costs less than one iteration. Values below the
        machine epsilon are raised to it.
    """

    def products(self, iteration: int) -> int:  # noqa: D102
        return 2 * iteration - 1

    def steps(self, a: Tensor) -> Iterator[Tensor]:  # noqa: D102
        if a.dtype not in (torch.float32, torch.float64):
            raise OptionError("dtype", f"must be float32 or float64 for the Denman-Beavers iteration, got {a.dtype}")
        eye, m, z = _eye(a), a, _eye(a)
        low, high = math.sqrt(self._lower(a.dtype)), 1.0
        for i in range(self.n_iter):
            inverse, info = torch.linalg.inv_ex(m)
            inverse = inverse.where((info == 0)[..., None, None], torch.nan)  # NaN for a singular M
            scale = 1 / math.sqrt(low * high)
            z = (scale * z + (z @ inverse if i else inverse) / scale) / 2
            m = eye / 2 + (scale**2 * m + inverse / scale**2) / 4
            low, high = 1.0, (math.sqrt(high / low) + math.sqrt(low / high)) / 2
            yield z


def best_quintic(low: float, high: float) -> tuple[float, float, float, float]:
    """Return the odd polynomial of degree 5 that is nearest to 1 between two positive numbers (Remez' exchange).

    Parameters
    ----------
    low, high : float
        Ends of the interval, 0 < low <= high.

    Returns
    -------
    tuple of float
        Coefficients p, q, r of σ(p + q σ² + r σ⁴), and its largest distance from 1 on [low, high].
    """
    # On nearly a point, the linear system loses digits. The Taylor polynomial has four times the least error of 1e-7.
    if high - low < 1e-2 * high:
        center = (low + high) / 2
        width = (high - low) / (2 * center)
        return 15 / (8 * center), -5 / (4 * center**3), 3 / (8 * center**5), 5 / 2 * width**3
    inner, before = np.array([3 * low + high, low + 3 * high]) / 4, np.zeros(2)
    for _ in range(100):
        x = np.array([low, *inner, high])
        p, q, r, error = np.linalg.solve(np.stack([x, x**3, x**5, [1, -1, 1, -1]], axis=1), np.ones(4))
        if np.abs(inner - before).max() <= 1e-9 * high:  # an error e of x causes one of e² in the polynomial
            break
        before = inner
        # The next inner points are the zeros of the derivative p + 3q σ² + 5r σ⁴.
        root = math.sqrt(9 * q * q - 20 * p * r)
        inner = np.sqrt((-3 * q + np.array([-root, root])) / (10 * r))
    return float(p), float(q), float(r), float(error)


def norms(matrix: Tensor, kind: str) -> Tensor:
    """Return ‖A‖ of each matrix, summed in float64 so that nothing overflows and only one rounding occurs.

    Parameters
    ----------
    matrix : Tensor of shape (..., d, d)
        Matrices A of a floating dtype.
    kind : {"fro", "trace"}
        Norm to compute: Frobenius norm or trace.

    Returns
    -------
    Tensor of shape (...)
        Norm of each matrix, float64.
    """
    if kind == "fro":
        largest = matrix.detach().abs().amax((-2, -1), keepdim=True).double().clamp_min(torch.finfo(torch.float64).tiny)
        norm: Tensor = torch.linalg.vector_norm(matrix / largest, dim=(-2, -1), dtype=torch.float64)
        return norm * largest[..., 0, 0]
    return matrix.diagonal(dim1=-2, dim2=-1).sum(-1, dtype=torch.float64)


def iterates(matrix: Tensor, method: Iteration) -> Iterator[Tensor]:
    """Yield the approximations Z/√‖A‖ of A^(-1/2) after iteration 1, 2, ..., ``n_iter``.

    This is the bare recurrence in the dtype of ``matrix`` (..., d, d). Nothing is checked or synchronised, and NaN in
    gives NaN out. Consume it inside :func:`ndtools.numerics.inverse_sqrt.full_precision`, unless you study reduced
    precision.
    """
    norm = norms(matrix, method.norm)[..., None, None]
    scale = norm.sqrt().to(matrix.dtype)
    for z in method.steps((matrix / norm).to(matrix.dtype)):  # divided in float64, where the norm fits
        yield z / scale


def _coupled(a: Tensor, rows: Iterable[tuple[float, ...]]) -> Iterator[Tensor]:
    """Yield Z of the coupled iteration with these coefficients in its steps."""
    y = z = t = a
    for i, row in enumerate(rows):
        y = y @ t if i else a  # at the start of an iteration, because the last one needs no new Y afterwards
        t = polynomial(z @ y if i else a, row)
        z = t @ z if i else t
        yield z


def polynomial(m: Tensor, coefficients: tuple[float, ...]) -> Tensor:
    """Return q_0 I + q_1 M + q_2 M² + ... for a matrix M (..., d, d) and coefficients (q_0, q_1, ...)."""
    constant, linear, *further = coefficients
    total, power = constant * _eye(m) + linear * m, m
    for coefficient in further:
        power = power @ m
        total = total + coefficient * power
    return total


def _eye(a: Tensor) -> Tensor:
    return torch.eye(a.shape[-1], dtype=a.dtype, device=a.device)
