"""Results replace older results, and nothing else."""

import json
import os
import shutil

import numpy as np
import pytest

from tests.commands import invoke, numbers, save

pytestmark = pytest.mark.usefixtures("unpainted")


def kernels(source, out, *arguments):
    return invoke("kernels", source, "--out", out, "-k", 3, *arguments)


def test_a_file_of_the_user_is_not_replaced(photos, tmp_path):
    mine = save(tmp_path / "kernels.png")
    before = mine.read_bytes()
    result = kernels(photos, tmp_path)
    assert result.exit_code == 1
    assert (
        f"cannot write {mine}: it exists, and is not a file of an older result of this name (kernels.json is none)"
        in result.stderr
    )
    assert mine.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kernels.png", "photos"]


def test_an_older_result_is_replaced(photos, tmp_path):
    assert kernels(photos, tmp_path).exit_code == 0
    again = kernels(photos, tmp_path)
    assert again.exit_code == 0
    assert "(replaced)" in again.stderr


@pytest.mark.parametrize("linked", [False, True])
def test_an_input_is_not_replaced(photos, tmp_path, linked):
    assert invoke("deconvolve", photos / "0.jpg", "--out", tmp_path).exit_code == 0
    picture = tmp_path / "deconvolve_image.png"
    before = picture.read_bytes()
    source = tmp_path / "link.png" if linked else picture
    if linked:
        os.symlink(picture, source)
    result = invoke("deconvolve", source, "--out", tmp_path)
    assert result.exit_code == 2
    assert "--name would replace" in result.stderr and "which is read" in result.stderr
    assert picture.read_bytes() == before


def test_pictures_of_results_are_not_taken_for_photographs(photos):
    first = kernels(photos, photos, "--fit")
    assert first.exit_code == 0, first.stderr
    before = numbers(photos)
    again = kernels(photos, photos, "--fit")
    assert again.exit_code == 0
    assert "a picture that ndtools made, of the result kernels.json" in again.stderr
    after = numbers(photos)
    assert after["images"]["read"] == before["images"]["read"] == 4
    # The order of the sums differs from run to run; `covariance_error` bounds what that does to D.
    rounding = 10 * before["covariance_error"]
    for name in ("center", "surround_mean"):
        assert [c[name] for c in after["channels"]] == pytest.approx(
            [c[name] for c in before["channels"]], rel=rounding
        )
    (photos / "kernels.json").write_text("{}")  # not a result: then these are pictures like others
    assert kernels(photos, photos / "out").exit_code == 0
    assert numbers(photos / "out")["images"]["read"] == 6


def test_moments_replace_moments_only(photos, tmp_path):
    moments, notes = tmp_path / "moments.npz", tmp_path / "notes.txt"
    for _ in range(2):
        assert kernels(photos, tmp_path / "out", "--save-moments", moments).exit_code == 0
    notes.write_text("mine")
    np.savez(tmp_path / "other.npz", a=1)
    shutil.copy(photos / "0.jpg", tmp_path / "0.jpg")
    for path in (notes, tmp_path / "other.npz", tmp_path / "0.jpg"):
        before = path.read_bytes()
        result = kernels(photos, tmp_path / "out", "--save-moments", path)
        assert result.exit_code == 2
        assert f"--save-moments would replace {path}, which is no file of moments" in result.stderr
        assert path.read_bytes() == before


def test_pipes_are_refused_and_links_kept(photos, tmp_path):
    pipe, out = tmp_path / "pipe.npz", tmp_path / "out"
    os.mkfifo(pipe)
    result = kernels(photos, out, "--save-moments", pipe)
    assert result.exit_code == 1
    assert "pipe.npz there is not a regular file" in result.stderr
    assert not os.path.isfile(pipe)
    assert kernels(photos, out).exit_code == 0
    os.rename(out / "kernels.npz", tmp_path / "elsewhere.npz")
    os.symlink(tmp_path / "elsewhere.npz", out / "kernels.npz")
    before = (tmp_path / "elsewhere.npz").stat().st_ino
    assert kernels(photos, out).exit_code == 0
    assert (out / "kernels.npz").is_symlink()
    assert (tmp_path / "elsewhere.npz").stat().st_ino != before


