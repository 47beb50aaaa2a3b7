import dataclasses

import numpy as np
import pytest
from PIL import Image

from ndtools.errors import DataError, OptionError
from ndtools.experiments.kernels.run import KernelsConfig, _channel_kernel, run
from tests.oracles.patches import patch_covariance
from tests.places import real


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(6):
        pixels = (rng.random((20 + i, 30, 3)).cumsum(0) / 30 * 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    return tmp_path


def pixels_of(folder):
    images = []
    for path in sorted(folder.glob("*.png")):
        with Image.open(path) as image:
            images.append(np.asarray(image).transpose(2, 0, 1) / 255)
    return images


def test_result_is_that_of_the_patch_matrix(folder):
    result = run(KernelsConfig(source=str(folder), kernel_size=3, eps=0.01))
    count, mean, covariance = patch_covariance(pixels_of(folder), 3)
    assert result.numbers()["patches"] == count
    arrays = result.arrays()
    assert {name: (a.shape, a.dtype.name) for name, a in arrays.items()} == {
        "kernels": ((3, 3, 3, 3), "float64"),
        "covariance": ((27, 27), "float64"),
        "mean": ((27,), "float64"),
        "deconvolution": ((27, 27), "float64"),
        "eigenvalues": ((27,), "float64"),
        "space": ((4,), "uint8"),
    }
    np.testing.assert_allclose(arrays["covariance"], covariance, rtol=0, atol=1e-7)
    np.testing.assert_allclose(arrays["mean"], mean, rtol=0, atol=1e-7)
    np.testing.assert_allclose(arrays["eigenvalues"], np.linalg.eigvalsh(covariance), rtol=0, atol=1e-6)
    whitened = arrays["deconvolution"] @ (covariance + 0.01 * np.eye(27)) @ arrays["deconvolution"]
    np.testing.assert_allclose(whitened, np.eye(27), rtol=0, atol=1e-4)
    np.testing.assert_array_equal(arrays["kernels"][1, 2].ravel(), arrays["deconvolution"][13, 18:27])


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_threads_change_rounding_only(folder, jobs):
    one = run(KernelsConfig(source=str(folder), kernel_size=3, jobs=1)).arrays()
    many = run(KernelsConfig(source=str(folder), kernel_size=3, jobs=jobs)).arrays()
    np.testing.assert_allclose(many["covariance"], one["covariance"], rtol=0, atol=1e-6 * one["covariance"].max())


def test_what_cannot_be_used_is_named(folder):
    (folder / "broken.png").write_bytes(b"no picture")
    Image.new("RGB", (30, 2)).save(folder / "low.png")
    result = run(KernelsConfig(source=str(folder), kernel_size=3))
    assert result.images.read == 6
    reasons = {s.name.rsplit("/", 1)[-1]: s.reason for s in result.images.skipped}
    assert set(reasons) == {"broken.png", "low.png"}
    assert reasons["low.png"] == "30×2 pixels, smaller than a 3×3 patch"
    assert result.numbers()["images"]["skipped"][0].keys() == {"path", "reason"}


def test_no_usable_image_is_an_error(folder):
    with pytest.raises(DataError, match=r"6 tried.*smaller than a 31×31"):
        run(KernelsConfig(source=str(folder), kernel_size=31))


def test_subset_gray_and_im2col(folder):
    result = run(
        KernelsConfig(source=str(folder), images=2, gray=True, kernel_size=3, covariance="im2col", stride=2, seed=3)
    )
    assert result.images.read == 2
    assert result.kernels.shape == (1, 1, 3, 3)
    assert result.channels[0].name == "gray"
    again = run(dataclasses.replace(result.config, jobs=1))
    # Covariances differ by rounding, which D multiplies by no more than that of the ridge.
    rounding = 1e-6 * result.arrays()["covariance"].max() / result.config.eps**1.5
    np.testing.assert_allclose(again.kernels, result.kernels, rtol=0, atol=rounding)
    assert np.abs(result.kernels).max() > 100 * rounding


def test_progress_reaches_the_total(folder):
    calls = []
    (folder / "self.png").symlink_to(folder / "self.png")
    run(
        KernelsConfig(source=str(folder), kernel_size=3),
        progress=lambda done, total: calls.append((done, total)),
    )
    assert calls[-1] == (7, 7)
    assert calls == sorted(calls)


@pytest.mark.parametrize(
    ("center", "around", "polarity", "ratio"),
    [(4.0, -1.0, "on", 4.0), (-4.0, 1.0, "off", -4.0), (4.0, 1.0, None, 4.0), (4.0, 0.0, None, None)],
)
def test_polarity(center, around, polarity, ratio):
    kernel = np.full((5, 5), 9.0)
    kernel[1:4, 1:4] = around
    kernel[2, 2] = center
    summary = _channel_kernel("R", kernel)
    assert (summary.center, summary.surround_mean) == (center, around)
    assert (summary.polarity, summary.center_surround_ratio) == (polarity, ratio)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("kernel_size", 4),
        ("kernel_size", -3),
        ("images", 0),
        ("iterations", 0),
        ("eps", -1.0),
        ("eps", float("nan")),
        ("stride", 0),
        ("stride", 2),
        ("resize", 0),
        ("jobs", 0),
        ("method", "svd"),
        ("covariance", "fft"),
        ("device", "tpu"),
    ],
)
def test_configuration_is_checked(option, value):
    with pytest.raises(OptionError) as raised:
        KernelsConfig(**{option: value})
    assert raised.value.option == option


@pytest.mark.parametrize("device", ["mps", "cuda"])
def test_devices_that_cannot_be_used_are_refused(device):
    import torch

    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(OptionError, match="choose"):
        run(KernelsConfig(device=device))


def test_photographs_have_centre_surround_kernels():
    result = run(KernelsConfig(source=str(real("imagenet-sample")), images=40, kernel_size=9))
    assert result.images.read == 40
    assert [channel.polarity for channel in result.channels] == ["on", "on", "on"]
