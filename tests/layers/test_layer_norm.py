"""Normalisation of each sample before its deconvolution: ND++, the successor of the method, and its limits."""

import pytest
import torch
from torch import nn

from ndtools.layers.config import DeconvConfig
from ndtools.layers.conv import FastDeconv1d, FastDeconv2d
from ndtools.layers.conv_transpose import FastDeconvTranspose2d
from ndtools.layers.linear import DeconvLinear
from ndtools.surgery.fold import fold
from tests.oracles.recorded_norms import RECORDED, step
from tests.tolerance import assert_equal_to_rounding

pytestmark = pytest.mark.filterwarnings("ignore::ndtools.errors.NumericalWarning")


def successor(case, dtype):
    given = {key: value.to(dtype) for key, value in RECORDED[case].items()}
    inputs, outputs = given["x0"].shape[1], given["y0"].shape[1]
    kernel, settings, block, layer_norm = {
        "ndpp": (3, {"padding": 1}, 4, True),
        "ndpp_pointwise": (1, {}, 4, True),
        "ndpp_none": (3, {"stride": 2, "padding": 1}, 6, False),
    }[case]
    config = DeconvConfig.reference(block_size=block, layer_norm=layer_norm)
    layer = FastDeconv2d(inputs, outputs, kernel, dtype=dtype, config=config, **settings)
    layer.load_state_dict({key: given[key] for key in ("weight", "bias")}, strict=False)
    names = {"running_mean": "running_mean", "running_cov_isqrt": "running_deconv"}
    return step(layer, given, lambda layer: {name: (layer.whitening, ours) for name, ours in names.items()})


@pytest.mark.parametrize("case", ["ndpp", "ndpp_pointwise", "ndpp_none"])
def test_the_successor_is_reproduced(case):
    """Its iteration is another form of Newton-Schulz: the same polynomial of the covariance, so equal to rounding."""
    wanted, found, single = RECORDED[case], successor(case, torch.float64), successor(case, torch.float32)
    assert set(wanted) == {*found, "weight", "bias", "x0", "x1", "x2", "g"}
    for name, value in found.items():
        assert_equal_to_rounding(value, wanted[name], single=single[name], name=name)
        assert (value - wanted[name]).abs().max() < 1e-9 * wanted[name].abs().max()


LAYER_NORM = DeconvConfig(layer_norm=True)
LAYERS = {
    "conv1d": (lambda config: FastDeconv1d(4, 3, 3, config=config, dtype=torch.float64), (6, 4, 9)),
    "conv2d": (lambda config: FastDeconv2d(4, 3, 3, config=config, dtype=torch.float64), (6, 4, 9, 9)),
    "transposed": (lambda config: FastDeconvTranspose2d(4, 3, 3, config=config, dtype=torch.float64), (6, 4, 5, 5)),
    "linear": (lambda config: DeconvLinear(4, 3, config=config, dtype=torch.float64), (60, 4)),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_layer_norm_is_a_normalisation_of_each_sample_before_the_layer(kind):
    make, shape = LAYERS[kind]
    torch.manual_seed(0)
    layer, plain = make(LAYER_NORM), make(DeconvConfig())
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(shape, dtype=torch.float64) + torch.arange(float(shape[0])).view(-1, *[1] * (len(shape) - 1))
    flat = x.flatten(1)
    expected = plain(((flat - flat.mean(1, keepdim=True)) / (flat.std(1, keepdim=True) + 1e-5)).view_as(x))
    torch.testing.assert_close(layer(x), expected)
    layer.eval()
    torch.testing.assert_close(layer(100 * x + 7), layer(x), rtol=1e-4, atol=1e-4)  # eps leaves a little of the scale


@pytest.mark.parametrize("value", [0.0, 2.0])
def test_a_sample_that_does_not_vary_has_a_gradient(value):
    x = torch.full((3, 4, 5, 5), value)
    x[1:] += torch.randn(2, 4, 5, 5)
    x.requires_grad_()
    FastDeconv2d(4, 3, 3, config=LAYER_NORM)(x).square().sum().backward()
    assert x.grad.isfinite().all()


def test_a_layer_with_one_value_for_each_sample_gives_its_bias():
    """As the squeezed channel of an EfficientNet has: what is left of it is zero."""
    layer = FastDeconv2d(1, 3, 1, config=LAYER_NORM)
    y = layer(torch.randn(5, 1, 1, 1))
    torch.testing.assert_close(y[..., 0, 0], layer.bias.expand(5, 3))


def test_layers_with_layer_norm_cannot_be_folded():
    network = nn.Sequential(FastDeconv2d(3, 4, 3), nn.ReLU(), FastDeconv2d(4, 4, 3, config=LAYER_NORM))
    x = torch.randn(8, 3, 9, 9)
    network(x)
    with pytest.raises(ValueError, match=r"^2 normalises each sample by itself \(layer_norm=True\), which no weight"):
        fold(network, x)
