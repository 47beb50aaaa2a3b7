"""Recipes refuse what makes no sense, and the learning rate follows them."""

import math
import subprocess
import sys

import pytest
import torch

from ndtools.errors import OptionError
from ndtools.training.recipe import Recipe
from ndtools.training.schedules import learning_rate
from tests.places import ROOT


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"epochs": 0}, "epochs"),
        ({"batch_size": 0}, "batch_size"),
        ({"lr": 0}, "lr"),
        ({"lr": math.nan}, "lr"),
        ({"opt": "lion"}, "opt: must be one of sgd, adam, adamw, muon"),
        ({"momentum": 1.0}, "momentum"),
        ({"weight_decay": -1e-3}, "weight_decay"),
        ({"weight_decay": math.inf}, "weight_decay"),
        ({"sched": "linear"}, "sched"),
        ({"warmup_epochs": -1}, "warmup_epochs"),
        ({"warmup_epochs": 3, "epochs": 2}, "warmup_epochs: must be at least 0 and at most epochs, 2, got 3"),
        ({"loss": "mse"}, "loss"),
        ({"smoothing": 1}, "smoothing"),
        ({"seed": -1}, "seed"),
        ({"max_steps": 0}, "max_steps"),
        ({"amp": "fp8"}, "amp"),
    ],
)
def test_wrong_settings_are_named(settings, named):
    with pytest.raises(OptionError, match=named):
        Recipe(**settings)


def test_a_recipe_and_records_load_nothing_heavy():
    code = "import sys, ndtools.training.recipe, ndtools.training.records; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert not {"torch", "numpy"} & set(loaded.split())


def rates(recipe, per_epoch):
    return [learning_rate(recipe, step, per_epoch) for step in range(recipe.epochs * per_epoch)]


def torchs(make, lr, steps):
    """Rates of a scheduler of torch that is stepped with each step."""
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    schedule = make(optimiser)
    found = []
    for _ in range(steps):
        found.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    return found


def test_cosine_is_torchs():
    wanted = torchs(lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 3 * 7), 0.3, 21)
    assert rates(Recipe(epochs=3, lr=0.3), 7) == pytest.approx(wanted, rel=1e-12)


def test_steps_come_after_two_and_four_fifths():
    recipe = Recipe(epochs=20, lr=0.3, sched="step")
    wanted = torchs(lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [8 * 5, 16 * 5], gamma=0.1), 0.3, 100)
    assert rates(recipe, 5) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("sched", ["cosine", "constant"])
def test_warm_up_rises_to_the_rate_and_the_schedule_follows(sched):
    found = rates(Recipe(epochs=4, lr=0.8, sched=sched, warmup_epochs=0.5), 8)
    assert found[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8])
    after = rates(Recipe(epochs=1, lr=0.8, sched=sched), 28)
    assert found[4:] == pytest.approx(after)


def test_the_whole_run_may_be_warm_up():
    assert rates(Recipe(epochs=2, lr=1.0, warmup_epochs=2), 2) == [0.25, 0.5, 0.75, 1.0]
