"""The screens of ``ndtools published``: counts, search, all about one, JSON, and wrong input."""

import json
import subprocess
import sys

import pytest

from ndtools.cli.published import _show as show
from ndtools.console.output import Output
from ndtools.published.entry import DOCUMENTS
from ndtools.published.registry import CLAIMS, ENTRIES
from tests.commands import invoke
from tests.places import ROOT


def screen(*arguments):
    result = invoke("published", *arguments)
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    return [line.rstrip() for line in result.stdout.splitlines()]


def refused(*arguments):
    result = invoke("published", *arguments)
    assert result.exit_code == 2 and result.stdout == ""
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    return result.stderr


def test_without_words_everything_is_counted():
    lines = screen()
    assert lines[0].split() == ["document", "accuracies", "times", "sizes", "others", "claims"]
    counts = {words[0]: list(map(int, words[1:])) for words in map(str.split, lines[1 : len(DOCUMENTS) + 2])}
    assert list(counts) == [*DOCUMENTS, "all"]
    assert sum(counts["all"][:-1]) == len(ENTRIES) and counts["all"][-1] == len(CLAIMS)
    assert counts["summary"] == [0, 0, 0, 0, 1]
    assert counts["rescience-2025"] == [134, 127, 0, 0, 0]
    text = " ".join(" ".join(lines).split())
    assert all(title in text for title in DOCUMENTS.values())
    assert "ndtools published vgg16 cifar10 nd" in text


def test_a_search_lists_values():
    rows = [line.split() for line in screen("pnasnet_a", "cifar10", "20", "--numbers")]
    assert ["table1/pnasnet_a/cifar10/bn/20", "75.85", "%", "-", "?"] in rows
    assert ["rescience/pnasnet_a/cifar10/bn/20", "58.84", "±", "10.87", "%", "3"] in rows
    assert rows[-1][0] == "?:"
    assert (
        len(rows) == 2 + 2 + 2 * 2
    )  # header, explanation of doubts; the paper, accuracies and times of the third party
    assert "text/slow-down  10 to 30 %     -  ?" in screen("tunable", "--numbers")


def test_a_search_lists_claims():
    lines = screen("fig7", "--claims")
    assert [line.removesuffix(" ?") for line in lines if line.startswith("claim/")] == [
        claim.id for claim in CLAIMS.values() if claim.decided_by == "fig7"
    ]
    assert "claim/ns-coupled-stable ?" in lines
    assert CLAIMS["claim/ns-coupled-stable"].statement in " ".join(line.strip() for line in lines)
    assert not any("%" in line for line in lines)


@pytest.mark.parametrize("options", [("--document", "report-2021"), ("--numbers",), ("--claims",), ("resnext29",)])
def test_lists_fit_80_columns(options):
    assert max(map(len, screen(*options))) <= 80


def test_doubts_stand_above_what_they_are_about():
    lines = screen("--doubtful")
    assert max(map(len, lines)) <= 80
    found = {}
    for block in "\n".join(lines).split("\n\n"):
        doubt, ids = [], []
        for line in block.splitlines():
            if line.startswith("  "):
                ids.append(line.split()[0])
            else:
                doubt.append(line)
        found |= dict.fromkeys(ids, " ".join(doubt))
    assert found == {item.id: item.doubt for item in (*ENTRIES.values(), *CLAIMS.values()) if item.doubt}
    assert screen("--doubtful", "fig6", "--claims")[-2:] == ["  claim/segmentation", "  claim/segmentation-convergence"]
    shown = json.loads(invoke("published", "fig7", "--doubtful", "--json").stdout)
    assert not shown["numbers"] and all(claim["doubt"] for claim in shown["claims"])
    assert "--doubtful finds nothing: there is no doubt" in refused("heavy-tailed", "--doubtful")


def test_words_that_are_like_no_others_have_no_nearest_ids():
    for word in ("nonsense", "xylophone"):
        assert refused(word).endswith(f"has '{word}'; --numbers and --claims list all that there is\n")
    assert "; all of these are shown by --doubtful" in refused("doubtful")
    assert "; the nearest IDs are table1/resnet18/" in refused("resnt18")


def test_both_kinds_are_as_neither():
    assert screen("vgg13", "--claims", "--numbers") == screen("vgg13")


