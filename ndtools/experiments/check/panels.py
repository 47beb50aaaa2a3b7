"""Panels of the figure of ``ndtools check``: one for each check."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from ndtools.drawing.axes import plain_ticks
from ndtools.drawing.palette import BLACK, BLUE, GREEN, GREY, METHODS, PURPLE, SKY, VERMILION

if TYPE_CHECKING:
    from ndtools.experiments.check.result import Outcome

__all__ = ["CAPTIONS", "ENTRIES", "PANELS", "TITLES"]

Style = dict[str, Any]

FLOOR = 1e-16  # relative differences below, 0 among them, are drawn here
MANY, SPARSE = 20, 5  # points from which on every fifth has a marker, and the first two
ROUNDING: Style = {"color": BLACK, "linestyle": (0, (1, 1)), "linewidth": 0.8, "zorder": 0}
FOUND: Style = {"linestyle": "", "marker": "o", "color": BLUE, "markerfacecolor": "none"}

TITLES = {
    "prop1": "proposition 1",
    "prop2": "proposition 2",
    "prop3": "proposition 3",
    "equivalence": "equivalence",
    "batch-norm": "batch normalisation",
    "natural-gradient": "natural gradient",
}
ENTRIES = {"prop1": 6, "prop2": 2, "prop3": 3, "equivalence": 3, "batch-norm": 3, "natural-gradient": 2}
"""Number of lines in the legend of each panel."""
CAPTIONS = {
    "prop1": (
        "Distance of predictions from those of the optimum by step of gradient descent, in units of that at the start:"
        " whitened features at rate 1, raw and standardised ones at the largest rate that does not oscillate, and"
        " whitened features with the logistic loss. The dotted line is what rounding can cause"
    ),
    "prop2": "Error of the pixels that D and the correlation kernel give back, against a ridge that only D has",
    "prop3": (
        "Condition number of the linear problem in W (1 is optimal) against the ratio of the largest to the smallest"
        " singular value of W, in a network of two deconvolutions, without and with a ReLU between them, and in one"
        " without deconvolution"
    ),
    "equivalence": (
        "Training loss of a deconvolution layer with fixed D, of a plain layer whose gradient is corrected by D², and"
        " of one whose gradient is not"
    ),
    "batch-norm": (
        "Standard deviation of each channel of a feature map, before and after deconvolution with k = 1 and B = 1, with"
        " statistics of each channel and with the shared ones of the published code"
    ),
    "natural-gradient": (
        "Sine of the angle between a step behind D and the natural gradient step of softmax regression, by the whole"
        " Fisher matrix and by its Kronecker factors, against the standard deviation of the logits"
    ),
}


def _prop1(ax: Axes, outcome: "Outcome") -> None:
    lines = {
        "raw": ("raw", METHODS["none"]),
        "standardised": ("standardised", METHODS["bn"]),
        "logistic": ("logistic loss", {"color": PURPLE, "linestyle": "-.", "marker": "D"}),
        "ridge": ("whitened, ridge", {"color": SKY, "linestyle": (0, (5, 1.5)), "marker": "v"}),
        "whitened": ("whitened", METHODS["deconv"]),
    }
    _draw(ax, outcome, lines, FLOOR)
    ax.axhline(outcome.comparison("whitened").bound, label="rounding", **ROUNDING)
    _steps(ax, outcome.curve("raw").x)
    _logarithmic(ax, "distance from optimum")


def _prop2(ax: Axes, outcome: "Outcome") -> None:
    lines = {
        "predicted": ("expected", {"color": BLACK, "linestyle": "-"}),
        "measured": ("measured", FOUND),
    }
    _draw(ax, outcome, lines, FLOOR)
    ax.set_xscale("log")
    plain_ticks(ax.xaxis)
    ax.set_xlabel("eps")
    _logarithmic(ax, "error of pixels")


def _prop3(ax: Axes, outcome: "Outcome") -> None:
    lines = {
        "raw": ("no deconvolution", METHODS["none"]),
        "relu": ("with ReLU", {"color": VERMILION, "linestyle": "--", "marker": "^"}),
        "linear": ("linear", METHODS["deconv"]),
    }
    _draw(ax, outcome, lines)
    ax.set_xscale("log")
    plain_ticks(ax.xaxis)
    ax.set_xlabel("singular values of W, ratio")
    _logarithmic(ax, "condition number")


def _equivalence(ax: Axes, outcome: "Outcome") -> None:
    lines = {
        "plain": ("plain gradient", METHODS["none"]),
        "corrected": ("gradient times D²", {"color": SKY, "linestyle": "-", "linewidth": 2.5}),
        "layer": ("layer with D", {"color": BLUE, "linestyle": ":", "marker": "o"}),
    }
    _draw(ax, outcome, lines)
    _steps(ax, outcome.curve("layer").x)
    _logarithmic(ax, "training loss")


def _batch_norm(ax: Axes, outcome: "Outcome") -> None:
    lines = {
        "input": ("input", {"color": GREY, "linestyle": "", "marker": "s"}),
        "published_code": ("published code", {"color": SKY, "linestyle": "", "marker": "v"}),
        "per_channel": ("per channel", {"color": BLUE, "linestyle": "", "marker": "o"}),
    }
    ax.axhline(1, color=BLACK, linewidth=0.6, zorder=0)
    _draw(ax, outcome, lines)
    channels = outcome.curve("input").x
    ax.set_xlim(channels[0] - 0.5, channels[-1] + 0.5)
    ax.xaxis.set_major_locator(FixedLocator(channels.tolist()))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel("channel")
    _logarithmic(ax, "standard deviation", always=(1.0,))


def _natural_gradient(ax: Axes, outcome: "Outcome") -> None:
    lines = {
        "fisher": ("whole Fisher matrix", {"color": BLUE, "linestyle": "-", "marker": "o"}),
        "factors": ("Kronecker factors", {"color": GREEN, "linestyle": "--", "marker": "s"}),
    }
    _draw(ax, outcome, lines)
    ax.set_xscale("log")
    ax.set_xlim(outcome.curve("fisher").x[1] / 1.2, outcome.curve("fisher").x[-1] * 1.2)  # without 0
    plain_ticks(ax.xaxis)
    ax.set_xlabel("deviation of logits")
    ax.set_ylim(-0.03, 1.03)
    ax.yaxis.set_major_locator(MaxNLocator(nbins=5))
    ax.set_ylabel("sine of the angle")


PANELS: dict[str, Callable[[Axes, "Outcome"], None]] = {
    "prop1": _prop1,
    "prop2": _prop2,
    "prop3": _prop3,
    "equivalence": _equivalence,
    "batch-norm": _batch_norm,
    "natural-gradient": _natural_gradient,
}


def _draw(ax: Axes, outcome: "Outcome", lines: dict[str, tuple[str, Style]], floor: float | None = None) -> None:
    """Draw the curves of a check with their names and styles; values below a floor stand on it."""
    for key, (name, style) in lines.items():
        curve = outcome.curve(key)
        y = curve.y if floor is None else np.where(np.isnan(curve.y), np.nan, np.maximum(curve.y, floor))
        marked = range(len(y)) if len(y) <= MANY else [0, 1, *range(SPARSE, len(y), SPARSE)]
        ax.plot(curve.x, y, label=name, markevery=list(marked), **style)


def _steps(ax: Axes, steps: NDArray[np.float64]) -> None:
    ax.set_xlim(steps[0], steps[-1])
    ax.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    ax.set_xlabel("step")


def _logarithmic(ax: Axes, name: str, always: Sequence[float] = ()) -> None:
    ax.set_yscale("log")
    plain_ticks(ax.yaxis, always=always)
    ax.set_ylabel(name)
