import os

import numpy as np
import pytest
from PIL import Image
from scipy import signal

from ndtools.errors import DataError, NotPositiveDefiniteError, NumericalWarning, OptionError
from ndtools.experiments.deblur.blur import gaussian_kernel
from ndtools.experiments.deblur.config import DeblurConfig
from ndtools.experiments.deblur.run import SHARE_OF_LIMIT, run
from tests.oracles.patches import patch_matrix


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photo") / "a.png"
    pixels = np.random.default_rng(0).random((50, 60, 3)).cumsum(0).cumsum(1)
    pixels = pixels / pixels.max() + 0.2 * np.random.default_rng(1).random((50, 60, 3))
    Image.fromarray((pixels / pixels.max() * 255).astype(np.uint8)).save(path)
    return path


def config(photo, **changes):
    return DeblurConfig(
        **{"source": str(photo), "blur": "gaussian:0.8", "kernel_size": 7, "iterations": 30, "noise": 0.0, **changes}
    )


def test_the_blurred_image_is_the_convolution_plus_noise(photo):
    pixels = np.asarray(Image.open(photo)).transpose(2, 0, 1) / 255
    clean, noisy = run(config(photo)), run(config(photo, noise=0.1))
    expected = np.stack([signal.convolve(plane, gaussian_kernel(0.8), mode="valid") for plane in pixels])
    np.testing.assert_allclose(clean.blurred, expected, atol=1e-12)
    noise = noisy.blurred - expected
    assert noise.std() == pytest.approx(0.1, rel=0.03)
    assert abs(np.corrcoef(noise.reshape(3, -1))[0, 1]) < 0.1  # of its own in each channel
    np.testing.assert_array_equal(run(config(photo, noise=0.1)).blurred, noisy.blurred)
    assert not np.array_equal(run(config(photo, noise=0.1, seed=1)).blurred, noisy.blurred)


def test_arms(photo):
    result = run(config(photo, noise=0.01))
    gradient, deconv, closed = result.arms
    assert [arm.name for arm in result.arms] == ["gradient", "deconv", "closed_form"]
    assert gradient.lr == pytest.approx(SHARE_OF_LIMIT * gradient.stability_limit)
    assert deconv.lr == 1
    assert deconv.stability_limit >= 2 - 1e-6  # Newton-Schulz stays below the inverse square root
    pixels = np.asarray(Image.open(photo)).transpose(2, 0, 1) / 255
    rows = [patch_matrix(plane[None], 7) for plane in pixels]
    x = np.concatenate([r - r.mean(0) for r in rows])
    y = np.concatenate([(plane - plane.mean()).ravel() for plane in result.blurred])
    assert gradient.stability_limit == pytest.approx(2 / np.linalg.eigvalsh(x.T @ x / len(x))[-1])
    w, losses = np.zeros(49), []
    for n in range(31):
        losses.append(((x @ w - y) ** 2).mean() / 2)
        if n in gradient.iterations:
            np.testing.assert_allclose(
                gradient.snapshots[list(gradient.iterations).index(n)], w[::-1].reshape(7, 7), atol=1e-10
            )
        error = np.linalg.norm(w[::-1].reshape(7, 7) - result.true_kernel) / np.linalg.norm(result.true_kernel)
        assert gradient.kernel_error[n] == pytest.approx(error)
        w = w - gradient.lr * x.T @ (x @ w - y) / len(x)
    np.testing.assert_allclose(gradient.loss, losses, rtol=1e-9)
    best = np.linalg.lstsq(x, y, rcond=None)[0]
    np.testing.assert_allclose(closed.kernel, best[::-1].reshape(7, 7), atol=1e-10)
    assert closed.loss == pytest.approx([((x @ best - y) ** 2).mean() / 2])
    assert gradient.kernel_error[0] == deconv.kernel_error[0] == 1
    assert (gradient.loss >= closed.loss).all()
    assert list(deconv.iterations) == [1, 2, 5, 10, 20, 30]
    np.testing.assert_array_equal(deconv.snapshots[-1], deconv.kernel)
    assert deconv.kernel_error[-1] < 0.5 * gradient.kernel_error[-1]
    reached = deconv.iterations_to(0.5)
    assert deconv.kernel_error[reached] <= 0.5 < deconv.kernel_error[reached - 1]
    assert gradient.iterations_to(0) is closed.iterations_to(0.5) is None
    at, error = deconv.best()
    assert deconv.kernel_error[at] == error == deconv.kernel_error.min()


