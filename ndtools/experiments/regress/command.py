"""``ndtools regress``: linear and logistic regression, where learning rate 1 is optimal."""

from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ndtools.console.conflicts import refuse_given
from ndtools.console.options import DataDir, Dataset, SharedOptions, with_shared_options
from ndtools.console.results import ExperimentOutput
from ndtools.console.tables import new_table
from ndtools.experiments.regress.config import RegressConfig
from ndtools.validation import Shrinkage

if TYPE_CHECKING:
    from rich.table import Table

    from ndtools.experiments.regress.result import ArmResult, RegressResult

__all__ = ["regress"]

LEGEND = """\
limit: learning rate 2/λ_max of the Hessian at zero weights; above it, descent
on the l2 loss diverges, and on the logistic loss, which is flatter elsewhere,
it need not;
near: steps until the loss is within 10 % of the optimum;
{batch};
train: loss of all training images; test: accuracy{averages};
ms: milliseconds for each step"""


@partial(with_shared_options, without=("storage_options",))  # its data sets are on this machine
def regress(
    context: typer.Context,
    dataset: Dataset = RegressConfig.dataset,
    *,
    data_dir: DataDir = None,
    loss: Annotated[
        Literal["l2", "logistic", "both"], typer.Option(help="Loss that is minimised.")
    ] = RegressConfig.loss,
    lr: Annotated[
        str, typer.Option(help="Learning rate on deconvolved features; 'auto' is half of its stability limit.")
    ] = str(RegressConfig.lr),
    baseline_lr: Annotated[
        str, typer.Option(help="Learning rates of SGD and BN: numbers, or 'auto' for 0.9 of the stability limit.")
    ] = ",".join(RegressConfig.baseline_lr),
    batch_size: Annotated[
        int, typer.Option("--batch-size", "-b", help="Number of images in a batch.")
    ] = RegressConfig.batch_size,
    iterations: Annotated[int, typer.Option(help="Number of batches.")] = RegressConfig.iterations,
    epochs: Annotated[
        int | None, typer.Option(help="Number of passes through the data, instead of --iterations.")
    ] = RegressConfig.epochs,
    n_iter: Annotated[int, typer.Option(help="Number of Newton-Schulz iterations for D.")] = RegressConfig.n_iter,
    method: Annotated[
        Literal["coupled", "eigh"], typer.Option(help="Inverse square root: coupled Newton-Schulz, or exact (eigh).")
    ] = RegressConfig.method,
    eps: Annotated[float, typer.Option(help="Ridge added to the covariance of [0, 1] pixels.")] = RegressConfig.eps,
    shrinkage: Annotated[
        Shrinkage,
        typer.Option(help="Shrinkage of a batch's covariance: Ledoit-Wolf (lw) or oracle-approximating (oas)."),
    ] = RegressConfig.shrinkage,
    repeats: Annotated[
        int, typer.Option(help="Number of runs with other batches, which are averaged.")
    ] = RegressConfig.repeats,
    theory: Annotated[
        bool, typer.Option("--theory", help="Predict the L2 losses of full-batch descent by the eigenvalues.")
    ] = RegressConfig.theory,
    full_batch: Annotated[
        bool, typer.Option("--full-batch", help="Descend on all images at once, in float64 (proposition 1).")
    ] = RegressConfig.full_batch,
    shared: SharedOptions,
) -> None:
    """Learn a kernel for each class by gradient descent (Ye et al. 2020, fig. 5 a, b).

    Three arms learn from zero weights and the same batches: on raw pixels
    (sgd), on standardised pixels (bn), and on deconvolved pixels (deconv).
    They are compared with the optimum: the closed form, or the result of
    L-BFGS. The loss l2 is half the squared error, and logistic is the
    cross-entropy of sigmoids, both summed over classes. Gradient descent on
    l2 converges for rates below 2/λ_max of its Hessian (1/N) XᵗX, and in one
    step at rate 1 if the Hessian is the identity (proposition 1): see
    --full-batch --method eigh --eps 0. The Hessian of the logistic loss is a
    quarter of that at zero weights, so its rate 4 corresponds to rate 1.

    Example: [bold]ndtools regress fashion-mnist --data-dir data/ --lr 1.0[/bold]
    """
    output = ExperimentOutput(shared, "regress", figures=("kernels",))
    if full_batch:
        refuse_given(context, ["batch_size", "epochs", "shrinkage", "repeats"], "with --full-batch")
    if epochs is not None:
        refuse_given(context, ["iterations"], "with --epochs")
    if method == "eigh":
        refuse_given(context, ["n_iter"], "with --method eigh, which is exact")
    config = RegressConfig(
        dataset=dataset,
        data_dir=None if data_dir is None else str(data_dir),
        loss=loss,
        lr=lr.strip(),
        baseline_lr=tuple(part.strip() for part in baseline_lr.split(",")),
        batch_size=batch_size,
        iterations=iterations,
        epochs=epochs,
        method=method,
        n_iter=n_iter,
        eps=eps,
        shrinkage=shrinkage,
        repeats=repeats,
        theory=theory,
        full_batch=full_batch,
        **shared.of_run(),
    )
    output.check()

    from ndtools.experiments.regress.run import run

    result = output.compute(run, config, counting="iterations", say=output.note)
    output.results(
        result,
        title=_title(result),
        table=_table(result),
    )
    if config.full_batch:
        output.note(LEGEND.format(batch="gap: train less the optimum", averages=""))
    else:
        batch = "batch: loss of the last batch, before its step"
        output.note(LEGEND.format(batch=batch, averages=", both with moving averages"))


def _title(result: "RegressResult") -> str:
    from ndtools.text import counted

    batch = "full batch" if result.config.full_batch else f"batches of {result.batch_size}"
    return (
        f"Linear regression · {result.data.label} · {result.data.images} images · {batch}"
        f" · {counted(result.iterations, 'iteration')} · eps {result.config.eps:.3g}"
    )


def _table(result: "RegressResult") -> "Table":
    batch = "gap" if result.config.full_batch else "batch"
    table = new_table(("loss", "features"), ("lr", "limit", "near", batch, "train", "test", "ms"), gap=2)
    for loss in result.losses:
        for arm in loss.arms:
            table.add_row(loss.name, arm.name, *_cells(arm, loss.optimum, result.config.full_batch))
        solver = "closed form" if loss.name == "l2" else "L-BFGS"
        table.add_row(loss.name, solver, "", "", "", "", f"{loss.optimum:.4f}", f"{loss.optimum_accuracy:.1%}", "")
    return table


def _cells(arm: "ArmResult", optimum: float, full_batch: bool) -> list[str]:
    near = arm.near(optimum)
    if arm.diverged:
        outcome = ["diverged", "", ""]
    else:
        train = arm.train_loss.mean()
        batch = f"{train - optimum:.1e}" if full_batch else f"{arm.loss[:, -1].mean():.4f}"
        outcome = [batch, f"{train:.4f}", f"{arm.test_accuracy.mean():.1%}"]
    return [
        f"{arm.lr:.3g}",
        f"{arm.stability_limit:.3g}",
        "-" if near is None else str(near),
        *outcome,
        f"{1000 * arm.seconds / arm.loss.shape[1]:.0f}",
    ]
