"""Loading of labelled image sets: known sets by name, other sets from a folder with files in the same layouts."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ndtools.data.labelled.catalogue import BUILT_IN, KNOWN, KnownSet, known_set
from ndtools.data.labelled.cifar import read_binary, read_names, read_pickle
from ndtools.data.labelled.dataset import Dataset, Split
from ndtools.data.labelled.glyphs import glyphs
from ndtools.data.labelled.idx import read_idx
from ndtools.data.labelled.locations import Found, fetch_command, find_in, locate, true_owner
from ndtools.errors import DataError
from ndtools.text import printable

__all__ = ["load_dataset"]


@dataclass(frozen=True, eq=False)
class _Content:
    """Content of the files of a data set.

    Attributes
    ----------
    train, test : Split
        The training and the test images with their labels.
    names : tuple of str or None
        Names of the classes; None if no file contains them.
    md5 : mapping of str to str
        MD5 checksum of the uncompressed content for each file name of the layout.
    """

    train: Split
    test: Split
    names: tuple[str, ...] | None
    md5: Mapping[str, str]


def load_dataset(source: str = BUILT_IN, *, data_dir: str | Path | None = None) -> Dataset:
    """Load a labelled image set.

    Parameters
    ----------
    source : str
        Name of a known set (``fashion-mnist``, ``mnist``, ``cifar10``, ``cifar100``, or ``glyphs``, which is built
        in and the default), or a folder that holds the files of a set: IDX files like those of MNIST, or batches in
        the binary or the pickled layout of CIFAR. An existing path takes precedence over a name.
    data_dir : str or Path, optional
        Folder in which a known set is looked for first, both in its subfolder of that name and directly.
        ``$NDTOOLS_DATA`` and the user's cache come next. Nothing is downloaded.

    Returns
    -------
    Dataset
        The training and test images with their labels.

    Raises
    ------
    DataError
        There is no such name or folder, the files of the set are not found, or a file is unusable: it is damaged,
        has another format, has a label out of range, or, for a known set, has the wrong checksum. A folder counts as
        a known set if it has the name of that set, or if a file of images in it is a file of that set.
    """
    if os.path.lexists(source):
        found = find_in(source)
        names = (os.path.basename(os.path.abspath(folder)) for folder in (source, found.folder))
        named = (KNOWN[name] for name in names if name in KNOWN and found.layout in KNOWN[name].layouts)
        return _load(found, next(named, None))
    known = known_set(source)
    if known.name == BUILT_IN:
        return glyphs()
    return _load(locate(known, data_dir), known)


def _load(found: Found, known: KnownSet | None) -> Dataset:
    try:
        content = _read_idx_set(found) if found.layout.kind == "idx" else _read_cifar_set(found)
        if content.train.images.shape[1:] != content.test.images.shape[1:]:
            sizes = (_size(split.images) for split in (content.train, content.test))
            raise DataError(
                f"{printable(found.files[found.layout.test[0]])}: its images do not have the size of the training"
                f" images ({' and '.join(sizes)})"
            )
    except DataError as error:
        if known is None:
            raise
        raise DataError(f"{error}; {_remedy(found, known, true_owner(found, known))}") from None
    known = known or _recognised(found, content.md5)
    if known is None:
        classes = content.names or _numbered(content, found)
        name = printable(os.path.basename(os.path.abspath(found.folder)))
    else:
        _check_md5(found, content.md5, known)
        classes = content.names or known.classes or tuple(map(str, range(known.n_classes)))
        name = known.name
    return Dataset(name, content.train, content.test, classes, False, printable(found.folder))


def _read_idx_set(found: Found) -> _Content:
    md5: dict[str, str] = {}
    splits = []
    for images_name, labels_name in (found.layout.train, found.layout.test):
        images, md5[images_name] = read_idx(found.files[images_name], 3)
        labels, md5[labels_name] = read_idx(found.files[labels_name], 1)
        if len(images) != len(labels):
            raise DataError(
                f"{printable(found.files[labels_name])} holds {len(labels):,} labels, but"
                f" {found.files[images_name].name} holds {len(images):,} images"
            )
        splits.append(Split(images.unsqueeze(1), labels.long()))
    return _Content(splits[0], splits[1], None, md5)


def _read_cifar_set(found: Found) -> _Content:
    layout = found.layout
    n_classes = layout.n_classes or 0
    md5: dict[str, str] = {}
    splits = []
    for names in (layout.train, layout.test):
        parts = []
        for name in names:
            path = found.files[name]
            pickled = layout.kind == "cifar-pickle"
            batch = read_pickle(path, n_classes) if pickled else read_binary(path, n_classes, layout.label_bytes)
            images, labels, md5[name] = batch
            parts.append((images, labels))
        splits.append(Split(torch.cat([images for images, _ in parts]), torch.cat([labels for _, labels in parts])))
    classes = None
    if layout.names in found.files:
        classes, md5[layout.names] = read_names(found.files[layout.names], n_classes)
    return _Content(splits[0], splits[1], classes, md5)


def _recognised(found: Found, md5: Mapping[str, str]) -> KnownSet | None:
    # Only the images decide, since altered versions of a set often keep its labels.
    pictures = [name for name in (*found.layout.train, *found.layout.test) if "labels" not in name]
    for known in KNOWN.values():
        if any(known.md5.get(name) == md5[name] for name in pictures):
            return known
    return None


def _check_md5(found: Found, md5: Mapping[str, str], known: KnownSet) -> None:
    for name, is_ in md5.items():
        wanted = known.md5.get(name)
        if wanted is not None and is_ != wanted:
            other = next((other for other in KNOWN.values() if other.md5.get(name) == is_), None)
            whose = f" (it is the file of {other.name})" if other else ""
            raise DataError(
                f"{printable(found.files[name])} is not the file of {known.name}{whose}: MD5 of its content is {is_},"
                f" not {wanted}; {_remedy(found, known, other)}"
            )


def _remedy(found: Found, known: KnownSet, other: KnownSet | None) -> str:
    command = fetch_command(known, found.root)
    if other is not None:
        return f"move the files of {other.name} to a folder of their own, and fetch {known.name} with '{command}'"
    return (
        f"delete it and fetch it again with '{command}', or, if this is another data set, give its folder another name"
    )


def _numbered(content: _Content, found: Found) -> tuple[str, ...]:
    layout = found.layout
    if layout.n_classes is not None:
        return tuple(map(str, range(layout.n_classes)))
    # Only the training labels show how many classes there are.
    labels = content.train.labels
    highest, present = int(labels.max()), int((torch.bincount(labels) > 0).sum())
    if highest >= max(2 * present, 10):
        raise DataError(
            f"{printable(found.files[layout.train[1]])}: label {highest} of image {int(labels.argmax())} is out of"
            f" range: there are only {present} different labels"
        )
    test = content.test.labels
    if int(test.max()) > highest:
        raise DataError(
            f"{printable(found.files[layout.test[1]])}: label {int(test.max())} of image {int(test.argmax())} is out"
            f" of range: the largest training label is {highest}"
        )
    return tuple(map(str, range(highest + 1)))


def _size(images: Tensor) -> str:
    return "×".join(map(str, images.shape[1:]))
