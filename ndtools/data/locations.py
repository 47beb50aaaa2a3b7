"""Find the files of data sets: in a folder that was named, in ``$NDTOOLS_DATA``, in the user's cache."""

import os
from dataclasses import dataclass
from pathlib import Path

from ndtools.data.catalogue import BUILT_IN, KNOWN, KnownSet
from ndtools.data.folders import printable
from ndtools.data.layouts import LAYOUTS, Layout, spellings
from ndtools.errors import DataError

__all__ = ["VARIABLE", "Found", "find", "find_in", "home", "locate", "search"]

VARIABLE = "NDTOOLS_DATA"
"""Environment variable that names a folder with data sets."""


@dataclass(frozen=True)
class Found:
    """The files of one layout in one folder.

    Parameters
    ----------
    folder : Path
        Where they are.
    layout : Layout
        Which files they are.
    files : dict of str to Path
        Those that are there, by the name in the layout.
    """

    folder: Path
    layout: Layout
    files: dict[str, Path]

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of files that are needed and not there."""
        return tuple(name for name in (*self.layout.train, *self.layout.test) if name not in self.files)


def home(data_dir: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder in which fetched data sets are kept, each in a folder of its name.

    Parameters
    ----------
    data_dir : str or path-like, optional
        The folder itself. If not given: ``$NDTOOLS_DATA``, else one in the user's cache.

    Returns
    -------
    Path
        It need not exist.
    """
    if data_dir is not None:
        return Path(data_dir)
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE])
    return _cache()


def find(known: KnownSet, data_dir: str | os.PathLike[str] | None = None) -> Found | None:
    """Find all files of a known data set.

    Parameters
    ----------
    known : KnownSet
        The set.
    data_dir : str or path-like, optional
        Where to look first; then come ``$NDTOOLS_DATA`` and the user's cache.

    Returns
    -------
    Found or None
        None if it is nowhere whole.

    Raises
    ------
    DataError
        `data_dir` is no folder.
    """
    return next((found for found in search(known, data_dir) if not found.missing), None)


def locate(known: KnownSet, data_dir: str | os.PathLike[str] | None = None) -> Found:
    """Find all files of a known data set, which must be there.

    Parameters
    ----------
    known : KnownSet
        The set.
    data_dir : str or path-like, optional
        As for :func:`find`.

    Returns
    -------
    Found

    Raises
    ------
    DataError
        It is built in, or not here; the message says what was looked for where, and how to get it.
    """
    if known.name == BUILT_IN:
        raise DataError(f"{BUILT_IN} is built in: it has no folder and needs no files")
    found = find(known, data_dir)
    if found is not None:
        return found
    partial = next((part for part in search(known, data_dir) if part.files), None)
    if partial is not None:
        looked = f"'{printable(partial.folder)}' lacks {', '.join(partial.missing)}"
    else:
        wanted = " or ".join(_some(layout) for layout in known.layouts)
        folders = ", ".join(f"'{printable(root / known.name)}'" for root in dict.fromkeys(_roots(data_dir)))
        looked = f"looked for {wanted} in {folders} and around"
    raise DataError(
        f"{known.name} is not here; fetch it with 'ndtools data fetch {known.name}', or name the folder that has it"
        f" with --data-dir ({looked})"
    )


def search(known: KnownSet, data_dir: str | os.PathLike[str] | None = None) -> list[Found]:
    """List the places where a known data set may be, with the files that are there.

    Parameters
    ----------
    known : KnownSet
        The set.
    data_dir : str or path-like, optional
        As for :func:`find`.

    Returns
    -------
    list of Found
        In the order of preference.

    Raises
    ------
    DataError
        `data_dir` is no folder.
    """
    if data_dir is not None and not os.path.isdir(data_dir):
        raise DataError(f"no such folder: '{printable(data_dir)}' (--data-dir)")
    return [
        _files(folder, layout)
        for root in _roots(data_dir)
        for folder in _folders(known, root)
        for layout in known.layouts
    ]


def find_in(folder: str | os.PathLike[str]) -> Found:
    """Find a data set, known or not, in the folder that holds its files or just above.

    Parameters
    ----------
    folder : str or path-like
        The folder.

    Returns
    -------
    Found

    Raises
    ------
    DataError
        There is none, or not all of one, or several.
    """
    root = Path(folder)
    name = printable(folder)
    if not os.path.isdir(root):
        raise DataError(f"'{name}' is not a folder; name the folder that holds the files of the data set")
    tried = [_files(root, layout) for layout in LAYOUTS]
    below = {
        known.name: [_files(root / sub, layout) for sub in known.subfolders for layout in known.layouts]
        for known in KNOWN.values()
    }
    held = [set_name for set_name, places in below.items() if any(not found.missing for found in places)]
    if len(held) > 1 and all(found.missing for found in tried):
        raise DataError(f"'{name}' holds several data sets; choose one by its name with --data-dir: {', '.join(held)}")
    tried += (found for places in below.values() for found in places)
    for found in tried:
        if not found.missing:
            return found
    # What has most of its files is what was meant.
    nearest = max(tried, key=lambda found: len(found.files) / (len(found.files) + len(found.missing)))
    if nearest.files:
        raise DataError(f"the data set in '{printable(nearest.folder)}' lacks {', '.join(nearest.missing)}")
    raise DataError(f"no data set in '{name}' (looked for {', '.join(_some(layout) for layout in LAYOUTS)})")


def _cache() -> Path:
    import platformdirs

    return platformdirs.user_cache_path("ndtools", appauthor=False) / "data"


def _roots(data_dir: str | os.PathLike[str] | None) -> list[Path]:
    roots = [] if data_dir is None else [Path(data_dir)]
    if os.environ.get(VARIABLE):
        roots.append(Path(os.environ[VARIABLE]))
    return [*roots, _cache()]


def _folders(known: KnownSet, root: Path) -> list[Path]:
    named = root / known.name
    folders = [named, *(named / sub for sub in known.subfolders), *(root / sub for sub in known.subfolders)]
    # All IDX sets have the same file names: the folder of another one is not this one.
    return folders if root.name in KNOWN and root.name != known.name else [*folders, root]


def _files(folder: Path, layout: Layout) -> Found:
    files = {}
    for name in (*layout.train, *layout.test, *([layout.names] if layout.names else [])):
        path = next((folder / file for file in spellings(name) if os.path.isfile(folder / file)), None)
        if path is not None:
            files[name] = path
    return Found(folder, layout, files)


def _some(layout: Layout) -> str:
    first = f"{layout.train[0]}[.gz]" if layout.kind == "idx" else layout.train[0]
    return f"{first} ..." if len(layout.train) > 1 else first
