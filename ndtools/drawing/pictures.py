"""Figures of a result with their captions: what commands write and notebooks show."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from ndtools.drawing.style import PAGE

__all__ = ["Picture", "captions", "draw"]


def _always(_: object) -> bool:
    return True


@dataclass(frozen=True)
class Picture:
    """A figure that an experiment draws of its results.

    Attributes
    ----------
    plot : callable
        Function that draws the figure of a result, with the settings ``width`` in millimetres and ``title``.
    caption : callable
        Function that says in words what the figure of a result shows.
    wanted : callable
        Function that returns whether a result has this figure. Default: always.
    """

    plot: Callable[..., Figure]
    caption: Callable[[Any], str]
    wanted: Callable[[Any], bool] = _always


def draw(
    pictures: Mapping[str, Picture], result: object, *, width: float = PAGE, title: bool = True
) -> dict[str, Figure]:
    """Draw the figures of a result.

    Parameters
    ----------
    pictures : mapping of str to Picture
        All figures of the experiment by label: "" for the main one.
    result : object
        Result of that experiment.
    width : float
        Width of the figures in print, millimetres. Default 180.
    title : bool
        Whether the figures have titles. Default True.

    Returns
    -------
    dict of str to Figure
        Figures that the result has, by label.
    """
    return {
        label: picture.plot(result, width=width, title=title)
        for label, picture in pictures.items()
        if picture.wanted(result)
    }


def captions(pictures: Mapping[str, Picture], result: object) -> dict[str, str]:
    """Return the captions of the figures that `draw` draws of a result, by the same labels."""
    return {label: picture.caption(result) for label, picture in pictures.items() if picture.wanted(result)}
