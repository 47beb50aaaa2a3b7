"""Transposed convolutions against those of the published code, which differ from ndtools' in two ways.

The recorded layer (6 -> 6 channels, 3×3, stride 2, padding 1) is that of the first author's successor of the method
(AAAI 2022), with layer normalisation of each image and the settings of the published code otherwise. It takes its
statistics from patches of its input, as a convolution with the same stride would. ndtools takes them from patches of
the image with zeros between its pixels, which are the patches that the layer multiplies. And it multiplies D with the
weight without exchanging input and output channels, so that D acts on output channels. Here both are undone: with the
statistics of a plain convolution, and channels exchanged in the folded weight, ndtools computes the recorded outputs.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import conv_transpose2d

from ndtools.layers.config import DeconvConfig
from ndtools.layers.conv import FastDeconv2d
from ndtools.layers.conv_transpose import FastDeconvTranspose2d
from ndtools.surgery.fold import fold
from tests.tolerance import assert_equal_to_rounding

EPS = 1e-5
SHAPE = {"in_channels": 6, "out_channels": 6, "kernel_size": 3, "stride": 2, "padding": 1}


@pytest.fixture(scope="module")
def recorded():
    with np.load(Path(__file__).parents[1] / "oracles" / "published_transposed.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def normalised(images):
    """Images without mean and scale, by the unbiased standard deviation."""
    flat = images.flatten(1)
    return ((flat - flat.mean(1, keepdim=True)) / (flat.std(1, keepdim=True) + EPS)).view_as(images)


def statistics(recorded, dtype, *, steps, momentum=0.1):
    """State of a plain convolution's statistics after training batches."""
    config = DeconvConfig.reference(block_size=6, momentum=momentum, eps=EPS)
    layer = FastDeconv2d(**SHAPE, config=config, dtype=dtype)
    with torch.no_grad():
        for step in range(steps):
            layer(normalised(recorded[f"x{step}"]).to(dtype))
    return layer.whitening.state_dict()


def output(recorded, state, images, dtype):
    """Output of the folded layer with these statistics, after its input and output channels are exchanged."""
    layer = FastDeconvTranspose2d(**SHAPE, config=DeconvConfig.reference(block_size=6), dtype=dtype)
    layer.whitening.load_state_dict(state)
    # the layer exchanges the channels of its weight before it multiplies D: here they are exchanged beforehand
    layer.weight = nn.Parameter(recorded["weight"].transpose(0, 1).to(dtype))
    layer.bias = nn.Parameter(recorded["bias"].to(dtype))
    folded, _ = fold(layer, images.to(dtype))
    return conv_transpose2d(images.to(dtype), folded.weight.transpose(0, 1), folded.bias, stride=2, padding=1).detach()


@pytest.mark.filterwarnings("ignore::ndtools.errors.NumericalWarning")
def test_the_statistics_are_those_of_a_convolution_with_the_same_stride(recorded):
    found = {dtype: statistics(recorded, dtype, steps=3) for dtype in (torch.float64, torch.float32)}
    for name, wanted in ("running_mean", "running_mean"), ("running_deconv", "running_cov_isqrt"):
        double, single = (found[dtype][name].view_as(recorded[wanted]) for dtype in found)
        assert_equal_to_rounding(double, recorded[wanted], single=single, name=name)


@pytest.mark.filterwarnings("ignore::ndtools.errors.NumericalWarning")
@pytest.mark.parametrize(("step", "momentum", "images", "wanted"), [(1, 1.0, "x0", "y0"), (3, 0.1, "x2", "yeval")])
def test_the_outputs_follow_when_channels_are_exchanged(recorded, step, momentum, images, wanted):
    """In training, where the statistics are those of the batch, and in evaluation."""
    found = {}
    for dtype in (torch.float64, torch.float32):
        state = statistics(recorded, dtype, steps=step, momentum=momentum)
        found[dtype] = output(recorded, state, normalised(recorded[images]), dtype)
    assert_equal_to_rounding(found[torch.float64], recorded[wanted], single=found[torch.float32], name=wanted)
