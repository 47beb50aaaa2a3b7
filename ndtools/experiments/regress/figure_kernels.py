"""Picture of the kernels that linear regression learns with and without deconvolution."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ndtools.drawing.palette import DIVERGING
from ndtools.drawing.style import PAGE, add_letters, add_title, drawing_style, is_wide, new_figure, width_of
from ndtools.experiments.regress.figure import NAMES, OPTIMUM, TITLES

if TYPE_CHECKING:
    from ndtools.experiments.regress.result import LossResult, RegressResult

__all__ = ["caption_regress_kernels", "plot_regress_kernels"]

LARGEST = 18.0  # millimetres of a kernel
MOST_CLASSES = 10  # shown as kernels
SATURATED = 99  # percentile of |weight| at which colours saturate: a few rare pixels have far larger ones
ROWS = len(NAMES) + 1  # kinds of features, and the optimum
GAP = 0.06  # between kernels, in units of their side
BESIDE = 28.0  # millimetres left and right of the kernels, for their names and ranges
LEAST = 4.0  # millimetres of a kernel; where all classes of a row would be smaller, they have two lines


def plot_regress_kernels(
    result: "RegressResult", *, width: float = PAGE, title: bool = True, fig: Figure | None = None
) -> Figure:
    """Draw the kernels that were learned for each class.

    Parameters
    ----------
    result : RegressResult
        Result of :func:`ndtools.experiments.regress.run.run`.
    width : float
        Width of the figure in print, millimetres. Default 180; below 120 the losses stand one above the other.
    title : bool
        Whether the figure has a title. Default True.
    fig : Figure, optional
        An empty figure to draw on, which keeps its size. Default: a new one.

    Returns
    -------
    Figure
        A block for each loss with an axes for each kind of features, at its best rate, and for the optimum. An axes
        holds the kernels of up to ten classes, each on a scale of its own, which is given at the right.
    """
    with drawing_style():
        width = width_of(fig, width)
        count, classes = len(result.losses), min(result.classes, MOST_CLASSES)
        across = count if is_wide(width) else 1
        high, wide = result.losses[0].optimum_kernels.shape[2:]
        room = width / across - BESIDE
        lines = 1 if room >= LEAST * classes else 2
        columns = -(-classes // lines)
        row = max(lines * min(room / columns, LARGEST) * high / wide, 6.0)
        fig = new_figure(fig, width, count // across * (ROWS * (row + 1.5) + 11) + 7)
        axes = fig.subplots(ROWS * count // across, across, squeeze=False)
        blocks = list(axes.T) if across > 1 else list(axes.reshape(count, ROWS))
        for block, loss in zip(blocks, result.losses, strict=True):
            rows = [*_chosen(loss), (OPTIMUM[loss.name].replace(" ", "\n"), loss.optimum_kernels)]
            for ax, (name, kernels) in zip(block, rows, strict=True):
                _draw_kernels(ax, name, kernels[:classes], columns)
            block[0].set_title(TITLES[loss.name])
            block[-1].set_xlabel("class")
            names = [", ".join(map(str, range(column, classes, columns))) for column in range(columns)]
            block[-1].set_xticks(np.arange(columns) + 0.5 - GAP / 2, names)
        add_letters([block[0] for block in blocks])
        if title:
            add_title(fig, f"Kernels of linear regression on {result.data.label}")
    return fig


def caption_regress_kernels(result: "RegressResult") -> str:
    """Say in words what the figure of :func:`plot_regress_kernels` shows."""
    losses = [TITLES[loss.name] for loss in result.losses]
    named = ", ".join(f"({letter}) {name}" for letter, name in zip("ab", losses, strict=False))
    optima = " or ".join(OPTIMUM[loss.name] for loss in result.losses)
    zero = "grey" if result.losses[0].optimum_kernels.shape[1] == 3 else "white"
    classes = min(result.classes, MOST_CLASSES)
    some = f" the first {classes} of {result.classes} classes" if classes < result.classes else " each class"
    return (
        f"Kernels on raw pixels that linear regression on {result.data.label} learned for{some}"
        f" ({named if len(losses) > 1 else losses[0]}), after {result.iterations} steps of gradient descent on raw"
        f" pixels (SGD), standardised pixels (BN) and deconvolved pixels, each at the rate of the least training loss,"
        f" and at the optimum ({optima}). Each kernel is scaled to the {SATURATED}th percentile of its magnitude, whose"
        f" range over the classes is given at the right; {zero} is 0."
    )


def _chosen(loss: "LossResult") -> list[tuple[str, np.ndarray]]:
    """Of each kind of features the arm of the least training loss."""
    chosen = []
    for name in NAMES:
        arms = [arm for arm in loss.arms if arm.name == name]
        best = min(arms, key=lambda arm: arm.train_loss.mean() if np.isfinite(arm.train_loss).all() else np.inf)
        fate = " ↑" if best.diverged else ""
        chosen.append((f"{NAMES[name]}\nrate {best.lr:.3g}{fate}", best.kernels))
    return chosen


def _draw_kernels(ax: Axes, name: str, kernels: np.ndarray, columns: int) -> None:
    ax.set_label("kernels")
    finite = np.where(np.isfinite(kernels), kernels, 0)
    limits = np.percentile(np.abs(finite), SATURATED, axis=(1, 2, 3))
    height, lines = finite.shape[2] / finite.shape[3] * (1 - GAP), -(-len(finite) // columns)
    for i, (kernel, limit) in enumerate(zip(finite, np.where(limits > 0, limits, 1.0), strict=True)):
        column, bottom = i % columns, (lines - 1 - i // columns) * (height + GAP)
        extent = (column, column + 1 - GAP, bottom, bottom + height)
        if len(kernel) == 3:
            picture = (0.5 + kernel / (2 * limit)).clip(0, 1).transpose(1, 2, 0)
            ax.imshow(picture, interpolation="nearest", extent=extent)
        else:
            ax.imshow(kernel[0], cmap=DIVERGING, vmin=-limit, vmax=limit, interpolation="nearest", extent=extent)
        left, right, _, top = extent
        ax.plot([left, right, right, left, left], [bottom, bottom, top, top, bottom], color="0.4", linewidth=0.3)
    above = lines * (height + GAP)
    ax.set_xlim(-GAP, columns)
    ax.set_ylim(-GAP, above)
    ax.spines[:].set_visible(False)
    ax.set_xticks([])
    ax.set_yticks([above / 2], [name])
    ax.tick_params(length=0)
    right_axis = ax.secondary_yaxis("right")
    right_axis.set_yticks([above / 2], [_range(limits)])
    right_axis.tick_params(length=0)
    right_axis.spines[:].set_visible(False)


def _range(limits: np.ndarray) -> str:
    low, high = (f"{value:.2g}" for value in (limits.min(), limits.max()))
    return f"±{low}" if low == high else f"±{low}\nto {high}"
