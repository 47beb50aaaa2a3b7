"""Figures 11 and 12, and the cost of deconvolution: features of a layer, and accuracy against time."""

from dataclasses import replace
from typing import Any

import numpy as np

from ndtools.experiments.features.config import FeaturesConfig
from ndtools.published.registry import ENTRIES
from ndtools.reproduction.grading import ONE_SET, grade_claim
from ndtools.reproduction.item import Item, Level, Part, Results, Setting
from ndtools.reproduction.items.comparing import ahead, seconds_of_steps, slower
from ndtools.reproduction.items.recipes import accuracy, conditions_of, glyph_level, imagenet_part, part
from ndtools.reproduction.items.table_1 import NETWORKS
from ndtools.results.reproductions import Grade
from ndtools.results.runs import Run
from ndtools.text import counted, source_name

__all__ = ["COST", "FIG_11", "FIG_12"]

FEATURES, SPEED = "claim/sparser-features", "claim/training-speed"
SLOW_DOWN, TEXT = "claim/slow-down", "text/slow-down"
_ARMS = ("bn", "nd")
_TUNED = {"block_size": 16, "sampling_stride": 4}
_GLYPHS: dict[str, dict[str, Any]] = {"bn": {"norm": "bn"}, "nd": {"norm": "nd", **_TUNED}}


def _levels_of_features(setting: Setting) -> list[Level]:
    def parts(epochs: int) -> tuple[Part, ...]:
        trained = part(setting, f"VGG-11, {counted(epochs, 'epoch')}", "cifar10", "vgg11", "nd", epochs)
        return (trained, replace(features, trained=trained))

    features = Part(name="features", experiment="features", config=FeaturesConfig(**setting.run), work=0.2)
    sparser = "Whether deconvolution makes the features of a layer sparser"
    instead = "Nothing about a network that was trained with photographs of ImageNet, as that of the figure."
    trained = imagenet_part(setting, "VGG-11, 90 epochs", "vgg11", "nd", 90)
    return [
        Level(
            title="published recipe: VGG-11 after 90 epochs of ImageNet",
            parts=(trained, replace(features, trained=trained)),
            full=True,
            concludes=f"{sparser} in a network that was trained with photographs.",
            not_concluded="Nothing about the photograph of the figure, which the paper does not name.",
            needs=("imagenet",),
            device="cuda",
        ),
        Level(
            title="VGG-11 after 20 epochs of CIFAR-10",
            parts=parts(20),
            full=False,
            concludes=f"{sparser} in a network that was trained with small photographs.",
            not_concluded=instead,
            needs=("cifar10",),
        ),
        Level(
            title="VGG-11 after 1 epoch of CIFAR-10",
            parts=parts(1),
            full=False,
            concludes=f"{sparser} at the beginning of training.",
            not_concluded=instead,
            needs=("cifar10",),
        ),
        Level(
            title="a new VGG-11, the built-in photograph",
            parts=(features,),
            full=False,
            concludes=f"{sparser} where weights are random.",
            not_concluded="Nothing about the features of a trained network, which the figure shows.",
        ),
    ]


def _grade_features(level: Level, results: Results) -> list[Grade]:
    if "features" not in results:
        return []
    result = results["features"]
    runs = [run for run in results.values() if isinstance(run, Run)]
    network = f"VGG-11 trained with {conditions_of(runs[0])}" if runs else "new weights of VGG-11"
    before, after = (result.measures[side] for side in ("centred", "deconvolved"))
    near = [100 * float(each["near_zero"] or 0.0) for each in (before, after)]
    tails = [float(each["kurtosis"] or 0.0) for each in (before, after)]
    return [
        grade_claim(
            FEATURES,
            [tails[1] > tails[0], near[1] > near[0]],
            full=level.full,
            measured=near[1],
            reason=f"Deconvolution takes the kurtosis from {tails[0]:.3g} to {tails[1]:.3g}, and the share of values"
            f" within 0.1 σ of zero from {near[0]:.3g} to {near[1]:.3g} %.{ONE_SET}",
            conditions=f"{source_name(result.source)}, inputs of the fifth convolution, {network}",
        )
    ]


FIG_11 = Item(
    id="fig11",
    aliases=("fig10-v1",),
    title="sparsity of features of a layer",
    where="fig. 11 of the second version, 10 of the first",
    needs=("imagenet", "cifar10"),
    subjects=(FEATURES,),
    levels=_levels_of_features,
    grade=_grade_features,
)
"""Figure 11 of the second version."""


def _levels_of_time(setting: Setting) -> list[Level]:
    def parts(epochs: int) -> tuple[Part, ...]:
        return tuple(
            part(setting, norm, "cifar10", "vgg11", norm, epochs, **(_TUNED if norm == "nd" else {})) for norm in _ARMS
        )

    instead = "Nothing about images of 224 pixels, where convolutions take a larger share."
    return [
        Level(
            title="published recipe: VGG-11 on ImageNet, 90 epochs",
            parts=tuple(
                imagenet_part(setting, norm, "vgg11", norm, 90, **(_TUNED if norm == "nd" else {})) for norm in _ARMS
            ),
            full=True,
            concludes="Which arm is more accurate after the same time.",
            not_concluded="Nothing about other machines, nor about the spread over seeds.",
            needs=("imagenet",),
            device="cuda",
        ),
        Level(
            title="VGG-11 on CIFAR-10, 20 epochs",
            parts=parts(20),
            full=False,
            concludes="Which arm is more accurate after the same time, on CIFAR-10.",
            not_concluded=instead,
            needs=("cifar10",),
        ),
        Level(
            title="VGG-11 on CIFAR-10, 2 epochs",
            parts=parts(2),
            full=False,
            concludes="Which arm is more accurate after the same time, at the beginning of training.",
            not_concluded=f"Nothing about the end of training. {instead}",
            needs=("cifar10",),
        ),
        glyph_level(
            setting,
            "Which arm of a small network is more accurate after the same time.",
            **{name: {**settings, "epochs": 3} for name, settings in _GLYPHS.items()},
        ),
    ]


