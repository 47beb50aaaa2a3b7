"""Arrays of images in files: .npy, .npz, .mat, TIFF of several pages, and raw numbers."""

import os
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ndtools.data.files import open_regular
from ndtools.data.images.layouts import ArrayLayout, RawFormat
from ndtools.data.images.planes import Pixels, Planes
from ndtools.data.stored import TIFF, WITH_KEY, Stored, as_reasons, in_place, open_stored
from ndtools.errors import DataError
from ndtools.text import printable

__all__ = ["ARRAY_EXTENSIONS", "RAW_EXTENSIONS", "StoredImages", "holds_arrays", "is_array_file", "stored_images"]

ARRAY_EXTENSIONS = frozenset([".npy", ".npz", ".mat", ".iml", ".imc"])
"""Extensions of files that hold arrays of images, compared in lower case."""
FEW_CHANNELS, FAR_MORE = 16, 3  # more channels, and as many times the rows or columns, give rise to a hint
_VAN_HATEREN = RawFormat((1024, 1536), ">u2")
RAW_EXTENSIONS = (".raw", ".bin", ".dat", ".img", ".iml", ".imc")
"""Extensions of files that hold numbers alone, which are listed in folders where files are raw."""

_HELD = 2  # arrays of several images that are in memory at a time: one ends while the next begins

Array = NDArray[Any]


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
    _array: Stored = field(repr=False)
    _name: str = field(repr=False, default="")

    @property
    def hint(self) -> str | None:
        """Remark that the axes may be in another order, if there are far more channels than rows or columns."""
        sizes = dict(zip(self.axes, self._array.shape, strict=True))
        least = min("HW", key=sizes.__getitem__)
        if self.channels <= max(FEW_CHANNELS, FAR_MORE * sizes[least]):
            return None
        sides = iter("HW")
        order = "".join("N" if axis == "N" else "C" if axis == least else next(sides) for axis in self.axes)
        return (
            f"with axes {self.axes}, images have {self.channels} channels of {sizes['W']}×{sizes['H']} pixels; if that"
            f" is not so, give `axes` in the order of the array, such as {order}"
        )

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
        with as_reasons():
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
        self._arrays: OrderedDict[int, tuple[Stored, Array]] = OrderedDict()
        self._lock = threading.Lock()

    def array(self, stored: Stored) -> Array:
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
        return extension in RAW_EXTENSIONS
    if layout.key is not None:
        return extension in WITH_KEY
    return extension in ARRAY_EXTENSIONS or (layout.axes is not None and extension in TIFF)


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
    elif extension in TIFF and layout.key is None:
        opened = open_stored(path)
    elif extension not in ARRAY_EXTENSIONS:
        given = " and ".join(f"`{name}`" for name in ("key", "axes") if getattr(layout, name) is not None)
        raise DataError(
            f"{given} has no meaning for a file that is not .npy, .npz, .mat or (with `axes` alone) .tif; `raw` says"
            " what a file of numbers without a header holds"
        )
    elif layout.key is not None and extension not in WITH_KEY:
        raise DataError("`key` has no meaning for a file that is not .npz or .mat, and so holds one array")
    else:
        opened = open_stored(path, layout.key, sides=2, axes=len(layout.axes) if layout.axes else None)
    axes = layout.axes_of(opened.shape)
    sizes = dict(zip(axes, opened.shape, strict=True))
    calibrated = opened.dtype != np.uint8
    return StoredImages(sizes.get("N", 1), sizes.get("C", 1), calibrated, axes, opened, printable(path))


def _as_pixels(values: Array) -> Pixels:
    """Convert numbers to uint8, float32 or float64, whichever holds them exactly (integers up to 2^53)."""
    if values.dtype == np.uint8:
        return np.ascontiguousarray(values)
    small = values.dtype.kind == "b" or values.dtype.itemsize <= (4 if values.dtype.kind == "f" else 2)
    return np.ascontiguousarray(values, dtype=np.float32 if small else np.float64)


def _raw(path: str, form: RawFormat) -> Stored:
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
    if size != form.nbytes:
        sizes = "x".join(map(str, form.shape))
        raise DataError(f"must have {form.nbytes:,} bytes for an array of {sizes}:{form.dtype}, has {size:,}")
    return in_place(path, form.shape, np.dtype(form.dtype), start=0)
