"""Names of the ridges of compared sets, which may have one each: by "auto", by "paper", or in units of the variance."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ndtools.drawing.axes import plain_number
from ndtools.drawing.series import plain_eps, rows_of
from ndtools.validation import PAPER_RIDGE

if TYPE_CHECKING:
    from ndtools.experiments.compare_sets.result import CompareSetsResult, SetDifference

__all__ = ["paper_ridge", "pair_ridges", "ridge_name", "ridges_in_words", "shared_ridge"]


def shared_ridge(member: "CompareSetsResult") -> bool:
    """Return whether all sets have the same ridge: it was given as an absolute number."""
    return not isinstance(member.config.eps, str) and not member.config.relative_eps


def ridge_name(member: "CompareSetsResult") -> str:
    """Name the ridge of all sets, as in "eps 0.001", "auto", "paper" or "0.01 rel"."""
    if shared_ridge(member):
        return f"eps {plain_eps(member)}"
    return member.config.eps if isinstance(member.config.eps, str) else f"{plain_number(member.config.eps)} rel"


def pair_ridges(member: "CompareSetsResult", difference: "SetDifference") -> tuple[float, float]:
    """Return the ridges of both sets of a pair, the smaller first."""
    first, second = sorted(each.fit.eps for each in member.sets if each.name in difference.names)
    return first, second


def paper_ridge(members: "Sequence[CompareSetsResult]") -> float | None:
    """Return the paper's ridge of set A, if an axis of the ridges of all sets has room for it; None otherwise."""
    first = members[0].sets[0]
    ridges = [each.fit.eps for member in members for each in member.sets]
    mark = PAPER_RIDGE * first.mean_variance
    low, high = min(ridges), max(ridges)
    if not mark > 0 < low:
        return None
    # It takes no more than a third of the axis.
    reach = (high / low) ** 0.5
    return mark if low / reach <= mark <= high * reach else None


def ridges_in_words(members: "Sequence[CompareSetsResult]") -> str:
    """Name the kernel sizes and the ridges of each set, for captions."""
    rows = rows_of(members)
    lists = ["; ".join(map(_in_words, row)) for row in rows]
    sizes = [f"{row[0].config.kernel_size}×{row[0].config.kernel_size}" for row in rows]
    if len(set(lists)) == 1:
        return f"{' and '.join(sizes)} patches and eps {lists[0]}."
    return f"{' and '.join(sizes)} patches. " + " ".join(
        f"For {size} patches, eps is {ridges}." for size, ridges in zip(sizes, lists, strict=True)
    )


def _in_words(member: "CompareSetsResult") -> str:
    if shared_ridge(member):
        return f"{member.sets[0].fit.eps:.3g}"
    own = ", ".join(
        f"{each.fit.eps:.3g} of {each.name}"
        + ("" if each.fit.relative_eps is None else f" ({each.fit.relative_eps:.2g} of its mean variance)")
        for each in member.sets
    )
    reasons = dict.fromkeys(each.ridge.in_words for each in member.sets if each.ridge)
    return own + (f", {' and '.join(reasons)}" if reasons else "")