def _grade_time(level: Level, results: Results) -> list[Grade]:
    if set(results) != set(_ARMS):
        return []
    curves = {name: (run.epochs["seconds"], run.epochs["eval_top1"]) for name, run in results.items()}
    end = min(seconds[-1] for seconds, _ in curves.values())
    reached = {name: float(np.max(top1[seconds <= end], initial=0.0)) for name, (seconds, top1) in curves.items()}
    return [
        grade_claim(
            SPEED,
            [ahead(reached["nd"], reached["bn"], results["nd"])],
            full=level.full,
            measured=reached["nd"] - reached["bn"],
            reason=f"Within the {end:.0f} s that the faster arm took, the best accuracy after an epoch is"
            f" {reached['nd']:.2f} % with deconvolution and {reached['bn']:.2f} % with batch normalisation.",
            conditions=conditions_of(results["nd"]),
        )
    ]


FIG_12 = Item(
    id="fig12",
    aliases=("fig11-v1",),
    title="accuracy against wall time",
    where="fig. 12 of the second version, 11 of the first",
    needs=("imagenet", "cifar10"),
    subjects=(SPEED,),
    levels=_levels_of_time,
    grade=_grade_time,
)
"""Figure 12 of the second version."""


def _levels_of_cost(setting: Setting) -> list[Level]:
    def parts(networks: tuple[str, ...], *, tuned: bool) -> tuple[Part, ...]:
        runs = [part(setting, f"{arch}, {norm}", "cifar10", arch, norm, 1) for arch in networks for norm in _ARMS]
        if tuned:
            runs += [part(setting, "vgg11, bn", "cifar10", "vgg11", "bn", 1)]
            runs += [part(setting, "vgg11, nd", "cifar10", "vgg11", "nd", 1, **_TUNED)]
        return tuple(runs)

    concludes = "How much longer an epoch takes with deconvolution on this machine"
    other = "Nothing about other machines, on which convolutions take another share."
    return [
        Level(
            title="ten networks, and VGG-11 with small blocks, 1 epoch",
            parts=parts(NETWORKS, tuned=True),
            full=True,
            concludes=f"{concludes}, in eleven networks.",
            not_concluded=other,
            needs=("cifar10",),
        ),
        Level(
            title="EfficientNet and VGG-16, 1 epoch",
            parts=parts(("efficientnet_b0", "vgg16"), tuned=False),
            full=False,
            concludes=f"{concludes}, in two networks.",
            not_concluded=other,
            needs=("cifar10",),
        ),
        Level(
            title="EfficientNet, 1 epoch",
            parts=parts(("efficientnet_b0",), tuned=False),
            full=False,
            concludes=f"{concludes}, in one network that deconvolves in its first layer only.",
            not_concluded=other,
            needs=("cifar10",),
        ),
        glyph_level(setting, f"{concludes}, in a small network.", **_GLYPHS),
    ]


def _grade_cost(level: Level, results: Results) -> list[Grade]:
    entry = ENTRIES[TEXT]
    assert entry.upper is not None
    extra: dict[str, float] = {}
    held: dict[str, bool | None] = {}
    for name, run in results.items():
        other = "nd" if name == "bn" else name.removesuffix("bn") + "nd"
        if not name.endswith("bn") or other not in results or accuracy(run) is None:
            continue
        # Pauses and other programs change medians less than means.
        medians = [
            float(np.median(seconds)) for each in (results[other], run) if len(seconds := seconds_of_steps(each))
        ]
        if len(medians) == 2:
            network = name.removesuffix("bn").removesuffix(", ") or "a small network"
            extra[network] = 100 * (medians[0] / medians[1] - 1)
            more = slower(results[other], run, 1 + entry.upper / 100)
            held[network] = None if more is None else not more
    if not extra:
        return []
    middle = float(np.median(list(extra.values())))
    common: dict[str, Any] = {
        "full": level.full and len(extra) == len(NETWORKS) + 1,
        "measured": middle,
        "reason": f"A training step takes {middle:+.0f} % longer in the median of {len(extra)} networks, published"
        f" {entry.value:g} to {entry.upper:g} %: "
        + ", ".join(f"{name} {value:+.0f} %" for name, value in extra.items()),
        "conditions": conditions_of(next(iter(results.values()))) + "; median seconds of a step",
    }
    common["reason"] += "."
    return [grade_claim(subject, list(held.values()), **common) for subject in (SLOW_DOWN, TEXT)]


COST = Item(
    id="cost",
    title="how much longer training takes",
    where="sec. A.5 and 4.5 of both versions",
    needs=("cifar10",),
    subjects=(SLOW_DOWN, TEXT),
    levels=_levels_of_cost,
    grade=_grade_cost,
)
"""Cost of deconvolution."""
