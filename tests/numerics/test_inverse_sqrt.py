"""Inverse square roots against scipy, the scalar recurrence, identities and closed forms."""

import math
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ndtools.errors import MatrixError, NotConvergedError, NotPositiveDefiniteError, OptionError
from ndtools.numerics.inverse_sqrt import Eigh, Method, full_precision, inverse_sqrt, method_from_name
from ndtools.numerics.iterations import (
    CoupledChebyshev,
    CoupledNewtonSchulz,
    DenmanBeavers,
    GramNewtonSchulz,
    VanillaNewtonSchulz,
    iterates,
)
from tests.oracles.inverse_roots import (
    SPECTRUM,
    Array,
    assert_stable,
    log_spaced,
    photograph_covariance,
    rotation,
    scalar_iterates,
    spd,
)
from tests.tolerance import rtol

F32, F64 = torch.float32, torch.float64
DTYPES = pytest.mark.parametrize("dtype", [F32, F64], ids=["float32", "float64"])
CONVERGED: list[Method] = [
    Eigh(),
    CoupledNewtonSchulz(n_iter=25),
    CoupledNewtonSchulz(n_iter=25, norm="trace"),
    CoupledChebyshev(n_iter=12, lower=1e-4),
    DenmanBeavers(n_iter=10),
]
METHODS = pytest.mark.parametrize(
    "method", CONVERGED, ids=["eigh", "coupled-fro", "coupled-trace", "chebyshev", "denman-beavers"]
)
bounded = settings(max_examples=40)
matrices = {
    "d": st.integers(2, 24),
    "condition": st.sampled_from([1e1, 1e2, 1e4]),
    "dtype": st.sampled_from([F32, F64]),
    "seed": st.integers(0, 2**32 - 1),
}


def of_matrix(a: Tensor, f: Callable[[Array], Array]) -> Tensor:
    """Return f(A) by scipy's eigendecomposition in float64: the oracle."""
    values, vectors = scipy.linalg.eigh(a.double().numpy())
    return torch.from_numpy((vectors * f(values)) @ vectors.T)


def exact(a: Tensor) -> Tensor:
    return of_matrix(a, lambda values: values**-0.5)


def relative(found: Tensor, wanted: Tensor) -> float:
    return float((found.double() - wanted.double()).norm() / wanted.double().norm())


def oracle_error(d: int) -> float:
    """Bound what the oracle's own eigendecomposition adds; it shows where D has hardly whitened yet."""
    return d * torch.finfo(F64).eps


def last(a: Tensor, method: CoupledNewtonSchulz | VanillaNewtonSchulz) -> Tensor:
    return list(iterates(a, method))[-1]


# Converged: float64 eigendecomposition by scipy


@bounded
@given(method=st.sampled_from(CONVERGED), **matrices)
def test_converged_result_is_the_inverse_square_root(
    method: Method, d: int, condition: float, dtype: torch.dtype, seed: int
) -> None:
    a = spd(log_spaced(d, condition), seed).to(dtype)
    result = inverse_sqrt(a, method)
    tolerance = rtol(dtype, condition)
    assert result.matrix.dtype == dtype
    assert relative(result.matrix, exact(a)) < tolerance
    assert float(result.residual) < tolerance
    assert bool(result.converged)
    assert float(result.condition) == pytest.approx(condition, rel=tolerance)
    assert np.allclose(result.eigenvalues, scipy.linalg.eigvalsh(a.double().numpy()), rtol=0, atol=1e-14)
    assert result.n_iter == method.n_iter


