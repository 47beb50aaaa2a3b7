"""Download of known data sets, and checks of their files. Nothing else in ndtools uses the network."""

import hashlib
import logging
import os
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ndtools.computing.progress import Progress
from ndtools.data.files import read_pieces
from ndtools.data.labelled.catalogue import BUILT_IN, KNOWN, Download, KnownSet, known_set
from ndtools.data.labelled.layouts import Layout, spellings
from ndtools.data.labelled.locations import Found, fetch_command, find, home, is_fetched, search
from ndtools.errors import DataError, OutputError
from ndtools.text import printable

__all__ = ["DAMAGED", "MISSING", "OK", "UNKNOWN", "WRONG", "fetch", "remedy", "verify"]

OK, WRONG, MISSING, DAMAGED, UNKNOWN = "ok", "wrong checksum", "missing", "unreadable or damaged", "no checksum known"
"""The states of a file that :func:`verify` distinguishes."""

_OF_ANOTHER = "the file of "

_TIMEOUT = 30  # Seconds without data after which a mirror is given up.
_CHUNK = 1 << 16


def fetch(name: str, *, data_dir: str | os.PathLike[str] | None = None, progress: Progress | None = None) -> Path:
    """Download a known data set.

    Existing files with the right checksum are not downloaded again. The mirrors are tried in turn. A file gets its
    final name only after its checksum was found to be right, so that an interrupted or concurrent download leaves no
    wrong file.

    Parameters
    ----------
    name : str
        Name of the data set.
    data_dir : str or path-like, optional
        Folder in which the set is stored, in a subfolder of its name. It is created if necessary. The default is
        ``$NDTOOLS_DATA`` if it is set, otherwise the user's cache.
    progress : callable, optional
        Function that is called with the number of bytes received so far and the total number of bytes, both summed
        over the files that are downloaded.

    Returns
    -------
    Path
        The folder that holds the files.

    Raises
    ------
    DataError
        There is no such set, the set is built in, or all mirrors failed. The message gives the reason for each mirror.
    OutputError
        The files cannot be written.
    """
    known = known_set(name)
    if name == BUILT_IN:
        raise DataError(f"{BUILT_IN} is built in: nothing to fetch")
    folder = home(data_dir) / known.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if known.archive_folder is not None:
            return _fetch_archive(known, folder, known.archive_folder, progress)
        _fetch_files(known, folder, progress)
        return folder
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(
            f"cannot write to '{printable(folder)}': {reason}; make room, or choose another folder with `data_dir`"
        ) from None


def verify(name: str, data_dir: str | os.PathLike[str] | None = None) -> list[tuple[Path, str]]:
    """Check the files of a known data set against their checksums.

    Parameters
    ----------
    name : str
        Name of the data set.
    data_dir : str or path-like, optional
        Folder that is searched first, as for :func:`ndtools.data.labelled.datasets.load_dataset`.

    Returns
    -------
    list of (Path, str)
        Each file with its state: "ok", "wrong checksum", "the file of" another known set, "missing", "unreadable or
        damaged" or, if no checksum was published, "no checksum known". If no place has all files, the place with the
        most files is checked. The list is empty if the set is built in.

    Raises
    ------
    DataError
        There is no such set, or `data_dir` is not a folder.
    """
    known = known_set(name)
    if not known.layouts:
        return []
    found = _place(known, data_dir)
    listed = [
        (found.files[file], _status_in(found.files[file], known, file))
        if file in found.files
        else (found.folder / spellings(file)[0], MISSING)
        for file in (*found.layout.train, *found.layout.test)
    ]
    names = found.layout.names
    if names in found.files:
        listed.append((found.files[names], _status_in(found.files[names], known, names)))
    return listed


def remedy(name: str, files: list[tuple[Path, str]], data_dir: str | os.PathLike[str] | None = None) -> str:
    """Return advice on how to repair the files of a known data set.

    Parameters
    ----------
    name : str
        Name of the data set.
    files : list of (Path, str)
        Files and states that :func:`verify` returned for this set.
    data_dir : str or path-like, optional
        Folder that is searched first, as for :func:`verify`.

    Returns
    -------
    str
        The files to delete or to move first, if any, and the command that downloads the set.
    """
    known = known_set(name)
    found = _place(known, data_dir)
    steps = []
    damaged = [path for path, status in files if status in (WRONG, DAMAGED)]
    if damaged and not is_fetched(found, known):  # Fetching replaces files in its own folder.
        steps.append("delete " + ", ".join(f"'{printable(path)}'" for path in damaged))
    others = dict.fromkeys(s.removeprefix(_OF_ANOTHER) for _, s in files if s.startswith(_OF_ANOTHER))
    steps += [f"move the files of {other} to a folder of their own" for other in others]
    steps.append(f"fetch {name} with '{fetch_command(known, found.root)}'")
    return " and ".join(steps)


def _place(known: KnownSet, data_dir: str | os.PathLike[str] | None) -> Found:
    return find(known, data_dir) or max(search(known, data_dir), key=lambda part: len(part.files))


def _fetch_files(known: KnownSet, folder: Path, progress: Progress | None) -> None:
    wanted = [
        item
        for item in known.downloads
        if not any(_is_right(folder / file, known) for file in spellings(item.file.removesuffix(".gz")))
    ]
    total = sum(item.size for item in wanted)
    done = 0
    for item in wanted:
        _download(item, folder, known, _Bar(item.size, done, total, progress))
        done += item.size


