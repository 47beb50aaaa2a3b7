"""Experiments on arrays: any number of channels, in the unit that the values have."""

import numpy as np
import pytest

import ndtools as nd
from ndtools.drawing.pictures import captions, draw
from ndtools.errors import DataError, OptionError
from ndtools.experiments.compare_sets.figure import caption_compare_sets
from ndtools.experiments.deconvolve.figure import caption_deconvolve
from ndtools.experiments.kernels.figures import FIGURES, SERIES
from ndtools.experiments.kernels.result import ChannelKernel, KernelsResult
from ndtools.experiments.stats.figure import caption_stats
from ndtools.results.read import load
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
    mixed = np.tensordot(spectral_mixing(BANDS), white_sources(BANDS, 150, 160), 1)
    np.save(tmp_path / "cube.npy", (3000 + 50 * mixed).transpose(1, 2, 0))
    return tmp_path / "cube.npy"


def test_kernels_of_a_hyperspectral_image_undo_its_mixing(cube):
    result = nd.kernels(str(cube), axes="HWC", kernel_size=1, eps=0.0)
    assert [channel.name for channel in result.channels] == [str(i + 1) for i in range(BANDS)]
    unmixing = np.linalg.inv(spectral_mixing(BANDS)) / 50
    # D = Cov^(-1/2), whose error is that of Cov, a few roundings of 24,000 pixels, times its condition, 36.
    np.testing.assert_allclose(result.kernels[..., 0, 0], unmixing, rtol=0, atol=1e-10 * np.abs(unmixing).max())


def test_patches_of_a_hyperspectral_image_add_nothing_but_noise(cube):
    result = nd.kernels(str(cube), axes="HWC", kernel_size=3, eps=0.0)
    unmixing = np.linalg.inv(spectral_mixing(BANDS)) / 50
    # Eigenvalues of the covariance of n samples of d white features are within (1 ± sqrt(d/n))² (Marchenko-Pastur), so
    # that D is off by half of that, relative to its norm. Twice as much is allowed, since patches overlap.
    ratio = 9 * BANDS / result.covariance.count
    allowed = (2 * np.sqrt(ratio) + ratio) * np.linalg.norm(unmixing, 2)
    centre = result.kernels[..., 1, 1]
    assert np.linalg.norm(centre - unmixing, 2) < allowed
    surround = result.kernels.copy()
    surround[..., 1, 1] = 0
    assert np.linalg.norm(surround.reshape(BANDS, -1), 2) < allowed
    assert np.linalg.norm(centre, 2) > 4 * allowed


def test_the_order_of_channels_is_that_of_the_array(cube, tmp_path):
    values = np.load(cube)
    np.save(tmp_path / "reversed.npy", values[:, :, ::-1].transpose(2, 0, 1))
    found = nd.kernels(str(tmp_path / "reversed.npy"), axes="CHW", kernel_size=1)
    wanted = nd.kernels(str(cube), axes="HWC", kernel_size=1)
    # Transforms are in float32 for this ridge.
    largest = np.abs(wanted.kernels).max()
    np.testing.assert_allclose(found.kernels[::-1, ::-1], wanted.kernels, rtol=0, atol=1e-5 * largest)


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
    """Eight small images of four channels in one file."""
    values = np.random.default_rng(1).normal(size=(8, 4, 30, 40)).cumsum(2).cumsum(3) + 100
    np.savez(tmp_path / "four.npz", stack=values.astype(np.float32), time=np.arange(3))
    return tmp_path / "four.npz"


NAMES = ["blue", "green", "red", "nir"]
OPTIONS = ("--axes", "NCHW", "--channels", ",".join(NAMES), "--dpi", 40)


def test_a_command_on_four_channels(four, tmp_path):
    out = tmp_path / "out"
    saved = tmp_path / "moments.npz"
    done = invoke("kernels", four, *OPTIONS, "-k", 3, "-o", out, "--save-moments", saved)
    assert done.exit_code == 0, done.output
    assert f"the values of {four} are taken as they are; eps is in units of their mean variance" in done.stderr
    content = numbers(out)
    assert content["relative_eps"] is True
    assert content["images"]["values_as_they_are"] is True
    assert [channel["name"] for channel in content["channels"]] == NAMES
    assert content["config"]["channels"] == NAMES
    caption = " ".join((out / "kernels.txt").read_text().split())
    assert "Of 4 channels, blue, red and nir are shown" in caption
    assert "[0, 1]" not in caption
    again = KernelsResult.from_saved(load(out / "kernels.json"))
    for place in (0, 3):
        assert again.channels[place] == ChannelKernel.from_numbers(content["channels"][place])
    assert (out / "kernels_channels.png").exists()
    added = nd.kernels(from_moments=(str(saved),), channels=tuple(NAMES))
    assert added.config.relative_eps
    assert added.images.calibrated
    np.testing.assert_array_equal(added.kernels, again.kernels)
    assert [channel.name for channel in added.channels] == NAMES


