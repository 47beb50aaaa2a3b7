"""Labelled images that stay in their files: lists that are small in memory, and images read one at a time."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import overload

import numpy as np
import torch
from numpy.typing import NDArray
from PIL.Image import Image
from torch import Tensor

from ndtools.computing.memory import require_memory
from ndtools.data.files import open_regular, read_file
from ndtools.data.images.decoding import decode_image, decoding_memory, open_image, pillow_errors
from ndtools.data.images.planes import Planes
from ndtools.errors import DataError
from ndtools.text import printable, reason

__all__ = ["IGNORED", "Files", "Names", "Places", "Samples", "decode_label_map", "label_values"]

IGNORED = 255
"""Label of pixels that belong to no class."""

_LOSSY = ("JPEG", "MPO", "WEBP", "AVIF", "JPEG2000")
_WHOLE_NUMBERS = ("1", "L", "P", "I", "I;16", "I;16B", "I;16L", "I;16N")


class Names(Sequence[str]):
    """A list of names in one piece of memory.

    A million strings take 100 MB, which each process that reads images would copy little by little, as Python counts
    the references to each of them.

    Parameters
    ----------
    names : iterable of str
        Names in their order.
    """

    def __init__(self, names: Iterable[str]) -> None:
        encoded = [os.fsencode(name) for name in names]
        self._text = b"".join(encoded)
        self._ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> "Names": ...
    def __getitem__(self, index: int | slice) -> "str | Names":
        if isinstance(index, slice):
            return Names(self[i] for i in range(*index.indices(len(self))))
        place = range(len(self))[index]
        return os.fsdecode(self._text[self._ends[place] : self._ends[place + 1]])

    def __iter__(self) -> Iterator[str]:
        return map(self.__getitem__, range(len(self)))


@dataclass(frozen=True, eq=False)
class Places:
    """Places of files inside tar archives.

    Attributes
    ----------
    shards : tuple of str
        Paths of the archives.
    shard : int64 array of shape (n,)
        Number of the archive that each file is in.
    offset, size : int64 array of shape (n,)
        First byte of each file in its archive, and the number of its bytes.
    """

    shards: tuple[str, ...]
    shard: NDArray[np.int64]
    offset: NDArray[np.int64]
    size: NDArray[np.int64]

    def read(self, index: int) -> bytes:
        """Return the content of a file.

        Parameters
        ----------
        index : int
            Number of the file.

        Returns
        -------
        bytes
            Whole content of the file.

        Raises
        ------
        DataError
            The archive cannot be read, or ends before the file does.
        """
        size = int(self.size[index])
        shard = self.shards[self.shard[index]]
        try:
            with open_regular(shard) as file:
                file.seek(int(self.offset[index]))
                content = file.read(size)
        except (DataError, OSError) as error:
            raise DataError(f"cannot be read from {printable(shard)}: {reason(error)}") from error
        if len(content) < size:
            raise DataError(f"{printable(shard)} ends before it does")
        return content


@dataclass(frozen=True, eq=False)
class Files:
    """Files of a folder or of tar archives, in the order of their list.

    Attributes
    ----------
    root : str
        Folder that the names of files begin in; for archives, the folder that these are in.
    names : Names
        Paths below the root, or names inside the archives.
    places : Places or None
        Places inside the archives; None if each file stands alone.
    """

    root: str
    names: Names
    places: Places | None = None

    def __len__(self) -> int:
        return len(self.names)

    def read(self, index: int) -> bytes:
        """Return the content of a file; a `DataError` says only why it cannot be read."""
        if self.places is not None:
            return self.places.read(index)
        return read_file(os.path.join(self.root, self.names[index]))

    def path(self, index: int) -> str:
        """Return the path of a file, or its archive and its name in there, printable."""
        if self.places is not None:
            return printable(f"{self.places.shards[self.places.shard[index]]}: {self.names[index]}")
        return printable(os.path.join(self.root, self.names[index]))

    def sizes(self) -> NDArray[np.int64]:
        """Return the number of bytes of each file, without opening any; -1 for files that are no longer there."""
        if self.places is not None:
            return self.places.size
        sizes = np.full(len(self), -1, np.int64)
        for i, name in enumerate(self.names):
            with suppress(OSError):
                sizes[i] = os.stat(f"{self.root}{os.sep}{name}").st_size
        return sizes

    def subset(self, index: NDArray[np.int64]) -> "Files":
        """Return some of the files, in the order of an array of their numbers."""
        places = self.places and Places(
            self.places.shards, self.places.shard[index], self.places.offset[index], self.places.size[index]
        )
        return Files(self.root, Names(self.names[i] for i in index.tolist()), places)


@dataclass(frozen=True, eq=False)
class Samples:
    """Images of a split, each with the number of its class or with a map of labels. They are read when asked for.

    Attributes
    ----------
    files : Files
        Files of the images.
    labels : int64 array of shape (n,), or None
        Class of each image; None if images have label maps.
    maps : Files or None
        Files of the label maps, in the order of the images.
    values : int16 array of shape (256,), or None
        Label that each number in a label map stands for: a class, 255 for pixels that are ignored, or -1 for numbers
        that should not occur.
    """

    files: Files
    labels: NDArray[np.int64] | None
    maps: Files | None = None
    values: NDArray[np.int16] | None = None

    def __len__(self) -> int:
        return len(self.files)

    @property
    def names(self) -> Names:
        """Names of the images, as below their folder."""
        return self.files.names

    def read(self, index: int) -> tuple[Tensor, int | Tensor]:
        """Read an image with its label.

        Parameters
        ----------
        index : int
            Number of the image in the list.

        Returns
        -------
        image : uint8 Tensor of shape (3, H, W)
            Pixels, with the colours of a pixel beside each other in memory.
        label : int, or uint8 Tensor of shape (H, W)
            Class of the image, or that of each pixel, where 255 stands for none.

        Raises
        ------
        DataError
            Image or label map cannot be used. The message is only the reason; the caller adds the name.
        """
        image = _pixels(self.files.read(index), upright=self.maps is None)
        if self.maps is None:
            assert self.labels is not None
            return image, int(self.labels[index])
        try:
            labels = self._labels(decode_label_map(self.maps.read(index)))
        except DataError as error:
            raise DataError(f"its label map {printable(self.maps.names[index])}: {error}") from None
        if labels.shape != image.shape[1:]:
            sizes = [f"{width} x {height}" for height, width in (labels.shape, image.shape[1:])]
            name = printable(self.maps.names[index])
            raise DataError(f"its label map {name} has {sizes[0]} pixels, but the image {sizes[1]}")
        return image, labels

    def subset(self, index: Iterable[int] | NDArray[np.int64]) -> "Samples":
        """Return some of the images, in the order of their numbers."""
        chosen = np.fromiter(index, np.int64)
        return replace(
            self,
            files=self.files.subset(chosen),
            labels=None if self.labels is None else self.labels[chosen],
            maps=self.maps and self.maps.subset(chosen),
        )

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the names of all images in their order, with their classes or the names of their label maps."""
        digest = hashlib.sha256()
        for files in (self.files, self.maps):
            for name in files.names if files is not None else ():
                digest.update(os.fsencode(name) + b"\0")
            digest.update(b"\0")
        for numbers in (self.labels, self.values):
            if numbers is not None:
                digest.update(numbers.astype("<i8").tobytes())
        return digest.hexdigest()

    @cached_property
    def sizes(self) -> str:
        """SHA-256 of the numbers of bytes of all images in their order, and of their label maps."""
        digest = hashlib.sha256()
        for files in (self.files, self.maps):
            if files is not None:
                digest.update(files.sizes().astype("<i8").tobytes())
        return digest.hexdigest()

    def _labels(self, numbers: NDArray[np.generic]) -> Tensor:
        assert self.values is not None
        if numbers.dtype != np.uint8:
            least, most = int(numbers.min()), int(numbers.max())
            if least < 0 or most >= len(self.values):
                raise DataError(f"holds the number {least if least < 0 else most}, which stands for no class")
        labels = self.values[numbers]
        if labels.min() < 0:
            raise DataError(f"holds the number {int(numbers[labels < 0][0])}, which stands for no class")
        return torch.from_numpy(labels.astype(np.uint8))


