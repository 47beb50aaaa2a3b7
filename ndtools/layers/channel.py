"""Whitening of channels, at each pixel separately."""

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, linear

from ndtools.layers.checks import check_config, check_dtype
from ndtools.layers.config import DeconvConfig
from ndtools.layers.samples import each_normalised
from ndtools.layers.sampling import Pixels, Sampler, Sampling, Vectors, patches_of
from ndtools.layers.whitening import Whitening

__all__ = ["ChannelDeconv"]


class ChannelDeconv(nn.Module):
    """Deconvolution of channels: D (x − μ) at each pixel, where no linear layer follows that D could be merged into.

    With ``block_size=1``, ``sampling_stride=1`` and enough iterations to converge, it is batch normalisation without
    scale and shift. A larger sampling stride estimates the variances from a sample of the pixels.

    The published layer of this name (yechengxi/deconvolution, d221c22) is another one: it uses second moments about
    zero instead of the covariance, and its blocks mix pixels. No setting reproduces it.

    Parameters
    ----------
    num_channels : int
        Number of channels C.
    config : DeconvConfig, optional
        Settings of the deconvolution; ``DeconvConfig()`` by default.
    device, dtype
        Device and dtype of the statistics, as in :class:`torch.nn.Linear`.

    Examples
    --------
    >>> ChannelDeconv(8)(torch.randn(10, 8, 16, 16)).shape
    torch.Size([10, 8, 16, 16])
    """

    def __init__(
        self,
        num_channels: int,
        config: DeconvConfig | None = None,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if num_channels < 1:
            raise ValueError(f"num_channels must be at least 1, got {num_channels}")
        check_config("config", config)
        self.num_channels = num_channels
        self.whitening = Whitening(num_channels, 1, config or DeconvConfig(), device=device, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Whiten the channels at each pixel.

        Parameters
        ----------
        x : Tensor of shape (N, C, ...)
            Batch of vectors, signals, images or volumes.

        Returns
        -------
        Tensor
            Whitened channels, of the shape and dtype of the input.

        Raises
        ------
        ValueError
            If the input has another number of channels or of axes, or is a training batch without samples.
        TypeError
            If the input is not of a floating dtype.
        """
        x, sampler = self.sampled_input(x)
        identity = torch.eye(self.num_channels, device=x.device, dtype=self.whitening.running_mean.dtype)
        x, weight, shift = self.whitening.folded_weight(x, sampler, identity)
        with torch.autocast(x.device.type, enabled=False):
            if x.dim() == 2:
                return linear(x, weight.to(x.dtype), shift.to(x.dtype))
            return conv1d(x.flatten(2), weight.to(x.dtype)[:, :, None], shift.to(x.dtype)).view_as(x)

    def sampled_input(self, x: Tensor) -> tuple[Tensor, Sampler]:
        """Return the input, and the choice of the pixels of it whose statistics are taken.

        Parameters
        ----------
        x : Tensor of shape (N, C, ...)
            Input of the layer.

        Returns
        -------
        x : Tensor
            The same input, each sample of it normalised if configured.
        sampler : Sampler
            Choice of the pixels, from all images.

        Raises
        ------
        ValueError
            If the input has another number of channels or of axes.
        TypeError
            If the input is not of a floating dtype.
        """
        if not 2 <= x.dim() <= 5:
            raise ValueError(f"expected an input with 2 to 5 axes (N, C, ...), got shape {tuple(x.shape)}")
        if x.shape[1] != self.num_channels:
            raise ValueError(f"expected {self.num_channels} channels, got {x.shape[1]} in shape {tuple(x.shape)}")
        check_dtype(x)
        x = each_normalised(x, self.whitening.config, axes=x.dim() - 1)
        sizes, grid = x.shape[2:], self.whitening.config.grid
        ones = (1,) * len(sizes)

        def sampler(images: int, sampling: int, turn: int) -> Sampling:
            if not sizes:
                return Vectors()
            if grid == "corner":
                return Pixels(sampling ** len(sizes))
            return patches_of(
                images,
                sampling,
                turn,
                patches=self.whitening.channels_needed,
                sizes=sizes,
                kernel=ones,
                stride=ones,
                dilation=ones,
                padding=[(0, 0)] * len(sizes),
                grid=grid,
            )

        return x, sampler

    def extra_repr(self) -> str:  # noqa: D102 (documented by nn.Module)
        return f"{self.num_channels}"
