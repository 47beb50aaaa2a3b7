"""Convolutions that decorrelate their input first: pixels and channels of each patch (Ye et al. 2020, sec. 4)."""

import math
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import conv1d, conv2d, conv3d, pad
from torch.nn.modules.conv import _ConvNd

from ndtools.layers.checks import check_arguments, check_config, check_dtype
from ndtools.layers.config import DeconvConfig
from ndtools.layers.samples import each_normalised
from ndtools.layers.sampling import Pixels, Sampler, Sampling, patches_of
from ndtools.layers.whitening import Whitening

__all__ = ["FastDeconv1d", "FastDeconv2d", "FastDeconv3d", "FastDeconvNd", "WhitenedConvolution"]


class WhitenedConvolution(_ConvNd):
    """Whitening of the patches of a convolution's input, plain or transposed; a mixin for torch's classes.

    Parameters
    ----------
    *args, **kwargs
        All arguments of torch's class.
    config : DeconvConfig, optional
        Settings of the deconvolution; ``DeconvConfig()`` by default.
    """

    def __init__(self, *args: Any, config: DeconvConfig | None = None, **kwargs: Any) -> None:  # noqa: ANN401
        check_config("config", config)
        check_arguments(type(self).__name__, kwargs)
        super().__init__(*args, **kwargs)
        self.whitening = Whitening(
            self.in_channels,
            math.prod(self.kernel_size),
            config or DeconvConfig(),
            groups=self.groups,
            device=self.weight.device,
            dtype=self.weight.dtype,
        )

    def reset_parameters(self) -> None:
        """Draw weight and bias anew, as torch's convolutions do, and discard the running statistics."""
        super().reset_parameters()
        if hasattr(self, "whitening"):  # not yet when torch's constructor calls
            self.whitening.reset_running_stats()

    def checked_batch(self, x: Tensor) -> Tensor:
        """Return an input as a batch, if its axes, channels and dtype are those of the layer, normalised if configured.

        Parameters
        ----------
        x : Tensor of shape (N, C, ...) or (C, ...)
            Input of the layer.

        Returns
        -------
        Tensor of shape (N, C, ...)
            The batch; N is 1 for an input without that axis.

        Raises
        ------
        ValueError
            If the input has another number of axes or channels.
        TypeError
            If the input is of another dtype than the weights.
        """
        dims = len(self.kernel_size)
        batch = x if x.dim() == dims + 2 else x[None]
        if batch.dim() != dims + 2:
            raise ValueError(f"expected an input with {dims + 2} axes, or {dims + 1} without N, got {tuple(x.shape)}")
        if batch.shape[1] != self.in_channels:
            raise ValueError(f"expected {self.in_channels} channels, got {batch.shape[1]} in shape {tuple(x.shape)}")
        check_dtype(x, self.weight.dtype)
        return each_normalised(batch, self.whitening.config, axes=dims + 1)


