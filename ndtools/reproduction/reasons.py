"""Why an item is in its state, and why a number was not decided: each with the remedy."""

from collections.abc import Sequence

from ndtools.reproduction.item import Item, Level
from ndtools.reproduction.places import Place
from ndtools.reproduction.request import Request
from ndtools.reproduction.state import ItemState, ItemWord, PartState
from ndtools.text import duration

__all__ = ["SLACK", "not_run", "reason_of", "together", "word_of"]

SLACK = 1.5
"""Factor by which estimates may be off before the rest of an item is left for another time."""
_COMMAND, _IDS = "ndtools reproduce", "\0"


def word_of(levels: Sequence[Level], runnable: Sequence[Level], parts: Sequence[PartState]) -> ItemWord:
    """Return the state of an item, not all of whose parts are done.

    Parameters
    ----------
    levels, runnable : sequence of Level
        All levels of the item, and those whose data and device are here.
    parts : sequence of PartState
        Parts of the level that is shown.

    Returns
    -------
    str
        "failed", "partly", "can run", "can run reduced", "needs a GPU" or "data missing".
    """
    if any(part.state == "failed" for part in parts):
        return "failed"
    if any(part.state in ("done", "interrupted") for part in parts):
        return "partly"
    if runnable:
        return "can run" if any(level.full for level in runnable) else "can run reduced"
    return "needs a GPU" if levels and all(level.device == "cuda" for level in levels) else "data missing"


def reason_of(
    item: Item,
    levels: Sequence[Level],
    level: Level | None,
    word: ItemWord,
    parts: Sequence[PartState],
    *,
    request: Request,
    has_gpu: bool,
    over: bool,
) -> str | None:
    """Return what is missing for an item, or for a larger level than this, and how to get it.

    Parameters
    ----------
    item : Item
        Item that is not run, or not run in full.
    levels : sequence of Level
        All its levels.
    level : Level or None
        Level that is shown.
    word : str
        State of the item.
    parts : sequence of PartState
        Parts of the level that is shown.
    request : Request
        Request of this call, whose options the commands of the sentence repeat.
    has_gpu : bool
        Whether there is a device of CUDA that may be used.
    over : bool
        Whether no level fits the budget.

    Returns
    -------
    str or None
        Sentence, or None if nothing is missing.
    """
    done = sum(part.state == "done" for part in parts)
    if word == "failed":
        return next(f"{part.name}: {part.reason}" for part in parts if part.state == "failed")
    if over and done < len(parts):
        need = sum(part.estimate for part in parts if part.state != "done")
        what = "What is left of the level" if done else "The quickest level"
        return (
            f"{what} takes about {duration(need)} here, more than the budget has left:"
            f" {request.command(item.id, budget=_budget_for(need))}"
        )
    if level is not None and level.full:
        return None
    if item.lacks is not None:
        return item.lacks
    better = [one for one in levels if one.full] or list(levels[:1])
    missing = request.places.missing(better[0].needs) if better else []
    lacks = [f"{place.name}: {_remedy(place, item, request)}" for place in missing]
    if better and better[0].device == "cuda" and not has_gpu:
        lacks.append("a GPU: run the same command on a machine with CUDA")
    if lacks:
        return f"The published recipe needs {'; and '.join(lacks)}"
    if better and better[0].instead is not None:
        return f"{better[0].instead}; {_remedy(request.places[better[0].needs[0]], item, request)}"
    return None


def _remedy(place: Place, item: Item, request: Request) -> str:
    """Return how to get data that are not here, with the command of a further call that names them."""
    return f"{place.remedy}: {request.command(item.id, **{place.option: place.metavar})}"


def together(states: Sequence[ItemState]) -> list[str]:
    """Return the reasons of items in lines that begin with their IDs; items with the same reason share one.

    Parameters
    ----------
    states : sequence of ItemState
        Items, some of which may have no reason.

    Returns
    -------
    list of str
        Lines such as "fig2, fig3: The published recipe needs ...", whose commands name all of these items.
    """
    reasons: dict[str, list[str]] = {}
    for state in states:
        if state.reason:
            of_any = state.reason.replace(f"{_COMMAND} {state.item.id} ", f"{_COMMAND} {_IDS} ")
            reasons.setdefault(of_any, []).append(state.item.id)
    return [f"{', '.join(names)}: {reason.replace(_IDS, ' '.join(names))}" for reason, names in reasons.items()]


def not_run(state: ItemState, request: Request) -> str:
    """Return why a subject was not decided, and the remedy, whose commands repeat the options of the request."""
    if state.state in ("over the budget", "data missing", "needs a GPU") and state.reason:
        return state.reason
    if state.state == "failed":
        return f"It failed: {state.reason}"
    if state.state not in ("partly", "done"):
        return f"It has not been run yet: {request.command(state.item.id)}"
    full = state.level is not None and state.level.full
    larger = "" if full or state.estimate_full is None else f", which takes about {duration(state.estimate_full)} here"
    where = "at this level" if full else "at this level, but at a larger one"
    missing = f". {state.reason}" if state.reason and not full else ""
    return (
        f"The parts that would decide it are not done {where}{larger}: {request.command(state.item.id, budget='none')}"
        f"{missing}"
    )


def _budget_for(seconds: float) -> str:
    """Return a budget, as the command takes it, that leaves room for an estimate that is too small."""
    minutes = max(1, round(SLACK * seconds / 60 + 0.5))
    return f"{minutes}m" if minutes < 120 else f"{-(-minutes // 60)}h"