@bounded
@given(method=st.sampled_from(CONVERGED), **matrices)
def test_identities(method: Method, d: int, condition: float, dtype: torch.dtype, seed: int) -> None:
    a = spd(log_spaced(d, condition), seed).to(dtype)
    tolerance = rtol(dtype, condition)
    root = inverse_sqrt(a, method).matrix.double()
    wide = a.double()
    identity = torch.eye(d, dtype=F64)
    assert float((root @ wide @ root - identity).norm()) / math.sqrt(d) < tolerance
    assert float((root @ wide - wide @ root).norm() / (root.norm() * wide.norm())) < tolerance
    q = torch.from_numpy(rotation(d, seed + 1))
    rotated = q @ wide @ q.T
    rotated = ((rotated + rotated.T) / 2).to(dtype)
    assert relative(inverse_sqrt(rotated, method).matrix, q @ root @ q.T) < 2 * tolerance
    assert relative(inverse_sqrt(a * 4096, method).matrix * 64, root) < tolerance


@METHODS
@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_scale_does_not_matter(method: Method, scale: float) -> None:
    # The squared entries of these matrices are beyond float32.
    a = spd(log_spaced(6, 1e2)).float()
    found = inverse_sqrt(a * scale, method).matrix
    assert relative(found * math.sqrt(scale), exact(a)) < rtol(F32, 1e2)


def test_eigh_result_is_symmetric_to_the_last_bit() -> None:
    for dtype in (F32, F64):
        root = inverse_sqrt(spd(log_spaced(40, 1e3)).to(dtype)).matrix
        assert torch.equal(root, root.mT)


def test_eigh_in_float32_loses_only_the_final_rounding() -> None:
    # Decomposed in float32 the error at this condition is 3e-4.
    a = spd(log_spaced(64, 1e4)).float()
    assert relative(inverse_sqrt(a).matrix, exact(a)) < torch.finfo(F32).eps


# Fixed number of iterations: the scalar recurrence on the float64 spectrum


@bounded
@given(n_iter=st.integers(2, 10), norm=st.sampled_from(["fro", "trace"]), **matrices)
def test_coupled_is_the_scalar_recurrence_on_each_eigenvalue(
    n_iter: int, norm: Any, d: int, condition: float, dtype: torch.dtype, seed: int
) -> None:
    a = spd(log_spaced(d, condition), seed).to(dtype)
    size = float(a.double().norm() if norm == "fro" else a.double().trace())

    def gain(values: Array) -> Array:
        gains: Array = scalar_iterates(values / size, n_iter)[-1] / math.sqrt(size)
        return gains

    # So far D has undone a condition of (largest/smallest gain)²: it takes the place of cond(A) in the rule.
    gains = gain(log_spaced(d, condition))
    tolerance = rtol(dtype, float((gains.max() / gains.min()) ** 2)) + oracle_error(d)
    found = last(a, CoupledNewtonSchulz(n_iter=n_iter, norm=norm))
    assert relative(found, of_matrix(a, gain)) < tolerance


@bounded
@given(n_iter=st.integers(2, 6), **matrices)
def test_vanilla_is_the_scalar_recurrence_until_rounding_grows(
    n_iter: int, d: int, condition: float, dtype: torch.dtype, seed: int
) -> None:
    a = spd(log_spaced(d, condition), seed).to(dtype)
    size = float(a.double().norm())
    x = log_spaced(d, condition) / size
    z = scalar_iterates(x, n_iter)
    # An error E_ij is multiplied by (3 − (z_i² + z_i z_j + z_j²) x_j)/2 at each step, and each step adds one.
    growth = np.ones((d, d))
    for zi in z[1:-1]:
        factor = 3 - (zi[:, None] ** 2 + zi[:, None] * zi + zi**2) * x
        growth = 1 + growth * np.abs(factor) / 2
    found = last(a, VanillaNewtonSchulz(n_iter=n_iter))
    wanted = of_matrix(a, lambda values: scalar_iterates(values / size, n_iter)[-1] / math.sqrt(size))
    assert relative(found, wanted) < rtol(dtype, float(growth.max())) + oracle_error(d)


