"""Load the image of a source that holds exactly one."""

from ndtools.data.images.reading import Decoded, load_images
from ndtools.data.images.sources import resolve_source
from ndtools.errors import DataError

__all__ = ["load_single"]


def load_single(source: str, *, gray: bool = False, jobs: int | None = None) -> Decoded:
    """Load the only image of a source.

    Parameters
    ----------
    source : str
        Source of one image; see `resolve_source`.
    gray : bool
        Whether to reduce the image to luma. Default False.
    jobs : int, optional
        Number of decoding threads, at least 1. Default: the number of processors that this process may use.

    Returns
    -------
    Decoded
        Name and pixels of the image.

    Raises
    ------
    DataError
        If the source does not exist, does not hold exactly one image, or the image cannot be read.
    """
    images = resolve_source(source)
    if len(images) != 1:
        raise DataError(f"{images.label} holds {len(images)} images, where one is wanted; name a file")
    image = next(iter(load_images(images, gray=gray, jobs=jobs)))
    if not isinstance(image, Decoded):
        raise DataError(f"{image.name}: {image.reason}")
    return image
