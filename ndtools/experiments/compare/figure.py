"""Picture of training runs beside one another: accuracy by epoch, step and time, and loss of the first steps.

Runs that segment have the mean intersection over union in place of the accuracy, and loss and pixel accuracy by epoch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ndtools.drawing.accuracy import LEAST_ERROR, accuracy_axis
from ndtools.drawing.axes import plain_ticks, say_empty
from ndtools.drawing.palette import ARMS
from ndtools.drawing.series import sized_styles
from ndtools.drawing.style import PAGE, add_letters, add_title, drawing_style, is_wide, new_figure, width_of
from ndtools.results.runs import MEAN_IOU
from ndtools.text import counted, source_name

if TYPE_CHECKING:
    from ndtools.experiments.compare.arm import CompareArm, Curve, Reference
    from ndtools.experiments.compare.config import CompareConfig
    from ndtools.experiments.compare.result import CompareResult

__all__ = ["arm_styles", "drawn_references", "plot_compare", "smoothed", "split_of"]

_DASHES = ("-", "--", ":", "-.", (0, (5, 1.5, 1, 1.5)), (0, (8, 2)))  # of arms that share a normalisation
_MARKERS = "o^sDvP<X>p"
_ROOM = 1.03  # of an axis, for the markers at its end
_MOST_MARKERS = 12  # of a line
_SINGLE: dict[str, Any] = {"linewidth": 0.5, "alpha": 0.6}  # a run that is not in the mean
_SIGNS = {"diverged": "x", "running": "o"}  # at the end of such a run
_PUBLISHED = {"paper": "D", "ReScience": "s"}
_NAMES = {"paper": "published", "ReScience": "third party"}
_LETTER = 0.56 * 6.0 / 72 * 25.4  # millimetres of a letter of a legend


@dataclass(frozen=True)
class _Measure:
    """A column of the tables of runs as a panel draws it.

    Attributes
    ----------
    column : str
        Name of the column.
    name : str
        Name of the axis.
    scale : {"error", "percent", "logarithmic"}
        Accuracy on an axis that is logarithmic in the error, per cent on a linear axis, or a loss.
    """

    column: str
    name: str
    scale: Literal["error", "percent", "logarithmic"] = "percent"

    def of(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what is drawn of values of the column."""
        return _error(values) if self.scale == "error" else values

    @property
    def least(self) -> float | None:
        """Smallest number that is drawn, if there is one."""
        return {"error": LEAST_ERROR, "percent": 0.0}.get(self.scale)


