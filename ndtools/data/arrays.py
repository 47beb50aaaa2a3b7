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
from ndtools.data.files import inflates_in_pieces, open_regular
from ndtools.errors import DataError, MatrixError
from ndtools.text import printable, reason

__all__ = ["is_matrix_file", "read_arrays", "read_header", "read_matrix"]


# Exceptions that NumPy, zipfile and zlib raise on files that are damaged, encrypted or in another format.
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
_KEPT = (np.float16, np.float32)  # dtypes that are not converted to float64
_MANY = 8  # largest number of array names, or of dimensions, that a message lists


def is_matrix_file(source: str | os.PathLike[str]) -> bool:
    """Return whether a source is the name of a .npy or .npz file; the file need not exist."""
    return Path(source).suffix.lower() in {".npy", ".npz"}


def read_arrays(
    path: str | os.PathLike[str], keys: Sequence[str], optional: Sequence[str] = (), *, copies: int = 1
) -> dict[str, NDArray[np.floating[Any]]]:
    """Read arrays of real numbers from a .npy or .npz file.

    Parameters
    ----------
    path : str or path-like
        A .npz file that holds all ``keys``. For a single key, it may be a .npy file.
    keys : sequence of str
        Names of the arrays to read.
    optional : sequence of str
        Names of further arrays. Those that the .npz file does not hold are left out of the result. Default: none.
    copies : int
        Number of copies of all arrays that the caller will hold at the same time. The free memory must suffice for
        that many. Default 1.

    Returns
    -------
    dict of str to array
        Arrays by name. float16 and float32 are kept, so that the dtype tells the rounding of the numbers; all other
        dtypes are converted to float64.

    Raises
    ------
    DataError
        If the file is absent, unreadable or in another format, lacks one of the ``keys``, or needs more memory than is
        free. No array is unpacked before the headers of all arrays have been checked.
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
    except MatrixError:  # a ValueError too, which must not be reported as a damaged file
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
    """Read the arrays from an open file after checking all their headers."""
    if file.read(2) == b"PK":  # a .npz file is a zip archive of .npy files
        with zipfile.ZipFile(file) as archive, ExitStack() as opened:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            for key in keys:
                if key not in members:
                    held = ", ".join([*list(members)[:_MANY], *(["..."] if len(members) > _MANY else [])]) or "nothing"
                    raise DataError(f"{name} has no array '{key}', only: {held}")
            present = [*keys, *(key for key in optional if key in members)]
            if not all(inflates_in_pieces(members[key]) for key in present):
                raise DataError(f"{name} is compressed with bzip2 or LZMA: save it with numpy.savez_compressed")
            streams = {key: opened.enter_context(archive.open(members[key])) for key in present}
            return _read(streams, {key: members[key].file_size for key in present}, name, copies)
    if len(keys) > 1:
        raise DataError(f"{name} must be a .npz file with {', '.join(keys)}, got a file that holds one array")
    return _read({keys[0]: file}, {keys[0]: os.fstat(file.fileno()).st_size}, name, copies)


def _read(
    streams: Mapping[str, IO[bytes]], sizes: Mapping[str, int], name: str, copies: int
) -> dict[str, NDArray[np.floating[Any]]]:
    needed = 0
    for key, stream in streams.items():
        stream.seek(0)
        shape, _, dtype = read_header(stream)
        if dtype.kind not in "fiub":
            raise MatrixError(f"{name} must hold real numbers, got dtype {dtype}")
        count = math.prod(shape)
        # Compressed data may unpack to a thousand times its size, so the size is checked before unpacking.
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


def read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read the header of a .npy file.

    Parameters
    ----------
    stream : binary file
        File at its beginning. Afterwards it is at the first number of the array.

    Returns
    -------
    (tuple of int, bool, numpy.dtype)
        Shape of the array, whether its first axis varies fastest, and its dtype.

    Raises
    ------
    ValueError
        If it is no such header, or that of an array of structures.
    """
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream)
    else:  # NumPy writes version 3 only for structured arrays
        raise ValueError(f"the format version must be 1.0 or 2.0, got {version[0]}.{version[1]}")
    if any(n < 0 for n in shape):
        raise ValueError(f"its header states the impossible shape {_short(shape)}")
    return shape, fortran, dtype


def _short(shape: tuple[int, ...]) -> str:
    return str(tuple(shape)) if len(shape) <= _MANY else f"of {len(shape)} dimensions"


def read_matrix(path: str | os.PathLike[str], key: str = "covariance", *, copies: int = 1) -> NDArray[np.floating[Any]]:
    """Read a square matrix from a .npy or .npz file.

    Parameters
    ----------
    path : str or path-like
        A .npy file, or a .npz file with the array ``key``.
    key : str
        Name of the array in a .npz file. Default "covariance".
    copies : int
        Number of copies that the caller will hold at the same time, as in `read_arrays`. Default 1.

    Returns
    -------
    array of shape (d, d)
        Matrix of floating-point numbers, with the dtype as in `read_arrays`. It may be asymmetric or non-finite: that
        is not checked.

    Raises
    ------
    DataError
        If the file cannot be read; the cases are those of `read_arrays`.
    MatrixError
        If the array is not numeric and real, or not square.
    """
    array = read_arrays(path, [key], copies=copies)[key]
    if array.ndim != 2 or array.shape[0] != array.shape[1] or not array.size:
        name = printable(os.fspath(path))
        raise MatrixError(f"{name} must hold a square matrix, got an array of shape {array.shape}")
    return array
