"""Picture of an image and its deconvolution (Ye et al. 2020, fig. 4)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ndtools.drawing.channels import COLOURS, as_colours, shown_channels, shown_in_words
from ndtools.drawing.style import PAGE, add_letters, add_title, drawing_style, is_wide, new_figure, width_of
from ndtools.experiments.deconvolve.levels import brightest
from ndtools.numerics.colour import channel_words, units_in_words
from ndtools.text import in_space, percent, precision_in_words, ridge_in_words, source_name
from ndtools.validation import Space

if TYPE_CHECKING:
    from ndtools.experiments.deconvolve.result import DeconvolveResult
    from ndtools.numerics.sparsity import Distribution

__all__ = ["HIGHEST", "NAMED", "caption_deconvolve", "channels_in_words", "plot_deconvolve", "show"]

HIGHEST = 225.0  # millimetres: a page holds no more
NAMED = 9.0  # millimetres above and below a panel for its letter and its name
TALL, FLAT = 1.1, 0.4  # height by width, above which panels stand side by side, and below which each has a row


def plot_deconvolve(
    result: "DeconvolveResult", *, width: float = PAGE, title: bool = True, fig: Figure | None = None
) -> Figure:
    """Draw the input, its zero-mean magnitude, the deconvolved image (grey is 0), and its magnitude.

    The deconvolved image and both magnitudes are scaled each to the 99.5th percentile of its own magnitude, all
    channels alike: of the magnitudes, what is sparser is darker.

    Parameters
    ----------
    result : DeconvolveResult
        Result of :func:`ndtools.experiments.deconvolve.run.run`.
    width : float
        Width of the figure in print, millimetres. Default 180.
    title : bool
        Whether the figure has a title. Default True.
    fig : Figure, optional
        An empty figure to draw on, which keeps its size. Default: a new one.

    Returns
    -------
    Figure
        With four axes, two in a row; four in a row if the image is tall and the figure 120 mm wide or more, and one
        if it is flat.
    """
    rows, columns = result.pixels.shape[1:]
    stretched = result.config.keep_scale
    panels: tuple[tuple[str, NDArray[np.float32] | NDArray[np.uint8]], ...] = (
        ("input", result.shown),
        ("|input − mean|", _magnitude(as_colours(result.centred[result.places]))),
        ("deconvolved", result.picture()),
        (
            "|deconvolved − mean|" if stretched else "|deconvolved|",
            _magnitude(as_colours(result.deviations[result.places])),
        ),
    )
    with drawing_style():
        width = width_of(fig, width)
        across = 4 if is_wide(width) and rows > TALL * columns else 1 if rows < FLAT * columns else 2
        down = len(panels) // across
        height = down * (width / across * rows / columns + NAMED) + 6.0 * title
        fig = new_figure(fig, width, min(max(height, 16.0 * down), HIGHEST))
        axes = fig.subplots(down, across).ravel()
        for ax, (name, values) in zip(axes, panels, strict=True):
            show(ax, values)
            ax.set_xlabel(name)
        add_letters(axes)
        if title:
            add_title(fig, f"Deconvolution of {source_name(result.source)}{in_space(result.config.space)}")
    return fig


def caption_deconvolve(result: "DeconvolveResult") -> str:
    """Say in words what the figure of :func:`plot_deconvolve` shows."""
    config, k = result.config, result.kernels.shape[-1]
    how = f"the {k}×{k} kernels of {config.from_file}"
    if result.fit:
        method = "" if config.method == "eigh" else f", {config.iterations} {config.method} Newton-Schulz iterations"
        how = (
            f"kernels of its own {k}×{k} patches ({ridge_in_words(result.fit, result.ridge)}{method},"
            f" {precision_in_words(result.fit, ', ')})"
        )
    height, width = result.pixels.shape[1:]
    luma = ", reduced to luma" if result.reduced_to_luma else ""
    border = (
        "the border where no whole patch lies is left out"
        if config.border == "valid"
        else "the image is continued by its mirror image"
    )
    if config.keep_scale:
        third = (
            "(c) Deconvolved image, in which each channel has the mean and standard deviation that it has in the input"
        )
        fourth, scaled = "(d) Its magnitude less its mean", "(b) and (d)"
    else:
        third, fourth, scaled = "(c) Deconvolved image, in which mid-grey is 0", "(d) Its magnitude", "(b) to (d)"
    space = _space(config.space, scaled, "(a) and (c) are" if config.keep_scale else "(a) is")
    panels = "the panels" if result.calibrated else scaled
    return (
        f"{result.source} ({width}×{height} pixels{luma}) and its deconvolution with {how}; {border}."
        f" (a) Input. (b) Magnitude of the pixels less their mean{_words(result.before)}."
        f" {third}. {fourth}{_words(result.after)}."
        f" Each of {panels} is scaled to the 99.5th percentile of its magnitude in all channels, beyond which it is"
        f" clipped.{channels_in_words(config.channels)}{space}"
    )


def channels_in_words(names: Sequence[str]) -> str:
    """Say which channels of an array are which colours of the pictures; empty for photographs."""
    if len(names) < 2:
        return ""
    shown = [names[i] for i in shown_channels(len(names))]
    return f"{shown_in_words(shown, len(names))} {', '.join(shown)} are {', '.join(COLOURS[: len(shown)])}."


def _space(space: Space, scaled: str, kept: str) -> str:
    """Say what the colours of the panels mean in another colour space than sRGB."""
    if space == "srgb":
        return ""
    first, second, third = channel_words(space)
    colours = f" {scaled} have {first}, {second} and {third} as red, green and blue."
    return f" Pixels are {units_in_words(space)}; {kept} shown in sRGB.{colours if first != 'red' else ''}"


def _magnitude(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.minimum(np.abs(values) / np.float32(brightest(values)), 1)


def show(ax: Axes, values: NDArray[np.float32] | NDArray[np.uint8]) -> None:
    """Draw an image of shape (C, H, W), or of levels of shape (H, W) or (H, W, 3), without axes."""
    if values.ndim == 3 and values.dtype != np.uint8:
        values = values[0] if len(values) == 1 else values.transpose(1, 2, 0)
    ax.imshow(values, cmap="gray", interpolation="antialiased", vmin=0, vmax=255 if values.dtype == np.uint8 else 1)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def _words(side: "Distribution") -> str:
    kurtosis, near = side.measures["kurtosis"].value, side.measures["near_zero"].value
    if kurtosis is None or near is None:
        return ""
    return f" (kurtosis {kurtosis:.3g}, {percent(near, digits=2)} of the values within 0.1 standard deviations)"
