"""From arguments of the library to the options of a command, as messages spell them."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import typer

__all__ = ["as_options", "option_error", "spellings"]

# The library writes an argument in backquotes, alone or with a value: `gray=True`, `method="coupled"`.
_ARGUMENT = re.compile(r"`(?P<name>[a-z_]+)(?:=(?P<quote>\"?)(?P<value>[^`\"]*)(?P=quote))?`")


def spellings(context: "typer.Context", command: str | None = None) -> dict[str, str]:
    """Return how the user writes each argument of a command.

    Parameters
    ----------
    context : typer.Context
        Context of the group of commands, which knows the name of the command that is running.
    command : str, optional
        Name of another command than that.

    Returns
    -------
    dict of str
        Options ("--kernel-size") and positional arguments ("SOURCE") by the name of the argument ("kernel_size").
        Empty if no command was called yet.
    """
    group: Any = context.command
    called = group.commands.get(command or context.invoked_subcommand)
    return {} if called is None else {parameter.name: _spelling(parameter) for parameter in called.params}


def _spelling(parameter: Any) -> str:  # noqa: ANN401
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name).removesuffix("...").upper()
    return str(max(parameter.opts, key=len))


def as_options(message: str, options: Mapping[str, str]) -> str:
    """Replace the arguments in a message of the library by the options of a command.

    Parameters
    ----------
    message : str
        Message in which arguments stand in backquotes, as in "take a smaller `kernel_size`, or `gray=True`".
    options : mapping of str to str
        Spellings of the options, from `spellings`.

    Returns
    -------
    str
        Message with options, as in "take a smaller --kernel-size, or --gray". Other names stay as they are.
    """

    def option(argument: re.Match[str]) -> str:
        spelling, value = options.get(argument["name"]), argument["value"]
        if spelling is None:
            return argument[0]
        return spelling if value in (None, "True") else f"{spelling} {value}"

    return _ARGUMENT.sub(option, message)


def option_error(name: str, message: str, options: Mapping[str, str]) -> str:
    """Return the message about one argument, which begins with its option.

    Parameters
    ----------
    name : str
        Name of the argument, such as "kernel_size".
    message : str
        Message that can follow the name.
    options : mapping of str to str
        Spellings of the options, from `spellings`.

    Returns
    -------
    str
        Message that begins with the option, or with the name if the command has no such option.
    """
    return f"{options.get(name, name)} {as_options(message, options)}"
