"""A file in far storage, read in blocks: several at a time and ahead of the reader, as long as it reads on."""

import io
from collections.abc import Callable, Generator
from typing import BinaryIO, cast

from ndtools.data.images.ahead import Claim, ahead

__all__ = ["open_far"]

BLOCK = 2**22  # bytes that are asked for at a time
THREADS = 4  # blocks that are on their way
_LIMIT = 2**26  # bytes of the blocks of a file that are in memory
_FORWARD = 4  # blocks that are read and dropped rather than jumped over, once they are on their way

Fetch = Callable[[int, int], bytes]
"""Function that returns the bytes from a start up to an end, exclusive."""


def open_far(fetch: Fetch, size: int) -> BinaryIO:
    """Open a file that is fetched in parts.

    Parameters
    ----------
    fetch : callable
        Function that returns the bytes from a start up to an end. Any thread may call it.
    size : int
        Size of the file in bytes.

    Returns
    -------
    binary file
        File for one reader. Jumps are possible: then a single block is fetched, and those ahead of it once the reader
        goes on to the next.
    """
    return cast(BinaryIO, io.BufferedReader(_FarFile(fetch, size), BLOCK // 16))


class _FarFile(io.RawIOBase):
    def __init__(self, fetch: Fetch, size: int) -> None:
        self._fetch, self._size, self._position = fetch, size, 0
        self._block, self._number = b"", -1
        self._coming: Generator[bytes, None, None] | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self._position >= self._size:
            return 0
        number, within = divmod(self._position, BLOCK)
        self._move_to(number)
        piece = self._block[within : within + len(buffer)]
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def close(self) -> None:
        self._stop()
        super().close()

    def _move_to(self, number: int) -> None:
        """Have a block in memory."""
        if number == self._number:
            return
        distance = number - self._number
        if self._coming is not None and 0 < distance <= _FORWARD:
            for _ in range(distance):
                self._block = next(self._coming)
        elif distance == 1:  # the reader goes on: what follows is fetched ahead
            self._stop()
            self._coming = self._from(number)
            self._block = next(self._coming)
        else:
            self._stop()
            self._block = self._part(number, lambda _: None)
        self._number = number

    def _from(self, number: int) -> Generator[bytes, None, None]:
        blocks = iter(range(number, -(-self._size // BLOCK)))
        return ahead(blocks, self._part, threads=THREADS, limit=_LIMIT, held=lambda _: 0)

    def _part(self, number: int, claim: Claim) -> bytes:
        start = number * BLOCK
        end = min(start + BLOCK, self._size)
        claim(end - start)
        return self._fetch(start, end)

    def _stop(self) -> None:
        if self._coming is not None:
            self._coming.close()
            self._coming = None
