"""Training runs on images that stay in their files: layouts, damage, and what is said where something does not fit."""

import json
import os
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file

from ndtools.errors import DataError
from ndtools.models.catalogue import CATALOGUE, Entry
from ndtools.results.runs import COLUMNS, read_run
from ndtools.training import streams
from ndtools.training.loading import following
from tests.commands import invoke, numbers, save
from tests.data.labelled.streamed_files import (
    camvid,
    cityscapes,
    class_contents,
    class_folders,
    class_shards,
    encoded,
    picture,
    write,
)
from tests.experiments.train.processes import begin, end, finish
from tests.tiny_scenes import ENTRY

CLASSES = ("--arch", "tiny", "--norm", "bn", "--size", 32, "-b", 4, "--lr", 0.02, "--workers", 0, "--device", "cpu")
PIXELS = ("--arch", "tiny_scenes", "--norm", "bn", "--crop", 16, "-b", 2, "--workers", 0, "--device", "cpu")


@pytest.fixture(autouse=True)
def small_networks(monkeypatch):
    monkeypatch.setitem(CATALOGUE, "tiny", Entry("vgg:VGG", {"counts": (1, 0, 0, 0, 0)}, {}))
    monkeypatch.setitem(CATALOGUE, "tiny_scenes", ENTRY)


@pytest.fixture
def pets(tmp_path):
    return class_folders(tmp_path / "pets")


@pytest.fixture
def streets(tmp_path):
    return camvid(tmp_path / "streets")


def train(source, folder, *more):
    return invoke("train", source, *CLASSES, "-o", folder, "--name", "run", *more)


def segment(source, folder, *more):
    return invoke("segment", source, *PIXELS, "-o", folder, "--name", "run", *more)


def weights(run):
    return {name: value.tobytes() for name, value in load_file(run / "last.safetensors").items()}


def losses(run):
    return read_run(run).steps["loss"].tolist()


def many_classes():
    return class_contents((("train", 24), ("val", 12), ("test", 12)), tuple("abcdefghijkl"))


def test_folders_shards_and_numbers_of_workers_give_equal_runs(tmp_path, unpainted):
    contents = many_classes()
    for name, layout, workers in (
        ("folders", class_folders, 0),
        ("shards", class_shards, 0),
        ("again", class_folders, 1),
    ):
        source = layout(tmp_path / "data" / name, contents)
        done = train(source, tmp_path / name, "--epochs", 2, "--workers", workers)
        assert done.exit_code == 0, done.stderr
    folders, shards, again = (tmp_path / name / "run" for name in ("folders", "shards", "again"))
    assert len(losses(folders)) == 12
    assert losses(shards) == losses(folders) == losses(again)
    assert weights(shards) == weights(folders) == weights(again)
    run = read_run(folders)
    assert [name for name in run.epochs if name not in COLUMNS] == ["eval_top5"]
    last = run.result["last"]
    assert last["eval_top5"] == run.epochs["eval_top5"][-1]
    assert 0 <= last["test_top1"] <= last["test_top5"] <= 100
    assert {key: run.about["data"][key] for key in ("train_images", "eval_images", "test_images", "eval_split")} == {
        "train_images": 24,
        "eval_images": 12,
        "test_images": 12,
        "eval_split": "validation",
    }


def test_a_run_whose_images_cannot_be_read_any_more_loses_no_step(pets, tmp_path, monkeypatch, unpainted):
    """As when the process that reads them is killed, within the minute between two writings of the state."""
    whole = tmp_path / "whole"
    assert train(pets, tmp_path, "--max-steps", 5, "--constants", "published", "--name", "whole").exit_code == 0
    given = iter(range(3))

    def ended(results):
        if next(given, None) is None:
            raise DataError("a process that reads images has ended")
        return following(results)

    with monkeypatch.context() as patch:
        patch.setattr(streams, "following", ended)
        done = train(pets, tmp_path, "--max-steps", 5, "--constants", "published")
    resume = f"ndtools train --resume {tmp_path / 'run'}"
    assert done.exit_code == 3 and "has ended; the state that was written last is kept" in done.stderr
    assert done.stderr.rstrip().endswith(f"; go on with: {resume}") and not (tmp_path / "run" / "result.json").exists()
    done = invoke(*resume.split()[1:])
    assert done.exit_code == 0 and "goes on after step 3 of 5" in done.stderr
    assert losses(tmp_path / "run") == losses(whole)


