"""The identities behind the checks, for shapes and spectra that hypothesis draws."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import batch_norm

from ndtools.experiments.check.arithmetic import cancellation, fixed, fixed_map, relative, rounding, whitening_matrix
from ndtools.experiments.check.prop1 import _descend
from ndtools.experiments.check.prop3 import _kronecker
from ndtools.layers.config import DeconvConfig
from ndtools.layers.conv import FastDeconv2d
from ndtools.layers.linear import DeconvLinear

FEW = settings(max_examples=30)
DOUBLE = torch.float64
seeds, features = st.integers(0, 2**31 - 1), st.integers(1, 9)


def of_condition(condition, size, seed):
    """A symmetric matrix with eigenvalues from 1 down to 1/condition in random directions."""
    generator = torch.Generator().manual_seed(seed)
    vectors, _ = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=DOUBLE))
    values = torch.logspace(0, -np.log10(condition), size, dtype=DOUBLE)
    matrix = (vectors * values) @ vectors.mT
    return (matrix + matrix.mT) / 2, (vectors * values.sqrt()) @ vectors.mT


@FEW
@given(features, st.floats(0, 10), seeds)
def test_d_undoes_the_square_root(size, decades, seed):
    matrix, root = of_condition(10**decades, size, seed)
    eye = torch.eye(size, dtype=DOUBLE)
    assert relative(whitening_matrix(matrix) @ root, eye) <= rounding(DOUBLE, 10**decades)


@FEW
@given(features, st.floats(0, 4), seeds)
def test_one_step_on_white_rows_reaches_the_optimum(size, decades, seed):
    generator = torch.Generator().manual_seed(seed)
    matrix, _ = of_condition(10**decades, size, seed)
    rows = torch.randn(300, size, generator=generator, dtype=DOUBLE) @ matrix
    response = rows @ torch.randn(size, generator=generator, dtype=DOUBLE) / rows.std() + 0.1 * rows[:, 0].sign()
    covariance = rows.mT @ rows / len(rows)
    white = rows @ whitening_matrix(covariance)
    optimum = torch.from_numpy(rows.numpy() @ np.linalg.lstsq(rows.numpy(), response.numpy(), rcond=None)[0])
    bound = rounding(DOUBLE, float(torch.linalg.cond(covariance)), terms=len(rows))
    assert _descend(white, response, optimum, 1.0)[1] <= bound
    if size > 1:
        assert _descend(white, response, optimum, 0.99)[1] > 1e-3  # another rate does not


@FEW
@given(features, st.integers(1, 4), st.sampled_from([1e-6, 1e-3, 1.0]), seeds)
def test_a_step_behind_d_is_a_newton_like_step(size, outputs, eps, seed):
    torch.manual_seed(seed)
    rows = torch.randn(80, size, dtype=DOUBLE) @ torch.randn(size, size, dtype=DOUBLE) + torch.randn(size, dtype=DOUBLE)
    target = torch.randn(80, outputs, dtype=DOUBLE)
    layer = DeconvLinear(size, outputs, bias=False, dtype=DOUBLE, config=fixed(eps))
    mean, matrix = fixed_map(layer, rows)
    before = layer.weight.detach() @ matrix
    out = layer(rows)
    out.retain_grad()
    ((out - target).square().sum() / 160).backward()
    torch.optim.SGD([layer.weight], lr=0.3).step()
    centred = rows - mean
    # Cov⁻¹ by a solver, which shares nothing with D.
    covariance = centred.mT @ centred / 80 + eps * torch.eye(size, dtype=DOUBLE)
    expected = -0.3 * torch.linalg.solve(covariance, centred.mT @ out.grad).mT
    condition = float(torch.linalg.cond(covariance)) * cancellation(out.grad, centred)
    # The change is the difference of two weights that may be larger.
    lost = float(before.norm() / expected.norm()) * torch.finfo(DOUBLE).eps
    moved = layer.weight.detach() @ matrix - before
    assert relative(moved, expected) <= rounding(DOUBLE, condition, power=2, terms=80) + 16 * lost


@FEW
@given(
    st.tuples(st.integers(2, 5), st.integers(1, 6), st.integers(2, 6), st.integers(1, 6)),
    st.sampled_from([1e-6, 1e-3, 1.0]),
    seeds,
)
def test_blocks_of_one_channel_and_one_pixel_are_batch_normalisation(shape, eps, seed):
    torch.manual_seed(seed)
    channels = shape[1]
    scale = torch.logspace(-2, 2, channels, dtype=DOUBLE)[:, None, None]
    x = scale * (torch.randn(shape, dtype=DOUBLE) + torch.randn(channels, 1, 1, dtype=DOUBLE))
    config = DeconvConfig.paper(block_size=1, sampling_stride=1, eps=eps, shrinkage="none")
    layer = FastDeconv2d(channels, channels, 1, bias=False, dtype=DOUBLE, config=config)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(channels)[..., None, None])
    flat = x.movedim(1, 0).flatten(1)
    condition = float((flat.square().mean(1) / (flat.var(1, correction=0) + eps)).max())
    expected = batch_norm(x, None, None, training=True, eps=eps)
    assert relative(layer(x).detach(), expected) <= rounding(DOUBLE, max(1, condition), terms=flat.shape[1])


@FEW
@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 5), seeds)
def test_gram_matrices_of_kronecker_products(size, units, outputs, seed):
    # What proposition 3 rests on: (Bᵗ ⊗ A)ᵗ (Bᵗ ⊗ A) = B Bᵗ ⊗ Aᵗ A, and vec(A W B) = (Bᵗ ⊗ A) vec(W)
    torch.manual_seed(seed)
    a, w, b = (torch.randn(*s, dtype=DOUBLE) for s in ((7, size), (size, units), (units, outputs)))
    design = _kronecker(b.mT, a)
    np.testing.assert_array_equal(design.numpy(), np.kron(b.mT.numpy(), a.numpy()))
    # each entry is a sum of at most as many products as the design has rows, rounded once each on both sides
    one = 4 * len(design) * torch.finfo(DOUBLE).eps * design.norm()
    assert (design.mT @ design - _kronecker(b @ b.mT, a.mT @ a)).abs().max() <= one * design.norm()
    assert (design @ w.mT.flatten() - (a @ w @ b).mT.flatten()).abs().max() <= one * w.norm()


def test_rounding_follows_precision_and_condition():
    assert rounding(torch.float32, 1e3) == pytest.approx(8 * 2**-23 * 1e3, rel=1e-2)
    assert rounding(DOUBLE, 1e3, power=2) == pytest.approx(2 * rounding(DOUBLE, 1e3))
    assert rounding(DOUBLE, 1, terms=10**6) == pytest.approx(8 * 2**-52 * 1001)
    assert rounding(DOUBLE, 1e9, summed=10**4) == pytest.approx(50 * 2**-52 * 1e9)
