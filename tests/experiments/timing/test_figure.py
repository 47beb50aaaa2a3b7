from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from ndtools.experiments.timing.config import TimingConfig
from ndtools.experiments.timing.figure import LEAST, PANELS, plot_timing
from ndtools.experiments.timing.result import RowTiming, TimingResult
from ndtools.experiments.timing.table import TABLE_3


def result_of(rows, *, inverse=0.01, **changes):
    stages = {"im2col": 0.3, "covariance": 0.4, "inverse": inverse, "fold": 0.02, "convolution": 0.5}
    measured = {name: np.array([value, value * 1.1, value * 0.9]) for name, value in stages.items()}
    timed = tuple(
        RowTiming(TABLE_3[n - 1], 32.0, measured, {name: values / 2 for name, values in measured.items()}) for n in rows
    )
    result = TimingResult(TimingConfig(rows=tuple(rows)), timed, (), "cpu", "A processor", 2, "2.0")
    return replace(result, **changes)


@pytest.mark.parametrize("rows", [range(1, 23), (7,), (1, 19)])
def test_points_are_the_shares(rows):
    result = result_of(rows)
    fig = plot_timing(result)
    assert [ax.get_title() for ax in fig.axes] == list(PANELS.values())
    for ax, stage in zip(fig.axes, PANELS, strict=True):
        assert ax.get_xscale() == "log"
        lines = [line for line in ax.lines if line.get_marker() not in ("", "None", None)]
        assert len({line.get_marker() for line in lines}) == 3
        low, high = ax.get_xlim()
        for line, arm in zip(lines, ("published", "measured", "ours"), strict=True):
            np.testing.assert_allclose(line.get_xdata(), [row.shares(arm)[stage] for row in result.rows])
            np.testing.assert_array_equal(line.get_ydata(), np.arange(len(result.rows)))
            assert low < min(line.get_xdata()) <= max(line.get_xdata()) < high
        bottom, top = ax.get_ylim()
        assert bottom > top  # the first row is on top
    names = [label.get_text() for label in fig.axes[0].get_yticklabels()]
    assert names == [f"{TABLE_3[n - 1].label}  {n:>2}" for n in rows]
    decades = [np.diff(np.log10(ax.get_xlim()))[0] / ax.get_position().width for ax in fig.axes]
    assert np.ptp(decades) < 1e-9  # one scale
    assert [text.get_text() for text in fig.legends[0].get_texts()][0].startswith("published")
    assert "A processor, 2 threads" in fig.get_suptitle()


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


def test_nothing_overlaps(tmp_path):
    fig = plot_timing(result_of(range(1, 23)))
    fig.savefig(tmp_path / "a.png", dpi=80)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width == 1000
    inside = fig.bbox
    boxes = [ax.get_tightbbox() for ax in fig.axes]
    for box in boxes:
        assert inside.x0 <= box.x0 < box.x1 <= inside.x1
    for left, right in zip(boxes, boxes[1:], strict=False):
        assert left.x1 < right.x0
    title, legend = fig._suptitle.get_window_extent(), fig.legends[0].get_window_extent()
    assert max(box.y1 for box in boxes) < title.y0 < title.y1 <= inside.y1
    assert legend.y1 < fig._supxlabel.get_window_extent().y0
    assert fig._supxlabel.get_window_extent().y1 < min(box.y0 for box in boxes)


def test_backward_and_a_gpu_are_told():
    config = TimingConfig(rows=(3,), backward=True)
    words = plot_timing(result_of((3,), config=config, device="cuda")).get_suptitle()
    assert "forward and backward (published: forward)" in words
    assert "threads" not in words
