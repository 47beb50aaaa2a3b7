"""The images, or the data set with labels, that a result comes from."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ndtools.data.images.frames import Frames, warn_of_frames
from ndtools.data.images.sources import ImageSource, Skipped
from ndtools.errors import NumericalWarning
from ndtools.numerics.colour import units_in_words
from ndtools.text import counted
from ndtools.validation import Space

__all__ = ["DataUsed", "ImagesUsed", "images_used"]


@dataclass(frozen=True)
class ImagesUsed:
    """Images that a result comes from.

    Attributes
    ----------
    label : str
        Name of the image source, printable.
    read : int
        Number of images used.
    skipped : tuple of Skipped
        Images that were not used, each with the reason.
    frames : tuple of Frames
        Images of several frames, of which the first was used. Default: none.
    repeated : int
        Number of paths in a list that named an image again, which counts once. Default 0.
    noise : float or None
        Mean variance of the rounding of the files' pixels in [0, 1]; None, the default, if it is not known.
    calibrated : bool
        Whether the images are arrays whose values are taken as they are, and need not be in [0, 1]. Default False.
    """

    label: str
    read: int
    skipped: tuple[Skipped, ...] = ()
    frames: tuple[Frames, ...] = ()
    repeated: int = 0
    noise: float | None = None
    calibrated: bool = False

    def values_in_words(self, space: Space) -> str:
        """Return the unit of pixels in a colour space as captions have it, or of the values of arrays."""
        return "values as they are in the arrays" if self.calibrated else units_in_words(space)

    @property
    def counted(self) -> str:
        """Number of images used, as titles have it: "1 image", "25 images"."""
        return counted(self.read, "image")

    @property
    def total(self) -> int:
        """Number of all images of the source, used or skipped."""
        return self.read + len(self.skipped)

    def numbers(self) -> dict[str, Any]:
        """Return the content of the key "images" of .json files."""
        return {
            "read": self.read,
            "skipped": [{"path": s.name, "reason": s.reason} for s in self.skipped],
            "first_frame_only": [{"path": f.name, "frames": f.count} for f in self.frames],
            "repeated": self.repeated,
            "rounding_noise": self.noise,
            **({"values_as_they_are": True} if self.calibrated else {}),
        }

    @classmethod
    def from_numbers(cls, label: str, numbers: Mapping[str, Any]) -> "ImagesUsed":
        """Restore the value from its label and from what `numbers` returned."""
        return cls(
            label,
            numbers["read"],
            tuple(Skipped(s["path"], s["reason"]) for s in numbers["skipped"]),
            # Versions before this one did not record the last three.
            tuple(Frames(f["path"], f["frames"]) for f in numbers.get("first_frame_only", ())),
            numbers.get("repeated", 0),
            numbers.get("rounding_noise"),
            numbers.get("values_as_they_are", False),
        )


def images_used(
    source: ImageSource,
    read: int,
    skipped: Sequence[Skipped],
    frames: Sequence[Frames] = (),
    noise: float | None = None,
) -> ImagesUsed:
    """Describe the images of a source that were used, and warn of what a user may not expect of them.

    Parameters
    ----------
    source : ImageSource
        Source of the images.
    read : int
        Number of images that were used.
    skipped : sequence of Skipped
        Images that were not used.
    frames : sequence of Frames
        Images of several frames. Default: none.
    noise : float, optional
        Mean variance of the rounding of the files' pixels in [0, 1].

    Returns
    -------
    ImagesUsed
        The images used.

    Warns
    -----
    NumericalWarning
        If images have several frames, of which only the first is used; or if a list names images more than once.
    """
    warn_of_frames(frames, stacklevel=3)
    if source.repeated:
        warnings.warn(
            f"{source.label} names {counted(source.repeated, 'image')} again; each image counts once",
            NumericalWarning,
            stacklevel=3,
        )
    return ImagesUsed(source.label, read, tuple(skipped), tuple(frames), source.repeated, noise, source.calibrated)


@dataclass(frozen=True)
class DataUsed:
    """Data set with labels that a result comes from.

    Attributes
    ----------
    name : str
        Name of the data set.
    synthetic : bool
        Whether its images are made in code.
    location : str
        Folder of its files, or "built in".
    images, test_images : int
        Numbers of training and of test images.
    """

    name: str
    synthetic: bool
    location: str
    images: int
    test_images: int

    @property
    def label(self) -> str:
        """Name of the data set as titles have it, with a remark if it is synthetic."""
        return f"{self.name} (synthetic)" if self.synthetic else self.name

    def numbers(self) -> dict[str, Any]:
        """Return the keys "dataset" and "images" of .json files."""
        return {
            "dataset": {"name": self.name, "synthetic": self.synthetic, "location": self.location},
            "images": {"train": self.images, "test": self.test_images},
        }

    @classmethod
    def from_numbers(cls, numbers: Mapping[str, Any]) -> "DataUsed":
        """Restore the value from the numbers of a result, those of `numbers` among them."""
        return cls(**numbers["dataset"], images=numbers["images"]["train"], test_images=numbers["images"]["test"])
