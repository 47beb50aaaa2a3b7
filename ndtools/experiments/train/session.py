"""Runs of one command, one after the other: their progress, their failures, and the table at the end."""

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ndtools.computing.operators import operator_threads
from ndtools.console.failures import EXIT_CODES, INTERRUPTED
from ndtools.console.output import Output
from ndtools.console.tables import new_table
from ndtools.errors import DataError, NumericalError, OptionError, OutputError
from ndtools.experiments.train.config import TrainConfig
from ndtools.experiments.train.display import Display, display, duration
from ndtools.experiments.train.grid import PlannedRun
from ndtools.experiments.train.run import DataSets, Prepared, check, describe, prepare, resume, train
from ndtools.experiments.train.signals import StopRequest, stop_requests
from ndtools.layers.processes import rank
from ndtools.results.run_folder import RunFolder
from ndtools.text import counted, printable
from ndtools.training.records import EpochRecord, StepRecord

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Session"]

_FREE = ("device", "jobs", "data_dir")
"""Settings that a run may be resumed with although it was started with others."""


class Session:
    """The runs of one command.

    Parameters
    ----------
    screen : Output
        Screen of the command.
    output : Path
        Folder of all runs.
    checkpoint_every : float
        Seconds between two writings of a run's state, at most.
    """

    def __init__(self, screen: Output, *, output: Path, checkpoint_every: float) -> None:
        self.screen, self.output, self.checkpoint_every = screen, output, checkpoint_every
        self.data_sets = DataSets()
        self.finished: list[RunFolder] = []
        self.exit_code = 0

    def start(self, runs: Sequence[PlannedRun]) -> None:
        """Make runs, each in a new folder. A run that diverges does not keep the others from being made.

        Parameters
        ----------
        runs : sequence of PlannedRun
            Runs to be made, in this order.
        """
        for run in runs:
            check(run.config, self.data_sets)
        with self._showing() as shown, stop_requests() as stop:
            for number, planned in enumerate(runs):
                with operator_threads(planned.config.jobs):
                    self._make(planned, shown, stop)
                if self.exit_code == INTERRUPTED:
                    if left := len(runs) - number - 1:
                        self.screen.note(f"{counted(left, 'run')} of this command did not start")
                    return

    def resume(self, path: Path, given: Mapping[str, Sequence[Any]]) -> None:
        """Go on with a run that was stopped.

        Parameters
        ----------
        path : Path
            Folder of the run.
        given : mapping of str to sequence
            Settings that the user has given beside it, which must be those of the run.

        Raises
        ------
        OptionError
            If a setting differs from that of the run.
        DataError
            If the folder is not that of a run.
        """
        folder = RunFolder.open(path)
        config = self._configuration(folder, given)
        if folder.result is not None:
            self.screen.note(f"{printable(path)} has finished; nothing is left to do")
            self._note(folder)
            return
        with self._showing() as shown, stop_requests() as stop, operator_threads(config.jobs), _locked(folder):
            run = prepare(config, self.data_sets)
            resume(run, folder)
            done = run.training.step
            self.screen.note(f"{printable(path)} goes on after step {done:,} of {run.training.steps:,}")
            self._train(run, folder, shown, stop)

    def report(self) -> None:
        """Print the table of all runs that have finished, or their JSON."""
        if not self.finished or rank() > 0:
            return
        runs = [{**folder.about, "folder": str(folder.path), "result": folder.result} for folder in self.finished]
        self.screen.json({"runs": runs})
        self.screen.table(_table(runs))

    def leave(self) -> None:
        """End the command with an exit code if a run diverged or was interrupted."""
        if self.exit_code:
            raise typer.Exit(self.exit_code)

    def _showing(self) -> Any:  # noqa: ANN401
        return display(self.screen.note, quiet=self.screen.quiet or rank() > 0)

    def _make(self, planned: PlannedRun, shown: Display, stop: StopRequest) -> None:
        run = prepare(planned.config, self.data_sets)
        folder = RunFolder.create(self.output, planned.name) if rank() == 0 else RunFolder(self.output / planned.name)
        with _locked(folder):
            if rank() == 0:
                folder.describe(describe(run, shlex.join(["ndtools", *sys.argv[1:]])))
            data, training = run.training.data, run.training
            self.screen.note(
                f"{printable(folder.path)}: {planned.config.arch}, {planned.config.norm}, {run.dataset.name},"
                f" {len(data.train.labels):,} images, {training.steps:,} steps"
            )
            self._train(run, folder, shown, stop)

    def _train(self, run: Prepared, folder: RunFolder, shown: Display, stop: StopRequest) -> None:
        training = run.training
        shown.begin(folder.name, steps=training.steps, epochs=run.config.epochs, done=training.step)

        def show(record: StepRecord | EpochRecord) -> None:
            if isinstance(record, StepRecord):
                shown.step(record)
            else:
                shown.epoch(record)

        try:
            result = train(run, folder, show=show, stop=stop, checkpoint_every=self.checkpoint_every)
        except KeyboardInterrupt:
            self._interrupted(folder, "the state that was written last is kept")
            return
        except OutputError as error:
            kept = "the state that was written before is kept; " if folder.state.exists() else ""
            raise OutputError(f"{error}; {kept}when there is room, go on with: {_command(folder)}") from error
        if result is None:
            self._interrupted(folder, f"the state after step {training.step:,} of {training.steps:,} is written")
            return
        if result["stopped"] == "diverged":
            self.exit_code = EXIT_CODES[NumericalError]
            self.screen.warning(f"{printable(folder.path)}: {result['reason']}")
        self._note(folder)

    def _note(self, folder: RunFolder) -> None:
        self.finished.append(folder)

    def _interrupted(self, folder: RunFolder, state: str) -> None:
        self.exit_code = INTERRUPTED
        self.screen.note(f"interrupted: {state}; go on with: {_command(folder)}")

    def _configuration(self, folder: RunFolder, given: Mapping[str, Sequence[Any]]) -> TrainConfig:
        """Return the configuration of a run that is resumed, in which only what does not change the run may differ."""
        stored = dict(folder.about["config"])
        free = {}
        for name, values in given.items():
            if name in _FREE:
                free[name] = values[0]
            elif list(values) != [stored.get(name)]:
                wanted = ", ".join(map(str, values))
                raise OptionError(
                    name,
                    f"must be {stored.get(name)}, as {printable(folder.path)} was started with, got {wanted}; leave it"
                    " out, or start a new run",
                )
        try:
            return TrainConfig(**{**stored, **free})
        except TypeError as error:
            raise DataError(
                f"{printable(folder.path)} was started by another version of ndtools, whose settings this one does not"
                f" know: {error}"
            ) from None


