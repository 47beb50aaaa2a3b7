"""Statistics of a layer's input, and the D that follows from them: one engine for all layers."""

import sys
import warnings
from collections.abc import Callable
from dataclasses import fields
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch._compile import _disable_dynamo

from ndtools.errors import NumericalWarning
from ndtools.layers.blocks import parts_of
from ndtools.layers.config import DeconvConfig
from ndtools.layers.moments import Moments, exact_product, moments_of, shrunk_moments_of
from ndtools.layers.processes import merged, summed, world_size
from ndtools.layers.sampling import Sampling
from ndtools.layers.snapshots import Snapshot, snapshot
from ndtools.numerics.partial_inverse_sqrt import partial_inverse_sqrt
from ndtools.numerics.shrinkage import oas_shrunk, weakened

__all__ = ["Statistics", "Whitening"]

Statistics = list[tuple[Tensor, Tensor]]
"""For each part, the means (G, S, F) and the matrices D (G, S, F, F); S is 1 if blocks share them."""


class Whitening(nn.Module):
    """D = (Cov + eps I)^(-1/2) of a layer's input features, block by block (Ye et al. 2020, algorithm 1).

    In training the statistics are those of the batch; moving averages serve in evaluation, where D is computed once
    and kept until they change. Statistics and D are in float32, in float64 for layers of float64, out of reach of
    autocast, ``half()`` and TF32.

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
        if config.running == "covariance":  # averages begin at zero: this is what they weigh
            self.register_buffer("running_weight", torch.empty((), **new))
        self.register_buffer("num_batches_tracked", torch.empty((), dtype=torch.long, device=device))
        self._kept: tuple[Snapshot, Statistics] | None = None  # what they were made of, and they
        self._counted: tuple[Snapshot, int] | None = None
        self._warned: set[str] = set()
        self._source: Literal["running", "last", "batch"] = "batch"  # of the newest training batch
        self._samples: int | None = None  # that the averages are of, while all samples count alike
        self.reset_running_stats()

    def reset_running_stats(self) -> None:
        """Forget all that was averaged."""
        for name, buffer in self.named_buffers():
            buffer.zero_()
            if "deconv" in name:
                buffer.diagonal(dim1=-2, dim2=-1).fill_(1)

    def average_all(self, on: bool = True) -> None:
        """Start, or stop, averaging with equal weight for all samples, in training and in evaluation mode.

        Starting discards the averages gathered so far. See :func:`ndtools.surgery.recalibrate.recalibrate` for what
        they are then.
        """
        if on:
            self.reset_running_stats()
        self._samples = 0 if on else None

    @property
    def features(self) -> int:
        """Number of features of a block, the largest: its channels times the pixels of the kernel."""
        return max(part.size for part in self.parts) * self.taps

    @property
    def frozen(self) -> bool:
        """Whether the statistics stay as they are."""
        return self.config.freeze_after is not None and self._count() >= self.config.freeze_after

    def merge(self, x: Tensor, sampling: Sampling, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return what applies to a layer's input as its weight would to the whitened input.

        Parameters
        ----------
        x, sampling
            As of `statistics`, which says what is raised.
        weight : Tensor of shape (O, C/G, ...)
            As of `fold`.

        Returns
        -------
        x, weight, shift : Tensor
            The input as of `statistics`, the others as of `fold`.

        Raises
        ------
        RuntimeError
            If the network is exported or traced.
        """
        exporting = getattr(torch.compiler, "is_exporting", lambda: False)()  # torch >= 2.7
        if exporting or torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
            raise RuntimeError("a network that deconvolves cannot be exported or traced: fold it first (ndtools.fold)")
        if torch.compiler.is_compiling():  # one break of the graph instead of many
            found: tuple[Tensor, Tensor, Tensor] = _merge(self, x, sampling, weight)
            return found
        x, statistics = self.statistics(x, sampling)
        return x, *self.fold(weight, statistics)

    def statistics(self, x: Tensor, sampling: Sampling) -> tuple[Tensor, Statistics]:
        """Return what to whiten a layer's input with.

        Where activation checkpointing computes a training batch once more, nothing is tracked once more.

        Parameters
        ----------
        x : Tensor
            The input, of a floating dtype.
        sampling : Sampling
            Of its features; used if they are needed.

        Returns
        -------
        x : Tensor
            The input, to be used in place of it, and for one purpose only (see `moments_of`).
        statistics : list of (Tensor, Tensor)
            For each part, means (G, S, F) and matrices D (G, S, F, F). Those of a training batch are differentiable
            once.

        Raises
        ------
        ValueError
            If a training batch has no samples.
        """
        if not self.training and self._samples is None:
            return x, self.running_statistics()
        if x.numel() == 0:
            raise ValueError("a training batch must have at least one sample")
        again = torch._C._current_graph_task_id() != -1  # within a backward pass
        if not again:
            self._source = self._choose_source()
        if self._source == "running":
            return x, self.running_statistics()
        if self._source == "batch":
            self._kept = None
            with torch.set_grad_enabled(torch.is_grad_enabled() and self.config.through_statistics):
                passed, count, moments = self._moments(x, sampling)
                statistics = [(mean, self._whiten(covariance)) for mean, covariance in moments]
            x = passed if self.config.through_statistics else x
            if not again:
                self._track(count, moments, statistics)
        else:  # clones, as the next batch overwrites the buffers, maybe before a backward pass
            statistics = [(mean.clone(), matrix.clone()) for mean, matrix in self._of_all("last_mean", "last_deconv")]
        if not again:
            self._tick()
        return x, statistics

    def fold(self, weight: Tensor, statistics: Statistics) -> tuple[Tensor, Tensor]:
        """Merge the whitening into a linear map that follows it (Ye et al. 2020, sec. 4.5.1).

        Parameters
        ----------
        weight : Tensor of shape (O, C/G, ...)
            Of a map of whitened features, with the taps in the last axes.
        statistics
            From `statistics`.

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
            each = [
                (part.to_weight(exact_product(part.of_weight(grouped), d), self.taps), part.of_mean(mean, self.taps))
                for part, (mean, d) in zip(self.parts, statistics, strict=True)
            ]
            whole, mean = each[0] if len(each) == 1 else (torch.cat(parts, 2) for parts in zip(*each, strict=True))
            shift = exact_product(whole.flatten(2), mean.flatten(1)[..., None])
            return whole.reshape(weight.shape), -shift.flatten()

    def running_statistics(self) -> Statistics:
        """Return the statistics of evaluation, as of `statistics`; kept until the averages change.

        Returns
        -------
        list of (Tensor, Tensor)
            Without gradient.
        """
        with torch.inference_mode(False), torch.no_grad():  # what is kept must serve outside, too
            if self._count() == 0:
                self._warn(
                    "untrained",
                    "a deconvolution layer is evaluated before it has seen a training batch: it decorrelates nothing",
                )
                means = [self._get("running_mean", i) for i in range(len(self.parts))]
                return [(mean.clone(), torch.eye(mean.shape[-1]).to(mean).expand(*mean.shape, -1)) for mean in means]
            pairs = self._of_all("running_mean", self._square)
            if self.config.running == "matrix":
                return [(mean.clone(), matrix.clone()) for mean, matrix in pairs]
            # Writes past torch's count of versions (``.data``, collectives) show in the values.
            state = snapshot(self.buffers(), [t for m, c in pairs for t in (m, c.diagonal(dim1=-2, dim2=-1))])
            if self._kept is None or not state.same_as(self._kept[0]):
                means = [mean / self.running_weight for mean, _ in pairs]
                matrices = [self._whiten(covariance) for covariance in self.running_covariances()]
                self._kept = state.kept(), list(zip(means, matrices, strict=True))
                if trouble := self.trouble():
                    self._warn(
                        trouble, f"the averaged statistics of a deconvolution layer are {trouble}: {_CAUSES[trouble]}"
                    )
            return self._kept[1]

    def trouble(self) -> Literal["", "non-finite", "indefinite"]:
        """Return what is wrong with the averages; "" if nothing is.

        Returns
        -------
        str
            "non-finite", or "indefinite": a covariance has eigenvalues below −eps, and D is no inverse square root.
        """
        with torch.no_grad():
            if not all(t.isfinite().all() for name, t in self.named_buffers() if name.startswith("running")):
                return "non-finite"
            if self.config.running == "matrix" or self._count() == 0:
                return ""
            # Iterations raise variances to at most 1, but negative ones without bound.
            whitened = [
                (d @ covariance @ d).diagonal(dim1=-2, dim2=-1).abs().max()
                for covariance, (_, d) in zip(self.running_covariances(), self.running_statistics(), strict=True)
            ]
            return "" if all(largest < 2 for largest in whitened) else "indefinite"

    def running_covariances(self) -> list[Tensor]:
        """Return the averaged covariances without eps.

        Returns
        -------
        list of Tensor of shape (G, S, F, F)
            For each part; corrected for their start at zero. Meaningless where D is averaged instead, or before
            training.
        """
        return [self._get("running_covariance", i) / self.running_weight for i in range(len(self.parts))]

    def _choose_source(self) -> Literal["running", "last", "batch"]:
        if self._samples is not None:
            return "batch"
        if self.frozen:
            return "running"
        return "last" if self._count() % self.config.refresh_every else "batch"

    def _moments(self, x: Tensor, sampling: Sampling) -> tuple[Tensor, int, list[Moments]]:
        """Return the input, the number of samples of all processes, and means and covariances for each part."""
        dtype = self._get("running_mean", 0).dtype
        if self.config.shrinkage == "lw":
            return x, *shrunk_moments_of(x, sampling, self.parts, self.groups, dtype, self.config.shrinkage)
        x, counts, moments = moments_of(x, sampling, self.parts, self.groups, dtype)
        if self.config.sync and world_size() > 1:
            moments = [merged(count, *m) for count, m in zip(counts, moments, strict=True)]
            total = summed(counts[0], x.device)
            counts = [total * count // counts[0] for count in counts]  # parts differ by their number of blocks alone
        found = []
        for count, (mean, covariance) in zip(counts, moments, strict=True):
            if self.config.shrinkage == "oas":
                covariance = oas_shrunk(covariance, count)
            elif self.config.shrinkage == "auto":
                covariance = weakened(covariance, count)
            elif count <= mean.shape[-1]:
                self._warn_of_rank(count, mean.shape[-1])
            found.append((mean, covariance))
        return x, counts[0], found

    def _whiten(self, covariance: Tensor) -> Tensor:
        eye = torch.eye(covariance.shape[-1], dtype=covariance.dtype, device=covariance.device)
        eps = self.config.eps
        return partial_inverse_sqrt(covariance + eps * eye, self.config.n_iter, lower=eps)

    @property
    def _square(self) -> str:
        return "running_deconv" if self.config.running == "matrix" else "running_covariance"

    def _get(self, name: str, part: int) -> Tensor:
        buffer = getattr(self, name + _SUFFIXES[part])
        assert isinstance(buffer, Tensor)
        return buffer

    def _of_all(self, *names: str) -> list[tuple[Tensor, ...]]:
        return [tuple(self._get(name, i) for name in names) for i in range(len(self.parts))]

    @torch.no_grad()
    def _track(self, count: int, moments: list[Moments], statistics: Statistics) -> None:
        momentum = self.config.momentum
        if self._samples is not None:
            self._samples += count
            momentum = count / self._samples
        for i, ((mean, covariance), (_, matrix)) in enumerate(zip(moments, statistics, strict=True)):
            average = self._get("running_mean", i)
            if self._samples is not None:  # then the spread of the batches' means is part of that of the samples
                apart = mean - average
                covariance = covariance + (1 - momentum) * apart[..., None] * apart[..., None, :]
            average.lerp_(mean, momentum)
            self._get(self._square, i).lerp_(matrix if self.config.running == "matrix" else covariance, momentum)
            if self.config.refresh_every > 1:
                self._get("last_mean", i).copy_(mean)
                self._get("last_deconv", i).copy_(matrix)
        if self.config.running == "covariance":
            self.running_weight.lerp_(torch.ones_like(self.running_weight), momentum)

    def _count(self) -> int:
        """Return ``num_batches_tracked``; read from another device only when it was changed elsewhere."""
        if self.num_batches_tracked.device.type == "cpu":
            return int(self.num_batches_tracked)
        state = snapshot([self.num_batches_tracked], [])
        if self._counted is None or not state.same_as(self._counted[0]):
            self._counted = state, int(self.num_batches_tracked)
        return self._counted[1]

    def _tick(self) -> None:
        count = self._count() + 1
        self.num_batches_tracked += 1
        self._counted = snapshot([self.num_batches_tracked], []), count

    def _warn_of_rank(self, count: int, features: int) -> None:
        self._warn(
            "rank",
            f"{count} sample{'s' * (count != 1)} for {features} features ({count / features:.2g} for each): the"
            " covariance is singular, and evaluation may amplify what the batches do not hold; use shrinkage='auto',"
            " larger batches, smaller blocks, or a smaller sampling_stride",
        )

    def _warn(self, kind: str, message: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            warnings.warn(message, NumericalWarning, stacklevel=_levels_to_the_caller())

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:  # noqa: ANN401
        for name, buffer in self.named_buffers():  # statistics stay in full precision also if tensors are assigned
            value = state_dict.get(prefix + name)
            if isinstance(value, Tensor) and value.dtype != buffer.dtype:
                state_dict[prefix + name] = value.to(buffer.dtype)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Whitening":
        def of_full_precision(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            half = moved.is_floating_point() and moved.dtype.itemsize < 4
            return tensor.to(moved.device) if half else moved

        return super()._apply(of_full_precision, recurse)  # type: ignore[no-untyped-call, no-any-return]

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_kept": None, "_counted": None}

    def extra_repr(self) -> str:  # noqa: D102 (of nn.Module)
        sizes = "+".join(f"{self.groups * part.blocks}×{part.size}" for part in self.parts)
        default = DeconvConfig()
        changed = [
            f"{field.name}={getattr(self.config, field.name)!r}"
            for field in fields(self.config)
            if getattr(self.config, field.name) != getattr(default, field.name)
        ]
        return ", ".join([f"blocks={sizes} channels", f"taps={self.taps}", *changed])


@_disable_dynamo  # torch.compiler.disable, which is slow to import
def _merge(whitening: Whitening, x: Tensor, sampling: Sampling, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return whitening.merge(x, sampling, weight)


def _levels_to_the_caller() -> int:
    """Return the ``stacklevel`` of the first frame outside torch and ndtools."""
    levels, frame = 2, sys._getframe(2)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] in ("torch", "ndtools"):
        levels, frame = levels + 1, frame.f_back
    return levels


_CAUSES = {
    "non-finite": "a training batch was, or its covariance",
    "indefinite": "no covariance is, but one rounded to half precision may be; keep statistics in float32",
}
_SUFFIXES = ("", "_rest")  # of buffers, by part
