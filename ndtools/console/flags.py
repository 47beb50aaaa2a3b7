"""Help that shows flags without a type: Typer prints <bool> beside them, although they take no value."""

from typing import Any

from typer.core import TyperCommand

__all__ = ["FlagsCommand", "untyped_flags"]


class FlagsCommand(TyperCommand):
    """Command whose help shows flags without a type."""

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401
        """Return all parameters, as help shows them."""
        return untyped_flags(super().get_params(ctx))


def untyped_flags(parameters: list[Any]) -> list[Any]:
    """Return the parameters of a command, of which those that take no value have no type to be shown."""
    for parameter in parameters:
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
    return parameters
