"""Fixtures that many tests share, and one hypothesis profile: the same examples in every run, on slow machines too.

A red build is then a change of the code and no new draw. To search further, with examples of a seed of your own:
``pytest --hypothesis-profile=search --hypothesis-seed=7``.
"""

import itertools
import signal

import pytest
from hypothesis import HealthCheck, settings
from matplotlib.figure import Figure

from tests.commands import save

settings.register_profile(
    "build",
    deadline=None,
    derandomize=True,
    # Slow examples are a busy machine; temporary folders shared by the examples of a test are overwritten by each.
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.register_profile("search", settings.get_profile("build"), derandomize=False)
settings.load_profile("build")

# Where a shell starts the tests in the background, they and all commands that they start would ignore Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def photos(tmp_path):
    """Return a folder of four small colour pictures."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(4):
        save(folder / f"{i}.jpg", seed=i)
    return folder


@pytest.fixture
def unpainted(monkeypatch):
    """Make commands write empty pictures: for tests that do not look at them, since to paint takes longest.

    Formats and metadata are those of the figures. No two pictures have the same colour, so that a test sees whether one
    was replaced.
    """
    save, colours = Figure.savefig, map("#{:06x}".format, itertools.count())
    monkeypatch.setattr(
        Figure, "savefig", lambda _, file, **how: save(Figure((0.1, 0.1), facecolor=next(colours)), file, **how)
    )


@pytest.fixture
def nothing_elsewhere(monkeypatch, tmp_path):
    """Let data sets with labels be found in the folders that a test names, and nowhere else."""
    monkeypatch.delenv("NDTOOLS_DATA", raising=False)
    monkeypatch.setattr("ndtools.data.labelled.locations._cache", lambda: tmp_path / "cache")
