"""``ndtools compare``: training runs beside one another, and beside what was published."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ndtools.console.options import SharedOptions, with_shared_options
from ndtools.console.results import ExperimentOutput
from ndtools.console.spelling import as_options, spellings
from ndtools.console.tables import stacked_tables
from ndtools.experiments.compare.config import CompareConfig

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rich.console import Group

    from ndtools.experiments.compare.result import CompareArm, CompareResult, Reference
    from ndtools.experiments.compare.welch import Difference

__all__ = ["compare"]


@partial(
    with_shared_options, without=("seed", "jobs", "device", "verbose", "storage_options")
)  # it only reads files, and skips none
def compare(
    context: typer.Context,
    runs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="RUN...",
            help="Folders of training runs, or a folder that holds such folders (default: runs).",
            show_default=False,
        ),
    ] = None,
    *,
    smooth: Annotated[
        int, typer.Option(help="Number of steps over which the drawn loss is averaged, odd; 1 for each step alone.")
    ] = CompareConfig.smooth,
    loss_steps: Annotated[
        int, typer.Option(help="Number of training steps, from the first, whose loss is drawn.")
    ] = CompareConfig.loss_steps,
    shared: SharedOptions,
) -> None:
    """Compare training runs (Ye et al. 2020, figs. 8 and 12; tables 1 and 2).

    Runs whose settings are equal apart from the seed are one arm. The figure
    shows accuracy against epoch, step and time, mean and one standard
    deviation over the seeds, and the loss of the first steps. The table has
    the accuracies at the end, the difference to the first arm with Welch's
    t-test, what it takes to reach the other arm's final accuracy, and
    published values. Runs may still be going on.

    Example: [bold]ndtools compare runs/vgg16-bn-* runs/vgg16-deconv-*[/bold]
    """
    output = ExperimentOutput(shared, "compare")
    root: Any = context.find_root()
    config = CompareConfig(
        runs=tuple(map(str, runs)) if runs else CompareConfig.runs,
        smooth=smooth,
        loss_steps=loss_steps,
        **shared.of_run(),
    )
    output.check()

    from ndtools.experiments.compare.figures import FIGURES
    from ndtools.experiments.compare.run import run

    result = output.compute(run, config)
    output.results(result, pictures=FIGURES, title=_title(result), table=_table(result))
    for arm in result.arms:
        for curve in arm.runs:
            if curve.state == "running":
                output.note(f"running, or interrupted: {curve.path}, after epoch {len(curve)} of {arm.epochs}")
            elif curve.state == "diverged":
                reason = as_options(curve.reason or "no reason recorded", spellings(root, "train"))
                output.note(f"diverged: {curve.path}, after epoch {len(curve)}: {reason}")


def _title(result: "CompareResult") -> str:
    from ndtools.text import counted

    runs = sum(len(arm.runs) for arm in result.arms)
    archs = ", ".join(dict.fromkeys(arm.arch for arm in result.arms))
    return f"Training runs · {result.dataset} · {archs} · {counted(runs, 'run')}"


def _table(result: "CompareResult") -> "Group":
    from rich.console import Console

    documents = [
        name
        for name in ("paper", "report", "ReScience")
        if any(reference.document == name for arm in result.arms for reference in arm.references)
    ]
    arms, first = result.arms, result.arms[0]
    several = len(arms) > 1
    remarks = _Remarks()
    parts = [
        {
            "n": [_runs(arm) for arm in arms],
            "epoch": [_epochs(arm, remarks) for arm in arms],
            "last / %": [_spread(arm.last) for arm in arms],
            "best / %": [_spread(arm.best) for arm in arms],
        }
    ]
    if several:
        against = [_difference(arm.against(first) if arm is not first else None, remarks) for arm in arms]
        parts.append({name: [cells[i] for cells in against] for i, name in enumerate(("difference", "t", "p"))})
    parts.append({"s/epoch": [_spread(arm.seconds_per_epoch, 1) for arm in arms]})
    if several:
        reached = [_reach(arm, result.target(arm), remarks) for arm in arms]
        parts.append({name: [cells[i] for cells in reached] for i, name in enumerate(("steps to", "s to"))})
    published = {
        name: [next((each for each in arm.references if each.document == name), None) for arm in arms]
        for name in documents
    }
    parts.append({name: [_published(each, remarks) for each in cells] for name, cells in published.items()})
    return stacked_tables(
        "arm",
        [arm.name for arm in arms],
        [part for part in parts if part],
        width=Console().width,
        caption="\n".join([*_explanations(result, several=several), *remarks.lines]),
    )


class _Remarks:
    """Lines below a table, each once, to which cells refer by a letter."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._letters: dict[str, str] = {}

    def refer(self, text: str) -> str:
        """Return the letter of a remark, which is added to the lines if it is new."""
        if text not in self._letters:
            self._letters[text] = chr(ord("a") + len(self._letters) % 26)
            self.lines.append(f"{self._letters[text]}: {text}")
        return self._letters[text]


