"""Picture of linear regression with and without deconvolution (Ye et al. 2020, fig. 5 a, b)."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator, ScalarFormatter

if TYPE_CHECKING:
    from ndtools.experiments.regress.result import ArmResult, LossResult, RegressResult

__all__ = ["plot_regress"]

NAMES = {"sgd": "SGD", "bn": "BN", "deconv": "deconvolution"}
COLOURS = {"sgd": "#b2182b", "bn": "#d98c00", "deconv": "#2166ac"}
STYLES = ("-", "--", ":", "-.")
OPTIMUM = {"l2": "closed form", "logistic": "L-BFGS"}
TITLES = {"l2": "L2 loss", "logistic": "logistic loss"}
FLOOR = 1e-9  # of the axis, relative to its other end: a perfect fit has no logarithm
CEILING = 1.6  # times the loss of zero weights: what is above has diverged
SIDE = 0.46  # of a kernel, inches
MOST_CLASSES = 10  # shown as kernels
SHOWN = 99  # percentile of |weight| at which colours saturate: a few rare pixels have far larger ones
PREDICTED = "predicted, full batches"


def plot_regress(result: "RegressResult", *, fig: Figure | None = None) -> Figure:
    """Draw the losses by iteration, and the kernels that were learned.

    Parameters
    ----------
    result : RegressResult
        Result of :func:`ndtools.experiments.regress.run.run`.
    fig : Figure, optional
        An empty figure to draw on.

    Returns
    -------
    Figure
        A column for each loss: curves on logarithmic axes (iteration 0 at the left), and below the kernels, a row
        for each kind of features and one for the optimum, each row on a scale of its own.
    """
    columns = len(result.losses)
    classes = min(result.classes, MOST_CLASSES)
    block = 1.25 + classes * SIDE + 0.75
    rows = 4
    zero = "grey" if result.losses[0].optimum_kernels.shape[1] == 3 else "white"
    below = rows * SIDE * 1.12 + 0.55
    width, height = columns * block + 0.1, below + 5.05
    fig = fig or Figure(figsize=(width, height))
    for column, loss in enumerate(result.losses):
        left = column * block
        ax = fig.add_axes(
            ((left + 0.75) / width, (below + 1.2) / height, (block - 0.95) / width, 3.0 / height), label="losses"
        )
        _draw_losses(ax, loss, result)
        shown = [*_chosen(loss), (OPTIMUM[loss.name], loss.optimum_kernels)]
        for row, (label, kernels) in enumerate(shown):
            _draw_kernels(
                fig, label, kernels[:classes], (left, below - 0.55 - (row + 1) * SIDE * 1.12 + 0.2), width, height
            )
        fig.text(
            (left + 1.25) / width,
            (below - 0.3) / height,
            f"kernels on raw pixels, classes 0 to {classes - 1}, each to ± its 99th percentile; {zero} is 0",
            fontsize="small",
            va="bottom",
        )
    fig.suptitle(_title(result), fontsize="medium", y=1 - 0.1 / height)
    return fig


def _draw_losses(ax: Axes, loss: "LossResult", result: "RegressResult") -> None:
    first = float(loss.arms[0].loss[:, 0].mean())
    ceiling = CEILING * first
    styles = {name: iter(STYLES * 10) for name in NAMES}
    for arm in sorted(loss.arms, key=lambda arm: not arm.auto):  # solid lines for rates at the limit
        _draw_arm(ax, arm, next(styles[arm.name]), ceiling, full_batch=result.config.full_batch)
    ax.axhline(loss.optimum, color="0.25", linewidth=1.0, linestyle=(0, (1, 1)))
    ax.annotate(
        f"{OPTIMUM[loss.name]} {loss.optimum:.4g}",
        (0.995, loss.optimum),
        xycoords=ax.get_yaxis_transform(),
        ha="right",
        va="top",
        fontsize="small",
        xytext=(0, -2),
        textcoords="offset points",
    )
    ax.set_xscale("symlog", linthresh=1, linscale=0.35)
    last = result.iterations if result.config.full_batch else result.iterations - 1
    ax.set_xlim(0, max(last, 1))
    ax.set_yscale("log")
    seen = [float(value) for arm in loss.arms for value in arm.loss[np.isfinite(arm.loss)]]
    lowest = max(min([loss.optimum, *seen]), FLOOR * ceiling)
    bottom = lowest * (lowest / ceiling) ** 0.1  # room for a label
    ax.set_ylim(bottom, ceiling)
    _plain_ticks(ax, bottom, ceiling, last)
    ax.set_xlabel("steps, logarithmic beyond 1")
    ax.set_ylabel(f"{TITLES[loss.name]} of {'all images' if result.config.full_batch else 'the next batch'}")
    rate = ": its Hessian is ¼ of that of L2, its rate 1 is 4" if loss.name == "logistic" else ""
    ax.set_title(TITLES[loss.name] + rate, fontsize="medium")
    _legend(ax, loss)


def _legend(ax: Axes, loss: "LossResult") -> None:
    """Below the axes, a column for each kind of features."""
    lines = {line.get_label(): line for line in ax.lines}
    columns = [[lines[_label(arm)] for arm in loss.arms if arm.name == name] for name in NAMES]
    if PREDICTED in lines:
        columns[-1].append(
            Line2D([], [], linestyle="none", marker="o", markerfacecolor="none", color="0.2", label=PREDICTED)
        )
    longest = max(map(len, columns))
    blank = Line2D([], [], linestyle="none", label=" ")
    handles = [handle for column in columns for handle in column + [blank] * (longest - len(column))]
    ax.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.16),
        ncols=len(columns),
        fontsize="small",
        frameon=False,
    )


def _label(arm: "ArmResult") -> str:
    return f"{NAMES[arm.name]}, lr {arm.lr:.3g}{', diverges' if arm.diverged else ''}"


def _draw_arm(ax: Axes, arm: "ArmResult", style: str, ceiling: float, *, full_batch: bool) -> None:
    mean = arm.loss.mean(0)
    if full_batch:  # where the loss after the last step is known on the same images
        mean = np.append(mean, arm.train_loss.mean())
    steps = np.arange(len(mean))
    ax.plot(
        steps,
        np.where(np.isfinite(mean), mean, np.nan),
        color=COLOURS[arm.name],
        linestyle=style,
        linewidth=1.9 if arm.name == "deconv" else 1.3,
        label=_label(arm),
    )
    if len(arm.loss) > 1 and not arm.diverged:  # so not a full batch
        std = arm.loss.std(0, ddof=1)
        ax.fill_between(steps, mean - std, mean + std, color=COLOURS[arm.name], alpha=0.2, linewidth=0)
    if arm.theory is not None:
        at = np.unique(np.geomspace(1, max(len(arm.theory) - 1, 1), 16).round().astype(int))
        at = at[(at < len(arm.theory)) & (arm.theory[at % len(arm.theory)] <= ceiling)]
        ax.plot(
            at,
            arm.theory[at],
            linestyle="none",
            marker="o",
            markersize=4,
            markerfacecolor="none",
            color=COLOURS[arm.name],
            label=PREDICTED if arm.name == "deconv" else None,
        )


def _plain_ticks(ax: Axes, low: float, high: float, last: int) -> None:
    ticks = [t for t in (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000) if t < 0.75 * last] + [last]
    ax.set_xticks(ticks, [str(t) for t in ticks])
    ax.xaxis.set_minor_locator(NullLocator())
    steps = np.array([1, 1.5, 2, 3, 4, 5, 7]) if high / low < 12 else np.array([1, 2, 5] if high / low < 1e3 else [1])
    values = (steps[None] * 10.0 ** np.arange(-6, 6)[:, None]).ravel()
    ax.set_yticks(values[(values >= low) & (values <= high)])
    ax.yaxis.set_major_formatter(ScalarFormatter())
    ax.yaxis.set_minor_locator(NullLocator())


def _chosen(loss: "LossResult") -> list[tuple[str, np.ndarray]]:
    """Of each kind of features the arm of the least training loss."""
    chosen = []
    for name in NAMES:
        arms = [arm for arm in loss.arms if arm.name == name]
        best = min(arms, key=lambda arm: arm.train_loss.mean() if np.isfinite(arm.train_loss).all() else np.inf)
        fate = ", diverged" if best.diverged else ""
        chosen.append((f"{NAMES[name]}\nlr {best.lr:.3g}{fate}", best.kernels))
    return chosen


def _draw_kernels(
    fig: Figure, label: str, kernels: np.ndarray, corner: tuple[float, float], width: float, height: float
) -> None:
    x, y = corner
    finite = np.where(np.isfinite(kernels), kernels, 0)
    limits = np.percentile(np.abs(finite), SHOWN, axis=(1, 2, 3))
    for i, (kernel, limit) in enumerate(zip(finite, np.where(limits > 0, limits, 1.0), strict=True)):
        ax = fig.add_axes(
            ((x + 1.25 + i * SIDE) / width, y / height, 0.94 * SIDE / width, 0.94 * SIDE / height), label="kernel"
        )
        if len(kernel) == 3:
            ax.imshow((0.5 + kernel / (2 * limit)).clip(0, 1).transpose(1, 2, 0), interpolation="nearest")
        else:
            ax.imshow(kernel[0], cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
        ax.set_xticks([])
        ax.set_yticks([])
        for spine in ax.spines.values():
            spine.set_linewidth(0.4)
    fig.text((x + 1.18) / width, (y + SIDE / 2) / height, label, ha="right", va="center", fontsize="x-small")
    fig.text(
        (x + 1.3 + len(kernels) * SIDE) / width,
        (y + SIDE / 2) / height,
        _range(limits),
        va="center",
        fontsize="x-small",
    )


def _title(result: "RegressResult") -> str:
    config = result.config
    how = f"{config.n_iter} Newton-Schulz iterations" if config.method == "coupled" else "eigh"
    shrinkage = "" if config.shrinkage == "none" else f", shrinkage {config.shrinkage}"
    batch = "all images at once" if config.full_batch else f"batches of {result.batch_size:,}"
    repeats = "" if config.repeats == 1 else f", mean ± std of {config.repeats} runs"
    return (
        f"Linear regression on {result.data.label}: {result.data.images:,} images, {batch}{repeats}\n"
        f"D by {how}, eps {config.eps:.3g}{shrinkage}"
    )


def _range(limits: np.ndarray) -> str:
    low, high = (f"{value:.2g}" for value in (limits.min(), limits.max()))
    return f"±{low}" if low == high else f"±{low}\nto {high}"
