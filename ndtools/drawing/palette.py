"""Colours and line styles that figures share."""

from typing import Any

from matplotlib.colors import LinearSegmentedColormap

__all__ = ["CHANNELS", "DIVERGING"]

# One line for each colour channel: distinct by hue, dash and marker, also in grey.
CHANNELS: dict[str, dict[str, Any]] = {
    "R": {"color": "#c1272d", "linestyle": "-", "marker": "o"},
    "G": {"color": "#1b7f3b", "linestyle": "--", "marker": "s"},
    "B": {"color": "#1f4e9c", "linestyle": ":", "marker": "^"},
    "gray": {"color": "0.2", "linestyle": "-", "marker": "o"},
}
# Blue, exactly white at 0, red.
DIVERGING = LinearSegmentedColormap.from_list(
    "diverging",
    ["#053061", "#2166ac", "#67a9cf", "#ffffff", "#ef8a62", "#b2182b", "#67001f"],
    N=257,  # odd: 0 has a colour of its own
)
