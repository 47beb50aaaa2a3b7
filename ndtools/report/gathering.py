"""Find what folders hold for a report: reproductions, results of experiments, and training runs."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ndtools.errors import DataError
from ndtools.results.files import is_result
from ndtools.results.reproductions import STATE_FILE, SavedReproduction
from ndtools.text import printable, reason

__all__ = ["Material", "default_folder", "gather"]

DEFAULT_FOLDERS = ("reproduction", "figures")
DEEPEST = 5  # folders within folders
MOST = 200  # results, and runs: more make no page that can be read
_REMEDY = (
    "give a folder that ndtools reproduce wrote, one with the results of other commands, or one of training runs;"
    " ndtools kernels sample makes a first result in figures/"
)


@dataclass
class Material:
    """Files that a report is made of.

    Attributes
    ----------
    reproductions : list of SavedReproduction
        States of reproductions.
    results : list of Path
        The .json files of results that belong to no reproduction.
    runs : list of Path
        Folders of training runs that belong to no reproduction.
    remarks : list of str
        Sentences about what was left out.
    """

    reproductions: list[SavedReproduction] = field(default_factory=list)
    results: list[Path] = field(default_factory=list)
    runs: list[Path] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.reproductions) + len(self.results) + len(self.runs)


def default_folder() -> Path:
    """Return the folder that a report is made of if none is named; DataError if there is neither of the usual ones."""
    for name in DEFAULT_FOLDERS:
        if Path(name).is_dir():
            return Path(name)
    raise DataError(f"there is neither a folder {' nor '.join(f'{name}/' for name in DEFAULT_FOLDERS)} here; {_REMEDY}")


def gather(paths: Sequence[str | os.PathLike[str]]) -> Material:
    """Find what folders hold.

    Parameters
    ----------
    paths : sequence of str or path-like
        Folders of reproductions, results and runs, or .json files of results.

    Returns
    -------
    Material
        Everything that was found, each file once, in the order of the paths and by name within each.

    Raises
    ------
    DataError
        If a path does not exist or cannot be read, or nothing is found in any of them.
    """
    material = Material()
    seen: set[str] = set()
    for path in map(Path, paths):
        before, remarks = len(material), len(material.remarks)
        if not path.exists():
            raise DataError(f"no such folder: '{printable(path)}'; {_REMEDY}")
        if path.is_file():
            if path.suffix != ".json":
                raise DataError(f"{printable(path)} is no result of ndtools; {_REMEDY}")
            _add(material.results, path, seen)
        else:
            _search(path, material, seen, depth=0)
        if len(material) == before and len(material.remarks) == remarks:
            material.remarks.append(f"{printable(path)} holds nothing that ndtools wrote, or nothing new.")
    for noun, found in (("results", material.results), ("training runs", material.runs)):
        if len(found) > MOST:
            material.remarks.append(f"The first {MOST} of {len(found)} {noun} are shown; name fewer folders.")
            del found[MOST:]
    if not len(material):
        raise DataError(f"{material.remarks[0] if material.remarks else 'no folder is named.'} {_REMEDY.capitalize()}")
    return material


def _search(folder: Path, material: Material, seen: set[str], depth: int) -> None:
    if (folder / STATE_FILE).is_file():
        if _new(folder, seen):
            try:
                material.reproductions.append(SavedReproduction.read(folder))
            except DataError as error:
                material.remarks.append(f"{error}. It is left out, and the results beside it are shown alone.")
                _search_inside(folder, material, seen, depth)
    elif (folder / "run.json").is_file():
        _add(material.runs, folder, seen)
    else:
        _search_inside(folder, material, seen, depth)


def _search_inside(folder: Path, material: Material, seen: set[str], depth: int) -> None:
    try:
        inside = sorted(folder.iterdir())
    except OSError as error:
        material.remarks.append(f"{printable(folder)} cannot be read: {reason(error)}.")
        return
    for path in _results(inside):
        _add(material.results, path, seen)
    for path in inside:
        if path.is_dir() and not path.is_symlink() and not path.name.startswith(".") and depth < DEEPEST:
            _search(path, material, seen, depth + 1)


def _results(inside: Sequence[Path]) -> Iterator[Path]:
    """Yield the .json files that begin as results do, and those beside which arrays of that name lie."""
    names = {path.name for path in inside}
    for path in inside:
        named = path.suffix == ".json" and path.name != STATE_FILE and not path.name.startswith(".")
        if named and (is_result(path) or f"{path.stem}.npz" in names):
            yield path


def _add(paths: list[Path], path: Path, seen: set[str]) -> None:
    if _new(path, seen):
        paths.append(path)


def _new(path: Path, seen: set[str]) -> bool:
    real = os.path.realpath(path)
    if real in seen:
        return False
    seen.add(real)
    return True