@pytest.mark.parametrize("method", [CoupledNewtonSchulz(n_iter=7), VanillaNewtonSchulz(n_iter=7)])
def test_the_result_is_the_last_iterate(method: CoupledNewtonSchulz | VanillaNewtonSchulz) -> None:
    a = spd(log_spaced(8, 1e1)).float()
    found = list(iterates(a, method))
    assert len(found) == method.n_iter
    assert torch.equal(found[-1], inverse_sqrt(a, method).matrix)
    for n, iterate in enumerate(found, start=1):
        shorter = type(method)(n_iter=n)
        assert torch.equal(iterate, last(a, shorter))


def test_the_first_iterate_needs_no_product() -> None:
    a = spd(log_spaced(5, 1e2))
    size = a.norm()
    wanted = (3 * torch.eye(5, dtype=F64) - a / size) / 2 / size.sqrt()
    for method in (CoupledNewtonSchulz(n_iter=1), VanillaNewtonSchulz(n_iter=1)):
        assert torch.equal(last(a, method), wanted)


@pytest.mark.parametrize(("condition", "error"), [(1e1, 0.06), (1e2, 0.41), (1e4, 0.90)])
@DTYPES
def test_five_iterations_whiten_partially(condition: float, error: float, dtype: torch.dtype) -> None:
    a = spd(log_spaced(64, condition)).to(dtype)
    result = inverse_sqrt(a, CoupledNewtonSchulz(n_iter=5))
    assert relative(result.matrix, exact(a)) == pytest.approx(error, abs=0.006)  # two digits of the spectrum
    root, wide = result.matrix.double(), a.double()
    residual = float((root @ wide @ root - torch.eye(64, dtype=F64)).norm()) / 8
    assert float(result.residual) == pytest.approx(residual, rel=1e-10)
    assert not result.converged


# Measured once: relative error against eigh, float32, 64x64. "best" is over the iterations.
TABLE = {1e1: (6e-2, 3.5e-7, 4.6e-6, 8), 1e2: (4e-1, 1.3e-6, 1e-2, 9), 1e4: (9e-1, 1.0e-4, 6e-1, 9)}


@pytest.mark.parametrize("condition", TABLE)
def test_coupled_settles_where_vanilla_passes_its_best_and_diverges(condition: float) -> None:
    a = spd(log_spaced(64, condition)).float()
    wanted = exact(a)
    at_5, at_15, vanilla_best, vanilla_best_at = TABLE[condition]
    coupled = [relative(d, wanted) for d in iterates(a, CoupledNewtonSchulz(n_iter=100))]
    assert coupled[4] == pytest.approx(at_5, rel=0.1)
    assert max(coupled[14:]) < rtol(F32, condition)
    assert at_15 / 4 < coupled[14] < at_15 * 4  # rounding: its size, not its digits
    vanilla = [relative(d, wanted) for d in iterates(a, VanillaNewtonSchulz(n_iter=20))]
    best = int(np.nanargmin(vanilla))
    assert abs(best + 1 - vanilla_best_at) <= 1
    assert vanilla_best / 3 < vanilla[best] < vanilla_best * 3
    assert not vanilla[-1] < 0.1


@pytest.mark.parametrize(("condition", "stable"), [(2.0, True), (3.0, False)])
def test_vanilla_is_stable_up_to_condition_2_44(condition: float, stable: bool) -> None:
    a = spd(np.array([1.0, 1.0, 1.0, 1 / condition]))
    errors = [relative(d, exact(a)) for d in iterates(a, VanillaNewtonSchulz(n_iter=300))]
    assert (max(errors[50:]) < rtol(F64, condition)) is stable
    assert math.isfinite(errors[-1]) is stable


# Closed forms


@METHODS
@DTYPES
def test_diagonal(method: Method, dtype: torch.dtype) -> None:
    diagonal = torch.tensor([4.0, 16.0, 0.25, 1.0], dtype=dtype)
    found = inverse_sqrt(diagonal.diag(), method)
    wanted = torch.tensor([0.5, 0.25, 2.0, 1.0], dtype=dtype).diag()
    assert relative(found.matrix, wanted) < rtol(dtype, 64)
    assert float(found.condition) == 64


