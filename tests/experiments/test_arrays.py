"""Experiments on arrays: any number of channels, in the unit that the values have."""

import numpy as np
import pytest

import ndtools as nd
from ndtools.errors import DataError
from tests.commands import invoke, numbers, save

BANDS = 31


def spectral_mixing(bands, width=2.0):
    """A positive definite matrix that mixes neighbouring bands, as broad filters do; its condition number is 6."""
    distance = np.subtract.outer(np.arange(bands), np.arange(bands)) / width
    return np.eye(bands) + np.exp(-0.5 * distance**2)


def white_sources(bands, height, width, seed=0):
    """Independent noise, whose covariance over all pixels is the identity to rounding."""
    noise = np.random.default_rng(seed).normal(size=(bands, height * width))
    noise -= noise.mean(1, keepdims=True)
    root = np.linalg.cholesky(noise @ noise.T / noise.shape[1])
    return np.linalg.solve(root, noise).reshape(bands, height, width)


@pytest.fixture
def cube(tmp_path):
    """A hyperspectral image (H, W, 31) with known mixing, in units far from [0, 1]."""
    mixed = np.tensordot(spectral_mixing(BANDS), white_sources(BANDS, 60, 70), 1)
    np.save(tmp_path / "cube.npy", (3000 + 50 * mixed).transpose(1, 2, 0))
    return tmp_path / "cube.npy"


def test_kernels_of_a_hyperspectral_image_undo_its_mixing(cube):
    result = nd.kernels(str(cube), axes="HWC", kernel_size=1, eps=0.0)
    assert [channel.name for channel in result.channels] == [str(i + 1) for i in range(BANDS)]
    unmixing = np.linalg.inv(spectral_mixing(BANDS)) / 50
    # D = Cov^(-1/2), whose error is that of Cov by its condition, 36; rounding is of 4200 pixels at most.
    np.testing.assert_allclose(result.kernels[..., 0, 0], unmixing, rtol=0, atol=1e-10 * np.abs(unmixing).max())


def test_patches_of_a_hyperspectral_image_add_nothing_but_noise(cube):
    result = nd.kernels(str(cube), axes="HWC", kernel_size=3, eps=0.0)
    unmixing = np.linalg.inv(spectral_mixing(BANDS)) / 50
    # Sampling error of whitening d features by n patches: about sqrt(d/n)/2 of the norm of D.
    allowed = np.sqrt(9 * BANDS / result.covariance.count) * np.linalg.norm(unmixing, 2)
    centre = result.kernels[..., 1, 1]
    assert np.linalg.norm(centre - unmixing, 2) < allowed
    surround = result.kernels.copy()
    surround[..., 1, 1] = 0
    assert np.linalg.norm(surround.reshape(BANDS, -1), 2) < 2 * allowed
    assert np.linalg.norm(centre, 2) > 5 * allowed


def test_the_order_of_channels_is_that_of_the_array(cube, tmp_path):
    values = np.load(cube)
    np.save(tmp_path / "reversed.npy", values[:, :, ::-1].transpose(2, 0, 1))
    found = nd.kernels(str(tmp_path / "reversed.npy"), axes="CHW", kernel_size=1)
    wanted = nd.kernels(str(cube), axes="HWC", kernel_size=1)
    np.testing.assert_allclose(found.kernels[::-1, ::-1], wanted.kernels, rtol=0, atol=1e-12)


def test_a_ridge_is_relative_unless_it_is_asked_to_be_absolute(tmp_path):
    values = np.random.default_rng(0).normal(size=(40, 50, 3)).cumsum(0).cumsum(1)
    for scale in (1, 1024):
        np.save(tmp_path / f"{scale}.npy", scale * values)
    one, other = (nd.kernels(str(tmp_path / f"{scale}.npy"), kernel_size=3) for scale in (1, 1024))
    assert one.config.relative_eps
    assert one.images.calibrated
    assert one.fit.relative_eps == pytest.approx(1e-3)
    np.testing.assert_allclose(1024 * other.kernels, one.kernels, rtol=1e-9, atol=1e-12 * np.abs(one.kernels).max())
    absolute = nd.kernels(str(tmp_path / "1024.npy"), kernel_size=3, absolute_eps=True, eps=5.0)
    assert absolute.fit.eps == 5.0
    assert not absolute.config.relative_eps
    np.save(tmp_path / "8bit.npy", np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8))
    eight = nd.kernels(str(tmp_path / "8bit.npy"), kernel_size=3)
    assert eight.fit.eps == 1e-3
    assert not eight.images.calibrated


def test_8_bit_arrays_are_pixels_like_those_of_files(tmp_path):
    from PIL import Image

    path = save(tmp_path / "a.png")
    np.save(tmp_path / "a.npy", np.asarray(Image.open(path)))
    file, array = (nd.kernels(str(tmp_path / name), kernel_size=5) for name in ("a.png", "a.npy"))
    np.testing.assert_array_equal(array.kernels, file.kernels)
    assert array.summary()[1:] == file.summary()[1:]


@pytest.fixture
def four(tmp_path):
    """Two small images of four channels in one file."""
    values = np.random.default_rng(1).normal(size=(2, 4, 30, 40)).cumsum(2).cumsum(3) + 100
    np.savez(tmp_path / "four.npz", stack=values.astype(np.float32), time=np.arange(3))
    return tmp_path / "four.npz"


