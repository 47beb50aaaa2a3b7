"""From training runs to arms: runs whose settings are equal apart from their seed, named by what sets them apart."""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from ndtools.errors import DataError
from ndtools.experiments.compare.arm import Reference
from ndtools.models.catalogue import EARLIER_NAMES
from ndtools.published.entry import Entry
from ndtools.published.registry import matching
from ndtools.results.runs import Run

__all__ = ["check_same_data", "grouped", "names_of", "references"]

# Settings that do not change what is learned from which images.
_WITHOUT_EFFECT = (
    "seed",
    "name",
    "output",
    "data_dir",
    "jobs",
    "device",
    "log",
    "repeats",
    "resume",
    "checkpoint_every",
    "workers",
    "strict",
)
_OF_STREAMS = ("size", "resize")  # without effect on images in memory, whose runs have no view of files
_WORDS = {  # settings as the names of arms have them; others by their own name
    "weight_decay": "decay",
    "batch_size": "batch",
    "lr": "rate",
    "opt": "",
    "sched": "",
    "images": "images",
    "block_size": "B",
    "sampling_stride": "stride",
}
_IMAGES = ("name", "train_images", "eval_images", "eval_split", "test_images", "mean", "std")  # of a run's data
_MOST_LISTED = 10  # runs of one data set in a message
_LONGEST = 60  # characters in the name of an arm, without a folder
_MOST_KEYS = 4  # named in a remark
_NORMS = {"deconv": "nd", "deconv-reference": "nd", "bn": "bn", "none": "none"}
_DOCUMENTS = {"paper": "paper-v2", "report": "report-2021", "ReScience": "rescience-2025"}
_COMPARED = ("lr", "opt", "momentum", "weight_decay", "sched", "loss", "eps", "n_iter", "block_size")
_PUBLISHED_CODE = {"smoothing": 0, "warmup_epochs": 0, "augment": True}
"""Settings of the published code that none of the documents changes."""


def settings_of(run: Run) -> dict[str, Any]:
    """Return all that decides what a run learns, apart from its seed."""
    without = _WITHOUT_EFFECT if "view" in run.about["data"] else (*_WITHOUT_EFFECT, *_OF_STREAMS)
    config = {name: value for name, value in run.config.items() if name not in without}
    config |= {"arch": run.about["arch"], "norm": run.about["norm"], "processes": run.about.get("processes", 1)}
    return config


def _key(run: Run) -> str:
    data = {name: run.about["data"].get(name) for name in _IMAGES}
    return json.dumps([settings_of(run), run.about.get("network"), data], sort_keys=True)


def grouped(runs: Sequence[Run]) -> list[list[Run]]:
    """Return the runs of each arm, in the order of the first run of each."""
    arms: dict[str, list[Run]] = {}
    for run in runs:
        arms.setdefault(_key(run), []).append(run)
    return list(arms.values())


def check_same_data(runs: Sequence[Run]) -> None:
    """Raise an error if runs have different tasks, or were tested on different images.

    Parameters
    ----------
    runs : sequence of Run
        All runs of a comparison.

    Raises
    ------
    DataError
        If runs that segment are among others, or two runs have different data sets, or different numbers of test
        images.
    """
    by_task: dict[str, list[str]] = {}
    for run in runs:
        by_task.setdefault("segmentation" if run.segments else "classification", []).append(run.path)
    if len(by_task) > 1:
        tasks = "; ".join(f"{_listed(paths)} of {task}" for task, paths in by_task.items())
        raise DataError(
            f"runs of classification and of segmentation cannot be compared; name runs of one kind. They are: {tasks}"
        )
    by_data: dict[str, list[str]] = {}
    for run in runs:
        data = run.about["data"]
        by_data.setdefault(f"{data.get('test_images')} images of {data.get('name')}", []).append(run.path)
    if len(by_data) > 1:
        tested = "; ".join(f"{_listed(paths)} on {images}" for images, paths in by_data.items())
        raise DataError(
            "runs that were tested on different data cannot be compared; name the runs of one data set. Tested were"
            f" {tested}"
        )


def _listed(paths: Sequence[str]) -> str:
    """Return names in a sentence, the first of many with the number of the others."""
    shown = paths if len(paths) <= _MOST_LISTED else paths[: _MOST_LISTED - 1]
    more = f" and {len(paths) - len(shown)} more" if len(shown) < len(paths) else ""
    return ", ".join(shown) + more


