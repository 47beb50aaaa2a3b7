"""Read matrices and other arrays from .npy and .npz files."""

import lzma
import math
import os
import tokenize
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ndtools.computing.memory import require_memory
from ndtools.data.files import open_regular
from ndtools.errors import DataError, MatrixError
from ndtools.text import printable, reason

__all__ = ["is_matrix_file", "read_arrays", "read_matrix"]


# What NumPy, zipfile and zlib raise on files that are damaged, encrypted or of another kind.
_DAMAGED = (
    ValueError,
    EOFError,
    OverflowError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    tokenize.TokenError,
    SyntaxError,
    RuntimeError,
)
_KEPT = (np.float16, np.float32)  # precisions that are not widened
_MANY = 8  # names of arrays in a message


def is_matrix_file(source: str | os.PathLike[str]) -> bool:
    """Tell whether a source names a .npy or .npz file, existing or not."""
    return Path(source).suffix.lower() in {".npy", ".npz"}


def read_arrays(
    path: str | os.PathLike[str], keys: Sequence[str], optional: Sequence[str] = (), *, copies: int = 1
) -> dict[str, NDArray[np.floating[Any]]]:
    """Read arrays of real numbers.

    Parameters
    ----------
    path : str or path-like
        A .npz file that holds all ``keys``, or for a single key a .npy file.
    keys : sequence of str
        Names of arrays.
    optional : sequence of str
        Names of further arrays, which are left out if a .npz file has none of them.
    copies : int
        Number of arrays of the size of these that the caller will hold at a time, for whom the memory must do.

    Returns
    -------
    dict of str to array
        float16 and float32 as they are, whose rounding is known by that; all else in float64.

    Raises
    ------
    DataError
        If the file is absent, unreadable, of another format, lacks one of the ``keys``, or needs more memory than is
        free. Nothing is unpacked before the headers of all arrays have been checked.
    MatrixError
        If an array is not numeric and real.
    """
    name = printable(path)
    try:
        file = open_regular(path)
    except DataError as error:
        if not os.path.lexists(path):
            raise DataError(f"no such file: '{name}'") from None
        raise DataError(f"cannot read {name}: {error}") from None
    try:
        with file:
            return _arrays(file, name, keys, optional, copies)
    except MatrixError:  # which is a ValueError
        raise
    except OSError as error:
        raise DataError(f"cannot read {name}: {reason(error)}") from None
    except _DAMAGED as error:
        raise DataError(f"{name} is not a NumPy file of numbers: {reason(error)}") from None
    except MemoryError:
        raise DataError(f"{name} is too large for the memory") from None


def _arrays(
    file: BinaryIO, name: str, keys: Sequence[str], optional: Sequence[str], copies: int
) -> dict[str, NDArray[np.floating[Any]]]:
    """Read the arrays from an open file, once all their headers have been checked."""
    if file.read(2) == b"PK":  # a .npz file is a zip archive of .npy files
        with zipfile.ZipFile(file) as archive, ExitStack() as opened:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            for key in keys:
                if key not in members:
                    held = ", ".join([*list(members)[:_MANY], *(["..."] if len(members) > _MANY else [])]) or "nothing"
                    raise DataError(f"{name} has no array '{key}', only: {held}")
            found = [*keys, *(key for key in optional if key in members)]
            streams = {key: opened.enter_context(archive.open(members[key])) for key in found}
            return _read(streams, {key: members[key].file_size for key in found}, name, copies)
    if len(keys) > 1:
        raise DataError(f"{name} holds one array, where a .npz file with {', '.join(keys)} is wanted")
    return _read({keys[0]: file}, {keys[0]: os.fstat(file.fileno()).st_size}, name, copies)


def _read(
    streams: Mapping[str, IO[bytes]], sizes: Mapping[str, int], name: str, copies: int
) -> dict[str, NDArray[np.floating[Any]]]:
    needed = 0
    for key, stream in streams.items():
        stream.seek(0)
        shape, dtype = _header(stream)
        if dtype.kind not in "fiub":
            raise MatrixError(f"{name} holds {dtype}, not real numbers")
        count = math.prod(shape)
        # Compressed data may be a thousandth of what it unpacks to: nothing is unpacked that does not fit.
        if count * dtype.itemsize > sizes[key] - stream.tell():
            raise DataError(f"{name} is cut short: its header promises an array of shape {_short(shape)}")
        needed += count * (dtype.itemsize if dtype in (*_KEPT, np.float64) else dtype.itemsize + 8)
    require_memory(copies * needed, f"working on the numbers in {name}")
    arrays = {}
    for key, stream in streams.items():
        stream.seek(0)
        array = np.lib.format.read_array(stream, allow_pickle=False)
        arrays[key] = array if array.dtype in _KEPT else array.astype(np.float64, copy=False)
    return arrays


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(stream)
    else:  # version 3 is written for arrays of records alone
        raise ValueError(f"version {version[0]}.{version[1]} of the format holds no arrays of numbers")
    if any(n < 0 for n in shape):
        raise ValueError(f"its header says the shape {_short(shape)}")
    return shape, dtype


def _short(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))})" if len(shape) <= _MANY else f"of {len(shape)} dimensions"


def read_matrix(path: str | os.PathLike[str], key: str = "covariance", *, copies: int = 1) -> NDArray[np.floating[Any]]:
    """Read a square matrix.

    Parameters
    ----------
    path : str or path-like
        A .npy file, or a .npz file with the array ``key``.
    key : str
        Name of the array in a .npz file.
    copies : int
        As in `read_arrays`.

    Returns
    -------
    array of shape (d, d)
        Floating point, as in `read_arrays`. Whether it is symmetric and finite is not looked at.

    Raises
    ------
    DataError
        As in `read_arrays`.
    MatrixError
        If the array is not numeric and real, or not square.
    """
    array = read_arrays(path, [key], copies=copies)[key]
    if array.ndim != 2 or array.shape[0] != array.shape[1] or not array.size:
        name = printable(os.fspath(path))
        raise MatrixError(f"{name} holds an array of shape {array.shape}, where a square matrix is wanted")
    return array