def _locked(folder: RunFolder) -> Any:  # noqa: ANN401
    return folder.lock() if rank() == 0 else nullcontext()


def _command(folder: RunFolder) -> str:
    return f"ndtools train --resume {shlex.quote(os.fspath(folder.path))}"


def _table(runs: Sequence[Mapping[str, Any]]) -> "Table":
    held_out = any(run["data"]["eval_split"] == "held-out" for run in runs)
    headings = ("parameters", "epochs", "train loss", "test", *(["held-out"] if held_out else []), "best", "time")
    table = new_table(("run",), headings, gap=2)
    for run in runs:
        folder, result = RunFolder(Path(run["folder"])), run["result"]
        epochs = folder.epochs()
        last, best = result["last"], result["best"]
        accuracies = [f"{last['test_top1']:.2f} %", f"{last['eval_top1']:.2f} %"] if last else ["diverged", ""]
        table.add_row(
            run["name"],
            f"{run['parameters']:,}",
            str(len(epochs)),
            f"{epochs[-1]['train_loss']:.4f}" if epochs else "",
            *accuracies[: 2 if held_out else 1],
            f"{best['eval_top1']:.2f} % ({best['epoch']})" if best else "",
            duration(result["seconds"]),
        )
    split = "held-out" if held_out else "test"
    table.caption = f"test: after the last epoch; best: highest {split} accuracy (its epoch); time: of training alone"
    return table
