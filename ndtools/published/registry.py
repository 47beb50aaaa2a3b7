"""All published numbers, and the search for those that belong to a training run."""

from collections.abc import Mapping

from ndtools.published.entry import Entry
from ndtools.published.paper import PAPER
from ndtools.published.report import REPORT
from ndtools.published.rescience import RESCIENCE

__all__ = ["ENTRIES", "MATCHED", "matching"]

ENTRIES: dict[str, Entry] = {entry.id: entry for entry in (*PAPER, *REPORT, *RESCIENCE)}
"""All published numbers by their ID."""

MATCHED = ("arch", "dataset", "norm", "epochs", "batch_size")
"""Conditions in which a run must agree with a published number to be compared with it."""


def matching(conditions: Mapping[str, object], metric: str = "top-1 accuracy") -> list[Entry]:
    """Return the published numbers whose conditions agree with those of a run.

    Parameters
    ----------
    conditions : mapping
        Conditions of the run, among them all of :data:`MATCHED`; "norm" is "bn", "nd" or "none".
    metric : str
        Quantity that the numbers measure. Default "top-1 accuracy".

    Returns
    -------
    list of Entry
        Numbers of that quantity that state all of :data:`MATCHED`, with the values of the run, and that were measured
        at the end of training.
    """
    return [
        entry
        for entry in ENTRIES.values()
        if entry.metric == metric
        and all(entry.conditions.get(name, _ABSENT) == conditions[name] for name in MATCHED)
        and entry.conditions.get("epoch", entry.conditions["epochs"]) == entry.conditions["epochs"]
    ]


_ABSENT = object()
