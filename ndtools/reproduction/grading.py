"""Rules by which measurements are graded. Pure functions of numbers.

Order and sign count only where chance does not explain them, by the rule of :mod:`ndtools.reproduction.chance`.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from ndtools.published.entry import Entry
from ndtools.reproduction.chance import TEST_IMAGES, beyond, noise_of_accuracies
from ndtools.results.reproductions import Grade, Verdict
from ndtools.text import counted

__all__ = [
    "FACTOR",
    "LARGEST_SPREAD",
    "ONE_SET",
    "POINTS",
    "capped",
    "grade_accuracy",
    "grade_claim",
    "grade_share",
]

POINTS = 0.5
"""Percentage points within which accuracies agree, if twice their standard deviation is less."""
LARGEST_SPREAD = 2.0
"""Standard deviation over runs, in percentage points, above which an accuracy decides nothing."""
ONE_SET = " One set of images decides this, without an interval: how far other images differ is not known."
"""Sentence of grades by statistics of images that have no interval."""
FACTOR = 2.0
"""Factor within which times agree, as shares of the time of a convolution or of a row's total."""


def capped(verdict: Verdict, *, full: bool) -> Verdict:
    """Return the verdict that a recipe allows: a reduced one reaches "same direction", and refutes nothing.

    Parameters
    ----------
    verdict : str
        Verdict if the recipe is the published one.
    full : bool
        Whether it is.

    Returns
    -------
    str
        The same verdict for the published recipe. For a reduced one "agrees" becomes "same direction", and "disagrees"
        becomes "not comparable".
    """
    if full:
        return verdict
    reduced: dict[Verdict, Verdict] = {"agrees": "same direction", "disagrees": "not comparable"}
    return reduced.get(verdict, verdict)


def grade_claim(
    subject: str,
    held: Sequence[bool | None],
    *,
    full: bool,
    reason: str,
    conditions: str,
    measured: float | None = None,
) -> Grade:
    """Grade a claim in words by the statements that it consists of.

    Parameters
    ----------
    subject : str
        ID of the claim.
    held : sequence of bool or None
        Whether each of its statements holds, at least one; None where chance explains what was measured, as
        :func:`ndtools.reproduction.chance.beyond` has it.
    full : bool
        Whether the recipe is the published one.
    reason : str
        Sentence with the numbers that decided.
    conditions : str
        Conditions of the measurement in words.
    measured : float, optional
        Number that decided, if there is one.

    Returns
    -------
    Grade
        "agrees" if all statements hold, "same direction" if at least half of them do, "disagrees" if more than half do
        not, and "not comparable" if chance leaves that open; for a reduced recipe as :func:`capped` has it. If only
        some hold, the reason says how many, and how many chance explains.
    """
    true, open_, of = sum(each is True for each in held), sum(each is None for each in held), len(held)
    verdict: Verdict = "agrees" if true == of else "same direction" if 2 * true >= of else "disagrees"
    if verdict == "disagrees" and 2 * (of - true - open_) <= of:
        verdict = "not comparable"
    allowed = capped(verdict, full=full)
    if open_:
        decided = f"{true} of {of} statements hold, and chance explains the differences of {open_}."
        reason = f"{decided if of > 1 else 'Chance explains the difference, which decides nothing.'} {reason}"
    elif 0 < true < of:
        reason = f"{true} of {of} statements hold. {reason}"
    if allowed == "not comparable" and verdict != allowed:
        reason = f"The recipe is reduced, so that it refutes nothing. {reason}"
    return Grade(subject=subject, verdict=allowed, measured=measured, reason=reason, conditions=conditions)


