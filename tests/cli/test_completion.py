"""What a shell completes: names that ndtools knows, and paths."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from ndtools.cli.app import app
from tests.places import ROOT

HEAVY = {"torch", "scipy", "matplotlib", "numpy", "PIL"}
SETS = ["fashion-mnist", "mnist", "cifar10", "cifar100"]


def completed(line):
    """Return what bash would offer for the last word of a command line."""
    words = line.split(" ")
    environment = {
        "_NDTOOLS_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    return CliRunner().invoke(app, [], env=environment, prog_name="ndtools").stdout.split()


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A current folder with some paths."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "samples").mkdir()
    for name in ("sand.png", "photo.jpg", "mnist.txt", ".sample"):
        (tmp_path / name).touch()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ndtools kernels sam", ["sample", "sample-photo", "samples/"]),
        ("ndtools covariance sa", ["sample", "sample-photo", "samples/", "sand.png"]),
        ("ndtools ns-stability sample-", ["sample-photo"]),
        ("ndtools deblur s", ["sample-photo", "samples/", "sand.png"]),
        ("ndtools sparsity p", []),  # the shell completes paths
        ("ndtools kernels samples/", []),
        ("ndtools signals b", ["base-calls", "beads"]),
        ("ndtools regress m", ["mnist", "mnist.txt"]),
        ("ndtools mlp ", [*SETS, "glyphs", "mnist.txt", "photo.jpg", "samples/", "sand.png"]),
        ("ndtools data fetch ", SETS),
        ("ndtools data verify gl", ["glyphs"]),
        ("ndtools data path cifar1", ["cifar10", "cifar100"]),
        ("ndtools convert x.pt --arch vgg1", ["vgg11", "vgg13", "vgg16", "vgg19"]),
        ("ndtools fold x.pt --arch preact_resnet18", ["preact_resnet18"]),
    ],
)
def test_words_are_completed(line, words):
    assert completed(line) == words


def test_a_folder_that_is_gone_has_no_paths(here, tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert completed("ndtools kernels sam") == ["sample", "sample-photo"]


@pytest.mark.parametrize("line", ["ndtools kernels s", "ndtools mlp ", "ndtools fold x --arch r"])
def test_completion_loads_nothing_heavy(line):
    code = (
        "import os, sys\nfrom ndtools.cli.app import app\n"
        f"os.environ.update(_NDTOOLS_COMPLETE='complete_bash', COMP_WORDS={line!r}, COMP_CWORD='{line.count(' ')}')\n"
        "try: app(prog_name='ndtools')\nexcept SystemExit: pass\nprint(*sys.modules)"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert "ndtools" in output.split() and not HEAVY & set(output.split())
