"""Panels and legends fit the width of a figure in print."""

import itertools

import numpy as np
import pytest
from matplotlib.lines import Line2D

from ndtools.drawing.style import add_panels, drawing_style, legend_columns, new_figure, panel_rows, split_figure
from tests.layout import drawn


@pytest.mark.parametrize("width", [60, 85, 180])
@pytest.mark.parametrize(
    "names", [["a"], ["n = 1"] * 6, ["predicted against infinitely many"] * 3, ["15×15, eps 7.6·10⁻⁷"] * 9]
)
def test_a_legend_of_so_many_columns_fits(width, names):
    with drawing_style():
        figure = new_figure(None, width, 60)
        columns = legend_columns(names, width)
        handles = [Line2D([], [], label=name) for name in names]
        legend = figure.legend(handles=handles, loc="outside lower center", ncols=columns)
        renderer = drawn(figure).get_renderer()
    box = legend.get_window_extent(renderer)
    assert columns == 1 or figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1  # noqa: PT018
    rows = -(-len(names) // columns)
    assert columns * (rows - 1) < len(names) <= columns * rows  # no column is empty
    assert -(-len(names) // rows) == columns


@pytest.mark.parametrize(("width", "rows"), [(60, 3), (85, 2), (180, 1)])
@pytest.mark.parametrize("ratios", [(1, 1, 1), (1.2, 1, 0.8), (1, 1)])
def test_panels_are_in_reading_order_and_apart(width, rows, ratios):
    figure = new_figure(None, width, 100)
    panels = add_panels(figure, width, ratios)
    assert (len(panels), panel_rows(width)) == (len(ratios), rows)
    drawn(figure)
    boxes = [ax.get_window_extent() for ax in panels]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    places = [(round(-box.y1 / 20), box.x0) for box in boxes]
    assert places == sorted(places)
    assert len({place[0] for place in places}) == min(rows, len(ratios))


@pytest.mark.parametrize("across", [False, True])
def test_parts_of_a_figure_have_their_shares(across):
    figure = new_figure(None, 100, 100)
    first, second = split_figure(figure, 3, 1, across=across)
    sizes = [part.bbox.width if across else part.bbox.height for part in (first, second)]
    np.testing.assert_allclose(np.divide(*sizes), 3)
    assert (first.bbox.x1 <= second.bbox.x0 + 1) if across else (first.bbox.y0 >= second.bbox.y1 - 1)
