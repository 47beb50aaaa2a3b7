"""Picture of Newton-Schulz' stability (Ye et al. 2020, fig. 6; fig. 7 of the first version)."""

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter
from numpy.typing import NDArray

from ndtools.text import shortened

if TYPE_CHECKING:
    from ndtools.experiments.ns_stability.result import Curve, NsStabilityResult

__all__ = ["plot_ns_stability"]

# Algorithms differ by colour and marker, precisions by dashes.
ALGORITHMS: dict[str, dict[str, Any]] = {
    "coupled": {"color": "#1f4e9c", "marker": "o"},
    "vanilla": {"color": "#c1272d", "marker": "^"},
    "chebyshev": {"color": "#1b7f3b", "marker": "s"},
    "denman-beavers": {"color": "#7b3f9d", "marker": "D"},
    "gram": {"color": "#b8860b", "marker": "v"},
}
LABELS = {
    "coupled": "coupled Newton-Schulz",
    "chebyshev": "coupled Chebyshev",
    "denman-beavers": "Denman-Beavers",
    "gram": "Gram Newton-Schulz",
}
DASHES = {"bfloat16": ":", "float16": "-.", "float32": "--", "float64": "-"}
PAPER = {5: "middle layers", 15: "first layer"}  # Ye et al. 2020, A.2
WIDTHS, HEIGHT, GAP = (4.9, 3.6, 3.6), 3.6, 0.75  # of the panels, inches


def plot_ns_stability(result: "NsStabilityResult", *, fig: Figure | None = None) -> Figure:
    """Draw how far from A^(-1/2) each iteration is, by iteration and by product, and what it does to the spectrum.

    Left, the paper's figure: coupled and vanilla Newton-Schulz in each precision, what diverges leaving through
    the frame. Middle: the stable algorithms in the widest precision against the matrix products that they cost. Right:
    the factor by which n iterations of Newton-Schulz change the standard deviation along each eigenvector (times
    its inverse square root, so that 1 is white), with the eigenvalues of A as ticks.

    Parameters
    ----------
    result : NsStabilityResult
        Result of :func:`ndtools.experiments.ns_stability.run.run`.
    fig : Figure, optional
        An empty figure to draw on.

    Returns
    -------
    Figure
        With three axes.
    """
    size = (sum(WIDTHS) + 2 * GAP + 1.65, HEIGHT + 2.15)
    fig = fig or Figure(figsize=size)
    lefts = [0.75 + sum(WIDTHS[:i]) + i * GAP for i in range(3)]
    by_iteration, by_product, spectrum = (
        fig.add_axes((left / size[0], 1.4 / size[1], width / size[0], HEIGHT / size[1]))
        for left, width in zip(lefts, WIDTHS, strict=True)
    )
    _draw_iterations(by_iteration, result)
    _draw_products(by_product, result)
    _draw_gain(spectrum, result)
    for ax, title in (
        (by_iteration, "residual by iteration"),
        (by_product, f"stable iterations by products, {result.widest}"),
        (spectrum, "partial whitening: n iterations, each eigenvalue alone"),
    ):
        ax.set_title(title, fontsize="medium")
    fig.suptitle(_title(result), fontsize="medium", y=1 - 0.1 / size[1])
    return fig


def _draw_iterations(ax: Axes, result: "NsStabilityResult") -> None:
    curves = [curve for curve in result.curves if curve.algorithm in ("coupled", "vanilla")]
    n_iter = result.config.iterations
    bottom, top = _limits(result)
    for dtype in result.config.dtype:
        floor = result.floor(dtype)
        if bottom < floor < top:
            ax.axhline(floor, color="0.6", linewidth=0.8, linestyle=DASHES[dtype])
            ax.text(0.01, floor, f"ε·κ, {dtype}", transform=ax.get_yaxis_transform(), **_note(ha="left", va="bottom"))
    for n, layer in PAPER.items():
        if n <= n_iter:
            ax.axvline(n, color="0.8", linewidth=0.8, zorder=0)
            label = f" {n}: {layer}"
            ax.text(n, 0.01, label, transform=ax.get_xaxis_transform(), **_note(ha="left", va="bottom"))
    for curve in curves:
        _draw_clipped(ax, np.arange(1, n_iter + 1), curve.residual, top, curve)
    handles = [Line2D([], [], label=f"{c.algorithm}, {c.dtype}{_end(c, result)}", **_style(c)) for c in curves]
    _legend_below(ax, handles)
    if n_iter > 100:
        ax.set_xscale("log")
    else:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlim(0.8 if n_iter > 100 else 0, n_iter * 1.01 + 0.5)
    _residual_axis(ax, bottom, top)
    ax.set_xlabel("iteration")


