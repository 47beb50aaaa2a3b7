"""Names of colour spaces and of channels in files of arrays, which hold numbers only: the codes of their letters."""

import json
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ndtools.errors import MatrixError
from ndtools.text import counted, printable
from ndtools.validation import SPACES, Space

__all__ = ["names_array", "names_of", "space_array", "space_of"]


def space_array(space: Space) -> NDArray[np.uint8]:
    """Return the name of a colour space as files of arrays have it: the codes of its letters."""
    return np.frombuffer(space.encode("ascii"), np.uint8)


def space_of(array: NDArray[Any] | None, path: str) -> Space:
    """Return the colour space whose name an array of a file has; "srgb" without it, as in files of earlier versions."""
    if array is None:
        return "srgb"
    codes = array.ravel()
    name = "".join(map(chr, codes.astype(int))) if codes.size < 99 and ((codes > 31) & (codes < 127)).all() else ""
    if name not in SPACES:
        raise MatrixError(f"{printable(path)} has pixels in an unknown colour space: it must be {', '.join(SPACES)}")
    return cast("Space", name)


def names_array(names: Sequence[str]) -> NDArray[np.uint8]:
    """Return the names of channels as files of arrays have them: the codes of JSON text."""
    return np.frombuffer(json.dumps(list(names)).encode(), np.uint8)


def names_of(array: NDArray[Any] | None, path: str, channels: int) -> tuple[str, ...]:
    """Return the names of channels that an array of a file has; none without it, as in files of earlier versions."""
    if array is None:
        return ()
    try:
        names = json.loads(bytes(array.astype(np.uint8)).decode())
    except ValueError:
        names = None
    if not (isinstance(names, list) and len(names) == channels and all(isinstance(name, str) for name in names)):
        raise MatrixError(f"{printable(path)} must hold a name for each of its {counted(channels, 'channel')}")
    return tuple(names)
