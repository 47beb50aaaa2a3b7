"""Arrays of signals and volumes in files: .npy, .npz, .mat, .wav, TIFF of several pages, and NIfTI."""

import io
import os
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ndtools.computing.memory import require_memory
from ndtools.data.files import read_file
from ndtools.data.stored import as_reasons, open_stored
from ndtools.errors import DataError, OptionError
from ndtools.text import printable, reason

__all__ = ["SUFFIXES", "StoredArray", "read_stored"]

_IMAGES_OF_TIFF = ("YXS", "SYX")  # axes of one page in colour, in the letters of tifffile


@dataclass(frozen=True, eq=False)
class StoredArray:
    """Array of a file, and what the file says about it.

    Attributes
    ----------
    values : array
        Numbers in float32 or float64.
    axes : str or None
        Letters of the axes as the format defines them, see :class:`ndtools.data.signals.axes.ArrayAxes`; None if it
        does not.
    rate : float or None
        Samples per second; None if the file does not say.
    """

    values: NDArray[Any]
    axes: str | None = None
    rate: float | None = None


def read_stored(path: str, key: str | None = None) -> StoredArray:
    """Read the array of a file.

    Parameters
    ----------
    path : str
        Path of a file with one of the `SUFFIXES`.
    key : str, optional
        Name of the array in a .npz or .mat file. By default the file holds one array of numbers
        that is longer than 1.

    Returns
    -------
    StoredArray
        Numbers as they are in the file; those of .wav files with whole numbers are in units of full scale.

    Raises
    ------
    DataError
        If the file is absent, damaged, in another format, or needs a package that is not installed.
    OptionError
        If there is a key for a format whose files hold one array without a name.
    """
    name, suffix = printable(path), _suffix(path)
    if suffix not in SUFFIXES:
        raise DataError(f"{name} is no file of signals or volumes; the formats are {', '.join(SUFFIXES)}")
    if not os.path.lexists(path):
        raise DataError(f"no such file: '{name}'")
    if key is not None and suffix not in (".npz", ".mat"):
        raise OptionError("key", f"has no meaning for {name}, whose format gives arrays no names")
    return SUFFIXES[suffix](path, name, key)


def _suffix(path: str) -> str:
    lower = path.lower()
    return next((suffix for suffix in SUFFIXES if lower.endswith(suffix)), Path(lower).suffix)


def _floats(values: NDArray[Any]) -> NDArray[Any]:
    """Return real numbers as float32 if that holds them exactly, else as float64."""
    exact = values.dtype in (np.float16, np.float32) or (values.dtype.kind in "iub" and values.dtype.itemsize <= 2)
    return np.asarray(values, dtype=np.float32 if exact else np.float64)


def _stored(path: str, name: str, key: str | None) -> StoredArray:
    try:
        found = open_stored(path, key)
        with as_reasons():
            values = found.load()
    except DataError as error:
        raise DataError(f"cannot read {name}: {error}") from None
    if path.lower().endswith(".mat") and values.ndim == 2 and len(values) == 1:
        values = values[0]  # MATLAB has no arrays of one axis
    return StoredArray(_floats(values))


def _wav(path: str, name: str, _: str | None) -> StoredArray:
    from scipy.io import wavfile

    content = _content(path, name)
    require_memory(6 * len(content), f"reading {name}")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Chunk", category=wavfile.WavFileWarning)  # further information
            warnings.filterwarnings("error", message="Reached EOF", category=wavfile.WavFileWarning)
            rate, samples = wavfile.read(io.BytesIO(content))
    except Exception as error:  # scipy raises many kinds of errors for damaged files
        raise DataError(f"{name} is damaged, or no .wav file: {reason(error)}") from None
    if not samples.size:
        raise DataError(f"{name} holds no samples")
    if samples.dtype.kind == "u":
        values = (samples.astype(np.float32) - 128) / 128
    elif samples.dtype.kind == "i":
        values = samples / np.array(2.0 ** (8 * samples.dtype.itemsize - 1), _floats(samples[:1]).dtype)
    else:
        values = samples
    return StoredArray(_floats(values), "T" if samples.ndim == 1 else "TC", float(rate))


def _tiff(path: str, name: str, _: str | None) -> StoredArray:
    try:
        found = open_stored(path)
        if len(found.shape) == 2 or found.axes in _IMAGES_OF_TIFF:
            raise DataError("has one page, where a volume has several; ndtools kernels takes images")
        with as_reasons():
            values = found.load()
    except DataError as error:
        raise DataError(f"cannot read {name}: {error}") from None
    return StoredArray(_floats(values), _axes_of_tiff(found.axes or ""))


def _axes_of_tiff(letters: str) -> str | None:
    """Return the letters of `ArrayAxes` for those of tifffile; None if they do not tell the axes of a volume."""
    letters = letters.replace("S", "C")  # samples of a pixel
    # Volumes at several times are several volumes; frames, and pages of which nothing is said, are one.
    letters = letters.replace("T", "N") if "Z" in letters else re.sub("[QIT]", "Z", letters)
    return letters if len(set(letters)) == len(letters) and {"X", "Y", "Z"} <= set(letters) <= set("NCZYX") else None


def _nifti(path: str, name: str, _: str | None) -> StoredArray:
    try:
        import nibabel
    except ModuleNotFoundError:
        raise DataError(
            f"{name} needs the package nibabel, which is not installed: pip install 'ndtools[nifti]'"
        ) from None
    try:
        image = nibabel.load(path)
        require_memory(12 * int(np.prod(image.shape)), f"reading {name}")
        values = np.asarray(image.dataobj)
    except DataError:
        raise
    except Exception as error:  # nibabel raises many kinds of errors for damaged files
        raise DataError(f"{name} is damaged, or no NIfTI file: {reason(error)}") from None
    if values.dtype.kind not in "iuf":  # complex numbers would lose their imaginary part, colours are structures
        raise DataError(f"{name} must hold real numbers, got {values.dtype}")
    if values.ndim not in (3, 4):
        raise DataError(f"{name} has {values.ndim} axes, where a volume has three, or four with its channels")
    return StoredArray(_floats(values), "XYZ" if values.ndim == 3 else "XYZC")


def _content(path: str, name: str) -> bytes:
    try:
        return read_file(path)
    except DataError as error:
        raise DataError(f"cannot read {name}: {error}") from None


SUFFIXES: dict[str, Callable[[str, str, str | None], StoredArray]] = {
    ".npy": _stored,
    ".npz": _stored,
    ".mat": _stored,
    ".wav": _wav,
    ".tif": _tiff,
    ".tiff": _tiff,
    ".nii": _nifti,
    ".nii.gz": _nifti,
}
"""Readers of files by their extension."""
