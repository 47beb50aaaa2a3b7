"""Arrays of signals and volumes in files: .npy, .npz, .mat, .wav, TIFF of several pages, and NIfTI."""

import io
import os
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ndtools.computing.memory import require_memory
from ndtools.data.arrays import read_arrays
from ndtools.data.files import read_file
from ndtools.errors import DataError, OptionError
from ndtools.text import printable, reason

__all__ = ["SUFFIXES", "StoredArray", "read_stored"]

_MANY = 8  # names of arrays that a message lists


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
        Name of the array in a .npz or .mat file. By default the file holds one array.

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
    stored = SUFFIXES[suffix](path, name, key)
    if stored.values.dtype.kind == "c":
        raise DataError(f"{name} holds complex numbers, where real ones are wanted")
    if not np.isfinite(stored.values).all():
        raise DataError(f"{name} holds values that are not finite")
    return stored


def _suffix(path: str) -> str:
    lower = path.lower()
    return next((suffix for suffix in SUFFIXES if lower.endswith(suffix)), Path(lower).suffix)


def _floats(values: NDArray[Any]) -> NDArray[Any]:
    """Return numbers as float32 if that holds them exactly, else as float64."""
    exact = values.dtype in (np.float16, np.float32) or (values.dtype.kind in "iub" and values.dtype.itemsize <= 2)
    return np.asarray(values, dtype=np.float32 if exact else np.float64)


def _numpy(path: str, name: str, key: str | None) -> StoredArray:
    if path.lower().endswith(".npz"):
        key = _only_name(name, key, _names_of_npz(path, name))
    return StoredArray(_floats(read_arrays(path, [key or "array"], copies=3)[key or "array"]))


def _names_of_npz(path: str, name: str) -> list[str]:
    try:
        with zipfile.ZipFile(path) as file:
            return [member.removesuffix(".npy") for member in file.namelist()]
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"cannot read {name}: {reason(error)}") from None


def _only_name(name: str, key: str | None, names: list[str]) -> str:
    """Return the name of the wanted array; DataError if there is none, or no telling which."""
    held = ", ".join(map(printable, names[:_MANY])) + (", ..." if len(names) > _MANY else "")
    if key is not None:
        if key not in names:
            raise DataError(f"{name} has no array '{printable(key)}', only: {held or 'nothing'}")
        return key
    if len(names) != 1:
        raise DataError(f"{name} holds {len(names)} arrays: name one with `key`: {held or 'nothing'}")
    return names[0]


def _mat(path: str, name: str, key: str | None) -> StoredArray:
    from scipy.io import loadmat, whosmat
    from scipy.io.matlab import MatReadError

    content = _content(path, name)
    if content.startswith(b"MATLAB 7.3") or content.startswith(b"\x89HDF"):
        raise DataError(f"{name} is a .mat file of version 7.3; save it with -v7, or as .npy")
    try:
        found = {
            each: shape for each, shape, kind in whosmat(io.BytesIO(content)) if kind not in ("cell", "struct", "char")
        }
        chosen = _only_name(name, key, list(found))
        values = loadmat(io.BytesIO(content), variable_names=[chosen])[chosen]
    except (MatReadError, ValueError, TypeError, KeyError, OSError, NotImplementedError, EOFError) as error:
        raise DataError(f"{name} is damaged, or no .mat file: {reason(error)}") from None
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiub":
        raise DataError(f"{name} must hold real numbers in '{printable(chosen)}'")
    values = values[0] if values.ndim == 2 and len(values) == 1 else values  # MATLAB has no arrays of one axis
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
    from PIL import Image, ImageSequence

    try:
        with Image.open(io.BytesIO(_content(path, name)), formats=["TIFF"]) as image:
            pages = getattr(image, "n_frames", 1)
            require_memory(12 * pages * image.width * image.height * len(image.getbands()), f"reading {name}")
            frames = [np.asarray(frame) for frame in ImageSequence.Iterator(image)]
    except DataError:
        raise
    except Exception as error:  # Pillow raises many kinds of errors for damaged files
        raise DataError(f"{name} is damaged, or no TIFF file: {reason(error)}") from None
    if len({frame.shape for frame in frames}) != 1:
        raise DataError(f"{name} has pages of different sizes, which make no volume")
    if len(frames) == 1:
        raise DataError(f"{name} has one page, where a volume has several; ndtools kernels takes images")
    values = np.stack(frames)
    return StoredArray(_floats(values), "ZYX" if values.ndim == 3 else "ZYXC")


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
    if values.ndim not in (3, 4):
        raise DataError(f"{name} has {values.ndim} axes, where a volume has three, or four with its channels")
    return StoredArray(_floats(values), "XYZ" if values.ndim == 3 else "XYZC")


def _content(path: str, name: str) -> bytes:
    try:
        return read_file(path)
    except DataError as error:
        raise DataError(f"cannot read {name}: {error}") from None


SUFFIXES: dict[str, Callable[[str, str, str | None], StoredArray]] = {
    ".npy": _numpy,
    ".npz": _numpy,
    ".mat": _mat,
    ".wav": _wav,
    ".tif": _tiff,
    ".tiff": _tiff,
    ".nii": _nifti,
    ".nii.gz": _nifti,
}
"""Readers of files by their extension."""
