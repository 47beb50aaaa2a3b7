"""Training runs of a reproduction: made, gone on with, or taken up where an equal one has finished."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ndtools import __version__
from ndtools.computing.operators import operator_threads, resolve_device
from ndtools.errors import DataError
from ndtools.reproduction.code import code_of
from ndtools.reproduction.kinds import config_of, same_data
from ndtools.results.run_folder import RunFolder
from ndtools.results.runs import Run, inner_runs, read_about, read_run
from ndtools.runs.config import RunConfig
from ndtools.runs.data_sets import DataSets
from ndtools.runs.grid import name_of
from ndtools.runs.run import check, describe, prepare, resume, train
from ndtools.runs.signals import stop_requests
from ndtools.text import printable
from ndtools.training.records import EpochRecord, StepRecord

__all__ = ["FinishedRuns", "Trainer", "is_run_of", "origin", "run_name"]

_FREE = ("jobs", "device", "workers", "data_dir", "dataset", "channels_last", "compile")
"""Settings in which equal runs may differ: where and how fast they compute. Data sets are compared by their names and
numbers of images."""
_SIMILAR = {"constants": None}


def run_name(config: RunConfig, address: str | None) -> str:
    """Return the name of the run of a part, by which it is found again; one without address if that is not known."""
    return name_of(config) if address is None else f"{name_of(config)}-{address}"


def is_run_of(path: Path, config: RunConfig) -> bool:
    """Return whether the run in a folder has this configuration; its data are not compared."""
    return _found(read_about(path)) == _compared(config)


def origin(path: Path, *, elsewhere: bool) -> str | None:
    """Return a remark on where a finished run comes from: another folder, version or code.

    Parameters
    ----------
    path : Path
        Folder of the run.
    elsewhere : bool
        Whether it lies outside of the reproduction.

    Returns
    -------
    str or None
        Remark; None for a run of this reproduction that was made by this code.
    """
    about = read_about(path)
    version = str((about.get("versions") or {}).get("ndtools"))
    by = f", made by ndtools {version}" if version != __version__ else ""
    if elsewhere:
        return f"taken up from {printable(path)}, which has an equal configuration{by}"
    if by or about.get("code", "") != code_of(about.get("experiment", "train")):
        return f"the code has changed since this run{by}; remove its folder to train again"
    return None


class FinishedRuns:
    """Training runs that have finished in a folder, to be taken up by their configurations.

    Parameters
    ----------
    folders : sequence of Path
        Folders of runs. Those that do not exist are left out.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.runs: list[tuple[Path, dict[str, Any], Mapping[str, Any]]] = []
        for folder in folders:
            if not folder.is_dir():
                continue
            for path in inner_runs(folder):
                if (path / "result.json").exists():
                    # A damaged run, or one of a version with other settings, is none that could be taken up.
                    with suppress(DataError, TypeError, ValueError, LookupError):
                        about = read_about(path)
                        self.runs.append((path, _compared(config_of(about)), about["data"]))

    def equal(self, config: RunConfig) -> Path | None:
        """Return the folder of a finished run with the same configuration; None if there is none.

        Parameters
        ----------
        config : RunConfig
            Configuration of the run that is wanted. Threads, device and folder of the data need not be the same.

        Returns
        -------
        Path or None
            Folder of the first such run.
        """
        wanted = _compared(config)
        return next((path for path, found, data in self.runs if found == wanted and same_data(data, config)), None)

    def similar(self, config: RunConfig) -> Path | None:
        """Return the folder of a finished run whose images may have been normalised by other constants.

        Parameters
        ----------
        config : RunConfig
            Configuration of the run that is wanted.

        Returns
        -------
        Path or None
            Folder of the first run that is equal apart from that, or None. It does not take the place of the run that
            is wanted, but its accuracy can be shown beside the published one.
        """
        wanted = {**_compared(config), **_SIMILAR}
        return next(
            (path for path, found, data in self.runs if {**found, **_SIMILAR} == wanted and same_data(data, config)),
            None,
        )


def _compared(config: RunConfig) -> dict[str, Any]:
    """Return what decides a run but its data: its kind, and its settings."""
    settings = {name: value for name, value in asdict(config).items() if name not in _FREE}
    return {"experiment": config.command, **settings}


def _found(about: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what is compared of the configuration of a run; None if it is of a version with other settings."""
    try:
        return _compared(config_of(about))
    except (LookupError, TypeError, ValueError):
        return None


class Trainer:
    """Training runs of one reproduction. Their data are loaded once for runs that follow one another.

    Parameters
    ----------
    output : Path
        Folder of the runs.
    """

    def __init__(self, output: Path) -> None:
        self.output = output
        self._data_sets: DataSets | None = None

    def train(
        self,
        config: RunConfig,
        name: str,
        command: str,
        *,
        show: Callable[[StepRecord | EpochRecord], None] = lambda _: None,
        out_of_time: Callable[[], bool] = lambda: False,
    ) -> Run | None:
        """Make a run, or go on with it where it was interrupted.

        Parameters
        ----------
        config : RunConfig
            Configuration of the run.
        name : str
            Name of its folder.
        command : str
            Command that makes the same run.
        show : callable
            Function that is called with each record. Default: none.
        out_of_time : callable
            Function that returns whether the time for the run is over; it is asked after each record. The state is
            written then, and a later call goes on from it. By default there is time enough.

        Returns
        -------
        Run or None
            The run with its result; None if the time was over before its end.

        Raises
        ------
        KeyboardInterrupt
            If a signal asked the run to stop. Its state is written then.
        DataError
            If the folder holds another run.
        """
        device = resolve_device(config.device)
        if self._data_sets is None or self._data_sets.device != device:
            self._data_sets = DataSets(device)
        path = self.output / name
        started = (path / "run.json").exists()
        folder = RunFolder.open(path) if started else RunFolder(path)
        if started and not is_run_of(path, config):
            raise DataError(f"{printable(path)} holds a run with another configuration; move it away")
        if started and folder.finished:
            return folder.read()
        with operator_threads(config.jobs):
            check(config, self._data_sets)
            run = prepare(config, self._data_sets)
            path.mkdir(parents=True, exist_ok=True)  # also where an earlier run was ended before it described itself
            with folder.lock():
                if started:
                    resume(run, folder)
                else:
                    folder.describe({**describe(run, command), "code": code_of(config.command)})
                with stop_requests() as stop:
                    result = train(run, folder, show=show, stop=lambda: stop() or out_of_time())
                if result is None and stop():
                    raise KeyboardInterrupt
                if result is None:
                    return None
        return read_run(path)
