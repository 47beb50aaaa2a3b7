"""Runs of one command, one after the other: their progress, their failures, and the table at the end."""

import os
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import typer

from ndtools.computing.operators import operator_threads, resolve_device
from ndtools.console.command_lines import by_processes
from ndtools.console.failures import EXIT_CODES, INTERRUPTED
from ndtools.console.output import Output
from ndtools.errors import DataError, NumericalError, NumericalWarning, OptionError, OutputError, SkippedImageWarning
from ndtools.layers.processes import rank, world_size
from ndtools.models.catalogue import EARLIER_NAMES
from ndtools.results.run_folder import RunFolder
from ndtools.runs.config import CHECKPOINT_EVERY, OUTPUT, RunConfig
from ndtools.runs.data_sets import DataSets
from ndtools.runs.display import Display, display
from ndtools.runs.grid import PlannedRun, command_of
from ndtools.runs.run import Prepared, check, describe, prepare, resume, train
from ndtools.runs.signals import stop_requests
from ndtools.runs.table import table_of
from ndtools.runs.tensorboard import TensorBoard, check_tensorboard
from ndtools.text import counted, printable
from ndtools.training.processes import first_alone, joined
from ndtools.training.records import EpochRecord, StepRecord
from ndtools.validation import check_choice

__all__ = ["Session"]

_FREE = ("device", "jobs", "dataset", "data_dir", "max_steps", "workers")
"""Settings that a run may be resumed with although it was started with others: images may have moved, and
batches are equal for any number of workers."""
_STOPPING = "stopping after the present step or evaluation, to write the state"


