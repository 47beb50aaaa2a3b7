"""Read figures back: what they show, as plain values that can be compared."""

import numpy as np
from matplotlib.collections import Collection
from matplotlib.colors import to_hex
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text


def plain(value):
    """Return an array as nested lists in which NaN equals itself; masked values are None."""
    filled = np.ma.masked_invalid(value) if np.asarray(value).dtype.kind == "f" else np.ma.asarray(value)
    return filled.tolist(), filled.shape


def artist(item):
    """Return what an artist shows, or None if it is of another kind."""
    if isinstance(item, Line2D):
        look = (
            to_hex(item.get_color(), keep_alpha=True),
            item.get_linestyle(),
            item.get_marker(),
            item.get_linewidth(),
            item.get_label(),
        )
        return "line", plain(item.get_xdata()), plain(item.get_ydata()), look
    if isinstance(item, AxesImage):
        return "image", plain(item.get_array()), item.get_clim(), item.get_extent(), item.get_cmap().name
    if isinstance(item, Text):
        return "text", item.get_text(), item.get_position(), item.get_color()
    if isinstance(item, Collection):
        paths = [plain(path.vertices) for path in item.get_paths()]
        values = None if item.get_array() is None else plain(item.get_array())
        return "collection", paths, values, item.get_clim(), plain(item.get_offsets()), plain(item.get_facecolor())
    if isinstance(item, Patch):
        return "patch", plain(item.get_path().vertices), item.get_facecolor(), item.get_edgecolor(), item.get_label()
    return None


def shown(figure):
    """Return the size of a figure and, for each of its axes, limits, scales, ticks and artists."""
    axes = [
        {
            "position": ax.get_position().bounds,
            "limits": (ax.get_xlim(), ax.get_ylim()),
            "scales": (ax.get_xscale(), ax.get_yscale()),
            "ticks": (plain(ax.get_xticks()), plain(ax.get_yticks())),
            "labels": [label.get_text() for label in (*ax.get_xticklabels(), *ax.get_yticklabels())],
        }
        for ax in figure.axes
    ]
    return tuple(figure.get_size_inches()), axes, [content for item in figure.findobj() if (content := artist(item))]
