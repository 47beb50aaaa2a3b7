"""Read the members of .zip and .tar archives in place, without unpacking them.

The message of every :class:`DataError` raised here is only the reason; the caller adds the archive's name.
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
from typing import Any, BinaryIO, Literal, NoReturn

from ndtools.computing.memory import require_memory
from ndtools.data.files import MAX_FILE_BYTES, inflates_in_pieces, open_regular
from ndtools.errors import DataError
from ndtools.text import printable, reason

__all__ = ["Member", "is_archive", "is_zip", "tar_members", "zip_members"]

_ZIP = (".zip",)
_TAR = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_EXTENDED = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_MAX_HEADER_BYTES = 2**20  # of the extended headers of a tar archive that are in memory at one time
_SPARSE = "a sparse file, which is not read from archives"
_ENCRYPTED = 0x1  # bit 0 of a zip member's flags

_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    RuntimeError,  # raised by zipfile for an encrypted member or an unknown compression
    ValueError,  # raised for undecodable names and numbers in headers
)


@dataclass(frozen=True)
class Member:
    """One member of an archive.

    Parameters
    ----------
    name : str
        Path of the member inside the archive.
    problem : str or None
        Reason why the member cannot be read, if it is known already; else None.
    read : function without arguments
        Function that returns the content as bytes. Any thread may call it.
    size : int
        Size of the content in bytes, as stated in the archive. No more than that is read.
    offset : int or None
        Place of the content's first byte in a tar archive, once decompressed; None in other archives.
    """

    name: str
    problem: str | None
    read: Callable[[], bytes]
    size: int
    offset: int | None = None


def is_archive(path: str) -> bool:
    """Return whether a file is an archive that this module reads, judged by its name."""
    return path.lower().endswith((*_ZIP, *_TAR))


def is_zip(path: str) -> bool:
    """Return whether an archive is one for `zip_members`, judged by its name (else it is one for `tar_members`)."""
    return path.lower().endswith(_ZIP)


def zip_members(path: str, open_file: Callable[[str], BinaryIO] = open_regular) -> list[Member]:
    """List the files in a zip archive, sorted by name.

    Parameters
    ----------
    path : str
        Path of the archive.
    open_file : callable
        Function that opens the archive. Default: that for files of this machine.

    Returns
    -------
    list of Member
        Members of the archive that are not folders. They share one open file, which is closed when the last of them
        is garbage-collected.

    Raises
    ------
    DataError
        The archive is not a zip file, or is damaged.
    """
    file = open_file(path)
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


def tar_members(
    path: str,
    wanted: Collection[int] | Callable[[str], bool] = (),
    open_file: Callable[[str], BinaryIO] = open_regular,
) -> Iterator[tuple[int, Member]]:
    """Iterate once through the files in a tar archive (compressed or not), in the order of the archive.

    Parameters
    ----------
    path : str
        Path of the archive.
    wanted : collection of int, or callable
        Positions of the members to read, or function that returns whether a member of some name is read. If empty (the
        default), all files are listed, and no content is read.
    open_file : callable
        Function that opens the archive. Default: that for files of this machine.

    Yields
    ------
    (int, Member)
        Position and member. Wanted members hold their content in memory. If the archive is only listed, the ``read``
        of a member returns b"". Folders are left out.

    Raises
    ------
    DataError
        The archive is not a tar file, is damaged at or before the next member, or has extended headers (long names
        and such) of more than 1 MiB for the next member.
    """
    last = None if callable(wanted) else max(wanted, default=None)
    lists = not callable(wanted) and not wanted
    try:
        with open_file(path) as opened, _tar(opened) as archive:
            position = -1
            while (info := archive.next()) is not None:
                # Otherwise tarfile keeps every header in memory while the file is open.
                archive.members.clear()  # type: ignore[attr-defined]
                position += 1
                content = b""
                chosen = wanted(info.name) if callable(wanted) else position in wanted
                if chosen and _tar_problem(info) is None and (file := archive.extractfile(info)):
                    require_memory(info.size, f"the member {printable(info.name)}")
                    content = file.read()
                if not info.isdir() and (lists or chosen):
                    problem, read = _tar_problem(info), partial(bytes, content)
                    yield position, Member(info.name, problem, read, info.size, info.offset_data)
                if position == last:
                    return
            if opened.seekable():
                _check_end(archive)
    except _DAMAGE as error:
        raise DataError(reason(error)) from error


def _tar(opened: BinaryIO) -> tarfile.TarFile:
    """Open a tar archive, compressed or not; one in a stream without jumps is read to its end once."""
    mode: Literal["r:*", "r|*"] = "r:*" if opened.seekable() else "r|*"
    return tarfile.open(fileobj=opened, mode=mode, tarinfo=_bounded_headers())


def _bounded_headers() -> type[tarfile.TarInfo]:
    """Return a class for the headers of one archive, which refuses extended headers that would fill the memory."""

    class BoundedHeader(tarfile.TarInfo):
        # tarfile reads the extended headers of a member at once, however large the archive says that they are. Global
        # ones stay in memory; those of a member until its own header is read.
        lasting = 0
        passing = 0

        @classmethod
        def frombuf(cls, *arguments: Any, **settings: Any) -> "BoundedHeader":  # noqa: ANN401
            header = super().frombuf(*arguments, **settings)
            if header.type == tarfile.GNUTYPE_SPARSE:
                raise DataError(f"{printable(header.name)} is {_SPARSE}")
            if header.type == tarfile.XGLTYPE:
                cls.lasting += header.size
            elif header.type in _EXTENDED:
                cls.passing += header.size
            else:
                cls.passing = 0
            if cls.lasting + cls.passing > _MAX_HEADER_BYTES:
                raise DataError(
                    f"its extended header {printable(header.name)!r} is too large: with those before it"
                    f" {(cls.lasting + cls.passing) / 2**20:.3g} MiB, where 1 MiB is allowed"
                )
            return header

        def _proc_gnusparse_10(self, member: tarfile.TarInfo, *_: object) -> NoReturn:
            # Called for a newer form, whose map of holes would be read to its end, however long it is.
            raise DataError(f"{printable(member.name)} is {_SPARSE}")

    return BoundedHeader


def _check_end(archive: tarfile.TarFile) -> None:
    # tarfile takes a damaged header for the end of the archive, but a true end is zeros or the end of the file.
    assert archive.fileobj is not None
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(tarfile.BLOCKSIZE).strip(b"\0"):
        raise tarfile.ReadError(f"damaged header at byte {archive.offset}")


def _read_zip_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, lock: threading.Lock) -> bytes:
    # ZipFile locks its reads, but not the count of its open members, which decides when the file is closed.
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
    if not inflates_in_pieces(info):
        return "compressed with bzip2 or LZMA; unpack the archive first"
    return "larger than 1 GiB" if info.file_size > MAX_FILE_BYTES else None


def _tar_problem(info: tarfile.TarInfo) -> str | None:
    if not info.isreg():
        return "a link or special file inside an archive"
    return "larger than 1 GiB" if info.size > MAX_FILE_BYTES else None
