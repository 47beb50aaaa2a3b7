"""``ndtools deconvolve``: an image and its deconvolution, or the images of a folder."""

import os
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ndtools.console.completion import complete_photo
from ndtools.console.conflicts import refuse_given
from ndtools.console.measures import NAMES, REFERENCES
from ndtools.console.option_values import numbers_from, ridges_from
from ndtools.console.options import (
    ArrayRidgeOptions,
    ColourSpace,
    Gray,
    Images,
    Iterations,
    KernelSizes,
    Method,
    RelativeEps,
    Ridges,
    SharedOptions,
    with_shared_options,
)
from ndtools.console.results import ExperimentOutput
from ndtools.console.tables import new_table, series_table
from ndtools.errors import OptionError
from ndtools.experiments.deconvolve.config import DeconvolveConfig
from ndtools.text import counted
from ndtools.validation import Ridge

if TYPE_CHECKING:
    from rich.table import Table

    from ndtools.data.images.sources import ImageSource
    from ndtools.experiments.deconvolve.result import DeconvolveResult
    from ndtools.experiments.deconvolve.set_result import DeconvolvedSet
    from ndtools.numerics.sparsity import Distribution

__all__ = ["deconvolve"]


def _with_options(command: Callable[..., None]) -> Callable[..., None]:
    return with_shared_options(
        command,
        texts={
            "formats": "Formats of the figure, separated by commas: png, svg, pdf. For a folder, formats of its images:"
            " png, or npy or npz for exact values."
        },
    )


@_with_options
def deconvolve(
    context: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            metavar="IMAGE|FOLDER",
            help="An image file, or images as for kernels; 'sample-photo' is built in.",
            autocompletion=complete_photo,
        ),
    ] = DeconvolveConfig.source,
    *,
    from_file: Annotated[
        str | None,
        typer.Option(
            "--from", help="Apply the kernels of this .npz file of ndtools kernels instead of the images' own."
        ),
    ] = DeconvolveConfig.from_file,
    images: Images = DeconvolveConfig.images,
    kernel_size: KernelSizes = str(DeconvolveConfig.kernel_size),
    eps: Ridges = str(DeconvolveConfig.eps),
    relative_eps: RelativeEps = DeconvolveConfig.relative_eps,
    method: Method = DeconvolveConfig.method,
    iterations: Iterations = DeconvolveConfig.iterations,
    gray: Gray = DeconvolveConfig.gray,
    space: ColourSpace = DeconvolveConfig.space,
    border: Annotated[
        Literal["valid", "reflect"],
        typer.Option(help="Leave out the border, where no whole patch lies, or mirror the image there."),
    ] = DeconvolveConfig.border,
    keep_scale: Annotated[
        bool,
        typer.Option(
            "--keep-scale",
            help="Give each channel the mean and standard deviation that it has in the images (a decorrelation stretch;"
            " with -k 1, of the channels alone).",
        ),
    ] = DeconvolveConfig.keep_scale,
    arrays: ArrayRidgeOptions,
    shared: SharedOptions,
) -> None:
    """Deconvolve an image (Ye et al. 2020, fig. 4), or all images of a folder.

    Each pixel becomes the centre output of D(x - μ) for the patch x around
    it, where D = (Cov + eps·I)^(-1/2) comes from the images' own patches or
    from a file of kernels. For one image, the files are the four panels of
    the figure, the deconvolved image as a picture, and its values as an
    array. The measures are of values less each channel's mean in this image.

    All images of a folder, glob, list or archive get the same kernels. Each
    is written to the folder --out under its own name, as a picture or
    (--format npy) as an array of exact values.

    Example: [bold]ndtools deconvolve photo.jpg --from figures/kernels.npz[/bold]
    """
    sizes, ridges = numbers_from("kernel_size", kernel_size, int), ridges_from(eps)
    if from_file is not None:
        of_kernels = ["kernel_size", "eps", "relative_eps", "absolute_eps", "method", "iterations", "space"]
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
        keep_scale=keep_scale,
        images=images,
        **arrays.of_arrays(),
        **shared.of_run(),
    )

    from ndtools.data.images.sources import resolve_source

    chosen = resolve_source(source, layout=config.layout).subset(images, shared.seed)
    if len(chosen) > 1 or source == "-" or os.path.isdir(source):  # standard input can be read only once
        _refuse_several(sizes, ridges)
        _deconvolve_set(config, chosen, shared)
    else:
        _deconvolve_image(config, sizes, ridges, shared)


