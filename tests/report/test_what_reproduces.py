"""The page of the documentation that is written from the folder of a reproduction."""

import re
import sys
from importlib.util import module_from_spec, spec_from_file_location

import pytest

from ndtools.published.registry import CLAIMS, ENTRIES
from ndtools.results.reproductions import VERDICTS, SavedReproduction
from tests.places import ROOT


@pytest.fixture(scope="module")
def script():
    spec = spec_from_file_location("what_reproduces", ROOT / "docs" / "what_reproduces.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_verdicts_are_counted_and_stand_in_their_order(script, reproduction):
    state = SavedReproduction.read(reproduction)
    page = script.page_of(state)
    headings = re.findall(r"^## (.*)$", page, re.MULTILINE)
    assert headings == [verdict.capitalize() for verdict in VERDICTS]
    grades = [grade for item in state.items for grade in item.grades]
    for verdict in VERDICTS:
        number = sum(grade.verdict == verdict for grade in grades)
        assert f"| {verdict} | {number} |" in page
        for grade in grades:
            if grade.verdict == verdict == "disagrees":
                section = page.split("## Disagrees")[1].split("\n## ")[0]
                assert grade.reason.replace("|", "\\|") in section


def test_the_page_of_the_documentation_knows_all_it_names(monkeypatch, tmp_path, script, reproduction):
    page = tmp_path / "page.md"
    monkeypatch.setattr(script, "PAGE", page)
    monkeypatch.setattr(sys, "argv", ["what_reproduces.py", str(reproduction)])
    script.main()
    assert page.read_text() == script.without_folders(script.page_of(SavedReproduction.read(reproduction)))
    committed = (ROOT / "docs" / "what-reproduces.md").read_text()
    total = int(re.search(r"The (\d+) numbers and claims", committed)[1])
    counts = [re.search(rf"^\| {verdict} \| (\d+) \|", committed, re.MULTILINE) for verdict in VERDICTS]
    assert total == sum(int(count[1]) for count in counts)
    assert total <= len(ENTRIES) + len(CLAIMS)


def test_folders_of_a_machine_are_no_part_of_the_page(script):
    line = "fetch it: ndtools data fetch cifar10 --data-dir /tmp/d; or ndtools reproduce a --budget 2h --output /tmp/o"
    assert script.without_folders(f"{line} --runs /tmp/r --data-dir /tmp/d | next") == (
        "fetch it: ndtools data fetch cifar10 --data-dir FOLDER; or ndtools reproduce a --budget 2h"
        " --data-dir FOLDER | next"
    )
