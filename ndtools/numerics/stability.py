r"""How iterations towards A^(-1/2) fare in floating point: measured iterate by iterate, and predicted.

Let a rounding error E be added to Z in the vanilla recurrence Z ← (3Z − Z³X)/2, X = A/‖A‖. In the basis of the
eigenvectors, where Z = diag(z) and X = diag(x), it becomes to first order

    e_ij ← g_ij e_ij,    g_ij = (3 − (z_i² + z_i z_j + z_j²) x_j)/2,

at the fixed point z = x^(-1/2), with r = x_j/x_i, g_ij = (2 − r − √r)/2 (Higham 2008, sec. 7.3 and 6.4.1). The
largest, r = κ, is the growth per step (κ + √κ − 2)/2: below 1, stable, only for κ < 2.44. The coupled
iterations map their errors (E_Y, E_Z) by an idempotent at the fixed point: no growth at any κ. They level off
at about eps·κ, and are lost where that exceeds 1: A is no longer positive definite to working precision.

:func:`predict_vanilla` follows the errors' variances from the first iteration to overflow:

* every product P Q adds errors like those of independent roundings, of its entries and of the d terms of
  each: variance eps²/12·(⟨PQ⟩ + d⟨P⟩⟨Q⟩), ⟨·⟩ the mean square of the entries, spread evenly over the pairs of
  eigenvectors. So it is if these have no zeros; a diagonal matrix stays diagonal, and is spared;
* they grow by g_ij, evaluated where the exact recurrence then is;
* once tr E² (that is, e_ij e_ji: the first column has grown as the others only gathered rounding) reaches the
  exact z², the cubic term takes over: factor g + tr(E²) x_max/2, and the digits triple in each step.
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

__all__ = ["Landmarks", "TraceRecord", "inverse_sqrt_trace", "predict_vanilla", "spectral_gain", "vanilla_growth"]


@dataclass(frozen=True, eq=False)
class TraceRecord:
    """One iterate.

    Attributes
    ----------
    iteration : int
        Counted from 1.
    products : int
        Matrix products made so far (an inverse counts as one).
    residual : float
        ‖D·D·A − I‖_F, evaluated in float64 from the iterate; not divided by √d. inf or nan once lost.
    matrix : Tensor of shape (d, d)
        D, rescaled in float64.
    """

    iteration: int
    products: int
    residual: float
    matrix: Tensor


def inverse_sqrt_trace(
    matrix: Tensor, method: Iteration, n_iter: int | None = None, dtype: torch.dtype | None = None
) -> Iterator[TraceRecord]:
    """Follow an iteration towards A^(-1/2) in any precision.

    Parameters
    ----------
    matrix : Tensor of shape (d, d)
        A, symmetric positive definite to its own precision.
    method : Iteration
        E.g. :class:`ndtools.numerics.iterations.CoupledNewtonSchulz`.
    n_iter : int, optional
        How many iterations; those of ``method`` by default.
    dtype : torch.dtype, optional
        In which to iterate, also torch.float16 or torch.bfloat16: A/‖A‖ is rounded to it. That of ``matrix`` by
        default.

    Returns
    -------
    iterator of TraceRecord
        After each iteration; also on, when it has diverged.

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
        raise MatrixError(f"matrix must be a single one, of shape (d, d), got {tuple(matrix.shape)}")
    a = checked(matrix)[0].double()
    method = method if n_iter is None else replace(method, n_iter=n_iter)
    return _trace(a, method, dtype or matrix.dtype)


def _trace(a: Tensor, method: Iteration, dtype: torch.dtype) -> Iterator[TraceRecord]:
    norm = norms(a, method.norm)
    eye = torch.eye(len(a), dtype=torch.float64, device=a.device)
    first, further = method.PRODUCTS
    steps = method.steps((a / norm).to(dtype))
    for iteration in range(1, method.n_iter + 1):
        with full_precision(a.device):  # not while the consumer has control
            z = next(steps)
            d = z.double() / norm.sqrt()
            residual = torch.linalg.matrix_norm(d @ d @ a - eye).item()
        yield TraceRecord(iteration, first + further * (iteration - 1), residual, d)


