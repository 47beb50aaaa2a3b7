"""Running statistics of a layer's input: the averages that training batches update and evaluation uses."""

import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ndtools.errors import NumericalWarning
from ndtools.layers.blocks import parts_of
from ndtools.layers.config import DeconvConfig
from ndtools.layers.moments import Moments, pool
from ndtools.numerics.partial_inverse_sqrt import partial_inverse_sqrt
from ndtools.numerics.products import ridged

__all__ = ["RunningStatistics", "Statistics"]

Statistics = list[tuple[Tensor, Tensor]]
"""For each part of the blocks, means (G, S, F) and matrices D (G, S, F, F). S is 1 if blocks share their statistics."""


class RunningStatistics(nn.Module):
    """Moving averages of the moments of a layer's input, and the D of evaluation that follows from them.

    The D of evaluation is computed once and kept until a buffer changes. Buffers are float32, or float64 for layers of
    float64; ``half()`` and ``bfloat16()`` leave them as they are.

    Parameters
    ----------
    channels : int
        Number of input channels C of the layer.
    taps : int
        Number of pixels of the kernel. A feature is a pair (channel, tap).
    config : DeconvConfig
        Settings of the deconvolution.
    groups : int
        Number of groups of channels. Channels of different groups are never decorrelated with each other.
    device : torch.device or str, optional
        Device of the buffers.
    dtype : torch.dtype, optional
        Dtype of the layer.

    Attributes
    ----------
    parts : tuple of Part
        Layout of the channels in blocks.
    num_batches_tracked : Tensor of shape ()
        Number of training batches so far; it stops at ``config.freeze_after``.
    """

    num_batches_tracked: Tensor
    running_mean: Tensor
    running_weight: Tensor

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
        self.parts = parts_of(channels // groups, taps, groups, config)
        full = torch.float64 if (dtype or torch.get_default_dtype()) == torch.float64 else torch.float32
        new: dict[str, Any] = {"device": device, "dtype": full}
        for suffix, part in zip(_SUFFIXES, self.parts, strict=False):
            shape = groups, 1 if part.shared else part.blocks, part.size * taps
            self.register_buffer("running_mean" + suffix, torch.empty(shape, **new))
            self.register_buffer(self._averaged + suffix, torch.empty(*shape, shape[-1], **new))
            if config.refresh_every > 1:
                self.register_buffer("last_mean" + suffix, torch.empty(shape, **new))
                self.register_buffer("last_deconv" + suffix, torch.empty(*shape, shape[-1], **new))
        if config.running == "covariance":  # averages start at zero: this is the sum of the batches' weights in them
            self.register_buffer("running_weight", torch.empty((), **new))
        self.register_buffer("num_batches_tracked", torch.empty((), dtype=torch.long, device=device))
        self._kept: tuple[_Snapshot, Statistics] | None = None  # the state of the buffers, and what follows from it
        self._counted: tuple[_Snapshot, int] | None = None
        self._warned: set[str] = set()
        self._samples: int | None = None  # number of samples averaged with equal weight; None for moving averages
        self.reset_running_stats()

    def reset_running_stats(self) -> None:
        """Discard the averages and the number of batches."""
        # Whether the buffers of ``refresh_every`` hold mean and D of a batch; to be restored with the buffers.
        self.refreshed = False
        for name, buffer in self.named_buffers():
            buffer.zero_()
            if "deconv" in name:
                buffer.diagonal(dim1=-2, dim2=-1).fill_(1)

    def average_all(self, on: bool = True) -> None:
        """Start, or stop, averaging with equal weight for all samples, in training and in evaluation mode.

        Starting discards the averages gathered so far. :func:`ndtools.surgery.recalibrate.recalibrate` describes the
        averages that result.
        """
        if on:
            self.reset_running_stats()
        self._samples = 0 if on else None

    @property
    def averages_all(self) -> bool:
        """Whether all samples are averaged with equal weight (`average_all`)."""
        return self._samples is not None

    @property
    def channels_needed(self) -> int:
        """Number of patches for each tap without which a block's covariance is singular.

        A patch is one sample of a block, or of each of several blocks that share one D.
        """
        return max(-(-part.size // (part.blocks if part.shared else 1)) for part in self.parts)

    @property
    def frozen(self) -> bool:
        """Whether training batches leave the statistics as they are (``config.freeze_after``)."""
        return self.config.freeze_after is not None and self._count() >= self.config.freeze_after

    def next_source(self) -> Literal["running", "last", "batch"]:
        """Return where the statistics of the next training batch come from.

        Returns
        -------
        {"running", "last", "batch"}
            "batch" is the batch itself; "last" an earlier batch, between two refreshes; "running" the averages, once
            these are frozen.
        """
        if self.averages_all:
            return "batch"
        if self.frozen:
            return "running"
        return "last" if self.refreshed and self._count() % self.config.refresh_every else "batch"

    @torch.no_grad()
    def update(self, count: int, moments: list[Moments], statistics: Statistics) -> None:
        """Add the moments of a training batch to the averages.

        Parameters
        ----------
        count : int
            Number of samples of the batch.
        moments : list of (Tensor, Tensor)
            Means (G, S, F) and covariances (G, S, F, F) of the batch, for each part of the blocks.
        statistics : list of (Tensor, Tensor)
            Means and matrices D of the batch, for each part.
        """
        momentum = self.config.momentum
        if self._samples is not None:
            self._samples += count
            momentum = count / self._samples
        for i, ((mean, covariance), (_, matrix)) in enumerate(zip(moments, statistics, strict=True)):
            running = self._get("running_mean", i), self._get(self._averaged, i)
            if self._samples is not None and self.config.running == "covariance":
                pool(running, (mean, covariance), momentum)
            else:
                for average, new in zip(
                    running, (mean, matrix if self.config.running == "matrix" else covariance), strict=True
                ):
                    average.lerp_(new, momentum)
            if self.config.refresh_every > 1:
                self._get("last_mean", i).copy_(mean)
                self._get("last_deconv", i).copy_(matrix)
        self.refreshed = True
        if self.config.running == "covariance":
            self.running_weight.lerp_(torch.ones_like(self.running_weight), momentum)
        self._kept = None

    def count_batch(self) -> None:
        """Count one more training batch."""
        count = self._count() + 1
        self.num_batches_tracked += 1
        self._counted = _snapshot([self.num_batches_tracked], []), count

    def last_statistics(self) -> Statistics:
        """Return mean and D of the newest batch that was not skipped (``config.refresh_every``).

        Returns
        -------
        list of (Tensor, Tensor)
            Copies without gradient, for each part: the next refresh overwrites the buffers, perhaps before a backward
            pass needs these.
        """
        return [(mean.clone(), matrix.clone()) for mean, matrix in self._pairs("last_mean", "last_deconv")]

    def running_statistics(self) -> Statistics:
        """Return mean and D of evaluation.

        Returns
        -------
        list of (Tensor, Tensor)
            Means (G, S, F) and matrices D (G, S, F, F) for each part, without gradient. The same tensors are returned
            until the averages change.

        Warns
        -----
        NumericalWarning
            If no training batch was seen, so that D is the identity, or if the averages are not usable (`trouble`).
        """
        with torch.inference_mode(False), torch.no_grad():  # the kept tensors must also serve outside inference mode
            if self._count() == 0:
                self._warn(
                    "untrained",
                    "a deconvolution layer is evaluated before it has seen a training batch: it decorrelates nothing",
                )
                means = [self._get("running_mean", i) for i in range(len(self.parts))]
                return [(mean.clone(), torch.eye(mean.shape[-1]).to(mean).expand(*mean.shape, -1)) for mean in means]
            pairs = self._pairs("running_mean", self._averaged)
            if self.config.running == "matrix":
                return [(mean.clone(), matrix.clone()) for mean, matrix in pairs]
            # Writes that torch does not count as a new version (``.data``, collectives) show in these values.
            state = _snapshot(self.buffers(), [t for m, c in pairs for t in (m, c.diagonal(dim1=-2, dim2=-1))])
            if self._kept is None or not state.same_as(self._kept[0]):
                means = [mean / self.running_weight for mean, _ in pairs]
                matrices = [self.inverse_sqrt(covariance) for covariance in self.running_covariances()]
                self._kept = state.with_copies(), list(zip(means, matrices, strict=True))
                if trouble := self.trouble():
                    self._warn(
                        trouble, f"the averaged statistics of a deconvolution layer are {trouble}: {_CAUSES[trouble]}"
                    )
            return self._kept[1]

    def running_covariances(self) -> list[Tensor]:
        """Return the averaged covariances, without eps.

        Returns
        -------
        list of Tensor of shape (G, S, F, F)
            Averages for each part, corrected for their start at zero. They have no meaning before training, or where
            D is averaged instead.
        """
        return [self._get("running_covariance", i) / self.running_weight for i in range(len(self.parts))]

    def inverse_sqrt(self, covariance: Tensor) -> Tensor:
        """Return D = (Cov + eps I)^(-1/2), differentiable once, by the iterations of the configuration."""
        eps = self.config.eps
        return partial_inverse_sqrt(ridged(covariance, eps), self.config.n_iter, lower=eps)

    def trouble(self) -> Literal["", "non-finite", "indefinite"]:
        """Return what is wrong with the averages.

        Returns
        -------
        str
            "non-finite" if an average holds NaN or Inf. "indefinite" if a covariance has eigenvalues below −eps, so
            that D is no inverse square root. "" if neither is the case.
        """
        with torch.no_grad():
            if not all(t.isfinite().all() for name, t in self.named_buffers() if name.startswith("running")):
                return "non-finite"
            if self.config.running == "matrix" or self._count() == 0:
                return ""
            # Iterations bring positive variances to at most 1, but let negative ones grow without bound.
            whitened = [
                (d @ covariance @ d).diagonal(dim1=-2, dim2=-1).abs().max()
                for covariance, (_, d) in zip(self.running_covariances(), self.running_statistics(), strict=True)
            ]
            return "" if all(largest < 2 for largest in whitened) else "indefinite"

    @property
    def _averaged(self) -> str:
        return "running_deconv" if self.config.running == "matrix" else "running_covariance"

    def _get(self, name: str, part: int) -> Tensor:
        buffer = getattr(self, name + _SUFFIXES[part])
        assert isinstance(buffer, Tensor)
        return buffer

    def _pairs(self, first: str, second: str) -> list[tuple[Tensor, Tensor]]:
        return [(self._get(first, i), self._get(second, i)) for i in range(len(self.parts))]

    def _count(self) -> int:
        """Return ``num_batches_tracked``; it is copied from another device only if it was changed elsewhere."""
        if self.num_batches_tracked.device.type == "cpu":
            return int(self.num_batches_tracked)
        state = _snapshot([self.num_batches_tracked], [])
        if self._counted is None or not state.same_as(self._counted[0]):
            self._counted = state, int(self.num_batches_tracked)
        return self._counted[1]

    def _warn(self, topic: str, message: str) -> None:
        """Warn once on each topic."""
        if topic not in self._warned:
            self._warned.add(topic)
            warnings.warn(message, NumericalWarning, stacklevel=_levels_to_the_caller())

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:  # noqa: ANN401
        for name, buffer in self.named_buffers():  # buffers stay in full precision also if tensors are assigned
            value = state_dict.get(prefix + name)
            if isinstance(value, Tensor) and value.dtype != buffer.dtype:
                state_dict[prefix + name] = value.to(buffer.dtype)
        super()._load_from_state_dict(state_dict, prefix, *args)
        if prefix + "num_batches_tracked" not in state_dict:
            return
        missing = [name for name, _ in self.named_buffers() if prefix + name not in state_dict]
        self.refreshed = not any(name.startswith("last") for name in missing)
        if lost := [name for name in missing if name.startswith("running")]:
            self.reset_running_stats()
            warnings.warn(
                f"the state of a deconvolution layer has no {' or '.join(lost)}, so that its other statistics are"
                " discarded: load it into layers of the same DeconvConfig(running=...), or call ndtools.recalibrate",
                NumericalWarning,
                stacklevel=_levels_to_the_caller(),
            )

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "RunningStatistics":
        def in_full_precision(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            half = moved.is_floating_point() and moved.dtype.itemsize < 4
            return tensor.to(moved.device) if half else moved

        return super()._apply(in_full_precision, recurse)  # type: ignore[no-untyped-call, no-any-return]

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_kept": None, "_counted": None}

    def extra_repr(self) -> str:  # noqa: D102 (documented by nn.Module)
        sizes = "+".join(f"{self.groups * part.blocks}×{part.size}" for part in self.parts)
        default = DeconvConfig()
        changed = [
            f"{field.name}={getattr(self.config, field.name)!r}"
            for field in fields(self.config)
            if getattr(self.config, field.name) != getattr(default, field.name)
        ]
        return ", ".join([f"blocks={sizes} channels", f"taps={self.taps}", *changed])


@dataclass(frozen=True)
class _Snapshot:
    """State of tensors at one time, by which a later change is noticed.

    Attributes
    ----------
    tensors : tuple of Tensor
        The tensors themselves.
    versions : tuple of int, optional
        Number of writes to each tensor that torch has counted; None for tensors of inference mode, which have no count.
    values : tuple of Tensor
        Values that show writes which torch does not count.
    """

    tensors: tuple[Tensor, ...]
    versions: tuple[int, ...] | None
    values: tuple[Tensor, ...]

    def same_as(self, other: "_Snapshot") -> bool:
        """Return whether these are the tensors of another snapshot, unchanged."""
        return (
            self.versions is not None
            and self.versions == other.versions
            and all(a is b for a, b in zip(self.tensors, other.tensors, strict=True))
            and all(torch.equal(a, b) for a, b in zip(self.values, other.values, strict=True))
        )

    def with_copies(self) -> "_Snapshot":
        """Return the snapshot with copies of the values, which later writes do not reach."""
        return replace(self, values=tuple(value.clone() for value in self.values))


def _snapshot(tensors: Iterable[Tensor], values: Sequence[Tensor]) -> _Snapshot:
    tensors = tuple(tensors)
    counted = not any(t.is_inference() for t in tensors)
    return _Snapshot(tensors, tuple(t._version for t in tensors) if counted else None, tuple(values))


def _levels_to_the_caller() -> int:
    """Return the ``stacklevel`` of the first frame outside torch and ndtools."""
    levels, frame = 2, sys._getframe(2)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] in ("torch", "ndtools"):
        levels, frame = levels + 1, frame.f_back
    return levels


_CAUSES = {
    "non-finite": "a training batch, or its covariance, contained NaN or Inf, as float32 does from inputs of 1e19 on;"
    " check the inputs and the learning rate",
    "indefinite": "a covariance has negative eigenvalues, as after rounding to half precision; keep statistics in"
    " float32",
}
_SUFFIXES = ("", "_rest")  # endings of the buffers' names, by part
