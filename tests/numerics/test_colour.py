"""Colour spaces against the formulas of the standards, published matrices, and random rounding."""

import math

import numpy as np
import pytest

from ndtools.numerics.colour import (
    CONES_OF_XYZ,
    OFFSET,
    channel_names,
    from_light,
    light,
    light_of,
    luminance,
    matrix_of,
    reach_of,
    rounding_variance,
    srgb,
)
from ndtools.validation import SPACES

SINGLE = np.finfo(np.float32).eps
OTHERS = [space for space in SPACES if space != "srgb"]


def decoded(s):
    """IEC 61966-2-1, one number."""
    return s / 12.92 if s <= 0.04045 else math.pow((s + 0.055) / 1.055, 2.4)


@pytest.fixture
def colours():
    return light(np.random.default_rng(0).integers(0, 256, (3, 30, 40), dtype=np.uint8))


def test_light_is_that_of_the_standard_for_every_level():
    levels = np.arange(256, dtype=np.uint8)
    expected = [decoded(level / 255) for level in range(256)]
    np.testing.assert_allclose(light(levels), expected, rtol=SINGLE)
    np.testing.assert_allclose(light((levels / 255).astype(np.float32)), expected, rtol=4 * SINGLE)
    np.testing.assert_allclose(srgb(light(levels)), levels / 255, rtol=4 * SINGLE)
    assert light(levels).dtype == np.float32


def test_beyond_the_range_light_is_clipped():
    np.testing.assert_allclose(srgb(np.array([-0.1, 0.0, 1.0, 1.2])), [0, 0, 1, 1], rtol=1e-15)


def test_white_and_red_are_where_the_standards_have_them():
    np.testing.assert_allclose(matrix_of("xyz").sum(1), [0.9505, 1.0, 1.089], rtol=1e-12)  # D65
    np.testing.assert_allclose(matrix_of("lms").sum(1), 1.0, rtol=1e-12)
    red = from_light(np.array([1, 0, 0], np.float32).reshape(3, 1, 1), "xyz").ravel()
    np.testing.assert_allclose(red, [0.4124, 0.2126, 0.0193], rtol=SINGLE)


def test_cones_are_those_of_the_published_matrix_for_d65():
    # Hunt-Pointer-Estevez normalised to D65, in the four digits of Fairchild, Color Appearance Models.
    published = [[0.4002, 0.7076, -0.0808], [-0.2263, 1.1653, 0.0457], [0, 0, 0.9182]]
    white = matrix_of("xyz").sum(1)
    scaled = CONES_OF_XYZ / (CONES_OF_XYZ @ white)[:, None]
    np.testing.assert_allclose(scaled, published, atol=2e-4)
    np.testing.assert_allclose(matrix_of("lms"), scaled @ matrix_of("xyz"), rtol=1e-12)


def test_cone_signals_of_all_colours_are_positive_and_in_order():
    matrix = matrix_of("lms")
    assert (matrix > 0).all()
    assert matrix[0, 0] / matrix[0, 1] > matrix[1, 0] / matrix[1, 1]  # red excites L more than M
    assert matrix[2].argmax() == 2  # blue excites S most


@pytest.mark.parametrize("space", OTHERS)
def test_conversion_is_that_of_each_pixel_and_can_be_undone(space, colours):
    values = from_light(colours, space)
    assert values.dtype == np.float32
    for y, x in [(0, 0), (7, 31), (29, 39)]:
        expected = matrix_of(space) @ colours[:, y, x].astype(np.float64)
        if space == "log-lms":
            expected = np.log10(expected + 1 / 255)
        np.testing.assert_allclose(values[:, y, x], expected, rtol=8 * SINGLE, atol=8 * SINGLE)
    condition = np.linalg.cond(matrix_of(space)) * (4 if space == "log-lms" else 1)  # the slope of 10^x is 2.3 at most
    np.testing.assert_allclose(light_of(values, space), colours, atol=8 * SINGLE * condition)
    low, high = reach_of(space)
    assert values.min() >= low - SINGLE * 8
    assert values.max() <= high + SINGLE * 8
    several = np.stack([colours, colours[::-1]])
    np.testing.assert_array_equal(from_light(several, space)[0], values)


def test_black_has_a_logarithm():
    black = from_light(np.zeros((3, 1, 1), np.float32), "log-lms")
    np.testing.assert_allclose(black, math.log10(OFFSET), rtol=SINGLE)


@pytest.mark.parametrize("space", OTHERS)
def test_grey_has_equal_cones_and_the_colour_of_white(space):
    grey = np.full((3, 2, 2), 0.3, np.float32)
    white = from_light(np.ones((3, 1, 1), np.float32), space)
    values = from_light(grey, space)
    if space == "log-lms":
        np.testing.assert_allclose(values, math.log10(0.3 + OFFSET), rtol=8 * SINGLE)
    else:
        np.testing.assert_allclose(values, 0.3 * np.broadcast_to(white, values.shape), rtol=8 * SINGLE)


def test_luminance_is_the_middle_of_xyz(colours):
    np.testing.assert_allclose(luminance(colours)[0], from_light(colours, "xyz")[1], rtol=4 * SINGLE)


@pytest.mark.parametrize("space", OTHERS)
def test_rounding_has_the_variance_of_random_rounding(space):
    rng = np.random.default_rng(1)
    true = rng.random((3, 64, 64))
    rounded = np.rint(true * 255) / 255
    error = from_light(light(rounded.astype(np.float32)), space).astype(np.float64)
    error -= from_light(light(true.astype(np.float32)), space)
    pixels = from_light(light(rounded.astype(np.float32)), space)
    # Means over 4,096 pixels of three channels; log-lms has few dark pixels with most of the variance.
    found = rounding_variance(pixels, space, 1 / 255)
    np.testing.assert_allclose(found, (error**2).mean(), rtol=0.15 if space == "log-lms" else 0.06)
    assert rounding_variance(pixels, space, 0.0) == 0


def test_rounding_of_luminance_is_that_of_grey():
    true = np.random.default_rng(2).random((1, 64, 64))
    grey = np.repeat(true, 3, 0)
    noisy = grey + np.random.default_rng(3).uniform(-0.5, 0.5, grey.shape) / 255
    error = luminance(light(noisy.clip(0, 1).astype(np.float32))) - luminance(light(grey.astype(np.float32)))
    found = rounding_variance(luminance(light(grey.astype(np.float32))), "linear", 1 / 255)
    np.testing.assert_allclose(found, (error**2).mean(), rtol=0.06)


def test_names_are_those_of_the_space():
    assert channel_names(1, "linear") == ("gray",)
    assert [channel_names(3, space)[0] for space in SPACES] == ["R", "R", "X", "L", "L"]