def label_values(classes: int, ignore: int = IGNORED) -> NDArray[np.int16]:
    """Return the label of each number in a label map whose numbers are those of the classes.

    Parameters
    ----------
    classes : int
        Number of classes.
    ignore : int
        Number of pixels that belong to no class. Default 255.

    Returns
    -------
    int16 array of shape (256,)
        The number itself for classes, 255 for `ignore`, and -1 for others.
    """
    values = np.full(256, -1, np.int16)
    values[:classes] = np.arange(classes)
    values[ignore] = IGNORED
    return values


def decode_label_map(content: bytes) -> NDArray[np.generic]:
    """Decode the file of a label map, whose grey levels or palette indices are numbers of classes.

    Parameters
    ----------
    content : bytes
        Content of the file.

    Returns
    -------
    array of shape (H, W)
        Whole numbers, as the file holds them.

    Raises
    ------
    DataError
        The file is no image, is damaged, or holds colours. The message is only the reason; the caller adds the name.
    """
    image = open_image(content)
    if isinstance(image, Planes) or image.mode not in _WHOLE_NUMBERS:
        raise DataError("has colours, where each pixel should hold the number of a class as a grey level or index")
    if image.format in _LOSSY:
        raise DataError(f"is in the format {image.format}, which alters numbers; label maps have to be PNG files")
    require_memory(decoding_memory(image), f"decoding its {image.width} x {image.height} pixels")
    levels = _most_level(image)
    with pillow_errors():
        image.load()
        if 0 in image.size:
            raise DataError("has no pixels")
    numbers: NDArray[np.generic] = np.asarray(image)
    if levels is not None:
        white = 255 if numbers.dtype == np.uint8 else 65535
        return ((numbers.astype(np.int64) * levels + white // 2) // white).astype(np.int32)
    return numbers.astype(np.uint8) if numbers.dtype == np.bool_ else numbers


def _most_level(image: Image) -> int | None:
    """Return the largest grey level that the file of an image may hold, if Pillow scales that to white; else None."""
    # It does so for levels of two and of four bits, in PNG and TIFF files, and for the maximum that PGM files state.
    for codec, _, _, args in getattr(image, "tile", ()):
        mode, *others = args if isinstance(args, tuple) else (args,)
        if codec in ("ppm", "ppm_plain") and others:
            return int(others[0])
        if mode in ("L;2", "L;2R", "L;4", "L;4R"):
            return 3 if "2" in mode else 15
    return None


def _pixels(content: bytes, *, upright: bool) -> Tensor:
    pixels = decode_image(content, upright=upright)
    if len(pixels) != 3:
        raise DataError(f"has {len(pixels)} channels, where photographs have one or three")
    if pixels.dtype != np.uint8:
        pixels = np.rint(np.clip(pixels, 0, 1) * 255)
    # The colours of a pixel lie side by side: Pillow decodes them so, and torch resizes such images fastest.
    return torch.from_numpy(np.array(pixels.transpose(1, 2, 0), dtype=np.uint8, order="C")).permute(2, 0, 1)
