"""The quicker iterations, against what they are the best or the limit of."""

import math
import re
from functools import partial

import numpy as np
import pytest
import scipy.optimize
import torch
from hypothesis import given
from hypothesis import strategies as st

from ndtools.errors import OptionError
from ndtools.numerics.iterations import (
    CoupledChebyshev,
    CoupledNewtonSchulz,
    DenmanBeavers,
    GramNewtonSchulz,
    VanillaNewtonSchulz,
    best_quintic,
    iterates,
)
from ndtools.numerics.schedules import PUBLISHED
from tests.oracles.inverse_roots import rotation, spd
from tests.tolerance import assert_equal_to_rounding

ALL = [CoupledNewtonSchulz, VanillaNewtonSchulz, GramNewtonSchulz, CoupledChebyshev, DenmanBeavers]
SCHEDULES = {**PUBLISHED, "mixed": ((1.5, -0.5), (2.1875, -2.1875, 1.3125, -0.3125))}


@given(low=st.floats(-8, 0).map(lambda n: 10**n), ratio=st.floats(0.0044, 8).map(lambda n: 10**n))
def test_the_best_quintic_attains_its_error_four_times_with_changing_sign(low, ratio):
    high = low * ratio
    p, q, r, error = best_quintic(low, high)
    x = np.geomspace(low, high, 50_001)
    off = 1 - x * (p + q * x**2 + r * x**4)
    assert np.abs(off).max() == pytest.approx(error, rel=1e-4, abs=1e-9)
    # De la Vallée-Poussin: no odd quintic does better than the smallest of four alternating extremes.
    second = int(off[:-250].argmin())
    third = second + int(off[second:].argmax())
    extremes = off[[0, second, third, -1]]
    assert 0 < second < third < len(x) - 1
    np.testing.assert_allclose(extremes, error * np.array([1, -1, 1, -1]), rtol=1e-3, atol=1e-9)


def test_the_best_quintic_against_linear_programming():
    low, high = 0.05, 1.3
    x = np.linspace(low, high, 2001)
    powers = np.stack([x, x**3, x**5], axis=1)
    ones = np.ones((len(x), 1))
    a = np.block([[powers, -ones], [-powers, -ones]])
    b = np.concatenate([np.ones(len(x)), -np.ones(len(x))])
    found = scipy.optimize.linprog([0, 0, 0, 1], A_ub=a, b_ub=b, bounds=[(None, None)] * 4)
    np.testing.assert_allclose(best_quintic(low, high), found.x, rtol=1e-4)


@pytest.mark.parametrize("width", [0.0, 1e-6, 1e-3, 9.9e-3])
def test_the_best_quintic_of_nearly_a_point(width):
    low, high = 0.9, 0.9 * (1 + width)
    p, q, r, error = best_quintic(low, high)
    x = np.linspace(low, high, 101)
    off = np.abs(1 - x * (p + q * x**2 + r * x**4)).max()
    assert off <= error * 1.02 + 1e-15
    assert error < 1e-6


@pytest.mark.parametrize("condition", [1e1, 1e3, 1e6])
def test_chebyshev_gathers_the_spectrum_as_its_bounds_say(condition):
    x = np.geomspace(1 / condition, 1, 400)
    low, high = 1 / math.sqrt(condition), 1.0
    method = CoupledChebyshev(n_iter=8, lower=1 / condition)
    for z in method.steps(torch.from_numpy(x)[:, None, None]):
        *_, error = best_quintic(low, high)
        low, high = 1 - error, 1 + error
        singular = np.sqrt(x) * np.abs(z.numpy()[:, 0, 0])
        assert singular.min() >= low - 1e-9
        assert singular.max() <= high + 1e-9
    assert error < 1e-12


