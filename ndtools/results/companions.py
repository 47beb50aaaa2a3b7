"""The files that belong to one result: those of a replaced result are removed when they no longer show its numbers."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ndtools.data.files import read_file
from ndtools.errors import DataError

__all__ = ["other_files", "remove_files"]

_WITHOUT_EFFECT = ("jobs",)  # fields of a configuration that change no number


def other_files(folder: Path, stem: str, written: Sequence[Path], config: Mapping[str, Any]) -> tuple[list[Path], bool]:
    """Find the files of an older result that a new result of the same name does not replace.

    Parameters
    ----------
    folder : Path
        Folder of both results.
    stem : str
        File name of both results, without extension.
    written : sequence of Path
        Files that the new result writes.
    config : mapping
        Configuration of the new result, as its .json file holds it.

    Returns
    -------
    files : list of Path
        Further files that the older STEM.json lists and that exist: STEM_fit.png, or STEM.svg beside a new STEM.png.
    current : bool
        Whether both results have the same configuration, so that these files show the new numbers too.
    """
    try:
        older = json.loads(read_file(folder / f"{stem}.json"))
        names, before = older["files"], older["config"]
    except (DataError, ValueError, LookupError, TypeError, RecursionError):  # absent, or written by an older version
        return [], False
    if not isinstance(names, list) or not isinstance(before, dict):
        return [], False
    ours = {path.name for path in written}
    files = [
        folder / name
        for name in names
        # The list is a text that anyone may have edited: it must not lead out of the folder, or to other results.
        if isinstance(name, str)
        and name not in ours
        and Path(name).name == name
        and name.startswith((f"{stem}.", f"{stem}_"))
    ]
    return [path for path in files if path.is_file()], _plain(before) == _plain(config)


def _plain(config: Mapping[str, Any]) -> Any:  # noqa: ANN401
    # A series has the configurations of its members.
    whole = {**config, "members": [_plain(member) for member in config.get("members", ())]}
    return json.loads(json.dumps({key: value for key, value in whole.items() if key not in _WITHOUT_EFFECT}))


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
