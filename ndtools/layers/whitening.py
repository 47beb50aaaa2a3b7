"""Statistics of a layer's input, and the D that follows from them: one engine for all layers."""

import warnings
from collections import deque
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ndtools.errors import NumericalWarning
from ndtools.layers.config import DeconvConfig
from ndtools.numerics.inverse_sqrt import full_precision
from ndtools.numerics.iterations import CoupledNewtonSchulz, iterates

__all__ = ["Whitening"]


class Whitening(nn.Module):
    """D = (Cov + eps I)^(-1/2) of a layer's input features, block by block (Ye et al. 2020, algorithm 1).

    In training the statistics are those of the batch, through which the gradient flows; moving averages of mean and
    covariance, corrected for their start at zero, serve in evaluation, where D is computed once and kept. Computed
    in float32, or float64 for such features, whatever autocast says.

    Parameters
    ----------
    num_features : int
        d.
    config : DeconvConfig
        Settings.
    device : torch.device or str, optional
        Of the buffers.
    dtype : torch.dtype, optional
        Of the features; the buffers are float64 for float64, else float32.
    """

    running_mean: Tensor
    running_covariance: Tensor
    running_covariance_rest: Tensor
    num_batches_tracked: Tensor

    def __init__(
        self,
        num_features: int,
        config: DeconvConfig,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.num_features, self.config = num_features, config
        block = min(config.block_size or num_features, num_features)
        self.blocks, self.block_size, self.rest = num_features // block, block, num_features % block
        kind = torch.float64 if (dtype or torch.get_default_dtype()) == torch.float64 else torch.float32
        new = {"device": device, "dtype": kind}
        self.register_buffer("running_mean", torch.zeros(num_features, **new))  # type: ignore[arg-type]
        self.register_buffer("running_covariance", torch.zeros(self.blocks, block, block, **new))  # type: ignore[arg-type]
        self.register_buffer("running_covariance_rest", torch.zeros(1, self.rest, self.rest, **new))  # type: ignore[arg-type]
        self.register_buffer("num_batches_tracked", torch.zeros((), dtype=torch.long, device=device))
        self._kept: tuple[Tensor, list[Tensor]] | None = None
        self._warned = False

    def forward(self, rows: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the statistics to whiten a batch with.

        Parameters
        ----------
        rows : Tensor of shape (n, d)
            Features, any floating dtype.

        Returns
        -------
        mean : Tensor of shape (d,)
            μ.
        matrices : list of Tensor
            D of the blocks of equal size, of shape (blocks, B, B), and of the rest, if any.

        Raises
        ------
        ValueError
            If a training batch has no rows, or rows of another size.
        """
        if rows.shape[-1] != self.num_features:
            raise ValueError(f"expected {self.num_features} features, got {rows.shape[-1]}")
        if not self.training:
            if self._kept is None:
                self._kept = self._running()
            return self._kept
        if len(rows) == 0:
            raise ValueError("a training batch must have at least one row")
        with torch.autocast(rows.device.type, enabled=False):
            rows = rows.to(self.running_mean.dtype)
            mean = rows.mean(0)
            centred = rows - mean
            covariances = [part.mT @ part / len(rows) for part in self._split(centred)]
            self._track(mean, covariances)
            return mean, [self._whiten(c) for c in covariances]

    def fold(self, weight: Tensor, mean: Tensor, matrices: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Merge the whitening into a linear map that follows it (Ye et al. 2020, sec. 4.5.1).

        Parameters
        ----------
        weight : Tensor of shape (o, d)
            Of a map of whitened features.
        mean, matrices
            From `forward`.

        Returns
        -------
        weight : Tensor of shape (o, d)
            w D.
        shift : Tensor of shape (o,)
            −w D μ, to be added to the output.
        """
        with torch.autocast(weight.device.type, enabled=False):
            parts = self._split(weight.to(mean.dtype))
            folded = [(part @ d).transpose(0, 1).flatten(1) for part, d in zip(parts, matrices, strict=True)]
            whole = torch.cat(folded, 1)
            return whole, -(whole @ mean)

    def _split(self, rows: Tensor) -> list[Tensor]:
        """Return (n, d) as (blocks, n, B), and the rest as (1, n, r)."""
        full = self.blocks * self.block_size
        parts = [rows[:, :full].view(len(rows), self.blocks, self.block_size).transpose(0, 1)]
        return parts + ([rows[None, :, full:]] if self.rest else [])

    def _whiten(self, covariance: Tensor) -> Tensor:
        eye = torch.eye(covariance.shape[-1], dtype=covariance.dtype, device=covariance.device)
        with full_precision(covariance.device):
            steps = iterates(covariance + self.config.eps * eye, CoupledNewtonSchulz(n_iter=self.config.n_iter))
            return deque(steps, maxlen=1)[0]

    def _averages(self) -> Iterator[Tensor]:
        yield self.running_covariance
        if self.rest:
            yield self.running_covariance_rest

    @torch.no_grad()
    def _track(self, mean: Tensor, covariances: list[Tensor]) -> None:
        self.running_mean.lerp_(mean, self.config.momentum)
        for average, covariance in zip(self._averages(), covariances, strict=True):
            average.lerp_(covariance, self.config.momentum)
        self.num_batches_tracked += 1

    @torch.no_grad()
    def _running(self) -> tuple[Tensor, list[Tensor]]:
        batches = int(self.num_batches_tracked)
        if batches == 0:
            if not self._warned:
                warnings.warn(
                    "a deconvolution layer is evaluated before it has seen a training batch: it decorrelates nothing",
                    NumericalWarning,
                    stacklevel=5,
                )
                self._warned = True
            return self.running_mean, [
                torch.eye(c.shape[-1], dtype=c.dtype, device=c.device).expand_as(c) for c in self._averages()
            ]
        weight = 1 - (1 - self.config.momentum) ** batches
        return self.running_mean / weight, [self._whiten(c / weight) for c in self._averages()]

    def train(self, mode: bool = True) -> "Whitening":  # noqa: D102 (of nn.Module)
        self._kept = None
        return super().train(mode)

    def _apply(self, fn, recurse: bool = True) -> "Whitening":  # type: ignore[no-untyped-def]  # noqa: ANN001
        self._kept = None  # moved to another device or dtype
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call, no-any-return]

    def _load_from_state_dict(self, *args, **kwargs) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN002, ANN003
        self._kept = None
        super()._load_from_state_dict(*args, **kwargs)

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_kept": None}

    def extra_repr(self) -> str:  # noqa: D102 (of nn.Module)
        c = self.config
        return (
            f"{self.num_features}, block_size={self.block_size}, n_iter={c.n_iter}, eps={c.eps}, momentum={c.momentum}"
        )
