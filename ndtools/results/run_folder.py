"""Folders of training runs: made, locked, written line by line, and cut back to the state from which a run resumes."""

import csv
import io
import json
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from ndtools.errors import DataError, OutputError
from ndtools.results.runs import COLUMNS, FORMAT, MORE_COLUMNS, Run, inner_runs, read_about, read_run
from ndtools.results.strict_json import strict_json
from ndtools.text import printable, reason
from ndtools.writing import check_writable, write_whole

__all__ = ["RunFolder"]

_ABOUT, _STEPS, _SUMMARY, _RESULT, _LOCK = "run.json", "steps.jsonl", "summary.csv", "result.json", ".lock"
_NAMED = 5  # runs that an error names
_MOST_FOLDERS = 100_000  # of one name


class RunFolder:
    """Folder of one training run.

    Parameters
    ----------
    path : Path
        Path of the folder; `create` and `open` return one that is safe to use.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._steps: IO[str] | None = None

    @classmethod
    def create(cls, output: Path, name: str) -> "RunFolder":
        """Make the folder of a new run. Where the name exists, "-2", "-3", ... is added to it.

        Parameters
        ----------
        output : Path
            Folder of all runs, which is made if it does not exist.
        name : str
            Name of the run.

        Returns
        -------
        RunFolder
            An empty folder that no other process has made.

        Raises
        ------
        OutputError
            If the folder cannot be made.
        """
        check_writable([output / _LOCK], elsewhere="another `output`")
        for number in range(1, _MOST_FOLDERS):
            path = output / (name if number == 1 else f"{name}-{number}")
            try:
                path.mkdir()
            except FileExistsError:
                continue
            except OSError as error:
                raise OutputError(
                    f"cannot make the folder {printable(path)}: {reason(error)}; choose another `output`"
                ) from None
            return cls(path)
        raise OutputError(f"there are {_MOST_FOLDERS:,} folders {printable(output / name)}; choose another `name`")

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "RunFolder":
        """Open the folder of a run that was started before.

        Parameters
        ----------
        path : str or path-like
            Path of the folder.

        Returns
        -------
        RunFolder
            The folder, which describes its run.

        Raises
        ------
        DataError
            If there is no such folder, or it is not that of a run.
        """
        folder, name = cls(Path(path)), printable(path)
        if not folder.path.is_dir():
            raise DataError(f"no such folder of a run: '{name}'")
        if not os.path.lexists(folder.path / _ABOUT):
            every = inner_runs(folder.path)
            inner = [run for run in every if not (run / _RESULT).exists()] or every
            if inner:
                names = ", ".join(printable(run) for run in inner[:_NAMED]) + (", ..." if len(inner) > _NAMED else "")
                raise DataError(f"{name} is no run, but a folder of runs; give one of them: {names}")
            raise DataError(f"{name} is not the folder of one run: it has no {_ABOUT}; give a folder that has one")
        read_about(folder.path)
        return folder

    @property
    def name(self) -> str:
        """Name of the run, which is that of the folder."""
        return self.path.name

    @property
    def state(self) -> Path:
        """Path of the file from which the run resumes."""
        return self.path / "state.safetensors"

    @property
    def last(self) -> Path:
        """Path of the checkpoint of the network after the last finished epoch."""
        return self.path / "last.safetensors"

    @property
    def best(self) -> Path:
        """Path of the checkpoint of the network after the epoch that did best on the held-out images."""
        return self.path / "best.safetensors"

    @property
    def best_before(self) -> Path:
        """Path of the best checkpoint of whole epochs, if the last epoch was cut short and did best."""
        return self.path / "best-whole.safetensors"

    @property
    def figure(self) -> Path:
        """Path of the figure of the learning curves."""
        return self.path / "figure.png"

    @property
    def examples(self) -> Path:
        """Path of the figure of scenes with their labels, in runs that segment."""
        return self.path / "examples.png"

    @property
    def scenes(self) -> Path:
        """Path of the arrays that the figure of scenes shows."""
        return self.path / "examples.npz"

    @property
    def captions(self) -> Path:
        """Path of the text file with the captions of the figures."""
        return self.path / "figure.txt"

    @property
    def about(self) -> dict[str, Any]:
        """Content of run.json, which describes the run; DataError if it cannot be read."""
        return read_about(self.path)

    @property
    def finished(self) -> bool:
        """Whether the run has finished, also if it diverged, and is not to be made longer."""
        result = self.read().result
        if result is None:
            return False
        return result.get("stopped") != "max_steps" or result["steps"] >= self.about.get("steps", 0)

    def read(self) -> Run:
        """Read the records so far, and the result; DataError if a file is damaged."""
        return read_run(self.path)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep all other processes from writing into the folder, for the body of a ``with`` statement.

        The lock belongs to the process and ends with it, however it ends. Files that hold lines are closed at the end.

        Yields
        ------
        None
            No value; the body may write into the folder.

        Raises
        ------
        OutputError
            If another process has the lock, or the folder cannot be written to.
        """
        path = self.path / _LOCK
        try:
            file = path.open("a+")
        except OSError as error:
            raise OutputError(f"cannot write to {printable(self.path)}: {reason(error)}") from None
        with file:
            if not _locked(file):
                raise OutputError(
                    f"another process is writing into {printable(self.path)}: wait until it ends, or start a new run"
                )
            try:
                yield
            finally:
                if self._steps:
                    with suppress(OSError):  # a full disk was reported when the line was written
                        self._steps.close()
                    self._steps = None

    def describe(self, about: Mapping[str, Any]) -> None:
        """Write run.json, which describes the run, at its start.

        Parameters
        ----------
        about : mapping
            Description of the run, beside the version of the format and the name, which are added.
        """
        self._write_json(_ABOUT, {"format": FORMAT, "name": self.name, **about})

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write result.json, at the end of the run.

        Parameters
        ----------
        result : mapping
            Results of the run, beside the version of the format, which is added.
        """
        self._write_json(_RESULT, {"format": FORMAT, **result})

    def reopen(self, *, whole_epochs: bool) -> None:
        """Remove result.json, so that the run can go on.

        Parameters
        ----------
        whole_epochs : bool
            Whether all epochs that are kept are whole. The best checkpoint is then that of a whole epoch, too.
        """
        path = self.path / _RESULT
        with _writing(path):
            path.unlink(missing_ok=True)
        if whole_epochs and self.best_before.exists():
            with _writing(self.best):
                os.replace(self.best_before, self.best)

    def keep_best(self) -> None:
        """Keep the best checkpoint of whole epochs beside that of an epoch that was cut short."""
        if self.best.exists():
            with _writing(self.best_before):
                os.replace(self.best, self.best_before)

    def add_step(self, record: Mapping[str, Any]) -> None:
        """Append a line to steps.jsonl, which other processes can read at once.

        Parameters
        ----------
        record : mapping
            Numbers of the step by name.
        """
        finite = {key: None if _is_not_finite(value) else value for key, value in record.items()}
        path = self.path / _STEPS
        with _writing(path):
            if self._steps is None:
                self._steps = path.open("a", encoding="utf-8")
            self._steps.write(json.dumps(finite, allow_nan=False) + "\n")
            self._steps.flush()

    def add_epoch(self, record: Mapping[str, Any]) -> None:
        """Append a line to summary.csv, after a head line if it is the first.

        Parameters
        ----------
        record : mapping
            Numbers of the epoch by name. Those of `COLUMNS` are written, and those of `MORE_COLUMNS` that are not None;
            under a head line that was there before, those that it names.
        """
        path = self.path / _SUMMARY
        text = io.StringIO()
        lines = csv.writer(text, lineterminator="\n")
        head = self._whole_lines(_SUMMARY)[:1]
        columns: Sequence[str] = head[0].decode().strip().split(",") if head else ()
        if not head:
            columns = (*COLUMNS, *(name for name in MORE_COLUMNS if record.get(name) is not None))
            lines.writerow(columns)
        lines.writerow([record[name] for name in columns])
        with _writing(path), path.open("a", encoding="utf-8") as file:
            file.write(text.getvalue())

    def cut_back(self, *, step: int, epochs: int) -> None:
        """Remove what was written after the state from which the run resumes, and files that were never completed.

        Parameters
        ----------
        step : int
            Number of steps of that state; the lines of later steps are removed from steps.jsonl.
        epochs : int
            Number of finished epochs of that state; the lines of later epochs are removed from summary.csv.
        """
        for leftover in self.path.glob(".*.tmp"):  # of a process that was killed while it wrote
            with suppress(OSError):
                leftover.unlink()
        numbers = self.read().steps["step"]  # damaged lines are an error here
        self._cut(_STEPS, self._whole_lines(_STEPS)[: int((numbers <= step).sum())])
        self._cut(_SUMMARY, self._whole_lines(_SUMMARY)[: epochs + 1 if epochs else 0])

    def _cut(self, name: str, lines: Sequence[bytes]) -> None:
        path = self.path / name
        if path.exists():
            with _writing(path):
                os.truncate(path, sum(map(len, lines)))

    def _whole_lines(self, name: str) -> list[bytes]:
        """Return the lines of a file that end with a line break; none if there is no such file."""
        path = self.path / name
        if not path.exists():
            return []
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DataError(f"cannot read {printable(path)}: {reason(error)}") from None
        return [line for line in content.splitlines(keepends=True) if line.endswith(b"\n")]

    def _write_json(self, name: str, content: Mapping[str, Any]) -> None:
        write_whole({self.path / name: lambda file: file.write(strict_json(content).encode())})


def _is_not_finite(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write {printable(path)}: {reason(error)}") from error


def _locked(file: IO[str]) -> bool:
    """Lock a file for this process, and return whether that was possible."""
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
