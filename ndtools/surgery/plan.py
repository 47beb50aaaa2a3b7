"""What a conversion did with each module of a network."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["Plan", "PlanEntry"]


@dataclass(frozen=True)
class PlanEntry:
    """Result of the conversion for one module.

    Attributes
    ----------
    name : str
        Name of the module in the network, or its first name if it is shared. "" is the network itself.
    was : str
        Type of the module before the conversion.
    became : str
        Type of the module after the conversion; the same if it is kept.
    action : {"converted", "removed", "kept"}
        Action on the module.
    reason : str
        Reason for keeping the module, or further changes to it; may be empty.
    """

    name: str
    was: str
    became: str
    action: Literal["converted", "removed", "kept"]
    reason: str = ""


@dataclass(frozen=True)
class Plan:
    """Result of the conversion for each module that holds parameters or normalises.

    Attributes
    ----------
    entries : tuple of PlanEntry
        Results in the order of the network.
    """

    entries: tuple[PlanEntry, ...]

    @property
    def converted(self) -> int:
        """Number of layers that were converted."""
        return self._count("converted")

    @property
    def removed(self) -> int:
        """Number of batch normalisations that were removed."""
        return self._count("removed")

    @property
    def kept(self) -> int:
        """Number of modules that were not changed."""
        return self._count("kept")

    def _count(self, action: str) -> int:
        return sum(entry.action == action for entry in self.entries)

    def __str__(self) -> str:
        rows = [("name", "was", "became", "action", "")]
        rows += [(e.name or "(model)", e.was, e.became, e.action, e.reason) for e in self.entries]
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        lines = ["  ".join([*map(str.ljust, row[:4], widths), row[4]]).rstrip() for row in rows]
        return "\n".join([*lines, f"{self.converted} converted, {self.removed} removed, {self.kept} kept"])
