"""``ndtools segment``: train networks that label the pixels of scenes, one run for each combination of settings."""

from pathlib import Path
from typing import Annotated

import typer

from ndtools.console.options import AsJson, DataDir, Device, Quiet, Seed
from ndtools.experiments.segment.config import SegmentConfig
from ndtools.models.catalogue import SEGMENTATION_NAMES
from ndtools.runs import options as shared
from ndtools.runs.config import CHECKPOINT_EVERY, OUTPUT
from ndtools.runs.launch import launch
from ndtools.runs.options import NETWORK, RECIPE, arch_option

__all__ = ["segment"]

_DEFAULT = SegmentConfig()


def segment(  # noqa: PLR0913 - launch takes all of them from the context
    context: typer.Context,
    dataset: Annotated[
        str,
        typer.Argument(
            help="A known set (scenes, built in; camvid; cityscapes), or a folder with images and label maps.",
        ),
    ] = SegmentConfig.dataset,
    *,
    arch: Annotated[str, arch_option(SEGMENTATION_NAMES)] = SegmentConfig.arch,
    norm: shared.Norm = SegmentConfig.norm,
    data_dir: DataDir = None,
    image_dir: Annotated[
        str | None,
        typer.Option(
            "--images",
            metavar="DIR",
            help="Folder of images, in DATASET or elsewhere (default: that of a known layout).",
            show_default=False,
            rich_help_panel=NETWORK,
        ),
    ] = None,
    label_dir: Annotated[
        str | None,
        typer.Option(
            "--labels",
            metavar="DIR",
            help="Folder of label maps with the names of the images.",
            show_default=False,
            rich_help_panel=NETWORK,
        ),
    ] = None,
    classes: Annotated[
        int | None,
        typer.Option(
            "--classes",
            help="Number of classes in the maps of --labels (default: one more than the largest label).",
            show_default=False,
            rich_help_panel=NETWORK,
        ),
    ] = None,
    ignore: Annotated[
        int,
        typer.Option("--ignore", help="Label in --labels of pixels that belong to no class.", rich_help_panel=NETWORK),
    ] = SegmentConfig.ignore,
    base: Annotated[
        int | None,
        typer.Option(
            "--base",
            help="Short side to which images are scaled, pixels (default: 520 for Cityscapes, otherwise their own).",
            show_default=False,
            rich_help_panel=NETWORK,
        ),
    ] = None,
    crop: Annotated[
        int | None,
        typer.Option(
            "--crop",
            help="Side of the squares cut out for training, pixels (default: the image's short side, at most 480).",
            show_default=False,
            rich_help_panel=NETWORK,
        ),
    ] = None,
    images: Annotated[
        int | None,
        typer.Option(
            "--train-images",
            "-n",
            help="Number of training images (default: all).",
            show_default=False,
            rich_help_panel=NETWORK,
        ),
    ] = None,
    holdout: shared.Holdout = SegmentConfig.holdout,
    constants: shared.Constants = SegmentConfig.constants,
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
    smoothing: shared.Smoothing = str(_DEFAULT.smoothing),
    auxiliary: Annotated[
        float, typer.Option("--auxiliary", help="Weight of the auxiliary classifier's loss.", rich_help_panel=RECIPE)
    ] = SegmentConfig.auxiliary,
    auxiliary_lr: Annotated[
        float,
        typer.Option(
            "--auxiliary-lr", help="Factor of the learning rate in the auxiliary classifier.", rich_help_panel=RECIPE
        ),
    ] = SegmentConfig.auxiliary_lr,
    augment: Annotated[
        bool, typer.Option(help="Scale, mirror and crop the training images at random.", rich_help_panel=RECIPE)
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
    """Train a network that labels each pixel, or one for each combination of settings (Ye et al. 2020, v2, fig. 6).

    Measures are the mean intersection over union of the classes and the
    share of pixels with the right label, both from one confusion matrix.
    Runs are kept, resumed and compared like those of ndtools train.

    Example: [bold]ndtools segment camvid/ --arch deeplabv3_resnet18 --norm bn,deconv[/bold]
    """
    launch(SegmentConfig, context)
