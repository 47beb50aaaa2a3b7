"""Find images with label maps: Cityscapes, CamVid, and any two folders whose names agree."""

import itertools
import os
import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ndtools.data.files import read_file
from ndtools.data.images.decoding import open_image
from ndtools.data.labelled.listing import SPLITS, FoundSplits, files_below, listed
from ndtools.data.labelled.samples import IGNORED, Files, Names, Samples, decode_label_map, label_values
from ndtools.errors import DataError, SkippedImageWarning
from ndtools.text import counted, printable

__all__ = [
    "CAMVID",
    "CITYSCAPES",
    "apparent_pairs",
    "find_camvid",
    "find_cityscapes",
    "find_pairs",
    "is_camvid",
    "is_cityscapes",
]

CAMVID = (
    "sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist",
)  # fmt: skip
"""Classes of CamVid, as it is prepared for segmentation; the number 11 stands for none."""

_IDS = {
    "road": 7, "sidewalk": 8, "building": 11, "wall": 12, "fence": 13, "pole": 17, "traffic light": 19,
    "traffic sign": 20, "vegetation": 21, "terrain": 22, "sky": 23, "person": 24, "rider": 25, "car": 26, "truck": 27,
    "bus": 28, "train": 31, "motorcycle": 32, "bicycle": 33,
}  # fmt: skip
CITYSCAPES = tuple(_IDS)
"""Classes of Cityscapes that are evaluated, in the order of their numbers for training."""

_ALL_IDS = 34  # of Cityscapes, with those that are not evaluated
_IMAGE = "_leftImg8bit"
_MOST_FOLDERS = 4  # among which images and label maps are looked for: a set of more folders is one of classes
_OPENED = 3  # label maps that are looked at, with their images
_MOST_NUMBERS = 64  # in a file that looks like a label map; a grey photograph has more


def is_cityscapes(root: str) -> bool:
    """Return whether a folder has the layout of Cityscapes."""
    return all(os.path.isdir(os.path.join(root, name)) for name in ("leftImg8bit", "gtFine"))


def is_camvid(root: str) -> bool:
    """Return whether a folder has the layout of CamVid: the folders train and trainannot."""
    return all(os.path.isdir(os.path.join(root, name)) for name in ("train", "trainannot"))


def find_cityscapes(root: str) -> FoundSplits:
    """Find the images of Cityscapes, with 19 classes. The test images are left out, as their labels are not public.

    Parameters
    ----------
    root : str
        Folder with the folders leftImg8bit and gtFine.

    Returns
    -------
    FoundSplits
        Training and validation images. Label maps with numbers for training are preferred to those with all classes.

    Raises
    ------
    DataError
        There are no training images, or an image has no label map.
    """
    values = np.full(256, -1, np.int16)
    values[:_ALL_IDS] = values[IGNORED] = IGNORED
    values[list(_IDS.values())] = np.arange(len(_IDS))
    train, validation = (_cityscapes_split(root, split, values) for split in ("train", "val"))
    if train is None:
        raise DataError(f"no images of the form train/CITY/NAME_leftImg8bit.png in {printable(root)}/leftImg8bit")
    return FoundSplits(train, validation, None, CITYSCAPES)


def _cityscapes_split(root: str, split: str, values: NDArray[np.int16]) -> Samples | None:
    folder = os.path.join(root, "leftImg8bit", split)
    if not os.path.isdir(folder):
        return None
    names = [name for name in files_below(folder) if os.path.splitext(name)[0].endswith(_IMAGE)]
    if not names:
        return None
    annotated = os.path.join(root, "gtFine", split)
    stems = [os.path.splitext(name)[0].removesuffix(_IMAGE) for name in names]
    present = set(files_below(annotated)) if os.path.isdir(annotated) else set()
    for ending, table in (("labelTrainIds", label_values(len(_IDS))), ("labelIds", values)):
        maps = [f"{stem}_gtFine_{ending}.png" for stem in stems]
        if ending == "labelIds" or present.issuperset(maps):
            absent = [name for name in maps if name not in present]
            _check_maps(absent, len(maps), annotated)
            return Samples(Files(folder, Names(names)), None, Files(annotated, Names(maps)), table)
    raise AssertionError("the last of the endings returns or raises")


def find_camvid(root: str) -> FoundSplits:
    """Find the images of CamVid, in the folders train, trainannot and such, with 11 classes.

    Parameters
    ----------
    root : str
        Folder with the folders of images and of label maps.

    Returns
    -------
    FoundSplits
        Training images, and validation and test images if they are there.

    Raises
    ------
    DataError
        There are no training images, or an image has no label map.
    """
    values = label_values(len(CAMVID), ignore=len(CAMVID))
    values[IGNORED] = IGNORED
    return _splits(root, lambda split: (os.path.join(root, split), os.path.join(root, f"{split}annot")), CAMVID, values)


