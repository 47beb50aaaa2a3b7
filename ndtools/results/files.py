"""Write the result files STEM.png, STEM.npz and STEM.json, whole or not at all."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from ndtools.results.strict_json import strict_json
from ndtools.text import begins_as_result
from ndtools.writing import write_whole

__all__ = [
    "is_result",
    "figure_path",
    "result_paths",
    "write_figures",
    "write_results",
]


def result_paths(
    folder: Path, stem: str, image_format: str, images: Sequence[str] = (), figures: Sequence[str] = ()
) -> list[Path]:
    """Return the paths of the picture, arrays, numbers and further pictures of a result.

    Parameters
    ----------
    folder : Path
        Folder of the files.
    stem : str
        File name without extension.
    image_format : {"png", "svg", "pdf"}
        File extension of the picture.
    images : sequence of str
        Labels of further PNG files, which are named STEM_LABEL.png. Default: none.
    figures : sequence of str
        Labels of further pictures, which are named STEM_LABEL with the extension of the picture. Default: none.

    Returns
    -------
    list of Path
        Paths of the picture, the .npz file, the .json file, the images and the figures, in this order.
    """
    names = [f"{stem}.{extension}" for extension in (image_format, "npz", "json")]
    names += [f"{stem}_{label}.png" for label in images]
    return [folder / name for name in names] + [figure_path(folder, stem, what, image_format) for what in figures]


def figure_path(folder: Path, stem: str, what: str, image_format: str) -> Path:
    """Return the path of a figure: STEM in its format, or STEM_WHAT if it is not the main one ("")."""
    return folder / f"{stem}{what and '_'}{what}.{image_format}"


def is_result(path: Path) -> bool:
    """Return whether a .json file holds the numbers of a result of ndtools, by its beginning."""
    try:
        with path.open("rb") as file:
            return begins_as_result(file.read(1000))
    except OSError:
        return False


def _write_figure(figure: Figure, file: IO[bytes], *, image_format: str, dpi: int) -> None:
    figure.savefig(file, format=image_format, dpi=dpi)


def _write_npz(arrays: Mapping[str, Any], file: IO[bytes]) -> None:
    np.savez(file, **arrays)  # uncompressed: measured numbers hardly compress


def _write_png(pixels: NDArray[np.uint8], file: IO[bytes]) -> None:
    Image.fromarray(pixels).save(file, format="PNG")


def write_results(
    folder: Path,
    stem: str,
    *,
    arrays: Mapping[str, Any],
    numbers: Mapping[str, Any],
    figure: Figure,
    images: Mapping[str, NDArray[np.uint8]] | None = None,
    figures: Mapping[str, Figure] | None = None,
    further: Mapping[Path, Mapping[str, Any]] | None = None,
    image_format: str = "png",
    dpi: int = 150,
) -> list[Path]:
    """Write the picture, arrays and numbers of a result, and return their paths.

    All files are first written completely under temporary names. Only then is each one renamed.

    Parameters
    ----------
    folder : Path
        Folder of the files, which must exist.
    stem : str
        File name without extension.
    arrays : mapping
        Arrays of the .npz file by name.
    numbers : mapping
        Content of the .json file; see :func:`ndtools.results.strict_json.strict_json`.
    figure : Figure
        Figure that becomes the picture.
    images : mapping, optional
        Images of shape (H, W) or (H, W, 3) by label, written as PNG files without change; see `result_paths`.
    figures : mapping, optional
        Further figures by label, written as pictures; see `result_paths`.
    further : mapping, optional
        Arrays of further .npz files, by path.
    image_format : {"png", "svg", "pdf"}
        Format and extension of the pictures. Default "png".
    dpi : int
        Resolution of the pictures in pixels per inch. Default 150.

    Returns
    -------
    list of Path
        Paths of the picture, arrays, numbers, images, figures and further files, in this order.

    Raises
    ------
    OutputError
        If a file cannot be written. Existing files then remain unchanged.
    """
    images, figures = images or {}, figures or {}
    paths = iter(result_paths(folder, stem, image_format, list(images), list(figures)))
    draw = partial(_write_figure, image_format=image_format, dpi=dpi)
    writers: dict[Path, Callable[[IO[bytes]], object]] = {
        next(paths): partial(draw, figure),
        next(paths): partial(_write_npz, arrays),
        next(paths): lambda file: file.write(strict_json(numbers).encode()),
    }
    writers |= {next(paths): partial(_write_png, pixels) for pixels in images.values()}
    writers |= {next(paths): partial(draw, picture) for picture in figures.values()}
    writers |= {path: partial(_write_npz, content) for path, content in (further or {}).items()}
    return write_whole(writers)


def write_figures(figures: Mapping[Path, Figure], *, image_format: str = "png", dpi: int = 150) -> list[Path]:
    """Write figures, whole or not at all, and return their paths.

    Parameters
    ----------
    figures : mapping of Path to Figure
        Figures by the path of the file that each is written to. The folders exist.
    image_format : {"png", "svg", "pdf"}
        Format of the files. Default "png".
    dpi : int
        Resolution in pixels per inch. Default 150.

    Returns
    -------
    list of Path
        Paths of the files, in the order of ``figures``.

    Raises
    ------
    OutputError
        If a file cannot be written. Existing files then remain unchanged.
    """
    draw = partial(_write_figure, image_format=image_format, dpi=dpi)
    return write_whole({path: partial(draw, figure) for path, figure in figures.items()})
