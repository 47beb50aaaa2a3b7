"""What reproduction.json said before a call: the plan that goes on, and when it all began."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ndtools.errors import DataError
from ndtools.reproduction.item import Level

__all__ = ["Before"]


class Before:
    """State of a reproduction before a call.

    Parameters
    ----------
    content : mapping
        Content of reproduction.json; empty if there was none.
    name : str
        Printable path of the file, for messages.

    Raises
    ------
    DataError
        If a value that is needed is of another type, as after a change by hand.
    """

    def __init__(self, content: Mapping[str, Any], name: str) -> None:
        self._content = content
        self._budget, self._items = content.get("budget"), {}
        started = content.get("started")
        damaged = not isinstance(started, str | None) or not _is_time(self._budget)
        for entry in content.get("items", []):
            if isinstance(entry, dict) and isinstance(entry.get("id"), str) and _is_whole(entry):
                self._items[entry["id"]] = entry
            else:
                damaged = True
        if damaged:
            raise DataError(
                f"{name} is damaged: move it away to begin anew (finished results are kept), or choose another `output`"
            )
        self.started: str | None = started

    def level(self, item: str) -> str | None:
        """Return the title of the level that an item had; None if it had none."""
        level = self._items.get(item, {}).get("level")
        return None if level is None else str(level["title"])

    def largest(self, item: str, levels: Sequence[Level], budget: float | None) -> int:
        """Return the level that is the largest to be planned: that of the call before, if it had the same budget.

        Parameters
        ----------
        item : str
            ID of the item.
        levels : sequence of Level
            Levels whose data are here.
        budget : float or None
            Budget of this call.

        Returns
        -------
        int
            Index of the level; 0 if the budget, the data or the levels have changed.
        """
        titles = [level.title for level in levels]
        same = bool(self._content) and self._budget == budget and self._items.get(item, {}).get("runnable") == titles
        title = self.level(item)
        return titles.index(title) if same and title in titles else 0


def _is_time(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value))


def _is_whole(entry: Mapping[str, Any]) -> bool:
    level, runnable = entry.get("level"), entry.get("runnable")
    return isinstance(runnable, list | None) and (
        level is None or (isinstance(level, dict) and isinstance(level.get("title"), str))
    )
