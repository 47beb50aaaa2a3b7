"""From the options of a command to its training runs. Imports nothing heavy until it makes them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args, get_type_hints

import typer

from ndtools.console.conflicts import refuse_given
from ndtools.console.option_values import numbers_from
from ndtools.console.options import Device
from ndtools.console.output import Output
from ndtools.errors import OptionError
from ndtools.runs.config import RunConfig
from ndtools.runs.options import OF_COMMAND, SEVERAL

__all__ = ["launch"]


def launch(kind: type[RunConfig], context: typer.Context) -> None:
    """Make the runs of a command, or go on with one.

    Parameters
    ----------
    kind : type of RunConfig
        Class of the configurations. The parameters of the command have the names of its settings, and those of
        `OF_COMMAND`.
    context : typer.Context
        Context of the command, which has the values of all of its parameters.
    """
    values = dict(context.params)
    output, dataset, resume = Path(values["output"]), values["dataset"], values["resume"]
    screen = Output(quiet=values["quiet"], as_json=values["as_json"])
    settings = {name: value for name, value in values.items() if name not in ("dataset", *OF_COMMAND)}
    lists = {name: _listed(kind, name, settings[name]) for name in ("arch", *SEVERAL) if name in settings}
    common = {name: _plain(name, value) for name, value in settings.items() if name not in lists}

    from ndtools.runs.session import Session

    session = Session(screen, output=output, checkpoint_every=values["checkpoint_every"], log=values["log"])
    if resume is not None:
        refuse_given(context, ("name", "repeats", "output"), "with --resume, which goes on with one run in its folder")
        known = {"dataset": (dataset,), **lists, **{name: (value,) for name, value in common.items()}}
        session.resume(kind, Path(resume), _given(context, known))
    else:
        from ndtools.console.results import check_stem
        from ndtools.runs.grid import plan

        if values["name"] is not None:
            check_stem(values["name"])
        session.start(plan(kind, dataset, lists, repeats=values["repeats"], name=values["name"], **common))
    session.report()
    session.leave()


def _listed(kind: type[RunConfig], name: str, text: str | None) -> Sequence[Any]:
    """Read the values of a setting that may have several, which are of its type; one that is not given is None."""
    if text is None:
        return (None,)
    hint = get_type_hints(kind)[name]
    for number in (int, float):
        if number in (hint, *get_args(hint)):
            return numbers_from(name, text, number)
    return tuple(word.strip() for word in text.split(","))


def _plain(name: str, value: Any) -> Any:  # noqa: ANN401
    """Return the value of an option as a configuration holds it."""
    if name == "max_steps":
        return _steps_from(value)
    if isinstance(value, Device):
        return value.value
    return str(value) if isinstance(value, Path) else value


def _steps_from(text: str | None) -> int | None:
    if text is None or text == "none":
        return None
    try:
        return int(text)
    except ValueError:
        raise OptionError("max_steps", f"must be a whole number, or none, got {text!r}") from None


def _given(context: typer.Context, values: dict[str, Sequence[Any]]) -> dict[str, Sequence[Any]]:
    """Return the settings that the user has given, and not those that have their defaults."""
    sources = {name: context.get_parameter_source(name) for name in values}
    return {name: values[name] for name, source in sources.items() if source and source.name != "DEFAULT"}
