"""Views keep labels on the pixels that they belong to, and are those of a slow implementation."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ndtools.data.labelled.views import Crops, Scenes
from ndtools.errors import DataError, OptionError

FILL = (10, 20, 30)


class Drawn:
    """Stands in for a generator of random numbers: returns the given numbers in turn."""

    def __init__(self, *numbers):
        self.numbers = list(numbers)

    def random(self, count=None):
        if count is None:
            return self.numbers.pop(0)
        return np.array([self.numbers.pop(0) for _ in range(count)])


def coordinates(height, width):
    """Image whose colours are row and column of each pixel, and a label map of both."""
    rows, columns = np.mgrid[:height, :width]
    image = np.stack([rows, columns, np.full_like(rows, 99)], 2).astype(np.uint8)
    return torch.from_numpy(image).permute(2, 0, 1), torch.from_numpy(((7 * rows + columns) % 200).astype(np.uint8))


def bilinear(image, height, width):
    """Slow antialiased bilinear scaling in float64: triangles as wide as a new pixel, at least as an old one."""
    out = image.double().numpy()
    for axis, new in ((1, height), (2, width)):
        old = out.shape[axis]
        scale = old / new
        reach = max(1.0, scale)
        centres = (np.arange(new)[:, None] + 0.5) * scale - 0.5
        weights = np.clip(1 - np.abs(np.arange(old) - centres) / reach, 0, None)
        weights /= weights.sum(1, keepdims=True)
        out = np.moveaxis(np.tensordot(weights, out, (1, axis)), 0, axis)
    return out


sides = st.integers(1, 40)
shares = st.floats(0, 1, exclude_max=True)


@settings(max_examples=80, deadline=None)
@given(sides, sides, st.none() | st.integers(1, 50), st.tuples(sides, sides), shares, shares, shares, st.booleans())
def test_scenes_for_training(height, width, base, crop, scale, down, across, mirrored):
    image, labels = coordinates(height, width)
    pixels, found = Scenes(base, crop).training(
        image, labels, Drawn(scale, down, across, 0.2 if mirrored else 0.7), FILL
    )
    assert pixels.dtype == found.dtype == torch.uint8
    assert pixels.shape == (3, *crop) and found.shape == crop
    short = max(1, round((base or min(height, width)) * (0.5 + 1.5 * scale)))
    new = [math.floor(short * side / min(height, width)) for side in (height, width)]
    whole = bilinear(image, *new)
    top, left = (int(share * (max(0, n - c) + 1)) for share, n, c in zip((down, across), new, crop, strict=True))
    for y in range(crop[0]):
        for x in range(crop[1]):
            pixel, label = pixels[:, y, -1 - x if mirrored else x], found[y, -1 - x if mirrored else x]
            if y + top >= new[0] or x + left >= new[1]:
                assert tuple(pixel.tolist()) == FILL and label == 255
                continue
            row = math.floor((2 * (y + top) + 1) * height / (2 * new[0]))
            column = math.floor((2 * (x + left) + 1) * width / (2 * new[1]))
            assert label == labels[row, column]
            wanted = whole[:, y + top, x + left]
            # Weights of 8 bits are rounded in both directions, and levels after each.
            assert np.abs(pixel.numpy() - wanted).max() <= 2
            # Colours say where the pixel came from; away from edges that is the place of its label.
            if 1 <= row < height - 1 and new[0] <= height:
                assert abs(int(pixel[0]) - row) <= max(2, height / new[0])


@settings(max_examples=40, deadline=None)
@given(sides, sides, st.integers(0, 2**32))
def test_scenes_that_keep_their_size_are_cut_out_exactly(height, width, seed):
    """With a scale of 1 each pixel of the crop is one of the image, with its own label."""
    image, labels = coordinates(height, width)
    down, across, mirror = np.random.default_rng(seed).random(3)
    crop = (max(1, height // 2), max(1, width // 2))
    pixels, found = Scenes(crop=crop).training(image, labels, Drawn(1 / 3, down, across, mirror), FILL)
    rows, columns = pixels[0].long(), pixels[1].long()
    assert torch.equal(found, labels[rows, columns])
    assert torch.equal(rows, rows[:1, :1] + torch.arange(crop[0])[:, None].expand(crop))
    step = torch.arange(crop[1]).expand(crop)
    assert torch.equal(columns, columns[:, :1] - step if mirror < 0.5 else columns[:, :1] + step)


@pytest.mark.parametrize(("height", "width"), [(30, 60), (60, 30), (16, 16)])
def test_scenes_for_evaluation_keep_their_label_maps(height, width):
    image, labels = coordinates(height, width)
    pixels, found = Scenes(base=20).evaluation(image, labels)
    assert torch.equal(found, labels) and min(pixels.shape[1:]) == 20
    assert np.abs(pixels.double().numpy() - bilinear(image, *pixels.shape[1:])).max() <= 2
    same, _ = Scenes().evaluation(image, labels)
    assert torch.equal(same, image)


def test_plain_scenes_are_the_middle():
    image, labels = coordinates(21, 40)
    pixels, found = Scenes(crop=(11, 20)).plain(image, labels, FILL)
    assert torch.equal(pixels, image[:, 5:16, 10:30]) and torch.equal(found, labels[5:16, 10:30])


@settings(max_examples=80, deadline=None)
@given(sides, sides, st.integers(1, 24), st.integers(0, 2**32))
def test_crops_for_training(height, width, size, seed):
    image, _ = coordinates(height, width)
    crop, label = Crops(size, size).training(image, 3, np.random.default_rng(seed), FILL)
    assert crop.shape == (3, size, size) and label == 3
    # Every crop is a bilinear picture of a rectangle, which a slow search over the random numbers finds.
    random, chosen = np.random.default_rng(seed), None
    for _ in range(10):
        area, ratio, down, across = random.random(4)
        pixels, shape = (0.08 + 0.92 * area) * height * width, math.exp(math.log(0.75) + ratio * math.log(16 / 9))
        w, h = round((pixels * shape) ** 0.5), round((pixels / shape) ** 0.5)
        if 0 < w <= width and 0 < h <= height:
            chosen = int(down * (height - h + 1)), int(across * (width - w + 1)), h, w
            break
    if chosen is None:
        h = height if height / width <= 4 / 3 else max(1, round(width * 4 / 3))
        w = width if width / height <= 4 / 3 else max(1, round(height * 4 / 3))
        chosen = (height - h) // 2, (width - w) // 2, h, w
    top, left, h, w = chosen
    assert 0.7 < w / h < 1.43 or min(h, w) < 15
    wanted = bilinear(image[:, top : top + h, left : left + w], size, size)
    found = crop.flip(2) if random.random() < 0.5 else crop
    assert np.abs(found.double().numpy() - wanted).max() <= 2


def test_crops_are_drawn_evenly():
    """Half of the crops are mirrored, and areas that every ratio fits are uniform (5 standard errors)."""
    image, _ = coordinates(200, 200)
    areas, mirrored, n = [], 0, 2000
    view = Crops(2, 2)
    for seed in range(n):
        crop, _ = view.training(image, 0, np.random.default_rng(seed), FILL)
        mirrored += int(crop[1, 0, 0] > crop[1, 0, 1])
        # The middles of both halves are half a side apart.
        areas.append(4 * abs(int(crop[0, 1, 0]) - int(crop[0, 0, 0])) * abs(int(crop[1, 0, 1]) - int(crop[1, 0, 0])))
    assert abs(mirrored / n - 0.5) < 5 * 0.5 / n**0.5
    small = np.array([area for area in areas if area < 0.5 * 200**2]) / 200**2
    assert len(small) > n / 3
    error = 0.42 / 12**0.5 / len(small) ** 0.5
    assert abs(small.mean() - 0.29) < 5 * error + 0.01  # levels are rounded, to one hundredth of a side
    assert abs(small.std() - 0.42 / 12**0.5) < 5 * error + 0.01


@pytest.mark.parametrize(("height", "width"), [(30, 61), (61, 30), (16, 16), (1, 40)])
def test_crops_for_evaluation(height, width):
    image, _ = coordinates(height, width)
    crop, label = Crops(20, 24).evaluation(image, 5)
    assert crop.shape == (3, 20, 20) and label == 5
    new = [24 * side // min(height, width) for side in (height, width)]
    top, left = (round((side - 20) / 2) for side in new)
    wanted = bilinear(image, *new)[:, top : top + 20, left : left + 20]
    assert np.abs(crop.double().numpy() - wanted).max() <= 2


def test_settings_out_of_range_and_images_that_would_fill_the_memory():
    with pytest.raises(OptionError, match="resize: must be at least the size of the crops, 224, got 200"):
        Crops(resize=200)
    for wrong in (lambda: Crops(0), lambda: Scenes(base=0), lambda: Scenes(crop=(3, 0))):
        with pytest.raises(OptionError):
            wrong()
    with pytest.raises(DataError, match="scaling it to"):
        Crops(4000, 4000).evaluation(torch.zeros(3, 1, 100_000, dtype=torch.uint8), 0)
