"""Read the folders that training runs write, also while a run is going on."""

import csv
import glob
import json
import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray

from ndtools.data.files import read_file
from ndtools.data.images.folders import glob_matches
from ndtools.errors import DataError, SkippedRunWarning
from ndtools.text import printable, reason

__all__ = [
    "COLUMNS",
    "FORMAT",
    "MEAN_IOU",
    "MORE_COLUMNS",
    "STEP_COLUMNS",
    "Run",
    "inner_runs",
    "read_about",
    "read_run",
    "run_folders",
]

FORMAT = 1
"""Version of the content of run folders, to be raised when it changes. Older ones are understood."""
COLUMNS = ("epoch", "train_loss", "train_top1", "eval_loss", "eval_top1", "lr", "seconds")
"""Columns of summary.csv: those of the summaries that timm writes, and the seconds of training so far."""
MEAN_IOU = "eval_mean_iou"
"""Column by which runs that segment are compared."""
MORE_COLUMNS = ("eval_top5", MEAN_IOU)
"""Columns that follow those where a run has such measures: more than ten classes, or segmentation."""
STEP_COLUMNS = ("step", "epoch", "loss", "lr", "seconds", "images")
_REMEDY = "give folders that ndtools train wrote, or a folder of such folders"


@dataclass(frozen=True, eq=False)
class Run:
    """Content of the folder of a training run.

    Attributes
    ----------
    path : str
        Path of the folder, printable.
    about : dict
        Content of run.json: name, command, network, configuration, data, versions and hardware.
    steps : dict of str to array
        Records of the training steps so far, an array for each of :data:`STEP_COLUMNS`. Values that were not finite
        are NaN.
    epochs : dict of str to array
        Records of the epochs so far, an array for each of :data:`COLUMNS`, and of :data:`MORE_COLUMNS` where the run
        has them. Accuracies are in per cent.
    result : dict or None
        Content of result.json; None while the run has not finished.
    """

    path: str
    about: dict[str, Any]
    steps: dict[str, NDArray[np.float64]]
    epochs: dict[str, NDArray[np.float64]]
    result: dict[str, Any] | None

    @property
    def name(self) -> str:
        """Name of the run."""
        return str(self.about["name"])

    @property
    def config(self) -> dict[str, Any]:
        """Configuration of the run, by the names of its fields."""
        return dict(self.about["config"])

    @property
    def data(self) -> str:
        """Name of the data set as titles have it, with a remark if it is synthetic."""
        data = self.about["data"]
        return f"{data['name']} (synthetic)" if data.get("synthetic") else str(data["name"])

    @property
    def evaluation(self) -> str:
        """Name of the images that evaluate the network after each epoch.

        It is "test", "held-out", "validation" or, in sets without images for evaluation, "training".
        """
        return str(self.about["data"].get("eval_split", "test"))

    @property
    def final(self) -> str:
        """Name of the images of the final number: "test", or that of `evaluation` in sets without test images."""
        lists = self.about["data"].get("fingerprint")  # of streamed sets, whose test images may be absent
        return self.evaluation if isinstance(lists, dict) and "test" not in lists else "test"

    @property
    def segments(self) -> bool:
        """Whether the network labels pixels: accuracies are then shares of pixels."""
        return self.about.get("task") == "segmentation"

    @property
    def state(self) -> Literal["finished", "running", "diverged"]:
        """State of the run: "running" until its result is written, also if it was interrupted."""
        if self.result is None:
            return "running"
        return "diverged" if self.result.get("stopped") == "diverged" else "finished"

    @property
    def epoch_steps(self) -> NDArray[np.float64]:
        """Number of training steps at the end of each epoch."""
        done, step = self.steps["epoch"], self.steps["step"]
        if not len(step):
            return np.full(len(self.epochs["epoch"]), np.nan)
        last = np.searchsorted(done, self.epochs["epoch"] + 1e-6, side="right") - 1
        return np.where(last >= 0, step[np.maximum(last, 0)], np.nan)

    @property
    def epoch_ends(self) -> NDArray[np.float64]:
        """Number of epochs that are done at the end of each epoch: a fraction for one that was cut short."""
        step, done = self.steps["step"], self.steps["epoch"]
        if not len(step):
            return self.epochs["epoch"]
        return np.where(np.isnan(self.epoch_steps), np.nan, np.interp(self.epoch_steps, step, done))

    def __repr__(self) -> str:
        network = f"{self.about['arch']}, {self.about['norm']}, {self.data}"
        name, score = ("mean IoU ", "eval_mean_iou") if self.segments else ("", "eval_top1")
        values = self.epochs.get(score, self.epochs["eval_top1"])
        last = f", {name}{values[-1]:.2f} % ({self.evaluation}) after epoch {len(values)}" if len(values) else ""
        return f"Run: {self.name}: {network}, {len(self.steps['step']):,} steps{last}"


