"""Messages about arrays, signals and sources that a newcomer gave in another way than a command takes them."""

import gzip
import warnings

import numpy as np
import pytest

import ndtools as nd
from ndtools.errors import DataError, NumericalWarning
from tests.commands import invoke, numbers, save

pytestmark = pytest.mark.usefixtures("unpainted")


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    cube = rng.normal(size=(100, 90, 31)).cumsum(0) + 50
    np.save(tmp_path / "cube.npy", cube)
    np.savez(tmp_path / "two.npz", cube=cube, flat=cube[:, :, 0], wavelength=np.arange(31.0))
    np.savez(tmp_path / "recording.npz", data=rng.normal(size=(4, 3000)), seconds=np.arange(3000.0))
    np.savez(tmp_path / "several.npz", first=cube, second=cube, wavelength=np.arange(31.0))
    cube[3, 4, 5] = np.nan
    np.save(tmp_path / "nan.npy", cube)
    signal = rng.normal(size=(2, 300))
    signal[1, 7:9] = np.inf
    np.save(tmp_path / "inf.npy", signal)
    (100 * cube[:, :, 0]).astype("<u2").tofile(tmp_path / "raw.bin")
    (tmp_path / "x.nii.gz").write_bytes(gzip.compress(b"\0" * 344 + b"n+1\0" + b"\0" * 100))
    np.save(tmp_path / "long.npy", np.zeros(30_000))
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("kernels", "raw.bin"), "not an image that Pillow can read; --raw says what a file of numbers"),
        (("kernels", "raw.bin", "--axes", "HW"), "--raw says what a file of numbers without a header holds"),
        (("kernels", "several.npz", "--axes", "HWC"), "holds 2 arrays that may be images: name one with --key; it has"),
        (("kernels", "nan.npy", "--axes", "HWC"), "got nan at channel 6, row 4, column 5; replace them"),
        (("signals", "inf.npy"), "inf.npy: values must be finite, got inf at channel 2, sample 8, and 1 more; replace"),
        (("kernels", "cube.npy", "--axes", "HWC", "--gray"), "got 1, 2, 3, ... (31 in all)"),
        (("kernels", "long.npy"), "an array of shape (30000,): say"),
        (("kernels", "cube.npy"), "cube.npy': an array of shape (100, 90, 31): say"),
        (("kernels", "x.nii.gz"), "a signal or volume, not an image: ndtools signals reads it"),
        (("signals", "cube.npy", "nan.npy", "long.npy"), "SOURCE must be one, got 3: quote the glob, or name a folder"),
        (("stats", "cube.npy", "nan.npy"), "SOURCE must be one, got 2: quote the glob, or name a folder"),
    ],
)
def test_a_message_names_place_and_remedy_once(files, arguments, message, monkeypatch):
    monkeypatch.chdir(files)
    result = invoke(*arguments)
    assert result.exit_code in (2, 3)
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    name = arguments[1]
    assert result.stderr.count(name) <= 1, "the file is named once"
    assert "wavelength" not in result.stderr


def test_a_hint_that_axes_may_be_in_another_order(files):
    with pytest.warns(NumericalWarning, match=r"100 channels of 31×90 pixels; .*, such as HWC"):
        nd.kernels(str(files / "cube.npy"), axes="CHW", kernel_size=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error", NumericalWarning)
        nd.kernels(str(files / "cube.npy"), axes="HWC", kernel_size=1)


def test_the_only_array_that_fits_is_taken(files):
    with_axes = nd.kernels(str(files / "two.npz"), axes="HWC", kernel_size=1)
    assert len(with_axes.channels) == 31
    signals = nd.signals(str(files / "recording.npz"))
    assert len(signals.names) == 4
    with pytest.raises(DataError, match="holds 2 arrays that may be images: name one with `key`; it has cube, flat$"):
        nd.kernels(str(files / "two.npz"))


def test_images_of_a_fit_that_are_not_finite_are_counted():
    images = np.zeros((5, 3, 8, 8), np.float32)
    images[3, 1, 2, 7] = np.nan
    for mode in ("conv", "channel", "full"):
        with pytest.raises(ValueError, match="in image 4 nan at channel 2, row 3, column 8; replace them"):
            nd.Whiten.fit(images, mode)
        with pytest.raises(ValueError, match="in image 4 nan at channel 2, row 3, column 8; replace them"):
            nd.Whiten.fit(iter(images), mode)
    with pytest.raises(ValueError, match="image must be finite, got nan at channel 2, row 3, column 8"):
        nd.fit_deconvolution(images, kernel_size=3)


def test_a_volume_of_one_channel_is_gray_as_images_are(tmp_path):
    np.save(tmp_path / "v.npy", np.random.default_rng(0).normal(size=(8, 9, 10)))
    assert nd.signals(str(tmp_path / "v.npy"), axes="ZYX", kernel_size=3).names == ("gray",)
    assert nd.signals("beads", kernel_size=3).names == ("gray",)
    np.save(tmp_path / "s.npy", np.random.default_rng(0).normal(size=100))
    assert nd.signals(str(tmp_path / "s.npy"), kernel_size=3).names == ("1",)


def test_statistics_of_many_channels(files):
    result = invoke("stats", files / "cube.npy", "--axes", "HWC", "-o", files)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    pasted = [line for line in lines if "Normalize(" in line]
    assert len(pasted) == 2
    assert all(line.endswith("))") for line in pasted), "a line to be pasted is whole"
    assert all(line == line.rstrip() for line in lines), "a pipe gets no spaces that fill a table"
    figure = nd.stats(str(files / "cube.npy"), axes="HWC").plot()
    labels = [ax.get_ylabel() for ax in figure.axes]
    assert labels[1] == "standard deviation within the image"
    (line,) = figure.axes[1].lines
    expected = np.load(files / "cube.npy").std((0, 1), ddof=1)
    np.testing.assert_allclose(line.get_ydata(), expected, rtol=1e-10)
    assert labels[-1] == "correlation", "colours without numbers have a bar"


def test_deconvolve_draws_images(tmp_path):
    (tmp_path / "photos").mkdir()
    for i in range(4):
        save(tmp_path / "photos" / f"{i}.png", seed=i)
    result = invoke("deconvolve", tmp_path / "photos", "-n", 2, "--seed", 1, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    found = numbers(tmp_path / "out", "deconvolve")
    assert found["images"]["read"] == 2
    chosen = np.sort(np.random.default_rng(1).permutation(4)[:2])
    assert found["written"] == [f"{i}.png" for i in chosen]
    more = invoke("deconvolve", tmp_path / "photos", "-n", 9, "-o", tmp_path / "more")
    assert "has only 4 images" in more.stderr
