"""Results of small experiments, computed once for all tests of reports."""

import pytest

from ndtools.report.run import write_report
from tests.commands import save
from tests.report.folders import run_experiments, write_reproduction
from tests.report.structure import Structure


@pytest.fixture(scope="session")
def results(tmp_path_factory):
    """Return a folder with one folder for each small result."""
    photos = tmp_path_factory.mktemp("photos")
    for i in range(3):
        save(photos / f"{i}.jpg", seed=i)
    return run_experiments(tmp_path_factory.mktemp("results"), photos)


@pytest.fixture(scope="session")
def reproduction(results, tmp_path_factory):
    """Return the folder of a reproduction, which no test changes."""
    return write_reproduction(tmp_path_factory.mktemp("reproduction"), results)


@pytest.fixture(scope="session")
def report(reproduction, tmp_path_factory):
    """Return the report on that folder."""
    return write_report(reproduction, tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture(scope="session")
def page(report):
    """Return what the report holds."""
    return Structure(report.path.read_text(encoding="utf-8"))


@pytest.fixture
def undrawn(monkeypatch):
    """Draw no figures: for tests that do not look at them, which take longest."""
    monkeypatch.setattr("ndtools.report.content.Loader._draw", lambda *_: ())
