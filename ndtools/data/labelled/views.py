"""Views of images of any size that networks train on: scaled, cropped and mirrored, with their label maps alike."""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ndtools.computing.memory import require_memory
from ndtools.data.labelled.samples import IGNORED
from ndtools.errors import OptionError

__all__ = ["Crops", "Label", "Scenes", "View"]

Label = int | Tensor
"""Class of an image, or uint8 map of the classes of its pixels."""

_AREA = 0.08, 1.0
_RATIO = 3 / 4, 4 / 3
_TRIES = 10  # draws of a crop that does not fit the image, before its middle is taken
_SCALE = 0.5, 2.0


class View(Protocol):
    """The way that images are scaled and cropped for a network."""

    @property
    def pairs(self) -> bool:
        """Whether the view is one of images with label maps."""

    def training(
        self, image: Tensor, label: Label, random: np.random.Generator, fill: tuple[int, ...]
    ) -> tuple[Tensor, Label]:
        """Return an image for training, altered at random, with its label; `fill` is the colour around it."""

    def plain(self, image: Tensor, label: Label, fill: tuple[int, ...]) -> tuple[Tensor, Label]:
        """Return an image for training that is not altered at random, with its label. All have the same size."""

    def evaluation(self, image: Tensor, label: Label) -> tuple[Tensor, Label]:
        """Return an image for evaluation with its label."""


@dataclass(frozen=True)
class Crops:
    """View for classification: square crops.

    In training, a crop has 0.08 to 1 of the area of the image and a ratio of width to height from 3/4 to 4/3, drawn
    evenly on a logarithmic scale; it is scaled to the size and mirrored half of the time. In evaluation, the short
    side of the image is scaled, and the middle is taken.

    Attributes
    ----------
    size : int
        Height and width of the crops in pixels.
    resize : int
        Length of the short side in evaluation, at least ``size``.
    """

    size: int = 224
    resize: int = 256
    pairs = False

    def __post_init__(self) -> None:
        if self.size < 1:
            raise OptionError("size", f"must be at least 1 pixel, got {self.size}")
        if self.resize < self.size:
            raise OptionError("resize", f"must be at least the size of the crops, {self.size}, got {self.resize}")

    def training(
        self, image: Tensor, label: Label, random: np.random.Generator, fill: tuple[int, ...]
    ) -> tuple[Tensor, Label]:
        """Return a crop at random, scaled to the size, with its label; see `View`."""
        top, left, height, width = _crop_at_random(*_size(image), random)
        crop = _scaled(image[:, top : top + height, left : left + width], self.size, self.size)
        return (crop.flip(2) if random.random() < 0.5 else crop), label

    def plain(self, image: Tensor, label: Label, fill: tuple[int, ...]) -> tuple[Tensor, Label]:
        """Return the view of evaluation."""
        return self.evaluation(image, label)

    def evaluation(self, image: Tensor, label: Label) -> tuple[Tensor, Label]:
        """Return the middle of the scaled image with its label."""
        image = _scaled(image, *_sides(*_size(image), self.resize))
        top, left = (round((side - self.size) / 2) for side in image.shape[1:])
        return image[:, top : top + self.size, left : left + self.size], label