@pytest.mark.parametrize("d", [2, 27, 100])
@pytest.mark.parametrize("shape", ["spread", "one small", "one large"])
@pytest.mark.parametrize("condition", [2.0, 1e3, 1e10, 1e13])
def test_denman_beavers_converges_in_nine_iterations_at_any_condition(condition, shape, d):
    small = 1 / condition
    x = {
        "spread": np.geomspace(small, 1, d),
        "one small": np.append(small, np.ones(d - 1)),
        "one large": np.append(np.full(d - 1, small), 1.0),
    }[shape]
    # Each eigenvalue alone, as diagonal matrices: the tolerance is that of rounding a condition number of 1e13.
    z = list(DenmanBeavers(n_iter=9, lower=small).steps(torch.from_numpy(x)[:, None, None]))[-1]
    np.testing.assert_allclose(z[:, 0, 0], x**-0.5, rtol=1e-12)
    z = list(DenmanBeavers(n_iter=9, lower=small).steps(torch.diag(torch.from_numpy(x))))[-1]
    np.testing.assert_allclose(z.diagonal(), x**-0.5, rtol=1e-9)


@pytest.mark.parametrize("kind", [CoupledChebyshev, DenmanBeavers])
@pytest.mark.parametrize("off", [1e-2, 0.1, 10.0, 100.0])
def test_a_bound_that_is_off_costs_iterations_not_the_result(kind, off):
    x = torch.logspace(-4, 0, 30, dtype=torch.float64)
    z = list(kind(n_iter=14, lower=min(1.0, off * 1e-4)).steps(torch.diag(x)))[-1]
    torch.testing.assert_close(z.diagonal(), x.rsqrt(), rtol=1e-9, atol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_a_bound_far_below_the_precision_is_taken_as_that(dtype):
    q = torch.linalg.qr(torch.randn(12, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))).Q
    a = ((q * torch.linspace(0.1, 1, 12)) @ q.mT / 3).to(dtype)
    residuals = []
    for lower in (1e-300, 0.02):
        z = list(CoupledChebyshev(n_iter=20, lower=lower).steps(a))[-1].double()
        residuals.append(torch.linalg.norm(z @ z @ a.double() - torch.eye(12)).item())
    assert residuals[0] < 50 * max(residuals[1], torch.finfo(dtype).eps)


@pytest.mark.parametrize(
    "method",
    [
        *(kind(n_iter=5) for kind in ALL),
        *(kind(n_iter=5, coefficients=SCHEDULES["mixed"]) for kind in (CoupledNewtonSchulz, GramNewtonSchulz)),
        GramNewtonSchulz(n_iter=5, restart=2),
    ],
    ids=str,
)
def test_products_are_those_that_are_made(method, monkeypatch):
    made = []
    product, inverse = torch.Tensor.__matmul__, torch.linalg.inv_ex
    monkeypatch.setattr(torch.Tensor, "__matmul__", lambda a, b: made.append(1) or product(a, b))
    monkeypatch.setattr(torch.linalg, "inv_ex", lambda a: made.append(1) or inverse(a))
    a = torch.diag(torch.tensor([0.5, 0.7]))
    counts = []
    for _ in method.steps(a):
        counts.append(len(made))
    assert counts == [method.products(n) for n in range(1, 6)]


@pytest.mark.parametrize("kind", ALL)
def test_what_is_out_of_range_is_refused(kind):
    with pytest.raises(OptionError, match="iterations"):
        kind(n_iter=0)
    with pytest.raises(OptionError, match="norm"):
        kind(norm="max")


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_matrices_near_the_ends_of_the_range(kind, dtype):
    a = torch.diag(torch.tensor([1.0, 2.0, 4.0], dtype=dtype))
    wanted = list(iterates(a, kind(n_iter=4)))[-1].double()
    for exponent in (-120, 124) if dtype == torch.float32 else (-1000, 1000):
        scaled = list(iterates(a * 2.0**exponent, kind(n_iter=4)))[-1].double()
        torch.testing.assert_close(scaled * 2.0 ** (exponent / 2), wanted, rtol=4 * torch.finfo(dtype).eps, atol=0)


