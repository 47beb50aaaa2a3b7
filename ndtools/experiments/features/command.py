"""``ndtools features``: what a layer of a network sees, before and after its deconvolution."""

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from ndtools.console.completion import complete_photo
from ndtools.console.measures import NAMES, REFERENCES
from ndtools.console.option_values import numbers_from
from ndtools.console.options import (
    SharedOptions,
    with_shared_options,
)
from ndtools.console.results import ExperimentOutput
from ndtools.console.tables import new_table
from ndtools.experiments.features.config import FeaturesConfig

if TYPE_CHECKING:
    from rich.table import Table

    from ndtools.experiments.features.result import FeaturesResult

__all__ = ["features"]


@partial(
    with_shared_options,
    texts={
        "jobs": "Threads that compute (default: one per processor).",
        "seed": "Seed of the weights of a new network.",
    },
    without=("verbose",),  # it skips nothing
)
def features(
    checkpoint: Annotated[
        str | None,
        typer.Argument(
            metavar="CHECKPOINT",
            help="A .safetensors file, or one of torch.save (.pt, .pth); left out with --norm.",
            show_default=False,
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="IMAGE",
            help="An image file; 'sample-photo' is built in, and the default.",
            autocompletion=complete_photo,
            show_default=False,
        ),
    ] = None,
    *,
    layer: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|N",
            help="Layer whose input is shown: its name, or the number of a convolution (default: the fifth, or the last"
            " of fewer).",
            show_default=False,
        ),
    ] = None,
    channels: Annotated[
        int, typer.Option(help="Number of channels that are shown, from the first.")
    ] = FeaturesConfig.channels,
    size: Annotated[int, typer.Option(help="Short side to which the image is resized, pixels.")] = FeaturesConfig.size,
    mean: Annotated[
        str | None,
        typer.Option(
            help="Mean of the pixels that the network was trained with, a value for each channel, separated by commas"
            " (default: as the run of the checkpoint recorded, or else that of the image).",
            show_default=False,
        ),
    ] = None,
    std: Annotated[
        str | None,
        typer.Option(help="Standard deviation of these pixels, likewise (default: as for --mean).", show_default=False),
    ] = None,
    arch: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Network (default: as the checkpoint says; vgg11 without one).", show_default=False
        ),
    ] = None,
    norm: Annotated[
        str | None,
        typer.Option(
            metavar="ARM",
            help="Take a new network, never trained, in this arm (deconv, bn, ...) in place of a checkpoint.",
            show_default=False,
        ),
    ] = None,
    shared: SharedOptions,
) -> None:
    """Show what a layer of a network sees, before and after deconvolution (Ye et al. 2020, fig. 11).

    The input channels of the layer and the magnitude of their deconvolved
    form are drawn, each channel from its least value to its largest. D is
    that of the layer or, if the layer does not deconvolve or was never
    trained, that of its input. The table has the measures of sparsity of both.

    Example: [bold]ndtools features runs/vgg11-deconv/last.safetensors photo.jpg[/bold]
    """
    output = ExperimentOutput(shared, "features")
    if norm is not None and source is None:  # no checkpoint: the only argument is the image
        checkpoint, source = None, checkpoint
    config = FeaturesConfig(
        checkpoint=checkpoint,
        source=source or FeaturesConfig.source,
        layer=int(layer) if layer and layer.isdecimal() else layer,
        channels=channels,
        size=size,
        mean=None if mean is None else numbers_from("mean", mean, float),
        std=None if std is None else numbers_from("std", std, float),
        arch=arch,
        norm=norm,
        **shared.of_run(),
    )
    output.check(config.source, config.checkpoint or "")

    from ndtools.experiments.features.run import run

    result = output.compute(run, config)
    output.results(result, title=_title(result), table=_table(result))


def _title(result: "FeaturesResult") -> str:
    from ndtools.text import counted

    height, width = result.inputs.shape[1:]
    of = f"D of {result.samples} patches of this input" if result.own else "D of the layer's training"
    return (
        f"Features · {result.source} · {result.network}{result.without_training} · {result.layer} ·"
        f" {counted(result.total, 'channel')} of {width}×{height} · {result.features} features together · {of}"
    )


def _table(result: "FeaturesResult") -> "Table":
    from ndtools.experiments.features.result import SIDES
    from ndtools.text import with_error

    caption = "input: measured about 0, as drawn;\nother columns: about the mean of each channel"
    table = new_table(("measure",), (*SIDES.values(), "Gaussian", "Laplace"), caption=caption)
    for name, label in NAMES.items():
        values = (result.measures[side][name] for side in SIDES)
        table.add_row(label, *map(with_error, (*values, *REFERENCES[name])))
    return table
