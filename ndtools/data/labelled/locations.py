"""Search for the files of data sets in a given folder, in ``$NDTOOLS_DATA`` and in the user's cache."""

import hashlib
import os
import shlex
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ndtools.data.files import read_pieces
from ndtools.data.labelled.catalogue import BUILT_IN, KNOWN, KnownSet
from ndtools.data.labelled.layouts import LAYOUTS, Layout, spellings
from ndtools.errors import DataError
from ndtools.text import printable

__all__ = [
    "VARIABLE",
    "Found",
    "fetch_command",
    "find",
    "find_in",
    "home",
    "is_fetched",
    "locate",
    "roots",
    "search",
    "true_owner",
]

VARIABLE = "NDTOOLS_DATA"
"""Environment variable that names a folder of data sets."""

_MAX_LABELS = 1 << 20  # Bytes. The files of labels of known sets have 60 kB.


@dataclass(frozen=True)
class Found:
    """The files of one layout that were found in one folder.

    Attributes
    ----------
    folder : Path
        Folder that was searched for the files.
    layout : Layout
        Layout whose files were searched for.
    files : dict of str to Path
        Paths of the existing files, by their name in the layout.
    root : Path
        Folder that the user gave, or the user's cache. It is `folder` or contains it.
    """

    folder: Path
    layout: Layout
    files: dict[str, Path]
    root: Path

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the required files that do not exist."""
        return tuple(name for name in (*self.layout.train, *self.layout.test) if name not in self.files)


def home(data_dir: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder in which downloaded data sets are stored, each in a subfolder of its name.

    Parameters
    ----------
    data_dir : str or path-like, optional
        Folder to use. The default is ``$NDTOOLS_DATA`` if it is set, otherwise a folder in the user's cache.

    Returns
    -------
    Path
        The folder, which need not exist.
    """
    if data_dir is not None:
        return Path(data_dir)
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE])
    return _cache()


def roots(data_dir: str | os.PathLike[str] | None = None) -> list[Path]:
    """List the folders in which known data sets are looked for, directly or in subfolders.

    Parameters
    ----------
    data_dir : str or path-like, optional
        Folder to search first. ``$NDTOOLS_DATA`` and the user's cache come next.

    Returns
    -------
    list of Path
        The folders without duplicates. They need not exist.
    """
    named = [] if data_dir is None else [Path(data_dir)]
    if os.environ.get(VARIABLE):
        named.append(Path(os.environ[VARIABLE]))
    return list(dict.fromkeys([*named, _cache()]))


def fetch_command(known: KnownSet, root: str | os.PathLike[str] | None = None) -> str:
    """Return the command that downloads a data set to the place where it is looked for.

    Parameters
    ----------
    known : KnownSet
        The data set to download.
    root : str or path-like, optional
        Folder that is searched: either a folder of data sets or the folder of this set. The default is that of
        :func:`home`.

    Returns
    -------
    str
        The command line, for use in a message.
    """
    command = f"ndtools data fetch {known.name}"
    if root is None or (store := _store(known, root)) == _cache():
        return command
    return f"{command} --data-dir {shlex.quote(printable(store))}"


def is_fetched(found: Found, known: KnownSet) -> bool:
    """Return whether :func:`fetch_command` stores the set in this folder, so that fetching again replaces the files."""
    folder = _store(known, found.root) / known.name / (known.archive_folder or "")
    return os.path.abspath(found.folder) == os.path.abspath(folder)


def true_owner(found: Found, known: KnownSet) -> KnownSet | None:
    """Return the other known set to which IDX files belong, going by the checksums of the labels.

    All IDX sets have the same file names. The labels are compared because their files are small.

    Parameters
    ----------
    found : Found
        The files to identify.
    known : KnownSet
        The data set whose files were searched for.

    Returns
    -------
    KnownSet or None
        The other set; None if the files belong to `known` or to no known set, are damaged, or have another layout.
    """
    if found.layout.kind != "idx":
        return None
    others = []
    for name in (found.layout.test[1], found.layout.train[1]):
        digest = _md5(found.files[name]) if name in found.files else None
        if digest is not None and known.md5.get(name) == digest:
            return None
        others += [other for other in KNOWN.values() if digest is not None and other.md5.get(name) == digest]
    return others[0] if others else None


def find(known: KnownSet, data_dir: str | os.PathLike[str] | None = None) -> Found | None:
    """Find the first place that has all files of a known data set.

    Parameters
    ----------
    known : KnownSet
        The data set to find.
    data_dir : str or path-like, optional
        Folder to search first. ``$NDTOOLS_DATA`` and the user's cache come next.

    Returns
    -------
    Found or None
        The files; None if no place has all of them.

    Raises
    ------
    DataError
        `data_dir` is not a folder.
    """
    return next((found for found in search(known, data_dir) if not found.missing), None)


