"""Figure 6 of the second version: segmentation of Cityscapes, and of smaller sets in its place."""

from dataclasses import replace
from typing import Any

import numpy as np

from ndtools.experiments.segment.config import SegmentConfig
from ndtools.reproduction.chance import beyond, noise_of_accuracies
from ndtools.reproduction.grading import grade_claim
from ndtools.reproduction.item import Item, Level, Part, Results, Setting
from ndtools.reproduction.items.comparing import loss_below
from ndtools.reproduction.items.recipes import accuracy, conditions_of
from ndtools.reproduction.kinds import SCENES, STREAMED
from ndtools.results.reproductions import Grade
from ndtools.results.runs import Run
from ndtools.text import counted

__all__ = ["FIG_6"]

QUALITY, CONVERGENCE = "claim/segmentation", "claim/segmentation-convergence"
_ARMS = ("bn", "nd")
_SCENES, _SCENE_EPOCHS = 96, 2
# Of an image with batch normalisation and with deconvolution, on the reference machine, by network and set; those of
# networks that were not measured by their multiplications.
_SECONDS = {
    ("deeplabv3_resnet50", "cityscapes"): (5.0, 6.7),
    ("deeplabv3_resnet18", "camvid"): (0.22, 0.65),
    ("fcn_resnet18", SCENES): (0.05, 0.32),
}


def _levels(setting: Setting) -> list[Level]:
    def parts(name: str, arch: str, rates: tuple[float, ...], nd: str, **settings: Any) -> tuple[Part, ...]:  # noqa: ANN401
        dataset = SCENES if name == SCENES else setting.places[name].path or name
        config = SegmentConfig(dataset, arch=arch, **settings, **setting.run)
        images = config.epochs * (config.images or STREAMED[name].train)
        return tuple(
            Part(
                name=f"{norm}, rate {rate:g}",
                experiment="segment",
                config=replace(config, norm={"bn": "bn", "nd": nd}[norm], lr=rate),
                work=images * seconds,
            )
            for rate in rates
            for norm, seconds in zip(_ARMS, _SECONDS[arch, name], strict=True)
        )

    better = "Whether a network labels pixels better with deconvolution than without, and learns faster"
    once = "Nothing about the spread over seeds."
    return [
        Level(
            title="published recipe: DeepLabV3 with ResNet-50 on Cityscapes, 30 epochs",
            parts=parts(
                "cityscapes", "deeplabv3_resnet50", (0.1,), "deconv-reference", epochs=30, constants="published"
            ),
            full=True,
            concludes=f"{better}, on Cityscapes.",
            not_concluded=f"No value of the curves, which the paper has no numbers of. {once}",
            needs=("cityscapes",),
            device="cuda",
        ),
        Level(
            title="DeepLabV3 with ResNet-18 on CamVid, 6 epochs at two rates",
            parts=parts("camvid", "deeplabv3_resnet18", (0.01, 0.05), "deconv", epochs=6),
            full=False,
            concludes=f"{better}, on CamVid at the beginning of training, each at the better of two rates.",
            not_concluded=f"Nothing about Cityscapes, nor about the end of training. {once}",
            needs=("camvid",),
        ),
        Level(
            title=f"FCN with ResNet-18 on {_SCENES} built-in scenes, {_SCENE_EPOCHS} epochs",
            parts=parts(SCENES, "fcn_resnet18", (0.01,), "deconv", epochs=_SCENE_EPOCHS, images=_SCENES),
            full=False,
            concludes=f"{better}, in {counted(_SCENE_EPOCHS * _SCENES // 8, 'step')} on drawn shapes.",
            not_concluded=f"Nothing about photographs of streets. {once}",
        ),
    ]


def _measure(run: Run, name: str) -> float:
    """Return a measure of the images for the final number; 0 for a run that diverged."""
    return accuracy(run, name) or 0.0


def _chosen(results: Results) -> dict[str, Run]:
    """Return the run of each arm at its best rate by the images after each epoch, of the rates that both have."""
    rates = {norm: {name.partition(", ")[2] for name in results if name.startswith(f"{norm}, ")} for norm in _ARMS}
    both = set.intersection(*rates.values())
    return {
        norm: max(
            (results[f"{norm}, {rate}"] for rate in sorted(both)),
            key=lambda run: _measure(run, "eval_mean_iou"),
        )
        for norm in _ARMS
        if both
    }


def _grade(level: Level, results: Results) -> list[Grade]:
    runs = _chosen(results)
    if not runs:
        return []
    bn, nd = (runs[norm] for norm in _ARMS)
    number = int(nd.about["data"]["test_images"])
    conditions = f"{nd.about['arch']}, {conditions_of(nd)}" + (
        f" (batch normalisation at rate {bn.config['lr']:g})" if bn.config["lr"] != nd.config["lr"] else ""
    )

    def ahead(first: float, second: float) -> bool | None:
        # Pixels of one scene are alike, so that scenes are counted, and not pixels.
        return beyond(first - second, noise_of_accuracies([first], [second], number))

    iou, pixels = ({norm: _measure(run, name) for norm, run in runs.items()} for name in ("test_mean_iou", "test_top1"))
    loss = {norm: float(np.nanmean(run.steps["loss"])) for norm, run in runs.items()}
    mean = {norm: float(np.nanmean(run.epochs["eval_mean_iou"])) for norm, run in runs.items()}
    return [
        grade_claim(
            QUALITY,
            [ahead(iou["nd"], iou["bn"]), ahead(pixels["nd"], pixels["bn"])],
            full=level.full,
            measured=iou["nd"] - iou["bn"],
            reason=f"After training, the mean IoU is {iou['nd']:.2f} % with deconvolution and {iou['bn']:.2f} % with"
            f" batch normalisation, and {pixels['nd']:.2f} and {pixels['bn']:.2f} % of the pixels are labelled"
            f" correctly, in {number:,} scenes.",
            conditions=conditions,
        ),
        grade_claim(
            CONVERGENCE,
            [loss_below(nd, bn), ahead(mean["nd"], mean["bn"])],
            full=level.full,
            measured=loss["nd"] - loss["bn"],
            reason=f"The training loss is {loss['nd']:.3g} with deconvolution and {loss['bn']:.3g} with batch"
            f" normalisation in the mean of all steps, and the mean IoU {mean['nd']:.2f} and {mean['bn']:.2f} % in the"
            f" mean of the {counted(len(nd.epochs['epoch']), 'epoch')}.",
            conditions=conditions,
        ),
    ]


FIG_6 = Item(
    id="fig6",
    title="segmentation of Cityscapes",
    where="fig. 6 of the second version; the first has none",
    needs=("cityscapes", "camvid"),
    subjects=(QUALITY, CONVERGENCE),
    levels=_levels,
    grade=_grade,
)
"""Figure 6 of the second version."""
