"""Table of the runs of one command."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ndtools.console.tables import new_table
from ndtools.results.runs import Run
from ndtools.runs.display import duration

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["table_of"]


def table_of(runs: Sequence[Run]) -> "Table":
    """Return a table of runs that have finished.

    Parameters
    ----------
    runs : sequence of Run
        Runs, each with its result.

    Returns
    -------
    rich.table.Table
        A row for each run.
    """
    held_out = any(run.evaluation == "held-out" for run in runs)
    headings = ("parameters", "epochs", "train loss", "test", *(["held-out"] if held_out else []), "best", "time")
    table = new_table(("run",), headings, gap=2)
    for run in runs:
        assert run.result is not None
        last, best, losses = run.result["last"], run.result["best"], run.epochs["train_loss"]
        ends = run.epoch_ends
        accuracies = [f"{last['test_top1']:.2f} %", f"{last['eval_top1']:.2f} %"] if last else [run.state, ""]
        table.add_row(
            run.name,
            f"{run.about['parameters']:,}",
            _epochs(ends[-1]) if len(ends) else "0",
            f"{losses[-1]:.4f}" if len(losses) else "",
            *accuracies[: 2 if held_out else 1],
            f"{best['eval_top1']:.2f} % ({_epochs(ends[best['epoch'] - 1])})" if best else "",
            duration(run.result["seconds"]),
        )
    split = "held-out" if held_out else "test"
    table.caption = f"test: after the last epoch; best: highest {split} accuracy\n(its epoch); time: of training alone"
    if any(run.result and run.result["stopped"] == "max_steps" for run in runs):
        asked = ", ".join(dict.fromkeys(f"{run.config['epochs']:,}" for run in runs))
        table.caption += f"\na limit of steps ended runs before all epochs ({asked}) were done"
    return table


def _epochs(done: float) -> str:
    return f"{done:.3g}" if done < 100 else f"{done:.0f}"
