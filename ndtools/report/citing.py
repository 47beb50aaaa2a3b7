"""Published numbers and claims in words, as a page sets measured values beside them."""

from dataclasses import dataclass

from ndtools.published.entry import DOCUMENTS, Entry
from ndtools.published.registry import CLAIMS, ENTRIES
from ndtools.published.search import shown_condition
from ndtools.report.numbers import number_in_words

__all__ = ["Citation", "cite", "documents_of", "with_unit"]

_VERSIONS = {"paper-v1": "first version", "paper-v2": "second version"}
_SHORT = {
    "summary": "summary of the paper",
    "report-2021": "report of Southampton (2021)",
    "rescience-2025": "ReScience C (2025)",
}
_NORMS = {"nd": "deconvolution", "bn": "batch normalisation", "none": "no normalisation"}
# Conditions that tell the numbers of one place apart, with the words around their values.
_TELLING = {
    "stage": "{}",
    "arch": "{}",
    "dataset": "{}",
    "norm": "{}",
    "epochs": "{} epochs",
    "epoch": "after epoch {}",
    "batch_size": "batches of {}",
}


@dataclass(frozen=True)
class Citation:
    """Published number or claim in words.

    Attributes
    ----------
    id : str
        ID of the number or claim.
    title : str
        Quantity with what tells it apart, or the statement of a claim.
    where : str
        Document and place.
    value : str or None
        Value with spread and unit, or the quoted words of a claim; None if the ID is unknown.
    unit : str
        Unit of the value; "" for a claim.
    quoted : bool
        Whether the value is words of the source.
    n : int or None
        Number of runs that the document states.
    conditions : str
        Further conditions under which it was published, which the title does not name.
    note, doubt : str or None
        Remark that helps to read it, and reason not to take it at face value.
    """

    id: str
    title: str
    where: str
    value: str | None
    unit: str = ""
    quoted: bool = False
    n: int | None = None
    conditions: str = ""
    note: str | None = None
    doubt: str | None = None


def cite(subject: str) -> Citation:
    """Return a published number or claim in words.

    Parameters
    ----------
    subject : str
        ID of the number or claim.

    Returns
    -------
    Citation
        Number or claim; without a value if this version of ndtools does not know the ID.
    """
    if entry := ENTRIES.get(subject):
        return _number(entry)
    if claim := CLAIMS.get(subject):
        return Citation(
            subject,
            claim.statement,
            _place(claim.documents, claim.where),
            claim.quote,
            quoted=True,
            conditions=", ".join(
                f"{name.replace('_', ' ')} {shown_condition(value)}" for name, value in claim.conditions.items()
            ),
            note=claim.note,
            doubt=claim.doubt,
        )
    return Citation(subject, subject, "unknown to this version of ndtools", None)


def documents_of(subjects: set[str]) -> list[str]:
    """Return the references of all documents that publish any of these numbers and claims."""
    used = {
        document
        for subject in subjects
        if (published := ENTRIES.get(subject) or CLAIMS.get(subject))
        for document in published.documents
    }
    return [title for name, title in DOCUMENTS.items() if name in used]


def with_unit(value: float | None, spread: float | None, unit: str) -> str:
    """Return a value with its standard deviation and unit, as in "93.41 ± 0.12 %" and "0.0123 s"; "-" for none."""
    if value is None:
        return "-"
    text = number_in_words(value, 3) if unit == "s" else number_in_words(value)  # times are not known better
    if spread is not None:
        text += f" ± {number_in_words(spread, 2)}"
    return f"{text} {unit}".strip()


def _number(entry: Entry) -> Citation:
    telling = [
        words.format(_NORMS.get(str(entry.conditions[name]), entry.conditions[name]))
        for name, words in _TELLING.items()
        if name in entry.conditions
    ]
    return Citation(
        entry.id,
        ": ".join(filter(None, [entry.metric, ", ".join(telling)])).replace(" 1 epochs", " 1 epoch"),
        _place(entry.documents, entry.where),
        entry.in_words,
        entry.unit,
        n=entry.n,
        conditions=", ".join(
            f"{name.replace('_', ' ')} {shown_condition(value)}"
            for name, value in entry.conditions.items()
            if name not in _TELLING
        ),
        note=entry.note,
        doubt=entry.doubt,
    )


def _place(documents: tuple[str, ...], where: str) -> str:
    versions = [_VERSIONS[name] for name in documents if name in _VERSIONS]
    others = [_SHORT[name] for name in documents if name not in _VERSIONS]
    paper = [f"paper{f' ({versions[0]})' if len(versions) == 1 else ''}"] if versions else []
    return f"{', '.join([*paper, *others])}: {where}"
