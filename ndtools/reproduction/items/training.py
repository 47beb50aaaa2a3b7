"""Table 4 and figure 8 of the second version: batch sizes and weight decay."""

import numpy as np

from ndtools.published.registry import ENTRIES
from ndtools.reproduction.chance import beyond, noise_of_accuracies
from ndtools.reproduction.grading import grade_claim
from ndtools.reproduction.item import Item, Level, Part, Results, Setting
from ndtools.reproduction.items.comparing import lead, loss_below
from ndtools.reproduction.items.recipes import (
    Cell,
    accuracies,
    conditions_of,
    glyph_level,
    grade_cells,
    imagenet_part,
    part,
)
from ndtools.results.reproductions import Grade

__all__ = ["FIG_8", "TABLE_4"]

ALL_SIZES, SMALL = "claim/all-batch-sizes", "claim/small-batches"
DECAY_1, DECAY_2, DESCENT = "claim/weight-decay-v1", "claim/weight-decay-v2", "claim/training-loss"
RANGE = 2.54  # points between the best and the worst batch size in the table
IMAGES = 5000

_ROWS = {int(name.split("/")[1]): entry for name, entry in ENTRIES.items() if name.startswith("table4/")}
_SMALL_SIZES = (2, 8)
_CELLS = [Cell(entry=entry, part=f"batches of {size}") for size, entry in _ROWS.items()]


def _sizes(
    setting: Setting, sizes: tuple[int, ...], epochs: int, images: int | None = None, *, pairs: bool = True
) -> tuple[Part, ...]:
    runs = []
    for size in sizes:
        row = _ROWS[size].conditions
        lr, settings = float(str(row["lr"])), {"eps": float(str(row["eps"])), "n_iter": int(str(row["n_iter"]))}
        common = {"batch_size": size, "lr": lr, "images": images}
        runs.append(part(setting, f"batches of {size}", "cifar10", "vgg11", "nd", epochs, **common, **settings))
        if size in _SMALL_SIZES and pairs:
            usual = {"eps": 1e-5, "n_iter": 5}
            name = f"batches of {size}, usual settings"
            runs.append(part(setting, name, "cifar10", "vgg11", "nd", epochs, **common, **usual))
    return tuple(runs)


def _levels_of_sizes(setting: Setting) -> list[Level]:
    return [
        Level(
            title="VGG-11 on CIFAR-10, 20 epochs",
            parts=_sizes(setting, tuple(_ROWS), 20),
            full=True,
            concludes="The accuracies of the table, if they are of VGG-11 on CIFAR-10, which the paper does not say.",
            not_concluded="Nothing about the spread over seeds.",
            needs=("cifar10",),
        ),
        Level(
            title="batches of 8, 32, 128 and 512, 5,000 images, 1 epoch",
            parts=_sizes(setting, (8, 32, 128, 512), 1, IMAGES),
            full=False,
            concludes="Which settings train at all.",
            not_concluded="No accuracy of the table: larger batches take fewer steps here.",
            needs=("cifar10",),
        ),
        glyph_level(
            setting,
            "Whether fewer iterations and a larger ridge help with batches of 8.",
            **{
                "batches of 8": {"norm": "nd", "batch_size": 8, "lr": 0.01, "eps": 0.01, "n_iter": 2},
                "batches of 8, usual settings": {
                    "norm": "nd",
                    "batch_size": 8,
                    "lr": 0.01,
                    "eps": 1e-5,
                    "n_iter": 5,
                },
            },
        ),
    ]


def _grade_sizes(level: Level, results: Results) -> list[Grade]:
    if not results:
        return []
    values = accuracies(results)
    photographs = next(iter(results.values())).about["data"]["name"] != "glyphs"
    grades = grade_cells(level, results, _CELLS) if photographs else []
    sizes = {size: values[f"batches of {size}"] for size in _ROWS if f"batches of {size}" in values}
    conditions = conditions_of(next(iter(results.values())))
    if len(sizes) > 1:
        spread = max(sizes.values()) - min(sizes.values())
        grades.append(
            grade_claim(
                ALL_SIZES,
                [spread <= RANGE],
                full=level.full and len(sizes) == len(_ROWS),
                measured=spread,
                reason=f"From the worst to the best batch size there are {spread:.2f} points, in the table {RANGE}: "
                + ", ".join(f"{value:.2f} % with {size}" for size, value in sizes.items())
                + ".",
                conditions=conditions,
            )
        )
    gains = {
        size: values[f"batches of {size}"] - values[f"batches of {size}, usual settings"]
        for size in _SMALL_SIZES
        if {f"batches of {size}", f"batches of {size}, usual settings"} <= set(values)
    }
    if gains:
        grades.append(
            grade_claim(
                SMALL,
                [lead(results[f"batches of {size}"], results[f"batches of {size}, usual settings"]) for size in gains],
                full=level.full and len(gains) == len(_SMALL_SIZES),
                measured=min(gains.values()),
                reason="Two iterations and a ridge of 0.01, less five and 1e-5: "
                + ", ".join(f"{gain:+.2f} points with batches of {size}" for size, gain in gains.items())
                + ".",
                conditions=conditions,
            )
        )
    return grades


TABLE_4 = Item(
    id="table4",
    title="batches of 2 to 2048 images",
    where="table 4 of the second version; the first has none",
    needs=("cifar10",),
    subjects=(ALL_SIZES, SMALL, *(entry.id for entry in _ROWS.values())),
    levels=_levels_of_sizes,
    grade=_grade_sizes,
)
"""Table 4 of the second version."""

