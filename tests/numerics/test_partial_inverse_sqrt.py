"""Fixed numbers of coupled Newton-Schulz iterations: against autograd through the plain recurrence."""

from collections import deque

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ndtools.numerics.iterations import CoupledNewtonSchulz, iterates
from ndtools.numerics.partial_inverse_sqrt import _fastest, partial_inverse_sqrt

ROUTES = ("eigenvalues", "products")
EPS = torch.finfo(torch.float64).eps


def covariances(d, seed, condition=1e3, batch=()):
    """Symmetric matrices with eigenvalues from 1/condition to 1, some of them repeated."""
    generator = torch.Generator().manual_seed(seed)
    random = torch.randn(*batch, d, d, dtype=torch.float64, generator=generator)
    q, _ = torch.linalg.qr(random)
    values = condition ** -torch.linspace(0, 1, d, dtype=torch.float64)
    values[: d // 3] = 1
    return q * values @ q.mT


def by_autograd(a, n_iter, grad):
    a = a.clone().requires_grad_()
    d = deque(iterates(a, CoupledNewtonSchulz(n_iter=n_iter)), maxlen=1)[0]
    d.backward((grad + grad.mT) / 2)
    return d.detach(), (a.grad + a.grad.mT) / 2


@pytest.mark.parametrize("route", ROUTES)
@given(d=st.integers(1, 20), n_iter=st.integers(1, 15), seed=st.integers(0, 2**16))
@settings(max_examples=40)
def test_value_and_gradient_are_those_of_the_recurrence(route, d, n_iter, seed):
    a = covariances(d, seed, batch=(2,))
    grad = torch.randn(a.shape, dtype=a.dtype, generator=torch.Generator().manual_seed(seed + 1))
    expected, expected_grad = by_autograd(a, n_iter, grad)
    a.requires_grad_()
    out = partial_inverse_sqrt(a, n_iter, route=route)
    out.backward(grad)
    assert (out - expected).abs().max() <= 1e-10 * expected.abs().max()
    assert (a.grad - expected_grad).abs().max() <= 1e-10 * expected_grad.abs().max()


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("n_iter", [1, 2, 5])
def test_gradcheck(route, n_iter):
    a = covariances(5, 0).requires_grad_()
    assert torch.autograd.gradcheck(lambda a: partial_inverse_sqrt((a + a.mT) / 2, n_iter, route=route), a)


@pytest.mark.parametrize("route", ROUTES)
def test_equal_eigenvalues_have_a_closed_form(route):
    # A = cI of d rows: all eigenvalues of A/‖A‖ are d^(-1/2), and dD for dA = E with trace 0 is p_n'(x) E s^(-3/2)
    c, d, n_iter = 0.3, 7, 4
    a = (c * torch.eye(d, dtype=torch.float64)).requires_grad_()
    s = c * d**0.5
    x = torch.tensor(d**-0.5, dtype=torch.float64, requires_grad=True)
    z, p = torch.ones((), dtype=torch.float64), x
    for _ in range(n_iter):
        t = (3 - p) / 2
        z, p = z * t, p * t * t
    out = partial_inverse_sqrt(a, n_iter, route=route)
    torch.testing.assert_close(
        out, z.detach() / s**0.5 * torch.eye(d, dtype=torch.float64), rtol=10 * EPS, atol=10 * EPS
    )
    direction = torch.zeros(d, d, dtype=torch.float64)
    direction[0, 1] = direction[1, 0] = 1
    out.backward(direction)
    (slope,) = torch.autograd.grad(z, x)
    torch.testing.assert_close(a.grad, slope * direction / s**1.5, rtol=100 * EPS, atol=100 * EPS)


def test_routes_agree_in_float32():
    # Both are exact functions of nearby matrices: eigenvalues move by d·eps·‖A‖, p_n by as much times |p_n'| < 1.5^3n.
    a = covariances(30, 3, condition=1e6).float()
    one, other = (partial_inverse_sqrt(a, 5, route=route) for route in ROUTES)
    exact = partial_inverse_sqrt(a.double(), 5)
    bound = 30 * torch.finfo(torch.float32).eps * 1.5**5 * exact.abs().max()
    assert (one - exact).abs().max() < bound
    assert (other - exact).abs().max() < bound


@pytest.mark.parametrize("n_iter", [5, 15, 25, 40])
def test_singular_covariances_in_float32_stay_near_the_exact_iteration(n_iter):
    """Few samples and a ridge: rounding takes eigenvalues below the ridge, where iterations magnify it 2.25^n times."""
    eps, generator = 1e-5, torch.Generator().manual_seed(0)
    rows = torch.randn(32, 200, generator=generator, dtype=torch.float64)
    rows = rows + 2 * torch.roll(rows, 1, -1)
    identity = torch.eye(200, dtype=torch.float64)
    exact = partial_inverse_sqrt(rows.mT @ rows / 32 + eps * identity, n_iter, lower=eps)
    a = (rows.float().mT @ rows.float() / 32 + eps * identity.float()).requires_grad_()
    out = partial_inverse_sqrt(a, n_iter, lower=eps)
    out.square().sum().backward()
    assert a.grad.isfinite().all()
    # Eigenvalues x of A/‖A‖ are off by d·ε: by a relative d·ε/x at the ridge, where p_n is at most x^(-1/2).
    norm = torch.linalg.matrix_norm(a.detach()).item()
    bound = min(1.0, 200 * torch.finfo(torch.float32).eps * norm / eps)
    assert (out - exact).norm() <= bound * exact.norm()


def test_many_iterations_in_float32_go_through_the_eigenvalues():
    """Products lose them, wherever they are taken; `meta` stands for a device that is not the CPU."""
    assert _fastest(torch.empty(3, 3, device="meta"), 20) == "products"
    assert _fastest(torch.empty(3, 3, device="meta"), 21) == "eigenvalues"
    assert _fastest(torch.empty(3, 3, device="meta", dtype=torch.float64), 21) == "products"
    assert _fastest(torch.empty(3, 3), 5) == "eigenvalues"


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_stays_so_and_harms_no_other(route, bad):
    a = covariances(4, 0, batch=(2,))
    a[0, 1, 1] = bad
    out = partial_inverse_sqrt(a, 5, route=route)
    assert out[0].isnan().all()
    torch.testing.assert_close(out[1], partial_inverse_sqrt(a[1], 5))


def test_autocast_does_not_reach_it():
    a = covariances(8, 0).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = partial_inverse_sqrt(a, 5, route="products")
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, partial_inverse_sqrt(a, 5, route="products"), rtol=0, atol=0)
