"""Shrinkage against its definition, and against what it promises: less error than the sample covariance."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ndtools.errors import OptionError
from ndtools.numerics.shrinkage import shrink, shrinkage_intensity, weakened


def sample(n, d, seed=0, spread=1.0):
    generator = torch.Generator().manual_seed(seed)
    scales = torch.linspace(1, 1 + spread, d, dtype=torch.float64)
    rows = torch.randn(n, d, generator=generator, dtype=torch.float64) * scales
    centred = rows - rows.mean(0)
    return centred, centred.mT @ centred / n, torch.diag(scales**2)


@given(st.integers(3, 12), st.integers(2, 6), st.integers(0, 1000))
def test_ledoit_and_wolf_by_their_definition(n, d, seed):
    centred, covariance, _ = sample(n, d, seed)
    identity = torch.eye(d, dtype=torch.float64)
    m = covariance.trace() / d
    distance = (covariance - m * identity).square().sum()  # d² of their section 3.3, times the dimension
    noise = sum((torch.outer(x, x) - covariance).square().sum() for x in centred) / n**2
    expected = min(1.0, (noise / distance).item())
    assert shrinkage_intensity(centred, covariance, "lw").item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


@given(st.integers(3, 12), st.integers(2, 6), st.integers(0, 1000))
def test_oas_by_its_definition(n, d, seed):
    centred, s, _ = sample(n, d, seed)
    trace_of_square, square_of_trace = torch.trace(s @ s), torch.trace(s) ** 2
    above = (1 - 2 / d) * trace_of_square + square_of_trace
    below = (n + 1 - 2 / d) * (trace_of_square - square_of_trace / d)
    expected = min(1.0, (above / below).item())
    assert shrinkage_intensity(centred, s, "oas").item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("kind", ["lw", "oas"])
def test_shrinking_brings_the_covariance_of_few_rows_nearer_to_the_truth(kind):
    better = 0
    for seed in range(20):
        centred, covariance, truth = sample(15, 30, seed)
        shrunk = shrink(centred, covariance, kind)
        assert shrunk.trace().item() == pytest.approx(covariance.trace().item())
        better += (shrunk - truth).norm() < (covariance - truth).norm()
    assert better == 20  # its squared error is several times less


@pytest.mark.parametrize("kind", ["lw", "oas"])
def test_many_rows_are_hardly_shrunk_and_the_identity_can_be(kind):
    centred, covariance, _ = sample(20_000, 5)
    assert shrinkage_intensity(centred, covariance, kind) < 0.01
    zero = torch.zeros(4, 3, dtype=torch.float64)
    assert shrink(zero, zero.mT @ zero, kind).abs().max() == 0


def test_none_is_the_covariance_and_other_names_are_refused():
    centred, covariance, _ = sample(5, 3)
    assert shrink(centred, covariance, "none") is covariance
    with pytest.raises(OptionError, match="shrinkage"):
        shrink(centred, covariance, "ridge")


@pytest.mark.parametrize("n", [1, 8, 40, 60, 119, 120, 200])
def test_correlations_of_fewer_than_three_rows_a_feature_are_weakened(n):
    d = 40
    rows = torch.randn(d, n, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    covariance = rows @ rows.mT / n
    found = weakened(covariance, n)
    assert torch.equal(found.diagonal(), covariance.diagonal())
    if n >= 3 * d:
        assert found is covariance
    else:
        factor = (n / (3 * d)) ** 3
        expected = factor * covariance + (1 - factor) * covariance.diagonal().diag()
        rounding = 4 * torch.finfo(torch.float64).eps * covariance.abs().max().item()
        torch.testing.assert_close(found, expected, rtol=0, atol=rounding)
