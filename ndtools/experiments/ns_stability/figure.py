"""Picture of Newton-Schulz' stability (Ye et al. 2020, fig. 7; fig. 6 of the first version)."""

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ndtools.drawing.axes import plain_ticks
from ndtools.drawing.palette import ALGORITHMS
from ndtools.drawing.style import PAGE, SMALL, add_title, drawing_style, is_wide, new_figure, width_of
from ndtools.experiments.ns_stability.config import NsStabilityConfig
from ndtools.experiments.ns_stability.words import steps_in_words
from ndtools.text import listed, source_name

if TYPE_CHECKING:
    from ndtools.experiments.ns_stability.result import Curve, NsStabilityResult

__all__ = [
    "BENEATH",
    "DASHES",
    "caption_ns_stability",
    "draw_curve",
    "matrix_in_words",
    "plot_ns_stability",
    "residual_axis",
    "steps_in_a_sentence",
    "style",
]

# Algorithms differ by colour and marker, precisions by dashes.
DASHES = {"bfloat16": ":", "float16": "-.", "float32": "--", "float64": "-"}
# Gram Newton-Schulz often takes the way of coupled Newton-Schulz, and is a pale band beneath it.
BENEATH: dict[str, dict[str, Any]] = {"gram": {"linewidth": 3.0, "alpha": 0.35, "zorder": 1.5}}
PAPER = {5: "middle layers", 15: "first layer"}  # Ye et al. 2020, A.2
LONG = 100  # iterations from which their axis is logarithmic
NOTE: dict[str, Any] = {"fontsize": SMALL, "color": "0.35"}


def plot_ns_stability(
    result: "NsStabilityResult", *, width: float = PAGE, title: bool = True, fig: Figure | None = None
) -> Figure:
    """Draw how far from A^(-1/2) Newton-Schulz is after each iteration, in each precision.

    The algorithms are those of the paper, coupled and vanilla, and gram if it restarts. Where the configuration names
    algorithms, all of these are drawn.

    A curve that diverges leaves through the top of the frame, with a mark there. Horizontal lines are about where
    rounding stops a stable iteration, vertical ones the numbers of iterations in the paper.
    :func:`ndtools.experiments.ns_stability.figure_gains.plot_ns_gains` draws all that are stable.

    Parameters
    ----------
    result : NsStabilityResult
        Result of :func:`ndtools.experiments.ns_stability.run.run`.
    width : float
        Width of the figure in print, millimetres. Default 180.
    title : bool
        Whether the figure has a title. Default True.
    fig : Figure, optional
        An empty figure to draw on, which keeps its size. Default: a new one.

    Returns
    -------
    Figure
        With one axes.
    """
    curves = _curves(result)
    n_iter = result.config.iterations
    bottom, top = _limits(result)
    with drawing_style():
        width = width_of(fig, width)
        fig = new_figure(fig, width, (86 if is_wide(width) else 72) + 6 * title + 4 * len(curves) / 2)
        ax = fig.add_subplot()
        residual_axis(ax, result)
        if n_iter > LONG:
            ax.set_xscale("log")
            plain_ticks(ax.xaxis, whole=True)
        else:
            ax.xaxis.set_major_locator(MaxNLocator(10, integer=True, steps=[1, 2, 5, 10]))
        ax.set_xlim(0.8 if n_iter > LONG else 0, n_iter * 1.01 + 0.5)
        ax.set_xlabel("iteration")
        for dtype in result.config.dtype:
            _draw_floor(ax, result.floor(dtype), dtype, within=(bottom, top))
        _draw_numbers_of_the_paper(ax, n_iter)
        for curve in curves:
            draw_curve(ax, np.arange(1, n_iter + 1), curve.residual, top, curve)
        handles = [Line2D([], [], label=f"{curve.algorithm}, {curve.dtype}", **style(curve)) for curve in curves]
        fig.legend(handles=handles, loc="outside lower center", ncols=2, handlelength=3.5)
        if title:
            add_title(fig, f"Newton-Schulz iterations on {source_name(result.source)}")
    return fig


def caption_ns_stability(result: "NsStabilityResult") -> str:
    """Say in words what the figure of :func:`plot_ns_stability` shows."""
    names = list(dict.fromkeys(curve.algorithm for curve in _curves(result)))
    algorithms = listed(names)
    ends = "; ".join(_end(curve, result) for curve in _curves(result))
    left_out = "".join(f" Left out: {reason}." for reason in result.left_out)
    return (
        f"Distance from the inverse square root D of A after each iteration of {algorithms}, in each precision."
        f" {matrix_in_words(result)} Curves that diverge leave through the top of the frame, at the"
        f" larger marks. Least residuals: {ends}. Horizontal lines: ε·κ, about where rounding stops a stable iteration;"
        f" ε is the machine epsilon. Vertical lines: iterations in the layers of the paper."
        f"{steps_in_a_sentence(result)}{left_out}"
    )


def matrix_in_words(result: "NsStabilityResult") -> str:
    """Say of what matrix the inverse square root is taken, in a sentence."""
    d, k = len(result.eigenvalues), result.config.kernel_size
    if result.images:
        what = f"covariance of {k}×{k} patches of {result.source} ({result.images.counted}; pixels in [0, 1])"
    else:
        what = f"matrix in {result.source}"
    eps, mean = result.eps, float(result.covariance.trace()) / d
    relative = f" ({eps / mean:.2g} of the mean variance)" if mean > 0 else ""
    return f"A is the {d}×{d} {what} plus eps {eps:.3g}{relative}; its condition number κ is {result.condition:.3g}."