_DECAYS = (0.0005, 0.001, 0.005)
_REPEATS = 5
_DECAY_EPOCHS = 20  # the default of the published code; the paper does not say
_ARMS = ("bn", "nd")
_STEPS, _PUBLISHED_STEPS = 100, 1000


def _decay_name(norm: str, decay: float, seed: int) -> str:
    return f"{norm}, decay {decay:g}, seed {seed}"


def _decays(setting: Setting, decays: tuple[float, ...], repeats: int) -> tuple[Part, ...]:
    return tuple(
        part(
            setting,
            _decay_name(norm, decay, seed),
            "cifar100",
            "vgg13",
            norm,
            _DECAY_EPOCHS,
            weight_decay=decay,
            seed=seed,
        )
        for seed in range(repeats)
        for decay in decays
        for norm in _ARMS
    )


def _levels_of_decays(setting: Setting) -> list[Level]:
    return [
        Level(
            title="VGG-13 on CIFAR-100, 20 epochs, 5 seeds",
            parts=(*_decays(setting, _DECAYS, _REPEATS), *_descents(setting)),
            full=True,
            concludes="What stronger weight decay does to the accuracy, with its spread over seeds.",
            not_concluded="Nothing about another number of epochs: the paper does not say how many there were. Nothing"
            " about the loss on ImageNet, for which CIFAR-10 stands.",
            needs=("cifar100", "imagenet", "cifar10"),
        ),
        Level(
            title="1 seed",
            parts=_decays(setting, _DECAYS, 1),
            full=False,
            concludes="What stronger weight decay does to the accuracy of one run.",
            not_concluded="Nothing about the spread over seeds, which may be as large as the effect.",
            needs=("cifar100",),
        ),
        Level(
            title=f"the first {_PUBLISHED_STEPS:,} steps, VGG-11 on ImageNet",
            parts=tuple(
                imagenet_part(setting, f"loss, {norm}", "vgg11", norm, 90, max_steps=_PUBLISHED_STEPS)
                for norm in ("none", *_ARMS)
            ),
            full=False,
            concludes="Whether the training loss falls faster with deconvolution, as the figure shows it.",
            not_concluded="Nothing about weight decay, which is an effect of long training.",
            needs=("imagenet",),
        ),
        Level(
            title=f"the first {_STEPS} steps, VGG-11 on CIFAR-10",
            parts=_descents(setting),
            full=False,
            concludes="Whether the training loss falls faster with deconvolution, on CIFAR-10.",
            not_concluded="Nothing about weight decay, which is an effect of long training, nor about ImageNet.",
            needs=("cifar10",),
        ),
    ]


def _descents(setting: Setting) -> tuple[Part, ...]:
    """Return the first steps of figure 8 b, with its network and rate but small images."""
    return tuple(
        part(setting, f"loss, {norm}", "cifar10", "vgg11", norm, 1, lr=0.01, weight_decay=1e-4, max_steps=_STEPS)
        for norm in ("none", *_ARMS)
    )


def _grade_descent(results: Results) -> list[Grade]:
    runs = {norm: results[f"loss, {norm}"] for norm in ("none", *_ARMS)}
    means = {norm: float(np.nanmean(run.steps["loss"])) for norm, run in runs.items()}
    steps = len(runs["nd"].steps["loss"])
    return [
        grade_claim(
            DESCENT,
            [loss_below(runs["nd"], runs[other]) for other in ("bn", "none")],
            full=steps >= _PUBLISHED_STEPS,
            measured=means["nd"],
            reason=f"The mean training loss of the first {steps:,} steps is {means['nd']:.3g} with"
            f" deconvolution, {means['bn']:.3g} with batch normalisation, and {means['none']:.3g} without.",
            conditions=conditions_of(runs["nd"]),
        )
    ]


def _grade_decays(level: Level, results: Results) -> list[Grade]:
    grades = _grade_descent(results) if {f"loss, {norm}" for norm in ("none", *_ARMS)} <= set(results) else []
    values = accuracies(results)
    for subject, weak in ((DECAY_1, 0.001), (DECAY_2, 0.0005)):
        pairs: dict[str, list[tuple[float, float]]] = {norm: [] for norm in _ARMS}
        for norm in _ARMS:
            for seed in range(_REPEATS):
                less, more = (_decay_name(norm, decay, seed) for decay in (weak, 0.005))
                if less in values and more in values:
                    pairs[norm].append((values[more], values[less]))
        if not all(pairs.values()):
            continue
        means = {norm: sum(more - less for more, less in each) / len(each) for norm, each in pairs.items()}
        noise = {
            norm: noise_of_accuracies([more for more, _ in each], [less for _, less in each])
            for norm, each in pairs.items()
        }
        count = min(map(len, pairs.values()))
        grades.append(
            grade_claim(
                subject,
                [beyond(-means["bn"], noise["bn"]), beyond(means["nd"], noise["nd"])],
                full=level.full and (count == _REPEATS or subject == DECAY_1),
                measured=means["nd"],
                reason=f"From a decay of {weak:g} to 0.005 the accuracy changes by {means['bn']:+.2f} points with batch"
                f" normalisation, and by {means['nd']:+.2f} with deconvolution, in the mean of {count} of {_REPEATS}"
                " seeds.",
                conditions=conditions_of(next(iter(results.values()))),
            )
        )
    return grades


FIG_8 = Item(
    id="fig8",
    aliases=("fig7-v1",),
    title="weight decay, and first steps",
    where="fig. 8 of the second version, 7 of the first",
    needs=("cifar100", "imagenet", "cifar10"),
    subjects=(DECAY_1, DECAY_2, DESCENT),
    levels=_levels_of_decays,
    grade=_grade_decays,
)
"""Figure 8 of the second version."""
