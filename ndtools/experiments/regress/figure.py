"""Picture of the losses of linear regression with and without deconvolution (Ye et al. 2020, fig. 5 a, b)."""

from typing import TYPE_CHECKING, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ndtools.drawing.axes import End, name_ends, plain_ticks
from ndtools.drawing.palette import METHODS
from ndtools.drawing.style import PAGE, SMALL, add_letters, add_title, drawing_style, is_wide, new_figure, width_of
from ndtools.text import counted

if TYPE_CHECKING:
    from ndtools.experiments.regress.result import ArmResult, LossResult, RegressResult

__all__ = ["caption_regress", "plot_regress"]

NAMES: dict[str, str] = {"sgd": "SGD", "bn": "BN", "deconv": "deconvolution"}
STYLES = {name: {**METHODS[method], "marker": ""} for name, method in zip(NAMES, ("none", "bn", "deconv"), strict=True)}
MARKERS = {name: METHODS[method]["marker"] for name, method in zip(NAMES, ("none", "bn", "deconv"), strict=True)}
OPTIMUM = {"l2": "closed form", "logistic": "L-BFGS"}
TITLES = {"l2": "L2 loss", "logistic": "logistic loss"}
FLOOR = 1e-9  # of the axis, relative to its other end: a perfect fit has no logarithm
CEILING = 1.6  # times the loss of zero weights: what is above has diverged
WIDTHS = (1.5, 1.0, 0.6)  # points: of lines of the largest rate of some features, the second, and all smaller ones
LETTER, OFFSET = 0.6, 6  # width of a letter in units of its size, distance of names from their curves in points
ROOM = 1.3  # width of a panel before it has been laid out, by that afterwards
MOST_AWAY = 4  # diverging curves that are named where they leave the panel; the names of more stand at its right
LINE = 2.8  # millimetres of a panel for each of the names at its right
PREDICTED = "open symbols: predicted for full batches"


