"""Command lines that run a part by itself."""

import shlex
from dataclasses import fields

from ndtools.reproduction.item import Part
from ndtools.runs.config import RunConfig
from ndtools.runs.grid import PlannedRun
from ndtools.runs.grid import command_of as train_command

__all__ = ["command_of"]

_ARGUMENTS = ("source", "dataset")


def command_of(part: Part, folder: str, name: str) -> str:
    """Return the command that makes the result of a part.

    Parameters
    ----------
    part : Part
        Work with its configuration.
    folder : str
        Folder of the result, or of the training run.
    name : str
        Name of the files of the result, or of the training run.

    Returns
    -------
    str
        Command line in which the settings stand that differ from their defaults.
    """
    if isinstance(part.config, RunConfig):
        return train_command(PlannedRun(name, part.config), output=folder)
    words = ["ndtools", part.experiment]
    changed = {
        field.name: value
        for field in fields(part.config)
        if (value := getattr(part.config, field.name)) != field.default
    }
    for setting, value in {**changed, "out": folder}.items():
        option = f"--{setting.replace('_', '-')}"
        if setting in _ARGUMENTS:
            words.insert(2, str(value))
        elif (part.experiment, setting) in (("check", "names"), ("inference", "archs")):
            words[2:2] = value
        elif isinstance(value, bool):
            words.append(option)
        elif isinstance(value, tuple):
            words += [option, ",".join(map(str, value))]
        else:
            words += [option, str(value)]
    return shlex.join(words)
