import numpy as np
import pytest

import ndtools as nd
from ndtools.experiments.kernels.figure_fit import plot_kernel_fit


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return nd_sample(tmp_path_factory.mktemp("leaves"))


def nd_sample(folder):
    from ndtools.data.images.synthetic import write_sample

    write_sample(folder, count=2)
    return folder


def test_profiles_responses_and_opponency(folder):
    result = nd.run_kernels(nd.KernelsConfig(source=str(folder), kernel_size=7, fit=True))
    profile, response, weights, _ = plot_kernel_fit(result).axes
    assert profile.get_yscale() == "symlog"
    assert profile.get_xlabel().endswith("pixels")
    labels = [text.get_text() for text in profile.get_legend().get_texts()]
    for label, cell in zip(labels, result.cells, strict=True):
        assert f"σs {cell.dog.surround_sigma:.3g} px" in label
        assert f"misfit off centre {cell.dog.residual_off_center:.0%}" in label
    for line, cell in zip(response.lines[:3], result.cells, strict=True):
        np.testing.assert_array_equal(line.get_xdata(), cell.response.frequency)
        np.testing.assert_array_equal(line.get_ydata(), cell.response.magnitude)
    assert (response.get_xscale(), response.get_yscale()) == ("log", "log")
    np.testing.assert_array_equal(weights.images[0].get_array(), result.opponency)


def test_without_fits_there_is_no_picture(folder):
    result = nd.run_kernels(nd.KernelsConfig(source=str(folder), kernel_size=3))
    with pytest.raises(ValueError, match="fit=True"):
        plot_kernel_fit(result)


def test_dead_leaves_are_whitened_like_f(folder):
    """Their power spectrum falls about like f^-2, so |H| of grey kernels rises about like f."""
    result = nd.run_kernels(nd.KernelsConfig(source="sample", images=8, kernel_size=15, gray=True, eps=1e-4, fit=True))
    (cell,) = result.cells
    assert cell.response.low_frequency_slope == pytest.approx(1, abs=0.3)
    assert cell.response.dc < 0.1 * cell.response.peak
