"""Training runs as tables of a page: the arms beside one another, and the single runs."""

import numpy as np
from numpy.typing import NDArray

from ndtools.experiments.compare.result import CompareArm, CompareResult, Reference
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
    rows = [
        (
            arm.name,
            str(len(arm.counted)),
            f"{arm.done:.3g} of {arm.epochs}",
            _spread(arm.last),
            _spread(arm.best),
            _difference(arm, first),
            _spread(arm.seconds_per_epoch, 1),
            "; ".join(map(_published, arm.references)) or "-",
        )
        for arm in result.arms
    ]
    return Table(
        f"Accuracies on {result.dataset}: mean ± standard deviation over the runs of an arm",
        ("arm", "n", "epochs", "last / %", "best / %", "difference", "s/epoch", "published / %"),
        tuple(rows),
        "Last: after the last epoch, on the test images once the runs have ended. Best: of each run's best epoch, on"
        f" the images that evaluated each epoch. Difference: to {first.name}, in points, with p of Welch's test.",
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
    head = ("folder", "arm", "seed", "state", "epochs", "test accuracy / %", "time of training")
    return Table("Single runs", head, tuple(rows))


def _spread(values: NDArray[np.float64], digits: int = 2) -> str:
    if not len(values):
        return "-"
    mean = f"{values.mean():.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {values.std(ddof=1):.{digits}f}"


def _difference(arm: CompareArm, first: CompareArm) -> str:
    difference = arm.against(first) if arm is not first else None
    if difference is None:
        return "-"
    early = "" if difference.epoch is None else f" after epoch {difference.epoch}"
    p = "" if difference.p is None else " (p < 0.001)" if difference.p < 0.001 else f" (p = {difference.p:.2g})"
    return f"{difference.value:+.2f}{early}{p}"


def _published(reference: Reference) -> str:
    spread = "" if reference.spread is None else f" ± {reference.spread:.2f}"
    remarks = [f"with {', '.join(reference.differs)}"] if reference.differs else []
    remarks += [reference.doubt] if reference.doubt else []
    return f"{reference.value:.2f}{spread} ({'; '.join([reference.document, *remarks])})"
