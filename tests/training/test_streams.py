"""Streamed batches follow from seed and step alone, and what is damaged is named and replaced."""

import os
import pickle
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
import torch

from ndtools.data.labelled.streamed import load_streamed
from ndtools.data.labelled.views import Crops, Scenes
from ndtools.errors import DataError, OptionError, SkippedImageWarning
from ndtools.training.recipe import Recipe
from ndtools.training.streams import StreamedData
from tests.data.labelled.streamed_files import (
    camvid,
    cityscapes,
    class_contents,
    class_folders,
    class_shards,
    encoded,
    picture,
    scene,
    write,
)
from tests.places import ROOT, real

VIEW = Crops(12, 16)
RECIPE = Recipe(epochs=2, batch_size=4)


@pytest.fixture
def pets(tmp_path):
    return class_folders(tmp_path / "pets")


def data(root, view=VIEW, **settings):
    return StreamedData(load_streamed(root), view, **{"constants": "published", **settings})


def every(batches, steps):
    return [batches[step] for step in steps]


def assert_equal(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert all(map(torch.equal, one, other))


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_any_number_of_workers_gives_equal_batches(pets, workers):
    alone = every(data(pets).batches(RECIPE), range(6))
    assert alone[0][0].shape == (4, 3, 12, 12) and alone[0][1].dtype == torch.int64
    streamed = data(pets, workers=workers)
    assert_equal(every(streamed.batches(RECIPE), range(6)), alone)
    assert_equal(list(streamed.evaluated("eval")), list(data(pets).evaluated("eval")))


def test_shards_give_the_batches_of_folders(pets, tmp_path):
    shards = data(class_shards(tmp_path / "shards"), workers=1)
    assert_equal(every(shards.batches(RECIPE), range(4)), every(data(pets).batches(RECIPE), range(4)))
    assert shards.numbers() == data(pets).numbers()


def test_batches_are_the_views_of_their_images(pets):
    """Every training image occurs once in an epoch; without augmentation it is the view of evaluation, normalised."""
    streamed = data(pets)
    batches = streamed.batches(Recipe(epochs=1, batch_size=4, augment=False))
    assert (batches.per_epoch, batches.images) == (3, 4)
    wanted = []
    for i in range(12):
        image, label = VIEW.evaluation(*streamed.streamed.train.read(i))
        mean, std = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        wanted.append(((image.float() / 255 - mean) / std, label))
    seen = set()
    for images, labels in every(batches, range(3)):
        for image, label in zip(images, labels, strict=True):
            (number,) = [i for i, (other, _) in enumerate(wanted) if torch.allclose(image, other)]
            assert label == wanted[number][1]
            seen.add(number)
    assert seen == set(range(12))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_may_begin_at_any_step(pets, workers):
    batches = data(pets, workers=workers).batches(RECIPE)
    ahead = every(batches, range(6))
    for start in (4, 1, 5):
        assert_equal(every(batches, range(start, 6)), ahead[start:])
    assert_equal([data(pets, workers=workers).batches(RECIPE)[3]], ahead[3:4])
    assert not torch.equal(batches[6][0], batches[7][0])  # beyond the last epoch
    assert_equal(every(batches, [6, 6]), every(batches, [6]) * 2)


def test_epochs_and_seeds_differ(pets):
    batches = data(pets).batches(RECIPE)
    assert not torch.equal(batches[0][0], batches[3][0])
    assert not torch.equal(batches[0][0], data(pets).batches(Recipe(epochs=2, batch_size=4, seed=1))[0][0])
    assert batches.noise(5) != batches.noise(6)


def test_processes_share_each_batch(pets):
    whole = every(data(pets).batches(Recipe(epochs=2, batch_size=6)), range(4))
    streamed = data(pets)
    parts = [
        every(streamed.batches(Recipe(epochs=2, batch_size=3), rank=rank, processes=2), range(4)) for rank in range(2)
    ]
    assert_equal([tuple(map(torch.cat, zip(*pair, strict=True))) for pair in zip(*parts, strict=True)], whole)
    shares = [[len(labels) for _, labels in streamed.evaluated("eval", rank, 4)] for rank in range(4)]
    assert sum(map(sum, shares)) == 6
    together = torch.cat([images for rank in range(4) for images, _ in streamed.evaluated("eval", rank, 4)])
    assert torch.equal(together, torch.cat([images for images, _ in streamed.evaluated("eval")]))
    with pytest.raises(OptionError, match="12, got 7 in each of 2 processes"):
        streamed.batches(Recipe(batch_size=7), processes=2)


def test_the_generator_of_the_run_is_left_alone(pets):
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    streamed = data(pets, workers=1)
    streamed.batches(RECIPE)[0]
    list(streamed.evaluated("eval"))
    assert torch.equal(torch.rand(3), wanted)


@pytest.mark.parametrize("workers", [0, 1])
def test_damaged_images_are_named_once_and_replaced(pets, workers):
    names = list(load_streamed(pets).train.names)
    whole = (pets / "train" / names[2]).read_bytes()
    write(pets / "train" / names[2], whole[: len(whole) // 2])
    write(pets / "train" / names[3], b"this is text")
    plain = Recipe(epochs=2, batch_size=12, augment=False)
    streamed = data(pets, workers=workers)
    with pytest.warns(SkippedImageWarning) as told:
        images, labels = streamed.batches(plain)[0]
    texts = sorted(str(w.message) for w in told)
    assert len(texts) == 2 and "truncated" in texts[0] and "not an image" in texts[1]
    assert all(names[2 + i] in text and "the next image takes its place" in text for i, text in enumerate(texts))
    replacement = VIEW.evaluation(*streamed.streamed.train.read(4))[0]
    same = [torch.equal(image, streamed.on_device((replacement, torch.tensor(0)))[0]) for image in images]
    assert sum(same) == 3 and len(labels) == 12
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        streamed.batches(plain)[1]
    with pytest.raises(DataError, match=rf"cannot use .*{names[2]}: truncated|cannot use .*{names[3]}: not an image"):
        data(pets, strict=True, workers=workers).batches(plain)[0]


def test_damaged_images_are_left_out_of_evaluation(pets):
    (pets / "val" / "cat" / "val00.jpg").write_bytes(b"")
    streamed = data(pets, batch_of_evaluation=1)
    with pytest.warns(SkippedImageWarning, match="val00.jpg: empty file$"):
        assert len(list(streamed.evaluated("eval"))) == 5
    with pytest.raises(DataError, match="cannot use .*val00.jpg: empty file"):
        list(data(pets, strict=True).evaluated("test"))


@pytest.mark.filterwarnings("ignore::ndtools.errors.SkippedImageWarning")
def test_a_set_of_damaged_images_is_an_error(pets):
    for path in (pets / "train").rglob("*.jpg"):
        path.write_bytes(b"text")
    streamed = data(pets, workers=1)
    with pytest.raises(DataError, match="in succession cannot be used"):
        streamed.batches(RECIPE)[0]
    with pytest.raises(DataError, match="no training image of"):
        streamed.some(4)
    with pytest.raises(DataError, match="no training image of"):
        data(pets, constants="pooled")


def test_constants_are_those_of_all_pixels(pets):
    streamed = data(pets, constants="pooled")
    pixels = [VIEW.evaluation(*streamed.streamed.train.read(i))[0].flatten(1) for i in range(12)]
    levels = torch.cat(pixels, 1).double() / 255
    numbers = streamed.numbers()
    np.testing.assert_allclose(numbers["mean"], levels.mean(1), rtol=1e-12)
    np.testing.assert_allclose(numbers["std"], levels.std(1, correction=0), rtol=1e-10)
    again = data(pets, constants=(numbers["mean"], numbers["std"]))
    assert again.numbers() == numbers
    assert abs(float(torch.cat([i for i, _ in again.evaluated("eval")]).mean())) < 1
    with pytest.raises(OptionError, match="constants: must be three means"):
        data(pets, constants=((0.5,), (0.5,)))


def test_some_images_are_the_same_in_all_runs(pets):
    some = data(pets, workers=1).some(5)
    assert some.shape == (5, 3, 12, 12) and torch.equal(some, data(pets, batch_of_evaluation=2).some(5))
    assert len(data(pets).some(100)) == 12


def test_what_a_run_records_of_its_data(pets):
    numbers = data(pets).numbers()
    counts = {name: numbers[f"{name}_images"] for name in ("train", "eval", "test")}
    assert counts == {"train": 12, "eval": 6, "test": 6} and numbers["classes"] == 3
    assert numbers["eval_split"] == "validation"
    assert numbers["view"] == {"kind": "crops", "size": 12, "resize": 16}
    write(pets / "train" / "owl" / "new.jpg", encoded(picture(1)))
    assert data(pets).numbers()["fingerprint"]["train"] != numbers["fingerprint"]["train"]


def test_which_images_are_evaluated(tmp_path):
    class_folders(tmp_path, class_contents((("train", 6), ("val", 3), ("test", 4))))
    streamed = data(tmp_path)
    assert streamed.held_out and len(streamed) == 6 and streamed.classes == 3
    counts = {split: sum(len(labels) for _, labels in streamed.evaluated(split)) for split in ("eval", "test")}
    assert counts == {"eval": 3, "test": 4}
    without = load_streamed(tmp_path / "train")
    alone = StreamedData(without, VIEW, constants="published", workers=None)
    assert sum(len(labels) for _, labels in alone.evaluated("test")) == 6 and alone.workers >= 1
    assert not StreamedData(without.chosen(holdout=2), VIEW, constants="published").held_out


def test_scenes(tmp_path):
    streamed = data(camvid(tmp_path), Scenes(base=12, crop=(10, 14)), workers=2)
    images, labels = streamed.batches(Recipe(epochs=1, batch_size=4))[0]
    assert images.shape == (4, 3, 10, 14) and labels.shape == (4, 10, 14) and labels.dtype == torch.int64
    outside = labels == 255
    plain, kept = streamed.batches(Recipe(epochs=1, batch_size=4, augment=False))[0]
    assert plain.shape == images.shape and kept.shape == labels.shape and bool((kept != 255).any()) and outside.any()
    for n, (images, labels) in enumerate(streamed.evaluated("test")):
        assert images.shape == (2, 3, 12, 16) and labels.shape == (2, 24, 32) and n == 0
        for i in range(2):
            assert np.array_equal(labels[i], scene([4, i])[1])
    assert streamed.some(3).shape == (3, 3, 10, 14)


def test_evaluation_holds_scenes_of_one_size_in_each_batch(tmp_path):
    camvid(tmp_path, (("train", 2), ("val", 5)))
    for i in (1, 3):
        pixels, labels = scene(i, 30, 40)
        write(tmp_path / "val" / f"s{i}.png", encoded(pixels, "PNG"))
        write(tmp_path / "valannot" / f"s{i}.png", encoded(labels % 11, "PNG"))
    sizes = [tuple(labels.shape) for _, labels in data(tmp_path, Scenes()).evaluated("eval")]
    assert sizes == [(3, 24, 32), (2, 30, 40)]


def test_cityscapes_and_views_that_do_not_fit(tmp_path, pets):
    cityscapes(tmp_path / "c")
    images, labels = data(tmp_path / "c", Scenes(crop=8)).batches(Recipe(batch_size=2))[0]
    assert images.shape == (2, 3, 8, 8) and set(labels.unique().tolist()) <= {*range(19), 255}
    with pytest.raises(OptionError, match="view: must be one for a label map for each image"):
        data(tmp_path / "c", Crops())
    with pytest.raises(OptionError, match="view: must be one for a class for each image"):
        data(pets, Scenes())
    with pytest.raises(OptionError, match="workers: must be at least 0, got -1"):
        data(pets, workers=-1)


def test_real_camvid():
    streamed = data(real("camvid-240x180"), Scenes(crop=(90, 120)), workers=1)
    images, labels = streamed.batches(Recipe(batch_size=8))[45]
    assert images.shape == (8, 3, 90, 120) and set(labels.unique().tolist()) <= {*range(11), 255}


SCRIPT = """
import sys, time
from ndtools.data.labelled.streamed import load_streamed
from ndtools.data.labelled.views import Crops
from ndtools.training.recipe import Recipe
from ndtools.training.streams import StreamedData
from multiprocessing import active_children
data = StreamedData(load_streamed(sys.argv[1]), Crops(12, 16), workers=2, constants="published")
batches = data.batches(Recipe(epochs=100000, batch_size=4))
batches[0]
try:
    print(*[child.pid for child in active_children()], flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    batches[1]
    print("went on", flush=True)
for step in range(2, 10**9):
    batches[step]
"""


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at processes in /proc")
def test_workers_ignore_the_keyboard_and_die_with_their_parent(pets):
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(pets)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        workers = [int(pid) for pid in process.stdout.readline().split()]
        assert len(workers) == 2 and all(map(is_running, workers))
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all processes of the group
        assert process.stdout.readline() == "went on\n"
        assert all(map(is_running, workers))
        process.kill()
        end = time.monotonic() + 20
        while any(map(is_running, workers)) and time.monotonic() < end:
            time.sleep(0.1)
        assert not any(map(is_running, workers))
    finally:
        process.kill()
        process.communicate()


def test_a_worker_that_ends_is_an_error(pets):
    batches = data(pets, workers=1).batches(Recipe(epochs=1000, batch_size=4))
    wanted = batches[0]
    os.kill(batches._loader._iterator._workers[0].pid, signal.SIGKILL)
    with pytest.raises(DataError, match="a process that reads images has ended.*take fewer `workers`"):
        every(batches, range(1, 100))
    assert_equal([batches[0]], [wanted])  # by a new process


def test_a_lack_of_shared_memory_is_an_error_and_no_endless_wait(pets, monkeypatch):
    def full(tensor):
        raise RuntimeError("unable to allocate shared memory: No space left on device")

    monkeypatch.setattr(torch.Tensor, "share_memory_", full)
    batches = data(pets, workers=1).batches(RECIPE)
    with pytest.raises(DataError, match=r"no room in shared memory: unable to allocate.*take fewer `workers`"):
        batches[0]


def test_an_error_in_a_worker_is_not_taken_for_its_end(pets, monkeypatch):
    def broken(*arguments):
        raise RuntimeError("a mistake")

    monkeypatch.setattr(Crops, "training", broken)
    with pytest.raises(RuntimeError, match="a mistake"):
        data(pets, workers=1).batches(RECIPE)[0]


def test_the_data_travels_to_processes_that_are_not_forked(pets):
    work = data(pets).batches(RECIPE)._work
    assert_equal(pickle.loads(pickle.dumps(work)).batch((0, [1, 2]))[0], work.batch((0, [1, 2]))[0])
