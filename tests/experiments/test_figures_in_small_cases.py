"""Figures of one channel, one epoch or a sharp peak: everything that is drawn lies within the frame."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from ndtools.experiments.kernels.config import KernelsConfig
from ndtools.experiments.kernels.figure import plot_kernels
from ndtools.experiments.kernels.figure_bootstrap import caption_kernel_bootstrap, plot_kernel_bootstrap
from ndtools.experiments.kernels.figure_fit import caption_kernel_fit, plot_kernel_fit
from ndtools.experiments.kernels.run import run as run_kernels
from ndtools.experiments.mlp.config import MlpConfig
from ndtools.experiments.mlp.figure import plot_mlp
from ndtools.experiments.mlp.run import run as run_mlp
from ndtools.experiments.sparsity.config import SparsityConfig
from ndtools.experiments.sparsity.figure import plot_sparsity
from ndtools.experiments.sparsity.run import run as run_sparsity
from tests.small_set import write_small_set

pytestmark = pytest.mark.filterwarnings("ignore::ndtools.errors.NumericalWarning")


@pytest.fixture(scope="module")
def grey():
    return run_kernels(KernelsConfig(images=3, gray=True, kernel_size=5, fit=True, bootstrap=3))


def texts_outside(figure):
    """Return the titles of a figure and its axes that reach beyond its edges."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    width, height = figure.bbox.size
    titles = [figure._suptitle, *(ax.title for ax in figure.axes)]
    boxes = {title.get_text(): title.get_window_extent(renderer) for title in titles}
    return [text for text, box in boxes.items() if box.x0 < 0 or box.y0 < 0 or box.x1 > width or box.y1 > height]


def test_titles_of_grey_kernels_are_whole(grey):
    figures = [plot_kernels(grey), plot_kernel_fit(grey), plot_kernel_bootstrap(grey)]
    assert [texts_outside(figure) for figure in figures] == [[], [], []]
    renderer = FigureCanvasAgg(figures[0]).get_renderer()
    title = figures[0]._suptitle.get_window_extent(renderer)
    assert title.y0 > max(ax.title.get_window_extent(renderer).y1 for ax in figures[0].axes)


def test_one_channel_opposes_none(grey):
    assert len(plot_kernel_fit(grey).axes) == 2  # no table of one number, which the caption has
    share = 100 * grey.opponency[0, 0]
    assert f"The weights sum to {share:.2g} % of the sum of their magnitudes" in caption_kernel_fit(grey)


def test_the_bootstrap_claims_what_was_measured(grey):
    assert "within two standard errors" in caption_kernel_bootstrap(grey)
    (curve,) = [ax for ax in plot_kernel_bootstrap(grey).axes if ax.get_xlabel() == "number of images n"]
    assert len(curve.containers) == 1  # the error bars


def test_one_epoch_has_one_tick(tmp_path):
    folder = write_small_set(tmp_path / "blobs")
    result = run_mlp(MlpConfig(dataset=str(folder), hidden=(4,), epochs=1, batch_size=50, repeats=1))
    _, accuracy = plot_mlp(result).axes
    low, high = accuracy.get_xlim()
    assert [tick for tick in accuracy.get_xticks() if low <= tick <= high] == [1]


def test_peaks_of_densities_are_within_the_frame():
    """The density of shape 0.6 has a cusp above all bins."""
    result = run_sparsity(SparsityConfig(images=4, eps=1e-7, bootstrap=0))
    assert result.after.measures["ggd_shape"].value < 0.8
    figure = plot_sparsity(result)
    FigureCanvasAgg(figure).draw()
    linear, logarithmic = figure.axes
    for ax in (linear, logarithmic):
        curves = [line.get_ydata() for line in ax.lines]
        assert len(curves) == 3
        assert max(curve.max() for curve in curves) < ax.get_ylim()[1]
        x = ax.lines[0].get_xdata()
        for curve in curves:  # densities, all but the tails beyond the bins
            assert np.trapezoid(curve, x) == pytest.approx(1, abs=1e-3)
