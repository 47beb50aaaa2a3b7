"""``ndtools segment``: train networks that label the pixels of scenes, one run for each combination of settings."""

from functools import partial
from typing import Annotated

import typer

from ndtools.experiments.segment.config import SegmentConfig
from ndtools.runs.launch import launch
from ndtools.runs.options import NETWORK, RECIPE, option, with_run_options

__all__ = ["segment"]


@partial(with_run_options, kind=SegmentConfig, without=("loss",))  # label maps have one loss
def segment(
    context: typer.Context,
    dataset: Annotated[
        str,
        typer.Argument(
            help="A known set (scenes, built in; camvid; cityscapes), or a folder with images and label maps.",
        ),
    ] = SegmentConfig.dataset,
    *,
    image_dir: Annotated[
        str | None,
        option(
            "--images",
            NETWORK,
            "Folder of images, in DATASET or elsewhere (default: that of a known layout).",
            metavar="DIR",
        ),
    ] = None,
    label_dir: Annotated[
        str | None,
        option("--labels", NETWORK, "Folder of label maps with the names of the images.", metavar="DIR"),
    ] = None,
    classes: Annotated[
        int | None,
        option(
            "--classes",
            NETWORK,
            "Number of classes in the maps of --labels (default: one more than the largest label).",
        ),
    ] = None,
    ignore: Annotated[
        int, option("--ignore", NETWORK, "Label in --labels of pixels that belong to no class.")
    ] = SegmentConfig.ignore,
    base: Annotated[
        int | None,
        option(
            "--base",
            NETWORK,
            "Short side to which images are scaled, pixels (default: 520 for Cityscapes, otherwise their own).",
        ),
    ] = None,
    crop: Annotated[
        int | None,
        option(
            "--crop",
            NETWORK,
            "Side of the squares cut out for training, pixels (default: the image's short side, at most 480).",
        ),
    ] = None,
    images: Annotated[
        int | None, option("--train-images -n", NETWORK, "Number of training images (default: all).")
    ] = None,
    auxiliary: Annotated[
        float, option("--auxiliary", RECIPE, "Weight of the auxiliary classifier's loss.")
    ] = SegmentConfig.auxiliary,
    auxiliary_lr: Annotated[
        float, option("--auxiliary-lr", RECIPE, "Factor of the learning rate in the auxiliary classifier.")
    ] = SegmentConfig.auxiliary_lr,
    augment: Annotated[
        bool,
        option("--augment/--no-augment", RECIPE, "Scale, mirror and crop the training images at random."),
    ] = SegmentConfig.augment,
) -> None:
    """Train a network that labels each pixel, or one for each combination of settings (Ye et al. 2020, v2, fig. 6).

    Measures are the mean intersection over union of the classes and the
    share of pixels with the right label, both from one confusion matrix.
    Runs are kept, resumed and compared like those of ndtools train.

    Example: [bold]ndtools segment camvid/ --arch deeplabv3_resnet18 --norm bn,deconv[/bold]
    """
    launch(SegmentConfig, context)
