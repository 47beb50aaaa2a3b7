"""Picture of the estimation of a blur kernel (Ye et al. 2020, sec. 4.4.1 and fig. 1)."""

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import StrMethodFormatter
from numpy.typing import NDArray

from ndtools.drawing.palette import DIVERGING
from ndtools.numerics.pixels import white
from ndtools.text import counted, shortened

if TYPE_CHECKING:
    from ndtools.experiments.deblur.result import Arm, DeblurResult

__all__ = ["plot_deblur"]

STYLES: dict[str, dict[str, Any]] = {
    "gradient": {"color": "#c1272d", "linestyle": "--", "marker": "^"},
    "deconv": {"color": "#1f4e9c", "linestyle": "-", "marker": "o"},
    "closed_form": {"color": "0.2", "linestyle": ":", "marker": ""},
}
NAMES = {"gradient": "gradient descent", "deconv": "gradient descent\nwith deconvolution", "closed_form": "closed form"}
SHOWN = 6  # kernels of each arm
WIDTH, HEIGHT = 13.1, 7.3  # inches
CELL, GAP, LEFT = 1.36, 0.12, 1.15
PHOTO, PHOTO_BOTTOM = 2.25, 4.05
LABEL_GAP = 0.15  # between the names of lines, of the height of the axes
BELOW = 100  # how far under the curves a closed form is drawn; beyond, its name tells its error
FLOOR = 1e-14  # of errors that are drawn: what is less is rounding


def plot_deblur(result: "DeblurResult", *, fig: Figure | None = None) -> Figure:
    """Draw both images, the true kernel, its estimates by iteration, and their errors.

    Top: the middle of the sharp and of the blurred image, the true kernel, and the kernel error by iteration on
    logarithmic axes with the closed form as a line. Below: the kernels of gradient descent without and with
    deconvolution after 1, 2, 5, ... iterations, and the closed form; all on the scale of the true kernel, white at 0.

    Parameters
    ----------
    result : DeblurResult
        Result of :func:`ndtools.experiments.deblur.run.run`.
    fig : Figure, optional
        An empty figure to draw on.

    Returns
    -------
    Figure
        With four axes on top, those of the kernels, and that of the colour bar.
    """
    fig = fig or Figure(figsize=(WIDTH, HEIGHT))
    _draw_images(fig, result)
    limit = float(result.true_kernel.max())
    true_axes = _axes(fig, LEFT + 2 * (PHOTO + 0.15), PHOTO_BOTTOM, PHOTO, PHOTO)
    mesh = _show(true_axes, result.true_kernel, limit)
    true_axes.set_title(
        f"true kernel in a {len(result.true_kernel)}×{len(result.true_kernel)} window", fontsize="medium"
    )
    _draw_errors(_axes(fig, LEFT + 3 * (PHOTO + 0.15) + 0.65, PHOTO_BOTTOM, 2.65, PHOTO), result)
    largest = limit
    arms = {arm.name: arm for arm in result.arms}
    for row, name in enumerate(("gradient", "deconv")):
        largest = max(largest, _draw_row(fig, arms[name], 2.05 - row * (CELL + GAP), limit, top=row == 0))
    closed = arms["closed_form"].kernel
    largest = max(largest, float(np.abs(closed).max()))
    ax = _axes(fig, LEFT + SHOWN * (CELL + GAP) + 0.25, 2.05 - (CELL + GAP) / 2, CELL, CELL)
    _show(ax, closed, limit)
    ax.set_title("closed form\n(no ridge)", fontsize="small")
    bar_axes = _axes(fig, LEFT + (SHOWN + 1) * (CELL + GAP) + 0.4, 2.05 - CELL - GAP, 0.13, 2 * CELL + GAP)
    bar = fig.colorbar(mesh, cax=bar_axes, extend="both" if largest > 1.001 * limit else "neither")
    bar.set_label("weight per pixel (the true ones sum to 1)", fontsize="small")
    fig.suptitle(_title(result), fontsize="medium", y=1 - 0.1 / HEIGHT)
    return fig