def find_pairs(images: str, labels: str, classes: tuple[str, ...] | int | None, ignore: int) -> FoundSplits:
    """Find images and label maps in two folders; their names agree up to the extension.

    Parameters
    ----------
    images, labels : str
        Folders of images and of label maps. If the first has a folder train, both are divided into train, val and
        test.
    classes : tuple of str, or int, or None
        Names of the classes, or their number. If None, all label maps are read for the largest number.
    ignore : int
        Number of pixels that belong to no class.

    Returns
    -------
    FoundSplits
        Splits that are there; all images are training images if there are no splits.

    Raises
    ------
    DataError
        There are no training images, or an image has no label map.
    """
    for folder in (images, labels):
        if not os.path.isdir(folder):
            raise DataError(f"{printable(folder)} is not a folder; give one of images, and one of label maps")
    divided = os.path.isdir(os.path.join(images, "train"))
    others = [name for names in SPLITS.values() for name in names if os.path.isdir(os.path.join(images, name))]
    if others and not divided:  # these images would be trained on
        raise DataError(f"{printable(images)} has the folder {others[0]}, but no folder train")
    names = classes if isinstance(classes, tuple) else tuple(map(str, range(classes or 0)))

    def folders(split: str) -> tuple[str, str]:
        return (os.path.join(images, split), os.path.join(labels, split)) if divided else (images, labels)

    values = label_values(len(names), ignore)
    if divided:
        found = _splits(images, folders, names, values)
    else:
        train = _matched(images, labels, values)
        if train is None:
            raise DataError(f"no images in {printable(images)}")
        found = FoundSplits(train, None, None, names)
    return found if names else _scanned(found, ignore)


def apparent_pairs(samples: Samples) -> tuple[str, str] | None:
    """Return two folders of classes that look like images and their label maps, which have names in common.

    Parameters
    ----------
    samples : Samples
        Images of a split, sorted by class.

    Returns
    -------
    tuple of str, or None
        Names of the folders of images and of label maps: each image has a label map with its name up to the
        extension, and the first label maps have the sizes of their images, and hold few different grey levels or
        indices, where the images have colours. None if there are no such folders.
    """
    folders: dict[str, dict[str, str]] = {}
    if samples.files.places is not None:
        return None
    for name in samples.names:
        folder, _, below = name.partition("/")
        folders.setdefault(folder, {})[os.path.splitext(below)[0]] = name
        if len(folders) > _MOST_FOLDERS:
            return None
    for images, maps in itertools.permutations(folders, 2):
        stems = sorted(folders[images])
        if folders[maps].keys() >= folders[images].keys() and all(
            _looks_like_pair(*(os.path.join(samples.files.root, folders[each][stem]) for each in (images, maps)))
            for stem in stems[:_OPENED]
        ):
            return images, maps
    return None


def _looks_like_pair(image: str, label_map: str) -> bool:
    """Return whether the first of two files is an image, and the second may be its label map."""
    try:
        numbers = decode_label_map(read_file(label_map))
        picture = open_image(read_file(image))
    except DataError:
        return False
    if (picture.height, picture.width) != numbers.shape or len(np.unique(numbers)) > _MOST_NUMBERS:
        return False
    try:
        decode_label_map(read_file(image))
    except DataError:  # it has colours, or is a JPEG
        return True
    return False


def _splits(
    root: str, folders: Callable[[str], tuple[str, str]], classes: tuple[str, ...], values: NDArray[np.int16]
) -> FoundSplits:
    found: dict[str, Samples | None] = {}
    for key, names in SPLITS.items():
        there = next((name for name in names if all(map(os.path.isdir, folders(name)))), None)
        found[key] = _matched(*folders(there), values) if there is not None else None
        lone = next((name for name in names if os.path.isdir(folders(name)[0])), None)
        if there is None and lone is not None and (files := files_below(folders(lone)[0])):
            absent = f"there is no folder {printable(folders(lone)[1])} with their label maps"
            if key != "test":
                raise DataError(f"{printable(folders(lone)[0])} has {counted(len(files), 'image')}, but {absent}")
            images = f"the {counted(len(files), 'image')} of {printable(folders(lone)[0])}"
            warnings.warn(f"left out {images}: {absent}", SkippedImageWarning, stacklevel=2)
    train = found["train"]
    if train is None:
        raise DataError(f"no training images with label maps in {printable(root)}")
    return FoundSplits(train, found["eval"], found["test"], classes)


def _matched(images: str, labels: str, values: NDArray[np.int16]) -> Samples | None:
    names = files_below(images)
    if not names:
        return None
    maps = {os.path.splitext(name)[0]: name for name in files_below(labels)}
    stems = [os.path.splitext(name)[0] for name in names]
    _check_maps([name for name, stem in zip(names, stems, strict=True) if stem not in maps], len(names), labels)
    return Samples(Files(images, Names(names)), None, Files(labels, Names(maps[stem] for stem in stems)), values)


def _check_maps(absent: list[str], total: int, folder: str) -> None:
    if absent:
        raise DataError(
            f"{printable(folder)} has no label map for {len(absent)} of {total} images: {listed(absent)}; add the label"
            " maps, or move these images elsewhere"
        )


def _scanned(found: FoundSplits, ignore: int) -> FoundSplits:
    """Return the splits with as many classes as the label maps of all of them show."""
    highest, damaged = -1, ""
    splits = [found.train, found.eval, found.test]
    for maps in (split.maps for split in splits if split is not None):
        assert maps is not None
        for name in maps.names:
            path = os.path.join(maps.root, name)
            try:
                present = np.unique(decode_label_map(read_file(path)))
            except DataError as error:  # which is named when the image is used
                damaged = damaged or f"; {printable(name)}: {error}"
                continue
            present = present[present != ignore]
            if len(present) and int(present[-1]) > 254:
                raise DataError(
                    f"{printable(path)} holds the number {int(present[-1])}, where classes are 0 to 254; `ignore` may"
                    " name one that stands for no class"
                )
            highest = max(highest, int(present[-1]) if len(present) else -1)
    if highest < 0:
        root = printable(found.train.maps.root if found.train.maps else "")
        raise DataError(f"no label map in {root} has a class{damaged}")
    values = label_values(highest + 1, ignore)
    train, validation, test = (split and Samples(split.files, None, split.maps, values) for split in splits)
    assert train is not None
    return FoundSplits(train, validation, test, tuple(map(str, range(highest + 1))))
