"""Colours that share a figure can be told apart by everybody, on a screen and in grey print."""

import itertools

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from ndtools.drawing.palette import ALGORITHMS, ARMS, CONES, DIVERGING, METHODS, PRIMARIES, SIDES, XYZ

# Linear RGB as dichromats see it (Machado, Oliveira and Fernandes 2009, severity 1).
VIEWS = {
    "normal": np.eye(3),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
}
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
# Large patches side by side differ just noticeably at a distance of 2.3 in CIE Lab (Mahy et al. 1994). Marks of a
# millimetre that lie apart, in the simulation of an average dichromat, in print, need several times as much.
APART = 20.0
GROUPS = {
    "methods": METHODS,
    "arms": ARMS,
    "sides": SIDES,
    "algorithms": ALGORITHMS,
    "channels": PRIMARIES,
    "cones": CONES,
    "xyz": XYZ,
}
PAIRS = [
    pytest.param(group[one], group[other], id=f"{name}: {one}, {other}")
    for name, group in GROUPS.items()
    for one, other in itertools.combinations(group, 2)
]


def lab(colour, view="normal"):
    """Return L, a and b of the CIE (1976), D65, of an sRGB colour as somebody sees it."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = TO_XYZ @ np.clip(VIEWS[view] @ linear, 0, 1) / TO_XYZ.sum(1)
    x, y, z = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def distance(one, other, view):
    return np.linalg.norm(lab(one, view) - lab(other, view))


def shape(style):
    """Return how a line looks apart from its colour."""
    return style.get("linestyle", "-"), style.get("marker", "")


def test_known_colours():
    np.testing.assert_allclose(lab("white"), [100, 0, 0], atol=0.02)
    np.testing.assert_allclose(lab("#ff0000"), [53.24, 80.09, 67.20], atol=0.02)
    np.testing.assert_allclose(lab("#0000ff"), [32.30, 79.19, -107.86], atol=0.02)
    assert distance("#a07020", "#a07020", "protanopia") == 0
    for view in ("deuteranopia", "protanopia"):  # greys are seen as they are
        assert distance("0.5", "0.5", view) == 0
        np.testing.assert_allclose(lab("0.5", view), lab("0.5"), atol=0.1)
        assert distance("#ff0000", "#00c800", view) < distance("#ff0000", "#00c800", "normal") / 1.5


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_colours_are_told_apart(one, other, view):
    if one["color"] == other["color"]:  # a line beside points
        assert shape(one) != shape(other)
    else:
        assert distance(one["color"], other["color"], view) > APART


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_lines_are_told_apart_in_grey(one, other):
    assert shape(one) != shape(other) or abs(lab(one["color"])[0] - lab(other["color"])[0]) > APART


@pytest.mark.parametrize("view", VIEWS)
def test_both_ends_of_the_map_are_told_apart(view):
    """In grey, too, as a centre in its surround, and none of them looks like 0."""
    least, greatest = DIVERGING(0.0), DIVERGING(1.0)
    assert distance(least, greatest, view) > 4 * APART
    assert lab(greatest, view)[0] - lab(least, view)[0] > 1.5 * APART
    assert min(100 - lab(greatest, view)[0], 100 - lab(least, view)[0]) > 1.5 * APART


@pytest.mark.parametrize("view", VIEWS)
def test_the_map_is_white_at_0_and_darker_with_every_step_away(view):
    lightness = np.array([lab(DIVERGING(i), view)[0] for i in range(DIVERGING.N)])
    middle = DIVERGING.N // 2
    assert DIVERGING(middle)[:3] == (1, 1, 1)
    assert (np.diff(lightness[: middle + 1]) > 0).all()
    assert (np.diff(lightness[middle:]) < 0).all()


@pytest.mark.parametrize("share", np.linspace(0.5, 1, 6))
def test_a_positive_centre_is_no_blob_with_its_negative_surround(share):
    """In grey, a centre near one end, in a surround between half and all of the way to the other."""
    assert lab(DIVERGING(0.97))[0] - lab(DIVERGING(0.5 - 0.5 * share))[0] > APART
