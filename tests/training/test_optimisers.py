"""Optimisers: Muon by singular values and by torch's own, the others by their formulas."""

import numpy as np
import pytest
import torch
from torch import nn

from ndtools.numerics.orthogonal import orthogonalised
from ndtools.numerics.schedules import POLAR_EXPRESS, QUINTIC
from ndtools.training.optimisers import Muon, optimiser_of
from ndtools.training.recipe import Recipe
from tests.tolerance import rtol
from tests.training.networks import small_network


def matrix(rows, columns, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, columns, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize(("rows", "columns"), [(5, 9), (9, 5), (4, 4), (1, 3)])
@pytest.mark.parametrize(("coefficients", "n_iter"), [(QUINTIC, 5), (POLAR_EXPRESS, 7)])
def test_each_singular_value_goes_through_the_polynomials(rows, columns, coefficients, n_iter):
    a = matrix(rows, columns)
    u, values, v = torch.linalg.svd(a, full_matrices=False)
    gains = (values / values.norm()).numpy()
    for step in range(n_iter):
        gains = gains * np.polynomial.polynomial.polyval(gains**2, coefficients[min(step, len(coefficients) - 1)])
    wanted = u @ torch.from_numpy(gains).diag() @ v
    # Each iteration multiplies errors by the slope of its polynomial at 0 at most.
    grown = float(np.prod([max(row[0] for row in coefficients)] * n_iter))
    torch.testing.assert_close(orthogonalised(a, n_iter, coefficients), wanted, rtol=0, atol=rtol(a.dtype, grown))


def test_singular_values_end_near_one():
    a = torch.diag(torch.logspace(0, -2.4, 20, dtype=torch.float64))
    values = torch.linalg.svdvals(orthogonalised(a / a.norm()))
    assert values.min() > 0.67
    assert values.max() < 1.21


def test_a_stack_of_matrices_and_a_matrix_of_zeros():
    stack = torch.stack([matrix(3, 4), torch.zeros(3, 4), matrix(3, 4, seed=1)])
    found = orthogonalised(stack)
    torch.testing.assert_close(found[2], orthogonalised(stack[2]))
    assert not found[1].any()
    assert orthogonalised(torch.tensor([[torch.nan, 1.0]])).isnan().all()


def trained_for_three_steps(model, optimiser):
    x = torch.randn(8, 5, generator=torch.Generator().manual_seed(0))
    for _ in range(3):
        optimiser.zero_grad()
        (model(x) - 1).square().mean().backward()
        optimiser.step()
    return [p.detach() for p in model.parameters()]


def linear():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(5, 12), nn.Tanh(), nn.Linear(12, 3))


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon to compare with")
def test_steps_of_muon_are_torchs_up_to_its_bfloat16():
    ours, theirs = linear(), linear()
    for model in (ours, theirs):
        model[0].bias.requires_grad_(False)
        model[2].requires_grad_(False)
    settings = {"lr": 0.1, "momentum": 0.8, "weight_decay": 0.5}
    found = trained_for_three_steps(ours, Muon([ours[0].weight], [], **settings))
    wanted = trained_for_three_steps(theirs, torch.optim.Muon([theirs[0].weight], adjust_lr_fn="original", **settings))
    # Torch's Newton-Schulz runs in bfloat16, whose errors of 0.4 % a step grow with the slope of the polynomial.
    moved = (wanted[0] - linear()[0].weight).norm()
    assert (found[0] - wanted[0]).norm() < 0.05 * moved


def test_muon_leaves_vectors_and_the_last_layer_to_sgd():
    model = small_network("bn")
    optimiser = optimiser_of(model, Recipe(opt="muon"))
    orthogonal, others = optimiser.param_groups
    assert [p is q for p, q in zip(orthogonal["params"], (model[0].weight, model[4].weight), strict=True)] == [True] * 2
    assert {id(p) for p in others["params"]} == {id(p) for p in model.parameters()} - {
        id(model[0].weight),
        id(model[4].weight),
    }
    one, other = linear(), linear()
    found = trained_for_three_steps(one, Muon([], one.parameters(), 0.1, 0.8, 0.5))
    wanted = trained_for_three_steps(other, torch.optim.SGD(other.parameters(), 0.1, momentum=0.8, weight_decay=0.5))
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)


def test_a_kernel_counts_as_a_matrix_of_its_outputs():
    kernel = torch.nn.Parameter(torch.zeros(6, 2, 1, 2))
    kernel.grad = torch.randn(6, 2, 1, 2, generator=torch.Generator().manual_seed(0))
    Muon([kernel], [], lr=0.1, momentum=0.0, weight_decay=0.0).step()
    wanted = -0.1 * (6 / 4) ** 0.5 * orthogonalised(kernel.grad.reshape(6, 4))
    torch.testing.assert_close(kernel.detach().reshape(6, 4), wanted)


@pytest.mark.parametrize("opt", ["adam", "adamw"])
def test_adam_takes_the_momentum_and_places_the_weight_decay(opt):
    p = torch.nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
    model = nn.ParameterList([p])
    optimiser = optimiser_of(model, Recipe(opt=opt, lr=0.1, momentum=0.8, weight_decay=0.5))
    value = mean = square = 0.0
    value = 2.0
    for step, grad in enumerate((3.0, -1.0), start=1):
        p.grad = torch.tensor([grad], dtype=torch.float64)
        optimiser.step()
        if opt == "adam":
            grad += 0.5 * value
        else:
            value *= 1 - 0.1 * 0.5
        mean, square = 0.8 * mean + 0.2 * grad, 0.999 * square + 0.001 * grad**2
        value -= 0.1 * (mean / (1 - 0.8**step)) / ((square / (1 - 0.999**step)) ** 0.5 + 1e-8)
        assert p.item() == pytest.approx(value, rel=1e-12)
