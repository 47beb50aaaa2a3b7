"""All published numbers and claims by ID, and the numbers that belong to a training run or to one another."""

from collections.abc import Mapping

from ndtools.published.claim import Claim
from ndtools.published.claims.cost import COST
from ndtools.published.claims.images import IMAGES
from ndtools.published.claims.others import OTHERS
from ndtools.published.claims.theory import THEORY
from ndtools.published.claims.training import TRAINING
from ndtools.published.entry import Entry
from ndtools.published.layer_times import LAYER_TIMES
from ndtools.published.paper import PAPER
from ndtools.published.report import REPORT
from ndtools.published.rescience import RESCIENCE
from ndtools.published.running_text import IN_SENTENCES

__all__ = ["CLAIMS", "ENTRIES", "MATCHED", "beside", "matching"]

ENTRIES: dict[str, Entry] = {entry.id: entry for entry in (*PAPER, *LAYER_TIMES, *REPORT, *IN_SENTENCES, *RESCIENCE)}
"""All published numbers by their ID."""

CLAIMS: dict[str, Claim] = {claim.id: claim for claim in (*THEORY, *IMAGES, *TRAINING, *COST, *OTHERS)}
"""All claims in words by their ID."""

MATCHED = ("arch", "dataset", "norm", "epochs", "batch_size")
"""Conditions in which a run must agree with a published number to be compared with it."""


def matching(conditions: Mapping[str, object]) -> list[Entry]:
    """Return the published accuracies whose conditions agree with those of a run.

    Parameters
    ----------
    conditions : mapping
        Conditions of the run, among them all of :data:`MATCHED`; "norm" is "bn", "nd" or "none".

    Returns
    -------
    list of Entry
        Top-1 accuracies that state all of :data:`MATCHED`, with the values of the run, and that were measured
        at the end of training.
    """
    return [
        entry
        for entry in ENTRIES.values()
        if entry.metric == "top-1 accuracy"
        and all(entry.conditions.get(name, _ABSENT) == conditions[name] for name in MATCHED)
        and _at_the_end(entry)
    ]


def beside(entry: Entry) -> list[Entry]:
    """Return the numbers of other documents that stand beside a number.

    Parameters
    ----------
    entry : Entry
        Number of a whole training run: one that states network, data set, normalisation and epochs.

    Returns
    -------
    list of Entry
        Numbers of the same quantity whose conditions contradict those of ``entry`` in none of the settings that both
        state, hardware aside. Empty if ``entry`` is not of a whole training run.
    """
    if not all(name in entry.conditions for name in _WHOLE_RUN) or not _at_the_end(entry):
        return []
    return [
        other
        for other in ENTRIES.values()
        if other.metric == entry.metric
        and set(other.documents).isdisjoint(entry.documents)
        and all(other.conditions.get(name) == entry.conditions[name] for name in _WHOLE_RUN)
        and _at_the_end(other)
        and all(
            other.conditions[name] == value
            for name, value in entry.conditions.items()
            if name in other.conditions and name != "hardware"
        )
    ]


def _at_the_end(entry: Entry) -> bool:
    return entry.conditions.get("epoch", entry.conditions["epochs"]) == entry.conditions["epochs"]


_WHOLE_RUN = ("arch", "dataset", "norm", "epochs")
_ABSENT = object()
