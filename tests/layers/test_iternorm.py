"""Iterative normalisation against its authors' layer, and its limits."""

import pytest
import torch

from ndtools.errors import OptionError
from ndtools.layers.iternorm import IterNorm
from tests.oracles.recorded_norms import RECORDED, step
from tests.tolerance import assert_equal_to_rounding


def iternorm(case, dtype):
    given = {key: value.to(dtype) for key, value in RECORDED[case].items()}
    settings = {"iternorm": {}, "iternorm_groups": {"group_size": 4, "n_iter": 3}}[case]
    layer = IterNorm(given["x0"].shape[1], dtype=dtype, **settings)
    layer.load_state_dict({key: given[key].flatten() for key in ("weight", "bias")}, strict=False)
    names = {"running_mean": "running_mean", "running_wm": "running_matrix"}
    return step(layer, given, lambda layer: {name: (layer, ours) for name, ours in names.items()})


@pytest.mark.parametrize("case", ["iternorm", "iternorm_groups"])
def test_the_authors_layer_is_reproduced(case):
    wanted, found, single = RECORDED[case], iternorm(case, torch.float64), iternorm(case, torch.float32)
    assert set(wanted) == {*found, "weight", "bias", "x0", "x1", "x2", "g"}
    for name, value in found.items():
        assert_equal_to_rounding(value, wanted[name], single=single[name], name=name)
        assert (value - wanted[name]).abs().max() < 1e-9 * wanted[name].abs().max()


def white(rows):
    return (rows @ rows.mT / rows.shape[-1] - torch.eye(len(rows))).abs().max()


def test_iterative_normalisation_whitens_each_group():
    torch.manual_seed(0)
    mixing = torch.eye(4, dtype=torch.float64) + 0.1 * torch.randn(4, 4, dtype=torch.float64)
    x = (torch.randn(500, 4, dtype=torch.float64) @ mixing).T.reshape(4, 50, 10)
    x = torch.cat([x, 3 * x + 1]).transpose(0, 1)  # groups that are copies of each other
    layer = IterNorm(8, group_size=4, n_iter=10, eps=1e-12, dtype=torch.float64)
    rows = layer(x).detach().transpose(0, 1).flatten(1)
    assert white(rows[:4]) < 1e-9
    assert white(rows[4:]) < 1e-9
    assert white(rows) > 0.99, "no decorrelation across groups"
    assert rows.mean(1).abs().max() < 1e-12


@pytest.mark.parametrize(("channels", "size"), [(128, 64), (44, 4), (24, 8), (7, 1), (12, 4)])
def test_groups_are_halved_until_they_divide_the_channels(channels, size):
    assert IterNorm(channels).running_matrix.shape == (channels // size, size, size)


def test_evaluation_uses_averages_from_the_identity():
    torch.manual_seed(0)
    layer = IterNorm(4, affine=False, momentum=0.25, dtype=torch.float64)
    x = 2 + torch.randn(64, 4, dtype=torch.float64)
    y = layer(x)
    matrix = torch.linalg.lstsq(x - x.mean(0), y).solution
    expected = (x - 0.25 * x.mean(0)) @ (0.75 * torch.eye(4) + 0.25 * matrix)
    torch.testing.assert_close(layer.eval()(x), expected)
    assert layer.num_batches_tracked == 1


def test_iterative_normalisation_computes_in_full_precision_under_autocast():
    torch.manual_seed(0)
    layer = IterNorm(8)
    x = torch.randn(32, 8, 3, 3)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x.bfloat16())
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y, IterNorm(8)(x.bfloat16().float()).bfloat16())


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: IterNorm(0), OptionError, "num_features: must be at least 1, got 0"),
        (lambda: IterNorm(4, group_size=0), OptionError, "group_size: must be at least 1, got 0"),
        (lambda: IterNorm(4, n_iter=0), OptionError, "iterations: must be at least 1"),
        (lambda: IterNorm(4)(torch.ones(2, 5)), ValueError, r"expected 4 channels, got shape \(2, 5\)"),
        (lambda: IterNorm(4)(torch.ones(0, 4)), ValueError, "a training batch must have at least one sample"),
        (lambda: IterNorm(4)(torch.ones(2, 4, dtype=torch.int64)), TypeError, "floating dtype"),
    ],
)
def test_wrong_inputs_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_statistics_of_a_layer_in_half_precision_are_in_full_precision(dtype):
    """Sums over pixels, traces and powers of matrices leave the range of float16, and the digits of bfloat16."""
    generator = torch.Generator().manual_seed(0)
    x = torch.einsum(
        "nchw,cd->ndhw", torch.randn(8, 8, 8, 8, generator=generator), torch.randn(8, 8, generator=generator)
    )
    x = (30 * x).to(dtype)
    layer, full = IterNorm(8).to(dtype), IterNorm(8)
    y, expected = layer(x), full(x.float())
    assert y.dtype == layer.weight.dtype == dtype
    torch.testing.assert_close(y, expected.to(dtype))
    assert torch.equal(layer.running_matrix, full.running_matrix)
    y.float().square().sum().backward()
    assert layer.weight.grad.isfinite().all()
    full(x.float()).sum().backward()
    assert full.to(dtype).weight.grad.dtype == dtype
    made = IterNorm(8, dtype=dtype)
    assert made.running_mean.dtype == torch.float32 and made.weight.dtype == dtype
