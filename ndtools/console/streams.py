"""Standard output and standard error, prepared for streams that are closed, full, or pipes that nobody reads."""

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from ndtools.errors import OutputError

__all__ = ["prepare_standard_streams"]


class _ResultStream(io.BufferedWriter):
    """Standard output. A failure to write is an `OutputError`, except that a reader may close its pipe."""

    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        with _output_errors():
            return super().write(data)

    def flush(self) -> None:
        with _output_errors():
            super().flush()


@contextmanager
def _output_errors() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:  # Typer ends the command without a message
        raise
    except OSError as error:
        reason = "it is closed" if error.errno == errno.EBADF else error.strerror
        raise OutputError(f"cannot write to standard output: {reason}") from None


class _RemarkStream(io.BufferedWriter):
    """Standard error. Text that cannot be written is dropped, since that is no reason to stop the computation."""

    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        with suppress(OSError):
            super().write(data)
        return len(data)

    def flush(self) -> None:
        with suppress(OSError):
            super().flush()


def prepare_standard_streams() -> None:
    """Make `sys.stdout` raise an `OutputError` where it cannot be written to, and `sys.stderr` never raise.

    Closed file descriptors are opened on the null device. Otherwise the next file that is opened would get their
    numbers, and receive what C libraries write to standard error. Characters that an encoding lacks are written as
    escapes: a terminal that cannot show "×", or a file name that is not UTF-8, must not end a run.
    """
    if sys.stdin is None:
        sys.stdin = open(os.devnull)  # noqa: SIM115  # for the whole process
    sys.stdout = _text_stream(sys.stdout, _ResultStream, os.O_RDONLY)  # read only: writing fails as if closed
    sys.stderr = _text_stream(sys.stderr, _RemarkStream, os.O_WRONLY)


def _text_stream(stream: TextIO | None, kind: type[io.BufferedWriter], flags: int) -> io.TextIOWrapper:
    if stream is None:
        null = kind(io.FileIO(os.open(os.devnull, flags), "w"))
        return io.TextIOWrapper(null, encoding="utf-8", errors="backslashreplace")
    # The raw stream lives on in sys.__stdout__ or sys.__stderr__; with python -u, it is the buffer.
    raw: Any = getattr(stream.buffer, "raw", stream.buffer)
    # With python -u, lines are written at once, though the stream does not call itself buffered by lines.
    by_lines = bool(stream.line_buffering or getattr(stream, "write_through", False))
    return io.TextIOWrapper(kind(raw), encoding=stream.encoding, errors="backslashreplace", line_buffering=by_lines)