def test_figures_of_the_replaced_result_do_not_stay_beside_the_new_one(photos, tmp_path):
    out = tmp_path / "out"
    names = ["kernels.json", "kernels.npz", "kernels.png", "kernels.txt"]
    assert kernels(photos, out, "--fit").exit_code == 0
    assert numbers(out)["files"] == ["kernels.png", "kernels.npz", "kernels.json", "kernels.txt", "kernels_fit.png"]
    (out / "kernels_mine.png").write_bytes(b"mine")
    assert kernels(photos, out, "--name", "kernels_fit2").exit_code == 0
    again = kernels(photos, out)
    assert f"removed {out / 'kernels_fit.png'}, written by the run that this one replaces" in again.stderr
    others = ["kernels_fit2.json", "kernels_fit2.npz", "kernels_fit2.png", "kernels_fit2.txt", "kernels_mine.png"]
    assert sorted(path.name for path in out.iterdir()) == sorted(names + others)


def test_figures_in_other_formats_do_not_stay(photos, tmp_path):
    out = tmp_path / "out"
    assert kernels(photos, out, "--format", "svg,pdf").exit_code == 0
    changed = kernels(photos, out)  # the images may have changed, too
    assert f"removed {out / 'kernels.pdf'}  {out / 'kernels.svg'}" in changed.stderr
    assert sorted(path.suffix for path in out.iterdir()) == [".json", ".npz", ".png", ".txt"]


def test_notes_beside_a_result_are_not_replaced(photos, tmp_path):
    """Versions before this one wrote no .txt, and did not list their files."""
    out = tmp_path / "out"
    assert kernels(photos, out).exit_code == 0
    text = json.loads((out / "kernels.json").read_text())
    text.pop("files")
    (out / "kernels.json").write_text(json.dumps(text))
    (out / "kernels.txt").write_text("my own notes")
    again = kernels(photos, out)
    assert again.exit_code == 1
    assert "kernels.txt: it exists, and is not a file of an older result" in again.stderr
    assert (out / "kernels.txt").read_text() == "my own notes"


def test_the_figure_of_another_result_is_neither_replaced_nor_removed(photos, tmp_path):
    out = tmp_path / "out"
    assert kernels(photos, out, "--fit", "-k", 5).exit_code == 0
    assert kernels(photos, out, "--name", "kernels_fit", "-k", 5).exit_code == 1  # it would replace a figure
    (out / "kernels_fit.png").unlink()
    assert kernels(photos, out, "--name", "kernels_fit", "-k", 5).exit_code == 0
    picture = (out / "kernels_fit.png").read_bytes()
    assert kernels(photos, out, "--fit", "-k", 5).exit_code == 1
    assert kernels(photos, out, "-k", 5).exit_code == 0
    assert (out / "kernels_fit.png").read_bytes() == picture != (out / "kernels.png").read_bytes()


def test_a_name_that_is_not_utf_8_reaches_the_captions(photos, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["ndtools", "kernels", "caf\udce9"])
    assert kernels(photos, tmp_path / "out").exit_code == 0
    assert "caf\\udce9" in (tmp_path / "out" / "kernels.txt").read_text()


@pytest.mark.parametrize(
    "files", [["../mine.png", "mine.png", "kernels.json/..", 3, "kernels_dir"], "kernels_a.png", 7]
)
def test_a_list_of_files_leads_nowhere_else(photos, tmp_path, files):
    out = tmp_path / "out"
    assert kernels(photos, out).exit_code == 0
    (out / "kernels_dir").mkdir()
    for path in (out / "mine.png", tmp_path / "mine.png", out / "kernels_a.png"):
        path.write_bytes(b"mine")
    text = (out / "kernels.json").read_text()
    listed = json.loads(text)["files"]
    files = files + listed if isinstance(files, list) else files
    (out / "kernels.json").write_text(json.dumps(json.loads(text) | {"files": files}))
    again = kernels(photos, out, "--gray")
    assert again.exit_code == (0 if isinstance(files, list) else 1)  # what is no list names no file to replace
    assert "removed" not in again.stderr
    assert (tmp_path / "mine.png").exists() and (out / "mine.png").exists() and (out / "kernels_a.png").exists()
