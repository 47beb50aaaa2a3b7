"""Whitening of a layer's input: from features to moments, from moments to D, and D folded into the weights."""

import torch
from torch import Tensor
from torch._compile import _disable_dynamo

from ndtools.layers.config import DeconvConfig
from ndtools.layers.moments import Moments, exact_product, moments_of, pool, shrunk_moments_of
from ndtools.layers.passes import Passes
from ndtools.layers.processes import merged, rank, summed, world_size
from ndtools.layers.running import RunningStatistics, Statistics
from ndtools.layers.sampling import Sampler, Sampling
from ndtools.numerics.shrinkage import oas_shrunk, weakened
from ndtools.text import counted

__all__ = ["Whitening"]

ROOM = 2**24  # features that are gathered at a time where all positions are sampled


class Whitening(RunningStatistics):
    """D = (Cov + eps I)^(-1/2) of a layer's input features, block by block (Ye et al. 2020, algorithm 1).

    The steps can be taken one by one: a `Sampler` chooses the features, `moments` are their means and covariances,
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
        self._passes = Passes()

    def folded_weight(self, x: Tensor, sampler: Sampler, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return a weight and a shift that do to the input what a layer's weight does to the whitened input.

        Parameters
        ----------
        x : Tensor
            Input of the layer, of a floating dtype.
        sampler : Sampler
            Choice of the features of the input whose statistics are taken.
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
            folded: tuple[Tensor, Tensor, Tensor] = _folded_weight_uncompiled(self, x, sampler, weight)
            return folded
        x, statistics = self.statistics(x, sampler)
        return x, *self.fold(weight, statistics)

    def statistics(self, x: Tensor, sampler: Sampler) -> tuple[Tensor, Statistics]:
        """Return mean and D by which a layer's input is whitened, and update the averages in training.

        When activation checkpointing computes a training batch a second time, mean and D are again those of the first
        time, and the averages are left as they are.

        Parameters
        ----------
        x : Tensor
            Input of the layer, of a floating dtype.
        sampler : Sampler
            Choice of the features of the input whose statistics are taken, called if those of the batch are needed.

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
        RuntimeError
            If activation checkpointing computes a batch a second time whose statistics are no longer known.
        """
        if not self.training and not self.averages_all:
            return x, self.running_statistics()
        if x.numel() == 0:
            raise ValueError("a training batch must have at least one sample")
        if self.averages_all:
            return x, self._pooled_statistics(x, sampler)
        repeated = torch._C._current_graph_task_id() != -1  # within a backward pass, so a recomputation
        this = self._passes.again(x) if repeated else self._passes.add(x, self.next_source(), self._turn(len(x)))
        if this.source == "running":
            return x, self.running_statistics()
        if this.source == "batch":
            with torch.set_grad_enabled(torch.is_grad_enabled() and self.config.through_statistics):
                passed, count, moments = self.moments(x, self.sampling(x, sampler, this.turn))
                statistics = [(mean, self.inverse_sqrt(covariance)) for mean, covariance in moments]
            x = passed if self.config.through_statistics else x
            if not repeated:
                self._passes.replace_last(self.last_statistics)
                self.update(count, moments, statistics)
        else:
            statistics = this.statistics or self.last_statistics()
        if not repeated:
            self.count_batch()
        return x, statistics

    def sampling(self, x: Tensor, sampler: Sampler, turn: int = 0) -> Sampling:
        """Return the features of an input whose statistics are taken.

        Parameters
        ----------
        x : Tensor
            Input of the layer.
        sampler : Sampler
            Choice of the features.
        turn : int, default 0
            Number of images that used the staggered grids before.

        Returns
        -------
        Sampling
            Features at the sampling stride of the configuration. Where all batches are averaged with equal weight, they
            are those at all positions, so that it does not matter how images are dealt into batches; except for the
            shrinkage "lw", which needs all samples of a batch at once.
        """
        everywhere = self.averages_all and self.config.shrinkage != "lw"
        return sampler(len(x), 1 if everywhere else self.config.sampling_stride, turn)

    def _turn(self, images: int) -> int:
        """Return the number of images before this batch, if all batches whose statistics were taken are as large."""
        batches = self._count() // self.config.refresh_every
        if self.config.sync:  # processes share a batch
            batches = batches * world_size() + rank()
        return batches * images

    @torch.no_grad()
    def _pooled_statistics(self, x: Tensor, sampler: Sampler) -> Statistics:
        """Return mean and D of a batch, and add it to the averages of all samples."""
        if self.config.shrinkage == "lw":
            _, count, moments = self.moments(x, self.sampling(x, sampler))
        else:
            dtype, counts, averages = self.running_mean.dtype, [0] * len(self.parts), None
            images = max(1, ROOM // (x[0].numel() * self.taps))
            for piece in x.split(images):  # type: ignore[no-untyped-call]  # a few at a time, as all positions are sampled
                _, more, new = moments_of(piece, self.sampling(piece, sampler), self.parts, self.groups, dtype)
                counts = [count + n for count, n in zip(counts, more, strict=True)]
                averages = averages or new
                for average, of_piece, n, count in zip(averages, new, more, counts, strict=True):
                    pool(average, of_piece, n / count)
            assert averages is not None
            count, moments = self._shared_and_shrunk(counts, averages, x.device)
        statistics = [(mean, self.inverse_sqrt(covariance)) for mean, covariance in moments]
        self.update(count, moments, statistics)
        self.count_batch()
        return statistics

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
        return x, *self._shared_and_shrunk(counts, moments, x.device)

    def _shared_and_shrunk(
        self, counts: list[int], moments: list[Moments], device: torch.device
    ) -> tuple[int, list[Moments]]:
        """Return moments over all processes if these share them, shrunk as configured, and the number of samples."""
        if self.config.sync and world_size() > 1:
            moments = [merged(count, *of_part) for count, of_part in zip(counts, moments, strict=True)]
            total = summed(counts[0], device)
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
        return counts[0], shrunk

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

    def __getstate__(self) -> dict[str, object]:
        return super().__getstate__() | {"_passes": Passes()}

    def _warn_of_rank(self, count: int, features: int, remedy: str) -> None:
        self._warn(
            "rank",
            f"{counted(count, 'sample')} for {counted(features, 'feature')} ({count / features:.2g} for each): the"
            f" covariance is singular, and evaluation may amplify what the batches do not hold; use {remedy}larger"
            " batches, smaller blocks, or a smaller sampling_stride",
        )


@_disable_dynamo  # torch.compiler.disable, which is slow to import
def _folded_weight_uncompiled(
    whitening: Whitening, x: Tensor, sampler: Sampler, weight: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    return whitening.folded_weight(x, sampler, weight)
