"""Write the result files STEM.png, STEM.npz and STEM.json: first to temporary names, renamed when all are complete."""

import errno
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from ndtools.errors import OutputError
from ndtools.text import begins_as_result

__all__ = [
    "is_result",
    "check_writable",
    "figure_path",
    "result_paths",
    "strict_json",
    "write_figures",
    "write_results",
]


def strict_json(numbers: Mapping[str, Any]) -> str:
    """Return JSON text without NaN or Infinity; numbers that are not finite become null.

    Parameters
    ----------
    numbers : mapping
        Nested mappings, sequences, strings, numbers, booleans and None. Paths become strings.

    Returns
    -------
    str
        Indented JSON text that ends with a newline.
    """
    return json.dumps(_plain(numbers), indent=2, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.generic | np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int):
        return value
    # File names may hold bytes that are not UTF-8, which JSON does not allow.
    return str(value).encode("utf-8", "backslashreplace").decode()


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


def check_writable(
    paths: Sequence[Path], *, elsewhere: str = "another folder with --out", shorter: str = "a shorter --name"
) -> None:
    """Check that files can be written, and create their folder if it does not exist.

    Parameters
    ----------
    paths : sequence of Path
        Paths of the files, all in one folder.
    elsewhere : str
        Remedy if the folder cannot be written to, as the object of "choose". Default "another folder with --out".
    shorter : str
        Remedy if the name of a file is too long, as the object of "choose". Default "a shorter --name".

    Raises
    ------
    OutputError
        If a file cannot be written. The message gives the reason and the remedy.
    """
    folder = paths[0].parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise OutputError(f"cannot write to {folder}: it is a file, not a folder; choose {elsewhere}") from None
    except OSError as error:
        raise OutputError(f"cannot write to {folder}: {error.strerror}; choose {elsewhere}") from None
    for path in paths:
        if os.path.isdir(path):
            raise OutputError(f"cannot write to {folder}: {path.name} there is a folder; choose {elsewhere}")
        if os.path.exists(path) and not os.path.isfile(path):  # a device or pipe would be replaced by a file
            raise OutputError(f"cannot write to {folder}: {path.name} there is not a regular file; choose {elsewhere}")
        try:
            with _temporary(path).open("wb"):  # fails also for names that are too long
                pass
            _temporary(path).unlink()
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise OutputError(f"cannot write {path.name}: {error.strerror}; choose {shorter}") from None
            raise OutputError(f"cannot write to {folder}: {error.strerror}; choose {elsewhere}") from None


def is_result(path: Path) -> bool:
    """Return whether a .json file holds the numbers of a result of ndtools, by its beginning."""
    try:
        with path.open("rb") as file:
            return begins_as_result(file.read(1000))
    except OSError:
        return False


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


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
        Content of the .json file; see :func:`strict_json`.
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
    return _write_whole(writers)


def write_figures(figures: Mapping[Path, Figure], *, image_format: str = "png", dpi: int = 150) -> list[Path]:
    """Write figures: none before all are whole on disk, then each by renaming.

    Parameters
    ----------
    figures : mapping of Path to Figure
        Figures by the files that they are written to, in existing folders.
    image_format : {"png", "svg", "pdf"}
        Format of the files.
    dpi : int
        Resolution in pixels per inch.

    Returns
    -------
    list of Path
        The files, in the order of ``figures``.

    Raises
    ------
    OutputError
        If a file cannot be written. Older files are then as they were.
    """
    draw = partial(_write_figure, image_format=image_format, dpi=dpi)
    return _write_whole({path: partial(draw, figure) for path, figure in figures.items()})


def _write_whole(writers: Mapping[Path, Callable[[IO[bytes]], object]]) -> list[Path]:
    targets = {path: Path(os.path.realpath(path)) for path in writers}  # a link stays a link
    temporary = {path: _temporary(target) for path, target in targets.items()}
    try:
        for path, write in writers.items():
            with temporary[path].open("wb") as file:
                write(file)
        for path, complete in temporary.items():
            os.replace(complete, targets[path])
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"cannot write {path}: {reason}; choose another folder with --out") from error
    finally:
        for leftover in temporary.values():
            leftover.unlink(missing_ok=True)
    return list(writers)
