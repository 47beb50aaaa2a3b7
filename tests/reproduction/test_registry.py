import json
import os
import shlex
from unittest import mock

import pytest
import typer

from ndtools.cli.app import app
from ndtools.errors import NotConvergedError, OptionError
from ndtools.published.registry import CLAIMS, ENTRIES
from ndtools.reproduction.address import Fingerprints, address
from ndtools.reproduction.item import Setting
from ndtools.reproduction.lines import command_of
from ndtools.reproduction.places import Places
from ndtools.reproduction.registry import ITEMS, find_item
from ndtools.results.reproductions import VERDICTS
from tests.commands import invoke

GROUP = typer.main.get_command(app)
NO_DATA = {"NDTOOLS_DATA": "/nonexistent", "XDG_CACHE_HOME": "/nonexistent"}


def levels_of(item):
    """Return the levels of an item on a machine without data, whatever this one has."""
    with mock.patch.dict(os.environ, NO_DATA):
        return item.levels(Setting(places=Places()))


LEVELS = [pytest.param(item, level, id=f"{item.id}, {level.title}") for item in ITEMS for level in levels_of(item)]


RUNNABLE = [item for item in ITEMS if levels_of(item)]
ONLY_WITH_DATA = ("fig8", "table2", "report2", "report3")  # synthetic digits say nothing about these
STATED_IN_CLAIMS = {  # numbers of sentences, which are graded as the claims that state them
    "text/covariance-side": "claim/whitened-covariance",
    "text/covariance-speed-up": "claim/fast-covariance",
    "text/vanilla-explodes": "claim/ns-vanilla-explodes",
    "text/rate-of-plain-descent": "claim/small-rate-of-plain-descent",
    "text/iterations-to-a-low-cost": "claim/linear-five-iterations",
}


def test_names_are_unique():
    names = [name.lower() for item in ITEMS for name in (item.id, *item.aliases)]
    assert len(set(names)) == len(names)
    assert all(find_item(name).id for name in names)
    subjects = [subject for item in ITEMS for subject in item.subjects]
    assert len(set(subjects)) == len(subjects)


@pytest.mark.parametrize("name", ["Fig7", "figure7", "Figure 7", "fig. 7", "FIG6-V1", "figure 6-v1"])
def test_ids_may_be_spelled_out(name):
    assert find_item(name).id == "fig7"
    assert find_item("Table 3").id == "table3"
    with pytest.raises(OptionError, match="got 'figur'"):
        find_item("figur")


@pytest.mark.parametrize(("item", "level"), LEVELS)
def test_levels(item, level):
    levels = levels_of(item)
    assert level.full == (level.title == levels[0].title and item.lacks is None)
    assert len({one.title for one in levels}) == len(levels)
    assert len({part.name for part in level.parts}) == len(level.parts)
    assert set(level.needs) <= set(item.needs)
    assert all(part.work > 0 for part in level.parts)
    assert level.concludes.endswith(".")
    assert level.not_concluded.endswith(".")


@pytest.mark.parametrize(("item", "level"), LEVELS)
def test_command_lines_are_understood(item, level):
    for part in level.parts:
        name, *words = shlex.split(command_of(part, "somewhere", "name"))[1:]
        with GROUP.commands[name].make_context(name, words) as context:
            assert str(context.params.get("out", context.params.get("output"))) == "somewhere"


def test_the_published_recipe_takes_longest():
    for item in RUNNABLE:
        levels = levels_of(item)
        times = [sum(part.work for part in level.parts) for level in levels if level.needs == levels[0].needs]
        assert times[0] == max(times), item.id


def test_every_subject_is_published():
    known = {*ENTRIES, *CLAIMS}
    assert {subject for item in ITEMS for subject in item.subjects} <= known


def test_all_figures_and_tables_are_items():
    figures = [f"fig{n}" for n in range(1, 13)] + [f"table{n}" for n in range(1, 5)]
    others = [f"report{n}" for n in range(1, 5)] + ["prop1", "prop2", "prop3", "equivalence", "cost", "testing"]
    assert [item.id for item in ITEMS] == figures + others


def test_every_published_number_and_claim_belongs_to_one_item():
    """Numbers of the third party stand beside those of the paper, and some sentences are graded as claims."""
    subjects = {subject for item in ITEMS for subject in item.subjects}
    beside = {name for name in ENTRIES if name.startswith("rescience/")}
    assert {*ENTRIES, *CLAIMS} - subjects == beside | set(STATED_IN_CLAIMS)
    assert set(STATED_IN_CLAIMS.values()) <= subjects


def test_what_cannot_be_run_says_why():
    for item in ITEMS:
        levels = levels_of(item)
        assert levels
        assert (item.lacks is None) == any(level.full for level in levels), item.id
        assert set(item.undecided) <= set(item.subjects)


