"""Table 1: ten networks on CIFAR-10 and CIFAR-100, with batch normalisation and with deconvolution."""

from statistics import median

from ndtools.published.paper import TABLE_1_NETWORKS
from ndtools.published.registry import ENTRIES
from ndtools.reproduction.grading import POINTS, grade_claim
from ndtools.reproduction.item import Item, Level, Part, Results, Setting
from ndtools.reproduction.items.comparing import lead
from ndtools.reproduction.items.recipes import Cell, accuracies, conditions_of, glyph_level, grade_cells, part
from ndtools.results.reproductions import Grade
from ndtools.text import counted

__all__ = ["TABLE_1"]

EVERY, FIRST, TWENTY = "claim/every-network", "claim/first-epoch", "claim/twenty-epochs"
NO_BATCH_NORM, FEW = "claim/no-batch-normalisation", "claim/few-iterations"
WIDE = 3.37  # points: the least lead after one epoch in the table
COMPARABLE = 2.75  # points that 20 epochs with deconvolution fall behind 100 with batch normalisation there, at most
NETWORKS = tuple(TABLE_1_NETWORKS.values())
SETS, EPOCHS, NORMS = ("cifar10", "cifar100"), (1, 20, 100), ("bn", "nd")
QUICK = ("efficientnet_b0", "vgg16")  # the first is the quickest, the second has the widest lead in the table
_TITLES = {arch: name for name, arch in TABLE_1_NETWORKS.items()}


def _id(arch: str, dataset: str, norm: str, epochs: int) -> str:
    return f"table1/{arch}/{dataset}/{norm}/{epochs}"


def _name(arch: str, dataset: str, norm: str, epochs: int) -> str:
    return f"{_TITLES[arch]}, {dataset}, {norm}, {counted(epochs, 'epoch')}"


_KEYS = {
    _name(arch, dataset, norm, epochs): (arch, dataset, norm, epochs)
    for epochs in EPOCHS  # the shortest runs of all networks come first
    for dataset in SETS
    for arch in NETWORKS
    for norm in NORMS
}
_OTHER = {"bn": "nd", "nd": "bn"}
_CELLS = [
    Cell(entry=ENTRIES[_id(arch, data, norm, epochs)], part=name, rival=_id(arch, data, _OTHER[norm], epochs))
    for name, (arch, data, norm, epochs) in _KEYS.items()
]
_SIZES = {arch: ENTRIES[f"table1/{arch}/parameters"] for arch in NETWORKS}


def _levels(setting: Setting) -> list[Level]:
    def parts(
        networks: tuple[str, ...] = NETWORKS,
        sets: tuple[str, ...] = SETS,
        epochs: tuple[int, ...] = EPOCHS,
        images: int | None = None,
    ) -> tuple[Part, ...]:
        return tuple(
            part(setting, name, dataset, arch, norm, count, images=images)
            for name, (arch, dataset, norm, count) in _KEYS.items()
            if arch in networks and dataset in sets and count in epochs
        )

    lead = "Whether deconvolution is ahead of batch normalisation after the first epoch"
    once = "Nothing about longer training, and nothing about the spread over seeds."
    return [
        Level(
            title="published recipe: 120 runs",
            parts=parts(),
            full=True,
            concludes="Every accuracy of the table, and whether deconvolution leads throughout.",
            not_concluded="Nothing about the spread over seeds: the table has one run of each.",
            needs=SETS,
        ),
        Level(
            title="CIFAR-10, 1, 20 and 100 epochs",
            parts=parts(sets=SETS[:1]),
            full=False,
            concludes="The accuracies of the table on CIFAR-10.",
            not_concluded="Nothing about CIFAR-100, nor about the spread over seeds.",
            needs=SETS[:1],
        ),
        Level(
            title="CIFAR-10, 1 and 20 epochs",
            parts=parts(sets=SETS[:1], epochs=(1, 20)),
            full=False,
            concludes="The accuracies of the table on CIFAR-10 after 1 and 20 epochs.",
            not_concluded="Nothing about CIFAR-100 or 100 epochs, nor about the spread over seeds.",
            needs=SETS[:1],
        ),
        Level(
            title="CIFAR-10, 1 epoch",
            parts=parts(sets=SETS[:1], epochs=(1,)),
            full=False,
            concludes=f"{lead} on CIFAR-10, in each of ten networks.",
            not_concluded=f"Nothing about CIFAR-100. {once}",
            needs=SETS[:1],
        ),
        Level(
            title="EfficientNet and VGG-16, CIFAR-10, 1 epoch",
            parts=parts(QUICK, SETS[:1], (1,)),
            full=False,
            concludes=f"{lead} on CIFAR-10, in two of ten networks.",
            not_concluded=f"Nothing about the other networks and CIFAR-100. {once}",
            needs=SETS[:1],
        ),
        Level(
            title="EfficientNet, CIFAR-10, 1 epoch",
            parts=parts(QUICK[:1], SETS[:1], (1,)),
            full=False,
            concludes=f"{lead} on CIFAR-10, in one of ten networks.",
            not_concluded=f"Nothing about the other networks and CIFAR-100. {once}",
            needs=SETS[:1],
        ),
        Level(
            title="EfficientNet and VGG-16, 5,000 images of CIFAR-10, 1 epoch",
            parts=parts(QUICK, SETS[:1], (1,), 5000),
            full=False,
            concludes="Whether deconvolution is ahead after 39 steps.",
            not_concluded=f"No accuracy of the table, which are of ten times as many steps. {once}",
            needs=SETS[:1],
        ),
        glyph_level(
            setting,
            "Whether deconvolution is ahead of batch normalisation in 31 steps of a small network.",
            bn={"norm": "bn"},
            nd={"norm": "nd"},
        ),
    ]


