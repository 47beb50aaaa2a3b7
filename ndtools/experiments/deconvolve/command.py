"""``ndtools deconvolve``: one image and its deconvolution."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ndtools.console.conflicts import refuse_given
from ndtools.console.measures import NAMES, REFERENCES
from ndtools.console.options import (
    ColourSpace,
    Gray,
    Iterations,
    KernelSizes,
    Method,
    OneImage,
    RelativeEps,
    Ridges,
    SharedOptions,
    numbers_from,
    ridges_from,
    with_shared_options,
)
from ndtools.console.results import ExperimentOutput
from ndtools.console.tables import new_table, series_cells, series_table
from ndtools.experiments.deconvolve.config import DeconvolveConfig

if TYPE_CHECKING:
    from rich.table import Table

    from ndtools.experiments.deconvolve.result import DeconvolveResult
    from ndtools.results.series import Series

__all__ = ["deconvolve"]


@with_shared_options
def deconvolve(
    context: typer.Context,
    source: OneImage = DeconvolveConfig.source,
    *,
    from_file: Annotated[
        str | None,
        typer.Option(
            "--from", help="Apply the kernels of this .npz file of ndtools kernels instead of the image's own."
        ),
    ] = DeconvolveConfig.from_file,
    kernel_size: KernelSizes = str(DeconvolveConfig.kernel_size),
    eps: Ridges = str(DeconvolveConfig.eps),
    relative_eps: RelativeEps = DeconvolveConfig.relative_eps,
    method: Method = DeconvolveConfig.method,
    iterations: Iterations = DeconvolveConfig.iterations,
    gray: Gray = DeconvolveConfig.gray,
    space: ColourSpace = DeconvolveConfig.space,
    border: Annotated[
        Literal["valid", "reflect"],
        typer.Option(help="Leave out pixels without a whole patch (k - 1 a side), or mirror the image at its border."),
    ] = DeconvolveConfig.border,
    shared: SharedOptions,
) -> None:
    """Deconvolve an image (Ye et al. 2020, fig. 4).

    Each pixel becomes the centre output of D(x - μ) for the patch x around
    it, where D = (Cov + eps·I)^(-1/2) comes from the image's own patches or
    from a file of kernels. The files are the four panels of the figure, the
    deconvolved image as a picture, and its values as an array. The measures
    are of values less each channel's mean in this image.

    Example: [bold]ndtools deconvolve photo.jpg --from figures/kernels.npz[/bold]
    """
    sizes, ridges = numbers_from("kernel_size", kernel_size, int), ridges_from(eps)
    count = len(dict.fromkeys(sizes)) * len(dict.fromkeys(ridges))
    images = ["image"] if count == 1 else [f"image_{i}" for i in range(count)]
    output = ExperimentOutput(shared, "deconvolve", images, figures=["ridge"] if "auto" in ridges else [])
    if from_file is not None:
        of_kernels = ["kernel_size", "eps", "relative_eps", "method", "iterations", "space"]
        refuse_given(context, of_kernels, "with --from: the file holds the kernels")
    if method == "eigh":
        refuse_given(context, ["iterations"], "with --method eigh, which is exact")
    config = DeconvolveConfig(
        source=source,
        from_file=from_file,
        kernel_size=sizes[0],
        eps=ridges[0],
        relative_eps=relative_eps,
        method=method,
        iterations=iterations,
        gray=gray,
        space=space,
        border=border,
        **shared.of_run(),
    )
    output.check(config.source, config.from_file or "")

    from ndtools.experiments.deconvolve.figures import FIGURES, SERIES
    from ndtools.experiments.deconvolve.run import run_series

    series = output.compute(run_series, config, kernel_sizes=sizes, ridges=ridges)
    result = series[0]
    if result.reduced_to_luma:
        output.note(f"note: {from_file} holds kernels of grey images; {result.source} is reduced to luma")
    written = dict(zip(images, (member.picture() for member in series), strict=True))
    if count == 1:
        output.results(result, pictures=FIGURES, title=_title(result), table=_table(result), images=written)
    else:
        title = f"Deconvolution · {result.source} · {result.config.method} · border {result.config.border}"
        output.results(series, pictures=SERIES, title=title, table=_series_table(series), images=written)


def _series_table(series: "Series[DeconvolveResult]") -> "Table":
    from ndtools.text import with_error

    table = series_table(series, NAMES.values())
    for i, member in enumerate(series):
        if i == 0 or member.config.kernel_size != series[i - 1].config.kernel_size:
            before = (with_error(member.before.measures[name].value) for name in NAMES)
            table.add_row(str(member.config.kernel_size), "before", "", *before)
        table.add_row(*series_cells(member), *(with_error(member.after.measures[name].value) for name in NAMES))
    return table


def _title(result: "DeconvolveResult") -> str:
    from ndtools.numerics.colour import in_space
    from ndtools.text import ridge_in_words

    _, height, width = result.deconvolved.shape
    k, config = result.kernels.shape[-1], result.config
    space = in_space(config.space, " · ")
    how = (
        f"{ridge_in_words(result.fit, result.ridge)} · {config.method}"
        if result.fit
        else f"kernels of {config.from_file}"
    )
    return (
        f"Deconvolution · {result.source} · {width}×{height} pixels{space} · {k}×{k} · {how} · border {config.border}"
    )


def _table(result: "DeconvolveResult") -> "Table":
    from ndtools.text import with_error

    table = new_table(("measure",), ("before", "after", "Gaussian", "Laplace"))
    for name, label in NAMES.items():
        values = (side.measures[name].value for side in (result.before, result.after))
        table.add_row(label, *map(with_error, (*values, *REFERENCES[name])))
    return table
