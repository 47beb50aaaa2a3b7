"""Table of the runs of one command."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ndtools.console.tables import stacked_tables
from ndtools.results.runs import Run
from ndtools.runs.display import duration

if TYPE_CHECKING:
    from rich.console import Group

__all__ = ["table_of"]


class _Measure(NamedTuple):
    """Measure of the last epoch, with the word for it in headings, which is "" for the only one of a table."""

    key: str
    word: str


_ACCURACY = (_Measure("top1", ""),)
_PIXELS = (_Measure("mean_iou", "mean IoU"), _Measure("top1", "pixels"))
_TOP5 = _Measure("top5", "top-5")


def table_of(runs: Sequence[Run], *, width: int | None = None) -> "Group":
    """Return a table of runs that have finished.

    Parameters
    ----------
    runs : sequence of Run
        Runs, each with its result. They are either all of segmentation or none is.
    width : int, optional
        Width of the screen, letters; a wider table is divided into several. By default it is that of the terminal.

    Returns
    -------
    rich.console.Group
        A row for each run, and a caption.
    """
    from rich.console import Console

    segments = any(run.segments for run in runs)
    measures = _PIXELS if segments else _ACCURACY
    if any("test_top5" in _last(run) for run in runs):
        measures = (*measures, _TOP5)
    # The images of the final number, and those that evaluated each epoch if they are others.
    final = " or ".join(dict.fromkeys(run.final for run in runs))
    split = " or ".join(dict.fromkeys(run.evaluation for run in runs))
    several = any(run.evaluation != run.final for run in runs)
    parts = [
        {
            "parameters": [f"{run.about['parameters']:,}" for run in runs],
            "epochs": [_epochs(run.epoch_ends[-1]) if len(run.epoch_ends) else "0" for run in runs],
            "train loss": [f"{values[-1]:.4f}" if len(values := run.epochs["train_loss"]) else "" for run in runs],
        }
    ]
    for kind, name in (("test", final), *([("eval", split)] if several else [])):
        cells = {
            f"{name} {measure.word}".strip(): [_percent(_last(run).get(f"{kind}_{measure.key}")) for run in runs]
            for measure in measures
        }
        if kind == "test":  # where there is no number
            heading, column = next(iter(cells.items()))
            cells[heading] = [cell if _last(run) else run.state for run, cell in zip(runs, column, strict=True)]
        parts.append(cells)
    assert all(run.result is not None for run in runs)
    parts.append(
        {
            "best": [_best(run, f"eval_{measures[0].key}") for run in runs],
            "time": [duration((run.result or {})["seconds"]) for run in runs],
        }
    )
    caption = _caption(final, split, segments=segments, top5=_TOP5 in measures, several=several)
    if any((run.result or {})["stopped"] == "max_steps" for run in runs):
        asked = ", ".join(dict.fromkeys(f"{run.config['epochs']:,}" for run in runs))
        caption += f"\na limit of steps ended runs before all epochs ({asked}) were done"
    names = [run.name for run in runs]
    return stacked_tables("run", names, parts, width=Console().width if width is None else width, caption=caption)


def _last(run: Run) -> dict[str, Any]:
    """Return the measures of the last epoch; none if no epoch ended."""
    return (run.result or {}).get("last") or {}


def _best(run: Run, measure: str) -> str:
    best = (run.result or {}).get("best")
    return f"{_percent(best.get(measure))} ({_epochs(run.epoch_ends[best['epoch'] - 1])})" if best else ""


def _caption(final: str, split: str, *, segments: bool, top5: bool, several: bool) -> str:
    names = f"{final}, {split}" if several else final
    score = "mean IoU" if segments else "accuracy"
    lines = [f"{names}: after the last epoch; best: highest {split} {score}\n(its epoch); time: of training alone"]
    if segments:
        lines.append("mean IoU: intersection over union, mean over the classes;\npixels: share of labelled pixels")
    if top5:
        lines.append("top-5: share of images whose class is among the five\nmost probable")
    if "training" in (final, split):
        lines.append("training: the set has no other images for evaluation")
    return "\n".join(lines)


def _percent(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.2f} %"


def _epochs(done: float) -> str:
    return f"{done:.3g}" if done < 100 else f"{done:.0f}"
