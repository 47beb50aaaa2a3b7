"""Arrays of images in files: .npy, .npz, .mat, TIFF of several pages, and raw numbers."""

import math
import os
import threading
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ndtools.computing.memory import require_memory
from ndtools.data.arrays import read_header
from ndtools.data.files import inflates_in_pieces, open_regular
from ndtools.data.images.layouts import ArrayLayout, RawFormat
from ndtools.data.images.planes import Pixels, Planes
from ndtools.errors import DataError
from ndtools.text import printable, reason

__all__ = ["ARRAY_EXTENSIONS", "StoredImages", "holds_arrays", "is_array_file", "stored_images"]

ARRAY_EXTENSIONS = frozenset([".npy", ".npz", ".mat", ".iml", ".imc"])
"""Extensions of files that hold arrays of images, compared in lower case."""
_TIFF = (".tif", ".tiff")
_VAN_HATEREN = RawFormat((1024, 1536), ">u2")
_WITH_KEY = (".npz", ".mat")
_RAW = (".raw", ".bin", ".dat", ".img", ".iml", ".imc")  # listed in folders where files are raw

_LISTED = 8  # largest number of array names that a message lists
_HELD = 2  # arrays of several images that are in memory at a time: one ends while the next begins
_HDF5 = b"\x89HDF\r\n\x1a\n"
_MATLAB_TYPES = {  # MATLAB class: bytes of a number
    **dict.fromkeys(("int8", "uint8", "logical"), 1),
    **dict.fromkeys(("int16", "uint16"), 2),
    **dict.fromkeys(("int32", "uint32", "single"), 4),
    **dict.fromkeys(("int64", "uint64", "double"), 8),
}

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class _Stored:
    """One array in a file, which is not read yet.

    Parameters
    ----------
    shape : tuple of int
        Shape of the array.
    dtype : numpy.dtype
        Type of its numbers.
    load : function without arguments
        Function that reads the whole array.
    piece : function of an index, optional
        Function that reads the part of one index of the first axis, where a part can be read by itself.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    load: Callable[[], Array]
    piece: Callable[[int], Array] | None = None


@dataclass(frozen=True, eq=False)
class StoredImages:
    """Images of one array in a file.

    Attributes
    ----------
    count : int
        Number of images.
    channels : int
        Number of channels of each image.
    calibrated : bool
        Whether values are taken as they are; if not, they are uint8, and 0 to 255 stand for [0, 1].
    axes : str
        A letter of N, C, H and W for each axis of the array.
    """

    count: int
    channels: int
    calibrated: bool
    axes: str
    _array: _Stored = field(repr=False)
    _name: str = field(repr=False, default="")

    def image(self, index: int) -> Planes:
        """Return an image, which is read only when its pixels are needed."""
        shape = dict(zip(self.axes, self._array.shape, strict=True))
        whole = self._array.dtype.kind in "iu" and self.calibrated
        return Planes(
            shape["W"],
            shape["H"],
            self.channels,
            lambda: self._pixels(index),
            itemsize=max(self._array.dtype.itemsize, 4),
            step=1.0 if whole else 0.0 if self.calibrated else 1 / 255,
        )

    def _pixels(self, index: int) -> Pixels:
        axes = self.axes.replace("N", "")
        with _as_reasons():
            if "N" not in self.axes:
                values = self._array.load()
            elif self.axes[0] == "N" and self._array.piece is not None:
                values = self._array.piece(index)
            else:
                values = _LOADED.array(self._array).take(index, axis=self.axes.index("N"))
            order = [axes.index(axis) for axis in ("CHW" if "C" in axes else "HW")]
            values = values.transpose(order)
            return _as_pixels(values if values.ndim == 3 else values[None])


class _Loaded:
    """The last arrays of several images that were read as a whole, since their images are asked for one by one."""

    def __init__(self) -> None:
        self._arrays: OrderedDict[int, tuple[_Stored, Array]] = OrderedDict()
        self._lock = threading.Lock()

    def array(self, stored: _Stored) -> Array:
        with self._lock:
            if id(stored) not in self._arrays:
                self._arrays[id(stored)] = (stored, stored.load())
                while len(self._arrays) > _HELD:
                    self._arrays.popitem(last=False)
            self._arrays.move_to_end(id(stored))
            return self._arrays[id(stored)][1]


_LOADED = _Loaded()


def holds_arrays(path: str, layout: ArrayLayout) -> bool:
    """Return whether a file is read as an array, judged by its name and by how arrays are to be read."""
    return layout.is_given or os.path.splitext(path)[1].lower() in ARRAY_EXTENSIONS


def is_array_file(path: str, layout: ArrayLayout) -> bool:
    """Return whether a file in a folder counts as one of arrays, judged by its extension."""
    extension = os.path.splitext(path)[1].lower()
    if layout.raw is not None:
        return extension in _RAW
    if layout.key is not None:
        return extension in _WITH_KEY
    return extension in ARRAY_EXTENSIONS or (layout.axes is not None and extension in _TIFF)


def stored_images(path: str, layout: ArrayLayout) -> StoredImages:
    """Find the images of one array in a file, without reading their pixels.

    Parameters
    ----------
    path : str
        Path of the file. Its extension decides on the format, unless the layout says that it is raw.
    layout : ArrayLayout
        Order of the axes and name of the array, as far as they are known.

    Returns
    -------
    StoredImages
        Images of the array.

    Raises
    ------
    DataError
        The file cannot be read, or holds no array of real numbers with these axes. The message is only the reason.
    """
    extension = os.path.splitext(path)[1].lower()
    if layout.raw is not None:
        opened = _raw(path, layout.raw)
    elif extension in (".iml", ".imc"):
        opened = _raw(path, _VAN_HATEREN)
    elif extension in _TIFF and layout.key is None:
        opened = _tiff(path)
    elif extension not in ARRAY_EXTENSIONS:
        given = " and ".join(f"`{name}`" for name in ("key", "axes") if getattr(layout, name) is not None)
        raise DataError(f"{given} has no meaning for a file that is not .npy, .npz, .mat or (with `axes` alone) .tif")
    elif layout.key is not None and extension not in _WITH_KEY:
        raise DataError("`key` has no meaning for a file that is not .npz or .mat, and so holds one array")
    else:
        with _as_reasons():
            opened = {".npy": _npy, ".npz": _npz, ".mat": _mat}[extension](path, layout.key)
    if opened.dtype.kind not in "iufb":
        raise DataError(f"must hold real numbers, got {opened.dtype}")
    axes = layout.axes_of(opened.shape)
    sizes = dict(zip(axes, opened.shape, strict=True))
    calibrated = opened.dtype != np.uint8
    return StoredImages(sizes.get("N", 1), sizes.get("C", 1), calibrated, axes, opened, printable(path))


@contextmanager
def _as_reasons() -> Iterator[None]:
    """Convert the exceptions that the readers of all formats raise for damaged files into a DataError."""
    try:
        yield
    except (DataError, MemoryError):
        raise
    except Exception as error:  # for damaged files, the readers raise nearly every type of exception
        raise DataError(f"damaged, or in another format: {reason(error)}") from error


def _as_pixels(values: Array) -> Pixels:
    """Convert numbers to uint8, float32 or float64, whichever holds them exactly (integers up to 2^53)."""
    if values.dtype == np.uint8:
        return np.ascontiguousarray(values)
    small = values.dtype.kind == "b" or values.dtype.itemsize <= (4 if values.dtype.kind == "f" else 2)
    return np.ascontiguousarray(values, dtype=np.float32 if small else np.float64)


def _require(stored_bytes: int, path: str) -> None:
    require_memory(2 * stored_bytes, f"reading {printable(path)}")


def _raw(path: str, form: RawFormat) -> _Stored:
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
    if size != form.nbytes:
        sizes = "x".join(map(str, form.shape))
        raise DataError(f"must have {form.nbytes:,} bytes for an array of {sizes}:{form.dtype}, has {size:,}")
    return _in_place(path, form.shape, np.dtype(form.dtype), start=0)


def _in_place(path: str, shape: tuple[int, ...], dtype: np.dtype[Any], start: int) -> _Stored:
    """Return an array whose numbers stand in a file one after the other, the last axis varying fastest."""

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
    return _Stored(shape, dtype, lambda: read(0, shape), lambda index: read(index * each, shape[1:]))


def _npy(path: str, _: str | None) -> _Stored:
    with open_regular(path) as file:
        shape, fortran, dtype = read_header(file)
        start, size = file.tell(), os.fstat(file.fileno()).st_size
    _check_length(shape, dtype, size - start)
    if not fortran:
        return _in_place(path, shape, dtype, start)
    backwards = _in_place(path, shape[::-1], dtype, start)
    return _Stored(shape, dtype, lambda: backwards.load().T)


def _check_length(shape: tuple[int, ...], dtype: np.dtype[Any], size: int) -> None:
    if math.prod(shape) * dtype.itemsize > size:
        raise DataError("cut short: its header promises more numbers than it holds")


def _npz(path: str, key: str | None) -> _Stored:
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
        chosen = _chosen(shapes, key)
        shape, dtype, start = header(archive, members[chosen])
        _check_length(shape, dtype, members[chosen].file_size - start)

    def load() -> Array:
        _require(math.prod(shape) * dtype.itemsize, path)
        with open_regular(path) as file, zipfile.ZipFile(file) as archive, archive.open(members[chosen]) as stream:
            return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))

    return _Stored(shape, dtype, load)


def _chosen(shapes: Mapping[str, tuple[tuple[int, ...], bool]], key: str | None) -> str:
    """Return the name of the array to read, given the shape of each array and whether it holds real numbers."""
    names = [*list(shapes)[:_LISTED], *(["..."] if len(shapes) > _LISTED else [])]
    held = ", ".join(names) or "nothing"
    if key is not None:
        if key not in shapes:
            raise DataError(f"has no array {key!r}, only: {held}")
        return key
    images = [name for name, (shape, real) in shapes.items() if real and sum(side > 1 for side in shape) >= 2]
    if len(images) != 1:
        number = "several arrays" if images else "no array"
        raise DataError(f"holds {number} that may be images: name one with `key`; it has {held}")
    return images[0]


def _mat(path: str, key: str | None) -> _Stored:
    with open_regular(path) as file:
        start = file.read(520)
    if _HDF5 in (start[:8], start[512:520]):
        return _mat_of_hdf5(path, key)
    from scipy.io import loadmat, whosmat

    with open_regular(path) as file:
        shapes = {name: (shape, kind) for name, shape, kind in whosmat(file)}
    chosen = _chosen({name: (shape, kind in _MATLAB_TYPES) for name, (shape, kind) in shapes.items()}, key)
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
    return _Stored(tuple(shape), dtype, load)


def _mat_of_hdf5(path: str, key: str | None) -> _Stored:
    h5py = _extra("h5py", "a MATLAB file of version 7.3 (HDF5)", "mat73")
    with _hdf5(h5py, path) as (_, datasets):
        shapes = {name: (tuple(d.shape[::-1]), d.dtype.kind in "iufb") for name, d in datasets.items()}
        chosen = _chosen(shapes, key)
        shape, dtype = shapes[chosen][0], datasets[chosen].dtype

    def load() -> Array:
        _require(math.prod(shape) * dtype.itemsize, path)
        with _hdf5(h5py, path) as (_, datasets):
            return np.asarray(datasets[chosen][()].T)  # MATLAB stores the first axis fastest, HDF5 the last

    return _Stored(shape, dtype, load)


@contextmanager
def _hdf5(h5py: Any, path: str) -> Iterator[tuple[BinaryIO, dict[str, Any]]]:  # noqa: ANN401
    """Open an HDF5 file and yield its datasets by name."""
    with open_regular(path) as file, h5py.File(file, "r") as archive:
        yield file, {name: item for name, item in archive.items() if isinstance(item, h5py.Dataset)}


def _tiff(path: str) -> _Stored:
    tifffile = _extra("tifffile", "a TIFF file that is read as an array", "deep")

    def series(file: IO[bytes]) -> Any:  # noqa: ANN401
        found = tifffile.TiffFile(file, name=os.path.basename(path)).series
        if len(found) != 1:
            raise DataError(f"holds {len(found)} arrays of pages that differ, where one is wanted")
        return found[0]

    with _as_reasons(), open_regular(path) as file:
        one = series(file)
        shape, dtype = tuple(one.shape), np.dtype(one.dtype)

    def load() -> Array:
        _require(math.prod(shape) * dtype.itemsize, path)
        with open_regular(path) as file:
            try:
                return np.asarray(series(file).asarray())
            except ValueError as error:
                if "imagecodecs" not in str(error):  # which decompresses
                    raise
                raise DataError("a compressed TIFF file needs imagecodecs: pip install 'ndtools[deep]'") from None

    return _Stored(shape, dtype, load)


def _extra(module: str, what: str, extra: str) -> Any:  # noqa: ANN401
    """Import a package that is installed with an extra, or raise a DataError that names the extra."""
    try:
        return __import__(module)
    except ImportError:
        raise DataError(f"{what} needs the package {module}: pip install 'ndtools[{extra}]'") from None