def _explanations(result: "CompareResult", *, several: bool) -> list[str]:
    lines = [
        "last: after the last epoch (test images, once the runs have ended); mean ± standard deviation over the runs"
    ]
    if several:
        first, second = result.arms[0].name, result.arms[1].name
        lines.append(f"difference: to {first}, in points, with Welch's two-sided test")
        lines.append(f"steps to, s to: until the final accuracy of {first}; in its own row, of {second}")
    return lines


def _runs(arm: "CompareArm") -> str:
    """Return the number of runs that the numbers are of, and those of others."""
    others = [
        f"+{count} {state}"
        for state in ("running", "diverged")
        if (count := sum(run not in arm.counted for run in arm.in_state(state)))
    ]
    return " ".join([str(len(arm.counted)), *others])


def _epochs(arm: "CompareArm", remarks: _Remarks) -> str:
    short = f" {remarks.refer('--max-steps ended the runs before all epochs were done')}" if arm.cut_short else ""
    return str(arm.common) if arm.finished and not short else f"{arm.done:.3g} of {arm.epochs}{short}"


def _spread(values: "NDArray[np.float64]", digits: int = 2) -> str:
    if not len(values):
        return "-"
    mean = f"{values.mean():.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {values.std(ddof=1):.{digits}f}"


def _difference(difference: "Difference | None", remarks: _Remarks) -> list[str]:
    if difference is None:
        return ["", "", ""]
    early = "" if difference.epoch is None else remarks.refer(f"difference after epoch {difference.epoch} of both")
    t = "-" if difference.t is None else f"{difference.t:.1f}"
    p = "-" if difference.p is None else "< 0.001" if difference.p < 0.001 else f"{difference.p:.2g}"
    return [f"{difference.value:+.2f}{early and ' '}{early}", t, p]


def _reach(arm: "CompareArm", target: "CompareArm | None", remarks: _Remarks) -> list[str]:
    reach = arm.reach(target) if target else None
    if reach is None:
        return ["-", "-"]
    if reach.steps is None or reach.seconds is None:
        return ["never", "never"]
    some = "" if reach.runs == reach.of else " " + remarks.refer(f"{reach.runs} of {reach.of} runs reach it")
    return [f"{reach.steps:,.0f}{some}", f"{reach.seconds:,.0f}{some}"]


def _published(reference: "Reference | None", remarks: _Remarks) -> str:
    if reference is None:
        return "-"
    text = f"{reference.value:.2f}" + (f" ± {reference.spread:.2f}" if reference.spread is not None else "")
    words = [f"published with {', '.join(reference.differs)}"] if reference.differs else []
    words += [reference.doubt] if reference.doubt else []
    letters = ",".join(remarks.refer(f"{reference.document}: {word}") for word in words)
    return f"{text} {letters}".strip()
