"""The input of a convolution and its deconvolution, channel by channel."""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import conv2d

from ndtools.layers.config import DeconvConfig
from ndtools.layers.conv import FastDeconv2d

__all__ = ["Deconvolved", "deconvolved_input"]


@dataclass(frozen=True, eq=False)
class Deconvolved:
    """Input of a convolution at the pixels where its deconvolution has outputs, and these outputs.

    Attributes
    ----------
    inputs, outputs : array of shape (C, h, w)
        float32: the input channels, and the centre outputs of D(x - μ) for each.
    kernel : (int, int)
        Height and width of the kernel in pixels.
    block : int
        Number of channels that are decorrelated together.
    own : bool
        Whether D is that of this input, and not of the layer's training.
    samples : int
        Number of patches that a D of this input comes from; else 0.
    gain : float
        Largest sum of the absolute weights that make an output.
    """

    inputs: NDArray[np.float32]
    outputs: NDArray[np.float32]
    kernel: tuple[int, int]
    block: int
    own: bool
    samples: int
    gain: float


def deconvolved_input(layer: nn.Conv2d, x: Tensor, *, trained: bool, first: bool) -> Deconvolved:
    """Deconvolve the input of a convolution.

    A trained layer that deconvolves has its own D and μ. For any other layer they are computed from this input, at all
    of its positions, with the settings of the layer or, for one that does not deconvolve, the default ones.

    Parameters
    ----------
    layer : Conv2d
        Convolution, with or without deconvolution.
    x : Tensor of shape (1, C, H, W)
        Input of the layer.
    trained : bool
        Whether the layer has averages of training batches, if it deconvolves.
    first : bool
        Whether it is the first convolution of its network, whose default settings differ.

    Returns
    -------
    Deconvolved
        Input channels and outputs of the same shape.

    Raises
    ------
    ValueError
        If the input is smaller than the kernel.
    """
    own = not (trained and isinstance(layer, FastDeconv2d))
    with torch.no_grad():
        deconvolving = _probe(layer, first=first).to(x) if own else layer
        assert isinstance(deconvolving, FastDeconv2d)
        whitening = deconvolving.whitening
        batch, sampler = deconvolving.sampled_input(x)
        if own:
            whitening.train()
            batch, statistics = whitening.statistics(batch, sampler)
        else:
            statistics = whitening.running_statistics()
        # A weight that passes each channel's centre pixel on: whitening folded into it gives D's rows of these pixels.
        group = layer.in_channels // layer.groups
        centre = [size // 2 for size in layer.kernel_size]
        weight = torch.zeros(layer.in_channels, group, *layer.kernel_size, device=x.device, dtype=x.dtype)
        channels = torch.arange(layer.in_channels)
        weight[channels, channels % group, centre[0], centre[1]] = 1.0
        folded, shift = whitening.fold(weight, statistics)
        padded = layer.padding_mode == "zeros"
        outputs = conv2d(
            batch,
            folded.to(x.dtype),
            shift.to(x.dtype),
            padding=layer.padding if padded else 0,
            dilation=layer.dilation,
            groups=layer.groups,
        )
    sides = deconvolving.padding_sides
    starts = [d * c - before for d, c, (before, _) in zip(layer.dilation, centre, sides, strict=True)]
    inputs, outputs = _aligned(x[0], outputs[0], starts)
    positions = math.prod(
        size + sum(side) - d * (k - 1)
        for size, side, d, k in zip(x.shape[2:], sides, layer.dilation, layer.kernel_size, strict=True)
    )
    height, width = layer.kernel_size
    return Deconvolved(
        inputs=inputs.float().cpu().numpy(),
        outputs=outputs.float().cpu().numpy(),
        kernel=(height, width),
        block=max(part.size for part in whitening.parts),
        own=own,
        samples=positions if own else 0,
        gain=float(folded.abs().sum((1, 2, 3)).max()),
    )


def _probe(layer: nn.Conv2d, *, first: bool) -> FastDeconv2d:
    """Return a layer of the same geometry that deconvolves by the statistics of its input at all positions."""
    if isinstance(layer, FastDeconv2d):
        config = layer.whitening.config
    else:
        config = DeconvConfig().for_first_layer() if first else DeconvConfig()
    config = replace(config, sampling_stride=1, freeze_after=None, refresh_every=1, sync=False)
    with torch.random.fork_rng(devices=[]):  # its weight is drawn, and never used
        return FastDeconv2d(
            layer.in_channels,
            layer.groups,
            layer.kernel_size,
            padding=layer.padding,
            dilation=layer.dilation,
            groups=layer.groups,
            padding_mode=layer.padding_mode,
            config=config,
        )


def _aligned(inputs: Tensor, outputs: Tensor, starts: list[int]) -> tuple[Tensor, Tensor]:
    """Return the parts of input and output that belong to the same pixels."""
    # The first output along an axis belongs to the pixel of the input that ``starts`` names; it is negative if the
    # padding is more than half of the kernel.
    for axis, start in enumerate(starts, 1):
        low = max(start, 0)
        high = min(inputs.shape[axis], outputs.shape[axis] + start)
        inputs = inputs.narrow(axis, low, high - low)
        outputs = outputs.narrow(axis, low - start, high - low)
    return inputs, outputs
