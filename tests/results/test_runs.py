"""Folders of training runs are read as far as they are written, and damage is named."""

import json

import numpy as np
import pytest

from ndtools.errors import DataError, SkippedRunWarning
from ndtools.results import runs
from ndtools.results.runs import read_run, run_folders
from tests.run_folders import write_run


def test_a_run_is_read(tmp_path):
    run = read_run(write_run(tmp_path / "bn", epochs=3, per_epoch=20, seed=5))
    assert (run.name, run.state, run.config["seed"], run.about["arch"]) == ("bn", "finished", 5, "vgg16")
    np.testing.assert_array_equal(run.steps["step"], np.arange(1, 61))
    np.testing.assert_array_equal(run.epochs["epoch"], [1, 2, 3])
    np.testing.assert_array_equal(run.epoch_steps, [20, 40, 60])
    assert run.result["last"]["eval_top1"] == run.epochs["eval_top1"][-1]


def test_steps_of_epochs_are_known_where_batches_do_not_divide(tmp_path):
    """Shares of an epoch such as 3 · (1/3) are not whole numbers in floating point."""
    for per_epoch in (3, 7, 49, 391):
        run = read_run(write_run(tmp_path / f"{per_epoch}", epochs=6, per_epoch=per_epoch))
        np.testing.assert_array_equal(run.epoch_steps, per_epoch * np.arange(1, 7))


def test_a_run_that_goes_on_is_read_up_to_its_last_whole_line(tmp_path):
    run = read_run(write_run(tmp_path / "bn", epochs=3, done=2, state="running", half=True, per_epoch=20))
    assert (run.state, run.result) == ("running", None)
    assert len(run.steps["step"]) == 2 * 20 + 6  # the seventh line is cut short
    np.testing.assert_array_equal(run.epoch_steps, [20, 40])


def test_a_run_that_has_just_started_has_no_records(tmp_path):
    folder = write_run(tmp_path / "bn")
    for name in ("steps.jsonl", "summary.csv", "result.json"):
        (folder / name).unlink()
    run = read_run(folder)
    assert run.state == "running" and not len(run.steps["loss"]) and not len(run.epoch_steps)


def test_an_epoch_that_ends_while_its_run_is_read_is_left_out_or_has_its_steps(tmp_path, monkeypatch):
    whole = write_run(tmp_path / "whole", epochs=2, per_epoch=20)
    folder = write_run(tmp_path / "run", epochs=2, done=1, state="running", per_epoch=20)
    read = runs.read_file

    def read_file(path):
        content = read(path)
        if path.name in ("steps.jsonl", "summary.csv"):  # the run goes on after the first of the two was read
            for name in ("steps.jsonl", "summary.csv"):
                (folder / name).write_bytes((whole / name).read_bytes())
        return content

    monkeypatch.setattr(runs, "read_file", read_file)
    run = read_run(folder)
    np.testing.assert_array_equal(run.epoch_steps, 20 * run.epochs["epoch"])


def test_values_that_are_not_finite_are_nan(tmp_path):
    run = read_run(write_run(tmp_path / "bn", done=1, state="diverged"))
    assert run.state == "diverged" and np.isnan(run.steps["loss"][-1]) and np.isfinite(run.steps["loss"][:-1]).all()


def test_folders_of_folders_are_expanded_in_natural_order_each_once(tmp_path):
    for name in ("run-10", "run-9", "run-9-2", "other"):
        write_run(tmp_path / "runs" / name, epochs=1)
    (tmp_path / "runs" / "notes").mkdir()
    (tmp_path / "runs" / "file").write_text("")
    runs = tmp_path / "runs"
    names = [path.name for path in run_folders([runs / "run-10", runs])]
    assert names == ["run-10", "other", "run-9", "run-9-2"]


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("run.json", lambda text: text[:-10], "run.json is not JSON, or is cut short: .*: move its folder away"),
        ("run.json", lambda text: "[]", "holds no JSON object"),
        ("run.json", lambda text: text.replace('"format": 1', '"format": 2'), "the format 2.*update ndtools"),
        ("run.json", lambda text: text.replace('"norm"', '"other"', 1), "it has no 'norm'"),
        ("steps.jsonl", lambda text: text.replace("\n", "\n{nothing}\n", 1), "steps.jsonl is damaged in line 2"),
        ("steps.jsonl", lambda text: text.replace('"lr"', '"rate"', 1), "damaged in line 1: it has no 'lr'"),
        ("summary.csv", lambda text: text.replace("epoch", "time", 1), "damaged in line 1: the columns must be epoch"),
        ("summary.csv", lambda text: text.replace("1.0,", "1.0,x,", 1), "damaged in line 2"),
        ("summary.csv", lambda text: text.replace("1.0,", "1.0,1,", 1), "damaged in line 2: it has 8 values"),
        ("result.json", lambda text: text.replace("1", "true", 1), "the format True"),
    ],
)
def test_damage_is_named(tmp_path, name, change, message):
    folder = write_run(tmp_path / "bn", epochs=2)
    (folder / name).write_text(change((folder / name).read_text()))
    with pytest.raises(DataError, match=message):
        read_run(folder)


def test_what_is_no_run_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    for path, message in (
        (tmp_path, "holds no run"),
        (tmp_path / "x", "no such folder"),
        (tmp_path / "file", "no fold"),
    ):
        with pytest.raises(DataError, match=message):
            run_folders([path])


def test_patterns_name_folders_in_natural_order(tmp_path):
    for name in ("run-10", "run-9", "other", "run-[1]"):
        write_run(tmp_path / name, epochs=1)
    assert [path.name for path in run_folders([f"{tmp_path}/run-?*"])] == ["run-9", "run-10", "run-[1]"]
    assert [path.name for path in run_folders([tmp_path / "run-[1]"])] == ["run-[1]"]
    with pytest.raises(DataError, match="no folder matches '.*none"):
        run_folders([f"{tmp_path}/none*"])


def test_what_holds_no_run_is_left_out_where_others_remain(tmp_path):
    """As in `runs/*`, where a log lies beside the folders of the runs."""
    write_run(tmp_path / "bn", epochs=1)
    (tmp_path / "vgg16.log").write_text("")
    (tmp_path / "notes").mkdir()
    with pytest.warns(SkippedRunWarning) as warned:
        folders = run_folders([f"{tmp_path}/*"])
    assert folders == [tmp_path / "bn"]
    notes, log = sorted((str(each.message) for each in warned), key=len, reverse=True)
    assert notes == f"{tmp_path / 'notes'} holds no run (no run.json, nor a folder with one), and is left out"
    assert log == f"{tmp_path / 'vgg16.log'} is no folder, and is left out"


def test_a_summary_may_hold_nan(tmp_path):
    folder = write_run(tmp_path / "bn", epochs=2)
    lines = (folder / "summary.csv").read_text().splitlines()
    cells = lines[2].split(",")
    (folder / "summary.csv").write_text("\n".join([*lines[:2], ",".join([cells[0], "nan", *cells[2:]]), ""]))
    assert np.isnan(read_run(folder).epochs["train_loss"][1])
    assert json.loads((folder / "run.json").read_text())["format"] == 1
