"""Find images that are sorted by class, in folders and in tar shards."""

import os
import re
import warnings
from glob import escape, glob
from typing import NamedTuple

import numpy as np

from ndtools.data.files import open_regular
from ndtools.data.images.archives import tar_members
from ndtools.data.images.folders import is_hidden, is_image
from ndtools.data.labelled.listing import SPLITS, FoundSplits, files_below, listed, visible_folders
from ndtools.data.labelled.samples import Files, Names, Places, Samples
from ndtools.errors import DataError, SkippedImageWarning
from ndtools.text import printable, reason

__all__ = ["find_classes"]

_OF_ONE_CLASS = re.compile(r"n\d{8}")  # names of ImageNet's tar files, each of one class
_LONGEST_CLASS = 1000  # bytes of the name of a class in a shard
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ")


class _Entry(NamedTuple):
    """An image of a shard: its name and class, where it is, and whether its class is a number of a .cls file."""

    name: str
    label: str
    shard: int
    offset: int
    size: int
    numbered: bool


class _Split(NamedTuple):
    """Files of a split, with the class of each as it is written; ``numbered`` if classes are numbers in shards.

    The paths of what lies beside them, and gives no image a class, are ``strays``.
    """

    files: Files
    labels: list[str]
    numbered: bool
    strays: tuple[str, ...] = ()


def find_classes(root: str, classes: tuple[str, ...] | int | None = None) -> FoundSplits:
    """Find images that are sorted by class.

    Parameters
    ----------
    root : str
        Folder with the splits as folders or tar shards, or with folders of classes.
    classes : tuple of str, or int, optional
        Names of the classes in the order of their labels, or their number. By default they follow from the files.

    Returns
    -------
    FoundSplits
        Splits that are there.

    Raises
    ------
    DataError
        The folder has no such layout, a shard is damaged, or a split has a class that the training images lack.
    """
    found = {split: _named_split(root, names) for split, names in SPLITS.items()}
    if found["train"] is None:
        if found["eval"] is not None or found["test"] is not None:
            raise DataError(
                f"{printable(root)} has images to evaluate on, but no folder train and no shards train-*.tar"
            )
        found["train"] = _split_in(root)
    train = found["train"]
    if train is None:
        raise DataError(
            f"no labelled images in {printable(root)}: it should have the folders train and val (of folders CLASS or"
            f" of tar shards), shards train-*.tar and val-*.tar, or folders CLASS of images{_hint(root)}"
        )
    there = [split for split in found.values() if split is not None]
    names = _classes(there, train, classes, root)
    index = {name: number for number, name in enumerate(names)}
    splits: dict[str, Samples | None] = {}
    for key, split in found.items():
        if split is None:
            splits[key] = None
            continue
        written = [str(int(label)) for label in split.labels] if split.numbered else split.labels
        numbers = {name: int(name) for name in set(written)} if split.numbered else index
        unknown = sorted(label for label in set(written) if not 0 <= numbers.get(label, -1) < len(names))
        if unknown:
            whose = "of `classes`" if classes is not None else "of the training images"
            raise DataError(
                f"{printable(split.files.root)} has classes that are none {whose}: {listed(unknown)}"
                f" (there are {len(names)})"
            )
        splits[key] = Samples(split.files, np.array([numbers[label] for label in written], np.int64))
    assert splits["train"] is not None
    _name_strays(root, [path for split in there for path in split.strays])
    return FoundSplits(splits["train"], splits["eval"], splits["test"], names)


def _classes(splits: list[_Split], train: _Split, classes: tuple[str, ...] | int | None, root: str) -> tuple[str, ...]:
    if isinstance(classes, tuple):
        return classes
    if train.numbered:
        highest = max(int(label) for split in splits if split.numbered for label in split.labels)
        return tuple(map(str, range(classes or highest + 1)))
    names = tuple(sorted(set(train.labels)))
    if classes is not None and len(names) != classes:
        raise DataError(f"{printable(root)} has {len(names)} classes, where {classes} should be")
    return names


def _name_strays(root: str, paths: list[str]) -> None:
    """Warn of files and folders beside the classes, which a user may take for part of the set."""
    if paths:
        names = listed(os.path.relpath(path, root) + "/" * os.path.isdir(path) for path in paths)
        number = "an entry" if len(paths) == 1 else f"{len(paths):,} entries"
        warnings.warn(
            f"left out {number} of {printable(root)} beside the classes, without images or without a class: {names}",
            SkippedImageWarning,
            stacklevel=3,
        )