def steps_in_a_sentence(result: "NsStabilityResult") -> str:
    """Say what is not standard in the steps of iterations; empty if nothing is."""
    lines = [" ".join(line.split()) for line in steps_in_words(result)]
    return f" Steps: {'; '.join(lines)}." if lines else ""


def draw_curve(
    ax: Axes,
    x: NDArray[Any],
    residual: NDArray[np.float64],
    top: float,
    curve: "Curve",
    **more: Any,  # noqa: ANN401
) -> None:
    """Draw a curve from where it is in the frame to where it leaves through the top, marked there."""
    look = {**style(curve), **more}
    with np.errstate(invalid="ignore"):
        inside = residual <= top
    if not inside.any():
        return
    first = int(inside.argmax())
    x, residual = x[first:], residual[first:]
    beyond = np.flatnonzero(~inside[first:])
    last = beyond[0] if len(beyond) else len(residual)
    x_in, y_in = x[:last].astype(float), residual[:last]
    every = max(1, len(x) // 25)
    if len(beyond):
        value = residual[last] if np.isfinite(residual[last]) else top
        share = np.log(top / y_in[-1]) / max(np.log(value / y_in[-1]), 1e-12)
        leaves = x_in[-1] + min(share, 1.0) * (x[last] - x_in[-1])
        ax.plot(leaves, top, clip_on=False, **{**look, "markersize": 5, "zorder": 5})
        x_in, y_in = np.append(x_in, leaves), np.append(y_in, top)
        ax.plot(x_in, y_in, markevery=range(0, last, every), **look)
    else:
        ax.plot(x_in, y_in, markevery=every, **look)


def residual_axis(ax: Axes, result: "NsStabilityResult") -> None:
    """Give an axes the vertical axis of residuals."""
    ax.set_yscale("log")
    ax.set_ylim(*_limits(result))
    plain_ticks(ax.yaxis)
    ax.set_ylabel("‖D·D·A − I‖ (Frobenius)")


def style(curve: "Curve") -> dict[str, Any]:
    """Return how the curve of an algorithm in a precision looks."""
    look = {**ALGORITHMS[curve.algorithm], "linestyle": DASHES[curve.dtype], "markersize": 2.5}
    return {**look, **BENEATH.get(curve.algorithm, {})}


def _curves(result: "NsStabilityResult") -> list["Curve"]:
    """Return the curves that are drawn: those of the algorithms that were asked for or, by default, of the paper's."""
    config = result.config
    if config.algorithms != NsStabilityConfig.algorithms:
        return list(result.curves)
    drawn = ("coupled", "vanilla", *(("gram",) if config.restart else ()))
    return [curve for curve in result.curves if curve.algorithm in drawn] or list(result.curves)


def _limits(result: "NsStabilityResult") -> tuple[float, float]:
    best = [c.measured.best_residual for c in result.curves if c.measured.best_residual]
    bottom = min([*best, *(result.floor(dtype) for dtype in result.config.dtype)]) / 300
    return float(bottom), 1e5


def _draw_floor(ax: Axes, floor: float, dtype: str, *, within: tuple[float, float]) -> None:
    """Draw where rounding stops a stable iteration, named at the right of the frame."""
    if within[0] < floor < within[1]:
        ax.axhline(floor, color="0.6", linewidth=0.6, linestyle=DASHES[dtype])
        # Floors of half precisions are close to each other, and their names must not be.
        place = {"bfloat16": "bottom", "float16": "top"}.get(dtype, "center")
        ax.annotate(
            f"ε·κ, {dtype}",
            (1, floor),
            xycoords=ax.get_yaxis_transform(),
            xytext=(3, 0),
            textcoords="offset points",
            va=place,
            **NOTE,
        )


def _draw_numbers_of_the_paper(ax: Axes, n_iter: int) -> None:
    shown = [(n, layer) for n, layer in PAPER.items() if n <= n_iter]
    for row, (n, layer) in enumerate(reversed(shown)):
        ax.axvline(n, color="0.8", linewidth=0.6, zorder=0)
        right = n <= n_iter / 2
        ax.annotate(
            f"{n}: {layer}",
            (n, 0),
            xycoords=ax.get_xaxis_transform(),
            xytext=(2 if right else -2, 3 + 8 * row),  # one above the other, as they may be longer than they are apart
            textcoords="offset points",
            ha="left" if right else "right",
            bbox={"color": "w", "pad": 0.3},  # over the lines of others
            **NOTE,
        )


def _end(curve: "Curve", result: "NsStabilityResult") -> str:
    """Say how near a curve comes and how it ends."""
    measured, diverges = curve.measured, curve.diverges(result.floor(curve.dtype))
    best = "none" if measured.best_residual is None else f"{measured.best_residual:.2g}"
    words = f"{curve.algorithm} in {curve.dtype} {best}"
    if not diverges:
        return words
    lost = f", is not finite from {measured.first_bad_iteration} on" if measured.first_bad_iteration else ""
    return f"{words} (diverges at iteration {diverges}{lost})"
