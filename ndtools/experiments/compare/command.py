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
    from rich.console import Group

    from ndtools.experiments.compare.result import CompareResult
    from ndtools.experiments.compare.table import Published

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
    published values. Runs of ndtools segment are compared by their mean
    intersection over union. Runs may still be going on.

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

    from ndtools.experiments.compare.run import run

    result = output.compute(run, config)
    output.results(result, title=_title(result), table=_table(result))
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

    from ndtools.experiments.compare.table import arm_cells

    arms, several = arm_cells(result), len(result.arms) > 1
    documents = [
        name
        for name in ("paper", "report", "ReScience")
        if any(each.document == name for arm in arms for each in arm.published)
    ]
    remarks = _Remarks()
    short = "--max-steps ended the runs before all epochs were done"
    parts = [
        {
            "n": [arm.runs for arm in arms],
            "epoch": [remarks.after(arm.epochs, short if arm.cut_short else None) for arm in arms],
            "last IoU / %" if result.segments else "last / %": [arm.last for arm in arms],
            "best IoU / %" if result.segments else "best / %": [arm.best for arm in arms],
        }
    ]
    if several:
        early = [None if arm.early is None else f"difference after epoch {arm.early} of both" for arm in arms]
        parts.append(
            {
                "difference": [remarks.after(arm.difference, why) for arm, why in zip(arms, early, strict=True)],
                "t": [arm.t for arm in arms],
                "p": [arm.p for arm in arms],
            }
        )
    if result.segments:
        parts.append({"last pixels / %": [arm.pixels for arm in arms]})
        if several:
            parts[-1] |= {
                "difference (pixels)": [arm.pixels_difference for arm in arms],
                "p (pixels)": [arm.pixels_p for arm in arms],
            }
    parts.append({"s/epoch": [arm.seconds for arm in arms]})
    if several:
        parts.append(
            {
                "steps to": [remarks.after(arm.steps_to, arm.reached) for arm in arms],
                "s to": [remarks.after(arm.seconds_to, arm.reached) for arm in arms],
            }
        )
    published = {
        name: [next((each for each in arm.published if each.document == name), None) for arm in arms]
        for name in documents
    }
    parts.append({name: [_published(each, remarks) for each in cells] for name, cells in published.items()})
    return stacked_tables(
        "arm",
        [arm.name for arm in arms],
        [part for part in parts if part],
        width=Console().width,
        caption="\n".join([*_explanations(result, several=several), *result.remarks, *remarks.lines]),
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

    def after(self, cell: str, text: str | None) -> str:
        """Return a cell with the letter of a remark behind it, or alone without a remark."""
        return cell if text is None else f"{cell} {self.refer(text)}"


def _explanations(result: "CompareResult", *, several: bool) -> list[str]:
    final = " or ".join(dict.fromkeys(arm.final for arm in result.arms))
    ended = f"{final} images, once the runs have ended"
    lines = [f"last: after the last epoch ({ended}); mean ± standard deviation over the runs"]
    evaluated = " or ".join(dict.fromkeys(arm.split for arm in result.arms))
    if evaluated != final:
        lines.append(f"best: of each run's best epoch, on the {evaluated} images")
    if result.segments:
        lines.append("IoU: intersection over union, mean over the classes; pixels: share of right pixels")
    if several:
        first, second = result.arms[0].name, result.arms[1].name
        lines.append(f"difference: to {first}, in points, with Welch's two-sided test")
        measure = "IoU" if result.segments else "accuracy"
        lines.append(f"steps to, s to: until the final {measure} of {first}; in its own row, of {second}")
    return lines


def _published(published: "Published | None", remarks: _Remarks) -> str:
    if published is None:
        return "-"
    letters = ",".join(remarks.refer(f"{published.document}: {remark}") for remark in published.remarks)
    return f"{published.value} {letters}".strip()
