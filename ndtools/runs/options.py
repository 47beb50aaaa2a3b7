"""Options that the commands of training runs have in common, each declared once. Imports nothing heavy."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ndtools.console.options import Device
from ndtools.models.norms import NORMS

__all__ = [
    "NETWORK",
    "RECIPE",
    "RUN",
    "Amp",
    "BatchSize",
    "BlockSize",
    "ChannelsLast",
    "CheckpointEvery",
    "Compile",
    "Constants",
    "Epochs",
    "Eps",
    "FreezeAfter",
    "Holdout",
    "Iterations",
    "Log",
    "MaxSteps",
    "Momentum",
    "Norm",
    "Optimiser",
    "OutputFolder",
    "Rate",
    "RefreshEvery",
    "Repeats",
    "Resume",
    "RunDevice",
    "RunName",
    "SamplingStride",
    "Schedule",
    "Smoothing",
    "Strict",
    "Threads",
    "WarmupEpochs",
    "WeightDecay",
    "Workers",
    "arch_option",
    "listed",
]

NETWORK, RECIPE, LAYERS, RUN = "Network and data", "Recipe", "Deconvolution layers", "Run"


def listed(*names: str, panel: str, help: str, **settings: Any) -> Any:  # noqa: A002, ANN401
    """Return an option that takes several values, separated by commas."""
    return typer.Option(*names, help=help, rich_help_panel=panel, **settings)


def complete(names: Sequence[str]) -> Callable[[str], list[str]]:
    """Return a function that completes the last name of a list."""

    def completed(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        return [f"{before}{comma}{name}" for name in names if name.startswith(last)]

    return completed


def arch_option(names: Sequence[str]) -> Any:  # noqa: ANN401
    """Return the option that names networks, of those that a command trains."""
    return listed(
        "--arch",
        metavar="NAME[,NAME...]",
        panel=NETWORK,
        help=f"Network: {', '.join(names)}.",
        autocompletion=complete(names),
    )


Norm = Annotated[
    str,
    listed(
        "--norm",
        metavar="ARM[,ARM...]",
        panel=NETWORK,
        help=f"Arms of the comparison: {', '.join(NORMS)}.",
        autocompletion=complete(tuple(NORMS)),
    ),
]
Holdout = Annotated[
    int,
    typer.Option(
        "--holdout",
        help="Training images that are kept for the evaluation after each epoch. The test images are then used for"
        " the final number alone.",
        rich_help_panel=NETWORK,
    ),
]
Constants = Annotated[
    str,
    listed(
        "--constants",
        panel=NETWORK,
        help="Constants that normalise the images: pooled (of all pixels), or published (those of the published code).",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        help="Processes that read images from files ahead; 0 for none (default: one per processor, at most 8).",
        show_default=False,
        rich_help_panel=NETWORK,
    ),
]
Strict = Annotated[
    bool,
    typer.Option(
        "--strict", help="End with an error at a damaged image, instead of leaving it out.", rich_help_panel=NETWORK
    ),
]
Epochs = Annotated[str, listed("--epochs", panel=RECIPE, help="Passes through the data.")]
BatchSize = Annotated[str, listed("--batch-size", "-b", panel=RECIPE, help="Images in a batch, per process.")]
Rate = Annotated[str, listed("--lr", panel=RECIPE, help="Largest learning rate.")]
Optimiser = Annotated[str, listed("--opt", "--optimizer", panel=RECIPE, help="Optimiser: sgd, adam, adamw, muon.")]
Momentum = Annotated[str, listed("--momentum", panel=RECIPE, help="Momentum of SGD and muon.")]
WeightDecay = Annotated[str, listed("--weight-decay", "--wd", panel=RECIPE, help="Weight decay.")]
Schedule = Annotated[
    str, listed("--sched", panel=RECIPE, help="Schedule of the learning rate: cosine, step, poly, constant.")
]
WarmupEpochs = Annotated[
    str, listed("--warmup-epochs", panel=RECIPE, help="Epochs over which the learning rate rises from 0.")
]
Smoothing = Annotated[str, listed("--smoothing", panel=RECIPE, help="Label smoothing.")]
MaxSteps = Annotated[
    str | None,
    typer.Option(
        "--max-steps",
        metavar="N|none",
        help="Number of steps after which a run ends, or none (the default). With --resume, a larger number makes"
        " a run longer.",
        show_default=False,
        rich_help_panel=RECIPE,
    ),
]
Amp = Annotated[str, listed("--amp", panel=RECIPE, help="Automatic mixed precision: off, bf16, fp16.")]
ChannelsLast = Annotated[
    bool, typer.Option("--channels-last", help="Store images with channels last.", rich_help_panel=RECIPE)
]
Compile = Annotated[
    bool, typer.Option("--compile", help="Compile the network with torch.compile.", rich_help_panel=RECIPE)
]
BlockSize = Annotated[
    str | None, listed("--block-size", panel=LAYERS, help="Channels decorrelated together (default: the arm's).")
]
Iterations = Annotated[
    str | None, listed("--n-iter", panel=LAYERS, help="Newton-Schulz iterations (default: the arm's).")
]
Eps = Annotated[str | None, listed("--eps", panel=LAYERS, help="Ridge added to covariances (default: the arm's).")]
SamplingStride = Annotated[
    str | None, listed("--sampling-stride", panel=LAYERS, help="Stride of sampled patches (default: the arm's).")
]
FreezeAfter = Annotated[
    str | None, listed("--freeze-after", panel=LAYERS, help="Batches after which D is frozen (default: the arm's).")
]
RefreshEvery = Annotated[
    str | None, listed("--refresh-every", panel=LAYERS, help="Batches that share one D (default: the arm's).")
]
Repeats = Annotated[
    int, typer.Option("--repeats", help="Runs of each combination, with seeds that count up.", rich_help_panel=RUN)
]
RunDevice = Annotated[Device, typer.Option("--device", help="Device that computes.", rich_help_panel=RUN)]
Threads = Annotated[
    int | None,
    typer.Option("--jobs", "-j", help="Threads that compute (default: one per processor).", rich_help_panel=RUN),
]
OutputFolder = Annotated[Path, typer.Option("--output", "--out", "-o", help="Folder of all runs.", rich_help_panel=RUN)]
RunName = Annotated[
    str | None,
    typer.Option(
        "--name",
        help="Name of the run, or beginning of the names of several (default: data set, network and arm).",
        show_default=False,
        rich_help_panel=RUN,
    ),
]
Resume = Annotated[
    Path | None,
    typer.Option(
        "--resume", metavar="RUN", help="Folder of a run to go on with.", show_default=False, rich_help_panel=RUN
    ),
]
Log = Annotated[
    str | None,
    typer.Option(
        "--log",
        metavar="tensorboard",
        help="Write events for TensorBoard into the folders of the runs, too.",
        show_default=False,
        rich_help_panel=RUN,
    ),
]
CheckpointEvery = Annotated[
    float,
    typer.Option(
        "--checkpoint-every", help="Seconds after which the state is written at the latest.", rich_help_panel=RUN
    ),
]
