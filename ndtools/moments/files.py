"""Moments of image sets in files, so that shards computed on different machines can be added; files of kernels."""

import math
import os
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ndtools.data.arrays import read_arrays
from ndtools.data.images.frames import Frames
from ndtools.data.images.sources import Skipped
from ndtools.errors import DataError, MatrixError, OptionError
from ndtools.moments.origin import Origin
from ndtools.moments.shards import in_order
from ndtools.moments.words import names_array, names_of, space_array, space_of
from ndtools.numerics.covariance import Covariance
from ndtools.text import names_in_words, printable
from ndtools.validation import Space
from ndtools.writing import write_whole

__all__ = [
    "SPACE",
    "Moments",
    "check_space_of_files",
    "is_moments",
    "iterate_moments",
    "read_kernels",
    "read_written",
    "size_in_words",
]

COPIES = 10  # number of arrays of the size of a covariance that are held while its kernels are computed
KEYS = ("covariance", "mean", "patches", "images", "channels", "kernel_size")
ROUNDING, RESIZE, SPACE = "rounding", "resize", "space"  # missing in files that earlier versions wrote
NOISE, ORIGIN, CALIBRATED, NAMES = "noise", "origin", "values_as_they_are", "channel_names"  # likewise


class Moments(NamedTuple):
    """Moments of a set of images, as a file holds them.

    Attributes
    ----------
    covariance : Covariance
        Covariance of the patches.
    images : int
        Number of images that the patches come from.
    resize : int or None
        Short side in pixels to which the images were resized; None if they were not.
    space : {"srgb", "linear", "xyz", "lms", "log-lms"}
        Colour space of the pixels.
    noise : float or None
        Mean variance of the rounding of the images' pixels in [0, 1]; None if it is not known.
    origin : Origin or None
        Source or shard that the moments come from; None if it is not known.
    skipped : tuple of Skipped
        Images that were not used, sorted by name; files do not hold them.
    frames : tuple of Frames
        Images of several frames, of which the first was used; files do not hold them.
    calibrated : bool
        Whether the images are arrays whose values are taken as they are, and need not be in [0, 1]. Default False.
    names : tuple of str
        Names of the channels; none, the default, if they are not known.
    """

    covariance: Covariance
    images: int
    resize: int | None = None
    space: Space = "srgb"
    noise: float | None = None
    origin: Origin | None = None
    skipped: tuple[Skipped, ...] = ()
    frames: tuple[Frames, ...] = ()
    calibrated: bool = False
    names: tuple[str, ...] = ()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a file of moments, which ``from_moments`` of experiments reads.

        Parameters
        ----------
        path : str or path-like
            Path of the .npz file. A file of that name is replaced.

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        arrays: dict[str, Any] = self.arrays()
        write_whole({Path(path): lambda file: np.savez(file, **arrays)}, elsewhere="another file")

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays of a file of moments by name, as :func:`iterate_moments` reads them."""
        arrays = {
            "covariance": self.covariance.matrix.numpy(),
            "mean": self.covariance.mean.numpy(),
            "patches": np.array(self.covariance.count),
            "images": np.array(self.images),
            "channels": np.array(self.covariance.channels),
            "kernel_size": np.array(self.covariance.kernel_size),
            ROUNDING: np.array(self.covariance.rounding),
            RESIZE: np.array(self.resize or 0),
            SPACE: space_array(self.space),
        }
        if self.noise is not None:
            arrays[NOISE] = np.array(self.noise)
        if self.calibrated:
            arrays[CALIBRATED] = np.array(1)
        if self.names:
            arrays[NAMES] = names_array(self.names)
        if self.origin is not None:  # as bytes: files of moments hold numbers only
            arrays[ORIGIN] = np.frombuffer(self.origin.text().encode(), np.uint8)
        return arrays


def is_moments(path: Path, further: Sequence[str] = ()) -> bool:
    """Return whether a file has the arrays of a file of moments, and further ones, by their names."""
    try:
        with zipfile.ZipFile(path) as file:
            return {f"{key}.npy" for key in (*KEYS, *further)} <= set(file.namelist())
    except (OSError, zipfile.BadZipFile, RuntimeError, ValueError, EOFError):  # as zipfile raises on damaged files
        return False


def iterate_moments(paths: Sequence[str]) -> Iterator[Moments]:
    """Read files of moments one by one: those of shards in the order of their numbers, others in the given order.

    Parameters
    ----------
    paths : sequence of str
        Paths of one or more .npz files.

    Yields
    ------
    Moments
        Moments in a file, with what they come from.

    Raises
    ------
    OptionError
        If a file is named twice, or two files hold the same images.
    DataError
        If a file cannot be read or is not a file of moments, or if a shard is missing.
    MatrixError
        If the arrays of a file do not fit each other, or do not fit those of the first file.
    """
    paths = in_order(paths, [_origin_in(path) for path in paths])
    first: Moments | None = None
    known: tuple[str, ...] = ()  # files of earlier versions hold no names
    for path in paths:
        moments = _read(path)
        first = first or moments
        message = f"{printable(path)} does not fit {printable(paths[0])}"
        for name in ("channels", "kernel_size"):
            value, expected = getattr(moments.covariance, name), getattr(first.covariance, name)
            if value != expected:
                raise MatrixError(f"{message}: its {name.replace('_', ' ')} must be {expected}, got {value}")
        if moments.resize != first.resize:
            raise MatrixError(
                f"{message}: its images {size_in_words(moments.resize)}, the others {size_in_words(first.resize)}"
            )
        if moments.calibrated != first.calibrated:
            raise MatrixError(f"{message}: one is of pixels in [0, 1], and the other of arrays in units of their own")
        if moments.space != first.space:
            raise MatrixError(
                f"{message}: its pixels are in the colour space {moments.space}, the others in {first.space}; moments"
                " of different spaces cannot be added"
            )
        if known and moments.names and moments.names != known:
            raise MatrixError(
                f"{message}: its channels are {names_in_words(moments.names)}, those of the others"
                f" {names_in_words(known)}"
            )
        known = known or moments.names
        yield moments


def size_in_words(resize: int | None) -> str:
    """Say to what the images of moments were resized."""
    return f"were resized to {resize} pixels" if resize else "were not resized"


def check_space_of_files(wanted: Space, space: Space) -> None:
    """Raise an error if another colour space is wanted than that of files; sRGB, the default, stands for any."""
    if wanted not in ("srgb", space):
        raise OptionError(
            "space", f"must be that of the files, whose pixels are in the colour space {space}, got {wanted!r}"
        )


def read_written(
    path: str, keys: Sequence[str], hint: str, optional: Sequence[str] = ()
) -> dict[str, NDArray[np.floating[Any]]]:
    """Read arrays from a file that a command of ndtools has written.

    Parameters
    ----------
    path : str
        Path of a .npz file.
    keys : sequence of str
        Names of the arrays to read.
    hint : str
        Clause that says which command writes such files. The message for a file of another sort ends with it.
    optional : sequence of str
        Names of arrays that the file may lack. Default: none.

    Returns
    -------
    dict of str to array
        Arrays by name, as from :func:`ndtools.data.arrays.read_arrays`.

    Raises
    ------
    DataError
        If `read_arrays` raises it. The message ends with the hint if the file is not one that the command writes.
    MatrixError
        If `read_arrays` raises it.
    """
    try:
        return read_arrays(path, keys, optional, copies=COPIES)
    except MatrixError:
        raise
    except DataError as error:
        message = str(error)
        if "is not a NumPy file" in message:  # the reason that NumPy gives does not help the user
            message = f"{printable(path)} is not a .npz file"
        elif " has no array " not in message and " holds one array" not in message:
            raise
        raise DataError(f"{message}; {hint}") from None


def read_kernels(path: str, argument: str = "from_file") -> tuple[Tensor, Tensor, Space]:
    """Read what ``ndtools kernels`` has written: kernels, the mean of the patches, and the colour space of both.

    Parameters
    ----------
    path : str
        Path of the .npz file.
    argument : str
        Name of the caller's argument, for the message about a file of another sort. Default "from_file".

    Returns
    -------
    kernels : Tensor of shape (C, C, k, k)
        Kernels for cross-correlation, float64, with k odd.
    mean : Tensor of shape (C·k²,)
        Mean of the patches, float64.
    space : {"srgb", "linear", "xyz", "lms", "log-lms"}
        Colour space of the pixels.

    Raises
    ------
    DataError
        If the file cannot be read or is of another sort.
    MatrixError
        If its arrays do not fit each other, or are not finite.
    """
    hint = f"`{argument}` takes the .npz file that ndtools kernels writes"
    arrays = read_written(path, ("kernels", "mean"), hint, [SPACE])
    kernels, mean = (arrays[key].astype(np.float64) for key in ("kernels", "mean"))
    shape, name = kernels.shape, printable(path)
    if len(shape) != 4 or shape[0] != shape[1] or shape[2] != shape[3] or not shape[2] % 2:
        raise MatrixError(f"{name} holds kernels of shape {shape}, where (C, C, k, k) with k odd is wanted")
    if mean.shape != (math.prod(shape[1:]),):
        raise MatrixError(f"{name} holds a mean of shape {mean.shape}, where ({math.prod(shape[1:])},) is wanted")
    if not (np.isfinite(kernels).all() and np.isfinite(mean).all()):
        raise MatrixError(f"{name} holds values that are not finite")
    return torch.from_numpy(kernels), torch.from_numpy(mean), space_of(arrays.get(SPACE), path)


def _read(path: str) -> Moments:
    arrays = read_written(
        path,
        KEYS,
        "files of moments are those that ndtools kernels --save-moments FILE writes",
        [ROUNDING, RESIZE, SPACE, NOISE, ORIGIN, CALIBRATED, NAMES],
    )
    numbers = {key: arrays[key].ravel() for key in ("patches", "images", "channels", "kernel_size")}
    if any(not (values.size and (values >= 1).all() and (values % 1 == 0).all()) for values in numbers.values()):
        raise MatrixError(
            f"{printable(path)} is not a file of moments: {', '.join(numbers)} must be whole numbers of at least 1"
        )
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
    if (matrix.diagonal() < 0).any():
        raise MatrixError(f"{printable(path)} holds negative variances")
    # The sums in files without a rounding were computed in float32.
    rounding = arrays.get(ROUNDING, np.finfo(np.float32).eps * matrix.diagonal().mean())
    if rounding.shape != () or not 0 <= rounding < math.inf:
        raise MatrixError(f"{printable(path)} must hold a finite rounding of at least 0")
    resize = arrays.get(RESIZE, np.zeros(()))
    if resize.shape != () or not (resize >= 0 and resize % 1 == 0):
        raise MatrixError(f"{printable(path)} must hold a resize that is a whole number of pixels, or 0")
    covariance = Covariance(
        mean=torch.from_numpy(mean),
        matrix=torch.from_numpy(matrix),
        count=int(numbers["patches"][0]),
        channels=channels,
        kernel_size=(size[0], size[1]),
        rounding=float(rounding),
    )
    noise = arrays.get(NOISE)
    if noise is not None and not (noise.shape == () and 0 <= noise < math.inf):
        raise MatrixError(f"{printable(path)} must hold a finite noise of at least 0")
    return Moments(
        covariance,
        int(numbers["images"][0]),
        int(resize) or None,
        space_of(arrays.get(SPACE), path),
        None if noise is None else float(noise),
        _origin(path, arrays[ORIGIN]) if ORIGIN in arrays else None,
        calibrated=CALIBRATED in arrays,
        names=names_of(arrays.get(NAMES), path, channels),
    )


def _origin_in(path: str) -> Origin | None:
    """Return what the moments in a file come from; None if it does not say, or is no file of moments."""
    if not is_moments(Path(path), [ORIGIN]):
        return None
    return _origin(path, read_arrays(path, [ORIGIN])[ORIGIN])


def _origin(path: str, numbers: NDArray[np.floating[Any]]) -> Origin:
    try:
        return Origin.from_text(bytes(numbers.astype(np.uint8)).decode())
    except (ValueError, KeyError, TypeError):  # an OptionError of an impossible shard is a ValueError, too
        raise MatrixError(f"{printable(path)} does not say what its moments come from in a way that is known") from None
