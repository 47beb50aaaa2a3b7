"""Which of two training runs is more accurate, or slower, as far as chance lets it be told."""

import math

import numpy as np
from numpy.typing import NDArray

from ndtools.reproduction.chance import beyond, noise_of_accuracies, noise_of_pairs, noise_of_times
from ndtools.reproduction.items.recipes import accuracy
from ndtools.results.runs import Run

__all__ = ["ahead", "lead", "loss_below", "noise_of_steps", "seconds_of_steps", "slower"]


def ahead(first: float, second: float, run: Run, bound: float = 0.0) -> bool | None:
    """Return whether an accuracy of a single run is above another by more than a bound.

    Parameters
    ----------
    first, second : float
        Accuracies of both runs in per cent.
    run : Run
        One of the runs, which knows the number of its test images.
    bound : float
        Percentage points. Default 0.

    Returns
    -------
    bool or None
        True or False; None where chance explains either.
    """
    noise = noise_of_accuracies([first], [second], int(run.about["data"]["test_images"]))
    return beyond(first - second, noise, bound)


def lead(first: Run, second: Run, bound: float = 0.0) -> bool | None:
    """Return whether the last accuracy of a run is above that of another by more than a bound, as :func:`ahead` does.

    Parameters
    ----------
    first, second : Run
        Finished runs. The accuracy of one that diverged counts as 0.
    bound : float
        Percentage points. Default 0.

    Returns
    -------
    bool or None
        True or False; None where chance explains either.
    """
    return ahead(accuracy(first) or 0.0, accuracy(second) or 0.0, first, bound)


def loss_below(first: Run, second: Run) -> bool | None:
    """Return whether the training loss of a run is below that of another, in the mean of the steps of both.

    Parameters
    ----------
    first, second : Run
        Runs with the same seed, and so the same batches in the same steps.

    Returns
    -------
    bool or None
        True or False; None where chance explains either, or there is no step of both with a finite loss.
    """
    losses = first.steps["loss"], second.steps["loss"]
    steps = min(map(len, losses))
    differences = losses[1][:steps] - losses[0][:steps]
    differences = differences[np.isfinite(differences)]
    return beyond(float(differences.mean()), noise_of_pairs(list(differences))) if len(differences) else None


def seconds_of_steps(run: Run) -> NDArray[np.float64]:
    """Return the seconds of each training step of a run but the first, among them pauses for evaluation."""
    return np.diff(run.steps["seconds"])


def noise_of_steps(first: Run, second: Run) -> float:
    """Return by how much chance changes the logarithm of the quotient of the seconds of a step of two runs."""
    return noise_of_times(list(seconds_of_steps(first)), list(seconds_of_steps(second)))


def slower(first: Run, second: Run, factor: float) -> bool | None:
    """Return whether the median step of a run takes longer than some multiple of that of another.

    Parameters
    ----------
    first, second : Run
        Runs whose steps are compared, the slower one first.
    factor : float
        Multiple, such as 1.3.

    Returns
    -------
    bool or None
        True or False; None where the spread of the steps explains either.
    """
    medians = [float(np.median(seconds_of_steps(run))) for run in (first, second)]
    return beyond(math.log(medians[0] / medians[1]), noise_of_steps(first, second), math.log(factor))
