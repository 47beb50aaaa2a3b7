"""``ndtools data`` as its user meets it: screen, exit codes."""

import json
import os
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from ndtools.cli.data import data_app
from ndtools.console.failures import FailureHandlingGroup
from ndtools.data.labelled.catalogue import KNOWN
from tests.labelled_files import IDX_NAMES, Server, idx_contents, put, serve_mnist
from tests.places import ROOT

pytestmark = pytest.mark.usefixtures("nothing_elsewhere")

app = typer.Typer(cls=FailureHandlingGroup, pretty_exceptions_enable=False)
app.add_typer(data_app, name="data")


def data(*arguments, columns=200):
    environment = {"COLUMNS": str(columns), "NO_COLOR": "1", "TERM": "dumb"}
    return CliRunner().invoke(app, ["data", *map(str, arguments)], env=environment)


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
    sets = tmp_path / ("a-long-name-" * 8) / "sets"
    put(sets / "mnist", idx_contents())
    for columns in (80, 200):
        result = data("list", "--data-dir", sets, columns=columns)
        assert result.exit_code == 0, result.stderr
        assert result.stderr == ""
        lines = result.stdout.splitlines()
        assert [line.split()[0] for line in lines[1::2]] == list(KNOWN)
        assert all(len(line) <= 80 for line in [lines[0], *lines[1::2]])
        below = {line.split()[0]: place for line, place in zip(lines[1::2], lines[2::2], strict=True)}
        rows = {line.split()[0]: line for line in lines}
        assert below["fashion-mnist"] == f"    not here, 31 MB: ndtools data fetch fashion-mnist --data-dir {sets}"
        assert "60,000 + 10,000  28×28  MIT" in rows["fashion-mnist"]
        assert below["mnist"] == f"    {sets / 'mnist'}"
        assert below["glyphs"] == "    built in" and "synthetic" in rows["glyphs"]
    assert "    not here, 31 MB: ndtools data fetch fashion-mnist\n" in data("list").stdout


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
        command = f"ndtools data fetch mnist --data-dir {tmp_path}"
        assert result.stderr == f"error: 2 of 4 files are not right; fetch mnist with '{command}'\n"
    result = data("verify", "mnist", "--json", "--data-dir", tmp_path)
    assert result.exit_code == 3
    content = json.loads(result.stdout)
    assert content["ok"] is False
    assert [file["status"] for file in content["files"]] == ["wrong checksum", "ok", "ok", "missing"]
    assert content["files"][0]["path"] == str(tmp_path / "mnist" / f"{IDX_NAMES[0]}.gz")
    assert data("fetch", "mnist", "--data-dir", tmp_path).exit_code == 0
    assert data("verify", "--data-dir", tmp_path).exit_code == 0


def test_one_set_in_the_folder_itself_is_not_another(tmp_path, mnist):
    assert data("fetch", "mnist", "--data-dir", tmp_path / "dl").exit_code == 0
    for path in (tmp_path / "dl" / "mnist").iterdir():
        path.rename(tmp_path / "dl" / path.name)
    result = data("verify", "--data-dir", tmp_path / "dl")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "fashion-mnist" not in result.stdout
    assert data("path", "mnist", "--data-dir", tmp_path / "dl").stdout == f"{tmp_path / 'dl'}\n"
    assert data("path", "fashion-mnist", "--data-dir", tmp_path / "dl").exit_code == 3
    (tmp_path / "dl").rename(tmp_path / "fashion-mnist")
    result = data("verify", "fashion-mnist", "--data-dir", tmp_path)
    assert result.exit_code == 3
    assert result.stdout.count("the file of mnist") == 4
    command = f"ndtools data fetch fashion-mnist --data-dir {tmp_path}"
    advice = f"move the files of mnist to a folder of their own and fetch fashion-mnist with '{command}'"
    assert result.stderr == f"error: 4 of 4 files are not right; {advice}\n"


def test_verify_with_nothing_here(tmp_path, monkeypatch):
    result = data("verify")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"no files to check: no data set in '{tmp_path / 'cache'}'\n"
    monkeypatch.setenv("NDTOOLS_DATA", str(tmp_path / "variable"))
    (tmp_path / "given").mkdir()
    stderr = data("verify", "--data-dir", tmp_path / "given").stderr
    folders = ", ".join(f"'{tmp_path / name}'" for name in ("given", "variable", "cache"))
    assert stderr == f"no files to check: no data set in {folders}\n"
    result = data("verify", "glyphs")
    assert (result.exit_code, result.stderr) == (0, "glyphs is built in: nothing to check\n")
    for more in ([], ["--json"]):
        result = data("verify", "cifar100", *more)
        assert result.exit_code == 3
        assert "missing" in result.stdout
        assert f"fetch cifar100 with 'ndtools data fetch cifar100 --data-dir {tmp_path / 'variable'}'" in result.stderr


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
