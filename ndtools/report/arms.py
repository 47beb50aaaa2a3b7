"""Training runs as tables of a page: the arms beside one another, and the single runs."""

import numpy as np

from ndtools.experiments.compare.result import CompareResult
from ndtools.experiments.compare.table import ArmCells, Published, arm_cells
from ndtools.report.numbers import Table
from ndtools.text import duration

__all__ = ["table_of_arms", "table_of_runs"]

_IOU = "IoU: intersection over union, mean over the classes. Pixels: share of the labelled pixels that are right. "


def table_of_arms(result: CompareResult) -> Table:
    """Return the table of the arms: accuracies, differences to the first arm, time, and published values.

    Parameters
    ----------
    result : CompareResult
        Comparison of training runs.

    Returns
    -------
    Table
        One row for each arm. A column of published values is there if one of the arms has some.
    """
    first = result.arms[0]
    final = " or ".join(dict.fromkeys(arm.final for arm in result.arms))
    cells = list(arm_cells(result))
    published = any(arm.published for arm in cells)
    tested = ", with p of Welch's test" if any("(p " in _difference(arm) for arm in cells) else ""
    rows = [
        (
            arm.name,
            arm.runs,
            arm.epochs,
            arm.last,
            arm.best,
            *([arm.pixels] if result.segments else []),
            _difference(arm) or "-",
            arm.seconds,
            *(["; ".join(map(_published, arm.published)) or "-"] if published else []),
        )
        for arm in cells
    ]
    return Table(
        f"{'Segmentation' if result.segments else 'Accuracies'} on {result.dataset}: mean ± standard deviation over the"
        " runs of an arm",
        (*_head(result), *(["published / %"] if published else [])),
        tuple(rows),
        f"{_IOU if result.segments else ''}"
        f"Last: after the last epoch, on the {final} images once the runs have ended. Best: of each run's best epoch,"
        f" on the images that evaluated each epoch. Difference: to {first.name}, in points{tested}. s/epoch: seconds of"
        f" training in an epoch.{''.join(f' {remark}.' for remark in result.remarks)}",
    )


def _head(result: CompareResult) -> tuple[str, ...]:
    measures: tuple[str, ...]
    if result.segments:
        measures = ("last mean IoU / %", "best mean IoU / %", "last pixels / %", "difference of mean IoU")
    else:
        measures = ("last / %", "best / %", "difference")
    return ("arm", "n", "epochs", *measures, "s/epoch")


def table_of_runs(result: CompareResult) -> Table:
    """Return the table of the single runs of all arms, with the reason if one diverged."""
    rows = [
        (
            run.path,
            arm.name,
            str(run.seed),
            f"{run.state}: {run.reason}" if run.reason else run.state,
            f"{len(run)} of {arm.epochs}",
            *(
                "-" if np.isnan(value) else f"{value:.2f}"
                for value in ((run.test, run.pixels) if result.segments else (run.test,))
            ),
            duration(float(run.table["seconds"][-1])) if len(run) else "-",
        )
        for arm in result.arms
        for run in arm.runs
    ]
    final = " or ".join(dict.fromkeys(arm.final for arm in result.arms))
    names = ("mean IoU", "pixel accuracy") if result.segments else ("accuracy",)
    measures = tuple(f"{final} {name} / %" for name in names)
    head = ("folder", "arm", "seed", "state", "epochs", *measures, "time of training")
    return Table("Single runs", head, tuple(rows))


def _difference(arm: ArmCells) -> str:
    early = "" if arm.early is None else f" after epoch {arm.early}"
    p = "" if arm.p in ("", "-") else f" (p {arm.p if arm.p.startswith('<') else f'= {arm.p}'})"
    return f"{arm.difference}{early}{p}"


def _published(published: Published) -> str:
    return f"{published.value} ({'; '.join([published.document, *published.remarks])})"