def test_images_of_the_same_names_may_not_be_others(pets, tmp_path, unpainted):
    """Also where no constant tells: the images of an evaluation. Older runs, which know no sizes, go on."""
    assert train(pets, tmp_path, "--max-steps", 1).exit_code == 0
    run = tmp_path / "run"
    write(pets / "val" / "cat" / "val00.jpg", (pets / "val" / "cat" / "val00.jpg").read_bytes() + b"0")
    done = invoke("train", "--resume", run, "--max-steps", 2)
    assert (done.exit_code, len(losses(run))) == (3, 1)
    assert f"was started with other images, the sizes of the files in {pets} are others (in eval)" in done.stderr
    about = json.loads((run / "run.json").read_text())
    del about["data"]["sizes"]
    (run / "run.json").write_text(json.dumps(about))
    done = invoke("train", "--resume", run, "--max-steps", 2)
    assert (done.exit_code, len(losses(run))) == (0, 2), done.stderr
    (pets / "val" / "cat" / "val00.jpg").rename(pets / "val" / "cat" / "val0.jpg")
    done = invoke("train", "--resume", run, "--max-steps", 3)
    assert done.exit_code == 3 and "other images, the names or labels of the files in" in done.stderr


def test_images_may_move_but_not_change(pets, tmp_path, unpainted):
    assert train(pets, tmp_path, "--max-steps", 1).exit_code == 0
    moved, run = tmp_path / "moved" / "pets", tmp_path / "run"
    shutil.copytree(pets, moved)
    (pets / "val" / "cat" / "val00.jpg").unlink()
    done = invoke("train", "--resume", run, "--max-steps", 2)
    assert (done.exit_code, "was started with other images" in done.stderr) == (3, True)
    done = invoke("train", moved, "--resume", run, "--max-steps", 2, "--workers", 1)
    assert done.exit_code == 0, done.stderr
    assert len(losses(run)) == 2
    done = invoke("train", moved, "--resume", run, "--max-steps", 3, "--size", 16)
    assert (done.exit_code, "--size must be 32" in done.stderr) == (2, True)
    shutil.rmtree(pets)
    done = invoke("train", "--resume", run, "--max-steps", 3)
    assert (done.exit_code, f"name their folder: ndtools train FOLDER --resume {run}" in done.stderr) == (3, True)


def test_folders_of_label_maps_are_never_ignored(streets, tmp_path, unpainted):
    done = invoke("segment", *PIXELS, "--images", streets / "train", "--labels", streets / "trainannot")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "--images and --labels are folders of a data set of your own" in done.stderr
    assert "name the folder that holds both" in done.stderr


def test_a_network_learns_images_by_heart_and_few_classes_have_no_top5(pets, tmp_path, unpainted):
    done = train(pets, tmp_path, "--epochs", 20, "--no-augment", "--sched", "constant")
    assert done.exit_code == 0, done.stderr
    run = read_run(tmp_path / "run")
    assert run.epochs["train_top1"][-1] == 100
    assert run.steps["loss"][-3:].max() < 0.2 < run.steps["loss"][0]
    assert list(run.epochs) == list(COLUMNS)
    assert "test_top5" not in run.result["last"]


@pytest.mark.filterwarnings("default::ndtools.errors.SkippedImageWarning")
def test_label_maps_are_learnt_by_heart(streets, tmp_path, unpainted):
    for split in ("val", "valannot", "test", "testannot"):
        shutil.rmtree(streets / split)
    done = segment(streets, tmp_path, "--epochs", 60, "--no-augment", "--lr", 0.05, "--crop", 24)
    assert done.exit_code == 0, done.stderr
    assert "streets has no images for evaluation, so that the training images are used for it" in done.stderr
    assert "--holdout" in done.stderr
    run = read_run(tmp_path / "run")
    assert run.about["data"]["eval_split"] == "training"
    assert run.epochs["eval_mean_iou"][-1] > 3 * run.epochs["eval_mean_iou"][0]
    assert run.steps["loss"][-3:].max() < 0.5 * run.steps["loss"][0]


def test_two_processes_at_half_the_batch_are_one(tmp_path):
    pets = class_folders(tmp_path / "pets", class_contents((("train", 26),)))
    log, more = tmp_path / "log", ("--epochs", 2, "-o", tmp_path)
    both = begin(log, "train", pets, *CLASSES, "-b", 3, *more, "--name", "two")
    assert end(both, log) == [0, 0], log.read_text()
    assert log.read_text().count("has no images for evaluation") == 1
    assert finish(log, "train", pets, *CLASSES, "-b", 6, *more, "--name", "one") == 0, log.read_text()
    two, one = read_run(tmp_path / "two"), read_run(tmp_path / "one")
    assert (two.about["processes"], two.state, one.state) == (2, "finished", "finished")
    # Rounding of float32 in another order of sums, which eight steps amplify; other images would change tenths.
    np.testing.assert_allclose(two.steps["loss"], one.steps["loss"], rtol=1e-4)
    assert len(one.steps["loss"]) == 8
    for name in ("train_top1", "eval_top1"):
        assert two.epochs[name].tolist() == one.epochs[name].tolist()
    np.testing.assert_allclose(two.epochs["eval_loss"], one.epochs["eval_loss"], rtol=1e-3)


