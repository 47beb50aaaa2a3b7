"""``ndtools stats``: published numbers, sources of all kinds, errors, and lines that can be pasted."""

import shutil

import numpy as np
import pytest
from PIL import Image

import ndtools as nd
from ndtools.data.images.conversion import luma
from ndtools.data.images.decoding import (
    decode_image,
)
from tests.commands import invoke, numbers, save
from tests.places import real
from tests.small_set import write_small_set

pytestmark = pytest.mark.usefixtures("unpainted")

DOUBLE = np.finfo(np.float64).eps


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for i, size in enumerate([(40, 30), (20, 50), (40, 30)]):
        save(folder / f"{i}.png", size, seed=i)
    Image.fromarray(np.random.default_rng(5).integers(0, 256, (8, 9), dtype=np.uint8)).save(folder / "grey.png")
    (folder / "broken.png").write_bytes(b"no image")
    return folder


def pixels(folder):
    files = sorted(path for path in folder.iterdir() if path.name != "broken.png")
    return [np.asarray(Image.open(file).convert("RGB")).reshape(-1, 3) / 255 for file in files]


def test_a_folder_is_streamed_into_the_numbers_of_all_its_pixels(photos, tmp_path):
    result = invoke("stats", photos, "--out", tmp_path, "-j", 2)
    assert result.exit_code == 0
    assert "skipped 1 of 5 images" in result.stderr
    found, each = numbers(tmp_path, "stats"), pixels(photos)
    every = np.concatenate(each)
    tight = {"rtol": 1000 * DOUBLE}
    np.testing.assert_allclose(found["all_pixels"]["mean"], every.mean(0), **tight)
    np.testing.assert_allclose(found["all_pixels"]["sd"], every.std(0, ddof=1), **tight)
    np.testing.assert_allclose(found["mean_over_images"]["sd"], np.mean([p.std(0, ddof=1) for p in each], 0), **tight)
    np.testing.assert_allclose(found["covariance"], np.cov(every.T), **tight)
    assert found["sizes"] == {
        "different": 3,
        "widths": [9, 40],
        "heights": [8, 50],
        "common": [40, 30],
        "share": 0.5,
    }
    assert found["dataset"] is None
    assert found["channels"] == ["R", "G", "B"]
    assert "9 to 40 × 8 to 50 pixels" in result.stdout
    assert result.stdout.count("Normalize(mean=(") == 2


def test_results_do_not_depend_on_the_number_of_threads(photos):
    one, three = (nd.stats(str(photos), jobs=jobs).statistics for jobs in (1, 3))
    np.testing.assert_allclose(one.covariance, three.covariance, rtol=100 * DOUBLE)
    np.testing.assert_array_equal(one.counts, three.counts)


def test_the_line_is_what_torchvision_takes(photos):
    result = nd.stats(str(photos))
    made = eval(result.normalize(), {"Normalize": lambda mean, std: (mean, std)})
    np.testing.assert_allclose(made[0], result.statistics.mean, atol=0.5e-4)
    np.testing.assert_allclose(made[1], result.statistics.sd, atol=0.5e-4)
    made = eval(result.normalize("images"), {"Normalize": lambda mean, std: (mean, std)})
    np.testing.assert_allclose(made[1], result.statistics.image_sd, atol=0.5e-4)


def test_a_small_deviation_keeps_its_digits(tmp_path):
    faint = (100 + np.indices((20, 20)).sum(0) % 2).astype(np.uint8)
    Image.fromarray(faint).save(tmp_path / "faint.png")
    result = nd.stats(str(tmp_path / "faint.png"), gray=True)
    (sd,) = eval(result.normalize(), {"Normalize": lambda mean, std: std})
    np.testing.assert_allclose(sd, result.statistics.sd[0], rtol=1e-4)


def test_small_numbers_of_the_table_have_three_digits(tmp_path):
    """Images with the same mean but for a pixel: a deviation between images of some millionths."""
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (40, 30, 3), dtype=np.uint8)
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(3):
        picture[0, 0] = 7 * i
        Image.fromarray(picture).save(folder / f"{i}.png")
    result = invoke("stats", folder, "--out", tmp_path)
    row = next(line.split() for line in result.stdout.splitlines() if line.startswith("R "))
    assert 0 < float(row[5]) < 1e-3 and len(row[5].lstrip("0.").split("e")[0].replace(".", "")) <= 3


