"""Messages and exit codes for the errors of commands: the only place where errors are caught."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from ndtools.computing.memory import is_out_of_memory
from ndtools.console.flags import untyped_flags
from ndtools.console.spelling import as_options, option_error, spellings
from ndtools.errors import DataError, NdtoolsError, NumericalError, NumericalWarning, OptionError, OutputError

__all__ = ["EXIT_CODES", "FAILED", "INTERRUPTED", "FailureHandlingGroup"]

FAILED, INTERRUPTED = 1, 130
EXIT_CODES: dict[type[BaseException], int] = {  # subclasses before their bases
    OptionError: 2,
    OutputError: 1,
    DataError: 3,
    NumericalError: 4,
    NdtoolsError: 1,
    MemoryError: 1,
    KeyboardInterrupt: INTERRUPTED,
}


class FailureHandlingGroup(TyperGroup):
    """Group of commands whose warnings and errors become lines on standard error and an exit code."""

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401
        """Return all parameters, as help shows them."""
        return untyped_flags(super().get_params(ctx))

    def make_context(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Parse the command line, which may print help or the version."""
        with _exit_codes():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]  # noqa: ANN401
        """Run the command that ``ctx`` holds."""
        shown = set()

        def show_warning(message: Warning | str, *_: object, **__: object) -> None:
            if str(message) not in shown:  # several ridges of the same images have the same warnings
                shown.add(str(message))
                sys.stderr.write(f"warning: {as_options(str(message), spellings(ctx))}\n")

        with warnings.catch_warnings(), _exit_codes(ctx):
            warnings.simplefilter("always", NumericalWarning)
            # Pillow warns of defects in files that it can read nevertheless, from several threads.
            warnings.filterwarnings("ignore", module=r"PIL\.")
            warnings.showwarning = show_warning
            return super().invoke(ctx)


@contextmanager
def _exit_codes(context: typer.Context | None = None) -> Iterator[None]:
    """Turn exceptions into messages, in the spelling of the command that the context knows, and exit codes."""
    try:
        try:
            yield
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")  # a phrase of the parser, and not a reason
            raise
        except (RuntimeError, OSError, ImportError) as error:
            if not is_out_of_memory(error):
                raise
            raise MemoryError(str(error)) from None
    except tuple(EXIT_CODES) as error:
        code = next(code for kind, code in EXIT_CODES.items() if isinstance(error, kind))
        typer.echo(f"error: {_message(error, spellings(context) if context else {})}", err=True)
        raise typer.Exit(code) from None


def _message(error: BaseException, options: dict[str, str]) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted; results of earlier runs are as they were"
    if isinstance(error, OptionError):
        return option_error(error.option, error.message, options)
    if isinstance(error, MemoryError):
        reason = " ".join(str(error).split()) or "an allocation failed"
        fewer = f"fewer {options['jobs']}, " if "jobs" in options else ""
        return f"out of memory ({reason}): give smaller data or sizes, {fewer}or more memory (ulimit -v)"
    return as_options(str(error), options)
