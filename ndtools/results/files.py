"""Write the result files STEM.png, STEM.npz, STEM.json and STEM.txt, whole or not at all."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from ndtools import __version__
from ndtools.results.strict_json import strict_json
from ndtools.text import begins_as_result
from ndtools.writing import write_whole

__all__ = [
    "captions_text",
    "figure_paths",
    "is_result",
    "result_paths",
    "write_drawings",
    "write_figures",
    "write_results",
]


def result_paths(
    folder: Path, stem: str, formats: Sequence[str], images: Sequence[str] = (), figures: Sequence[str] = ()
) -> list[Path]:
    """Return the paths of the files of a result.

    Parameters
    ----------
    folder : Path
        Folder of the files.
    stem : str
        File name without extension.
    formats : sequence of {"png", "svg", "pdf"}
        Formats of the figures, which are their file extensions.
    images : sequence of str
        Labels of further PNG files, which are named STEM_LABEL.png. Default: none.
    figures : sequence of str
        Labels of further figures, which are named STEM_LABEL with the extension of their format. Default: none.

    Returns
    -------
    list of Path
        Paths of the main figure in each format, the .npz file, the .json file, the .txt file of the captions, the
        images, and the further figures in each format.
    """
    names = [f"{stem}.{extension}" for extension in (*formats, "npz", "json", "txt")]
    names += [f"{stem}_{label}.png" for label in images]
    further = (path for label in figures for path in figure_paths(folder, stem, label, formats))
    return [*(folder / name for name in names), *further]


def figure_paths(folder: Path, stem: str, label: str, formats: Sequence[str]) -> list[Path]:
    """Return the paths of a figure in each format: STEM.png, or STEM_LABEL.png if it is not the main one ("")."""
    return [folder / f"{stem}{label and '_'}{label}.{image_format}" for image_format in formats]


def captions_text(captions: Mapping[str, str], command: str) -> str:
    """Return the content of the .txt file: the caption of each figure, and the command that made them.

    Parameters
    ----------
    captions : mapping of str to str
        Captions by the file names of the figures, without extension.
    command : str
        Command line of the run.

    Returns
    -------
    str
        One paragraph for each figure, and one for the command.
    """
    named = [f"{name}: {caption}" for name, caption in captions.items()]
    return "\n\n".join([*named, f"Made with ndtools {__version__}: {command}"]) + "\n"


def is_result(path: Path) -> bool:
    """Return whether a .json file holds the numbers of a result of ndtools, by its beginning."""
    try:
        with path.open("rb") as file:
            return begins_as_result(file.read(1000))
    except OSError:
        return False


def _figure_writers(
    paths: Sequence[Path], figure: Figure, *, dpi: int, about: str | None
) -> dict[Path, Callable[[IO[bytes]], object]]:
    """Return functions that write a figure to each path, in the format of its extension."""

    def write(file: IO[bytes], image_format: str) -> None:
        figure.savefig(file, format=image_format, dpi=dpi, metadata=about and {"Title": about})

    return {path: partial(write, image_format=path.suffix[1:]) for path in paths}


def _write_npz(arrays: Mapping[str, Any], file: IO[bytes]) -> None:
    np.savez(file, **arrays)  # uncompressed: measured numbers hardly compress


def _write_captions(captions: Mapping[str, str], command: str, file: IO[bytes]) -> None:
    # Commands may hold names of files that are not UTF-8.
    file.write(captions_text(captions, command).encode("utf-8", "backslashreplace"))


def _write_png(pixels: NDArray[np.uint8], file: IO[bytes]) -> None:
    Image.fromarray(pixels).save(file, format="PNG")


def write_results(
    folder: Path,
    stem: str,
    *,
    arrays: Mapping[str, Any],
    numbers: Mapping[str, Any],
    figures: Mapping[str, Figure],
    captions: Mapping[str, str],
    images: Mapping[str, NDArray[np.uint8]] | None = None,
    further: Mapping[Path, Mapping[str, Any]] | None = None,
    formats: Sequence[str] = ("png",),
    dpi: int = 300,
) -> list[Path]:
    """Write the figures, arrays, numbers and captions of a result, and return their paths.

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
    figures : mapping of str to Figure
        Figures by label: "" for the main one.
    captions : mapping of str to str
        Captions of the figures by label, for the .txt file.
    images : mapping, optional
        Images of shape (H, W) or (H, W, 3) by label, written as PNG files without change; see `result_paths`.
    further : mapping, optional
        Arrays of further .npz files, by path.
    formats : sequence of {"png", "svg", "pdf"}
        Formats of the figures. Default: PNG alone.
    dpi : int
        Resolution of the figures in pixels per inch. Default 300.

    Returns
    -------
    list of Path
        Paths of the files, in the order of `result_paths`, and then of ``further``.

    Raises
    ------
    OutputError
        If a file cannot be written. Existing files then remain unchanged.
    """
    command = str(numbers.get("command", ""))
    about = f"ndtools {numbers['experiment']}" if "experiment" in numbers else None
    writers = _figure_writers(figure_paths(folder, stem, "", formats), figures[""], dpi=dpi, about=about)
    writers[folder / f"{stem}.npz"] = partial(_write_npz, arrays)
    writers[folder / f"{stem}.json"] = lambda file: file.write(strict_json(numbers).encode())
    named = {f"{stem}{label and '_'}{label}": caption for label, caption in captions.items()}
    writers[folder / f"{stem}.txt"] = partial(_write_captions, named, command)
    for label, pixels in (images or {}).items():
        writers[folder / f"{stem}_{label}.png"] = partial(_write_png, pixels)
    for label in filter(None, figures):
        writers |= _figure_writers(figure_paths(folder, stem, label, formats), figures[label], dpi=dpi, about=about)
    writers |= {path: partial(_write_npz, content) for path, content in (further or {}).items()}
    return write_whole(writers)


def write_figures(
    folder: Path,
    stem: str,
    figures: Mapping[str, Figure],
    captions: Mapping[str, str],
    *,
    command: str,
    formats: Sequence[str] = ("png",),
    dpi: int = 300,
    about: str | None = None,
) -> list[Path]:
    """Write figures and their captions, whole or not at all, and return their paths.

    Parameters
    ----------
    folder : Path
        Folder of the files, which must exist.
    stem : str
        File name without extension.
    figures : mapping of str to Figure
        Figures by label: "" for the main one.
    captions : mapping of str to str
        Captions of the figures by label, for the .txt file.
    command : str
        Command line for the .txt file.
    formats : sequence of {"png", "svg", "pdf"}
        Formats of the figures. Default: PNG alone.
    dpi : int
        Resolution in pixels per inch. Default 300.
    about : str, optional
        Title that the files of the figures hold. By default they have none.

    Returns
    -------
    list of Path
        Paths of the files, of each figure in each format, and of the captions.

    Raises
    ------
    OutputError
        If a file cannot be written. Existing files then remain unchanged.
    """
    names = {label: f"{stem}{label and '_'}{label}" for label in {**figures, **captions}}
    return write_drawings(
        folder,
        {names[label]: figure for label, figure in figures.items()},
        {names[label]: caption for label, caption in captions.items()},
        folder / f"{stem}.txt",
        command=command,
        formats=formats,
        dpi=dpi,
        about=about,
    )


def write_drawings(
    folder: Path,
    figures: Mapping[str, Figure],
    captions: Mapping[str, str],
    text: Path | None,
    *,
    command: str,
    formats: Sequence[str] = ("png",),
    dpi: int = 300,
    about: str | None = None,
) -> list[Path]:
    """Write figures under any names, and their captions, whole or not at all, and return their paths.

    Parameters
    ----------
    folder : Path
        Folder of the figures, which must exist.
    figures, captions : mapping
        Figures, and captions, by the file names of the figures, without extension.
    text : Path or None
        Path of the file of captions; None to write none.
    command : str
        Command line for the file of captions.
    formats : sequence of {"png", "svg", "pdf"}
        Formats of the figures. Default: PNG alone.
    dpi : int
        Resolution in pixels per inch. Default 300.
    about : str, optional
        Title that the files of the figures hold. By default they have none.

    Returns
    -------
    list of Path
        Paths of the files, of each figure in each format, and of the captions.

    Raises
    ------
    OutputError
        If a file cannot be written. Existing files then remain unchanged.
    """
    writers: dict[Path, Callable[[IO[bytes]], object]] = {}
    for name, figure in figures.items():
        writers |= _figure_writers(figure_paths(folder, name, "", formats), figure, dpi=dpi, about=about)
    if text is not None:
        writers[text] = partial(_write_captions, captions, command)
    return write_whole(writers)