def _axes(fig: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    return fig.add_axes((left / WIDTH, bottom / HEIGHT, width / WIDTH, height / HEIGHT))


def _draw_images(fig: Figure, result: "DeblurResult") -> None:
    sharp, blurred = result.middles()
    half = len(result.true_kernel) // 2
    inner = slice(half, -half or None)
    pictures = (("sharp image", sharp[:, inner, inner] / white(sharp)), ("blurred image", blurred))
    for i, (title, picture) in enumerate(pictures):
        ax = _axes(fig, LEFT + i * (PHOTO + 0.15), PHOTO_BOTTOM, PHOTO, PHOTO)
        ax.imshow(picture.clip(0, 1).transpose(1, 2, 0), interpolation="nearest")
        ax.set_title(f"{title}, middle {picture.shape[2]}×{picture.shape[1]}", fontsize="medium")
        ax.set_axis_off()


def _draw_row(fig: Figure, arm: "Arm", bottom: float, limit: float, *, top: bool) -> float:
    """Draw an arm's kernels and return their largest magnitude."""
    chosen = _chosen(len(arm.iterations))
    for column, i in enumerate(chosen):
        ax = _axes(fig, LEFT + column * (CELL + GAP), bottom, CELL, CELL)
        _show(ax, arm.snapshots[i], limit)
        n = int(arm.iterations[i])
        if top:
            ax.set_title(counted(n, "iteration"), fontsize="small")
        if column == 0:
            ax.set_ylabel(f"{NAMES[arm.name]}\nrate {arm.lr:.3g}", fontsize="small")
    return float(np.abs(arm.snapshots[chosen]).max())


def _chosen(count: int) -> list[int]:
    """Return indices of snapshots to draw: the first four and the last two, what is between left out."""
    return list(range(count)) if count <= SHOWN else [0, 1, 2, 3, count - 2, count - 1]


def _show(ax: Axes, kernel: NDArray[np.float64], limit: float) -> AxesImage:
    ax.set_xticks([])
    ax.set_yticks([])
    return ax.imshow(kernel, cmap=DIVERGING, vmin=-limit, vmax=limit, interpolation="nearest")


def _draw_errors(ax: Axes, result: "DeblurResult") -> None:
    last = result.config.iterations
    ends = []
    for arm in result.arms:
        error = np.maximum(arm.kernel_error, FLOOR)
        style = STYLES[arm.name]
        if arm.lr is None:
            ax.axhline(error[-1], linewidth=1.4, **style)
        else:
            marked = [int(n) - 1 for n in arm.iterations]
            ax.plot(np.arange(1, last + 1), error[1:], markevery=marked, markersize=4, linewidth=1.4, **style)
        ends.append((float(error[-1]), arm))
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.set_xlim(0.9, max(last, 2) * 1.1)
    descents = [np.maximum(arm.kernel_error, FLOOR) for arm in result.arms if arm.lr is not None]
    # A closed form that is exact but for rounding must not squeeze the curves.
    low = max(min(error for error, _ in ends), min(error.min() for error in descents) / BELOW)
    high = max(1.0, *(error.max() for error in descents), *(error for error, _ in ends))
    ax.set_ylim(10 ** (np.floor(np.log10(low) * 2) / 2) / 1.2, 1.5 * high)
    ax.set_xlabel("iteration", labelpad=1)
    ax.set_ylabel("kernel error: ‖estimate − true‖ / ‖true‖", fontsize="small", labelpad=2)
    ax.set_title("error by iteration", fontsize="medium")
    _label_ends(ax, ends)


def _label_ends(ax: Axes, ends: "list[tuple[float, Arm]]") -> None:
    """Name each line at its right end, moved apart where they meet."""
    low, high = np.log(ax.get_ylim())
    ends = sorted(ends, key=lambda end: end[0])
    places = np.array([max(0.12, (np.log(error) - low) / (high - low)) for error, _ in ends])
    for _ in range(100):
        for i in range(len(places) - 1):
            missing = max(0.0, LABEL_GAP - (places[i + 1] - places[i]))
            places[i : i + 2] += (-missing / 2, missing / 2)
    for y, (error, arm) in zip(places, ends, strict=True):
        color, name = STYLES[arm.name]["color"], NAMES[arm.name]
        if error < ax.get_ylim()[0]:
            name += f"\n{error:.1e}, below ↓"
        ax.text(1.03, y, name, transform=ax.transAxes, color=color, fontsize="small", va="center")


def _title(result: "DeblurResult") -> str:
    config = result.config
    gradient, deconv, _ = result.arms
    return (
        f"Blur {shortened(config.blur, 40)} of {shortened(result.source, 50)}, noise {config.noise:.3g}"
        f" (pixels in [0, 1]), estimated from the pair\n"
        f"gradient descent at rate {gradient.lr:.3g}, stable below 2/λ_max = {gradient.stability_limit:.3g};"
        f" with deconvolution {deconv.lr:.3g}, stable below {deconv.stability_limit:.3g}\n"
        f"D: eps {config.eps:.3g}, {config.n_iter} Newton-Schulz iterations,"
        f" condition {result.condition:.3g}, residual {result.residual:.2g}"
    )
