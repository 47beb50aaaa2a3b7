import math
from dataclasses import replace

import pytest

from ndtools.published.registry import ENTRIES
from ndtools.reproduction.grading import capped, grade_accuracy, grade_claim, grade_share
from ndtools.results.reproductions import VERDICTS

WORDS = {"conditions": "as they were"}
ENTRY = ENTRIES["table1/vgg16/cifar10/bn/20"]  # 90.07 %, beside 93.25 % with deconvolution
UNCLEAR = ENTRIES["report1/bn/20"]  # 38.76 %, of images that are not named


def test_what_a_reduced_recipe_may_say():
    assert [capped(verdict, full=True) for verdict in VERDICTS] == list(VERDICTS)
    reduced = {verdict: capped(verdict, full=False) for verdict in VERDICTS}
    assert "agrees" not in reduced.values()
    assert "disagrees" not in reduced.values()
    assert reduced["agrees"] == "same direction"


@pytest.mark.parametrize(
    ("held", "full", "verdict"),
    [
        ([True, True], True, "agrees"),
        ([True, False], True, "same direction"),
        ([True, False, False], True, "disagrees"),
        ([True, False, False], False, "not comparable"),
        ([False, False], True, "disagrees"),
        ([True, True], False, "same direction"),
        ([False], False, "not comparable"),
    ],
)
def test_claims(held, full, verdict):
    grade = grade_claim("claim/x", held, full=full, reason="Because.", **WORDS)
    assert grade.verdict == verdict
    assert "Because." in grade.reason
    assert ("reduced" in grade.reason) == (verdict == "not comparable")
    assert (f"{sum(held)} of {len(held)} statements hold" in grade.reason) == (0 < sum(held) < len(held))


@pytest.mark.parametrize(
    ("values", "settings", "verdict"),
    [
        ([90.5], {}, "agrees"),  # 0.43 away
        ([90.6], {}, "disagrees"),  # 0.53 away
        ([89.9, 91.3], {}, "agrees"),  # 0.53 away, and a standard deviation of 0.99
        ([90.6], {"rival": (93.25, 94.0)}, "same direction"),
        ([94.6], {"rival": (93.25, 94.0)}, "disagrees"),
        ([60.0], {"full": False, "rival": (93.25, 70.0)}, "same direction"),
        ([70.0], {"full": False, "rival": (93.25, 60.0)}, "not comparable"),
        ([90.07], {"full": False}, "not comparable"),
        ([88.0, 92.0], {}, "not comparable"),  # a standard deviation of 2.83
        ([90.07], {"split": "train"}, "not comparable"),
    ],
)
def test_accuracies(values, settings, verdict):
    grade = grade_accuracy(ENTRY, values, **({"full": True, **WORDS} | settings))
    assert grade.verdict == verdict
    assert grade.reason
    assert grade.n == len(values)
    assert grade.measured == pytest.approx(sum(values) / len(values))
    assert (grade.spread is None) == (len(values) == 1)


def test_an_accuracy_of_images_that_are_not_named_is_not_comparable():
    grade = grade_accuracy(UNCLEAR, [38.76], full=True, third_party=("a", "b"), **WORDS)
    assert grade.verdict == "not comparable"
    assert "does not say which images" in grade.reason
    assert grade.third_party == ("a", "b")


def test_runs_that_diverged_are_no_number():
    for full, verdict in ((True, "disagrees"), (False, "not comparable")):
        grade = grade_accuracy(ENTRY, [90.0, math.nan], full=full, **WORDS)
        assert (grade.verdict, grade.measured, grade.n) == (verdict, None, 2)
        assert "1 of 2 runs diverged" in grade.reason


def test_the_best_epoch_and_the_last_are_not_compared():
    best = replace(ENTRY, selection="best")
    assert grade_accuracy(best, [90.07], full=True, **WORDS).verdict == "not comparable"
    assert grade_accuracy(ENTRY, [90.07], full=True, **WORDS).verdict == "agrees"  # it does not say


def test_one_run_is_called_so():
    assert "One run" in grade_accuracy(ENTRY, [90.07], full=True, **WORDS).reason
    assert "One run" not in grade_accuracy(ENTRY, [90.07, 90.08], full=True, **WORDS).reason


def test_the_spread_is_that_of_a_sample():
    assert grade_accuracy(ENTRY, [90.0, 91.0, 92.0], full=True, **WORDS).spread == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("published", "measured", "full", "verdict"),
    [
        (0.2, 0.4, True, "agrees"),
        (0.2, 0.1, True, "agrees"),
        (0.2, 0.41, True, "same direction"),
        (0.8, 1.7, True, "disagrees"),
        (0.2, 0.2, False, "same direction"),
        (0.8, 1.7, False, "not comparable"),
    ],
)
def test_shares_of_times(published, measured, full, verdict):
    assert grade_share("x", published, measured, full=full, **WORDS).verdict == verdict
