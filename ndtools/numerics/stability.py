r"""Stability of iterations towards A^(-1/2) in floating point: residuals measured after each iteration, or predicted.

Let a rounding error E be added to Z in the vanilla recurrence Z ← (3Z − Z³X)/2, X = A/‖A‖. In the basis of the
eigenvectors, where Z = diag(z) and X = diag(x), the error becomes to first order

    e_ij ← g_ij e_ij,    g_ij = (3 − (z_i² + z_i z_j + z_j²) x_j)/2.

At the fixed point z = x^(-1/2), with r = x_j/x_i, this is g_ij = (2 − r − √r)/2 (Higham 2008, sec. 7.3 and 6.4.1).
The largest r = κ gives the growth per step (κ + √κ − 2)/2, which is below 1, that is stable, only for κ < 2.44. The
coupled iterations map their errors (E_Y, E_Z) by an idempotent at the fixed point, so errors do not grow at any κ.
Their errors level off at about eps·κ. They fail if that exceeds 1: then A is no longer positive definite to working
precision.

The Gram iteration Z ← T Z, M ← T M T maps errors of M to 0 and leaves those of Z alone. A restart M = Z A Zᵀ maps the
errors of Z by an idempotent: e_ij ← (e_ij − ρ e_ji)/2 with ρ² = x_i/x_j. What it leaves turns D and keeps D A Dᵀ:
‖D D A − I‖ may grow slowly while ‖D A Dᵀ − I‖ does not. With M = Z A Z it is e_ij ← e_ij (1 − ρ)/2 instead,
unstable for κ > 9. No iteration at which it overflows is predicted.

:func:`predict_vanilla` follows the variances of the errors from the first iteration to overflow:

* Every product P Q adds errors like those of independent roundings of its entries and of the d terms of each entry.
  Their variance is eps²/12·(⟨PQ⟩ + d⟨P⟩⟨Q⟩), where ⟨·⟩ is the mean square of the entries. It is spread evenly over the
  pairs of eigenvectors. This holds if eigenvectors have no zeros; a diagonal matrix stays diagonal and has no such
  errors.
* Errors grow by g_ij, evaluated at the current iterate of the exact recurrence.
* Once tr E² reaches the exact z², the cubic term takes over: the factor is g + tr(E²) x_max/2, and the number of digits
  of the error triples in each step. (tr E² is the sum of e_ij e_ji: the first column of E has grown, while the others
  have only gathered rounding.)
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ndtools.errors import MatrixError
from ndtools.numerics.inverse_sqrt import checked, full_precision
from ndtools.numerics.iterations import Iteration, norms
from ndtools.numerics.schedules import SIMPLE, Coefficients, steps_of

__all__ = [
    "Landmarks",
    "TraceRecord",
    "inverse_sqrt_trace",
    "predict_vanilla",
    "restart_growth",
    "spectral_gain",
    "vanilla_growth",
]


@dataclass(frozen=True, eq=False)
class TraceRecord:
    """State of an iteration towards A^(-1/2) after one of its steps.

    Attributes
    ----------
    iteration : int
        Number of the iteration, counted from 1.
    products : int
        Number of matrix products so far (an inverse counts as one).
    residual : float
        Residual ‖D·D·A − I‖_F, evaluated in float64 from the iterate and not divided by √d; inf or nan once D is not
        finite. It is 0 only for the symmetric square root.
    whitening_residual : float
        Residual ‖D·A·Dᵀ − I‖_F, evaluated likewise. It is 0 for every D that whitens, thus also for a rotated one.
    matrix : Tensor of shape (d, d)
        Approximation D of A^(-1/2), rescaled in float64.
    """

    iteration: int
    products: int
    residual: float
    whitening_residual: float
    matrix: Tensor


def inverse_sqrt_trace(
    matrix: Tensor, method: Iteration, n_iter: int | None = None, dtype: torch.dtype | None = None
) -> Iterator[TraceRecord]:
    """Follow an iteration towards A^(-1/2) in any precision.

    Parameters
    ----------
    matrix : Tensor of shape (d, d)
        Matrix A, symmetric positive definite to its own precision.
    method : Iteration
        Iteration to follow, e.g. :class:`ndtools.numerics.iterations.CoupledNewtonSchulz`.
    n_iter : int, optional
        Number of iterations; by default that of ``method``.
    dtype : torch.dtype, optional
        Precision of the iteration, which may be torch.float16 or torch.bfloat16: A/‖A‖ is rounded to it. By default
        that of ``matrix``.

    Returns
    -------
    iterator of TraceRecord
        Record after each iteration; it continues after the iteration has diverged.

    Raises
    ------
    MatrixError
        If the matrix is not square, symmetric or finite, or a batch.
    NotPositiveDefiniteError
        If it is not positive definite to its own precision.
    OptionError
        If ``n_iter`` is below 1.
    TypeError
        If ``matrix`` or ``dtype`` is not floating point.

    Examples
    --------
    >>> import ndtools as nd
    >>> a = torch.diag(torch.tensor([1.0, 0.01]))
    >>> for step in nd.inverse_sqrt_trace(a, nd.CoupledNewtonSchulz(), n_iter=3):
    ...     print(step.iteration, step.products, f"{step.residual:.3f}")
    1 0 0.978
    2 3 0.950
    3 6 0.892
    """
    if dtype is not None and not dtype.is_floating_point:
        raise TypeError(f"dtype must be a floating dtype, got {dtype}")
    if isinstance(matrix, Tensor) and matrix.dim() != 2:
        raise MatrixError(f"matrix must have shape (d, d), got {tuple(matrix.shape)}")
    a = checked(matrix)[0].double()
    method = method if n_iter is None else replace(method, n_iter=n_iter)
    return _trace(a, method, dtype or matrix.dtype)


def _trace(a: Tensor, method: Iteration, dtype: torch.dtype) -> Iterator[TraceRecord]:
    norm = norms(a, method.norm)
    eye = torch.eye(len(a), dtype=torch.float64, device=a.device)
    steps = method.steps((a / norm).to(dtype))
    for iteration in range(1, method.n_iter + 1):
        with full_precision(a.device):  # not across the yield, where the caller's code runs
            z = next(steps)
            d = z.double() / norm.sqrt()
            residual = torch.linalg.matrix_norm(d @ d @ a - eye).item()
            whitening = torch.linalg.matrix_norm(d @ a @ d.mT - eye).item()
        yield TraceRecord(iteration, method.products(iteration), residual, whitening, d)


@dataclass(frozen=True)
class Landmarks:
    """Turning points in a sequence of residuals; iterations are counted from 1, and None means that there is none.

    Attributes
    ----------
    best_residual : float or None
        Smallest residual of the sequence.
    best_iteration : int or None
        First iteration with the smallest residual.
    settled_iteration : int or None
        First iteration whose residual is at most twice the best; after it only rounding changes the residual.
    divergence_iteration : int or None
        First iteration after the best whose residual exceeds ten times the best.
    first_bad_iteration : int or None
        First iteration whose residual is not finite.
    """

    best_residual: float | None
    best_iteration: int | None
    settled_iteration: int | None
    divergence_iteration: int | None
    first_bad_iteration: int | None

    @classmethod
    def of(cls, residuals: Sequence[float] | NDArray[np.float64]) -> "Landmarks":
        """Find the turning points in a sequence of residuals.

        Parameters
        ----------
        residuals : sequence of float
            Residuals after iterations 1, 2, ...

        Returns
        -------
        Landmarks
            Turning points; all but the last are None if no residual is finite.
        """
        values = np.asarray(residuals, dtype=np.float64)
        bad = np.flatnonzero(~np.isfinite(values))
        first_bad = int(bad[0]) + 1 if len(bad) else None
        if len(bad) == len(values):
            return cls(None, None, None, None, first_bad)
        best = int(np.nanargmin(np.where(np.isfinite(values), values, np.nan)))
        settled = int(np.flatnonzero(values <= 2 * values[best])[0]) + 1
        worse = np.flatnonzero(~(values[best:] <= 10 * values[best]))
        diverged = best + int(worse[0]) + 1 if len(worse) else None
        return cls(float(values[best]), best + 1, settled, diverged, first_bad)


def vanilla_growth(condition: float) -> float:
    """Return the factor by which the vanilla iteration multiplies an error in each step near its solution.

    Parameters
    ----------
    condition : float
        Condition number κ of A, at least 1.

    Returns
    -------
    float
        Largest |2 − r − √r|/2 over ratios r of eigenvalues, 1/κ <= r <= κ. The iteration is unstable if it exceeds 1.
    """
    ratios = np.array([condition, 1 / condition])
    return float((np.abs(2 - ratios - np.sqrt(ratios)) / 2).max())


def restart_growth(condition: float) -> float:
    """Return the factor by which the Gram iteration multiplies an error at each restart with M = Z A Z.

    It holds near the solution, for coefficients that converge to it quadratically or faster. With M = Z A Zᵀ the
    factor is at most 1.

    Parameters
    ----------
    condition : float
        Condition number κ of A, at least 1.

    Returns
    -------
    float
        Largest |1 − ρ|/2 over 1/κ <= ρ² <= κ, which is (√κ − 1)/2. The iteration is unstable if it exceeds 1.
    """
    return (math.sqrt(condition) - 1) / 2


def predict_vanilla(
    eigenvalues: NDArray[np.float64], dtype: torch.dtype, n_iter: int, norm: str = "fro"
) -> NDArray[np.float64]:
    """Predict the residuals of the vanilla iteration from the spectrum and the precision alone.

    Parameters
    ----------
    eigenvalues : array of shape (d,)
        Eigenvalues of A, all positive.
    dtype : torch.dtype
        Precision of the iteration that is predicted.
    n_iter : int
        Number of iterations.
    norm : {"fro", "trace"}
        Norm that A is divided by.

    Returns
    -------
    array of shape (n_iter,)
        Expected ‖D·D·A − I‖_F (root mean square) for a matrix in general position, that is, not diagonal; inf once
        the iterate overflows.
    """
    x = eigenvalues / eigenvalues.max()  # so that the norm cannot overflow
    x = x / (np.linalg.norm(x) if norm == "fro" else x.sum())
    unit, largest = torch.finfo(dtype).eps ** 2 / 12, torch.finfo(dtype).max
    z = (3 - x) / 2
    variance = np.full((len(x), len(x)), unit * np.square(z).mean() / len(x))
    eye, of_x = np.eye(len(x)), np.square(x).mean() / len(x)

    def mean_square(exact: NDArray[np.float64], first_order: NDArray[np.float64] | float) -> float:
        """Return the mean square of the entries of diag(exact) + first_order·e, where e_ij has the current variance."""
        return float((eye * exact**2 + first_order**2 * variance).mean())

    residuals = np.full(n_iter, math.inf)
    residuals[0] = np.linalg.norm(z**2 * x - 1)
    with np.errstate(over="ignore", invalid="ignore"):
        for i in range(1, n_iter):
            zi, zj = z[:, None], z[None, :]
            square, cube = zi + zj, zi**2 + zi * zj + zj**2
            cubic = math.sqrt((variance * variance.T).sum()) * x.max() / 2  # with the root mean square of tr E²
            of_z, of_square, of_cube = mean_square(z, 1.0), mean_square(z**2, square), mean_square(z**3, cube)
            last = mean_square(z**3 * x, cube * x) + len(x) * of_cube * of_x
            added = (
                9 * of_z
                + (of_square + len(x) * of_z * of_z) * (zj * x) ** 2  # then multiplied by Z and X
                + (of_cube + len(x) * of_square * of_z) * x**2
                + last
            ) * (unit / 4)
            variance = (np.abs(3 - cube * x) / 2 + cubic) ** 2 * variance + added
            z = (3 * z - z**3 * x) / 2
            of_errors = (((z[:, None] + z[None, :]) * x) ** 2 * variance).sum()
            residual = math.sqrt(np.square(z**2 * x - 1).sum() + of_errors)
            if not (math.isfinite(residual) and math.sqrt(variance.max()) < largest):
                break
            residuals[i] = residual
    return residuals


def spectral_gain(x: NDArray[np.float64], n_iter: int, coefficients: Coefficients = SIMPLE) -> NDArray[np.float64]:
    """Return the gain of each eigenvalue after 1, ..., n iterations in exact arithmetic.

    Parameters
    ----------
    x : array of shape (m,)
        Eigenvalues divided by ‖A‖, in (0, 1].
    n_iter : int
        Number n of iterations.
    coefficients : Coefficients
        Coefficients (q_0, q_1, ...) of each iteration. Default: those of Newton-Schulz, (3/2, -1/2).

    Returns
    -------
    array of shape (n_iter, m)
        Gains g = √x·z after 1, ..., n iterations z ← z·q(x z²) from z = 1. A gain is the resulting standard deviation
        along an eigenvector; 1 is white.
    """
    z, gains = np.ones_like(x), []
    for row in steps_of(coefficients, n_iter):
        z = z * np.polynomial.polynomial.polyval(x * z**2, row)
        gains.append(np.sqrt(x) * z)
    return np.stack(gains)