@METHODS
@DTYPES
def test_tridiagonal_toeplitz(method: Method, dtype: torch.dtype) -> None:
    d = 30
    k = np.arange(1, d + 1)
    values = 2 - 2 * np.cos(np.pi * k / (d + 1))
    vectors = np.sqrt(2 / (d + 1)) * np.sin(np.pi * np.outer(k, k) / (d + 1))
    wanted = torch.from_numpy((vectors / np.sqrt(values)) @ vectors.T)
    a = torch.from_numpy(scipy.linalg.toeplitz([2.0, -1.0] + [0.0] * (d - 2))).to(dtype)
    result = inverse_sqrt(a, method)
    condition = values[-1] / values[0]
    assert relative(result.matrix, wanted) < rtol(dtype, condition)
    assert float(result.condition) == pytest.approx(condition, rel=1e-10)


@METHODS
@DTYPES
@pytest.mark.parametrize("rho", [0.5, 0.95])
def test_ar1_covariance(method: Method, dtype: torch.dtype, rho: float) -> None:
    # The inverse of ρ^|i−j| is tridiagonal, so D·D is.
    d = 20
    a = torch.from_numpy(scipy.linalg.toeplitz(rho ** np.arange(d)))
    row = np.zeros(d)
    row[:2] = 1 + rho**2, -rho
    inverse = scipy.linalg.toeplitz(row) / (1 - rho**2)
    inverse[0, 0] = inverse[-1, -1] = 1 / (1 - rho**2)
    result = inverse_sqrt(a.to(dtype), method)
    squared = result.matrix.double() @ result.matrix.double()
    assert relative(squared, torch.from_numpy(inverse)) < 2 * rtol(dtype, float(result.condition))


# Batches


@METHODS
@DTYPES
def test_a_batch_equals_its_matrices_one_by_one(method: Method, dtype: torch.dtype) -> None:
    conditions = [[1e1, 1e2, 5.0], [3e3, 2.0, 50.0]]
    batch = torch.stack([torch.stack([spd(log_spaced(9, c)) * c for c in row]) for row in conditions]).to(dtype)
    found = inverse_sqrt(batch, method)
    assert found.matrix.shape == (2, 3, 9, 9)
    assert found.eigenvalues.shape == (2, 3, 9)
    assert found.condition.shape == found.residual.shape == found.converged.shape == (2, 3)
    assert found.condition.dtype == found.residual.dtype == F64
    assert found.converged.dtype == torch.bool
    for i in range(2):
        for j in range(3):
            alone = inverse_sqrt(batch[i, j], method)
            condition = conditions[i][j]
            assert relative(found.matrix[i, j], alone.matrix) < rtol(dtype, condition)
            assert float(found.condition[i, j]) == pytest.approx(float(alone.condition), rel=1e-9)
            assert abs(found.residual[i, j] - alone.residual) < rtol(dtype, condition)
            assert alone.residual.shape == ()


@METHODS
def test_an_empty_batch_is_empty_and_one_by_one_is_a_division(method: Method) -> None:
    empty = inverse_sqrt(torch.empty(0, 3, 3), method)
    assert empty.matrix.shape == (0, 3, 3)
    assert empty.residual.shape == (0,)
    assert float(inverse_sqrt(torch.tensor([[0.25]]), method).matrix) == pytest.approx(2, rel=4 * torch.finfo(F32).eps)


def test_converged_is_the_residual_within_the_tolerance() -> None:
    batch = torch.stack([spd(log_spaced(9, 1e4)), torch.eye(9, dtype=F64)])
    result = inverse_sqrt(batch, CoupledNewtonSchulz(n_iter=8))
    assert result.converged.tolist() == [False, True]
    residual = float(result.residual[0])
    assert 0.1 < residual < 1
    strict, lax = (inverse_sqrt(batch, CoupledNewtonSchulz(n_iter=8), tolerance=t) for t in (0, residual))
    assert strict.converged.tolist() == (strict.residual == 0).tolist()
    assert lax.converged.tolist() == [True, True]


