"""``ndtools ns-stability``: how far iterations for the inverse square root come, and when they diverge."""

import math
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ndtools.console.completion import complete_source
from ndtools.console.conflicts import refuse_given
from ndtools.console.options import Gray, PatchSize, RelativeEps, SharedOptions, with_shared_options
from ndtools.console.results import ExperimentOutput
from ndtools.console.tables import new_table
from ndtools.experiments.ns_stability.config import NsStabilityConfig

if TYPE_CHECKING:
    from rich.table import Table

    from ndtools.experiments.ns_stability.atlas import PrecisionAtlas
    from ndtools.experiments.ns_stability.result import Curve, NsStabilityResult

__all__ = ["ns_stability"]

CAPTION = """\
best: smallest error; whitening: ‖D·A·Dᵀ - I‖ after the same iteration
cost: matrix products until the error is at most twice the best
diverges, overflows: the iteration at which it does; (predicted by theory)"""
ATLAS_CAPTION = "1e-3 up to κ: every run reaches an error of 1e-3; overflows at κ: the first run does"
SHOWN = (5, 10, 15)  # iterations in the table; 5 and 15 are the paper's


@with_shared_options
def ns_stability(
    context: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            help="An image, or images as for kernels; or a .npy or .npz file with a symmetric matrix (in the latter "
            "'covariance'). 'sample-photo' is built in.",
            autocompletion=complete_source,
        ),
    ] = NsStabilityConfig.source,
    *,
    kernel_size: PatchSize = NsStabilityConfig.kernel_size,
    gray: Gray = NsStabilityConfig.gray,
    iterations: Annotated[int, typer.Option(help="Number of iterations to follow.")] = NsStabilityConfig.iterations,
    eps: Annotated[
        float, typer.Option(help="Ridge added to the covariance, or to the matrix given.")
    ] = NsStabilityConfig.eps,
    relative_eps: RelativeEps = NsStabilityConfig.relative_eps,
    dtype: Annotated[
        str, typer.Option(help="Precisions separated by commas: bfloat16, float16, float32, float64.")
    ] = ",".join(NsStabilityConfig.dtype),
    norm: Annotated[
        Literal["fro", "trace"],
        typer.Option(help="Norm by which the matrix is divided first: Frobenius norm (fro) or trace."),
    ] = NsStabilityConfig.norm,
    algorithms: Annotated[
        str,
        typer.Option(help="Algorithms, separated by commas: coupled, vanilla, chebyshev, denman-beavers, gram."),
    ] = ",".join(NsStabilityConfig.algorithms),
    coefficients: Annotated[
        str,
        typer.Option(
            help="Coefficients of the steps of coupled and gram: simple (Newton-Schulz), quintic (Muon's, which do "
            "not converge to 1), polar-express, or a .json or .csv file with a row of numbers for each step."
        ),
    ] = NsStabilityConfig.coefficients,
    restart: Annotated[
        int | None,
        typer.Option(help="Number of iterations after which gram computes M anew from Z and A (default: never)."),
    ] = NsStabilityConfig.restart,
    restart_form: Annotated[
        Literal["zazt", "zaz"],
        typer.Option(help="Formula of the restarts: Z·A·Zᵀ (zazt), or Z·A·Z (zaz), which is unstable."),
    ] = NsStabilityConfig.restart_form,
    sweep: Annotated[
        bool,
        typer.Option("--sweep", help="Run all algorithms, precisions and norms on matrices of many condition numbers."),
    ] = NsStabilityConfig.sweep,
    shared: SharedOptions,
) -> None:
    """Compare coupled, vanilla and Gram Newton-Schulz (Ye et al. 2020, fig. 7), and two quicker iterations.

    The figure shows how far D is from the inverse square root of
    A = Cov + eps·I after each iteration, where Cov is the covariance of all
    k×k patches. The table says where each iteration settles and where it
    diverges, and where theory expects this.

    Example: [bold]ndtools ns-stability lenna.png[/bold]
    """
    output = ExperimentOutput(shared, "ns-stability", figures=[] if sweep else ["gains"])
    if sweep:
        names = ["dtype", "norm", "algorithms", "coefficients", "restart", "restart_form"]
        refuse_given(context, names, "with --sweep, which runs all precisions and norms, and algorithms as they are")
    if source.lower().endswith((".npy", ".npz")):
        refuse_given(context, ["kernel_size", "gray"], "for a matrix, which does not come from images")
    config = NsStabilityConfig(
        source=source,
        kernel_size=kernel_size,
        gray=gray,
        iterations=iterations,
        eps=eps,
        relative_eps=relative_eps,
        dtype=_names(dtype),
        norm=norm,
        algorithms=_names(algorithms),
        coefficients=coefficients,
        restart=restart,
        restart_form=restart_form,
        sweep=sweep,
        **shared.of_run(),
    )
    output.check(config.source)

    from ndtools.experiments.ns_stability.run import run

    result = output.compute(run, config, counting="runs" if sweep else "images")
    output.skipped(result.images)
    for reason in result.left_out:
        output.note(f"note: left out {reason}")
    output.results(
        result,
        title=_title(result),
        table=_atlas_table(result.atlas) if result.atlas else _table(result),
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _title(result: "NsStabilityResult") -> str:
    if result.atlas:
        d, n = result.atlas.features, result.atlas.iterations
        return f"Precision atlas · {len(result.atlas.cells)} runs · {d}×{d} · {n} iterations each"
    d, config = len(result.eigenvalues), result.config
    what = "given matrix"
    if result.images:
        k = config.kernel_size
        what = f"{k}×{k} patches of {result.source} · {result.images.counted}"
    return f"‖D·D·A - I‖ by iteration · {what} · {d}×{d} · eps {result.eps:.3g} · condition {result.condition:.3g}"


def _table(result: "NsStabilityResult") -> "Table":
    from ndtools.experiments.ns_stability.words import steps_in_words

    shown = [n for n in SHOWN if n <= result.config.iterations]
    numbers = (*(f"it {n}" for n in shown), "best", "whitening", "cost", "diverges", "overflows")
    caption = "\n".join([CAPTION, *steps_in_words(result)])
    table = new_table(("algorithm", "dtype"), numbers, gap=1, caption=caption)  # 100 columns at most
    for curve in result.curves:
        table.add_row(
            curve.algorithm,
            curve.dtype,
            *(_residual(curve.residual[n - 1]) for n in shown),
            *_cells(curve, result.floor(curve.dtype)),
        )
    return table


def _atlas_table(atlas: "PrecisionAtlas") -> "Table":
    table = new_table(("algorithm", "dtype"), ("1e-3 up to κ", "overflows at κ"), gap=2, caption=ATLAS_CAPTION)
    for algorithm, dtype, *conditions in atlas.limits(1e-3):
        table.add_row(algorithm, dtype, *("-" if x is None else f"{x:.1e}" for x in conditions))
    return table


def _cells(curve: "Curve", floor: float) -> tuple[str, ...]:
    """Return the cells on the best residual, its cost, and the iterations at which the curve diverges and overflows."""
    measured, predicted = curve.measured, curve.predicted
    cost = curve.cost(floor)
    return (
        _residual(measured.best_residual),
        _residual(curve.whitening_at_best),
        "-" if cost is None else str(cost),
        _both(curve.diverges(floor), predicted.divergence_iteration if predicted else None),
        _both(measured.first_bad_iteration, predicted.first_bad_iteration if predicted else None),
    )


def _residual(value: float | None) -> str:
    """Format a residual in at most seven characters."""
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
    text = "-" if measured is None else str(measured)
    return text if predicted is None else f"{text} ({predicted})"