@pytest.mark.filterwarnings("default::ndtools.errors.SkippedImageWarning")
def test_damaged_images_are_named_once_and_strict_ends_with_3(pets, tmp_path, unpainted):
    write(pets / "train" / "cat" / "train00.jpg", b"no image")
    write(pets / "val" / "dog" / "val01.jpg", encoded(picture(3))[:100])
    done = train(pets, tmp_path / "lenient", "--epochs", 2)
    assert done.exit_code == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("warning: left out")]
    assert len(lines) == 2, done.stderr
    assert any(os.path.join("train", "cat", "train00.jpg") in line in line for line in lines)
    assert any(os.path.join("val", "dog", "val01.jpg") in line for line in lines)
    strict = train(pets, tmp_path / "strict", "--epochs", 2, "--strict")
    assert strict.exit_code == 3
    assert "train00.jpg" in strict.stderr.splitlines()[-1] and "without --strict" in strict.stderr
    assert not (tmp_path / "strict" / "run").exists()


@pytest.mark.filterwarnings("default::ndtools.errors.SkippedImageWarning")
def test_a_damaged_label_map_ends_a_strict_run_with_3(streets, tmp_path, unpainted):
    write(streets / "valannot" / "s0.png", b"no image")
    done = segment(streets, tmp_path / "strict", "--epochs", 1, "--strict")
    assert done.exit_code == 3
    assert os.path.join("val", "s0.png") in done.stderr.splitlines()[-1]
    assert read_run(tmp_path / "strict" / "run").state == "running"  # its steps are kept
    done = segment(streets, tmp_path / "lenient", "--epochs", 1)
    assert (done.exit_code, done.stderr.count("left out")) == (0, 1)


@pytest.mark.filterwarnings("ignore::ndtools.errors.SkippedImageWarning")
def test_a_run_whose_images_for_evaluation_are_all_damaged_ends_without_their_numbers(pets, streets, tmp_path):
    for folder, command in ((pets / "val", train), (streets / "valannot", segment)):
        for path in folder.rglob("*.*"):
            path.write_bytes(b"no image")
        done = command(folder.parent, tmp_path / command.__name__, "--epochs", 1)
        assert done.exit_code == 0, done.stderr
        run = read_run(tmp_path / command.__name__ / "run")
        assert np.isnan([run.epochs["eval_loss"][-1], run.epochs["eval_top1"][-1]]).all()
        assert run.result["best"] is None


def test_a_run_that_is_killed_before_its_result_has_the_same_result(streets, tmp_path, unpainted):
    for folder in ("test", "testannot"):
        shutil.rmtree(streets / folder)
    assert segment(streets, tmp_path, "--epochs", 1).exit_code == 0
    run = tmp_path / "run"
    wanted = read_run(run).result["last"]
    assert len(wanted["test_confusion"]) == 12
    (run / "result.json").unlink()
    done = invoke("segment", "--resume", run)
    assert done.exit_code == 0, done.stderr
    assert read_run(run).result["last"] == wanted


def test_the_numbers_of_several_runs_can_be_read(streets, tmp_path, unpainted):
    done = segment(streets, tmp_path, "--max-steps", 1, "--norm", "bn,gn", "--json", "--quiet")
    assert done.exit_code == 0, done.stderr
    (tmp_path / "out.json").write_text(done.stdout)
    runs = numbers(tmp_path, "out")["runs"]
    assert [run["norm"] for run in runs] == ["bn", "gn"]
    assert all(run["experiment"] == "segment" and "test_mean_iou" in run["result"]["last"] for run in runs)


def test_sets_of_the_other_kind_name_the_other_command(pets, streets, tmp_path):
    for command, source, other in (
        ("segment", pets, "train"),
        ("train", streets, "segment"),
        ("train", "camvid", "segment"),
        ("segment", "imagenet", "train"),
    ):
        done = invoke(command, source, "-o", tmp_path / "runs")
        assert done.exit_code == 3
        assert f"use `ndtools {other}` for such sets" in done.stderr
    assert "--images and --labels" in invoke("segment", pets, "-o", tmp_path / "runs").stderr
    cityscapes(tmp_path / "cities")
    done = invoke("train", tmp_path / "cities", "-o", tmp_path / "runs")
    assert (done.exit_code, "use `ndtools segment`" in done.stderr) == (3, True)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(("command", "name"), [("train", "imagenet"), ("segment", "camvid"), ("segment", "cityscapes")])
