"""Ticks and names of lines that keep apart at every size of a figure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import Formatter, Locator, MaxNLocator, NullLocator
from matplotlib.transforms import Bbox
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from ndtools.drawing.style import SMALL

__all__ = ["End", "name_ends", "plain_number", "plain_numbers", "plain_ticks", "say_empty"]

# Round numbers within a decade that are ticks, the finest first.
_STEPS = ((1, 1.5, 2, 3, 4, 5, 7), (1, 2, 5), (1, 3), (1,))
_SPARSE = (2, 3, 5, 10, 20, 50, 100)  # every so many decades, where each one is too many
_LETTER = 0.65  # of a digit: width, in units of the size of type
_LINE = 1.2  # of a line of text: height, in the same units
_AIRY = 1.5  # distance of labels of a vertical axis, in lines of text
NAME_AT = 7.0  # points right of a panel where names of lines begin
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def plain_number(value: float) -> str:
    """Write a number without exponent if it is short so, else as in "2·10⁻⁷".

    Parameters
    ----------
    value : float
        A finite number.

    Returns
    -------
    str
        Digits in letters of one size, since the exponents of mathematical type are too small in print.

    Examples
    --------
    >>> plain_number(0.002), plain_number(1e-6), plain_number(2e7)
    ('0.002', '10⁻⁶', '2·10⁷')
    """
    return f"{value:.12g}" if _is_short(value) else _with_exponent(value)


def plain_numbers(values: Sequence[float]) -> list[str]:
    """Write the numbers of one axis alike: as powers of ten if one of them has an exponent in `plain_number`.

    Parameters
    ----------
    values : sequence of float
        Numbers of the ticks, all finite.

    Returns
    -------
    list of str
        Their texts; 0, 1 and 10 are short in any case.

    Examples
    --------
    >>> plain_numbers([1e-5, 1e-4, 1]), plain_numbers([1e-4, 1])
    (['10⁻⁵', '10⁻⁴', '1'], ['0.0001', '1'])
    """
    if all(_is_short(value) for value in values):
        return [plain_number(value) for value in values]
    return [plain_number(value) if value in (0, 1, 10) else _with_exponent(value) for value in values]


def _is_short(value: float) -> bool:
    return value == 0 or 1e-4 <= abs(value) < 1e5


def _with_exponent(value: float) -> str:
    mantissa, exponent = f"{value:.6e}".split("e")
    power = f"10{str(int(exponent)).translate(_SUPERSCRIPTS)}"
    return power if float(mantissa) == 1 else f"{float(mantissa):g}·{power}"


def plain_ticks(axis: Axis, *, always: Sequence[float] = (), whole: bool = False) -> None:
    """Have round numbers, written without exponents, at as many places of a logarithmic axis as have room.

    Parameters
    ----------
    axis : Axis
        An axis whose scale is set: "log", "symlog" or "linear".
    always : sequence of float
        Values that are ticks in any case. Default: none.
    whole : bool
        Whether only whole numbers are ticks, as of what is counted. Default False.
    """
    axis.set_major_locator(_PlainLocator(always, whole))
    axis.set_major_formatter(_PlainFormatter())
    axis.set_minor_locator(NullLocator())


class _PlainFormatter(Formatter):
    """Texts of `plain_numbers`, of the ticks that are within the axis."""

    def __call__(self, x: float, pos: int | None = None) -> str:  # noqa: ARG002
        return plain_number(x)

    def format_ticks(self, values: Any) -> list[str]:  # noqa: ANN401
        return plain_numbers([float(value) for value in values])


class _PlainLocator(Locator):
    """Round numbers of which all labels have room; evenly spaced ones where fewer than two are round."""

    def __init__(self, always: Sequence[float], whole: bool) -> None:
        self.always, self.whole = np.asarray(always, dtype=float), whole

    def __call__(self) -> list[float]:
        low, high = self.axis.get_view_interval()  # type: ignore[union-attr]
        return self.tick_values(low, high)

    def tick_values(self, vmin: float, vmax: float) -> list[float]:
        low, high = sorted((vmin, vmax))
        always = self.always[(self.always >= low) & (self.always <= high)]
        least = max(low, 1.0 if self.whole else 1e-300)
        decades = np.arange(math.floor(math.log10(least)), math.ceil(math.log10(max(high, least))) + 1)
        sets = [(np.array(steps)[None] * 10.0 ** decades[:, None]).ravel() for steps in _STEPS]
        sets += [10.0 ** decades[decades % every == 0] for every in _SPARSE]
        for values in sets:
            within = values[(values >= low) & (values <= high) & ((values == values.round()) | (not self.whole))]
            kept = self._apart(within, always)
            if kept is not None:
                return list(kept if len(kept) > 1 or self.whole else self._even(low, high))
        return sorted({*always, *self._even(low, high)})

    def _apart(self, values: NDArray[np.float64], always: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """Return the values that are clear of ``always``, and those; None if the values have no room."""
        if not self._have_room(values):
            return None
        clear = [v for v in values if v in always or all(self._have_room(np.sort([v, other])) for other in always)]
        return np.unique([*clear, *always])

    def _have_room(self, values: NDArray[np.float64]) -> bool:
        if len(values) < 2:
            return True
        axis: Any = self.axis
        places = axis.get_transform().transform(np.array([*axis.get_view_interval(), *values]))
        shares = np.abs(np.diff(places[2:])) / (abs(places[1] - places[0]) or 1.0)
        return bool((shares * self._length() >= self._needed(values)).all())

    def _needed(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the distances that neighbouring labels need, points."""
        if self.axis.axis_name == "y":  # type: ignore[union-attr]
            return np.full(len(values) - 1, _AIRY * _LINE * SMALL)
        widths = np.array([len(text) for text in plain_numbers(values.tolist())]) * _LETTER * SMALL
        return np.asarray((widths[1:] + widths[:-1]) / 2 + 0.6 * SMALL)

    def _length(self) -> float:
        """Return the length of the axis in points."""
        axis: Any = self.axis
        ends = Bbox.unit().transformed(axis.axes.transAxes - axis.get_figure(root=True).dpi_scale_trans)
        return 72 * float(ends.height if axis.axis_name == "y" else ends.width)

    def _even(self, low: float, high: float) -> NDArray[np.float64]:
        for bins in (4, 3, 2, 1):
            values = np.asarray(MaxNLocator(nbins=bins, steps=[1, 2, 5, 10]).tick_values(low, high))
            values = values[(values >= low) & (values <= high)]
            if self._have_room(values):
                break
        return values


