"""Picture of the learning curves of one training run."""

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ndtools.drawing.axes import plain_ticks, say_empty
from ndtools.drawing.palette import BLUE, VERMILION
from ndtools.drawing.style import PAGE, add_letters, add_title, drawing_style, is_wide, new_figure, width_of

if TYPE_CHECKING:
    from ndtools.results.runs import Run

__all__ = ["caption_train", "plot_train"]

_TRAINING: dict[str, Any] = {"color": VERMILION, "linewidth": 0.8}
_EVALUATION: dict[str, Any] = {"color": BLUE}
_DIVERGED: dict[str, Any] = {"color": "0.3", "linestyle": "", "marker": "x", "markersize": 5.0, "markeredgewidth": 1.0}
_POINTS = 400  # at most, of the training loss


def plot_train(run: "Run", *, width: float = PAGE, title: bool = True, fig: Figure | None = None) -> Figure:
    """Draw loss and accuracy of a run by epoch and, if it segments, the mean intersection over union.

    Parameters
    ----------
    run : Run
        Records of the run, which may be going on.
    width : float
        Width of the figure in print, millimetres. Default 180; below 120 the panels stand one above the other.
    title : bool
        Whether the figure has a title. Default True.
    fig : Figure, optional
        An empty figure to draw on, which keeps its size. Default: a new one.

    Returns
    -------
    Figure
        With two axes: the loss, logarithmic, and the accuracy in per cent. For runs that segment, the second is of
        labelled pixels, and a third has the mean intersection over union.
    """
    with drawing_style():
        width = width_of(fig, width)
        wide = is_wide(width)
        panels = 3 if run.segments else 2
        fig = new_figure(fig, width, (62 if run.segments else 72) if wide else 65 * panels)
        axes = list(fig.subplots(1, panels) if wide else fig.subplots(panels, 1))
        loss, accuracy, *others = axes
        _draw_loss(loss, run)
        epochs = run.epoch_ends
        during, after = ("training", run.evaluation)
        if during == after:
            during, after = "training, during the epoch", "training, after it"
        accuracy.plot(epochs, run.epochs["train_top1"], label=during, marker=".", **_TRAINING)
        accuracy.plot(epochs, run.epochs["eval_top1"], label=after, marker="o", **_EVALUATION)
        accuracy.set_ylabel("pixel accuracy (%)" if run.segments else "accuracy (%)")
        for ax in others:
            mean_iou = run.epochs.get("eval_mean_iou", np.full(len(epochs), np.nan))
            ax.plot(epochs, mean_iou, label=after, marker="o", **_EVALUATION)
            ax.set_ylabel("mean IoU (%)")
        if not len(epochs):
            for ax in axes[1:]:
                say_empty(ax, "no epoch was finished" if run.state == "diverged" else "no epoch is finished yet")
        last = max(*epochs, *run.steps["epoch"][-1:], 1 if run.state == "running" else 0.0, 1e-6)
        for ax in axes:
            ax.set_xlim(0, last * 1.02)
            ax.set_xlabel("epoch")
        for ax in axes if len(epochs) else (loss,):
            bins = 8 if panels == 2 else 6
            ax.xaxis.set_major_locator(MaxNLocator(bins, integer=last >= 2, min_n_ticks=1, steps=[1, 2, 5, 10]))
        add_letters(axes)
        handles, labels = accuracy.get_legend_handles_labels()
        if run.state == "diverged":
            handles.append(Line2D([], [], **_DIVERGED))
            labels.append("diverged")
        fig.legend(handles, labels, loc="outside lower center", ncols=len(labels))
        if title:
            add_title(fig, f"{run.about['arch']}, {run.about['norm']}, trained on {run.data}")
    return fig


def caption_train(run: "Run") -> str:
    """Say in words what the figure of :func:`plot_train` shows."""
    config, data = run.about["config"], run.about["data"]
    augmented = " and with augmentation" if config.get("augment", True) else ""
    if run.evaluation == "training":
        after = f"on the same images after it, since {run.data} has no others for evaluation"
    else:
        after = f"on the {data['eval_images']:,} {run.evaluation} images after it"
    share = "Share of right labels" if run.segments else "Accuracy"
    auxiliary = ", with that of the auxiliary classifier" if run.segments and config.get("auxiliary") else ""
    return (
        f"Learning curves of {run.about['arch']} with the normalisation {run.about['norm']} on {run.data}:"
        f" {data['train_images']:,} training images in batches of {config['batch_size']:,}, {config['opt']} at the rate"
        f" {config['lr']:g}, weight decay {config['weight_decay']:g}, seed {config['seed']}. (a) Training"
        f" loss{auxiliary}, averaged over neighbouring steps, and {run.evaluation} loss after each epoch."
        f" (b) {share} on the training images, in the course of each epoch{augmented}, and {after}."
        f"{_mean_iou(run)}{_divergence(run)}"
    )


def _mean_iou(run: "Run") -> str:
    """Say what the panel of the mean intersection over union shows, and the final number if it is of other images."""
    if not run.segments:
        return ""
    data, last = run.about["data"], (run.result or {}).get("last") or {}
    words = (
        f" (c) Intersection over union on the {run.evaluation} images after each epoch: mean over the"
        f" {data['classes']:,} classes, without those that occur in neither truth nor prediction."
    )
    if run.final != run.evaluation and last.get("test_mean_iou") is not None:
        words += (
            f" On the {data['test_images']:,} {run.final} images, the mean is {last['test_mean_iou']:.2f} % after the"
            f" last epoch, and {last['test_top1']:.2f} % of the pixels are right."
        )
    return words


def _divergence(run: "Run") -> str:
    """Say where a run diverged, and why; empty if it did not."""
    if run.state != "diverged":
        return ""
    why = str((run.result or {}).get("reason") or "").partition(";")[0]  # without the remedy
    return (
        f" The run diverged at step {len(run.steps['step']):,}{f': {why}' if why else ''}. The cross in a stands above"
        " the last step."
    )


def _draw_loss(ax: Axes, run: "Run") -> None:
    losses, reached = run.steps["loss"], run.steps["epoch"]
    if len(losses):
        parts = np.array_split(np.arange(len(losses)), min(_POINTS, len(losses)))
        middles = np.array([reached[part].mean() for part in parts])
        ax.plot(middles, [losses[part].mean() for part in parts], **_TRAINING)
    ax.plot(run.epoch_ends, run.epochs["eval_loss"], marker="o", **_EVALUATION)
    if run.state == "diverged" and len(reached):
        ax.plot(reached[-1], 1, transform=ax.get_xaxis_transform(), clip_on=False, zorder=5, **_DIVERGED)
    ax.set_yscale("log")
    ax.set_ylabel("loss")
    plain_ticks(ax.yaxis)