# Errors


def test_configurations_refuse_what_is_out_of_range() -> None:
    for config in (CoupledNewtonSchulz, VanillaNewtonSchulz):
        for n_iter in (0, -3):
            with pytest.raises(OptionError, match=f"iterations: must be at least 1, got {n_iter}") as caught:
                config(n_iter=n_iter)
            assert caught.value.option == "iterations"
        wrong: Any = "nuclear"
        with pytest.raises(OptionError, match="'fro' or 'trace', got 'nuclear'") as caught:
            config(norm=wrong)
        assert caught.value.option == "norm"


def test_methods_by_name() -> None:
    assert method_from_name("eigh", n_iter=3) == Eigh()
    assert method_from_name("coupled", n_iter=3) == CoupledNewtonSchulz(n_iter=3)
    assert method_from_name("vanilla", n_iter=3) == VanillaNewtonSchulz(n_iter=3)
    assert method_from_name("gram", n_iter=3) == GramNewtonSchulz(n_iter=3)
    assert method_from_name("chebyshev", n_iter=3, lower=0.1) == CoupledChebyshev(n_iter=3, lower=0.1)
    assert method_from_name("denman-beavers", norm="trace") == DenmanBeavers(n_iter=15, norm="trace")
    assert method_from_name("coupled") == CoupledNewtonSchulz() == CoupledNewtonSchulz(n_iter=15, norm="fro")
    with pytest.raises(
        OptionError, match="eigh, coupled, vanilla, gram, chebyshev, denman-beavers, got 'svd'"
    ) as caught:
        method_from_name("svd")
    assert caught.value.option == "method"


@METHODS
def test_refuses_integers(method: Method) -> None:
    with pytest.raises(TypeError, match=r"floating dtype, got torch\.int64"):
        inverse_sqrt(torch.eye(3, dtype=torch.int64), method)


@METHODS
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (4, 3, 2), (0, 0)])
def test_refuses_what_is_not_square(method: Method, shape: tuple[int, ...]) -> None:
    message = f"square, of shape (..., d, d), got {shape}"
    with pytest.raises(MatrixError, match=re.escape(message)):
        inverse_sqrt(torch.ones(shape), method)


@METHODS
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_refuses_what_is_not_finite(method: Method, value: float) -> None:
    a = torch.eye(3)
    a[1, 1] = value
    with pytest.raises(MatrixError, match="the matrix must be finite, got NaN or Inf"):
        inverse_sqrt(a, method)
    with pytest.raises(MatrixError, match=r"matrix \[1, 0\] of the batch must be finite"):
        inverse_sqrt(torch.stack([torch.eye(3), a])[:, None], method)


@METHODS
def test_refuses_what_is_not_symmetric(method: Method) -> None:
    a = spd(log_spaced(4, 10)).float()
    a[0, 1] += 1e-3
    with pytest.raises(MatrixError, match="the matrix must be symmetric, got .* up to 0.001 .rounding explains"):
        inverse_sqrt(a, method)
    with pytest.raises(MatrixError, match=r"matrix \[1\] of the batch must be symmetric"):
        inverse_sqrt(torch.stack([torch.eye(4), a]), method)


def test_accepts_the_asymmetry_of_rounding_and_uses_the_symmetric_part() -> None:
    for dtype in (F32, F64):
        a = spd(log_spaced(4, 10)).to(dtype)
        skew = torch.zeros_like(a)
        skew[0, 1] = 500 * torch.finfo(dtype).eps
        for method in CONVERGED:
            found = inverse_sqrt(a + skew, method).matrix
            assert torch.equal(found, inverse_sqrt((a + skew) / 2 + (a + skew).mT / 2, method).matrix)
    x = torch.randn(50_000, 12, generator=torch.Generator().manual_seed(0))
    inverse_sqrt(x.T @ x / len(x))
    inverse_sqrt((x.T @ x / len(x)).bfloat16())


