"""Read matrices and other arrays from .npy and .npz files."""

import os
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ndtools.data.folders import printable
from ndtools.errors import DataError, MatrixError

__all__ = ["is_matrix_file", "read_arrays", "read_matrix"]


# What NumPy, zipfile and zlib raise on files that are damaged, encrypted or of another kind.
_DAMAGED = (ValueError, EOFError, zipfile.BadZipFile, zlib.error, tokenize.TokenError, SyntaxError, RuntimeError)


def is_matrix_file(source: str | os.PathLike[str]) -> bool:
    """Tell whether a source names a .npy or .npz file, existing or not."""
    return Path(source).suffix.lower() in {".npy", ".npz"}


def read_arrays(
    path: str | os.PathLike[str], keys: Sequence[str], optional: Sequence[str] = ()
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

    Returns
    -------
    dict of str to array
        float16 and float32 as they are, whose rounding is known by that; all else in float64.

    Raises
    ------
    DataError
        If the file is absent, unreadable, of another format, or lacks one of the ``keys``.
    MatrixError
        If an array is not numeric and real.
    """
    name = printable(os.fspath(path))
    try:
        with open(path, "rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.lib.npyio.NpzFile):
                for key in keys:
                    if key not in loaded.files:
                        held = ", ".join(loaded.files) or "nothing"
                        raise DataError(f"{name} has no array '{key}', only: {held}")
                arrays = {key: loaded[key] for key in (*keys, *optional) if key in loaded.files}
            elif len(keys) == 1:
                arrays = {keys[0]: loaded}
            else:
                raise DataError(f"{name} holds one array, where a .npz file with {', '.join(keys)} is wanted")
    except FileNotFoundError:
        raise DataError(f"no such file: '{name}'") from None
    except OSError as error:
        raise DataError(f"cannot read {name}: {error.strerror or error}") from None
    except _DAMAGED as error:
        raise DataError(f"{name} is not a NumPy file of numbers: {error}") from None
    except MemoryError:
        raise DataError(f"{name} is too large for the memory") from None
    for array in arrays.values():
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
            raise MatrixError(f"{name} holds {getattr(array, 'dtype', 'raw bytes')}, not real numbers")
    return {
        key: array if array.dtype in (np.float16, np.float32) else array.astype(np.float64)
        for key, array in arrays.items()
    }


def read_matrix(path: str | os.PathLike[str], key: str = "covariance") -> NDArray[np.floating[Any]]:
    """Read a square matrix.

    Parameters
    ----------
    path : str or path-like
        A .npy file, or a .npz file with the array ``key``.
    key : str
        Name of the array in a .npz file.

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
    array = read_arrays(path, [key])[key]
    if array.ndim != 2 or array.shape[0] != array.shape[1] or not array.size:
        name = printable(os.fspath(path))
        raise MatrixError(f"{name} holds an array of shape {array.shape}, where a square matrix is wanted")
    return array
