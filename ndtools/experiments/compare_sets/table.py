"""Tables of compared sets: what they differ in, and below it the values of each set."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from ndtools.console.measures import NAMES
from ndtools.console.tables import new_table
from ndtools.text import source_name, with_error

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

    from ndtools.experiments.compare_sets.differences import RelativeDifference, Uncertain
    from ndtools.experiments.compare_sets.measures import SetMeasures
    from ndtools.experiments.compare_sets.result import CompareSetsResult, SetDifference
    from ndtools.numerics.sparsity import Estimate

    # Cells of the rows of a result for one quantity.
    Cells = Callable[[CompareSetsResult], Iterator[tuple[str, ...]]]

__all__ = ["compare_sets_tables"]

SPARSITY = ("kurtosis", "near_zero", "ggd_shape")  # measures in the table; the .json file has all
_CORRELATIONS = {"pixel correlation": "neighbours", "channel correlation": "channels"}
_RELATIVE = {"kernels": "kernels", "responses |H|": "responses"}
_ERRORS, _APART = "in errors", "apart"


def compare_sets_tables(members: "Sequence[CompareSetsResult]") -> "Group":
    """Make the tables of one result, or of those for several kernel sizes and ridges.

    Two sets without a name longer than usual have room in 80 columns.

    Parameters
    ----------
    members : sequence of CompareSetsResult
        Results of the same sets.

    Returns
    -------
    rich.console.Group
        A table of the differences of each pair, with how many standard errors they are and whether that is more than
        chance makes; below it one with the values of each set, and then what both mean.
    """
    from rich.console import Group

    first = members[0]
    pairs = ["pair"] * (len(first.differences) > 1)
    change = "difference" if pairs else "A − B"
    differences = _table(members, [*pairs, change, _ERRORS, _APART], _differences(first))
    values = _table(members, [each.name for each in first.sets], _values(first))
    shown = {column.header for column in differences.columns}
    return Group(differences, "", values, *_notes(members, errors=_ERRORS in shown, verdict=_APART in shown))


def _table(members: "Sequence[CompareSetsResult]", columns: Sequence[str], blocks: "dict[str, Cells]") -> "Table":
    """Return a table with a block of rows for each quantity, without columns that nothing is known of."""
    rows: list[tuple[str, ...]] = []
    for name, cells in blocks.items():
        shown = False
        # Correlations depend on no ridge.
        used = members if name not in _CORRELATIONS else _one_of_each_size(members)
        for member in used:
            for i, own in enumerate(cells(member)):
                size = "" if i else str(member.config.kernel_size)
                eps = "" if i else "any" if name in _CORRELATIONS else _eps(member)
                rows.append(("" if shown else name, size, eps, *own))
                shown = True
    headings = ("measure", "k", "eps", *columns)
    several = len({member.config.kernel_size for member in members}) > 1
    known = [any(row[i] not in ("", "-") for row in rows) for i in range(len(headings))]
    kept = [i for i, heading in enumerate(headings) if known[i] and (several or heading != "k")]
    table = new_table(("measure",), [headings[i] for i in kept[1:]], gap=2)
    for row in rows:
        table.add_row(*(row[i] for i in kept))
    return table


def _differences(first: "CompareSetsResult") -> "dict[str, Cells]":
    """Return the rows of differences of each quantity by its name."""
    blocks = {label: _relative(name) for label, name in _RELATIVE.items()}
    if any(each.sparsity for each in first.differences):
        blocks |= {NAMES[name]: _changed_sparsity(name) for name in SPARSITY}
    return blocks | {label: _changed_correlation(name) for label, name in _known(first).items()}


def _values(first: "CompareSetsResult") -> "dict[str, Cells]":
    """Return the rows of values of all sets of each quantity by its name."""
    blocks = {"kernels, centre": _of_sets(_centre)}
    if any(each.after for each in first.sets):
        blocks |= {NAMES[name]: _of_sets(_sparsity(name)) for name in SPARSITY}
    return blocks | {label: _of_sets(_correlation(name)) for label, name in _known(first).items()}


def _known(first: "CompareSetsResult") -> dict[str, str]:
    """Return the correlations that a set has: kernels of one pixel have no neighbours, grey images no channels."""
    return {
        label: name
        for label, name in _CORRELATIONS.items()
        if any(getattr(each.correlations, name).value is not None for each in first.sets)
    }


def _relative(name: str) -> "Cells":
    def cells(member: "CompareSetsResult") -> Iterator[tuple[str, ...]]:
        for each, pair in _pairs(member):
            found: RelativeDifference = getattr(each, name)
            errors = "" if found.in_errors is None else f"{found.in_errors:.1f} (< {found.in_errors_chance:.1f})"
            yield (*pair, str(found), errors, _verdict(found.is_apart, unsure=found.is_unsure))

    return cells


def _changed_sparsity(name: str) -> "Cells":
    def cells(member: "CompareSetsResult") -> Iterator[tuple[str, ...]]:
        for each, pair in _pairs(member):
            found = each.sparsity.get(name)
            apart = None
            if found and found.low is not None and found.high is not None:
                apart = not found.low <= 0 <= found.high
            yield (*pair, _estimate(found) if found else "-", "", _verdict(apart))

    return cells


def _changed_correlation(name: str) -> "Cells":
    def cells(member: "CompareSetsResult") -> Iterator[tuple[str, ...]]:
        for each, pair in _pairs(member):
            found: Uncertain = getattr(each, name)
            errors = ""
            if found.value is not None and found.error:
                errors = f"{abs(found.value) / found.error:.1f} (< {found.limit:.1f})"
            yield (*pair, str(found), errors, _verdict(found.is_apart, unsure=found.is_unsure))

    return cells


def _of_sets(cell: "Callable[[SetMeasures], str]") -> "Cells":
    def cells(member: "CompareSetsResult") -> Iterator[tuple[str, ...]]:
        yield tuple(cell(one) for one in member.sets)

    return cells


def _sparsity(name: str) -> "Callable[[SetMeasures], str]":
    return lambda one: _estimate(one.after.measures[name]) if one.after else "-"


def _correlation(name: str) -> "Callable[[SetMeasures], str]":
    return lambda one: str(getattr(one.correlations, name))


def _centre(one: "SetMeasures") -> str:
    """Return the weight at the centre of the middle channel, which is green."""
    channel, middle = len(one.kernels) // 2, one.kernels.shape[-1] // 2
    return f"{one.kernels[channel, channel, middle, middle]:.3g}"


def _verdict(apart: bool | None, *, unsure: bool = False) -> str:  # noqa: FBT001  # None is unknown
    return "-" if apart is None else "unsure" if unsure else "yes" if apart else "no"


def _pairs(member: "CompareSetsResult") -> "Iterator[tuple[SetDifference, tuple[str, ...]]]":
    """Yield the differences of pairs, each with the cell that names the pair if there are several."""
    for each in member.differences:
        yield each, (" − ".join(each.names),) if len(member.differences) > 1 else ()


def _one_of_each_size(members: "Sequence[CompareSetsResult]") -> "list[CompareSetsResult]":
    return list({member.config.kernel_size: member for member in members}.values())


def _eps(member: "CompareSetsResult") -> str:
    """Return the ridge of a row as it was asked for: each set may have one of its own."""
    if isinstance(member.config.eps, str):
        return member.config.eps
    return f"{member.config.eps:.3g}{' rel' if member.config.relative_eps else ''}"


def _estimate(estimate: "Estimate") -> str:
    """Write a number with its interval, to the second digit of half its width."""
    value, low, high = estimate.value, estimate.low, estimate.high
    if value is None:
        return "-"
    if low is None or high is None or not low < high:
        return f"{value:.3g}"
    decimals = len(with_error(0.0, (high - low) / 2).partition(" ")[0].partition(".")[2])
    return f"{value:.{decimals}f} ({low:.{decimals}f} to {high:.{decimals}f})"


def _notes(members: "Sequence[CompareSetsResult]", *, errors: bool, verdict: bool) -> list[str]:
    """Return the lines below the tables."""
    first = members[0]
    green = len(first.sets[0].kernels) > 1
    lines = [f"{each.name}: {source_name(each.source)}, {each.images.counted}" for each in first.sets]
    several = len({member.config.kernel_size for member in members}) > 1
    for member in members:
        if isinstance(member.config.eps, str):
            size = f", k {member.config.kernel_size}" if several else ""
            ridges = ", ".join(f"{each.name} {each.fit.eps:.3g}" for each in member.sets)
            lines.append(f"eps {member.config.eps}{size}: {ridges}")
    lines.append(
        "kernels, responses: ‖A − B‖ over the mean of ‖A‖ and ‖B‖" + (", ± its standard error" if errors else "")
    )
    lines.append(f"kernels, centre: weight at the centre{' of the kernel from green to green' if green else ''}")
    if errors:
        lines.append("in errors: (A − B)/standard error, root mean square; decides on apart:")
        lines.append("  in brackets is what 95 % of pairs of sets of equal images stay below")
    if verdict and any(each.is_unsure for member in members for pair in member.differences for each in pair.tested):
        lines.append("unsure: other draws of the bootstrap could turn it; take more replicates")
    if any(each.after for each in first.sets):
        rule = (
            ";\n  apart if that of the difference leaves out 0"
            if any(each.sparsity for each in first.differences)
            else ""
        )
        lines.append(f"sparsity: of the deconvolved pixels, with 95 % intervals{rule}")
    unknown = [each.name for each in first.sets if each.from_moments]
    if unknown and first.config.sparsity:
        lines.append(
            f"no sparsity of {' and '.join(unknown)}: moments hold means and products of two pixels,\n  from which"
            " neither kurtosis nor density follows; name the images"
        )
    return lines
