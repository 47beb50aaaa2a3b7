"""``ndtools mlp``: a sigmoid perceptron without normalisation, with BN, with deconvolution."""

from typing import TYPE_CHECKING, Annotated

import typer

from ndtools.console.options import DataDir, SharedOptions, numbers_from, with_shared_options
from ndtools.console.output import Output
from ndtools.experiments.mlp.config import MlpConfig

if TYPE_CHECKING:
    from rich.table import Table

    from ndtools.experiments.mlp.result import MlpResult

__all__ = ["mlp"]


@with_shared_options
def mlp(
    dataset: Annotated[
        str, typer.Argument(help="Name of a data set or its folder; 'glyphs' is built in, synthetic digits.")
    ] = MlpConfig.dataset,
    *,
    data_dir: DataDir = None,
    hidden: Annotated[str, typer.Option(help="Widths of the hidden layers.")] = ",".join(map(str, MlpConfig.hidden)),
    epochs: Annotated[int, typer.Option(help="Passes through the data.")] = MlpConfig.epochs,
    batch_size: Annotated[int, typer.Option(help="Images in a batch.")] = MlpConfig.batch_size,
    lr: Annotated[str, typer.Option(help="Learning rate, or several, of which each arm keeps to its best.")] = ",".join(
        map(str, MlpConfig.lr)
    ),
    momentum: Annotated[float, typer.Option(help="Of SGD.")] = MlpConfig.momentum,
    n_iter: Annotated[int, typer.Option(help="Newton-Schulz iterations of D.")] = MlpConfig.n_iter,
    eps: Annotated[float, typer.Option(help="Ridge added to covariances.")] = MlpConfig.eps,
    block_size: Annotated[
        int | None, typer.Option(help="Features decorrelated together (default: all inputs of a layer).")
    ] = MlpConfig.block_size,
    repeats: Annotated[int, typer.Option(help="Runs with other weights and batches.")] = MlpConfig.repeats,
    shared: SharedOptions,
) -> None:
    """Train a sigmoid perceptron with and without normalisation (Ye et al. 2020, fig. 5 c, d).

    Three arms learn from the same batches: nothing (none), batch
    normalisation ahead of each sigmoid (bn), deconvolution of each
    layer's input (deconv). Of several rates each arm keeps to the one
    with the least training loss in the last epoch of a run of its own,
    which is not among the repeats.

    Example: [bold]ndtools mlp mnist --data-dir data/ --lr 0.1,0.5,1[/bold]
    """
    output = Output(shared, "mlp")
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
        seed=shared.seed,
        jobs=shared.jobs,
        device=shared.device.value,
    )
    output.check()

    from ndtools.experiments.mlp.figure import plot_mlp
    from ndtools.experiments.mlp.run import run

    result = output.compute(run, config, counting="epochs, all arms")
    output.results(
        result,
        figure=plot_mlp(result),
        title=_title(result),
        table=_table(result),
    )
    if any(arm.at_the_edge for arm in result.arms):
        output.note("*: the best rate is the least or the largest of --lr; a better one may lie beyond")
    if len(config.lr) == 1:
        output.note("all arms at one rate: --lr 0.1,0.5,1,2 lets each have its best")


def _title(result: "MlpResult") -> str:
    from ndtools.text import counted

    return (
        f"Sigmoid perceptron {'-'.join(map(str, result.widths))} · {result.data.label} · {result.data.images} images"
        f" · batches of {result.batch_size} · {counted(result.config.repeats, 'run')}"
    )


def _table(result: "MlpResult") -> "Table":
    from rich.table import Table

    epochs = result.config.epochs
    table = Table(
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
        caption="train loss: mean over the batches of the epoch,\neach before its step; test: after the epoch",
        caption_justify="left",
    )
    table.add_column("arm", no_wrap=True)
    last = [] if epochs == 1 else [f"test, epoch {epochs}"]
    for heading in ("lr", f"train loss, epoch {epochs}", "test, epoch 1", *last, "s/epoch"):
        table.add_column(heading, justify="right", no_wrap=True)
    for arm in result.arms:
        accuracy = [arm.test_accuracy[:, 0], *([] if epochs == 1 else [arm.test_accuracy[:, -1]])]
        table.add_row(
            arm.name,
            f"{arm.lr:.3g}{'*' if arm.at_the_edge else ''}",
            _spread(arm.loss[:, -1].mean(1), "{:.4f}"),
            *(_spread(100 * each, "{:.2f}") + " %" for each in accuracy),
            f"{arm.seconds:.1f}",
        )
    return table


def _spread(values, form: str) -> str:  # type: ignore[no-untyped-def]  # noqa: ANN001
    mean = form.format(values.mean())
    return mean if len(values) == 1 else f"{mean} ± {form.format(values.std(ddof=1))}"