ANY_METHOD = [*CONVERGED, VanillaNewtonSchulz(n_iter=3)]


@pytest.mark.parametrize("method", ANY_METHOD, ids=lambda method: type(method).__name__)
@pytest.mark.parametrize(
    ("spectrum", "numbers"),
    [
        ([1.0, 1.0, 0.0], "largest 1, and their ratio must exceed 3.6e-07"),
        ([2.0, 1.0, -0.5], "smallest eigenvalue -0.5, largest 2,.* eps above 0.5 "),
        ([-1.0, -2.0, -4.0], "smallest eigenvalue -4, largest -1,.* eps above 4 "),
        ([0.0, 0.0, 0.0], "smallest eigenvalue 0, largest 0"),
        ([1.0, 1.0, 1e-8], "working precision .torch.float32."),
    ],
)
def test_refuses_what_is_not_positive_definite(method: Method, spectrum: list[float], numbers: str) -> None:
    a = spd(np.array(spectrum)).float()
    with pytest.raises(NotPositiveDefiniteError, match=numbers) as caught:
        inverse_sqrt(a, method)
    assert "add a ridge: eps above" in str(caught.value)
    with pytest.raises(NotPositiveDefiniteError, match=r"matrix \[2\] of the batch is not positive definite"):
        inverse_sqrt(torch.stack([torch.eye(3), torch.eye(3), a]), method)


def test_the_remedy_helps_and_so_does_float64() -> None:
    a = spd(np.array([1.0, 1.0, 1e-8])).float()
    with pytest.raises(NotPositiveDefiniteError) as caught:
        inverse_sqrt(a)
    found = re.search(r"eps above (\S+)", str(caught.value))
    assert found is not None
    assert inverse_sqrt(a + 2 * float(found[1]) * torch.eye(3)).converged
    assert inverse_sqrt(spd(np.array([1.0, 1.0, 1e-8]))).converged


@pytest.mark.parametrize("n_iter", [12, 40])
def test_divergence_is_an_error(n_iter: int) -> None:
    a = spd(log_spaced(8, 1e3)).float()
    message = f"VanillaNewtonSchulz diverged on the matrix within {n_iter} iterations: residual .*"
    with pytest.raises(NotConvergedError, match=message + r"condition number 1e\+03; use the method eigh"):
        inverse_sqrt(a, VanillaNewtonSchulz(n_iter=n_iter))
    with pytest.raises(NotConvergedError, match=r"on matrix \[0, 1\] of the batch"):
        inverse_sqrt(torch.stack([torch.eye(8), a])[None], VanillaNewtonSchulz(n_iter=n_iter))


# Precision


@METHODS
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(method: Method, dtype: torch.dtype) -> None:
    a = spd(log_spaced(6, 10)).to(dtype)
    result = inverse_sqrt(a, method)
    assert result.matrix.dtype == F32
    assert torch.equal(result.matrix, inverse_sqrt(a.float(), method).matrix)
    assert relative(result.matrix, exact(a)) < rtol(F32, 20)


@METHODS
def test_autocast_does_not_reach_the_products(method: Method) -> None:
    a = spd(log_spaced(12, 1e2)).float()
    outside = inverse_sqrt(a, method)
    with torch.autocast("cpu", torch.bfloat16):
        assert (a @ a).dtype == torch.bfloat16  # it is in force
        inside = inverse_sqrt(a, method)
        assert torch.is_autocast_enabled("cpu")
    assert inside.matrix.dtype == F32
    assert torch.equal(inside.matrix, outside.matrix)
    assert torch.equal(inside.residual, outside.residual)


