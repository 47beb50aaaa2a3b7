"""``ndtools check`` as its user meets it: screen, files, exit codes."""

import pytest

import ndtools as nd
from ndtools.drawing.style import COLUMN
from tests.commands import invoke, numbers, save
from tests.layout import faults

pytestmark = pytest.mark.usefixtures("unpainted")


@pytest.fixture
def photo(tmp_path):
    return save(tmp_path / "photo.png", size=(60, 50))


def test_it_writes_what_it_promises(photo, tmp_path):
    arguments = ("prop2", "batch-norm", "--source", photo, "--eps", 1e-2, "--seed", 5, "-k", 5, "--gray", "-n", 3)
    result = invoke("check", *arguments, "--dtype", "float64", "-o", tmp_path / "out", "--device", "cpu")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[1].split() == ["compared", "difference", "rounding", "verdict"]
    assert max(map(len, lines)) <= 100
    assert [line.split() for line in lines if line.startswith(("prop2 ", "batch-norm "))] == [
        ["prop2", "holds"],
        ["batch-norm", "holds"],
    ]
    assert any(line.startswith("  (output, published code)") and line.endswith("does not hold") for line in lines)
    content = numbers(tmp_path / "out", "check")
    wanted = {"names": ["prop2", "batch-norm"], "eps": 1e-2, "seed": 5, "kernel_size": 5, "gray": True, "images": 3}
    assert wanted.items() <= content["config"].items()
    assert [each["verdict"] for each in content["checks"]] == ["holds", "holds"]
    assert content["features"] == 25
    assert {path.name for path in (tmp_path / "out").iterdir()} == {f"check.{x}" for x in ("png", "npz", "json", "txt")}
    caption = (tmp_path / "out" / "check.txt").read_text()
    assert "Verdict: holds." in caption and "25 features" in caption
    restored = nd.load(tmp_path / "out" / "check.json")
    assert restored.outcome("prop2").verdict == "holds"


def test_names_in_any_case_and_differences_that_do_not_exist(tmp_path):
    """In float32 the built-in photograph has no D without a ridge: there is no difference to show."""
    result = invoke("check", "Prop3", "--dtype", "float32", "-o", tmp_path)
    assert result.exit_code == 0, result.stderr
    row = next(line.split() for line in result.stdout.splitlines() if "one step, orthogonal W " in line)
    assert row[4] == "-" and row[6:] == ["cannot", "be", "decided"]
    assert "nan" not in result.stdout


def test_all_checks_run_by_default(photo, tmp_path):
    result = invoke("check", "--source", photo, "-o", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.stderr
    checks = numbers(tmp_path / "out", "check")["checks"]
    assert [each["name"] for each in checks] == list(nd.CheckConfig.names)
    narrow = nd.load(tmp_path / "out" / "check.json").plot(width=COLUMN)
    assert 25.4 * narrow.get_figheight() < 150 and not faults(narrow)  # millimetres: two panels in a row are flat
    finding = next(each["finding"] for each in checks if each["name"] == "batch-norm")
    assert (
        "each channel has its own mean and its own D" in finding and "does not hold for the published code" in finding
    )


def test_the_short_form(photo):
    result = nd.check(("prop1",), source=str(photo), gray=True)
    assert result.outcome("prop1").verdict == "holds"
    assert "prop1 holds" in repr(result)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["prop4"], 2, "must be one of prop1, prop2"),
        (["prop1", "prop1"], 2, "each once"),
        (["-k", "4"], 2, "--kernel-size must be odd"),
        (["--eps", "0"], 2, "--eps must be at least 1e-18"),
        (["--source", "absent.png"], 3, "absent.png"),
    ],
)
def test_failures(arguments, code, message, tmp_path):
    result = invoke("check", *arguments, "-o", tmp_path / "out")
    assert result.exit_code == code, result.stderr
    assert message in " ".join(result.stderr.split())
    assert not (tmp_path / "out" / "check.json").exists()
