"""Arrays of images in files that other programs wrote: the same numbers, to the last bit, or an error with a name."""

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from ndtools.data.images.layouts import ArrayLayout, ArraySettings, RawFormat
from ndtools.data.images.reading import Decoded, load_images
from ndtools.data.images.sources import resolve_source as resolve
from ndtools.errors import DataError, OptionError
from tests.commands import save

RNG = np.random.default_rng(0)
CUBE = RNG.normal(2000.0, 300.0, (6, 7, 5))  # rows, columns, channels


def resolve_source(source, *, layout=None):
    return resolve(source, layout=layout or ArrayLayout())


def layout(**settings):
    if "raw" in settings:
        settings["raw"] = RawFormat.parse(settings["raw"])
    return ArrayLayout(**settings)


def images(path, **settings):
    """Pixels of all images of a source; fails if one is skipped."""
    loaded = list(load_images(resolve_source(path, layout=layout(**settings)), jobs=1))
    assert all(isinstance(item, Decoded) for item in loaded), loaded
    return [item.pixels for item in loaded]


def assert_same(found, wanted, dtype):
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    ("stored", "kept"),
    [
        (">f8", np.float64),
        ("<f4", np.float32),
        ("f2", np.float32),
        (">u2", np.float32),
        ("i2", np.float32),
        ("u4", np.float64),
        ("i8", np.float64),
        ("u1", np.uint8),
        ("bool", np.float32),
    ],
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy(tmp_path, stored, kept, order):
    values = np.array(RNG.normal(100, 20, (6, 7, 5)).clip(0, 255), dtype=stored, order=order)
    np.save(tmp_path / "a.npy", values)
    (found,) = images(tmp_path / "a.npy", axes="HWC")
    assert_same(found, values.transpose(2, 0, 1), kept)


def test_axes_of_several_images_in_any_order(tmp_path):
    stack = RNG.normal(size=(4, 6, 7, 5))  # N, H, W, C
    for axes in ("NHWC", "NCHW", "CHWN", "HWCN", "WHNC"):
        order = ["NHWC".index(axis) for axis in axes]
        np.save(tmp_path / "a.npy", stack.transpose(order))
        source = resolve_source(tmp_path / "a.npy", layout=ArrayLayout(axes=axes))
        assert [ref.name for ref in source][1].endswith("a.npy[1]")
        for found, wanted in zip(images(tmp_path / "a.npy", axes=axes), stack, strict=True):
            assert_same(found, wanted.transpose(2, 0, 1), np.float64)


def test_axes_that_need_not_be_said(tmp_path):
    for shape, axes in (
        ((6, 7), "HW"),
        ((6, 7, 3), "HWC"),
        ((3, 6, 7), "CHW"),
        ((4, 6, 7, 3), "NHWC"),
        ((4, 3, 6, 7), "NCHW"),
    ):
        np.save(tmp_path / "a.npy", RNG.normal(size=shape))
        for found, wanted in zip(images(tmp_path / "a.npy"), images(tmp_path / "a.npy", axes=axes), strict=True):
            np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("shape", [(6, 7, 5), (3, 6, 3), (9,), (2, 3, 4, 5, 6), (5, 6, 7, 8)])
def test_axes_that_must_be_said(tmp_path, shape):
    np.save(tmp_path / "a.npy", np.ones(shape))
    with pytest.raises(DataError, match=r"a\.npy': an array of shape .*`axes`"):
        resolve_source(tmp_path / "a.npy")


def test_npz(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", cube=CUBE, wavelengths=np.arange(5.0), name=np.array("a"))
    assert_same(images(tmp_path / "a.npz", axes="HWC")[0], CUBE.transpose(2, 0, 1), np.float64)
    np.savez(tmp_path / "b.npz", cube=CUBE, other=2 * CUBE)
    assert_same(images(tmp_path / "b.npz", axes="HWC", key="other")[0], 2 * CUBE.transpose(2, 0, 1), np.float64)
    for key, message in ((None, "2 arrays.*`key`.*cube, other"), ("cub", "no array 'cub', only: cube, other")):
        with pytest.raises(DataError, match=message):
            resolve_source(tmp_path / "b.npz", layout=ArrayLayout(axes="HWC", key=key))


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    ("dtype", "kept"), [("f8", np.float64), ("f4", np.float32), ("u2", np.float32), ("u1", np.uint8)]
)
def test_mat_of_version_5(tmp_path, compressed, dtype, kept):
    values = CUBE.clip(0, 200).round().astype(dtype)
    savemat(tmp_path / "a.mat", {"reflectances": values, "illuminant": "D65"}, do_compression=compressed)
    assert_same(images(tmp_path / "a.mat", axes="HWC")[0], values.transpose(2, 0, 1), kept)


