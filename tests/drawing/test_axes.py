"""Ticks and names of lines keep apart at every size."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from ndtools.drawing.axes import End, name_ends, plain_number, plain_ticks
from ndtools.drawing.style import drawing_style, new_figure, width_of
from ndtools.errors import OptionError
from tests.layout import drawn, faults


def panel(width=85.0, height=50.0):
    with drawing_style():
        figure = new_figure(None, width, height)
        return figure, figure.subplots()


def shown_ticks(axis):
    low, high = sorted(axis.get_view_interval())
    return [
        label.get_text()
        for at, label in zip(axis.get_majorticklocs(), axis.get_ticklabels(), strict=True)
        if low <= at <= high
    ]


@pytest.mark.parametrize("width", [35, 85, 250])
@pytest.mark.parametrize("scale", [(1e-14, 1.0), (0.2, 7.0), (1.01, 1.09), (3e-7, 4e8), (0.9, 1.1e4)])
def test_ticks_are_round_and_apart(width, scale):
    figure, ax = panel(width)
    ax.set(xscale="log", yscale="log", xlim=scale, ylim=scale[::-1])
    for axis in (ax.xaxis, ax.yaxis):
        plain_ticks(axis)
    assert faults(figure) == []
    for axis in (ax.xaxis, ax.yaxis):
        assert len(shown_ticks(axis)) >= (2 if width > 35 or axis is ax.yaxis else 1)
        assert not any("e" in text or "$" in text for text in shown_ticks(axis))


@pytest.mark.parametrize("last", [1, 2, 7, 99, 4999])
@pytest.mark.parametrize("width", [40, 180])
def test_steps_have_their_first_and_last_tick(last, width):
    figure, ax = panel(width)
    ax.set_xscale("symlog", linthresh=1, linscale=0.35)
    ax.set_xlim(0, last)
    plain_ticks(ax.xaxis, always=(0, last), whole=True)
    drawn(figure)
    texts = shown_ticks(ax.xaxis)
    assert (texts[0], texts[-1]) == ("0", str(last))
    assert all(text.isdecimal() for text in texts)
    assert faults(figure) == []


def test_ticks_of_one_axis_are_written_alike():
    figure, ax = panel(85)
    ax.set(xscale="log", xlim=(1e-6, 2.0))
    plain_ticks(ax.xaxis)
    drawn(figure)
    texts = shown_ticks(ax.xaxis)
    assert "10⁻⁴" in texts and not any(text.startswith("0.") for text in texts)


def test_a_narrow_axis_of_less_than_two_decades_has_1_and_3():
    figure, ax = panel(42)
    ax.set(xscale="log", xlim=(1 / 64, 0.5))
    plain_ticks(ax.xaxis)
    drawn(figure)
    assert shown_ticks(ax.xaxis) in (["0.03", "0.1", "0.3"], ["0.02", "0.05", "0.1", "0.2", "0.5"])


def test_plain_numbers():
    numbers = (0, 0.25, 1e-4, 1e-5, 2.5e-7, 99999, 1e5, -3e12)
    assert [plain_number(x) for x in numbers] == [
        *("0", "0.25", "0.0001", "10⁻⁵", "2.5·10⁻⁷", "99999", "10⁵", "-3·10¹²"),
    ]  # fmt: skip


def names(ax):
    return [text for text in ax.texts if text.get_text()]


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_names_of_lines_stand_at_their_ends(scale):
    figure, ax = panel()
    ax.set_yscale(scale)
    ax.set_ylim(0.1, 10)
    ends = [End(value, f"{value}", "k") for value in (0.2, 2.0, 9.0)]
    name_ends(ax, ends)
    drawn(figure)
    for text, end in zip(names(ax), ends, strict=True):
        box = text.get_window_extent()
        at = ax.transData.transform((0, end.value))[1]
        assert abs((box.y0 + box.y1) / 2 - at) < box.height
        assert box.x0 > ax.get_window_extent().x1


def test_names_that_would_meet_move_apart_in_order():
    figure, ax = panel()
    values = [0.5, 0.50001, 0.49999, 0.0, -3.0, np.nan, np.inf, 1.0]
    name_ends(ax, [End(value, f"line {i}\nof two" if i == 1 else f"line {i}", "k") for i, value in enumerate(values)])
    assert faults(figure) == []
    heights = {text.get_text()[:6]: text.get_window_extent().y0 for text in names(ax)}
    assert heights["line 2"] < heights["line 0"] < heights["line 1"] < heights["line 7"]
    box = ax.get_window_extent()
    for text in names(ax):
        assert box.y0 - 2 < text.get_window_extent().y0
        assert text.get_window_extent().y1 < box.y1 + 2


def test_no_names_are_no_error():
    ax = Figure().subplots()
    name_ends(ax, [])
    assert not ax.texts


@pytest.mark.parametrize("limits", [(0, 1), (0, 0.5), (-3, 2)])
def test_linear_axes_have_ticks(limits):
    ax = Figure(figsize=(3, 2)).add_subplot()
    ax.set_xlim(*limits)
    plain_ticks(ax.xaxis)
    assert len(ax.get_xticks()) >= 2


@pytest.mark.parametrize("width", [5, -5, 501, "85mm", float("nan"), None])
def test_widths_that_no_figure_can_have_are_refused(width):
    with pytest.raises(OptionError, match="60 to 500 millimetres"):
        width_of(None, width)
