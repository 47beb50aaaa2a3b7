"""Published numbers of tables agree with the texts that publish them, cell by cell."""

import csv
import re
import statistics

import pytest

from ndtools.published.paper import TABLE_1_NETWORKS
from ndtools.published.registry import ENTRIES, matching
from tests.places import paper

FIRST, SECOND = "000_369f27ac650decbf.txt", "001_728ff9123c406c22.txt"
REPORT, THIRD = "003_06dbc1920ee58956.txt", "rescience_2025_table1.csv"
CELLS = [(data, norm, n) for data in ("cifar10", "cifar100") for n in (1, 20, 100) for norm in ("bn", "nd")]


def row(text, name, columns, skip=0):
    """Return the numbers of the table's row that begins with a name; those of the (skip+1)-th such row."""
    rows = [line for line in text.splitlines() if line.startswith(name) and len(numbers(line[len(name) :])) == columns]
    return numbers(rows[skip][len(name) :])


def numbers(text):
    return [float(word.rstrip("%")) for word in re.findall(r"(?<![\w.])\d*\.?\d+%?(?![\w.])", text)]


def used(prefix):
    return {key for key in ENTRIES if key.startswith(prefix)}


@pytest.mark.parametrize("version", [FIRST, SECOND])
def test_table_1(version):
    text = paper(version).read_text()
    seen = set()
    for name, arch in TABLE_1_NETWORKS.items():
        line = next(line for line in text.splitlines() if re.match(rf"{re.escape(name)}\s+\d+\.\d+M\s", line))
        size, *values = numbers(line[len(name) :].replace("M", " "))
        assert len(values) == 12
        entry = ENTRIES[f"table1/{arch}/parameters"]
        assert entry.value == size, entry.id
        seen.add(entry.id)
        for (data, norm, epochs), value in zip(CELLS, values, strict=True):
            entry = ENTRIES[f"table1/{arch}/{data}/{norm}/{epochs}"]
            assert entry.value == value, entry.id
            assert entry.conditions["epochs"] == epochs
            seen.add(entry.id)
    assert seen == used("table1/") and len(seen) == 130


@pytest.mark.parametrize(("version", "suffix"), [(FIRST, "/v1"), (SECOND, "/v2")])
def test_table_2(version, suffix):
    text = paper(version).read_text()
    columns = [("vgg11", "none"), ("vgg11", "bn"), ("vgg11", "nd"), ("resnet18", "bn"), ("resnet18", "nd")]
    columns += [("densenet121", "bn"), ("densenet121", "nd")]
    seen = set()
    for k in (1, 5):
        for (arch, norm), value in zip(columns, row(text, f"ImageNet top-{k}", 7), strict=True):
            key = f"table2/{arch}/{norm}/top{k}"
            entry = ENTRIES.get(key) or ENTRIES[key + suffix]
            assert entry.value == value, entry.id
            assert {"/v1": "paper-v1", "/v2": "paper-v2"}[suffix] in entry.documents
            seen.add(entry.id)
    assert {key for key in used("table2/") if not key.endswith({"/v1": "/v2", "/v2": "/v1"}[suffix])} == seen


@pytest.mark.parametrize(("version", "document", "rows"), [(FIRST, "paper-v1", 15), (SECOND, "paper-v2", 22)])
def test_table_3(version, document, rows):
    """The first version has no column of kernel sizes."""
    lines = [numbers(line) for line in paper(version).read_text().splitlines() if re.fullmatch(r"[\d.\s]+", line)]
    lines = [line for line in lines if len(line) in (10, 11)]
    assert len(lines) == rows
    names = ("size", "size", "in_channels", "out_channels", "groups", "kernel_size", "sampling_stride")
    seen = set()
    for number, line in enumerate(lines, 1):
        layer, times = line[:-4], line[-4:]
        if len(layer) == 6:
            layer.insert(5, 3.0)
        for stage, value in zip(("im2col", "covariance", "inverse", "convolution"), times, strict=True):
            entry = ENTRIES[f"table3/{number}/{stage}"]
            assert entry.value == value, entry.id
            assert document in entry.documents
            assert [entry.conditions[name] for name in names] == layer
            assert (entry.conditions["stage"], entry.unit) == (stage, "s")
            seen.add(entry.id)
    assert seen == {key for key in used("table3/") if document in ENTRIES[key].documents}


