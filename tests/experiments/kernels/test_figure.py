import matplotlib.pyplot
import numpy as np
import pytest

from ndtools.experiments.kernels.figure import plot_kernels
from ndtools.experiments.kernels.run import KernelsConfig, run


@pytest.fixture(scope="module")
def colour():
    return run(KernelsConfig(images=2, kernel_size=5))


def test_grid_shows_every_kernel_on_one_symmetric_scale(colour):
    fig = plot_kernels(colour)
    axes = np.array(fig.axes[:15]).reshape(3, 5)
    norms = set()
    for i in range(3):
        for j in range(3):
            (image,) = axes[i, j].images
            np.testing.assert_array_equal(image.get_array(), colour.kernels[i, j])
            norms.add(id(image.norm))
            assert image.cmap(image.norm(0.0))[:3] == pytest.approx((1, 1, 1), abs=0.01)
    assert len(norms) == 1
    assert image.norm.vmax == -image.norm.vmin == np.abs(colour.kernels).max()
    assert [ax.get_title() for ax in axes[0, :3]] == ["from input R", "from input G", "from input B"]
    assert [ax.get_ylabel() for ax in axes[:, 0]] == [f"output {c}\nΔy / pixels" for c in "RGB"]
    assert {ax.get_xlabel() for ax in axes[-1]} == {"Δx / pixels"}


def test_profiles_are_the_middle_rows(colour):
    axes = np.array(plot_kernels(colour).axes[:15]).reshape(3, 5)
    for i in range(3):
        lines = [line for line in axes[i, -1].lines if line.get_label().startswith("from")]
        assert len({(line.get_color(), line.get_linestyle(), line.get_marker()) for line in lines}) == 3
        for j, line in enumerate(lines):
            x, y = line.get_data()
            assert list(x) == [-2, -1, 0, 1, 2]
            np.testing.assert_array_equal(y, colour.kernels[i, j, 2])
        assert axes[i, -1].get_yscale() == "symlog"


def test_colour_pictures_are_grey_where_the_kernel_is_zero(colour):
    kernels = colour.kernels.copy()
    kernels[:, :, 0, 0] = 0
    object.__setattr__(colour, "kernels", kernels)
    axes = np.array(plot_kernels(colour).axes[:15]).reshape(3, 5)
    picture = np.asarray(axes[0, 3].images[0].get_array())
    assert picture.shape == (5, 5, 3)
    np.testing.assert_allclose(picture[0, 0], 0.5)
    assert picture[2, 2, 0] == picture.max()  # red cells prefer red at the centre


@pytest.mark.parametrize(("gray", "kernel_size"), [(True, 3), (False, 1)])
def test_small_cases_draw_without_pyplot(gray, kernel_size):
    result = run(KernelsConfig(images=2, gray=gray, kernel_size=kernel_size))
    plot_kernels(result).canvas.draw()
    assert matplotlib.pyplot.get_fignums() == []
