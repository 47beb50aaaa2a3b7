"""``ndtools deconvolve`` of a whole folder: one map for all images, exact files under their names, nothing replaced."""

import json
import os
import tarfile

import numpy as np
import pytest
from PIL import Image

import ndtools as nd
from ndtools.data.images.sources import resolve_source
from ndtools.errors import DataError, OptionError, OutputError
from ndtools.experiments.deconvolve.destinations import destinations
from tests.commands import invoke, numbers, save
from tests.oracles.inverse_roots import inverse_root
from tests.oracles.patches import patch_covariance, patch_matrix

pytestmark = pytest.mark.usefixtures("unpainted")


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def deconvolve(source, out, *arguments):
    return invoke("deconvolve", source, "--out", out, *arguments)


def pixels_of(folder):
    paths = sorted(folder.iterdir())
    return {path.stem: np.asarray(Image.open(path)).transpose(2, 0, 1) / 255 for path in paths}


def test_one_written_image_is_one_file(photos, out):
    for path in sorted(photos.iterdir())[1:]:
        path.unlink()
    result = deconvolve(photos, out)
    assert result.exit_code == 0, result.stderr
    assert "1 file of images in" in result.stderr


def test_all_images_of_a_folder(photos, out):
    """Each file holds the centre of D (x - μ) of the patches of all images together."""
    result = deconvolve(photos, out, "-k", 3, "--eps", 1e-3, "--format", "npy,npz,png")
    assert result.exit_code == 0, result.stderr
    assert "12 files of images in" in result.stderr
    images = pixels_of(photos)
    _, mean, covariance = patch_covariance(images.values(), 3)
    d = inverse_root(covariance + 1e-3 * np.eye(27))
    content = numbers(out, "deconvolve")
    assert content["written"] == sorted(f"{i}.{e}" for i in range(4) for e in ("npy", "npz", "png"))
    assert content["images"]["read"] == 4
    for stem, pixels in images.items():
        expected = ((patch_matrix(pixels, 3) - mean) @ d)[:, [4, 13, 22]].T.reshape(3, 28, 38)
        found = np.load(out / f"{stem}.npy")
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
        with np.load(out / f"{stem}.npz") as arrays:
            np.testing.assert_array_equal(arrays["deconvolved"], found)
        white = np.percentile(np.abs(found), 99.5)
        picture = np.asarray(Image.open(out / f"{stem}.png")).transpose(2, 0, 1)
        np.testing.assert_allclose(picture, 127.5 * (1 + (found / white).clip(-1, 1)), atol=0.51)
    again = nd.load(out / "deconvolve.json")
    assert isinstance(again, nd.DeconvolvedSet)
    assert again.written == tuple(content["written"])
    assert [sample.name for sample in again.samples] == [str(path) for path in sorted(photos.iterdir())]
    assert again.plot().axes and "The first 4 images" in again.caption
    assert deconvolve(photos / "1.jpg", out / "one", "--from", out / "deconvolve.npz").exit_code == 0
    with np.load(out / "one" / "deconvolve.npz") as arrays:
        np.testing.assert_array_equal(arrays["deconvolved"], np.load(out / "1.npy"))


def test_keep_scale_restores_the_mean_and_deviation_of_each_channel_in_the_set(photos, out):
    for arguments in (("-k", 1), ("-k", 3, "--border", "valid")):
        result = deconvolve(photos, out, *arguments, "--keep-scale", "--format", "npy,png")
        assert result.exit_code == 0, result.stderr
        lost = arguments[1] // 2
        before = [x[:, lost : 30 - lost, lost : 40 - lost].reshape(3, -1) for x in pixels_of(photos).values()]
        found = [np.load(out / f"{i}.npy") for i in range(4)]
        x, y = (np.concatenate([image.reshape(3, -1) for image in each], 1).astype(float) for each in (before, found))
        np.testing.assert_allclose(y.mean(1), x.mean(1), rtol=1e-4)
        np.testing.assert_allclose(y.std(1), x.std(1), rtol=1e-3)
        picture = np.asarray(Image.open(out / "2.png")).transpose(2, 0, 1)
        np.testing.assert_allclose(picture, 255 * found[2].clip(0, 1), atol=0.51)
        left = np.abs(np.corrcoef(y) - np.eye(3)).max()
        assert left < 0.05 * np.abs(np.corrcoef(x) - np.eye(3)).max() or arguments[1] == 3


def test_keep_scale_with_kernels_of_another_set(photos, tmp_path, out):
    assert invoke("kernels", "sample", "-n", 2, "-k", 3, "--out", out).exit_code == 0
    result = deconvolve(photos, tmp_path / "b", "--from", out / "kernels.npz", "--keep-scale", "--format", "npy")
    assert result.exit_code == 0, result.stderr
    x = np.concatenate([x[:, 1:-1, 1:-1].reshape(3, -1) for x in pixels_of(photos).values()], 1)
    y = np.concatenate([np.load(tmp_path / "b" / f"{i}.npy").reshape(3, -1) for i in range(4)], 1).astype(float)
    np.testing.assert_allclose(y.mean(1), x.mean(1), rtol=1e-4)
    np.testing.assert_allclose(y.std(1), x.std(1), rtol=1e-3)


