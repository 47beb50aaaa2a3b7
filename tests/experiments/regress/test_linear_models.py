"""Linear models: losses and gradients against autograd, optima against solvers, descent against its eigenvalues."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import binary_cross_entropy_with_logits, one_hot

from ndtools.experiments.regress.linear_models import (
    CURVATURES,
    FeatureMap,
    RegressionMoments,
    descend,
    largest_eigenvalue,
    loss_and_error,
    predicted_losses,
)
from ndtools.experiments.regress.logistic import logistic_optimum
from ndtools.numerics.inverse_sqrt import inverse_sqrt

CLASSES = 3


def data(n=60, f=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    base = torch.randint(0, 200, (n, 1), generator=generator)
    pixels = (base + torch.randint(0, 56, (n, f), generator=generator)).byte()
    return pixels, torch.randint(0, CLASSES, (n,), generator=generator)


def rows_of(pixels):
    return pixels.double() / 255


def slow_loss(name, logits, labels):
    targets = one_hot(labels, logits.shape[1]).double()
    if name == "l2":
        return sum(0.5 * ((o - t) ** 2).sum() for o, t in zip(logits, targets, strict=True)) / len(logits)
    return binary_cross_entropy_with_logits(logits, targets, reduction="sum") / len(logits)


@pytest.mark.parametrize("name", ["l2", "logistic"])
def test_losses_and_gradients_are_those_of_autograd(name):
    pixels, labels = data()
    weights = torch.randn(6, CLASSES, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    weights.requires_grad_()
    rows = rows_of(pixels)
    expected = slow_loss(name, rows @ weights[1:] + weights[0], labels)
    expected.backward()
    other = torch.zeros_like(weights)
    (_, (loss, gradient)) = descend(["l2", name], rows, labels, [other, weights.detach()])
    assert loss.item() == pytest.approx(expected.item(), rel=1e-13)
    torch.testing.assert_close(gradient, weights.grad, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", ["l2", "logistic"])
def test_curvature_is_the_second_derivative_at_zero(name):
    logits = torch.zeros(1, CLASSES, dtype=torch.float64)
    step, labels = 1e-4, torch.tensor([0])
    nudged = logits.clone()
    nudged[0, 1] = step
    slope = (loss_and_error(name, nudged, labels)[1] - loss_and_error(name, logits, labels)[1])[0, 1] / step
    assert slope.item() == pytest.approx(CURVATURES[name], rel=1e-6)


@pytest.mark.parametrize("scale", ["none", "diagonal", "matrix"])
def test_a_folded_map_is_the_map_and_its_gradient_the_adjoint(scale):
    generator = torch.Generator().manual_seed(2)
    mean = torch.randn(5, dtype=torch.float64, generator=generator)
    square = torch.randn(5, 5, dtype=torch.float64, generator=generator)
    m = {"none": None, "diagonal": square.diagonal().clone(), "matrix": square + square.mT}[scale]
    features = FeatureMap(mean, m)
    full = torch.eye(5, dtype=torch.float64) if m is None else (torch.diag(m) if m.dim() == 1 else m)
    rows = torch.randn(7, 5, dtype=torch.float64, generator=generator)
    weights = torch.randn(6, CLASSES, dtype=torch.float64, generator=generator, requires_grad=True)
    outputs = (rows - mean) @ full @ weights[1:] + weights[0]
    folded = features.fold(weights.detach())
    torch.testing.assert_close(rows @ folded[1:] + folded[0], outputs.detach(), rtol=1e-12, atol=1e-12)
    labels = torch.randint(0, CLASSES, (7,), generator=generator)
    slow_loss("logistic", outputs, labels).backward()
    gradient = features.pull_back(descend(["logistic"], rows, labels, [folded])[0][1])
    torch.testing.assert_close(gradient, weights.grad, rtol=1e-11, atol=1e-13)


@given(st.integers(1, 40), st.integers(1, 6), st.integers(0, 1000))
def test_moments_are_those_of_the_rows(n, f, seed):
    pixels, labels = data(n, f, seed)
    moments = RegressionMoments.of(pixels, labels, CLASSES)
    rows = rows_of(pixels)
    design = torch.cat([torch.ones(n, 1, dtype=torch.float64), rows], 1)
    torch.testing.assert_close(moments.second, design.mT @ design / n, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(moments.mean, rows.mean(0), rtol=1e-13, atol=1e-15)
    torch.testing.assert_close(moments.covariance, rows.mT.cov(correction=0).view(f, f), rtol=1e-9, atol=1e-14)
    weights = torch.randn(1 + f, CLASSES, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    ((loss, gradient),) = descend(["l2"], rows, labels, [weights])
    assert moments.loss(weights).item() == pytest.approx(loss.item(), rel=1e-11)
    torch.testing.assert_close(moments.gradient(weights), gradient, rtol=1e-10, atol=1e-12)


def test_more_rows_than_are_held_at_a_time():
    pixels, labels = data(20_000, 3)
    moments = RegressionMoments.of(pixels, labels, CLASSES)
    torch.testing.assert_close(moments.covariance, rows_of(pixels).mT.cov(correction=0), rtol=1e-10, atol=1e-14)


def test_the_closed_form_is_the_least_squares_solution():
    pixels, labels = data()
    design = np.hstack([np.ones((60, 1)), rows_of(pixels).numpy()])
    expected, *_ = np.linalg.lstsq(design, one_hot(labels, CLASSES).double().numpy(), rcond=None)
    found = RegressionMoments.of(pixels, labels, CLASSES).closed_form()
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-8, atol=1e-10)


def test_the_closed_form_ignores_features_that_do_not_vary():
    pixels, labels = data()
    pixels[:, 2] = 7
    moments = RegressionMoments.of(pixels, labels, CLASSES)
    weights = moments.closed_form()
    assert weights[3].abs().max() < 1e-10
    assert moments.gradient(weights).abs().max() < 1e-12


def test_one_step_reaches_the_optimum_of_whitened_features():
    """Proposition 1: at learning rate 1, from zero weights, if (1/N) XᵗX = I."""
    pixels, labels = data()
    moments = RegressionMoments.of(pixels, labels, CLASSES)
    white = moments.through(FeatureMap(moments.mean, inverse_sqrt(moments.covariance).matrix))
    torch.testing.assert_close(white.second, torch.eye(6, dtype=torch.float64), rtol=0, atol=1e-11)
    weights = -white.gradient(torch.zeros(6, CLASSES, dtype=torch.float64))
    best = moments.loss(moments.closed_form()).item()
    assert white.loss(weights).item() == pytest.approx(best, abs=1e-12)
    assert predicted_losses(white, 1.0, 2)[1].item() == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("share", [0.1, 0.9, 1.05])
def test_predicted_losses_are_those_of_gradient_descent(share):
    pixels, labels = data()
    moments = RegressionMoments.of(pixels, labels, CLASSES)
    lr = share * 2 / torch.linalg.eigvalsh(moments.second)[-1].item()
    weights = torch.zeros(6, CLASSES, dtype=torch.float64)
    predicted = predicted_losses(moments, lr, 30)
    for loss in predicted:
        assert moments.loss(weights).item() == pytest.approx(loss.item(), rel=1e-9)
        weights = weights - lr * moments.gradient(weights)
    assert (predicted[-1] > predicted[0]).item() == (share > 1)


def test_the_logistic_optimum_has_no_gradient():
    pixels, labels = data(200)
    moments = RegressionMoments.of(pixels, labels, CLASSES)
    features = FeatureMap(moments.mean, inverse_sqrt(moments.covariance).matrix)
    found = logistic_optimum(rows_of(pixels), labels, CLASSES, features, tolerance=1e-14)
    ((loss, gradient),) = descend(["logistic"], rows_of(pixels), labels, [found.weights])
    assert found.converged
    assert loss.item() == pytest.approx(found.loss, rel=1e-12)
    assert gradient.norm() < 1e-5
    generator = torch.Generator().manual_seed(3)
    for _ in range(20):
        nudged = found.weights + 0.01 * torch.randn(6, CLASSES, dtype=torch.float64, generator=generator)
        assert descend(["logistic"], rows_of(pixels), labels, [nudged])[0][0] > loss


def test_the_logistic_optimum_says_when_it_was_cut_short():
    pixels, labels = data(200)
    found = logistic_optimum(rows_of(pixels), labels, CLASSES, FeatureMap(), tolerance=1e-14, evaluations=3)
    assert not found.converged


def test_sums_of_extreme_pixels_are_exact():
    pixels = torch.tensor([0, 255], dtype=torch.uint8).repeat(1200)[:, None].repeat(1, 300)
    pixels[:, ::2] = 255
    labels = torch.arange(len(pixels)) % CLASSES
    moments = RegressionMoments.of(pixels, labels, CLASSES)
    whole = pixels.long()
    expected = (whole.T @ whole).double() / 255 / 255 / len(pixels)
    assert torch.equal(moments.second[1:, 1:], expected)


def test_the_largest_of_many_eigenvalues():
    values = torch.cat([torch.linspace(0, 0.999, 150, dtype=torch.float64), torch.ones(2, dtype=torch.float64)])
    basis = torch.linalg.qr(torch.randn(152, 152, generator=torch.Generator().manual_seed(0), dtype=torch.float64))[0]
    assert largest_eigenvalue((basis * values) @ basis.T) == pytest.approx(1, rel=1e-11)
