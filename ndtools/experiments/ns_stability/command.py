"""``ndtools ns-stability``: which iteration towards the inverse square root breaks, in which precision, and when."""

import math
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ndtools.console.options import SharedOptions, with_shared_options
from ndtools.console.output import Output
from ndtools.experiments.ns_stability.config import NsStabilityConfig

if TYPE_CHECKING:
    from rich.table import Table

    from ndtools.experiments.ns_stability.atlas import PrecisionAtlas
    from ndtools.experiments.ns_stability.result import Curve, NsStabilityResult

__all__ = ["ns_stability"]

CAPTION = "cost: products until twice the best; lost: not finite; (predicted)"
ATLAS_CAPTION = "up to κ every run reaches 1e-3; at κ the first one is lost"
SHOWN = (5, 10, 15)  # iterations in the table; 5 and 15 are the paper's


@with_shared_options
def ns_stability(
    source: Annotated[
        str,
        typer.Argument(
            help="An image, or images as for kernels; or a .npy or .npz file with a symmetric matrix (in the latter "
            "'covariance'). 'sample-photo' is built in."
        ),
    ] = NsStabilityConfig.source,
    *,
    kernel_size: Annotated[
        int, typer.Option("--kernel-size", "-k", help="Side of the patches in pixels.")
    ] = NsStabilityConfig.kernel_size,
    iterations: Annotated[int, typer.Option(help="How many iterations to follow.")] = NsStabilityConfig.iterations,
    eps: Annotated[
        float, typer.Option(help="Ridge added to the covariance, or to the matrix given.")
    ] = NsStabilityConfig.eps,
    dtype: Annotated[
        str, typer.Option(help="Precisions, with commas between: bfloat16, float16, float32, float64.")
    ] = ",".join(NsStabilityConfig.dtype),
    norm: Annotated[
        Literal["fro", "trace"], typer.Option(help="What the matrix is divided by: Frobenius norm or trace.")
    ] = NsStabilityConfig.norm,
    sweep: Annotated[
        bool,
        typer.Option("--sweep", help="Run every algorithm, precision and norm over condition numbers; draw that."),
    ] = NsStabilityConfig.sweep,
    shared: SharedOptions,
) -> None:
    """Compare coupled and vanilla Newton-Schulz (Ye et al. 2020, fig. 6), and two quicker iterations.

    How far D is from the inverse square root of A = Cov + eps·I after each
    iteration, Cov being the covariance of all k×k patches: where it settles,
    where it diverges, and where theory says it would.

    Example: [bold]ndtools ns-stability lenna.png[/bold]
    """
    output = Output(shared, "ns-stability", figures=[] if sweep else ["gains"])
    config = NsStabilityConfig(
        source=source,
        kernel_size=kernel_size,
        iterations=iterations,
        eps=eps,
        dtype=tuple(name.strip() for name in dtype.split(",") if name.strip()),
        norm=norm,
        sweep=sweep,
        seed=shared.seed,
        jobs=shared.jobs,
        device=shared.device.value,
    )
    output.check(config.source)

    from ndtools.experiments.ns_stability.figures import draw
    from ndtools.experiments.ns_stability.run import run

    result = output.compute(run, config, counting="runs" if sweep else "images")
    output.skipped(result.images)
    for reason in result.left_out:
        output.note(f"note: left out {reason}")
    output.results(
        result,
        figure=draw(result),
        title=_title(result),
        table=_atlas_table(result.atlas) if result.atlas else _table(result),
    )


def _title(result: "NsStabilityResult") -> str:
    if result.atlas:
        d, n = result.atlas.features, result.atlas.iterations
        return f"Precision atlas · {len(result.atlas.cells)} runs · {d}×{d} · {n} iterations each"
    d, config = len(result.eigenvalues), result.config
    what = "given matrix"
    if result.images:
        k = config.kernel_size
        what = f"{k}×{k} patches of {result.source} · {result.images.counted}"
    return f"‖D·D·A - I‖ by iteration · {what} · {d}×{d} · eps {config.eps:.3g} · condition {result.condition:.3g}"


def _table(result: "NsStabilityResult") -> "Table":
    from rich.table import Table

    shown = [n for n in SHOWN if n <= result.config.iterations]
    # 80 columns at most.
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), caption=CAPTION, caption_justify="left")
    for heading in ("algorithm", "dtype"):
        table.add_column(heading, no_wrap=True)
    for heading in (*(f"it {n}" for n in shown), "best", "cost", "diverges", "lost"):
        table.add_column(heading, justify="right", no_wrap=True)
    for curve in result.curves:
        table.add_row(
            curve.algorithm,
            curve.dtype,
            *(_residual(curve.residual[n - 1]) for n in shown),
            *_row(curve, result.floor(curve.dtype)),
        )
    return table


def _atlas_table(atlas: "PrecisionAtlas") -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), caption=ATLAS_CAPTION, caption_justify="left")
    for heading in ("algorithm", "dtype"):
        table.add_column(heading, no_wrap=True)
    for heading in ("1e-3 up to κ", "lost at κ"):
        table.add_column(heading, justify="right", no_wrap=True)
    for algorithm, dtype, reached, lost in atlas.limits(1e-3):
        table.add_row(algorithm, dtype, *("-" if x is None else f"{x:.1e}" for x in (reached, lost)))
    return table


def _row(curve: "Curve", floor: float) -> tuple[str, ...]:
    measured, predicted = curve.measured, curve.predicted
    diverges = curve.diverges(floor)
    settled = measured.settled_iteration
    return (
        _residual(measured.best_residual),
        "-" if settled is None or diverges else str(curve.products[settled - 1]),
        _both(diverges, predicted.divergence_iteration if predicted else None),
        _both(measured.first_bad_iteration, predicted.first_bad_iteration if predicted else None),
    )


def _residual(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "-"
    if value == 0:
        return "0"
    if 0.01 <= value < 1000:
        return f"{value:.3g}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def _both(measured: int | None, predicted: int | None) -> str:
    """Return an iteration and, in brackets, where theory expects it."""
    found = "-" if measured is None else str(measured)
    return found if predicted is None else f"{found} ({predicted})"
