"""Table of compared sets: a block for each quantity, with a row for each kernel size and ridge."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from ndtools.console.measures import NAMES
from ndtools.console.tables import new_table
from ndtools.text import percent, source_name

if TYPE_CHECKING:
    from rich.table import Table

    from ndtools.experiments.compare_sets.differences import RelativeDifference, Uncertain
    from ndtools.experiments.compare_sets.measures import SetMeasures
    from ndtools.experiments.compare_sets.result import CompareSetsResult, SetDifference
    from ndtools.numerics.sparsity import Estimate

__all__ = ["compare_sets_table"]

SPARSITY = ("kurtosis", "near_zero", "ggd_shape")  # measures in the table; the .json file has all
_APART = {True: "yes", False: "no", None: "-"}


def compare_sets_table(members: "Sequence[CompareSetsResult]") -> "Table":
    """Make the table of one result, or of those for several kernel sizes and ridges.

    Parameters
    ----------
    members : sequence of CompareSetsResult
        Results of the same sets.

    Returns
    -------
    rich.table.Table
        Rows with the values of all sets, the difference of a pair, what it would be by chance, and whether it is more.
    """
    first = members[0]
    several = len(first.differences) > 1
    table = new_table(
        ("measure",),
        ("k", "eps", *(each.name for each in first.sets), *["pair"] * several)
        + ("difference" if several else "A − B", "by chance", "in errors", "apart"),
        gap=2,
        caption=_notes(first),
    )
    for name, rows in _blocks(first).items():
        shown = False
        # Correlations depend on no ridge.
        used = members if name not in _CORRELATIONS else _one_of_each_size(members)
        for member in used:
            for i, cells in enumerate(rows(member)):
                size = "" if i else str(member.config.kernel_size)
                eps = "" if i else "any" if name in _CORRELATIONS else _eps(member)
                table.add_row("" if shown else name, size, eps, *cells)
                shown = True
    return table


_CORRELATIONS = {"correlation, 1 pixel": "neighbours", "correlation, channels": "channels"}
Rows = Callable[["CompareSetsResult"], Iterator[tuple[str, ...]]]


def _blocks(first: "CompareSetsResult") -> dict[str, Rows]:
    """Return the rows of each block by its name."""
    blocks: dict[str, Rows] = {"kernels": _relative("kernels"), "responses |H|": _relative("responses")}
    if any(each.after for each in first.sets):
        blocks |= {NAMES[name]: _sparsity(name) for name in SPARSITY}
    for label, name in _CORRELATIONS.items():
        if any(getattr(each.correlations, name).value is not None for each in first.sets):
            blocks[label] = _correlation(name)
    return blocks


def _relative(name: str) -> Rows:
    def rows(member: "CompareSetsResult") -> Iterator[tuple[str, ...]]:
        for i, (each, pair) in enumerate(_pairs(member)):
            found: RelativeDifference = getattr(each, name)
            values = [_centre(one) if name == "kernels" and i == 0 else "" for one in member.sets]
            chance = "" if found.chance is None else f"< {percent(found.chance, digits=2)}"
            errors = "" if found.in_errors is None else f"{found.in_errors:.1f} (< {found.in_errors_chance:.1f})"
            yield (*values, *pair, str(found), chance, errors, _APART[found.is_apart])

    return rows


def _sparsity(name: str) -> Rows:
    def rows(member: "CompareSetsResult") -> Iterator[tuple[str, ...]]:
        for i, (each, pair) in enumerate(_pairs(member)):
            values = ["" if i else _estimate(one.after.measures[name]) if one.after else "-" for one in member.sets]
            found = each.sparsity.get(name)
            apart = None
            if found and found.low is not None and found.high is not None:
                apart = not found.low <= 0 <= found.high
            yield (*values, *pair, _estimate(found) if found else "-", "", "", _APART[apart])

    return rows


def _correlation(name: str) -> Rows:
    def rows(member: "CompareSetsResult") -> Iterator[tuple[str, ...]]:
        for i, (each, pair) in enumerate(_pairs(member)):
            values = ["" if i else str(getattr(one.correlations, name)) for one in member.sets]
            found: Uncertain = getattr(each, name)
            errors = f"{abs(found.value) / found.error:.1f}" if found.value is not None and found.error else ""
            yield (*values, *pair, str(found), "", errors, _APART[found.is_apart])

    return rows


def _pairs(member: "CompareSetsResult") -> "Iterator[tuple[SetDifference, tuple[str, ...]]]":
    """Yield the differences of pairs, each with the cell that names the pair if there are several."""
    for each in member.differences:
        yield each, (" − ".join(each.names),) if len(member.differences) > 1 else ()


def _one_of_each_size(members: "Sequence[CompareSetsResult]") -> "list[CompareSetsResult]":
    return list({member.config.kernel_size: member for member in members}.values())


def _centre(one: "SetMeasures") -> str:
    """Return the weight at the centre of the middle channel, which is green."""
    channel, middle = len(one.kernels) // 2, one.kernels.shape[-1] // 2
    return f"{one.kernels[channel, channel, middle, middle]:.3g}"


def _eps(member: "CompareSetsResult") -> str:
    """Return the ridge of a row: absolute, or as each set has it if they differ."""
    unique = dict.fromkeys(f"{each.fit.eps:.3g}" for each in member.sets)
    relative = {each.fit.relative_eps and f"{each.fit.relative_eps:.2g}" for each in member.sets}
    if len(unique) > 1 and len(relative) == 1 and None not in relative:
        return f"{relative.pop()} rel"
    return ", ".join(unique)


def _estimate(estimate: "Estimate") -> str:
    if estimate.value is None:
        return "-"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3g}"
    return f"{estimate.value:.3g} ({estimate.low:.3g} to {estimate.high:.3g})"


def _notes(first: "CompareSetsResult") -> str:
    """Return the lines below the table."""
    channel = "green " * (len(first.sets[0].kernels) > 1)
    lines = [f"{each.name}: {source_name(each.source)}, {each.images.counted}" for each in first.sets]
    lines.append(
        f"kernels, responses: ‖A − B‖ over the mean of ‖A‖ and ‖B‖, ± its standard error; A, B: the {channel}centre"
    )
    if any(each.kernels_error is not None for each in first.sets):
        lines.append(
            "in errors: root mean square of (A − B)/standard error; <: below this in 95 % of sets of equal images"
        )
    if any(each.after for each in first.sets):
        lines.append("sparsity: of the deconvolved pixels, with 95 % intervals")
    unknown = [each.name for each in first.sets if each.from_moments]
    if unknown and first.config.sparsity:
        lines.append(
            f"no sparsity of {' and '.join(unknown)}: moments hold means and products of two pixels, from which neither"
            " kurtosis nor density follows; name the images"
        )
    return "\n".join(lines)
