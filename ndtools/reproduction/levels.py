"""Levels of items on this machine: which can be run, and how much of each is done."""

from collections.abc import Sequence

from ndtools.reproduction.before import Before
from ndtools.reproduction.item import Item, Level, Setting
from ndtools.reproduction.kept import Kept
from ndtools.runs.config import RunConfig

__all__ = ["Levels"]


class Levels:
    """Levels of all items, the largest first.

    Parameters
    ----------
    items : sequence of Item
        All items that there are.
    setting : Setting
        Surroundings for which the levels are made.
    kept : Kept
        Results of parts.
    before : Before
        State that an earlier call has left.
    """

    def __init__(self, items: Sequence[Item], setting: Setting, kept: Kept, before: Before) -> None:
        self.kept, self._before, self._setting = kept, before, setting
        self.has_gpu = _has_gpu(setting.device)
        self.all = {item.id: list(item.levels(setting)) for item in items}
        self.runnable = {item.id: self._runnable(item) for item in items}

    def _runnable(self, item: Item) -> list[Level]:
        """Return the levels whose data and device are here."""
        return [
            level
            for level in self.all[item.id]
            if not self._setting.places.missing(level.needs) and (level.device != "cuda" or self.has_gpu)
        ]

    def done(self, item: Item) -> Level | None:
        """Return the largest level of an item that can be run here, and is done; None if there is none."""
        return next((level for level in self.runnable[item.id] if all(map(self.kept.is_done, level.parts))), None)

    def candidates(self, item: Item, largest: int) -> list[Level]:
        """Return the levels that a call may choose from, down to the first that is done.

        Parameters
        ----------
        item : Item
            Item to be run.
        largest : int
            Index of the largest level that may be chosen, of those that can be run here.

        Returns
        -------
        list of Level
            At least one. Where runs from elsewhere are parts of some, only these: a smaller level would train another
            network to find out less.
        """
        levels, done = self.runnable[item.id], self.done(item)
        last = len(levels) - 1 if done is None else levels.index(done)
        chosen = levels[min(largest, last) : last + 1]
        return [level for level in chosen if self.taken_up(level)] or chosen

    def shown(self, item: Item) -> Level | None:
        """Return the level that shows what was done before: done, or begun; None if nothing was."""
        levels, done = self.all[item.id], self.done(item)
        # Runs from elsewhere may be parts of a level without its data.
        most = max(levels, key=self.count, default=None)
        if most is not None and self.taken_up(most) and self.count(most) > (self.count(done) if done else 0):
            least = [level for level in levels if self.count(level) == self.count(most)]
            return min(least, key=lambda level: len(level.parts))
        if done:
            return done
        begun = [
            level
            for level in levels
            if any(self.kept.is_done(part) or self.kept.is_begun(part) for part in level.parts)
        ]
        title = self._before.level(item.id)
        return next((level for level in begun if level.title == title), begun[0] if begun else None)

    def taken_up(self, level: Level) -> bool:
        """Return whether training runs from elsewhere are parts of a level."""
        return any(self.kept.taken_up(part) is not None for part in level.parts)

    def trained(self, level: Level) -> bool:
        """Return whether training runs that are parts of a level are done, here or elsewhere."""
        return any(isinstance(part.config, RunConfig) and self.kept.is_done(part) for part in level.parts)

    def count(self, level: Level) -> int:
        """Return the number of parts of a level that are done."""
        return sum(map(self.kept.is_done, level.parts))


def _has_gpu(device: str) -> bool:
    if device not in ("auto", "cuda"):
        return False
    import torch

    return torch.cuda.is_available()
