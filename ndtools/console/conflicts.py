"""Options that another one makes meaningless."""

from collections.abc import Sequence

import typer

from ndtools.errors import OptionError

__all__ = ["refuse_given"]


def refuse_given(context: typer.Context, names: Sequence[str], because: str) -> None:
    """Refuse options that the user has given, not those left at their defaults.

    Parameters
    ----------
    context : typer.Context
        Context of the command, which knows where each value comes from.
    names : sequence of str
        Names of parameters of the command.
    because : str
        The option or reason that makes them meaningless, as the message says it.

    Raises
    ------
    OptionError
        If one of them was given; the error names the first.
    """
    for name in names:
        source = context.get_parameter_source(name)
        if source is not None and source.name != "DEFAULT":
            raise OptionError(name, f"has no meaning {because}")
