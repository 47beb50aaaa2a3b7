import dataclasses

import matplotlib.pyplot
import numpy as np
import pytest

from ndtools.drawing.style import COLUMN, PAGE
from ndtools.experiments.kernels.figure import caption_kernels, plot_kernels
from ndtools.experiments.kernels.run import KernelsConfig, run
from tests.layout import faults, smallest_type


@pytest.fixture(scope="module")
def colour():
    return run(KernelsConfig(images=2, kernel_size=5))


@pytest.fixture(scope="module")
def grey():
    return run(KernelsConfig(images=2, kernel_size=3, gray=True))


def panels(figure):
    """Return colour pictures (3), profiles (3) and maps (3, 3) of kernels of colour images."""
    return figure.axes[:3], figure.axes[3:6], np.array(figure.axes[6:15]).reshape(3, 3)


def of_size(result, kernel_size, **changes):
    """Return a result with kernels of another size: a centre in a surround."""
    offset = np.arange(kernel_size) - kernel_size // 2
    kernel = -np.exp(-np.hypot(offset[:, None], offset) / 2)
    kernel[kernel_size // 2, kernel_size // 2] = 20
    channels = len(result.channels)
    kernels = (1.2 * np.eye(channels) - 0.2)[:, :, None, None] * kernel
    config = dataclasses.replace(result.config, kernel_size=kernel_size, **changes)
    return dataclasses.replace(result, config=config, kernels=kernels)


@pytest.mark.parametrize("width", [COLUMN, PAGE])
def test_every_kernel_is_shown_on_one_symmetric_scale(colour, width):
    fig = plot_kernels(colour, width=width)
    maps = panels(fig)[2]
    norms = set()
    for i, output in enumerate("RGB"):
        assert panels(fig)[0][i].get_title() == f"output {output}"
        for j, name in enumerate("RGB"):
            (image,) = maps[i, j].images
            np.testing.assert_array_equal(image.get_array(), colour.kernels[i, j])
            norms.add(id(image.norm))
            assert image.cmap(image.norm(0.0))[:3] == pytest.approx((1, 1, 1), abs=0.01)
            named = width == PAGE or i == 0  # a table in narrow figures: columns are named above, and rows at the left
            assert maps[i, j].get_title() == f"from {name}" * named
            assert f"output {output}" * (width == COLUMN and j == 0) in maps[i, j].get_ylabel()
    assert len(norms) == 1
    assert image.norm.vmax == -image.norm.vmin >= np.abs(colour.kernels).max()


@pytest.mark.parametrize(("largest", "end"), [(21.3, 30), (30.1, 100), (5.2, 10), (0.04, 0.1), (3.0, 3), (1.0, 1)])
def test_the_scale_has_the_same_steps_for_all_sets(colour, largest, end):
    kernels = colour.kernels * largest / np.abs(colour.kernels).max()
    fig = plot_kernels(dataclasses.replace(colour, kernels=kernels))
    (image,) = panels(fig)[2][0, 0].images
    assert image.norm.vmax == pytest.approx(end)
    assert image.norm.linthresh == pytest.approx(end / 100)
    assert panels(fig)[1][0].get_ylim()[1] >= end
    bar = fig.axes[-1]
    assert bar.lines[-1].get_xdata()[0] == pytest.approx(largest)  # marked
    assert bar.get_xlim() == pytest.approx((-end, end))


def test_profiles_are_the_middle_rows_with_their_largest_weight(colour):
    for i, ax in enumerate(panels(plot_kernels(colour))[1]):
        lines = [line for line in ax.lines if line.get_label().startswith("from")]
        assert len({(line.get_color(), line.get_linestyle(), line.get_marker()) for line in lines}) == 3
        for j, line in enumerate(lines):
            x, y = line.get_data()
            assert list(x) == [-2, -1, 0, 1, 2]
            np.testing.assert_array_equal(y, colour.kernels[i, j, 2])
        assert ax.get_yscale() == "symlog"
        assert [text.get_text() for text in ax.texts] == [f"{colour.kernels[i].max():.3g}"]
        assert ax.get_xlabel() == "Δx / pixels"


def test_colour_pictures_are_grey_where_the_kernel_is_zero(colour):
    kernels = colour.kernels.copy()
    kernels[:, :, 0, 0] = 0
    pictures = panels(plot_kernels(dataclasses.replace(colour, kernels=kernels)))[0]
    picture = np.asarray(pictures[0].images[0].get_array())
    assert picture.shape == (5, 5, 3)
    np.testing.assert_allclose(picture[0, 0], 0.5)
    assert picture[2, 2, 0] == picture.max()  # red cells prefer red at the centre


@pytest.mark.parametrize(("kernel_size", "width"), [(1, COLUMN), (21, PAGE), (31, 60), (31, 120), (31, 250)])
def test_layout_of_colour_kernels(colour, kernel_size, width):
    source = "/home/someone/a/" + "very-long-name-of-a-folder-of-photographs-" * 3
    images = dataclasses.replace(colour.images, label=source)
    fig = plot_kernels(dataclasses.replace(of_size(colour, kernel_size), images=images), width=width)
    assert faults(fig) == []
    assert smallest_type(fig) >= 5.5
    assert fig.get_figwidth() * 25.4 == pytest.approx(width)
    assert "/" not in fig.get_suptitle()


@pytest.mark.parametrize(("kernel_size", "width"), [(1, COLUMN), (21, PAGE), (31, 60)])
def test_layout_of_grey_kernels(grey, kernel_size, width):
    fig = plot_kernels(of_size(grey, kernel_size), width=width)
    assert faults(fig) == []
    assert len(fig.axes) == 3  # profile, map, and its colour bar


def test_title_and_caption(colour, grey):
    assert plot_kernels(colour).get_suptitle() == "5×5 deconvolution kernels of sample"
    assert plot_kernels(colour, title=False).get_suptitle() == ""
    fit = colour.deconvolution
    for said in (
        "sample (2 images",
        f"eps {fit.eps:.3g} ({fit.relative_eps:.2g} of the mean variance)",
        f"condition {fit.condition:.3g}",
        f"residual {fit.residual:.2g}",
        f"{np.abs(colour.kernels).max():.3g}",
        "(c) Each kernel",
    ):
        assert said in caption_kernels(colour)
    assert "(c)" not in caption_kernels(grey)
    assert matplotlib.pyplot.get_fignums() == []