@dataclass(frozen=True)
class Scenes:
    """View for segmentation: scenes with their label maps.

    In training, the short side is scaled to ``base`` times a number that is drawn evenly from 0.5 to 2, the crop is
    drawn from all places inside the image, and is mirrored half of the time. Where the image is smaller than the crop,
    it is continued by the mean colour, and its labels by 255. Images are scaled bilinearly with antialiasing, label
    maps by the nearest pixel. In evaluation, the short side of the image is scaled to ``base``; label maps keep their
    size.

    Attributes
    ----------
    base : int or None
        Length of the short side in pixels; None for the short side that each image has.
    crop : int or (int, int)
        Height and width of the crops in training.
    """

    base: int | None = None
    crop: int | tuple[int, int] = 480
    pairs = True

    def __post_init__(self) -> None:
        if self.base is not None and self.base < 1:
            raise OptionError("base", f"must be at least 1 pixel, got {self.base}")
        if min(self.size) < 1:
            raise OptionError("crop", f"must be at least 1 pixel, got {self.crop}")

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the crops."""
        return (self.crop, self.crop) if isinstance(self.crop, int) else self.crop

    def training(
        self, image: Tensor, label: Label, random: np.random.Generator, fill: tuple[int, ...]
    ) -> tuple[Tensor, Label]:
        """Return a crop of the scene, scaled at random, with its label map; see `View`."""
        height, width = _size(image)
        scale, down, across, mirrored = random.random(4).tolist()
        short = (self.base or min(height, width)) * (_SCALE[0] + (_SCALE[1] - _SCALE[0]) * scale)
        scaled = _sides(height, width, max(1, round(short)))
        spare = [max(0, side - crop) for side, crop in zip(scaled, self.size, strict=True)]
        top, left = (math.floor(share * (rest + 1)) for share, rest in zip((down, across), spare, strict=True))
        return self._cropped(image, label, scaled, top, left, fill, mirrored < 0.5)

    def plain(self, image: Tensor, label: Label, fill: tuple[int, ...]) -> tuple[Tensor, Label]:
        """Return the middle of the scene, scaled to ``base``, with its label map scaled alike; see `View`."""
        height, width = _size(image)
        scaled = _sides(height, width, self.base or min(height, width))
        top, left = (max(0, side - crop) // 2 for side, crop in zip(scaled, self.size, strict=True))
        return self._cropped(image, label, scaled, top, left, fill, False)

    def evaluation(self, image: Tensor, label: Label) -> tuple[Tensor, Label]:
        """Return the scaled image, and its label map in the size that it has."""
        height, width = _size(image)
        return _scaled(image, *_sides(height, width, self.base or min(height, width))), label

    def _cropped(
        self,
        image: Tensor,
        label: Label,
        scaled: tuple[int, int],
        top: int,
        left: int,
        fill: tuple[int, ...],
        mirrored: bool,
    ) -> tuple[Tensor, Tensor]:
        assert isinstance(label, Tensor)
        crop = _scaled(image, *scaled)[:, top : top + self.size[0], left : left + self.size[1]]
        height, width = crop.shape[1:]
        # The middle of a pixel of the crop lies in this row and column of the label map; whole numbers are exact.
        rows = (2 * torch.arange(top, top + height) + 1) * label.shape[0] // (2 * scaled[0])
        columns = (2 * torch.arange(left, left + width) + 1) * label.shape[1] // (2 * scaled[1])
        pixels = torch.tensor(fill, dtype=torch.uint8)[:, None, None].repeat(1, *self.size)
        labels = torch.full(self.size, IGNORED, dtype=torch.uint8)
        pixels[:, :height, :width] = crop
        labels[:height, :width] = label[rows[:, None], columns]
        return (pixels.flip(2), labels.flip(1)) if mirrored else (pixels, labels)


def _size(image: Tensor) -> tuple[int, int]:
    return image.shape[1], image.shape[2]


def _sides(height: int, width: int, short: int) -> tuple[int, int]:
    """Return height and width after the short side is scaled to a length; the long side is rounded down."""
    if height <= width:
        return short, short * width // height
    return short * height // width, short


def _scaled(image: Tensor, height: int, width: int) -> Tensor:
    if image.shape[1:] == (height, width):
        return image
    require_memory(4 * 3 * height * width, f"scaling it to {width} x {height} pixels")
    return interpolate(image[None], (height, width), mode="bilinear", antialias=True)[0]


def _crop_at_random(height: int, width: int, random: np.random.Generator) -> tuple[int, int, int, int]:
    """Return top, left, height and width of a crop."""
    for _ in range(_TRIES):
        area, ratio, down, across = random.random(4).tolist()
        pixels = height * width * (_AREA[0] + (_AREA[1] - _AREA[0]) * area)
        shape = _RATIO[0] * (_RATIO[1] / _RATIO[0]) ** ratio
        w, h = round(math.sqrt(pixels * shape)), round(math.sqrt(pixels / shape))
        if 1 <= w <= width and 1 <= h <= height:
            return math.floor(down * (height - h + 1)), math.floor(across * (width - w + 1)), h, w
    w, h = min(width, max(1, round(height * _RATIO[1]))), min(height, max(1, round(width / _RATIO[0])))
    return (height - h) // 2, (width - w) // 2, h, w
