"""The stages of a deconvolution layer, each on its own: the published code's arithmetic, and this project's."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import conv2d, unfold

from ndtools.experiments.timing.table import TimedLayer
from ndtools.layers.config import DeconvConfig
from ndtools.layers.conv import FastDeconv2d
from ndtools.layers.sampling import Sampling

__all__ = ["Stage", "Tensors", "memory_needed", "our_stages", "published_stages"]

Tensors = tuple[Tensor, ...]


@dataclass(frozen=True, eq=False)
class Stage:
    """One step of a layer, on inputs of its own.

    Attributes
    ----------
    function : callable
        Function of the inputs.
    inputs : tuple of Tensor
        Inputs of the function, apart from any graph.
    """

    function: Callable[..., Tensors]
    inputs: Tensors

    def outputs(self) -> Tensors:
        """Return what it computes."""
        return self.function(*self.inputs)


def published_stages(
    layer: TimedLayer, x: Tensor, weight: Tensor, bias: Tensor, config: DeconvConfig
) -> dict[str, Stage]:
    """Take the published code's layer apart (Ye et al. 2020, A.8; without groups of the convolution).

    Parameters
    ----------
    layer : TimedLayer
        Row of the table that describes the layer.
    x : Tensor of shape (N, C, H, W)
        Images that the layer sees.
    weight, bias : Tensor
        Weight and bias of the convolution.
    config : DeconvConfig
        For ``eps`` and ``n_iter``.

    Returns
    -------
    dict
        "im2col", "covariance", "inverse", "fold", "convolution", in this order.
    """
    k, features, blocks = layer.kernel_size, layer.features, layer.groups

    def im2col(x: Tensor) -> Tensors:
        columns = unfold(x, k, padding=k // 2, stride=layer.sampling_stride).transpose(1, 2).contiguous()
        return (columns.view(-1, features, blocks).transpose(1, 2).contiguous().view(-1, features),)

    def covariance(rows: Tensor) -> Tensors:
        mean = rows.mean(0)
        centred = rows - mean[None]
        eye = torch.eye(features, dtype=rows.dtype, device=rows.device)
        return mean, torch.addmm(eye, centred.t(), centred, beta=config.eps, alpha=1 / len(rows))

    def inverse(a: Tensor) -> Tensors:
        norm = a.norm()
        eye = torch.eye(features, dtype=a.dtype, device=a.device)
        y, z = a.div(norm), eye
        for _ in range(config.n_iter):
            t = torch.addmm(eye, z, y, beta=1.5, alpha=-0.5)
            y = y.mm(t)
            z = t.mm(z)
        return (z / torch.sqrt(norm),)

    def fold(weight: Tensor, bias: Tensor, mean: Tensor, d: Tensor) -> Tensors:
        w = weight.reshape(-1, features, blocks).transpose(1, 2).contiguous().view(-1, features) @ d
        b = bias - (w @ mean[:, None]).view(len(weight), -1).sum(1)
        return w.view(-1, blocks, features).transpose(1, 2).contiguous().view(weight.shape), b

    with torch.no_grad():
        (rows,) = im2col(x)
        mean, a = covariance(rows)
        (d,) = inverse(a)
        folded = fold(weight, bias, mean, d)
    return {
        "im2col": Stage(im2col, (x,)),
        "covariance": Stage(covariance, (rows,)),
        "inverse": Stage(inverse, (a,)),
        "fold": Stage(fold, (weight, bias, mean, d)),
        "convolution": Stage(lambda x, w, b: (conv2d(x, w, b, padding=k // 2),), (x, *folded)),
    }


def our_stages(layer: TimedLayer, x: Tensor, weight: Tensor, bias: Tensor, config: DeconvConfig) -> dict[str, Stage]:
    """Take a :class:`ndtools.FastDeconv2d` apart, in training.

    Parameters
    ----------
    layer, x, weight, bias
        As of `published_stages`.
    config : DeconvConfig
        Settings of the layer; its blocks and sampling stride become those of ``layer``.

    Returns
    -------
    dict
        "im2col", "covariance", "inverse", "statistics" (the three before as the layer does them, and its moving
        averages), "fold", "convolution", in this order.
    """
    module = our_layer(layer, config, x)
    whitening = module.whitening
    x, sampler = module.sampled_input(x)
    sampling = whitening.sampling(x, sampler)

    def covariance(x: Tensor) -> Tensors:
        x, _, moments = whitening.moments(x, gathered)
        return x, *itertools.chain(*moments)

    def inverse(*covariances: Tensor) -> Tensors:
        return tuple(whitening.inverse_sqrt(each) for each in covariances)

    def statistics(x: Tensor) -> Tensors:
        x, found = whitening.statistics(x, sampler)
        return x, *itertools.chain(*found)

    def fold(weight: Tensor, bias: Tensor, *flat: Tensor) -> Tensors:
        folded, shift = whitening.fold(weight, list(zip(flat[::2], flat[1::2], strict=True)))
        return folded, bias + shift

    with torch.no_grad():
        gathered = _Gathered(sampling.gather(x))
        _, *moments = covariance(x)
        covariances = tuple(moments[1::2])
        found = tuple(itertools.chain(*zip(moments[::2], inverse(*covariances), strict=True)))
        folded = fold(weight, bias, *found)
    return {
        "im2col": Stage(lambda x: _Gather.apply(x, sampling), (x,)),  # type: ignore[no-untyped-call]
        "covariance": Stage(covariance, (x,)),
        "inverse": Stage(inverse, covariances),
        "statistics": Stage(statistics, (x,)),
        "fold": Stage(fold, (weight, bias, *found)),
        "convolution": Stage(lambda x, w, b: (conv2d(x, w, b, padding=module.padding),), (x, *folded)),
    }


@dataclass(frozen=True, eq=False)
class _Gathered:
    """Features that are there already: what is left of the moments is the covariance."""

    features: Tensor

    def gather(self, x: Tensor) -> Tensor:  # noqa: ARG002
        return self.features  # centred in place, again and again, at the same cost

    def scatter_add(self, grad: Tensor, features: Tensor) -> None:
        pass


class _Gather(torch.autograd.Function):
    """Sampling alone. Backwards it adds to a gradient of the input, as in the layer."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, sampling: Sampling) -> Tensors:  # noqa: ANN401
        ctx.sampling = sampling
        return x, sampling.gather(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, of_features: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        ctx.sampling.scatter_add(grad, of_features)
        return grad, None


def our_layer(layer: TimedLayer, config: DeconvConfig, like: Tensor) -> FastDeconv2d:
    """Build the layer of a row.

    Parameters
    ----------
    layer : TimedLayer
        Row of the table.
    config : DeconvConfig
        Its blocks and sampling stride become those of the row.
    like : Tensor
        Tensor of the wanted dtype and device.

    Returns
    -------
    FastDeconv2d
        Layer in training mode.
    """
    return FastDeconv2d(
        layer.in_channels,
        layer.out_channels,
        layer.kernel_size,
        padding=layer.kernel_size // 2,
        device=like.device,
        dtype=like.dtype,
        config=replace(config, block_size=layer.block_size, sampling_stride=layer.sampling_stride),
    )


def memory_needed(layer: TimedLayer, batch_size: int, *, backward: bool) -> int:
    """Estimate the memory in which the stages of a row run, in float32.

    Parameters
    ----------
    layer : TimedLayer
        Row of the table.
    batch_size : int
        Number of images.
    backward : bool
        Whether gradients are taken.

    Returns
    -------
    int
        Number of bytes.
    """
    k, pixels = layer.kernel_size, layer.size**2
    positions = ((layer.size + 2 * (k // 2) - k) // layer.sampling_stride + 1) ** 2
    images, outputs = (batch_size * c * pixels for c in (layer.in_channels, layer.out_channels))
    patches = batch_size * positions * layer.in_channels * k * k
    matrices = layer.groups * layer.features**2
    kept = images + 2 * patches + 4 * matrices
    each = max(2 * patches + images, 2 * outputs + images, 8 * matrices)
    floats = kept + (2 * each + 20 * matrices if backward else each)
    return 5 * floats  # of 4 bytes, and what the allocator keeps: the processes measured took up to 1.2 times as much
