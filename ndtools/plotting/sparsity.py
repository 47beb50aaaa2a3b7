"""Picture of the distribution of pixels before and after deconvolution (Ye et al. 2020, fig. 9)."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from ndtools.experiments.sparsity import SparsityResult

__all__ = ["plot_sparsity"]

LINEAR_REACH = 3.0  # standard deviations in the left panel


def plot_sparsity(result: "SparsityResult", *, fig: Figure | None = None) -> Figure:
    """Draw both histograms, on a linear and on a logarithmic axis, beside a Gaussian and a Laplace density.

    Parameters
    ----------
    result : SparsityResult
        From :func:`ndtools.experiments.sparsity.run`.
    fig : Figure, optional
        An empty figure to draw on.

    Returns
    -------
    Figure
        With two axes; x is in standard deviations of each distribution.
    """
    width, height = 11.0, 4.6
    fig = fig or Figure(figsize=(width, height))
    linear, logarithmic = (
        fig.add_axes((left / width, 0.65 / height, 4.6 / width, 3.15 / height)) for left in (0.75, 6.2)
    )
    x = np.linspace(result.edges[0], result.edges[-1], 801)
    references = {
        "Gaussian": (np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi), ":"),
        "Laplace": (np.exp(-np.sqrt(2) * np.abs(x)) / np.sqrt(2), "-."),
    }
    sides = {"before": (result.before, "#b2182b", "--"), "after": (result.after, "#2166ac", "-")}
    names = {"before": "before: pixels − mean", "after": f"after: {_WHITENING[result.config.whitening]}"}
    for ax in (linear, logarithmic):
        for name, (density, style) in references.items():
            ax.plot(x, density, color="0.45", linestyle=style, linewidth=1.1, label=f"{name}, equal variance")
        for name, (side, colour, style) in sides.items():
            ax.stairs(
                side.density,
                result.edges,
                color=colour,
                linestyle=style,
                linewidth=1.4,
                label=names[name],
                baseline=None,
            )
        ax.set_xlabel("x/σ (σ of each distribution)")
    linear.set_xlim(-LINEAR_REACH, LINEAR_REACH)
    linear.set_ylim(0, None)
    linear.set_ylabel("probability density")
    logarithmic.set_xlim(result.edges[0], result.edges[-1])
    logarithmic.set_yscale("log")
    seen = np.concatenate([side.density[side.density > 0] for side in (result.before, result.after)])
    lowest = float(seen.min()) if seen.size else 1e-6
    logarithmic.set_ylim(lowest / 3, 3 * max(float(seen.max()) if seen.size else 1, 1 / np.sqrt(2)))
    logarithmic.set_ylabel("probability density, logarithmic")
    linear.set_title("histograms", fontsize="medium")
    logarithmic.set_title(
        f"beyond ±{result.edges[-1]:g} σ: {result.before.clipped:.1e} before, {result.after.clipped:.1e} after",
        fontsize="medium",
    )
    linear.legend(loc="upper right", fontsize="small", frameon=False)
    fig.suptitle(_title(result), fontsize="medium", y=1 - 0.1 / height)
    return fig


_WHITENING = {"patch": "deconvolved", "channel": "channels decorrelated", "none": "unchanged"}


def _title(result: "SparsityResult") -> str:
    k = result.config.kernel_size
    source = result.source if len(result.source) <= 60 else f"…{result.source[-59:]}"
    plural = "" if result.read == 1 else "s"

    def kurtosis(side: str) -> str:
        value = getattr(result, side).measures["kurtosis"].value
        return "undefined" if value is None else f"{value:.3g}"

    return (
        f"{source}: {result.read} image{plural}, {result.count:.3g} values, {k}×{k} patches,"
        f" eps {result.config.eps:.3g}\n"
        f"kurtosis {kurtosis('before')} before, {kurtosis('after')} after (Gaussian 3, Laplace 6)"
    )