def by_spectrum(values, rows, n_iter):
    """Eigenvalues of Z after each iteration of these coefficients: T = q(x z²) acts on each eigenvalue x alone."""
    z = np.ones_like(values)
    for step in range(n_iter):
        row = rows[min(step, len(rows) - 1)]
        z = z * np.polynomial.polynomial.polyval(values * z**2, row)
        yield z


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize(
    "method",
    [CoupledNewtonSchulz, GramNewtonSchulz, *(partial(GramNewtonSchulz, restart=n) for n in (1, 2, 3))],
    ids=["coupled", "gram", "restart 1", "restart 2", "restart 3"],
)
def test_every_form_is_the_recurrence_on_each_eigenvalue(method, name):
    values, q = np.geomspace(0.1, 0.9, 6), torch.from_numpy(rotation(6, seed=0))
    rows = SCHEDULES[name]
    z = method(n_iter=9, coefficients=rows)
    a = (q * torch.from_numpy(values)) @ q.mT
    for wide, single, exact in zip(z.steps(a), z.steps(a.float()), by_spectrum(values, rows, 9), strict=True):
        assert_equal_to_rounding(wide, (q * torch.from_numpy(exact)) @ q.mT, single=single)


@given(x=st.floats(1e-3, 1), name=st.sampled_from(sorted(SCHEDULES)), restart=st.sampled_from([None, 1, 2]))
def test_the_gain_of_a_number_is_the_composed_polynomial(x, name, restart):
    """In closed form: √x·z_n is p_n(...p_1(√x)), each p an odd polynomial."""
    gain = math.sqrt(x)
    method = GramNewtonSchulz(n_iter=6, coefficients=SCHEDULES[name], restart=restart)
    for step, z in enumerate(method.steps(torch.tensor([[x]], dtype=torch.float64))):
        row = SCHEDULES[name][min(step, len(SCHEDULES[name]) - 1)]
        gain = sum(c * gain ** (2 * n + 1) for n, c in enumerate(row))
        # Muon's polynomial is chaotic: a rounding grows by up to |p'| = 3.4 a step, to 3.4^6 = 1.5e3 eps.
        assert math.sqrt(x) * z.item() == pytest.approx(gain, rel=1e4 * 2**-52, abs=1e4 * 2**-52)


@pytest.mark.parametrize("rows", [SCHEDULES["simple"], SCHEDULES["polar-express"]], ids=["simple", "polar-express"])
def test_restarts_need_the_transposed_factor(rows):
    a = spd(np.geomspace(1e-4, 1, 12), seed=1)
    norm = torch.linalg.matrix_norm(a)

    def whitened(**settings):
        z = list(GramNewtonSchulz(n_iter=60, coefficients=rows, **settings).steps(a / norm))[-1]
        return torch.linalg.matrix_norm(z @ (a / norm) @ z.mT - torch.eye(12)).item()

    allowed = 4 * 2**-52 * 1e4 * math.sqrt(12)
    assert whitened() <= allowed
    for n in (1, 2, 5):
        assert whitened(restart=n) <= allowed
        assert not whitened(restart=n, restart_form="zaz") < 1


def test_simple_coefficients_are_the_formula():
    a = spd(np.geomspace(1e-3, 0.5, 8), seed=4)
    y, z = a, torch.eye(8, dtype=torch.float64)
    for found in CoupledNewtonSchulz(n_iter=12).steps(a):
        t = (3 * torch.eye(8) - z @ y) / 2
        y, z = y @ t, t @ z
        assert torch.equal(found, z)  # in the same order: to the last bit


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"restart": 0}, "restart: must be at least 1, got 0"),
        ({"restart_form": "az"}, "restart_form: must be 'zazt' or 'zaz', got 'az'"),
        ({"coefficients": ()}, "coefficients: must have 1 to 1000 rows, got 0"),
        ({"coefficients": ((1.5, -0.5), (1.0,))}, "coefficients: must have 2 to 8 numbers in each row, got 1 in row 2"),
        ({"coefficients": ((1.5, math.nan),)}, "coefficients: must be finite, got nan in row 1"),
    ],
)
def test_settings_of_the_gram_iteration_that_are_refused(settings, message):
    with pytest.raises(OptionError, match=re.escape(message)):
        GramNewtonSchulz(**settings)


def test_what_only_some_refuse():
    with pytest.raises(OptionError, match="lower"):
        CoupledChebyshev(lower=0.0)
    with pytest.raises(OptionError, match="must be float32 or float64 .*, got torch.float16"):
        list(iterates(torch.eye(2, dtype=torch.float16), DenmanBeavers()))
    (z, *_) = DenmanBeavers().steps(torch.zeros(2, 2))
    assert z.isnan().all()  # singular, which is no reason to stop a batch
