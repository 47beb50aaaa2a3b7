"""Two processes, as ``torchrun`` starts them: one folder, written by the first, and the run of one process."""

import os
import signal

import numpy as np
import pytest
from safetensors.numpy import load_file

from ndtools.results.runs import read_run
from tests.experiments.train.processes import begin, end, finish, steps_of, until
from tests.small_set import write_small_set

RUN = ("--arch", "tiny", "--norm", "bn", "--epochs", 2, "--lr", 0.02, "--checkpoint-every", 1000, "--device", "cpu")


@pytest.fixture(scope="module")
def small_set(tmp_path_factory):
    return write_small_set(tmp_path_factory.mktemp("data") / "small", n_train=48, n_test=20, side=8)


def test_two_processes_at_half_the_batch_are_one(small_set, tmp_path):
    log, run = tmp_path / "log", tmp_path / "two"
    (tmp_path / "one").mkdir()  # so that its name becomes one-2
    both = begin(log, "train", small_set, *RUN, "-b", 4, "-o", tmp_path, "--name", "two")
    until(lambda: steps_of(run) >= 2, both[0], log)
    os.kill(both[1].pid, signal.SIGTERM)  # the second tells the first
    assert end(both, log) == [130, 130], log.read_text()
    assert log.read_text().count("go on with: torchrun --nproc-per-node 2 -m ndtools train --resume") == 1
    assert 2 <= steps_of(run) < 12
    assert end(begin(log, "train", "--resume", run), log) == [0, 0], log.read_text()
    assert finish(log, "train", small_set, *RUN, "-b", 8, "-o", tmp_path, "--name", "one") == 0, log.read_text()
    two, one = read_run(run), read_run(tmp_path / "one-2")
    assert (two.about["processes"], one.about["processes"], two.state) == (2, 1, "finished")
    assert two.steps["images"].tolist() == one.steps["images"].tolist() == [8.0] * 12
    # Rounding of float32 in another order of sums, which twelve steps amplify. Statistics of half the batch alone, or
    # gradients that are not averaged, would change the losses by tenths.
    for name in ("loss", "lr"):
        np.testing.assert_allclose(two.steps[name], one.steps[name], rtol=1e-4)
    assert two.epochs["train_top1"].tolist() == one.epochs["train_top1"].tolist()
    weights = load_file(tmp_path / "one-2" / "last.safetensors")
    for name, value in load_file(run / "last.safetensors").items():
        np.testing.assert_allclose(value, weights[name], rtol=1e-3, atol=1e-4 * np.abs(weights[name]).max())


def test_if_the_first_cannot_write_all_end(small_set, tmp_path):
    log = tmp_path / "log"
    (tmp_path / "file").write_text("")
    both = begin(log, "train", small_set, *RUN, "-b", 4, "-o", tmp_path / "file", "--name", "run")
    assert end(both, log) == [1, 1]
    assert "it is a file, not a folder" in log.read_text()
