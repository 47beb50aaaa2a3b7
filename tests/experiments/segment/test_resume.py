"""Runs that label pixels: killed at random moments they end with the same bits, and their files have all measures."""

import json
import math
import os
import random
import signal

import pytest
from safetensors.numpy import load_file

from ndtools.results.runs import COLUMNS, read_run
from ndtools.runs.writer import Writer
from tests.data.labelled.streamed_files import camvid
from tests.experiments.train.processes import finish, start, until

STEPS = 24  # three epochs of eight
RUN = (
    *("--arch", "tiny_scenes", "--norm", "bn", "-b", 2, "--epochs", 3, "--crop", 16, "--lr", 0.02),
    *("--checkpoint-every", 0.02, "--device", "cpu"),
)


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    return camvid(tmp_path_factory.mktemp("data") / "streets", (("train", 16), ("val", 5), ("test", 3)))


@pytest.fixture(scope="module")
def whole(streets, tmp_path_factory):
    """Return the folder of a run that nothing interrupted, whose own process reads the images."""
    folder = tmp_path_factory.mktemp("whole")
    log = folder / "log"
    assert finish(log, "segment", streets, *RUN, "--workers", 0, "-o", folder, "--name", "run") == 0, log.read_text()
    return folder / "run"


def records(run):
    """Steps and epochs of a run without the seconds that they took."""
    steps = [json.loads(line) for line in (run / "steps.jsonl").read_text().splitlines()]
    heads, *rows = [line.split(",") for line in (run / "summary.csv").read_text().splitlines()]
    for fields in (heads, *rows):
        del fields[COLUMNS.index("seconds")]
    return [{k: v for k, v in step.items() if k != "seconds"} for step in steps], [heads, *rows]


def result_of(run):
    result = json.loads((run / "result.json").read_text())
    return {name: result[name] for name in ("steps", "last", "best", "stopped", "reason")}


def tensors(path):
    return {name: (value.shape, value.tobytes()) for name, value in load_file(path).items()}


def lines(run):
    path = run / "steps.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_a_run_killed_at_random_steps_ends_with_the_same_bits(streets, whole, tmp_path):
    log, run, moments = tmp_path / "log", tmp_path / "run", random.Random(19)
    arguments = ("segment", streets, *RUN, "--workers", 1, "-o", tmp_path, "--name", "run")
    for target in sorted(moments.sample([step for step in range(2, STEPS - 2) if step % 8], 3)):
        process = start(log, *arguments)
        until(lambda target=target: lines(run) >= target, process, log)
        os.kill(process.pid, signal.SIGKILL)
        process.join(30)
        assert not (run / "result.json").exists()
        arguments = ("segment", "--resume", run, "--workers", 0)
    assert finish(log, *arguments) == 0, log.read_text()
    assert len(records(whole)[0]) == STEPS
    assert records(run) == records(whole)
    for name in ("last.safetensors", "best.safetensors", "state.safetensors"):
        assert tensors(run / name) == tensors(whole / name)
    assert result_of(run) == result_of(whole)


def test_an_interrupted_run_names_its_command(streets, whole, tmp_path):
    log, run = tmp_path / "log", tmp_path / "run-seed0"
    options = ("--images", "train", "--labels", "trainannot", "--classes", 11, "--ignore", 11, "--train-images", 12)
    arguments = ("segment", streets, *RUN[:-4], *options, "--workers", 0, "-o", tmp_path, "--name", "run")
    process = start(log, *arguments, "--repeats", 2, "--holdout", 4)
    until(lambda: lines(run) >= 2, process, log)
    os.kill(process.pid, signal.SIGINT)
    process.join(30)
    assert process.exitcode == 130, log.read_text()
    assert f"go on with: ndtools segment --resume {run}" in log.read_text()
    (other,) = [line.strip() for line in log.read_text().splitlines() if line.strip().startswith("ndtools segment ")]
    assert "--train-images 12" in other and "--images train --labels trainannot" in other
    assert finish(log, "train", "--resume", run) == 2
    assert f"is for runs of `ndtools train`; go on with: ndtools segment --resume {run}" in log.read_text()
    assert finish(log, "segment", "--resume", run) == 0, log.read_text()
    assert finish(log, *other.split()[1:]) == 0, log.read_text()
    both = [read_run(tmp_path / f"run-seed{seed}") for seed in (0, 1)]
    assert [len(each.steps["loss"]) for each in both] == [18, 18]
    assert {key: both[0].about["data"][key] for key in ("train_images", "eval_images", "eval_split")} == {
        **{"train_images": 12, "eval_images": 4},
        "eval_split": both[1].about["data"]["eval_split"],
    }


def test_the_files_of_a_run_have_all_measures(whole):
    run = read_run(whole)
    assert [name for name in run.epochs if name not in COLUMNS] == ["eval_mean_iou"]
    assert (run.about["experiment"], run.about["task"], run.state) == ("segment", "segmentation", "finished")
    last, best = run.result["last"], run.result["best"]
    assert last["eval_mean_iou"] == run.epochs["eval_mean_iou"][-1]
    assert best["eval_mean_iou"] == max(run.epochs["eval_mean_iou"])
    assert best["epoch"] == 1 + run.epochs["eval_mean_iou"].argmax()
    matrix = last["test_confusion"]
    right = sum(matrix[k][k] for k in range(11))
    *known, void = matrix
    counted = sum(map(sum, known))
    assert (counted, sum(void)) == (3 * (24 * 32 - 6), 3 * 6)  # the corner belongs to no class
    assert not any(row[11] for row in matrix)  # which nothing is given
    assert last["test_top1"] == pytest.approx(100 * right / counted)
    ious = [
        100 * matrix[k][k] / union if (union := sum(matrix[k]) + sum(row[k] for row in known) - matrix[k][k]) else None
        for k in range(11)
    ]
    assert last["test_iou"] == pytest.approx(ious)
    occurring = [iou for iou in ious if iou is not None]
    assert last["test_mean_iou"] == pytest.approx(sum(occurring) / len(occurring))
    assert last["test_mean_iou_official"] < last["test_mean_iou"]  # over 13 rows, some of which are 0


def test_the_best_epoch_is_that_of_the_highest_mean():
    writer = Writer.__new__(Writer)
    rows = ((1, 90.0, 20.0), (2, 80.0, 30.0), (3, 99.0, math.nan), (4, 95.0, 30.0))
    writer.epochs = [{"epoch": epoch, "eval_top1": top1, "eval_mean_iou": mean} for epoch, top1, mean in rows]
    assert writer.best["epoch"] == 2
