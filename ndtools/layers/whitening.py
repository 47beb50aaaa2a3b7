"""Statistics of a layer's input, and the D that follows from them: one engine for all layers."""

import math
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ndtools.errors import NumericalWarning
from ndtools.layers.blocks import parts_of
from ndtools.layers.config import DeconvConfig
from ndtools.layers.moments import moments_of
from ndtools.layers.sampling import Sampling
from ndtools.numerics.partial_inverse_sqrt import partial_inverse_sqrt
from ndtools.numerics.shrinkage import shrink

__all__ = ["Statistics", "Whitening"]

Statistics = list[tuple[Tensor, Tensor]]
"""For each part, the means (G, S, F) and the matrices D (G, S, F, F); S is 1 if blocks share them."""


class Whitening(nn.Module):
    """D = (Cov + eps I)^(-1/2) of a layer's input features, block by block (Ye et al. 2020, algorithm 1).

    In training the statistics are those of the batch; moving averages serve in evaluation, where D is computed once
    and kept until they change. Statistics and D are in float32, in float64 for layers of float64, whatever autocast or
    ``half()`` say.

    Parameters
    ----------
    channels, taps : int
        C, and the pixels of the kernel: features are (channel, tap).
    config : DeconvConfig
        Settings.
    groups : int
        Of channels, which are never decorrelated with each other.
    device : torch.device or str, optional
        Of the buffers.
    dtype : torch.dtype, optional
        Of the layer; the buffers are float64 for float64, else float32.

    Attributes
    ----------
    parts : tuple of Part
        How channels are laid out in blocks.
    num_batches_tracked : Tensor of shape ()
        Training batches, up to ``config.freeze_after``.
    """

    num_batches_tracked: Tensor

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
        super().__init__()
        self.channels, self.taps, self.groups, self.config = channels, taps, groups, config
        self.parts = parts_of(channels // groups, groups, config)
        kind = torch.float64 if (dtype or torch.get_default_dtype()) == torch.float64 else torch.float32
        new: dict[str, Any] = {"device": device, "dtype": kind}
        for name, part in zip(_SUFFIXES, self.parts, strict=False):
            shape = groups, 1 if part.shared else part.blocks, part.size * taps
            self.register_buffer("running_mean" + name, torch.empty(shape, **new))
            self.register_buffer(self._square + name, torch.empty(*shape, shape[-1], **new))
            if config.refresh_every > 1:
                self.register_buffer("last_mean" + name, torch.empty(shape, **new))
                self.register_buffer("last_deconv" + name, torch.empty(*shape, shape[-1], **new))
        self.register_buffer("num_batches_tracked", torch.empty((), dtype=torch.long, device=device))
        self._kept: tuple[_State, Statistics] = [], []  # what they were made of, and they
        self._counted: tuple[_State, int] = [], 0
        self._warned: set[str] = set()
        self._averages_all = False  # batches alike: while `recalibrate` is at work
        self.reset_running_stats()

    def reset_running_stats(self) -> None:
        """Forget all that was averaged."""
        for name, buffer in self.named_buffers():
            buffer.zero_()
            if "deconv" in name:
                buffer.diagonal(dim1=-2, dim2=-1).fill_(1)

    def average_all(self) -> None:
        """Forget all that was averaged; until `keep_averages`, let all batches count alike, in any mode."""
        self.reset_running_stats()
        self._averages_all = True

    def keep_averages(self, count: int | None = None) -> None:
        """End `average_all`, as after ``count`` training batches (those averaged by default)."""
        self._averages_all = False
        if count:
            self.num_batches_tracked.fill_(count)
        if self.config.running == "covariance":
            for name, buffer in self.named_buffers():
                if name.startswith("running"):
                    buffer.mul_(self._weight())

    @property
    def frozen(self) -> bool:
        """Whether the statistics stay as they are."""
        return self.config.freeze_after is not None and self._count() >= self.config.freeze_after

    def forward(self, x: Tensor, sampling: Sampling) -> tuple[Tensor, Statistics]:
        """Return what to whiten a layer's input with.

        Parameters
        ----------
        x : Tensor
            The input, of any floating dtype.
        sampling : Sampling
            Of its features; used if they are needed.

        Returns
        -------
        x : Tensor
            The input, to be used in place of it, and for one purpose only (see `moments_of`).
        statistics : list of (Tensor, Tensor)
            For each part, means (G, S, F) and matrices D (G, S, F, F).

        Raises
        ------
        ValueError
            If a training batch has no samples.
        """
        if not self._averages_all and (not self.training or self.frozen):
            return x, self.running_statistics()
        if not self._averages_all and self._count() % self.config.refresh_every:
            self._tick()
            return x, [(self._get("last_mean", i), self._get("last_deconv", i)) for i in range(len(self.parts))]
        if x.numel() == 0:
            raise ValueError("a training batch must have at least one sample")
        with torch.autocast(x.device.type, enabled=False):
            if self.config.through_statistics:
                x, moments = self._moments(x, sampling)
            else:
                with torch.no_grad():
                    _, moments = self._moments(x, sampling)
            statistics = []
            for i, (mean, covariance) in enumerate(moments):
                matrix = self._whiten(covariance)
                self._track(i, mean, covariance, matrix)
                statistics.append((mean, matrix))
        self._tick()
        return x, statistics

    def fold(self, weight: Tensor, statistics: Statistics) -> tuple[Tensor, Tensor]:
        """Merge the whitening into a linear map that follows it (Ye et al. 2020, sec. 4.5.1).

        Parameters
        ----------
        weight : Tensor of shape (O, C/G, ...)
            Of a map of whitened features, with the taps in the last axes.
        statistics
            From `forward`.

        Returns
        -------
        weight : Tensor of shape (O, C/G, ...)
            w D, in the dtype of the statistics.
        shift : Tensor of shape (O,)
            −w D μ, to be added to the output.
        """
        with torch.autocast(weight.device.type, enabled=False):
            grouped = weight.to(statistics[0][0].dtype).reshape(
                self.groups, -1, self.channels // self.groups, self.taps
            )
            folded, shift = [], weight.new_zeros((), dtype=grouped.dtype)
            for part, (mean, matrix) in zip(self.parts, statistics, strict=True):
                stacks = part.of_weight(grouped) @ matrix
                shift = shift - (stacks @ mean[..., None]).sum((1, 3))
                folded.append(part.to_weight(stacks, self.taps))
            whole = folded[0] if len(folded) == 1 else torch.cat(folded, 2)
            return whole.reshape(weight.shape), shift.reshape(-1)

    def apply_to(self, x: Tensor, statistics: Statistics) -> Tensor:
        """Whiten the channels of images: D (x − μ), for a layer of one tap.

        Parameters
        ----------
        x : Tensor of shape (N, C, ...)
            Images.
        statistics
            From `forward`.

        Returns
        -------
        Tensor
            Of the shape and dtype of x.
        """
        identity = torch.eye(self.channels, device=x.device, dtype=statistics[0][0].dtype)
        weight, shift = self.fold(identity, statistics)
        flat = x.flatten(2) if x.dim() > 2 else x.unsqueeze(2)
        return torch.baddbmm(shift.to(x.dtype)[None, :, None], weight.to(x.dtype).expand(len(x), -1, -1), flat).view_as(
            x
        )

    def _moments(self, x: Tensor, sampling: Sampling) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """Return the input and, for each part, means (G, S, F) and covariances (G, S, F, F)."""
        dtype = self._get("running_mean", 0).dtype
        if self.config.shrinkage == "none":
            x, counts, moments = moments_of(x, sampling, self.parts, self.groups, dtype)
            for count, (mean, _) in zip(counts, moments, strict=True):
                self._warn_of_rank(count, mean.shape[-1])
            if self.config.sync and dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
                moments = [_of_all_processes(count, *m) for count, m in zip(counts, moments, strict=True)]
            return x, moments
        features = sampling.gather(x).to(dtype)
        grouped = features.reshape(self.groups, -1, *features.shape[1:])
        moments = []
        for part in self.parts:
            rows = part.rows(grouped)
            mean = rows.mean(-1, keepdim=True)
            centred = rows - mean
            covariance = centred @ centred.mT / rows.shape[-1]
            moments.append((mean[..., 0], shrink(centred.mT, covariance, self.config.shrinkage)))
        return x, moments

    def _whiten(self, covariance: Tensor) -> Tensor:
        eye = torch.eye(covariance.shape[-1], dtype=covariance.dtype, device=covariance.device)
        return partial_inverse_sqrt(covariance + self.config.eps * eye, self.config.n_iter)

    @property
    def _square(self) -> str:
        return "running_deconv" if self.config.running == "matrix" else "running_covariance"

    def _get(self, name: str, part: int) -> Tensor:
        buffer = getattr(self, name + _SUFFIXES[part])
        assert isinstance(buffer, Tensor)
        return buffer

    @torch.no_grad()
    def _track(self, part: int, mean: Tensor, covariance: Tensor, matrix: Tensor) -> None:
        momentum = 1 / (self._count() + 1) if self._averages_all else self.config.momentum
        self._get("running_mean", part).lerp_(mean, momentum)
        square = matrix if self.config.running == "matrix" else covariance
        self._get(self._square, part).lerp_(square, momentum)
        if self.config.refresh_every > 1:
            self._get("last_mean", part).copy_(mean)
            self._get("last_deconv", part).copy_(matrix)

    def _count(self) -> int:
        """Return ``num_batches_tracked``, read from its device only when it was changed elsewhere."""
        if not _unchanged(self._counted[0], [self.num_batches_tracked]):
            self._counted = _state_of([self.num_batches_tracked]), int(self.num_batches_tracked)
        return self._counted[1]

    def _tick(self) -> None:
        count = self._count() + 1
        self.num_batches_tracked += 1
        self._counted = _state_of([self.num_batches_tracked]), count

    def running_statistics(self) -> Statistics:
        """Return the statistics of evaluation, as of `forward`; kept until a buffer is replaced or written to."""
        buffers = list(self.buffers())
        if not _unchanged(self._kept[0], buffers):
            with torch.inference_mode(False), torch.no_grad():  # what is kept must serve outside, too
                self._kept = _state_of(buffers), self._compute_running()
        return self._kept[1]

    def running_covariances(self) -> list[Tensor]:
        """Return the averaged covariances without eps.

        Returns
        -------
        list of Tensor of shape (G, S, F, F)
            For each part; corrected for their start at zero. Meaningless where D is averaged instead, or before
            training.
        """
        return [self._get("running_covariance", i) / self._weight() for i in range(len(self.parts))]

    def _compute_running(self) -> Statistics:
        means = [self._get("running_mean", i) for i in range(len(self.parts))]
        if self._count() == 0:
            self._warn(
                "a deconvolution layer is evaluated before it has seen a training batch: it decorrelates nothing"
            )
            return [(mean, torch.eye(mean.shape[-1]).to(mean).expand(*mean.shape, -1)) for mean in means]
        if self.config.running == "matrix":
            return [(mean, self._get("running_deconv", i)) for i, mean in enumerate(means)]
        covariances = self.running_covariances()
        return [
            (mean / self._weight(), self._whiten(covariance))
            for mean, covariance in zip(means, covariances, strict=True)
        ]

    def _weight(self) -> float:
        """Return the weights of all batches in the moving averages together."""
        return 1 - (1 - self.config.momentum) ** math.ceil(self._count() / self.config.refresh_every)

    def _warn_of_rank(self, count: int, features: int) -> None:
        if count <= features and self.config.shrinkage == "none":
            self._warn(
                f"{count} samples for {features} features ({count / features:.2g} for each): a singular covariance;"
                " take larger batches, smaller blocks, a smaller sampling_stride or shrinkage, or few iterations"
            )

    def _warn(self, message: str) -> None:
        kind = message[-20:]
        if kind not in self._warned:
            self._warned.add(kind)
            warnings.warn(message, NumericalWarning, stacklevel=_levels_to_the_caller())

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Whitening":
        def of_full_precision(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            half = moved.is_floating_point() and moved.dtype.itemsize < 4
            return tensor.to(moved.device) if half else moved

        return super()._apply(of_full_precision, recurse)  # type: ignore[no-untyped-call, no-any-return]

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_kept": ([], []), "_counted": ([], 0)}

    def extra_repr(self) -> str:  # noqa: D102 (of nn.Module)
        sizes = "+".join(f"{self.groups * part.blocks}×{part.size}" for part in self.parts)
        return f"blocks={sizes} channels, taps={self.taps}, {self.config}"


_State = list[tuple[Tensor, int]]


def _state_of(tensors: Sequence[Tensor]) -> _State:
    """Return tensors with how often they were written to, where torch says so."""
    return [] if any(t.is_inference() for t in tensors) else [(t, t._version) for t in tensors]


def _unchanged(state: _State, tensors: Sequence[Tensor]) -> bool:
    """Return whether tensors are those of a state, and have not been written to since."""
    if len(state) != len(tensors):
        return False
    return all(t is before and t._version == version for t, (before, version) in zip(tensors, state, strict=True))


def _levels_to_the_caller() -> int:
    """Return the ``stacklevel`` of the first frame outside torch and ndtools."""
    levels, frame = 2, sys._getframe(2)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] in ("torch", "ndtools"):
        levels, frame = levels + 1, frame.f_back
    return levels


def _of_all_processes(count: int, mean: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Merge moments of the processes' shares of a batch, with a gradient."""
    from torch.distributed.nn.functional import all_reduce

    share = count / all_reduce(torch.tensor(float(count), dtype=mean.dtype, device=mean.device))  # type: ignore[no-untyped-call]
    whole = all_reduce(mean * share)  # type: ignore[no-untyped-call]
    off = mean - whole
    return whole, all_reduce((covariance + off[..., None] * off[..., None, :]) * share)  # type: ignore[no-untyped-call]


_SUFFIXES = ("", "_rest")  # of buffers, by part
