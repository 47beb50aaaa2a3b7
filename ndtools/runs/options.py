"""Options that the commands of training runs have in common, each declared once. Imports nothing heavy."""

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from ndtools.console.options import AsJson, DataDir, Device, Quiet, Seed
from ndtools.models.catalogue import CATALOGUE
from ndtools.models.norms import NORMS
from ndtools.runs.config import CHECKPOINT_EVERY, OUTPUT, RunConfig

__all__ = ["NETWORK", "OF_COMMAND", "RECIPE", "SEVERAL", "option", "with_run_options"]

NETWORK, RECIPE, LAYERS, RUN = "Network and data", "Recipe", "Deconvolution layers", "Run"


def option(names: str, panel: str, text: str, **settings: Any) -> Any:  # noqa: ANN401
    """Return an option with its names, the panel of the help that it stands in, and its help."""
    return typer.Option(*names.split(), help=text, rich_help_panel=panel, **settings)


def _several(names: str, panel: str, text: str, **settings: Any) -> Any:  # noqa: ANN401
    """Return the type of an option that takes several values, separated by commas."""
    return Annotated[str | None, option(names, panel, text, **settings)]


def _named(name: str, metavar: str, text: str, names: Sequence[str]) -> Any:  # noqa: ANN401
    """Return the type of an option that takes several of some names, which the shell completes."""

    def completed(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        return [f"{before}{comma}{each}" for each in names if each.startswith(last)]

    text = f"{text}: {', '.join(names)}."
    return _several(name, NETWORK, text, metavar=f"{metavar}[,{metavar}...]", autocompletion=completed)


SEVERAL: dict[str, Any] = {
    "norm": _named("--norm", "ARM", "Arms of the comparison", tuple(NORMS)),
    "constants": _several(
        "--constants",
        NETWORK,
        "Constants that normalise the images: pooled (of all pixels), or published (those of the published code).",
    ),
    "epochs": _several("--epochs", RECIPE, "Passes through the data."),
    "batch_size": _several("--batch-size -b", RECIPE, "Images in a batch, per process."),
    "lr": _several("--lr", RECIPE, "Largest learning rate."),
    "opt": _several("--opt --optimizer", RECIPE, "Optimiser: sgd, adam, adamw, muon."),
    "momentum": _several("--momentum", RECIPE, "Momentum of sgd and muon; first decay rate of adam and adamw."),
    "weight_decay": _several("--weight-decay --wd", RECIPE, "Weight decay."),
    "sched": _several("--sched", RECIPE, "Schedule of the learning rate: cosine, step, poly, constant."),
    "warmup_epochs": _several("--warmup-epochs", RECIPE, "Epochs over which the learning rate rises from 0."),
    "loss": _several("--loss", RECIPE, "Loss: ce (cross-entropy) or l2."),
    "smoothing": _several("--smoothing", RECIPE, "Label smoothing."),
    "amp": _several("--amp", RECIPE, "Automatic mixed precision: off, bf16, fp16."),
    "block_size": _several("--block-size", LAYERS, "Channels decorrelated together (default: the arm's)."),
    "n_iter": _several("--n-iter", LAYERS, "Newton-Schulz iterations (default: the arm's)."),
    "eps": _several("--eps", LAYERS, "Ridge added to covariances (default: the arm's)."),
    "sampling_stride": _several("--sampling-stride", LAYERS, "Stride of sampled patches (default: the arm's)."),
    "freeze_after": _several("--freeze-after", LAYERS, "Batches after which D is frozen (default: the arm's)."),
    "refresh_every": _several("--refresh-every", LAYERS, "Batches that share one D (default: the arm's)."),
}
"""Options that take lists, by the names of the settings; ``arch``, whose values depend on the command, is another."""

_SINGLE: dict[str, Any] = {
    "data_dir": DataDir,
    "holdout": Annotated[
        int,
        option(
            "--holdout",
            NETWORK,
            "Training images that are kept for the evaluation after each epoch. The test images are then used for"
            " the final number alone.",
        ),
    ],
    "workers": Annotated[
        int | None,
        option(
            "--workers",
            NETWORK,
            "Processes that read images from files ahead; 0 for none (default: one per processor, at most 8).",
        ),
    ],
    "strict": Annotated[
        bool, option("--strict", NETWORK, "End with an error at a damaged image, instead of leaving it out.")
    ],
    "max_steps": Annotated[
        str | None,
        option(
            "--max-steps",
            RECIPE,
            "Number of steps after which a run ends, or none (the default). With --resume, a larger number makes"
            " a run longer.",
            metavar="N|none",
        ),
    ],
    "channels_last": Annotated[bool, option("--channels-last", RECIPE, "Store images with channels last.")],
    "compile": Annotated[bool, option("--compile", RECIPE, "Compile the network with torch.compile.")],
    "repeats": Annotated[int, option("--repeats", RUN, "Runs of each combination, with seeds that count up.")],
    "seed": Seed,
    "device": Annotated[Device, option("--device", RUN, "Device that computes.")],
    "jobs": Annotated[int | None, option("--jobs -j", RUN, "Threads that compute (default: one per processor).")],
    "output": Annotated[Path, option("--output --out -o", RUN, "Folder of all runs.")],
    "name": Annotated[
        str | None,
        option(
            "--name",
            RUN,
            "Name of the run, or beginning of the names of several (default: data set, network and arm).",
        ),
    ],
    "resume": Annotated[Path | None, option("--resume", RUN, "Folder of a run to go on with.", metavar="RUN")],
    "log": Annotated[
        str | None,
        option(
            "--log",
            RUN,
            "Write events for TensorBoard into the folders of the runs, too.",
            metavar="tensorboard",
        ),
    ],
    "checkpoint_every": Annotated[
        float, option("--checkpoint-every", RUN, "Seconds after which the state is written at the latest.")
    ],
    "as_json": AsJson,
    "quiet": Quiet,
}
OF_COMMAND = {
    "repeats": 1,
    "output": Path(OUTPUT),
    "name": None,
    "resume": None,
    "log": None,
    "checkpoint_every": CHECKPOINT_EVERY,
    "as_json": False,
    "quiet": False,
}
"""Defaults of the options that are no settings of a run."""


def with_run_options(
    command: Callable[..., None], kind: type[RunConfig], without: Sequence[str] = ()
) -> Callable[..., None]:
    """Give a command that makes training runs the options that all such commands have, before its own.

    Parameters
    ----------
    command : callable
        Function that gets the values of its own parameters alone; those of all options are in its ``context``.
    kind : type of RunConfig
        Class of the configurations, which has the defaults and the networks.
    without : sequence of str
        Names of the settings that the command has no option for. Default: none.

    Returns
    -------
    callable
        The same function with further parameters.
    """
    own = inspect.signature(command)
    names = tuple(name for name, entry in CATALOGUE.items() if entry.task == kind.task)
    several = {"arch": _named("--arch", "NAME", "Network", names), **SEVERAL}
    defaults = {field.name: field.default for field in fields(kind)} | OF_COMMAND
    for name in several:
        defaults[name] = None if defaults[name] is None else str(defaults[name])

    @functools.wraps(command)
    def wrapper(**values: Any) -> None:  # noqa: ANN401
        command(**{name: values[name] for name in own.parameters})

    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=defaults[name], annotation=annotation)
        for name, annotation in (several | _SINGLE).items()
        if name not in without
    ]
    alone = list(own.parameters.values())
    first = [parameter for parameter in alone if parameter.kind is not inspect.Parameter.KEYWORD_ONLY]
    wrapper.__signature__ = own.replace(parameters=[*first, *shared, *alone[len(first) :]])  # type: ignore[attr-defined]
    return wrapper