class FastDeconvNd(WhitenedConvolution):
    """Forward pass of the plain convolutions, of one to three dimensions."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer.

        Parameters
        ----------
        x : Tensor of shape (N, C, ...) or (C, ...)
            Signals, images or volumes.

        Returns
        -------
        Tensor of shape (N, O, ...) or (O, ...)
            Output of the shape that torch's convolution gives.

        Raises
        ------
        ValueError
            If the input has another number of axes or channels, is smaller than the kernel, or is a training batch
            without samples.
        TypeError
            If the input is of another dtype than the weights.
        """
        dims = len(self.kernel_size)
        batch, weight, shift = self.whitening.folded_weight(*self.sampled_input(x), self.weight)
        bias = shift if self.bias is None else self.bias + shift
        padding = self.padding if self.padding_mode == "zeros" else (0,) * dims
        convolve = (conv1d, conv2d, conv3d)[dims - 1]
        dtype = self.weight.dtype
        out: Tensor = convolve(
            batch, weight.to(dtype), bias.to(dtype), self.stride, padding, self.dilation, self.groups
        )
        return out if x.dim() == dims + 2 else out[0]

    def sampled_input(self, x: Tensor) -> tuple[Tensor, Sampler]:
        """Return the input as a batch, and the choice of the patches of it whose statistics are taken.

        Parameters
        ----------
        x : Tensor of shape (N, C, ...) or (C, ...)
            Input of the layer.

        Returns
        -------
        x : Tensor of shape (N, C, ...)
            The batch; padded already unless ``padding_mode`` is "zeros".
        sampler : Sampler
            Choice of patches, which include the padding by zeros.

        Raises
        ------
        ValueError
            If the input has another number of axes or channels, or is smaller than the kernel.
        TypeError
            If the input is of another dtype than the weights.
        """
        batch, sides = self.checked_batch(x), self.padding_sides
        reaches = [(k - 1) * d + 1 for k, d in zip(self.kernel_size, self.dilation, strict=True)]
        padded = [n + sum(side) for n, side in zip(batch.shape[2:], sides, strict=True)]
        if any(n < reach for n, reach in zip(padded, reaches, strict=True)):
            raise ValueError(f"a kernel that reaches over {reaches} pixels does not fit in {padded}, padding included")
        if self.padding_mode != "zeros":
            batch = pad(batch, [n for side in reversed(sides) for n in side], mode=self.padding_mode)
            sides = [(0, 0)] * len(sides)
        sizes, grid = batch.shape[2:], self.whitening.config.grid

        def sampler(images: int, sampling: int, turn: int) -> Sampling:
            # A row of pixels depends on how images are dealt into batches, which does not matter where all are pooled.
            if grid == "corner" and self.whitening.taps == 1 and not self.whitening.averages_all:
                return Pixels(math.prod(sampling * s for s in self.stride))
            return patches_of(
                images,
                sampling,
                turn,
                patches=self.whitening.channels_needed * self.whitening.taps,
                sizes=sizes,
                kernel=self.kernel_size,
                stride=self.stride,
                dilation=self.dilation,
                padding=sides,
                grid=grid,
            )

        return batch, sampler

    @property
    def padding_sides(self) -> list[tuple[int, int]]:
        """Padding before and after the input along each axis, pixels."""
        if self.padding == "same":  # of an odd total, torch puts the larger half behind
            totals = [(k - 1) * d for k, d in zip(self.kernel_size, self.dilation, strict=True)]
            return [(total // 2, total - total // 2) for total in totals]
        if self.padding == "valid":
            return [(0, 0)] * len(self.kernel_size)
        return [(int(n), int(n)) for n in self.padding]


class FastDeconv1d(FastDeconvNd, nn.Conv1d):
    """Convolution of deconvolved signals, in place of :class:`torch.nn.Conv1d`.

    Parameters
    ----------
    *args, **kwargs
        All arguments of :class:`torch.nn.Conv1d`.
    config : DeconvConfig, optional
        Settings of the deconvolution; ``DeconvConfig()`` by default.
    """


class FastDeconv2d(FastDeconvNd, nn.Conv2d):
    """Convolution of deconvolved images, in place of :class:`torch.nn.Conv2d`.

    Parameters
    ----------
    *args, **kwargs
        All arguments of :class:`torch.nn.Conv2d`.
    config : DeconvConfig, optional
        Settings of the deconvolution; ``DeconvConfig()`` by default.

    Examples
    --------
    >>> import torch
    >>> layer = FastDeconv2d(8, 6, 3, padding=1, config=DeconvConfig.reference(block_size=4))
    >>> layer(torch.randn(10, 8, 16, 16)).shape
    torch.Size([10, 6, 16, 16])
    """


class FastDeconv3d(FastDeconvNd, nn.Conv3d):
    """Convolution of deconvolved volumes, in place of :class:`torch.nn.Conv3d`.

    Parameters
    ----------
    *args, **kwargs
        All arguments of :class:`torch.nn.Conv3d`.
    config : DeconvConfig, optional
        Settings of the deconvolution; ``DeconvConfig()`` by default.
    """
