import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ndtools.errors import DataError, MatrixError
from ndtools.moments.files import Moments, iterate_moments
from ndtools.numerics.patch_covariance import PatchCovariance
from tests.commands import invoke, numbers

pytestmark = pytest.mark.usefixtures("unpainted")


@settings(max_examples=30)
@given(
    sizes=st.lists(st.tuples(st.integers(4, 12), st.integers(4, 12), st.floats(0, 1)), min_size=2, max_size=5),
    parts=st.integers(1, 3),
)
def test_covariances_add_up_as_their_images_do(sizes, parts):
    rng = np.random.default_rng(0)
    images = [level + 0.1 * rng.random((2, h, w)) for h, w, level in sizes]
    whole = PatchCovariance(2, 3, dtype=torch.float64)
    shards = [PatchCovariance(2, 3, dtype=torch.float64) for _ in range(min(parts, len(images)))]
    for i, image in enumerate(images):
        whole.update(image)
        shards[i % len(shards)].update(image)
    total, *others = (shard.finalize() for shard in shards)
    for other in others:
        total += other
    wanted = whole.finalize()
    assert total.count == wanted.count
    torch.testing.assert_close(total.mean, wanted.mean, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(total.matrix, wanted.matrix, rtol=1e-10, atol=1e-13)


def test_shards_give_the_kernels_of_all_images(photos, tmp_path):  # noqa: F811
    out = tmp_path / "out"
    for shard, names in (("a", (0, 1, 2)), ("b", (3,))):
        (tmp_path / f"{shard}.txt").write_text("\n".join(str(photos / f"{i}.jpg") for i in names))
        result = invoke(
            "kernels", f"@{tmp_path}/{shard}.txt", "-k", 3, "-o", out, "--save-moments", tmp_path / f"{shard}.npz"
        )
        assert result.exit_code == 0, result.stderr
        assert f"{shard}.npz" in result.stderr
    assert invoke("kernels", photos, "-k", 3, "-o", out, "--name", "whole").exit_code == 0
    # Further files follow the first, or the option is repeated.
    for arguments in (
        ("--from-moments", tmp_path / "a.npz", tmp_path / "b.npz"),
        ("--from-moments", tmp_path / "b.npz", "--from-moments", tmp_path / "a.npz"),
    ):
        result = invoke("kernels", *arguments, "-o", out, "--name", "added")
        assert result.exit_code == 0, result.stderr
        with np.load(out / "whole.npz") as whole, np.load(out / "added.npz") as added:
            scale = np.abs(whole["covariance"]).max()
            np.testing.assert_allclose(added["covariance"], whole["covariance"], rtol=0, atol=1e-6 * scale)
            np.testing.assert_allclose(added["kernels"], whole["kernels"], rtol=1e-2, atol=1e-2)
        found, wanted = numbers(out, "added"), numbers(out, "whole")
        assert found["patches"] == wanted["patches"]
        assert found["images"]["read"] == 4
        assert found["kernel_size"] == 3
        assert len(found["config"]["from_moments"]) == 2


def test_several_sources_are_a_mistake(photos, tmp_path):  # noqa: F811
    result = invoke("kernels", photos / "0.jpg", photos / "1.jpg", "-o", tmp_path)
    assert result.exit_code == 2
    assert "must be one, got 2" in result.stderr


def test_what_is_no_file_of_moments(tmp_path):
    good = Moments(PatchCovariance(1, 2).update(np.random.default_rng(0).random((1, 5, 5))).finalize(), 1).arrays()
    np.savez(tmp_path / "good.npz", **good)
    assert next(iterate_moments([str(tmp_path / "good.npz")]))[1] == 1
    for changes, message in (
        ({"patches": np.array(0)}, "whole numbers of at least 1"),
        ({"patches": np.array(np.nan)}, "whole numbers of at least 1"),
        ({"kernel_size": np.array([2, 2.5])}, "whole numbers of at least 1"),
        ({"kernel_size": np.array([2])}, "do not fit"),
        ({"channels": np.array(2)}, "do not fit"),
        ({"mean": np.zeros(3)}, "do not fit"),
        ({"covariance": np.full((4, 4), np.nan)}, "not finite"),
        ({"covariance": -np.eye(4)}, "negative variances"),
        ({"resize": np.array(-1)}, "resize that is a whole number"),
        ({"resize": np.array([3, 3])}, "resize that is a whole number"),
    ):
        np.savez(tmp_path / "bad.npz", **{**good, **changes})
        with pytest.raises(MatrixError, match=message):
            list(iterate_moments([str(tmp_path / "bad.npz")]))
    with pytest.raises(DataError, match="no such file"):
        list(iterate_moments([str(tmp_path / "good.npz"), str(tmp_path / "none.npz")]))
    other = Moments(PatchCovariance(1, 3).update(np.ones((1, 5, 5))).finalize(), 1).arrays()
    np.savez(tmp_path / "other.npz", **other)
    with pytest.raises(MatrixError, match="does not fit"):
        list(iterate_moments([str(tmp_path / "good.npz"), str(tmp_path / "other.npz")]))


def test_files_remember_to_what_images_were_resized(photos, tmp_path):  # noqa: F811
    """Images of different sizes have different statistics, so that their moments do not add up."""
    for name, size in (("full", ()), ("small", ("--resize", 20))):
        path = tmp_path / f"{name}.npz"
        assert invoke("kernels", photos, "-k", 3, *size, "-o", tmp_path, "--save-moments", path).exit_code == 0
    full, small = (next(iterate_moments([str(tmp_path / f"{name}.npz")])).resize for name in ("full", "small"))
    assert full is None and small == 20
    files = ("--from-moments", tmp_path / "small.npz", "--save-moments", tmp_path / "again.npz")
    assert invoke("kernels", *files, "-o", tmp_path).exit_code == 0
    assert next(iterate_moments([str(tmp_path / "again.npz")])).resize == 20
    message = "full.npz does not fit .*small.npz: its images were not resized, the others were resized to 20 pixels"
    with pytest.raises(MatrixError, match=message):
        list(iterate_moments([str(tmp_path / f"{name}.npz") for name in ("small", "full")]))


def test_even_windows_have_no_kernels(tmp_path):
    even = Moments(PatchCovariance(1, 2).update(np.random.default_rng(0).random((1, 9, 9))).finalize(), 1).arrays()
    np.savez(tmp_path / "even.npz", **even)
    result = invoke("kernels", "--from-moments", tmp_path / "even.npz", "-o", tmp_path)
    assert result.exit_code == 3
    assert "2×2 patches" in result.stderr
    wide = Moments(PatchCovariance(1, (1, 3)).update(np.random.default_rng(0).random((1, 9, 9))).finalize(), 1).arrays()
    np.savez(tmp_path / "wide.npz", **wide)
    assert invoke("kernels", "--from-moments", tmp_path / "wide.npz", "-o", tmp_path).exit_code == 3


def test_files_that_are_given_by_mistake(photos, tmp_path):  # noqa: F811
    out = tmp_path / "out"
    moments = tmp_path / "a.npz"
    assert invoke("kernels", photos, "-k", 3, "-o", out, "--save-moments", moments).exit_code == 0
    (tmp_path / "a.txt").write_text("no moments")
    for path in (out / "kernels.npz", tmp_path / "a.txt"):
        result = invoke("kernels", "--from-moments", path, "-o", tmp_path / "new")
        assert result.exit_code == 3
        assert "files of moments are those that ndtools kernels --save-moments FILE writes" in result.stderr
        assert "pickle" not in result.stderr
    result = invoke("kernels", "--from-moments", moments, tmp_path / "out" / ".." / "a.npz", "-o", out)
    assert result.exit_code == 2
    assert "must name each file once, got" in result.stderr


def test_files_hold_the_rounding_and_older_ones_are_taken_for_float32(tmp_path):
    image = np.random.default_rng(0).random((3, 40, 50))
    covariance = PatchCovariance(3, 3, dtype=torch.float64).update(image).finalize()
    arrays = Moments(covariance, 1).arrays()
    np.savez(tmp_path / "new.npz", **arrays)
    assert next(iterate_moments([str(tmp_path / "new.npz")]))[0].rounding == covariance.rounding
    del arrays["rounding"]
    np.savez(tmp_path / "old.npz", **arrays)
    (old, *_), *_ = list(iterate_moments([str(tmp_path / "old.npz")]))
    assert old.rounding == pytest.approx(2.0**-23 * covariance.mean_variance)
    for wrong in (-1.0, np.nan, [1.0, 2.0]):
        np.savez(tmp_path / "wrong.npz", **arrays, rounding=np.array(wrong))
        with pytest.raises(MatrixError, match="rounding"):
            list(iterate_moments([str(tmp_path / "wrong.npz")]))


def test_moments_made_for_a_larger_ridge_warn(photos, tmp_path):  # noqa: F811
    moments = tmp_path / "m.npz"
    assert invoke("kernels", photos, "-k", 3, "-o", tmp_path, "--save-moments", moments).exit_code == 0
    result = invoke("kernels", "--from-moments", moments, "-o", tmp_path, "--eps", "1e-9", "--name", "again")
    found = numbers(tmp_path, "again")
    assert ("warning: rounding in the covariance" in result.stderr) == (found["covariance_error"] > 1e-3)
