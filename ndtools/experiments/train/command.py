"""``ndtools train``: train networks, one run for each combination of settings."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ndtools.console.conflicts import refuse_given
from ndtools.console.option_values import numbers_from
from ndtools.console.options import (
    AsJson,
    DataDir,
    Dataset,
    Device,
    Quiet,
    Seed,
)
from ndtools.console.output import Output
from ndtools.errors import OptionError
from ndtools.experiments.train.config import TrainConfig
from ndtools.models.catalogue import NAMES
from ndtools.models.norms import NORMS
from ndtools.runs.config import CHECKPOINT_EVERY, OUTPUT

if TYPE_CHECKING:
    from ndtools.runs.grid import PlannedRun

__all__ = ["train"]

_NETWORK, _RECIPE, _LAYERS, _RUN = "Network and data", "Recipe", "Deconvolution layers", "Run"
_DEFAULT = TrainConfig()
_ARCH_HELP = f"Network: {', '.join(NAMES)}."


def _complete(names: Sequence[str]) -> Callable[[str], list[str]]:
    """Return a function that completes the last name of a list."""

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        return [f"{before}{comma}{name}" for name in names if name.startswith(last)]

    return complete


def _listed(*names: str, panel: str, help: str, **settings: Any) -> Any:  # noqa: A002, ANN401
    """Return an option that takes several values, separated by commas."""
    return typer.Option(*names, help=help, rich_help_panel=panel, **settings)


def train(
    context: typer.Context,
    dataset: Dataset = TrainConfig.dataset,
    *,
    arch: Annotated[
        str,
        _listed("--arch", metavar="NAME[,NAME...]", panel=_NETWORK, help=_ARCH_HELP, autocompletion=_complete(NAMES)),
    ] = TrainConfig.arch,
    norm: Annotated[
        str,
        _listed(
            "--norm",
            metavar="ARM[,ARM...]",
            panel=_NETWORK,
            help=f"Arms of the comparison: {', '.join(NORMS)}.",
            autocompletion=_complete(tuple(NORMS)),
        ),
    ] = TrainConfig.norm,
    data_dir: DataDir = None,
    images: Annotated[
        int | None,
        typer.Option(
            "--images", help="Number of training images (default: all).", show_default=False, rich_help_panel=_NETWORK
        ),
    ] = None,
    holdout: Annotated[
        int,
        typer.Option(
            help="Training images that are kept for the evaluation after each epoch. The test images are then used for"
            " the final number alone.",
            rich_help_panel=_NETWORK,
        ),
    ] = TrainConfig.holdout,
    constants: Annotated[
        str,
        _listed(
            "--constants",
            panel=_NETWORK,
            help="Constants that normalise the images: pooled (of all pixels), or published (those of the published"
            " code).",
        ),
    ] = TrainConfig.constants,
    epochs: Annotated[str, _listed("--epochs", panel=_RECIPE, help="Passes through the data.")] = str(_DEFAULT.epochs),
    batch_size: Annotated[
        str, _listed("--batch-size", "-b", panel=_RECIPE, help="Images in a batch, per process.")
    ] = str(_DEFAULT.batch_size),
    lr: Annotated[str, _listed("--lr", panel=_RECIPE, help="Largest learning rate.")] = str(_DEFAULT.lr),
    opt: Annotated[
        str, _listed("--opt", "--optimizer", panel=_RECIPE, help="Optimiser: sgd, adam, adamw, muon.")
    ] = _DEFAULT.opt,
    momentum: Annotated[str, _listed("--momentum", panel=_RECIPE, help="Momentum of SGD and muon.")] = str(
        _DEFAULT.momentum
    ),
    weight_decay: Annotated[str, _listed("--weight-decay", "--wd", panel=_RECIPE, help="Weight decay.")] = str(
        _DEFAULT.weight_decay
    ),
    sched: Annotated[
        str, _listed("--sched", panel=_RECIPE, help="Schedule of the learning rate: cosine, step, poly, constant.")
    ] = _DEFAULT.sched,
    warmup_epochs: Annotated[
        str, _listed("--warmup-epochs", panel=_RECIPE, help="Epochs over which the learning rate rises from 0.")
    ] = str(_DEFAULT.warmup_epochs),
    loss: Annotated[str, _listed("--loss", panel=_RECIPE, help="Loss: ce (cross-entropy) or l2.")] = _DEFAULT.loss,
    smoothing: Annotated[str, _listed("--smoothing", panel=_RECIPE, help="Label smoothing.")] = str(_DEFAULT.smoothing),
    augment: Annotated[
        bool, typer.Option(help="Shift and mirror the training images at random.", rich_help_panel=_RECIPE)
    ] = _DEFAULT.augment,
    max_steps: Annotated[
        str | None,
        typer.Option(
            metavar="N|none",
            help="Number of steps after which a run ends, or none (the default). With --resume, a larger number makes"
            " a run longer.",
            show_default=False,
            rich_help_panel=_RECIPE,
        ),
    ] = None,
    amp: Annotated[
        str, _listed("--amp", panel=_RECIPE, help="Automatic mixed precision: off, bf16, fp16.")
    ] = _DEFAULT.amp,
    channels_last: Annotated[
        bool, typer.Option("--channels-last", help="Store images with channels last.", rich_help_panel=_RECIPE)
    ] = False,
    compile: Annotated[  # noqa: A002
        bool, typer.Option("--compile", help="Compile the network with torch.compile.", rich_help_panel=_RECIPE)
    ] = False,
    block_size: Annotated[
        str | None, _listed("--block-size", panel=_LAYERS, help="Channels decorrelated together (default: the arm's).")
    ] = None,
    n_iter: Annotated[
        str | None, _listed("--n-iter", panel=_LAYERS, help="Newton-Schulz iterations (default: the arm's).")
    ] = None,
    eps: Annotated[
        str | None, _listed("--eps", panel=_LAYERS, help="Ridge added to covariances (default: the arm's).")
    ] = None,
    sampling_stride: Annotated[
        str | None, _listed("--sampling-stride", panel=_LAYERS, help="Stride of sampled patches (default: the arm's).")
    ] = None,
    freeze_after: Annotated[
        str | None,
        _listed("--freeze-after", panel=_LAYERS, help="Batches after which D is frozen (default: the arm's)."),
    ] = None,
    refresh_every: Annotated[
        str | None, _listed("--refresh-every", panel=_LAYERS, help="Batches that share one D (default: the arm's).")
    ] = None,
    repeats: Annotated[
        int, typer.Option(help="Runs of each combination, with seeds that count up.", rich_help_panel=_RUN)
    ] = 1,
    seed: Seed = 0,
    device: Annotated[Device, typer.Option(help="Device that computes.", rich_help_panel=_RUN)] = Device.auto,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", "-j", help="Threads that compute (default: one per processor).", rich_help_panel=_RUN),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "--out", "-o", help="Folder of all runs.", rich_help_panel=_RUN)
    ] = Path(OUTPUT),
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            help="Name of the run, or beginning of the names of several (default: data set, network and arm).",
            show_default=False,
            rich_help_panel=_RUN,
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            "--resume", metavar="RUN", help="Folder of a run to go on with.", show_default=False, rich_help_panel=_RUN
        ),
    ] = None,
    log: Annotated[
        str | None,
        typer.Option(
            "--log",
            metavar="tensorboard",
            help="Write events for TensorBoard into the folders of the runs, too.",
            show_default=False,
            rich_help_panel=_RUN,
        ),
    ] = None,
    checkpoint_every: Annotated[
        float, typer.Option(help="Seconds after which the state is written at the latest.", rich_help_panel=_RUN)
    ] = CHECKPOINT_EVERY,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train a network, or one for each combination of settings (Ye et al. 2020, tables 1 and 4).

    Options that take lists, as in --norm bn,deconv --lr 0.05,0.1, make one
    run for each combination. Each run is a folder in runs/, with everything
    that was asked for, a line for each step and epoch, and the state from
    which an interrupted run goes on to the same weights: --resume RUN.

    Example: [bold]ndtools train cifar10 --arch vgg16 --norm bn,deconv --epochs 1[/bold]
    """
    screen = Output(quiet=quiet, as_json=as_json)
    lists: dict[str, Sequence[Any]] = {
        "arch": _words(arch),
        "norm": _words(norm),
        "constants": _words(constants),
        "epochs": numbers_from("epochs", epochs, int),
        "batch_size": numbers_from("batch_size", batch_size, int),
        "lr": numbers_from("lr", lr, float),
        "opt": _words(opt),
        "momentum": numbers_from("momentum", momentum, float),
        "weight_decay": numbers_from("weight_decay", weight_decay, float),
        "sched": _words(sched),
        "warmup_epochs": numbers_from("warmup_epochs", warmup_epochs, float),
        "loss": _words(loss),
        "smoothing": numbers_from("smoothing", smoothing, float),
        "amp": _words(amp),
        "block_size": _optional("block_size", block_size, int),
        "n_iter": _optional("n_iter", n_iter, int),
        "eps": _optional("eps", eps, float),
        "sampling_stride": _optional("sampling_stride", sampling_stride, int),
        "freeze_after": _optional("freeze_after", freeze_after, int),
        "refresh_every": _optional("refresh_every", refresh_every, int),
    }
    common = {
        "data_dir": None if data_dir is None else str(data_dir),
        "images": images,
        "holdout": holdout,
        "augment": augment,
        "max_steps": _steps_from(max_steps),
        "channels_last": channels_last,
        "compile": compile,
        "seed": seed,
        "device": device.value,
        "jobs": jobs,
    }
    from ndtools.runs.session import Session

    session = Session(screen, output=output, checkpoint_every=checkpoint_every, log=log)
    if resume is not None:
        refuse_given(context, ("name", "repeats", "output"), "with --resume, which goes on with one run in its folder")
        session.resume(TrainConfig, resume, _given(context, {"dataset": (dataset,), **lists, **_single(common)}))
    else:
        session.start(_planned(dataset, lists, repeats=repeats, name=name, common=common))
    session.report()
    session.leave()


def _planned(
    dataset: str, lists: dict[str, Sequence[Any]], *, repeats: int, name: str | None, common: dict[str, Any]
) -> "tuple[PlannedRun, ...]":
    from ndtools.console.results import check_stem
    from ndtools.runs.grid import plan

    if name is not None:
        check_stem(name)
    return plan(TrainConfig, dataset, lists, repeats=repeats, name=name, **common)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(","))


def _optional(option: str, text: str | None, kind: Callable[[str], Any]) -> tuple[Any, ...]:
    return (None,) if text is None else numbers_from(option, text, kind)


def _steps_from(text: str | None) -> int | None:
    if text is None or text == "none":
        return None
    try:
        return int(text)
    except ValueError:
        raise OptionError("max_steps", f"must be a whole number, or none, got {text!r}") from None


def _single(settings: dict[str, Any]) -> dict[str, tuple[Any]]:
    return {name: (value,) for name, value in settings.items()}


def _given(context: typer.Context, values: dict[str, Sequence[Any]]) -> dict[str, Sequence[Any]]:
    """Return the settings that the user has given, and not those that have their defaults."""
    sources = {name: context.get_parameter_source(name) for name in values}
    return {name: values[name] for name, source in sources.items() if source and source.name != "DEFAULT"}
