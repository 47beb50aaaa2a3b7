"""Images of several frames or pages, of which only the first is used."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from ndtools.errors import NumericalWarning
from ndtools.text import counted

__all__ = ["Frames", "warn_of_frames"]

_NAMED = 3  # images that a warning names


@dataclass(frozen=True)
class Frames:
    """An image of several frames or pages, of which only the first is used.

    Parameters
    ----------
    name : str
        Printable name of the image.
    count : int
        Number of its frames, at least 2.
    """

    name: str
    count: int


def warn_of_frames(images: Sequence[Frames], *, stacklevel: int = 2) -> None:
    """Warn that only the first frame of some images is used.

    Parameters
    ----------
    images : sequence of Frames
        Images of several frames; no warning is given if there are none.
    stacklevel : int
        Position of the line that the warning points to, as for `warnings.warn`. Default 2: the caller.

    Warns
    -----
    NumericalWarning
        The message counts the images, and names up to three of them with their numbers of frames.
    """
    if not images:
        return
    names = ", ".join(f"{image.name} ({image.count} frames)" for image in images[:_NAMED])
    more = f" and {len(images) - _NAMED} more" if len(images) > _NAMED else ""
    have = "has" if len(images) == 1 else "have"
    tiff = any(image.name.lower().endswith((".tif", ".tiff")) for image in images)
    hint = "; `axes`, as in CHW, reads all pages of a TIFF file as channels" if tiff else ""
    warnings.warn(
        f"{counted(len(images), 'image')} {have} several frames, of which only the first is used: {names}{more}{hint}",
        NumericalWarning,
        stacklevel=stacklevel + 1,
    )
