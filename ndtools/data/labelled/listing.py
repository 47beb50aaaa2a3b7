"""List the files of a labelled set: what its finders share."""

import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass

from ndtools.data.images.folders import walk
from ndtools.data.labelled.samples import Samples
from ndtools.errors import SkippedImageWarning
from ndtools.text import printable

__all__ = ["SPLITS", "FoundSplits", "files_below", "listed", "visible_folders"]

SPLITS = {"train": ("train",), "eval": ("val", "valid", "validation"), "test": ("test",)}
"""Names that folders and shards of each split have."""


@dataclass(frozen=True, eq=False)
class FoundSplits:
    """Splits of a set, as a finder found them.

    Attributes
    ----------
    train : Samples
        The training images.
    eval, test : Samples or None
        The validation and test images, if there are any.
    classes : tuple of str
        Names of the classes, indexed by label.
    """

    train: Samples
    eval: Samples | None
    test: Samples | None
    classes: tuple[str, ...]


def files_below(root: str) -> list[str]:
    """Return the image files below a folder, sorted, as paths that begin there.

    Files that cannot be read, such as broken links, are left out with a `SkippedImageWarning`.

    Parameters
    ----------
    root : str
        Path of the folder.

    Returns
    -------
    list of str
        Paths below the folder, with "/" between their parts.
    """
    found = []
    for _, files, skipped in walk(root, set()):
        found += [os.path.relpath(file, root).replace(os.sep, "/") for file in files]
        for entry in skipped:
            warnings.warn(f"left out {entry.name}: {entry.reason}", SkippedImageWarning, stacklevel=2)
    return sorted(found)


def visible_folders(root: str) -> list[str]:
    """Return the names of the folders in a folder, sorted, without hidden ones."""
    with os.scandir(root) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith((".", "__")))


def listed(names: Iterable[str], most: int = 3) -> str:
    """Return the first of some names for a message, and how many there are beside."""
    every = [printable(name) for name in names]
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more
