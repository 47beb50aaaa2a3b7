"""Picture of the estimation of a blur kernel (Ye et al. 2020, sec. 4.4.1 and fig. 1)."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ndtools.drawing.axes import End, name_ends, plain_ticks
from ndtools.drawing.palette import DIVERGING, METHODS
from ndtools.drawing.style import PAGE, SMALL, add_letters, add_title, drawing_style, is_wide, new_figure, width_of
from ndtools.numerics.pixels import white
from ndtools.text import counted, source_name

if TYPE_CHECKING:
    from ndtools.experiments.deblur.result import Arm, DeblurResult

__all__ = ["caption_deblur", "plot_deblur"]

STYLES = {"gradient": METHODS["none"], "deconv": METHODS["deconv"], "closed_form": METHODS["optimum"]}
NAMES = {"gradient": "plain gradient\ndescent", "deconv": "with\ndeconvolution", "closed_form": "closed form"}
SHOWN, SHOWN_NARROW = 6, 4  # kernels of each arm, and where there is little width
NARROW = 75.0  # millimetres below which there is little width
BESIDE = 25.0  # millimetres beside the kernels, for names and space
BELOW = 100  # how far under the curves a closed form is drawn; beyond, its name tells its error
FLOOR = 1e-14  # of errors that are drawn: what is less is rounding
THICK = 2.5  # millimetres of the colour bar
LEAST_BAR = 0.15  # part of the colour bar that is below 0, at least


def plot_deblur(
    result: "DeblurResult", *, width: float = PAGE, title: bool = True, fig: Figure | None = None
) -> Figure:
    """Draw both images, the errors of the kernel by iteration, the kernels on the way, and the true one.

    Above: a detail of the sharp and of the blurred image, and the kernel error by iteration on logarithmic axes with
    the closed form as a line. Below: in the first column the true kernel and the closed form, then the kernels of
    gradient descent without and with deconvolution after 1, 2, 5, ... iterations; all on the scale of the true kernel,
    white at 0.

    Parameters
    ----------
    result : DeblurResult
        Result of :func:`ndtools.experiments.deblur.run.run`.
    width : float
        Width of the figure in print, millimetres. Default 180; below 120 the errors stand below the images.
    title : bool
        Whether the figure has a title. Default True.
    fig : Figure, optional
        An empty figure to draw on, which keeps its size. Default: a new one.

    Returns
    -------
    Figure
        With axes of the images and the errors, those of the kernels, and that of the colour bar.
    """
    with drawing_style():
        width = width_of(fig, width)
        wide = is_wide(width)
        most = SHOWN if width >= NARROW else SHOWN_NARROW
        cell = (width - BESIDE - (15 if wide else 0)) / (most + 1)
        image = width * (0.28 if wide else 0.36)
        kernels = 2 * cell + (14 if wide else 26)
        above = image + 9 if wide else image + 45
        fig = new_figure(fig, width, above + kernels + 4 + 6 * title)
        grid = fig.add_gridspec(2, 1, height_ratios=(above, kernels))
        sharp, blurred, errors = _upper_axes(fig, grid, image, wide=wide)
        _draw_images(sharp, blurred, result)
        _draw_errors(errors, result)
        first = _draw_kernels(fig, grid, result, most, bar=2 * cell if wide else width - BESIDE, wide=wide)
        add_letters([sharp, blurred, errors, first])
        if title:
            add_title(fig, f"Estimation of the kernel that blurred {source_name(result.source)}")
    return fig


def caption_deblur(result: "DeblurResult") -> str:
    """Say in words what the figure of :func:`plot_deblur` shows."""
    config, side = result.config, len(result.true_kernel)
    gradient, deconv, closed = result.arms
    _, height, width = result.size
    _, picture = result.detail()
    return (
        f"Estimation of the kernel ({config.blur}) that blurred {result.source} ({width}×{height} pixels; noise of"
        f" standard deviation {config.noise:.3g} of [0, 1] pixels), from the sharp and the blurred image."
        f" (a) Sharp and (b) blurred image, {picture.shape[2]}×{picture.shape[1]} pixels where there is most detail."
        f" (c) Error of the kernel, ‖estimate − true‖ / ‖true‖, after each iteration: gradient descent at rate"
        f" {gradient.lr:.3g} (it is stable below 2/λ_max = {gradient.stability_limit:.3g}), with deconvolution at rate"
        f" {deconv.lr:.3g} (stable below {deconv.stability_limit:.3g}), and least squares in closed form without a"
        f" ridge (error {closed.kernel_error[-1]:.2g}). (d) The true {side}×{side} kernel, the closed form, and the"
        " kernels of both descents after these numbers of iterations, on one colour scale, that of the true kernel,"
        f" whose weights sum to 1. D: eps {result.eps:.3g}, {counted(config.n_iter, 'Newton-Schulz iteration')},"
        f" condition {result.condition:.3g}, residual {result.residual:.2g}."
    )


def _upper_axes(fig: Figure, grid: GridSpec, image: float, *, wide: bool) -> tuple[Axes, Axes, Axes]:
    """Return the axes of the sharp and the blurred image and of the errors."""
    if wide:
        row = grid[0].subgridspec(1, 3, width_ratios=(1, 1, 1.1))
        return fig.add_subplot(row[0]), fig.add_subplot(row[1]), fig.add_subplot(row[2])
    rows = grid[0].subgridspec(2, 1, height_ratios=(image + 6, 40))
    pair = rows[0].subgridspec(1, 2)
    return fig.add_subplot(pair[0]), fig.add_subplot(pair[1]), fig.add_subplot(rows[1])


def _draw_images(sharp: Axes, blurred: Axes, result: "DeblurResult") -> None:
    pixels, picture = result.detail()
    half = len(result.true_kernel) // 2
    inner = slice(half, -half or None)
    for ax, name, values in ((sharp, "sharp", pixels[:, inner, inner] / white(pixels)), (blurred, "blurred", picture)):
        ax.imshow(values.clip(0, 1).transpose(1, 2, 0), interpolation="nearest")
        ax.set_xlabel(name)
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)


def _draw_kernels(fig: Figure, grid: GridSpec, result: "DeblurResult", most: int, *, bar: float, wide: bool) -> Axes:
    """Draw the kernels of both descents, the true one and the closed form; return the first axes."""
    limit = float(result.true_kernel.max())
    gradient, deconv, closed = result.arms
    cells = grid[1].subgridspec(2, 1 + max(len(_chosen(len(arm.iterations), most)) for arm in (gradient, deconv)))
    axes, shown = [], []
    for row, (arm, name, reference) in enumerate(
        ((gradient, "true\nkernel", result.true_kernel), (deconv, "closed\nform", closed.kernel))
    ):
        axes.append(fig.add_subplot(cells[row, 0]))
        _show(axes[-1], reference, limit)
        _head(axes[-1], name, top=row == 0)
        chosen = _chosen(len(arm.iterations), most)
        for column, i in enumerate(chosen):
            axes.append(fig.add_subplot(cells[row, column + 1]))
            mesh = _show(axes[-1], arm.snapshots[i], limit)
            if row == 0:
                _head(axes[-1], str(int(arm.iterations[i])), top=True)
            if column == 0:
                axes[-1].set_ylabel(NAMES[arm.name], rotation=0, ha="right", va="center", fontsize=SMALL)
        shown += [reference, *arm.snapshots[chosen]]
    least, greatest = min(float(kernel.min()) for kernel in shown), max(float(kernel.max()) for kernel in shown)
    beyond = (least < -1.001 * limit, greatest > 1.001 * limit)
    colours = fig.colorbar(
        mesh,
        ax=axes,
        location="right" if wide else "bottom",
        extend={(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}[beyond],
        aspect=bar / THICK,
        fraction=0.15 if wide else 0.4,
        ticks=MaxNLocator(4),
        pad=0.02,
    )
    colours.set_label("weight per pixel")
    # Few weights are far below 0, so the bar ends there, with the colours as they are.
    low = max(-limit, min(least, -LEAST_BAR * limit))
    (colours.ax.set_ylim if wide else colours.ax.set_xlim)(low, limit)
    return axes[0]


def _head(ax: Axes, text: str, *, top: bool) -> None:
    """Write a text above or below a kernel, in the type of ticks."""
    left, right = ax.get_xlim()
    ax.set_xticks([(left + right) / 2], [text])
    ax.tick_params(top=top, labeltop=top, labelbottom=not top, length=0)


def _chosen(count: int, most: int) -> list[int]:
    """Return indices of at most so many snapshots to draw: the first ones and the last two, those between left out."""
    return list(range(count)) if count <= most else [*range(most - 2), count - 2, count - 1]


def _show(ax: Axes, kernel: NDArray[np.float64], limit: float) -> AxesImage:
    ax.set(xticks=[], yticks=[])
    return ax.imshow(kernel, cmap=DIVERGING, vmin=-limit, vmax=limit, interpolation="nearest")


def _draw_errors(ax: Axes, result: "DeblurResult") -> None:
    last = result.config.iterations
    ends = []
    for arm in result.arms:
        error = np.maximum(arm.kernel_error, FLOOR)
        style = STYLES[arm.name]
        if arm.lr is None:
            ax.axhline(error[-1], **style)
        else:
            marked = [int(n) - 1 for n in arm.iterations]
            ax.plot(np.arange(1, last + 1), error[1:], markevery=marked, **style)
        ends.append((float(error[-1]), arm))
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(0.9, max(last, 2) * 1.1)
    descents = [np.maximum(arm.kernel_error, FLOOR) for arm in result.arms if arm.lr is not None]
    # A closed form that is exact but for rounding must not squeeze the curves.
    low = max(min(error for error, _ in ends), min(error.min() for error in descents) / BELOW)
    high = max(1.0, *(error.max() for error in descents), *(error for error, _ in ends))
    ax.set_ylim(10 ** (np.floor(np.log10(low) * 2) / 2) / 1.2, 1.5 * high)
    plain_ticks(ax.xaxis, whole=True)
    plain_ticks(ax.yaxis)
    ax.set_xlabel("iteration")
    ax.set_ylabel("relative kernel error")
    name_ends(ax, [_end(error, arm, ax.get_ylim()[0]) for error, arm in ends])


def _end(error: float, arm: "Arm", lowest: float) -> End:
    below = f"\n{error:.1e}, below ↓" if error < lowest else ""
    return End(error, NAMES[arm.name] + below, STYLES[arm.name]["color"])
