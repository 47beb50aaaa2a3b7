"""What is published: whole entries and claims, whose words and remarks agree with the sources and with one another."""

import re
import statistics
from collections import Counter

import pytest

from ndtools.published.claims.cost import COST
from ndtools.published.claims.images import IMAGES
from ndtools.published.claims.others import OTHERS
from ndtools.published.claims.theory import THEORY
from ndtools.published.claims.training import TRAINING
from ndtools.published.entry import DOCUMENTS
from ndtools.published.paper import TABLE_1_NETWORKS
from ndtools.published.registry import CLAIMS, ENTRIES, beside
from tests.places import ROOT
from tests.published.sources import likeness, source

QUOTED = [entry for entry in ENTRIES.values() if entry.quote is not None]
UNITS = {"%", "s", "million", "times", "points", "iterations", "features", ""}
ITEM = re.compile(r"fig([1-9]|1[0-2])|table[1-4]|report[1-4]|prop[1-3]|equivalence|cost|testing")


def value(key):
    return ENTRIES[key].value


def test_every_published_number_is_counted():
    tables = Counter(key.split("/")[0] for key in ENTRIES)
    assert tables == {
        "table1": 10 * (12 + 1),
        "table2": 2 * (7 + 2),  # two of seven columns differ between the versions
        "table3": 22 * 4,
        "table4": 6,
        "text": 9,
        "report1": 6,
        "report2": 4 * 8,
        "report3": 2 * 4 + 2,
        "report4": 3 * 7,
        "rescience": 120 * 2 + 7 * 3,
    }
    documents = Counter(document for entry in ENTRIES.values() for document in entry.documents)
    assert documents == {"paper-v1": 213, "paper-v2": 239, "report-2021": 69, "rescience-2025": 261}
    # A dictionary would hide an ID that is there twice.
    assert len(CLAIMS) == sum(map(len, (THEORY, IMAGES, TRAINING, COST, OTHERS)))
    assert Counter(claim.documents[0] for claim in CLAIMS.values()) == {
        "paper-v1": 40,
        "paper-v2": 6,
        "report-2021": 7,
        "summary": 1,
    }


def test_entries_are_whole():
    for key, entry in ENTRIES.items():
        assert entry.id == key
        assert entry.documents and set(entry.documents) <= set(DOCUMENTS)
        assert entry.unit in UNITS and entry.value > 0 and entry.where and entry.metric
        assert entry.unit != "%" or entry.value < 100
        assert entry.upper is None or entry.upper > entry.value
        assert (entry.spread is not None) == bool(entry.runs) == (entry.n == 3)
        assert (entry.split is not None) == ("accuracy" in entry.metric), key
        assert entry.conditions or key == "text/vanilla-explodes"


def test_numbers_are_shown_as_they_were_printed():
    for key, entry in ENTRIES.items():
        values = entry.runs or tuple(each for each in (entry.value, entry.upper) if each is not None)
        if entry.printed:
            assert tuple(map(float, entry.printed)) == values, key
        shown = entry.runs_in_words if entry.runs else entry.in_words.removesuffix(entry.unit)
        assert tuple(map(float, re.split(", | to ", shown.strip()))) == values, key
    words = {
        "table1/resnet18/cifar10/nd/100": "95.40 %",
        "table2/resnet18/nd/top1/v1": "71.10 %",
        "table3/1/convolution": "0.50 s",
        "table3/17/convolution": "0.69 s",
        "table3/20/convolution": "1.00 s",
        "table4/2": "89.12 %",
        "report2/vgg16/cifar10/nd/20": "93.1 %",
        "report3/resnet50/nd/seconds": "261 s",
        "text/slow-down": "10 to 30 %",
        "rescience/vgg16/cifar10/bn/20": "90.36 ± 0.22 %",
    }
    assert {key: ENTRIES[key].in_words for key in words} == words
    assert ENTRIES["rescience/resnext29_32x4d/cifar10/nd/1"].runs_in_words == "69.88, 69.0, 69.17"


@pytest.mark.parametrize("document", ["paper-v1", "paper-v2", "report-2021"])
def test_the_digits_of_tables_stand_in_the_documents(document):
    text = source(document)
    for entry in ENTRIES.values():
        if entry.quote is None and document in entry.documents and "/parameters" not in entry.id:
            digits = re.escape(entry.in_words.split()[0])
            assert re.search(rf"(?<![\d.]){digits}(?![\d])", text), (entry.id, entry.in_words)


