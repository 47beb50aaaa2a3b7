"""The type of functions that are told how far a computation is."""

from collections.abc import Callable

__all__ = ["Progress"]

Progress = Callable[[int, int], None]
"""Function that is called with the number of things done (images, bytes, iterations) and the number of all of them.

The latter is 0 as long as it is not known, and grows while images are listed.
"""
