"""Signals and volumes from files that other programs wrote, number for number; damaged ones are refused by name."""

import sys
import wave

import numpy as np
import pytest
import scipy.io
import scipy.sparse
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
    pytest.importorskip("tifffile")
    values = (200 * RNG.random((5, 6, 7))).astype(dtype)
    pages = [Image.fromarray(page) for page in values]
    assert pages[0].mode == mode
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    signals = read_signals(str(tmp_path / "a.tif"))
    assert (signals.axes, signals.channels) == ("ZYX", ("gray",))
    assert (signals.values[0][0] == values).all()


@pytest.mark.parametrize(
    ("shape", "dtype", "options", "axes"),
    [
        ((7, 5, 6), ">i2", {"photometric": "minisblack"}, "ZYX"),
        ((7, 5, 6), "u4", {"photometric": "minisblack"}, "ZYX"),
        ((7, 5, 6), "f8", {"photometric": "minisblack"}, "ZYX"),
        ((7, 5, 6), "u1", {"photometric": "miniswhite"}, "ZYX"),
        ((4, 5, 6, 3), "u2", {"photometric": "rgb"}, "ZYXC"),
        ((7, 2, 5, 6), "u2", {"imagej": True, "metadata": {"axes": "ZCYX"}}, "ZCYX"),
        ((7, 5, 6), "u2", {"imagej": True, "metadata": {"axes": "TYX"}}, "ZYX"),
        ((2, 7, 5, 6), "u2", {"imagej": True, "metadata": {"axes": "TZYX"}}, "NZYX"),
        ((7, 2, 5, 6), "u2", {"ome": True, "metadata": {"axes": "ZCYX"}}, "ZCYX"),
    ],
)
def test_a_tiff_keeps_its_numbers_and_the_names_of_its_axes(tmp_path, shape, dtype, options, axes):
    tifffile = pytest.importorskip("tifffile")
    values = RNG.integers(0, 255 if dtype == "u1" else 30000, shape).astype(dtype) * (257 if dtype == "u4" else 1)
    tifffile.imwrite(tmp_path / "a.tif", values, **options)
    wanted = ArrayAxes(axes).arranged(values)
    found = read_signals(str(tmp_path / "a.tif"))
    assert len(found.channels) == wanted.shape[1]
    np.testing.assert_array_equal(np.stack(found.values), wanted)


def test_numbers_of_a_palette_are_no_values(tmp_path):
    pytest.importorskip("tifffile")
    pages = [Image.fromarray(RNG.integers(0, 255, (5, 6, 3), np.uint8)).quantize(8) for _ in range(3)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(DataError, match=r"a\.tif: holds numbers of colours in a palette"):
        read_signals(str(tmp_path / "a.tif"))


def test_axes_of_a_tiff_that_make_no_volume_are_asked_for(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    values = RNG.integers(0, 255, (3, 4, 5, 6), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack")
    with pytest.raises(DataError, match=r"shape \(3, 4, 5, 6\): say what its axes are, with `axes`"):
        read_signals(str(tmp_path / "a.tif"))
    np.testing.assert_array_equal(np.stack(read_signals(str(tmp_path / "a.tif"), axes="CZYX").values)[0], values)


def test_a_number_beside_the_array_is_not_taken_for_another_array(tmp_path):
    values = RNG.random((2, 30))
    np.savez(tmp_path / "a.npz", traces=values, rate=np.float64(30000), name=np.array("run 1"))
    scipy.io.savemat(tmp_path / "a.mat", {"traces": values, "rate": 30000.0, "some": scipy.sparse.eye(3).tocsc()})
    for name in ("a.npz", "a.mat"):
        np.testing.assert_array_equal(read_signals(str(tmp_path / name)).values[0], values)


def test_matlab_files_of_version_7_3(tmp_path):
    h5py = pytest.importorskip("h5py")
    values = RNG.random((2, 30))
    with h5py.File(tmp_path / "a.mat", "w", userblock_size=512) as file:
        file["traces"] = values.T
    np.testing.assert_array_equal(read_signals(str(tmp_path / "a.mat")).values[0], values)


def test_nifti_without_real_numbers(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    colour = np.zeros((4, 5, 6), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    for name, values in (("complex", np.full((4, 5, 6), 1 + 2j, np.complex64)), ("colour", colour)):
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / f"{name}.nii")
        with pytest.raises(DataError, match=rf"{name}\.nii must hold real numbers"):
            read_signals(str(tmp_path / f"{name}.nii"))


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
        ("cut.npy", None, r"cannot read .*cut\.npy: cut short"),
        ("nan.npy", None, r"nan\.npy: values must be finite, got nan at channel 1, sample 1, and 8 more"),
        ("complex.npy", None, r"complex\.npy: must hold real numbers"),
        ("two.npz", None, r"two\.npz: holds 2 arrays of real numbers: name one with `key`; it has a, b"),
        ("two.npz", "c", r"two\.npz: has no array 'c', only: a, b"),
        ("cut.wav", None, r"cut\.wav is damaged"),
        ("junk.wav", None, r"junk\.wav is damaged, or no \.wav file"),
        ("junk.tif", None, r"junk\.tif: damaged, or in another format"),
        ("junk.mat", None, r"junk\.mat: damaged, or in another format"),
        ("junk.npz", None, r"cannot read .*junk\.npz"),
        ("new.mat", None, r"new\.mat: (damaged, or in another format|.*HDF5.* needs the package h5py)"),
        ("one.tif", None, r"one\.tif: has one page"),
        ("sizes.tif", None, r"sizes\.tif: holds 2 arrays of pages that differ"),
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