def _grade(level: Level, results: Results) -> list[Grade]:
    if not results:
        return []
    if "bn" in results or "nd" in results:
        return _grade_glyphs(results)
    grades = grade_cells(level, results, _CELLS)
    grades += _grade_sizes(results)
    grades += _grade_leads(level, results)
    deconvolved = {name: run for name, run in results.items() if _KEYS[name][2] == "nd"}
    if deconvolved:
        grades.append(_grade_norms(level, deconvolved))
        grades += _grade_iterations(level, deconvolved)
    return grades


def _grade_sizes(results: Results) -> list[Grade]:
    grades = []
    for arch, entry in _SIZES.items():
        runs = [run for name, run in results.items() if _KEYS[name][:3] == (arch, "cifar10", "nd")]
        if not runs:
            continue
        size = runs[0].about["parameters"] / 1e6
        same = f"{size:.2f}" == f"{entry.value:.2f}"
        grades.append(
            Grade(
                subject=entry.id,
                verdict="agrees" if same else "disagrees",
                measured=size,
                reason=f"The network has {size:.4f} million parameters, published {entry.value:.2f}."
                + (f" Doubt about that: {entry.doubt}." if entry.doubt and not same else ""),
                conditions="deconvolution of the published code, ten classes",
            )
        )
    return grades


def _grade_leads(level: Level, results: Results) -> list[Grade]:
    found = accuracies(results)
    values = {_KEYS[name]: value for name, value in found.items()}
    conditions = _conditions(results)
    leads = {
        (arch, data, epochs): values[arch, data, "nd", epochs] - values[arch, data, "bn", epochs]
        for arch, data, norm, epochs in values
        if norm == "nd" and (arch, data, "bn", epochs) in values
    }
    runs = {_KEYS[name]: run for name, run in results.items()}
    pairs = {
        (arch, data, epochs): (run, runs[arch, data, "bn", epochs])
        for (arch, data, norm, epochs), run in runs.items()
        if norm == "nd" and (arch, data, epochs) in leads
    }
    grades = []
    if leads:
        least = min(leads, key=lambda key: leads[key])
        ahead = sum(value > 0 for value in leads.values())
        grades.append(
            grade_claim(
                EVERY,
                [lead(*pair) for pair in pairs.values()],
                full=level.full and len(leads) == len(_KEYS) // 2,
                measured=min(leads.values()),
                reason=f"Deconvolution is ahead in {ahead} of {counted(len(leads), 'pair')} that were run, of"
                f" {len(_KEYS) // 2} in the table; its least lead is {leads[least]:+.2f} points ({_pair(least)}).",
                conditions=conditions,
            )
        )
    first = {key: value for key, value in leads.items() if key[2] == 1}
    if first:
        middle = median(first.values())
        grades.append(
            grade_claim(
                FIRST,
                [lead(*pairs[key], bound=WIDE) for key in first],
                full=level.full and len(first) == len(NETWORKS) * len(SETS),
                measured=middle,
                reason="After one epoch the lead of deconvolution is "
                + ", ".join(f"{value:+.2f} points ({_pair(key)})" for key, value in first.items())
                + f"; the least in the table is {WIDE}.",
                conditions=conditions,
            )
        )
    behind = {
        (arch, data): values[arch, data, "nd", 20] - values[arch, data, "bn", 100]
        for arch, data, norm, epochs in values
        if (norm, epochs) == ("nd", 20) and (arch, data, "bn", 100) in values
    }
    if behind:
        grades.append(
            grade_claim(
                TWENTY,
                [difference >= -COMPARABLE for difference in behind.values()],
                full=level.full and len(behind) == len(NETWORKS) * len(SETS),
                measured=median(behind.values()),
                reason="20 epochs with deconvolution, less 100 with batch normalisation: "
                + ", ".join(f"{value:+.2f} points ({_TITLES[arch]}, {data})" for (arch, data), value in behind.items())
                + f"; the least in the table is -{COMPARABLE}.",
                conditions=conditions,
            )
        )
    return grades


