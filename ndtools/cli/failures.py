"""From exceptions to messages and exit codes: the one place where a command's failures are caught."""

import sys
import warnings
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
    KeyboardInterrupt: INTERRUPTED,
}


class FailureHandlingGroup(TyperGroup):
    """Runs a command; says what it warned of, and why it failed, on standard error."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]  # noqa: ANN401
        """Invoke the command that ``ctx`` holds."""
        with warnings.catch_warnings():
            warnings.simplefilter("always", NumericalWarning)
            # Pillow warns of oddities in files that it reads all the same, from several threads.
            warnings.filterwarnings("ignore", module=r"PIL\.")
            warnings.showwarning = _show_warning
            try:
                return super().invoke(ctx)
            except tuple(EXIT_CODES) as error:
                code = next(code for kind, code in EXIT_CODES.items() if isinstance(error, kind))
                typer.echo(f"error: {_message(error)}", err=True)
                raise typer.Exit(code) from None


def _message(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted; results of earlier runs are as they were"
    if isinstance(error, OptionError):
        return f"--{error.option.replace('_', '-')} {error.message}"
    return str(error)


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    sys.stderr.write(f"warning: {message}\n")
