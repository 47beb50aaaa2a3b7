"""Load the image of a source that holds exactly one."""

from dataclasses import replace

from ndtools.computing.memory import require_memory
from ndtools.data.images.decoding import decoding_memory, using_memory
from ndtools.data.images.folders import Skipped
from ndtools.data.images.frames import Frames, warn_of_frames
from ndtools.data.images.reading import Decoded, Encoded, read_images
from ndtools.data.images.sources import resolve_source
from ndtools.errors import DataError
from ndtools.validation import Space

__all__ = ["load_single"]


def load_single(source: str, *, gray: bool = False, space: Space = "srgb", working: int = 0) -> Decoded:
    """Load the only image of a source, if there is enough memory to work on it.

    Parameters
    ----------
    source : str
        Source of one image; see `resolve_source`.
    gray : bool
        Whether to return one channel (luma) instead of three. Default False.
    space : {"srgb", "linear", "xyz", "lms", "log-lms"}
        Colour space of the pixels; see `decode_image`. Default "srgb", as files have it.
    working : int
        Bytes that the caller's work takes for each pixel of an 8-bit image, including the decoded image. Default 0.

    Returns
    -------
    Decoded
        Name, pixels and number of frames of the image.

    Raises
    ------
    DataError
        The source does not exist or holds more than one image, the image cannot be read, or the work on it needs more
        memory than is free. The message contains the name of the image.

    Warns
    -----
    NumericalWarning
        The image has several frames, of which only the first is used.
    """
    images = resolve_source(source)
    if len(images) != 1:
        raise DataError(f"{images.label} holds {len(images)} images, where one is wanted; name a file")
    item: Encoded | Decoded | Skipped = next(read_images(replace(images, skipped=()), gray=gray, space=space))
    if isinstance(item, Encoded):
        image = item.open()
        if not isinstance(image, Skipped):
            needed = max(decoding_memory(image, space=space), using_memory(image, working, space=space))
            what = f"{item.name}: an image of {image.width} x {image.height} pixels"
            require_memory(needed, what, "crop it, or make it smaller")
        item = image if isinstance(image, Skipped) else item.decode()
    if isinstance(item, Skipped):
        raise DataError(f"{item.name}: {item.reason}")
    assert isinstance(item, Decoded)
    if item.frames > 1:
        warn_of_frames([Frames(item.name, item.frames)], stacklevel=3)
    return item
