"""Collect the images that files of arrays hold, all of as many channels and in one unit."""

import warnings
from collections.abc import Callable
from functools import partial

from ndtools.data.images.entries import Entry, ImageRef
from ndtools.data.images.folders import Skipped, is_image
from ndtools.data.images.layouts import ArrayLayout
from ndtools.data.images.stored import StoredImages, holds_arrays, is_array_file, stored_images
from ndtools.errors import DataError, NumericalWarning, OptionError
from ndtools.text import counted, printable

__all__ = ["ArrayCollector"]


class ArrayCollector:
    """Collects the images of files of arrays.

    Parameters
    ----------
    layout : ArrayLayout or None
        Names, axes and types of the arrays in files; None if no arrays are read.
    """

    def __init__(self, layout: ArrayLayout | None) -> None:
        self._layout = layout
        self._first: StoredImages | None = None  # which the others must fit

    def takes(self, path: str) -> bool:
        """Return whether a file is read as an array."""
        return self._layout is not None and holds_arrays(path, self._layout)

    @property
    def any(self) -> bool:
        """Whether an array was added."""
        return self._first is not None

    def wanted(self) -> list[Callable[[str], bool]]:
        """Return functions of a file name that say which files of a folder count; the next only if there are none."""
        if self._layout is None:
            return [is_image]
        arrays = partial(is_array_file, layout=self._layout)
        return [arrays] if self._layout.is_given else [is_image, arrays]

    def add(self, path: str, entries: list[Entry], skipped: list[Skipped]) -> None:
        """Add the images of a file to the entries, or the file with the reason to those that are skipped."""
        assert self._layout is not None
        name = printable(path)
        try:
            images = stored_images(path, self._layout)
            first = self._first or images
            if entries and self._first is None:
                raise DataError("an array among image files")
            if images.channels != first.channels:
                raise DataError(f"{counted(images.channels, 'channel')}, where the arrays before have {first.channels}")
            if images.calibrated != first.calibrated:
                raise DataError("uint8, which stands for [0, 1], and other types of numbers are not read together")
        except DataError as error:
            skipped.append(Skipped(name, str(error)))
            return
        if self._first is None and (hint := images.hint):
            warnings.warn(f"{name}: {hint}", NumericalWarning, stacklevel=2)
        self._first = first
        for i in range(images.count):
            numbered = name if images.count == 1 else f"{name}[{i}]"
            entries.append(ImageRef(numbered, partial(images.image, i)))

    def channels(self, label: str) -> tuple[str, ...]:
        """Return the names of the channels of arrays, or none if the images of a source are not arrays.

        Parameters
        ----------
        label : str
            Name of the source, printable.

        Returns
        -------
        tuple of str
            Names of the channels.

        Raises
        ------
        OptionError
            There are no arrays, but settings that say how arrays are read; or names for another number of channels.
        """
        if self._layout is None:
            return ()
        if self._first is not None:
            return self._layout.names(self._first.channels)
        for name in ("key", "axes", "raw", "channels"):
            if getattr(self._layout, name):
                raise OptionError(name, f"has no meaning for {label}, whose images are not arrays")
        return ()

    @property
    def calibrated(self) -> bool:
        """Whether values are taken as they are, and need not be in [0, 1]."""
        return self._first is not None and self._first.calibrated
