"""Table of the runs of one command."""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ndtools.console.tables import new_table
from ndtools.results.runs import Run
from ndtools.runs.display import duration

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["table_of"]


class _Measure(NamedTuple):
    """Measure of the last epoch, with the word for it in headings, which is "" for the only one of a table."""

    key: str
    word: str


_ACCURACY = (_Measure("top1", ""),)
_PIXELS = (_Measure("mean_iou", "mean IoU"), _Measure("top1", "pixels"))
_TOP5 = _Measure("top5", "top-5")


def table_of(runs: Sequence[Run]) -> "Table":
    """Return a table of runs that have finished.

    Parameters
    ----------
    runs : sequence of Run
        Runs, each with its result. They are either all of segmentation or none is.

    Returns
    -------
    rich.table.Table
        A row for each run.
    """
    segments = any(run.segments for run in runs)
    measures = _PIXELS if segments else _ACCURACY
    if any((run.result or {}).get("last") and "test_top5" in run.result["last"] for run in runs if run.result):
        measures = (*measures, _TOP5)
    # The images of the final number, and those that evaluated each epoch if they are others.
    final, split = (_word(value(run) for run in runs) for value in (_final, _evaluation))
    splits = [("test", final), *([("eval", split)] if any(run.evaluation != run.final for run in runs) else [])]
    headings = [
        "parameters",
        "epochs",
        "train loss",
        *(f"{name} {measure.word}".strip() for _, name in splits for measure in measures),
        "best",
        "time",
    ]
    table = new_table(("run",), headings, gap=2)
    for run in runs:
        assert run.result is not None
        last, best, losses = run.result["last"], run.result["best"], run.epochs["train_loss"]
        ends = run.epoch_ends
        cells = [_percent((last or {}).get(f"{kind}_{measure.key}")) for kind, _ in splits for measure in measures]
        score = best.get(f"eval_{measures[0].key}") if best else None
        table.add_row(
            run.name,
            f"{run.about['parameters']:,}",
            _epochs(ends[-1]) if len(ends) else "0",
            f"{losses[-1]:.4f}" if len(losses) else "",
            *(cells if last else [run.state, *[""] * (len(cells) - 1)]),
            f"{_percent(score)} ({_epochs(ends[best['epoch'] - 1])})" if best else "",
            duration(run.result["seconds"]),
        )
    table.caption = _caption(final, split, segments=segments, top5=_TOP5 in measures, several=len(splits) > 1)
    if any(run.result and run.result["stopped"] == "max_steps" for run in runs):
        asked = ", ".join(dict.fromkeys(f"{run.config['epochs']:,}" for run in runs))
        table.caption += f"\na limit of steps ended runs before all epochs ({asked}) were done"
    return table


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


def _final(run: Run) -> str:
    return run.final


def _evaluation(run: Run) -> str:
    return run.evaluation


def _word(names: Iterable[str]) -> str:
    return " or ".join(dict.fromkeys(names))


def _percent(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.2f} %"


def _epochs(done: float) -> str:
    return f"{done:.3g}" if done < 100 else f"{done:.0f}"
