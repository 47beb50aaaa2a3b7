"""Picture of training runs beside one another: accuracy by epoch, step and time, and loss of the first steps."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

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
from ndtools.text import counted, source_name

if TYPE_CHECKING:
    from ndtools.experiments.compare.config import CompareConfig
    from ndtools.experiments.compare.result import CompareArm, CompareResult, Curve, Reference

__all__ = ["caption_compare", "plot_compare", "smoothed"]

_DASHES = ("-", "--", ":", "-.", (0, (5, 1.5, 1, 1.5)), (0, (8, 2)))  # of arms that share a normalisation
_MARKERS = "o^sDvP<X>p"
_MOST_MARKERS = 12  # of a line
_SINGLE: dict[str, Any] = {"linewidth": 0.5, "alpha": 0.6}  # a run that is not in the mean
_SIGNS = {"diverged": "x", "running": "o"}  # at the end of such a run
_PUBLISHED = {"paper": "D", "ReScience": "s"}
_NAMES = {"paper": "published", "ReScience": "third party"}
_LETTER = 0.56 * 6.0 / 72 * 25.4  # millimetres of a letter of a legend


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
        With four axes; those of the accuracy are logarithmic in the error.
    """
    styles = arm_styles(result.arms)
    with drawing_style():
        width = width_of(fig, width)
        wide = is_wide(width)
        handles = _handles(result.arms, styles)
        columns = _columns([handle.get_label() for handle in handles], width)
        rows = -(-len(handles) // columns)
        fig = new_figure(fig, width, (124 if wide else 158) + 3.2 * rows)
        axes = list(fig.subplots(2, 2).ravel() if wide else fig.subplots(4, 1))
        by_epoch, by_step, by_time, loss = axes
        unit, seconds = _unit_of_time(result.arms)
        for ax, column, scale in ((by_epoch, "epoch", 1.0), (by_step, "step", 1.0), (by_time, "seconds", seconds)):
            for arm, style in zip(result.arms, styles, strict=True):
                _draw_accuracy(ax, arm, style, column, scale)
        for arm, style in zip(result.arms, styles, strict=True):
            for reference in _drawn(arm):
                by_epoch.plot(
                    arm.epochs, _error(np.array(reference.value)), clip_on=False, zorder=4, **_mark(reference, style)
                )
            _draw_loss(loss, arm, style, result.config)
        errors = _errors(result.arms)
        for ax, name in ((by_epoch, "epoch"), (by_step, "training step"), (by_time, f"time of training / {unit}")):
            accuracy_axis(ax, errors, f"{_split(result.arms)} accuracy", remark=wide)
            ax.set_xlabel(name)
            ax.set_xlim(left=0)
            ax.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=ax is not by_time, min_n_ticks=1))
        loss.set_xlabel("training step")
        smooth = result.config.smooth
        loss.set_ylabel("training loss" + (f"{' ' if wide else chr(10)}(mean of {smooth} steps)" if smooth > 1 else ""))
        loss.set_xlim(left=0)
        loss.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
        if any(np.isfinite(line.get_ydata()).any() for line in loss.lines):
            loss.set_yscale("log")
            plain_ticks(loss.yaxis)
        else:
            say_empty(loss, "no loss is finite")
        if not any(len(run) for arm in result.arms for run in arm.runs):
            for ax in (by_epoch, by_step, by_time):
                say_empty(ax, "no run has finished an epoch")
        add_letters(axes)
        fig.legend(handles=handles, loc="outside lower center", ncols=columns)
        if title:
            add_title(fig, f"Training runs on {source_name(result.dataset)}")
    return fig


def arm_styles(arms: "Sequence[CompareArm]") -> list[dict[str, Any]]:
    """Return the line of each arm: its colour is that of the normalisation if arms differ in it.

    Parameters
    ----------
    arms : sequence of CompareArm
        Arms of a comparison.

    Returns
    -------
    list of dict
        Colour, dash and marker of each arm.
    """
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