def float32_products(device: str) -> str:
    """Return what float32 products on ``device`` are computed in: "ieee" is float32."""
    if device == "cpu" and hasattr(torch.backends.mkldnn, "matmul"):
        return str(torch.backends.mkldnn.matmul.fp32_precision)
    if hasattr(torch.backends.cuda.matmul, "fp32_precision"):
        return str(torch.backends.cuda.matmul.fp32_precision)
    return {"highest": "ieee", "high": "tf32", "medium": "bf16"}[torch.get_float32_matmul_precision()]


@pytest.fixture
def reduced_products() -> Iterator[None]:
    torch.set_float32_matmul_precision("medium")
    yield
    torch.set_float32_matmul_precision("highest")


@pytest.mark.usefixtures("reduced_products")
@pytest.mark.parametrize("device", ["cpu", "cuda"])  # settings only: no CUDA device is needed
def test_full_precision_restores_the_settings_when_its_body_raises(device: str) -> None:
    before = float32_products(device)
    assert before != "ieee"
    inside = []
    with torch.autocast("cpu", torch.bfloat16):
        with pytest.raises(ZeroDivisionError), full_precision(torch.device(device)):
            inside.append(float32_products(device))
            inside.append(str(torch.is_autocast_enabled(device)))
            raise ZeroDivisionError
        assert torch.is_autocast_enabled("cpu")
    assert inside == ["ieee", "False"]
    assert float32_products(device) == before
    assert torch.get_float32_matmul_precision() == "medium"


