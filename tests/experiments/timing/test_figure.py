from dataclasses import replace

import numpy as np
import pytest

from ndtools.drawing.style import COLUMN, PAGE
from ndtools.experiments.timing.config import TimingConfig
from ndtools.experiments.timing.figure import LEAST, PANELS, caption_timing, plot_timing, sorted_rows
from ndtools.experiments.timing.result import LeftOut, RowTiming, TimingResult
from ndtools.experiments.timing.table import TABLE_3
from tests.layout import drawn, faults, smallest_type


def result_of(rows, *, inverse=0.01, **changes):
    stages = {"im2col": 0.3, "covariance": 0.4, "inverse": inverse, "fold": 0.02, "convolution": 0.5}
    measured = {name: np.array([value, value * 1.1, value * 0.9]) for name, value in stages.items()}
    timed = tuple(
        RowTiming(TABLE_3[n - 1], 32.0, measured, {name: values / 2 for name, values in measured.items()}) for n in rows
    )
    result = TimingResult(TimingConfig(rows=tuple(rows)), timed, (), "cpu", "A processor", 2, "2.0")
    return replace(result, **changes)


@pytest.mark.parametrize("rows", [range(1, 23), (7,), (1, 19)])
def test_points_are_the_shares_sorted_by_the_published_sum(rows):
    result = result_of(rows)
    fig = plot_timing(result)
    assert [ax.get_title() for ax in fig.axes] == list(PANELS.values())
    assert fig.axes[0].get_title() == "sum"
    ordered = sorted_rows(result)
    published = [row.shares("published")["total"] for row in ordered]
    assert published == sorted(published, reverse=True)
    assert {row.layer.number for row in ordered} == set(rows)
    for ax, stage in zip(fig.axes, PANELS, strict=True):
        assert ax.get_xscale() == "log"
        lines = [line for line in ax.lines if line.get_marker() not in ("", "None", None)]
        assert len({line.get_marker() for line in lines}) == 3
        low, high = ax.get_xlim()
        for line, arm in zip(lines, ("published", "measured", "ours"), strict=True):
            np.testing.assert_allclose(line.get_xdata(), [row.shares(arm)[stage] for row in ordered])
            np.testing.assert_array_equal(line.get_ydata(), np.arange(len(ordered)))
            assert low < min(line.get_xdata()) <= max(line.get_xdata()) < high
        bottom, top = ax.get_ylim()
        assert bottom > top  # the first row is on top
    drawn(fig)
    decades = [np.diff(np.log10(ax.get_xlim()))[0] / ax.get_position().width for ax in fig.axes[1:]]
    assert np.ptp(decades) < 1e-3 * decades[0]  # one scale


def test_layers_are_named_in_words():
    fig = plot_timing(result_of((2, 16)))
    words = [text.get_text() for text in fig.axes[0].texts]
    for heading in ("row", "image", "channels", "kernel", "stride", "block"):
        assert heading in words
    for said in ("2", "128×128", "64→128", "16", "256×256", "7×7"):
        assert said in words
    named = {text.get_text(): text.xy[1] for text in fig.axes[0].texts}
    assert (named["128×128"], named["7×7"]) == (0, 1)  # in their rows


@pytest.mark.parametrize("inverse", [10.0**power for power in np.linspace(-3, 0, 13)])
def test_every_axis_has_two_labels(inverse):
    """Also of one row, whose points may lie between two powers of ten."""
    for ax in plot_timing(result_of((9,), inverse=inverse)).axes:
        low, high = ax.get_xlim()
        labels = [label.get_text() for label in ax.get_xticklabels() if low <= label.get_position()[0] <= high]
        assert len([label for label in labels if label]) >= 2


def test_no_time_is_drawn_at_the_edge():
    fig = plot_timing(result_of((1, 2), inverse=0.0))
    points = fig.axes[list(PANELS).index("inverse")].lines[-1].get_xdata()
    assert set(points) == {LEAST}


@pytest.mark.parametrize(("rows", "width"), [(range(1, 23), 60), (range(1, 23), PAGE), ((9,), COLUMN), ((2, 3), 120)])
def test_layout(rows, width):
    fig = plot_timing(result_of(rows), width=width)
    assert faults(fig) == []
    assert smallest_type(fig) >= 5.5
    assert fig.get_figwidth() * 25.4 == pytest.approx(width)


def test_title_and_caption():
    result = result_of(range(1, 23), left_out=(LeftOut("T3-7", "is large"),))
    assert plot_timing(result).get_suptitle() == "Cost of the stages of deconvolution layers"
    assert plot_timing(result, title=False).get_suptitle() == ""
    caption = caption_timing(result)
    for said in ("A processor, 2 threads", "29.3 % as published", "batches of 4", "Rows left out: 7."):
        assert said in caption


def test_backward_and_a_gpu_are_told():
    config = TimingConfig(rows=(3,), backward=True)
    words = caption_timing(result_of((3,), config=config, device="cuda"))
    assert "forward and backward (published: forward)" in words
    assert "threads" not in words
