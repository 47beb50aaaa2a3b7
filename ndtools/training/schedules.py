"""Learning rate of each step, a function of its number."""

import math

from ndtools.training.recipe import Recipe

__all__ = ["learning_rate"]

_DROP, _AFTER = 0.1, 0.4  # of the published code's stepwise schedule: factor, and share of the epochs between drops

_POWER = 0.9  # of the polynomial schedule of DeepLab (Chen et al. 2017)


def learning_rate(recipe: Recipe, step: int, per_epoch: int) -> float:
    """Return the learning rate of a step.

    Parameters
    ----------
    recipe : Recipe
        Settings of the run.
    step : int
        Number of steps before this one.
    per_epoch : int
        Number of steps in an epoch.

    Returns
    -------
    float
        The learning rate. "cosine" falls from the first step after the warm-up, which has ``recipe.lr``, and would
        reach 0 one step after the last; "poly" does so too, as a power of 0.9 of the share of steps that are left.
    """
    warmup = round(recipe.warmup_epochs * per_epoch)
    if step < warmup:
        return recipe.lr * (step + 1) / warmup
    if recipe.sched in ("cosine", "poly"):
        done = (step - warmup) / (recipe.epochs * per_epoch - warmup)
        return recipe.lr * ((1 + math.cos(math.pi * done)) / 2 if recipe.sched == "cosine" else (1 - done) ** _POWER)
    if recipe.sched == "step":
        drops = step // per_epoch // max(1, int(_AFTER * recipe.epochs))
        return recipe.lr * _DROP**drops
    return recipe.lr