@dataclass(frozen=True)
class End:
    """End of a line at the right of a panel.

    Attributes
    ----------
    value : float
        Its y in data; NaN or what lies outside of the panel is named at the top or bottom edge.
    name : str
        Name of the line, of one line of text or several.
    color : str
        Colour of the name, that of the line.
    """

    value: float
    name: str
    color: Any


def name_ends(ax: Axes, ends: Sequence[End]) -> None:
    """Write the names of lines right of a panel, each beside the end of its line, and moved apart where they meet.

    Parameters
    ----------
    ax : Axes
        Panel whose limits, scale and place in the figure are set. The layout then makes room for the names.
    ends : sequence of End
        Ends of the lines.
    """
    if not ends:
        return
    places = np.array([_share(ax, end.value) for end in ends])
    order = np.argsort(places, kind="stable")
    # The constrained layout comes later; it leaves no less height than this.
    height = 0.75 * ax.get_position().height * ax.figure.get_figheight() * 72  # type: ignore[union-attr]
    lines = np.array([ends[i].name.count("\n") + 1 for i in order])
    halves = lines / 2 * _LINE * SMALL / height
    above = np.concatenate([[0], halves[1:] + halves[:-1]]).cumsum()  # the lowest name
    lowest, highest = halves[0], 1 - halves[-1] - above[-1]
    if highest < lowest:  # more names than have room reach beyond both edges alike
        lowest = highest = (lowest + highest) / 2
    # The least sum of squared moves under these distances is a monotone regression.
    moved = isotonic_regression(places[order] - above).x.clip(lowest, highest) + above
    for i, place in zip(order, moved, strict=True):
        color = ends[i].color
        ax.annotate(
            ends[i].name,
            (1, place),
            xycoords="axes fraction",
            xytext=(NAME_AT, 0),
            textcoords="offset points",
            color=color,
            fontsize=SMALL,
            va="center",
            annotation_clip=False,
        )
        if 0 < places[i] < 1:  # a line that leaves the panel ends nowhere at its right edge
            ax.annotate(
                "",
                (1, places[i]),
                xycoords="axes fraction",
                xytext=(NAME_AT - 0.5, place),
                textcoords=("offset points", "axes fraction"),
                arrowprops={"arrowstyle": "-", "linewidth": 0.4, "color": color, "shrinkA": 0, "shrinkB": 0},
                annotation_clip=False,
            )


def _share(ax: Axes, value: float) -> float:
    """Return the height of a value within a panel, from 0 at the bottom edge to 1 at the top one."""
    if math.isnan(value):
        return 1.0
    bottom, top = ax.get_ylim()
    if ax.get_yscale() == "log":
        if value <= 0:
            return 0.0
        bottom, top, value = math.log(bottom), math.log(top), math.log(value) if math.isfinite(value) else math.inf
    return float(np.clip((value - bottom) / (top - bottom), 0, 1))


def say_empty(ax: Axes, words: str) -> None:
    """Write into an empty panel why it is empty, and take the numbers off its axes.

    Parameters
    ----------
    ax : Axes
        Panel in which nothing is drawn.
    words : str
        Reason, short enough for a line.
    """
    ax.text(0.5, 0.5, words, transform=ax.transAxes, ha="center", va="center", fontsize=SMALL, color="0.35")
    ax.set_xticks([])
    ax.set_yticks([])
