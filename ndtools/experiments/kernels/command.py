"""``ndtools kernels``: the deconvolution kernels of an image set."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ndtools.console.conflicts import refuse_given
from ndtools.console.moments import (
    FromMoments,
    SaveMoments,
    ShardOption,
    check_moments_file,
    moments_or_source,
    save_shard,
    shard_from,
)
from ndtools.console.option_values import numbers_from, ridges_from
from ndtools.console.options import (
    ArrayRidgeOptions,
    ColourSpace,
    Gray,
    Images,
    Iterations,
    KernelSizes,
    ManySources,
    Method,
    RelativeEps,
    Resize,
    Ridges,
    SharedOptions,
    Spectrum,
    with_shared_options,
)
from ndtools.console.results import ExperimentOutput
from ndtools.experiments.kernels.config import KernelsConfig

if TYPE_CHECKING:
    from ndtools.experiments.kernels.result import KernelsResult

__all__ = ["kernels"]

# Options that say what moments are made of images.
OF_IMAGES = (
    *("kernel_size", "images", "gray", "space", "resize", "covariance", "stride"),
    *("axes", "key", "raw", "absolute_eps"),
)


@with_shared_options
def kernels(
    context: typer.Context,
    source: ManySources = None,
    *,
    kernel_size: KernelSizes = str(KernelsConfig.kernel_size),
    images: Images = KernelsConfig.images,
    eps: Ridges = str(KernelsConfig.eps),
    relative_eps: RelativeEps = KernelsConfig.relative_eps,
    method: Method = KernelsConfig.method,
    iterations: Iterations = KernelsConfig.iterations,
    covariance: Annotated[
        Literal["exact", "im2col"],
        typer.Option(help="Covariance of all patches by Fourier transforms (exact), or from a patch matrix (im2col)."),
    ] = KernelsConfig.covariance,
    stride: Annotated[int, typer.Option(help="Step between patches in pixels (im2col only).")] = KernelsConfig.stride,
    gray: Gray = KernelsConfig.gray,
    space: ColourSpace = KernelsConfig.space,
    resize: Resize = KernelsConfig.resize,
    fit: Annotated[
        bool,
        typer.Option(
            "--fit", help="Fit a difference of Gaussians to each channel's kernel, with a second figure (NAME_fit)."
        ),
    ] = KernelsConfig.fit,
    pixels_per_degree: Annotated[
        float | None,
        typer.Option(
            help="Pixels in a degree of visual angle (after --resize): lengths in degrees, frequencies in"
            " cycles/degree, beside pixels."
        ),
    ] = KernelsConfig.pixels_per_degree,
    bootstrap: Annotated[
        int,
        typer.Option(help="Replicates of a bootstrap over images for standard errors, with a figure (NAME_bootstrap)."),
    ] = KernelsConfig.bootstrap,
    save_moments: SaveMoments = None,
    from_moments: FromMoments = None,
    shard: ShardOption = None,
    spectrum: Spectrum = KernelsConfig.spectrum,
    arrays: ArrayRidgeOptions,
    shared: SharedOptions,
) -> None:
    """Fit and draw the deconvolution kernels of images (Ye et al. 2020, fig. 2).

    The kernels are the rows of (Cov + eps·I)^(-1/2) of the centre pixel, where
    Cov is the covariance of all k×k patches. They undo the correlations
    between neighbouring pixels, and look like centre-surround cells.

    Example: [bold]ndtools kernels photos/ -k 15[/bold]
    """
    sizes, ridges = numbers_from("kernel_size", kernel_size, int), ridges_from(eps)
    further = {
        "channels": True,
        "fit": fit,
        "bootstrap": bool(bootstrap),
        "ridge": "auto" in ridges,
        "spectrum": spectrum,
    }
    output = ExperimentOutput(shared, "kernels", figures=[label for label, wanted in further.items() if wanted])
    part = shard_from(context, shard)
    images_from, moments = moments_or_source(context, source or [], from_moments or [], of_images=OF_IMAGES)
    if method == "eigh":
        refuse_given(context, ["iterations"], "with --method eigh, which is exact")
    config = KernelsConfig(
        source=images_from,
        fit=fit,
        pixels_per_degree=pixels_per_degree,
        bootstrap=bootstrap,
        from_moments=moments,
        kernel_size=sizes[0],
        images=images,
        eps=ridges[0],
        relative_eps=relative_eps,
        method=method,
        iterations=iterations,
        covariance=covariance,
        stride=stride,
        gray=gray,
        space=space,
        resize=resize,
        spectrum=spectrum,
        **arrays.of_arrays(),
        **shared.of_run(),
    )
    if part:
        save_shard(output, config, part, save_moments, sizes=sizes, ridges=ridges)
        return
    output.check(config.source, *config.from_moments)
    if save_moments:
        check_moments_file(save_moments, output, sizes)

    from ndtools.experiments.kernels.figure_channels import wants_channels
    from ndtools.experiments.kernels.run import run_series
    from ndtools.experiments.kernels.table import kernels_table, series_table

    series = output.compute(run_series, config, kernel_sizes=sizes, ridges=ridges, counting="images")
    result = series[0]
    if len(series) > 1 or not wants_channels(result):
        output.figures = [label for label in output.figures if label != "channels"]
    output.of_images(result.images, result.config, wanted=images)
    moments_file = {save_moments: result.moments()} if save_moments else None
    if len(series) == 1:
        output.results(result, title=_title(result), table=kernels_table(result), further=moments_file)
    else:
        title = f"Deconvolution kernels · {result.images.counted} · {result.config.method}"
        output.results(series, title=title, table=series_table(series), further=moments_file)


def _title(result: "KernelsResult") -> str:
    from ndtools.text import in_space, precision_in_words, ridge_in_words

    k, d = result.config.kernel_size, result.deconvolution
    space = in_space(result.config.space, " · ")
    return (
        f"Deconvolution kernels · {k}×{k}{space} · {result.images.counted} · {_count(result.covariance.count)} patches"
        f" · {ridge_in_words(d, result.ridge)} · {result.config.method} · {precision_in_words(d)}"
        + (f" · standard error {result.bootstrap.change_in_words(result.bootstrap.total)}" if result.bootstrap else "")
    )


def _count(n: int) -> str:
    """Format a large number of patches, as in "1.2 M"."""
    for unit, name in ((1_000_000_000, " G"), (1_000_000, " M"), (1_000, " k")):
        if n >= unit:
            return f"{n / unit:.1f}{name}"
    return str(n)
