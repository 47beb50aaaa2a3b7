"""Standard output and standard error of the command line, which may be closed, full, or a pipe that nobody reads."""

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from ndtools.errors import OutputError

__all__ = ["prepare_standard_streams"]


class _Results(io.BufferedWriter):
    """Standard output: a failure to write is a known error of the command, unless a reader has had enough."""

    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        with _named():
            return super().write(data)

    def flush(self) -> None:
        with _named():
            super().flush()


@contextmanager
def _named() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:  # Typer ends quietly
        raise
    except OSError as error:
        reason = "it is closed" if error.errno == errno.EBADF else error.strerror
        raise OutputError(f"cannot write to standard output: {reason}") from None


class _Words(io.BufferedWriter):
    """Standard error: words that cannot be written are dropped, since they are no reason to stop working."""

    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        with suppress(OSError):
            super().write(data)
        return len(data)

    def flush(self) -> None:
        with suppress(OSError):
            super().flush()


def prepare_standard_streams() -> None:
    """Make `sys.stdout` raise an `OutputError` where it cannot be written to, and `sys.stderr` never raise.

    File descriptors that are closed are opened on the null device; otherwise the next file that is opened would
    receive what C libraries write to standard error. What has no place in an encoding is written as an escape: a
    terminal that cannot show "×", or a file name that is not UTF-8, must not end a run.
    """
    if sys.stdin is None:
        sys.stdin = open(os.devnull)  # noqa: SIM115  # for the whole process
    sys.stdout = _text(sys.stdout, _Results, os.O_RDONLY)  # read only, so that writing fails as on a closed stream
    sys.stderr = _text(sys.stderr, _Words, os.O_WRONLY)


def _text(stream: TextIO | None, kind: type[io.BufferedWriter], flags: int) -> io.TextIOWrapper:
    if stream is None:
        null = kind(io.FileIO(os.open(os.devnull, flags), "w"))
        return io.TextIOWrapper(null, encoding="utf-8", errors="backslashreplace")
    # The raw stream lives on in sys.__stdout__ or sys.__stderr__; with python -u, it is the buffer.
    raw: Any = getattr(stream.buffer, "raw", stream.buffer)
    return io.TextIOWrapper(
        kind(raw), encoding=stream.encoding, errors="backslashreplace", line_buffering=bool(stream.line_buffering)
    )
