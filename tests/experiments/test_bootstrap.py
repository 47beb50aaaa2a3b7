"""The bootstrap against the spread of independent sets of images, of which it is an estimate."""

import shutil

import numpy as np
import pytest
import torch

import ndtools as nd
from ndtools.data.sources import ImageRef, ImageSource
from ndtools.experiments.bootstrap import bootstrap_kernels
from ndtools.numerics.covariance import Covariance, PatchCovariance
from ndtools.numerics.inverse_sqrt import Eigh
from tests.cli.test_kernels import invoke, numbers, photos, save  # noqa: F401  # photos is a fixture


def images(count, seed):
    """Noise of contrasts that differ from image to image: what kernels vary by."""
    rng = np.random.default_rng(seed)
    return [rng.uniform(0.05, 0.4) * rng.standard_normal((1, 24, 24)) + 0.5 for _ in range(count)]


def covariances(pictures, groups):
    made = [PatchCovariance(1, 3, dtype=torch.float64) for _ in range(groups)]
    for i, picture in enumerate(pictures):
        made[i % groups].update(picture)
    return [part.finalize() for part in made]


def resample(pictures, groups, replicates=200, seed=0):
    parts = covariances(pictures, groups)
    sizes = [len(pictures[g::groups]) for g in range(groups)]
    return bootstrap_kernels(parts, sizes, eps=1e-3, method=Eigh(), replicates=replicates, seed=seed)


@pytest.mark.parametrize("groups", [16, 64])
def test_errors_are_the_spread_of_independent_sets(groups):
    found = resample(images(64, seed=0), groups)
    kernels = []
    for seed in range(1, 81):
        fit = nd.Deconvolution.from_covariance(Covariance.pooled(covariances(images(64, seed), 1)), eps=1e-3)
        kernels.append(fit.kernels().numpy())
    spread = np.std(kernels, axis=0, ddof=1)
    middle = (0, 0, 1, 1)
    # A standard deviation from m draws is known to 1/√(2m): groups of one set, and 80 sets. Four of those.
    tolerance = 4 * np.sqrt(1 / (2 * groups) + 1 / 160)
    assert found.error[middle] == pytest.approx(spread[middle], rel=tolerance)
    assert found.relative_error == pytest.approx(
        np.linalg.norm(found.error) / np.linalg.norm(np.mean(kernels, 0)), rel=0.2
    )


def test_kernels_settle_with_the_root_of_the_number_of_images():
    found = resample(images(64, seed=3), 64)
    assert found.images.tolist() == [1, 2, 4, 8, 16, 32]
    assert found.change[-1] < 0.5 * found.change[0]
    # What so many images are off by, by the curve and by the bootstrap.
    assert found.per_image / np.sqrt(64) == pytest.approx(found.relative_error, rel=0.5)


def test_the_same_seed_gives_the_same_errors():
    pictures = images(6, seed=5)
    one, same, other = (resample(pictures, 6, replicates=20, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.error, same.error)
    assert (one.error != other.error).any()


def test_equal_images_have_no_error():
    found = resample(images(1, seed=0) * 5, 5, replicates=5)
    assert found.relative_error < 1e-12
    assert found.per_image < 1e-10


def test_images_are_dealt_once_each():
    source = ImageSource("x", tuple(ImageRef(str(i), bytes) for i in range(11)))
    parts = source.parts(4, seed=1)
    assert sorted(len(part) for part in parts) == [2, 3, 3, 3]
    assert sorted(int(ref.name) for part in parts for ref in part) == list(range(11))
    assert [[r.name for r in p] for p in parts] == [[r.name for r in p] for p in source.parts(4, seed=1)]
    assert [[r.name for r in p] for p in parts] != [[r.name for r in p] for p in source.parts(4, seed=2)]
    assert len(source.parts(99, seed=0)) == 11


def test_weights_count_sets_as_often(tmp_path):
    first, second = covariances(images(2, seed=0), 2)
    found = Covariance.pooled([first, second], [3, 1])
    wanted = first + first + first + second
    assert found.count == wanted.count
    torch.testing.assert_close(found.matrix, wanted.matrix, rtol=1e-12, atol=1e-15)
    with pytest.raises(ValueError, match="no set"):
        Covariance.pooled([first], [0])


def test_command(photos, tmp_path):  # noqa: F811
    (photos / "bad.jpg").write_bytes(b"no image")
    out = tmp_path / "out"
    result = invoke("kernels", photos, "-k", 3, "-o", out, "--bootstrap", 10)
    assert result.exit_code == 0, result.stderr
    assert (out / "kernels_bootstrap.png").exists()
    assert "standard error" in result.stdout.splitlines()[0]
    content = numbers(out)
    assert content["images"]["read"] == 4
    assert [s["path"] for s in content["images"]["skipped"]] == [str(photos / "bad.jpg")]
    assert content["bootstrap"]["replicates"] == 10
    assert content["bootstrap"]["groups"] == 4
    with np.load(out / "kernels.npz") as arrays:
        assert arrays["kernels_error"].shape == (3, 3, 3, 3)
        with_groups = arrays["kernels"]
    assert invoke("kernels", photos, "-k", 3, "-o", out).exit_code == 0
    with np.load(out / "kernels.npz") as arrays:
        np.testing.assert_allclose(with_groups, arrays["kernels"], rtol=1e-2, atol=1e-2)
        assert "kernels_error" not in arrays
    assert invoke("kernels", photos / "1.jpg", "-k", 3, "-o", out, "--bootstrap", 10).exit_code == 3
    assert invoke("kernels", photos, "-k", 3, "-o", out, "--bootstrap", 1).exit_code == 2
    assert invoke("kernels", photos, "-k", 3, "-o", out, "--save-moments", tmp_path / "a.npz").exit_code == 0
    shutil.copy(tmp_path / "a.npz", tmp_path / "b.npz")
    moments = ("--from-moments", tmp_path / "a.npz", tmp_path / "b.npz")
    assert invoke("kernels", *moments, "-o", out, "--bootstrap", 5).exit_code == 0
    assert numbers(out)["bootstrap"]["relative_error"] < 1e-12  # the same moments twice
    assert invoke("kernels", save(tmp_path / "c.png", (2, 2)), "-k", 3, "-o", out, "--bootstrap", 5).exit_code == 3
