"""Runs that are killed go on to the same weights, to the bit, and their records are those of an uninterrupted run."""

import json
import os
import random
import signal

import pytest
from safetensors.numpy import load_file

from tests.experiments.train.processes import finish, start, steps_of, until
from tests.small_set import write_small_set

STEPS = 20  # two epochs of ten
RUN = ("--arch", "tiny", "-b", 4, "--epochs", 2, "--lr", 0.02, "--checkpoint-every", 0.02)


@pytest.fixture(scope="module")
def small_set(tmp_path_factory):
    return write_small_set(tmp_path_factory.mktemp("data") / "small", n_train=40, n_test=20, side=8)


@pytest.fixture(scope="module")
def whole(small_set, tmp_path_factory):
    """Return the folder of a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    log = folder / "log"
    assert finish(log, "train", small_set, *RUN, "-o", folder, "--name", "run") == 0, log.read_text()
    return folder / "run"


def records(run):
    """Steps and epochs of a run without the seconds that they took."""
    steps = [json.loads(line) for line in (run / "steps.jsonl").read_text().splitlines()]
    epochs = [line.rsplit(",", 1)[0] for line in (run / "summary.csv").read_text().splitlines()]
    return [{k: v for k, v in step.items() if k != "seconds"} for step in steps], epochs


def tensors(path):
    return {name: (value.shape, value.tobytes()) for name, value in load_file(path).items()}


def assert_same(run, whole):
    assert len(records(whole)[0]) == STEPS
    assert records(run) == records(whole)
    for name in ("last.safetensors", "state.safetensors"):
        assert tensors(run / name) == tensors(whole / name)


def test_a_run_killed_twice_ends_with_the_same_bits(small_set, whole, tmp_path):
    log, run, moments = tmp_path / "log", tmp_path / "run", random.Random(1)
    arguments = ("train", small_set, *RUN, "-o", tmp_path, "--name", "run")
    for target in sorted(moments.sample(range(3, STEPS - 3), 2)):
        process = start(log, *arguments)
        until(lambda target=target: steps_of(run) >= target, process, log)
        os.kill(process.pid, signal.SIGKILL)
        process.join(30)
        assert not (run / "result.json").exists()
        arguments = ("train", "--resume", run)
    assert finish(log, *arguments) == 0, log.read_text()
    assert_same(run, whole)


def test_an_interrupted_run_says_how_to_go_on(small_set, whole, tmp_path):
    log, run = tmp_path / "log", tmp_path / "run"
    # The state is written for the signal alone, and the second of the two runs does not start.
    process = start(
        log, "train", small_set, *RUN[:-1], 1000, "-o", tmp_path, "--name", "run", "--seed", 0, "--repeats", 2
    )
    run = tmp_path / "run-seed0"
    until(lambda: steps_of(run) >= 3, process, log)
    os.kill(process.pid, signal.SIGINT)
    process.join(30)
    assert process.exitcode == 130, log.read_text()
    step = steps_of(run)  # the state is that of the last record
    told, ended = (log.read_text().index(words) for words in ("stopping after the present step", "interrupted: "))
    assert told < ended
    assert f"after step {step} of {STEPS} is written; go on with: ndtools train --resume {run}" in log.read_text()
    assert "1 run of this command did not start" in log.read_text()
    assert not (run / "result.json").exists()
    assert finish(log, "train", "--resume", run) == 0, log.read_text()
    assert f"goes on after step {step} of {STEPS}" in log.read_text()
    assert_same(run, whole)
