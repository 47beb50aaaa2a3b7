"""``ndtools figure``: draw the figures of a saved result again."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ndtools.console.options import Dpi, Format, SharedOptions
from ndtools.console.output import Output

__all__ = ["figure"]

MILLIMETRES = 25.4  # in an inch


class Width(StrEnum):
    """Widths of figures in print: one column and two columns of many journals, and US letter paper less its margins."""

    column = "89mm"
    page = "180mm"
    letter = "7in"

    @property
    def inches(self) -> float:
        """The width in inches."""
        return float(self[:-2]) / (MILLIMETRES if self.endswith("mm") else 1.0)


def figure(
    result: Annotated[
        Path, typer.Argument(help="The .json file of a result; its .npz file lies beside it.", show_default=False)
    ],
    *,
    image_format: Format = SharedOptions.image_format,
    dpi: Dpi = SharedOptions.dpi,
    width: Annotated[
        Width | None,
        typer.Option(
            help="Width of the figure in print. The height keeps the proportions (default: as the command drew it)."
        ),
    ] = None,
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
    ndtools. The figures are those that its command drew.

    Example: [bold]ndtools figure figures/kernels.json --format pdf[/bold]
    """
    import matplotlib

    from ndtools.console.results import ANOTHER_FOLDER, SHORTER_NAME, check_stem
    from ndtools.experiments.saved import draw_result, load_result
    from ndtools.results.files import figure_path, write_figures
    from ndtools.writing import check_writable

    output = Output()
    stem = result.stem if name is None else name
    check_stem(stem)
    restored = load_result(result)
    matplotlib.rcdefaults()  # figures look the same whatever the user's matplotlibrc says
    folder = result.parent if out is None else out
    figures = {
        figure_path(folder, stem, label, image_format.value): drawn for label, drawn in draw_result(restored).items()
    }
    check_writable(list(figures), elsewhere=ANOTHER_FOLDER, shorter=SHORTER_NAME)
    if width is not None:
        for drawn in figures.values():
            wide, high = drawn.get_size_inches()
            drawn.set_size_inches(width.inches, width.inches * high / wide)
    replaced = any(path.exists() for path in figures)
    paths = write_figures(figures, image_format=image_format.value, dpi=dpi)
    output.written(paths, replaced=replaced)