def test_figures_of_four_channels_show_three(four):
    settings = {"axes": "NCHW", "channels": tuple(NAMES)}
    cells = nd.kernels(str(four), kernel_size=3, fit=True, bootstrap=3, **settings)
    assert len(cells.cells) == len(cells.channels) == 4
    assert [channel.name for channel in cells.shown.channels] == ["blue", "red", "nir"]
    np.testing.assert_array_equal(cells.shown.kernels[1, 2], cells.kernels[2, 3])
    assert cells.shown.bootstrap.samples.shape[1:] == (3, 3, 3, 3)
    series = nd.kernels(str(four), kernel_size=[3, 5], eps=[1e-2, "auto"], **settings)
    for result, pictures in ((cells, FIGURES), (series, SERIES)):
        assert draw(pictures, result, width=120.0, title=True)
        for label, caption in captions(pictures, result).items():
            assert ("Of 4 channels, blue, red and nir are shown" in caption) == (label in ("", "fit", "bootstrap"))


def test_covariance_and_sparsity_of_four_channels(four):
    settings = {"axes": "NCHW", "channels": tuple(NAMES)}
    result = nd.covariance(str(four), spectrum=True, **settings)
    assert result.channels == tuple(NAMES)
    assert result.config.relative_eps
    names = [label.get_text() for label in result.plot().axes[0].get_xticklabels()]
    assert names == NAMES
    whitened = nd.sparsity(str(four), bootstrap=2, eps=1e-6, **settings)
    assert whitened.fit.relative_eps == pytest.approx(1e-6)
    assert whitened.after.sigma == pytest.approx(1, abs=0.05)  # white, but for the ridge and the mean of the channels


def test_sets_of_four_channels(four, tmp_path):
    with np.load(four) as arrays:
        np.savez(tmp_path / "other.npz", stack=2 * arrays["stack"])
    settings = {"axes": "NCHW", "key": "stack", "kernel_size": 3, "sparsity": False, "bootstrap": 0}
    result = nd.compare_sets(str(four), str(tmp_path / "other.npz"), channels=tuple(NAMES), **settings)
    first, second = (each.kernels for each in result.sets)
    np.testing.assert_allclose(first, 2 * second, rtol=1e-5, atol=1e-6 * np.abs(first).max())
    assert "from red to red" in caption_compare_sets(result)
    np.savez(tmp_path / "three.npz", stack=np.ones((8, 3, 30, 40)))
    with pytest.raises(DataError, match="set B, .*three.npz, has 3 channels, and set A has 4"):
        nd.compare_sets(str(four), str(tmp_path / "three.npz"), **settings)


def test_deconvolving_four_channels(four, tmp_path):
    with np.load(four) as arrays:
        np.save(tmp_path / "one.npy", arrays["stack"][0])
    result = nd.deconvolve(str(tmp_path / "one.npy"), axes="CHW")
    assert result.deconvolved.shape == (4, 28, 38)
    assert result.fit.relative_eps == pytest.approx(1e-5)
    assert (result.shown.min(), result.shown.max(), len(result.shown)) == (0, 1, 3)
    assert result.picture().shape == (28, 38, 3)
    assert "1, 3, 4 are red, green, blue" in caption_deconvolve(result)
    np.savez(tmp_path / "kernels.npz", kernels=result.kernels, mean=result.mean)
    again = nd.deconvolve(str(tmp_path / "one.npy"), axes="CHW", from_file=str(tmp_path / "kernels.npz"))
    np.testing.assert_array_equal(again.deconvolved, result.deconvolved)
    with pytest.raises(DataError, match="kernels of 4 channels, and .* has 3"):
        nd.deconvolve("sample-photo", from_file=str(tmp_path / "kernels.npz"))


def test_arrays_are_in_no_colour_space(four):
    with pytest.raises(OptionError, match="space: has no meaning for .*four.npz, whose values are taken as they are"):
        nd.kernels(str(four), axes="NCHW", space="linear")


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


