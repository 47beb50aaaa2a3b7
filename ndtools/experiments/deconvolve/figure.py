"""Picture of an image and its deconvolution (Ye et al. 2020, fig. 4)."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ndtools.numerics.pixels import white
from ndtools.text import ridge_in_words, shortened

if TYPE_CHECKING:
    from ndtools.experiments.deconvolve.result import DeconvolveResult
    from ndtools.numerics.sparsity import Estimate

__all__ = ["plot_deconvolve"]

PANEL = 3.6  # inches: width of a panel
BRIGHTEST = 99.5  # percentile of a magnitude that is shown white: the very largest would leave the rest black


def plot_deconvolve(result: "DeconvolveResult", *, fig: Figure | None = None) -> Figure:
    """Draw the input, its zero-mean magnitude, the deconvolved image (grey is 0), and its magnitude.

    The deconvolved image spans its range (min-max). Both magnitudes are scaled to their own 99.5th percentile, all
    channels alike: what is sparser is darker.

    Parameters
    ----------
    result : DeconvolveResult
        Result of :func:`ndtools.experiments.deconvolve.run.run`.
    fig : Figure, optional
        An empty figure to draw on.

    Returns
    -------
    Figure
        With four axes.
    """
    rows, columns = result.pixels.shape[1:]
    tall = PANEL * min(max(rows / columns, 0.3), 2.5)
    width, height = 4 * PANEL + 1.1, tall + 1.0
    fig = fig or Figure(figsize=(width, height))
    panels: tuple[tuple[str, NDArray[np.float32] | NDArray[np.uint8]], ...] = (
        ("(a) input", result.pixels),
        ("(b) |pixels − mean|, white = 99.5 %" + _words(result.before.measures), _magnitude(result.centred)),
        ("(c) deconvolved, min-max\ngrey = 0", result.picture()),
        ("(d) |deconvolved|, white = 99.5 %" + _words(result.after.measures), _magnitude(result.deconvolved)),
    )
    for i, (title, values) in enumerate(panels):
        left = 0.25 + i * (PANEL + 0.2)
        ax = fig.add_axes((left / width, 0.1 / height, PANEL / width, tall / height))
        _show(ax, values)
        ax.set_title(title, fontsize="small")
        ax.set_axis_off()
    fig.suptitle(_title(result), fontsize="medium", y=1 - 0.1 / height)
    return fig


def _magnitude(values: NDArray[np.float32]) -> NDArray[np.float32]:
    size = np.abs(values)
    scale = float(np.percentile(size, BRIGHTEST)) or float(size.max()) or 1.0
    return np.minimum(size / np.float32(scale), 1)


def _show(ax: Axes, values: NDArray[np.float32] | NDArray[np.uint8]) -> None:
    if values.ndim == 3 and values.dtype != np.uint8:
        values = values[0] if len(values) == 1 else values.transpose(1, 2, 0)
    ax.imshow(values, cmap="gray", interpolation="antialiased", vmin=0, vmax=white(values))


def _words(measures: "dict[str, Estimate]") -> str:
    kurtosis, near = measures["kurtosis"].value, measures["near_zero"].value
    return "" if kurtosis is None or near is None else f"\nkurtosis {kurtosis:.3g}, {near:.0%} within 0.1 σ"


def _title(result: "DeconvolveResult") -> str:
    k, config = result.kernels.shape[-1], result.config
    how = f"{k}×{k} kernels of {config.from_file}"
    if result.fit:
        how = f"{k}×{k} patches of itself, {ridge_in_words(result.fit)}, {config.method}"
    return f"{shortened(result.source)}, deconvolved with {how}; border: {config.border}"