def plot_compare(
    result: "CompareResult", *, width: float = PAGE, title: bool = True, fig: Figure | None = None
) -> Figure:
    """Draw accuracy by epoch, step and time, with the deviation over the runs, and the loss of the first steps.

    Parameters
    ----------
    result : CompareResult
        Result of :func:`ndtools.experiments.compare.run.run`.
    width : float
        Width of the figure in print, millimetres. Default 180; below 120 the panels stand one below the other.
    title : bool
        Whether the figure has a title. Default True.
    fig : Figure, optional
        An empty figure to draw on, which keeps its size. Default: a new one.

    Returns
    -------
    Figure
        With four axes; those of the accuracy are logarithmic in the error. For runs that segment there are six:
        training loss, mean intersection over union and pixel accuracy by epoch; the second by step and time; and the
        loss of the first steps.
    """
    styles = arm_styles(result.arms)
    with drawing_style():
        width = width_of(fig, width)
        wide = is_wide(width)
        handles = _handles(result.arms, styles)
        columns = _columns([handle.get_label() for handle in handles], width)
        rows = -(-len(handles) // columns)
        segments = result.segments
        if segments:
            fig = new_figure(fig, width, (112 if wide else 148) + 3.2 * rows)
            axes = list(fig.subplots(2, 3).ravel() if wide else fig.subplots(3, 2).ravel())
            losses, by_epoch, pixels, by_step, by_time, loss = axes
        else:
            fig = new_figure(fig, width, (124 if wide else 158) + 3.2 * rows)
            axes = list(fig.subplots(2, 2).ravel() if wide else fig.subplots(4, 1))
            by_epoch, by_step, by_time, loss = axes
        split = split_of(result.arms)
        main = (
            _Measure(MEAN_IOU, f"{split} mean IoU (%)")
            if segments
            else _Measure("eval_top1", f"{split} accuracy", "error")
        )
        unit, seconds = _unit_of_time(result.arms)
        panels = [
            (by_epoch, main, "epoch", 1.0, "epoch"),
            (by_step, main, "step", 1.0, "training step"),
            (by_time, main, "seconds", seconds, f"time of training / {unit}"),
        ]
        if segments:
            accuracy = _Measure("eval_top1", f"{split} pixel accuracy (%)")
            mean_loss = _Measure(
                "train_loss",
                "training loss (mean of an epoch)" if wide else "training loss\n(mean of an epoch)",
                "logarithmic",
            )
            panels += [(pixels, accuracy, "epoch", 1.0, "epoch"), (losses, mean_loss, "epoch", 1.0, "epoch")]
        for ax, measure, column, scale, _ in panels:
            for arm, style in zip(result.arms, styles, strict=True):
                _draw_measure(ax, arm, style, measure, column, scale)
        for arm, style in zip(result.arms, styles, strict=True):
            for reference in drawn_references(arm):
                sign = _sign(_PUBLISHED[reference.document], style["color"])
                by_epoch.plot(arm.epochs, main.of(np.array(reference.value)), clip_on=False, zorder=4, **sign)
            _draw_loss(loss, arm, style, result.config)
        errors = _errors(result.arms)
        for ax, measure, column, _, name in panels:
            if measure.scale == "error":
                accuracy_axis(ax, errors, measure.name, remark=wide)
            else:
                ax.set_ylabel(measure.name)
            if measure.scale == "logarithmic" and any(np.isfinite(line.get_ydata()).any() for line in ax.lines):
                ax.set_yscale("log")
                plain_ticks(ax.yaxis)
            ax.set_xlabel(name)
            last = ax.dataLim.x1 if np.isfinite(ax.dataLim.x1) else 0.0
            ax.set_xlim(0, max(ax.get_xlim()[1], last * _ROOM))  # markers at the end are not cut by the frame
            bins = 6 if wide or not segments else 4
            ax.xaxis.set_major_locator(MaxNLocator(nbins=bins, integer=column != "seconds", min_n_ticks=1))
        loss.set_xlabel("training step")
        smooth = result.config.smooth
        between = " " if wide and not segments else "\n"
        loss.set_ylabel("training loss" + (f"{between}(mean of {smooth} steps)" if smooth > 1 else ""))
        loss.set_xlim(left=0)
        loss.xaxis.set_major_locator(MaxNLocator(nbins=6 if wide or not segments else 4, integer=True, min_n_ticks=1))
        if any(np.isfinite(line.get_ydata()).any() for line in loss.lines):
            loss.set_yscale("log")
            plain_ticks(loss.yaxis)
        else:
            say_empty(loss, "no loss is finite")
        if not any(len(run) for arm in result.arms for run in arm.runs):
            for ax, *_ in panels:
                say_empty(ax, "no run has finished an epoch")
        add_letters(axes)
        fig.legend(handles=handles, loc="outside lower center", ncols=columns)
        if title:
            add_title(fig, f"Training runs on {source_name(result.dataset)}")
    return fig


def arm_styles(arms: "Sequence[CompareArm]") -> list[dict[str, Any]]:
    """Return colour, dash and marker of each arm: the colour is that of the normalisation if arms differ in it."""
    norms = [arm.norm for arm in arms]
    if len(set(norms)) == 1 and len(arms) > 1:
        return [sized_styles(number) for number in range(len(arms))]
    several = len(set(norms)) < len(norms)
    styles = []
    for number, norm in enumerate(norms):
        style = ARMS.get(norm) or sized_styles(number)
        if several:
            place = norms[:number].count(norm)
            dash, marker = _DASHES[place % len(_DASHES)], _MARKERS[place % len(_MARKERS)]
            style = {**style, "linestyle": dash, "marker": marker}
        styles.append(style)
    return styles


def smoothed(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Average values over an odd number of neighbours, over fewer towards both ends, so that no average is off-centre.

    Parameters
    ----------
    values : array of shape (n,)
        Values in their order.
    width : int
        Number of values of which an average is taken, odd.

    Returns
    -------
    array of shape (n,)
        Averages; NaN where one of the values is.
    """
    at = np.arange(len(values))
    reach = np.minimum(np.minimum(at, at[::-1]), width // 2)
    ends = np.stack([at - reach, at + reach + 1], axis=1)
    # Each sum is of its own values: in differences of running sums, a single huge loss would swallow all later ones.
    sums = np.add.reduceat(np.append(values, 0.0), ends.ravel())[::2]
    means: NDArray[np.float64] = sums[: len(values)] / (2 * reach + 1)
    return means


def _draw_measure(
    ax: Axes, arm: "CompareArm", style: dict[str, Any], measure: _Measure, column: str, scale: float
) -> None:
    x = arm.curves(column).mean(0) / scale if arm.common else np.empty(0)
    values = measure.of(arm.curves(measure.column))
    every = -(-max(arm.common, 1) // _MOST_MARKERS)
    if arm.common:
        _draw_mean(ax, x, values, {**style, "markevery": (every - 1, every)}, measure.least)
    for run in arm.runs:
        if run in arm.counted and len(run) == arm.common and run.state == "finished":
            continue
        start = max(arm.common - 1, 0) if run in arm.counted else 0
        drawn = measure.of(run.table[measure.column][start:])
        _draw_single(ax, run, style, run.table[column][start:] / scale, drawn)


def _draw_mean(
    ax: Axes, x: NDArray[np.float64], values: NDArray[np.float64], style: dict[str, Any], least: float | None
) -> None:
    """Draw the mean of runs, and a band of one standard deviation that ends at a least value, or above 0."""
    mean = values.mean(0)
    ax.plot(x, mean, **style)
    if len(values) > 1:
        spread = values.std(0, ddof=1)
        low = np.maximum(mean - spread, mean / 10 if least is None else least)
        ax.fill_between(x, low, mean + spread, color=style["color"], alpha=0.2, linewidth=0)


def _draw_single(ax: Axes, run: "Curve", style: dict[str, Any], x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
    """Draw a run, or a part of it, that is not in the mean of its arm, with a sign of its state at the end."""
    ax.plot(x, y, color=style["color"], linestyle="-", **_SINGLE)
    shown = np.flatnonzero(np.isfinite(y))
    if len(shown) and run.state in _SIGNS:
        at = shown[-1]
        ax.plot(x[at], y[at], zorder=3, **_sign(_SIGNS[run.state], style["color"]))


def _sign(marker: str, color: str) -> dict[str, Any]:
    """Return the style of a single marker, open where it has an inside."""
    return {
        "color": color,
        "linestyle": "",
        "marker": marker,
        "markersize": 4.5 if marker in _PUBLISHED.values() else 5.0,
        "markerfacecolor": "white",
        "markeredgewidth": 1.0,
    }


def _draw_loss(ax: Axes, arm: "CompareArm", style: dict[str, Any], config: "CompareConfig") -> None:
    losses = {id(run): _drawn_loss(run, config) for run in arm.runs}
    meant = [run for run in (arm.counted or arm.in_state("running")) if len(run.loss)]
    shortest = min((len(losses[id(run)]) for run in meant), default=0)
    if shortest:
        values = np.array([losses[id(run)][:shortest] for run in meant])
        _draw_mean(ax, meant[0].step[:shortest], values, {**style, "marker": ""}, None)
    for run in arm.runs:
        y = losses[id(run)]
        if run in meant and len(y) == shortest:
            continue
        start = shortest - 1 if run in meant else 0
        x = run.step[: len(y)]
        if run.steps <= config.loss_steps:  # it ends within the steps that are drawn
            _draw_single(ax, run, style, x[start:], y[start:])
        else:
            ax.plot(x[start:], y[start:], color=style["color"], **_SINGLE)


def _drawn_loss(run: "Curve", config: "CompareConfig") -> NDArray[np.float64]:
    """Return the averaged losses of a run, as far as they are drawn."""
    # The last averages are of few steps, or of one, so that they are left out; those of a run that diverged show how.
    steps = len(run.loss)
    left_out = 0 if run.state == "diverged" else min(config.smooth, max(steps, 1)) // 2
    return smoothed(run.loss, config.smooth)[: min(steps - left_out, config.loss_steps)]


def _error(accuracy: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip(1 - accuracy / 100, LEAST_ERROR, 1.0)


def _errors(arms: "Sequence[CompareArm]") -> NDArray[np.float64]:
    """Return all errors that the axes must hold."""
    parts = [_error(run.accuracy[np.isfinite(run.accuracy)]) for arm in arms for run in arm.runs]
    parts += [_error(np.array([reference.value for arm in arms for reference in drawn_references(arm)]))]
    errors = np.concatenate(parts)
    return errors if len(errors) else np.array([0.1, 0.9])


def split_of(arms: "Sequence[CompareArm]") -> str:
    """Name the images that accuracies of the epochs are of."""
    return " or ".join(dict.fromkeys(arm.split for arm in arms))


def drawn_references(arm: "CompareArm") -> "list[Reference]":
    """Return the published numbers that are drawn: test accuracies that nobody doubts."""
    return [
        reference
        for reference in arm.references
        if reference.document in _PUBLISHED and reference.split == "test" and reference.doubt is None
    ]


def _handles(arms: "Sequence[CompareArm]", styles: Sequence[dict[str, Any]]) -> list[Line2D]:
    handles = [Line2D([], [], label=_label(arm), **style) for arm, style in zip(arms, styles, strict=True)]
    for state in dict.fromkeys(run.state for arm in arms for run in arm.runs):
        if state in _SIGNS:
            handles.append(Line2D([], [], label=state, **_sign(_SIGNS[state], "0.3")))
    for name in dict.fromkeys(reference.document for arm in arms for reference in drawn_references(arm)):
        handles.append(Line2D([], [], label=_NAMES[name], **_sign(_PUBLISHED[name], "0.3")))
    return handles


def _label(arm: "CompareArm") -> str:
    n = len(arm.counted)
    if n == 0:
        states = ("running", "diverged")
        return f"{arm.name} ({', '.join(f'{len(runs)} {state}' for state in states if (runs := arm.in_state(state)))})"
    return f"{arm.name} ({counted(n, 'run')})" if n > 1 else arm.name


def _columns(labels: Sequence[Any], width: float) -> int:
    """Return the number of columns of a legend in a figure of this width, millimetres."""
    longest = max(len(str(label)) for label in labels)
    most = max(1, min(len(labels), int(width / (longest * _LETTER + 10))))
    return -(-len(labels) // -(-len(labels) // most))  # rows of equal length


def _unit_of_time(arms: "Sequence[CompareArm]") -> tuple[str, float]:
    longest = max((float(run.table["seconds"][-1]) for arm in arms for run in arm.runs if len(run)), default=0.0)
    for name, seconds in (("hours", 3600.0), ("minutes", 60.0)):
        if longest > 3 * seconds:
            return name, seconds
    return "seconds", 1.0
