"""Items of a reproduction as a page shows them: grades beside published numbers, pictures, and what fails first."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ndtools.report.citing import Citation, cite, with_unit
from ndtools.report.content import Loader, ShownFile, ShownRuns
from ndtools.report.numbers import number_in_words
from ndtools.results.reproductions import VERDICTS, Grade, SavedItem, SavedReproduction

__all__ = ["Graded", "Group", "ShownItem", "Verdicts", "show_items", "verdicts_of"]

_LISTED_ALONE = 3  # numbers of one item, or grades of one reason; more are one row


@dataclass(frozen=True)
class Graded:
    """Grade beside the published number or claim that it judges.

    Attributes
    ----------
    verdict, reason, conditions : str
        Verdict, the sentence that decided it, and the conditions of the measurement.
    published : Citation
        Published number or claim.
    third_party : tuple of Citation
        Numbers of other documents beside it.
    measured : str
        Measured value with its spread and unit; "-" for none.
    n : str
        Number of runs in words; "-" for none.
    """

    verdict: str
    reason: str
    conditions: str
    published: Citation
    third_party: tuple[Citation, ...]
    measured: str
    n: str


@dataclass(frozen=True)
class ShownItem:
    """Item as a page shows it.

    Attributes
    ----------
    anchor : str
        ID of its place in the page.
    state : SavedItem
        State of the item.
    grades : tuple of Graded
        Grades of its numbers and claims.
    verdicts : str
        Its verdicts, counted, in words.
    results : tuple of ShownFile
        Results that are shown in the section of this item.
    runs : tuple of ShownRuns
        Training runs that are shown in the section of this item.
    elsewhere : tuple of ShownFile and ShownRuns
        Results and runs of this item that the section of an earlier item shows.
    """

    anchor: str
    state: SavedItem
    grades: tuple[Graded, ...]
    verdicts: str
    results: tuple[ShownFile, ...]
    runs: tuple[ShownRuns, ...]
    elsewhere: tuple[ShownFile | ShownRuns, ...]


@dataclass(frozen=True)
class Group:
    """Grades of one item that have one verdict, and share a row of the summary.

    Attributes
    ----------
    item : ShownItem
        Item that they belong to.
    grades : tuple of Graded
        Grades, at least one.
    """

    item: ShownItem
    grades: tuple[Graded, ...]

    @property
    def title(self) -> str:
        """Name of what was graded."""
        first = self.grades[0].published.title
        return first if len(self.grades) == 1 else f"{len(self.grades)} numbers or claims"

    @property
    def reason(self) -> str:
        """Reason that all of them have, or where their reasons are."""
        reasons = {grade.reason for grade in self.grades}
        return self.grades[0].reason if len(reasons) == 1 else "The item has the reason of each."


@dataclass(frozen=True)
class Verdicts:
    """All grades with one verdict.

    Attributes
    ----------
    verdict, meaning : str
        Verdict and its meaning in a sentence.
    count : int
        Number of grades.
    groups : tuple of Group
        Grades by item and reason.
    """

    verdict: str
    meaning: str
    count: int
    groups: tuple[Group, ...]

    @property
    def measured(self) -> bool:
        """Whether a grade that stands alone has a measured number."""
        return any(len(group.grades) == 1 and group.grades[0].measured != "-" for group in self.groups)


def show_items(reproduction: SavedReproduction, loader: Loader, prefix: str) -> list[ShownItem]:
    """Load what the parts of each item have computed.

    Parameters
    ----------
    reproduction : SavedReproduction
        State with the items.
    loader : Loader
        Results and figures of the page, to which those of the items are added.
    prefix : str
        Beginning of the IDs of all places of this reproduction in the page.

    Returns
    -------
    list of ShownItem
        Items in the order of the state.
    """
    return [
        _item(item, reproduction.folder, loader, f"{prefix}item-{number}")
        for number, item in enumerate(reproduction.items, 1)
    ]


def verdicts_of(items: Sequence[ShownItem]) -> list[Verdicts]:
    """Return all grades by verdict, what fails first."""
    return [
        Verdicts(
            verdict,
            meaning,
            sum(grade.verdict == verdict for item in items for grade in item.grades),
            tuple(group for item in items for group in _groups(item, verdict)),
        )
        for verdict, meaning in VERDICTS.items()
    ]


def _item(item: SavedItem, folder: Path, loader: Loader, anchor: str) -> ShownItem:
    before: set[ShownFile | ShownRuns] = {*loader.results, *loader.runs}
    results: list[ShownFile] = []
    runs: list[Path] = []
    for part in item.parts:
        if part.result is None:
            continue
        place = folder / part.result  # an absolute path stays as it is
        if place.is_dir():
            runs.append(place)
        elif part.state == "done" and (shown := loader.result(place)):
            results.append(shown)
    compared = loader.compared(runs)
    grades = tuple(map(_graded, item.grades))
    return ShownItem(
        anchor=anchor,
        state=item,
        grades=grades,
        verdicts=_counted(grades),
        results=tuple(shown for shown in dict.fromkeys(results) if shown not in before),
        runs=tuple(shown for shown in compared if shown not in before),
        elsewhere=tuple(shown for shown in (*dict.fromkeys(results), *compared) if shown in before),
    )


def _graded(grade: Grade) -> Graded:
    published = cite(grade.subject)
    return Graded(
        verdict=grade.verdict,
        reason=grade.reason,
        conditions=grade.conditions,
        published=published,
        third_party=tuple(map(cite, grade.third_party)),
        measured=with_unit(None if published.quoted else grade.measured, grade.spread, published.unit),
        n=number_in_words(grade.n),
    )


def _counted(grades: Sequence[Graded]) -> str:
    counts = Counter(grade.verdict for grade in grades)
    return ", ".join(f"{verdict}: {counts[verdict]}" for verdict in VERDICTS if verdict in counts)


def _groups(item: ShownItem, verdict: str) -> Iterator[Group]:
    """Yield the grades of an item that have a verdict: alone, or together if they are many numbers or have one reason.

    What disagrees is never put together.
    """
    by_reason: dict[str, list[Graded]] = {}
    for grade in item.grades:
        if grade.verdict == verdict:
            by_reason.setdefault(grade.reason, []).append(grade)
    alone = [grades[0] for grades in by_reason.values() if len(grades) == 1 and not grades[0].published.quoted]
    together = tuple(alone) if verdict != "disagrees" and len(alone) > _LISTED_ALONE else ()
    for grades in by_reason.values():
        if verdict != "disagrees" and len(grades) > _LISTED_ALONE:
            yield Group(item, tuple(grades))
        elif not together or grades[0] not in together:
            yield from (Group(item, (grade,)) for grade in grades)
    if together:
        yield Group(item, together)
