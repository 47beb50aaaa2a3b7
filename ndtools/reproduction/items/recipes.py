"""What items that train have in common: parts, their times, the conditions of a run, and grades of accuracies."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from ndtools.experiments.train.config import TrainConfig
from ndtools.models.norms import NORMS
from ndtools.published.entry import Entry
from ndtools.published.registry import ENTRIES, beside
from ndtools.reproduction.grading import capped, grade_accuracy
from ndtools.reproduction.item import Level, Part, Results, Setting
from ndtools.reproduction.kinds import STREAMED
from ndtools.results.reproductions import Grade
from ndtools.results.runs import Run
from ndtools.text import counted

__all__ = [
    "ARMS",
    "GLYPHS",
    "Cell",
    "SECONDS",
    "accuracies",
    "accuracy",
    "conditions_of",
    "glyph_level",
    "grade_cells",
    "imagenet_part",
    "part",
]

ARMS = {"none": "none", "bn": "bn", "nd": "deconv-reference"}
"""Arms of this package by the names that published numbers have for them, with the published code's deconvolution."""
GLYPHS = 4000
"""Number of synthetic digits of the levels for machines without data."""
_IMAGES = 50_000  # of an epoch of CIFAR
SECONDS: dict[str, tuple[float, float]] = {
    "vgg11": (155.0, 354.0),
    "vgg13": (215.0, 522.0),
    "vgg16": (343.0, 854.0),
    "resnet18": (657.0, 1156.0),
    "resnet50": (3088.0, 3479.0),
    "preact_resnet18": (483.0, 1229.0),
    "densenet121": (2380.0, 3592.0),
    "resnext29_32x4d": (2553.0, 2556.0),
    "mobilenet_v2": (659.0, 699.0),
    "dpn92": (6245.0, 6414.0),
    "pnasnet_a": (756.0, 1977.0),
    "senet18": (468.0, 1094.0),
    "efficientnet_b0": (157.0, 154.0),
    "simple_cnn": (1.7, 2.9),
}
"""Seconds of an epoch of CIFAR with batch normalisation and with deconvolution, on the reference machine;
benchmarks/reproduction_cost.py measures them."""
IMAGENET: dict[str, tuple[float, float]] = {"vgg11": (0.01, 50.0), "resnet18": (0.1, 3.3), "densenet121": (0.1, 3.2)}
"""Rate of each network of table 2, and its multiplications for an image of ImageNet in units of those for CIFAR."""
_POOLED = " normalised by the mean and deviation of their own pixels"
_BATCH = 128  # images, at which the times were measured


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A published accuracy, and the training run that it is compared with.

    Attributes
    ----------
    entry : Entry
        The published accuracy.
    part : str
        Name of the part that trains.
    rival : str or None
        ID of the accuracy of the other arm. Default None.
    measure : str
        Name of the measure in the result of the run. Default "test_top1".
    """

    entry: Entry
    part: str
    rival: str | None = None
    measure: str = "test_top1"


def part(setting: Setting, name: str, dataset: str, arch: str, norm: str, epochs: int, **settings: Any) -> Part:  # noqa: ANN401
    """Return a training run as a part.

    Parameters
    ----------
    setting : Setting
        Surroundings for which the levels are made.
    name : str
        Name of the part.
    dataset : str
        Name of the data set.
    arch : str
        Name of the network.
    norm : str
        Arm by its published name, "none", "bn" or "nd", or one of :data:`ndtools.models.norms.NORMS`.
    epochs : int
        Number of epochs.
    **settings
        Other settings of the configuration.

    Returns
    -------
    Part
        The run, by the recipe of the published code where ``settings`` has nothing else.
    """
    built_in = dataset == "glyphs"
    config = TrainConfig(
        dataset,
        arch=arch,
        norm=ARMS.get(norm, norm),
        epochs=epochs,
        data_dir=None if built_in else setting.places.data_dir,
        constants="pooled" if built_in else "published",
        **settings,
        **setting.run,
    )
    return Part(name=name, experiment="train", config=config, work=_work(config, _IMAGES))


def imagenet_part(setting: Setting, name: str, arch: str, norm: str, epochs: int, **settings: Any) -> Part:  # noqa: ANN401
    """Return a training run on ImageNet as a part, by the recipe of table 2.

    Parameters
    ----------
    setting : Setting
        Surroundings for which the levels are made.
    name, arch, norm, epochs
        As :func:`part` has them.
    **settings
        Other settings of the configuration.

    Returns
    -------
    Part
        The run, whose time follows from that of the network on CIFAR.
    """
    rate, factor = IMAGENET[arch]
    dataset = setting.places["imagenet"].path or "imagenet"
    common = {"batch_size": 256, "lr": rate, "weight_decay": 1e-4}
    made = part(setting, name, dataset, arch, norm, epochs, **common, **settings)
    return replace(made, work=factor * _work(made.config, STREAMED["imagenet"].train))  # type: ignore[arg-type]


def _work(config: TrainConfig, total: int) -> float:
    plain, deconvolved = SECONDS[config.arch]
    if NORMS[config.norm].deconvolves:  # the cost of whitening is that of a batch, however small
        plain += (deconvolved - plain) * max(1.0, 0.5 * _BATCH / config.batch_size)
    images = config.epochs * (config.images or total)
    if config.max_steps is not None:
        images = min(images, config.max_steps * config.batch_size)
    return max(1.0, plain * images / _IMAGES)


def glyph_level(setting: Setting, concludes: str, **arms: dict[str, Any]) -> Level:
    """Return the level for a machine without data: a small network on synthetic digits.

    Parameters
    ----------
    setting : Setting
        Surroundings for which the levels are made.
    concludes : str
        Statement of what may be concluded.
    **arms : dict
        Settings of each run by the name of its part: "norm", and others of the configuration.

    Returns
    -------
    Level
        One epoch of each run.
    """
    runs = (
        part(setting, name, "glyphs", "simple_cnn", images=GLYPHS, **{"epochs": 1, **settings})
        for name, settings in arms.items()
    )
    return Level(
        title=f"a small network on {GLYPHS:,} synthetic digits",
        parts=tuple(runs),
        full=False,
        concludes=concludes,
        not_concluded="Nothing about photographs, nor about the networks of the paper.",
    )


def accuracy(run: Run, measure: str = "test_top1") -> float | None:
    """Return a measure after the last epoch in per cent, that of the test images; None if the run diverged."""
    last = (run.result or {}).get("last") or {}
    value = last.get(measure)
    return None if value is None or run.state == "diverged" else float(value)


def accuracies(results: Results) -> dict[str, float]:
    """Return the accuracies of runs by the names of their parts. That of a diverged run counts as 0."""
    return {name: accuracy(run) or 0.0 for name, run in results.items() if isinstance(run, Run)}


def conditions_of(run: Run) -> str:
    """Return the conditions of a training run in words."""
    config, about = run.config, run.about
    words = [
        f"{about['data']['train_images']:,} training images of {run.data}"
        + ("" if config.get("constants") == "published" or run.about["data"].get("synthetic") else _POOLED),
        f"{counted(config['epochs'], 'epoch')}",
        f"batches of {config['batch_size']}",
        f"rate {config['lr']:g}",
        f"decay {config['weight_decay']:g}",
        f"seed {config['seed']}",
        f"{counted(about.get('threads') or 1, 'thread')} of {about['hardware']['name']}",
    ]
    if config.get("max_steps"):
        words.insert(2, f"at most {counted(config['max_steps'], 'step')}")
    return ", ".join(words)


def grade_cells(level: Level, results: Results, cells: Iterable[Cell]) -> list[Grade]:
    """Grade published accuracies by the runs that are done.

    Parameters
    ----------
    level : Level
        Level of the runs.
    results : mapping
        Runs by the names of their parts.
    cells : iterable of Cell
        Published accuracies with the parts that decide them.

    Returns
    -------
    list of Grade
        A grade for each accuracy whose run is done.
    """
    by_id = {cell.entry.id: cell for cell in cells}
    return [
        _grade_cell(level, results, cell, by_id.get(cell.rival or ""))
        for cell in by_id.values()
        if cell.part in results
    ]


def _grade_cell(level: Level, results: Results, cell: Cell, rival: Cell | None) -> Grade:
    run, entry = results[cell.part], cell.entry
    value, conditions = accuracy(run, cell.measure), conditions_of(run)
    third_party = tuple(other.id for other in beside(entry))
    if value is None:
        return Grade(
            subject=entry.id,
            verdict=capped("disagrees", full=level.full),
            n=1,
            reason=f"The run diverged, where {entry.value:.2f} % were published.",
            conditions=conditions,
            third_party=third_party,
        )
    other = accuracy(results[rival.part], cell.measure) if rival is not None and rival.part in results else None
    grade = grade_accuracy(
        entry,
        [value],
        full=level.full,
        conditions=conditions,
        rival=None if rival is None or other is None else (rival.entry.value, other),
        split="test" if run.evaluation == "validation" else run.evaluation,  # the last number is of the test images
        images=int(run.about["data"]["test_images"]),
        third_party=third_party,
    )
    if not third_party:
        return grade
    stated = ", ".join(f"{ENTRIES[name].value:.2f} %" for name in third_party)
    return replace(grade, reason=f"{grade.reason} Others report {stated}.")
