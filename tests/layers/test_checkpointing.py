"""Activation checkpointing repeats each training pass by its own statistics, whatever came between."""

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from ndtools.errors import NumericalWarning
from ndtools.layers.config import DeconvConfig
from ndtools.layers.conv import FastDeconv2d
from ndtools.layers.passes import MOST

CONFIGS = {
    "staggered": DeconvConfig(block_size=2),
    "refreshed every second batch": DeconvConfig(block_size=2, refresh_every=2),
    "refreshed every third batch": DeconvConfig(block_size=2, refresh_every=3),
    "frozen after one batch": DeconvConfig(block_size=2, freeze_after=1),
    "frozen after two batches": DeconvConfig(block_size=2, freeze_after=2),
    "published": DeconvConfig.reference(block_size=2, refresh_every=2),
}
pytestmark = pytest.mark.filterwarnings("ignore::ndtools.errors.NumericalWarning")


def network(config):
    torch.manual_seed(0)
    return nn.Sequential(
        FastDeconv2d(4, 4, 3, padding=1, dtype=torch.float64, config=config),
        nn.ReLU(),
        FastDeconv2d(4, 3, 3, dtype=torch.float64, config=config),
    )


def images(seed, n=3):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 4, 9, 9, dtype=torch.float64, generator=generator).requires_grad_()


def repeated(reentrant):
    return lambda model, x: checkpoint(model, x, use_reentrant=reentrant)


def gradients(config, through, seeds, order):
    """Gradients of all inputs and parameters after one pass of each input, and then their backward passes."""
    model, inputs = network(config), {seed: images(seed) for seed in seeds}
    losses = [(1 + i) * through(model, inputs[seed]).square().sum() for i, seed in enumerate(seeds)]
    if order == "together":
        sum(losses).backward()
    else:
        for loss in losses if order == "first to last" else reversed(losses):
            loss.backward()
    return [x.grad for x in inputs.values()] + [p.grad for p in model.parameters()]


@pytest.mark.parametrize("order", ["together", "first to last", "last to first"])
@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("name", CONFIGS)
def test_several_passes_before_their_backward_passes(name, reentrant, order):
    seeds = (1, 2, 3)
    expected = gradients(CONFIGS[name], lambda model, x: model(x), seeds, order)
    found = gradients(CONFIGS[name], repeated(reentrant), seeds, order)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_same_images_several_times_in_one_loss(name):
    seeds = (1, 1)
    expected = gradients(CONFIGS[name], lambda model, x: model(x), seeds, "together")
    found = gradients(CONFIGS[name], repeated(False), seeds, "together")
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("refresh_every", "between"), [(2, 4), (1, MOST)])
def test_passes_that_are_forgotten_are_refused(refresh_every, between):
    layer = network(DeconvConfig(refresh_every=refresh_every))[0]
    layer(images(0))
    out = repeated(False)(layer, images(1))
    with torch.no_grad():
        for seed in range(between):
            layer(images(2 + seed, n=1).expand(3, 4, 9, 9))
    with pytest.raises(RuntimeError, match="no longer known.*exclude the layer from checkpointing"):
        out.sum().backward()


def test_a_batch_that_is_not_a_number_is_repeated():
    layer = network(DeconvConfig())[0]
    layer(images(0))
    x = (images(1) * torch.nan).detach().requires_grad_()
    repeated(False)(layer, x).sum().backward()
    assert x.grad.isnan().any()


def test_the_same_input_twice_before_the_backward_pass_warns():
    """Which of both passes is repeated cannot be known, and their grids differ."""
    model, x = network(DeconvConfig(block_size=2))[0], images(0)
    loss = checkpoint(model, x, use_reentrant=False).square().sum()
    with torch.no_grad():
        model(x)
    with pytest.warns(NumericalWarning, match="which one is not known"):
        loss.backward()