def test_mat_of_version_73_has_the_axes_of_matlab(tmp_path):
    h5py = pytest.importorskip("h5py")
    # MATLAB writes an array of shape (6, 7, 5) as an HDF5 dataset of shape (5, 7, 6), after 512 bytes of its own.
    with h5py.File(tmp_path / "a.mat", "w", userblock_size=512) as file:
        file["rad"] = CUBE.T
        file["bands"] = np.arange(5.0)[:, None]
    with open(tmp_path / "a.mat", "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM")
    assert_same(images(tmp_path / "a.mat", axes="HWC")[0], CUBE.transpose(2, 0, 1), np.float64)


@pytest.mark.parametrize(
    ("options", "stored", "axes"),
    [
        ({"photometric": "minisblack"}, "CHW", "CHW"),
        ({"photometric": "minisblack", "byteorder": ">", "compression": "zlib"}, "CHW", "NHW"),
        ({"photometric": "minisblack", "planarconfig": "contig"}, "HWC", "HWC"),
    ],
)
@pytest.mark.parametrize("dtype", ["u2", "f4"])
def test_tiff_of_several_pages(tmp_path, options, stored, axes, dtype):
    tifffile = pytest.importorskip("tifffile")
    values = CUBE.astype(dtype)
    values = values.transpose(2, 0, 1) if stored == "CHW" else values
    tifffile.imwrite(tmp_path / "a.tif", values, **options)
    found = images(tmp_path / "a.tif", axes=axes)
    wanted = CUBE.astype(dtype).transpose(2, 0, 1)
    if axes == "NHW":
        assert len(found) == 5
        found = [np.concatenate(found)]
    assert_same(found[0], wanted, np.float32)


def test_raw_numbers(tmp_path):
    values = RNG.integers(0, 65536, (4, 6, 7), dtype=np.uint16)
    (tmp_path / "a.bin").write_bytes(values.astype(">u2").tobytes())
    assert_same(images(tmp_path / "a.bin", raw="4x6x7:>u2", axes="CHW")[0], values, np.float32)
    for found, wanted in zip(images(tmp_path / "a.bin", raw="4x6x7:>u2", axes="NHW"), values, strict=True):
        assert_same(found, wanted[None], np.float32)
    assert_same(images(tmp_path / "a.bin", raw="24x7:>u2")[0], values.reshape(1, 24, 7), np.float32)


def test_van_hateren(tmp_path):
    values = RNG.integers(0, 65536, (1024, 1536), dtype=np.uint16)
    for name in ("imk00001.iml", "imk00002.IMC"):
        (tmp_path / name).write_bytes(values.astype(">u2").tobytes())
    source = resolve_source(tmp_path)  # a folder without image files
    assert (len(source), source.channels, source.calibrated) == (2, ("gray",), True)
    found = images(tmp_path)
    assert_same(found[1], values[None], np.float32)
    (tmp_path / "imk00001.iml").write_bytes(values.tobytes()[:-2])
    source = resolve_source(tmp_path)
    assert len(source) == 1
    assert source.skipped[0].reason == ("must have 3,145,728 bytes for an array of 1024x1536:>u2, has 3,145,726")


def test_arrays_count_in_folders_without_image_files(tmp_path):
    for i in range(3):
        np.save(tmp_path / f"{i}.npy", RNG.normal(size=(6, 7)))
    np.save(tmp_path / "labels.npy", np.arange(4))
    source = resolve_source(tmp_path)
    assert (len(source), [s.name for s in source.skipped]) == (3, [str(tmp_path / "labels.npy")])
    assert len(resolve_source(f"{tmp_path}/*")) == len(resolve_source(f"{tmp_path}/*.npy")) == 3
    save(tmp_path / "photo.png")
    assert [ref.name for ref in resolve_source(tmp_path)] == [str(tmp_path / "photo.png")]
    assert len(resolve_source(tmp_path, layout=ArrayLayout(axes="HW"))) == 3


