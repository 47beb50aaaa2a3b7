"""Image files with colour of more than 8 bits per channel, of which Pillow reads the high byte alone."""

import io
import math
import re
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from ndtools.data.images.planes import Planes
from ndtools.errors import DataError
from ndtools.text import reason

__all__ = ["deep_colour", "deep_tiff"]

_PNG = b"\x89PNG\r\n\x1a\n"
_GREY, _PALETTE = 0, 3  # colour types of PNG
_WITH_ALPHA = (2, 4)  # channels of grey with alpha, and of colour with alpha
_BITS, _PHOTOMETRIC, _EXTRA_SAMPLES = 258, 262, 338  # tags of TIFF
_BLACK_IS_ZERO, _RGB = 1, 2
_PREMULTIPLIED = 1
_NEEDS = "needs the packages tifffile and imagecodecs: pip install 'ndtools[deep]'"
_DEEP_GREY = ("I;16", "I")  # modes of Pillow that hold all bits
_SIZES = b"\xff\x4f\xff\x51"  # start of a codestream of JPEG 2000 and of its sizes
_PPM = (b"P3", b"P6")  # colour as text, and as bytes
_PPM_HEADER = re.compile(rb"P[36]" + 3 * rb"(?:\s|#[^\r\n]*[\r\n])+(\d+)" + rb"\s")
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

Array = NDArray[Any]


def deep_colour(data: bytes, image: Image.Image) -> Planes | None:
    """Return the picture of a file whose colour, or grey with alpha, has more than 8 bits per channel.

    Parameters
    ----------
    data : bytes
        Content of the encoded file.
    image : PIL.Image.Image
        The same file as Pillow has opened it.

    Returns
    -------
    Planes or None
        Three channels of float32 in [0, 1], of a PNG, TIFF, JPEG 2000 or PPM file; None for all other files, which
        Pillow reads.

    Raises
    ------
    DataError
        The package that reads such files is not installed. The message is only the reason.
    """
    if data.startswith(_PNG) and data[24] > 8 and data[25] not in (_GREY, _PALETTE):
        return _png(data, image)
    if image.format == "JPEG2000" and image.mode not in _DEEP_GREY and (form := _jpeg2000_form(data, image.mode)):
        return _jpeg2000(data, image, *form)
    if image.format == "PPM" and data[:2] in _PPM and image.mode == "RGB":
        return _ppm(data, image)
    if image.format == "TIFF":
        bits = getattr(image, "tag_v2", {}).get(_BITS, (8,))
        if len(bits) > 1 and max(bits) > 8:
            return deep_tiff(data)
    return None


def deep_tiff(data: bytes) -> Planes | None:
    """Return the first page of a TIFF file of high depth; None if the data are no TIFF file.

    Parameters
    ----------
    data : bytes
        Content of the encoded file.

    Returns
    -------
    Planes or None
        Three channels of float32 in [0, 1], which are equal for grey.

    Raises
    ------
    DataError
        The file is damaged, its channels are not grey or R, G and B, or the package that reads such files is not
        installed. The message is only the reason.
    """
    if not data.startswith(_TIFF_STARTS):
        return None
    try:
        import tifffile
    except ImportError:
        raise DataError(f"a TIFF file of this kind {_NEEDS}") from None
    try:
        tiff = tifffile.TiffFile(io.BytesIO(data))
        page: Any = tiff.pages[0]
        frames, samples = len(tiff.pages), int(page.samplesperpixel)
        photometric, extra = int(page.photometric), tuple(map(int, page.extrasamples))
        tag = page.tags.get(ExifTags.Base.Orientation)
        orientation = 1 if tag is None else int(tag.value)
    except Exception as error:
        raise DataError(f"cannot be decoded: {reason(error)}") from error
    colours = {_BLACK_IS_ZERO: 1, _RGB: 3}.get(photometric, 0)
    if samples not in (colours, colours + 1):
        raise DataError(
            f"a TIFF file of {samples} channels that are not R, G and B: read it as an array, with `axes`, as in HWC"
        )

    def load() -> Array:
        try:
            values = page.asarray()
        except ValueError as error:
            if "imagecodecs" not in str(error):  # which decompresses
                raise
            raise DataError(f"a compressed TIFF file of this kind {_NEEDS}") from None
        planar = page.axes.startswith("S")
        if values.ndim == 2:
            values = values[None]
        elif not planar:
            values = values.transpose(2, 0, 1)
        return _flattened(_unit(values), samples > colours, premultiplied=extra[:1] == (_PREMULTIPLIED,))

    width, height, dtype = int(page.imagewidth), int(page.imagelength), np.dtype(page.dtype)
    return _planes(load, width, height, orientation, dtype, frames)


def _png(data: bytes, image: Image.Image) -> Planes:
    try:
        import imagecodecs
    except ImportError:
        raise DataError(f"a PNG file with 16 bits per channel {_NEEDS}") from None

    def load() -> Array:
        values = np.atleast_3d(imagecodecs.png_decode(data)).transpose(2, 0, 1)
        return _flattened(_unit(values), len(values) in _WITH_ALPHA)  # a colour key is decoded to alpha

    try:
        orientation = int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # the pixels are usable even if the EXIF data are damaged
        orientation = 1
    return _planes(load, image.width, image.height, orientation, np.dtype(np.uint16), 1)


