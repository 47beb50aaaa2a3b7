"""``ndtools sparsity``: how sparse images are before and after deconvolution."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ndtools.console.conflicts import refuse_given
from ndtools.console.measures import NAMES, REFERENCES
from ndtools.console.option_values import numbers_from, ridges_from
from ndtools.console.options import (
    ArrayRidgeOptions,
    AtMostImages,
    ColourSpace,
    Gray,
    KernelSizes,
    RelativeEps,
    Ridges,
    SharedOptions,
    Source,
    with_shared_options,
)
from ndtools.console.results import ExperimentOutput
from ndtools.console.tables import new_table, series_table
from ndtools.experiments.sparsity.config import SparsityConfig

if TYPE_CHECKING:
    from rich.table import Table

    from ndtools.experiments.sparsity.result import SparsityResult
    from ndtools.numerics.sparsity import Distribution, Estimate
    from ndtools.results.series import Series

__all__ = ["sparsity"]


@with_shared_options
def sparsity(
    context: typer.Context,
    source: Source = SparsityConfig.source,
    *,
    kernel_size: KernelSizes = str(SparsityConfig.kernel_size),
    images: AtMostImages = SparsityConfig.images,
    eps: Ridges = str(SparsityConfig.eps),
    relative_eps: RelativeEps = SparsityConfig.relative_eps,
    gray: Gray = SparsityConfig.gray,
    space: ColourSpace = SparsityConfig.space,
    bins: Annotated[int, typer.Option(help="Number of bins of the histograms.")] = SparsityConfig.bins,
    whitening: Annotated[
        Literal["patch", "channel", "none"],
        typer.Option(help="Decorrelate patches (deconvolution), the channels of each pixel, or nothing."),
    ] = SparsityConfig.whitening,
    bootstrap: Annotated[
        int, typer.Option(help="Number of groups of images, each left out once for the intervals; 0 for no intervals.")
    ] = SparsityConfig.bootstrap,
    from_moments: Annotated[
        list[str] | None,
        typer.Option(
            help="Take D and μ from this file of kernels --save-moments, and apply them to SOURCE (repeatable)."
        ),
    ] = None,
    arrays: ArrayRidgeOptions,
    shared: SharedOptions,
) -> None:
    """Measure how sparse images are before and after deconvolution (Ye et al. 2020, fig. 10).

    Two distributions are compared, both in units of their standard deviation
    σ: that of the pixels less their mean, and that of the centre outputs of
    D(x - μ). The table has measures of sparsity with 95 % intervals, which
    come from leaving out groups of images. GGD is the generalised Gaussian
    exp(-|x|^shape).

    Example: [bold]ndtools sparsity photos/[/bold]
    """
    sizes, ridges = numbers_from("kernel_size", kernel_size, int), ridges_from(eps)
    output = ExperimentOutput(shared, "sparsity", figures=["ridge"] if "auto" in ridges else [])
    if whitening == "none":
        refuse_given(context, ["eps", "relative_eps"], "with --whitening none, which decorrelates nothing")
    if from_moments:
        refuse_given(
            context, ["kernel_size", "gray", "space"], "with --from-moments: the files hold patches of one kind"
        )
    config = SparsityConfig(
        source=source,
        from_moments=tuple(from_moments or ()),
        kernel_size=sizes[0],
        images=images,
        eps=ridges[0],
        relative_eps=relative_eps,
        gray=gray,
        space=space,
        bins=bins,
        whitening=whitening,
        bootstrap=bootstrap,
        **arrays.of_arrays(),
        **shared.of_run(),
    )
    output.check(config.source, *config.from_moments)

    from ndtools.experiments.sparsity.run import run_series

    series = output.compute(
        run_series, config, kernel_sizes=sizes, ridges=ridges, counting="images" if from_moments else "images, twice"
    )
    result = series[0]
    output.of_images(result.images, result.config)
    if len(series) == 1:
        output.results(result, title=_title(result), table=_table(result))
    else:
        title = f"Sparsity · {result.images.counted} · {result.config.whitening}"
        output.results(series, title=title, table=_series_table(series))


def _title(result: "SparsityResult") -> str:
    from ndtools.text import in_space, ridge_in_words

    k = result.config.kernel_size
    ridge = f" · {ridge_in_words(result.fit, result.ridge)}" if result.fit else ""
    space = in_space(result.config.space, " · ")
    return f"Sparsity · {result.images.counted}{space} · {k}×{k}{ridge} · {result.config.whitening}"


def _table(result: "SparsityResult") -> "Table":
    from ndtools.experiments.sparsity.verdict import verdicts

    table = new_table(("measure",), ("before", "after", "Gaussian", "Laplace"), gap=2)
    for name, label in NAMES.items():
        sides = (_estimate(side.measures[name]) for side in (result.before, result.after))
        table.add_row(label, *sides, *(f"{value:.3g}" for value in REFERENCES[name]))
    table.caption = "\n".join(map(str, verdicts([result]))) or None
    table.add_row("|x| > 10 σ", f"{result.before.clipped:.2g}", f"{result.after.clipped:.2g}", "", "")
    return table


def _series_table(series: "Series[SparsityResult]") -> "Table":
    from ndtools.experiments.sparsity.verdict import verdicts

    table = series_table(series, NAMES.values(), _cells)
    lines = [str(table.caption)] * bool(table.caption) + list(map(str, verdicts(series)))
    if not lines and series[0].config.whitening == "patch":
        lines = ["add 'paper' to --eps to judge the paper's sentence at its own ridge"]
    table.caption = "\n".join(lines) or None
    return table


def _cells(side: "Distribution") -> list[str]:
    return [_estimate(side.measures[name]) for name in NAMES]


def _estimate(estimate: "Estimate") -> str:
    if estimate.value is None:
        return "-"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3g}"
    return f"{estimate.value:.3g} ({estimate.low:.3g}-{estimate.high:.3g})"
