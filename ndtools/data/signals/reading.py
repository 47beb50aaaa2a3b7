"""Signals and volumes of a source: a file, a folder, a glob, or a set that is made in code."""

import glob
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ndtools.data.signals.axes import axes_of
from ndtools.data.signals.formats import SUFFIXES, read_stored
from ndtools.data.signals.synthetic import base_calls, beads
from ndtools.errors import DataError
from ndtools.numerics.finite import not_finite
from ndtools.numerics.patches import NOUNS
from ndtools.text import printable

__all__ = ["BUILT_IN_SIGNALS", "Signals", "read_signals"]

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Signals:
    """Signals or volumes with equal channels.

    Attributes
    ----------
    label : str
        Name of their source, printable.
    values : tuple of array of shape (C, T) or (C, Z, Y, X)
        Numbers of each signal or volume, in float32 or float64.
    axes : str
        Axes besides the channels: "T" or "ZYX".
    channels : tuple of str
        Names of the channels.
    rate : float or None
        Samples per second; None if it is not known.
    """

    label: str
    values: tuple[Array, ...]
    axes: str
    channels: tuple[str, ...]
    rate: float | None = None


def _base_calls() -> Signals:
    run = base_calls()
    return Signals("base-calls", tuple(run.signals), "T", ("A", "C", "G", "T"))


def _beads() -> Signals:
    return Signals("beads", (beads().volume,), "ZYX", ("gray",))


BUILT_IN_SIGNALS: dict[str, Callable[[], Signals]] = {"base-calls": _base_calls, "beads": _beads}
"""Sources that need no file."""


def read_signals(source: str, *, axes: str | None = None, key: str | None = None) -> Signals:
    """Read all signals or volumes of a source.

    Parameters
    ----------
    source : str
        Name of a file, a folder or a glob; or "base-calls" or "beads", which are made in code.
    axes : str, optional
        Letters of the axes of arrays, see :class:`ndtools.data.signals.axes.ArrayAxes`. By default those of the format,
        or of an array (time) or (channels, time).
    key : str, optional
        Name of the array in .npz and .mat files.

    Returns
    -------
    Signals
        Signals or volumes of all files, in the order of their paths.

    Raises
    ------
    DataError
        If there is no such source, a file cannot be read, or files have different channels, axes or rates.
    """
    if source in BUILT_IN_SIGNALS and not os.path.exists(source):
        return BUILT_IN_SIGNALS[source]()
    first: Signals | None = None
    values: list[Array] = []
    for path in _paths(source):
        name, stored = printable(path), read_stored(path, key)
        try:
            named = axes_of(axes or stored.axes, stored.values.shape)
            arranged = named.arranged(stored.values)
        except DataError as error:
            raise DataError(f"{name}: {error}") from None
        signals = Signals(name, (), named.kept, _names(arranged.shape[1], named.kept), stored.rate)
        first = first or signals
        for noun in ("axes", "channels", "rate"):
            mine, theirs = getattr(first, noun), getattr(signals, noun)
            if mine != theirs:
                mine, theirs = (len(x) if noun == "channels" else x for x in (mine, theirs))
                raise DataError(f"{name} does not fit {first.label}: its {noun} must be {mine}, got {theirs}")
        for i, each in enumerate(arranged):
            if bad := not_finite(each):
                which = f"{NOUNS[len(named.kept)]} {i + 1}: " if len(arranged) > 1 else ""
                raise DataError(f"{name}: {which}values must be finite, got {bad}")
        values += [np.ascontiguousarray(each) for each in arranged]
    assert first is not None
    return Signals(printable(source), tuple(values), first.axes, first.channels, first.rate)


def _names(count: int, kept: str) -> tuple[str, ...]:
    if count == 1 and kept == "ZYX":  # as for images
        return ("gray",)
    return tuple(str(i + 1) for i in range(count))


def _paths(source: str) -> Sequence[str]:
    """Return the paths of the files of a source, of which there is at least one."""
    if os.path.isdir(source):
        found = [os.path.join(source, name) for name in os.listdir(source) if name.lower().endswith(tuple(SUFFIXES))]
        missing = f"no signals or volumes in '{printable(source)}'; looked for {', '.join(SUFFIXES)}"
    elif glob.has_magic(source) and not os.path.lexists(source):
        found = [path for path in glob.glob(source, recursive=True) if os.path.isfile(path)]
        missing = f"no files match '{printable(source)}'"
    elif not os.path.lexists(source):
        raise DataError(f"no such file or folder: '{printable(source)}' (built-in: base-calls, beads)")
    else:
        return [source]
    if not found:
        raise DataError(missing)
    return sorted(found, key=os.fsencode)
