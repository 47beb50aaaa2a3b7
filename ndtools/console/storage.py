"""The option for storage that addresses name, and what a command line shows of it."""

import json
from collections.abc import Sequence
from typing import Any

from ndtools.errors import OptionError

__all__ = ["OPTION", "storage_from", "without_values"]

OPTION = "--storage-options"


def storage_from(texts: Sequence[str] | None) -> dict[str, Any]:
    """Read options of storage.

    Parameters
    ----------
    texts : sequence of str or None
        Each is ``KEY=VALUE`` or a JSON object. A value is read as JSON if it is JSON (``true``, ``3``), else as text.
        ``client_kwargs.region_name=eu-west-1`` is the key ``region_name`` of the object ``client_kwargs``.

    Returns
    -------
    dict
        Options by name. Later texts have precedence.

    Raises
    ------
    OptionError
        If a text is neither.
    """
    options: dict[str, Any] = {}
    for text in texts or ():
        if text.lstrip().startswith("{"):
            try:
                options.update(json.loads(text))
            except ValueError:
                raise OptionError(
                    "storage_options", "must be KEY=VALUE or a JSON object, got JSON with an error"
                ) from None
            continue
        key, equals, value = text.partition("=")
        if not equals or not key.strip():  # the text itself may be a secret
            raise OptionError("storage_options", "must be KEY=VALUE or a JSON object, as in anon=true")
        inner = options
        *outer, last = key.strip().split(".")
        for name in outer:
            inner = inner.setdefault(name, {})
            if not isinstance(inner, dict):
                raise OptionError("storage_options", f"must give {name} one value, or options of its own, not both")
        inner[last] = _value(value)
    return options


def without_values(arguments: Sequence[str]) -> list[str]:
    """Return the arguments of a command line with ``...`` in place of values of this option: most are credentials."""
    shown: list[str] = []
    for argument in arguments:
        if shown and shown[-1] == OPTION:
            shown.append(_hidden(argument))
        elif argument.startswith(f"{OPTION}="):
            shown.append(f"{OPTION}={_hidden(argument.removeprefix(f'{OPTION}='))}")
        else:
            shown.append(argument)
    return shown


def _hidden(text: str) -> str:
    return "{...}" if text.lstrip().startswith("{") else f"{text.partition('=')[0]}=..."


def _value(text: str) -> Any:  # noqa: ANN401
    try:
        return json.loads(text)
    except ValueError:
        return text