def locate(known: KnownSet, data_dir: str | os.PathLike[str] | None = None) -> Found:
    """Find the first place that has all files of a known data set, or raise an error that says how to get them.

    Parameters
    ----------
    known : KnownSet
        The data set to find.
    data_dir : str or path-like, optional
        Folder to search first, as for :func:`find`.

    Returns
    -------
    Found
        The files of the set.

    Raises
    ------
    DataError
        The set is built in, or no place has all of its files. The message says which files were looked for in which
        folders, and how to get them.
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
        folders = ", ".join(f"'{printable(root / known.name)}'" for root in roots(data_dir))
        looked = f"looked for {wanted} in {folders} and around"
    command = fetch_command(known, data_dir if partial is None else partial.root)
    raise DataError(
        f"{known.name} is not here; fetch it with '{command}', or name the folder that has it with `data_dir`"
        f" ({looked})"
    )


def search(known: KnownSet, data_dir: str | os.PathLike[str] | None = None) -> list[Found]:
    """List the places where a known data set is looked for, with the files that exist there.

    Parameters
    ----------
    known : KnownSet
        The data set to search for.
    data_dir : str or path-like, optional
        Folder to search first, as for :func:`find`.

    Returns
    -------
    list of Found
        The places in order of preference. A place whose labels belong to another known set is left out, unless its
        folder has the name of this set.

    Raises
    ------
    DataError
        `data_dir` is not a folder.
    """
    if data_dir is not None and not os.path.isdir(data_dir):
        raise DataError(f"no such folder: '{printable(data_dir)}' (`data_dir`)")
    places = []
    for root in roots(data_dir):
        named = [root / known.name / sub for sub in ("", *known.subfolders)]
        others = [*(root / sub for sub in known.subfolders), root]
        # All IDX sets have the same file names. A folder with the name of another set holds that set, not this one.
        name = _name(root)
        if name == known.name:
            named, others = named + others, []
        elif name in KNOWN:
            others.remove(root)
        places += [_files(folder, layout, root) for folder in named for layout in known.layouts]
        elsewhere = [_files(folder, layout, root) for folder in others for layout in known.layouts]
        places += [found for found in elsewhere if true_owner(found, known) is None]
    return places


def find_in(folder: str | os.PathLike[str]) -> Found:
    """Find the data set, known or not, that a folder holds directly or in a subfolder.

    Parameters
    ----------
    folder : str or path-like
        Folder that holds the files, or the subfolder of a known set with the files.

    Returns
    -------
    Found
        The files of the set.

    Raises
    ------
    DataError
        The folder holds no data set, several known sets, or only some files of a set.
    """
    root = Path(folder)
    name = printable(folder)
    if not os.path.isdir(root):
        raise DataError(f"'{name}' is not a folder; name the folder that holds the files of the data set")
    tried = [_files(root, layout, root) for layout in LAYOUTS]
    below = {
        known.name: [_files(root / sub, layout, root) for sub in _below(known) for layout in known.layouts]
        for known in KNOWN.values()
    }
    held = [set_name for set_name, places in below.items() if any(not found.missing for found in places)]
    if len(held) > 1 and all(found.missing for found in tried):
        raise DataError(f"'{name}' holds several data sets; choose one by its name with `data_dir`: {', '.join(held)}")
    tried += (found for places in below.values() for found in places)
    for found in tried:
        if not found.missing:
            return found
    # The place with the largest fraction of its files is probably the one that was meant.
    nearest = max(tried, key=lambda found: len(found.files) / (len(found.files) + len(found.missing)))
    if nearest.files:
        raise DataError(f"the data set in '{printable(nearest.folder)}' lacks {', '.join(nearest.missing)}")
    raise DataError(
        f"no data set in '{name}' (looked for {', '.join(_some(layout) for layout in LAYOUTS)}); 'ndtools data list'"
        " has the sets that can be fetched; images without labels are none"
    )


def _cache() -> Path:
    import platformdirs

    return platformdirs.user_cache_path("ndtools", appauthor=False) / "data"


def _store(known: KnownSet, root: str | os.PathLike[str]) -> Path:
    """Return the folder of data sets: `root` itself, or its parent if `root` is the folder of this set."""
    if _name(root) != known.name:
        return Path(root)
    return Path(root).parent if Path(root).name == known.name else Path(os.path.abspath(root)).parent


def _name(folder: str | os.PathLike[str]) -> str:
    return os.path.basename(os.path.abspath(folder))


def _below(known: KnownSet) -> list[str]:
    return [known.name, *(f"{known.name}/{sub}" for sub in known.subfolders), *known.subfolders]


def _md5(path: Path) -> str | None:
    digest, size = hashlib.md5(usedforsecurity=False), 0
    try:
        with closing(read_pieces(path)) as content:
            for piece in content:
                digest.update(piece)
                size += len(piece)
                if size > _MAX_LABELS:
                    return None
    except DataError:
        return None
    return digest.hexdigest()


def _files(folder: Path, layout: Layout, root: Path) -> Found:
    files = {}
    for name in (*layout.train, *layout.test, *([layout.names] if layout.names else [])):
        path = next((folder / file for file in spellings(name) if os.path.isfile(folder / file)), None)
        if path is not None:
            files[name] = path
    return Found(folder, layout, files, root)


def _some(layout: Layout) -> str:
    first = f"{layout.train[0]}[.gz]" if layout.kind == "idx" else layout.train[0]
    return f"{first} ..." if len(layout.train) > 1 else first
