"""Where the data of the paper are on this machine, by name, and how to get those that are not."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from ndtools.data.images.sources import BUILT_IN_SOURCES, resolve_source
from ndtools.data.labelled.catalogue import KNOWN
from ndtools.data.labelled.locations import fetch_command, find, roots
from ndtools.errors import DataError, OptionError
from ndtools.reproduction.kinds import STREAMED
from ndtools.text import printable

__all__ = ["IMAGE", "PHOTOGRAPHS", "Place", "Places"]

PHOTOGRAPHS, IMAGE = "imagenet_sample", "lenna"
"""Names of the data that are no labelled sets: photographs of ImageNet, and the photograph of fig. 7."""

_FOLDERS = ("imagenet_sample", "imagenet-sample", "imagenet")
_FILES = tuple(f"{name}{suffix}" for name in ("lenna", "lena", "Lenna", "Lena") for suffix in (".png", ".tiff", ".jpg"))
_PORTRAITS = ("lenna", "lena")


@dataclass(frozen=True)
class Place:
    """Data of the paper, on this machine or not.

    Attributes
    ----------
    name : str
        Name of the data, such as "cifar10".
    path : str or None
        Folder or file that holds them; None if they were not found.
    original : bool
        Whether these are the data that the paper names, and not others in their place.
    remedy : str
        Words that say how to get them, to be followed by a colon and a command with ``option``.
    option : str
        Argument of a further call that names them: "data_dir", "photographs" or "image".
    """

    name: str
    path: str | None
    original: bool
    remedy: str
    option: str

    @property
    def metavar(self) -> str:
        """Word that stands for the value of the option in a command line."""
        return "FILE" if self.option == "image" else "FOLDER"


@dataclass(frozen=True)
class Places:
    """All data that items need, by name: photographs, one image, and labelled sets.

    Photographs and the image that are not given are looked for, by their usual names, in the folders of data sets.

    Attributes
    ----------
    data_dir : str, optional
        Folder of data sets that is searched before ``$NDTOOLS_DATA`` and the user's cache.
    photographs : str, optional
        Source of photographs, as :func:`ndtools.data.images.sources.resolve_source` has it.
    image : str, optional
        File of one photograph, or the name of a built-in one, "sample-photo".
    """

    data_dir: str | None = None
    photographs: str | None = None
    image: str | None = None
    _found: dict[str, Place] = field(default_factory=dict, repr=False, compare=False)

    def __getitem__(self, name: str) -> Place:
        """Return the place of the data of that name; DataError if a place that was given holds none."""
        if name not in self._found:
            self._found[name] = self._find(name)
        return self._found[name]

    def missing(self, names: Sequence[str]) -> list[Place]:
        """Return the places of those data that are not here."""
        return [place for place in map(self.__getitem__, names) if place.path is None]

    @cached_property
    def count(self) -> int:
        """Number of photographs; 0 if there are none."""
        path = self[PHOTOGRAPHS].path
        return 0 if path is None else len(resolve_source(path))

    def _find(self, name: str) -> Place:
        if name == PHOTOGRAPHS:
            return self._photographs()
        if name == IMAGE:
            return self._image()
        known = KNOWN.get(name)
        if known is None:
            remedy = (
                f"put {name}, which ndtools cannot download, into a folder of this name in a folder of data sets, and"
                " name that"
            )
            return Place(name, self._beside(STREAMED[name].folders, folder=True), True, remedy, "data_dir")
        found = find(known, self.data_dir)
        remedy = f"fetch {name} with: {fetch_command(known, self.data_dir)}; or name the folder that has it"
        return Place(name, None if found is None else str(found.folder), True, remedy, "data_dir")

    def _photographs(self) -> Place:
        remedy = "name a folder of photographs, best some hundreds of ImageNet (https://image-net.org)"
        path = self.photographs or self._beside(_FOLDERS, folder=True)
        if path is not None:
            resolve_source(path)  # an error that names the remedy if there are no images
            if not os.path.exists(path) and path not in BUILT_IN_SOURCES:  # its content decides what is done again
                raise OptionError("photographs", f"must be a folder or an archive, got '{printable(path)}'")
        name = os.path.basename(os.path.abspath(path or ""))
        return Place(PHOTOGRAPHS, path, "imagenet" in name.lower(), remedy, "photographs")

    def _image(self) -> Place:
        remedy = "name the file of the photograph Lenna, which is not free and does not come with ndtools"
        if self.image not in (None, "sample-photo") and not os.path.isfile(self.image or ""):
            name = printable(self.image)
            if os.path.isdir(self.image or ""):
                raise DataError(f"'{name}' is a folder, and `image` takes a file; `photographs` takes a folder")
            raise DataError(f"no such file: '{name}' (`image`)")
        path = self.image or self._beside(_FILES, folder=False)
        return Place(IMAGE, path, path is not None and Path(path).stem.lower() in _PORTRAITS, remedy, "image")

    def _beside(self, names: Sequence[str], *, folder: bool) -> str | None:
        exists = os.path.isdir if folder else os.path.isfile
        paths = (str(root / name) for root in roots(self.data_dir) for name in names)
        return next(filter(exists, paths), None)
