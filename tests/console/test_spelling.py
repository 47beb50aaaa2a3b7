"""Arguments that messages of the library name, as options of the command that is running."""

import warnings

import pytest
import typer
from typer.testing import CliRunner

from ndtools.console.failures import FailureHandlingGroup
from ndtools.console.options import OneImage
from ndtools.console.spelling import as_options, option_error
from ndtools.errors import DataError, NumericalWarning, OptionError

OPTIONS = {"kernel_size": "--kernel-size", "gray": "--gray", "method": "--method", "from_file": "--from"}


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("take a smaller `kernel_size`", "take a smaller --kernel-size"),
        ("use `gray=True`", "use --gray"),
        ('`method="coupled"` or `method="eigh"`', "--method coupled or --method eigh"),
        ("`from_file` takes a .npz file", "--from takes a .npz file"),
        ("`n_iter` stays", "`n_iter` stays"),  # the command has no such option
        ("the folder `gray pictures`", "the folder `gray pictures`"),
    ],
)
def test_arguments_become_options(message, shown):
    assert as_options(message, OPTIONS) == shown


def test_an_error_about_an_argument_begins_with_its_option():
    assert option_error("from_file", "needs `gray=True`", OPTIONS) == "--from needs --gray"
    assert option_error("depth", "must be 11", OPTIONS) == "depth must be 11"


@pytest.fixture
def run():
    app = typer.Typer(cls=FailureHandlingGroup, pretty_exceptions_enable=False)
    failure: list[Exception] = []

    @app.command()
    def measure(source: OneImage = "x", *, size: int = 3, from_file: str = typer.Option("y", "--from")):
        warnings.warn("`size` is small", NumericalWarning, stacklevel=1)
        raise failure[0]

    @app.command()
    def other():
        raise failure[0]

    def run(error, command="measure"):
        failure[:] = [error]
        return CliRunner().invoke(app, [command]).stderr

    return run


def test_each_command_spells_its_own_options(run):
    assert run(OptionError("from_file", "is bad")) == "warning: --size is small\nerror: --from is bad\n"
    assert run(OptionError("source", "is bad")).endswith("error: IMAGE is bad\n")
    assert run(DataError("use `from_file`")).endswith("error: use --from\n")
    assert run(DataError("use `from_file`"), "other") == "error: use `from_file`\n"


def test_only_a_command_with_jobs_is_told_of_jobs(run):
    assert "jobs" not in run(MemoryError("too much"), "other")
