"""Colour spaces where images are decoded: light comes before everything else."""

import numpy as np
import pytest
from PIL import Image

import ndtools as nd
from ndtools.data.images.conversion import in_colour_space
from ndtools.data.images.decoding import (
    decode_image,
)
from ndtools.errors import OptionError
from ndtools.numerics.colour import from_light, light, luminance
from ndtools.validation import SPACES

SINGLE = np.finfo(np.float32).eps


@pytest.fixture
def picture():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8))


@pytest.mark.parametrize("space", [space for space in SPACES if space != "srgb"])
def test_pixels_are_those_of_the_space(picture, space):
    pixels = decode_image(picture, space=space)
    samples = np.asarray(picture).transpose(2, 0, 1)
    np.testing.assert_array_equal(pixels, from_light(light(samples), space))
    np.testing.assert_array_equal(in_colour_space(samples, space), pixels)
    np.testing.assert_array_equal(next(nd.iter_images(_source(picture), space=space)), pixels)


def _source(picture):
    from ndtools.data.images.sources import ImageRef, ImageSource

    return ImageSource("one", (ImageRef("one", lambda: picture),))


def test_srgb_stays_as_it_is(picture):
    np.testing.assert_array_equal(decode_image(picture, space="srgb"), np.asarray(picture).transpose(2, 0, 1))


def test_light_is_mixed_where_an_image_is_made_smaller():
    # Black and white columns, half as wide: their mean is half of the light, which is 188 of 255 in sRGB.
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    inner = slice(4, -4)
    light_first = decode_image(Image.fromarray(stripes), space="linear", resize=32)[:, inner, inner]
    np.testing.assert_allclose(light_first, 0.5, atol=0.01)
    coded = decode_image(Image.fromarray(stripes), resize=32)[:, inner, inner] / 255
    assert (np.abs(light(coded.astype(np.float32)) - 0.5) > 0.2).all()


def test_resized_light_stays_in_its_range():
    edge = np.zeros((40, 40, 3), np.uint8)
    edge[:, 20:] = 255
    resized = decode_image(Image.fromarray(edge), space="linear", resize=30)
    assert resized.min() == 0
    assert resized.max() == 1  # Lanczos overshoots


def test_one_channel_is_the_luminance_of_the_light(picture):
    samples = np.asarray(picture).transpose(2, 0, 1)
    found = decode_image(picture, gray=True, space="linear")
    np.testing.assert_allclose(found, luminance(light(samples)), rtol=8 * SINGLE)
    expected = 0.2126 * light(samples[0]) + 0.7152 * light(samples[1]) + 0.0722 * light(samples[2])
    np.testing.assert_allclose(found[0], expected, rtol=8 * SINGLE)
    assert np.abs(found - light(decode_image(picture, gray=True))).max() > 0.05  # luma is of coded samples


def test_grey_files_have_three_equal_cones_and_deep_ones_their_depth():
    deep = np.random.default_rng(1).integers(0, 65536, (9, 11), dtype=np.uint16)
    image = Image.fromarray(deep)
    cones = decode_image(image, space="lms")
    assert cones.shape == (3, 9, 11)
    expected = light((deep / 65535).astype(np.float32))
    np.testing.assert_allclose(cones, np.broadcast_to(expected, cones.shape), rtol=8 * SINGLE, atol=SINGLE)
    np.testing.assert_allclose(decode_image(image, space="linear", gray=True)[0], expected, rtol=8 * SINGLE)


@pytest.mark.parametrize("space", ["xyz", "lms", "log-lms"])
def test_one_channel_has_no_colour(picture, space):
    with pytest.raises(OptionError, match="srgb or linear"):
        decode_image(picture, gray=True, space=space)
    with pytest.raises(OptionError, match="gray=True"):
        nd.KernelsConfig("sample", gray=True, space=space)


def test_the_noise_of_files_is_told_in_the_space(tmp_path, picture):
    picture.save(tmp_path / "one.png")
    noise = {space: nd.stats(str(tmp_path / "one.png"), space=space).images.noise for space in SPACES}
    assert noise["srgb"] == pytest.approx(1 / 255**2 / 12)
    assert noise["linear"] > noise["srgb"]  # of uniform samples: the mean square of the slope is 1.7
    assert noise["lms"] < noise["linear"]  # sums of three errors with weights that add up to 1