class _Now(NamedTuple):
    """What the runs of a command share while they are made."""

    data_sets: DataSets
    shown: Display
    stop: Callable[[], bool]


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
    log : {"tensorboard"}, optional
        Further form in which the records are written. By default there is none.

    Raises
    ------
    OptionError
        If that form is not known, or the package that it needs is not installed.
    """

    def __init__(self, screen: Output, *, output: Path, checkpoint_every: float, log: str | None = None) -> None:
        self.screen, self.output, self.checkpoint_every, self.log = screen, output, checkpoint_every, log
        if not checkpoint_every > 0:
            raise OptionError("checkpoint_every", f"must be above 0 seconds, got {checkpoint_every}")
        if log is not None:
            check_choice("log", log, ("tensorboard",))
            check_tensorboard()
        self.finished: list[RunFolder] = []
        self.interrupted: list[RunFolder] = []
        self.not_started: list[str] = []
        self.exit_code = 0
        self._begun = 0  # runs whose folders were made

    def start(self, runs: Sequence[PlannedRun]) -> None:
        """Make runs, each in a new folder. A run that diverges does not keep the others from being made.

        Parameters
        ----------
        runs : sequence of PlannedRun
            Runs to be made, in this order.
        """
        with self._joined(runs[0].config) as now:
            for run in runs:
                check(run.config, now.data_sets)
            try:
                for number, planned in enumerate(runs, 1):
                    with operator_threads(planned.config.jobs):
                        self._make(planned, now)
                    (stopping,) = first_alone(lambda: None, now.stop(), device=now.data_sets.device)
                    stopping = stopping or self.exit_code == INTERRUPTED
                    if stopping and number < len(runs):  # also where a run has just ended
                        self.exit_code = INTERRUPTED
                        return
            finally:  # also where an error or a second Ctrl-C ends the command
                if rank() == 0 and 0 < self._begun < len(runs):
                    self._not_started(runs[self._begun :])

    def resume(self, kind: type[RunConfig], path: Path, given: Mapping[str, Sequence[Any]]) -> None:
        """Go on with a run that was stopped, or that ``max_steps`` ended, if it gets a larger one or none.

        Parameters
        ----------
        kind : type of RunConfig
            Class of the run's configuration.
        path : Path
            Folder of the run.
        given : mapping of str to sequence
            Settings that the user has given beside it, which must be those of the run, apart from ``max_steps``.

        Raises
        ------
        OptionError
            If a setting differs from that of the run, or ``max_steps`` leaves no step to be made.
        DataError
            If the folder is not that of a run.
        """
        folder = RunFolder.open(path)
        config = self._configuration(kind, folder, given)
        with self._joined(config) as now, operator_threads(config.jobs), ExitStack() as stack:
            first_alone(lambda: stack.enter_context(folder.lock()), device=now.data_sets.device)
            other_steps = config.max_steps != folder.about["config"].get("max_steps")
            if folder.finished and not self._goes_on(folder, other_steps=other_steps):
                return
            try:
                run = prepare(config, now.data_sets)
            except DataError as error:
                if os.path.lexists(config.dataset):
                    raise
                command = f"ndtools {config.command}"
                raise DataError(
                    f"{error}; if the images have moved, name their folder:"
                    f" {command} FOLDER --resume {shlex.quote(str(path))}"
                ) from None
            if folder.finished:
                _check_longer(run, folder)
            resume(run, folder)
            done = run.training.step
            self.screen.note(f"{printable(path)} goes on after step {done:,} of {run.training.steps:,}")
            self._train(run, folder, now)

    def report(self) -> None:
        """Print the table of all runs that have finished, or the JSON of these and of those that were interrupted."""
        runs = {str(folder.path): folder.read() for folder in [*self.finished, *self.interrupted]}
        numbers: dict[str, Any] = {
            "runs": [{**run.about, "folder": path, "result": run.result} for path, run in runs.items()]
        }
        self.screen.json(numbers | ({"not_started": self.not_started} if self.not_started else {}))
        if self.finished:
            self.screen.table(table_of([run for run in runs.values() if run.result is not None]))

    def leave(self) -> None:
        """End the command with an exit code if a run diverged or was interrupted."""
        if self.exit_code:
            raise typer.Exit(self.exit_code)

    @contextmanager
    def _joined(self, config: RunConfig) -> Iterator["_Now"]:
        """Join the other processes, if there are several, and listen to signals, for the body of a ``with``."""
        with ExitStack() as stack:
            device = stack.enter_context(joined(resolve_device(config.device)))
            if rank() > 0:  # the first process speaks for all
                self.screen = Output(quiet=True)
                stack.enter_context(warnings.catch_warnings())
                warnings.simplefilter("ignore", NumericalWarning)
                warnings.filterwarnings("ignore", ".* (has no images for evaluation|to no class)", SkippedImageWarning)
            shown = stack.enter_context(display(self.screen.note, quiet=self.screen.quiet))
            alone = world_size() == 1
            words = _STOPPING + ("; Ctrl-C again does not wait" if alone else "")
            stop = stack.enter_context(stop_requests(insistent=alone, noted=lambda: shown.stopping(words)))
            yield _Now(DataSets(device), shown, stop)

    def _make(self, planned: PlannedRun, now: "_Now") -> None:
        run = prepare(planned.config, now.data_sets)
        folder = RunFolder(self.output / planned.name)
        with ExitStack() as stack:

            def begin() -> None:
                nonlocal folder
                folder = RunFolder.create(self.output, planned.name)
                self._begun += 1
                stack.enter_context(folder.lock())
                folder.describe(describe(run, shlex.join(["ndtools", *sys.argv[1:]])))

            first_alone(begin, device=now.data_sets.device)
            data, training = run.training.data, run.training
            self.screen.note(
                f"{printable(folder.path)}: {planned.config.arch}, {planned.config.norm}, {run.loaded.name},"
                f" {len(data):,} images, {training.steps:,} step{'' if training.steps == 1 else 's'}"
            )
            self._train(run, folder, now)

    def _train(self, run: Prepared, folder: RunFolder, now: "_Now") -> None:
        training = run.training
        now.shown.begin(
            folder.name,
            steps=training.steps,
            epochs=-(-training.steps // training.per_epoch),
            per_epoch=training.per_epoch,
            done=training.step,
        )
        try:
            with self._events(folder, training.step) as add_event:

                def show(record: StepRecord | EpochRecord) -> None:
                    add_event(record)
                    if isinstance(record, StepRecord):
                        now.shown.step(record)
                    else:
                        now.shown.epoch(record)

                result = train(run, folder, show=show, stop=now.stop, checkpoint_every=self.checkpoint_every)
        except KeyboardInterrupt:
            self._interrupted(folder, "the state that was written last is kept")
            return
        except OutputError as error:
            if rank() > 0:  # which does not know the name of the folder
                raise
            kept = "the state that was written before is kept; " if folder.state.exists() else ""
            raise OutputError(f"{error}; {kept}when there is room, go on with: {_command(folder)}") from error
        except DataError as error:
            if rank() > 0 or not folder.state.exists():
                raise
            kept = "the state that was written last is kept"
            raise DataError(f"{error}; {kept}; go on with: {_command(folder)}") from error
        if result is None:
            self._interrupted(folder, f"the state after step {training.step:,} of {training.steps:,} is written")
            return
        if result["stopped"] == "diverged":
            self._diverged(folder, result)
        if rank() == 0:
            self.finished.append(folder)

    @contextmanager
    def _events(self, folder: RunFolder, done: int) -> Iterator[Callable[[StepRecord | EpochRecord], None]]:
        """Return the function that adds a record to the log, if there is one."""
        if self.log is None or rank() > 0:
            yield lambda _: None
            return
        log = TensorBoard(folder.path, done)
        try:
            yield log.add
        finally:
            log.close()

    def _goes_on(self, folder: RunFolder, *, other_steps: bool) -> bool:
        """Return whether a run that has finished may go on, and show its end if not."""
        result = folder.read().result
        assert result is not None
        if result.get("stopped") == "diverged":
            self._diverged(folder, result)
        elif other_steps and result.get("stopped") == "max_steps":
            return True
        elif other_steps:
            raise OptionError("max_steps", f"cannot be changed: {printable(folder.path)} has done all of its epochs")
        else:
            self.screen.note(f"{printable(folder.path)} has finished: nothing is left to do")
        if rank() == 0:
            self.finished.append(folder)
        return False

    def _diverged(self, folder: RunFolder, result: Mapping[str, Any]) -> None:
        self.exit_code = EXIT_CODES[NumericalError]
        warnings.warn(f"{printable(folder.path)}: {result['reason']}", NumericalWarning, stacklevel=1)

    def _interrupted(self, folder: RunFolder, state: str) -> None:
        self.exit_code = INTERRUPTED
        if rank() == 0:
            self.interrupted.append(folder)
        self.screen.note(f"interrupted: {state}; go on with: {_command(folder)}")

    def _not_started(self, runs: Sequence[PlannedRun]) -> None:
        """Say with which commands the other runs of this command are made."""
        others = {
            name: value
            for name, value, default in (
                ("output", self.output, Path(OUTPUT)),
                ("checkpoint_every", self.checkpoint_every, CHECKPOINT_EVERY),
                ("log", self.log, None),
            )
            if value != default
        }
        self.not_started = [command_of(run, processes=world_size(), **others) for run in runs]
        lines = "".join(f"\n  {command}" for command in self.not_started)
        self.screen.note(f"{counted(len(runs), 'run')} of this command did not start; start them with:{lines}")

    def _configuration(self, kind: type[RunConfig], folder: RunFolder, given: Mapping[str, Sequence[Any]]) -> RunConfig:
        """Return the configuration of a run that is resumed, in which only what does not change the run may differ."""
        command = folder.about.get("experiment", "train")
        if command != kind.command:
            raise OptionError("resume", f"is for runs of `ndtools {kind.command}`; go on with: {_command(folder)}")
        stored = dict(folder.about["config"])
        free = {}
        for name, values in given.items():
            if name == "arch":
                values = [EARLIER_NAMES.get(value, value) for value in values]
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
            return kind(**{**stored, **free})
        except TypeError as error:
            raise DataError(
                f"{printable(folder.path)} was started by another version of ndtools, whose settings this one does not"
                f" know: {error}"
            ) from None


def _check_longer(run: Prepared, folder: RunFolder) -> None:
    """Raise an error unless a run that has finished gets more steps than it has."""
    result = folder.read().result
    if result is not None and run.training.steps <= result["steps"]:
        raise OptionError(
            "max_steps",
            f"must be above the {result['steps']:,} steps that {printable(folder.path)} has done, or none, got"
            f" {run.config.max_steps}",
        )


def _command(folder: RunFolder) -> str:
    command = folder.about.get("experiment", "train")
    resumed = f"ndtools {command} --resume {shlex.quote(os.fspath(folder.path))}"
    return by_processes(resumed, folder.about.get("processes", 1))
