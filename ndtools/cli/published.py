"""``ndtools published``: list, search and show what was published."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ndtools.console.options import AsJson
from ndtools.console.output import Output
from ndtools.console.tables import new_table
from ndtools.errors import OptionError

if TYPE_CHECKING:
    from rich.table import Table

    from ndtools.published.claim import Claim
    from ndtools.published.entry import Entry

__all__ = ["published"]

_WIDTH = 80
_LABEL = 12
_FIXED = "\N{NO-BREAK SPACE}"
_KINDS = ("accuracies", "times", "sizes", "others")
_IMAGES = {"test": "on test images", "train": "on training images", "unclear": "on images that are not named"}
_EPOCH = {"last": "of the last epoch", "best": "of the best epoch", "unclear": ""}
_HINTS = """
ndtools published vgg16 cifar10 nd               search: all of these words must occur
ndtools published table1/vgg16/cifar10/nd/20     one number or claim in full, by its ID
ndtools published --document report-2021         all numbers and claims of one document
ndtools published --claims                       all claims made in words
ndtools published --doubtful                     all that is doubtful, and why"""


_ALL = "`numbers` and `claims` list all that there is"


def _ids(incomplete: str) -> list[str]:
    from ndtools.published.registry import CLAIMS, ENTRIES

    return [key for key in (*ENTRIES, *CLAIMS) if key.startswith(incomplete)]


def _documents(incomplete: str) -> list[str]:
    from ndtools.published.entry import DOCUMENTS

    return [name for name in DOCUMENTS if name.startswith(incomplete)]


def published(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="WORDS",
            help="Words that must all occur, or one ID (default: count the numbers and claims of each document).",
            autocompletion=_ids,
        ),
    ] = None,
    *,
    document: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Show only the numbers and claims of this document.", autocompletion=_documents
        ),
    ] = None,
    claims: Annotated[bool, typer.Option("--claims", help="Show only claims made in words.")] = False,
    numbers: Annotated[bool, typer.Option("--numbers", help="Show only numbers.")] = False,
    doubtful: Annotated[bool, typer.Option("--doubtful", help="Show only what is doubtful, with the reasons.")] = False,
    as_json: AsJson = False,
) -> None:
    """List and search the numbers and claims that were published.

    They are those of the paper (both versions), of a summary, of a
    reproducibility report, and of a third party's reproduction. An exact ID
    shows all about one of them: its source, its conditions, reasons for
    doubt, and what other documents have under the same conditions. In IDs, nd
    is network deconvolution, and bn batch normalisation.

    Example: [bold]ndtools published vgg16 cifar10 nd[/bold]
    """
    from ndtools.published.entry import DOCUMENTS

    output = Output(as_json=as_json)
    given = [part for word in words or () for part in word.split()]
    # Both flags together are as none.
    found_numbers, found_claims = _found(given, document, claims=claims or not numbers, numbers=numbers or not claims)
    if doubtful:
        found_numbers, found_claims = _doubted(found_numbers, found_claims)
    output.json(
        {
            "documents": DOCUMENTS,
            "numbers": [_with_others(entry) for entry in found_numbers],
            "claims": [asdict(claim) for claim in found_claims],
        }
    )
    if as_json:
        return
    items: list[Entry | Claim] = [*found_numbers, *found_claims]
    if len(items) == 1 and [items[0].id] == [word.lower() for word in given]:
        _show(items[0], output)
    elif doubtful:
        output.text("\n".join(_doubt_lines(items)))
    elif not (given or document or claims or numbers):
        output.table(_counts())
        output.text("A value that is in both versions of the paper counts for each, and once in the last line.\n")
        output.text("\n".join(line for name in DOCUMENTS for line in _labelled(name, DOCUMENTS[name], 16)))
        output.text(_HINTS)
    else:
        if found_numbers:
            output.table(_numbers_table(found_numbers))
        if found_claims:
            output.text(("\n" if found_numbers else "") + "\n".join(_claim_lines(found_claims)))
        _explain_doubts(items, output)


def _found(
    words: Sequence[str], document: str | None, *, claims: bool, numbers: bool
) -> "tuple[list[Entry], list[Claim]]":
    """Return what was asked for: the one with an ID, or all that have the words."""
    from ndtools.published.entry import DOCUMENTS
    from ndtools.published.registry import CLAIMS, ENTRIES
    from ndtools.published.search import nearest_ids, search, unknown_words

    if document is not None and document not in DOCUMENTS:
        raise OptionError("document", f"must be one of {', '.join(DOCUMENTS)}, got '{document}'")
    found_numbers, found_claims = search(words, document=document)
    name = words[0].lower() if len(words) == 1 else ""
    if name in ENTRIES or name in CLAIMS:  # longer IDs may begin with it
        found_numbers = [entry for entry in found_numbers if entry.id == name]
        found_claims = [claim for claim in found_claims if claim.id == name]
    found_numbers, found_claims = found_numbers if numbers else [], found_claims if claims else []
    if not (found_numbers or found_claims):
        kind = "number or claim" if numbers and claims else "number" if numbers else "claim"
        if not words:
            raise OptionError("document", f"{document} publishes no {kind}")
        unknown = [f"'{word}'" for word in unknown_words(words)] if len(words) > 1 else []
        nowhere = f" ({', '.join(unknown)} occur{'s' if len(unknown) == 1 else ''} nowhere)" if unknown else ""
        nearest = nearest_ids(words, numbers=numbers, claims=claims)
        like = f"the nearest {'IDs are' if len(nearest) > 1 else 'ID is'} {', '.join(nearest)}" if nearest else _ALL
        only = next(
            (option for option in ("claims", "numbers", "doubtful") if [option] == [word.lower() for word in words]),
            None,
        )
        hint = f"all of these are shown by `{only}`" if only else like
        raise OptionError(
            "words",
            f"find nothing: no {kind}{f' of {document}' if document else ''} has {'all of ' * (len(words) > 1)}"
            f"'{' '.join(words)}'{nowhere};"
            f" {hint}",
        )
    return found_numbers, found_claims


def _doubted(numbers: "list[Entry]", claims: "list[Claim]") -> "tuple[list[Entry], list[Claim]]":
    """Return those about which there is a doubt."""
    numbers, claims = [entry for entry in numbers if entry.doubt], [claim for claim in claims if claim.doubt]
    if not (numbers or claims):
        raise OptionError("doubtful", "finds nothing: there is no doubt about any of what is found without it")
    return numbers, claims


def _with_others(entry: "Entry") -> dict[str, Any]:
    from ndtools.published.registry import beside

    return {**asdict(entry), "beside": [other.id for other in beside(entry)]}


def _numbers_table(entries: "Sequence[Entry]") -> "Table":
    table = new_table(("ID",), ("value", "runs", ""), gap=2)
    for entry in entries:
        table.add_row(entry.id, entry.in_words, str(entry.n or "-"), "?" if entry.doubt else "")
    return table


def _claim_lines(claims: "Sequence[Claim]") -> Iterator[str]:
    for claim in claims:
        yield claim.id + (" ?" if claim.doubt else "")
        yield from _wrapped(claim.statement, "    ", 4)


def _doubt_lines(items: "Sequence[Entry | Claim]") -> Iterator[str]:
    """Yield each doubt once, above the numbers and claims that it is about."""
    by_doubt: dict[str, list[Entry | Claim]] = {}
    for item in items:
        by_doubt.setdefault(item.doubt or "", []).append(item)
    for number, (doubt, group) in enumerate(by_doubt.items()):
        if number:
            yield ""
        yield from _wrapped(doubt)
        width = max(len(item.id) for item in group)
        yield from (f"  {item.id.ljust(width)}  {getattr(item, 'in_words', '')}".rstrip() for item in group)


def _counts() -> "Table":
    from ndtools.published.entry import DOCUMENTS
    from ndtools.published.registry import CLAIMS, ENTRIES

    table = new_table(("document",), (*_KINDS, "claims"))
    for name in (*DOCUMENTS, None):
        kinds = Counter(_kind(entry) for entry in ENTRIES.values() if name is None or name in entry.documents)
        n_claims = sum(name is None or name in claim.documents for claim in CLAIMS.values())
        table.add_row(name or "all", *(str(kinds[kind]) for kind in _KINDS), str(n_claims))
    return table


def _kind(entry: "Entry") -> str:
    if entry.metric.startswith("top-"):
        return "accuracies"
    return {"s": "times", "million": "sizes"}.get(entry.unit, "others")


def _labelled(label: str, text: str | None, width: int = _LABEL) -> list[str]:
    """Return lines that begin with a label; none without a text."""
    return _wrapped(text, label.ljust(width), width) if text else []


def _wrapped(text: str, before: str = "", indent: int = 0) -> list[str]:
    return wrap(text, _WIDTH, initial_indent=before, subsequent_indent=" " * indent, break_on_hyphens=False)


def _show(item: "Entry | Claim", output: Output) -> None:
    """Print all about one number or claim."""
    from ndtools.published.claim import Claim
    from ndtools.published.entry import DOCUMENTS
    from ndtools.published.registry import beside
    from ndtools.published.search import shown_condition

    # A setting and its value stay in one line.
    conditions = " · ".join(
        f"{name.replace('_', ' ')} {shown_condition(value)}".replace(" ", _FIXED)
        for name, value in item.conditions.items()
    )
    if isinstance(item, Claim):
        lines = [item.id, "", *_wrapped(item.statement), ""]
        lines += _labelled("decided by", f"{item.decided_by}, an item of ndtools reproduce")
    else:
        lines = [f"{item.id}   {item.in_words}", ""]
        split = _IMAGES.get(str(item.split), "")
        lines += _labelled("measures", " ".join(filter(None, [item.metric, split, _EPOCH[item.selection]])))
        runs = f"{item.n}" + (f": {item.runs_in_words}" if item.runs else "")
        lines += _labelled("runs", runs if item.n else "number not stated")
    for name in item.documents:
        lines += _labelled("document" if name == item.documents[0] else "", f"{name}: {DOCUMENTS[name]}")
    lines += _labelled("where", item.where)
    lines += _labelled("words", f'"{item.quote}"' if item.quote else None)
    lines += _labelled("conditions", conditions)
    lines += _labelled("note", item.note)
    lines += _labelled("doubt", item.doubt)
    output.text("\n".join(lines).replace(_FIXED, " "))
    others = [] if isinstance(item, Claim) else beside(item)
    if others:
        output.text("\nOther documents under the same conditions, as far as both state them:")
        output.table(_numbers_table(others))
        _explain_doubts(others, output)


def _explain_doubts(items: "Sequence[Entry | Claim]", output: Output) -> None:
    if any(item.doubt for item in items):
        output.text("?: doubtful; ndtools published ID says why")
