"""Whitening of a layer's input: from features to moments, from moments to D, and D folded into the weights."""

from typing import Literal

import torch
from torch import Tensor
from torch._compile import _disable_dynamo

from ndtools.layers.config import DeconvConfig
from ndtools.layers.moments import Moments, exact_product, moments_of, shrunk_moments_of
from ndtools.layers.processes import merged, summed, world_size
from ndtools.layers.running import RunningStatistics, Statistics
from ndtools.layers.sampling import Sampling
from ndtools.numerics.shrinkage import oas_shrunk, weakened
from ndtools.text import counted

__all__ = ["Whitening"]


class Whitening(RunningStatistics):
    """D = (Cov + eps I)^(-1/2) of a layer's input features, block by block (Ye et al. 2020, algorithm 1).

    The steps can be taken one by one: a `Sampling` gathers the features, `moments` are their means and covariances,
    `inverse_sqrt` turns covariances into D, and `fold` merges mean and D into a weight. `statistics` takes the first
    three and keeps the averages; `folded_weight` takes all four, as the layers do.

    In training mode the statistics are those of the batch; in evaluation mode they are those of `RunningStatistics`,
    which describes the parameters. Statistics and D are computed in float32, or in float64 for layers of float64,
    without autocast and TF32.

    Parameters
    ----------
    channels : int
        Number of input channels C of the layer.
    taps : int
        Number of pixels of the kernel. A feature is a pair (channel, tap).
    config : DeconvConfig
        Settings of the deconvolution.
    groups : int
        Number of groups of channels.
    device : torch.device or str, optional
        Device of the buffers.
    dtype : torch.dtype, optional
        Dtype of the layer.
    """

    def __init__(
        self,
        channels: int,
        taps: int,
        config: DeconvConfig,
        *,
        groups: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(channels, taps, config, groups=groups, device=device, dtype=dtype)
        self._source: Literal["running", "last", "batch"] = "batch"  # source of the newest training batch's statistics

    def folded_weight(self, x: Tensor, sampling: Sampling, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return a weight and a shift that do to the input what a layer's weight does to the whitened input.

        Parameters
        ----------
        x : Tensor
            Input of the layer, of a floating dtype.
        sampling : Sampling
            Features of the input whose statistics are taken.
        weight : Tensor of shape (O, C/G, ...)
            Weight of the layer, with the taps in the last axes.

        Returns
        -------
        x : Tensor
            The input, as returned by `statistics`.
        weight, shift : Tensor
            The folded weight and the shift of the output, as returned by `fold`.

        Raises
        ------
        ValueError
            If a training batch has no samples.
        RuntimeError
            If the network is being exported or traced.
        """
        exporting = getattr(torch.compiler, "is_exporting", lambda: False)()  # torch >= 2.7
        if exporting or torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
            raise RuntimeError("a network that deconvolves cannot be exported or traced: fold it first (ndtools.fold)")
        if torch.compiler.is_compiling():  # one break of the graph instead of many
            folded: tuple[Tensor, Tensor, Tensor] = _folded_weight_uncompiled(self, x, sampling, weight)
            return folded
        x, statistics = self.statistics(x, sampling)
        return x, *self.fold(weight, statistics)

    def statistics(self, x: Tensor, sampling: Sampling) -> tuple[Tensor, Statistics]:
        """Return mean and D by which a layer's input is whitened, and update the averages in training.

        When activation checkpointing computes a training batch a second time, the averages are left as they are.

        Parameters
        ----------
        x : Tensor
            Input of the layer, of a floating dtype.
        sampling : Sampling
            Features of the input whose statistics are taken, if those of the batch are needed.

        Returns
        -------
        x : Tensor
            The input, to be used in place of the argument, and for one purpose only (see `moments_of`).
        statistics : list of (Tensor, Tensor)
            Means (G, S, F) and matrices D (G, S, F, F) for each part. Those of a training batch are differentiable
            once.

        Raises
        ------
        ValueError
            If a training batch has no samples.
        """
        if not self.training and not self.averages_all:
            return x, self.running_statistics()
        if x.numel() == 0:
            raise ValueError("a training batch must have at least one sample")
        again = torch._C._current_graph_task_id() != -1  # within a backward pass, so a recomputation
        if not again:
            self._source = self.next_source()
        if self._source == "running":
            return x, self.running_statistics()
        if self._source == "batch":
            with torch.set_grad_enabled(torch.is_grad_enabled() and self.config.through_statistics):
                passed, count, moments = self.moments(x, sampling)
                statistics = [(mean, self.inverse_sqrt(covariance)) for mean, covariance in moments]
            x = passed if self.config.through_statistics else x
            if not again:
                self.update(count, moments, statistics)
        else:
            statistics = self.last_statistics()
        if not again:
            self.count_batch()
        return x, statistics

    def moments(self, x: Tensor, sampling: Sampling) -> tuple[Tensor, int, list[Moments]]:
        """Return means and covariances of the sampled features, shrunk and shared by processes as configured.

        Parameters
        ----------
        x : Tensor
            Input of the layer.
        sampling : Sampling
            Features of the input whose moments are taken.

        Returns
        -------
        x : Tensor
            The input, to be used in place of the argument, and for one purpose only (see `moments_of`).
        count : int
            Number of samples of the features, over all processes if they share their statistics.
        moments : list of (Tensor, Tensor)
            Means (G, S, F) and covariances (G, S, F, F) for each part.
        """
        dtype = self.running_mean.dtype
        if self.config.shrinkage == "lw":
            return x, *shrunk_moments_of(x, sampling, self.parts, self.groups, dtype, self.config.shrinkage)
        x, counts, moments = moments_of(x, sampling, self.parts, self.groups, dtype)
        if self.config.sync and world_size() > 1:
            moments = [merged(count, *of_part) for count, of_part in zip(counts, moments, strict=True)]
            total = summed(counts[0], x.device)
            counts = [total * count // counts[0] for count in counts]  # parts differ by their number of blocks alone
        shrunk = []
        for count, (mean, covariance) in zip(counts, moments, strict=True):
            if self.config.shrinkage == "oas":
                covariance = oas_shrunk(covariance, count)
            # Few samples of a batch do not matter where all batches are pooled.
            elif self.config.shrinkage == "auto" and not self.averages_all:
                covariance = weakened(covariance, count)
                if 2 * count < mean.shape[-1]:  # features that do not vary in so few samples may vary in evaluation
                    self._warn_of_rank(count, mean.shape[-1], "")
            elif self.config.shrinkage == "none" and count <= mean.shape[-1]:
                self._warn_of_rank(count, mean.shape[-1], "shrinkage='auto', ")
            shrunk.append((mean, covariance))
        return x, counts[0], shrunk

    def fold(self, weight: Tensor, statistics: Statistics) -> tuple[Tensor, Tensor]:
        """Merge the whitening into a linear map that follows it (Ye et al. 2020, sec. 4.5.1).

        Parameters
        ----------
        weight : Tensor of shape (O, C/G, ...)
            Weight of a map of whitened features, with the taps in the last axes.
        statistics : list of (Tensor, Tensor)
            Means and matrices D for each part, from `statistics`.

        Returns
        -------
        weight : Tensor of shape (O, C/G, ...)
            The product w D, in the dtype of the statistics.
        shift : Tensor of shape (O,)
            The term −w D μ, to be added to the output.
        """
        with torch.autocast(weight.device.type, enabled=False):
            grouped = weight.to(statistics[0][0].dtype).reshape(
                self.groups, -1, self.channels // self.groups, self.taps
            )
            pieces = [
                (part.to_weight(exact_product(part.of_weight(grouped), d), self.taps), part.of_mean(mean, self.taps))
                for part, (mean, d) in zip(self.parts, statistics, strict=True)
            ]
            whole, mean = pieces[0] if len(pieces) == 1 else (torch.cat(each, 2) for each in zip(*pieces, strict=True))
            shift = exact_product(whole.flatten(2), mean.flatten(1)[..., None])
            return whole.reshape(weight.shape), -shift.flatten()

    def _warn_of_rank(self, count: int, features: int, remedy: str) -> None:
        self._warn(
            "rank",
            f"{counted(count, 'sample')} for {features} features ({count / features:.2g} for each): the"
            f" covariance is singular, and evaluation may amplify what the batches do not hold; use {remedy}larger"
            " batches, smaller blocks, or a smaller sampling_stride",
        )


@_disable_dynamo  # torch.compiler.disable, which is slow to import
def _folded_weight_uncompiled(
    whitening: Whitening, x: Tensor, sampling: Sampling, weight: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    return whitening.folded_weight(x, sampling, weight)
