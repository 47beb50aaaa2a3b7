"""``ndtools deblur``: estimate a blur kernel, with and without deconvolution."""

from typing import TYPE_CHECKING, Annotated

import typer

from ndtools.console.options import OneImage, RelativeEps, SharedOptions, with_shared_options
from ndtools.console.results import ExperimentOutput
from ndtools.console.tables import new_table
from ndtools.experiments.deblur.config import DeblurConfig

if TYPE_CHECKING:
    from rich.table import Table

    from ndtools.experiments.deblur.result import DeblurResult

__all__ = ["deblur"]

NAMES = {"gradient": "gradient descent", "deconv": "deconvolution", "closed_form": "closed form"}
SHOWN = (1, 10)  # iterations in the table, besides the last
CAPTION = (
    "it n: error after n iterations, ‖estimate - true‖/‖true‖\n"
    "limit: learning rate 2/λ_max, above which descent diverges\n"
    "10 % at: first iteration with an error of at most 10 %\n"
    "closed form: the least-squares fit without a ridge"
)


@with_shared_options
def deblur(
    source: OneImage = DeblurConfig.source,
    *,
    blur: Annotated[
        str,
        typer.Option(
            help="gaussian:SIGMA or motion:LENGTH,ANGLE (pixels, degrees anticlockwise), or a file with the kernel: an"
            " image, .npy, or .npz with 'kernel'. A kernel has odd sides and is divided by its sum."
        ),
    ] = DeblurConfig.blur,
    noise: Annotated[
        float, typer.Option(help="Standard deviation of the noise, for [0, 1] pixels.")
    ] = DeblurConfig.noise,
    kernel_size: Annotated[
        int | None,
        typer.Option(
            "--kernel-size", "-k", help="Side of the estimated kernel, odd (default: as the blur, at least 15)."
        ),
    ] = DeblurConfig.kernel_size,
    iterations: Annotated[
        int, typer.Option(help="Number of iterations of gradient descent.")
    ] = DeblurConfig.iterations,
    n_iter: Annotated[
        int,
        typer.Option(
            help="Number of Newton-Schulz iterations for D: with 15, one step of descent is enough; with 5, D whitens"
            " in part and tens of steps are needed."
        ),
    ] = DeblurConfig.n_iter,
    eps: Annotated[
        float, typer.Option(help="Ridge added to the covariance of [0, 1] pixels before D is taken.")
    ] = DeblurConfig.eps,
    relative_eps: RelativeEps = DeblurConfig.relative_eps,
    shared: SharedOptions,
) -> None:
    """Blur an image and estimate the kernel from the pair (Ye et al. 2020, sec. 4.4.1).

    The estimate is a least-squares fit on the patches x - μ of the sharp
    image. Three ways are compared: gradient descent at 80 % of the learning
    rate at which it diverges, gradient descent at rate 1 on D(x - μ) with
    D = (Cov + eps·I)^(-1/2), and the closed form without a ridge.
    With noise, the closed form is often not the nearest to the true kernel,
    since it fits the noise where the image has little detail. For a smooth
    blur, one step of descent on D(x - μ) comes nearer, as do some tens of
    steps with --n-iter 5. With --noise 0 the closed form is exact.

    Example: [bold]ndtools deblur photo.jpg --blur motion:11,30[/bold]
    """
    output = ExperimentOutput(shared, "deblur")
    config = DeblurConfig(
        source=source,
        blur=blur,
        noise=noise,
        kernel_size=kernel_size,
        iterations=iterations,
        n_iter=n_iter,
        eps=eps,
        relative_eps=relative_eps,
        **shared.of_run(),
    )
    output.check(config.source, config.blur)

    from ndtools.experiments.deblur.run import run

    result = output.compute(run, config)
    output.results(
        result,
        title=_title(result),
        table=_table(result),
    )


def _title(result: "DeblurResult") -> str:
    config, k = result.config, len(result.true_kernel)
    _, height, width = result.sharp.shape
    return (
        f"Kernel estimation · {result.source} · {width}×{height} pixels · {config.blur} · noise {config.noise:.3g}"
        f" · {k}×{k} · eps {result.eps:.3g} · {config.n_iter} Newton-Schulz iterations"
        f" · condition {result.condition:.3g} · residual {result.residual:.2g}"
    )


def _table(result: "DeblurResult") -> "Table":
    last = result.config.iterations
    shown = [*(n for n in SHOWN if n < last), last]
    headings = ("rate", "limit", *(f"it {n}" for n in shown), "10 % at", "best (at)")
    table = new_table(("descent",), headings, gap=2, caption=CAPTION)
    for arm in result.arms:
        at, best = arm.best()
        if arm.lr is None or arm.stability_limit is None:
            cells = ["-", "-", *("" for _ in shown[1:]), f"{best:.2g}", "-", f"{best:.2g}"]
        else:
            reached = arm.iterations_to(0.1)
            cells = [
                f"{arm.lr:.3g}",
                f"{arm.stability_limit:.3g}",
                *(f"{arm.kernel_error[n]:.2g}" for n in shown),
                "never" if reached is None else str(reached),
                f"{best:.2g} ({at})",
            ]
        table.add_row(NAMES[arm.name], *cells)
    return table