@pytest.mark.usefixtures("reduced_products")
@METHODS
def test_the_products_are_made_in_full_precision_and_errors_restore_it(
    method: Method, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    matmul = Tensor.__matmul__

    def spy(a: Tensor, b: Tensor) -> Tensor:
        seen.append(float32_products("cpu"))
        return matmul(a, b)

    monkeypatch.setattr(Tensor, "__matmul__", spy)
    inverse_sqrt(spd(log_spaced(4, 10)).float(), method)
    assert set(seen) == {"ieee"}
    with pytest.raises(NotPositiveDefiniteError):
        inverse_sqrt(-torch.eye(3), method)
    assert torch.get_float32_matmul_precision() == "medium"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@METHODS
def test_tf32_does_not_reach_the_products(method: Method) -> None:
    a = spd(log_spaced(64, 1e3)).float()
    outside = inverse_sqrt(a.cuda(), method).matrix
    torch.set_float32_matmul_precision("high")
    try:
        inside = inverse_sqrt(a.cuda(), method).matrix
    finally:
        torch.set_float32_matmul_precision("highest")
    assert torch.equal(inside, outside)
    assert relative(inside.cpu(), exact(a)) < rtol(F32, 1e3)


# Gradients


def symmetric_root(method: Method) -> Callable[[Tensor], Tensor]:
    return lambda x: inverse_sqrt((x + x.mT) / 2, method).matrix


@pytest.mark.parametrize(
    "method",
    [
        Eigh(),
        CoupledNewtonSchulz(n_iter=5),
        CoupledNewtonSchulz(n_iter=5, norm="trace"),
        VanillaNewtonSchulz(n_iter=3),
    ],
    ids=["eigh", "coupled-fro", "coupled-trace", "vanilla"],
)
def test_gradients(method: Method) -> None:
    a = torch.stack([spd(np.array([1.0, 0.6, 0.3, 0.1]), 1), spd(np.array([3.0, 2.0, 1.0, 0.5]), 2)])
    assert torch.autograd.gradcheck(symmetric_root(method), a.requires_grad_())


@pytest.mark.parametrize("spectrum", [[1.0, 1.0, 1.0], [2.0, 2.0, 0.5]])
def test_gradient_of_eigh_where_eigenvalues_coincide(spectrum: list[float]) -> None:
    a = spd(np.array(spectrum)).requires_grad_()
    assert torch.autograd.gradcheck(symmetric_root(Eigh()), a)


def test_gradients_of_eigh_and_of_the_converged_iteration_agree() -> None:
    gradients = []
    weight = torch.randn(6, 6, dtype=F64, generator=torch.Generator().manual_seed(0))
    for method in (Eigh(), CoupledNewtonSchulz(n_iter=20)):
        a = spd(log_spaced(6, 50)).requires_grad_()
        result = inverse_sqrt(a, method)
        (result.matrix * (weight + weight.T)).sum().backward()  # type: ignore[no-untyped-call]
        assert a.grad is not None
        gradients.append(a.grad)
        assert not result.condition.requires_grad
        assert not result.residual.requires_grad
    assert relative(gradients[1], gradients[0]) < rtol(F64, 50**1.5)  # the derivative of λ^(-1/2) is λ^(-3/2)


@METHODS
@pytest.mark.parametrize("dtype", [torch.bfloat16, F32])
def test_gradients_have_the_dtype_of_the_matrix(method: Method, dtype: torch.dtype) -> None:
    a = torch.eye(3, dtype=dtype, requires_grad=True)
    inverse_sqrt(a, method).matrix.diagonal().sum().backward()  # type: ignore[no-untyped-call]
    assert a.grad is not None
    assert a.grad.dtype == dtype
    assert torch.allclose(a.grad.float(), -torch.eye(3) / 2, atol=0.01)


@pytest.fixture(params=["spectrum", "photograph"])
def natural(request: pytest.FixtureRequest) -> Tensor:
    return spd(SPECTRUM, seed=1) if request.param == "spectrum" else photograph_covariance()


def curve(a: Tensor, method: CoupledNewtonSchulz | VanillaNewtonSchulz, dtype: torch.dtype) -> dict[int, float]:
    """Return ‖D·D·A − I‖_F by iteration."""
    identity = torch.eye(len(a), dtype=F64)
    found = (d.double() for d in iterates(a.to(dtype), method))
    return {n: float((d @ d @ a - identity).norm()) for n, d in enumerate(found, start=1)}


def test_natural_condition(natural: Tensor) -> None:
    assert float(inverse_sqrt(natural).condition) == pytest.approx(8.31e3, rel=1e-3)


@DTYPES
def test_natural_coupled_is_stable(natural: Tensor, dtype: torch.dtype) -> None:
    residual = curve(natural, CoupledNewtonSchulz(n_iter=1000), dtype)
    assert_stable(residual, natural, dtype)
    # The numbers of the paper's figure, to its digits, and those of float64 where float32 ends.
    assert residual[5] == pytest.approx(4.58, abs=0.01)
    assert residual[10] == pytest.approx(1.83, abs=0.01)
    assert (residual[15] < 1e-6) == (dtype == F64)


@pytest.mark.parametrize(("dtype", "best", "lost"), [(F32, 6, 13), (F64, 10, 17)])
def test_natural_vanilla_diverges_before_it_converges(
    natural: Tensor, dtype: torch.dtype, best: int, lost: int
) -> None:
    residual = curve(natural, VanillaNewtonSchulz(n_iter=20), dtype)
    lowest = min(residual, key=lambda n: residual[n] if residual[n] == residual[n] else math.inf)
    first_lost = next(n for n, value in residual.items() if not math.isfinite(value))
    assert abs(lowest - best) <= 1  # rounding decides which
    assert abs(first_lost - lost) <= 1
    assert residual[lowest] > 1
    assert residual[best + 5] > 1e3


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_natural_half_precision_destroys_it(natural: Tensor, dtype: torch.dtype) -> None:
    wide = curve(natural, CoupledNewtonSchulz(n_iter=15), F32)
    half = curve(natural, CoupledNewtonSchulz(n_iter=15), dtype)
    assert half[5] == pytest.approx(4.58, abs=0.05)  # five iterations still look right
    assert not half[15] < 1000 * wide[15]
    if dtype == torch.bfloat16:
        assert not half[10] < math.sqrt(27)  # worse than D = 0
