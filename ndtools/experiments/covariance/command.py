"""``ndtools covariance``: the covariance of patches before and after deconvolution."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ndtools.console.conflicts import refuse_given
from ndtools.console.options import Eps, RelativeEps, SharedOptions, with_shared_options
from ndtools.console.output import Output
from ndtools.experiments.covariance.config import CovarianceConfig

if TYPE_CHECKING:
    from rich.table import Table

    from ndtools.experiments.covariance.result import CovarianceResult

__all__ = ["covariance"]


@with_shared_options
def covariance(
    context: typer.Context,
    source: Annotated[
        str, typer.Argument(help="Images, as for kernels; 'sample' is built in.")
    ] = CovarianceConfig.source,
    *,
    kernel_size: Annotated[
        int, typer.Option("--kernel-size", "-k", help="Side of the patches in pixels.")
    ] = CovarianceConfig.kernel_size,
    images: Annotated[
        int | None, typer.Option("--images", "-n", help="Draw this many images at random (default: all).")
    ] = CovarianceConfig.images,
    eps: Eps = CovarianceConfig.eps,
    relative_eps: RelativeEps = CovarianceConfig.relative_eps,
    method: Annotated[
        Literal["eigh", "coupled", "vanilla"],
        typer.Option(help="Inverse square root: exact (eigh), or Newton-Schulz (vanilla is unstable)."),
    ] = CovarianceConfig.method,
    iterations: Annotated[int, typer.Option(help="Iterations of Newton-Schulz.")] = CovarianceConfig.iterations,
    shared: SharedOptions,
) -> None:
    """Draw the covariance of patches before and after deconvolution (Ye et al. 2020, fig. 3).

    With the correlations of the features of a patch, within a channel and
    across channels: what eps, and few iterations, leave of them.

    Example: [bold]ndtools covariance photos/ --method coupled --iterations 5[/bold]
    """
    output = Output(shared, "covariance", figures=("correlation",))
    if method == "eigh":
        refuse_given(context, ["iterations"], "with --method eigh, which is exact")
    config = CovarianceConfig(
        source=source,
        kernel_size=kernel_size,
        images=images,
        eps=eps,
        relative_eps=relative_eps,
        method=method,
        iterations=iterations,
        seed=shared.seed,
        jobs=shared.jobs,
        device=shared.device.value,
    )
    output.check(config.source)

    from ndtools.experiments.covariance.figures import draw
    from ndtools.experiments.covariance.run import run

    result = output.compute(run, config, counting="images")
    output.skipped(result.images)
    output.fewer(result.images, images)
    output.results(
        result,
        figure=draw(result),
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
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column("correlation")
    for heading in ("before", "after"):
        table.add_column(heading, justify="right")
    rows = {
        "within_channel": "mean |.| within a channel",
        "across_channels": "mean |.| across channels",
        "largest": "largest |.|",
        "same_pixel": "mean, channels at a pixel",
    }
    for name, label in rows.items():
        values = (getattr(side, name) for side in (result.before, result.after))
        table.add_row(label, *("-" if value is None else f"{value:.3g}" for value in values))
    return table
