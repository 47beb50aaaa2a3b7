"""Measures of centre and surround against closed forms."""

import math

import numpy as np
import pytest

from ndtools.numerics.center_surround import MEASURES, measure_center_surround
from tests.oracles.gaussians import CELL, dog, embedded, pixel


def gaussian(r, volume, sigma):
    return volume * np.exp(-(r**2) / (2 * sigma**2)) / (2 * math.pi * sigma**2)


@pytest.mark.parametrize("sign", [1, -1e200])
def test_measures_of_a_difference_of_gaussians(sign):
    v_c, v_s, s_c, s_s = 1.0, 0.9, 2.0, 5.0
    found = measure_center_surround(sign * dog((v_c, v_s, s_c, s_s), 61))
    crossing = math.sqrt(2 * math.log(v_c * s_s**2 / (v_s * s_c**2)) / (s_c**-2 - s_s**-2))
    step = 1e-3
    before, at, after = (gaussian(crossing + x, v_c, s_c) - gaussian(crossing + x, v_s, s_s) for x in (-step, 0, step))
    bend = abs((before - 2 * at + after) / step**2 / ((after - before) / (2 * step)))
    # A chord of 1.1 pixels is off by bend·1.1²/8; means over pixels and rings one pixel wide by bend/24 each, and along
    # the arc by 1/(24 r).
    assert found.zero_crossing == pytest.approx(crossing, abs=bend * (1.1**2 / 8 + 2 / 24) + 1 / (24 * crossing))
    r = np.linspace(crossing, 30, 10_000)
    surround = gaussian(r, v_s, s_s) - gaussian(r, v_c, s_c)
    strongest = int(surround.argmax())
    half = strongest + int(np.flatnonzero(surround[strongest:] < surround.max() / 2)[0])
    # The strongest ring is the nearest to the flat maximum or the one beside it: half a ring to either side.
    assert found.surround_half_width == pytest.approx(r[half] - r[strongest], abs=0.6)
    # What either Gaussian holds within the crossing, rounded to rings.
    shares = [1 - math.exp(-(crossing**2) / (2 * s**2)) for s in (s_c, s_s)]
    center = v_c * shares[0] - v_s * shares[1]
    assert found.surround_ratio == pytest.approx((center - (v_c - v_s)) / center, rel=0.02)
    f = np.linspace(0, 0.5, 5000)
    response = v_c * np.exp(-2 * (math.pi * s_c * f) ** 2) - v_s * np.exp(-2 * (math.pi * s_s * f) ** 2)
    assert found.peak_to_dc == pytest.approx(response.max() / (v_c - v_s), rel=0.02)
    assert not found.missing


def test_measures_of_three_rings():
    """Ring means 5, -2, -0.5 at distances 0, 1.207 (four at 1, four at √2) and 2.157 (four at 2, eight at √5)."""
    y, x = np.indices((5, 5)) - 2
    radius = np.rint(np.hypot(y, x))
    found = measure_center_surround(np.select([radius == 0, radius == 1, radius == 2], [5.0, -2.0, -0.5], -0.25))
    first, second = (1 + math.sqrt(2)) / 2, (2 + 2 * math.sqrt(5)) / 3
    assert found.zero_crossing == pytest.approx(first * 5 / 7)
    assert found.surround_half_width == pytest.approx((second - first) * 1 / 1.5)
    assert found.surround_ratio == pytest.approx((16 + 6 + 1) / 5)


def test_what_does_not_exist_has_a_reason():
    alone = measure_center_surround(pixel(5))
    assert alone.zero_crossing is alone.surround_half_width is alone.surround_ratio is None
    assert set(alone.missing) == {"zero_crossing", "surround_half_width", "surround_ratio"}
    assert alone.missing["zero_crossing"] == "the radial profile does not change sign"
    assert alone.peak_to_dc == pytest.approx(1)
    laplacian = measure_center_surround(embedded(-np.array([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]]), 3))
    assert (laplacian.surround_ratio, laplacian.peak_to_dc, laplacian.surround_half_width) == (1, None, None)
    assert laplacian.missing["peak_to_dc"] == "the response to a uniform image is 0"
    assert "at the edge" in laplacian.missing["surround_half_width"]
    hollow = measure_center_surround(1 - pixel(5))
    assert hollow.missing["zero_crossing"] == "the centre pixel is 0"
    for measures in (alone, laplacian, hollow):
        assert set(measures.missing) == {name for name in MEASURES if getattr(measures, name) is None}


def test_a_low_pass_kernel_has_no_peak():
    assert measure_center_surround(np.ones((3, 3))).peak_to_dc == 1


def test_nearly_equal_kernels_have_nearly_equal_measures():
    kernel = dog(CELL, 15)
    change = np.random.default_rng(0).standard_normal((15, 15))
    change *= 1e-3 * np.linalg.norm(kernel) / np.linalg.norm(change)
    one, other = measure_center_surround(kernel), measure_center_surround(kernel + change)
    assert other.zero_crossing == pytest.approx(one.zero_crossing, rel=0.02)
    assert other.surround_half_width == pytest.approx(one.surround_half_width, rel=0.1)
    assert other.surround_ratio == pytest.approx(one.surround_ratio, rel=0.05)


@pytest.mark.parametrize("kernel", [np.ones((4, 4)), np.zeros((3, 3)), np.full((3, 3), np.nan)])
def test_kernels_that_cannot_be_measured(kernel):
    with pytest.raises(ValueError, match="kernel must"):
        measure_center_surround(kernel)