def test_claims_are_whole():
    for key, claim in CLAIMS.items():
        assert claim.id == key and re.fullmatch(r"claim/[a-z0-9-]+", key)
        assert claim.documents and set(claim.documents) <= set(DOCUMENTS)
        assert ITEM.fullmatch(claim.decided_by), key
        assert claim.statement[0].isupper() and claim.statement.endswith("."), key
        assert 5 <= len(claim.statement.split()) <= 40, key
        assert claim.where and "  " not in claim.quote + claim.statement
    assert not set(CLAIMS) & set(ENTRIES)


@pytest.mark.parametrize(
    "item", [*(f"prop{i}" for i in (1, 2, 3)), *(f"table{i}" for i in (1, 2, 3, 4)), "fig2", "fig7"]
)
def test_items_have_claims_to_decide(item):
    assert any(claim.decided_by == item for claim in CLAIMS.values())


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=lambda claim: claim.id)
def test_claims_are_quoted_to_the_letter(claim):
    first, *others = claim.documents
    assert claim.quote in source(first)
    for document in others:
        assert likeness(claim.quote, source(document)) > 0.7


@pytest.mark.parametrize("entry", QUOTED, ids=lambda entry: entry.id)
def test_numbers_in_sentences_are_quoted_to_the_letter(entry):
    first, *others = entry.documents
    assert entry.quote in source(first)
    for document in others:
        assert likeness(entry.quote, source(document)) > 0.7
    words = {1: "once", 2: "twice", 6: "6"}
    for number in (entry.value, entry.upper):
        if number is not None:
            printed = f"{number:g}"
            assert re.search(rf"(?<![\d.]){re.escape(printed)}(?![\d.]\d)", entry.quote) or words[number] in entry.quote


def test_the_second_version_has_lost_these_numbers():
    text = source("paper-v2")
    for entry in QUOTED:
        if entry.documents == ("paper-v1",):
            assert "lost" in entry.note
            assert entry.quote not in text


def test_a_wrong_quote_is_noticed():
    text = "We train for ten epochs. The loss falls quickly with whitening, as fig. 2 shows."
    assert likeness("The loss falls quickly with whitening", text) == 1
    assert likeness("The loss rises slowly without any whitening", text) < 0.7


def test_numbers_in_sentences_agree_with_the_tables():
    plain, bn, nd = (value(f"table2/vgg11/{norm}/top1") for norm in ("none", "bn", "nd"))
    assert value("text/gain-of-batch-normalisation") == pytest.approx(bn - plain)
    assert "2.93 and 1.36" in ENTRIES["text/gain-of-deconvolution"].note
    assert nd - plain == pytest.approx(2.93) and bn - plain == pytest.approx(1.36)
    assert "2.15 times" in ENTRIES["text/gain-of-deconvolution"].note
    assert (nd - plain) / (bn - plain) == pytest.approx(2.15, abs=0.005)
    assert nd > value("text/vgg13-reference")
    for arch, ratio in (("resnet50", "1.90"), ("resnext29_32x4d", "5.81")):
        measured = value(f"report3/{arch}/nd/seconds") / value(f"report3/{arch}/bn/seconds")
        assert f"{measured:.2f}" == ratio and ratio in ENTRIES[f"report3/{arch}/slow-down"].note
        assert round(measured) == value(f"report3/{arch}/slow-down")


def test_claims_about_table_1_are_described_by_table_1():
    cells = [(arch, data) for arch in TABLE_1_NETWORKS.values() for data in ("cifar10", "cifar100")]
    gains = {
        (arch, data, n): value(f"table1/{arch}/{data}/nd/{n}") - value(f"table1/{arch}/{data}/bn/{n}")
        for arch, data in cells
        for n in (1, 20, 100)
    }
    assert min(gains.values()) > 0  # claim/every-network
    first = {key: gain for key, gain in gains.items() if key[2] == 1}
    note = CLAIMS["claim/first-epoch"].note
    assert min(first, key=first.get) == ("efficientnet_b0", "cifar100", 1) and f"{min(first.values()):.2f}" in note
    assert max(first, key=first.get) == ("vgg16", "cifar10", 1) and f"{max(first.values()):.2f}" in note
    early = {
        (arch, data): value(f"table1/{arch}/{data}/nd/20") - value(f"table1/{arch}/{data}/bn/100")
        for arch, data in cells
    }
    note = CLAIMS["claim/twenty-epochs"].note
    assert min(early, key=early.get) == ("dpn92", "cifar100") and f"{min(early.values()):+.2f}" in note
    assert max(early, key=early.get) == ("mobilenet_v2", "cifar100") and f"{max(early.values()):+.2f}" in note


