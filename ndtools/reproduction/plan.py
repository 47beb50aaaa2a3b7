"""Choice of a level for each item, so that all of them fit a budget."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Choice", "choose"]


@dataclass(frozen=True)
class Choice:
    """Levels that an item may be run at, the largest first, and the seconds that each still takes.

    Attributes
    ----------
    seconds : tuple of float
        Seconds that each level still takes on this machine: those of its parts that are not done. At least one.
    """

    seconds: tuple[float, ...]


def choose(items: Mapping[str, Choice], budget: float | None) -> dict[str, int | None]:
    """Choose a level for each item.

    Every item that fits gets its quickest level, the quickest items first. Then the items that need the least more time
    for a larger level get it, as long as the budget allows.

    Parameters
    ----------
    items : mapping of str to Choice
        Levels of each item, by its ID.
    budget : float or None
        Seconds for all items together; None for the largest level of each.

    Returns
    -------
    dict of str to int or None
        Index of the level of each item; None for an item whose quickest level does not fit.
    """
    if budget is None:
        return dict.fromkeys(items, 0)
    chosen: dict[str, int | None] = dict.fromkeys(items)
    left = budget
    for name in sorted(items, key=lambda name: min(items[name].seconds)):
        least = min(items[name].seconds)  # not always the last: built-in images take longer to make than some to read
        if least <= left:
            chosen[name], left = items[name].seconds.index(least), left - least
    while True:
        more = {name: step for name, at in chosen.items() if at and (step := _larger(items[name].seconds, at, left))}
        if not more:
            return chosen
        name = min(more, key=lambda name: more[name][1])
        chosen[name], left = more[name][0], left - more[name][1]


def _larger(seconds: Sequence[float], at: int, left: float) -> tuple[int, float] | None:
    """Return the next larger level that still fits, and the seconds that it takes more; None if there is none."""
    for level in range(at - 1, -1, -1):
        extra = seconds[level] - seconds[at]
        if extra <= left:
            return level, extra
    return None
