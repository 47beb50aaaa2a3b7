"""Read a file piece by piece, decompressed if its name ends in .gz."""

import zlib
from collections.abc import Generator
from pathlib import Path

from ndtools.data.folders import printable
from ndtools.errors import DataError

__all__ = ["pieces"]

_PIECE = 1 << 20
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
        with path.open("rb") as file:
            if path.suffix != ".gz":
                while piece := file.read(_PIECE):
                    yield piece
                return
            # Not the gzip module: it passes over zeros that follow the end.
            data = file.read(_PIECE)
            while data:
                if not data.startswith(_MAGIC):
                    raise DataError(f"{name} is damaged: what should be compressed data is not")
                decoder = zlib.decompressobj(wbits=31)
                while not decoder.eof:
                    piece = decoder.decompress(data, _PIECE)
                    if piece:
                        yield piece
                    data = decoder.unconsumed_tail
                    if not data and not decoder.eof:
                        data = file.read(_PIECE)
                        if not data and len(piece) < _PIECE:
                            raise DataError(f"{name} is damaged: the compressed data is cut short")
                data = decoder.unused_data or file.read(_PIECE)
                if len(data) == 1:  # too short to be known by its beginning
                    data += file.read(_PIECE)
    except OSError as error:
        raise DataError(f"cannot read {name}: {error.strerror or error}") from None
    except zlib.error as error:
        raise DataError(f"{name} is damaged: {str(error).rpartition(': ')[2]}") from None