@dataclass(frozen=True)
class Landmarks:
    """Where a sequence of residuals turns, iterations counted from 1; None where it does not.

    Attributes
    ----------
    best_residual : float or None
        The smallest.
    best_iteration : int or None
        Where it is first attained.
    settled_iteration : int or None
        The first whose residual is at most twice the best: beyond, only rounding changes.
    divergence_iteration : int or None
        The first after the best whose residual exceeds ten times the best.
    first_bad_iteration : int or None
        The first whose residual is not finite.
    """

    best_residual: float | None
    best_iteration: int | None
    settled_iteration: int | None
    divergence_iteration: int | None
    first_bad_iteration: int | None

    @classmethod
    def of(cls, residuals: Sequence[float] | NDArray[np.float64]) -> "Landmarks":
        """Find them.

        Parameters
        ----------
        residuals : sequence of float
            Of iterations 1, 2, ...

        Returns
        -------
        Landmarks
            All None but the last, if no residual is finite.
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
    """Return by how much the vanilla iteration multiplies an error in each step near its solution.

    Parameters
    ----------
    condition : float
        κ of A, at least 1.

    Returns
    -------
    float
        Largest |2 − r − √r|/2 over ratios r of eigenvalues, 1/κ <= r <= κ; it is unstable above 1.
    """
    ratios = np.array([condition, 1 / condition])
    return float((np.abs(2 - ratios - np.sqrt(ratios)) / 2).max())


def predict_vanilla(
    eigenvalues: NDArray[np.float64], dtype: torch.dtype, n_iter: int, norm: str = "fro"
) -> NDArray[np.float64]:
    """Predict the residuals of the vanilla iteration from the spectrum and the precision alone.

    Parameters
    ----------
    eigenvalues : array of shape (d,)
        Of A, positive.
    dtype : torch.dtype
        In which it would iterate.
    n_iter : int
        Number of iterations.
    norm : {"fro", "trace"}
        What A is divided by.

    Returns
    -------
    array of shape (n_iter,)
        Expected ‖D·D·A − I‖_F (root of its mean square) of a matrix in generic position, not diagonal; inf from
        where the iterate overflows.
    """
    x = eigenvalues / eigenvalues.max()  # whose norm cannot overflow
    x = x / (np.linalg.norm(x) if norm == "fro" else x.sum())
    unit, largest = torch.finfo(dtype).eps ** 2 / 12, torch.finfo(dtype).max
    z = (3 - x) / 2
    variance = np.full((len(x), len(x)), unit * np.square(z).mean() / len(x))
    eye, of_x = np.eye(len(x)), np.square(x).mean() / len(x)

    def mean_square(exact: NDArray[np.float64], first_order: NDArray[np.float64] | float) -> float:
        """Of the entries of a matrix diag(exact) that depends on e_ij by ``first_order``."""
        return float((eye * exact**2 + first_order**2 * variance).mean())

    residuals = np.full(n_iter, math.inf)
    residuals[0] = np.linalg.norm(z**2 * x - 1)
    with np.errstate(over="ignore", invalid="ignore"):
        for i in range(1, n_iter):
            zi, zj = z[:, None], z[None, :]
            square, cube = zi + zj, zi**2 + zi * zj + zj**2
            cubic = math.sqrt((variance * variance.T).sum()) * x.max() / 2  # of tr E², its root mean square
            of_z, of_square, of_cube = mean_square(z, 1.0), mean_square(z**2, square), mean_square(z**3, cube)
            last = mean_square(z**3 * x, cube * x) + len(x) * of_cube * of_x
            added = (
                9 * of_z
                + (of_square + len(x) * of_z * of_z) * (zj * x) ** 2  # passes through Z and X yet
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


def spectral_gain(x: NDArray[np.float64], n_iter: int) -> NDArray[np.float64]:
    """Return what n Newton-Schulz iterations make of each eigenvalue, in exact arithmetic.

    Parameters
    ----------
    x : array of shape (m,)
        Eigenvalues divided by ‖A‖, in (0, 1].
    n_iter : int
        n.

    Returns
    -------
    array of shape (n_iter, m)
        √x·z after 1, ..., n iterations, z ← z(3 − x z²)/2 from 1: what the standard deviation along an
        eigenvector becomes. 1 is white.
    """
    z, gains = np.ones_like(x), []
    for _ in range(n_iter):
        z = z * (3 - x * z**2) / 2
        gains.append(np.sqrt(x) * z)
    return np.stack(gains)
