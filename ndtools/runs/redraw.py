"""Figures of a training run, drawn again from the files in its folder."""

import os
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ndtools.data.files import open_regular
from ndtools.drawing.style import PAGE
from ndtools.errors import DataError
from ndtools.results.run_folder import RunFolder
from ndtools.results.runs import inner_runs
from ndtools.runs.examples import Examples, Scene, caption_examples, examples_from, plot_examples
from ndtools.runs.figure import caption_train, plot_train
from ndtools.text import printable, reason

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ndtools.results.runs import Run

__all__ = ["arrays_of", "draw_run", "kept_examples", "opened"]

_PARTS = ("image", "predicted", "truth")


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
    try:
        with open_regular(path) as file, np.load(file, allow_pickle=False) as arrays:
            scenes = [
                Scene(*(arrays[f"{part}{number}"] for part in _PARTS))
                for number in range(len(arrays.files) // len(_PARTS))
            ]
    except (DataError, OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"cannot read {printable(path)}, which holds scenes of the run: {reason(error)}") from None
    if not scenes or not all(map(_is_whole, scenes)):
        raise DataError(f"{printable(path)} does not hold scenes of a run: images with two label maps of one size")
    labelled = [Scene(each.image, each.predicted.astype(np.int64), each.truth.astype(np.int64)) for each in scenes]
    return examples_from(run, labelled, run.about["data"]["class_names"])


def _is_whole(scene: Scene) -> bool:
    shape = scene.image.shape
    return len(shape) == 3 and shape[2] == 3 and scene.truth.ndim == 2 and scene.predicted.shape == scene.truth.shape
