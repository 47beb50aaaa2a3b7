"""``ndtools inference``: how fast networks are at testing time, with D folded into their weights and without."""

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from ndtools.console.options import SharedOptions, with_shared_options
from ndtools.console.results import ExperimentOutput
from ndtools.console.tables import new_table
from ndtools.experiments.inference.config import InferenceConfig

if TYPE_CHECKING:
    from rich.table import Table

    from ndtools.experiments.inference.result import InferenceResult

__all__ = ["inference"]


@partial(
    with_shared_options,
    texts={"jobs": "Threads that compute (default: one per processor)."},
    without=("verbose", "storage_options"),  # it reads no images
)
def inference(
    archs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ARCH...",
            help=f"Networks (default: {' '.join(InferenceConfig.archs)}).",
            show_default=False,
        ),
    ] = None,
    *,
    norm: Annotated[str, typer.Option(help="Arm with deconvolution that is timed and folded.")] = InferenceConfig.norm,
    batch_size: Annotated[
        int, typer.Option("--batch-size", "-b", help="Number of images in a batch; 1 is what a camera gives.")
    ] = InferenceConfig.batch_size,
    size: Annotated[int, typer.Option(help="Height and width of the images, in pixels.")] = InferenceConfig.size,
    repeats: Annotated[
        int, typer.Option(help="Number of measurements, of which the median is taken.")
    ] = InferenceConfig.repeats,
    shared: SharedOptions,
) -> None:
    """Time networks at testing time: deconvolved, folded, batch-normalised, plain.

    With D folded into the weights, a network with deconvolution consists of
    plain convolutions (Ye et al. 2020, sec. 4.5.1). All arms see the same
    random images in turn, and have random weights, which times do not depend
    on.

    Example: [bold]ndtools inference resnet18 --batch-size 1[/bold]
    """
    output = ExperimentOutput(shared, "inference")
    config = InferenceConfig(
        archs=tuple(archs) if archs else InferenceConfig.archs,
        norm=norm,
        batch_size=batch_size,
        size=size,
        repeats=repeats,
        **shared.of_run(),
    )
    output.check()

    from ndtools.experiments.inference.run import run

    result = output.compute(run, config, counting="networks")
    output.results(result, title=result.summary()[0], table=_table(result))


def _table(result: "InferenceResult") -> "Table":
    caption = "ms per image, median; folded / ...: time of the folded network in units of the others"
    names = ("deconv", "folded", "bn", "none", "folded / deconv", "/ bn", "/ none")
    table = new_table(("network",), names, gap=2, caption=caption)
    for each in result.networks:
        times = (1000 * each.median(arm) / result.config.batch_size for arm in names[:4])
        ratios = (each.ratio("folded", arm) for arm in ("deconv", "bn", "none"))
        table.add_row(each.arch, *(f"{value:.3g}" for value in times), *(f"{value:.2f}" for value in ratios))
    return table
