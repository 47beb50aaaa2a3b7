"""The tables and remarks of the screen: they fit it, lose nothing, and their commands can be pasted."""

import re
from dataclasses import replace

import pytest
from rich.console import Console

from ndtools.reproduction.display import in_paragraph, list_table, state_table
from ndtools.reproduction.reasons import together
from ndtools.reproduction.registry import ITEMS
from ndtools.reproduction.request import Request
from ndtools.reproduction.run import Reproduction
from tests.reproduction.small_items import item, level, matrix, part, reproduction


def lines_of(table, width=200):
    """Return the lines of a table on a screen of that width."""
    console = Console(width=width)
    with console.capture() as capture:
        console.print(table)
    return [line.rstrip() for line in capture.get().splitlines()]


@pytest.fixture(scope="module")
def states(tmp_path_factory):
    """Return the states of all items on a machine without data."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NDTOOLS_DATA", "/nonexistent")
        patch.setenv("XDG_CACHE_HOME", "/nonexistent")
        request = Request(output=tmp_path_factory.mktemp("none") / "out")
        return list(Reproduction(request, slow=1.0).states.values())


def words(lines):
    return sorted(" ".join(lines).split())


def test_the_list_fits_80_columns_and_loses_nothing(states):
    narrow, wide = (lines_of(list_table(states, width=width)) for width in (80, 200))
    assert max(map(len, narrow)) <= 80 < max(map(len, wide))
    assert len(wide) == 1 + len(ITEMS)  # a wide screen needs no second line
    assert words(narrow) == words(wide)
    assert [line.split()[0] for line in narrow[1:] if line[0] != " "] == [each.id for each in ITEMS]


def test_long_titles_are_not_cut(tmp_path):
    title = "EfficientNet and VGG-16, 5,000 images of CIFAR-10, 1 epoch"
    work = reproduction(tmp_path / "out", [item("a", level(title, part(matrix(tmp_path / "a.npy"))))])
    work.run()
    (state,) = work.states.values()
    wide, narrow = (lines_of(state_table([state], width=width)) for width in (120, 60))
    assert title in wide[1]
    assert max(map(len, narrow)) <= 60
    assert words(narrow) == words(wide)


def test_what_can_only_be_run_by_a_smaller_recipe_says_so(tmp_path):
    source = matrix(tmp_path / "a.npy")
    items = [
        item("a", level("all", part(source), full=True), level("few", part(source, 4))),
        item("b", level("all", part(source, 8), full=True, needs=("imagenet",)), level("few", part(source, 4))),
        item("c", level("all", part(source, 8), full=True, needs=("imagenet",)), needs=("imagenet",)),
    ]
    work = reproduction(tmp_path / "out", items)
    assert [state.state for state in work.states.values()] == ["can run", "can run reduced", "data missing"]
    work.run()
    assert [line.split("  ")[-1].strip() for line in lines_of(list_table(list(work.states.values())))[1:]] == [
        "done",
        "done reduced",
        "data missing",
    ]


def test_remarks_are_wrapped_and_their_commands_are_whole(states):
    long = Request(places=replace(Request().places, data_dir="a folder; of data, with a long name, which has blanks"))
    command = long.command("fig2", "fig3", image="FILE")
    needs = f"It needs {'one or another thing, ' * 9}which is to be had: {command}; or in another way: {command}."
    text = f"fig2: {needs} {'More. ' * 30}"
    lines = in_paragraph(text).splitlines()
    assert lines.count(f"{' ' * 8}{command}") == 2
    assert all(len(line) <= 80 for line in lines if command not in line)
    assert words(lines) == words([text.replace(f"{command};", command).replace(f"{command}.", command)])
    for remark in together(states):
        for line in in_paragraph(remark).splitlines():
            assert len(line) <= 80 or re.fullmatch(r" {8}ndtools [a-z].*", line)


def test_items_with_the_same_reason_share_a_command(states):
    remarks = together(states)
    (photographs,) = (remark for remark in remarks if "--photographs FOLDER" in remark)
    assert photographs.startswith("fig2, fig3, fig10: ")
    assert "ndtools reproduce fig2 fig3 fig10 --photographs FOLDER --output" in photographs
    assert len({remark.split(":")[0] for remark in remarks}) == len(remarks)
