"""The cells of a table of arms, which the command and the report lay out: accuracies, differences and times."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ndtools.experiments.compare.arm import CompareArm, Reference
from ndtools.experiments.compare.result import CompareResult
from ndtools.experiments.compare.welch import Difference

__all__ = ["ArmCells", "Published", "arm_cells", "mean_in_words"]

NONE = "-"


@dataclass(frozen=True)
class Published:
    """Published number beside an arm.

    Attributes
    ----------
    document : str
        Document in a word.
    value : str
        Accuracy with its spread.
    remarks : tuple of str
        Settings in which the published run differs, and doubts.
    """

    document: str
    value: str
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class ArmCells:
    """Numbers of an arm in words; "-" for what is not known.

    Attributes
    ----------
    name : str
        Name of the arm.
    runs : str
        Number of runs that the numbers are of, and those of others, as in "3 +1 running".
    epochs : str
        Epochs of a whole run, or how many of them are done.
    cut_short : bool
        Whether the runs ended before all epochs were done.
    last, best : str
        Accuracy of the last and of the best epoch: mean ± standard deviation.
    difference, t, p : str
        Difference to the first arm in points, with Welch's t and p. All are "" for the first arm.
    early : int or None
        Epoch after which arms were compared, one of which has not finished; None for the end.
    seconds : str
        Seconds of an epoch: mean ± standard deviation.
    steps_to, seconds_to : str
        Steps and seconds to the final accuracy of the other arm.
    reached : str or None
        Number of runs that reach it, if these are not all.
    published : tuple of Published
        Published numbers that stand beside those of the arm.
    pixels, pixels_difference, pixels_p : str
        In segmentation the pixel accuracy of the last epoch, its difference to the first arm, and Welch's p; else "".
        What is called accuracy above is then the mean intersection over union.
    """

    name: str
    runs: str
    epochs: str
    cut_short: bool
    last: str
    best: str
    difference: str
    t: str
    p: str
    early: int | None
    seconds: str
    steps_to: str
    seconds_to: str
    reached: str | None
    published: tuple[Published, ...]
    pixels: str = ""
    pixels_difference: str = ""
    pixels_p: str = ""


def arm_cells(result: CompareResult) -> list[ArmCells]:
    """Return the numbers of all arms in words, in their order."""
    return [_cells(arm, result) for arm in result.arms]


def _cells(arm: CompareArm, result: CompareResult) -> ArmCells:
    first = result.arms[0]
    difference, t, p, early = _difference(arm.against(first) if arm is not first else None)
    of_pixels = _difference(arm.against_pixels(first) if arm is not first else None)
    steps_to, seconds_to, reached = _reach(arm, result.target(arm))
    return ArmCells(
        name=arm.name,
        runs=_runs(arm),
        epochs=str(arm.common) if arm.finished and not arm.cut_short else f"{arm.done:.3g} of {arm.epochs}",
        cut_short=arm.cut_short,
        last=mean_in_words(arm.last),
        best=mean_in_words(arm.best),
        difference=difference,
        t=t,
        p=p,
        early=early,
        seconds=mean_in_words(arm.seconds_per_epoch, 1),
        steps_to=steps_to,
        seconds_to=seconds_to,
        reached=reached,
        published=tuple(map(_published, arm.references)),
        pixels=mean_in_words(arm.pixels) if arm.segments else "",
        pixels_difference=of_pixels[0],
        pixels_p=of_pixels[2],
    )


def _runs(arm: CompareArm) -> str:
    others = [
        f"+{count} {state}"
        for state in ("running", "diverged")
        if (count := sum(run not in arm.counted for run in arm.in_state(state)))
    ]
    return " ".join([str(len(arm.counted)), *others])


def mean_in_words(values: NDArray[np.float64], digits: int = 2) -> str:
    """Return mean ± standard deviation of the runs, the mean of a single run alone, and "-" without runs."""
    if not len(values):
        return NONE
    mean = f"{values.mean():.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {values.std(ddof=1):.{digits}f}"


def _difference(found: Difference | None) -> tuple[str, str, str, int | None]:
    if found is None:
        return "", "", "", None
    t = NONE if found.t is None else f"{found.t:.1f}"
    p = NONE if found.p is None else "< 0.001" if found.p < 0.001 else f"{found.p:.2g}"
    return f"{found.value:+.2f}", t, p, found.epoch


def _reach(arm: CompareArm, target: CompareArm | None) -> tuple[str, str, str | None]:
    reach = arm.reach(target) if target else None
    if reach is None:
        return NONE, NONE, None
    if reach.steps is None or reach.seconds is None:
        return "never", "never", None
    some = None if reach.runs == reach.of else f"{reach.runs} of {reach.of} runs reach it"
    return f"{reach.steps:,.0f}", f"{reach.seconds:,.0f}", some


def _published(reference: Reference) -> Published:
    spread = "" if reference.spread is None else f" ± {reference.spread:.2f}"
    remarks = [f"published with {', '.join(reference.differs)}"] if reference.differs else []
    remarks += [reference.doubt] if reference.doubt else []
    return Published(reference.document, f"{reference.value:.2f}{spread}", tuple(remarks))
