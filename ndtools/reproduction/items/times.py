"""Table 3: times of the stages of a deconvolution layer."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ndtools.experiments.timing.config import TimingConfig
from ndtools.published.registry import ENTRIES
from ndtools.reproduction.chance import beyond, noise_of_times
from ndtools.reproduction.grading import grade_claim, grade_share
from ndtools.reproduction.item import Item, Level, Part, Results, Setting
from ndtools.results.reproductions import Grade
from ndtools.text import counted

__all__ = ["TABLE_3"]

FASTER, FRACTION = "claim/fast-covariance", "claim/fraction-of-convolution"
ENTRIES_3 = {name: entry for name, entry in ENTRIES.items() if name.startswith("table3/")}
_GROUPS = {"rows 1-5": range(1, 6), "rows 6-13": range(6, 14), "rows 14-15": (14, 15), "rows 16-22": range(16, 23)}
_STRIDES = ((1, 14), (2, 15))  # rows with strides 3 and 5 that are otherwise the same


def _levels(setting: Setting) -> list[Level]:
    config = TimingConfig(**setting.run)

    def parts(batch_size: int, work: tuple[float, ...]) -> tuple[Part, ...]:
        return tuple(
            Part(
                name=name,
                experiment="timing",
                config=replace(config, rows=tuple(rows), batch_size=batch_size),
                work=seconds,
            )
            for (name, rows), seconds in zip(_GROUPS.items(), work, strict=False)
        )

    concludes = "Shares of the stages in the time of the convolution on this processor."
    return [
        Level(
            title="published recipe: batches of 128",
            parts=parts(128, (120.0, 140.0, 31.0, 240.0)),
            full=True,
            concludes=concludes,
            not_concluded="Not the seconds of the table, which are those of another processor.",
        ),
        Level(
            title="batches of 16",
            parts=parts(16, (9.2, 9.5, 2.9, 18.0)),
            full=False,
            concludes=concludes,
            not_concluded="Not the shares at 128 images: the inverse costs the same for any number.",
        ),
        Level(
            title="15 of 22 rows, batches of 4",
            parts=parts(4, (3.3, 1.8, 0.85)),
            full=False,
            concludes=concludes,
            not_concluded="Nothing about large kernels, nor about batches of 128.",
        ),
    ]


def _grade(level: Level, results: Results) -> list[Grade]:
    timed = {row.layer.number: row for result in results.values() for row in result.rows}
    first = next(iter(results.values()))
    conditions = (
        f"{len(timed)} of 22 rows, batches of {first.config.batch_size}, {first.processor},"
        f" {counted(first.threads, 'thread')}, torch {first.torch}"
    )
    grades = []
    grades += _grade_times(level, timed, conditions)
    left_out = [row for result in results.values() for row in result.left_out]
    if timed and all(part.name in results for part in level.parts):  # or the rows that are done first would decide
        totals = {number: row.shares("measured")["total"] for number, row in timed.items()}
        published = {number: row.shares("published")["total"] for number, row in timed.items()}
        small = [number for number, total in totals.items() if total < 1]
        middle, stated = (sorted(values.values())[len(values) // 2] for values in (totals, published))
        grades.append(
            grade_claim(
                FRACTION,
                [_below_one(row) for row in timed.values()],
                full=level.full and not left_out,
                measured=middle,
                reason=f"Im2col, covariance and inverse take less time than the convolution in {len(small)} of"
                f" {len(totals)} rows; the median share is {middle:.2f}, by the published times {stated:.2f}.",
                conditions=conditions,
            )
        )
    pairs = [(three, five) for three, five in _STRIDES if three in timed and five in timed]
    if pairs:
        speedups = [
            timed[a].seconds("measured")["covariance"] / timed[b].seconds("measured")["covariance"] for a, b in pairs
        ]
        words = " and ".join(f"{speed:.2g}" for speed in speedups)
        grades.append(
            replace(
                grade_claim(
                    FASTER,
                    [
                        beyond(math.log(speed), noise_of_times(*(timed[row].measured["covariance"] for row in pair)))
                        for speed, pair in zip(speedups, pairs, strict=True)
                    ],
                    full=False,  # a covariance at stride 1 is in no row
                    measured=speedups[0],
                    reason=f"From stride 3 to stride 5 the covariance is {words} times as fast, where 2.8 times fewer"
                    " positions are sampled. No row of the table has stride 1, with which the claim compares.",
                    conditions=conditions,
                )
            )
        )
    elif left_out:
        rows = ", ".join(row.id for row in left_out)
        why = (
            f"Rows {rows} were left out, the first because it {left_out[0].reason}; free some memory and run it again."
        )
        grades.append(Grade(subject=FASTER, verdict="not run", reason=why, conditions=conditions))
    return grades


def _quotients(row: Any, stages: Sequence[str]) -> list[float]:  # noqa: ANN401
    """Return the time of some stages in units of that of the convolution, for each repeat."""
    seconds = row.measured
    return [sum(seconds[stage][i] for stage in stages) / whole for i, whole in enumerate(seconds["convolution"])]


def _below_one(row: Any) -> bool | None:  # noqa: ANN401
    """Return whether patches, covariance and inverse take less time than the convolution; None if chance decides."""
    noise = noise_of_times(_quotients(row, ("im2col", "covariance", "inverse")))
    above = beyond(math.log(row.shares("measured")["total"]), noise)
    return None if above is None else not above


def _grade_times(level: Level, timed: Mapping[int, Any], conditions: str) -> list[Grade]:
    """Grade each published time by its share: of the convolution, and that of the convolution in the row's total."""
    grades = []
    for entry in ENTRIES_3.values():
        number, stage = int(entry.id.split("/")[1]), str(entry.conditions["stage"])
        if number not in timed:
            continue
        row = timed[number]
        here, there = row.shares("measured"), row.shares("published")
        convolution = stage == "convolution"
        shares = (1 / (1 + here["total"]), 1 / (1 + there["total"])) if convolution else (here[stage], there[stage])
        # Seconds for the published number of images; the inverse costs the same for any number.
        seconds = row.seconds("measured")[stage] * (1 if stage == "inverse" else row.scale)
        grade = grade_share(
            entry.id,
            shares[1],
            shares[0],
            full=level.full,
            conditions=conditions,
            what=f"share of the {stage} in the row's total" if convolution else f"{stage} in units of the convolution",
            bound=0.5 if convolution else 1.0,
            noise=noise_of_times(_quotients(row, ("im2col", "covariance", "inverse") if convolution else (stage,))),
        )
        grades.append(replace(grade, measured=seconds))
    return grades


TABLE_3 = Item(
    id="table3",
    title="times of the stages of a layer",
    where="table 3 of both versions",
    needs=(),
    subjects=(FRACTION, FASTER, *ENTRIES_3),
    levels=_levels,
    grade=_grade,
)
"""Table 3."""