def _draw_accuracy(ax: Axes, arm: "CompareArm", style: dict[str, Any], column: str, scale: float) -> None:
    x = arm.curves(column).mean(0) / scale if arm.common else np.empty(0)
    errors = _error(arm.curves())
    every = -(-max(arm.common, 1) // _MOST_MARKERS)
    if arm.common:
        mean = errors.mean(0)
        ax.plot(x, mean, markevery=(every - 1, every), **style)
        if len(errors) > 1:
            spread = errors.std(0, ddof=1)
            low, high = np.clip(mean - spread, LEAST_ERROR, None), mean + spread
            ax.fill_between(x, low, high, color=style["color"], alpha=0.2, linewidth=0)
    for run in arm.runs:
        if run in arm.counted and len(run) == arm.common and run.state == "finished":
            continue
        start = max(arm.common - 1, 0) if run in arm.counted else 0
        _draw_single(ax, run, style, run.table[column][start:] / scale, _error(run.accuracy[start:]))


def _draw_single(ax: Axes, run: "Curve", style: dict[str, Any], x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
    """Draw a run, or a part of it, that is not in the mean of its arm, with a sign of its state at the end."""
    ax.plot(x, y, color=style["color"], linestyle="-", **_SINGLE)
    shown = np.flatnonzero(np.isfinite(y))
    if len(shown) and run.state in _SIGNS:
        at = shown[-1]
        ax.plot(x[at], y[at], zorder=3, **_sign(run.state, style["color"]))


def _sign(state: str, color: str) -> dict[str, Any]:
    return {
        "color": color,
        "linestyle": "",
        "marker": _SIGNS[state],
        "markersize": 5.0,
        "markerfacecolor": "white",
        "markeredgewidth": 1.0,
    }


def _draw_loss(ax: Axes, arm: "CompareArm", style: dict[str, Any], config: "CompareConfig") -> None:
    losses = {id(run): smoothed(run.loss, config.smooth)[: config.loss_steps] for run in arm.runs}
    meant = [run for run in (arm.counted or arm.in_state("running")) if len(run.loss)]
    shortest = min((len(losses[id(run)]) for run in meant), default=0)
    if shortest:
        values = np.array([losses[id(run)][:shortest] for run in meant])
        x, mean = meant[0].step[:shortest], values.mean(0)
        ax.plot(x, mean, **{**style, "marker": ""})
        if len(values) > 1:
            spread = values.std(0, ddof=1)
            low = np.where(mean - spread > 0, mean - spread, mean / 10)
            ax.fill_between(x, low, mean + spread, color=style["color"], alpha=0.2, linewidth=0)
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


def _error(accuracy: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip(1 - accuracy / 100, LEAST_ERROR, 1.0)


def _errors(arms: "Sequence[CompareArm]") -> NDArray[np.float64]:
    """Return all errors that the axes must hold."""
    parts = [_error(run.accuracy[np.isfinite(run.accuracy)]) for arm in arms for run in arm.runs]
    parts += [_error(np.array([reference.value for arm in arms for reference in _drawn(arm)]))]
    errors = np.concatenate(parts)
    return errors if len(errors) else np.array([0.1, 0.9])


def _split(arms: "Sequence[CompareArm]") -> str:
    return " or ".join(dict.fromkeys(arm.split for arm in arms))


def _drawn(arm: "CompareArm") -> "list[Reference]":
    """Return the published numbers that are drawn: test accuracies that nobody doubts."""
    return [
        reference
        for reference in arm.references
        if reference.document in _PUBLISHED and reference.split == "test" and reference.doubt is None
    ]


def _mark(reference: "Reference", style: dict[str, Any]) -> dict[str, Any]:
    return {
        "color": style["color"],
        "linestyle": "",
        "marker": _PUBLISHED[reference.document],
        "markersize": 4.5,
        "markerfacecolor": "white",
        "markeredgewidth": 1.0,
    }


def _handles(arms: "Sequence[CompareArm]", styles: Sequence[dict[str, Any]]) -> list[Line2D]:
    handles = [Line2D([], [], label=_label(arm), **style) for arm, style in zip(arms, styles, strict=True)]
    for state in dict.fromkeys(run.state for arm in arms for run in arm.runs):
        if state in _SIGNS:
            handles.append(Line2D([], [], label=state, **_sign(state, "0.3")))
    for name in dict.fromkeys(reference.document for arm in arms for reference in _drawn(arm)):
        reference = next(each for arm in arms for each in _drawn(arm) if each.document == name)
        handles.append(Line2D([], [], label=_NAMES[name], **_mark(reference, {"color": "0.3"})))
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


def caption_compare(result: "CompareResult") -> str:
    """Say in words what the figure of :func:`plot_compare` shows.

    Parameters
    ----------
    result : CompareResult
        Result of :func:`ndtools.experiments.compare.run.run`.

    Returns
    -------
    str
        The caption, one paragraph.
    """
    arms = "; ".join(_arm_in_words(arm) for arm in result.arms)
    runs = [run for arm in result.arms for run in arm.runs]
    signs = []
    if any(run.state == "diverged" for run in runs):
        signs.append(" Runs that diverged are drawn alone, with a cross where they end, and are in no mean.")
    if any(run.state == "running" for run in runs):
        signs.append(
            " An open circle is where a run that has not finished is now; means are of the epochs that all runs of an"
            " arm have done."
        )
    drawn = [reference.document for arm in result.arms for reference in _drawn(arm)]
    if "paper" in drawn:
        signs.append(" Diamonds: accuracy published by Ye et al. (2020).")
    if "ReScience" in drawn:
        signs.append(" Squares: mean of three runs of the published code by Obadage et al. (2025).")
    smooth = result.config.smooth
    return (
        f"Training runs on {result.dataset}: {arms}. (a to c) {_split(result.arms).capitalize()} accuracy after each"
        " epoch, mean (lines) and one standard deviation (bands) over runs with other seeds, on an axis that is"
        " logarithmic in the error: against the epoch, the training step, and the time of training without evaluation"
        f" (mean over the runs). (d) Loss of the first {result.config.loss_steps:,} training steps"
        f"{f', averaged over {smooth} steps' if smooth > 1 else ''}.{''.join(signs)}"
    )


def _arm_in_words(arm: "CompareArm") -> str:
    if not arm.common:
        diverged = len(arm.in_state("diverged"))
        lost = f" ({counted(diverged, 'run')} diverged)" if diverged else ""
        return f"{arm.name}, no run with a finished epoch{lost}"
    last = arm.last
    spread = f" ± {last.std(ddof=1):.2f}" if len(last) > 1 else ""
    whole = arm.finished and not arm.cut_short
    when = f"after {counted(arm.common, 'epoch')}" if whole else f"after {arm.done:.3g} of {arm.epochs} epochs"
    split = "test" if arm.finished else arm.split
    return f"{arm.name}, {counted(len(last), 'run')}, {split} accuracy {last.mean():.2f}{spread} % {when}"
