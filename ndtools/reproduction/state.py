"""States of items and parts while they are reproduced, as reproduction.json and the screen show them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ndtools.reproduction.item import Item, Level
from ndtools.results.reproductions import VERDICTS, Grade

__all__ = ["ItemState", "PartState", "failing_first"]

PartWord = Literal["done", "waiting", "running", "interrupted", "failed"]
ItemWord = Literal[
    "done", "partly", "can run", "can run reduced", "data missing", "needs a GPU", "over the budget", "failed"
]


@dataclass(frozen=True, kw_only=True)
class PartState:
    """State of a part.

    Attributes
    ----------
    name, experiment : str
        Name of the part and its experiment.
    address : str or None
        Address of its result; None if its data are absent, or were not needed by now.
    state : str
        "done", "waiting", "running", "interrupted" or "failed".
    estimate : float
        Seconds that it was expected to take on this machine.
    seconds : float or None
        Seconds that it took; None if it is not done.
    result : str or None
        Path of its result or of its training run; None if it is not done.
    command : str
        Command that does the same.
    reason : str or None
        Reason why it failed, how much of an interrupted run is done, or that it was taken up from elsewhere.
    """

    name: str
    experiment: str
    address: str | None
    state: PartWord
    estimate: float
    seconds: float | None = None
    result: str | None = None
    command: str
    reason: str | None = None

    def numbers(self) -> dict[str, Any]:
        """Return the entries of the .json file, in which a part that is running has been interrupted."""
        return asdict(self) | ({"state": "interrupted"} if self.state == "running" else {})


@dataclass(frozen=True, kw_only=True)
class ItemState:
    """State of an item of a reproduction: its level, its parts and their results.

    Attributes
    ----------
    item : Item
        Item whose state this is.
    state : str
        "done"; "partly" done; "can run" by the published recipe, or "can run reduced" by smaller ones alone; "data
        missing"; "needs a GPU"; "over the budget"; or "failed".
    reason : str or None
        Sentence that says what is missing and how to get it.
    level : Level or None
        Level that is run, or was; None if there is none.
    parts : tuple of PartState
        States of the parts of that level.
    grades : tuple of Grade
        A grade for each subject of the item.
    estimate_full : float or None
        Seconds that the published recipe takes on this machine; None if it is not known.
    runnable : tuple of str
        Titles of the levels whose data are here.
    command : str
        Command that runs the item, with the options of this call.
    asked : bool
        Whether this call runs the item. Default False.
    """

    item: Item
    state: ItemWord
    reason: str | None = None
    level: Level | None = None
    parts: tuple[PartState, ...] = ()
    grades: tuple[Grade, ...] = ()
    estimate_full: float | None = None
    runnable: tuple[str, ...] = ()
    command: str
    asked: bool = False

    @property
    def seconds(self) -> float | None:
        """Seconds that the parts which are done took; None if there are none."""
        known = [part.seconds for part in self.parts if part.seconds is not None]
        return sum(known) if known else None

    @property
    def estimate(self) -> float | None:
        """Seconds that all parts of the level were expected to take; None without a level."""
        return sum(part.estimate for part in self.parts) if self.level else None

    def numbers(self) -> dict[str, Any]:
        """Return the entry of the .json file."""
        level = self.level
        return {
            "id": self.item.id,
            "aliases": self.item.aliases,
            "title": self.item.title,
            "where": self.item.where,
            "needs": self.item.needs,
            "state": self.state,
            "reason": self.reason,
            "level": level
            and {
                "title": level.title,
                "full": level.full,
                "concludes": level.concludes,
                "not_concluded": level.not_concluded,
            },
            "runnable": self.runnable,
            "seconds": self.seconds,
            "estimate": self.estimate,
            "estimate_full": self.estimate_full,
            "command": self.command,
            "parts": [part.numbers() for part in self.parts],
            "grades": [grade.numbers() for grade in self.grades],
        }


def failing_first(states: Sequence[ItemState]) -> list[tuple[ItemState, Grade]]:
    """Return the grades of all items, those that disagree first, then as :data:`VERDICTS` has them."""
    graded = [(state, grade) for state in states for grade in state.grades]
    return sorted(graded, key=lambda pair: list(VERDICTS).index(pair[1].verdict))
