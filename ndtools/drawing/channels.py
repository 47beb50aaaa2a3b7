"""Channels in pictures: which of many are shown, and as which colours."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ndtools.text import listed

__all__ = ["COLOURS", "as_colours", "named_in_words", "shown_channels", "shown_in_words", "weights_in_words"]

COLOURS = ("red", "green", "blue")
"""Colours of the channels of a picture, in order."""
_RGB = ("R", "G", "B")


def shown_channels(count: int) -> list[int]:
    """Return the places of the channels that a figure shows one by one: all, or the first, middle and last of many."""
    return list(range(count)) if count <= len(COLOURS) else [0, count // 2, count - 1]


def as_colours(values: NDArray[Any]) -> NDArray[Any]:
    """Return one or three channels for a picture.

    Parameters
    ----------
    values : array of shape (C, ...)
        Values of one to three channels.

    Returns
    -------
    array of shape (1, ...) or (3, ...)
        The same values; two channels are followed by zeros, so that they are red and green.
    """
    return np.concatenate([values, np.zeros_like(values[:1])]) if len(values) == 2 else values


def weights_in_words(names: Sequence[str]) -> str:
    """Say which weights are which colours of a picture, for inputs of these names, which are two or three."""
    colours = listed(COLOURS[: len(names)])
    inputs = colours if tuple(names) == _RGB else listed(names)
    return f"weights of the {inputs} input, as the {colours} of one picture"


def shown_in_words(names: Sequence[str], count: int) -> str:
    """Say which of so many channels are shown, as the sentence of a caption; empty if all are."""
    if len(names) == count:
        return ""
    return f" Of {count} channels, {listed(names)} are shown: the first, the middle and the last."


def named_in_words(names: Sequence[str], channel: int) -> str:
    """Return the name of a channel in a sentence: "green" for G of R, G and B."""
    return COLOURS[channel] if tuple(names) == _RGB else names[channel]
