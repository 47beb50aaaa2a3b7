"""The process around a command: standard streams, environment variables, files of other programs, limits."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from ndtools.cli.app import app
from tests.places import ROOT

KERNELS = "kernels image.png -k 3"
UNWRITTEN = "error: cannot write to standard output: "

pytestmark = pytest.mark.skipif(os.name != "posix", reason="redirections are those of a POSIX shell")


@pytest.fixture
def folder(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    return tmp_path


def run(folder, arguments, *, variables=()):
    """Run the command line from a shell, which redirects and pipes."""
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY", "MPLBACKEND")}
    environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | dict(variables)
    command = f"'{sys.executable}' -m ndtools {arguments}"
    return subprocess.run(["/bin/sh", "-c", command], cwd=folder, env=environment, capture_output=True, text=True)


needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")


@pytest.mark.parametrize("command", ["--version", "", "kernels --help", "data list --json"])
@pytest.mark.parametrize(
    ("redirection", "reason"),
    [(">&-", "it is closed"), pytest.param(">/dev/full", "No space left on device", marks=needs_full)],
)
def test_standard_output_that_cannot_be_written_to_is_one_line(folder, command, redirection, reason):
    result = run(folder, f"{command} {redirection}")
    assert (result.returncode, result.stderr) == (1, f"{UNWRITTEN}{reason}\n")


def test_remarks_of_python_that_does_not_buffer_are_written_at_once():
    program = "import os, sys; from ndtools.console.streams import prepare_standard_streams as p; p()"
    program += "; sys.stderr.write('a line' + chr(10)); os._exit(0)"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-u", "-c", program], capture_output=True, text=True, env=environment)
    assert done.stderr == "a line\n"


def test_unbuffered_output_fails_alike(folder):
    result = run(folder, "data list >&-", variables={"PYTHONUNBUFFERED": "1"})
    assert (result.returncode, result.stderr) == (1, f"{UNWRITTEN}it is closed\n")


@pytest.mark.parametrize(
    ("command", "code"), [("--version", 0), ("data list", 0), ("data path nowhere", 3), ("timing --rows 99", 2)]
)
@pytest.mark.parametrize("redirection", ["<&- 2>&-", pytest.param("2>/dev/full", marks=needs_full)])
def test_without_standard_error_the_work_is_done(folder, command, code, redirection):
    result = run(folder, f"{command} {redirection}")
    assert (result.returncode, bool(result.stdout), result.stderr) == (code, code == 0, "")


def test_a_reader_that_has_had_enough_is_no_error(folder):
    assert run(folder, "data list | true").stderr == ""


def test_figures_are_the_same_whatever_matplotlib_is_told_and_stay_without_standard_output(folder):
    result = run(folder, f"{KERNELS} --name plain --show -q")
    warning = "warning: --show cannot open figures/plain.png: there is no display\n" if sys.platform == "linux" else ""
    assert (result.returncode, result.stdout, result.stderr) == (0, "", warning)
    (folder / "matplotlibrc").write_text("text.usetex: True\nfont.size: 40\nsavefig.bbox: tight\naxes.facecolor: red\n")
    result = run(folder, f"{KERNELS} >&-", variables={"MPLBACKEND": "no-such-backend"})
    paths, error = result.stderr.splitlines()
    assert paths.startswith("figures/kernels.png  figures/kernels.npz  figures/kernels.json")
    assert (result.returncode, error) == (1, f"{UNWRITTEN}it is closed")
    plain, styled = (np.asarray(Image.open(folder / "figures" / f"{name}.png")) for name in ("plain", "kernels"))
    assert np.array_equal(plain, styled)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 186. GiB for an array"),
        RuntimeError("can't start new thread"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:134] err == 0. DefaultCPUAllocator: can't allocate memory: 12\nmore"
        ),
    ],
)
def test_too_little_memory_is_one_line(folder, error, monkeypatch):
    def starve(*_, **__):
        raise error

    monkeypatch.chdir(folder)
    monkeypatch.setattr("ndtools.experiments.kernels.run.run_series", starve)
    result = CliRunner().invoke(app, KERNELS.split())
    assert result.exit_code == 1
    assert result.stderr.startswith("error: out of memory (")
    assert result.stderr.count("\n") == 1


def test_other_runtime_errors_keep_their_traceback(folder, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("a bug")

    monkeypatch.chdir(folder)
    monkeypatch.setattr("ndtools.experiments.kernels.run.run_series", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        CliRunner().invoke(app, KERNELS.split(), catch_exceptions=False)