def test_images_that_do_not_fit_the_first_are_left_out(tmp_path):
    files = {"a": np.ones((6, 7, 5)), "b": np.ones((6, 7, 4)), "c": np.ones((6, 7, 5), np.uint8), "d": np.ones(3)}
    for name, values in files.items():
        np.save(tmp_path / f"{name}.npy", values)
    save(tmp_path / "e.png")
    (tmp_path / "list").write_text("a.npy\nb.npy\nc.npy\nd.npy\n")
    source = resolve_source(f"@{tmp_path}/list", layout=ArrayLayout(axes="HWC"))
    assert [ref.name for ref in source] == [str(tmp_path / "a.npy")]
    assert [s.reason for s in source.skipped] == [
        "4 channels, where the arrays before have 5",
        "uint8, which stands for [0, 1], and other types of numbers are not read together",
        "an array of shape (3,) does not have the axes HWC; check `axes`",
    ]
    np.save(tmp_path / "f.npy", np.ones((6, 7)))
    (tmp_path / "list").write_text("e.png\nf.npy\n")
    source = resolve_source(f"@{tmp_path}/list")
    assert [s.reason for s in source.skipped] == ["an array among image files"]


def damaged_npy(path):
    np.save(path, CUBE)
    path.write_bytes(path.read_bytes()[:-8])


def damaged_npz(path):
    np.savez_compressed(path, cube=CUBE)
    content = path.read_bytes()
    path.write_bytes(content[:200] + b"damage" + content[206:])


def damaged_mat(path):
    savemat(path, {"cube": CUBE}, do_compression=True)
    path.write_bytes(path.read_bytes()[:-200])


def damaged_mat73(path):
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    pytest.importorskip("h5py")


def damaged_tif(path):
    pytest.importorskip("tifffile").imwrite(path, CUBE, photometric="minisblack", planarconfig="contig")
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("a.npy", damaged_npy),
        ("a.npz", damaged_npz),
        ("a.mat", damaged_mat),
        ("b.mat", damaged_mat73),
        ("a.tif", damaged_tif),
        *[
            (f"c{end}", lambda path: path.write_bytes(b"no such format" * 50))
            for end in (".npy", ".npz", ".mat", ".tif")
        ],
        *[(f"d{end}", lambda path: path.write_bytes(b"")) for end in (".npy", ".npz", ".mat", ".tif")],
    ],
)
def test_damaged_files_are_named(tmp_path, name, damage):
    if name.endswith(".tif"):
        pytest.importorskip("tifffile")
    damage(tmp_path / name)
    np.save(tmp_path / "whole.npy", CUBE)
    source = resolve_source(tmp_path, layout=ArrayLayout(axes="HWC"))
    skipped = [item for item in load_images(source, jobs=1) if not isinstance(item, Decoded)]
    assert [item.name for item in skipped] == [str(tmp_path / name)]
    assert len(skipped[0].reason) > 10
    assert "\n" not in skipped[0].reason


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.full((6, 7), np.nan), "must be finite"),
        (np.ones((6, 7), complex), "must hold real numbers"),
        (np.ones((0, 7)), "has no pixels"),
        (np.array([["a"] * 4] * 4), "must hold real numbers"),
    ],
)
def test_numbers_that_are_no_pixels(tmp_path, values, message):
    np.save(tmp_path / "a.npy", values)
    np.save(tmp_path / "b.npy", np.ones((6, 7)))
    items = load_images(resolve_source(tmp_path), jobs=1)
    assert [message in item.reason for item in items if not isinstance(item, Decoded)] == [True]


def test_arrays_of_objects_are_not_unpickled(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[print]]), allow_pickle=True)
    with pytest.raises(DataError, match="must hold real numbers"):
        resolve_source(tmp_path / "a.npy")


