"""``ndtools stats``: mean, standard deviation and covariance of the channels of a set of images."""

from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ndtools.console.completion import complete_images
from ndtools.console.options import (
    ArrayOptions,
    ColourSpace,
    DataDir,
    Gray,
    Images,
    Resize,
    SharedOptions,
    with_shared_options,
)
from ndtools.console.results import ExperimentOutput
from ndtools.console.tables import new_table
from ndtools.experiments.stats.config import StatsConfig
from ndtools.text import share_in_percent

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from ndtools.experiments.stats.result import StatsResult

__all__ = ["stats"]

MOST_IN_TABLES = 8  # channels whose correlations have room on a screen


@partial(with_shared_options, without=("device",))  # the processor adds up the pixels
def stats(
    source: Annotated[
        str,
        typer.Argument(
            help="Images, as for kernels ('sample' is built in), or a data set: its name or its folder.",
            autocompletion=complete_images,
        ),
    ] = StatsConfig.source,
    *,
    data_dir: DataDir = None,
    split: Annotated[
        Literal["train", "test", "all"], typer.Option(help="Images of a data set that are used.")
    ] = StatsConfig.split,
    images: Images = StatsConfig.images,
    gray: Gray = StatsConfig.gray,
    space: ColourSpace = StatsConfig.space,
    resize: Resize = StatsConfig.resize,
    arrays: ArrayOptions,
    shared: SharedOptions,
) -> None:
    """Measure mean, standard deviation and covariance of the channels of images.

    There are two standard deviations. That of all pixels also has the
    differences between images. The mean over images of that within an image
    is smaller. Both come as a line for torchvision, ready to paste.

    Example: [bold]ndtools stats cifar10[/bold]
    """
    output = ExperimentOutput(shared, "stats")
    config = StatsConfig(
        source=source,
        data_dir=None if data_dir is None else str(data_dir),
        split=split,
        images=images,
        gray=gray,
        space=space,
        resize=resize,
        **arrays.of_arrays(),
        **shared.of_run(),
    )
    output.check(config.source)

    from ndtools.experiments.stats.run import run

    result = output.compute(run, config, counting="images")
    output.of_images(result.images, result.config, wanted=images)
    output.results(result, title=_title(result), table=_tables(result))


def _title(result: "StatsResult") -> str:
    from ndtools.text import in_space

    space = in_space(result.config.space, " · ")
    return f"Channels · {result.title} · {result.images.counted} · {result.sizes.in_words}{space}"


def _tables(result: "StatsResult") -> "Group":
    """Return the tables of the channels, of their correlations and of their principal axes, and the lines to paste."""
    from rich.console import Group
    from rich.text import Text

    none = "none: a channel is constant, and nothing can be divided by its standard deviation"
    lines = [
        line
        for heading, over in (("all pixels:", "pixels"), ("mean over images:", "images"))
        for line in (heading, f"  {result.normalize(over) or none}")
    ]
    parts: list[Table | Text] = [_channels(result)]
    if len(result.names) > MOST_IN_TABLES:
        parts.append(Text("correlations and principal axes of the channels: in the .json file"))
    elif len(result.names) > 1:
        parts += [Text(""), _correlations(result), Text(""), _axes(result)]
    return Group(*parts, Text(""), *(Text(line, no_wrap=True) for line in lines))


def _channels(result: "StatsResult") -> "Table":
    from ndtools.experiments.stats.result import plain_number

    found = result.statistics
    table = new_table(
        ("channel",),
        ("mean", "sd", "mean of images", "sd in images", "sd between", "min", "max"),
        gap=2,
        caption="mean, sd: over all pixels; mean of images, sd in images: of each image,\n"
        "averaged over images; sd between: of the means of images",
    )
    for i, name in enumerate(result.names):
        values = (found.mean, found.sd, found.image_mean, found.image_sd, found.between)
        table.add_row(
            name, *(plain_number(value[i], 1e-3, 3) for value in values), f"{found.low[i]:.3g}", f"{found.high[i]:.3g}"
        )
    return table


def _correlations(result: "StatsResult") -> "Table":
    found = result.statistics
    table = new_table(("correlation",), result.names, gap=2)
    for name, row in zip(result.names, found.correlation, strict=True):
        table.add_row(name, *("-" if value != value else f"{value:.4f}" for value in row))
    return table


def _axes(result: "StatsResult") -> "Table":
    table = new_table(("principal axis",), ("variance", *result.names), gap=2)
    for i, (share, axis) in enumerate(zip(*result.statistics.axes(), strict=True)):
        variance = "-" if share != share else f"{share_in_percent(share)} %"
        table.add_row(str(i + 1), variance, *(f"{value:+.3f}" for value in axis))
    return table
