"""Transposed convolutions that decorrelate their input first, as the convolutions that they are."""

import math
from collections.abc import Sequence
from typing import Any, cast

from torch import Tensor, nn
from torch.nn.functional import conv_transpose1d, conv_transpose2d, conv_transpose3d
from torch.nn.modules.conv import _ConvTransposeNd

from ndtools.layers.conv import WhitenedConvolution
from ndtools.layers.sampling import Sampler, Sampling, ZeroStuffed, patches_of

__all__ = [
    "FastDeconvTranspose1d",
    "FastDeconvTranspose2d",
    "FastDeconvTranspose3d",
    "FastDeconvTransposeNd",
    "exchanged",
]


class FastDeconvTransposeNd(WhitenedConvolution, _ConvTransposeNd):
    """Forward pass of the transposed convolutions, of one to three dimensions.

    A transposed convolution is a convolution with stride 1 of its input with s − 1 zeros put between neighbouring
    pixels (s its stride) and zeros around it, by the flipped kernel with input and output channels exchanged. The
    patches of that convolution, zeros included, are whitened like those of any other. D is merged into the weight;
    zeros are put only into the patches that are sampled for the statistics.

    The transposed layers of the published code are another method, also under ``DeconvConfig.reference()``: they take
    the statistics of the input without zeros, and multiply D with the output channels of the weight.
    """

    padding: tuple[int, ...]  # never one of torch's words, such as "same"

    def forward(self, x: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """Apply the layer.

        Parameters
        ----------
        x : Tensor of shape (N, C, ...) or (C, ...)
            Signals, images or volumes.
        output_size : sequence of int, optional
            Size of the output, with or without the axes before the pixels, where the stride leaves a choice; by
            default it follows from ``output_padding``.

        Returns
        -------
        Tensor of shape (N, O, ...) or (O, ...)
            Output of the shape that torch's transposed convolution gives.

        Raises
        ------
        ValueError
            If the input has another number of axes or channels, or gives no output, or is a training batch without
            samples, or if no padding of the output gives ``output_size``.
        TypeError
            If the input is of another dtype than the weights.
        """
        dims = len(self.kernel_size)
        batch, sampler = self.sampled_input(x, output_size)
        weight = exchanged(self.weight, self.groups)
        batch, weight, shift = self.whitening.folded_weight(batch, sampler, weight)
        weight = exchanged(weight, self.groups)
        bias = shift if self.bias is None else self.bias + shift
        dtype = self.weight.dtype
        convolve: Any = (conv_transpose1d, conv_transpose2d, conv_transpose3d)[dims - 1]
        out: Tensor = convolve(
            batch,
            weight.to(dtype),
            bias.to(dtype),
            self.stride,
            self.padding,
            self._padding_of_output(batch, output_size),
            self.groups,
            self.dilation,
        )
        return out if x.dim() == dims + 2 else out[0]

    def sampled_input(self, x: Tensor, output_size: Sequence[int] | None = None) -> tuple[Tensor, Sampler]:
        """Return the input as a batch, and the choice of the patches of it whose statistics are taken.

        Parameters
        ----------
        x : Tensor of shape (N, C, ...) or (C, ...)
            Input of the layer.
        output_size : sequence of int, optional
            Size of the output, as in `forward`.

        Returns
        -------
        x : Tensor of shape (N, C, ...)
            Batch of images.
        sampler : Sampler
            Choice of patches of this batch with zeros between its pixels and around them (`ZeroStuffed`).

        Raises
        ------
        ValueError
            If the input has another number of axes or channels, or gives no output.
        TypeError
            If the input is of another dtype than the weights.
        """
        batch = self.checked_batch(x)
        config, stride = self.whitening.config, tuple(self.stride)
        reaches = [(k - 1) * d for k, d in zip(self.kernel_size, self.dilation, strict=True)]
        added = self._padding_of_output(batch, output_size)
        padding = [(reach - p, reach - p + more) for reach, p, more in zip(reaches, self.padding, added, strict=True)]
        stuffed = [(n - 1) * s + 1 for n, s in zip(batch.shape[2:], stride, strict=True)]
        outputs = [n + sum(sides) - reach for n, sides, reach in zip(stuffed, padding, reaches, strict=True)]
        if min(outputs) < 1:
            raise ValueError(f"an input of shape {tuple(x.shape)} gives an output of {outputs} pixels")

        def sampler(images: int, sampling: int, turn: int) -> Sampling:
            patches = patches_of(
                images,
                sampling,
                turn,
                patches=self._patches_needed,
                sizes=stuffed,
                kernel=self.kernel_size,
                stride=(1,) * len(stride),
                dilation=self.dilation,
                padding=padding,
                grid=config.grid,
                periods=stride,
            )
            return ZeroStuffed(stride, patches)

        return batch, sampler

    @property
    def _patches_needed(self) -> int:
        """Number of patches without which a block's covariance is singular.

        The pattern of zeros has s phases along an axis of stride s. In each, some taps lie on pixels and all others on
        zeros, so that the features on pixels need as many patches of their phase.
        """
        needed = self.whitening.channels_needed
        for k, s, d in zip(self.kernel_size, self.stride, self.dilation, strict=True):
            taps_apart = s // math.gcd(s, d)  # taps of one phase are this many taps apart
            needed *= s * -(-k // taps_apart)
        return needed

    def _padding_of_output(self, batch: Tensor, output_size: Sequence[int] | None) -> list[int]:
        output_padding = cast(Any, self._output_padding)  # annotated for lists, torch gives it the tuples of its layers
        dims = len(self.kernel_size)
        added: list[int] = output_padding(
            batch, output_size, self.stride, self.padding, self.kernel_size, dims, self.dilation
        )
        return added


def exchanged(weight: Tensor, groups: int) -> Tensor:
    """Return the weight of a transposed convolution as that of the convolution that it is, or back.

    Parameters
    ----------
    weight : Tensor of shape (A, B/G, ...)
        Weight with A channels in front of B.
    groups : int
        Number of groups G of channels.

    Returns
    -------
    Tensor of shape (B, A/G, ...)
        The weight with channels exchanged within each group and the kernel flipped.
    """
    grouped = weight.reshape(groups, -1, *weight.shape[1:])
    return grouped.transpose(1, 2).flatten(0, 1).flip(tuple(range(2, weight.dim())))


class FastDeconvTranspose1d(FastDeconvTransposeNd, nn.ConvTranspose1d):
    """Transposed convolution of deconvolved signals, in place of :class:`torch.nn.ConvTranspose1d`.

    Parameters
    ----------
    *args, **kwargs
        All arguments of :class:`torch.nn.ConvTranspose1d`.
    config : DeconvConfig, optional
        Settings of the deconvolution; ``DeconvConfig()`` by default.
    """


class FastDeconvTranspose2d(FastDeconvTransposeNd, nn.ConvTranspose2d):
    """Transposed convolution of deconvolved images, in place of :class:`torch.nn.ConvTranspose2d`.

    Parameters
    ----------
    *args, **kwargs
        All arguments of :class:`torch.nn.ConvTranspose2d`.
    config : DeconvConfig, optional
        Settings of the deconvolution; ``DeconvConfig()`` by default.

    Examples
    --------
    >>> import torch
    >>> layer = FastDeconvTranspose2d(8, 6, 4, stride=2, padding=1)
    >>> layer(torch.randn(10, 8, 16, 16)).shape
    torch.Size([10, 6, 32, 32])
    """


class FastDeconvTranspose3d(FastDeconvTransposeNd, nn.ConvTranspose3d):
    """Transposed convolution of deconvolved volumes, in place of :class:`torch.nn.ConvTranspose3d`.

    Parameters
    ----------
    *args, **kwargs
        All arguments of :class:`torch.nn.ConvTranspose3d`.
    config : DeconvConfig, optional
        Settings of the deconvolution; ``DeconvConfig()`` by default.
    """