def test_claims_that_an_item_decides_are_among_its_subjects():
    for item in ITEMS:
        decided = {claim.id for claim in CLAIMS.values() if claim.decided_by == item.id}
        assert decided == {subject for subject in item.subjects if subject in CLAIMS}, item.id


def test_built_in_data_give_addresses(tmp_path):
    prints = Fingerprints(tmp_path / "cache.json")
    for item in RUNNABLE:
        last = levels_of(item)[-1]
        assert bool(last.needs) == (item.id in ONLY_WITH_DATA), f"{item.id} has no level for a machine without data"
        if last.needs:
            continue
        assert all(address(part, prints) for part in last.parts)


@pytest.fixture
def without_data(tmp_path, monkeypatch):
    monkeypatch.setenv("NDTOOLS_DATA", str(tmp_path / "none"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.usefixtures("without_data")
def test_list(tmp_path):
    result = invoke("reproduce", "--list", "-o", tmp_path / "out")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines[1:] if not line.startswith(" ")] == [item.id for item in ITEMS]
    assert all(len(line) <= 80 for line in lines)
    assert "ndtools data fetch mnist" in result.stderr
    assert f"--photographs FOLDER --output {tmp_path / 'out'}" in result.stderr  # to be pasted
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("without_data", "unpainted")
def test_an_item_on_built_in_data_and_its_json(tmp_path):
    out = tmp_path / "out"
    result = invoke("reproduce", "fig6-v1", "--budget", "none", "-o", out)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[1].startswith("fig7  the built-in photograph")
    assert "claim/ns-coupled-stable" in result.stdout
    lines = result.stdout.splitlines()
    assert max(map(len, map(str.rstrip, lines))) <= 80
    text = " ".join(result.stdout.split())
    for name in ("claim/ns-coupled-stable", "claim/ns-vanilla-explodes"):  # what is claimed, before what was found
        assert f"{name} claim: {CLAIMS[name].statement} here: " in text
    table = text[: text.index("claim/")]
    for verdict, meaning in VERDICTS.items():  # each verdict that the table has is explained
        assert (f"{verdict}: {meaning}" in text) == (verdict in table)
    assert "--image FILE" in result.stderr
    assert "iterations done in" in result.stderr
    again = invoke("reproduce", "fig7", "--budget", "none", "-o", out, "--json")
    written = json.loads((out / "reproduction.json").read_text())
    shown = json.loads(again.stdout)
    assert shown["items"] == written["items"]
    fig7 = next(entry for entry in shown["items"] if entry["id"] == "fig7")
    verdicts = {grade["subject"]: grade["verdict"] for grade in fig7["grades"]}
    assert set(verdicts.values()) <= {"same direction", "not comparable"}  # the recipe is reduced
    assert verdicts["claim/ns-vanilla-explodes"] == "same direction"
    assert "iterations, about" not in again.stderr


@pytest.mark.usefixtures("without_data")
def test_a_failed_item_is_a_failed_command(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise NotConvergedError("it diverged")

    monkeypatch.setattr("ndtools.experiments.deconvolve.run.run", fail)
    result = invoke("reproduce", "fig4", "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "it diverged" in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.usefixtures("without_data", "unpainted")
def test_a_warning_names_item_and_options(tmp_path, photos):
    result = invoke("reproduce", "fig3", "--photographs", photos, "--budget", "none", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "warning: fig3, without ridge: eps 0 is below the noise of the files" in result.stderr
    assert (
        "take a larger --eps, or look at the eigenvalues with --spectrum (options of ndtools covariance)"
        in result.stderr
    )
    assert "`" not in result.stderr


@pytest.mark.usefixtures("without_data")
def test_ctrl_c(tmp_path, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("ndtools.experiments.deconvolve.run.run", interrupt)
    result = invoke("reproduce", "fig4", "-o", tmp_path / "out")
    assert result.exit_code == 130
    assert "go on with: ndtools" in result.stderr
    entries = json.loads((tmp_path / "out" / "reproduction.json").read_text())["items"]
    assert next(entry for entry in entries if entry["id"] == "fig4")["parts"][0]["state"] == "interrupted"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["fig77"], 2, "did you mean"),
        (["--budget", "15"], 2, "--budget must be a time such as 90s"),
        (["fig2", "--photographs", "/nowhere"], 3, "no such file or folder"),
        (["fig7", "--image", "/nowhere.png"], 3, "no such file"),
        (["fig5", "--data-dir", "/nowhere"], 3, "no such folder"),
    ],
)
def test_wrong_usage(arguments, code, message, tmp_path):
    result = invoke("reproduce", *arguments, "-o", tmp_path / "out")
    assert result.exit_code == code
    assert message in result.stderr
    assert not (tmp_path / "out").exists()