def run_folders(paths: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """Return the folders of training runs that paths name: folders of runs, and folders that hold such folders.

    Parameters
    ----------
    paths : sequence of str or path-like
        Folders of runs, folders of folders of runs, or glob patterns of such folders.

    Returns
    -------
    list of Path
        Folders of runs, each once: in the order of the paths, and those within a folder by name, in which numbers count
        by their value.

    Raises
    ------
    DataError
        If a path does not exist, a pattern matches nothing, or none of the paths holds a run.

    Warns
    -----
    SkippedRunWarning
        If a path is no folder, or holds no run, and another one does.
    """
    folders: dict[str, Path] = {}
    without: list[str] = []
    for path in (path for each in paths for path in _matches(each)):
        try:
            inner = _runs_in(path)
        except OSError as error:
            raise DataError(f"cannot read {printable(path)}: {reason(error)}") from None
        if not inner:
            why = "holds no run (no run.json, nor a folder with one)" if path.is_dir() else "is no folder"
            without.append(f"{printable(path)} {why}")
        for folder in inner:
            folders.setdefault(os.path.realpath(folder), folder)
    if not folders:
        raise DataError(f"{without[0] if without else 'no folder is named'}; {_REMEDY}")
    for line in without:
        warnings.warn(f"{line}, and is left out", SkippedRunWarning, stacklevel=2)
    return list(folders.values())


def inner_runs(path: Path) -> list[Path]:
    """Return the folders of training runs in a folder, by name, in which numbers count by their value."""
    try:
        return sorted(filter(_is_run, path.iterdir()), key=_natural)
    except OSError as error:
        raise DataError(f"cannot read {printable(path)}: {reason(error)}") from None


def _matches(path: str | os.PathLike[str]) -> list[Path]:
    """Return a path that exists, or the paths that match it as a pattern."""
    name = printable(path)
    if os.path.lexists(path):
        return [Path(path)]
    if not glob.has_magic(str(path)):
        raise DataError(f"no such folder: '{name}'; {_REMEDY}")
    found = sorted(map(Path, glob_matches(str(path))), key=lambda match: (match.parent, _natural(match)))
    if not found:
        raise DataError(f"no folder matches '{name}'; {_REMEDY}")
    return found


def _runs_in(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    return [path] if _is_run(path) else inner_runs(path)


def _is_run(path: Path) -> bool:
    return (path / "run.json").is_file()


def _natural(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path.name)]


def read_run(path: str | os.PathLike[str]) -> Run:
    """Read the folder of a training run. The run may be going on: a last line that is half written is left out.

    Parameters
    ----------
    path : str or path-like
        Path of the folder.

    Returns
    -------
    Run
        Content of the folder.

    Raises
    ------
    DataError
        If a file is absent, damaged, or of a newer format.
    """
    folder = Path(path)
    about = read_about(folder)
    # In the reverse order of writing: an epoch that is seen has all of its steps, and a result all of its epochs.
    result = _object(folder / "result.json") if os.path.lexists(folder / "result.json") else None
    epochs = _epochs(folder / "summary.csv")
    steps = _steps(folder / "steps.jsonl")
    return Run(path=printable(folder), about=about, steps=steps, epochs=epochs, result=result)


def read_about(folder: Path) -> dict[str, Any]:
    """Return the content of run.json, which describes a training run; DataError if it is absent or damaged."""
    about = _object(folder / "run.json")
    absent = [key for key in ("name", "arch", "norm", "config", "data") if key not in about]
    if absent or not isinstance(about["config"], dict) or not isinstance(about["data"], dict):
        what = f"it has no '{absent[0]}'" if absent else "its 'config' or 'data' is no object"
        raise DataError(f"{printable(folder / 'run.json')} does not describe a training run: {what}; {_REMEDY}")
    return about


def _object(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file of a format that is known."""
    name = printable(path)
    try:
        content = json.loads(read_file(path))
    except DataError as error:
        raise DataError(f"cannot read {name}: {error}; {_REMEDY}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{name} is not JSON, or is cut short: {reason(error)}; this run cannot be read: move its folder away"
        ) from None
    if not isinstance(content, dict):
        raise DataError(f"{name} holds no JSON object; {_REMEDY}")
    version = content.get("format")
    if not isinstance(version, int) or isinstance(version, bool) or not 1 <= version <= FORMAT:
        raise DataError(
            f"{name} has the format {version!r}, and this version of ndtools reads those up to {FORMAT}; update ndtools"
        )
    return content


def _lines(path: Path) -> list[str]:
    """Return the whole lines of a file that grows; none if it does not exist yet."""
    if not os.path.lexists(path):
        return []
    try:
        content = read_file(path)
    except DataError as error:
        raise DataError(f"cannot read {printable(path)}: {error}") from None
    whole, _, _ = content.rpartition(b"\n")
    return whole.decode("utf-8", "replace").split("\n") if whole else []


def _steps(path: Path) -> dict[str, NDArray[np.float64]]:
    rows = []
    for number, line in enumerate(_lines(path), 1):
        try:
            record = json.loads(line)
            rows.append([np.nan if record[name] is None else float(record[name]) for name in STEP_COLUMNS])
        except KeyError as error:
            _damaged(path, number, f"it has no {error}")
        except (ValueError, TypeError, RecursionError) as error:
            _damaged(path, number, reason(error))
    return _columns(rows, STEP_COLUMNS)


def _epochs(path: Path) -> dict[str, NDArray[np.float64]]:
    lines = _lines(path)
    columns = tuple(lines[0].strip().split(",")) if lines else COLUMNS
    if columns[: len(COLUMNS)] != COLUMNS or not {*columns[len(COLUMNS) :]} <= {*MORE_COLUMNS}:
        _damaged(path, 1, f"the columns must be {','.join(COLUMNS)}, and perhaps {','.join(MORE_COLUMNS)}")
    rows = []
    for number, cells in enumerate(csv.reader(lines[1:]), 2):
        try:
            rows.append([float(cell) if cell else np.nan for cell in cells])
        except ValueError as error:
            _damaged(path, number, reason(error))
        if len(cells) != len(columns):
            _damaged(path, number, f"it has {len(cells)} values, and there are {len(columns)} columns")
    return _columns(rows, columns)


def _columns(rows: list[list[float]], names: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    table = np.array(rows, dtype=np.float64).reshape(-1, len(names))
    return {name: table[:, i].copy() for i, name in enumerate(names)}


def _damaged(path: Path, number: int, why: str) -> NoReturn:
    raise DataError(f"{printable(path)} is damaged in line {number}: {why}")
