"""Commands that a call shows, to be pasted: they repeat its options."""

import shlex
from pathlib import Path

import pytest
import typer

from ndtools.cli.app import app
from ndtools.reproduction.cost import budget_from
from ndtools.reproduction.places import Places
from ndtools.reproduction.request import BUDGET, Request
from tests.commands import invoke

COMMAND = typer.main.get_command(app).commands["reproduce"]
GIVEN = Request(
    ids=("fig7",),
    budget=90.0,
    output=Path("a folder"),
    runs=Path("/some/runs"),
    places=Places("data's", "photos; more", "lenna.png"),
    device="cpu",
    jobs=2,
)


def parsed(line):
    """Return the values that the command line has, by the names of its parameters."""
    program, name, *words = shlex.split(line)
    assert (program, name) == ("ndtools", "reproduce")
    with COMMAND.make_context(name, words) as context:
        return context.params


def test_a_call_without_options_repeats_none():
    assert Request().command("fig2") == "ndtools reproduce fig2"
    assert Request().command("fig2", budget="none") == "ndtools reproduce fig2 --budget none"


def test_what_was_given_is_repeated():
    again = parsed(GIVEN.command("fig2", "fig3"))
    assert again["ids"] == ["fig2", "fig3"]
    assert budget_from(again["budget"]) == GIVEN.budget
    assert (again["output"], again["runs"]) == (GIVEN.output, GIVEN.runs)
    assert str(again["data_dir"]) == GIVEN.places.data_dir
    assert (again["photographs"], again["image"]) == (GIVEN.places.photographs, GIVEN.places.image)
    assert (again["device"], again["jobs"]) == ("cpu", 2)


def test_what_is_changed_takes_the_place_of_what_was_given():
    line = GIVEN.command("fig2", budget="2h", data_dir="FOLDER")
    assert line.count("--budget") == line.count("--data-dir") == 1
    again = parsed(line)
    assert (again["budget"], str(again["data_dir"]), again["jobs"]) == ("2h", "FOLDER", 2)


@pytest.mark.parametrize("seconds", [0.5, 1.0, 90.0, 120.0, 3600.0, 5400.0, 86400.0, 1234.5678, None])
def test_budgets_are_as_the_command_takes_them(seconds):
    again = parsed(Request(budget=seconds).command())
    assert budget_from(again["budget"]) == seconds


def test_the_default_budget_is_that_of_the_command():
    assert budget_from(parsed("ndtools reproduce")["budget"]) == BUDGET


def test_a_folder_in_place_of_an_image_is_named_with_the_option_that_takes_one(tmp_path):
    result = invoke("reproduce", "fig1", "--image", tmp_path, "-o", tmp_path / "out")
    assert (result.exit_code, result.stdout) == (3, "")
    wanted = f"error: '{tmp_path}' is a folder, and --image takes a file; --photographs takes a folder\n"
    assert result.stderr == wanted
