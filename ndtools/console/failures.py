"""From exceptions to messages and exit codes: the one place where a command's failures are caught."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from ndtools.errors import DataError, NdtoolsError, NumericalError, NumericalWarning, OptionError, OutputError

__all__ = ["EXIT_CODES", "INTERRUPTED", "FailureHandlingGroup"]

INTERRUPTED = 130
EXIT_CODES: dict[type[BaseException], int] = {  # subclasses before their bases
    OptionError: 2,
    OutputError: 1,
    DataError: 3,
    NumericalError: 4,
    NdtoolsError: 1,
    MemoryError: 1,
    KeyboardInterrupt: INTERRUPTED,
}
# Parameters that commands take as arguments, by the names they have in help texts.
_ARGUMENTS = {"source": "SOURCE"}
# Without memory, torch, threading and the import of libraries raise errors that say so only in their text.
_WITHOUT_MEMORY = (
    "can't start new thread",
    "can't allocate memory",
    "not enough memory",
    "Cannot allocate memory",
    "could not create a primitive",
    "failed to map segment",
)


class FailureHandlingGroup(TyperGroup):
    """Runs a command; says what it warned of, and why it failed, on standard error."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Parse the command line, which may print help or the version."""
        with _exit_codes():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]  # noqa: ANN401
        """Invoke the command that ``ctx`` holds."""
        with warnings.catch_warnings(), _exit_codes():
            warnings.simplefilter("always", NumericalWarning)
            # Pillow warns of oddities in files that it reads all the same, from several threads.
            warnings.filterwarnings("ignore", module=r"PIL\.")
            warnings.showwarning = _show_warning
            return super().invoke(ctx)


@contextmanager
def _exit_codes() -> Iterator[None]:
    try:
        try:
            yield
        except (RuntimeError, OSError, ImportError) as error:
            if isinstance(error, NdtoolsError) or not any(text in str(error) for text in _WITHOUT_MEMORY):
                raise
            raise MemoryError(str(error)) from None
    except tuple(EXIT_CODES) as error:
        code = next(code for kind, code in EXIT_CODES.items() if isinstance(error, kind))
        typer.echo(f"error: {_message(error)}", err=True)
        raise typer.Exit(code) from None


def _message(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted; results of earlier runs are as they were"
    if isinstance(error, OptionError):
        return f"{_ARGUMENTS.get(error.option) or '--' + error.option.replace('_', '-')} {error.message}"
    if isinstance(error, MemoryError):
        reason = " ".join(str(error).split()) or "an allocation failed"
        return f"out of memory ({reason}): give smaller data or sizes, fewer --jobs, or more memory (ulimit -v)"
    return str(error)


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    sys.stderr.write(f"warning: {message}\n")
