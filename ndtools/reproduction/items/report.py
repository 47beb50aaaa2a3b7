"""Tables 1 to 4 of the report of 2021: small networks, four networks, deeper ones, and one factor at a time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ndtools.published.entry import Entry
from ndtools.published.registry import ENTRIES
from ndtools.reproduction.grading import grade_claim, grade_share
from ndtools.reproduction.item import Item, Level, Part, Results, Setting
from ndtools.reproduction.items.comparing import ahead, lead, noise_of_steps
from ndtools.reproduction.items.recipes import (
    Cell,
    accuracies,
    conditions_of,
    glyph_level,
    grade_cells,
    part,
)
from ndtools.results.reproductions import Grade

__all__ = ["REPORT_1", "REPORT_2", "REPORT_3", "REPORT_4"]

SIMPLE, CONSISTENT, TIME = "claim/report-simple-networks", "claim/report-consistent", "claim/report-time"
OPTIMISER, LOSS, BLOCK = "claim/report-optimiser", "claim/report-loss", "claim/report-block-size"
SLIGHT = 1.0  # point: the largest difference between block sizes in the report is 0.68
SMALLER_BATCH = 64  # images; the report says only that it is smaller
IMAGES = 5000
_GLYPHS = {"bn": {"norm": "bn"}, "nd": {"norm": "nd"}}
_SEEDS = "Nothing about the spread over seeds: the report has one run of each."


def _entries(table: int) -> dict[str, Entry]:
    return {name: entry for name, entry in ENTRIES.items() if name.startswith(f"report{table}/")}


def _levels(
    setting: Setting,
    make: Callable[..., tuple[Part, ...]],
    sets: tuple[str, ...],
    concludes: str,
    glyphs: Level | None = None,
) -> list[Level]:
    """Return two or three levels: the recipe of the report, one epoch of 5,000 images, and synthetic digits."""
    return [
        Level(
            title="recipe of the report",
            parts=make(setting),
            full=True,
            concludes=concludes,
            not_concluded=_SEEDS,
            needs=sets,
        ),
        Level(
            title=f"{IMAGES:,} images of CIFAR-10, 1 epoch",
            parts=make(setting, epochs=1, images=IMAGES, sets=("cifar10",)),
            full=False,
            concludes="The order of the arms after 39 steps or more.",
            not_concluded=f"No accuracy of the table. {_SEEDS}",
            needs=("cifar10",),
        ),
        *([] if glyphs is None else [glyphs]),
    ]


# Table 1


def _simple(setting: Setting, epochs: int = 20, images: int | None = None, **_: Any) -> tuple[Part, ...]:  # noqa: ANN401
    return tuple(
        part(setting, norm, "cifar10", "simple_cnn", norm, epochs, images=images) for norm in ("none", "bn", "nd")
    )


def _grade_simple(level: Level, results: Results) -> list[Grade]:
    grades = []
    ends: dict[str, Sequence[float]] = {}
    for norm, run in results.items():
        ends[norm] = (float(run.epochs["eval_top1"][0]), accuracies({norm: run})[norm])
        for value, epoch in zip(ends[norm], (1, 20), strict=True):
            entry = ENTRIES[f"report1/{norm}/{epoch}"]
            if run.config["epochs"] != 20 or run.about["data"]["name"] != "cifar10":
                continue
            grades.append(
                Grade(
                    subject=entry.id,
                    verdict="not comparable",
                    measured=value,
                    n=1,
                    reason=f"{value:.2f} %, published {entry.value:.2f} %; the report describes neither the network nor"
                    " the images that were evaluated.",
                    conditions=conditions_of(run) + f"; after epoch {epoch}",
                )
            )
    if {"bn", "nd"} <= set(ends):
        grades.append(
            grade_claim(
                SIMPLE,
                [ahead(nd, bn, results["nd"]) for nd, bn in zip(ends["nd"], ends["bn"], strict=True)],
                full=level.full,
                measured=ends["nd"][1] - ends["bn"][1],
                reason="Deconvolution less batch normalisation: "
                + " and ".join(
                    f"{nd - bn:+.2f} points after the {when} epoch"
                    for when, nd, bn in zip(("first", "last"), ends["nd"], ends["bn"], strict=True)
                )
                + ".",
                conditions=conditions_of(results["nd"]),
            )
        )
    return grades


REPORT_1 = Item(
    id="report1",
    title="simple networks on CIFAR-10",
    where="table 1 of the report of 2021",
    needs=("cifar10",),
    subjects=(SIMPLE, *_entries(1)),
    levels=lambda setting: _levels(
        setting,
        _simple,
        ("cifar10",),
        "The order of convolution, batch normalisation and deconvolution in a small network.",
        glyph_level(setting, "Whether deconvolution is ahead after 31 steps.", **_GLYPHS),
    ),
    grade=_grade_simple,
)
"""Table 1 of the report."""


# Tables 2 and 3

_TABLE_2 = {name: entry for name, entry in _entries(2).items() if entry.metric == "top-1 accuracy"}
_TABLE_3 = {name: entry for name, entry in _entries(3).items() if entry.metric == "top-1 accuracy"}


def _rival(name: str) -> str:
    there = "/nd" if "/bn" in name else "/bn"
    return name.replace("/bn", there) if "/bn" in name else name.replace("/nd", there)


_CELLS = {
    table: [Cell(entry=entry, part=name.partition("/")[2], rival=_rival(name)) for name, entry in entries.items()]
    for table, entries in ((2, _TABLE_2), (3, _TABLE_3))
}


def _maker(entries: Mapping[str, Entry], **settings: Any) -> Callable[..., tuple[Part, ...]]:  # noqa: ANN401
    def make(
        setting: Setting,
        epochs: int | None = None,
        images: int | None = None,
        sets: tuple[str, ...] = ("cifar10", "cifar100"),
    ) -> tuple[Part, ...]:
        parts: dict[Any, Part] = {}
        for name, entry in entries.items():
            asked = entry.conditions
            if asked["dataset"] not in sets:
                continue
            one = part(
                setting,
                name.partition("/")[2],
                str(asked["dataset"]),
                str(asked["arch"]),
                str(asked["norm"]),
                int(str(epochs or asked["epochs"])),
                images=images,
                **settings,
            )
            parts.setdefault(one.config, one)  # one run for cells that a reduced recipe makes equal
        return tuple(parts.values())

    return make


def _grade_networks(table: int, subject: str) -> Callable[[Level, Results], list[Grade]]:
    entries = _entries(table)

    def grade(level: Level, results: Results) -> list[Grade]:
        cells = _CELLS[table]
        grades = grade_cells(level, results, cells)
        values = accuracies(results)
        pairs = [(cell.part, cell.rival.partition("/")[2]) for cell in cells if cell.rival and "/bn" in cell.entry.id]
        done = [(bn, nd) for bn, nd in pairs if bn in values and nd in values]
        if done:
            seconds = {nd: _per_step(results[nd]) / _per_step(results[bn]) for bn, nd in done}
            grades.append(
                grade_claim(
                    subject,
                    [lead(results[nd], results[bn]) for bn, nd in done],
                    full=level.full and len(done) == len(pairs),
                    measured=min(values[nd] - values[bn] for bn, nd in done),
                    reason="Deconvolution less batch normalisation: "
                    + ", ".join(
                        f"{values[nd] - values[bn]:+.2f} points in {seconds[nd]:.2g} times the time ({nd})"
                        for bn, nd in done
                    )
                    + ".",
                    conditions=conditions_of(results[done[0][1]]),
                )
            )
            grades += _grade_seconds(level, results, entries, done)
        return grades

    return grade


def _per_step(run: Any) -> float:  # noqa: ANN401
    return float(run.result["seconds"]) / max(1, int(run.result["steps"]))


def _grade_seconds(
    level: Level, results: Results, entries: Mapping[str, Entry], done: Sequence[tuple[str, str]]
) -> list[Grade]:
    """Grade training times by the ratio of both arms, which the hardware changes less than the seconds."""
    grades: list[Grade] = []
    for bn, nd in done:
        arch = bn.split("/")[0]
        names = {norm: next((n for n in entries if n.endswith(f"{arch}/{norm}/seconds")), None) for norm in _GLYPHS}
        ratio = _per_step(results[nd]) / _per_step(results[bn])
        if names["bn"] is None or names["nd"] is None or any(g.subject == names["nd"] for g in grades):
            continue
        conditions = conditions_of(results[nd])
        published = entries[names["nd"]].value / entries[names["bn"]].value
        what = "time of deconvolution in units of that of batch normalisation"
        settings: dict[str, Any] = {"full": level.full, "conditions": conditions, "what": what}
        settings["noise"] = noise_of_steps(results[nd], results[bn])
        share = grade_share(names["nd"], published, ratio, **settings)
        grades.append(replace(share, measured=float(results[nd].result["seconds"]), n=1))
        grades.append(
            Grade(
                subject=names["bn"],
                verdict="not comparable",
                measured=float(results[bn].result["seconds"]),
                n=1,
                reason="Seconds of another processor; the time of deconvolution is graded in units of this one.",
                conditions=conditions_of(results[bn]),
            )
        )
        if slow := entries.get(f"report3/{arch}/slow-down"):
            grades.append(grade_share(slow.id, slow.value, ratio, **settings))
    return grades


def _networks(table: int, title: str, subject: str, sets: tuple[str, ...], entries: Mapping[str, Entry]) -> Item:
    settings = {"batch_size": SMALLER_BATCH} if table == 3 else {}
    return Item(
        id=f"report{table}",
        title=title,
        where=f"table {table} of the report of 2021",
        needs=sets,
        subjects=(subject, *_entries(table)),
        levels=lambda setting: _levels(
            setting,
            _maker(entries, **settings),
            sets,
            "The accuracies of the table, and how much longer deconvolution takes.",
        ),
        grade=_grade_networks(table, subject),
    )


REPORT_2 = _networks(2, "four networks on CIFAR", CONSISTENT, ("cifar10", "cifar100"), _TABLE_2)
"""Table 2 of the report."""
REPORT_3 = _networks(3, "deeper networks, 10 epochs", TIME, ("cifar10",), _TABLE_3)
"""Table 3 of the report."""


# Table 4

_TABLE_4 = _entries(4)
_ARCHS = tuple(dict.fromkeys(name.split("/")[1] for name in _TABLE_4))
_CHANGES: dict[str, dict[str, Any]] = {
    "base": {},
    "adam": {"opt": "adam"},
    "l2": {"loss": "l2"},
    "block32": {"block_size": 32},
    "block128": {"block_size": 128},
}
_AS_BASE = ("sgd", "ce", "block64")
_RIVALS = {"sgd": "adam", "ce": "l2", "block64": "block128"}


def _factors(setting: Setting, epochs: int = 20, images: int | None = None, **_: Any) -> tuple[Part, ...]:  # noqa: ANN401
    return tuple(
        part(setting, f"{arch}, {change}", "cifar10", arch, "nd", epochs, images=images, **settings)
        for arch in _ARCHS
        for change, settings in _CHANGES.items()
    )


def _part_of(name: str) -> str:
    _, arch, change = name.split("/")
    return f"{arch}, {'base' if change in _AS_BASE else change}"


_FACTOR_CELLS = [
    Cell(
        entry=entry,
        part=_part_of(name),
        rival=f"{name.rpartition('/')[0]}/{_RIVALS.get(name.rpartition('/')[2], 'sgd')}",
    )
    for name, entry in _TABLE_4.items()
]


def _grade_factors(level: Level, results: Results) -> list[Grade]:
    glyphs = "base" in results or "adam" in results
    grades = [] if glyphs else grade_cells(level, results, _FACTOR_CELLS)
    values = accuracies(results)
    networks = [""] if glyphs else [f"{arch}, " for arch in _ARCHS]
    for subject, changes in ((OPTIMISER, ("adam",)), (LOSS, ("l2",)), (BLOCK, ("block32", "block128"))):
        pairs = [
            (f"{network}base", f"{network}{change}")
            for network in networks
            for change in changes
            if f"{network}base" in values and f"{network}{change}" in values
        ]
        if not pairs:
            continue
        differences = [values[base] - values[other] for base, other in pairs]
        slight = subject == BLOCK
        grades.append(
            grade_claim(
                subject,
                [abs(value) <= SLIGHT for value in differences]
                if slight
                else [lead(results[base], results[other]) for base, other in pairs],
                full=level.full and len(pairs) == len(_ARCHS) * len(changes),
                measured=max(map(abs, differences)) if slight else min(differences),
                reason="SGD, cross-entropy and blocks of 64, less "
                + ", ".join(
                    f"{other}: {value:+.2f} points" for (_, other), value in zip(pairs, differences, strict=True)
                )
                + (f"; slight is up to {SLIGHT:g} point." if slight else "."),
                conditions=conditions_of(results[pairs[0][0]]),
            )
        )
    return grades


REPORT_4 = Item(
    id="report4",
    title="one factor at a time, 20 epochs",
    where="table 4 of the report of 2021",
    needs=("cifar10",),
    subjects=(OPTIMISER, LOSS, BLOCK, *_TABLE_4),
    levels=lambda setting: _levels(
        setting,
        _factors,
        ("cifar10",),
        "How optimiser, loss and block size change the accuracy with deconvolution.",
        glyph_level(
            setting,
            "What optimiser and loss change in 31 steps.",  # its layers have fewer channels than a block
            **{change: {"norm": "nd", **_CHANGES[change]} for change in ("base", "adam", "l2")},
        ),
    ),
    grade=_grade_factors,
)
"""Table 4 of the report."""