def names_of(arms: Sequence[Sequence[Run]]) -> tuple[list[str], tuple[str, ...]]:
    """Return a name for each arm: its normalisation, and the settings in which the arms differ.

    Parameters
    ----------
    arms : sequence of sequences of Run
        Runs of each arm.

    Returns
    -------
    names : list of str
        Names such as "bn" and "deconv", or "bn, decay 0.005". Where names would be equal, as settings are but networks
        or images are not, or as long names are cut, the folder of the first run follows: "bn (cifar10-vgg16-bn-2)".
    remarks : tuple of str
        For each name that folders follow, a line that says in what these arms differ.
    """
    settings = [settings_of(arm[0]) for arm in arms]
    keys = list(dict.fromkeys(key for each in settings for key in each))
    differing = [key for key in keys if len({json.dumps(each.get(key)) for each in settings}) > 1]
    first = [key for key in ("arch", "norm") if key in differing] or ["norm"]
    others = [key for key in differing if key not in first]
    full = [[str(each[key]) for key in first] + [_part(key, each.get(key)) for key in others] for each in settings]
    # Without the settings that were left at nothing, unless names need them.
    given = [
        [str(each[key]) for key in first] + [_part(key, each[key]) for key in others if each.get(key)]
        for each in settings
    ]
    parts = given if len(set(map(tuple, given))) == len(given) else full
    names = [
        name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1].rstrip(', ')}…" for name in map(", ".join, parts)
    ]
    alike = {name: [arm for arm, other in zip(arms, names, strict=True) if other == name] for name in names}
    remarks = tuple(_difference(name, members) for name, members in alike.items() if len(members) > 1)
    folders = [_folder(arm, alike[name]) for name, arm in zip(names, arms, strict=True)]
    return [f"{name} ({folder})" if folder else name for name, folder in zip(names, folders, strict=True)], remarks


def _folder(arm: Sequence[Run], alike: Sequence[Sequence[Run]]) -> str:
    """Return the folder of an arm's first run, as far as it tells apart arms whose names are equal; else ""."""
    if len(alike) == 1:
        return ""
    last = [os.path.basename(os.path.normpath(other[0].path)) for other in alike]
    return os.path.basename(os.path.normpath(arm[0].path)) if len(set(last)) == len(last) else arm[0].path


def _difference(name: str, arms: Sequence[Sequence[Run]]) -> str:
    """Say in what arms differ whose names are equal."""
    known = [_all_of(arm[0]) for arm in arms]
    keys = dict.fromkeys(key for each in known for key in each)
    differing = [key for key in keys if len({json.dumps(each.get(key)) for each in known}) > 1]
    shown = ", ".join(differing[:_MOST_KEYS]) + (" and others" if len(differing) > _MOST_KEYS else "")
    return f"{name}: the folder of the first run tells {len(arms)} arms apart, whose run.json files differ in {shown}"


def _all_of(run: Run) -> dict[str, Any]:
    """Return all that sets arms apart, by keys such as network.layers.conv.norm of the run's run.json."""
    data = {name: run.about["data"].get(name) for name in _IMAGES}
    return _flat("config", settings_of(run)) | _flat("network", run.about.get("network")) | _flat("data", data)


def _flat(key: str, value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {key: value}
    return {name: each for inner, within in value.items() for name, each in _flat(f"{key}.{inner}", within).items()}


def _part(key: str, value: object) -> str:
    word = _WORDS.get(key, key.replace("_", " "))
    if value is None:
        return f"default {word or key}" if key != "images" else "all images"
    if isinstance(value, bool):
        return word if value else f"no {word}"
    return f"{word} {value:g}".strip() if isinstance(value, int | float) else f"{word} {value}".strip()


def references(run: Run) -> tuple[Reference, ...]:
    """Return the published numbers beside which the accuracy of an arm stands, at most one of each document.

    Parameters
    ----------
    run : Run
        A run of the arm.

    Returns
    -------
    tuple of Reference
        Numbers for the same network, data set, number of epochs, batch size and normalisation: of each document the one
        whose other settings differ least. Empty for runs on fewer images or steps.
    """
    settings = settings_of(run)
    norm = _NORMS.get(str(settings["norm"]))
    if norm is None or settings.get("images") is not None or settings.get("max_steps") is not None:
        return ()
    wanted = {
        "arch": EARLIER_NAMES.get(str(settings["arch"]), settings["arch"]),
        "dataset": run.about["data"].get("name"),
        "norm": norm,
        "epochs": settings.get("epochs"),
        "batch_size": (settings.get("batch_size") or 0) * settings["processes"],
    }
    entries = matching(wanted)
    chosen = []
    for name, document in _DOCUMENTS.items():
        of_document = [entry for entry in entries if document in entry.documents]
        if of_document:
            nearest = min(of_document, key=lambda entry: len(_differences(entry, settings)))
            chosen.append(_reference(name, nearest, settings))
    return tuple(chosen)


def _differences(entry: Entry, settings: Mapping[str, Any]) -> list[str]:
    """Return in words in which settings a published number differs from a run, as far as both are known."""
    words = []
    conditions = {**_PUBLISHED_CODE, **entry.conditions}
    for name in (*_COMPARED, *_PUBLISHED_CODE):
        published, ours = conditions.get(name), settings.get(name)
        if published is not None and ours is not None and published != ours:
            words.append(f"{name} {published} instead of {ours}")
    if settings.get("holdout"):
        words.append(f"no images held out instead of {settings['holdout']}")
    return words


def _reference(name: str, entry: Entry, settings: Mapping[str, Any]) -> Reference:
    return Reference(
        document=name,
        id=entry.id,
        value=entry.value,
        n=entry.n,
        spread=entry.spread,
        split=entry.split or "unclear",
        doubt=entry.doubt,
        differs=tuple(_differences(entry, settings)),
    )