@pytest.mark.parametrize("axes", ["HW", "NCHW"])
def test_settings_that_do_not_fit(tmp_path, axes):
    np.save(tmp_path / "a.npy", CUBE)
    with pytest.raises(DataError, match=f"does not have the axes {axes}"):
        resolve_source(tmp_path / "a.npy", layout=ArrayLayout(axes=axes))
    with pytest.raises(OptionError, match="channels: must be 5 names, one for each channel, got 2"):
        resolve_source(tmp_path / "a.npy", layout=ArrayLayout(axes="HWC", channels=("a", "b")))
    photo = save(tmp_path / "photo.png")
    with pytest.raises(OptionError, match="channels: has no meaning for .*photo.png, whose images are not arrays"):
        resolve_source(photo, layout=ArrayLayout(channels=("a", "b", "c")))
    with pytest.raises(DataError, match="`axes` has no meaning"):
        resolve_source(photo, layout=ArrayLayout(axes=axes))
    with pytest.raises(DataError, match="`key` has no meaning"):
        resolve_source(tmp_path / "a.npy", layout=ArrayLayout(axes="HWC", key="cube"))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("axes", "HWD"),
        ("axes", "HHW"),
        ("axes", "HC"),
        ("axes", ""),
        ("raw", "1024:>u2"),
        ("raw", "0x5:u2"),
        ("raw", "4x5"),
        ("raw", "4x5:u3"),
        ("raw", "4x5:f1"),
        ("raw", "1x2x3x4x5:u2"),
        ("channels", ("a", "a")),
        ("channels", ("a", " ")),
    ],
)
def test_settings_that_mean_nothing(setting, value):
    from ndtools import KernelsConfig

    with pytest.raises(OptionError, match=f"^{setting}: must"):
        KernelsConfig(**{setting: value})


def test_a_configuration_says_how_arrays_are_read():
    from ndtools import KernelsConfig

    config = KernelsConfig("a.raw", axes="hw", raw="4x5:>u2")
    assert isinstance(config, ArraySettings)
    assert config.layout == ArrayLayout(axes="HW", raw=RawFormat((4, 5), ">u2"))
    with pytest.raises(OptionError, match="axes: must name the 2 axes"):
        KernelsConfig(axes="HWC", raw="4x5:>u2")
    with pytest.raises(OptionError, match="absolute_eps: cannot be combined"):
        KernelsConfig(absolute_eps=True, relative_eps=True)


def test_luma_is_that_of_red_green_and_blue(tmp_path):
    colour = RNG.normal(500, 100, (6, 7, 3))
    np.save(tmp_path / "a.npy", colour)
    source = resolve_source(tmp_path / "a.npy")
    (item,) = load_images(source, gray=True)
    assert source.channels_decoded(gray=True) == ("gray",)
    np.testing.assert_allclose(item.pixels[0], colour @ [0.299, 0.587, 0.114], rtol=1e-14)
    cones = resolve_source(tmp_path / "a.npy", layout=ArrayLayout(channels=("L", "M", "S")))
    with pytest.raises(OptionError, match="gray: needs channels R, G and B.* got L, M, S"):
        cones.channels_decoded(gray=True)
    np.save(tmp_path / "b.npy", colour[..., 0])
    assert resolve_source(tmp_path / "b.npy").channels_decoded(gray=True) == ("gray",)


def test_resizing_keeps_the_unit(tmp_path):
    x = np.linspace(0, 1, 40)
    plane = 30000 + 2000 * np.sin(2 * np.pi * (x[:, None] + x))
    np.save(tmp_path / "a.npy", np.dstack([plane, 2 * plane, -plane, plane]))
    (item,) = load_images(resolve_source(tmp_path / "a.npy", layout=ArrayLayout(axes="HWC")), resize=20)
    assert item.pixels.shape == (4, 20, 20)
    # Antialiased halves are means of neighbours, but for the curvature of the sine.
    halves = plane.reshape(20, 2, 20, 2).mean((1, 3))
    np.testing.assert_allclose(item.pixels[0][2:-2, 2:-2], halves[2:-2, 2:-2], atol=60)
    np.testing.assert_allclose(item.pixels[1], 2 * item.pixels[0], rtol=1e-6)
    np.testing.assert_allclose(item.pixels[2], -item.pixels[0], rtol=1e-6)


def test_without_a_layout_no_arrays_are_read(tmp_path):
    np.save(tmp_path / "a.npy", CUBE)
    with pytest.raises(DataError, match="no images in"):
        resolve(tmp_path)
    (item,) = load_images(resolve(tmp_path / "a.npy"))
    assert item.reason == "not an image that Pillow can read"


def test_a_layout_for_photographs_is_the_reason_why_there_are_no_images(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"no images in .* \(looked for arrays alone, as axes, key and raw say"):
        resolve(tmp_path, layout=layout(axes="HWC"))


def test_arrays_are_not_read_from_archives(tmp_path):
    import zipfile

    np.save(tmp_path / "a.npy", CUBE)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "a.npy", "a.npy")
    with pytest.raises(DataError, match="no images in"):
        resolve_source(tmp_path / "a.zip")