def _jpeg2000_form(data: bytes, mode: str) -> tuple[int, int] | None:
    """Return the number of channels of a JPEG 2000 file and their bits, if these are more than 8."""
    start = data.find(_SIZES)
    if start < 0 or len(data) < start + 42:
        return None  # Pillow reports the damage
    (channels,) = struct.unpack(">H", data[start + 40 : start + 42])
    kinds = data[start + 42 : start + 42 + 3 * channels : 3]
    bits = max(((kind & 0x7F) + 1 for kind in kinds), default=8)
    if bits <= 8:
        return None
    if len(set(kinds)) > 1 or kinds[0] & 0x80 or bits > 16 or mode not in ("RGB", "RGBA", "LA"):
        raise DataError(
            f"JPEG 2000 in {mode} with {channels} channels of up to {bits} bits: convert it to TIFF of 16 bits first"
        )
    return channels, bits


def _jpeg2000(data: bytes, image: Image.Image, channels: int, bits: int) -> Planes:
    try:
        import imagecodecs
    except ImportError:
        raise DataError(f"a JPEG 2000 file of {bits} bits per channel {_NEEDS}") from None

    def load() -> Array:
        values = np.atleast_3d(imagecodecs.jpeg2k_decode(data)).transpose(2, 0, 1)
        unit = np.divide(values, 2**bits - 1, dtype=np.float32)
        return _flattened(unit, channels in _WITH_ALPHA)

    return _planes(load, image.width, image.height, 1, np.dtype(np.uint16), 1, step=1 / (2**bits - 1))


def _ppm(data: bytes, image: Image.Image) -> Planes | None:
    header = _PPM_HEADER.match(data)
    if header is None or int(header[3]) < 256:
        return None
    largest = int(header[3])
    shape = (image.height, image.width, 3)

    def load() -> Array:
        content = data[header.end() :]
        if data.startswith(b"P6"):
            if len(content) < 2 * math.prod(shape):
                raise DataError("truncated: its header promises more pixels than it holds")
            values = np.frombuffer(content, ">u2", math.prod(shape))
        else:
            values = np.array(re.sub(rb"#[^\r\n]*", b"", content).split()[: math.prod(shape)], dtype=np.int64)
            if len(values) < math.prod(shape):
                raise DataError("truncated: its header promises more pixels than it holds")
        if values.min() < 0 or values.max() > largest:
            raise DataError(f"values {values.min()} to {values.max()} do not fit 0 to {largest}, as the header says")
        unit: Array = np.divide(values.reshape(shape).transpose(2, 0, 1), largest, dtype=np.float32)
        return unit

    return _planes(load, image.width, image.height, 1, np.dtype(np.uint16), 1, step=1 / largest)


def _planes(
    load: Callable[[], Array],
    width: int,
    height: int,
    orientation: int,
    dtype: np.dtype[Any],
    frames: int,
    step: float | None = None,
) -> Planes:
    def upright() -> Array:
        try:
            return _turned(load(), orientation)
        except (DataError, MemoryError):
            raise
        except Exception as error:  # for damaged files, decoders raise nearly every type of exception
            raise DataError(f"cannot be decoded: {reason(error)}") from error

    if orientation in (5, 6, 7, 8):
        width, height = height, width
    if step is None:
        step = 0.0 if dtype.kind == "f" else 1 / np.iinfo(dtype).max
    return Planes(width, height, 3, upright, itemsize=4, step=step, frames=frames, bounded=True)


def _unit(values: Array) -> Array:
    """Divide whole numbers by the largest of their type; floating-point values must be in [0, 1]."""
    if values.dtype.kind == "u":
        return np.divide(values, np.iinfo(values.dtype).max, dtype=np.float32)
    low, high = values.min(), values.max()
    if values.dtype.kind == "f" and low >= 0 and high <= 1:  # this form also refuses NaN
        return values.astype(np.float32)
    raise DataError(
        f"values {low:g} to {high:g} of type {values.dtype} do not fit [0, 1]: read the file as an array, with `axes`"
    )


def _flattened(values: Array, alpha: bool, *, premultiplied: bool = False) -> Array:
    """Composite over white if the last channel is alpha, and return three channels."""
    if alpha:
        colours, cover = values[:-1], values[-1:]
        values = (colours if premultiplied else colours * cover) + (1 - cover)
    return np.broadcast_to(values, (3, *values.shape[1:])) if len(values) == 1 else values


def _turned(values: Array, orientation: int) -> Array:
    """Turn an image (C, H, W) upright, given its EXIF orientation."""
    if orientation in (5, 6, 7, 8):
        values = values.transpose(0, 2, 1)
    if orientation in (3, 4, 7, 8):
        values = values[:, ::-1]
    if orientation in (2, 3, 6, 7):
        values = values[:, :, ::-1]
    return np.ascontiguousarray(values)
