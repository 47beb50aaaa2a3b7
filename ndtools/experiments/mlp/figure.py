"""Picture of a perceptron's learning curves (Ye et al. 2020, fig. 5 c, d)."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ndtools.drawing.accuracy import LEAST_ERROR, accuracy_axis
from ndtools.drawing.axes import plain_ticks
from ndtools.drawing.palette import METHODS
from ndtools.drawing.style import (
    PAGE,
    add_letters,
    add_title,
    drawing_style,
    is_wide,
    legend_columns,
    new_figure,
    width_of,
)

if TYPE_CHECKING:
    from ndtools.experiments.mlp.result import MlpArm, MlpResult

__all__ = ["caption_mlp", "plot_mlp"]

NAMES = {"none": "no normalisation", "bn": "batch normalisation", "deconv": "deconvolution"}
POINTS = 10  # of the loss in an epoch


def plot_mlp(result: "MlpResult", *, width: float = PAGE, title: bool = True, fig: Figure | None = None) -> Figure:
    """Draw training loss and test accuracy by epoch, mean and standard deviation over the runs.

    Parameters
    ----------
    result : MlpResult
        Result of :func:`ndtools.experiments.mlp.run.run`.
    width : float
        Width of the figure in print, millimetres. Default 180; below 120 the panels stand one above the other.
    title : bool
        Whether the figure has a title. Default True.
    fig : Figure, optional
        An empty figure to draw on, which keeps its size. Default: a new one.

    Returns
    -------
    Figure
        With two axes; that of the accuracy is logarithmic in the error.
    """
    with drawing_style():
        width = width_of(fig, width)
        wide = is_wide(width)
        fig = new_figure(fig, width, 72 if wide else 116)
        loss, accuracy = fig.subplots(1, 2) if wide else fig.subplots(2, 1)
        for arm in result.arms:
            epochs = np.arange(1, arm.test_accuracy.shape[1] + 1)
            _band(accuracy, arm, epochs, np.clip(1 - arm.test_accuracy, LEAST_ERROR, None))
            _band(loss, arm, *_parts_of_epochs(arm.loss), marked=False)
        last = result.config.epochs
        loss.set_xlim(0, last)
        loss.set_yscale("log")
        loss.set_ylabel("training loss\n(cross-entropy / nats)")
        plain_ticks(loss.yaxis)
        errors = np.clip([1 - arm.test_accuracy.mean(0) for arm in result.arms], LEAST_ERROR, 1)
        accuracy_axis(accuracy, errors, "test accuracy", short=True)
        accuracy.set_xlim(0.5, last + 0.5)
        for ax in (loss, accuracy):
            ax.set_xlabel("epoch")
            ax.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
        add_letters([loss, accuracy])
        handles, labels = accuracy.get_legend_handles_labels()
        fig.legend(handles, labels, loc="outside lower center", ncols=legend_columns(labels, width))
        if title:
            add_title(fig, f"Learning curves of a perceptron on {result.data.label}")
    return fig


def caption_mlp(result: "MlpResult") -> str:
    """Say in words what the figure of :func:`plot_mlp` shows."""
    config = result.config
    block = "all inputs of a layer" if config.block_size is None else f"blocks of {config.block_size} inputs"
    spread = "a single run" if config.repeats == 1 else f"mean ± standard deviation of {config.repeats} runs"
    rates = "" if len(config.lr) == 1 else " Each rate is the best of those tried, chosen in runs of their own."
    return (
        f"Learning curves of a sigmoid perceptron ({'-'.join(map(str, result.widths))} units) on {result.data.label}:"
        f" {result.data.images:,} training and {result.data.test_images:,} test images, batches of"
        f" {result.batch_size:,}, momentum {config.momentum:g}; {spread}. (a) Training loss, averaged over parts of an"
        " epoch. (b) Test accuracy after each epoch, on an axis that is logarithmic in the error. The inputs of each"
        f" layer are left as they are, batch-normalised (sums of the hidden layers), or deconvolved: {block} together,"
        f" {config.n_iter} Newton-Schulz iterations, eps {config.eps:.3g}.{rates}"
    )


def _parts_of_epochs(loss: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Average a loss (repeats, epochs, batches) over parts of epochs: their middles, and (repeats, parts)."""
    _, epochs, batches = loss.shape
    parts = [part.mean(2) for part in np.array_split(loss, min(POINTS, batches), axis=2)]
    middles = (np.arange(epochs * len(parts)) + 0.5) / len(parts)
    return middles, np.stack(parts, axis=2).reshape(len(loss), -1)


def _band(ax: Axes, arm: "MlpArm", x: np.ndarray, values: np.ndarray, *, marked: bool = True) -> None:
    style = METHODS[arm.name] if marked else {**METHODS[arm.name], "marker": ""}
    mean = np.where(np.isfinite(values), values, np.nan).mean(0)
    ax.plot(x, mean, label=f"{NAMES[arm.name]}, rate {arm.lr:.3g}", **style)
    if len(values) > 1:
        std = values.std(0, ddof=1)
        ax.fill_between(x, mean - std, mean + std, color=style["color"], alpha=0.2, linewidth=0)