def grade_accuracy(
    entry: Entry,
    values: Sequence[float],
    *,
    full: bool,
    conditions: str,
    rival: tuple[float, float] | None = None,
    split: str = "test",
    third_party: tuple[str, ...] = (),
    images: int = TEST_IMAGES,
) -> Grade:
    """Grade accuracies in per cent against a published one.

    Parameters
    ----------
    entry : Entry
        The published accuracy.
    values : sequence of float
        Accuracies of the runs in per cent after their last epoch, at least one.
    full : bool
        Whether the recipe is the published one.
    conditions : str
        Conditions of the measurement in words.
    rival : (float, float), optional
        Published and measured accuracy of the other arm of the comparison. Their order decides whether the direction
        is the same. By default there is no other arm.
    split : {"test", "train"}
        Images that the measured accuracies come from. Default "test".
    third_party : tuple of str
        IDs of numbers of other documents beside this one. Default: none.
    images : int
        Number of images that were evaluated, which decides how far chance moves an accuracy. Default 10,000.

    Returns
    -------
    Grade
        "agrees" within max(0.5 points, 2 standard deviations); "same direction" if the order of the two arms is as
        published, and chance does not explain it; "not comparable" for another split or epoch, a spread above 2 points,
        or a reduced recipe without the same direction; otherwise "disagrees", also if a value is not finite.
    """
    n = len(values)
    lost = sum(not math.isfinite(value) for value in values)
    if lost:
        return Grade(
            subject=entry.id,
            verdict=capped("disagrees", full=full),
            n=n,
            reason=f"{lost} of {counted(n, 'run')} diverged, where {entry.value:.2f} % were published.",
            conditions=conditions,
            third_party=third_party,
        )
    mean = math.fsum(values) / n
    spread = math.sqrt(math.fsum((x - mean) ** 2 for x in values) / (n - 1)) if n > 1 else None
    grade = Grade(
        subject=entry.id,
        verdict="not comparable",
        measured=mean,
        spread=spread,
        n=n,
        reason="",
        conditions=conditions,
        third_party=third_party,
    )
    if entry.split != split:
        published = "does not say which images were" if entry.split == "unclear" else f"is of {entry.split} images, not"
        return replace(grade, reason=f"The published accuracy {published} evaluated here: {split} images.")
    if entry.selection not in ("unclear", "last"):
        return replace(
            grade, reason=f"The published accuracy is of the {entry.selection} epoch, and that here of the last."
        )
    if spread is not None and spread > LARGEST_SPREAD:
        return replace(
            grade, reason=f"The {counted(n, 'run')} spread by {spread:.1f} points, more than {LARGEST_SPREAD:g}."
        )
    difference = mean - entry.value
    allowed = max(POINTS, 2 * max(spread or 0.0, entry.spread or 0.0))
    size = f"{mean:.2f} % is {abs(difference):.2f} points {'above' if difference >= 0 else 'below'} {entry.value:.2f} %"
    if full and abs(difference) <= allowed:
        alone = " One run does not tell how far runs spread." if spread is None else ""
        return replace(grade, verdict="agrees", reason=f"{size}, within {allowed:.2f}.{alone}")
    if rival is None:
        if full:
            return replace(grade, verdict="disagrees", reason=f"{size}, more than {allowed:.2f}.")
        return replace(grade, reason=f"{size}, by a reduced recipe, and there is no other arm to be ordered with.")
    there, here = entry.value - rival[0], mean - rival[1]
    arms = f"beside the other arm it is {here:+.2f} points, published {there:+.2f}"
    noise = noise_of_accuracies(values, [rival[1]], images)
    ahead = beyond(here, noise)
    if ahead is (there > 0) and there:
        return replace(grade, verdict="same direction", reason=f"{size}; {arms}: the order is the same.")
    verdict = capped("disagrees", full=full)
    order = f"chance explains up to {noise:.2f}, so that there is no order" if ahead is None else "the order is another"
    less = "" if full else ", by a reduced recipe that refutes nothing"
    return replace(grade, verdict=verdict, reason=f"{size}; {arms}: {order}{less}.")


def grade_share(
    subject: str,
    published: float,
    measured: float,
    *,
    full: bool,
    conditions: str,
    what: str = "share",
    factor: float = FACTOR,
    bound: float = 1.0,
    noise: float = 0.0,
) -> Grade:
    """Grade a time as a share of another, such as the time of a covariance in units of that of the convolution.

    Parameters
    ----------
    subject : str
        ID of the published number.
    published, measured : float
        Published and measured share, both positive.
    full : bool
        Whether the recipe is the published one.
    conditions : str
        Conditions of the measurement in words, the processor among them.
    what : str
        Name of the share in the sentence. Default "share".
    factor : float
        Factor within which shares agree. Default 2.
    bound : float
        Share on whose same side both must lie for the same direction. Default 1: cheaper, or dearer, than the other.
    noise : float
        Change of the logarithm of the measured share that chance explains, as
        :func:`ndtools.reproduction.chance.noise_of_times` has it. Default 0.

    Returns
    -------
    Grade
        "agrees" within the factor, "same direction" on the same side of the bound by more than chance explains,
        otherwise "disagrees"; for a reduced recipe as :func:`capped` has it.
    """
    ratio = measured / published
    within = 1 / factor <= ratio <= factor
    verdict: Verdict = "agrees" if within else "disagrees"
    side = beyond(math.log(measured / bound), noise)
    if not within and published != bound and side is (published > bound):
        verdict = "same direction"
    size = f"The {what} is {measured:.3g}, published {published:.3g}: {ratio:.2g} times as much"
    return Grade(
        subject=subject,
        verdict=capped(verdict, full=full),
        measured=measured,
        reason=f"{size}, {'within' if within else 'beyond'} the factor of {factor:g}."
        + (f" Chance leaves open on which side of {bound:g} it lies." if side is None and not within else ""),
        conditions=conditions,
    )
