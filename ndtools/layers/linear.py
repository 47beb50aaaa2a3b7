"""A fully connected layer that decorrelates its input first."""

import math
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from ndtools.layers.blocks import block_channels
from ndtools.layers.checks import check_config, check_dtype
from ndtools.layers.config import DeconvConfig
from ndtools.layers.samples import each_normalised
from ndtools.layers.sampling import Sampler, Vectors
from ndtools.layers.whitening import Whitening

__all__ = ["DeconvLinear"]


class DeconvLinear(nn.Linear):
    """Linear layer on deconvolved input, y = W D (x − μ) + b (equation 4 of Ye et al. 2020).

    It replaces :class:`torch.nn.Linear` and is initialised like it. D is merged into W, so that the input itself is not
    transformed.

    Parameters
    ----------
    in_features : int
        Number of features of the input.
    out_features : int
        Number of features of the output.
    bias : bool
        Whether the layer adds a bias b.
    device, dtype
        Device and dtype of the parameters, as in :class:`torch.nn.Linear`.
    config : DeconvConfig, optional
        Settings of the deconvolution; ``DeconvConfig(block_size=None)`` by default, which is one block of all features.
        The statistics are those of all samples, so the settings of sampling do not apply.

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
        if not isinstance(bias, bool):
            raise TypeError(f"bias must be True or False, got {bias!r}; the configuration is passed as config=")
        check_config("config", config)
        if in_features < 1:
            raise ValueError(f"in_features must be at least 1, got {in_features}")
        super().__init__(in_features, out_features, bias, device, dtype)
        config = config or DeconvConfig(block_size=None)
        if config.grouping == "interleaved":  # features of a linear layer have no pixels to share out
            config = replace(config, grouping="contiguous", shared=False)
        if config.grouping == "published":  # the published code interleaves in convolutions only
            block = math.gcd(block_channels(in_features, 1, config), in_features)
            config = replace(config, grouping="contiguous", block_size=block)
        self.whitening = Whitening(in_features, 1, config, device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        """Draw weight and bias anew, as :class:`torch.nn.Linear` does, and discard the running statistics."""
        super().reset_parameters()
        if hasattr(self, "whitening"):  # not yet when torch's constructor calls
            self.whitening.reset_running_stats()

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer.

        Parameters
        ----------
        x : Tensor of shape (..., in_features)
            Batch of vectors; all axes but the last count as samples.

        Returns
        -------
        Tensor of shape (..., out_features)
            Output of the shape that torch's layer gives.

        Raises
        ------
        ValueError
            If the input has another number of features, or is a training batch without samples.
        TypeError
            If the input is of another dtype than the weights.
        """
        x, weight, shift = self.whitening.folded_weight(*self.sampled_input(x), self.weight)
        bias = shift if self.bias is None else self.bias + shift
        return linear(x, weight.to(self.weight.dtype), bias.to(self.weight.dtype))

    def sampled_input(self, x: Tensor) -> tuple[Tensor, Sampler]:
        """Return the input, and the choice of the features of it whose statistics are taken.

        Parameters
        ----------
        x : Tensor of shape (..., in_features)
            Input of the layer.

        Returns
        -------
        x : Tensor
            The same input, each sample of it normalised if configured.
        sampler : Sampler
            Choice of all samples, as vectors.

        Raises
        ------
        ValueError
            If the input has another number of features.
        TypeError
            If the input is of another dtype than the weights.
        """
        if x.shape[-1] != self.in_features:
            raise ValueError(f"expected {self.in_features} features, got {x.shape[-1]}")
        check_dtype(x, self.weight.dtype)
        return each_normalised(x, self.whitening.config, axes=1), lambda *_: Vectors()
