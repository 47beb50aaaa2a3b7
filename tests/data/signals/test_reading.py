"""Signals and volumes from files that other programs wrote, number for number; damaged ones are refused by name."""

import sys
import wave

import numpy as np
import pytest
import scipy.io
from PIL import Image

from ndtools.data.signals.axes import ArrayAxes, axes_of
from ndtools.data.signals.reading import read_signals
from ndtools.errors import DataError, OptionError

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("letters", "shape", "arranged"),
    [
        ("T", (9,), (1, 1, 9)),
        ("CT", (2, 9), (1, 2, 9)),
        ("TC", (9, 2), (1, 2, 9)),
        ("TNC", (9, 5, 2), (5, 2, 9)),
        ("NT", (5, 9), (5, 1, 9)),
        ("ZYX", (3, 4, 5), (1, 1, 3, 4, 5)),
        ("XYZC", (5, 4, 3, 2), (1, 2, 3, 4, 5)),
        ("CNZYX", (2, 6, 3, 4, 5), (6, 2, 3, 4, 5)),
    ],
)
def test_axes_are_brought_into_order(letters, shape, arranged):
    array = RNG.random(shape)
    result = ArrayAxes(letters).arranged(array)
    assert result.shape == arranged
    # Each element is where its indices say, whatever the order of the axes.
    wanted = "NC" + ArrayAxes(letters).kept
    index = {letter: n - 1 for letter, n in zip(letters, shape, strict=True)}
    assert result[tuple(index.get(letter, 0) for letter in wanted)] == array[tuple(n - 1 for n in shape)]


@pytest.mark.parametrize("letters", ["", "C", "CC", "CHW", "TZYX", "ZY", "CTQ", "TT"])
def test_letters_that_are_no_axes_are_refused(letters):
    with pytest.raises(OptionError, match=r"axes: must be T \(time\), or Z, Y and X"):
        ArrayAxes(letters)


def test_axes_that_are_not_told():
    assert axes_of(None, (9,)).letters == "T"
    assert axes_of(None, (4, 9)).letters == "CT"
    for shape in ((9, 4), (4, 4), (2, 3, 9)):
        with pytest.raises(DataError, match="say what its axes are, with `axes`"):
            axes_of(None, shape)
    with pytest.raises(DataError, match="does not have the axes CT"):
        axes_of("CT", (3, 4, 5)).arranged(np.zeros((3, 4, 5)))
    with pytest.raises(DataError, match="holds no numbers"):
        axes_of("CT", (3, 0)).arranged(np.zeros((3, 0)))
    with pytest.raises(DataError, match="more than 1000 channels"):
        axes_of("CT", (2000, 3)).arranged(np.zeros((2000, 3)))


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "i2", "u1", "i4", "f2"])
def test_arrays_of_numpy(tmp_path, dtype):
    values = (100 * RNG.random((2, 30))).astype(dtype)
    np.save(tmp_path / "a.npy", values)
    np.savez(tmp_path / "b.npz", values=values)
    np.savez(tmp_path / "c.npz", other=1 + values, values=values)
    for name, key in (("a.npy", None), ("b.npz", None), ("c.npz", "values")):
        signals = read_signals(str(tmp_path / name), key=key)
        assert (signals.axes, signals.channels, signals.rate) == ("T", ("1", "2"), None)
        assert signals.values[0].dtype in (np.float32, np.float64)
        assert (signals.values[0] == values).all()


def test_arrays_of_matlab(tmp_path):
    values = RNG.integers(-999, 999, (3, 40)).astype(np.int16)
    scipy.io.savemat(tmp_path / "a.mat", {"lfp": values, "comment": "text"})
    assert (read_signals(str(tmp_path / "a.mat"), key="lfp").values[0] == values).all()
    assert (read_signals(str(tmp_path / "a.mat")).values[0] == values).all()  # the only array of numbers
    scipy.io.savemat(tmp_path / "b.mat", {"trace": values[0]})
    assert (read_signals(str(tmp_path / "b.mat")).values[0] == values[:1]).all()


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_sound_of_any_width(tmp_path, width):
    """Whole numbers in units of full scale; those of 8 bits are about 128, those of more bits about 0."""
    half = 2 ** (8 * width - 1)
    numbers = RNG.integers(-half, half, (50, 2))
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(width)
        file.setframerate(8000)
        stored = numbers + 128 if width == 1 else numbers
        file.writeframes(b"".join(int(n).to_bytes(width, "little", signed=width > 1) for n in stored.ravel()))
    signals = read_signals(str(tmp_path / "a.wav"))
    assert (signals.axes, signals.rate, len(signals.values)) == ("T", 8000.0, 1)
    assert (signals.values[0] == numbers.T / half).all()


@pytest.mark.parametrize(("dtype", "mode"), [(np.uint8, "L"), (np.uint16, "I;16"), (np.float32, "F")])
def test_pages_of_a_tiff_are_a_volume(tmp_path, dtype, mode):
    values = (200 * RNG.random((5, 6, 7))).astype(dtype)
    pages = [Image.fromarray(page) for page in values]
    assert pages[0].mode == mode
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    signals = read_signals(str(tmp_path / "a.tif"))
    assert (signals.axes, signals.channels) == ("ZYX", ("1",))
    assert (signals.values[0][0] == values).all()


