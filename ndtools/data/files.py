"""Open regular files for reading. Pipes and devices are refused: they could block a command or fill the memory."""

import errno
import gzip
import os
import stat
import zipfile
import zlib
from collections.abc import Generator
from pathlib import Path
from typing import BinaryIO

from ndtools.errors import DataError
from ndtools.text import printable, reason

__all__ = ["MAX_FILE_BYTES", "inflates_in_pieces", "irregular", "open_regular", "read_file", "read_pieces"]

MAX_FILE_BYTES = 2**30
"""Largest number of bytes that is read of a file that is read as a whole, or of a member of an archive (1 GiB)."""

_PIECE = 2**20

_TYPES = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
# Without O_NONBLOCK, opening a named pipe waits until a program writes to it. The flag has no effect on regular files.
_FLAGS = os.O_RDONLY | sum(getattr(os, flag, 0) for flag in ("O_BINARY", "O_CLOEXEC", "O_NOCTTY", "O_NONBLOCK"))


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file for reading.

    The type of the file is checked after it is opened, so that the file cannot be exchanged between check and opening.

    Parameters
    ----------
    path : str or path-like
        Path of the file, or of a link to it.

    Returns
    -------
    binary file
        The open file, which the caller must close.

    Raises
    ------
    DataError
        The file is absent, cannot be opened, or is a folder, pipe, socket or device. The message is only the reason;
        the caller adds the name.
    """
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError as error:
        if error.errno == errno.ENXIO:  # raised for sockets, and for devices without a driver
            raise DataError(_refusal("a socket or device")) from None
        raise DataError(reason(error)) from error
    except ValueError as error:  # a zero byte in the name
        raise DataError(reason(error)) from None
    refusal = irregular(os.fstat(descriptor).st_mode)
    if refusal is None:
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise DataError(refusal)


def irregular(mode: int) -> str | None:
    """Return why a file of a given type is not read, or None for a regular file.

    Parameters
    ----------
    mode : int
        Type and permissions of the file: its ``st_mode``.

    Returns
    -------
    str or None
        The reason and, except for a folder, the remedy. None for a regular file.
    """
    file_type = stat.S_IFMT(mode)
    if file_type == stat.S_IFREG:
        return None
    if file_type == stat.S_IFDIR:
        return os.strerror(errno.EISDIR)
    return _refusal(_TYPES.get(file_type, "a special file"))


def read_file(path: str | os.PathLike[str], *, limit: int = MAX_FILE_BYTES) -> bytes:
    """Return the content of a regular file.

    Parameters
    ----------
    path : str or path-like
        Path of the file, or of a link to it.
    limit : int
        Largest size in bytes that is accepted. No file of the expected format should exceed it. Default 1 GiB.

    Returns
    -------
    bytes
        Whole content of the file.

    Raises
    ------
    DataError
        The file is absent, unreadable, not a regular file, or larger than the limit. The message is only the reason;
        the caller adds the name.
    """
    with open_regular(path) as file:
        try:
            size = os.fstat(file.fileno()).st_size
            content = b"" if size > limit else file.read(size + 1)
            # Files that grow hold more than their stated size, and so do files in /proc, whose stated size is 0.
            while size <= limit and size < len(content) <= limit and (more := file.read(_PIECE)):
                content += more
        except OSError as error:
            raise DataError(reason(error)) from error
    if max(size, len(content)) > limit:
        raise DataError(f"larger than {_binary(limit)}")
    return content


def read_pieces(path: Path) -> Generator[bytes, None, None]:
    """Read a regular file piece by piece, so that no more is decompressed than the caller takes.

    Parameters
    ----------
    path : Path
        The file, or a link to it. It is decompressed with gzip if its name ends in .gz.

    Yields
    ------
    bytes
        The next piece of the (decompressed) content, at most 1 MiB.

    Raises
    ------
    DataError
        The file cannot be read, or the compressed data is damaged or cut short. The message contains the name.
    """
    name = printable(path)
    try:
        with open_regular(path) as file:
            content = gzip.GzipFile(fileobj=file) if path.suffix == ".gz" else file
            while piece := content.read(_PIECE):
                yield piece
    except DataError as error:
        raise DataError(f"cannot read {name}: {error}") from None
    except EOFError:
        raise DataError(f"{name} is damaged: the compressed data is cut short") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{name} is damaged: {reason(error)}") from None
    except OSError as error:
        raise DataError(f"cannot read {name}: {reason(error)}") from None


def inflates_in_pieces(member: zipfile.ZipInfo) -> bool:
    """Return whether a member of a zip archive can be unpacked no further than it is read.

    Python unpacks members that are compressed with bzip2 or LZMA by whole blocks, however large these become: a few
    kilobytes would fill the memory.

    Returns
    -------
    bool
        False for members compressed with bzip2 or LZMA.
    """
    return member.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def _refusal(file_type: str) -> str:
    return f"{file_type}, not a regular file; copy its content into a file first"


def _binary(size: int) -> str:
    power = 30 if size >= 2**30 else 20 if size >= 2**20 else 0
    return f"{size / 2**power:.4g} {({30: 'GiB', 20: 'MiB', 0: 'bytes'})[power]}"
