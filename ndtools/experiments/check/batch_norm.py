"""The claim that with k = 1 and B = 1 network deconvolution is batch normalisation (sec. 5)."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import batch_norm, conv2d

from ndtools.experiments.check.arithmetic import relative, rounding
from ndtools.experiments.check.config import CheckConfig
from ndtools.experiments.check.result import Comparison, Curve, Outcome
from ndtools.experiments.check.samples import Samples
from ndtools.layers.config import DeconvConfig
from ndtools.layers.conv import FastDeconv2d

__all__ = ["check"]

CHANNELS = 8
LEAST, MOST = 0.25, 4.0  # factors of the channels, so that their scales differ


def check(samples: Samples, config: CheckConfig) -> Outcome:
    """Compare deconvolution of 1×1 patches, in blocks of one channel, with torch's batch normalisation.

    Parameters
    ----------
    samples : Samples
        Crops of images.
    config : CheckConfig
        Configuration of the run.

    Returns
    -------
    Outcome
        Outputs and gradients with statistics of each channel, and with those of the published code.
    """
    dtype = getattr(torch, config.dtype)
    maps = _feature_maps(samples.crops, config.seed).to(dtype)
    eps = config.eps
    forms = {
        "per channel": DeconvConfig.paper(block_size=1, sampling_stride=1, eps=eps, shrinkage="none"),
        "published code": DeconvConfig.reference(block_size=1, sampling_stride=1, eps=eps),
    }
    wanted, wanted_gradient = _output_and_gradient(
        maps.double(), lambda x: batch_norm(x, None, None, training=True, eps=eps)
    )
    found = {name: _output_and_gradient(maps, _layer(maps, form)) for name, form in forms.items()}
    # Values far from 0 in units of their standard deviation lose digits when the mean is subtracted.
    flat = maps.double().movedim(1, 0).flatten(1)
    variance = flat.var(1, correction=0) + eps
    condition = float((flat.square().mean(1) / variance).max())
    bound = rounding(dtype, condition, terms=flat.shape[1])
    output, gradient = found["per channel"]
    shared, _ = found["published code"]
    comparisons = (
        Comparison("output, statistics per channel", relative(output, wanted), bound),
        Comparison("gradient, statistics per channel", relative(gradient, wanted_gradient), bound),
        Comparison("output, published code", relative(shared, wanted), bound, decides=False),
        Comparison(
            "gradient, published code", relative(found["published code"][1], wanted_gradient), bound, decides=False
        ),
    )
    spreads = {"input": _spread(maps), "per_channel": _spread(output), "published_code": _spread(shared)}
    channels = np.arange(1.0, CHANNELS + 1)
    low, high = spreads["published_code"].min(), spreads["published_code"].max()
    return Outcome(
        name="batch-norm",
        where="sec. 5",
        statement="With k = 1 and B = 1, network deconvolution is batch normalisation.",
        compared="a training batch and its gradient, with torch's batch_norm",
        comparisons=comparisons,
        finding=(
            "The claim holds for the method as the paper describes it: each channel has its own mean and its own D,"
            " and the layer gives what batch normalisation gives. It does not hold for the published code, where all"
            " channels have one mean and one D in common. Its outputs have standard deviations from"
            f" {low:.2g} (least of the channels) to {high:.2g} (largest), where batch normalisation gives 1 to each"
            " channel."
        ),
        curves=tuple(Curve(key, channels, values) for key, values in spreads.items()),
    )


def _feature_maps(crops: Tensor, seed: int) -> Tensor:
    """Return magnitudes of outputs of random 3×3 filters, with scales that differ."""
    generator = torch.Generator().manual_seed(seed)
    filters = torch.randn(CHANNELS, crops.shape[1], 3, 3, generator=generator, dtype=crops.dtype).to(crops.device)
    scales = torch.logspace(np.log2(LEAST), np.log2(MOST), CHANNELS, base=2, dtype=crops.dtype, device=crops.device)
    return scales[:, None, None] * conv2d(crops, filters).abs()


def _layer(maps: Tensor, form: DeconvConfig) -> FastDeconv2d:
    """Return a 1×1 convolution that passes its deconvolved input on."""
    layer = FastDeconv2d(CHANNELS, CHANNELS, 1, bias=False, dtype=maps.dtype, device=maps.device, config=form)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(CHANNELS)[..., None, None])
    return layer


def _output_and_gradient(maps: Tensor, layer: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Return the output of a layer, and the gradient of Σ y⁴/4 with respect to its input."""
    inputs = maps.detach().clone().requires_grad_()
    output = layer(inputs)
    (gradient,) = torch.autograd.grad(output.pow(4).sum() / 4, inputs)
    return output.detach(), gradient


def _spread(maps: Tensor) -> np.ndarray:
    """Return the standard deviation of each channel."""
    return np.asarray(maps.double().movedim(1, 0).flatten(1).std(1, correction=0).cpu().numpy())
