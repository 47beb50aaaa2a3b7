"""Moments of image sets in files, so that shards computed anywhere add up."""

import math
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ndtools.data.arrays import read_arrays
from ndtools.errors import DataError, MatrixError, OptionError
from ndtools.numerics.covariance import Covariance
from ndtools.text import printable

__all__ = ["iterate_moments", "moments_arrays", "read_moments", "read_written"]

COPIES = 10  # of a covariance that are held at a time while its kernels are made
KEYS = ("covariance", "mean", "patches", "images", "channels", "kernel_size")
ROUNDING = "rounding"  # not in files of versions before this one was written


def moments_arrays(covariance: Covariance, images: int) -> dict[str, NDArray[Any]]:
    """Return what a file of moments holds.

    Parameters
    ----------
    covariance : Covariance
        Of the patches, on the CPU.
    images : int
        Number of images they come from.

    Returns
    -------
    dict of str to array
        By name; see :func:`read_moments`.
    """
    return {
        "covariance": covariance.matrix.numpy(),
        "mean": covariance.mean.numpy(),
        "patches": np.array(covariance.count),
        "images": np.array(images),
        "channels": np.array(covariance.channels),
        "kernel_size": np.array(covariance.kernel_size),
        ROUNDING: np.array(covariance.rounding),
    }


def read_moments(paths: Sequence[str]) -> list[tuple[Covariance, int]]:
    """Read files of moments: the list of what :func:`iterate_moments` gives."""
    return list(iterate_moments(paths))


def iterate_moments(paths: Sequence[str]) -> Iterator[tuple[Covariance, int]]:
    """Read files of moments one by one.

    Parameters
    ----------
    paths : sequence of str
        One or more .npz files.

    Yields
    ------
    (Covariance, int)
        Of each file, with the number of its images.

    Raises
    ------
    OptionError
        If a file is named twice.
    DataError
        If a file cannot be read or is none of moments.
    MatrixError
        If what it holds does not fit together, or with the first file.
    """
    seen: set[str] = set()
    for path in paths:
        if os.path.realpath(path) in seen:
            raise OptionError("from_moments", f"has {printable(path)} given twice: its images would count twice")
        seen.add(os.path.realpath(path))
    first: Covariance | None = None
    for path in paths:
        covariance, images = _read(path)
        first = first or covariance
        for name in ("channels", "kernel_size"):
            mine, others = getattr(covariance, name), getattr(first, name)
            if mine != others:
                message = f"{printable(path)} does not fit {printable(paths[0])}"
                raise MatrixError(f"{message}: it has {name.replace('_', ' ')} {mine}, where {others} is wanted")
        yield covariance, images


def read_written(
    path: str, keys: Sequence[str], hint: str, optional: Sequence[str] = ()
) -> dict[str, NDArray[np.floating[Any]]]:
    """Read arrays that a command has written.

    Parameters
    ----------
    path : str
        A .npz file.
    keys : sequence of str
        Names of arrays.
    hint : str
        Which command writes them: said if the file is another one.
    optional : sequence of str
        Names of arrays that it need not have.

    Returns
    -------
    dict of str to array
        As of :func:`ndtools.data.arrays.read_arrays`.

    Raises
    ------
    DataError
        As there, with the hint.
    MatrixError
        As there.
    """
    try:
        return read_arrays(path, keys, optional, copies=COPIES)
    except MatrixError:
        raise
    except DataError as error:
        message = str(error)
        if "is not a NumPy file" in message:  # what NumPy says then is of no use
            message = f"{printable(path)} is not a .npz file"
        elif " has no array " not in message and " holds one array" not in message:
            raise
        raise DataError(f"{message}; {hint}") from None


def _read(path: str) -> tuple[Covariance, int]:
    arrays = read_written(path, KEYS, "files of moments are those of ndtools kernels --save-moments", [ROUNDING])
    numbers = {key: arrays[key].ravel() for key in ("patches", "images", "channels", "kernel_size")}
    if any(not (values.size and (values >= 1).all() and (values % 1 == 0).all()) for values in numbers.values()):
        raise MatrixError(f"{printable(path)} is not a file of moments: counts and sizes must be whole and at least 1")
    channels, size = int(numbers["channels"][0]), tuple(int(n) for n in numbers["kernel_size"])
    features = channels * math.prod(size)
    matrix, mean = (arrays[key].astype(np.float64) for key in ("covariance", "mean"))
    if len(size) != 2 or matrix.shape != (features, features) or mean.shape != (features,):
        raise MatrixError(
            f"{printable(path)} holds a covariance of shape {matrix.shape} and a mean of shape {mean.shape},"
            f" which do not fit {channels} channels of {size} pixels"
        )
    if not (np.isfinite(matrix).all() and np.isfinite(mean).all()):
        raise MatrixError(f"{printable(path)} holds values that are not finite")
    if channels not in (1, 3):
        raise MatrixError(f"{printable(path)} is of images of {channels} channels, where 1 or 3 are wanted")
    if (matrix.diagonal() < 0).any():
        raise MatrixError(f"{printable(path)} holds negative variances")
    # Files that do not tell were summed in float32.
    rounding = arrays.get(ROUNDING, np.finfo(np.float32).eps * matrix.diagonal().mean())
    if rounding.shape != () or not 0 <= rounding < math.inf:
        raise MatrixError(f"{printable(path)} holds a rounding that is not a number of at least 0")
    covariance = Covariance(
        mean=torch.from_numpy(mean),
        matrix=torch.from_numpy(matrix),
        count=int(numbers["patches"][0]),
        channels=channels,
        kernel_size=(size[0], size[1]),
        rounding=float(rounding),
    )
    return covariance, int(numbers["images"][0])
