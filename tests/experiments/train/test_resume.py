"""Runs that are killed go on to the same weights, to the bit, and their records are those of an uninterrupted run."""

import json
import os
import random
import signal

import pytest
from safetensors.numpy import load_file

from tests.experiments.train.processes import finish, start, until
from tests.small_set import write_small_set

RUN = ("--arch", "tiny", "-b", 16, "--epochs", 3, "--lr", 0.02, "--checkpoint-every", 0.02)


@pytest.fixture(scope="module")
def small_set(tmp_path_factory):
    return write_small_set(tmp_path_factory.mktemp("data") / "small", n_train=300, n_test=60, side=8)


@pytest.fixture(scope="module")
def whole(small_set, tmp_path_factory):
    """Return the folder of a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    assert finish(folder / "log", "train", small_set, *RUN, "-o", folder, "--name", "run") == 0, (
        folder / "log"
    ).read_text()
    return folder / "run"


def records(run):
    """Steps and epochs of a run without the seconds that they took."""
    steps = [json.loads(line) for line in (run / "steps.jsonl").read_text().splitlines()]
    epochs = [line.rsplit(",", 1)[0] for line in (run / "summary.csv").read_text().splitlines()]
    return [{k: v for k, v in step.items() if k != "seconds"} for step in steps], epochs


def tensors(path):
    return {name: (value.shape, value.tobytes()) for name, value in load_file(path).items()}


def same(run, whole):
    assert records(run) == records(whole)
    for name in ("last.safetensors", "state.safetensors"):
        assert tensors(run / name) == tensors(whole / name)


def lines(run):
    path = run / "steps.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.mark.parametrize("seed", range(3))
def test_killed_runs_end_with_the_same_bits(small_set, whole, tmp_path, seed):
    log, run, moments = tmp_path / "log", tmp_path / "run", random.Random(seed)
    arguments = ("train", small_set, *RUN, "-o", tmp_path, "--name", "run")
    kills = 0
    while not (run / "result.json").exists():
        process = start(log, *arguments)
        before = lines(run)
        target = before + moments.randint(1, 25)
        end = False

        def reached(target=target):
            return lines(run) >= target or (run / "result.json").exists()

        try:
            until(reached, process, log)
        except AssertionError:
            end = (run / "result.json").exists()
            assert end, log.read_text()
        if not end and not (run / "result.json").exists():
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.join(30)
        arguments = ("train", "--resume", run)
    assert kills > 0
    same(run, whole)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_how_to_go_on(small_set, whole, tmp_path, number):
    log, run = tmp_path / "log", tmp_path / "run"
    process = start(log, "train", small_set, *RUN[:-1], 1000, "-o", tmp_path, "--name", "run")
    until(lambda: lines(run) >= 23, process, log)
    os.kill(process.pid, number)
    process.join(30)
    assert process.exitcode == 130, log.read_text()
    step = lines(run)  # the state is that of the last record
    assert f"after step {step} of 54 is written; go on with: ndtools train --resume {run}" in log.read_text()
    assert not (run / "result.json").exists()
    assert finish(log, "train", "--resume", run) == 0, log.read_text()
    assert f"goes on after step {step} of 54" in log.read_text()
    same(run, whole)
