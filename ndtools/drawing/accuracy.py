"""Axis of accuracies that is logarithmic in the error, so that differences near 100 % can be seen."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullLocator
from numpy.typing import NDArray

from ndtools.text import percent

__all__ = ["LEAST_ERROR", "accuracy_axis"]

LEAST_ERROR = 1e-3  # error that is drawn
_ERRORS = (0.9, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)  # labelled as accuracies
_FINE = (*(0.01 * n for n in (90, 80, 60, 40, 30, 8, 6, 4, 3)), *(0.001 * n for n in (8, 6, 4, 3)), *_ERRORS[1:])
_FEW = 3  # labels of which there should be more
_NARROW = 8.0  # range of errors, largest by smallest, within which the fine ones are labelled


def accuracy_axis(
    ax: Axes, errors: NDArray[np.float64], name: str, *, short: bool = False, remark: bool = True
) -> None:
    """Make the vertical axis of a panel one of accuracies, whose lines are drawn as errors.

    Parameters
    ----------
    ax : Axes
        Panel in which all lines are drawn already: errors, from :data:`LEAST_ERROR` to 1.
    errors : array
        Errors that the axis must hold, above 0.
    name : str
        Name of the axis, such as "test accuracy".
    short : bool
        Whether the panel is too low for the name in one line. Default False.
    remark : bool
        Whether the name says that the axis is logarithmic in the error; else the caption should. Default True.
    """
    ax.set_ylabel(f"{name}{chr(10) if short else ' '}(logarithmic in the error)" if remark else name)
    ax.set_yscale("log")  # of the error, upside down
    margin = float(np.clip((errors.max() / errors.min()) ** 0.3, 1.005, 1.4))  # less where all are close
    worst, best = min(margin * errors.max(), 1.0), errors.min() / margin
    ticks = sorted({e for e in (_FINE if worst < _NARROW * best else _ERRORS) if best <= e <= worst})
    if len(ticks) <= _FEW:
        even = MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(100 * (1 - worst), 100 * (1 - best))
        ticks = sorted(1 - even[(even >= 100 * (1 - worst)) & (even <= 100 * (1 - best))] / 100)
    ax.set_yticks(ticks, [percent(1 - error, digits=6) for error in ticks])
    ax.yaxis.set_minor_locator(NullLocator())
    ax.set_ylim(worst, best)
    # No error exceeds 1, so that marks at chance lie next to the frame, which would cut them.
    for line in ax.lines:
        line.set_clip_on(line.get_marker() in ("", "None"))
