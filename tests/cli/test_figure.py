"""``ndtools figure`` as its user meets it."""

import json
import xml.etree.ElementTree as ElementTree

import pytest

import ndtools
from tests.commands import invoke


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Files of kernels with both further figures."""
    folder = tmp_path_factory.mktemp("saved")
    run = invoke("kernels", "sample", "-n", 3, "-k", 5, "--gray", "--fit", "--bootstrap", 4, "-o", folder, "--dpi", 50)
    assert run.exit_code == 0, run.stderr
    return folder / "kernels.json"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_figures_are_drawn_beside_the_result(saved):
    before = {path: path.read_bytes() for path in saved.parent.iterdir()}
    run = invoke("figure", saved, "--dpi", 50)
    assert run.exit_code == 0, run.stderr
    assert run.stdout == ""
    files = [f"kernels{what}.png" for what in ("", "_fit", "_bootstrap")] + ["kernels.txt"]
    assert run.stderr.split("   ")[0].split("  ") == [str(saved.parent / name) for name in files]
    assert "(replaced)" in run.stderr
    assert {path: path.read_bytes() for path in saved.parent.iterdir()} == before  # to the byte


def test_quiet_prints_nothing(saved, tmp_path):
    run = invoke("figure", saved, "--out", tmp_path, "--dpi", 50, "-q")
    assert (run.exit_code, run.stdout, run.stderr) == (0, "", "")
    assert "kernels.png" in names(tmp_path)


@pytest.mark.parametrize("formats", ["pdf", "svg", "pdf,svg"])
def test_format_name_and_folder(saved, tmp_path, formats):
    run = invoke("figure", saved, "--format", formats, "--out", tmp_path / "new", "--name", "fig2")
    assert run.exit_code == 0, run.stderr
    drawn = [f"fig2{what}.{end}" for what in ("", "_fit", "_bootstrap") for end in formats.split(",")]
    assert names(tmp_path / "new") == sorted([*drawn, "fig2.txt"])
    assert "(replaced)" not in run.stderr
    captions = (tmp_path / "new" / "fig2.txt").read_text().split("\n\n")
    assert [caption.split(":")[0] for caption in captions[:3]] == ["fig2", "fig2_fit", "fig2_bootstrap"]
    command = json.loads(saved.read_text())["command"]
    assert captions[3] == f"Made with ndtools {ndtools.__version__}: {command}\n"


@pytest.mark.parametrize(
    ("width", "points"), [("85", 85 / 25.4 * 72), ("89mm", 89 / 25.4 * 72), ("7in", 504.0), (None, 180 / 25.4 * 72)]
)
def test_figures_are_as_wide_as_asked_for(saved, tmp_path, width, points):
    run = invoke("figure", saved, "--format", "svg", "--out", tmp_path, *(["--width", width] if width else []))
    assert run.exit_code == 0, run.stderr
    root = ElementTree.parse(tmp_path / "kernels.svg").getroot()
    assert float(root.get("width").removesuffix("pt")) == pytest.approx(points, rel=1e-6)  # six decimal places
    texts = "".join(root.itertext())
    assert "deconvolution kernels of" in texts  # letters, and no outlines of them


def test_what_is_no_result_ends_with_exit_code_3(saved, tmp_path):
    (tmp_path / "other.json").write_text(json.dumps({"a": 1}))
    (tmp_path / "cut.json").write_bytes(saved.read_bytes()[:100])
    for path in (tmp_path / "other.json", tmp_path / "cut.json", tmp_path / "none.json"):
        run = invoke("figure", path)
        assert run.exit_code == 3, path
        assert "give the .json or .npz file that an experiment of ndtools wrote" in run.stderr
    assert names(tmp_path) == ["cut.json", "other.json"]
    run = invoke("figure", tmp_path / "runs")
    assert run.exit_code == 3 and "no such file or folder" in run.stderr
    assert "experiment of ndtools wrote, or the folder of a run" in run.stderr


def test_wrong_options_end_with_exit_code_2(saved, tmp_path):
    for width in ("10mm", "1000", "wide", "-85", "nan"):
        run = invoke("figure", saved, "--width", width)
        assert run.exit_code == 2
        assert "--width must be 60 to 500 millimetres" in run.stderr
    run = invoke("figure", saved, "--name", "a/b", "--out", tmp_path)
    assert run.exit_code == 2
    assert "--name must be a file name without folder" in run.stderr


def test_a_folder_that_cannot_be_written_to_ends_with_exit_code_1(saved, tmp_path):
    (tmp_path / "file").write_text("")
    run = invoke("figure", saved, "--out", tmp_path / "file")
    assert run.exit_code == 1
    assert "choose another folder with --out" in run.stderr
