"""The axes of an array of signals or volumes, and its rearrangement to channels first."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ndtools.errors import DataError, OptionError

__all__ = ["ArrayAxes", "axes_of"]

_SIGNAL, _VOLUME = "T", "ZYX"
_EXAMPLES = "as in CT (channels, time) or CZYX (channels and the axes of a volume)"
_MOST_CHANNELS = 1000


@dataclass(frozen=True)
class ArrayAxes:
    """Names of the axes of an array.

    Attributes
    ----------
    letters : str
        Letter of each axis, in their order: T (time), or Z, Y and X (axes of a volume), with C (channels) and N
        (several signals or volumes) where the array has them.

    Raises
    ------
    OptionError
        If the letters are not as above.
    """

    letters: str

    def __post_init__(self) -> None:
        letters, own = self.letters, self.letters.replace("C", "").replace("N", "")
        if len(set(letters)) != len(letters) or sorted(own) not in (sorted(_SIGNAL), sorted(_VOLUME)):
            hint = "; ndtools kernels takes images" if sorted(own) in (["X", "Y"], ["H", "W"]) else ""
            raise OptionError(
                "axes",
                "must be T (time), or Z, Y and X, with C (channels) and N (signals) where the array has them, each once"
                f" and in the order of the array, {_EXAMPLES}, got {letters!r}{hint}",
            )

    @property
    def kept(self) -> str:
        """Axes of patches: "T" or "ZYX"."""
        return _SIGNAL if "T" in self.letters else _VOLUME

    def arranged(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return an array with the axes N, C and those of patches, of which it may lack N and C.

        Parameters
        ----------
        array : array
            Array with as many axes as there are letters.

        Returns
        -------
        array of shape (N, C, T) or (N, C, Z, Y, X)
            A view of the array.

        Raises
        ------
        DataError
            If the shape does not fit the letters. The message is only the reason.
        """
        words = f"an array of shape {array.shape}"
        if array.ndim != len(self.letters):
            raise DataError(f"{words} does not have the axes {self.letters}; check `axes`")
        if 0 in array.shape:
            raise DataError(f"{words} holds no numbers")
        if "C" in self.letters and array.shape[self.letters.index("C")] > _MOST_CHANNELS:
            raise DataError(f"{words} with axes {self.letters} has more than {_MOST_CHANNELS} channels; check `axes`")
        wanted = "NC" + self.kept
        present = [self.letters.index(letter) for letter in wanted if letter in self.letters]
        missing = tuple(place for place, letter in enumerate(wanted) if letter not in self.letters)
        return np.expand_dims(array.transpose(present), missing)


def axes_of(given: str | None, shape: Sequence[int]) -> ArrayAxes:
    """Return the axes of an array, which a user may have named.

    Parameters
    ----------
    given : str or None
        Letters of the axes, or None if they are to be told by the shape.
    shape : sequence of int
        Shape of the array.

    Returns
    -------
    ArrayAxes
        The axes that are given. Otherwise one axis is time, and of two axes the first has the channels.

    Raises
    ------
    DataError
        If no axes are given and the shape does not tell them. The message is only the reason.
    OptionError
        If the letters that are given are no axes.
    """
    if given is not None:
        return ArrayAxes(given)
    if len(shape) == 1:
        return ArrayAxes("T")
    if len(shape) == 2 and shape[0] < shape[1]:  # more channels than samples are an array of the other order
        return ArrayAxes("CT")
    words = f"an array of shape {tuple(shape)}"
    raise DataError(f"{words}: say what its axes are, with `axes`, {_EXAMPLES}")
