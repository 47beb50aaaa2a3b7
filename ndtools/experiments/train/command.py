"""``ndtools train``: train networks that classify images, one run for each combination of settings."""

from pathlib import Path
from typing import Annotated

import typer

from ndtools.console.options import AsJson, DataDir, Dataset, Device, Quiet, Seed
from ndtools.experiments.train.config import TrainConfig
from ndtools.models.catalogue import NAMES
from ndtools.runs import options as shared
from ndtools.runs.config import CHECKPOINT_EVERY, OUTPUT
from ndtools.runs.launch import launch
from ndtools.runs.options import NETWORK, RECIPE, arch_option, listed

__all__ = ["train"]

_DEFAULT = TrainConfig()


def train(  # noqa: PLR0913 - launch takes all of them from the context
    context: typer.Context,
    dataset: Dataset = TrainConfig.dataset,
    *,
    arch: Annotated[str, arch_option(NAMES)] = TrainConfig.arch,
    norm: shared.Norm = TrainConfig.norm,
    data_dir: DataDir = None,
    images: Annotated[
        int | None,
        typer.Option(
            "--images",
            "-n",
            help="Number of training images (default: all).",
            show_default=False,
            rich_help_panel=NETWORK,
        ),
    ] = None,
    holdout: shared.Holdout = TrainConfig.holdout,
    constants: shared.Constants = TrainConfig.constants,
    size: Annotated[
        int,
        typer.Option(
            "--size",
            help="Side of the squares cut from images that are streamed from files, pixels.",
            rich_help_panel=NETWORK,
        ),
    ] = TrainConfig.size,
    resize: Annotated[
        int | None,
        typer.Option(
            "--resize",
            help="Short side of streamed images in evaluation, of which the centre is cut (default: 8/7 of --size).",
            show_default=False,
            rich_help_panel=NETWORK,
        ),
    ] = None,
    workers: shared.Workers = None,
    strict: shared.Strict = False,
    epochs: shared.Epochs = str(_DEFAULT.epochs),
    batch_size: shared.BatchSize = str(_DEFAULT.batch_size),
    lr: shared.Rate = str(_DEFAULT.lr),
    opt: shared.Optimiser = _DEFAULT.opt,
    momentum: shared.Momentum = str(_DEFAULT.momentum),
    weight_decay: shared.WeightDecay = str(_DEFAULT.weight_decay),
    sched: shared.Schedule = _DEFAULT.sched,
    warmup_epochs: shared.WarmupEpochs = str(_DEFAULT.warmup_epochs),
    loss: Annotated[str, listed("--loss", panel=RECIPE, help="Loss: ce (cross-entropy) or l2.")] = _DEFAULT.loss,
    smoothing: shared.Smoothing = str(_DEFAULT.smoothing),
    augment: Annotated[
        bool,
        typer.Option(
            help="Shift and mirror the training images at random; cut random squares from streamed ones.",
            rich_help_panel=RECIPE,
        ),
    ] = _DEFAULT.augment,
    max_steps: shared.MaxSteps = None,
    amp: shared.Amp = _DEFAULT.amp,
    channels_last: shared.ChannelsLast = False,
    compile: shared.Compile = False,  # noqa: A002
    block_size: shared.BlockSize = None,
    n_iter: shared.Iterations = None,
    eps: shared.Eps = None,
    sampling_stride: shared.SamplingStride = None,
    freeze_after: shared.FreezeAfter = None,
    refresh_every: shared.RefreshEvery = None,
    repeats: shared.Repeats = 1,
    seed: Seed = 0,
    device: shared.RunDevice = Device.auto,
    jobs: shared.Threads = None,
    output: shared.OutputFolder = Path(OUTPUT),
    name: shared.RunName = None,
    resume: shared.Resume = None,
    log: shared.Log = None,
    checkpoint_every: shared.CheckpointEvery = CHECKPOINT_EVERY,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train a network, or one for each combination of settings (Ye et al. 2020, tables 1, 2 and 4).

    DATASET is a known set, or a folder of class folders or tar shards in
    the layout of ImageNet, which are streamed.
    Options that take lists, as in --norm bn,deconv --lr 0.05,0.1, make one
    run for each combination. Each run is a folder in runs/, with everything
    that was asked for, a line for each step and epoch, and the state from
    which an interrupted run goes on to the same weights: --resume RUN.

    Example: [bold]ndtools train cifar10 --arch vgg16 --norm bn,deconv --epochs 1[/bold]
    """
    launch(TrainConfig, context)
