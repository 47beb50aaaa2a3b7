"""Table 2: three networks on ImageNet."""

import math

from ndtools.published.registry import ENTRIES
from ndtools.reproduction.chance import beyond, noise_of_accuracies
from ndtools.reproduction.grading import POINTS, grade_claim
from ndtools.reproduction.item import Item, Level, Part, Results, Setting
from ndtools.reproduction.items.recipes import Cell, accuracy, conditions_of, grade_cells, imagenet_part
from ndtools.results.reproductions import Grade
from ndtools.text import counted

__all__ = ["TABLE_2"]

ALL, TWICE, VGG_13 = "claim/imagenet", "claim/twice-the-gain", "claim/vgg11-beats-vgg13"
SMALL = "claim/summary-small-gain"
REFERENCE = "text/vgg13-reference"
GAINS = {"bn": "text/gain-of-batch-normalisation", "nd": "text/gain-of-deconvolution"}
_ARMS = {"vgg11": ("none", "bn", "nd"), "resnet18": ("bn", "nd"), "densenet121": ("bn", "nd")}
_TITLES = {"vgg11": "VGG-11", "resnet18": "ResNet-18", "densenet121": "DenseNet-121"}
_ENTRIES = {name: entry for name, entry in ENTRIES.items() if name.startswith("table2/")}
IMAGES = 50_000


def _name(arch: str, norm: str) -> str:
    return f"{_TITLES[arch]}, {norm}"


def _cells() -> list[Cell]:
    cells = []
    for entry in _ENTRIES.values():
        arch, norm, measure = entry.id.split("/")[1:4]
        other = "bn" if norm == "nd" else "nd"
        rival = f"table2/{arch}/{other}/{measure}"
        rival = rival if rival in _ENTRIES else f"{rival}/v2"
        cells.append(Cell(entry=entry, part=_name(arch, norm), rival=rival, measure=f"test_{measure}"))
    return cells


_CELLS = _cells()


def _levels(setting: Setting) -> list[Level]:
    def parts(networks: tuple[str, ...], epochs: int, images: int | None = None) -> tuple[Part, ...]:
        return tuple(
            imagenet_part(setting, _name(arch, norm), arch, norm, epochs, images=images)
            for arch in networks
            for norm in _ARMS[arch]
        )

    once = "Nothing about the spread over seeds."
    return [
        Level(
            title="published recipe: three networks, 90 epochs",
            parts=parts(tuple(_ARMS), 90),
            full=True,
            concludes="Every accuracy of the table, and whether deconvolution leads in each network.",
            not_concluded=once,
            needs=("imagenet",),
            device="cuda",
        ),
        Level(
            title="ResNet-18, 5 epochs",
            parts=parts(("resnet18",), 5),
            full=False,
            concludes="Whether deconvolution leads at the beginning of training, in one of three networks.",
            not_concluded=f"No accuracy of the table. {once}",
            needs=("imagenet",),
            device="cuda",
        ),
        Level(
            title=f"ResNet-18, {IMAGES:,} of 1.28 million images, 1 epoch",
            parts=parts(("resnet18",), 1, IMAGES),
            full=False,
            concludes=f"Whether deconvolution leads in the first {counted(math.ceil(IMAGES / 256), 'step')}.",
            not_concluded=f"No accuracy of the table. {once}",
            needs=("imagenet",),
        ),
    ]


def _grade(level: Level, results: Results) -> list[Grade]:
    if not results:
        return []
    first = next(iter(results.values()))
    conditions, number = conditions_of(first), int(first.about["data"]["test_images"])
    top1, top5 = (
        {name: accuracy(run, measure) or 0.0 for name, run in results.items()} for measure in ("test_top1", "test_top5")
    )
    grades = grade_cells(level, results, _CELLS)
    pairs = [arch for arch in _ARMS if {_name(arch, "bn"), _name(arch, "nd")} <= set(results)]
    if pairs:
        leads = {arch: [of[_name(arch, "nd")] - of[_name(arch, "bn")] for of in (top1, top5)] for arch in pairs}

        def noise_of(arch: str, of: dict[str, float]) -> float:
            return noise_of_accuracies([of[_name(arch, "nd")]], [of[_name(arch, "bn")]], number)

        small = [beyond(leads[arch][1], noise_of(arch, top5), 1.0) for arch in pairs]
        for subject, at, held in (
            (ALL, 0, [beyond(leads[arch][0], noise_of(arch, top1)) for arch in pairs]),
            (SMALL, 1, [None if above is None else not above for above in small]),
        ):
            grades.append(
                grade_claim(
                    subject,
                    held,
                    full=level.full and len(pairs) == len(_ARMS),
                    measured=min(lead[at] for lead in leads.values()),
                    reason=f"Deconvolution less batch normalisation, top-{(1, 5)[at]}: "
                    + ", ".join(f"{_TITLES[arch]} {lead[at]:+.2f} points" for arch, lead in leads.items())
                    + ".",
                    conditions=conditions,
                )
            )
    if {_name("vgg11", norm) for norm in _ARMS["vgg11"]} <= set(results):
        grades += _grade_vgg(level, {norm: top1[_name("vgg11", norm)] for norm in _ARMS["vgg11"]}, conditions, number)
    return grades


def _grade_vgg(level: Level, top1: dict[str, float], conditions: str, number: int) -> list[Grade]:
    gains = {norm: top1[norm] - top1["none"] for norm in GAINS}
    noise = max(noise_of_accuracies([top1[norm]], [top1["none"]], number) for norm in GAINS)
    words = (
        f"Over VGG-11 without normalisation, batch normalisation gains {gains['bn']:+.2f} points and deconvolution"
        f" {gains['nd']:+.2f}."
    )
    reference = ENTRIES[REFERENCE].value
    grades = [
        grade_claim(
            TWICE,
            # Accuracies with the weights 1, -2 and 1 vary √3 times as much as a difference of two.
            [
                beyond(gains["nd"] - gains["bn"], noise),
                beyond(gains["nd"] - 2 * gains["bn"], math.sqrt(3) * noise) is not False,
            ],
            full=level.full,
            measured=gains["nd"] / gains["bn"] if gains["bn"] else None,
            reason=words,
            conditions=conditions,
        ),
        grade_claim(
            VGG_13,
            [beyond(top1["nd"] - reference, noise_of_accuracies([top1["nd"]], [reference], number))],
            full=level.full,
            measured=top1["nd"] - reference,
            reason=f"VGG-11 with deconvolution reaches {top1['nd']:.2f} %, and the reference VGG-13 {reference:.2f} %.",
            conditions=conditions,
        ),
    ]
    for norm, subject in GAINS.items():
        stated = ENTRIES[subject].value
        grades.append(
            grade_claim(
                subject,
                [abs(gains[norm] - stated) <= max(POINTS, noise)],
                full=level.full,
                measured=gains[norm],
                reason=f"{words} Published are {stated:g} points.",
                conditions=conditions,
            )
        )
    return grades


TABLE_2 = Item(
    id="table2",
    title="three networks on ImageNet",
    where="table 2 of both versions, which differ",
    needs=("imagenet",),
    subjects=(ALL, TWICE, VGG_13, SMALL, *_ENTRIES, REFERENCE, *GAINS.values()),
    levels=_levels,
    grade=_grade,
    undecided={
        REFERENCE: "It is the accuracy of a network of the model zoo of PyTorch, which no recipe of the paper trains;"
        " to check it, test that network on the validation images of ImageNet."
    },
)
"""Table 2."""