def _pair(key: tuple[str, str, int]) -> str:
    arch, data, epochs = key
    return f"{_TITLES[arch]}, {data}, {counted(epochs, 'epoch')}"


def _grade_norms(level: Level, deconvolved: Results) -> Grade:
    kept = {}
    for name, run in deconvolved.items():
        layers = run.about["network"]["layers"].values()
        kept[_TITLES[_KEYS[name][0]]] = any(layer.get("norm") not in (None, "none") for layer in layers)
    with_norm = [name for name, has in kept.items() if has]
    return grade_claim(
        NO_BATCH_NORM,
        [not has for has in kept.values()],
        full=level.full and len(kept) == len(NETWORKS),
        measured=float(len(with_norm)),
        reason=f"Of {counted(len(kept), 'network')} with the deconvolution of the published code,"
        + (f" {' and '.join(with_norm)} kept batch normalisation." if with_norm else " none kept batch normalisation."),
        conditions="networks of the published code: " + ", ".join(kept),
    )


def _grade_iterations(level: Level, deconvolved: Results) -> list[Grade]:
    values = accuracies(deconvolved)
    differences = {name: value - ENTRIES[_id(*_KEYS[name])].value for name, value in values.items()}
    if not differences:
        return []
    return [
        grade_claim(
            FEW,
            [difference >= -POINTS for difference in differences.values()],
            full=level.full and len(differences) == len(_KEYS) // 2,
            measured=min(differences.values()),
            reason="With five iterations behind the first layer, the accuracy less that of the table is "
            + ", ".join(f"{value:+.2f} points ({name})" for name, value in differences.items())
            + ".",
            conditions=_conditions(deconvolved),
        )
    ]


def _conditions(results: Results) -> str:
    """Return the conditions of several runs: those of the first, and the number of runs."""
    first = next(iter(results.values()))
    more = len(results) - 1
    return conditions_of(first) + (f"; and {counted(more, 'further run')} of the same recipe" if more else "")


def _grade_glyphs(results: Results) -> list[Grade]:
    if not {"bn", "nd"} <= set(results):
        return []
    values = accuracies(results)
    difference = values["nd"] - values["bn"]
    reason = f"In a small network, {values['nd']:.2f} % with deconvolution and {values['bn']:.2f} % without."
    return [
        grade_claim(
            subject,
            [lead(results["nd"], results["bn"], bound)],
            full=False,
            measured=difference,
            reason=reason,
            conditions=conditions_of(results["nd"]),
        )
        for subject, bound in ((EVERY, 0.0), (FIRST, WIDE))
    ]


TABLE_1 = Item(
    id="table1",
    title="ten networks on CIFAR",
    where="table 1 of both versions",
    needs=SETS,
    subjects=(
        EVERY,
        FIRST,
        TWENTY,
        NO_BATCH_NORM,
        FEW,
        *(cell.entry.id for cell in _CELLS),
        *(entry.id for entry in _SIZES.values()),
    ),
    levels=_levels,
    grade=_grade,
)
"""Table 1."""
