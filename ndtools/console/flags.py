"""Commands: flags without the type <bool> that Typer prints beside them, and a hint to quote globs."""

import os
from typing import Any

from typer.core import TyperCommand

from ndtools.errors import OptionError

__all__ = ["FlagsCommand", "untyped_flags"]


class FlagsCommand(TyperCommand):
    """Command whose help shows flags without a type, and which asks to quote a glob that the shell has expanded."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401
        """Parse the command line."""
        files = sum(os.path.lexists(arg) for arg in args)  # parsing takes them off the list
        try:
            return list(super().parse_args(ctx, args))
        except Exception as error:
            # Typer brings its own click, so the error is known by its message.
            if "unexpected extra argument" not in str(getattr(error, "message", "")) or files < 2:
                raise
            if not any(parameter.name == "source" for parameter in self.params):
                raise
            raise OptionError("source", f"must be one, got {files}: quote the glob, or name a folder") from None

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401
        """Return all parameters, as help shows them."""
        return untyped_flags(super().get_params(ctx))


def untyped_flags(parameters: list[Any]) -> list[Any]:
    """Return the parameters of a command, of which those that take no value have no type to be shown."""
    for parameter in parameters:
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
    return parameters
