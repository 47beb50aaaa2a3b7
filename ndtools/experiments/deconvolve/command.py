"""``ndtools deconvolve``: one image and its deconvolution."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ndtools.console.conflicts import refuse_given
from ndtools.console.measures import NAMES, REFERENCES
from ndtools.console.options import Eps, RelativeEps, SharedOptions, with_shared_options
from ndtools.console.output import Output
from ndtools.experiments.deconvolve.config import DeconvolveConfig

if TYPE_CHECKING:
    from rich.table import Table

    from ndtools.experiments.deconvolve.result import DeconvolveResult

__all__ = ["deconvolve"]


@with_shared_options
def deconvolve(
    context: typer.Context,
    image: Annotated[str, typer.Argument(help="An image file; 'sample-photo' is built in.")] = DeconvolveConfig.source,
    *,
    from_file: Annotated[
        str | None,
        typer.Option("--from", help="Apply the kernels of this .npz file of ndtools kernels, not the image's own."),
    ] = DeconvolveConfig.from_file,
    kernel_size: Annotated[
        int, typer.Option("--kernel-size", "-k", help="Side of the patches in pixels, odd.")
    ] = DeconvolveConfig.kernel_size,
    eps: Eps = DeconvolveConfig.eps,
    relative_eps: RelativeEps = DeconvolveConfig.relative_eps,
    method: Annotated[
        Literal["eigh", "coupled", "vanilla"],
        typer.Option(help="Inverse square root: exact (eigh), or Newton-Schulz (vanilla is unstable)."),
    ] = DeconvolveConfig.method,
    iterations: Annotated[int, typer.Option(help="Iterations of Newton-Schulz.")] = DeconvolveConfig.iterations,
    gray: Annotated[bool, typer.Option("--gray", help="Reduce images to luma.")] = DeconvolveConfig.gray,
    border: Annotated[
        Literal["valid", "reflect"],
        typer.Option(help="Only where whole patches are (smaller by k - 1), or mirror the image at its border."),
    ] = DeconvolveConfig.border,
    shared: SharedOptions,
) -> None:
    """Deconvolve an image (Ye et al. 2020, fig. 4): the four panels, the image itself, and a float array.

    Each pixel becomes the centre output of D(x - μ) for the patch x around
    it, D = (Cov + eps·I)^(-1/2) of the image's own patches or of a set's.
    Measures are of values about each channel's mean in this image.

    Example: [bold]ndtools deconvolve photo.jpg --from figures/kernels.npz[/bold]
    """
    output = Output(shared, "deconvolve", images=["image"])
    if from_file is not None:
        of_kernels = ["kernel_size", "eps", "relative_eps", "method", "iterations"]
        refuse_given(context, of_kernels, "with --from: the file holds the kernels")
    if method == "eigh":
        refuse_given(context, ["iterations"], "with --method eigh, which is exact")
    config = DeconvolveConfig(
        source=image,
        from_file=from_file,
        kernel_size=kernel_size,
        eps=eps,
        relative_eps=relative_eps,
        method=method,
        iterations=iterations,
        gray=gray,
        border=border,
        seed=shared.seed,
        jobs=shared.jobs,
        device=shared.device.value,
    )
    output.check(config.source, config.from_file or "")

    from ndtools.experiments.deconvolve.figure import plot_deconvolve
    from ndtools.experiments.deconvolve.run import run

    result = output.compute(run, config)
    if result.reduced_to_luma:
        output.note(f"note: {from_file} holds kernels of grey images; {result.source} is reduced to luma")
    output.results(
        result,
        figure=plot_deconvolve(result),
        title=_title(result),
        table=_table(result),
        images={"image": result.picture()},
    )


def _title(result: "DeconvolveResult") -> str:
    from ndtools.text import ridge_in_words

    _, height, width = result.deconvolved.shape
    k, config = result.kernels.shape[-1], result.config
    how = f"{ridge_in_words(result.fit)} · {config.method}" if result.fit else f"kernels of {config.from_file}"
    return f"Deconvolution · {result.source} · {width}×{height} pixels · {k}×{k} · {how} · border {config.border}"


def _table(result: "DeconvolveResult") -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column("measure")
    for heading in ("before", "after", "Gaussian", "Laplace"):
        table.add_column(heading, justify="right")
    for name, label in NAMES.items():
        values = (side.measures[name].value for side in (result.before, result.after))
        shown = ("-" if value is None else f"{value:.3g}" for value in (*values, *REFERENCES[name]))
        table.add_row(label, *shown)
    return table
