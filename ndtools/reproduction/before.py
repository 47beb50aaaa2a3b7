"""What reproduction.json said before a call: the plan that goes on, and when it all began."""

from collections.abc import Sequence

from ndtools.reproduction.item import Level
from ndtools.results.reproductions import SavedReproduction

__all__ = ["Before"]


class Before:
    """State of a reproduction before a call.

    Parameters
    ----------
    saved : SavedReproduction or None
        Content of reproduction.json; None if there was none.
    """

    def __init__(self, saved: SavedReproduction | None) -> None:
        self._saved = saved
        self._items = {} if saved is None else {item.id: item for item in saved.items}

    @property
    def started(self) -> str | None:
        """Date of the first call; None if there was none."""
        return None if self._saved is None else self._saved.started

    def level(self, item: str) -> str | None:
        """Return the title of the level that an item had; None if it had none."""
        saved = self._items.get(item)
        return None if saved is None or saved.level is None else saved.level.title

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
        saved, titles, title = self._items.get(item), tuple(level.title for level in levels), self.level(item)
        if self._saved is None or saved is None or self._saved.budget != budget or saved.runnable != titles:
            return 0
        return titles.index(title) if title in titles else 0
