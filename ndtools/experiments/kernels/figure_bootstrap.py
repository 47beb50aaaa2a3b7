"""Picture of how uncertain kernels are."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, NullLocator, StrMethodFormatter

from ndtools.text import shortened, with_error

if TYPE_CHECKING:
    from ndtools.experiments.kernels.bootstrap import KernelBootstrap
    from ndtools.experiments.kernels.result import KernelsResult

__all__ = ["plot_kernel_bootstrap"]

CELL, GAP = 1.5, 0.14  # one map and the space between two, inches
PAPER = (128, 1024)  # numbers of images in the paper's caption and text of fig. 2


def plot_kernel_bootstrap(result: "KernelsResult", *, fig: Figure | None = None) -> Figure:
    """Draw the standard error of each weight, and how kernels settle as images are added.

    Parameters
    ----------
    result : KernelsResult
        From :func:`ndtools.experiments.kernels.run.run` with ``bootstrap``.
    fig : Figure, optional
        An empty figure to draw on.

    Returns
    -------
    Figure
        A C×C grid of maps on one logarithmic scale with a colour bar, and the change against the number of images.

    Raises
    ------
    ValueError
        If the result has no bootstrap.
    """
    if result.bootstrap is None:
        raise ValueError("result has no bootstrap: run with KernelsConfig(bootstrap=200)")
    found, names = result.bootstrap, [channel.name for channel in result.channels]
    count, half = len(names), result.config.kernel_size / 2
    maps = CELL * count + GAP * (count - 1)
    width, height = maps + 7.0, max(maps, 3.4) + 2.5
    fig = fig or Figure(figsize=(width, height))
    positive = found.error[found.error > 0]
    norm = LogNorm(float(positive.min()), float(positive.max())) if positive.size and np.ptp(positive) else None
    bottom = (height - 0.95 - maps) / height
    for i in range(count):
        for j in range(count):
            place = (0.85 + j * (CELL + GAP)) / width, bottom + (count - 1 - i) * (CELL + GAP) / height
            ax = fig.add_axes((*place, CELL / width, CELL / height))
            mesh = ax.imshow(
                found.error[i, j], norm=norm, cmap="viridis", extent=(-half, half, half, -half), interpolation="nearest"
            )
            for axis in (ax.xaxis, ax.yaxis):
                axis.set_major_locator(MaxNLocator(4, integer=True))
            ax.tick_params(labelleft=j == 0, labelbottom=i == count - 1)
            if i == 0:
                ax.set_title(f"from input {names[j]}", fontsize="small")
            if j == 0:
                ax.set_ylabel(f"output {names[i]}\nΔy / pixels", fontsize="small")
            if i == count - 1:
                ax.set_xlabel("Δx / pixels", fontsize="small")
    bar = fig.add_axes(((1.0 + maps) / width, bottom, 0.13 / width, maps / height))
    colours = fig.colorbar(mesh, cax=bar, ticks=LogLocator(subs=(1, 2, 5)) if norm else None, format="%g")
    colours.set_label("standard error" + (" of the weight" if count > 1 else ""), fontsize="small")
    bar.tick_params(labelsize="small", which="both")
    bar.yaxis.set_minor_locator(NullLocator())
    curve = fig.add_axes(((2.95 + maps) / width, 1.55 / height, 3.8 / width, (height - 2.5) / height))
    if found.per_image > 0:
        _draw_change(curve, found)
    elif not np.isfinite(found.relative_error):
        curve.text(0.5, 0.5, "too few replicates have kernels", ha="center", transform=curve.transAxes)
        curve.set_axis_off()
    else:  # as of one set of moments given twice
        curve.text(0.5, 0.5, "no change at all", ha="center", transform=curve.transAxes)
        curve.set_axis_off()
    k, total = result.config.kernel_size, result.images.read
    fig.suptitle(
        f"{k}×{k} kernels of {shortened(result.source)}: {total} images in {found.groups} groups,"
        f" {found.replicates} replicates"
        f"{f', {found.failed} sets without kernels' if found.failed else ''}\n"
        f"standard error of all weights together: {found.change_in_words(total)} of the kernels",
        fontsize="medium",
        y=1 - 0.1 / height,
    )
    return fig


def _draw_change(curve: Axes, found: "KernelBootstrap") -> None:
    """Draw how far kernels of n images are from those of all, measured and as the bootstrap has it."""
    total = found.total
    n = np.geomspace(0.8, max(60_000, 4 * total), 300)
    curve.errorbar(
        found.images,
        100 * found.change,
        100 * found.change_error,
        fmt="o",
        markersize=3,
        linewidth=1.3,
        capsize=4,
        color="#1f4e9c",
        label=f"subsets, against all {total} (bars: ± 1 standard error over orders)",
    )
    inside = n[n < total]
    expected = 100 * found.expected_change(inside)
    curve.plot(inside, expected, color="#1f4e9c", linewidth=1.1, label=f"what the bootstrap expects, N = {total}")
    label = f"c/√n, c = {with_error(found.per_image, found.per_image_error, 2)}: against infinitely many"
    curve.plot(n, 100 * found.per_image / np.sqrt(n), color="#c1272d", linestyle="--", linewidth=1.1, label=label)
    for images in PAPER:
        value = 100 * found.per_image / np.sqrt(images)
        curve.plot(images, value, "D", color="#c1272d", markersize=5)
        curve.annotate(
            f"{images}: {found.change_in_words(images)}",
            (images, value),
            xytext=(6, 6),
            textcoords="offset points",
            fontsize="x-small",
            ha="left",
            va="bottom",
            color="#c1272d",
        )
    curve.set_xscale("log")
    curve.set_yscale("log")
    curve.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    curve.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    curve.yaxis.set_minor_formatter(NullFormatter())
    curve.set_xlim(n[0], n[-1])
    curve.set_ylim(0.4 * float(expected[expected > 0].min()), None)
    curve.set_xlabel("number of images n")
    curve.set_ylabel("change of the kernels, ‖Kₙ − K‖ / ‖K‖ / %")
    curve.set_title(_settled(found), fontsize="small")
    curve.legend(fontsize="x-small", frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.6 / _inches(curve)))


def _settled(found: "KernelBootstrap") -> str:
    if found.settles_at is None:
        return f"subsets of {found.images[-1]}: more than 2 standard errors from the solid line"
    if found.settles_at == found.images[0]:
        return "all subsets: within 2 standard errors of the solid line"
    return f"subsets of {found.settles_at} and more: within 2 standard errors of the solid line"


def _inches(ax: Axes) -> float:
    height: float = ax.get_position().height * ax.figure.get_size_inches()[1]  # type: ignore[union-attr]
    return height
