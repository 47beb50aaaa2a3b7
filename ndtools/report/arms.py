"""Training runs as tables of a page: the arms beside one another, and the single runs."""

import numpy as np

from ndtools.experiments.compare.result import CompareResult
from ndtools.experiments.compare.table import ArmCells, Published, arm_cells
from ndtools.report.numbers import Table
from ndtools.text import duration

__all__ = ["table_of_arms", "table_of_runs"]


def table_of_arms(result: CompareResult) -> Table:
    """Return the table of the arms: accuracies, differences to the first arm, time, and published values.

    Parameters
    ----------
    result : CompareResult
        Comparison of training runs.

    Returns
    -------
    Table
        One row for each arm.
    """
    first = result.arms[0]
    measure = "mean IoU" if result.segments else "accuracy"
    pixels = " Pixels: labelled correctly, after the last epoch." if result.segments else ""
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
            "; ".join(map(_published, arm.published)) or "-",
        )
        for arm in arm_cells(result)
    ]
    return Table(
        f"{'Mean IoU' if result.segments else 'Accuracies'} on {result.dataset}: mean ± standard deviation over the"
        " runs of an arm",
        (
            *("arm", "n", "epochs", "last / %", "best / %"),
            *(["pixels / %"] if result.segments else []),
            *("difference", "s/epoch", "published / %"),
        ),
        tuple(rows),
        f"Last: {measure} after the last epoch, on the test images once the runs have ended. Best: of each run's best"
        f" epoch, on the images that evaluated each epoch.{pixels} Difference: to {first.name}, in points, with p of"
        " Welch's test.",
    )


def table_of_runs(result: CompareResult) -> Table:
    """Return the table of the single runs of all arms, with the reason if one diverged."""
    rows = [
        (
            run.path,
            arm.name,
            str(run.seed),
            f"{run.state}: {run.reason}" if run.reason else run.state,
            f"{len(run)} of {arm.epochs}",
            "-" if np.isnan(run.test) else f"{run.test:.2f}",
            duration(float(run.table["seconds"][-1])) if len(run) else "-",
        )
        for arm in result.arms
        for run in arm.runs
    ]
    measure = "mean IoU" if result.segments else "accuracy"
    head = ("folder", "arm", "seed", "state", "epochs", f"test {measure} / %", "time of training")
    return Table("Single runs", head, tuple(rows))


def _difference(arm: ArmCells) -> str:
    early = "" if arm.early is None else f" after epoch {arm.early}"
    p = "" if arm.p in ("", "-") else f" (p {arm.p if arm.p.startswith('<') else f'= {arm.p}'})"
    return f"{arm.difference}{early}{p}"


def _published(published: Published) -> str:
    return f"{published.value} ({'; '.join([published.document, *published.remarks])})"