def plot_regress(
    result: "RegressResult", *, width: float = PAGE, title: bool = True, fig: Figure | None = None
) -> Figure:
    """Draw the losses of all arms by iteration.

    Parameters
    ----------
    result : RegressResult
        Result of :func:`ndtools.experiments.regress.run.run`.
    width : float
        Width of the figure in print, millimetres. Default 180; below 120 the panels stand one above the other.
    title : bool
        Whether the figure has a title. Default True.
    fig : Figure, optional
        An empty figure to draw on, which keeps its size. Default: a new one.

    Returns
    -------
    Figure
        With an axes for each loss: curves on logarithmic axes (iteration 0 at the left), of one style for each kind of
        features, named at their right ends.
    """
    with drawing_style():
        width = width_of(fig, width)
        count = len(result.losses)
        across = count if is_wide(width) else 1
        panel = max(54.0, LINE * (1 + max(len(loss.arms) for loss in result.losses)) + 14)
        fig = new_figure(fig, width, count // across * panel + 14)
        axes = list(fig.subplots(count // across, across, squeeze=False).ravel())
        for ax, loss in zip(axes, result.losses, strict=True):
            ax.set_label("losses")
            _draw_losses(ax, loss, result)
        add_letters(axes)
        if any(arm.theory is not None for loss in result.losses for arm in loss.arms):
            fig.legend(handles=[_points("0.2", "o", PREDICTED)], loc="outside lower center")
        if title:
            add_title(fig, f"Linear regression on {result.data.label}")
    return fig


def caption_regress(result: "RegressResult") -> str:
    """Say in words what the figure of :func:`plot_regress` shows."""
    config = result.config
    how = f"{counted(config.n_iter, 'Newton-Schulz iteration')}" if config.method == "coupled" else "exact"
    shrinkage = "" if config.shrinkage == "none" else f", shrinkage {config.shrinkage}"
    batch = "all images at once" if config.full_batch else f"batches of {result.batch_size:,}"
    repeats = "" if config.repeats == 1 else f"; mean ± standard deviation of {config.repeats} runs"
    parts = []
    for letter, loss in zip("ab", result.losses, strict=False):
        panel = f"({letter}) " if len(result.losses) > 1 else ""
        parts.append(f"{panel}{TITLES[loss.name]}, with the optimum {loss.optimum:.4g} ({OPTIMUM[loss.name]}).")
        if loss.name == "logistic":
            parts.append("Its Hessian at zero weights is a quarter of that of the L2 loss, so rate 4 is its rate 1.")
    if any(arm.diverged for loss in result.losses for arm in loss.arms):
        parts.append("Curves marked ↑ diverge.")
    if any(len({arm.lr for arm in loss.arms if arm.name == name}) > 1 for loss in result.losses for name in NAMES):
        parts.append("Lines are the thicker, the larger the rate.")
    if any(arm.theory is not None for loss in result.losses for arm in loss.arms):
        parts.append("Open symbols are losses predicted by the eigenvalues for full batches.")
    return (
        f"Linear regression on {result.data.label}, {result.data.images:,} images, {batch}{repeats}: loss before each"
        f" step on {'all images' if config.full_batch else 'the next batch'}, for gradient descent on raw pixels (SGD),"
        " on standardised pixels (BN) and on deconvolved pixels. Each curve is named by its features and learning"
        f" rate. {' '.join(parts)} D: {how}, eps {config.eps:.3g}{shrinkage}."
    )


def _draw_losses(ax: Axes, loss: "LossResult", result: "RegressResult") -> None:
    ceiling = CEILING * float(loss.arms[0].loss[:, 0].mean())
    for arm in loss.arms:
        rates = sorted({other.lr for other in loss.arms if other.name == arm.name}, reverse=True)
        linewidth = WIDTHS[min(rates.index(arm.lr), len(WIDTHS) - 1)]
        _draw_arm(ax, arm, ceiling, linewidth, full_batch=result.config.full_batch)
    ax.axhline(loss.optimum, **METHODS["optimum"])
    ax.set_xscale("symlog", linthresh=1, linscale=0.35)
    last = result.iterations if result.config.full_batch else result.iterations - 1
    ax.set_xlim(0, max(last, 1))
    ax.set_yscale("log")
    seen = [float(value) for arm in loss.arms for value in arm.loss[np.isfinite(arm.loss)]]
    lowest = max(min([loss.optimum, *seen]), FLOOR * ceiling)
    ax.set_ylim(lowest * (lowest / ceiling) ** 0.05, ceiling)
    plain_ticks(ax.xaxis, always=(0,), whole=True)
    plain_ticks(ax.yaxis)
    ax.set_xlabel("steps (logarithmic beyond 1)")
    ax.set_ylabel(f"{TITLES[loss.name]} of {'all images' if result.config.full_batch else 'the next batch'}")
    curves = [_curve(arm, full_batch=result.config.full_batch) for arm in loss.arms]
    away = [arm.diverged or not curve[-1] <= ceiling for arm, curve in zip(loss.arms, curves, strict=True)]
    leaving = sorted(
        [(_leaves(curve, ceiling), arm) for arm, curve, gone in zip(loss.arms, curves, away, strict=True) if gone],
        key=lambda pair: pair[0],
    )
    beside = _side_of_leaving(ax, leaving) if len(leaving) <= MOST_AWAY else None
    ends = [
        End(np.inf if gone else float(curve[-1]), _label(arm) + " ↑" * gone, STYLES[arm.name]["color"])
        for arm, curve, gone in zip(loss.arms, curves, away, strict=True)
        if beside is None or not gone
    ]
    optimum = End(loss.optimum, f"{OPTIMUM[loss.name]} {loss.optimum:.3g}", METHODS["optimum"]["color"])
    name_ends(ax, [*ends, optimum])
    if beside is not None:
        _name_leaving(ax, leaving, beside)
    for x, arm in leaving:
        color, edge = STYLES[arm.name]["color"], ax.get_xaxis_transform()
        ax.plot(x, 1, marker="^", markersize=3.5, color=color, transform=edge, clip_on=False)


def _leaves(curve: np.ndarray, ceiling: float) -> float:
    """Return the step, between two whole ones, at which a curve goes beyond the upper edge for good."""
    outside = ~(curve <= ceiling)
    first = len(curve) - int(np.argmin(outside[::-1])) if not outside.all() else 0
    if first == 0 or first == len(curve):
        return float(min(first, len(curve) - 1))
    before, after = np.log(curve[first - 1]), np.log(curve[first])
    share = (np.log(ceiling) - before) / (after - before) if np.isfinite(after) else 0.5
    return first - 1 + float(share)


def _side_of_leaving(ax: Axes, leaving: list[tuple[float, "ArmResult"]]) -> Literal["left", "right"] | None:
    """Return the side of all curves that leave through the upper edge on which there is room for their names."""
    if not leaving:
        return None
    to_points = ax.figure.dpi_scale_trans.inverted()
    places = 72 * to_points.transform(ax.transData.transform([(x, ax.get_ylim()[1]) for x, _ in leaving]))[:, 0]
    left, right = 72 * to_points.transform(ax.transAxes.transform([(0, 0), (1, 0)]))[:, 0]
    needed = OFFSET + ROOM * max(LETTER * SMALL * len(_label(arm) + " ↑") for _, arm in leaving)
    if right - places[-1] >= needed:
        return "right"
    return "left" if places[0] - left >= needed else None


def _name_leaving(ax: Axes, leaving: list[tuple[float, "ArmResult"]], side: Literal["left", "right"]) -> None:
    """Name the curves that leave through the upper edge at one side of them, one below the other."""
    beside = leaving[-1][0] if side == "right" else leaving[0][0]
    for row, (_, arm) in enumerate(reversed(leaving) if side == "right" else leaving):
        color = STYLES[arm.name]["color"]
        offset = (OFFSET if side == "right" else -OFFSET, -2 - 1.2 * SMALL * (row + 0.5))
        ax.annotate(
            _label(arm) + " ↑",
            (beside, 1),
            xycoords=ax.get_xaxis_transform(),
            xytext=offset,
            textcoords="offset points",
            color=color,
            fontsize=SMALL,
            ha="left" if side == "right" else "right",
            va="center",
        )


def _label(arm: "ArmResult") -> str:
    return f"{NAMES[arm.name]}, rate {arm.lr:.3g}"


def _curve(arm: "ArmResult", *, full_batch: bool) -> np.ndarray:
    """Return the mean loss by step; of a full batch also that after the last step, known on the same images."""
    mean = arm.loss.mean(0)
    return np.append(mean, arm.train_loss.mean()) if full_batch else mean


def _draw_arm(ax: Axes, arm: "ArmResult", ceiling: float, linewidth: float, *, full_batch: bool) -> None:
    mean = _curve(arm, full_batch=full_batch)
    steps = np.arange(len(mean))
    style = STYLES[arm.name]
    ax.plot(steps, np.where(np.isfinite(mean), mean, np.nan), label=_label(arm), linewidth=linewidth, **style)
    if len(arm.loss) > 1 and not arm.diverged:  # so not a full batch
        std = arm.loss.std(0, ddof=1)
        ax.fill_between(steps, mean - std, mean + std, color=style["color"], alpha=0.2, linewidth=0)
    if arm.theory is not None:
        at = np.unique(np.geomspace(1, max(len(arm.theory) - 1, 1), 16).round().astype(int))
        at = at[(at < len(arm.theory)) & (arm.theory[at % len(arm.theory)] <= ceiling)]
        points = _points(style["color"], MARKERS[arm.name], PREDICTED)
        points.set_data(at, arm.theory[at])
        ax.add_line(points)


def _points(color: str, marker: str, label: str) -> Line2D:
    return Line2D([], [], linestyle="none", marker=marker, markerfacecolor="none", color=color, label=label)
