"""Functions that are told how far a computation is: their type, and those of several passes or of steps alone."""

import itertools
from collections.abc import Callable

__all__ = ["Progress", "counter", "of_pass"]

Progress = Callable[[int, int], None]
"""Function that is called with the number of things done (images, bytes, iterations) and the number of all of them.

The latter is 0 as long as it is not known, and grows while images are listed.
"""


def of_pass(progress: Progress | None, number: int, passes: int) -> Progress | None:
    """Return a function that is told the progress of one of several equal passes, from 0, and tells that of all."""
    return (lambda done, total: progress(number * total + done, passes * total)) if progress else None


def counter(progress: Progress | None, total: int, before: int = 0) -> Callable[[], None]:
    """Return a function that is called once for each thing that is done; some were done before."""
    counted = itertools.count(before + 1)

    def done() -> None:
        if progress:
            progress(next(counted), total)

    return done
