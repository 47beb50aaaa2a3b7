"""Colours and line styles that figures share: one for each method and channel, the same in every figure."""

from typing import Any

from matplotlib.colors import LinearSegmentedColormap

__all__ = [
    "ALGORITHMS",
    "ARMS",
    "CHANNELS",
    "CLASSES",
    "CONES",
    "DIVERGING",
    "METHODS",
    "PRIMARIES",
    "SIDES",
    "XYZ",
    "channel_style",
]

# The colours are those of Okabe and Ito (2008), which the colour-blind tell apart. Dash and marker differ too, so that
# lines can be told apart in grey.
BLUE, SKY, GREEN = "#0072b2", "#56b4e9", "#009e73"
ORANGE, VERMILION, PURPLE, GREY, BLACK = "#e69f00", "#d55e00", "#cc79a7", "#777777", "#000000"

METHODS: dict[str, dict[str, Any]] = {
    "none": {"color": GREY, "linestyle": ":", "marker": "s"},
    "bn": {"color": ORANGE, "linestyle": "--", "marker": "^"},
    "deconv": {"color": BLUE, "linestyle": "-", "marker": "o"},
    "optimum": {"color": BLACK, "linestyle": (0, (1, 1)), "marker": ""},
    "published": {"color": BLACK, "linestyle": "", "marker": "D"},
    "reference": {"color": SKY, "linestyle": "-.", "marker": "v"},
}
"""How features are treated before they are learned from: not at all, batch normalisation, deconvolution.

Beside them the optimum, numbers that were published, and the code that was published, where it is measured.
"""

ARMS: dict[str, dict[str, Any]] = {
    "deconv": METHODS["deconv"],
    "deconv-reference": METHODS["reference"],
    "nd++": {"color": "#33d6a0", "linestyle": (0, (8, 2)), "marker": "P"},
    "bn": METHODS["bn"],
    "gn": {"color": "#a62900", "linestyle": (0, (5, 1.5, 1, 1.5)), "marker": "D"},
    "ln": {"color": "#4b0092", "linestyle": (0, (3, 1, 1, 1, 1, 1)), "marker": "X"},
    "none": METHODS["none"],
    "iternorm": {"color": BLACK, "linestyle": (0, (1, 1.2)), "marker": "*"},
    "first-whitened": {"color": ORANGE, "linestyle": "-", "marker": "<"},
}
"""Arms of a comparison of whole networks, by the name of what normalises their layers.

Three colours are not those of Okabe and Ito, which are too few for nine arms that the colour-blind tell apart.
"""

SIDES: dict[str, dict[str, Any]] = {
    "before": {"color": VERMILION, "linestyle": "--"},
    "after": {"color": BLUE, "linestyle": "-"},
}
"""Images before and after deconvolution."""

CLASSES = (
    *(BLUE, ORANGE, "#690000", "#3c00f0", "#006969", "#e1b478", "#000f96", "#7869ff", "#c33c0f", "#3cc3f0"),
    *("#2d2d5a", "#00875a", "#ffe100", "#e1e169", "#2d96a5", "#1e4bb4", "#3ca5ff", "#4b1e2d", "#78ffb4", "#1e963c"),
)
"""Classes of the pixels of a scene, by their number. Those who see no red or no green tell them apart, too.

Each is far from all that come before it, in CIE Lab as any of the three kinds of eyes sees it, and from the greys of
pixels without a class.
"""

ALGORITHMS: dict[str, dict[str, Any]] = {
    "coupled": {"color": BLUE, "marker": "o"},
    "vanilla": {"color": VERMILION, "marker": "^"},
    "chebyshev": {"color": GREEN, "marker": "s"},
    "denman-beavers": {"color": SKY, "marker": "D"},
    "gram": {"color": BLACK, "marker": "v"},
}
"""Iterations for the inverse square root."""

PRIMARIES: dict[str, dict[str, Any]] = {
    "R": {"color": "#c1272d", "linestyle": "-", "marker": "o"},
    "G": {"color": "#2ca25f", "linestyle": "--", "marker": "s"},
    "B": {"color": "#1f4e9c", "linestyle": ":", "marker": "^"},
    "gray": {"color": "0.2", "linestyle": "-", "marker": "D"},
}
"""Colour channels of files, or one channel."""

CONES: dict[str, dict[str, Any]] = {
    "L": {"color": "#a8242a", "linestyle": "-", "marker": "o"},
    "M": {"color": "#5fae3c", "linestyle": "--", "marker": "s"},
    "S": {"color": "#5a36b0", "linestyle": ":", "marker": "^"},
}
"""Signals of cones, in the colours of the light that excites them most."""

XYZ: dict[str, dict[str, Any]] = {
    "X": {"color": ORANGE, "linestyle": "-", "marker": "o"},
    "Y": {"color": "0.4", "linestyle": "--", "marker": "s"},
    "Z": {"color": BLUE, "linestyle": ":", "marker": "^"},
}
"""Channels of CIE XYZ, of which Y is luminance."""

CHANNELS: dict[str, dict[str, Any]] = PRIMARIES | CONES | XYZ
"""Channels of images in all colour spaces, of which one figure has those of one space."""

_OTHER_CHANNELS: list[dict[str, Any]] = [
    {"color": VERMILION, "linestyle": "-", "marker": "o"},
    {"color": GREEN, "linestyle": "--", "marker": "s"},
    {"color": BLUE, "linestyle": ":", "marker": "^"},
]


def channel_style(name: str, position: int = 0) -> dict[str, Any]:
    """Return the colour, dash and marker of a channel, given its name and its position among those that are shown."""
    return CHANNELS.get(name) or _OTHER_CHANNELS[position % len(_OTHER_CHANNELS)]


DIVERGING = LinearSegmentedColormap.from_list(
    "diverging",
    ["#061a3d", "#123f80", "#4f87c0", "#ffffff", "#ffd78f", "#ffa82e", "#f57a00"],
    N=257,  # odd: 0 has a colour of its own
)
"""Dark blue, exactly white at 0, orange: the ends differ in hue for the colour-blind, and in lightness in grey.

Orange stays lighter than blue of the same strength, so that in grey, too, a positive centre differs from its surround.
"""
