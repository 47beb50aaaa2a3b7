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
        Of the command.
    names : sequence of str
        Of its parameters.
    because : str
        What makes them meaningless.

    Raises
    ------
    OptionError
        Of the first of them that was given.
    """
    for name in names:
        source = context.get_parameter_source(name)
        if source is not None and source.name != "DEFAULT":
            raise OptionError(name, f"has no meaning {because}")
