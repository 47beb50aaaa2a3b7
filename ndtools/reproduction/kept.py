"""What is known of parts: their addresses, and their results, kept here or taken up from elsewhere."""

from contextlib import suppress
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ndtools.errors import DataError
from ndtools.reproduction.address import AbsentError, Fingerprints, address, could_be, plain, without_places
from ndtools.reproduction.item import Part
from ndtools.reproduction.lines import command_of
from ndtools.reproduction.state import PartState
from ndtools.reproduction.store import Store
from ndtools.reproduction.training import FinishedRuns, is_run_of, origin, run_name
from ndtools.results.run_folder import RunFolder
from ndtools.results.runs import Run, read_run
from ndtools.runs.config import RunConfig

__all__ = ["Kept"]


class Kept:
    """Results of parts, by what decides them.

    Parameters
    ----------
    store : Store
        Folder of the reproduction.
    runs : Path
        Folder of training runs that are taken up if they have finished with an equal configuration.
    """

    def __init__(self, store: Store, runs: Path) -> None:
        self.store, self.runs = store, runs
        self.fingerprints = Fingerprints(store.folder / ".fingerprints.json")
        self._addresses: dict[Part, str | None] = {}
        self._settings: dict[Part, dict[str, Any]] = {}
        self._problems: dict[Part, str] = {}
        self._results: dict[str, Any] = {}
        self._taken_up: dict[Part, Path | None] = {}
        self._runs: dict[Path, Run] = {}

    def address(self, part: Part) -> str | None:
        """Return the address of a part's result, for which its data are read; None if they are absent or damaged."""
        ready = self.ready(part)
        if ready is None:
            return None
        if ready not in self._addresses:
            self._addresses[ready] = None
            try:
                self._addresses[ready] = address(ready, self.fingerprints)
            except AbsentError:  # it waits for them
                pass
            except DataError as error:
                self._problems[ready] = str(error)
        return self._addresses[ready]

    def known_address(self, part: Part) -> str | None:
        """Return the address of a part's result if it is known by now, without reading any data."""
        ready = self.ready(part)
        return None if ready is None else self._addresses.get(ready)

    def problem(self, part: Part) -> str | None:
        """Return why the data of a part could not be read; None if they could, or were not needed by now."""
        return self._problems.get(self.ready(part) or part)

    def ready(self, part: Part) -> Part | None:
        """Return a part with the network that it takes from a training run; None before that run is done."""
        if part.trained is None:
            return part
        path = self.path(part.trained)
        if path is None:
            return None
        config = replace(part.config, checkpoint=str(RunFolder(path).last))  # type: ignore[call-arg]
        return replace(part, config=config, trained=None)

    def path(self, part: Part) -> Path | None:
        """Return the path of the result, or of the training run, of a part; None if it is not done."""
        where = self.address(part) if self._may_be_there(part) else None  # or data would be read for nothing
        if not isinstance(part.config, RunConfig):
            there = where is not None and self._load(part, where) is not None
            return self.store.place(part, where) if where is not None and there else None
        if where is not None:
            own = self.store.runs / run_name(part.config, where)
            with suppress(DataError):
                if (own / "result.json").exists() and RunFolder.open(own).finished and is_run_of(own, part.config):
                    return own
        return self.taken_up(part)  # also where the data of the run are no longer here

    def taken_up(self, part: Part) -> Path | None:
        """Return the folder of an equal run that has finished elsewhere; None if there is none."""
        if part not in self._taken_up:
            equal = self._finished.equal(part.config) if isinstance(part.config, RunConfig) else None
            self._taken_up[part] = equal
        return self._taken_up[part]

    def similar(self, part: Part) -> Run | None:
        """Return a finished run elsewhere that differs in how its images were normalised alone; None without one."""
        path = self._finished.similar(part.config) if isinstance(part.config, RunConfig) else None
        return None if path is None else self._run(path)

    def is_done(self, part: Part) -> bool:
        """Return whether the result of a part is there."""
        return self.path(part) is not None

    def is_begun(self, part: Part) -> bool:
        """Return whether the folder of a training run is there, which goes on from its state."""
        where = self.address(part) if isinstance(part.config, RunConfig) and self._may_be_there(part) else None
        if where is None or not isinstance(part.config, RunConfig):
            return False
        return (self.store.runs / run_name(part.config, where) / "run.json").exists()

    def progress(self, part: Part) -> tuple[float, float] | None:
        """Return how much of a training run that was interrupted is done.

        Parameters
        ----------
        part : Part
            Work with its configuration.

        Returns
        -------
        tuple of float or None
            Share that is done, above 0 and at most 1, and the seconds of training that it took. None before the first
            step, and for a part that is no training run or has finished.
        """
        config = part.config
        if not isinstance(config, RunConfig) or not self.is_begun(part) or self.is_done(part):
            return None
        where = self.address(part)
        with suppress(DataError):
            steps = read_run(self.store.runs / run_name(config, where)).steps
            if len(steps["step"]):
                share = float(steps["epoch"][-1]) / config.epochs
                if config.max_steps is not None:
                    share = max(share, float(steps["step"][-1]) / config.max_steps)
                return min(share, 1.0), float(steps["seconds"][-1])
        return None

    def result(self, part: Part) -> Any:  # noqa: ANN401
        """Return the result of a part that is done: that of the experiment, or the training run."""
        path = self.path(part)
        assert path is not None
        if isinstance(part.config, RunConfig):
            return self._run(path)
        where = self.address(part)
        assert where is not None
        return self._load(part, where)

    def state(self, part: Part, *, estimate: float, problem: str | None) -> PartState:
        """Return the state of a part that is not running.

        Parameters
        ----------
        part : Part
            Work with its configuration.
        estimate : float
            Seconds that it is expected to take on this machine.
        problem : str or None
            Reason why it failed in this call; None if it did not.

        Returns
        -------
        PartState
            "done", "failed", "interrupted" for a training run that was begun, or "waiting".
        """
        path, config = self.path(part), part.config
        where = self.known_address(part)
        if isinstance(config, RunConfig):
            name, folder = run_name(config, where), self.store.runs
        else:
            name, folder = part.experiment, self.store.place(part, where).parent
        state = PartState(
            name=part.name,
            experiment=part.experiment,
            address=where,
            state="waiting",
            estimate=estimate,
            command=command_of(self.ready(part) or part, str(folder), name),
        )
        if path is not None:
            training = isinstance(config, RunConfig)
            seconds = self._training_seconds(path) if training else self.store.seconds(part, where)
            note = origin(path, elsewhere=path == self.taken_up(part)) if training else None
            return replace(state, state="done", seconds=seconds, result=self.store.relative(path), reason=note)
        problem = problem or self.problem(part)
        if problem:
            return replace(state, state="failed", reason=problem)
        if not self.is_begun(part):
            return state
        progress = self.progress(part)
        done = f"{100 * progress[0]:.0f} % of the training is done; the next call goes on with it" if progress else None
        return replace(state, state="interrupted", reason=done)

    @cached_property
    def _finished(self) -> FinishedRuns:
        return FinishedRuns([self.runs])

    def _load(self, part: Part, where: str) -> Any:  # noqa: ANN401
        if self._results.get(where) is None:
            result = self.store.result(part, where)
            self._results[where] = result if result is not None and self._is_of(part, where, result.config) else None
        return self._results[where]

    def _is_of(self, part: Part, where: str, config: Any) -> bool:  # noqa: ANN401
        """Return whether a result was made by the configuration of a part, and not by hand in the same folder."""
        if type(config) is not type(part.config):
            return False
        with suppress(DataError):
            return address(replace(part, config=config, trained=None), self.fingerprints) == where
        return without_places(asdict(config)) == without_places(asdict(part.config))  # its data have been moved since

    def _may_be_there(self, part: Part) -> bool:
        """Return whether there is a result, or a training run, that may be that of a part, by its settings alone."""
        if isinstance(part.config, RunConfig):
            return any(self.store.runs.glob(run_name(part.config, "*")))
        if part.trained is not None and self.ready(part) is None:
            return False
        if part not in self._settings:
            self._settings[part] = plain(asdict(part.config))
        wanted = self._settings[part]
        return any(could_be(saved, wanted) for saved in self.store.settings(part.experiment))

    def _run(self, path: Path) -> Run:
        """Return a training run that has finished, which is read once."""
        if path not in self._runs:
            self._runs[path] = read_run(path)
        return self._runs[path]

    def _training_seconds(self, path: Path) -> float | None:
        with suppress(DataError):
            result = self._run(path).result
            return None if result is None else float(result.get("seconds") or 0.0)
        return None