def test_without_noise_the_closed_form_is_the_kernel(photo):
    result = run(config(photo, blur="motion:4,20"))
    assert result.arms[2].kernel_error[0] < 1e-8
    assert result.arms[2].loss[0] < 1e-15
    with_exact_root = run(config(photo, n_iter=40, eps=0.0, noise=0.05))
    np.testing.assert_allclose(with_exact_root.arms[1].snapshots[0], with_exact_root.arms[2].kernel, atol=1e-7)


def test_the_kernel_of_a_file_comes_back_as_it_is(photo, tmp_path):
    kernel = np.zeros((3, 5))
    kernel[0, 0], kernel[0, 1], kernel[2, 3] = 3, 2, 5  # no symmetry
    np.save(tmp_path / "k.npy", kernel)
    np.savez(tmp_path / "k.npz", kernel=kernel.astype(np.float32))
    Image.fromarray((kernel * 50).astype(np.uint8)).save(tmp_path / "k.png")
    expected = np.zeros((7, 7))
    expected[2:5, 1:6] = kernel / 10
    for name in ("k.npy", "k.npz", "k.png"):
        result = run(config(photo, blur=str(tmp_path / name)))
        np.testing.assert_allclose(result.true_kernel, expected, atol=1e-15)
        np.testing.assert_allclose(result.arms[2].kernel, expected, atol=1e-9)


def test_sizes_by_default(photo):
    assert run(config(photo, kernel_size=None)).true_kernel.shape == (15, 15)
    assert run(config(photo, kernel_size=None, blur="motion:16,90")).true_kernel.shape == (17, 17)
    with pytest.raises(OptionError, match="kernel_size: 7 cannot hold the blur, of 15×15 pixels; take 15 or more"):
        run(config(photo, blur="gaussian:2"))
    with pytest.raises(OptionError, match="blur: is 71×71 pixels large; at most 51"):
        run(config(photo, kernel_size=None, blur="gaussian:10"))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("noise", -1.0),
        ("noise", np.nan),
        ("kernel_size", 4),
        ("kernel_size", 53),
        ("iterations", 0),
        ("iterations", 10_001),
        ("n_iter", 0),
        ("eps", -1.0),
        ("blur", "gaussian"),
        ("blur", "gaussian:0"),
        ("blur", "gaussian:two"),
        ("blur", "gaussian:2,3"),
        ("blur", "gaussian:nan"),
        ("blur", "motion:9"),
        ("blur", "motion:-9,0"),
        ("blur", "motion:9,inf"),
        ("blur", "motion:1e9,0"),
    ],
)
def test_bad_options(option, value):
    with pytest.raises(OptionError) as error:
        DeblurConfig(**{option: value})
    assert error.value.option == option


def test_bad_kernels_and_images(photo, tmp_path):
    with pytest.raises(DataError, match="no such blur: 'gausian_2.png'"):
        run(config(photo, blur="gausian_2.png"))
    for misspelt in ("gausian:2", "motion-blur: 9, 30", "box"):
        with pytest.raises(OptionError, match="must be gaussian:SIGMA, motion:LENGTH,ANGLE, or a file, got") as raised:
            run(config(photo, blur=misspelt))
        assert raised.value.option == "blur"
    for i, kernel in enumerate(
        (np.ones((2, 3)), np.ones(3), np.zeros((3, 3)), -np.eye(3), np.full((3, 3), np.nan), np.full((3, 3), np.inf))
    ):
        np.save(tmp_path / f"{i}.npy", kernel)
        with pytest.raises(DataError, match=f"{i}.npy h"):
            run(config(photo, blur=str(tmp_path / f"{i}.npy")))
    (tmp_path / "k.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="k.png"):
        run(config(photo, blur=str(tmp_path / "k.png")))
    with pytest.raises(DataError, match="60×50 pixels, where a 31×31 kernel needs 62"):
        run(config(photo, kernel_size=31))
    Image.new("RGB", (40, 40), (10, 200, 3)).save(tmp_path / "flat.png")
    with pytest.raises(DataError, match="one colour only"):
        run(config(tmp_path / "flat.png"))
    stripes = np.tile(np.random.default_rng(0).integers(0, 255, 40, dtype=np.uint8), (40, 1))
    Image.fromarray(stripes).save(tmp_path / "stripes.png")
    with pytest.raises(NotPositiveDefiniteError):
        run(config(tmp_path / "stripes.png", eps=0.0))
    with pytest.warns(NumericalWarning, match="determines 7 of the 49"):
        run(config(tmp_path / "stripes.png"))


def test_a_missing_image_is_said_before_a_small_kernel(tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        run(DeblurConfig(source=str(tmp_path / "missing.png"), kernel_size=5))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
@pytest.mark.parametrize("name", ["blur.png", "blur.npy"])
def test_a_pipe_is_no_blur(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match="a pipe, not a regular file"):
        run(DeblurConfig(blur=str(tmp_path / name)))
