"""Numbers of the reproducibility report of the University of Southampton (Jiang, Wu, Zhu and Zhang): tables 1 to 4."""

from collections.abc import Iterator
from typing import Any

from ndtools.published.entry import Entry

__all__ = ["REPORT"]

_DOCUMENT: dict[str, Any] = {"documents": ("report-2021",)}
_ACCURACY: dict[str, Any] = {**_DOCUMENT, "split": "test", "unit": "%", "metric": "top-1 accuracy"}
_SECONDS: dict[str, Any] = {**_DOCUMENT, "unit": "s", "metric": "training time"}
_RECIPE: dict[str, Any] = {"opt": "sgd", "lr": 0.1}
_HARDWARE = "NVIDIA GeForce RTX 2060, 6 GB"


def _table_1() -> Iterator[Entry]:
    rows = (("none", 26.71, 35.43), ("bn", 35.07, 38.76), ("nd", 36.22, 38.89))
    for number, (norm, *values) in enumerate(rows, 1):
        for epoch, value in zip((1, 20), values, strict=True):
            yield Entry(
                id=f"report1/{norm}/{epoch}",
                where=f"table 1, Simple CNN {number}",
                value=value,
                conditions={
                    "arch": "simple_cnn",
                    "dataset": "cifar10",
                    "norm": norm,
                    "epochs": 20,
                    "epoch": epoch,
                    "batch_size": 128,
                },
                note="the report describes neither the network nor the images that the accuracy was measured on",
                **(_ACCURACY | {"split": "unclear"}),
            )


# BN 1, ND 1, BN 20, ND 20 epochs on CIFAR-10 in per cent, seconds of BN and ND, BN 1 and ND 1 on CIFAR-100 in per cent.
_TABLE_2 = {
    ("EfficientNet-B0", "efficientnet_b0"): (36.21, 57.54, 84.32, 87.85, 23.5, 23.8, 11.09, 19.69),
    ("MonileNet-V2", "mobilenet_v2"): (44.28, 54.21, 90.34, 92.23, 49.3, 157.0, 9.16, 19.07),
    ("VGG-11", "vgg11"): (30.69, 72.57, 89.2, 91.42, 16.3, 42.9, 2.75, 36.02),
    ("VGG-16", "vgg16"): (15.83, 70.95, 90.24, 93.1, 24.5, 75.5, 1.7, 31.33),
}
_COLUMNS = (
    ("cifar10", "bn", 1),
    ("cifar10", "nd", 1),
    ("cifar10", "bn", 20),
    ("cifar10", "nd", 20),
    ("cifar10", "bn", None),
    ("cifar10", "nd", None),
    ("cifar100", "bn", 1),
    ("cifar100", "nd", 1),
)


def _table_2() -> Iterator[Entry]:
    for (name, arch), values in _TABLE_2.items():
        for (data, norm, epochs), value in zip(_COLUMNS, values, strict=True):
            conditions = {"arch": arch, "dataset": data, "norm": norm, **_RECIPE, "hardware": _HARDWARE}
            if epochs is None:
                yield Entry(
                    id=f"report2/{arch}/{norm}/seconds",
                    where=f"table 2, {name}",
                    value=value,
                    conditions=conditions,
                    doubt="the header of the table has CIFAR-100 accuracies in this column; the caption and the size of"
                    " the values say seconds, and not of how many epochs",
                    **_SECONDS,
                )
                continue
            yield Entry(
                id=f"report2/{arch}/{data}/{norm}/{epochs}",
                where=f"table 2, {name}",
                value=value,
                conditions=conditions | {"epochs": epochs, "batch_size": 128},
                note="the batch size of 128 is that of the published code; the report does not state it",
                **_ACCURACY,
            )


def _table_3() -> Iterator[Entry]:
    rows = (
        ("ResNet-50", "resnet50", 81.93, 90.42, 137.5, 261.0),
        ("ResNext-29", "resnext29_32x4d", 87.21, 92.26, 126.0, 732.0),
    )
    for name, arch, *values in rows:
        for (norm, accuracy), value in zip(
            (("bn", True), ("nd", True), ("bn", False), ("nd", False)), values, strict=True
        ):
            yield Entry(
                id=f"report3/{arch}/{norm}" + ("" if accuracy else "/seconds"),
                where=f"table 3, {name}",
                value=value,
                conditions={
                    "arch": arch,
                    "dataset": "cifar10",
                    "norm": norm,
                    "epochs": 10,
                    **_RECIPE,
                    "hardware": _HARDWARE,
                },
                note='"with smaller batch size", which the report does not state',
                **(_ACCURACY if accuracy else _SECONDS),
            )


# Accuracy in per cent with one setting changed; the others are SGD, cross-entropy and blocks of 64 channels.
_TABLE_4 = {
    ("VGG-11", "vgg11"): (91.42, 79.5, 91.42, 90.9, 91.73, 91.42, 91.05),
    ("VGG-16", "vgg16"): (93.1, 69.92, 93.1, 92.43, 92.9, 93.1, 93.22),
    ("EfficientNet-B0", "efficientnet_b0"): (87.85, 33.21, 87.85, 87.22, 87.78, 87.85, 87.85),
}
_CHANGES: dict[str, dict[str, Any]] = {
    "sgd": {"opt": "sgd"},
    "adam": {"opt": "adam"},
    "ce": {"loss": "ce"},
    "l2": {"loss": "l2"},
    "block32": {"block_size": 32},
    "block64": {"block_size": 64},
    "block128": {"block_size": 128},
}


def _table_4() -> Iterator[Entry]:
    base = {"opt": "sgd", "lr": 0.1, "momentum": 0.9, "loss": "ce", "block_size": 64, "epochs": 20, "batch_size": 128}
    for (name, arch), values in _TABLE_4.items():
        for (change, settings), value in zip(_CHANGES.items(), values, strict=True):
            yield Entry(
                id=f"report4/{arch}/{change}",
                where=f"table 4, {name}",
                value=value,
                conditions={"arch": arch, "dataset": "cifar10", "norm": "nd", **base, **settings},
                note="the batch size of 128 is that of the published code; the report does not state it",
                doubt="the learning rate of 0.1 of SGD seems to have been used for Adam, too"
                if change == "adam"
                else None,
                **_ACCURACY,
            )


REPORT: tuple[Entry, ...] = (*_table_1(), *_table_2(), *_table_3(), *_table_4())
"""All entries of the report."""
