"""Tables 1, 2 and 4 of Ye et al. 2020: accuracies and sizes of networks. Both versions have the same table 1."""

from collections.abc import Iterator
from typing import Any

from ndtools.published.entry import Entry

__all__ = ["BLOCKS", "PAPER", "TABLE_1_NETWORKS", "TABLE_1_RECIPE"]

BOTH = ("paper-v1", "paper-v2")
TABLE_1_NETWORKS = {
    "VGG-16": "vgg16",
    "ResNet-18": "resnet18",
    "Preact-18": "preact_resnet18",
    "DenseNet-121": "densenet121",
    "ResNext-29": "resnext29_32x4d",
    "MobileNet v2": "mobilenet_v2",
    "DPN-92": "dpn92",
    "PNASNetA": "pnasnet_a",
    "SENet-18": "senet18",
    "EfficientNet": "efficientnet_b0",
}
"""Names of the networks of this package, by those of table 1."""

TABLE_1_RECIPE: dict[str, Any] = {
    "batch_size": 128,
    "lr": 0.1,
    "weight_decay": 0.001,
    "opt": "sgd",
    "momentum": 0.9,
    "sched": "cosine",
    "loss": "ce",
}
"""Settings of all runs of table 1; momentum, schedule and loss are the defaults of the published code."""

BLOCKS: dict[str, Any] = {"block_size": 64}
"""Settings of the runs with deconvolution beside those of all runs."""

# BN 1, ND 1, BN 20, ND 20, BN 100, ND 100 epochs on CIFAR-10, and the same on CIFAR-100; per cent.
_TABLE_1 = """
VGG-16        14.12 74.18 90.07 93.25 93.58 94.56   2.01 37.94 63.22 71.97 72.75 75.32
ResNet-18     56.25 72.89 92.64 94.07 94.87 95.40  16.10 35.73 72.67 76.55 77.70 78.63
Preact-18     55.15 72.70 91.93 94.10 94.37 95.44  15.17 36.52 70.79 76.04 76.14 79.14
DenseNet-121  59.56 76.63 93.25 94.89 94.71 95.88  17.90 42.91 74.79 77.63 77.99 80.69
ResNext-29    52.14 69.22 93.12 94.05 95.15 95.80  17.98 30.93 74.26 77.35 78.60 80.34
MobileNet v2  54.29 65.40 89.86 92.52 90.51 94.35  15.88 29.01 66.31 72.33 67.52 74.90
DPN-92        34.00 53.02 92.87 93.74 95.14 95.82   8.84 21.89 74.87 76.12 78.87 80.38
PNASNetA      21.81 64.19 75.85 81.97 81.22 84.45  10.49 36.52 44.60 55.65 54.52 59.44
SENet-18      57.63 67.21 92.37 94.11 94.57 95.38  16.60 32.22 71.10 75.79 76.41 78.63
EfficientNet  35.40 55.67 84.21 86.78 86.07 88.42  19.03 22.40 57.23 57.59 59.09 62.37
"""
_SIZES = (14.71, 11.17, 11.17, 6.88, 4.76, 2.28, 34.18, 0.13, 11.26, 2.91)  # millions, in the order of the table
_EFFICIENTNET = (
    "the published EfficientNet with deconvolution has one deconvolution layer, and keeps 50 batch normalisations"
)
_PNASNET = "a third party's three runs of the published code ended at 46 to 66 % (ReScience, table 1)"
_VGG_16 = "VGG-16 has 14.72 million parameters with its last layer, and 14.71 million without"


def _sizes() -> Iterator[Entry]:
    for (name, arch), value in zip(TABLE_1_NETWORKS.items(), _SIZES, strict=True):
        yield Entry(
            id=f"table1/{arch}/parameters",
            documents=BOTH,
            where=f"table 1, {name}",
            value=value,
            unit="million",
            metric="parameters",
            conditions={"arch": arch},
            note="neither the arm nor the number of classes is stated; they fit deconvolution and ten classes",
            doubt=_VGG_16 if name == "VGG-16" else None,
        )


