"""What chance explains: the thresholds by which an order counts, against simulations and exact laws."""

import math

import numpy as np
import pytest
from scipy.stats import ttest_ind

from ndtools.published.registry import ENTRIES
from ndtools.reproduction.chance import (
    SINGLE,
    beyond,
    noise_of_accuracies,
    noise_of_means,
    noise_of_pairs,
    noise_of_times,
)
from ndtools.reproduction.grading import grade_accuracy, grade_claim, grade_share

WORDS = {"conditions": "as they were"}


@pytest.mark.parametrize(
    ("difference", "noise", "bound", "expected"),
    [
        (1.1, 1.0, 0.0, True),
        (-1.1, 1.0, 0.0, False),
        (0.9, 1.0, 0.0, None),
        (1.0, 1.0, 0.0, None),
        (4.5, 1.0, 3.37, True),
        (3.5, 1.0, 3.37, None),
        (2.0, 1.0, 3.37, False),
        (100.0, math.nan, 0.0, None),
        (1e-9, 0.0, 0.0, True),
    ],
)
def test_the_rule(difference, noise, bound, expected):
    assert beyond(difference, noise, bound) is expected


@pytest.mark.parametrize("share", [0.1, 0.5, 0.7])
def test_single_runs_of_equal_arms_differ_by_more_in_about_one_of_twenty_cases(share):
    """Both arms have the same share of right answers, and each is tested on its own draw of 2,000 images."""
    images, trials = 2000, 20_000
    draws = 100 * np.random.default_rng(0).binomial(images, share, (2, trials)) / images
    noise = noise_of_accuracies([100 * share], [100 * share], images)
    larger = np.mean(np.abs(draws[0] - draws[1]) > noise)
    # P(|z| > 2) is 4.55 %, up to three standard errors of this count and the steps of the binomial law.
    assert abs(larger - 0.0455) < 3 * (0.0455 / trials) ** 0.5 + 0.005


def test_single_runs_one_point_apart_have_no_order():
    assert noise_of_accuracies([95.0], [94.0]) == SINGLE
    assert noise_of_accuracies([50.0], [51.0]) > SINGLE
    assert beyond(1.0, noise_of_accuracies([95.0], [94.0])) is None


def test_the_least_difference_of_single_runs_is_that_of_a_third_party():
    """Three of four standard deviations after one epoch are smaller than what is taken for chance."""
    spreads = [
        entry.spread
        for entry in ENTRIES.values()
        if entry.id.startswith("rescience/") and entry.spread is not None and entry.conditions["epochs"] == 1
        and entry.metric == "top-1 accuracy"
    ]  # fmt: skip
    assert len(spreads) == 40
    assert np.quantile(spreads, 0.75) < SINGLE < np.quantile(spreads, 0.9)


def test_several_runs_are_compared_by_welch():
    generator = np.random.default_rng(0)
    for _ in range(20):
        first, second = (list(generator.normal(90, spread, n)) for spread, n in ((0.5, 3), (1.0, 5)))
        p = ttest_ind(first, second, equal_var=False).pvalue
        found = beyond(float(np.mean(first) - np.mean(second)), noise_of_accuracies(first, second))
        assert (found is not None) == (p < 0.05)
    assert math.isnan(noise_of_means([1.0], [2.0, 3.0]))
    assert noise_of_means([1.0, 1.0], [2.0, 2.0]) == 0


def test_medians_of_times_of_equal_arms_differ_by_more_in_about_one_of_twenty_cases():
    generator = np.random.default_rng(0)
    trials, repeats = 1000, 25
    outside = 0
    for _ in range(trials):
        samples = np.exp(generator.normal(0, 0.1, (2, repeats)))
        ratio = math.log(np.median(samples[0]) / np.median(samples[1]))
        outside += beyond(ratio, noise_of_times(*map(list, samples))) is not None
    # As above; that the spread is estimated, too, adds half a per cent to 4.55 %.
    assert 0.03 < outside / trials < 0.08
    assert math.isnan(noise_of_times([1.0], [2.0, 3.0]))
    assert noise_of_times([2.0, 2.0]) == 0


def test_pairs():
    assert noise_of_pairs([1.0, 2.0, 3.0]) == pytest.approx(2 * 1 / 3**0.5)
    assert math.isnan(noise_of_pairs([1.0]))


@pytest.mark.parametrize(
    ("held", "full", "verdict", "said"),
    [
        ([None], True, "not comparable", "Chance explains the difference"),
        ([True, None], True, "same direction", "1 of 2 statements hold, and chance explains the differences of 1."),
        ([True, None, None], True, "not comparable", "1 of 3 statements hold"),
        ([False, None], True, "not comparable", "0 of 2 statements hold"),
        ([False, False, None], True, "disagrees", "0 of 3 statements hold"),
        ([False, False, None], False, "not comparable", "The recipe is reduced"),
        ([True, True, None], False, "same direction", "2 of 3 statements hold"),
    ],
)
def test_claims_that_chance_leaves_open(held, full, verdict, said):
    grade = grade_claim("claim/x", held, full=full, reason="Because.", **WORDS)
    assert grade.verdict == verdict
    assert said in grade.reason
    assert ("reduced" in grade.reason) == ("reduced" in said)


def test_an_order_within_noise_is_no_direction():
    entry = ENTRIES["table1/vgg16/cifar10/nd/20"]  # 93.25 %, beside 90.07 % with batch normalisation
    for rival, verdict in ((90.5, "same direction"), (91.5, "disagrees"), (92.9, "disagrees")):
        grade = grade_accuracy(entry, [92.0], full=True, rival=(90.07, rival), **WORDS)
        assert grade.verdict == verdict
        assert ("there is no order" in grade.reason) == (abs(92.0 - rival) <= SINGLE)
    assert grade_accuracy(entry, [92.0], full=False, rival=(90.07, 91.5), **WORDS).verdict == "not comparable"
    few = grade_accuracy(entry, [92.0], full=True, rival=(90.07, 90.5), images=1000, **WORDS)
    assert few.verdict == "disagrees"  # 1.5 points are chance with a thousand images


def test_a_share_on_either_side_is_no_direction():
    for noise, verdict in ((0.05, "same direction"), (0.2, "disagrees"), (math.nan, "disagrees")):
        grade = grade_share("x", 0.2, 0.9, full=True, noise=noise, **WORDS)
        assert grade.verdict == verdict
        assert ("Chance leaves open" in grade.reason) == (verdict == "disagrees")
