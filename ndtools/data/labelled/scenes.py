"""The built-in set with label maps: coloured shapes that overlap on a textured ground, made when they are asked for."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ndtools.data.labelled.streamed import StreamedSet

__all__ = ["CLASSES", "SCENES", "Scenes", "scenes"]

SCENES = "scenes"
"""Name of the set."""
CLASSES = ("ground", "disc", "square", "triangle", "ring")
_SIDE = 96  # pixels
_SHAPES = (3, 6)  # of an image, at least and at most
_RADII = (10.0, 22.0)  # of the circles around shapes, pixels
_CONTRAST = 0.25  # least distance of a shape's colour from that of the ground
_NOISE = 0.04  # standard deviation of the noise, for pixels in 0..1
_SPLITS = {"train": 400, "val": 100, "test": 100}


@dataclass(frozen=True)
class Scenes:
    """Images of a split with their label maps. Each follows from the name of the split and its number alone.

    Attributes
    ----------
    split : {"train", "val", "test"}
        Name of the split.
    numbers : tuple of int
        Numbers of the images.
    """

    split: str
    numbers: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the images."""
        return tuple(f"{self.split}/{number}" for number in self.numbers)

    @property
    def labels(self) -> None:
        """Classes of the images, which they do not have: each has a map of labels."""

    @property
    def fingerprint(self) -> str:
        """Text that differs where the images differ."""
        return f"{SCENES} 1, {self.split}: {','.join(map(str, self.numbers))}"

    @property
    def sizes(self) -> str:
        """Text that would differ where the sizes of files differ, of which there are none."""
        return ""

    def subset(self, index: Iterable[int] | NDArray[np.int64]) -> "Scenes":
        """Return some of the images, in the order of their numbers."""
        return Scenes(self.split, tuple(self.numbers[int(i)] for i in index))

    def read(self, index: int) -> tuple[Tensor, Tensor]:
        """Draw an image and its label map.

        Parameters
        ----------
        index : int
            Number of the image in the list.

        Returns
        -------
        image : uint8 Tensor of shape (3, 96, 96)
            Pixels of the image.
        labels : uint8 Tensor of shape (96, 96)
            Class of each pixel.
        """
        rng = np.random.default_rng((list(_SPLITS).index(self.split), self.numbers[index]))
        ground = rng.uniform(0.2, 0.8, 3)
        slope = rng.normal(0, 0.002, (2, 3))
        rows, columns = np.mgrid[:_SIDE, :_SIDE]
        image = ground + rows[..., None] * slope[0] + columns[..., None] * slope[1]
        labels = np.zeros((_SIDE, _SIDE), np.uint8)
        for _ in range(rng.integers(_SHAPES[0], _SHAPES[1] + 1)):
            kind = int(rng.integers(1, len(CLASSES)))
            inside = _shape(kind, rows, columns, rng)
            labels[inside] = kind
            image[inside] = _colour(ground, rng)
        image += rng.normal(0, _NOISE, image.shape)
        pixels = np.rint(image.clip(0, 1) * 255).astype(np.uint8)
        return torch.from_numpy(pixels).permute(2, 0, 1), torch.from_numpy(labels)


def scenes() -> StreamedSet:
    """Return the built-in set: 400 training, 100 validation and 100 test images of 96×96 pixels.

    Each image has 3 to 6 discs, squares, triangles and rings of random size, place, angle and colour, of which later
    ones hide earlier ones, on a ground whose colour varies slowly.

    Returns
    -------
    StreamedSet
        The synthetic set, with five classes.
    """
    train, val, test = (Scenes(name, tuple(range(count))) for name, count in _SPLITS.items())
    return StreamedSet(SCENES, train, val, test, CLASSES, True, "built in", synthetic=True)  # type: ignore[arg-type]


def _shape(
    kind: int, rows: NDArray[np.int64], columns: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Return which pixels a shape of a class covers, at a random place and angle and of a random size."""
    (top, left), radius, turn = rng.uniform(0, _SIDE, 2), rng.uniform(*_RADII), rng.uniform(0, 2 * np.pi)
    down, across = rows - top, columns - left
    x, y = across * np.cos(turn) + down * np.sin(turn), down * np.cos(turn) - across * np.sin(turn)
    if CLASSES[kind] == "square":
        return np.asarray(np.maximum(abs(x), abs(y)) < radius / np.sqrt(2))
    if CLASSES[kind] == "triangle":
        return np.asarray(np.maximum(abs(x) * np.sqrt(3) + y, -2 * y) < radius)
    distance = np.hypot(x, y)
    hole = 0.0 if CLASSES[kind] == "disc" else 0.55 * radius
    return np.asarray((distance >= hole) & (distance < radius))


def _colour(ground: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a colour that differs from that of the ground."""
    while True:
        colour = rng.uniform(0, 1, 3)
        if np.abs(colour - ground).mean() > _CONTRAST:
            return colour
