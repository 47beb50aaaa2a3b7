import numpy as np
import pytest

import ndtools as nd
from ndtools.data.images.synthetic import sample_images
from ndtools.drawing.style import COLUMN
from ndtools.experiments.kernels.figure_fit import caption_kernel_fit, plot_kernel_fit
from tests.layout import faults, smallest_type


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("leaves")
    for name, draw in sample_images()[:2]:
        draw().save(folder / f"{name.removeprefix('sample/')}.png")
    return folder


def test_profiles_responses_and_opponency(folder):
    result = nd.run_kernels(nd.KernelsConfig(source=str(folder), kernel_size=7, fit=True))
    profile, response, weights = plot_kernel_fit(result).axes
    assert profile.get_yscale() == "symlog"
    assert profile.get_xlabel().endswith("pixels")
    caption = caption_kernel_fit(result)
    for name, cell in zip("RGB", result.cells, strict=True):
        words = caption.split(f" {name}: ")[1].split(";")[0]
        assert f"surround σ = {cell.dog.surround_sigma:.3g} pixels" in words
        assert f"misfit {cell.dog.residual_off_center:.0%}" in words
    for container, cell in zip(profile.containers, result.cells, strict=True):
        np.testing.assert_array_equal(container.lines[0].get_ydata(), cell.profile.mean)
    for line, cell in zip(response.lines[:3], result.cells, strict=True):
        np.testing.assert_array_equal(line.get_xdata(), cell.response.frequency)
        np.testing.assert_array_equal(line.get_ydata(), cell.response.magnitude)
    assert (response.get_xscale(), response.get_yscale()) == ("log", "log")
    (table,) = weights.images
    np.testing.assert_array_equal(table.get_array(), 100 * result.opponency)
    for value, colour in zip(
        result.opponency.flat, table.cmap(table.norm(table.get_array())).reshape(-1, 4), strict=True
    ):
        assert (value > 0) == (colour[0] > colour[2])  # orange or blue
        assert colour[:3].min() > 0.6  # and pale
    assert [float(text.get_text().replace("−", "-")) for text in weights.texts] == pytest.approx(
        100 * result.opponency.ravel(), abs=0.5 * 10 ** -len(weights.texts[0].get_text().split(".")[1])
    )


def test_without_fits_there_is_no_picture(folder):
    result = nd.run_kernels(nd.KernelsConfig(source=str(folder), kernel_size=3))
    for function in (plot_kernel_fit, caption_kernel_fit):
        with pytest.raises(ValueError, match="fit=True"):
            function(result)


@pytest.mark.parametrize(
    ("kernel_size", "gray", "width", "eps"),
    [(9, False, COLUMN, 1e-3), (9, False, 120, 1e-3), (1, True, 60, 1e-3), (15, False, COLUMN, 0.4)],
)
def test_layout(folder, kernel_size, gray, width, eps):
    result = nd.run_kernels(nd.KernelsConfig(source=str(folder), kernel_size=kernel_size, gray=gray, fit=True, eps=eps))
    fig = plot_kernel_fit(result, width=width)
    assert faults(fig) == []
    assert smallest_type(fig) >= 5.5
    slope = [words.get_window_extent() for words in fig.axes[1].texts]
    assert len(slope) == (kernel_size > 1)
    for words in slope:  # which do not touch the frame
        frame, margin = fig.axes[1].get_window_extent(), 2 * fig.dpi / 72
        assert words.x1 < frame.x1 - margin and words.y0 > frame.y0 + margin
    assert ("no fit to so few pixels" in caption_kernel_fit(result)) == (kernel_size == 1)


def test_dead_leaves_are_whitened_like_f(folder):
    """Their power spectrum falls about like f^-2, so |H| of grey kernels rises about like f."""
    result = nd.run_kernels(nd.KernelsConfig(source="sample", images=8, kernel_size=15, gray=True, eps=1e-4, fit=True))
    (cell,) = result.cells
    assert cell.response.low_frequency_slope == pytest.approx(1, abs=0.3)
    assert cell.response.dc < 0.1 * cell.response.peak
