"""``ndtools figure``: draw the figures of a saved result again."""

from pathlib import Path
from typing import Annotated

import typer

from ndtools.console.option_values import formats_from, width_from
from ndtools.console.options import (
    Dpi,
    Formats,
    SharedOptions,
    Title,
    Width,
)
from ndtools.console.output import Output

__all__ = ["figure"]


def figure(
    result: Annotated[
        Path, typer.Argument(help="The .json or .npz file of a result, which lie side by side.", show_default=False)
    ],
    *,
    formats: Formats = SharedOptions.formats,
    width: Width = SharedOptions.width,
    title: Title = SharedOptions.title,
    dpi: Dpi = SharedOptions.dpi,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for the figure (default: the folder of the result).")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", help="File name of the figure, without extension (default: that of the result)."),
    ] = None,
) -> None:
    """Draw the figures of a saved result again, without computing anything.

    The result is the .json file, with its .npz file, of any experiment of
    ndtools. The figures and captions are those that its command wrote.

    Example: [bold]ndtools figure figures/kernels.json --format pdf --width 85[/bold]
    """
    from ndtools.console.results import ANOTHER_FOLDER, SHORTER_NAME, check_stem
    from ndtools.drawing.pictures import captions, draw
    from ndtools.experiments.saved import restore
    from ndtools.results.files import figure_paths, write_figures
    from ndtools.results.read import load
    from ndtools.writing import check_writable

    output = Output()
    stem = result.stem if name is None else name
    check_stem(stem)
    drawn_in, wide = formats_from(formats), width_from(width)
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