def _fetch_archive(known: KnownSet, folder: Path, inside: str, progress: Progress | None) -> Path:
    for place in (folder, *(folder / sub for sub in known.subfolders)):
        if any(all(_is_right(place / file, known) for file in _files(layout)) for layout in known.layouts):
            return place
    (item,) = known.downloads
    target = folder / inside
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetching-", ignore_cleanup_errors=True) as temporary:
        _download(item, Path(temporary), known, _Bar(item.size, 0, item.size, progress))
        unpacked = _unpack(Path(temporary, item.file), Path(temporary, "unpacked"), known, inside)
        target.mkdir(exist_ok=True)
        for path in unpacked:
            os.replace(path, target / path.name)
    return target


def _files(layout: Layout) -> tuple[str, ...]:
    return (*layout.train, *layout.test)


def _unpack(archive: Path, folder: Path, known: KnownSet, inside: str) -> list[Path]:
    """Unpack only the files of the set from an archive, and return their paths."""
    name = printable(archive.name)
    wanted = {f"{inside}/{file}": file for file in known.md5 if _in_archive(file, known)}
    unpacked = {}
    folder.mkdir()
    try:
        with tarfile.open(archive) as members:
            for member in members:
                if member.name not in wanted:
                    continue
                content = members.extractfile(member) if member.isreg() else None
                if content is None:
                    raise DataError(f"{name} is refused: '{printable(member.name)}' in it is not a regular file")
                path = folder / wanted[member.name]  # The name comes from the catalogue, never from the archive.
                with path.open("wb") as stream:
                    shutil.copyfileobj(content, stream)
                unpacked[wanted[member.name]] = path
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DataError(f"{name} is damaged: {printable(str(error))}") from None
    for member_name, file in wanted.items():
        if file not in unpacked:
            raise DataError(f"{name} lacks {member_name}")
        if not _is_right(unpacked[file], known):
            raise DataError(f"{name}: {member_name} in it has a wrong checksum")
    return list(unpacked.values())


def _in_archive(file: str, known: KnownSet) -> bool:
    # The archives hold the pickled layout.
    return any(layout.kind == "cifar-pickle" and file in (*_files(layout), layout.names) for layout in known.layouts)


def _download(item: Download, folder: Path, known: KnownSet, bar: "_Bar") -> None:
    import pooch  # type: ignore[import-untyped]
    import requests

    # No compression during transfer: the stored bytes must be those of the file itself.
    downloader = pooch.HTTPDownloader(
        progressbar=bar, chunk_size=_CHUNK, timeout=_TIMEOUT, headers={"Accept-Encoding": "identity"}
    )
    target = folder / item.file
    if target.exists() and not target.is_file():
        raise OutputError(
            f"cannot write {printable(target)}: it is not a regular file; remove it, or choose another folder"
        )
    reasons = []
    for mirror in item.mirrors:
        url = f"{mirror}/{item.file}"
        bar.reset()
        try:
            with _quiet(pooch.get_logger()):
                path = pooch.retrieve(url, f"md5:{item.md5}", item.file, folder, downloader=downloader)
            os.chmod(path, 0o644)  # pooch creates temporary files that only their owner can read.
            return
        except (requests.RequestException, ValueError) as error:
            reasons.append(f"{url}: {_reason(error)}")
    raise DataError(
        f"cannot fetch {item.file} of {known.name}: {'; '.join(reasons)}. Try again later, or download it by other"
        " means and give its folder with `data_dir`"
    )


def _reason(error: Exception) -> str:
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"{error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout):
        return f"no answer within {_TIMEOUT} s"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke off"
    if isinstance(error, requests.ConnectionError):
        return "cannot connect, or the connection broke off"
    if isinstance(error, _TooLongError):
        return "it sends more bytes than the file has"
    return "wrong checksum" if "does not match" in str(error) else printable(str(error))


class _TooLongError(ValueError):
    """A mirror sends more bytes than the file has."""


class _Bar:
    """Progress bar for pooch that reports the progress over all files, and stops a download that exceeds its size."""

    def __init__(self, size: int, before: int, whole: int, progress: Progress | None) -> None:
        self.size, self.before, self.whole, self.progress = size, before, whole, progress
        self.total = 0  # pooch sets this to the size that the mirror states.
        self.done = 0

    def update(self, n: int) -> None:
        """Count `n` more bytes. pooch counts the last piece as a full one."""
        self.done += n
        if self.done > self.size + _CHUNK:
            raise _TooLongError
        if self.progress is not None:
            self.progress(self.before + min(self.done, self.size), self.whole)

    def reset(self) -> None:
        """Start again at zero bytes, for the next mirror."""
        self.done = 0

    def close(self) -> None:
        """Do nothing, since the caller owns the display."""


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _is_right(path: Path, known: KnownSet) -> bool:
    file = path.name.removesuffix(".gz").replace(".idx", "-idx")
    return os.path.isfile(path) and _status(path, known.md5.get(file)) == OK


def _status(path: Path, md5: str | None) -> str:
    digest = _digest(path)
    if digest is None:
        return DAMAGED
    if md5 is None:
        return UNKNOWN
    return OK if digest == md5 else WRONG


def _status_in(path: Path, known: KnownSet, file: str) -> str:
    status = _status(path, known.md5.get(file))
    if status != WRONG:
        return status
    digest = _digest(path)
    other = next((other for other in KNOWN.values() if other.md5.get(file) == digest), None)
    return WRONG if other is None else f"{_OF_ANOTHER}{other.name}"


def _digest(path: Path) -> str | None:
    digest = hashlib.md5(usedforsecurity=False)
    try:
        for piece in read_pieces(path):
            digest.update(piece)
    except DataError:
        return None
    return digest.hexdigest()
