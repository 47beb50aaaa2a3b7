"""``ndtools kernels``: the deconvolution kernels of an image set."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ndtools.cli.options import SharedOptions, with_shared_options
from ndtools.cli.output import Output
from ndtools.errors import OptionError
from ndtools.experiments.config import KernelsConfig

if TYPE_CHECKING:
    from rich.table import Table

    from ndtools.experiments.kernels import KernelsResult

__all__ = ["kernels"]


@with_shared_options
def kernels(
    source: Annotated[
        list[str] | None,
        typer.Argument(
            help="Images: a file, a folder (with its subfolders), a quoted glob, @list.txt, - (paths on stdin), "
            "a .zip or .tar, or 'sample' (built in).",
            show_default="sample",
        ),
    ] = None,
    *,
    kernel_size: Annotated[int, typer.Option("--kernel-size", "-k", help="Side of the kernels in pixels, odd.")] = 15,
    images: Annotated[
        int | None, typer.Option("--images", "-n", help="Draw this many images at random (default: all).")
    ] = None,
    eps: Annotated[float, typer.Option(help="Ridge added to the covariance of [0, 1] pixels.")] = 1e-3,
    relative_eps: Annotated[
        bool, typer.Option("--relative-eps", help="Take eps in units of the mean variance of a pixel.")
    ] = False,
    method: Annotated[
        Literal["eigh", "coupled", "vanilla"],
        typer.Option(help="Inverse square root: exact (eigh), or Newton-Schulz (vanilla is unstable)."),
    ] = "eigh",
    iterations: Annotated[int, typer.Option(help="Iterations of Newton-Schulz.")] = 15,
    covariance: Annotated[
        Literal["exact", "im2col"],
        typer.Option(help="Of all positions at the cost of an FFT, or by the patch matrix."),
    ] = "exact",
    stride: Annotated[int, typer.Option(help="Step between positions in pixels (im2col only).")] = 1,
    gray: Annotated[bool, typer.Option("--gray", help="Reduce images to luma.")] = False,
    resize: Annotated[
        int | None, typer.Option(help="Resize images to this short side in pixels (default: as they are).")
    ] = None,
    fit: Annotated[
        bool,
        typer.Option("--fit", help="Measure each channel's kernel as a cell, with a second picture (NAME_fit)."),
    ] = False,
    bootstrap: Annotated[
        int, typer.Option(help="Replicates of a bootstrap over images, for errors, with a picture (NAME_bootstrap).")
    ] = 0,
    save_moments: Annotated[
        Path | None, typer.Option(help="Write the moments of the images to this .npz file, to add up with others.")
    ] = None,
    from_moments: Annotated[
        list[str] | None, typer.Option(help="Add up such files, any number of them, in place of images.")
    ] = None,
    shared: SharedOptions,
) -> None:
    """Fit and draw the deconvolution kernels of images (Ye et al. 2020, fig. 2).

    They are the rows of (Cov + eps·I)^(-1/2) that belong to the centre pixel,
    Cov being the covariance of all k×k patches. They undo the correlations
    between neighbouring pixels, and look like centre-surround cells.

    Example: [bold]ndtools kernels photos/ -k 15[/bold]
    """
    output = Output(shared, "kernels", figures=[*(["fit"] if fit else []), *(["bootstrap"] if bootstrap else [])])
    images_from, moments = _sources(source or [], from_moments or [])
    config = KernelsConfig(
        source=images_from,
        fit=fit,
        bootstrap=bootstrap,
        from_moments=moments,
        kernel_size=kernel_size,
        images=images,
        eps=eps,
        relative_eps=relative_eps,
        method=method,
        iterations=iterations,
        covariance=covariance,
        stride=stride,
        gray=gray,
        resize=resize,
        seed=shared.seed,
        jobs=shared.jobs,
        device=shared.device.value,
    )
    output.check(*([save_moments] if save_moments else []))

    from ndtools.experiments.kernels import run
    from ndtools.plotting.kernel_bootstrap import plot_kernel_bootstrap
    from ndtools.plotting.kernel_fit import plot_kernel_fit
    from ndtools.plotting.kernels import plot_kernels

    with output.progress("images") as progress:
        result = run(config, progress=progress)
    output.skipped(result.skipped, result.read)
    if images is not None and result.read + len(result.skipped) < images:
        output.note(f"note: {result.source} has only {result.read + len(result.skipped)} images")
    output.results(
        result,
        figure=plot_kernels(result),
        manifest={"config": config, "seed": config.seed, "device": result.device, "source": result.source},
        title=_title(result),
        table=_table(result),
        figures={
            **({"fit": plot_kernel_fit(result)} if fit else {}),
            **({"bootstrap": plot_kernel_bootstrap(result)} if bootstrap else {}),
        },
        further={save_moments: result.moments()} if save_moments else None,
    )


def _sources(named: list[str], moments: list[str]) -> tuple[str, tuple[str, ...]]:
    """Return the source of images and the files of moments that take its place."""
    if moments:  # an option takes one value: further files come as if they were sources
        return "sample", (*moments, *named)
    if len(named) > 1:
        raise OptionError("source", f"must be one, got {len(named)}: quote the glob, or name a folder or @list.txt")
    return named[0] if named else "sample", ()


def _title(result: "KernelsResult") -> str:
    k, d = result.config.kernel_size, result.deconvolution
    plural = "" if result.read == 1 else "s"
    return (
        f"Deconvolution kernels · {k}×{k} · {result.read} image{plural} · {_count(result.covariance.count)} patches"
        f" · eps {d.eps:.3g} · {result.config.method} · condition {d.condition:.3g} · residual {d.residual:.2g}"
        + (f" · standard error {result.bootstrap.relative_error:.1%}" if result.bootstrap else "")
    )


def _table(result: "KernelsResult") -> "Table":
    from rich.table import Table

    fitted = ("surround σ", "slope of |H|") if result.cells else ()  # then the columns are closer, to fit 80
    table = Table(box=None, pad_edge=False, padding=(0, 1 if fitted else 3, 0, 0))
    table.add_column("channel")
    table.add_column("polarity")
    surround = "surround" if fitted else "surround (8 nearest)"
    for heading in ("centre", surround, "centre/surround", *fitted):
        table.add_column(heading, justify="right")
    for i, c in enumerate(result.channels):
        numbers = [c.center, c.surround_mean, c.center_surround_ratio]
        if result.cells:
            dog = result.cells[i].dog
            numbers += [dog.surround_sigma if dog else None, result.cells[i].response.low_frequency_slope]
        table.add_row(c.name, c.polarity or "-", *("-" if x is None else f"{x:.4g}" for x in numbers))
    return table


def _count(n: int) -> str:
    for unit, name in ((1_000_000_000, " G"), (1_000_000, " M"), (1_000, " k")):
        if n >= unit:
            return f"{n / unit:.1f}{name}"
    return str(n)
