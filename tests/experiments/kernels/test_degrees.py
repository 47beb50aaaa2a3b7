"""Kernels in degrees of visual angle, beside pixels."""

import math

import numpy as np
import pytest

import ndtools as nd
from ndtools.drawing.style import COLUMN
from ndtools.errors import OptionError
from tests.commands import invoke, numbers
from tests.layout import faults


@pytest.fixture(scope="module")
def result():
    return nd.kernels(
        "sample", images=8, kernel_size=9, gray=True, fit=True, bootstrap=2, eps=0.02, pixels_per_degree=40.0
    )


def test_lengths_are_divided_and_frequencies_multiplied(result):
    (cell,) = result.cells
    degrees = result.numbers()["channels"][0]["degrees"]
    assert degrees["pixels_per_degree"] == 40
    assert degrees["zero_crossing"] == pytest.approx(cell.measures.zero_crossing / 40)
    assert degrees["surround_half_width"] == pytest.approx(cell.measures.surround_half_width / 40)
    assert degrees["surround_sigma"] == pytest.approx(cell.dog.surround_sigma / 40)
    assert degrees["surround_radius"] == pytest.approx(math.sqrt(2) * cell.dog.surround_sigma / 40)
    assert degrees["peak_frequency"] == pytest.approx(40 * cell.response.peak_frequency)
    assert degrees["nyquist"] == 20
    assert degrees["standard_error"]["zero_crossing"] == pytest.approx(cell.errors["zero_crossing"] / 40)
    assert "volume_ratio" not in degrees["standard_error"]  # which has no unit


@pytest.mark.parametrize("width", [COLUMN, 180])
def test_axes_have_both_units(result, width):
    figure = result.figures(width=width)["fit"]
    profile, response = figure.axes[:2]
    for ax, label, factor in ((profile, "degrees of visual angle", 1 / 40), (response, "cycles per degree", 40)):
        (above,) = ax.child_axes
        figure.draw_without_rendering()
        assert above.get_xlabel() == label
        np.testing.assert_allclose(above.get_xlim(), np.multiply(ax.get_xlim(), factor))
    assert faults(figure) == []
    assert result.figures()[""].axes[1].get_xlabel() == "Δx / pixels (40 = 1°)"
    assert "A degree of visual angle has 40 pixels. The centres cross zero at gray 0.0" in _caption(result)


def _caption(result):
    return result.pictures()["fit"].caption(result)


def test_without_a_visual_angle_there_are_pixels_alone(result):
    plain = nd.kernels("sample", images=2, kernel_size=5, gray=True, fit=True)
    assert "degrees" not in plain.numbers()["channels"][0]
    assert plain.figures()["fit"].axes[0].child_axes == []
    assert "degree" not in _caption(plain)


def test_the_table_has_degrees_beside_pixels(tmp_path):
    run = invoke(
        "kernels", "sample", "-n", 2, "-k", 9, "--gray", "--fit", "--pixels-per-degree", 60, "--dpi", 30, "-o", tmp_path
    )
    assert run.exit_code == 0, run.stderr
    row = run.stdout.split("zero crossing / deg")[1].splitlines()[1].split()
    found = numbers(tmp_path)["channels"][0]["degrees"]
    assert float(row[1]) == pytest.approx(found["zero_crossing"], rel=0.01)
    assert float(row[-1]) == pytest.approx(found["peak_frequency"], rel=0.01)
    assert "60 pixels; r = √2 σ" in run.stdout
    assert nd.load(tmp_path / "kernels.json").config.pixels_per_degree == 60


@pytest.mark.parametrize("value", [0.0, -3.0, math.nan, math.inf])
def test_impossible_angles_are_refused(value):
    with pytest.raises(OptionError, match="above 0"):
        nd.KernelsConfig(pixels_per_degree=value)