def _refuse_several(sizes: tuple[int, ...], ridges: tuple[Ridge, ...]) -> None:
    """Raise OptionError if there are several kernel sizes or ridges."""
    for name, values in (("kernel_size", sizes), ("eps", ridges)):
        if len(set(values)) > 1:
            raise OptionError(name, f"must be one value for a set of images, got {len(values)}")


def _deconvolve_image(
    config: DeconvolveConfig, sizes: tuple[int, ...], ridges: tuple[Ridge, ...], shared: SharedOptions
) -> None:
    """Deconvolve one image by kernels of each size and for each ridge, write the files, and print the table."""
    count = len(dict.fromkeys(sizes)) * len(dict.fromkeys(ridges))
    images = ["image"] if count == 1 else [f"image_{i}" for i in range(count)]
    output = ExperimentOutput(shared, "deconvolve", images, figures=["ridge"] if "auto" in ridges else [])
    output.check(config.source, config.from_file or "")

    from ndtools.experiments.deconvolve.run import run_series

    series = output.compute(run_series, config, kernel_sizes=sizes, ridges=ridges)
    result = series[0]
    if result.calibrated:
        output.units(result.source, result.config)
    if result.reduced_to_luma:
        output.note(f"note: {config.from_file} holds kernels of grey images; {result.source} is reduced to luma")
    written = dict(zip(images, (member.picture() for member in series), strict=True))
    if count == 1:
        output.results(result, title=_title(result), table=_table(result), images=written)
    else:
        title = f"Deconvolution · {result.source} · {result.config.method} · border {result.config.border}"
        output.results(series, title=title, table=series_table(series, NAMES.values(), _values), images=written)


def _deconvolve_set(config: DeconvolveConfig, images: "ImageSource", shared: SharedOptions) -> None:
    """Deconvolve all images of a set, write the files, and print the table."""
    formats = tuple(part.strip().lower() for part in shared.formats.split(","))
    output = ExperimentOutput(
        replace(shared, formats="png"), "deconvolve", figures=["ridge"] if config.eps == "auto" else []
    )

    from ndtools.experiments.deconvolve.destinations import destinations
    from ndtools.experiments.deconvolve.set_run import run_set

    files = destinations(images, shared.out, formats)
    files.check_apart(config.source)
    output.check(config.source, config.from_file or "")
    earlier = files.check(output.paths())
    announced = files.announce(output.paths(), earlier)
    result = output.compute(run_set, config, files, images=images, counting="images")
    output.of_images(result.images, result.config, wanted=config.images)
    output.note(f"{counted(len(result.written), 'file')} of images in {shared.out}")
    result = replace(result, earlier=tuple(sorted(set(earlier) - set(result.written))))
    output.results(result, title=_set_title(result), table=_set_table(result))
    announced.unlink(missing_ok=True)


def _title(result: "DeconvolveResult") -> str:
    from ndtools.text import in_space, ridge_in_words

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


def _values(side: "Distribution") -> list[str]:
    from ndtools.text import with_error

    return [with_error(side.measures[name].value) for name in NAMES]


def _table(result: "DeconvolveResult") -> "Table":
    from ndtools.text import with_error

    table = new_table(("measure",), ("before", "after", "Gaussian", "Laplace"))
    for name, label in NAMES.items():
        values = (side.measures[name].value for side in (result.before, result.after))
        table.add_row(label, *map(with_error, (*values, *REFERENCES[name])))
    return table


def _set_title(result: "DeconvolvedSet") -> str:
    k, scale = result.kernels.shape[-1], " · scale kept" if result.config.keep_scale else ""
    counted = result.images.counted
    return (
        f"Deconvolution · {result.source} · {counted} · {k}×{k} · {result.how()} · border {result.config.border}{scale}"
    )


def _set_table(result: "DeconvolvedSet") -> "Table":
    table = new_table(("format", "values"), ("files",))
    values = {"npy": "exact", "npz": "exact", "png": "[0, 1], clipped" if result.config.keep_scale else "0 is mid-grey"}
    for extension in result.formats:
        count = sum(name.endswith(f".{extension}") for name in result.written)
        table.add_row(extension, values[extension], str(count))
    return table
