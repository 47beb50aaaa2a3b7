"""The pictures of sparsity, covariance and deconvolution."""

import numpy as np
import pytest
from PIL import Image

from ndtools.experiments.covariance.config import CovarianceConfig
from ndtools.experiments.covariance.figure import plot_covariance
from ndtools.experiments.covariance.run import run as run_covariance
from ndtools.experiments.deconvolve.config import DeconvolveConfig
from ndtools.experiments.deconvolve.figure import plot_deconvolve
from ndtools.experiments.deconvolve.run import run as run_deconvolve
from ndtools.experiments.sparsity.config import SparsityConfig
from ndtools.experiments.sparsity.figure import plot_sparsity
from ndtools.experiments.sparsity.run import run as run_sparsity


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for i in range(3):
        pixels = rng.standard_normal((30, 40, 3)).cumsum(0).cumsum(1)
        pixels = (pixels - pixels.min()) / np.ptp(pixels) * 255
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.png")
    return folder


def test_sparsity(folder):
    result = run_sparsity(SparsityConfig(source=str(folder), bins=21, bootstrap=0))
    figure = plot_sparsity(result)
    linear, logarithmic = figure.axes
    assert (linear.get_yscale(), logarithmic.get_yscale()) == ("linear", "log")
    for ax in (linear, logarithmic):
        before, after = (patch.get_data() for patch in ax.patches)
        np.testing.assert_array_equal(before.values, result.before.density)
        np.testing.assert_array_equal(after.values, result.after.density)
        np.testing.assert_array_equal(before.edges, after.edges)
        assert "σ" in ax.get_xlabel()
        assert len(ax.lines) == 3
        for line in ax.lines:  # references have the variance of what they refer to
            x, y = line.get_data()
            assert np.trapezoid(y * x**2, x) == pytest.approx(1, rel=0.02)
    (legend,) = figure.legends
    shape = result.after.measures["ggd_shape"].value
    assert [text.get_text() for text in legend.get_texts()] == [
        "Gaussian, equal variance",
        "Laplace, equal variance",
        f"generalised Gaussian, shape {shape:.3g} as fitted to after",
        "before: pixels − mean",
        "after: deconvolved",
    ]


def test_covariance(folder):
    result = run_covariance(CovarianceConfig(source=str(folder)))
    before, after, bar = plot_covariance(result).axes
    for ax, matrix in ((before, result.covariance.matrix.numpy()), (after, result.whitened)):
        image = ax.images[0]
        np.testing.assert_allclose(image.get_array(), matrix / matrix.diagonal().mean())
        assert np.abs(image.get_array()).max() <= image.norm.vmax == -image.norm.vmin
        assert [label.get_text() for label in ax.get_xticklabels()] == ["R", "G", "B"]
    assert before.images[0].norm.vmax == after.images[0].norm.vmax
    assert bar.get_ylabel() == "covariance / mean variance"


def test_deconvolve(folder):
    result = run_deconvolve(DeconvolveConfig(source=str(folder / "1.png")))
    panels = plot_deconvolve(result).axes
    assert [ax.get_title()[:3] for ax in panels] == ["(a)", "(b)", "(c)", "(d)"]
    shown = [ax.images[0].get_array() for ax in panels]
    np.testing.assert_array_equal(shown[0], result.pixels.transpose(1, 2, 0))
    np.testing.assert_array_equal(shown[2], result.picture())
    for values, source in ((shown[1], result.centred), (shown[3], result.deconvolved)):
        assert values.min() >= 0
        assert values.max() == 1
        assert np.mean(values == 1) == pytest.approx(0.005, abs=0.002)
        assert np.corrcoef(values.ravel(), np.abs(source).transpose(1, 2, 0).ravel())[0, 1] > 0.98
