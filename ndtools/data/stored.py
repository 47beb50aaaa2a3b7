"""Arrays in files, which are read only when they are needed: .npy, .npz, .mat, and TIFF of several pages."""

import math
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ndtools.computing.memory import require_memory
from ndtools.data.arrays import read_header
from ndtools.data.files import inflates_in_pieces, open_regular
from ndtools.errors import DataError
from ndtools.text import printable, reason

__all__ = ["TIFF", "WITH_KEY", "Stored", "as_reasons", "in_place", "open_stored"]

TIFF = (".tif", ".tiff")
"""Extensions of TIFF files, in lower case."""
WITH_KEY = (".npz", ".mat")
"""Extensions of files whose arrays have names."""

_LISTED = 8  # largest number of array names that a message lists
_HDF5 = b"\x89HDF\r\n\x1a\n"
_PALETTE = 3  # photometric interpretation of TIFF
_MATLAB_TYPES = {  # MATLAB class: bytes of a number
    **dict.fromkeys(("int8", "uint8", "logical"), 1),
    **dict.fromkeys(("int16", "uint16"), 2),
    **dict.fromkeys(("int32", "uint32", "single"), 4),
    **dict.fromkeys(("int64", "uint64", "double"), 8),
}

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Stored:
    """One array in a file, which is not read yet.

    Attributes
    ----------
    shape : tuple of int
        Shape of the array.
    dtype : numpy.dtype
        Type of its numbers.
    load : function without arguments
        Function that reads the whole array.
    piece : function of an index, optional
        Function that reads the part of one index of the first axis, where a part can be read by itself.
    axes : str, optional
        Letters of the axes as tifffile names them; None for other formats, which do not name axes.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    load: Callable[[], Array]
    piece: Callable[[int], Array] | None = None
    axes: str | None = None


def open_stored(path: str, key: str | None = None, *, sides: int = 1, axes: int | None = None) -> Stored:
    """Find the array in a file, without reading its numbers.

    Parameters
    ----------
    path : str
        Path of a .npy, .npz, .mat, .tif or .tiff file; the extension decides on the format.
    key : str, optional
        Name of the array in a .npz or .mat file. By default it is the only one that has enough `sides` and as many
        `axes`, or the only one among these that is no vector.
    sides : int
        Number of axes longer than 1 that an array without a given name has at least. Default 1.
    axes : int, optional
        Number of axes that it has. Default: any.

    Returns
    -------
    Stored
        Array of real numbers.

    Raises
    ------
    DataError
        The file cannot be read, or does not hold one array of real numbers. The message is only the reason.
    """
    extension = os.path.splitext(path)[1].lower()
    with as_reasons():
        if extension in TIFF:
            opened = _tiff(path)
        elif extension == ".npy":
            opened = _npy(path)
        else:
            opened = {".npz": _npz, ".mat": _mat}[extension](path, key, sides, axes)
    if opened.dtype.kind not in "iufb":
        raise DataError(f"must hold real numbers, got {opened.dtype}")
    return opened


@contextmanager
def as_reasons() -> Iterator[None]:
    """Convert the exceptions that the readers of all formats raise for damaged files into a DataError."""
    try:
        yield
    except (DataError, MemoryError):
        raise
    except Exception as error:  # for damaged files, the readers raise nearly every type of exception
        raise DataError(f"damaged, or in another format: {reason(error)}") from error


def _require(stored_bytes: int, path: str) -> None:
    require_memory(2 * stored_bytes, f"reading {printable(path)}")


def in_place(path: str, shape: tuple[int, ...], dtype: np.dtype[Any], start: int) -> Stored:
    """Return an array whose numbers stand in a file one after the other, the last axis varying fastest.

    Parameters
    ----------
    path : str
        Path of the file.
    shape : tuple of int
        Shape of the array.
    dtype : numpy.dtype
        Type of its numbers.
    start : int
        Number of bytes before the first number.

    Returns
    -------
    Stored
        Array, of which parts can be read.
    """

    def read(offset: int, wanted: tuple[int, ...]) -> Array:
        count = math.prod(wanted)
        _require(count * dtype.itemsize, path)
        with open_regular(path) as file:
            file.seek(start + offset)
            content = file.read(count * dtype.itemsize)
        if len(content) < count * dtype.itemsize:
            raise DataError("cut short")
        return np.frombuffer(content, dtype).reshape(wanted)

    each = math.prod(shape[1:]) * dtype.itemsize
    return Stored(shape, dtype, lambda: read(0, shape), lambda index: read(index * each, shape[1:]))


def _npy(path: str) -> Stored:
    with open_regular(path) as file:
        shape, fortran, dtype = read_header(file)
        start, size = file.tell(), os.fstat(file.fileno()).st_size
    _check_length(shape, dtype, size - start)
    if not fortran:
        return in_place(path, shape, dtype, start)
    backwards = in_place(path, shape[::-1], dtype, start)
    return Stored(shape, dtype, lambda: backwards.load().T)


def _check_length(shape: tuple[int, ...], dtype: np.dtype[Any], size: int) -> None:
    if math.prod(shape) * dtype.itemsize > size:
        raise DataError("cut short: its header promises more numbers than it holds")


def _npz(path: str, key: str | None, sides: int, axes: int | None) -> Stored:
    def arrays(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
        return {info.filename.removesuffix(".npy"): info for info in archive.infolist()}

    def header(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> tuple[tuple[int, ...], np.dtype[Any], int]:
        if not inflates_in_pieces(info):
            raise DataError("compressed with bzip2 or LZMA: save it with numpy.savez_compressed")
        with archive.open(info) as stream:
            shape, _, dtype = read_header(stream)
            return shape, dtype, stream.tell()

    with open_regular(path) as file, zipfile.ZipFile(file) as archive:
        members = arrays(archive)
        shapes = {}
        for name, info in members.items():
            with suppress(DataError, ValueError):
                shape, dtype, start = header(archive, info)
                shapes[name] = (shape, dtype.kind in "iufb")
        chosen = _chosen(shapes, key, sides, axes)
        shape, dtype, start = header(archive, members[chosen])
        _check_length(shape, dtype, members[chosen].file_size - start)

    def load() -> Array:
        _require(math.prod(shape) * dtype.itemsize, path)
        with open_regular(path) as file, zipfile.ZipFile(file) as archive, archive.open(members[chosen]) as stream:
            return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))

    return Stored(shape, dtype, load)


def _chosen(shapes: Mapping[str, tuple[tuple[int, ...], bool]], key: str | None, sides: int, axes: int | None) -> str:
    """Return the name of the array to read, given the shape of each array and whether it holds real numbers."""
    if key is not None:
        if key not in shapes:
            raise DataError(f"has no array {key!r}, only: {_listed(shapes)}")
        return key
    long = {name: sum(side > 1 for side in shape) for name, (shape, real) in shapes.items() if real}
    wanted = [name for name, number in long.items() if number >= sides and axes in (None, len(shapes[name][0]))]
    if len(wanted) > 1 and sum(long[name] > 1 for name in wanted) == 1:  # besides vectors, such as times
        wanted = [name for name in wanted if long[name] > 1]
    if len(wanted) != 1:
        number = f"{len(wanted)} arrays" if wanted else "no array"
        what = "that may be images" if sides > 1 else "of real numbers"
        raise DataError(f"holds {number} {what}: name one with `key`; it has {_listed(wanted or shapes)}")
    return wanted[0]


def _listed(names: Iterable[str]) -> str:
    texts = list(names)
    return ", ".join([*texts[:_LISTED], *(["..."] if len(texts) > _LISTED else [])]) or "nothing"


def _mat(path: str, key: str | None, sides: int, axes: int | None) -> Stored:
    with open_regular(path) as file:
        start = file.read(520)
    if _HDF5 in (start[:8], start[512:520]):
        return _mat_of_hdf5(path, key, sides, axes)
    from scipy.io import loadmat, whosmat

    with open_regular(path) as file:
        shapes = {name: (shape, kind) for name, shape, kind in whosmat(file)}
    chosen = _chosen({name: (shape, kind in _MATLAB_TYPES) for name, (shape, kind) in shapes.items()}, key, sides, axes)
    shape, kind = shapes[chosen]
    if kind not in _MATLAB_TYPES:
        raise DataError(f"{chosen} must be an array of real numbers, got MATLAB type {kind}")

    def load() -> Array:
        _require(math.prod(shape) * _MATLAB_TYPES[kind], path)
        with open_regular(path) as file:
            values = loadmat(file, variable_names=[chosen], mat_dtype=True)[chosen]
        if values.shape != tuple(shape) or values.dtype.kind not in "iufb":
            raise DataError(f"{chosen} must be an array of real numbers, got {values.dtype}")
        return np.asarray(values, dtype=dtype)

    dtype = np.dtype({"logical": "bool"}.get(kind, kind))
    return Stored(tuple(shape), dtype, load)


def _mat_of_hdf5(path: str, key: str | None, sides: int, axes: int | None) -> Stored:
    h5py = _extra("h5py", "a MATLAB file of version 7.3 (HDF5)", "mat73")
    with _hdf5(h5py, path) as (_, datasets):
        shapes = {name: (tuple(d.shape[::-1]), d.dtype.kind in "iufb") for name, d in datasets.items()}
        chosen = _chosen(shapes, key, sides, axes)
        shape, dtype = shapes[chosen][0], datasets[chosen].dtype

    def load() -> Array:
        _require(math.prod(shape) * dtype.itemsize, path)
        with _hdf5(h5py, path) as (_, datasets):
            return np.asarray(datasets[chosen][()].T)  # MATLAB stores the first axis fastest, HDF5 the last

    return Stored(shape, dtype, load)


@contextmanager
def _hdf5(h5py: Any, path: str) -> Iterator[tuple[BinaryIO, dict[str, Any]]]:  # noqa: ANN401
    """Open an HDF5 file and yield its datasets by name."""
    with open_regular(path) as file, h5py.File(file, "r") as archive:
        yield file, {name: item for name, item in archive.items() if isinstance(item, h5py.Dataset)}


def _tiff(path: str) -> Stored:
    tifffile = _extra("tifffile", "a TIFF file that is read as an array", "deep")

    def series(file: IO[bytes]) -> Any:  # noqa: ANN401
        found = tifffile.TiffFile(file, name=os.path.basename(path)).series
        if len(found) != 1:
            raise DataError(f"holds {len(found)} arrays of pages that differ, where one is wanted")
        if found[0].keyframe.photometric == _PALETTE:
            raise DataError("holds numbers of colours in a palette, and no values: convert it to RGB first")
        return found[0]

    with open_regular(path) as file:
        one = series(file)
        shape, dtype, axes = tuple(one.shape), np.dtype(one.dtype), str(one.axes)

    def load() -> Array:
        _require(math.prod(shape) * dtype.itemsize, path)
        with open_regular(path) as file:
            try:
                return np.asarray(series(file).asarray())
            except ValueError as error:
                if "imagecodecs" not in str(error):  # which decompresses
                    raise
                raise DataError("a compressed TIFF file needs imagecodecs: pip install 'ndtools[deep]'") from None

    return Stored(shape, dtype, load, axes=axes)


def _extra(module: str, what: str, extra: str) -> Any:  # noqa: ANN401
    """Import a package that is installed with an extra, or raise a DataError that names the extra."""
    try:
        return __import__(module)
    except ImportError:
        raise DataError(f"{what} needs the package {module}: pip install 'ndtools[{extra}]'") from None
