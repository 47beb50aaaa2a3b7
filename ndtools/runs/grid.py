"""Lists of settings become runs: one for each combination, with a name of its own. Imports nothing heavy."""

import itertools
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from ndtools.errors import OptionError
from ndtools.models.norms import NORMS
from ndtools.runs.config import LAYER_SETTINGS, RunConfig

__all__ = ["PlannedRun", "command_of", "name_of", "plan"]

_SHORT = {
    "batch_size": "b",
    "epochs": "e",
    "lr": "lr",
    "momentum": "m",
    "weight_decay": "wd",
    "smoothing": "smooth",
    "warmup_epochs": "warmup",
    "block_size": "block",
    "n_iter": "it",
    "eps": "eps",
    "sampling_stride": "stride",
    "freeze_after": "freeze",
    "refresh_every": "refresh",
}
"""Letters before the value of a setting in the name of a run; other settings are named by their value alone."""


@dataclass(frozen=True)
class PlannedRun:
    """A run to be made.

    Attributes
    ----------
    name : str
        Name of the run, from which its folder gets its name.
    config : RunConfig
        Configuration of the run.
    """

    name: str
    config: RunConfig


def plan(
    kind: type[RunConfig],
    dataset: str,
    lists: Mapping[str, Sequence[Any]],
    *,
    repeats: int = 1,
    name: str | None = None,
    **common: Any,  # noqa: ANN401
) -> tuple[PlannedRun, ...]:
    """Return one run for each combination of listed settings, and for each seed.

    Settings of deconvolution layers are left out of the runs whose networks have no such layers, if other runs have.
    All combinations come with the first seed, then all with the second.

    Parameters
    ----------
    kind : type of RunConfig
        Class of the configurations.
    dataset : str
        Name of a data set or its folder.
    lists : mapping of str to sequence
        Values of each setting that may have several, by its name in the configuration; "arch" and "norm" among them.
    repeats : int
        Number of runs of each combination, with seeds that count up from ``seed``. Default 1.
    name : str, optional
        Beginning of the names of all runs. By default the data set, network and arm are the beginning.
    **common
        Settings that all runs have in common.

    Returns
    -------
    tuple of PlannedRun
        All runs, in the order in which they should be made.

    Raises
    ------
    OptionError
        If a configuration is not valid, or a list is empty or has a value twice.
    """
    if repeats < 1:
        raise OptionError("repeats", f"must be at least 1, got {repeats}")
    for setting, values in lists.items():
        if not values or len(set(values)) < len(values):
            given = f", got {', '.join(map(str, values))}" if values else ""
            raise OptionError(setting, f"must be one or more values, each once{given}")
    seed = common.pop("seed", RunConfig.seed)
    some_deconvolve = any(norm in NORMS and NORMS[norm].deconvolves for norm in lists["norm"])
    varied = [setting for setting, values in lists.items() if len(values) > 1]
    runs: dict[RunConfig, str] = {}
    for run_seed in range(seed, seed + repeats):
        for values in itertools.product(*lists.values()):
            settings = dict(zip(lists, values, strict=True))
            norm = settings["norm"]
            if some_deconvolve and not (norm in NORMS and NORMS[norm].deconvolves):
                settings |= dict.fromkeys(LAYER_SETTINGS)
            config = kind(dataset, **settings, **common, seed=run_seed)
            own = [setting for setting in varied if settings[setting] is not None]
            parts = [_word(setting, settings[setting]) for setting in own if name or setting not in ("arch", "norm")]
            beginning = [name] if name else [name_of(config)]
            parts += [f"seed{run_seed}"] if repeats > 1 else []
            runs.setdefault(config, "-".join([*beginning, *parts]))
    return tuple(PlannedRun(name, config) for config, name in runs.items())


def name_of(config: RunConfig) -> str:
    """Return the name of a run that was not given one: data set, network and arm."""
    return "-".join([os.path.basename(os.path.abspath(config.dataset)) or "images", config.arch, config.norm])


def command_of(run: PlannedRun, **others: Any) -> str:  # noqa: ANN401
    """Return the command that makes one run alone.

    Parameters
    ----------
    run : PlannedRun
        The run, with the name that it gets.
    **others
        Further options of the command by their names, such as ``output``, with their values.

    Returns
    -------
    str
        Command line in which the settings stand that differ from their defaults.
    """
    words = ["ndtools", run.config.command, run.config.dataset]
    for field in fields(run.config):
        value = getattr(run.config, field.name)
        option = run.config.options.get(field.name, field.name.replace("_", "-"))
        if field.name == "dataset" or value == field.default:
            continue
        if isinstance(value, bool):
            words.append(f"--{'' if value else 'no-'}{option}")
        else:
            words += [f"--{option}", str(value)]
    for name, value in {"name": run.name, **others}.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(words)


def _word(setting: str, value: Any) -> str:  # noqa: ANN401
    shown = f"{value:g}" if isinstance(value, float) else str(value)
    return f"{_SHORT.get(setting, '')}{shown}"
