"""``ndtools compare-sets``: what sets of images differ in."""

from typing import TYPE_CHECKING, Annotated

import typer

from ndtools.console.completion import complete_source
from ndtools.console.conflicts import refuse_given
from ndtools.console.option_values import numbers_from, ridges_from
from ndtools.console.options import (
    ArrayRidgeOptions,
    ColourSpace,
    Gray,
    Images,
    KernelSizes,
    RelativeEps,
    Resize,
    Ridges,
    SharedOptions,
    with_shared_options,
)
from ndtools.console.results import ExperimentOutput
from ndtools.errors import OptionError
from ndtools.experiments.compare_sets.config import CompareSetsConfig

if TYPE_CHECKING:
    from ndtools.experiments.compare_sets.result import CompareSetsResult
    from ndtools.results.series import Series

__all__ = ["compare_sets"]

OF_IMAGES = ("images", "resize", "sparsity")  # options that have no meaning if all sets are moments


@with_shared_options
def compare_sets(
    context: typer.Context,
    a: Annotated[
        str,
        typer.Argument(
            help="First set: images, as for kernels ('dead-leaves' and 'sample' are built in); or moments, a .npz file "
            "of kernels --save-moments or a quoted glob of such files.",
            metavar="A",
            autocompletion=complete_source,
        ),
    ],
    b: Annotated[
        str, typer.Argument(help="Second set, in the same forms.", metavar="B", autocompletion=complete_source)
    ],
    c: Annotated[
        list[str] | None,
        typer.Argument(
            help="Third set, if there is one.", metavar="C", show_default=False, autocompletion=complete_source
        ),
    ] = None,
    *,
    kernel_size: KernelSizes = str(CompareSetsConfig.kernel_size),
    images: Images = CompareSetsConfig.images,
    eps: Ridges = str(CompareSetsConfig.eps),
    relative_eps: RelativeEps = CompareSetsConfig.relative_eps,
    gray: Gray = CompareSetsConfig.gray,
    space: ColourSpace = CompareSetsConfig.space,
    resize: Resize = CompareSetsConfig.resize,
    sparsity: Annotated[
        bool,
        typer.Option(
            "--sparsity/--no-sparsity",
            help="Measure the sparsity of the deconvolved images, in a second pass over them.",
        ),
    ] = CompareSetsConfig.sparsity,
    bootstrap: Annotated[
        int,
        typer.Option(help="Replicates of a bootstrap over the images of each set, for standard errors; 0 for none."),
    ] = CompareSetsConfig.bootstrap,
    arrays: ArrayRidgeOptions,
    shared: SharedOptions,
) -> None:
    """Compare two or three sets of images: kernels, responses, correlations and sparsity.

    Each set has kernels and a D of its own. Their differences are given in
    per cent and in standard errors over the images of both sets, beside what
    chance would make of sets of the same images.

    Example: [bold]ndtools compare-sets photos/ dead-leaves --eps 1e-1,1e-3[/bold]
    """
    sizes, ridges = numbers_from("kernel_size", kernel_size, int), ridges_from(eps)
    output = ExperimentOutput(shared, "compare-sets")
    config = CompareSetsConfig(
        a,
        b,
        _third(c or []),
        kernel_size=sizes[0],
        images=images,
        eps=ridges[0],
        relative_eps=relative_eps,
        gray=gray,
        space=space,
        resize=resize,
        sparsity=sparsity,
        bootstrap=bootstrap,
        **arrays.of_arrays(),
        **shared.of_run(),
    )
    of_moments = [config.is_of_moments(source) for source in config.sources.values()]
    if any(of_moments):
        refuse_given(context, ["kernel_size", "gray", "space"], "with files of moments, which hold patches of one kind")
    if all(of_moments):
        refuse_given(context, OF_IMAGES, "with files of moments, which hold no images")
    output.check(*config.sources.values())

    from ndtools.experiments.compare_sets.run import run_series
    from ndtools.experiments.compare_sets.table import compare_sets_tables

    counting = "images, twice" if config.sparsity and not all(of_moments) else "images"
    series = output.compute(run_series, config, kernel_sizes=sizes, ridges=ridges, counting=counting)
    for each in series[0].sets:
        output.of_images(each.images, series[0].config, wanted=None if each.from_moments else images)
    tables = compare_sets_tables(series.members)
    if len(series) == 1:
        output.results(series[0], title=_title(series), table=tables)
    else:
        output.results(series, title=_title(series), table=tables)


def _third(named: list[str]) -> str | None:
    """Return the third set, or None; more are files of a glob that the shell has expanded."""
    if len(named) > 1:
        raise OptionError(
            "c",
            f"must be the last set, got {2 + len(named)} sets: put a glob in quotation marks, as in 'parts/*.npz', so"
            " that its files are one set",
        )
    return named[0] if named else CompareSetsConfig.c


def _title(series: "Series[CompareSetsResult]") -> str:
    from ndtools.text import in_space, source_name

    result = series[0]
    sizes = dict.fromkeys(each.config.kernel_size for each in series)
    size = " and ".join(f"{k}×{k}" for k in sizes)
    names = (f"{each.name} {source_name(each.source, 30)}" for each in result.sets)
    space = in_space(result.config.space, "")
    return " · ".join(("Sets compared", *names, f"{size} patches", *([space] if space else [])))
