"""Caption of the picture of training runs beside one another."""

from typing import TYPE_CHECKING

from ndtools.experiments.compare.figure import drawn_references, split_of
from ndtools.experiments.compare.table import mean_in_words
from ndtools.text import counted

if TYPE_CHECKING:
    from ndtools.experiments.compare.arm import CompareArm
    from ndtools.experiments.compare.result import CompareResult

__all__ = ["caption_compare"]


def caption_compare(result: "CompareResult") -> str:
    """Say in words what the figure of :func:`plot_compare` shows."""
    arms = "; ".join(_arm_in_words(arm) for arm in result.arms)
    runs = [run for arm in result.arms for run in arm.runs]
    signs = []
    if any(run.state == "diverged" for run in runs):
        signs.append(" Runs that diverged are drawn alone, with a cross where they end, and are in no mean.")
    if any(run.state == "running" for run in runs):
        signs.append(
            " An open circle is where a run that has not finished is now; means are of the epochs that all runs of an"
            " arm have done."
        )
    drawn = [reference.document for arm in result.arms for reference in drawn_references(arm)]
    if "paper" in drawn:
        signs.append(" Diamonds: accuracy published by Ye et al. (2020).")
    if "ReScience" in drawn:
        signs.append(" Squares: mean of three runs of the published code by Obadage et al. (2025).")
    smooth = result.config.smooth
    split = split_of(result.arms).capitalize()
    averaged = f", averaged over {smooth} steps, and over fewer at the beginning" if smooth > 1 else ""
    first, longest = result.config.loss_steps, max((int(run.step[-1]) for run in runs if len(run.step)), default=0)
    steps = f"the first {first:,} training steps" if longest > first else "each training step"
    first_steps = f"Loss of {steps}{averaged}."
    bands = "mean (lines) and one standard deviation (bands) over runs with other seeds"
    time = "the time of training without evaluation (mean over the runs)"
    if result.segments:
        panels = (
            f"All curves are {bands}. (a) Loss of the training batches, with that of the auxiliary classifier, mean of"
            f" each epoch. (b, d, e) {split} intersection over union after each epoch, mean over the classes, against"
            f" the epoch, the training step, and {time}. (c) Share of the labelled pixels of the"
            f" {split_of(result.arms)} images that are right, after each epoch. (f) {first_steps}"
        )
    else:
        panels = (
            f"(a to c) {split} accuracy after each epoch, {bands}, on an axis that is logarithmic in the error: against"
            f" the epoch, the training step, and {time}. (d) {first_steps}"
        )
    signs += [f" {remark}." for remark in result.remarks]
    return f"Training runs on {result.dataset}: {arms}. {panels}{''.join(signs)}"


def _arm_in_words(arm: "CompareArm") -> str:
    if not arm.common:
        diverged = len(arm.in_state("diverged"))
        lost = f" ({counted(diverged, 'run')} diverged)" if diverged else ""
        return f"{arm.name}, no run with a finished epoch{lost}"
    whole = arm.finished and not arm.cut_short
    when = f"after {counted(arm.common, 'epoch')}" if whole else f"after {arm.done:.3g} of {arm.epochs} epochs"
    split = arm.final if arm.finished else arm.split
    also = f" (pixel accuracy {mean_in_words(arm.pixels)} %)" if arm.segments else ""
    value = f"{split} {arm.measure} {mean_in_words(arm.last)} %{also}"
    return f"{arm.name}, {counted(len(arm.last), 'run')}, {value} {when}"