def _hint(folder: str) -> str:
    """Return what to do with compressed shards in a folder; empty if there are none."""
    names = sorted(name for name in os.listdir(folder) if name.endswith((".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")))
    return f"; uncompress its shards first, such as {printable(names[0])}" if names else ""


def _named_split(root: str, names: tuple[str, ...]) -> _Split | None:
    for name in names:
        folder = os.path.join(root, name)
        if os.path.isdir(folder):
            split = _split_in(folder)
            if split is None and name != "test":  # the test images of ImageNet have no labels
                raise DataError(
                    f"{printable(folder)} has no folders of classes with images, and no tar shards{_hint(folder)}"
                )
            return split
        below = os.path.join(escape(root), name)
        if shards := sorted(glob(f"{below}-*.tar") + glob(f"{below}_*.tar") + glob(f"{below}.tar")):
            return _split_of_shards(root, shards, name)
    return None


def _split_in(folder: str) -> _Split | None:
    found = {label: files_below(os.path.join(folder, label)) for label in visible_folders(folder)}
    names = sorted(f"{label}/{name}" for label, files in found.items() for name in files)  # by the whole, as in shards
    if names:
        used = {label for label, files in found.items() if files}
        labels = [name.partition("/")[0] for name in names]
        return _Split(Files(folder, Names(names)), labels, False, _beside(folder, used))
    shards = sorted(glob(os.path.join(escape(folder), "*.tar")))
    if not shards:
        return None
    split = _split_of_shards(folder, shards, os.path.basename(folder))
    return split._replace(strays=_beside(folder, {os.path.basename(shard) for shard in shards}))


def _beside(folder: str, used: set[str]) -> tuple[str, ...]:
    """Return the paths of all that is in a folder, but for hidden files and the names that are used."""
    names = sorted(name for name in os.listdir(folder) if not name.startswith((".", "__")))
    return tuple(os.path.join(folder, name) for name in names if name not in used)


def _split_of_shards(root: str, shards: list[str], split: str) -> _Split:
    entries = [entry for number, shard in enumerate(shards) for entry in _entries(shard, number, split)]
    if not entries:
        raise DataError(f"no images in {listed(shards)}")
    if len({entry.name for entry in entries}) < len(entries):  # shards that count their keys from 0
        entries = [entry._replace(name=f"{os.path.basename(shards[entry.shard])}/{entry.name}") for entry in entries]
    entries.sort()
    names, labels, *numbers, numbered = zip(*entries, strict=True)
    shard, offset, size = (np.array(column, np.int64) for column in numbers)
    files = Files(root, Names(names), Places(tuple(shards), shard, offset, size))
    return _Split(files, list(labels), all(numbered))


def _entries(shard: str, number: int, split: str) -> list[_Entry]:
    """Return the images of a shard with their classes; only headers and the names of classes are read."""
    stem = os.path.basename(shard).removesuffix(".tar")
    only = stem if _OF_ONE_CLASS.fullmatch(stem) else None
    images: list[tuple[str, int, int]] = []
    labels: dict[str, str] = {}
    try:
        with open_regular(shard) as file:
            if file.read(8).startswith(_COMPRESSED):
                raise DataError("compressed, so its images cannot be read in any order; unpack it with gzip or xz")
            for _, member in tar_members(shard):
                name = member.name.removeprefix("./").removeprefix(f"{split}/")
                base = name.rpartition("/")[2]
                if is_hidden(base):
                    continue
                if member.problem is not None or member.offset is None:
                    if is_image(base):
                        why = member.problem or "no file that can be read in place"
                        warnings.warn(f"left out {printable(f'{shard}: {name}')}: {why}", SkippedImageWarning, 2)
                    continue
                if base.endswith(".cls"):
                    file.seek(member.offset)
                    labels[_key(name)] = file.read(min(member.size, _LONGEST_CLASS)).decode().strip()
                elif is_image(base):
                    images.append((name, member.offset, member.size))
    except (DataError, OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot use {printable(shard)}: {reason(error)}") from error
    entries = []
    for name, offset, size in images:
        folder = name.partition("/")[0] if "/" in name else None
        label = labels.get(_key(name), only or folder)
        if not label:
            raise DataError(
                f"{printable(shard)}: no class for {printable(name)}: there is no {printable(_key(name))}.cls, and it"
                " is in no folder of a class"
            )
        full = f"{only}/{name}" if only and folder is None else name
        counted = _key(name) in labels and label.isascii() and label.isdigit()
        entries.append(_Entry(full, label, number, offset, size, counted))
    return entries


def _key(name: str) -> str:
    """Return the part of a name that the files of one sample share: all before the first dot after the folders."""
    folder, slash, base = name.rpartition("/")
    return folder + slash + base.partition(".")[0]
