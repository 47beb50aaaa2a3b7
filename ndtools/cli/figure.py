"""``ndtools figure``: draw the figures of a saved result again."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ndtools.console.option_values import formats_from, width_from
from ndtools.console.options import (
    Dpi,
    Formats,
    Quiet,
    SharedOptions,
    Title,
    Width,
)
from ndtools.console.output import Output
from ndtools.errors import DataError
from ndtools.text import printable

__all__ = ["figure"]

_OF_RUNS = ("run.json", "result.json", "steps.jsonl", "summary.csv", "figure.png", "examples.png", "examples.npz")


def figure(
    result: Annotated[
        Path,
        typer.Argument(
            help="The .json or .npz file of a result, which lie side by side, or the folder of a training run.",
            show_default=False,
        ),
    ],
    *,
    formats: Formats = SharedOptions.formats,
    width: Width = SharedOptions.width,
    title: Title = SharedOptions.title,
    dpi: Dpi = SharedOptions.dpi,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for the figure (default: that of the result).")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", help="File name of the figure, without extension (default: that of the result)."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Draw the figures of a saved result again, without computing anything.

    The result is the .json file, with its .npz file, of any experiment of
    ndtools. The figures and captions are those that its command wrote. In the
    folder of a run of ndtools train or ndtools segment, which may be going
    on, they are its learning curves and scenes.

    Example: [bold]ndtools figure figures/kernels.json --format pdf --width 85[/bold]
    """
    from ndtools.console.results import ANOTHER_FOLDER, SHORTER_NAME, check_stem
    from ndtools.drawing.pictures import captions, draw
    from ndtools.experiments.saved import restore
    from ndtools.results.files import figure_paths, write_figures
    from ndtools.results.read import load
    from ndtools.writing import check_writable

    output = Output(quiet=quiet)
    drawn_in, wide = formats_from(formats), width_from(width)
    if (run := _run_of(result)) is not None:
        _of_run(output, run, out, name, drawn_in, wide, title=title, dpi=dpi)
        return
    _check_there(result)
    stem = result.stem if name is None else name
    check_stem(stem)
    saved = load(result)
    restored = restore(saved)
    folder = result.parent if out is None else out
    pictures = restored.pictures()
    figures = draw(pictures, restored, width=wide, title=title)
    paths = [path for label in figures for path in figure_paths(folder, stem, label, drawn_in)]
    paths.append(folder / f"{stem}.txt")
    check_writable(paths, elsewhere=ANOTHER_FOLDER, shorter=SHORTER_NAME)
    replaced = any(path.exists() for path in paths)
    written = write_figures(
        folder,
        stem,
        figures,
        captions(pictures, restored),
        command=saved.command,
        formats=drawn_in,
        dpi=dpi,
        about=f"ndtools {saved.experiment}",
    )
    output.written(written, replaced=replaced)


def _check_there(path: Path) -> None:
    """Check that a path which may have been meant as a folder exists; a result checks its own two files."""
    from ndtools.results.read import REMEDY

    if not os.path.lexists(path) and path.suffix.lower() not in (".json", ".npz"):
        raise DataError(f"no such file or folder: '{printable(path)}'; {REMEDY}, or the folder of a run")


def _run_of(path: Path) -> Path | None:
    """Return the folder whose run is to be drawn: a folder itself, or that of the file of a run; else None."""
    if path.is_dir():
        return path
    return path.parent if path.name in _OF_RUNS and (path.parent / "run.json").exists() else None


def _of_run(
    output: Output,
    path: Path,
    out: Path | None,
    name: str | None,
    formats: Sequence[str],
    width: float,
    *,
    title: bool,
    dpi: int,
) -> None:
    """Draw the figures of a run, under the names that they have in its folder, or NAME and NAME_examples."""
    from ndtools.console.results import ANOTHER_FOLDER, SHORTER_NAME, check_stem
    from ndtools.errors import OptionError
    from ndtools.results.files import figure_paths, write_drawings
    from ndtools.runs.redraw import draw_run, opened
    from ndtools.writing import check_writable

    run = opened(path)
    stem = run.figure.stem if name is None else name
    check_stem(stem)
    folder = path if out is None else out
    inside = folder.resolve() == path.resolve()
    if inside and stem == run.examples.stem:
        raise OptionError("name", f"would replace {run.examples}, which shows the scenes of the run; choose another")
    figures, captions = draw_run(run, width=width, title=title)
    names = {label: label if stem == run.figure.stem else f"{stem}_{label}" for label in figures}
    names[run.figure.stem] = stem
    text: Path | None = folder / f"{stem}.txt"
    if run.examples.exists() and run.examples.stem not in figures:
        output.note(f"{run.examples} is not drawn again: the version that wrote it kept no labels of its scenes")
        if inside and stem == run.captions.stem:
            text = None  # whose caption of the scenes is kept
    paths = [each for label in names.values() for each in figure_paths(folder, label, "", formats)]
    paths += [text] if text is not None else []
    check_writable(paths, elsewhere=ANOTHER_FOLDER, shorter=SHORTER_NAME)
    replaced = any(each.exists() for each in paths)
    about = run.about
    written = write_drawings(
        folder,
        {names[label]: figure for label, figure in figures.items()},
        {names[label]: caption for label, caption in captions.items()},
        text,
        command=about.get("command", "no command recorded"),
        formats=formats,
        dpi=dpi,
        about=f"ndtools {about.get('experiment', 'train')}",
    )
    output.written(written, replaced=replaced)
