"""Find published numbers and claims by words, and the IDs that are most like a word."""

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

from ndtools.published.claim import Claim
from ndtools.published.entry import Entry
from ndtools.published.registry import CLAIMS, ENTRIES

__all__ = ["nearest_ids", "search", "shown_condition", "unknown_words"]

_ALIKE = 0.7  # least likeness of words of which one may be a misspelt form of the other
_ARMS = {
    "bn": "batch normalisation normalization",
    "nd": "deconvolution",
    "none": "no normalisation normalization",
}


def search(words: Sequence[str], *, document: str | None = None) -> tuple[list[Entry], list[Claim]]:
    """Return the numbers and claims that have all of some words.

    Words are looked for in ID, documents, place, quantity, value, unit, quote, conditions and statement, without regard
    to case. A word is found where one of the text begins with it ("resnet" finds "resnet18"); one that ends in a digit
    is found as a whole only ("20" does not find "2048"). "VGG-16" and "vgg 16" are the same as "vgg16", and "figure" is
    the same as "fig".

    Parameters
    ----------
    words : sequence of str
        Words of which none may be absent. Empty for all numbers and claims.
    document : str, optional
        Name of the document that publishes what is returned, a key of :data:`~ndtools.published.entry.DOCUMENTS`. All
        documents by default.

    Returns
    -------
    tuple of two lists
        Numbers and claims, in the order of the registry.
    """
    patterns = [_pattern(word) for word in _named(words)]

    def found(item: Entry | Claim) -> bool:
        if document is not None and document not in item.documents:
            return False
        text = _text(item)
        return all(pattern.search(text) for pattern in patterns)

    return [entry for entry in ENTRIES.values() if found(entry)], [claim for claim in CLAIMS.values() if found(claim)]


def unknown_words(words: Sequence[str]) -> list[str]:
    """Return those of some words that occur in no number and no claim."""
    texts = [_text(item) for item in _all()]
    return [word for word in _named(words) if not any(map(_pattern(word).search, texts))]


def nearest_ids(words: Sequence[str], *, numbers: bool = True, claims: bool = True) -> list[str]:
    """Return the three IDs that are most like some words.

    Parameters
    ----------
    words : sequence of str
        A mistyped ID, or words of which some may be mistyped.
    numbers : bool
        Whether numbers count. Default True.
    claims : bool
        Whether claims count. Default True.

    Returns
    -------
    list of str
        IDs, the most alike first; fewer or none if the words are like no others.
    """
    lowered = [word.lower() for word in words]

    def likeness(name: str) -> float:
        parts = re.split(r"[/-]", name)
        apart = [max(_ratio(word, part) for part in parts) for word in lowered]
        return max(_ratio("/".join(lowered), name), sum(apart) / len(apart))

    ids = [*(ENTRIES if numbers else ()), *(CLAIMS if claims else ())]
    found = sorted(((likeness(name), name) for name in ids), key=lambda pair: -pair[0])[:3] if lowered else []
    return [name for alike, name in found if alike >= _ALIKE]


def shown_condition(value: object) -> str:
    """Return a condition as people write it: "0.001", "1e-5", "32, 64, 128"."""
    if isinstance(value, list | tuple):
        return ", ".join(map(shown_condition, value))
    return f"{value:g}".replace("e-0", "e-") if isinstance(value, float) else str(value)


def _all() -> list[Entry | Claim]:
    return [*ENTRIES.values(), *CLAIMS.values()]


def _ratio(first: str, second: str) -> float:
    return SequenceMatcher(None, first, second, autojunk=False).ratio()


def _pattern(word: str) -> re.Pattern[str]:
    whole = r"(?![a-z0-9]|\.\d)" if word[-1:].isdigit() else ""
    lowered = "fig" if word.lower() == "figure" else word.lower()
    return re.compile(r"(?<![a-z0-9.])" + re.escape(_joined(lowered)) + whole)


def _text(item: Entry | Claim) -> str:
    """Return all that is searched of a number or claim."""
    conditions = [f"{name} {shown_condition(value)}" for name, value in item.conditions.items()]
    arm = _ARMS.get(str(item.conditions.get("norm")), "")
    parts = [item.id, *item.documents, item.where, item.quote or "", arm, *conditions]
    if isinstance(item, Claim):
        kind, number = re.fullmatch(r"([a-z-]+)(\d*)", item.decided_by).groups()  # type: ignore[union-attr]
        parts += [item.statement, item.decided_by, f"{kind} {number}"]
    else:
        parts += [item.metric, item.unit, f"{item.value:g}", f"{item.value:.2f}", item.in_words]
    return _joined("\n".join(parts).lower())


def _named(words: Sequence[str]) -> list[str]:
    """Return words in which two that are the name of a network or data set are one: "vgg16" for "VGG", "16"."""
    names = {str(value) for item in _all() for value in item.conditions.values()}
    left: list[str] = []
    for word in words:
        name = f"{left[-1]}{word}".lower() if left and word.isdigit() else ""
        if name in names:
            left[-1] = name
        else:
            left.append(word)
    return left


def _joined(text: str) -> str:
    """Return a text with names written as in IDs, "vgg16", where papers write "VGG-16"."""
    return re.sub(r"(?<=[a-z]{2})-(?=\d)", "", text)