@pytest.mark.parametrize("name", ["table3/2/covariance", "text/slow-down", "claim/heavy-tailed"])
def test_an_id_is_all_that_is_asked(name):
    assert screen(name)[0].split()[0] == name


def test_all_is_shown_about_each(capsys):
    """The screens of all claims and of some numbers, without the command line around them."""
    for item in [*list(ENTRIES.values())[::7], *CLAIMS.values()]:
        show(item, Output())
        lines = capsys.readouterr().out.splitlines()
        text = " ".join(" ".join(lines).split())
        assert lines[0].split()[0] == item.id
        assert max(map(len, map(str.rstrip, lines))) <= 80
        for document in item.documents:
            assert f"{document}: {DOCUMENTS[document]}" in text
        for part in (item.where, item.quote, item.note, item.doubt, getattr(item, "statement", None)):
            assert part is None or part in text
        for setting in item.conditions:
            assert setting.replace("_", " ") in text


def test_an_id_in_detail():
    text = "\n".join(screen("Table1/VGG16/cifar10/nd/20"))
    assert "table1/vgg16/cifar10/nd/20   93.25 %" in text
    assert "top-1 accuracy on test images" in text and "number not stated" in text
    assert "learning" not in text and "lr 0.1" in text
    others = text.split("same conditions")[1]
    assert "report2/vgg16/cifar10/nd/20            93.1 %" in others
    assert "rescience/vgg16/cifar10/nd/20  92.83 ± 0.12 %     3" in others
    runs = "\n".join(screen("rescience/vgg16/cifar10/nd/20"))
    assert "3: 92.96, 92.81, 92.72" in runs and "best epoch" in runs
    assert "decided by  fig7, an item of ndtools reproduce" in screen("claim/ns-coupled-stable")
    # Longer IDs begin with this one.
    assert screen("rescience/vgg16/cifar10/nd/1")[0].endswith("74.20 ± 0.20 %")


def test_json_is_strict_and_whole():
    def refuse(constant):
        raise AssertionError(constant)

    content = json.loads(invoke("published", "--json").stdout, parse_constant=refuse)
    assert content["documents"] == DOCUMENTS
    assert [entry["id"] for entry in content["numbers"]] == list(ENTRIES)
    assert [claim["id"] for claim in content["claims"]] == list(CLAIMS)
    content = json.loads(invoke("published", "rescience/vgg16/cifar10/nd/20", "--json").stdout)
    (entry,) = content["numbers"]
    assert content["claims"] == []
    assert entry["runs"] == [92.96, 92.81, 92.72] and entry["n"] == 3 and entry["conditions"]["epochs"] == 20
    assert "table1/vgg16/cifar10/nd/20" in entry["beside"]
    (claim,) = json.loads(invoke("published", "claim/near-optimality", "--json").stdout)["claims"]
    assert claim["decided_by"] == "prop3" and claim["documents"] == ["paper-v1", "paper-v2"]


def test_what_is_not_there():
    message = refused("vgg17", "bn")
    assert "no number or claim has all of 'vgg17 bn'" in message and "'vgg17' occurs nowhere" in message
    assert "table1/vgg16/cifar10/bn" in message and "WORDS" in message
    assert "table1/vgg16/cifar10/nd/20" in refused("table1/vgg16/cifar10/nd/21", "--json")
    assert "no claim has 'table1/vgg16/cifar10/nd/20';" in refused("table1/vgg16/cifar10/nd/20", "--claims")
    assert "no number of summary has 'imagenet';" in refused("imagenet", "--document", "summary", "--numbers")
    assert "--document summary publishes no number" in refused("--document", "summary", "--numbers")
    assert "--document must be one of paper-v1, paper-v2, summary" in refused("--document", "paper")
    assert "\x1b" not in refused("\x1b[31mred")


def test_nothing_heavy_is_loaded():
    code = (
        "import sys\nfrom ndtools.cli.app import app\n"
        "try: app(['published', 'vgg16', '--json'])\nexcept SystemExit: pass\nprint(*sys.modules)"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert not {"torch", "scipy", "matplotlib", "numpy", "PIL"} & set(output.splitlines()[-1].split())
