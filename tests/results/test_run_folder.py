"""Folders of runs: made once, cut back to a state, locked by one process."""

import json

import pytest

from ndtools.errors import OutputError
from ndtools.results.run_folder import RunFolder
from ndtools.results.runs import COLUMNS
from tests.run_folders import CONFIG

ABOUT = {"arch": "vgg16", "norm": "bn", "config": CONFIG, "data": {"name": "cifar10"}}


def step(number):
    return {"step": number, "epoch": number / 2, "loss": 1 / number, "lr": 0.1, "seconds": 0.0, "images": 8}


def epoch(number):
    return {name: number / 8 for name in COLUMNS} | {"epoch": number, "step": 2 * number}


@pytest.fixture
def folder(tmp_path):
    """Return the folder of a run of six steps and three epochs."""
    folder = RunFolder.create(tmp_path / "runs", "run")
    folder.describe(ABOUT)
    with folder.lock():
        for number in range(1, 7):
            folder.add_step(step(number))
            if number % 2 == 0:
                folder.add_epoch(epoch(number // 2))
    return folder


def test_lines_come_back(folder):
    run = RunFolder.open(folder.path).read()
    assert run.steps["loss"].tolist() == [1 / n for n in range(1, 7)]
    assert run.epochs["eval_top1"].tolist() == [1 / 8, 2 / 8, 3 / 8]
    assert not folder.finished
    folder.finish({"stopped": None})
    assert folder.finished and folder.read().state == "finished"


@pytest.mark.parametrize(("steps", "epochs"), [(0, 0), (3, 1), (4, 2), (6, 3)])
def test_what_came_after_a_state_is_cut(folder, steps, epochs):
    with (folder.path / "steps.jsonl").open("a") as file:
        file.write(json.dumps(step(7))[:20])
    (folder.path / ".state.safetensors.123.tmp").write_bytes(b"begun")
    folder.cut_back(step=steps, epochs=epochs)
    assert not list(folder.path.glob(".*.tmp"))
    run = folder.read()
    assert (len(run.steps["step"]), len(run.epochs["epoch"])) == (steps, epochs)
    with folder.lock():  # and lines can be added again, the head line among them
        folder.add_step(step(steps + 1))
        folder.add_epoch(epoch(epochs + 1))
    run = folder.read()
    assert run.steps["step"].tolist() == list(range(1, steps + 2))
    assert run.epochs["epoch"].tolist() == list(range(1, epochs + 2))


def test_a_number_is_added_to_names_that_exist(folder):
    output = folder.path.parent
    assert [RunFolder.create(output, "run").name for _ in range(2)] == ["run-2", "run-3"]


def test_a_lock_keeps_others_out(folder):
    with folder.lock(), pytest.raises(OutputError, match="another process is writing"), RunFolder(folder.path).lock():
        pass
    with folder.lock():
        pass


def test_losses_that_are_not_finite_are_json(folder):
    with folder.lock():
        folder.add_step(step(7) | {"loss": float("nan")})
    assert json.loads((folder.path / "steps.jsonl").read_text().splitlines()[-1])["loss"] is None


def test_folders_that_cannot_be_made_are_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="it is a file"):
        RunFolder.create(tmp_path / "file", "run")
