"""The axis of accuracies that is logarithmic in the error."""

import numpy as np
import pytest

from ndtools.drawing.accuracy import accuracy_axis
from ndtools.drawing.style import drawing_style, new_figure


@pytest.mark.parametrize("least", [1e-3, 0.05, 0.5])
def test_marks_at_chance_are_whole(least):
    """The axis ends at an error of 1, so near to the 0.9 of ten classes that the frame of a low panel cuts marks."""
    errors = np.array([0.9, least])
    with drawing_style():
        fig = new_figure(None, 85, 40)
        ax = fig.add_subplot()
        for error in errors:
            ax.plot([1, 2], [error, error], marker="o")
        accuracy_axis(ax, errors, "test accuracy")
        fig.canvas.draw()
    radius = ax.lines[0].get_markersize() / 2 * fig.dpi / 72
    lowest = min(ax.transData.transform(line.get_xydata())[:, 1].min() for line in ax.lines)
    assert lowest - radius > ax.bbox.y0 or not any(line.get_clip_on() for line in ax.lines)
    assert ax.bbox.y0 <= lowest  # the mark's centre is within the frame
