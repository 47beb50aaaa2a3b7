"""What a printed figure must hold: its texts neither overlap nor leave the page, and are large enough to read."""

import itertools

from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

SLACK = 1.0  # points by which boxes of texts may touch: boxes hold the empty space of ascenders and descenders


def drawn(figure: Figure) -> FigureCanvasAgg:
    """Lay a figure out, as writing it does."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return canvas


def texts(figure: Figure) -> list[Text]:
    """Return all texts of a figure that can be seen, once it is drawn."""
    seen = []
    for text in figure.findobj(Text):
        if text.get_visible() and text.get_text().strip() and text.axes is not None and not text.axes.get_visible():
            continue
        if text.get_visible() and text.get_text().strip():
            seen.append(text)
    hidden = set()
    for axis in figure.findobj(Axis):
        shown = axis.get_visible() and axis.axes.get_visible() and axis.axes.axison
        low, high = sorted(axis.get_view_interval())
        slack = 1e-9 * (high - low)
        for tick in [*axis.majorTicks, *axis.minorTicks]:
            within = shown and tick.get_visible() and low - slack <= tick.get_loc() <= high + slack
            hidden |= set() if within else {tick.label1, tick.label2}
        if not shown:
            hidden |= {axis.label, axis.offsetText}
    return [text for text in seen if text not in hidden]


def smallest_type(figure: Figure) -> float:
    """Return the size of the smallest text, points."""
    return min(text.get_fontsize() for text in texts(figure))


def faults(figure: Figure) -> list[str]:
    """Return what is wrong with the layout of a figure: overlapping texts, texts over other panels or off the page."""
    renderer = drawn(figure).get_renderer()
    slack = SLACK * figure.dpi / 72
    page = figure.bbox
    boxes = [(text, text.get_window_extent(renderer)) for text in texts(figure)]
    boxes = [(text, box) for text, box in boxes if box.width > 0 and box.height > 0]
    wrong = []
    for text, box in boxes:
        if box.x0 < page.x0 - slack or box.y0 < page.y0 - slack or box.x1 > page.x1 + slack or box.y1 > page.y1 + slack:
            wrong.append(f"{text.get_text()!r} leaves the page")
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        if _overlap(a, b, slack):
            wrong.append(f"{one.get_text()!r} overlaps {other.get_text()!r}")
    panels = [ax for ax in figure.axes if ax.get_visible()]
    own = {ax: set(ax.findobj(Text)) for ax in panels}
    for text, box in boxes:
        for ax in panels:
            if text.axes is not ax and text not in own[ax] and _overlap(box, ax.get_window_extent(), slack):
                wrong.append(f"{text.get_text()!r} lies over the panel {ax.get_title() or ax.get_ylabel()!r}")
    for ax in panels:
        if ax.get_label() == "<colorbar>":
            continue  # which is thin, and named so by matplotlib
        if ax.get_window_extent().width < 10 * slack or ax.get_window_extent().height < 10 * slack:
            wrong.append(f"the panel {ax.get_title() or ax.get_ylabel()!r} has no room")
    return wrong


def _overlap(a: Bbox, b: Bbox, slack: float) -> bool:
    return min(a.x1, b.x1) - max(a.x0, b.x0) > slack and min(a.y1, b.y1) - max(a.y0, b.y0) > slack