def _draw_products(ax: Axes, result: "NsStabilityResult") -> None:
    bottom, top = _limits(result)
    curves = [curve for curve in result.curves if curve.dtype == result.widest and curve.algorithm in LABELS]
    ends = [c.diverges(result.floor(c.dtype)) or c.measured.settled_iteration or 1 for c in curves]
    right = 1.25 * max([*(int(c.products[n - 1]) for c, n in zip(curves, ends, strict=True)), 12])
    handles = []
    for curve in curves:
        shown = curve.products <= right
        _draw_clipped(ax, curve.products[shown], curve.residual[shown], top, curve)
        handles.append(Line2D([], [], label=LABELS[curve.algorithm] + _end(curve, result), **_style(curve)))
    _legend_below(ax, handles)
    ax.set_xlim(-0.02 * right, right)
    _residual_axis(ax, bottom, top)
    ax.set_xlabel("matrix products (an inverse counts as one)")


def _draw_gain(ax: Axes, result: "NsStabilityResult") -> None:
    from matplotlib import colormaps

    low, high = result.eigenvalues[0], result.eigenvalues[-1]
    values = np.geomspace(low / 3, min(high * 1.5, result.norm), 400)
    gains = result.gain(values)
    counts = result.arrays()["gain_iterations"]
    colours = colormaps["viridis"](np.linspace(0.75, 0, len(counts)))
    for n, gain, colour in zip(counts, gains, colours, strict=True):
        ax.plot(values, gain, color=colour, linewidth=1.4, label=f"n = {n}")
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize="small", frameon=False, reverse=True)
    ax.axhline(1, color="0.7", linewidth=0.8, zorder=0)
    ax.vlines(result.eigenvalues, 0, 0.04, color="#c1272d", linewidth=0.9, transform=ax.get_xaxis_transform())
    ax.set_xscale("log")
    ax.set_xlim(values[0], values[-1])
    ax.set_ylim(0, 1.08)
    few = values[-1] < 100 * values[0]
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
    ax.xaxis.set_minor_formatter(NullFormatter())
    if few:
        ax.xaxis.set_major_formatter(StrMethodFormatter("{x:.2g}"))
    ax.set_xlabel("eigenvalue λ of A (red: those of this matrix)")
    ax.set_ylabel("gain √λ · p(λ), 1 = white", labelpad=2)


def _draw_clipped(ax: Axes, x: NDArray[Any], residual: NDArray[np.float64], top: float, curve: "Curve") -> None:
    """Draw a curve up to where it leaves through the top, marked there."""
    with np.errstate(invalid="ignore"):
        beyond = np.flatnonzero(~(residual <= top))
    last = beyond[0] if len(beyond) else len(residual)
    x_in, y_in = x[:last].astype(float), residual[:last]
    style = _style(curve)
    every = max(1, len(x) // 25)
    if len(beyond) and last:
        value = residual[last] if np.isfinite(residual[last]) else top
        share = np.log(top / y_in[-1]) / max(np.log(value / y_in[-1]), 1e-12)
        leaves = x_in[-1] + min(share, 1.0) * (x[last] - x_in[-1])
        ax.plot(leaves, top, clip_on=False, zorder=5, **{**style, "markersize": 7})
        x_in, y_in = np.append(x_in, leaves), np.append(y_in, top)
        ax.plot(x_in, y_in, markevery=range(0, last, every), **style)
    else:
        ax.plot(x_in, y_in, markevery=every, **style)


def _legend_below(ax: Axes, handles: list[Line2D]) -> None:
    """Where it hides no data, however the curves run."""
    place = (0.5, -0.55 / HEIGHT)
    ax.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=place,
        ncols=2,
        fontsize="small",
        frameon=False,
        handlelength=3,
    )


def _end(curve: "Curve", result: "NsStabilityResult") -> str:
    measured, diverges = curve.measured, curve.diverges(result.floor(curve.dtype))
    if not diverges:
        return ""
    overflow = f", overflows at {measured.first_bad_iteration}" if measured.first_bad_iteration else ""
    return f" (diverges at {diverges}{overflow})"


def _style(curve: "Curve") -> dict[str, Any]:
    return {
        **ALGORITHMS[curve.algorithm],
        "linestyle": DASHES[curve.dtype],
        "linewidth": 1.3,
        "markersize": 3.5,
    }


def _note(**changes: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"fontsize": "x-small", "color": "0.35", "ha": "right", **changes}


def _limits(result: "NsStabilityResult") -> tuple[float, float]:
    best = [c.measured.best_residual for c in result.curves if c.measured.best_residual]
    bottom = min([*best, *(result.floor(dtype) for dtype in result.config.dtype)]) / 30
    return float(bottom), 1e5


def _residual_axis(ax: Axes, bottom: float, top: float) -> None:
    ax.set_yscale("log")
    ax.set_ylim(bottom, top)
    ax.set_ylabel("‖D·D·A − I‖ (Frobenius)", labelpad=2)


def _title(result: "NsStabilityResult") -> str:
    d, k = len(result.eigenvalues), result.config.kernel_size
    source = shortened(result.source)
    if result.images:
        what = f"Inverse square root of the {d}×{d} covariance of {k}×{k} patches of {source} ({result.images.counted})"
    else:
        what = f"Inverse square root of the {d}×{d} matrix in {source}"
    return f"{what}\nridge {result.eps:.3g}, condition κ = {result.condition:.3g}; ε: machine epsilon"
