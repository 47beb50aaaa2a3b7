"""Picture of the distribution of pixels before and after deconvolution (Ye et al. 2020, fig. 10)."""

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from scipy.stats import gennorm, laplace, norm

from ndtools.drawing.axes import plain_ticks
from ndtools.drawing.palette import SIDES
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
from ndtools.experiments.sparsity.verdict import verdicts
from ndtools.numerics.colour import units_in_words
from ndtools.text import in_space, percent, printable, ridge_in_words, source_name

if TYPE_CHECKING:
    from ndtools.experiments.sparsity.result import SparsityResult
    from ndtools.numerics.sparsity import Distribution

__all__ = ["caption_sparsity", "plot_sparsity"]

LINEAR_REACH = 3.0  # standard deviations in the linear panel
_WHITENING = {"patch": "deconvolved", "channel": "channels decorrelated"}


def plot_sparsity(
    result: "SparsityResult", *, width: float = PAGE, title: bool = True, fig: Figure | None = None
) -> Figure:
    """Draw both histograms, on a linear and on a logarithmic axis, beside densities of known shape.

    Densities of known shape are averaged over the width of a bin, as a histogram averages them: the cusp of a
    generalised Gaussian with a shape below 1 may be many times higher than any bin.

    Parameters
    ----------
    result : SparsityResult
        Result of :func:`ndtools.experiments.sparsity.run.run`.
    width : float
        Width of the figure in print, millimetres. Default 180; below 120 the panels stand one above the other.
    title : bool
        Whether the figure has a title. Default True.
    fig : Figure, optional
        An empty figure to draw on, which keeps its size. Default: a new one.

    Returns
    -------
    Figure
        With two axes; x is in standard deviations of each distribution.
    """
    with drawing_style():
        width = width_of(fig, width)
        wide = is_wide(width)
        fig = new_figure(fig, width, 72 if wide else 112)
        linear, logarithmic = fig.subplots(1, 2) if wide else fig.subplots(2, 1)
        x = np.linspace(result.edges[0], result.edges[-1], 2001)
        references = _references(x, float(result.edges[1] - result.edges[0]), result.after)
        for ax in (linear, logarithmic):
            for name, (density, style) in references.items():
                ax.plot(x, density, color="0.5", linestyle=style, linewidth=0.8, label=name)
            _draw_histograms(ax, result)
            ax.set_xlabel("x / σ")
            ax.set_ylabel("probability density")
        seen = [s.density[s.density > 0] for s in (result.before, result.after) if s.sigma and s.density.any()]
        lowest = min((float(density.min()) for density in seen), default=1e-6)
        highest = max(float(density.max()) for density in [*seen, *(density for density, _ in references.values())])
        linear.set_xlim(-LINEAR_REACH, LINEAR_REACH)
        linear.set_ylim(0, 1.08 * highest)
        logarithmic.set_xlim(result.edges[0], result.edges[-1])
        logarithmic.set_yscale("log")
        logarithmic.set_ylim(lowest / 3, 3 * highest)
        plain_ticks(logarithmic.yaxis)
        for ax in (linear, logarithmic):
            ax.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        add_letters([linear, logarithmic])
        handles, labels = linear.get_legend_handles_labels()
        fig.legend(handles, labels, loc="outside lower center", ncols=legend_columns(labels, width))
        if title:
            space = in_space(result.config.space)
            add_title(
                fig,
                f"Sparsity of {source_name(result.source)}{space} before and after deconvolution",
            )
    return fig


def caption_sparsity(result: "SparsityResult") -> str:
    """Say in words what the figure of :func:`plot_sparsity` shows."""
    k, reach = result.config.kernel_size, result.edges[-1]
    before, after = result.before, result.after
    return (
        f"Distribution of pixel values of {result.source} ({result.images.counted}, {result.count:.3g} values,"
        f" {units_in_words(result.config.space)}) less"
        f" the mean of their channel (before), and of the same pixels {_treatment(result)} (after). Each is divided by"
        f" its standard deviation σ. (a) Linear axis, within ±{LINEAR_REACH:g} σ. (b) Logarithmic axis;"
        f" {_share(before.clipped)} of the values before and {_share(after.clipped)} after lie beyond ±{reach:g} σ."
        f" The kurtosis is {_kurtosis(before)} before and {_kurtosis(after)} after (Gaussian 3, Laplace 6);"
        " grey curves are densities of equal variance."
        + (f" {k}×{k} patches, {ridge_in_words(result.fit, result.ridge)}." if result.fit else "")
        + _moments(result)
        + "".join(f" {verdict}" for verdict in verdicts([result]))
    )


def _moments(result: "SparsityResult") -> str:
    """Name the files of moments that D and μ come from, if they do."""
    if not result.config.from_moments:
        return ""
    return f" D and the means are those of {', '.join(map(printable, result.config.from_moments))}."


def _draw_histograms(ax: Axes, result: "SparsityResult") -> None:
    for label, (side, style) in _sides(result).items():
        if side.sigma:
            ax.stairs(side.density, result.edges, label=label, baseline=None, linewidth=1.1, **style)
        else:
            ax.plot([], [], label=f"{label}: no variance", **style)


def _references(
    x: NDArray[np.float64], width: float, after: "Distribution"
) -> dict[str, tuple[NDArray[np.float64], Any]]:
    """Return densities of unit variance, averaged over bins about x: Gaussian, Laplace, and the one fitted to after."""
    distributions: dict[str, tuple[Any, Any]] = {
        "Gaussian": (norm(), ":"),
        "Laplace": (laplace(scale=1 / np.sqrt(2)), "-."),
    }
    shape = after.measures["ggd_shape"].value
    if shape is not None:
        fitted = gennorm(shape, scale=1 / gennorm.std(shape))
        distributions[f"generalised Gaussian, shape {shape:.3g} (fit to after)"] = fitted, (0, (8, 1.5, 1, 1.5, 1, 1.5))
    # Of a symmetric density the lower tail, where a difference of probabilities has no cancellation.
    ends = -np.abs(x) + np.multiply.outer((0.5, -0.5), np.full(len(x), width))
    return {
        name: ((distribution.cdf(ends[0]) - distribution.cdf(ends[1])) / width, style)
        for name, (distribution, style) in distributions.items()
    }


def _sides(result: "SparsityResult") -> dict[str, tuple["Distribution", dict[str, Any]]]:
    if result.config.whitening == "none":
        return {"pixels − mean, before and after (no whitening)": (result.before, SIDES["before"])}
    return {
        "before: pixels − mean": (result.before, SIDES["before"]),
        f"after: {_WHITENING[result.config.whitening]}": (result.after, SIDES["after"]),
    }


def _treatment(result: "SparsityResult") -> str:
    return {"patch": "after deconvolution", "channel": "with decorrelated channels", "none": "left as they are"}[
        result.config.whitening
    ]


def _share(share: float) -> str:
    return percent(share, digits=2) if share else "none"


def _kurtosis(side: "Distribution") -> str:
    value = side.measures["kurtosis"].value
    return "undefined" if value is None else f"{value:.3g}"
