"""Propositions 1 to 3 and the equivalences: statements that arithmetic decides."""

from collections.abc import Sequence

from ndtools.experiments.check.config import CheckConfig
from ndtools.published.registry import CLAIMS
from ndtools.reproduction.item import Item, Level, Part, Results, Setting
from ndtools.results.reproductions import Grade, Verdict
from ndtools.text import source_name

__all__ = ["EQUIVALENCE", "PROPOSITIONS"]

_VERDICTS: dict[str, Verdict] = {
    "holds": "agrees",
    "holds approximately": "same direction",
    "cannot be decided": "not comparable",
    "does not hold": "disagrees",
}
_OPPOSITE: dict[Verdict, Verdict] = {"agrees": "disagrees", "disagrees": "agrees", "same direction": "disagrees"}
_WORST: tuple[str, ...] = ("does not hold", "cannot be decided", "holds approximately", "holds")


def _level(setting: Setting, *names: str) -> Level:
    return Level(
        title="the built-in photograph, float64",
        parts=tuple(
            Part(name=name, experiment="check", config=CheckConfig((name,), **setting.run), work=0.15) for name in names
        ),
        full=True,
        concludes="Whether both sides of each statement are equal, as far as rounding can tell.",
        not_concluded="Nothing about networks in training, which do not meet the assumptions.",
    )


def _grade(subject: str, result, name: str, comparisons: Sequence | None = None) -> Grade:  # type: ignore[no-untyped-def, type-arg]  # noqa: ANN001
    outcome = result.outcome(name)
    chosen = [each for each in outcome.deciding if comparisons is None or each in comparisons]
    worst = min((each.verdict for each in chosen), key=_WORST.index)
    largest = max(chosen, key=lambda each: each.difference)
    return Grade(
        subject=subject,
        verdict=_VERDICTS[worst],
        measured=float(largest.difference),
        reason=f"The largest relative difference is {largest.difference:.1e} ({largest.name}), where rounding can cause"
        f" {largest.bound:.1e}. {outcome.finding}",
        conditions=f"{source_name(result.source)}, {result.patches:,} patches, {result.features} features, condition"
        f" {result.condition:.3g}, {result.config.dtype}",
    )


def _proposition(number: int, title: str, where: str) -> Item:
    name = f"prop{number}"
    (subject,) = (claim.id for claim in CLAIMS.values() if claim.decided_by == name)
    return Item(
        id=name,
        title=title,
        where=where,
        needs=(),
        subjects=(subject,),
        levels=lambda setting: [_level(setting, name)],
        grade=lambda _, results: [_grade(subject, results[name], name)] if name in results else [],
    )


PROPOSITIONS = (
    _proposition(1, "one step to the optimum", "sec. 3.1, proposition 1"),
    _proposition(2, "whitening is a deconvolution", "sec. 4.3.1, proposition 2"),
    _proposition(3, "near-optimality", "sec. 4.4.2, proposition 3"),
)
"""Propositions 1 to 3."""

_CHANNELS, _BATCH_NORM = "claim/channel-decorrelation", "claim/batch-normalisation"
_FORWARD, _IMPLICIT = "claim/forward-backward", "claim/implicit-deconvolution"
_NATURAL, _WHITENING = "claim/natural-gradient", "claim/report-batch-whitening"


def _grade_equivalences(_: Level, results: Results) -> list[Grade]:
    grades = []
    if "equivalence" in results:
        result = results["equivalence"]
        groups: dict[str, list] = {_FORWARD: [], _IMPLICIT: [], _CHANNELS: []}  # type: ignore[type-arg]
        for each in result.outcome("equivalence").deciding:
            implicit, channels = each.name.startswith("output"), each.name.startswith("k = 1")
            groups[_IMPLICIT if implicit else _CHANNELS if channels else _FORWARD].append(each)
        grades += [_grade(subject, result, "equivalence", group) for subject, group in groups.items() if group]
    if "batch-norm" in results:
        grade = _grade(_BATCH_NORM, results["batch-norm"], "batch-norm")
        grades.append(grade)
        grades.append(
            Grade(
                subject=_WHITENING,
                verdict=_OPPOSITE.get(grade.verdict, grade.verdict),
                measured=grade.measured,
                reason=f"The statement is the contrary of the paper's. {grade.reason}",
                conditions=grade.conditions,
            )
        )
    if "natural-gradient" in results:
        grades.append(_grade(_NATURAL, results["natural-gradient"], "natural-gradient"))
    return grades


EQUIVALENCE = Item(
    id="equivalence",
    title="forward, backward, other methods",
    where="sec. 4.5.1 and 5, and sec. A.7 (A.8 in the second version)",
    needs=(),
    subjects=(_FORWARD, _IMPLICIT, _CHANNELS, _BATCH_NORM, _WHITENING, _NATURAL),
    levels=lambda setting: [_level(setting, "equivalence", "batch-norm", "natural-gradient")],
    grade=_grade_equivalences,
)
"""Equivalences of deconvolution with other methods."""
