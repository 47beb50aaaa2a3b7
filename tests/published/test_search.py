"""Words find the numbers and claims that have all of them."""

import pytest

from ndtools.published.registry import CLAIMS, ENTRIES
from ndtools.published.search import nearest_ids, search, shown_condition, unknown_words


def ids(*words, **settings):
    numbers, claims = search(words, **settings)
    return {item.id for item in (*numbers, *claims)}


def test_no_words_find_everything():
    numbers, claims = search([])
    assert (numbers, claims) == (list(ENTRIES.values()), list(CLAIMS.values()))


def test_all_words_must_occur():
    found = ids("vgg16", "CIFAR10", "nd")
    assert found == ids("vgg16") & ids("cifar10") & ids("nd")
    assert {"table1/vgg16/cifar10/nd/20", "report4/vgg16/block32", "rescience/vgg16/cifar10/nd/1/seconds"} <= found
    assert not any("cifar100" in name or "/bn/" in name for name in found)


def test_words_are_found_where_words_begin():
    assert "table1/resnext29_32x4d/cifar10/bn/1" not in ids("resnet")
    assert "table1/preact_resnet18/cifar10/bn/1" in ids("resnet")  # behind an underscore
    assert ids("net18") == set()
    assert "claim/whitened-covariance" in ids("whiten")


def test_names_are_found_as_papers_write_them():
    assert ids("VGG-16") == ids("vgg16") and len(ids("VGG-16")) > 40
    assert ids("VGG-16", "CIFAR-10") == ids("vgg16", "cifar10")
    assert ids("VGG", "16", "CIFAR", "10", "20") == ids("vgg16", "cifar10", "20")
    assert ids("table", "3") >= ids("table3/2/covariance")  # no name: each word is looked for
    assert "claim/imagenet" in ids("resnet18") == ids("ResNet-18")
    assert "table1/resnext29_32x4d/parameters" in ids("ResNeXt-29")
    assert not any("cifar100" in name for name in ids("CIFAR-10"))


def test_words_that_end_in_a_digit_are_found_whole():
    assert {name.split("/")[1] for name in ids("table4", "2")} >= {"2"}
    assert "table4/2048" not in ids("table4", "2")
    assert ids("table1") and not any(name.startswith("table10") for name in ids("table1"))
    assert not any("cifar100" in name for name in ids("cifar10"))
    assert ids("vgg1") == set()


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("ResNet-18", "top-5", "v2"), "table2/resnet18/nd/top5/v2"),  # as the table prints the network
        (("batch", "normalization", "densenet121"), "table1/densenet121/cifar10/bn/1"),
        (("deconvolution", "dpn92"), "table1/dpn92/cifar100/nd/100"),
        (("eps", "1e-5", "128"), "table4/128"),
        (("kernel_size", "11", "inverse"), "table3/22/inverse"),
        (("explode",), "text/vanilla-explodes"),
        (("fig7", "thousands"), "claim/ns-coupled-stable"),
        (("Figure", "7"), "claim/ns-coupled-stable"),
        (("94.56",), "table1/vgg16/cifar10/nd/100"),
        (("95.40",), "table1/resnet18/cifar10/nd/100"),  # as the table prints it
    ],
)
def test_what_a_reader_would_type(words, found):
    assert found in ids(*words)


def test_one_document():
    assert all("summary" in CLAIMS[name].documents for name in ids(document="summary"))
    first, second = ids("table3", document="paper-v1"), ids("table3", document="paper-v2")
    # Of the claims, those that table 3 decides have both documents.
    assert second - first == {name for name in ENTRIES if name.startswith("table3/") and int(name.split("/")[1]) > 15}
    assert first < second


def test_unknown_words_and_nearest_ids():
    assert unknown_words(["vgg16", "vgg17", "zebra"]) == ["vgg17", "zebra"]
    assert nearest_ids(["table1/vgg16/cifar10/nd/21"])[0].startswith("table1/vgg16/cifar10/nd/")
    assert "claim/ns-coupled-stable" in nearest_ids(["claim/ns-couple-stabel"])
    assert all("vgg1" in name for name in nearest_ids(["vgg17", "bn"]))
    assert all(name in CLAIMS for name in nearest_ids(["table1"], numbers=False))
    assert all(name in ENTRIES for name in nearest_ids(["claim"], claims=False))
    assert nearest_ids([]) == []


def test_conditions_as_people_write_them():
    assert [shown_condition(value) for value in (0.001, 1e-5, 1.0, (32, 64), "sgd", 5)] == [
        "0.001",
        "1e-5",
        "1",
        "32, 64",
        "sgd",
        "5",
    ]
