"""Iterative normalisation (Huang et al. 2019): whitening behind a layer, for comparison with deconvolution."""

from collections import deque
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ndtools.errors import OptionError
from ndtools.layers.checks import check_dtype
from ndtools.layers.processes import merged, world_size
from ndtools.numerics.inverse_sqrt import full_precision
from ndtools.numerics.iterations import VanillaNewtonSchulz, iterates
from ndtools.numerics.products import ridged

__all__ = ["IterNorm"]


class IterNorm(nn.Module):
    """Whitening of channels with scale and shift, in place of batch normalisation behind a convolution.

    Each group of channels is multiplied by P/√tr Σ, where Σ is its covariance + eps over the batch and all pixels, and
    P comes from a few vanilla Newton-Schulz iterations on Σ/tr Σ (Huang, Zhou, Zhu, Liu and Shao 2019, *Iterative
    Normalization: Beyond Standardization towards Efficient Whitening*, algorithm 1). Evaluation uses moving averages of
    the mean and of that matrix, which start at zero and at the identity.

    It is not deconvolution with a kernel of one pixel: it acts on the output of a layer, divides by the trace, and
    scales and shifts each channel afterwards.

    Parameters
    ----------
    num_features : int
        Number of channels C.
    group_size : int
        Number of channels that are decorrelated together, halved until it divides C.
    n_iter : int
        Number of iterations.
    eps : float
        Ridge added to the diagonal of the covariance.
    momentum : float
        Weight of the newest batch in the moving averages.
    affine : bool
        Whether a scale and a shift of each channel are learned.
    sync : bool
        Whether a batch's statistics are computed over all processes of the default group of ``torch.distributed``.
    device, dtype
        Device and dtype of the parameters. Statistics and averages are in float32, or in float64 for layers of float64;
        ``half()`` and ``bfloat16()`` leave them as they are.

    Attributes
    ----------
    running_mean : Tensor of shape (G, C/G)
        Averaged means of the channels in each group.
    running_matrix : Tensor of shape (G, C/G, C/G)
        Averaged whitening matrices.

    Examples
    --------
    >>> IterNorm(8)(torch.randn(10, 8, 16, 16)).shape
    torch.Size([10, 8, 16, 16])
    """

    running_mean: Tensor
    running_matrix: Tensor
    num_batches_tracked: Tensor

    def __init__(
        self,
        num_features: int,
        *,
        group_size: int = 64,
        n_iter: int = 5,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        sync: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        for name, value in {"num_features": num_features, "group_size": group_size}.items():
            if value < 1:
                raise OptionError(name, f"must be at least 1, got {value}")
        while num_features % group_size:
            group_size //= 2
        self.num_features, self.group_size = num_features, group_size
        self.eps, self.momentum, self.sync = eps, momentum, sync
        self.iteration = VanillaNewtonSchulz(n_iter=n_iter, norm="trace")
        self.weight = nn.Parameter(torch.ones(num_features, device=device, dtype=dtype)) if affine else None
        self.bias = nn.Parameter(torch.zeros(num_features, device=device, dtype=dtype)) if affine else None
        shape = num_features // group_size, group_size
        full = torch.promote_types(dtype or torch.get_default_dtype(), torch.float32)
        self.register_buffer("running_mean", torch.empty(shape, device=device, dtype=full))
        self.register_buffer("running_matrix", torch.empty(*shape, group_size, device=device, dtype=full))
        self.register_buffer("num_batches_tracked", torch.empty((), dtype=torch.long, device=device))
        self.reset_running_stats()

    def reset_running_stats(self) -> None:
        """Discard the averages and the number of batches."""
        self.running_mean.zero_()
        self.running_matrix.copy_(torch.eye(self.group_size))
        self.num_batches_tracked.zero_()

    def forward(self, x: Tensor) -> Tensor:
        """Whiten the channels.

        Parameters
        ----------
        x : Tensor of shape (N, C, ...)
            Batch of vectors, signals, images or volumes.

        Returns
        -------
        Tensor of the shape of x
            Whitened channels, scaled and shifted, in the dtype of the input.

        Raises
        ------
        ValueError
            If the input has another number of channels, or is a training batch without samples.
        TypeError
            If the input is not of a floating dtype.
        """
        if x.dim() < 2 or x.shape[1] != self.num_features:
            raise ValueError(f"expected {self.num_features} channels, got shape {tuple(x.shape)}")
        check_dtype(x)
        if self.training and not x.numel():
            raise ValueError("a training batch must have at least one sample")
        with full_precision(x.device):
            channels = x.to(self.running_mean.dtype).transpose(0, 1)
            rows = channels.reshape(-1, self.group_size, channels[0].numel())
            if self.training:
                mean, matrix = self._statistics(rows)
                self._update(mean, matrix)
            else:
                mean, matrix = self.running_mean, self.running_matrix
            rows = rows - mean[..., None]
            if self.weight is not None and self.bias is not None:
                weight, bias = (each.to(rows.dtype).view(-1, self.group_size, 1) for each in (self.weight, self.bias))
                rows = torch.baddbmm(bias, matrix * weight, rows)
            else:
                rows = matrix @ rows
            return rows.reshape(channels.shape).transpose(0, 1).to(x.dtype)

    def _statistics(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return means and whitening matrices of the channels in each group."""
        mean, count = rows.mean(-1), rows.shape[-1]
        centred = rows - mean[..., None]
        covariance = centred @ centred.mT / count
        if self.sync and world_size() > 1:
            mean, covariance = merged(count, mean, covariance)
        return mean, deque(iterates(ridged(covariance, self.eps), self.iteration), maxlen=1).pop()

    @torch.no_grad()
    def _update(self, mean: Tensor, matrix: Tensor) -> None:
        self.running_mean.lerp_(mean.detach(), self.momentum)
        self.running_matrix.lerp_(matrix.detach(), self.momentum)
        self.num_batches_tracked += 1

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "IterNorm":
        averages = self.running_mean, self.running_matrix

        def averages_in_full_precision(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            half = moved.is_floating_point() and moved.dtype.itemsize < 4
            return tensor.to(moved.device) if half and any(tensor is each for each in averages) else moved

        return super()._apply(averages_in_full_precision, recurse)  # type: ignore[no-untyped-call, no-any-return]

    def extra_repr(self) -> str:  # noqa: D102 (documented by nn.Module)
        return (
            f"{self.num_features}, group_size={self.group_size}, n_iter={self.iteration.n_iter}, eps={self.eps},"
            f" momentum={self.momentum}, affine={self.weight is not None}{', sync=True' if self.sync else ''}"
        )
