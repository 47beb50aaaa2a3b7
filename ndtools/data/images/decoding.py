"""Decode one image file into an array, by one stated rule for every format that Pillow reads."""

import io
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from ndtools.computing.memory import require_memory
from ndtools.data.files import read_file
from ndtools.data.images.deep import deep_colour, deep_tiff
from ndtools.data.images.planes import Pixels, Planes
from ndtools.errors import DataError, OptionError
from ndtools.numerics.colour import Single, from_light, light, luminance
from ndtools.numerics.finite import not_finite
from ndtools.text import reason
from ndtools.validation import Space

__all__ = [
    "Picture",
    "Pixels",
    "decode_image",
    "decoding_memory",
    "number_of_frames",
    "open_image",
    "pillow_errors",
    "rounding_step",
    "using_memory",
]

Picture: TypeAlias = Image.Image | Planes
"""An image that need not be decoded yet."""

_BUFFERED = ("WEBP", "AVIF", "JPEG2000")  # formats whose libraries decode into buffers of their own

_LONGEST_BLOCK = 2**28

_NIFTI_HEADER = 348  # bytes

_COPY = 20  # bytes per pixel: a grey image of high depth as three channels in float32, and the check of its numbers

_LIGHT = 60  # bytes per pixel: channels in float32, as light, converted and resized; or one in float64 and its powers

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode_image(
    content: bytes | IO[bytes] | str | os.PathLike[str] | Picture,
    *,
    gray: bool = False,
    resize: int | None = None,
    space: Space = "srgb",
    upright: bool = True,
) -> Pixels:
    """Decode an image file into an array of shape (C, H, W).

    All formats follow the same rule. The first frame is used, turned upright by its EXIF orientation. Palettes are
    expanded. Alpha (also of a palette or a colour key) is composited over white. CMYK, YCbCr, LAB and HSV are
    converted to RGB by Pillow. Bilevel pixels become 0 and 255. One grey channel is repeated three times unless `gray`
    is set; with `gray`, RGB is converted to ITU-R 601-2 luma, 0.299 R + 0.587 G + 0.114 B. Colour profiles are
    ignored: samples are taken to be sRGB and stay gamma-coded, unless another `space` is wanted. They are then
    converted to light first, before they are resized or become one channel, which is the luminance of the light.

    Files of more than 8 bits give float32. 16-bit integers (also those that Pillow holds as 32-bit integers) are
    divided by 65535; floating-point samples are not scaled. PNG, TIFF and JPEG 2000 files with more than 8 bits per
    channel of colour need the packages of the extra ``deep``.

    Images that are arrays (`Planes`) have any number of channels, and their values are taken as they are.

    Parameters
    ----------
    content : bytes, binary file, path, PIL.Image.Image or Planes
        Encoded file, its path, or a picture from `open_image` or made by Pillow.
    gray : bool
        Whether to return one channel instead of three. Default False.
    resize : int, optional
        Length of the short side in pixels after antialiased (Lanczos) resizing, at least 1. Resizing may also enlarge,
        and keeps the aspect ratio. By default the image keeps its size.
    space : {"srgb", "linear", "xyz", "lms", "log-lms"}
        Colour space of the pixels; see :mod:`ndtools.numerics.colour`. Default "srgb", in which pixels stay as they
        are in the file.
    upright : bool
        Whether the image is turned by its EXIF orientation; not so if other files refer to its pixels as they are
        stored. Default True.

    Returns
    -------
    numpy.ndarray of shape (C, H, W), C = 3, or 1 with `gray`; any C for arrays
        Pixels: uint8 in 0..255, or float32 in [0, 1] for sources of higher depth, or float32 or float64 for arrays. In
        other spaces than sRGB they are float32; those of "xyz" reach 1.09, and those of "log-lms" are in
        [-2.41, 0.002]. For speed the array may be a view that is neither contiguous nor writable.

    Raises
    ------
    DataError
        The file cannot be read or decoded, needs more memory than is free, or its numbers do not fit the ranges
        above. The message is only the reason; the caller adds the name.
    OptionError
        `resize` is less than 1, or `gray` has no meaning in that `space`.
    """
    if gray and space not in ("srgb", "linear"):
        raise OptionError("space", f"must be srgb or linear for one channel, got {space!r}")
    if resize is not None and resize < 1:
        raise OptionError("resize", f"must be at least 1 pixel, got {resize}")
    image = open_image(content)
    require_memory(decoding_memory(image, space=space), f"decoding its {image.width} x {image.height} pixels")
    try:
        if isinstance(image, Planes):
            if space == "srgb":
                return image.decode(gray=gray, resize=resize)
            return _in_space(image.decode().transpose(1, 2, 0), space, gray, resize)
        image = _loaded(image, upright)
        deep = image.mode not in ("L", "RGB")
        if space != "srgb":
            return _in_space(_unit_interval(image) if deep else np.asarray(image), space, gray, resize)
        if deep:
            image = Image.fromarray(_unit_interval(image))
        elif gray:
            image = image.convert("L")
        if resize is not None:
            image = _resized(image, resize)
        pixels: Pixels = np.asarray(image)
    except MemoryError as error:
        raise DataError("too large for the memory") from error
    if deep and resize is not None:
        pixels = pixels.clip(0.0, 1.0)  # Lanczos overshoots at edges; Pillow clips only 8-bit pixels itself
    if pixels.ndim == 3:
        return pixels.transpose(2, 0, 1)
    return np.broadcast_to(pixels, (1 if gray else 3, *pixels.shape))