OPTIONS = ("--axes", "NCHW", "--channels", "blue,green,red,nir", "--dpi", 40)


def test_commands_on_four_channels(four, tmp_path):
    out = tmp_path / "out"
    done = invoke("kernels", four, *OPTIONS, "-k", 3, "-o", out, "--fit", "--bootstrap", 3)
    assert done.exit_code == 0, done.output
    assert "values of" in done.stderr
    assert "eps is in units of their mean variance" in done.stderr
    content = numbers(out)
    assert content["relative_eps"] is True
    assert content["images"]["values_as_they_are"] is True
    assert [channel["name"] for channel in content["channels"]] == ["blue", "green", "red", "nir"]
    assert content["configuration"]["channels"] == ["blue", "green", "red", "nir"]
    assert (out / "kernels_channels.png").exists()
    caption = (out / "kernels.txt").read_text()
    assert "Of 4 channels, blue, red and nir are shown" in " ".join(caption.split())
    assert "[0, 1]" not in caption
    drawn = invoke("figure", out / "kernels.json", "-o", tmp_path / "again", "--dpi", 40)
    assert drawn.exit_code == 0, drawn.output
    assert (tmp_path / "again" / "kernels_channels.png").exists()


def test_series_and_covariance_of_four_channels(four, tmp_path):
    done = invoke("kernels", four, *OPTIONS, "-k", "3,5", "--eps", "1e-2,auto", "-o", tmp_path)
    assert done.exit_code == 0, done.output
    assert not (tmp_path / "kernels_channels.png").exists()
    done = invoke("covariance", four, *OPTIONS, "--spectrum", "-o", tmp_path)
    assert done.exit_code == 0, done.output
    assert numbers(tmp_path, "covariance")["relative_eps"] is True


def test_sparsity_and_sets_of_four_channels(four, tmp_path):
    done = invoke("sparsity", four, *OPTIONS, "--bootstrap", 2, "-o", tmp_path)
    assert done.exit_code == 0, done.output
    with np.load(four) as arrays:
        np.savez(tmp_path / "other.npz", stack=2 * arrays["stack"])
    done = invoke("compare-sets", four, tmp_path / "other.npz", "--key", "stack", *OPTIONS, "-k", 3, "-o", tmp_path)
    assert done.exit_code == 0, done.output
    text = " ".join((tmp_path / "compare-sets.txt").read_text().split())
    assert "from red to red" in text
    np.savez(tmp_path / "three.npz", stack=np.ones((2, 3, 30, 40)))
    done = invoke("compare-sets", four, tmp_path / "three.npz", "--key", "stack", "--axes", "NCHW", "-o", tmp_path)
    assert done.exit_code == 3
    assert "set B" in done.output
    assert "has 3 channels, and set A has 4" in done.output


def test_deconvolve_four_channels(four, tmp_path):
    with np.load(four) as arrays:
        np.save(tmp_path / "one.npy", arrays["stack"][0])
    options = ("--axes", "CHW", "--dpi", 40, "-o", tmp_path)
    done = invoke("deconvolve", tmp_path / "one.npy", *options)
    assert done.exit_code == 0, done.output
    with np.load(tmp_path / "deconvolve.npz") as arrays:
        assert arrays["deconvolved"].shape == (4, 28, 38)
    assert "1, 3, 4 are red, green, blue" in " ".join((tmp_path / "deconvolve.txt").read_text().split())
    done = invoke("kernels", four, *OPTIONS, "-k", 3, "-o", tmp_path)
    done = invoke("deconvolve", tmp_path / "one.npy", *options, "--from", tmp_path / "kernels.npz", "--name", "of-set")
    assert done.exit_code == 0, done.output
    with pytest.raises(DataError, match="kernels of 4 channels, and .* has 3"):
        nd.deconvolve("sample-photo", from_file=str(tmp_path / "kernels.npz"))


def test_files_of_moments_keep_channels_and_unit(four, tmp_path):
    saved = tmp_path / "m.npz"
    done = invoke("kernels", four, *OPTIONS, "-k", 3, "-o", tmp_path, "--save-moments", saved)
    assert done.exit_code == 0, done.output
    direct = numbers(tmp_path)
    done = invoke("kernels", "--from-moments", saved, "--channels", "blue,green,red,nir", "-o", tmp_path, "--dpi", 40)
    assert done.exit_code == 0, done.output
    assert numbers(tmp_path)["eps"] == pytest.approx(direct["eps"])
    assert numbers(tmp_path)["channels"] == direct["channels"]


def test_options_of_the_command_are_named(four, tmp_path):
    done = invoke("kernels", four, "-o", tmp_path)
    assert done.exit_code == 3
    assert "say what its axes are, with --axes" in done.output
    done = invoke("kernels", four, "--axes", "NCHW", "--gray", "-o", tmp_path)
    assert done.exit_code == 2
    assert "--gray needs channels R, G and B" in done.output
    done = invoke("kernels", "sample", "--raw", "10x10:u9", "-o", tmp_path)
    assert done.exit_code == 2
    assert done.output.startswith("error: --raw must be")
