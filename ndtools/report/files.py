"""Result files STEM.png, STEM.npz and STEM.json: written to temporary names and renamed when all are whole."""

import json
import math
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from matplotlib.figure import Figure

from ndtools.errors import OutputError

__all__ = ["check_writable", "strict_json", "write_results"]


def strict_json(numbers: Mapping[str, Any]) -> str:
    """Serialise to JSON without NaN or Infinity: what is not finite becomes null.

    Parameters
    ----------
    numbers : mapping
        Nested mappings, sequences, strings, numbers, booleans and None; paths become strings.

    Returns
    -------
    str
        Indented text that ends with a newline.
    """
    return json.dumps(_plain(numbers), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


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
    # Names of files may hold bytes that are not UTF-8; JSON cannot.
    return str(value).encode("utf-8", "backslashreplace").decode()


def check_writable(folder: Path) -> None:
    """Create a folder for results if need be and make sure that files can be written there.

    Parameters
    ----------
    folder : Path
        The folder.

    Raises
    ------
    OutputError
        If that fails, with the reason.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(f"cannot write to {folder}: {error.strerror}; choose another folder with --out") from error


def write_results(
    folder: Path,
    stem: str,
    *,
    arrays: Mapping[str, np.ndarray[Any, Any]],
    numbers: Mapping[str, Any],
    figure: Figure,
    image_format: str = "png",
    dpi: int = 150,
) -> list[Path]:
    """Write a figure, its arrays and its numbers; all of them or none.

    Parameters
    ----------
    folder : Path
        An existing folder.
    stem : str
        File name without extension.
    arrays : mapping
        Arrays of the .npz file.
    numbers : mapping
        Content of the .json file, see :func:`strict_json`.
    figure : Figure
        The picture.
    image_format : {"png", "svg", "pdf"}
        Its format and extension.
    dpi : int
        Its resolution, pixels per inch.

    Returns
    -------
    list of Path
        Picture, arrays, numbers.

    Raises
    ------
    OutputError
        If a file cannot be written. Older files are as they were, unless renaming itself fails.
    """
    writers: dict[Path, Callable[[IO[bytes]], object]] = {
        folder / f"{stem}.{image_format}": lambda file: figure.savefig(file, format=image_format, dpi=dpi),
        folder / f"{stem}.npz": lambda file: np.savez_compressed(file, allow_pickle=False, **arrays),
        folder / f"{stem}.json": lambda file: file.write(strict_json(numbers).encode()),
    }
    temporary: dict[Path, Path] = {}
    try:
        for path, write in writers.items():
            with tempfile.NamedTemporaryFile(dir=folder, prefix=f".{stem}.", delete=False) as file:
                temporary[path] = Path(file.name)
                write(file)
            temporary[path].chmod(0o666 & ~_umask())
        for path, whole in temporary.items():
            os.replace(whole, path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"cannot write {path}: {reason}; choose another folder with --out") from error
    finally:
        for leftover in temporary.values():
            leftover.unlink(missing_ok=True)
    return list(writers)


def _umask() -> int:
    mask = os.umask(0)  # reading it means setting it
    os.umask(mask)
    return mask
