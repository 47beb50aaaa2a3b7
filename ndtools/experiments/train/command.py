"""``ndtools train``: train networks that classify images, one run for each combination of settings."""

from functools import partial
from typing import Annotated

import typer

from ndtools.console.options import Dataset
from ndtools.experiments.train.config import TrainConfig
from ndtools.runs.launch import launch
from ndtools.runs.options import NETWORK, RECIPE, option, with_run_options

__all__ = ["train"]


@partial(with_run_options, kind=TrainConfig)
def train(
    context: typer.Context,
    dataset: Dataset = TrainConfig.dataset,
    *,
    images: Annotated[int | None, option("--images -n", NETWORK, "Number of training images (default: all).")] = None,
    size: Annotated[
        int, option("--size", NETWORK, "Side of the squares cut from images that are streamed from files, pixels.")
    ] = TrainConfig.size,
    resize: Annotated[
        int | None,
        option(
            "--resize",
            NETWORK,
            "Short side of streamed images in evaluation, of which the centre is cut (default: 8/7 of --size).",
        ),
    ] = None,
    augment: Annotated[
        bool,
        option(
            "--augment/--no-augment",
            RECIPE,
            "Shift and mirror the training images at random; cut random squares from streamed ones.",
        ),
    ] = TrainConfig.augment,
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