def test_doubts_about_cost_are_those_of_the_published_times():
    shares = {
        row: sum(value(f"table3/{row}/{stage}") for stage in ("im2col", "covariance", "inverse"))
        / value(f"table3/{row}/convolution")
        for row in range(1, 23)
    }
    doubt = CLAIMS["claim/fraction-of-convolution"].doubt
    assert sorted(shares, key=shares.get)[-2:] == [2, 19]
    assert f"{shares[2]:.0%} of".replace("%", " %") in doubt and f"{shares[19]:.0%} in".replace("%", " %") in doubt
    slower = [
        value(f"rescience/{arch}/imagenet/nd/90/seconds") / value(f"rescience/{arch}/imagenet/bn/90/seconds") - 1
        for arch in ("vgg11", "resnet18", "densenet121")
    ]
    words = f"{100 * min(slower):.0f} to {100 * max(slower):.0f} %"
    assert words in CLAIMS["claim/slow-down"].doubt and words in ENTRIES["text/slow-down"].doubt
    repeated = [ENTRIES[f"table3/{row}/im2col"] for row in (2, 6, 10)]
    assert all(f"{entry.value:g}" in entry.doubt for entry in repeated)
    assert max(e.value for e in repeated) / min(e.value for e in repeated) == pytest.approx(1.2, abs=0.02)


def test_doubts_about_gains_are_those_of_the_published_accuracies():
    gains = [value(f"table2/resnet18/nd/top5/{v}") - value("table2/resnet18/bn/top5") for v in ("v2", "v1")]
    doubt = CLAIMS["claim/summary-small-gain"].doubt
    assert all(f"{gain:.2f}" in doubt and gain > 1 for gain in gains)
    dense = [value(f"rescience/densenet121/imagenet/{norm}/90/top1") for norm in ("nd", "bn")]
    assert dense[0] < dense[1] and all(f"{number:g} %" in CLAIMS["claim/imagenet"].doubt for number in dense)
    runs = ENTRIES["rescience/pnasnet_a/cifar10/bn/20"].runs
    assert f"{min(runs):.0f} to {max(runs):.0f} %" in ENTRIES["table1/pnasnet_a/cifar10/bn/20"].doubt
    lead = value("report1/nd/20") - value("report1/bn/20")
    assert f"{lead:.2f} points" in CLAIMS["claim/report-simple-networks"].doubt
    accuracies = [value(key) for key in ENTRIES if key.startswith("table4/")]
    assert f"{min(accuracies):g} to {max(accuracies):g} %" in CLAIMS["claim/all-batch-sizes"].note


def test_sizes_are_those_of_the_networks():
    """The page lists the parameters of the networks as built, which tests/docs compares with the networks."""
    listed = re.findall(r"^\| `(\w+)` \| \S+ \| ([\d,]+) \|", (ROOT / "docs" / "networks.md").read_text(), re.MULTILINE)
    counts = {arch: int(count.replace(",", "")) for arch, count in listed}
    for arch in TABLE_1_NETWORKS.values():
        entry = ENTRIES[f"table1/{arch}/parameters"]
        last = 512 * 10 + 10 if entry.doubt else 0  # VGG-16 alone is printed without its last layer
        assert f"{(counts[arch] - last) / 1e6:.2f}" == f"{entry.value:.2f}", arch
        assert bool(entry.doubt) == (arch == "vgg16")


def test_third_party_times_are_those_of_the_summary():
    text = source("rescience-2025")
    ratios = {
        arch: value(f"rescience/{arch}/cifar10/nd/100/seconds") / value(f"rescience/{arch}/cifar10/bn/100/seconds")
        for arch in TABLE_1_NETWORKS.values()
    }
    assert f"EfficientNet {ratios.pop('efficientnet_b0'):.2f}" in text
    low, middle, high = min(ratios.values()), statistics.median(ratios.values()), max(ratios.values())
    assert f"{low:.1f} to {high:.1f}, median {middle:.1f}" in text


def test_what_stands_beside_a_number_has_its_conditions():
    ids = {other.id for other in beside(ENTRIES["table1/vgg16/cifar10/nd/20"])}
    assert {"report2/vgg16/cifar10/nd/20", "report4/vgg16/sgd", "rescience/vgg16/cifar10/nd/20"} <= ids
    assert not {"report4/vgg16/adam", "report4/vgg16/l2", "report4/vgg16/block32"} & ids
    assert all("bn" not in key.split("/") and "seconds" not in key for key in ids)
    assert [other.id for other in beside(ENTRIES["table2/vgg11/nd/top5"])] == ["rescience/vgg11/imagenet/nd/90/top5"]
    for key in ("table3/1/im2col", "table4/128", "text/slow-down", "report1/bn/1", "table1/vgg16/parameters"):
        assert beside(ENTRIES[key]) == []
    for entry in ENTRIES.values():
        for other in beside(entry):
            assert entry in beside(other)
            assert entry.unit == other.unit