def test_table_4():
    text = paper(SECOND).read_text()
    lines = re.findall(r"^(\d+) ([\d.]+)% (\S+) (\S+) (\d)$", text, re.MULTILINE)
    assert len(lines) == 6
    for batch_size, value, lr, eps, n_iter in lines:
        entry = ENTRIES[f"table4/{batch_size}"]
        assert entry.value == float(value)
        named = [entry.conditions[name] for name in ("batch_size", "lr", "eps", "n_iter")]
        assert named == [int(batch_size), float(lr), float(eps), int(n_iter)]


def test_the_report():
    text = paper(REPORT).read_text()
    seen = set()

    def check(key, value):
        assert ENTRIES[key].value == value, key
        seen.add(key)

    for number, norm in enumerate(("none", "bn", "nd"), 1):
        for epoch, value in zip((1, 20), row(text, f"Simple CNN {number}", 2), strict=True):
            check(f"report1/{norm}/{epoch}", value)
    names = {"EfficientNet-B0": "efficientnet_b0", "MonileNet-V2": "mobilenet_v2", "VGG-11": "vgg11", "VGG-16": "vgg16"}
    keys = ["cifar10/bn/1", "cifar10/nd/1", "cifar10/bn/20", "cifar10/nd/20", "bn/seconds", "nd/seconds"]
    keys += ["cifar100/bn/1", "cifar100/nd/1"]
    for name, arch in names.items():
        for key, value in zip(keys, row(text, name, 8), strict=True):
            check(f"report2/{arch}/{key}", value)
        if name != "MonileNet-V2":
            changes = ("sgd", "adam", "ce", "l2", "block32", "block64", "block128")
            for change, value in zip(changes, row(text, name, 7), strict=True):
                check(f"report4/{arch}/{change}", value)
    for name, arch in (("ResNet-50", "resnet50"), ("ResNext-29", "resnext29_32x4d")):
        for key, value in zip(("bn", "nd", "bn/seconds", "nd/seconds"), row(text, name, 4), strict=True):
            check(f"report3/{arch}/{key}", value)
    assert seen == {key for key in used("report") if ENTRIES[key].quote is None}


def test_the_third_party():
    with paper(THIRD).open() as file:
        rows = list(csv.DictReader(file))
    seen = set()
    for line in rows:
        arch = TABLE_1_NETWORKS[line["network"]]
        cell = f"{arch}/{line['dataset']}/{line['arm']}/{line['epochs']}"
        assert ENTRIES[f"table1/{cell}"].value == float(line["published_percent"])
        for key, column in (
            (f"rescience/{cell}", "run{}_percent"),
            (f"rescience/{cell}/seconds", "train_seconds_run{}"),
        ):
            entry = ENTRIES[key]
            assert entry.runs == tuple(float(line[column.format(i)]) for i in (1, 2, 3)), key
            assert entry.value == pytest.approx(sum(entry.runs) / 3, rel=1e-12)
            assert entry.spread == pytest.approx(statistics.stdev(entry.runs), rel=1e-12)
            seen.add(key)
        doubtful = line["dataset"] == "cifar100" or line["epochs"] == "100"
        entry = ENTRIES[f"rescience/{cell}"]
        assert (entry.split == "unclear", "training accuracy" in (entry.doubt or "")) == (doubtful, doubtful)
    text = paper("rescience_2025.md").read_text()
    imagenet = {key for key in used("rescience/") if "/imagenet/" in key}
    assert seen | imagenet == used("rescience/") and len(imagenet) == 21
    for key in imagenet:
        entry = ENTRIES[key]
        minutes = round(entry.value / 60)
        shown = f"{entry.value:g}" if entry.unit == "%" else f"{minutes // 60} h {minutes % 60} min"
        assert shown in text, key


def test_numbers_of_a_run_are_found():
    run = {"arch": "vgg16", "dataset": "cifar10", "norm": "nd", "epochs": 20, "batch_size": 128}
    found = {entry.id for entry in matching(run)}
    assert {"table1/vgg16/cifar10/nd/20", "report2/vgg16/cifar10/nd/20", "rescience/vgg16/cifar10/nd/20"} <= found
    assert not any("bn" in key or "seconds" in key for key in found)
    for name, other in (("epochs", 19), ("norm", "gn"), ("batch_size", 64), ("arch", "vgg13"), ("dataset", "svhn")):
        assert not matching(run | {name: other})
    # The report's accuracy after the first of 20 epochs is none of a run of one epoch, nor of one of 20.
    simple = {"arch": "simple_cnn", "dataset": "cifar10", "norm": "bn", "batch_size": 128}
    assert [entry.id for entry in matching(simple | {"epochs": 20})] == ["report1/bn/20"]
    assert not matching(simple | {"epochs": 1})