def _in_space(samples: Pixels, space: Space, gray: bool, resize: int | None) -> Single:
    """Return sRGB samples (H, W) or (H, W, 3) in another colour space, (C, H, W): light first, then all else."""
    linear = light(samples[None] if samples.ndim == 2 else samples.transpose(2, 0, 1))
    if resize is not None:
        channels = [np.asarray(_resized(Image.fromarray(channel), resize)) for channel in linear]
        linear = np.stack(channels).clip(0.0, 1.0)  # Lanczos overshoots at edges
    if gray:
        return linear if len(linear) == 1 else luminance(linear)
    return from_light(np.broadcast_to(linear, (3, *linear.shape[1:])), space)


def open_image(content: bytes | IO[bytes] | str | os.PathLike[str] | Picture) -> Picture:
    """Open an image file without decoding it; its size is then known.

    Parameters
    ----------
    content : bytes, binary file, path, PIL.Image.Image or Planes
        Encoded file, its path, or a picture. A picture is returned unchanged.

    Returns
    -------
    PIL.Image.Image or Planes
        Picture that `decode_image` accepts.

    Raises
    ------
    DataError
        The file cannot be read, or is not an image. The message is only the reason; the caller adds the name.
    """
    with pillow_errors():
        if isinstance(content, str | os.PathLike):
            content = read_file(content)
        return content if isinstance(content, Image.Image | Planes) else _open(content)


def decoding_memory(image: Picture, resize: int | None = None, space: Space = "srgb") -> int:
    """Estimate the memory that `decode_image` takes for a picture, including its result.

    Parameters
    ----------
    image : PIL.Image.Image or Planes
        Picture that need not be decoded yet.
    resize : int, optional
        Length of the short side in pixels, as for `decode_image`.
    space : {"srgb", "linear", "xyz", "lms", "log-lms"}
        Colour space of the pixels, as for `decode_image`.

    Returns
    -------
    int
        Estimated memory in bytes.
    """
    if isinstance(image, Planes):
        return image.memory(resize)
    # Measured: Pillow holds 4 bytes per colour pixel, and each of its copies for EXIF, transparency and NumPy takes as
    # much again. The libraries of some formats decode into buffers of their own. Grey samples of more than 8 bits are
    # held as integers, as float32 and, where Pillow resizes them, as float32 again (measured: 14 to 18).
    if image.format in _BUFFERED:
        per_pixel = 28
    elif image.has_transparency_data or not (_is_deep(image) or image.mode in ("L", "RGB", "1", "P")):
        per_pixel = 20
    elif _is_deep(image):
        per_pixel = 18
    else:
        per_pixel = 12
    if space != "srgb":
        per_pixel += _LIGHT
    needed = per_pixel * image.width * image.height
    if resize is not None and 0 not in image.size:
        scale = resize / min(image.size)
        needed += round(12 * scale**2 * image.width * image.height)
    return needed


def using_memory(image: Picture, working: int, resize: int | None = None, space: Space = "srgb") -> int:
    """Estimate the memory that work on the decoded picture takes, without that of decoding it.

    Parameters
    ----------
    image : PIL.Image.Image or Planes
        Picture that need not be decoded yet.
    working : int
        Bytes that the work takes for each pixel of an 8-bit image.
    resize : int, optional
        Length of the short side in pixels, as for `decode_image`.
    space : {"srgb", "linear", "xyz", "lms", "log-lms"}
        Colour space of the pixels, as for `decode_image`.

    Returns
    -------
    int
        Estimated memory in bytes. It is larger for grey images of more than 8 bits, and in other spaces than sRGB,
        since the work copies the pixels as three channels of floating-point numbers.
    """
    if isinstance(image, Planes):
        return image.using_memory(working, resize)
    scale = resize / min(image.size) if resize is not None and 0 not in image.size else 1.0
    return round(
        (working + (_COPY if _is_deep(image) or space != "srgb" else 0)) * scale**2 * image.width * image.height
    )


def number_of_frames(image: Picture) -> int:
    """Return the number of frames or pages of a picture, of which `decode_image` uses the first.

    Parameters
    ----------
    image : PIL.Image.Image or Planes
        Picture that is decoded already: counting moves through the file.

    Returns
    -------
    int
        Number of frames, at least 1. 1 for MPO, the format of cameras, whose further frames are previews; and for a
        file whose further frames cannot be counted.
    """
    if isinstance(image, Planes):
        return image.frames
    if image.format == "MPO":
        return 1
    with suppress(Exception):  # the first frame is usable even if the others are damaged
        return max(1, int(getattr(image, "n_frames", 1)))
    return 1


