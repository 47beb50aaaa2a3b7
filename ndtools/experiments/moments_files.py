"""Moments of image sets in files, so that shards computed anywhere add up."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ndtools.data.folders import printable
from ndtools.data.matrices import read_arrays
from ndtools.errors import MatrixError
from ndtools.numerics.covariance import Covariance

__all__ = ["moments_arrays", "read_moments"]

KEYS = ("covariance", "mean", "patches", "images", "channels", "kernel_size")


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
    }


def read_moments(paths: Sequence[str]) -> list[tuple[Covariance, int]]:
    """Read files of moments.

    Parameters
    ----------
    paths : sequence of str
        One or more .npz files.

    Returns
    -------
    list of (Covariance, int)
        Of each file, with the number of its images.

    Raises
    ------
    DataError
        If a file cannot be read or is none of moments.
    MatrixError
        If what it holds does not fit together, or with the first file.
    """
    found = [_read(path) for path in paths]
    for path, (covariance, _) in zip(paths, found, strict=True):
        try:
            Covariance.pooled([found[0][0], covariance])
        except ValueError as error:
            raise MatrixError(f"{printable(path)} does not fit {printable(paths[0])}: {error}") from None
    return found


def _read(path: str) -> tuple[Covariance, int]:
    arrays = read_arrays(path, KEYS)
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
    covariance = Covariance(
        mean=torch.from_numpy(mean),
        matrix=torch.from_numpy(matrix),
        count=int(numbers["patches"][0]),
        channels=channels,
        kernel_size=(size[0], size[1]),
    )
    return covariance, int(numbers["images"][0])
