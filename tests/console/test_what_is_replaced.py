"""Results replace older results, and nothing else."""

import os
import shutil

import numpy as np
import pytest

from tests.commands import invoke, numbers, save


def kernels(source, out, *arguments):
    return invoke("kernels", source, "--out", out, "-k", 3, *arguments)


def test_a_file_of_the_user_is_not_replaced(photos, tmp_path):
    mine = save(tmp_path / "kernels.png")
    before = mine.read_bytes()
    result = kernels(photos, tmp_path)
    assert result.exit_code == 1
    assert f"cannot write {mine}: it exists, and is no result of ndtools" in result.stderr
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
