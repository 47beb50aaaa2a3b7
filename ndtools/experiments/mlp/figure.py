"""Picture of a perceptron's learning curves (Ye et al. 2020, fig. 5 c, d)."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from ndtools.text import percent

if TYPE_CHECKING:
    from ndtools.experiments.mlp.result import MlpArm, MlpResult

__all__ = ["plot_mlp"]

NAMES = {"none": "no normalisation", "bn": "batch normalisation", "deconv": "deconvolution"}
STYLES = {"none": ("#555555", ":", "s"), "bn": ("#d98c00", "--", "^"), "deconv": ("#2166ac", "-", "o")}
POINTS = 10  # of the loss in an epoch
ERRORS = (0.9, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)  # labelled as accuracies
LEAST = 1e-3  # error that is drawn


def plot_mlp(result: "MlpResult", *, fig: Figure | None = None) -> Figure:
    """Draw training loss and test accuracy by epoch, mean and standard deviation over the runs.

    Parameters
    ----------
    result : MlpResult
        Result of :func:`ndtools.experiments.mlp.run.run`.
    fig : Figure, optional
        An empty figure to draw on.

    Returns
    -------
    Figure
        With two axes; that of the accuracy is logarithmic in the error.
    """
    width, height = 10.5, 4.8
    fig = fig or Figure(figsize=(width, height))
    loss, accuracy = (fig.add_axes((left / width, 1.0 / height, 4.2 / width, 3.0 / height)) for left in (0.95, 6.1))
    for arm in result.arms:
        epochs = np.arange(1, arm.test_accuracy.shape[1] + 1)
        _band(accuracy, arm, epochs, np.clip(1 - arm.test_accuracy, LEAST, None))
        _band(loss, arm, *_parts_of_epochs(arm.loss), marked=False)
    loss.set_yscale("log")
    loss.set_ylabel("training loss: cross-entropy, nats")
    loss.set_xlim(0, result.config.epochs)
    accuracy.set_ylabel("test accuracy (logarithmic in the error)")
    accuracy.set_xlim(0.5, result.config.epochs + 0.5)
    accuracy.set_yscale("log")  # of the error, upside down
    accuracy.invert_yaxis()
    least = max(1 - max(float(arm.test_accuracy.max()) for arm in result.arms), LEAST)
    errors = [error for error in ERRORS if error > least / 3]
    accuracy.set_ylim(1, least / 1.5)
    accuracy.set_yticks(errors, [percent(1 - e, digits=6) for e in errors])
    accuracy.yaxis.set_minor_locator(NullLocator())
    for ax in (loss, accuracy):
        ax.set_xlabel("epoch")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    handles, labels = accuracy.get_legend_handles_labels()
    fig.legend(handles, labels, loc="lower center", ncols=len(labels), fontsize="small", frameon=False)
    fig.suptitle(_title(result), fontsize="medium", y=1 - 0.1 / height)
    return fig


def _parts_of_epochs(loss: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Average a loss (repeats, epochs, batches) over parts of epochs: their middles, and (repeats, parts)."""
    _, epochs, batches = loss.shape
    parts = [part.mean(2) for part in np.array_split(loss, min(POINTS, batches), axis=2)]
    middles = (np.arange(epochs * len(parts)) + 0.5) / len(parts)
    return middles, np.stack(parts, axis=2).reshape(len(loss), -1)


def _band(ax: Axes, arm: "MlpArm", x: np.ndarray, values: np.ndarray, *, marked: bool = True) -> None:
    colour, style, marker = STYLES[arm.name]
    mean = values.mean(0)
    ax.plot(
        x,
        mean,
        color=colour,
        linestyle=style,
        marker=marker if marked else None,
        markersize=4,
        linewidth=1.6,
        label=f"{NAMES[arm.name]}, lr {arm.lr:.3g}",
    )
    if len(values) > 1:
        std = values.std(0, ddof=1)
        ax.fill_between(x, mean - std, mean + std, color=colour, alpha=0.2, linewidth=0)


def _title(result: "MlpResult") -> str:
    config = result.config
    block = "all inputs" if config.block_size is None else f"blocks of {config.block_size}"
    spread = "" if config.repeats == 1 else f", mean ± std of {config.repeats} runs"
    return (
        f"Sigmoid perceptron {'-'.join(map(str, result.widths))} on {result.data.label}\n"
        f"{result.data.images:,} images, batches of {result.batch_size}, momentum {config.momentum:g};"
        f" D of {block}, {config.n_iter} iterations, eps {config.eps:.3g}{spread}"
    )