def test_nifti(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    values = RNG.integers(-99, 99, (4, 5, 6)).astype(np.int16)
    for name in ("a.nii", "a.nii.gz"):
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / name)
        signals = read_signals(str(tmp_path / name))
        assert signals.axes == "ZYX"
        assert (signals.values[0][0] == values.T).all()
    (tmp_path / "b.nii").write_bytes((tmp_path / "a.nii").read_bytes()[:400])
    with pytest.raises(DataError, match=r"b\.nii is damaged"):
        read_signals(str(tmp_path / "b.nii"))


def test_nifti_without_its_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "nibabel", None)
    (tmp_path / "a.nii").write_bytes(bytes(400))
    with pytest.raises(DataError, match=r"needs the package nibabel, .*: pip install 'ndtools\[nifti\]'"):
        read_signals(str(tmp_path / "a.nii"))


def test_several_files_and_several_signals(tmp_path):
    first, second = RNG.random((3, 2, 20)), RNG.random((1, 2, 30))
    np.save(tmp_path / "b.npy", first)
    np.save(tmp_path / "c.npy", second)
    (tmp_path / "notes.txt").write_text("no signal")
    for source in (tmp_path, tmp_path / "*.npy"):
        signals = read_signals(str(source), axes="NCT")
        assert [values.shape for values in signals.values] == [(2, 20)] * 3 + [(2, 30)]
        assert (signals.values[3] == second[0]).all()
    np.save(tmp_path / "a.npy", RNG.random((1, 3, 20)))
    with pytest.raises(DataError, match=r"b\.npy does not fit .*a\.npy: its channels must be 3, got 2"):
        read_signals(str(tmp_path), axes="NCT")


def damaged(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"a photograph")
    np.save(tmp_path / "cut.npy", RNG.random((2, 30)))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "cut.npy").read_bytes()[:200])
    np.save(tmp_path / "nan.npy", np.full((1, 9), np.nan))
    np.save(tmp_path / "complex.npy", np.full((1, 9), 1j))
    np.savez(tmp_path / "two.npz", a=np.zeros(3), b=np.zeros(3))
    with wave.open(str(tmp_path / "cut.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 100, "NONE", "none"))
        file.writeframes(bytes(200))
    (tmp_path / "cut.wav").write_bytes((tmp_path / "cut.wav").read_bytes()[:100])
    for name in ("junk.wav", "junk.tif", "junk.mat", "junk.npz"):
        (tmp_path / name).write_bytes(b"nothing of the kind" * 20)
    (tmp_path / "new.mat").write_bytes(b"MATLAB 7.3 MAT-file" + bytes(600))
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "one.tif")
    pages = [Image.fromarray(np.zeros((4, n), np.uint8)) for n in (4, 5)]
    pages[0].save(tmp_path / "sizes.tif", save_all=True, append_images=pages[1:])


@pytest.mark.parametrize(
    ("name", "key", "message"),
    [
        ("cut.npy", None, r"cut\.npy is cut short"),
        ("nan.npy", None, r"nan\.npy holds values that are not finite"),
        ("complex.npy", None, r"complex\.npy must hold real numbers"),
        ("two.npz", None, r"two\.npz holds 2 arrays: name one with `key`: a, b"),
        ("two.npz", "c", r"two\.npz has no array 'c', only: a, b"),
        ("cut.wav", None, r"cut\.wav is damaged"),
        ("junk.wav", None, r"junk\.wav is damaged, or no \.wav file"),
        ("junk.tif", None, r"junk\.tif is damaged, or no TIFF file"),
        ("junk.mat", None, r"junk\.mat is damaged, or no \.mat file"),
        ("junk.npz", None, r"cannot read .*junk\.npz"),
        ("new.mat", None, r"new\.mat is a \.mat file of version 7\.3; save it with -v7"),
        ("one.tif", None, r"one\.tif has one page"),
        ("sizes.tif", None, r"sizes\.tif has pages of different sizes"),
        ("none.npy", None, r"no such file or folder: '.*none\.npy'"),
        ("photo.jpg", None, r"photo\.jpg is no file of signals or volumes; the formats are \.npy, "),
        ("*.flac", None, r"no files match"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(tmp_path, name, key, message):
    damaged(tmp_path)
    with pytest.raises(DataError, match=message):
        read_signals(str(tmp_path / name), key=key)


@pytest.mark.parametrize("name", ["trails", "recording.npy"])
def test_what_is_not_there_is_said_to_be_absent(tmp_path, name):
    with pytest.raises(DataError, match=f"^no such file or folder: '.*{name}' \\(built-in: base-calls, beads\\)"):
        read_signals(str(tmp_path / name))


def test_a_key_for_a_format_without_names(tmp_path):
    np.save(tmp_path / "a.npy", RNG.random((2, 30)))
    with pytest.raises(OptionError, match="key: has no meaning for .*a.npy"):
        read_signals(str(tmp_path / "a.npy"), key="x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no signals or volumes in '.*empty'; looked for .npy"):
        read_signals(str(tmp_path / "empty"))
