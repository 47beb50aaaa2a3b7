"""Colour spaces in the experiments: equal to images that were converted before; remembered and never mixed."""

import numpy as np
import pytest
from PIL import Image

import ndtools as nd
from ndtools.errors import MatrixError, OptionError
from ndtools.moments.files import iterate_moments
from ndtools.numerics.colour import from_light, light
from tests.commands import invoke, numbers, save

pytestmark = pytest.mark.usefixtures("unpainted")

SINGLE = np.finfo(np.float32).eps


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(3):
        base = rng.random((30, 36, 1)).cumsum(0).cumsum(1)
        pixels = base / base.max() * 200 + rng.integers(0, 55, (30, 36, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.png")
    return folder


def covariance_of(folder, space, k):
    """The covariance of the patches of converted images, from all patches in float64."""
    patches = []
    for file in sorted(folder.iterdir()):
        pixels = from_light(light(np.asarray(Image.open(file)).transpose(2, 0, 1)), space).astype(np.float64)
        windows = np.lib.stride_tricks.sliding_window_view(pixels, (k, k), axis=(1, 2))
        patches.append(windows.transpose(1, 2, 0, 3, 4).reshape(-1, 3 * k * k))
    return np.cov(np.concatenate(patches).T, bias=True)


def saved(result, path):
    """Write the moments of a result as --save-moments does."""
    np.savez(path, **result.moments())
    return path


@pytest.mark.parametrize("space", ["linear", "xyz", "lms", "log-lms"])
def test_covariance_is_that_of_converted_images(photos, space):
    result = nd.covariance(str(photos), kernel_size=3, space=space)
    expected = covariance_of(photos, space, 3)
    np.testing.assert_allclose(result.covariance.matrix.numpy(), expected, atol=100 * SINGLE * expected.max())


def test_channels_have_the_names_of_the_space(photos, tmp_path):
    run = invoke("kernels", photos, "-k", 3, "--space", "lms", "--out", tmp_path, "--dpi", 30)
    assert run.exit_code == 0, run.stderr
    assert [channel["name"] for channel in numbers(tmp_path)["channels"]] == ["L", "M", "S"]
    assert "cones (LMS)" in run.stdout
    text = (tmp_path / "kernels.txt").read_text()
    assert "the L, M and S input" in text.replace("The weights of t", "t")
    assert "of which white is 1" in text


def test_moments_remember_their_space(photos, tmp_path):
    direct = nd.kernels(str(photos), kernel_size=3, space="lms")
    file = saved(direct, tmp_path / "moments.npz")
    added = nd.kernels(from_moments=(str(file),))
    assert next(iterate_moments([str(file)])).space == added.config.space == "lms"
    assert [channel.name for channel in added.channels] == ["L", "M", "S"]
    np.testing.assert_allclose(added.kernels, direct.kernels, rtol=1e-12)
    with pytest.raises(OptionError, match="colour space lms"):
        nd.kernels(from_moments=(str(file),), space="xyz")
    assert invoke("kernels", "--from-moments", file, "--space", "xyz", "-o", tmp_path).exit_code == 2
    # D of cone signals is applied to cone signals.
    sparsity = nd.sparsity(str(photos), from_moments=(str(file),), bootstrap=0)
    expected = nd.sparsity(str(photos), space="lms", kernel_size=3, bootstrap=0)
    assert sparsity.config.space == "lms"
    np.testing.assert_allclose(sparsity.after.sigma, expected.after.sigma, rtol=1e-5)


def test_spaces_are_not_mixed(photos, tmp_path):
    files = {
        space: saved(nd.kernels(str(photos), kernel_size=3, space=space), tmp_path / f"{space}.npz")
        for space in ("srgb", "linear")
    }
    run = invoke("kernels", "--from-moments", files["srgb"], files["linear"], "-o", tmp_path / "out")
    assert run.exit_code == 3
    assert "colour space linear, the others in srgb" in run.stderr
    assert not (tmp_path / "out" / "kernels.json").exists()
    with pytest.raises(MatrixError, match="colour space"):
        nd.compare_sets(str(files["srgb"]), str(files["linear"]), bootstrap=0)
    compared = nd.compare_sets(str(files["linear"]), str(photos), bootstrap=0, sparsity=False)
    assert compared.config.space == "linear"  # the images are decoded as those of the file were
    assert compared.differences[0].kernels.value < 1e-4


def test_older_files_of_moments_are_srgb_and_strange_spaces_are_refused(photos, tmp_path):
    file = saved(nd.kernels(str(photos), kernel_size=3), tmp_path / "moments.npz")
    arrays = dict(np.load(file))
    space = arrays.pop("space")
    np.savez(tmp_path / "old.npz", **arrays)
    assert next(iterate_moments([str(tmp_path / "old.npz")])).space == "srgb"
    np.savez(tmp_path / "strange.npz", **arrays, space=space[::-1])
    with pytest.raises(MatrixError, match="unknown colour space"):
        list(iterate_moments([str(tmp_path / "strange.npz")]))


def test_kernels_of_cones_are_applied_to_cones(photos, tmp_path):
    photo = save(tmp_path / "photo.png")
    np.savez(tmp_path / "kernels.npz", **nd.kernels(str(photos), kernel_size=3, space="log-lms").arrays())
    result = nd.deconvolve(str(photo), from_file=str(tmp_path / "kernels.npz"))
    assert result.config.space == "log-lms"
    pixels = from_light(light(np.asarray(Image.open(photo)).transpose(2, 0, 1)), "log-lms")
    np.testing.assert_array_equal(result.image, pixels)
    # The picture of the input is that of the file.
    np.testing.assert_allclose(result.shown, np.asarray(Image.open(photo)).transpose(2, 0, 1) / 255, atol=1e-4)
    run = invoke("deconvolve", photo, "--from", tmp_path / "kernels.npz", "--space", "lms", "-o", tmp_path)
    assert run.exit_code == 2


@pytest.mark.parametrize("space", ["srgb", "linear", "xyz", "lms", "log-lms"])
def test_grey_images_are_noticed_in_every_space(tmp_path, space):
    grey = np.random.default_rng(2).integers(0, 256, (30, 30), dtype=np.uint8)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    with pytest.warns(nd.NumericalWarning, match="images are grey"):
        nd.covariance(str(tmp_path / "grey.png"), space=space)


def test_opponency_of_cones_is_red_against_green():
    # Cones L and M are nearly equal in every image: what decorrelates them subtracts one from the other.
    centers = nd.kernels("sample-photo", kernel_size=3, eps=1e-6, space="lms").kernels[:, :, 1, 1]
    assert centers[0, 0] > 0 > centers[0, 1]
    assert abs(centers[0, 1]) > 5 * abs(centers[0, 2])
    assert centers[2, 2] > 0 > centers[2, 1]
