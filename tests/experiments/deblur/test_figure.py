from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from ndtools.experiments.deblur.config import DeblurConfig
from ndtools.experiments.deblur.figure import caption_deblur, plot_deblur
from ndtools.experiments.deblur.result import CROP
from ndtools.experiments.deblur.run import run
from tests.layout import faults


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photo") / "a.png"
    pixels = np.random.default_rng(0).random((200, 90, 3)).cumsum(0)
    Image.fromarray((pixels / pixels.max() * 255).astype(np.uint8)).save(path)
    return path


@pytest.fixture(scope="module")
def result(photo):
    return run(DeblurConfig(source=str(photo), blur="gaussian:1"))


def kernels_of(fig):
    return [ax.images[0] for ax in fig.axes if ax.images and ax.images[0].get_array().shape == (15, 15)]


def test_images_and_kernels(result):
    fig = plot_deblur(result)
    sharp, blurred = (ax.images[0].get_array() for ax in fig.axes[:2])
    assert sharp.shape == blurred.shape == (CROP, 90 - 14, 3)
    pixels, picture = result.detail()
    np.testing.assert_allclose(sharp, pixels[:, 7:-7, 7:-7].transpose(1, 2, 0) / 255)
    np.testing.assert_allclose(blurred, picture.clip(0, 1).transpose(1, 2, 0))
    kernels = kernels_of(fig)
    assert len(kernels) == 7 + 7
    limit = result.true_kernel.max()
    assert {image.get_clim() for image in kernels} == {(-limit, limit)}
    assert kernels[0].cmap(0.5) == (1, 1, 1, 1)
    for arm, row in zip(result.arms, (kernels[1:7], kernels[8:]), strict=False):
        for kernel, image in zip(arm.snapshots[[0, 1, 2, 3, 5, 6]], row, strict=True):
            np.testing.assert_array_equal(image.get_array(), kernel)
    np.testing.assert_array_equal(kernels[0].get_array(), result.true_kernel)
    np.testing.assert_array_equal(kernels[7].get_array(), result.arms[2].kernel)
    heads = [image.axes.get_xticklabels()[0].get_text() for image in kernels[:7]]
    assert heads == ["true\nkernel", "1", "2", "5", "10", "50", "100"]
    bar = fig.axes[-1]
    assert bar.get_ylabel() == "weight per pixel"
    least = min(image.get_array().min() for image in kernels)
    assert bar.get_ylim() == pytest.approx((max(-limit, min(least, -0.15 * limit)), limit))  # only what is used
    words = caption_deblur(result)
    assert "gaussian:1" in words
    assert f"2/λ_max = {result.arms[0].stability_limit:.3g}" in words


def test_the_images_are_drawn_where_there_is_most_detail(result):
    sharp = np.full((3, 400, 300), 100, dtype=np.uint8)
    sharp[:, 250:330, 90:150] = np.random.default_rng(0).integers(0, 255, (3, 80, 60))
    changed = replace(result, sharp=sharp, blurred=sharp[:, 7:-7, 7:-7] / 255)
    pixels, picture = changed.detail()
    assert picture.shape == (3, CROP, CROP)
    assert pixels.shape == (3, CROP + 14, CROP + 14)
    np.testing.assert_array_equal(pixels[:, 7:-7, 7:-7] / 255, picture)
    assert (picture != 100 / 255).sum() == (sharp != 100).sum()  # all of it
    again = replace(changed, sharp=pixels, blurred=picture).detail()  # as read back from files
    np.testing.assert_array_equal(again[0], pixels)
    np.testing.assert_array_equal(again[1], picture)


def names_of(ax):
    return {text.get_text(): text for text in ax.texts if text.get_text()}


def test_errors(result):
    ax = plot_deblur(result).axes[2]
    assert (ax.get_xscale(), ax.get_yscale(), ax.get_xlabel()) == ("log", "log", "iteration")
    gradient, deconv, closed = ax.lines
    for line, arm in ((gradient, result.arms[0]), (deconv, result.arms[1])):
        np.testing.assert_array_equal(line.get_xdata(), np.arange(1, 101))
        np.testing.assert_array_equal(line.get_ydata(), arm.kernel_error[1:])
    assert set(closed.get_ydata()) == {result.arms[2].kernel_error[0]}
    assert len({line.get_linestyle() for line in ax.lines}) == 3
    low, high = ax.get_ylim()
    for line in ax.lines:
        assert low < min(line.get_ydata()) <= max(line.get_ydata()) < high
    assert set(names_of(ax)) == {"plain gradient\ndescent", "with\ndeconvolution", "closed form"}


def test_an_exact_closed_form_does_not_squeeze_the_curves(photo):
    result = run(DeblurConfig(source=str(photo), blur="gaussian:1", noise=0.0, n_iter=5, iterations=20))
    assert result.arms[2].kernel_error[0] < 1e-8
    ax = plot_deblur(result).axes[2]
    assert ax.get_ylim()[0] > 1e-6
    assert any("below ↓" in name for name in names_of(ax))


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
    assert len(kernels_of(fig)) == 2 + 2
    assert fig.axes[0].images[0].get_array().max() > 0.5
    assert faults(fig) == []
