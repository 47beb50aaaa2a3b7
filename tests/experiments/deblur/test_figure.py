from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from ndtools.experiments.deblur.config import DeblurConfig
from ndtools.experiments.deblur.figure import plot_deblur
from ndtools.experiments.deblur.result import CROP
from ndtools.experiments.deblur.run import run


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photo") / "a.png"
    pixels = np.random.default_rng(0).random((200, 90, 3)).cumsum(0)
    Image.fromarray((pixels / pixels.max() * 255).astype(np.uint8)).save(path)
    return path


@pytest.fixture(scope="module")
def result(photo):
    return run(DeblurConfig(source=str(photo), blur="gaussian:1"))


def titled(fig):
    return {ax.get_title(): ax for ax in fig.axes if ax.get_title()}


def test_images_and_kernels(result):
    fig = plot_deblur(result)
    axes = titled(fig)
    sharp = axes["sharp image, middle 76×160"].images[0].get_array()
    blurred = axes["blurred image, middle 76×160"].images[0].get_array()
    assert sharp.shape == blurred.shape == (CROP, 90 - 14, 3)
    middle = result.sharp[:, 20:180, 7:-7].transpose(1, 2, 0) / 255
    np.testing.assert_allclose(sharp, middle)
    np.testing.assert_allclose(blurred, result.blurred[:, 13:173].clip(0, 1).transpose(1, 2, 0))
    kernels = [ax.images[0] for ax in fig.axes if ax.images and ax.images[0].get_array().shape == (15, 15)]
    assert len(kernels) == 1 + 6 + 6 + 1
    limit = result.true_kernel.max()
    assert {image.get_clim() for image in kernels} == {(-limit, limit)}
    assert kernels[0].cmap(0.5) == (1, 1, 1, 1)
    for kernel, image in zip(result.arms[0].snapshots[[0, 1, 2, 3, 5, 6]], kernels[1:7], strict=True):
        np.testing.assert_array_equal(image.get_array(), kernel)
    np.testing.assert_array_equal(axes["closed form\n(no ridge)"].images[0].get_array(), result.arms[2].kernel)
    for n in (2, 5, 10, 50, 100):
        assert f"{n} iterations" in axes
    assert "weight per pixel" in fig.axes[-1].get_ylabel()
    words = fig.get_suptitle()
    assert "gaussian:1" in words
    assert f"2/λ_max = {result.arms[0].stability_limit:.3g}" in words


def test_errors(result):
    ax = titled(plot_deblur(result))["error by iteration"]
    assert (ax.get_xscale(), ax.get_yscale(), ax.get_xlabel()) == ("log", "log", "iteration")
    assert "‖estimate − true‖" in ax.get_ylabel()
    gradient, deconv, closed = ax.lines
    for line, arm in ((gradient, result.arms[0]), (deconv, result.arms[1])):
        np.testing.assert_array_equal(line.get_xdata(), np.arange(1, 101))
        np.testing.assert_array_equal(line.get_ydata(), arm.kernel_error[1:])
    assert set(closed.get_ydata()) == {result.arms[2].kernel_error[0]}
    assert len({line.get_linestyle() for line in ax.lines}) == 3
    low, high = ax.get_ylim()
    for line in ax.lines:
        assert low < min(line.get_ydata()) <= max(line.get_ydata()) < high
    names = sorted((text.get_position()[1], text.get_text()) for text in ax.texts)
    assert {name for _, name in names} == {
        "gradient descent", "gradient descent\nwith deconvolution", "closed form",
    }  # fmt: skip
    assert all(b[0] - a[0] > 0.13 for a, b in zip(names, names[1:], strict=False))


def test_an_exact_closed_form_does_not_squeeze_the_curves(photo):
    result = run(DeblurConfig(source=str(photo), blur="gaussian:1", noise=0.0, n_iter=5, iterations=20))
    assert result.arms[2].kernel_error[0] < 1e-8
    ax = titled(plot_deblur(result))["error by iteration"]
    assert ax.get_ylim()[0] > 1e-6
    assert any("below ↓" in text.get_text() for text in ax.texts)


def test_one_iteration_of_a_grey_deep_image(result):
    arms = tuple(
        replace(arm, kernel_error=arm.kernel_error[:2], iterations=arm.iterations[:1], snapshots=arm.snapshots[:1])
        for arm in result.arms[:2]
    )
    changed = replace(
        result,
        config=DeblurConfig(iterations=1),
        sharp=(result.sharp / 255).astype(np.float32),
        arms=(*arms, result.arms[2]),
    )
    fig = plot_deblur(changed)
    assert "1 iteration" in titled(fig)
    assert titled(fig)["sharp image, middle 76×160"].images[0].get_array().max() > 0.5
    fig.canvas.draw()
