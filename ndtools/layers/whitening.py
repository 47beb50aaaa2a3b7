"""Statistics of a layer's input, and the D that follows from them: one engine for all layers."""

import math
import sys
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ndtools.errors import NumericalWarning
from ndtools.layers.config import DeconvConfig
from ndtools.numerics.inverse_sqrt import full_precision
from ndtools.numerics.iterations import CoupledNewtonSchulz, iterates
from ndtools.numerics.shrinkage import shrink

__all__ = ["Part", "Statistics", "Whitening"]

Statistics = list[tuple[Tensor, Tensor]]
"""For each part, the means (G, S, F) and the matrices D (G, S, F, F); S is 1 if blocks share them."""


@dataclass(frozen=True)
class Part:
    """Blocks of equal size within each group of channels.

    Attributes
    ----------
    start : int
        First channel, counted within the group.
    blocks, size : int
        How many blocks, of how many channels.
    interleaved : bool
        Whether a block is every so manieth (channel, tap) feature, rather than neighbouring channels.
    shared : bool
        Whether its blocks have one mean and one D.
    """

    start: int
    blocks: int
    size: int
    interleaved: bool
    shared: bool

    def rows(self, features: Tensor) -> Tensor:
        """Return features (G, C/G, taps, n) as (G, S, F, M): F features, M samples of each of S stacks."""
        groups, _, taps, n = features.shape
        mine = features[:, self.start : self.start + self.blocks * self.size]
        if self.interleaved:
            stacks = mine.reshape(groups, self.size * taps, self.blocks, n).transpose(1, 2)
        else:
            stacks = mine.reshape(groups, self.blocks, self.size * taps, n)
        if self.shared:
            return stacks.transpose(1, 2).reshape(groups, 1, self.size * taps, self.blocks * n)
        return stacks

    def of_weight(self, weight: Tensor) -> Tensor:
        """Return a weight (G, o, C/G, taps) as (G, blocks, o, F)."""
        groups, outputs, _, taps = weight.shape
        mine = weight[:, :, self.start : self.start + self.blocks * self.size]
        if self.interleaved:
            return mine.reshape(groups, outputs, self.size * taps, self.blocks).permute(0, 3, 1, 2)
        return mine.reshape(groups, outputs, self.blocks, self.size * taps).transpose(1, 2)

    def to_weight(self, stacks: Tensor, taps: int) -> Tensor:
        """Return (G, blocks, o, F) as a weight (G, o, channels, taps): the inverse of `of_weight`."""
        groups, _, outputs, _ = stacks.shape
        order = (0, 2, 3, 1) if self.interleaved else (0, 2, 1, 3)
        return stacks.permute(order).reshape(groups, outputs, self.blocks * self.size, taps)


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
        self.parts = _parts(channels // groups, groups, config)
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
        self.reset_running_stats()

    def reset_running_stats(self) -> None:
        """Forget all that was averaged."""
        for name, buffer in self.named_buffers():
            buffer.zero_()
            if "deconv" in name:
                buffer.diagonal(dim1=-2, dim2=-1).fill_(1)

    @property
    def frozen(self) -> bool:
        """Whether the statistics stay as they are."""
        return self.config.freeze_after is not None and self._count() >= self.config.freeze_after

    def forward(self, sample: Callable[[], Tensor]) -> Statistics:
        """Return the statistics to whiten a batch with.

        Parameters
        ----------
        sample : callable
            Gives the features of the batch, of shape (C, taps, n), of any floating dtype; called if they are needed.

        Returns
        -------
        list of (Tensor, Tensor)
            For each part, means (G, S, F) and matrices D (G, S, F, F).

        Raises
        ------
        ValueError
            If a training batch has no samples.
        """
        if not self.training or self.frozen:
            return self._running()
        if self._count() % self.config.refresh_every:
            self._tick()
            return [(self._get("last_mean", i), self._get("last_deconv", i)) for i in range(len(self.parts))]
        statistics = self._of_batch(sample())
        self._tick()
        return statistics

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

    def _of_batch(self, features: Tensor) -> Statistics:
        if features.shape[-1] == 0:
            raise ValueError("a training batch must have at least one sample")
        with torch.autocast(features.device.type, enabled=False):
            features = features.to(self._get("running_mean", 0).dtype)
            if not self.config.through_statistics:
                features = features.detach()
            grouped = features.reshape(self.groups, -1, self.taps, features.shape[-1])
            statistics = []
            for i, part in enumerate(self.parts):
                mean, covariance = self._moments(part.rows(grouped))
                matrix = self._whiten(covariance)
                self._track(i, mean, covariance, matrix)
                statistics.append((mean, matrix))
        return statistics

    def _moments(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return means (G, S, F) and covariances (G, S, F, F) of (G, S, F, M)."""
        count = rows.shape[-1]
        self._warn_of_rank(count, rows.shape[-2])
        mean = rows.mean(-1, keepdim=True)
        processes = dist.get_world_size() if self.config.sync and dist.is_available() and dist.is_initialized() else 1
        if processes > 1:
            total = _sum_over_processes(torch.tensor(float(count), dtype=rows.dtype, device=rows.device))
            mean = _sum_over_processes(mean * count) / total
            centred = rows - mean
            return mean[..., 0], _sum_over_processes(centred @ centred.mT) / total
        centred = rows - mean
        covariance = centred @ centred.mT / count
        return mean[..., 0], shrink(centred.mT, covariance, self.config.shrinkage)

    def _whiten(self, covariance: Tensor) -> Tensor:
        eye = torch.eye(covariance.shape[-1], dtype=covariance.dtype, device=covariance.device)
        with full_precision(covariance.device):
            steps = iterates(covariance + self.config.eps * eye, CoupledNewtonSchulz(n_iter=self.config.n_iter))
            return deque(steps, maxlen=1)[0]

    @property
    def _square(self) -> str:
        return "running_deconv" if self.config.running == "matrix" else "running_covariance"

    def _get(self, name: str, part: int) -> Tensor:
        buffer = getattr(self, name + _SUFFIXES[part])
        assert isinstance(buffer, Tensor)
        return buffer

    @torch.no_grad()
    def _track(self, part: int, mean: Tensor, covariance: Tensor, matrix: Tensor) -> None:
        self._get("running_mean", part).lerp_(mean, self.config.momentum)
        square = matrix if self.config.running == "matrix" else covariance
        self._get(self._square, part).lerp_(square, self.config.momentum)
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

    def _running(self) -> Statistics:
        """Return the statistics of evaluation, made anew if a buffer is another one, or was written to."""
        buffers = list(self.buffers())
        if not _unchanged(self._kept[0], buffers):
            with torch.inference_mode(False), torch.no_grad():  # what is kept must serve outside, too
                self._kept = _state_of(buffers), self._compute_running()
        return self._kept[1]

    def _compute_running(self) -> Statistics:
        if self._count() == 0:
            self._warn(
                "a deconvolution layer is evaluated before it has seen a training batch: it decorrelates nothing"
            )
        updates = math.ceil(self._count() / self.config.refresh_every)
        weight = 1 - (1 - self.config.momentum) ** updates
        statistics = []
        for i in range(len(self.parts)):
            mean, square = self._get("running_mean", i), self._get(self._square, i)
            if self.config.running == "matrix":
                statistics.append((mean, square))
            elif updates == 0:
                identity = torch.eye(square.shape[-1], dtype=square.dtype, device=square.device)
                statistics.append((mean, identity.expand_as(square)))
            else:
                statistics.append((mean / weight, self._whiten(square / weight)))
        return statistics

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


def _sum_over_processes(x: Tensor) -> Tensor:
    from torch.distributed.nn.functional import all_reduce  # with a gradient

    total: Tensor = all_reduce(x)  # type: ignore[no-untyped-call]
    return total


_SUFFIXES = ("", "_rest")  # of buffers, by part


def _parts(channels: int, groups: int, config: DeconvConfig) -> tuple[Part, ...]:
    """Lay out the channels of a group in blocks."""
    size = min(config.block_size or channels, channels)
    if config.grouping == "interleaved":
        size = channels if groups > 1 else math.gcd(size, channels)
        return (Part(0, channels // size, size, channels > size, config.shared),)
    full, rest = divmod(channels, size)
    parts = [Part(0, full, size, False, config.shared)]
    return tuple(parts + ([Part(full * size, 1, rest, False, config.shared)] if rest else []))
