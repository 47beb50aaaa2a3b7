"""What holds for every command."""

import re
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from ndtools.cli.app import app
from ndtools.console.failures import EXIT_CODES
from ndtools.console.options import SharedOptions
from tests.places import ROOT

COMMANDS = [command.name or command.callback.__name__.replace("_", "-") for command in app.registered_commands]


def help_of(*command):
    result = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb"})
    assert result.exit_code == 0
    return re.sub(r"\x1b\[[\d;]*m", "", result.stdout)


@pytest.mark.parametrize(
    "command",
    [(), *((name,) for name in COMMANDS), ("data",), *(("data", name) for name in ("list", "fetch", "verify"))],
)
def test_help_shows_flags_without_a_type(command):
    text = help_of(*command)
    assert "--help" in text and "bool" not in text


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ("audit", "published")])
def test_each_command_that_writes_has_one_option_for_the_place(name):
    command = typer.main.get_command(app).commands[name]
    (place,) = [parameter for parameter in command.params if "-o" in parameter.opts]
    assert {"--out", "--output", "-o"} <= set(place.opts)
    assert "--out, --output and -o are one option" in " ".join(help_of().split())


WITHOUT_PICTURES = ["convert", "fold", "audit"]  # of checkpoints
WITHOUT_COMPUTING = ["figure", "published", "report"]
WITHOUT_EFFECT = {  # shared options that a command has no use for
    "compare": ("--verbose", "--seed", "--jobs", "--device", "--storage-options"),
    "stats": ("--device",),
    "features": ("--verbose",),
    "inference": ("--verbose", "--storage-options"),
    "mlp": ("--storage-options",),
    "regress": ("--storage-options",),
    "timing": ("--verbose", "--storage-options"),
}
IN_FOLDERS = ["train", "segment"]  # each result is a folder of its own
OF_SEVERAL = ["reproduce"]  # which runs what other commands run, with settings of its own


@pytest.mark.parametrize("name", WITHOUT_PICTURES)
def test_help_of_commands_without_pictures(name):
    text = help_of(name)
    assert re.search(rf"Example: ndtools {name} \S", text)
    for option in ("--arch", "--config", "--json", "--quiet"):
        assert option in text


@pytest.mark.parametrize(
    "name", [name for name in COMMANDS if name not in WITHOUT_PICTURES + WITHOUT_COMPUTING + IN_FOLDERS + OF_SEVERAL]
)
def test_help_shows_an_example_and_the_shared_options(name):
    text = help_of(name)
    assert re.search(rf"Example: ndtools {name} \S", text)
    assert "no effect" not in text.lower()
    for option in ("--out", "--name", "--format", "--dpi", "--json", "--quiet"):
        assert option in text
    for option in ("--verbose", "--seed", "--jobs", "--device", "--storage-options"):
        assert (f"{option} " in text) == (option not in WITHOUT_EFFECT.get(name, ()))


@pytest.mark.parametrize("name", IN_FOLDERS)
def test_help_of_commands_that_write_folders(name):
    text = help_of(name)
    assert re.search(rf"Example: ndtools {name} \S", text)
    for option in ("--output", "--name", "--resume", "--json", "--quiet", "--seed", "--jobs", "--device"):
        assert option in text


@pytest.mark.parametrize("name", OF_SEVERAL)
def test_help_of_commands_that_run_several_experiments(name):
    text = help_of(name)
    assert re.search(rf"Example: ndtools {name} \S", text)
    for option in ("--output", "--budget", "--list", "--json", "--quiet", "--jobs", "--device"):
        assert option in text


def test_help_of_the_command_that_writes_a_page():
    text = help_of("report")
    assert re.search(r"Example: ndtools report \S", text)
    for option in ("--output", "--title", "--json", "--quiet"):
        assert option in text


def test_help_of_the_command_that_draws_again():
    text = help_of("figure")
    assert re.search(r"Example: ndtools figure \S", text)
    for option in ("--out", "--name", "--format", "--dpi", "--width"):
        assert option in text
    assert "--seed" not in text


def test_help_of_the_command_that_lists_what_was_published():
    text = help_of("published")
    assert re.search(r"Example: ndtools published \S", text)
    for option in ("--document", "--claims", "--numbers", "--json"):
        assert option in text
    assert "--out" not in text


def test_every_shared_option_has_help():
    hints = SharedOptions.__annotations__
    assert all(hint.__metadata__[0].help for hint in hints.values())


def test_exit_codes_are_documented_and_subclasses_come_first():
    text = help_of()
    for code in sorted({0, *EXIT_CODES.values()}):
        assert re.search(rf"\b{code} \w+", text.split("Exit codes:")[1])
    kinds = list(EXIT_CODES)
    for i, kind in enumerate(kinds):
        assert not any(issubclass(kind, earlier) for earlier in kinds[:i])


@pytest.mark.parametrize("command", [["-m", "ndtools"], ["cli.py"]])
def test_runs_without_being_installed(command):
    result = subprocess.run(
        [sys.executable, *command, "--version"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert re.fullmatch(r"ndtools \d+\.\d+\.\d+\n", result.stdout)
