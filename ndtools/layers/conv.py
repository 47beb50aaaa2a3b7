"""Convolutions that decorrelate their input first: pixels and channels of each patch (Ye et al. 2020, sec. 4)."""

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import conv1d, conv2d, conv3d, pad

from ndtools.layers.checks import check_dtype
from ndtools.layers.config import DeconvConfig
from ndtools.layers.sampling import Pixels, Sampling, patches_of
from ndtools.layers.whitening import Whitening

__all__ = ["FastDeconv1d", "FastDeconv2d", "FastDeconv3d"]


class _Deconvolving(nn.modules.conv._ConvNd):
    """What the convolutions have in common; mixed into torch's."""

    def _add_whitening(self, config: DeconvConfig | None) -> None:
        self.whitening = Whitening(
            self.in_channels,
            math.prod(self.kernel_size),
            config or DeconvConfig(),
            groups=self.groups,
            device=self.weight.device,
            dtype=self.weight.dtype,
        )

    def reset_parameters(self) -> None:
        """Draw weight and bias anew, as torch's convolutions do, and forget the running statistics."""
        super().reset_parameters()
        if hasattr(self, "whitening"):  # not yet when torch's constructor calls
            self.whitening.reset_running_stats()

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer.

        Parameters
        ----------
        x : Tensor of shape (N, C, ...) or (C, ...)
            Images.

        Returns
        -------
        Tensor of shape (N, O, ...) or (O, ...)
            As of torch's convolution.

        Raises
        ------
        ValueError
            If the input has another number of axes or channels, is smaller than the kernel, or is a training batch
            without samples.
        TypeError
            If it is of another dtype than the weights.
        """
        dims = len(self.kernel_size)
        batch = x if x.dim() == dims + 2 else x[None]
        sides = self._checked_padding(x, batch)
        if self.padding_mode != "zeros":
            batch, sides = pad(batch, sides, mode=self.padding_mode), [0] * len(sides)
        batch, weight, shift = self.whitening.merge(batch, self._sampling(batch, sides), self.weight)
        bias = shift if self.bias is None else self.bias + shift
        padding = self.padding if self.padding_mode == "zeros" else (0,) * dims
        convolve = (conv1d, conv2d, conv3d)[dims - 1]
        kind = self.weight.dtype
        out: Tensor = convolve(batch, weight.to(kind), bias.to(kind), self.stride, padding, self.dilation, self.groups)
        return out if x.dim() == dims + 2 else out[0]

    def _checked_padding(self, x: Tensor, batch: Tensor) -> Sequence[int]:
        """Return pixels to pad by, from the last axis to the first, for an input that the layer can take."""
        dims, sides = len(self.kernel_size), self._reversed_padding_repeated_twice
        if batch.dim() != dims + 2:
            raise ValueError(f"expected an input with {dims + 2} axes, or {dims + 1} without N, got {tuple(x.shape)}")
        if batch.shape[1] != self.in_channels:
            raise ValueError(f"expected {self.in_channels} channels, got {batch.shape[1]} in shape {tuple(x.shape)}")
        check_dtype(x, self.weight.dtype)
        reaches = [(k - 1) * d + 1 for k, d in zip(self.kernel_size, self.dilation, strict=True)]
        padded = [n + sum(sides[-2 * i - 2 :][:2]) for i, n in enumerate(batch.shape[2:])]
        if any(n < reach for n, reach in zip(padded, reaches, strict=True)):
            raise ValueError(f"a kernel that reaches over {reaches} pixels does not fit in {padded}, padding included")
        return sides

    def _sampling(self, x: Tensor, sides: Sequence[int]) -> Sampling:
        """Choose the patches of images (N, C, ...), which are to be padded by ``sides`` (from the last axis on)."""
        config = self.whitening.config
        if config.grid == "corner" and self.whitening.taps == 1:
            return Pixels(math.prod(config.sampling_stride * s for s in self.stride))
        return patches_of(
            len(x),
            self.whitening.features,
            sizes=x.shape[2:],
            kernel=self.kernel_size,
            stride=self.stride,
            dilation=self.dilation,
            padding=list(zip(sides[-2::-2], sides[::-2], strict=True)),
            sampling=config.sampling_stride,
            grid=config.grid,
        )


class FastDeconv1d(_Deconvolving, nn.Conv1d):
    """Convolution of deconvolved signals, in place of :class:`torch.nn.Conv1d`.

    Parameters
    ----------
    *args, **kwargs
        As of :class:`torch.nn.Conv1d`, all of them.
    config : DeconvConfig, optional
        Of the deconvolution; ``DeconvConfig()`` by default.
    """

    def __init__(self, *args: Any, config: DeconvConfig | None = None, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **kwargs)
        self._add_whitening(config)


class FastDeconv2d(_Deconvolving, nn.Conv2d):
    """Convolution of deconvolved images, in place of :class:`torch.nn.Conv2d`.

    Parameters
    ----------
    *args, **kwargs
        As of :class:`torch.nn.Conv2d`, all of them.
    config : DeconvConfig, optional
        Of the deconvolution; ``DeconvConfig()`` by default.

    Examples
    --------
    >>> import torch
    >>> layer = FastDeconv2d(8, 6, 3, padding=1, config=DeconvConfig.reference(block_size=4))
    >>> layer(torch.randn(10, 8, 16, 16)).shape
    torch.Size([10, 6, 16, 16])
    """

    def __init__(self, *args: Any, config: DeconvConfig | None = None, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **kwargs)
        self._add_whitening(config)


class FastDeconv3d(_Deconvolving, nn.Conv3d):
    """Convolution of deconvolved volumes, in place of :class:`torch.nn.Conv3d`.

    Parameters
    ----------
    *args, **kwargs
        As of :class:`torch.nn.Conv3d`, all of them.
    config : DeconvConfig, optional
        Of the deconvolution; ``DeconvConfig()`` by default.
    """

    def __init__(self, *args: Any, config: DeconvConfig | None = None, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **kwargs)
        self._add_whitening(config)