def test_a_constant_channel_has_no_line(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    picture[..., 2] = 9
    Image.fromarray(picture).save(tmp_path / "yellow.png")
    result = invoke("stats", tmp_path / "yellow.png", "--out", tmp_path)
    assert result.exit_code == 0
    assert "Normalize(" not in result.stdout
    assert "a channel is constant" in result.stdout
    assert numbers(tmp_path, "stats")["normalize"] == {"all_pixels": None, "mean_over_images": None}
    assert numbers(tmp_path, "stats")["correlation"][2] == [None] * 3


@pytest.mark.parametrize(("split", "count"), [("train", 300), ("test", 60), ("all", 360)])
def test_a_folder_with_the_files_of_a_data_set_is_that_data_set(tmp_path, split, count):
    folder = write_small_set(tmp_path / "set")
    result = nd.stats(str(folder), split=split)
    dataset = nd.load_dataset(str(folder))
    parts = {"train": [dataset.train], "test": [dataset.test], "all": [dataset.train, dataset.test]}[split]
    every = np.concatenate([part.images.numpy() for part in parts]) / 255
    assert result.images.read == len(every) == count
    assert result.names == ("gray",)
    np.testing.assert_allclose(result.statistics.sd, every.std(ddof=1), rtol=1000 * DOUBLE)
    assert result.split.part == split


def test_a_draw_from_a_data_set_is_reproducible_and_grows(tmp_path):
    folder = str(write_small_set(tmp_path / "set"))
    few, more = (nd.stats(folder, images=n, seed=3).statistics for n in (20, 21))
    assert (few.images, more.images) == (20, 21)
    assert ((more.counts - few.counts) >= 0).all()
    assert (more.counts - few.counts).sum() == 25


def test_luma_of_data_sets_is_that_of_files():
    colours = np.random.default_rng(1).integers(0, 256, (2, 3, 40, 50), dtype=np.uint8)
    expected = [decode_image(Image.fromarray(c.transpose(1, 2, 0)), gray=True) for c in colours]
    np.testing.assert_array_equal(luma(colours), expected)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("{photos}", "--split", "test"), 2, "--split needs a data set with labels"),
        (("{photos}", "--data-dir", "x"), 2, "--data-dir needs a data set with labels"),
        (("{set}", "--resize", 4), 2, "--resize cannot be combined with a data set"),
        (("{photos}", "--resize", 0), 2, "--resize must be at least 1"),
        (("{part}",), 3, "lacks t10k-labels-idx1-ubyte"),
        (("{empty}",), 3, "no images in"),
        (("cifar11",), 3, "data sets are fashion-mnist"),
    ],
)
def test_wrong_inputs_are_named(photos, tmp_path, arguments, code, message):
    whole = write_small_set(tmp_path / "set")
    part = shutil.copytree(whole, tmp_path / "part")
    (part / "t10k-labels-idx1-ubyte").unlink()
    (tmp_path / "empty").mkdir()
    places = {"photos": photos, "set": whole, "part": part, "empty": tmp_path / "empty"}
    result = invoke("stats", *(str(a).format(**places) for a in arguments), "--out", tmp_path / "out")
    assert result.exit_code == code
    assert message in result.stderr
    assert not (tmp_path / "out" / "stats.json").exists()


def test_mnist_has_the_numbers_that_everyone_uses():
    result = nd.stats(str(real("mnist")))
    assert result.normalize() == "Normalize(mean=(0.1307,), std=(0.3081,))"


def test_fashion_mnist_has_the_numbers_that_everyone_uses():
    result = nd.stats(str(real("fashion-mnist")))
    assert result.normalize() == "Normalize(mean=(0.2860,), std=(0.3530,))"


def test_cifar10_has_both_pairs_of_numbers_that_are_in_use():
    result = nd.stats(str(real("cifar-10-batches-bin")))
    assert result.normalize() == "Normalize(mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616))"
    assert result.normalize("images") == "Normalize(mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.2010))"


@pytest.mark.parametrize("scale", [1e-10, 1e20])
def test_numbers_of_any_size_keep_their_digits(tmp_path, scale):
    values = np.random.default_rng(0).random((20, 30, 3))
    np.save(tmp_path / "a.npy", scale * values)
    line = nd.stats(str(tmp_path / "a.npy")).normalize()
    found = eval(line, {"Normalize": lambda mean, std: (mean, std)})
    np.testing.assert_allclose(found[0], scale * values.mean((0, 1)), rtol=1e-5)
    np.testing.assert_allclose(found[1], scale * values.std((0, 1), ddof=1), rtol=1e-5)
    np.save(tmp_path / "constant.npy", np.full((20, 30, 3), scale))
    assert not nd.stats(str(tmp_path / "constant.npy")).statistics.varies.any()