def rounding_step(image: Picture) -> float:
    """Return the step between neighbouring values of a picture's pixels; 0 if they are floating point."""
    if isinstance(image, Planes):
        return image.step
    if image.mode == "F":
        return 0.0
    return 1 / 65535 if _is_deep(image) else 1 / 255


def _is_deep(image: Image.Image) -> bool:
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def _loaded(image: Image.Image, upright: bool) -> Image.Image:
    # Returns the first frame in mode L, RGB, or one of Pillow's deep grey modes (I;16..., I, F).
    with pillow_errors():
        if isinstance(image, ImageFile.ImageFile):
            # Pillow reads in blocks, and for each block copies what it has read of the row. With small blocks, long
            # rows take extremely long.
            image.decodermaxblock = max(image.decodermaxblock, min(16 * image.width, _LONGEST_BLOCK))
        image.load()
        if 0 in image.size:
            raise DataError("has no pixels")
        return _plain(_upright(image) if upright else image)


@contextmanager
def pillow_errors() -> Iterator[None]:
    """Convert the exceptions that Pillow raises for unreadable files into a DataError with the reason."""
    try:
        yield
    except (DataError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise DataError("not an image that Pillow can read") from error
    except Image.DecompressionBombError as error:
        raise DataError(f"larger than {_max_pixels() / 1e6:.0f} Mpixel (decompression bomb?)") from error
    except Exception as error:  # for damaged files, Pillow's plugins raise nearly every type of exception
        message = reason(error)
        if message == "image file is truncated":
            raise DataError("the file is truncated") from error
        problem = "truncated" if "truncated" in message.lower() else "cannot be decoded"
        raise DataError(f"{problem}: {message}") from error


def _open(content: bytes | IO[bytes]) -> Picture:
    data = content if isinstance(content, bytes) else content.read()
    if not data:
        raise DataError("empty file")
    try:
        image = Image.open(io.BytesIO(data))
    except UnidentifiedImageError:
        # Pillow registers its rarer formats when they are first needed. A thread that opens an image while another
        # thread registers them may miss some, so all are registered before the image is given up.
        Image.init()
        try:
            image = Image.open(io.BytesIO(data))
        except UnidentifiedImageError:
            if planes := deep_tiff(data):
                return planes
            if _is_signal_or_volume(data):
                raise DataError("a signal or volume, not an image: ndtools signals reads it") from None
            raise
    if image.format == "EPS":
        raise DataError("PostScript is a program, not pixels, and is not run; convert it to PNG first")
    return deep_colour(data, image) or image


def _is_signal_or_volume(data: bytes) -> bool:
    """Return whether a file begins as .wav, .nii or .nii.gz files do."""
    if data[:2] == b"\x1f\x8b":
        with suppress(zlib.error):
            data = zlib.decompressobj(wbits=31).decompress(data, _NIFTI_HEADER)
    return (data[:4], data[8:12]) == (b"RIFF", b"WAVE") or data[344:_NIFTI_HEADER] in (b"n+1\0", b"ni1\0")


def _upright(image: Image.Image) -> Image.Image:
    # The orientation is read after load(): PNG may store EXIF after the pixels, and load() itself turns TIFF upright.
    try:
        method = _UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # the pixels are usable even if the EXIF data are damaged
        return image
    return image if method is None else image.transpose(method)


def _plain(image: Image.Image) -> Image.Image:
    # Converts every 8-bit mode to L or RGB without alpha; leaves deep grey modes unchanged.
    if _is_deep(image):
        return image
    if image.has_transparency_data:
        if image.mode == "La":  # the only premultiplied mode without a direct conversion to RGBA
            image = image.convert("LA")
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def _unit_interval(image: Image.Image) -> NDArray[np.float32]:
    samples = np.asarray(image)
    low, high = samples.min(), samples.max()
    if image.mode == "F":
        if bad := not_finite(samples[None]):
            raise DataError(f"values must be finite, got {bad}")
        if not (low >= 0 and high <= 1):
            raise DataError(f"floating-point values {low:g} to {high:g} do not fit [0, 1]; rescale the file")
        return np.asarray(samples, dtype=np.float32)
    if low < 0 or high > 65535:
        raise DataError(f"integer values {low} to {high} do not fit 0 to 65535; rescale the file")
    unit: NDArray[np.float32] = np.divide(samples, 65535, dtype=np.float32)
    if isinstance(key := image.info.get("transparency"), int):
        unit[samples == key] = 1.0  # pixels of the transparent colour key of a 16-bit PNG become white
    return unit


def _resized(image: Image.Image, short_side: int) -> Image.Image:
    scale = short_side / min(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    if width * height > _max_pixels():
        raise DataError(f"would have {width} x {height} pixels after resizing; crop it, or choose a smaller resize")
    return image.resize((width, height), Image.Resampling.LANCZOS)


def _max_pixels() -> float:
    # Pillow's own limit against decompression bombs. MAX_IMAGE_PIXELS is None where the user has removed the limit.
    return float("inf") if Image.MAX_IMAGE_PIXELS is None else 2 * Image.MAX_IMAGE_PIXELS
