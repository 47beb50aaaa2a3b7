"""Picture of the distribution of pixels before and after deconvolution (Ye et al. 2020, fig. 9)."""

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import gennorm, laplace, norm

from ndtools.text import ridge_in_words, shortened

if TYPE_CHECKING:
    from ndtools.experiments.sparsity.result import SparsityResult
    from ndtools.numerics.sparsity import Distribution

__all__ = ["plot_sparsity"]

LINEAR_REACH = 3.0  # standard deviations in the left panel


def plot_sparsity(result: "SparsityResult", *, fig: Figure | None = None) -> Figure:
    """Draw both histograms, on a linear and on a logarithmic axis, beside densities of known shape.

    Densities of known shape are averaged over the width of a bin, as a histogram averages them: the cusp of a
    generalised Gaussian with a shape below 1 may be many times higher than any bin.

    Parameters
    ----------
    result : SparsityResult
        Result of :func:`ndtools.experiments.sparsity.run.run`.
    fig : Figure, optional
        An empty figure to draw on.

    Returns
    -------
    Figure
        With two axes; x is in standard deviations of each distribution.
    """
    width, height = 11.0, 5.2
    fig = fig or Figure(figsize=(width, height))
    linear, logarithmic = (
        fig.add_axes((left / width, 1.25 / height, 4.6 / width, 3.15 / height)) for left in (0.75, 6.2)
    )
    x = np.linspace(result.edges[0], result.edges[-1], 2001)
    references = _references(x, float(result.edges[1] - result.edges[0]), result.after)
    for ax in (linear, logarithmic):
        for name, (density, style) in references.items():
            ax.plot(x, density, color="0.45", linestyle=style, linewidth=1.1, label=name)
        for name, (side, colour, style) in _sides(result).items():
            if side.sigma:
                ax.stairs(
                    side.density,
                    result.edges,
                    color=colour,
                    linestyle=style,
                    linewidth=1.4,
                    label=name,
                    baseline=None,
                )
            else:
                ax.plot([], [], color=colour, linestyle=style, label=f"{name}: no variance")
        ax.set_xlabel("x/σ (σ of each distribution)")
    linear.set_xlim(-LINEAR_REACH, LINEAR_REACH)
    seen = np.concatenate(
        [side.density[side.density > 0] for side in (result.before, result.after) if side.sigma] or [np.zeros(0)]
    )
    highest = max([*seen, *(float(density.max()) for density, _ in references.values())])
    linear.set_ylim(0, 1.08 * highest)
    linear.set_ylabel("probability density")
    logarithmic.set_xlim(result.edges[0], result.edges[-1])
    logarithmic.set_yscale("log")
    logarithmic.set_ylim((float(seen.min()) if seen.size else 1e-6) / 3, 3 * highest)
    logarithmic.set_ylabel("probability density, logarithmic")
    linear.set_title(f"within ±{LINEAR_REACH:g} σ", fontsize="medium")
    logarithmic.set_title(_beyond(result), fontsize="medium")
    box = (0.5, 0.52 / height)
    handles, labels = linear.get_legend_handles_labels()
    fig.legend(handles, labels, loc="center", bbox_to_anchor=box, ncols=3, fontsize="small", frameon=False)
    fig.suptitle(_title(result), fontsize="medium", y=1 - 0.1 / height)
    return fig


def _references(
    x: NDArray[np.float64], width: float, after: "Distribution"
) -> dict[str, tuple[NDArray[np.float64], Any]]:
    """Return densities of unit variance, averaged over bins about x: Gaussian, Laplace, and the one fitted to after."""
    distributions: dict[str, tuple[Any, Any]] = {
        "Gaussian, equal variance": (norm(), ":"),
        "Laplace, equal variance": (laplace(scale=1 / np.sqrt(2)), "-."),
    }
    shape = after.measures["ggd_shape"].value
    if shape is not None:
        fitted = gennorm(shape, scale=1 / gennorm.std(shape))
        distributions[f"generalised Gaussian, shape {shape:.3g} as fitted to after"] = fitted, (0, (5, 1.5))
    # Of a symmetric density the lower tail, where a difference of probabilities has no cancellation.
    ends = -np.abs(x) + np.multiply.outer((0.5, -0.5), np.full(len(x), width))
    return {
        name: ((distribution.cdf(ends[0]) - distribution.cdf(ends[1])) / width, style)
        for name, (distribution, style) in distributions.items()
    }


def _sides(result: "SparsityResult") -> dict[str, tuple["Distribution", str, str]]:
    before = (result.before, "#b2182b", "--")
    if result.config.whitening == "none":
        return {"pixels − mean, before and after (no whitening)": before}
    after = f"after: {_WHITENING[result.config.whitening]}"
    return {"before: pixels − mean": before, after: (result.after, "#2166ac", "-")}


def _beyond(result: "SparsityResult") -> str:
    shares = (f"{x.clipped:.1e}".replace("e-0", "e-") if x.clipped else "none" for x in (result.before, result.after))
    before, after = shares
    return f"beyond ±{result.edges[-1]:g} σ: {before} before, {after} after"


_WHITENING = {"patch": "deconvolved", "channel": "channels decorrelated"}


def _title(result: "SparsityResult") -> str:
    k = result.config.kernel_size

    def kurtosis(side: str) -> str:
        value = getattr(result, side).measures["kurtosis"].value
        return "undefined" if value is None else f"{value:.3g}"

    ridge = f", {ridge_in_words(result.fit)}" if result.fit else ""
    return (
        f"{shortened(result.source)}: {result.images.counted}, {result.count:.3g} values, {k}×{k} patches{ridge}\n"
        f"kurtosis {kurtosis('before')} before, {kurtosis('after')} after (Gaussian 3, Laplace 6)"
    )
