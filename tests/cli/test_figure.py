"""``ndtools figure`` as its user meets it."""

import json
import xml.etree.ElementTree as ElementTree

import pytest
from PIL import Image

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
    assert run.stderr.split("   ")[0].split("  ") == [
        str(saved.parent / f"kernels{what}.png") for what in ("", "_fit", "_bootstrap")
    ]
    assert "(replaced)" in run.stderr
    for path, content in before.items():
        if path.suffix == ".png":
            with Image.open(path) as image:
                size = image.size
            path.write_bytes(content)
            with Image.open(path) as image:
                assert image.size == size
        else:
            assert path.read_bytes() == content
    assert set(saved.parent.iterdir()) == set(before)


@pytest.mark.parametrize("image_format", ["pdf", "svg"])
def test_format_name_and_folder(saved, tmp_path, image_format):
    run = invoke("figure", saved, "--format", image_format, "--out", tmp_path / "new", "--name", "fig2")
    assert run.exit_code == 0, run.stderr
    assert names(tmp_path / "new") == sorted(f"fig2{what}.{image_format}" for what in ("", "_fit", "_bootstrap"))
    assert "(replaced)" not in run.stderr


@pytest.fixture(scope="module")
def as_it_is(saved, tmp_path_factory):
    """Return the folder of the figure as SVG in its own width."""
    folder = tmp_path_factory.mktemp("as_it_is")
    run = invoke("figure", saved, "--format", "svg", "--out", folder)
    assert run.exit_code == 0, run.stderr
    return folder


@pytest.mark.parametrize(("width", "points"), [("89mm", 89 / 25.4 * 72), ("180mm", 180 / 25.4 * 72), ("7in", 504.0)])
def test_width_keeps_the_aspect_ratio(saved, as_it_is, tmp_path, width, points):
    def size(folder):
        root = ElementTree.parse(folder / "kernels.svg").getroot()
        return tuple(float(root.get(side).removesuffix("pt")) for side in ("width", "height"))

    run = invoke("figure", saved, "--format", "svg", "--out", tmp_path, "--width", width)
    assert run.exit_code == 0, run.stderr
    (wide, high), (new_wide, new_high) = size(as_it_is), size(tmp_path)
    assert new_wide == pytest.approx(points, rel=1e-6)  # the file has six decimal places
    assert new_high / new_wide == pytest.approx(high / wide, rel=1e-6)


def test_what_is_no_result_ends_with_exit_code_3(saved, tmp_path):
    (tmp_path / "other.json").write_text(json.dumps({"a": 1}))
    (tmp_path / "cut.json").write_bytes(saved.read_bytes()[:100])
    for path in (tmp_path / "other.json", tmp_path / "cut.json", tmp_path / "none.json"):
        run = invoke("figure", path)
        assert run.exit_code == 3, path
        assert "give the .json or .npz file that an experiment of ndtools wrote" in run.stderr
    assert names(tmp_path) == ["cut.json", "other.json"]


def test_wrong_options_end_with_exit_code_2(saved, tmp_path):
    assert invoke("figure", saved, "--width", "100mm").exit_code == 2
    run = invoke("figure", saved, "--name", "a/b", "--out", tmp_path)
    assert run.exit_code == 2
    assert "--name must be a file name without folder" in run.stderr


def test_a_folder_that_cannot_be_written_to_ends_with_exit_code_1(saved, tmp_path):
    (tmp_path / "file").write_text("")
    run = invoke("figure", saved, "--out", tmp_path / "file")
    assert run.exit_code == 1
    assert "choose another folder with --out" in run.stderr