def test_a_set_that_is_not_found_says_where_it_was_looked_for(command, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NDTOOLS_DATA", str(tmp_path / "elsewhere"))
    done = invoke(command, name, "--data-dir", tmp_path / "here")
    assert done.exit_code == 3
    assert all(str(tmp_path / place / name) in done.stderr for place in ("here", "elsewhere"))
    assert "--data-dir" in done.stderr


@pytest.mark.parametrize(
    ("command", "names", "misspelt"),
    [
        ("train", "fashion-mnist, mnist, cifar10, cifar100, glyphs and imagenet", "imagnet"),
        ("segment", "scenes, camvid and cityscapes", "CityScape"),
    ],
)
def test_an_unknown_set_says_what_was_looked_for(command, names, misspelt, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NDTOOLS_DATA", raising=False)
    done = invoke(command, "nowhere")
    assert done.exit_code == 3
    wanted = (
        f"no such folder or data set: 'nowhere': {tmp_path / 'nowhere'} does not exist, and the names of data sets are"
    )
    assert f"{wanted} {names}" in done.stderr
    done = invoke(command, misspelt)
    assert done.exit_code == 3
    assert done.stderr.rstrip().endswith(f"; did you mean {'imagenet' if command == 'train' else 'cityscapes'}?")
    other, name = ("segment", "scenes") if command == "train" else ("train", "glyphs")
    assert invoke(command, name).stderr.rstrip().endswith(f"; for '{name}' use ndtools {other}")
    (tmp_path / "data" / "nowhere").mkdir(parents=True)
    done = invoke(command, "nowhere", "--data-dir", tmp_path / "data")
    assert done.exit_code == 3
    assert done.stderr.rstrip().endswith(f"; there is {tmp_path / 'data' / 'nowhere'}: give this path")
    (tmp_path / "file").write_text("")
    done = invoke(command, "file")
    assert (done.exit_code, "file" in done.stderr and "is not a folder" in done.stderr) == (3, True)


@pytest.mark.parametrize("split", ["", "train"])
def test_photographs_without_label_maps_are_no_set_for_segmentation(split, tmp_path, monkeypatch):
    """The layouts of classes are no remedy for who wants to label pixels."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos" / split).mkdir(parents=True)
    save(tmp_path / "photos" / split / "a.png")
    done = invoke("segment", tmp_path / "photos")
    assert (done.exit_code, done.stdout) == (3, "")
    assert f"no images with label maps in {tmp_path / 'photos'}" in done.stderr and "CLASS" not in done.stderr
    assert done.stderr.rstrip().endswith("name the two folders with --images and --labels")


def test_a_set_is_found_by_its_name(streets, tmp_path, unpainted):
    streets.rename(tmp_path / "CamVid")
    done = segment("camvid", tmp_path / "runs", "--data-dir", tmp_path, "--max-steps", 1)
    assert done.exit_code == 0, done.stderr
    assert read_run(tmp_path / "runs" / "run").about["data"]["location"] == str(tmp_path / "CamVid")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--crop", 0), "--crop must be at least 1"),
        (("--base", 0), "--base must be at least 1"),
        (("--classes", 0), "--classes must be at least 1"),
        (("--images", "a"), "--labels must be given"),
        (("--labels", "a"), "--images must be given"),
        (("--images", 100), "the number of training images is --train-images"),
        (("--classes", 3), "--classes is for the label maps of --labels"),
        (("--ignore", 3), "--ignore is for the label maps of --labels"),
        (("--images", "a", "--labels", "b", "--ignore", 256), "--ignore must be"),
        (("--train-images", 0), "--train-images must be at least 1"),
        (("--holdout", 4), "--holdout must be at least 0 and less than the 4"),
        (("--auxiliary", -1), "--auxiliary must be at least 0"),
        (("--auxiliary-lr", 0), "--auxiliary-lr must be above 0"),
        (("--workers", -1), "--workers must be at least 0"),
        (("--arch", "vgg11"), "--arch must be one of deeplabv3_resnet50"),
        (("--arch", "vgg11"), "got 'vgg11', which is a network of `ndtools train`"),
        (("-b", 5), "--batch-size must be at most the number of training images, 4"),
    ],
)
def test_wrong_settings_of_segmentation(options, named, streets, tmp_path):
    done = segment(streets, tmp_path / "runs", *options)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1), done.stderr
    assert named in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--size", 0), "--size must be at least 1"),
        (("--resize", 31), "--resize must be at least"),
        (("--workers", -1), "--workers must be at least 0"),
        (("--arch", "fcn_resnet18"), "--arch must be one of"),
        (("-b", 13), "--batch-size must be at most the number of training images, 12"),
    ],
)
def test_wrong_settings_of_classification(options, named, pets, tmp_path):
    done = train(pets, tmp_path / "runs", *options)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1), done.stderr
    assert named in done.stderr
    assert not (tmp_path / "runs").exists()
