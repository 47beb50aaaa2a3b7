"""Signals and volumes and their deconvolution."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ndtools.computing.memory import free_memory, require_memory
from ndtools.computing.operators import operator_threads, resolve_device
from ndtools.console.short_form import short_form
from ndtools.data.signals.reading import Signals, read_signals
from ndtools.errors import DataError, NumericalError, OptionError
from ndtools.experiments.signals.config import SignalsConfig
from ndtools.experiments.signals.result import Excerpt, SignalsResult
from ndtools.moments.groups import GroupMoments
from ndtools.numerics.deconvolution import Deconvolution
from ndtools.numerics.inverse_sqrt import method_from_name
from ndtools.numerics.patch_covariance import PatchCovariance, memory_needed
from ndtools.numerics.patches import NOUNS, UNITS, Sizes, times
from ndtools.numerics.ridge import tightest_ridge
from ndtools.numerics.sparsity import OF_OFFSET, measured
from ndtools.text import counted

__all__ = ["run", "signals"]

Array = NDArray[Any]

WORKING = 17  # times the size of the data that all work on it takes: measured 12 to 17 for float32 and float64
BLOCKS = 16  # at most, into which a single signal is divided to choose a ridge
SHOWN_SAMPLES, SHOWN_CHANNELS, SHOWN_SIDE = 200, 8, 256  # of the excerpt that figures show


def run(config: SignalsConfig) -> SignalsResult:
    """Deconvolve signals or volumes by kernels that are fitted to their own patches.

    Parameters
    ----------
    config : SignalsConfig
        Configuration of the run.

    Returns
    -------
    SignalsResult
        Kernels, covariance, and all signals or volumes after deconvolution.

    Raises
    ------
    DataError
        If the source cannot be read, or a signal or volume is smaller than a patch, or a single one is too short to
        choose a ridge by its halves.
    NumericalError
        If the output overflows.
    OptionError
        If names of channels or the kernel size do not fit the data, or patches need more memory than is free.
    """
    SignalsConfig.check_type(config)
    device = resolve_device(config.device)
    signals = read_signals(config.source, axes=config.axes and config.axes.strip().upper(), key=config.key)
    names = _names(config.channels, signals)
    sides = config.sides(signals.axes)
    _check_sizes(signals, sides)
    size = sum(values.nbytes for values in signals.values)
    require_memory(WORKING * size, f"{signals.label}: the deconvolution of {size / 1e6:.3g} MB", "take a part of them")
    with operator_threads(config.jobs):
        moments = _moments(signals, sides, config, device)
        ridge, relative, choice = moments.terms(config.eps, relative=config.relative_eps)
        method = method_from_name(config.method, n_iter=config.iterations)
        fit = Deconvolution.from_covariance(moments.whole, eps=ridge, relative=relative, method=method)
        deconvolved = tuple(fit.apply(values).numpy() for values in signals.values)
        if not all(np.isfinite(values).all() for values in deconvolved):
            raise NumericalError(f"{signals.label}: the output overflows; take a larger eps")
        after = _correlations(deconvolved, sides, device)
    kernels = fit.kernels().numpy()
    largest = max(_largest_term(values) for values in signals.values)
    gain = float(np.abs(kernels).sum(tuple(range(1, kernels.ndim))).max())
    inner = [_inner(values, sides) for values in signals.values]
    return SignalsResult(
        config=config,
        source=signals.label,
        axes=signals.axes,
        names=names,
        rate=config.rate or signals.rate,
        covariance=moments.whole,
        fit=fit,
        kernels=kernels,
        deconvolved=deconvolved,
        correlations_after=after,
        before=measured(_about_means(inner), terms=largest, about_mean=False),
        after=measured(_about_means(deconvolved), terms=largest * gain, about_mean=False),
        excerpt=_excerpt(inner[0], deconvolved[0], sides[0] // 2),
        device=str(device),
        ridge=choice,
    )


signals = short_form(SignalsConfig, run)


def _largest_term(values: Array) -> float:
    """Return the size of the terms whose sums are the deconvolved values, which rounding is measured by."""
    axes = tuple(range(1, values.ndim))
    about = values - values.mean(axes, dtype=np.float64, keepdims=True).astype(values.dtype)
    return float(np.abs(about).max()) + OF_OFFSET * float(np.abs(values).max())


def _names(given: Sequence[str], signals: Signals) -> tuple[str, ...]:
    if given and len(given) != len(signals.channels):
        raise OptionError(
            "channels", f"must be {counted(len(signals.channels), 'name')}, one for each channel, got {len(given)}"
        )
    return tuple(given) or signals.channels


def _check_sizes(signals: Signals, sides: Sizes) -> None:
    """Check that all signals are as large as a patch, and that there is memory for the covariance."""
    axes = len(sides)
    for values in signals.values:
        if any(n < k for n, k in zip(values.shape[1:], sides, strict=True)):
            raise DataError(
                f"{signals.label}: a {NOUNS[axes]} of {times(values.shape[1:])} {UNITS[axes]} is smaller than a patch"
                f" of {times(sides)}; take a smaller `kernel_size`, or check `axes`"
            )
    needed, free = memory_needed(len(signals.channels), sides, dtype=torch.float64), free_memory()
    if free is not None and needed > max(free, 2**30):  # an upper bound, which small patches do not reach
        raise OptionError(
            "kernel_size",
            f"is too large for this machine: patches of {times(sides)} and {counted(len(signals.channels), 'channel')}"
            f" need about {needed / 1e9:.2g} GB of memory, and {free / 1e9:.2g} GB are free; choose a smaller one",
        )


def _moments(signals: Signals, sides: Sizes, config: SignalsConfig, device: torch.device) -> GroupMoments:
    """Return the moments of all patches, with those of two halves if a ridge is to be chosen."""
    eps, relative = tightest_ridge([config.eps], relative=config.relative_eps)
    groups: list[Sequence[Array]] = [signals.values]
    if config.eps == "auto":
        groups += _halves(signals, sides)
    covariances = []
    for group in groups:
        moments = PatchCovariance(len(signals.channels), sides, eps=eps, relative=relative, device=device)
        for values in group:
            moments.update(values)
        covariances.append(moments.finalize().cpu())
    return GroupMoments(tuple(covariances[1:]) or (covariances[0],), covariances[0])


def _halves(signals: Signals, sides: Sizes) -> list[Sequence[Array]]:
    """Return two halves: alternate signals, or alternate blocks of the longest axis of a single one."""
    if len(signals.values) > 1:
        return [signals.values[::2], signals.values[1::2]]
    (values,) = signals.values
    axis = 1 + int(np.argmax(values.shape[1:]))
    length = values.shape[axis]
    count = min(BLOCKS, length // (2 * sides[axis - 1])) // 2 * 2
    if count < 2:
        unit = UNITS[len(sides)]
        raise DataError(
            f"{signals.label}: {length} {unit} are too few to choose a ridge by halves; give `eps` as a number"
        )
    blocks = np.array_split(values, count, axis=axis)
    return [blocks[::2], blocks[1::2]]


def _correlations(deconvolved: Sequence[Array], sides: Sizes, device: torch.device) -> NDArray[np.float64]:
    """Return the correlations that are left, (C, C, *sides); NaN if nothing is as large as a patch."""
    channels = len(deconvolved[0])
    moments = PatchCovariance(channels, sides, device=device)
    for values in deconvolved:
        if all(n >= k for n, k in zip(values.shape[1:], sides, strict=True)):
            moments.update(values)
    if not moments.count:
        return np.full((channels, channels, *sides), math.nan)
    return np.asarray(moments.finalize().cpu().correlations_of_centre().numpy())


def _inner(values: Array, sides: Sizes) -> Array:
    """Return the values at the places where a deconvolution has outputs."""
    return values[:, *(slice(k // 2, n - k // 2) for n, k in zip(values.shape[1:], sides, strict=True))]


def _about_means(group: Sequence[Array]) -> Array:
    """Return the values of all signals about the mean of each channel of each, in the shape of one image."""
    flat = (values.reshape(len(values), -1) for values in group)
    return np.concatenate([each - each.mean(1, dtype=np.float64, keepdims=True) for each in flat], axis=1)[:, None]


def _excerpt(before: Array, after: Array, first: int) -> Excerpt:
    """Return the middle of a signal, or the middle slice of a volume; ``first`` is the number of its first value."""
    means = before.mean(tuple(range(1, before.ndim)), keepdims=True)
    before, after = before[:SHOWN_CHANNELS] - means[:SHOWN_CHANNELS], after[:SHOWN_CHANNELS]
    if before.ndim == 2:
        start = max(0, (before.shape[1] - SHOWN_SAMPLES) // 2)
        part: tuple[Any, ...] = (slice(start, start + SHOWN_SAMPLES),)
    else:
        start = before.shape[1] // 2
        edges = [max(0, (n - SHOWN_SIDE) // 2) for n in before.shape[2:]]
        part = (start, *(slice(edge, edge + SHOWN_SIDE) for edge in edges))
    shown = [np.ascontiguousarray(values[:, *part], dtype=np.float32) for values in (before, after)]
    return Excerpt(shown[0], shown[1], first + start)