def test_moments_of_arrays_on_any_executor(four):
    found = nd.moments(str(four), axes="NCHW", kernel_size=3, shards=3)
    assert found.calibrated
    direct = nd.kernels(str(four), axes="NCHW", kernel_size=3)
    largest = direct.covariance.matrix.abs().max()
    assert (found.covariance.matrix - direct.covariance.matrix).abs().max() <= 1e-5 * largest  # in float32 for this eps


def test_stats_of_arrays_have_their_unit(four, tmp_path):
    result = nd.stats(str(four), axes="NCHW", channels=tuple(NAMES))
    with np.load(four) as arrays:
        values = arrays["stack"].astype(np.float64)
    assert result.names == tuple(NAMES)
    np.testing.assert_allclose(result.statistics.mean, values.mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(result.statistics.sd, values.std((0, 2, 3), ddof=1), rtol=1e-3)
    np.testing.assert_allclose(result.statistics.low, values.min((0, 2, 3)), rtol=1e-12)
    assert result.statistics.counts.sum(1).tolist() == [values[:, 0].size] * 4
    assert (result.statistics.edges[0], result.statistics.edges[-1]) == pytest.approx(
        (values.min(), values.max()), rel=0.1
    )
    assert "values as they are" in caption_stats(result)
    assert len(result.plot().axes) == 3
    with pytest.raises(OptionError, match="axes: has no meaning for glyphs, a data set with labels"):
        nd.stats("glyphs", axes="HW")


def test_all_images_of_an_array_are_deconvolved_by_their_kernels(four, tmp_path):
    result = nd.deconvolve_images(str(four), tmp_path / "out", formats=("npy", "png"), axes="NCHW", kernel_size=3)
    assert result.images.read == 8
    assert len(list((tmp_path / "out").rglob("*.npy"))) == 8
    assert result.config.relative_eps
    first = np.load(sorted((tmp_path / "out").rglob("*.npy"))[0])
    assert first.shape == (4, 28, 38)
    direct = nd.kernels(str(four), axes="NCHW", kernel_size=3, eps="paper")
    np.testing.assert_array_equal(result.kernels, direct.kernels)


@pytest.mark.parametrize("offset", [0, 2**20])
def test_deconvolution_of_arrays_is_that_of_float64_whatever_their_offset(tmp_path, offset):
    values = np.round(np.random.default_rng(0).normal(size=(2, 40, 50)).cumsum(2) * 64) / 64 + offset
    np.save(tmp_path / "a.npy", values)
    found = nd.deconvolve(str(tmp_path / "a.npy"), axes="CHW", eps=1e-3)
    windows = np.lib.stride_tricks.sliding_window_view(values - offset, (3, 3), (1, 2))
    patches = windows.transpose(1, 2, 0, 3, 4).reshape(38 * 48, 18)
    centred = patches - patches.mean(0)
    covariance = centred.T @ centred / len(centred)
    values, vectors = np.linalg.eigh(covariance + 1e-3 * covariance.trace() / 18 * np.eye(18))
    wanted = (centred @ vectors / np.sqrt(values) @ vectors.T)[:, [4, 13]].T.reshape(2, 38, 48)
    # Sums of float32 transforms decide on D: their effect on D A D is at most 1e-3.
    np.testing.assert_allclose(found.deconvolved, wanted, rtol=0, atol=1e-3 * np.abs(wanted).max())
    kurtosis = (wanted**4).mean() / (wanted**2).mean() ** 2
    assert found.after.measures["kurtosis"].value == pytest.approx(kurtosis, rel=1e-2)
    sparsity = nd.sparsity(str(tmp_path / "a.npy"), axes="CHW", kernel_size=3, eps=1e-3)
    assert sparsity.after.measures["kurtosis"].value == pytest.approx(kurtosis, rel=1e-2)


@pytest.mark.parametrize("scale", [2.0**-94, 2.0**84])
def test_kernels_of_arrays_scale_with_any_unit(tmp_path, scale):
    values = np.random.default_rng(0).normal(size=(2, 40, 50)).cumsum(2).astype(np.float32)
    np.save(tmp_path / "one.npy", values)
    np.save(tmp_path / "other.npy", values * np.float32(scale))
    one, other = (nd.kernels(str(tmp_path / f"{name}.npy"), axes="CHW", kernel_size=3) for name in ("one", "other"))
    # D A D of the float32 transforms of one of both is good to 1e-3.
    np.testing.assert_allclose(scale * other.kernels, one.kernels, rtol=0, atol=1e-3 * np.abs(one.kernels).max())
    assert other.fit.covariance_error < 1e-3
