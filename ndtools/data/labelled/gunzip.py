"""Read a file piece by piece, decompressed if its name ends in .gz."""

import zlib
from collections.abc import Generator
from pathlib import Path
from typing import BinaryIO

from ndtools.data.files import open_regular
from ndtools.errors import DataError
from ndtools.text import printable, reason

__all__ = ["pieces"]

_PIECE = 1 << 20
_FIRST = 64
_MAGIC = b"\x1f\x8b"


def pieces(path: Path) -> Generator[bytes, None, None]:
    """Read a file piece by piece, so that no more is decompressed than the reader wants.

    Parameters
    ----------
    path : Path
        The file; compressed with gzip if its name ends in .gz, possibly in several parts.

    Yields
    ------
    bytes
        At most 1 MiB.

    Raises
    ------
    DataError
        The file cannot be read or is damaged, for which its checksums and its end are looked at.
    """
    name = printable(path)
    try:
        file = open_regular(path)
    except DataError as error:
        raise DataError(f"cannot read {name}: {error}") from None
    try:
        with file:
            if path.suffix != ".gz":
                while piece := file.read(_PIECE):
                    yield piece
                return
            yield from _decompressed(file, name)
    except OSError as error:
        raise DataError(f"cannot read {name}: {reason(error)}") from None
    except zlib.error as error:
        raise DataError(f"{name} is damaged: {str(error).rpartition(': ')[2]}") from None


def _decompressed(file: BinaryIO, name: str) -> Generator[bytes, None, None]:
    # Not the gzip module: it passes over zeros that follow the end.
    data, at = file.read(_PIECE), 0
    while at < len(data):
        if not data.startswith(_MAGIC, at):
            raise DataError(f"{name} is damaged: what should be compressed data is not")
        decoder = zlib.decompressobj(wbits=31)
        # Little at first: what the decoder leaves it copies, which takes long where parts are many and small.
        size = _FIRST
        while not decoder.eof:
            given = data[at : at + size]
            piece = decoder.decompress(given, _PIECE)
            if piece:
                yield piece
            at += len(given) - len(decoder.unused_data if decoder.eof else decoder.unconsumed_tail)
            size = min(2 * size, _PIECE)
            if at == len(data) and not decoder.eof:
                data, at = file.read(_PIECE), 0
                if not data and len(piece) < _PIECE:
                    raise DataError(f"{name} is damaged: the compressed data is cut short")
        if len(data) - at < len(_MAGIC):  # too short to be known by its beginning
            data, at = data[at:] + file.read(_PIECE), 0
