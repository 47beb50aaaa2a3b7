import dataclasses

import numpy as np
import pytest

import ndtools as nd
from ndtools.drawing.pictures import captions, draw
from ndtools.drawing.style import COLUMN, PAGE
from ndtools.experiments.kernels.figure_bootstrap import caption_kernel_bootstrap, plot_kernel_bootstrap
from ndtools.experiments.kernels.figures import FIGURES
from tests.layout import faults, smallest_type

pytestmark = pytest.mark.filterwarnings("ignore::ndtools.errors.NumericalWarning")


@pytest.fixture(scope="module")
def result():
    return nd.run_kernels(nd.KernelsConfig(images=4, kernel_size=3, bootstrap=4))


def test_change_and_errors(result):
    found = result.bootstrap
    curve, *maps = plot_kernel_bootstrap(result).axes
    assert (curve.get_xscale(), curve.get_yscale()) == ("log", "log")
    (points,) = curve.containers
    np.testing.assert_array_equal(points.lines[0].get_xdata(), found.images)
    np.testing.assert_allclose(points.lines[0].get_ydata(), 100 * found.change)
    subsets, limit = (line for line in curve.lines if line.get_label().startswith("predicted"))
    np.testing.assert_allclose(subsets.get_ydata(), 100 * found.expected_change(subsets.get_xdata()))
    np.testing.assert_allclose(limit.get_ydata(), 100 * found.per_image / np.sqrt(limit.get_xdata()))
    low, high = curve.get_xlim()
    assert found.images[0] / 2 < low < found.images[0]  # the range of the data
    assert found.total < high < 3 * found.total
    for (i, j), ax in zip(np.ndindex(3, 3), maps[:9], strict=True):
        np.testing.assert_array_equal(ax.images[0].get_array(), found.error[i, j])


def test_the_numbers_of_the_paper_are_in_the_caption(result):
    caption = caption_kernel_bootstrap(result)
    for images in (128, 1024):
        assert f"{result.bootstrap.change_in_words(images)} for {images} images" in caption
    assert f"{result.bootstrap.change_in_words(4)} for these 4" in caption
    assert "4 replicates" in caption


@pytest.mark.parametrize(("kernel_size", "width"), [(31, 60), (3, COLUMN), (31, 120), (31, PAGE)])
def test_layout(result, kernel_size, width):
    error = np.random.default_rng(0).uniform(1e-3, 1, (3, 3, kernel_size, kernel_size))
    large = dataclasses.replace(
        result,
        config=dataclasses.replace(result.config, kernel_size=kernel_size),
        bootstrap=dataclasses.replace(result.bootstrap, error=error),
    )
    fig = plot_kernel_bootstrap(large, width=width)
    assert faults(fig) == []
    assert smallest_type(fig) >= 5.5


@pytest.mark.parametrize(
    ("relative", "per_image", "words"),
    [(0.0, 0.0, "do not change at all"), (np.nan, np.nan, "too few replicates have kernels")],
)
def test_without_a_curve_the_reason_is_told(result, relative, per_image, words):
    error = np.full_like(result.bootstrap.error, relative)
    found = dataclasses.replace(result.bootstrap, relative_error=relative, per_image=per_image, error=error)
    without = dataclasses.replace(result, bootstrap=found)
    fig = plot_kernel_bootstrap(without, width=COLUMN)
    assert words in fig.axes[0].texts[0].get_text()
    assert words in caption_kernel_bootstrap(without)
    assert faults(fig) == []


def test_all_figures_have_captions_and_take_width_and_title(result):
    drawn = draw(FIGURES, result, width=COLUMN, title=False)
    assert list(drawn) == list(captions(FIGURES, result)) == ["", "bootstrap"]
    for figure in drawn.values():
        assert figure.get_figwidth() * 25.4 == pytest.approx(COLUMN)
        assert figure.get_suptitle() == ""
    without = dataclasses.replace(result, bootstrap=None)
    assert list(draw(FIGURES, without)) == [""]
    for function in (plot_kernel_bootstrap, caption_kernel_bootstrap):
        with pytest.raises(ValueError, match="bootstrap=200"):
            function(without)
