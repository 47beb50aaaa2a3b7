"""How many threads compute, and how long they wait for one another."""

import os
import subprocess
import sys

import pytest
import torch

from ndtools.computing.operators import LARGE, operator_threads, threads_for
from ndtools.experiments.mlp import run as mlp
from ndtools.experiments.mlp.config import MlpConfig
from ndtools.experiments.regress import run as regress
from ndtools.experiments.regress.config import RegressConfig
from tests.places import ROOT
from tests.small_set import write_small_set


def test_small_matrices_get_one_thread_and_large_ones_all():
    with operator_threads(3):
        assert [threads_for(rows) for rows in (1, LARGE - 1, LARGE, 10 * LARGE)] == [1, 1, 3, 3]


@pytest.mark.parametrize(
    ("run", "config", "watched"),
    [(mlp.run, MlpConfig, (mlp, "_arm")), (regress.run, RegressConfig, (regress, "_Study"))],
)
@pytest.mark.parametrize(("jobs", "expected"), [(None, 1), (2, 2)])
def test_experiments_on_small_matrices_compute_with_one_thread_unless_told(
    run, config, watched, jobs, expected, tmp_path, monkeypatch
):
    class Seen(Exception):
        pass

    def look(*_, **__):
        raise Seen(torch.get_num_threads())

    module, name = watched
    if name == "_Study":
        monkeypatch.setattr(module._Study, "of", look)
    else:
        monkeypatch.setattr(module, name, look)
    write_small_set(tmp_path, n_train=100)
    with operator_threads(2), pytest.raises(Seen) as seen:
        run(config(dataset=str(tmp_path), jobs=jobs))
    assert seen.value.args == (expected,)


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, None)],
)
def test_threads_of_commands_spin_briefly_unless_the_user_says_otherwise(given, expected):
    code = "import os, ndtools.computing.threads as t; t.limit_spinning(); print(os.environ.get('GOMP_SPINCOUNT'))"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))} | given
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == str(expected)
