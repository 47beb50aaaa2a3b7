"""The questions that a reproduction must answer, answered from what it recorded."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ndtools.data.labelled.catalogue import KNOWN
from ndtools.report.citing import documents_of
from ndtools.report.items import ShownItem
from ndtools.results.read import SavedResult
from ndtools.results.reproductions import SavedReproduction
from ndtools.text import counted, duration

__all__ = ["Answer", "answers", "data_origins"]

_BUILT_IN = {
    "sample": "made in code, with one photograph that matplotlib ships",
    "sample-photo": "a photograph that matplotlib ships",
    "dead-leaves": "made in code",
    "random images": "random numbers",
    "glyphs": "digits made in code, in fonts that matplotlib ships",
}


@dataclass(frozen=True)
class Answer:
    """Answer to one question.

    Attributes
    ----------
    question : str
        Question that a reproduction must answer.
    text : str
        Answer in a sentence or two.
    points : tuple of str
        Points of a list below the sentence.
    """

    question: str
    text: str
    points: tuple[str, ...] = ()


def answers(reproduction: SavedReproduction, items: Sequence[ShownItem]) -> list[Answer]:
    """Answer the questions about a reproduction.

    Parameters
    ----------
    reproduction : SavedReproduction
        State of the reproduction.
    items : sequence of ShownItem
        Its items as the page shows them.

    Returns
    -------
    list of Answer
        Answers in the order of the page.
    """
    subjects = {grade.published.id for item in items for grade in item.grades}
    subjects |= {other.id for item in items for grade in item.grades for other in grade.third_party}
    documents = documents_of(subjects)
    return [
        Answer(
            "Where does the code come from, and under which licence?",
            f"Measured values were computed by ndtools {reproduction.version}, free software under the Apache License"
            " 2.0, and not by the code that was published with the paper.",
        ),
        Answer(
            "Where do the published values come from?",
            "They are copied from these documents:" if documents else "No published value is part of this page.",
            tuple(documents),
        ),
        Answer(
            "Where do the data come from, and under which licence?",
            "Only the user can know the origin of images in folders of their own.",
            tuple(data_origins(items)) or ("No data were read yet.",),
        ),
        _easy(items),
        _difficult(items),
        _changed(items),
        Answer(
            "What did it take?",
            f"The parts that are done took {duration(sum(item.state.seconds or 0 for item in items))} in all."
            + (
                f" The last call had a budget of {duration(reproduction.budget)}."
                if reproduction.budget is not None
                else " There was no budget of time."
            ),
        ),
    ]


def data_origins(items: Sequence[ShownItem]) -> Iterator[str]:
    """Yield a sentence on each data set that was read."""
    names = dict.fromkeys(_name(shown.saved) for item in items for shown in item.results)
    names |= dict.fromkeys(
        str(run.about["data"].get("name")) for item in items for shown in item.runs for run in shown.runs
    )
    for name in names:
        known = KNOWN.get(name)
        if name in _BUILT_IN or name.startswith("sample/"):
            yield f"{name}: built into ndtools, {_BUILT_IN.get(name, _BUILT_IN['sample-photo'])}."
        elif known:
            yield f"{name}: {known.title}; {known.citation}; licence: {known.licence}."
        else:
            yield f"{name}: images from the user's files; ndtools does not know their licence."


def _name(saved: SavedResult) -> str:
    """Return the name of the data of a result: of a known data set its name, not the folder that it lies in."""
    dataset = saved.manifest["config"].get("dataset")
    return str(dataset) if dataset in KNOWN else saved.source


def _easy(items: Sequence[ShownItem]) -> Answer:
    easy = [
        f"{item.state.id}: {item.state.title}"
        for item in items
        if item.state.state == "done"
        and item.state.level
        and item.state.level.full
        and item.grades
        and all(grade.verdict == "agrees" for grade in item.grades)
    ]
    return Answer(
        "What was easy?",
        "These items ran with the published recipe, and all of their values agree:"
        if easy
        else "No item has run with the published recipe and agrees in all values.",
        tuple(easy),
    )


def _difficult(items: Sequence[ShownItem]) -> Answer:
    points = [
        f"{item.state.id}: {item.state.state}{f' ({item.state.reason})' if item.state.reason else ''}"
        for item in items
        if item.state.state in ("data missing", "needs a GPU", "over the budget", "failed")
    ]
    doubts = dict.fromkeys(
        citation.doubt
        for item in items
        for grade in item.grades
        for citation in (grade.published, *grade.third_party)
        if citation.doubt
    )
    points += [f"A published value is in doubt: {doubt}." for doubt in doubts]
    return Answer(
        "What was difficult?",
        "These stood in the way:" if points else "Nothing was missing, failed, or is in doubt.",
        tuple(points),
    )


def _changed(items: Sequence[ShownItem]) -> Answer:
    reduced = [
        f"{item.state.id}: {item.state.level.title}, in place of the published recipe. {item.state.level.not_concluded}"
        for item in items
        if item.state.level and not item.state.level.full and any(part.state == "done" for part in item.state.parts)
    ]
    return Answer(
        "What was changed from the published recipe?",
        f"{counted(len(reduced), 'item')} ran with a smaller recipe, whose values reach at most “same direction”:"
        if reduced
        else "No item that ran had a smaller recipe than the published one.",
        tuple(reduced),
    )
