"""The files that belong to one result: a new result of the same name replaces those of the older one, and no others."""

import json
from collections.abc import Sequence
from pathlib import Path

from ndtools.data.files import read_file
from ndtools.errors import DataError
from ndtools.results.files import is_result

__all__ = ["files_of_result", "remove_files"]

_EXTENSIONS = ("png", "svg", "pdf", "npz", "json")  # of the files of versions that did not list them


def files_of_result(folder: Path, stem: str) -> set[str]:
    """Return the names of the files that belong to the result of a name, whether they exist or not.

    Parameters
    ----------
    folder : Path
        Folder of the result.
    stem : str
        File name of the result, without extension.

    Returns
    -------
    set of str
        Names of files in the folder: those that STEM.json lists or, if a version wrote it that listed none, STEM with
        the extensions of its files. STEM_LABEL.png is not among them where STEM_LABEL.json is a result of its own.
        Empty if STEM.json is no result of ndtools.
    """
    path = folder / f"{stem}.json"
    if not is_result(path):
        return set()
    try:
        names = json.loads(read_file(path))["files"]
    except (DataError, ValueError, LookupError, TypeError, RecursionError):  # written by an older version
        names = [f"{stem}.{extension}" for extension in _EXTENSIONS]
    if not isinstance(names, list):
        return set()
    # The list is a text that anyone may have edited: it must not lead out of the folder, or to other results.
    return {
        name
        for name in names
        if isinstance(name, str)
        and Path(name).name == name
        and (name.startswith(f"{stem}.") or (name.startswith(f"{stem}_") and not _has_own_result(folder / name)))
    }


def _has_own_result(path: Path) -> bool:
    return is_result(path.with_suffix(".json"))


def remove_files(paths: Sequence[Path]) -> list[Path]:
    """Remove files as far as the system allows, and return those that were removed."""
    removed = []
    for path in paths:
        try:
            path.unlink()
        except OSError:
            continue
        removed.append(path)
    return removed
