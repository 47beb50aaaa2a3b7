"""The pictures of sparsity, covariance and deconvolution."""

import numpy as np
import pytest
from PIL import Image

from ndtools.experiments.covariance.config import CovarianceConfig
from ndtools.experiments.covariance.figure import (
    caption_correlation,
    caption_covariance,
    plot_correlation,
    plot_covariance,
)
from ndtools.experiments.covariance.run import run as run_covariance
from ndtools.experiments.deconvolve.config import DeconvolveConfig
from ndtools.experiments.deconvolve.figure import caption_deconvolve, plot_deconvolve
from ndtools.experiments.deconvolve.run import run as run_deconvolve
from ndtools.experiments.sparsity.config import SparsityConfig
from ndtools.experiments.sparsity.figure import plot_sparsity
from ndtools.experiments.sparsity.run import run as run_sparsity
from tests.commands import save


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
        width = result.edges[1] - result.edges[0]
        for line in ax.lines:  # references have the variance of what they refer to, averaged over bins
            x, y = line.get_data()
            assert np.trapezoid(y * x**2, x) == pytest.approx(1 + width**2 / 12, rel=0.02)
    (legend,) = figure.legends
    shape = result.after.measures["ggd_shape"].value
    assert [text.get_text() for text in legend.get_texts()] == [
        "Gaussian",
        "Laplace",
        f"generalised Gaussian, shape {shape:.3g} (fit to after)",
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
    assert f"condition {result.deconvolution.condition:.3g}" in caption_covariance(result)


@pytest.mark.filterwarnings("ignore:channel 2 is constant")
def test_correlation(folder):
    """Of the channel that is constant there is none: grey in the picture."""
    pixels = np.array(Image.open(folder / "1.png")) * np.uint8([1, 1, 0])
    (folder / "yellow").mkdir()
    Image.fromarray(pixels).save(folder / "yellow" / "0.png")
    result = run_covariance(CovarianceConfig(source=str(folder / "yellow"), kernel_size=2))
    before, after, bar = plot_correlation(result).axes
    expected = np.corrcoef(
        np.stack([pixels[i : i + 29, j : j + 39, c].ravel() for c in (0, 1) for i in (0, 1) for j in (0, 1)])
    )
    found = before.images[0].get_array()
    np.testing.assert_allclose(found[:8, :8], expected, atol=1e-6)
    assert found.mask[8:].all() and found.mask[:, 8:].all() and not found.mask[:8, :8].any()  # noqa: PT018
    left = after.images[0].get_array()[:8, :8]
    assert np.abs(left - np.eye(8)).sum() / 56 < np.abs(expected - np.eye(8)).sum() / 56
    within = np.kron(np.eye(2), np.ones((4, 4))) - np.eye(8)
    assert result.after.within_channel == pytest.approx(np.abs(left)[within > 0].mean())
    assert before.images[0].get_clim() == after.images[0].get_clim() == (-1, 1)
    assert bar.get_ylabel() == "correlation"
    assert f"{result.after.within_channel:.3g} within channels" in caption_correlation(result)
    assert "are grey" in caption_correlation(result)


def test_deconvolve(folder):
    result = run_deconvolve(DeconvolveConfig(source=str(folder / "1.png")))
    panels = plot_deconvolve(result).axes
    assert [ax.get_title(loc="left") for ax in panels] == list("abcd")
    shown = [ax.images[0].get_array() for ax in panels]
    np.testing.assert_array_equal(shown[0], result.pixels.transpose(1, 2, 0))
    np.testing.assert_array_equal(shown[2], result.picture())
    for values, source in ((shown[1], result.centred), (shown[3], result.deconvolved)):
        assert values.min() >= 0
        assert values.max() == 1
        assert np.mean(values == 1) == pytest.approx(0.005, abs=0.002)
        assert np.corrcoef(values.ravel(), np.abs(source).transpose(1, 2, 0).ravel())[0, 1] > 0.98
    caption = caption_deconvolve(result)
    for side in (result.before, result.after):
        assert f"kurtosis {side.measures['kurtosis'].value:.3g}" in caption


def test_the_picture_of_a_deconvolved_image_is_clipped_at_its_extremes(folder):
    result = run_deconvolve(DeconvolveConfig(source=str(folder / "1.png")))
    limit = np.percentile(np.abs(result.deconvolved), 99.5)
    expected = 127.5 * (1 + (result.deconvolved / limit).clip(-1, 1))
    np.testing.assert_allclose(result.picture().transpose(2, 0, 1), expected, atol=0.51)
    assert np.mean(np.abs(expected - 127.5) == 127.5) == pytest.approx(0.005, abs=0.001)


@pytest.mark.parametrize(("size", "columns"), [((40, 30), 2), ((20, 30), 4), ((90, 20), 1)])
def test_panels_of_a_deconvolved_image_follow_its_shape(folder, size, columns):
    save(folder / "shape.png", size=size)
    figure = plot_deconvolve(run_deconvolve(DeconvolveConfig(source=str(folder / "shape.png"))))
    assert figure.axes[0].get_gridspec().ncols == columns
