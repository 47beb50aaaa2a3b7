"""Picture of the input channels of a layer before and after deconvolution (Ye et al. 2020, fig. 11; once fig. 10)."""

import math
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from numpy.typing import NDArray

from ndtools.drawing.style import PAGE, add_letters, add_title, drawing_style, is_wide, new_figure, width_of
from ndtools.text import counted, percent, shortened, source_name

if TYPE_CHECKING:
    from ndtools.experiments.features.result import FeaturesResult

__all__ = ["caption_features", "mosaic", "plot_features"]

_NAMED = 9.0  # millimetres above and below a panel for its letter and its name
_IMAGE = 0.6  # width of the image beside that of the channels
_TALLEST = 32.0  # millimetres of the image above the channels
_GAP = 0.04  # of the side of a channel between channels

_EMPTY = 2.0  # weight of a share of empty places, beside the logarithm of width by height
_TALL = 2.5  # the weight of that logarithm for mosaics that are higher than wide


def plot_features(
    result: "FeaturesResult", *, width: float = PAGE, title: bool = True, fig: Figure | None = None
) -> Figure:
    """Draw the image, the input channels of the layer, and the magnitude of their deconvolution, each from 0 to 1.

    Parameters
    ----------
    result : FeaturesResult
        Result of :func:`ndtools.experiments.features.run.run`.
    width : float
        Width of the figure in print, millimetres. Default 180; below 120 the image stands above the channels.
    title : bool
        Whether the figure has a title. Default True.
    fig : Figure, optional
        An empty figure to draw on, which keeps its size. Default: a new one.

    Returns
    -------
    Figure
        With three axes. Channels are in reading order.
    """
    inputs, outputs = mosaic(result.inputs), mosaic(np.abs(result.outputs))
    image = result.image[0] if len(result.image) == 1 else result.image.transpose(1, 2, 0)
    with drawing_style():
        width = width_of(fig, width)
        wide = is_wide(width)
        ratio = inputs.shape[0] / inputs.shape[1]
        of_image = image.shape[0] / image.shape[1]
        across = width / (2 + _IMAGE) if wide else width / 2
        height = min(across * ratio, 150.0) + _NAMED
        if not wide:
            height += min(across * of_image, _TALLEST) + _NAMED
        fig = new_figure(fig, width, max(height, 30.0) + 6.0 * title)
        if wide:
            grid = GridSpec(1, 3, figure=fig, width_ratios=[_IMAGE, 1, 1])
            places = [grid[0, 0], grid[0, 1], grid[0, 2]]
        else:
            below = min(across * ratio, 150.0)
            grid = GridSpec(2, 2, figure=fig, height_ratios=[min(across * of_image, _TALLEST), below])
            places = [grid[0, :], grid[1, 0], grid[1, 1]]
        axes = [fig.add_subplot(place) for place in places]
        for ax, values, name in zip(axes, (image, inputs, outputs), ("image", "input", "|deconvolved|"), strict=True):
            ax.imshow(values, cmap="gray", interpolation="antialiased", vmin=0, vmax=255 if values is image else 1)
            ax.set_xlabel(name)
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        add_letters(axes)
        if title:
            add_title(fig, f"Input of {shortened(result.layer)} in {result.network}: {source_name(result.source)}")
    return fig


def mosaic(channels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return channels side by side in a square of pictures, each scaled from its least value to its largest.

    Parameters
    ----------
    channels : array of shape (C, H, W)
        Channels in their order.

    Returns
    -------
    array of shape (H', W')
        Values in [0, 1], with white between the pictures. A channel that is constant is black.
    """
    count, height, width = map(int, channels.shape)
    # As many columns as make the whole about square, and leave few places empty.
    square = math.sqrt(count * height / width)

    def misfit(columns: int) -> float:
        empty = -count % columns
        wide = math.log(columns / square)
        return max(wide, -_TALL * wide) + _EMPTY * float(empty / (count + empty))

    columns = min(range(1, count + 1), key=misfit)
    rows = -(-count // columns)
    gap = max(1, round(_GAP * min(height, width)))
    low = channels.min((1, 2), keepdims=True)
    span = channels.max((1, 2), keepdims=True) - low
    scaled = (channels - low) / np.where(span > 0, span, 1)
    picture = np.ones((rows * (height + gap) - gap, columns * (width + gap) - gap), dtype=np.float32)
    for i, channel in enumerate(scaled):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        picture[top : top + height, left : left + width] = channel
    return picture


def caption_features(result: "FeaturesResult") -> str:
    """Say in words what the figure of :func:`plot_features` shows."""
    shown = len(result.inputs)
    channels = counted(result.total, "channel")
    part = f"the first {shown} of {channels}" if shown < result.total else f"all {channels}"
    k = "×".join(map(str, result.kernel))
    if result.own:
        of = f"the covariance of {counted(result.samples, 'patch')}".replace("patchs", "patches") + " of this input"
    else:
        of = "the averages of the layer's training"
    weights = (
        " The network was never trained: its weights are random."
        if result.config.checkpoint is None
        else " No layer has seen a training batch: the weights are those of the checkpoint, and D is that of the image."
    )
    trained = "" if result.trained else weights
    words = "; ".join(f"{label}: {_words(result.measures[name])}" for name, label in _SIDES.items())
    height, width = result.inputs.shape[1:]
    return (
        f"Input of {result.layer} (convolution {result.number}) of {result.network} for {source_name(result.source)},"
        f" before and after deconvolution.{trained} (a) The image, {result.image.shape[2]}×{result.image.shape[1]}"
        f" pixels. (b) Input of the layer, {part} of {width}×{height} pixels. (c) Magnitude of the deconvolved input:"
        f" {k} patches of {counted(result.block, 'channel')} together, {result.features} features, with D from {of}."
        f" Each channel is scaled from its least value to its largest. Over all channels, {words}."
    )


_SIDES = {
    "input": "input about 0",
    "centred": "input about the mean of each channel",
    "deconvolved": "deconvolved input",
}


def _words(measures: dict[str, float | None]) -> str:
    kurtosis, near = measures["kurtosis"], measures["near_zero"]
    if kurtosis is None or near is None:
        return "constant"
    return f"kurtosis {kurtosis:.3g}, {percent(near, digits=2)} within 0.1 standard deviations"
