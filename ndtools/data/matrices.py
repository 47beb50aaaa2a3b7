"""Read a matrix from a .npy or .npz file."""

import os
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ndtools.data.folders import printable
from ndtools.errors import DataError, MatrixError

__all__ = ["is_matrix_file", "read_matrix"]


def is_matrix_file(source: str | os.PathLike[str]) -> bool:
    """Tell whether a source names a .npy or .npz file, existing or not."""
    return Path(source).suffix.lower() in {".npy", ".npz"}


def read_matrix(path: str | os.PathLike[str], key: str = "covariance") -> NDArray[np.float64]:
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
        float64. Whether it is symmetric and finite is not looked at.

    Raises
    ------
    DataError
        If the file is absent, unreadable, of another format, or lacks ``key``.
    MatrixError
        If the array is not numeric and real, or not square.
    """
    name = printable(os.fspath(path))
    try:
        with open(path, "rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.lib.npyio.NpzFile):
                if key not in loaded.files:
                    held = ", ".join(loaded.files) or "nothing"
                    raise DataError(f"{name} has no array '{key}', only: {held}")
                array = loaded[key]
            else:
                array = loaded
    except FileNotFoundError:
        raise DataError(f"no such file: '{name}'") from None
    except OSError as error:
        raise DataError(f"cannot read {name}: {error.strerror or error}") from None
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{name} is not a NumPy file of numbers: {error}") from None
    if array.dtype.kind not in "fiub":
        raise MatrixError(f"{name} holds {array.dtype}, not real numbers")
    if array.ndim != 2 or array.shape[0] != array.shape[1] or not array.size:
        raise MatrixError(f"{name} holds an array of shape {array.shape}, where a square matrix is wanted")
    return array.astype(np.float64)
