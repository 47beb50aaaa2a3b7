"""The published networks, from the names of their parameters to outputs and gradients, as recorded from their code.

``python -m tests.oracles.published_networks`` compares all networks wholly, in a minute or two. Here those are compared
wholly that take less than some seconds; of the others the outputs of one batch, on machines that have real data.
"""

import numpy as np
import pytest
import torch
from torch import nn

from ndtools.layers.conv import FastDeconv2d
from ndtools.layers.linear import DeconvLinear
from ndtools.models import NAMES, build
from tests.oracles import published_networks as published
from tests.places import real

# batches of eight images are few for the published deconvolution, which does not shrink covariances
pytestmark = pytest.mark.filterwarnings("ignore::ndtools.errors.NumericalWarning")

KNOWN = [key for key in published.NETWORKS if key.split("/")[0] in NAMES]
SLOW = ("densenet121/nd", "dpn92/nd")
"""Networks that take more than two seconds here; the script compares them."""


def outline(name, norm):
    with torch.device("meta"):
        return build(name, norm)


@pytest.mark.parametrize("key", KNOWN)
def test_parameters_have_the_published_names_and_shapes(key):
    name, arm = key.split("/")
    network = outline(name, published.ARMS[arm])
    assert {name: tuple(value.shape) for name, value in network.named_parameters()} == dict(
        published.parameters_of(key)
    )


@pytest.mark.parametrize("key", published.QUICK)
def test_outputs_gradients_and_averages_are_the_published_ones(key):
    wanted, ours = published.recorded(key), published.computed(key, published.network_of(key))
    for name in ("y0", "loss", "y1", "yeval"):
        difference = np.abs(ours[name] - wanted[name]).max() / np.abs(wanted[name]).max()
        assert difference <= published.allowed(key), f"{name} is off by {difference:.1e} of its largest value"
    difference = np.abs(ours["gradnorm"] - wanted["gradnorm"])
    # gradients of biases before a normalisation are nothing but rounding of larger gradients
    limit = published.allowed(key) * (wanted["gradnorm"] + 0.01 * wanted["gradnorm"].max())
    names = [name for name, _ in published.parameters_of(key)]
    assert not [names[i] for i in np.flatnonzero(difference > limit)]


@pytest.mark.parametrize("key", [key for key in KNOWN if key not in (*published.QUICK, *SLOW)])
def test_outputs_of_large_networks_are_the_published_ones(key):
    real("published_networks.npz")
    with torch.no_grad():
        ours = published.network_of(key)(published.batches()[0]).numpy()
    wanted = published.recorded(key)["y0"]
    assert np.abs(ours - wanted).max() <= published.allowed(key) * np.abs(wanted).max()


@pytest.mark.parametrize(
    ("name", "convolutions", "millions"),
    [("dpn92", 95, 34.180), ("pnasnet_a", 23, 0.128), ("pnasnet_b", 83, 0.445)],
)
def test_sizes_of_deconvolution_networks_are_the_published_ones(name, convolutions, millions):
    for norm in "deconv", "deconv-reference":
        network = outline(name, norm)
        assert sum(isinstance(module, FastDeconv2d) for module in network.modules()) == convolutions
        assert round(sum(value.numel() for value in network.parameters()) / 1e6, 3) == millions
        assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def test_the_published_efficientnet_deconvolves_in_its_first_and_last_layer_and_keeps_50_batch_normalisations():
    network = outline("efficientnet_b0", "deconv-reference")
    deconvolving = [name for name, m in network.named_modules() if isinstance(m, FastDeconv2d | DeconvLinear)]
    assert deconvolving == ["conv1", "linear"]
    assert sum(isinstance(module, nn.BatchNorm2d) for module in network.modules()) == 50
    assert sum(isinstance(module, nn.BatchNorm2d) for module in outline("efficientnet_b0", "deconv").modules()) == 0


def test_our_efficientnet_deconvolves_in_every_convolution():
    network = outline("efficientnet_b0", "deconv")
    *convolutions, linear = (module for module in network.modules() if hasattr(module, "weight"))
    assert all(isinstance(module, FastDeconv2d) for module in convolutions)
    assert type(linear) is nn.Linear
    assert len(convolutions) == 83  # 16 blocks of five, two shortcuts, the first convolution
