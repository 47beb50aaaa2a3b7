"""``ndtools mlp``: a sigmoid perceptron without normalisation, with BN, with deconvolution."""

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from ndtools.console.option_values import numbers_from
from ndtools.console.options import (
    DataDir,
    Dataset,
    SharedOptions,
    with_shared_options,
)
from ndtools.console.results import ExperimentOutput
from ndtools.console.tables import new_table
from ndtools.experiments.mlp.config import MlpConfig

if TYPE_CHECKING:
    from rich.table import Table

    from ndtools.experiments.mlp.result import MlpResult

__all__ = ["mlp"]


@partial(with_shared_options, without=("storage_options",))  # its data sets are on this machine
def mlp(
    dataset: Dataset = MlpConfig.dataset,
    *,
    data_dir: DataDir = None,
    hidden: Annotated[str, typer.Option(help="Widths of the hidden layers, separated by commas.")] = ",".join(
        map(str, MlpConfig.hidden)
    ),
    epochs: Annotated[int, typer.Option(help="Number of passes through the data.")] = MlpConfig.epochs,
    batch_size: Annotated[
        int, typer.Option("--batch-size", "-b", help="Number of images in a batch.")
    ] = MlpConfig.batch_size,
    lr: Annotated[
        str, typer.Option(help="Learning rates, separated by commas, of which each arm takes its best.")
    ] = ",".join(map(str, MlpConfig.lr)),
    momentum: Annotated[float, typer.Option(help="Momentum of SGD.")] = MlpConfig.momentum,
    n_iter: Annotated[int, typer.Option(help="Number of Newton-Schulz iterations for D.")] = MlpConfig.n_iter,
    eps: Annotated[float, typer.Option(help="Ridge added to covariances.")] = MlpConfig.eps,
    block_size: Annotated[
        int | None, typer.Option(help="Features decorrelated together (default: all inputs of a layer).")
    ] = MlpConfig.block_size,
    repeats: Annotated[
        int, typer.Option(help="Number of runs with other initial weights and batches.")
    ] = MlpConfig.repeats,
    shared: SharedOptions,
) -> None:
    """Train a sigmoid perceptron with and without normalisation (Ye et al. 2020, fig. 5 c, d).

    Three arms learn from the same batches: without normalisation (none),
    with batch normalisation before each sigmoid (bn), and with
    deconvolution of each layer's input (deconv). Of several rates, each arm
    takes the one with the least training loss in the last epoch of an extra
    run, which is not among the repeats.

    Example: [bold]ndtools mlp mnist --data-dir data/ --lr 0.1,0.5,1[/bold]
    """
    output = ExperimentOutput(shared, "mlp")
    config = MlpConfig(
        dataset=dataset,
        data_dir=None if data_dir is None else str(data_dir),
        hidden=numbers_from("hidden", hidden, int),
        epochs=epochs,
        batch_size=batch_size,
        lr=numbers_from("lr", lr, float),
        momentum=momentum,
        n_iter=n_iter,
        eps=eps,
        block_size=block_size,
        repeats=repeats,
        **shared.of_run(),
    )
    output.check()

    from ndtools.experiments.mlp.run import run

    result = output.compute(run, config, counting="epochs, all arms")
    output.results(
        result,
        title=_title(result),
        table=_table(result),
    )
    if any(arm.at_the_edge for arm in result.arms):
        output.note("*: the best rate is the smallest or the largest of --lr; a better one may lie beyond")
    if len(config.lr) == 1:
        output.note("all arms have one rate; with --lr 0.1,0.5,1,2 each arm takes its best")


def _title(result: "MlpResult") -> str:
    from ndtools.text import counted

    return (
        f"Sigmoid perceptron {'-'.join(map(str, result.widths))} · {result.data.label} · {result.data.images} images"
        f" · batches of {result.batch_size} · {counted(result.config.repeats, 'run')}"
    )


def _table(result: "MlpResult") -> "Table":
    epochs = result.config.epochs
    tested = [1] if epochs == 1 else [1, epochs]
    headings = ("lr", f"train loss, epoch {epochs}", *(f"test, epoch {epoch}" for epoch in tested), "s/epoch")
    caption = "train loss: mean over the batches of the epoch,\neach before its step; test: after the epoch"
    table = new_table(("arm",), headings, gap=2, caption=caption)
    for arm in result.arms:
        table.add_row(
            arm.name,
            f"{arm.lr:.3g}{'*' if arm.at_the_edge else ''}",
            _spread(arm.loss[:, -1].mean(1), "{:.4f}"),
            *(_spread(100 * arm.test_accuracy[:, epoch - 1], "{:.2f}") + " %" for epoch in tested),
            f"{arm.seconds:.1f}",
        )
    return table


def _spread(values, form: str) -> str:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """Return the mean and, of several runs, the standard deviation."""
    mean = form.format(values.mean())
    return mean if len(values) == 1 else f"{mean} ± {form.format(values.std(ddof=1))}"
