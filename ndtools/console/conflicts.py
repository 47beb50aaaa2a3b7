"""Refuse options that have no meaning together with another option."""

from collections.abc import Sequence

import typer

from ndtools.errors import OptionError

__all__ = ["refuse_given"]


def refuse_given(context: typer.Context, names: Sequence[str], because: str) -> None:
    """Refuse options that the user has given. Options that keep their defaults are accepted.

    Parameters
    ----------
    context : typer.Context
        Context of the command. It knows whether a value was given or is a default.
    names : sequence of str
        Names of the command's parameters that have no meaning.
    because : str
        Reason, such as "with --method eigh, which is exact".

    Raises
    ------
    OptionError
        If one of the options was given. The error names the first.
    """
    for name in names:
        source = context.get_parameter_source(name)
        if source is not None and source.name != "DEFAULT":
            raise OptionError(name, f"has no meaning {because}")
