"""``ndtools data`` as its user meets it: screen, exit codes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from ndtools.cli.data import data_app
from ndtools.cli.failures import FailureHandlingGroup
from ndtools.data import locations
from ndtools.data.catalogue import KNOWN
from tests.data.test_datasets import IDX_NAMES, idx_contents, put
from tests.data.test_download import Server, serve_mnist

ROOT = Path(__file__).resolve().parents[2]
app = typer.Typer(cls=FailureHandlingGroup, pretty_exceptions_enable=False)
app.add_typer(data_app, name="data")


def data(*arguments, columns=200):
    environment = {"COLUMNS": str(columns), "NO_COLOR": "1", "TERM": "dumb"}
    return CliRunner().invoke(app, ["data", *map(str, arguments)], env=environment)


@pytest.fixture(autouse=True)
def nothing_elsewhere(monkeypatch, tmp_path):
    monkeypatch.delenv("NDTOOLS_DATA", raising=False)
    monkeypatch.setattr(locations, "_cache", lambda: tmp_path / "cache")


@pytest.fixture
def mnist(monkeypatch):
    server = Server()
    monkeypatch.setitem(KNOWN, "mnist", serve_mnist(server))
    yield server
    server.close()


@pytest.mark.parametrize("command", ["list", "fetch", "verify", "path"])
def test_help_shows_an_example(command):
    result = data(command, "--help")
    assert result.exit_code == 0
    assert f"Example: ndtools data {command} " in result.stdout


def test_list(tmp_path):
    put(tmp_path / "sets" / "mnist", idx_contents())
    result = data("list", "--data-dir", tmp_path / "sets")
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    rows = {line.split()[0]: line for line in result.stdout.splitlines()}
    assert list(rows) == ["name", *KNOWN]
    assert "not here: ndtools data fetch fashion-mnist" in rows["fashion-mnist"]
    assert "31 MB" in rows["fashion-mnist"] and "MIT" in rows["fashion-mnist"]
    assert "70,000 of 1×28×28" in rows["mnist"]
    assert str(tmp_path / "sets" / "mnist") in rows["mnist"]
    assert "built in" in rows["glyphs"] and "synthetic" in rows["glyphs"]
    assert all(len(line) <= 80 for line in data("list", columns=80).stdout.splitlines())


def test_list_as_json(tmp_path):
    put(tmp_path / "mnist", idx_contents())
    result = data("list", "--json", "--data-dir", tmp_path)
    rows = {row["name"]: row for row in json.loads(result.stdout)["data_sets"]}
    assert rows["mnist"]["location"] == str(tmp_path / "mnist")
    assert rows["cifar10"]["location"] is None
    assert rows["cifar10"]["shape"] == [3, 32, 32]
    assert rows["glyphs"]["synthetic"] and rows["glyphs"]["location"] == "built in"
    assert not rows["mnist"]["synthetic"]


def test_fetch_verify_and_path(tmp_path, mnist):
    folder = tmp_path / "sets" / "mnist"
    result = data("fetch", "mnist", "glyphs", "mnist", "--data-dir", tmp_path / "sets")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{folder}\n"
    assert result.stderr == "glyphs is built in: nothing to fetch\n"
    result = data("verify", "mnist", "--data-dir", tmp_path / "sets")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == f"mnist: {folder}"
    assert [line.split()[-1] for line in lines[1:]] == ["status", "ok", "ok", "ok", "ok"]
    result = data("path", "mnist", "--data-dir", tmp_path / "sets")
    assert (result.exit_code, result.stdout) == (0, f"{folder}\n")
    requests = sum(mnist.requests.values())
    assert data("fetch", "mnist", "--data-dir", tmp_path / "sets").stdout == f"{folder}\n"
    assert sum(mnist.requests.values()) == requests


def test_verify_tells_what_is_wrong(tmp_path, mnist):
    data("fetch", "mnist", "--data-dir", tmp_path)
    (tmp_path / "mnist" / f"{IDX_NAMES[0]}.gz").write_bytes(b"")
    (tmp_path / "mnist" / f"{IDX_NAMES[3]}.gz").unlink()
    for names in (["mnist"], []):
        result = data("verify", *names, "--data-dir", tmp_path)
        assert result.exit_code == 3
        lines = result.stdout.splitlines()[1:]
        assert lines[1].strip().endswith("wrong checksum")
        assert [line.split()[-1] for line in lines[2:]] == ["ok", "ok", "missing"]
        assert "2 of 4 files are not right; fetch them again with 'ndtools data fetch mnist'" in result.stderr
    result = data("verify", "mnist", "--json", "--data-dir", tmp_path)
    assert result.exit_code == 3
    content = json.loads(result.stdout)
    assert content["ok"] is False
    assert [file["status"] for file in content["files"]] == ["wrong checksum", "ok", "ok", "missing"]
    assert content["files"][0]["path"] == str(tmp_path / "mnist" / f"{IDX_NAMES[0]}.gz")
    assert data("fetch", "mnist", "--data-dir", tmp_path).exit_code == 0
    assert data("verify", "--data-dir", tmp_path).exit_code == 0


def test_verify_with_nothing_here():
    result = data("verify")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "no files to check\n")
    result = data("verify", "cifar100")
    assert result.exit_code == 3
    assert "missing" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["path", "mnist"], 3, "error: mnist is not here; fetch it with 'ndtools data fetch mnist'"),
        (["path", "glyphs"], 3, "error: glyphs is built in: it has no folder"),
        (["path", "minst"], 3, "did you mean mnist?"),
        (["fetch", "glyphs", "minst"], 3, "did you mean mnist?"),
        (["verify", "minst"], 3, "did you mean mnist?"),
        (["list", "--data-dir", "/absent"], 3, "no such folder: '/absent'"),
        (["path"], 2, "Missing argument"),
        (["fetch"], 2, "Missing argument"),
        (["fetch", "mnist", "--data-dir", "/dev/null/x"], 1, "error: cannot write to '/dev/null/x/mnist'"),
    ],
)
def test_wrong_input(arguments, code, message):
    result = data(*arguments)
    assert result.exit_code == code
    assert result.stdout == ""
    assert message in result.stderr


def test_mirrors_that_fail(tmp_path, mnist):
    mnist.content.clear()
    result = data("fetch", "mnist", "--data-dir", tmp_path)
    assert result.exit_code == 3
    assert result.stderr.startswith("error: cannot fetch train-images-idx3-ubyte.gz of mnist: http://127.0.0.1")
    assert result.stderr.count("404 Not Found") == 2


def test_torch_is_not_loaded(tmp_path):
    script = (
        "import sys; from ndtools.cli.data import data_app\n"
        "data_app(['list'], standalone_mode=False); data_app(['verify'], standalone_mode=False)\n"
        "assert not {'torch', 'numpy', 'matplotlib', 'pooch'} & set(sys.modules)"
    )
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
