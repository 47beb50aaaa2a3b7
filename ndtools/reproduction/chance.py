"""What chance explains: the rule by which an order, or a sign, counts as measured."""

import math
import statistics
from collections.abc import Sequence

__all__ = [
    "ERRORS",
    "SINGLE",
    "TEST_IMAGES",
    "beyond",
    "noise_of_accuracies",
    "noise_of_means",
    "noise_of_pairs",
    "noise_of_times",
]

ERRORS = 2.0
"""Standard errors of a difference that chance explains: about 95 of 100 differences of equal arms are smaller."""
SINGLE = 1.0
"""Percentage points that chance explains at least between single runs, which do not tell how far runs spread: a third
party's runs of the published code have standard deviations up to 0.9 points in three of four cells after one epoch."""
TEST_IMAGES = 10_000
"""Number of test images of CIFAR-10, CIFAR-100 and MNIST."""


def beyond(difference: float, noise: float, bound: float = 0.0) -> bool | None:
    """Return whether a difference lies above a bound, by more than chance explains.

    Parameters
    ----------
    difference : float
        Measured difference, or the logarithm of a ratio.
    noise : float
        Largest difference that chance explains, such as that of :func:`noise_of_accuracies`. NaN if it is not known.
    bound : float
        Bound in the unit of the difference. Default 0: the sign decides.

    Returns
    -------
    bool or None
        True above, False below, and None where chance explains either, or the noise is not known.
    """
    if difference - bound > noise:
        return True
    return False if bound - difference > noise else None


def noise_of_accuracies(first: Sequence[float], second: Sequence[float], images: int = TEST_IMAGES) -> float:
    """Return the largest difference between the mean accuracies of two arms that chance explains.

    Parameters
    ----------
    first, second : sequence of float
        Accuracies of the runs of each arm in per cent, at least one.
    images : int
        Number of test images. Default 10,000.

    Returns
    -------
    float
        Percentage points. If both arms have several runs, half of Welch's 95 % confidence interval. Otherwise two
        standard errors of the difference of two shares of the test images, and not less than 1 point.
    """
    if min(len(first), len(second)) > 1:
        return noise_of_means(first, second)
    shares = [math.fsum(values) / len(values) / 100 for values in (first, second)]
    error = math.sqrt(sum(max(0.0, share * (1 - share)) for share in shares) / images)
    return max(SINGLE, ERRORS * 100 * error)


def noise_of_means(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the largest difference between the means of two samples that chance explains.

    Parameters
    ----------
    first, second : sequence of float
        Values of the runs of each arm.

    Returns
    -------
    float
        Half of Welch's 95 % confidence interval; 0 if no value differs from another of its arm. NaN if an arm has fewer
        than two values.
    """
    import numpy as np

    from ndtools.experiments.compare.welch import difference

    if min(len(first), len(second)) < 2:
        return math.nan
    found = difference(np.array(first), np.array(second))
    return 0.0 if found.low is None or found.high is None else (found.high - found.low) / 2


def noise_of_pairs(differences: Sequence[float]) -> float:
    """Return the largest mean of differences that chance explains.

    Parameters
    ----------
    differences : sequence of float
        Differences of two arms in what both have in common, such as the losses of the same batches.

    Returns
    -------
    float
        Two standard errors of the mean. NaN for fewer than two differences.
    """
    if len(differences) < 2:
        return math.nan
    return ERRORS * math.sqrt(statistics.variance(differences) / len(differences))


def noise_of_times(*samples: Sequence[float]) -> float:
    """Return by how much chance changes the logarithm of a quotient or product of medians of times.

    Parameters
    ----------
    *samples : sequence of float
        Seconds of the repeats of each of the times, or of their quotients.

    Returns
    -------
    float
        Two standard errors of the logarithm, from the spread of the repeats. NaN if one has fewer than two repeats.
    """
    squares = 0.0
    for values in samples:
        logarithms = [math.log(value) for value in values if value > 0]
        if len(logarithms) < 2:
            return math.nan
        # The median of n normal values spreads √(π/2) times as far as their mean.
        squares += math.pi / 2 * statistics.variance(logarithms) / len(logarithms)
    return ERRORS * math.sqrt(squares)
