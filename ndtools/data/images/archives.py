"""Read the members of .zip and .tar archives in place, without unpacking them.

Errors are :class:`DataError` with the reason alone; the caller adds the archive's name.
"""

import lzma
import tarfile
import threading
import weakref
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial

from ndtools.data.files import MAX_FILE_BYTES, open_regular
from ndtools.errors import DataError
from ndtools.text import reason

__all__ = ["Member", "is_archive", "is_zip", "tar_members", "zip_members"]

_ZIP = (".zip",)
_TAR = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_ENCRYPTED = 0x1  # bit 0 of a zip member's flags

_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    RuntimeError,  # zipfile's for an encrypted member or an unknown compression
    ValueError,  # undecodable names and numbers in headers
)


@dataclass(frozen=True)
class Member:
    """One member of an archive.

    Parameters
    ----------
    name : str
        Its path inside the archive.
    problem : str or None
        Why it cannot be read, if that is known already.
    read : function without arguments
        Gives the content, bytes. Threads may call it.
    size : int
        Bytes of the content, by what the archive says. No more than that is read.
    """

    name: str
    problem: str | None
    read: Callable[[], bytes]
    size: int


def is_archive(path: str) -> bool:
    """Tell by its name whether a file is an archive that this module reads.

    Parameters
    ----------
    path : str

    Returns
    -------
    bool
    """
    return path.lower().endswith((*_ZIP, *_TAR))


def is_zip(path: str) -> bool:
    """Tell by its name whether an archive is for `zip_members` (else it is for `tar_members`).

    Parameters
    ----------
    path : str

    Returns
    -------
    bool
    """
    return path.lower().endswith(_ZIP)


def zip_members(path: str) -> list[Member]:
    """List the files in a zip archive, sorted by name.

    Parameters
    ----------
    path : str
        The archive.

    Returns
    -------
    list of Member
        They share one open file, which is closed when the last of them is forgotten.

    Raises
    ------
    DataError
        The archive is not a zip file, or damaged.
    """
    file = open_regular(path)
    try:
        archive = zipfile.ZipFile(file)
    except _DAMAGE as error:
        file.close()
        raise DataError(reason(error)) from error
    weakref.finalize(archive, file.close)
    lock = threading.Lock()
    return [
        Member(info.filename, _zip_problem(info), partial(_read_zip_member, archive, info, lock), info.file_size)
        for info in sorted(archive.infolist(), key=lambda info: info.filename)
        if not info.filename.endswith("/")  # is_dir() fails on an empty name
    ]


def tar_members(path: str, wanted: Collection[int] = ()) -> Iterator[tuple[int, Member]]:
    """Pass once through a tar archive (compressed or not), in the order of the archive.

    Parameters
    ----------
    path : str
        The archive.
    wanted : collection of int
        Positions of the members to read. If empty, the archive is listed, and nothing is read.

    Yields
    ------
    (int, Member)
        Position and member, of the wanted ones (each holds its content in memory), or of all that are no
        folders (``read`` gives b"").

    Raises
    ------
    DataError
        The archive is not a tar file, or damaged at or before the member that was to come.
    """
    last = max(wanted, default=None)
    try:
        with open_regular(path) as opened, tarfile.open(fileobj=opened) as archive:
            position = -1
            while (info := archive.next()) is not None:
                # tarfile would keep every header for as long as the file is open.
                archive.members.clear()  # type: ignore[attr-defined]
                position += 1
                content = b""
                if position in wanted and (file := archive.extractfile(info)) is not None:
                    content = file.read()
                if not info.isdir() and (not wanted or position in wanted):
                    yield position, Member(info.name, _tar_problem(info), partial(bytes, content), info.size)
                if position == last:
                    return
            _check_end(archive)
    except _DAMAGE as error:
        raise DataError(reason(error)) from error


def _check_end(archive: tarfile.TarFile) -> None:
    # tarfile takes a damaged header for the regular end, which is zeros or the end of the file.
    assert archive.fileobj is not None
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(tarfile.BLOCKSIZE).strip(b"\0"):
        raise tarfile.ReadError(f"damaged header at byte {archive.offset}")


def _read_zip_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, lock: threading.Lock) -> bytes:
    # ZipFile locks its reads but not the count of its open members, on which closing the file depends.
    try:
        with lock:
            member = archive.open(info)
        try:
            return member.read()
        finally:
            with lock:
                member.close()
    except _DAMAGE as error:
        raise DataError(f"damaged in the archive: {reason(error)}") from error


def _zip_problem(info: zipfile.ZipInfo) -> str | None:
    if info.flag_bits & _ENCRYPTED:
        return "encrypted; unpack the archive first"
    return "larger than 1 GiB" if info.file_size > MAX_FILE_BYTES else None


def _tar_problem(info: tarfile.TarInfo) -> str | None:
    if not info.isreg():
        return "a link or special file inside an archive"
    return "larger than 1 GiB" if info.size > MAX_FILE_BYTES else None