def test_keep_scale_of_one_image(photos, out):
    assert deconvolve(photos / "1.jpg", out, "--keep-scale").exit_code == 0
    result = nd.load(out / "deconvolve.json")
    inner = result.pixels[:, 1:-1, 1:-1]
    np.testing.assert_allclose(result.deconvolved.mean((1, 2)), inner.mean((1, 2)), rtol=1e-4)
    np.testing.assert_allclose(result.deconvolved.std((1, 2)), inner.std((1, 2)), rtol=1e-3)
    picture = np.asarray(Image.open(out / "deconvolve_image.png")).transpose(2, 0, 1)
    np.testing.assert_allclose(picture, 255 * result.deconvolved.clip(0, 1), atol=0.51)
    assert "standard deviation that it has in the input" in result.caption


def test_in_another_colour_space(photos, tmp_path, out):
    """Statistics are those of the space, pictures are shown in sRGB, and the files of a set say their space."""
    result = deconvolve(photos, out, "-k", 1, "--keep-scale", "--space", "linear", "--format", "npy,png")
    assert result.exit_code == 0, result.stderr
    encoded = np.concatenate([x.reshape(3, -1) for x in pixels_of(photos).values()], 1)
    light = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    y = np.concatenate([np.load(out / f"{i}.npy").reshape(3, -1) for i in range(4)], 1).astype(float)
    np.testing.assert_allclose(y.mean(1), light.mean(1), rtol=1e-4)
    np.testing.assert_allclose(y.std(1), light.std(1), rtol=1e-3)
    found = np.load(out / "0.npy").clip(0, 1).astype(float)
    shown = np.where(found <= 0.0031308, 12.92 * found, 1.055 * found ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(np.asarray(Image.open(out / "0.png")).transpose(2, 0, 1), 255 * shown, atol=0.51)
    assert nd.load(out / "deconvolve.json").config.space == "linear"
    result = deconvolve(photos, tmp_path / "b", "--from", out / "deconvolve.npz", "--format", "npy")
    assert result.exit_code == 0, result.stderr
    assert numbers(tmp_path / "b", "deconvolve")["config"]["space"] == "linear"
    # The kernels are those before the scale was restored: the covariance is the identity, but for the ridge.
    y = np.concatenate([np.load(tmp_path / "b" / f"{i}.npy").reshape(3, -1) for i in range(4)], 1).astype(float)
    np.testing.assert_allclose(np.cov(y), np.eye(3), atol=0.2)


def test_names_are_kept_and_told_apart(tmp_path):
    for name in ("a.jpg", "b.jpg", "b.png", "deep/er/c.png", "deep/d.jpg"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        save(tmp_path / "in" / name)
    found = destinations(resolve_source(tmp_path / "in"), tmp_path, ("png",))
    assert sorted(found.stems.values()) == ["a", "b.jpg", "b.png", "deep/d", "deep/er/c"]
    # The folder that is named is not part of the names, those in it are, even if they hold all images.
    found = destinations(resolve_source(tmp_path / "in" / "deep"), tmp_path, ("png",))
    assert sorted(found.stems.values()) == ["d", "er/c"]
    found = destinations(resolve_source(tmp_path / "in" / "deep" / "er"), tmp_path, ("png",))
    assert list(found.stems.values()) == ["c"]
    found = destinations(resolve_source("sample"), tmp_path, ("png",))
    assert sorted(found.stems.values())[::24] == ["dead_leaves_00", "grace_hopper"]
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.add(tmp_path / "in" / "a.jpg", "../../evil/a.jpg")
        archive.add(tmp_path / "in" / "b.jpg", "../good.jpg")
    found = destinations(resolve_source(tmp_path / "x.tar"), tmp_path, ("npy",))
    assert sorted(found.stems.values()) == ["evil/a", "good"]
    with tarfile.open(tmp_path / "y.tar", "w") as archive:
        archive.add(tmp_path / "in" / "a.jpg", "a.jpg")
        archive.add(tmp_path / "in" / "b.jpg", "a.jpg")
    with pytest.raises(DataError, match=r"several images of the name .*a\.jpg"):
        destinations(resolve_source(tmp_path / "y.tar"), tmp_path, ("npy",))


def test_folders_are_made_and_unusable_images_named(tmp_path, out):
    (tmp_path / "in" / "sub").mkdir(parents=True)
    save(tmp_path / "in" / "a.png")
    save(tmp_path / "in" / "sub" / "b.png", seed=1)
    save(tmp_path / "in" / "small.png", (2, 9))
    (tmp_path / "in" / "bad.png").write_bytes(b"no image")
    result = deconvolve(tmp_path / "in", out, "-q")
    assert result.exit_code == 0, result.stderr
    assert "skipped 2 of 4 images" in result.stderr
    assert numbers(out, "deconvolve")["written"] == ["a.png", "sub/b.png"]
    assert (out / "sub" / "b.png").exists() and not (out / "small.png").exists()


def test_nothing_is_replaced_but_files_of_older_runs(photos, out):
    out.mkdir()
    (out / "2.png").write_bytes(b"precious")
    result = deconvolve(photos, out)
    assert result.exit_code == 1
    assert "2.png: it exists, and no older run of this name wrote it; choose another --out" in result.stderr
    assert sorted(path.name for path in out.iterdir()) == ["2.png"]
    (out / "2.png").unlink()
    assert deconvolve(photos, out, "-k", 1).exit_code == 0
    assert deconvolve(photos, out, "-k", 1, "--format", "npy").exit_code == 0
    content = numbers(out, "deconvolve")
    assert content["earlier"] == [f"{i}.png" for i in range(4)]
    assert deconvolve(photos, out, "-k", 1).exit_code == 0  # replaces those of the first run
    assert numbers(out, "deconvolve")["earlier"] == [f"{i}.npy" for i in range(4)]
    assert not (out / "deconvolve.part.json").exists()


def test_after_an_interruption_the_next_run_goes_through(photos, out, monkeypatch):
    def fail(*_, **__):
        raise OutputError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr("ndtools.experiments.deconvolve.set_run.images_used", fail)
        assert deconvolve(photos, out, "-k", 1).exit_code == 1
    assert sorted(path.name for path in out.iterdir()) == [*(f"{i}.png" for i in range(4)), "deconvolve.part.json"]
    assert deconvolve(photos, out, "-k", 1).exit_code == 0
    assert not (out / "deconvolve.part.json").exists()


def test_the_images_themselves_are_never_replaced(photos, tmp_path):
    for folder in (photos, photos / "white"):
        result = deconvolve(photos, folder)
        assert result.exit_code == 2
        assert "--out must not lie in the folder of the images" in result.stderr.replace("\n", " ")
    save(photos / "5.png")
    before = (photos / "5.png").read_bytes()
    with pytest.raises(OptionError, match="would replace .*5.png, which is one of the images"):
        nd.deconvolve_images(photos / "*.png", photos, kernel_size=1)
    (tmp_path / "link").symlink_to(photos)
    with pytest.raises(OptionError, match="must not lie in the folder"):
        nd.deconvolve_images(photos, tmp_path / "link" / "x", kernel_size=1)
    assert (photos / "5.png").read_bytes() == before


def test_a_list_on_standard_input_and_the_library(photos, tmp_path, out):
    listed = f"{photos / '3.jpg'}\n{photos / '1.jpg'}\n"
    result = invoke("deconvolve", "-", "--out", out, "-k", 1, "--format", "npy", input=listed)
    assert result.exit_code == 0, result.stderr
    found = nd.deconvolve_images(photos / "[13].jpg", tmp_path / "b", kernel_size=1, formats=["npy"])
    assert found.written == ("1.npy", "3.npy")
    assert "2 files written as npy" in repr(found)
    for name in found.written:  # the images are added in another order
        expected = np.load(tmp_path / "b" / name)
        np.testing.assert_allclose(np.load(out / name), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_what_is_refused(photos, tmp_path, out):
    for arguments, code, message in (
        (("--format", "tif"), 2, "--format must be one of png, npy, npz, got 'tif'"),
        (("-k", "1,3"), 2, "--kernel-size must be one value for a set of images, got 2"),
        (("--eps", "1e-3,1e-2"), 2, "--eps must be one value"),
        (("--name", "2"), 2, "--name is also that of an image"),
        (("--name", "a/b"), 2, "must be a file name without folder"),
    ):
        result = deconvolve(photos, out, *arguments)
        assert result.exit_code == code
        assert message in result.stderr.replace("\n", " ")
    (tmp_path / "bad").mkdir()
    for i in range(2):
        (tmp_path / "bad" / f"{i}.png").write_bytes(b"no image")
    assert deconvolve(tmp_path / "bad", out).exit_code == 3
    np.savez(tmp_path / "k.npz", kernels=np.full((3, 3, 3, 3), 1e38), mean=np.zeros(27))
    result = deconvolve(photos, out, "--from", tmp_path / "k.npz")
    assert result.exit_code == 4
    assert "overflows" in result.stderr


def test_a_damaged_announcement_is_no_licence(photos, out):
    out.mkdir()
    (out / "deconvolve.part.json").write_text(json.dumps({"written": 3}))
    (out / "1.png").write_bytes(b"precious")
    assert deconvolve(photos, out).exit_code == 1
    assert os.path.getsize(out / "1.png") == 8
