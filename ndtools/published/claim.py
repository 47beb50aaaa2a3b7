"""One claim that a document makes in words, and what decides whether it holds."""

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Claim"]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A statement that a document makes in words.

    Attributes
    ----------
    id : str
        Unique name, such as "claim/ns-coupled-stable".
    documents : tuple of str
        Documents that make the claim, keys of :data:`~ndtools.published.entry.DOCUMENTS`.
    where : str
        Place in the first of these documents, such as "sec. 4.5.3".
    quote : str
        Words of the first of these documents, in plain characters. The other documents have a sentence like it.
    statement : str
        Statement that is tested, in plain English.
    decided_by : str
        ID of the item of ``ndtools reproduce`` that tests it, such as "fig7", "prop1" or "table1". Figures have the
        numbers of the second version of the paper.
    conditions : mapping
        Settings that the document states for the claim, by the names that the configurations of ndtools have for them.
        Default: none.
    note : str or None
        Remark that helps to understand the claim.
    doubt : str or None
        Reason why the claim should not be taken at face value.
    """

    id: str
    documents: tuple[str, ...]
    where: str
    quote: str
    statement: str
    decided_by: str
    conditions: Mapping[str, object] = field(default_factory=dict)
    note: str | None = None
    doubt: str | None = None
