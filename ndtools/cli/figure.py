"""``ndtools figure``: draw the figures of a saved result again."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ndtools.console.options import ImageFormat, SharedOptions

__all__ = ["figure"]

MILLIMETRES = 25.4  # in an inch


class Width(StrEnum):
    """Widths of figures in print: one and two columns of many journals, and US letter paper within its margins."""

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
    image_format: Annotated[ImageFormat, typer.Option("--format", help="Format of the figure.")] = (
        SharedOptions.image_format
    ),
    dpi: Annotated[
        int, typer.Option("--dpi", min=10, max=2400, help="Resolution of the figure, pixels per inch.")
    ] = SharedOptions.dpi,
    width: Annotated[
        Width | None,
        typer.Option(help="Width of the figure in print; its height follows (default: as the command drew it)."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for the figure (default: that of the result).")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="File name of the figure, without extension (default: the result's).")
    ] = None,
) -> None:
    """Draw the figures of a saved result again, without computing anything.

    The result is the .json file, with its .npz file, of any experiment of
    ndtools. The figures are those that its command drew.

    Example: [bold]ndtools figure figures/kernels.json --format pdf[/bold]
    """
    import matplotlib

    from ndtools.console.output import check_stem
    from ndtools.experiments.saved import draw_result, load_result
    from ndtools.results.files import check_writable, figure_path, write_figures

    stem = result.stem if name is None else name
    check_stem(stem)
    restored = load_result(result)
    matplotlib.rcdefaults()  # figures look the same whatever the user's matplotlibrc says
    folder = result.parent if out is None else out
    figures = {
        figure_path(folder, stem, what, image_format.value): drawn for what, drawn in draw_result(restored).items()
    }
    check_writable(list(figures))
    if width is not None:
        for drawn in figures.values():
            wide, high = drawn.get_size_inches()
            drawn.set_size_inches(width.inches, width.inches * high / wide)
    existing = [path for path in figures if path.exists()]
    paths = write_figures(figures, image_format=image_format.value, dpi=dpi)
    typer.echo("  ".join(map(str, paths)) + ("   (replaced)" if existing else ""), err=True)