def _table_1() -> Iterator[Entry]:
    columns = [(data, epochs, norm) for data in ("cifar10", "cifar100") for epochs in (1, 20, 100) for norm in _ARMS]
    for line in _TABLE_1.strip().splitlines():
        name, values = line[:14].strip(), line[14:].split()
        arch = TABLE_1_NETWORKS[name]
        for (data, epochs, norm), printed in zip(columns, values, strict=True):
            yield Entry(
                id=f"table1/{arch}/{data}/{norm}/{epochs}",
                documents=BOTH,
                where=f"table 1, {name}",
                value=float(printed),
                printed=(printed,),
                unit="%",
                metric="top-1 accuracy",
                split="test",
                conditions={"arch": arch, "dataset": data, "norm": norm, "epochs": epochs, **TABLE_1_RECIPE}
                | (BLOCKS if norm == "nd" else {}),
                note=_EFFICIENTNET if (name, norm) == ("EfficientNet", "nd") else None,
                doubt=_PNASNET if (arch, data, norm, epochs) == ("pnasnet_a", "cifar10", "bn", 20) else None,
            )


_ARMS = ("bn", "nd")
_IMAGENET: dict[str, Any] = {
    "dataset": "imagenet",
    "epochs": 90,
    "batch_size": 256,
    "weight_decay": 0.0001,
    "opt": "sgd",
    "sched": "cosine",
}
_RATES = {"vgg11": 0.01, "resnet18": 0.1, "densenet121": 0.1}
# Network, norm, top-1 and top-5 of the first version, and of the second where it has other values; per cent.
_TABLE_2: tuple[tuple[str, str, tuple[float, float], tuple[float, float] | None], ...] = (
    ("vgg11", "none", (69.02, 88.63), None),
    ("vgg11", "bn", (70.38, 89.81), None),
    ("vgg11", "nd", (71.95, 90.49), None),
    ("resnet18", "bn", (69.76, 89.08), None),
    ("resnet18", "nd", (71.10, 90.20), (71.24, 90.14)),
    ("densenet121", "bn", (74.65, 92.17), None),
    ("densenet121", "nd", (75.42, 92.73), (75.73, 92.75)),
)
_NAMES = {"vgg11": "VGG-11", "resnet18": "ResNet-18", "densenet121": "DenseNet-121"}


def _table_2() -> Iterator[Entry]:
    for arch, norm, first, second in _TABLE_2:
        printed = [(BOTH, first, "")] if second is None else [(BOTH[:1], first, "/v1"), (BOTH[1:], second, "/v2")]
        for documents, values, suffix in printed:
            for k, value in zip((1, 5), values, strict=True):
                yield Entry(
                    id=f"table2/{arch}/{norm}/top{k}{suffix}",
                    documents=documents,
                    where=f"table 2, {_NAMES[arch]}",
                    value=value,
                    printed=(f"{value:.2f}",),  # as all of the table
                    unit="%",
                    metric=f"top-{k} accuracy",
                    split="test",
                    conditions={"arch": arch, "norm": norm, "lr": _RATES[arch], **_IMAGENET}
                    | (BLOCKS if norm == "nd" else {}),
                    note="validation images of ImageNet"
                    + ("; the reference of the model zoo of PyTorch" if norm != "nd" else ""),
                    doubt=_differ(first[k // 5], second[k // 5]) if second else None,
                )


def _differ(first: float, second: float) -> str:
    return f"the versions of the paper differ: {first} in the first, {second} in the second"


# Batch size, accuracy in per cent, learning rate, eps, iterations.
_TABLE_4 = (
    (2, 89.12, 0.001, 0.01, 2),
    (8, 91.26, 0.01, 0.01, 2),
    (32, 91.18, 0.01, 1e-5, 5),
    (128, 91.56, 0.1, 1e-5, 5),
    (512, 91.66, 0.5, 1e-5, 5),
    (2048, 90.64, 1.0, 1e-5, 5),
)


def _table_4() -> Iterator[Entry]:
    for batch_size, value, lr, eps, n_iter in _TABLE_4:
        yield Entry(
            id=f"table4/{batch_size}",
            documents=("paper-v2",),
            where="table 4",
            value=value,
            unit="%",
            metric="top-1 accuracy",
            split="test",
            conditions={"norm": "nd", "batch_size": batch_size, "lr": lr, "eps": eps, "n_iter": n_iter},
            note="the headings of the table are lost in the text: they are read as batch size, accuracy, learning rate,"
            " eps and Newton-Schulz iterations",
            doubt="neither the network nor the data set nor the number of epochs is named; VGG-11 on CIFAR-10 for 20"
            " epochs would fit",
        )


PAPER: tuple[Entry, ...] = (*_sizes(), *_table_1(), *_table_2(), *_table_4())
"""All entries of the paper."""
