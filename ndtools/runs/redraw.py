"""Figures of a training run, drawn again from the files in its folder."""

import os
import zipfile
import zlib
from pathlib import Path
from string import ascii_lowercase
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ndtools.data.files import open_regular
from ndtools.drawing.style import PAGE
from ndtools.errors import DataError
from ndtools.results.run_folder import RunFolder
from ndtools.results.runs import inner_runs
from ndtools.runs.examples import IGNORED, MOST_SCENES, Examples, Scene, caption_examples, examples_from, plot_examples
from ndtools.runs.figure import caption_train, plot_train
from ndtools.text import printable, reason

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ndtools.results.runs import Run

__all__ = ["arrays_of", "draw_run", "kept_examples", "opened"]

_PARTS = ("image", "predicted", "truth")
_REMEDY = "restore the file from a copy, or move it elsewhere to have the learning curves alone drawn"
# Beside what damage raises, TypeError is for a file of one array, which is no archive.
_DAMAGED = (
    DataError, OSError, ValueError, TypeError, EOFError, KeyError, OverflowError, SyntaxError, RuntimeError,
    MemoryError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def opened(path: Path) -> RunFolder:
    """Open the folder of a run whose figures are to be drawn.

    Parameters
    ----------
    path : Path
        Path of a folder.

    Returns
    -------
    RunFolder
        The folder of the run.

    Raises
    ------
    DataError
        If it is not that of a run. Of a folder of runs, the message says what draws them.
    """
    name = printable(path)
    if not os.path.lexists(path / "run.json"):
        if inner_runs(path):
            raise DataError(
                f"{name} is a folder of runs; give one of them, or draw them beside one another with ndtools compare"
                f" {name}"
            )
        raise DataError(
            f"{name} is not the folder of a run of ndtools train or ndtools segment; give one, or the .json or .npz"
            " file of a result"
        )
    return RunFolder.open(path)


def draw_run(
    folder: RunFolder, *, width: float = PAGE, title: bool = True
) -> tuple[dict[str, "Figure"], dict[str, str]]:
    """Draw the figures of a run, which may be going on.

    Parameters
    ----------
    folder : RunFolder
        Folder of the run.
    width : float
        Width of the figures in print, millimetres. Default 180.
    title : bool
        Whether the figures have titles. Default True.

    Returns
    -------
    figures : dict of str to Figure
        The learning curves as "figure" and, if the run has kept scenes, these as "examples".
    captions : dict of str to str
        Captions of these figures, by the same names.

    Raises
    ------
    DataError
        If a file of the run is damaged.
    """
    run = folder.read()
    figures = {folder.figure.stem: plot_train(run, width=width, title=title)}
    captions = {folder.figure.stem: caption_train(run)}
    examples = kept_examples(run, folder.scenes)
    if examples is not None:
        figures[folder.examples.stem] = plot_examples(examples, width=width, title=title)
        captions[folder.examples.stem] = caption_examples(examples)
    return figures, captions


def arrays_of(examples: Examples) -> dict[str, NDArray[np.uint8]]:
    """Return the pixels and labels of scenes by name, of which `kept_examples` makes scenes again."""
    return {
        f"{part}{number}": np.asarray(getattr(scene, part), np.uint8)
        for number, scene in enumerate(examples.scenes)
        for part in _PARTS
    }


def kept_examples(run: "Run", path: Path) -> Examples | None:
    """Read the scenes that a run has kept.

    Parameters
    ----------
    run : Run
        Records and result of the run.
    path : Path
        File of the arrays of `arrays_of`.

    Returns
    -------
    Examples or None
        The scenes. None if there is no such file, as in runs of earlier versions, or the run has not ended.

    Raises
    ------
    DataError
        If the file is damaged.
    """
    if not os.path.lexists(path) or "test_iou" not in ((run.result or {}).get("last") or {}):
        return None
    name = printable(path)
    classes = run.about["data"].get("class_names")
    measures = (run.result or {})["last"]["test_iou"]
    if not isinstance(classes, list) or not isinstance(measures, list) or len(classes) != len(measures):
        raise DataError(
            f"{run.path} is damaged: the classes in its run.json and their measures in its result.json differ in number"
        )
    try:
        with open_regular(path) as file, np.load(file, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except _DAMAGED as error:
        raise DataError(f"cannot read {name}, which holds scenes of the run: {reason(error)}; {_REMEDY}") from None
    if problem := _problem(arrays, len(classes)):
        raise DataError(f"{name} does not hold scenes of the run: {problem}; {_REMEDY}")
    numbered = range(len(arrays) // len(_PARTS))
    scenes = [
        Scene(arrays[f"image{i}"], *(arrays[f"{part}{i}"].astype(np.int64) for part in ("predicted", "truth")))
        for i in numbered
    ]
    return examples_from(run, scenes, classes)


def _problem(arrays: dict[str, NDArray[np.generic]], classes: int) -> str | None:
    """Say in what arrays by name are not those of `arrays_of`; None if they are."""
    count = len({key.lstrip(ascii_lowercase) for key in arrays})
    wanted = [f"{part}{number}" for number in range(max(count, 1)) for part in _PARTS]
    if absent := [key for key in wanted if key not in arrays]:
        return f"there is no array {absent[0]}"
    if count > MOST_SCENES:
        return f"it has {count} scenes, where a run keeps {MOST_SCENES}"
    for number in range(count):
        image, predicted, truth = (arrays[f"{part}{number}"] for part in _PARTS)
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
            return f"image{number} must have 8-bit pixels of three colours, got {image.dtype} of shape {image.shape}"
        for key, labels in (("predicted", predicted), ("truth", truth)):
            if labels.dtype.kind not in "ui" or labels.ndim != 2 or labels.size == 0:
                return f"{key}{number} must be a label map, got {labels.dtype} of shape {labels.shape}"
            known = labels[labels != IGNORED] if key == "truth" else labels
            if known.size and (known.min() < 0 or known.max() >= classes):
                wrong = int(known.max() if known.max() >= classes else known.min())
                return f"{key}{number} has the label {wrong}, and the run {classes} classes, from 0 to {classes - 1}"
        if predicted.shape != truth.shape:
            return f"predicted{number} and truth{number} differ in size: {predicted.shape} and {truth.shape}"
    return None
