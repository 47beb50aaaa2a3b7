"""``ndtools covariance``: the covariance of patches before and after deconvolution."""

from typing import TYPE_CHECKING

import typer

from ndtools.console.conflicts import refuse_given
from ndtools.console.options import (
    Eps,
    Gray,
    Images,
    Iterations,
    Method,
    PatchSize,
    RelativeEps,
    SharedOptions,
    Source,
    with_shared_options,
)
from ndtools.console.results import ExperimentOutput
from ndtools.console.tables import new_table
from ndtools.experiments.covariance.config import CovarianceConfig

if TYPE_CHECKING:
    from rich.table import Table

    from ndtools.experiments.covariance.result import CovarianceResult

__all__ = ["covariance"]


@with_shared_options
def covariance(
    context: typer.Context,
    source: Source = CovarianceConfig.source,
    *,
    kernel_size: PatchSize = CovarianceConfig.kernel_size,
    images: Images = CovarianceConfig.images,
    eps: Eps = CovarianceConfig.eps,
    relative_eps: RelativeEps = CovarianceConfig.relative_eps,
    gray: Gray = CovarianceConfig.gray,
    method: Method = CovarianceConfig.method,
    iterations: Iterations = CovarianceConfig.iterations,
    shared: SharedOptions,
) -> None:
    """Draw the covariance of patches before and after deconvolution (Ye et al. 2020, fig. 3).

    The table has the correlations of the features of a patch, within a channel
    and across channels. A large eps and few iterations leave a part of them.

    Example: [bold]ndtools covariance photos/ --method coupled --iterations 5[/bold]
    """
    output = ExperimentOutput(shared, "covariance", figures=("correlation",))
    if method == "eigh":
        refuse_given(context, ["iterations"], "with --method eigh, which is exact")
    config = CovarianceConfig(
        source=source,
        kernel_size=kernel_size,
        images=images,
        eps=eps,
        relative_eps=relative_eps,
        gray=gray,
        method=method,
        iterations=iterations,
        **shared.of_run(),
    )
    output.check(config.source)

    from ndtools.experiments.covariance.figures import FIGURES
    from ndtools.experiments.covariance.run import run

    result = output.compute(run, config, counting="images")
    output.skipped(result.images)
    output.fewer(result.images, images)
    output.results(
        result,
        pictures=FIGURES,
        title=_title(result),
        table=_table(result),
    )


def _title(result: "CovarianceResult") -> str:
    from ndtools.text import precision_in_words, ridge_in_words

    k, d = result.config.kernel_size, result.deconvolution
    return (
        f"Covariance · {k}×{k} · {result.images.counted} · {ridge_in_words(d)} · {result.config.method}"
        f" · {precision_in_words(d)}"
    )


def _table(result: "CovarianceResult") -> "Table":
    from ndtools.text import with_error

    table = new_table(("correlation",), ("before", "after"))
    rows = {
        "within_channel": "mean |.| within a channel",
        "across_channels": "mean |.| across channels",
        "largest": "largest |.|",
        "same_pixel": "mean, channels at a pixel",
    }
    for name, label in rows.items():
        values = (getattr(side, name) for side in (result.before, result.after))
        table.add_row(label, *map(with_error, values))
    return table
