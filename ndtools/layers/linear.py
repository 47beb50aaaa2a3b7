"""A fully connected layer that decorrelates its input first."""

import math
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from ndtools.layers.config import DeconvConfig
from ndtools.layers.sampling import Vectors
from ndtools.layers.whitening import Whitening

__all__ = ["DeconvLinear"]


class DeconvLinear(nn.Module):
    """Linear layer on deconvolved input: y = W D (x − μ) + b (Ye et al. 2020, eq. 4).

    In place of :class:`torch.nn.Linear`, with its initialisation; D is merged into W, the input is not transformed.

    Parameters
    ----------
    in_features, out_features : int
        Sizes.
    bias : bool
        Whether there is a b.
    device, dtype
        As in :class:`torch.nn.Linear`.
    config : DeconvConfig, optional
        Of the deconvolution; ``DeconvConfig(block_size=None)`` by default, one block of all features. Sampling does not
        apply.

    Examples
    --------
    >>> layer = DeconvLinear(12, 5)
    >>> layer(torch.randn(100, 12)).shape
    torch.Size([100, 5])
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        config: DeconvConfig | None = None,
    ) -> None:
        super().__init__()
        if in_features < 1:
            raise ValueError(f"in_features must be at least 1, got {in_features}")
        self.in_features, self.out_features = in_features, out_features
        config = config or DeconvConfig(block_size=None)
        if config.grouping == "interleaved":  # the published code interleaves in convolutions only
            config = replace(config, grouping="contiguous", block_size=math.gcd(config.block_size or 0, in_features))
        self.whitening = Whitening(in_features, 1, config, device=device, dtype=dtype)
        self.weight = nn.Parameter(torch.empty(out_features, in_features, device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.empty(out_features, device=device, dtype=dtype)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew, as :class:`torch.nn.Linear` does, and forget the running statistics."""
        self.whitening.reset_running_stats()
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features)
            nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer.

        Parameters
        ----------
        x : Tensor of shape (..., in_features)
            All axes but the last count as samples.

        Returns
        -------
        Tensor of shape (..., out_features)
            In the dtype of the input.

        Raises
        ------
        ValueError
            If the input has another number of features, or is a training batch without samples.
        """
        if x.shape[-1] != self.in_features:
            raise ValueError(f"expected {self.in_features} features, got {x.shape[-1]}")
        x, statistics = self.whitening(x, Vectors())
        weight, shift = self.whitening.fold(self.weight, statistics)
        bias = shift if self.bias is None else self.bias + shift
        return linear(x, weight.to(x.dtype), bias.to(x.dtype))

    def extra_repr(self) -> str:  # noqa: D102 (of nn.Module)
        return f"{self.in_features}, {self.out_features}, bias={self.bias is not None}"
