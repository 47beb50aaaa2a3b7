"""``ndtools covariance``: the covariance of patches before and after deconvolution."""

from typing import TYPE_CHECKING

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
    ManySources,
    Method,
    PatchSizes,
    RelativeEps,
    Resize,
    Ridges,
    SharedOptions,
    Spectrum,
    with_shared_options,
)
from ndtools.console.results import ExperimentOutput
from ndtools.console.tables import new_table, series_table
from ndtools.experiments.covariance.config import CovarianceConfig

if TYPE_CHECKING:
    from rich.table import Table

    from ndtools.experiments.covariance.result import CovarianceResult
    from ndtools.results.series import Series

__all__ = ["covariance"]

OF_IMAGES = ("kernel_size", "images", "gray", "resize")  # options that say what moments are made of images


@with_shared_options
def covariance(
    context: typer.Context,
    source: ManySources = None,
    *,
    kernel_size: PatchSizes = str(CovarianceConfig.kernel_size),
    images: Images = CovarianceConfig.images,
    eps: Ridges = str(CovarianceConfig.eps),
    relative_eps: RelativeEps = CovarianceConfig.relative_eps,
    gray: Gray = CovarianceConfig.gray,
    resize: Resize = CovarianceConfig.resize,
    space: ColourSpace = CovarianceConfig.space,
    method: Method = CovarianceConfig.method,
    iterations: Iterations = CovarianceConfig.iterations,
    save_moments: SaveMoments = None,
    from_moments: FromMoments = None,
    shard: ShardOption = None,
    spectrum: Spectrum = CovarianceConfig.spectrum,
    arrays: ArrayRidgeOptions,
    shared: SharedOptions,
) -> None:
    """Draw the covariance of patches before and after deconvolution (Ye et al. 2020, fig. 3).

    The table has the correlations of the features of a patch, within a channel
    and across channels. A large eps and few iterations leave a part of them.

    Example: [bold]ndtools covariance photos/ --method coupled --iterations 5[/bold]
    """
    sizes, ridges = numbers_from("kernel_size", kernel_size, int), ridges_from(eps)
    single = len(set(sizes)) * len(set(ridges)) == 1
    further = {"correlation": single, "ridge": "auto" in ridges, "spectrum": spectrum}
    output = ExperimentOutput(shared, "covariance", figures=[label for label, wanted in further.items() if wanted])
    part = shard_from(context, shard)
    images_from, moments = moments_or_source(context, source or [], from_moments or [], of_images=OF_IMAGES)
    if method == "eigh":
        refuse_given(context, ["iterations"], "with --method eigh, which is exact")
    config = CovarianceConfig(
        source=images_from,
        from_moments=moments,
        kernel_size=sizes[0],
        images=images,
        eps=ridges[0],
        relative_eps=relative_eps,
        gray=gray,
        resize=resize,
        space=space,
        method=method,
        iterations=iterations,
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

    from ndtools.experiments.covariance.run import run_series

    series = output.compute(run_series, config, kernel_sizes=sizes, ridges=ridges, counting="images")
    result = series[0]
    output.of_images(result.images, result.config, wanted=images)
    moments_file = {save_moments: result.moments()} if save_moments else None
    if len(series) == 1:
        output.results(result, title=_title(result), table=_table(result), further=moments_file)
    else:
        title = f"Covariance · {result.images.counted} · {result.config.method}"
        output.results(series, title=title, table=_series_table(series), further=moments_file)


# Correlations of a side, with their names in tables.
MEASURES = {
    "within_channel": "mean |.| within a channel",
    "across_channels": "mean |.| across channels",
    "largest": "largest |.|",
    "same_pixel": "mean, channels at a pixel",
}


def _series_table(series: "Series[CovarianceResult]") -> "Table":
    from ndtools.text import with_error

    table = series_table(
        series,
        ("within a channel", "across channels", "largest", "at a pixel"),
        lambda side: (with_error(getattr(side, name)) for name in MEASURES),
    )
    table.caption = "within, across: mean |correlation|; at a pixel: mean correlation of its channels"
    return table


def _title(result: "CovarianceResult") -> str:
    from ndtools.text import in_space, precision_in_words, ridge_in_words

    k, d = result.config.kernel_size, result.deconvolution
    space = in_space(result.config.space, " · ")
    return (
        f"Covariance · {k}×{k}{space} · {result.images.counted} · {ridge_in_words(d, result.ridge)}"
        f" · {result.config.method}"
        f" · {precision_in_words(d)}"
    )


def _table(result: "CovarianceResult") -> "Table":
    from ndtools.text import with_error

    table = new_table(("correlation",), ("before", "after"))
    for name, label in MEASURES.items():
        values = (getattr(side, name) for side in (result.before, result.after))
        table.add_row(label, *map(with_error, values))
    return table
