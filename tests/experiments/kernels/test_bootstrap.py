"""The bootstrap against the spread of independent sets of images, of which it is an estimate."""

import numpy as np
import pytest
import torch

from ndtools.data.images.sources import ImageRef, ImageSource
from ndtools.errors import NumericalWarning
from ndtools.experiments.kernels.bootstrap import bootstrap_kernels
from ndtools.numerics.covariance import Covariance
from ndtools.numerics.inverse_sqrt import Eigh
from ndtools.numerics.patch_covariance import PatchCovariance
from tests.commands import invoke, numbers, save

pytestmark = pytest.mark.usefixtures("unpainted")


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


def noise(count, rng):
    """Moments of single pixels of ``count`` images, of contrasts that differ."""
    deviations = rng.uniform(0.2, 0.3, count)
    return [Covariance(torch.zeros(1), torch.tensor([[d * d]]).double(), 100, 1, (1, 1)) for d in deviations]


def standard_error(squares, scale):
    """Return the relative standard error of the root of their mean."""
    return np.std(squares, ddof=1) / scale / np.sqrt(len(squares)) / 2


@pytest.mark.filterwarnings("ignore:a bootstrap of")
@pytest.mark.parametrize("groups", [3, 4, 16])
def test_errors_are_the_spread_of_independent_sets(groups):
    rng, sets = np.random.default_rng(groups), 100
    kernels = np.array([1 / np.sqrt(Covariance.pooled(noise(groups, rng)).matrix.item() + 1e-3) for _ in range(1500)])
    found = [
        bootstrap_kernels(noise(groups, rng), [1] * groups, eps=1e-3, method=Eigh(), replicates=60, seed=t)
        for t in range(sets)
    ]
    # Within four standard errors: were the numbers drawn anew, 1 run in 16,000 would fail.
    squares, expected = np.array([f.error.item() ** 2 for f in found]), (kernels - kernels.mean()) ** 2
    tolerance = 4 * np.hypot(standard_error(squares, squares.mean()), standard_error(expected, expected.mean()))
    assert tolerance < 0.2
    assert np.sqrt(squares.mean() / expected.mean()) == pytest.approx(1, abs=tolerance)
    # So many images are off by what the table says, and subsets by what is left of it.
    for f in found:
        assert f.per_image == pytest.approx(f.relative_error * np.sqrt(groups))
    changes = np.array([f.change[-1] ** 2 for f in found])
    expected = np.array([f.expected_change(f.images)[-1] ** 2 for f in found])
    tolerance = 4 * standard_error(changes - expected, expected.mean())
    assert tolerance < 0.2
    assert np.sqrt(changes.mean() / expected.mean()) == pytest.approx(1, abs=tolerance)
    settled = np.mean([f.settles_at is not None and f.settles_at <= max(1, groups // 4) for f in found])
    assert settled > 0.6


def test_the_error_of_the_error():
    rng = np.random.default_rng(0)
    found = [
        bootstrap_kernels(noise(16, rng), [1] * 16, eps=1e-3, method=Eigh(), replicates=60, seed=t) for t in range(60)
    ]
    spread = np.std([f.per_image for f in found], ddof=1)
    assert np.mean([f.per_image_error for f in found]) == pytest.approx(spread, rel=3 / np.sqrt(2 * 60))


def test_kernels_settle_with_the_root_of_the_number_of_images():
    found = resample(images(64, seed=3), 64)
    assert found.images.tolist() == [1, 2, 4, 8, 16, 32]
    assert found.change[-1] < 0.5 * found.change[0]
    assert found.settles_at > 1  # contrasts differ eightfold: kernels of one image are no small change


def test_harmonic_means_of_numbers_of_images():
    with pytest.warns(NumericalWarning, match="2 to 10 images for equals"):
        found = bootstrap_kernels(
            covariances(images(9, seed=0), 9), [2] * 8 + [10], eps=1e-3, method=Eigh(), replicates=5, seed=0
        )
    assert found.images[0] in (2, 3)  # of 1/2 and now and then 1/10, not of 2 and 10


def test_few_groups_are_rough():
    with pytest.warns(NumericalWarning, match="of 7 images.*rough"):
        resample(images(7, seed=0), 7, replicates=3)


def test_resampled_sets_without_kernels_are_left_out():
    flat = PatchCovariance(1, 3).update(np.full((1, 9, 9), 0.5)).finalize()
    parts = [*covariances(images(1, seed=0), 1), *[flat] * 8]
    with pytest.warns(NumericalWarning, match="have no kernels"):
        found = bootstrap_kernels(parts, [1] * 9, eps=0, method=Eigh(), replicates=40, seed=0)
    assert found.failed > 7
    assert 0 < len(found.samples) < 40
    assert np.isfinite(found.error).all()
    assert np.isfinite(found.change).all()
    assert len(found.images) == len(found.change) == len(found.change_error)


@pytest.mark.filterwarnings("ignore:a bootstrap of")
def test_the_same_seed_gives_the_same_errors():
    pictures = images(6, seed=5)
    one, same, other = (resample(pictures, 6, replicates=20, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.error, same.error)
    assert (one.error != other.error).any()


@pytest.mark.filterwarnings("ignore:a bootstrap of")
def test_equal_images_have_no_error():
    found = resample(images(1, seed=0) * 5, 5, replicates=5)
    assert found.relative_error == found.per_image == found.per_image_error == 0
    assert not found.change.any()


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
    with pytest.raises(ValueError, match="must add up to at least 1, got 0"):
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
    with np.load(tmp_path / "a.npz") as arrays:  # a file that knew where it is from would be refused
        np.savez(tmp_path / "b.npz", **{name: array for name, array in arrays.items() if name != "origin"})
    moments = ("--from-moments", tmp_path / "a.npz", tmp_path / "b.npz")
    assert invoke("kernels", *moments, "-o", out, "--bootstrap", 5).exit_code == 0
    assert numbers(out)["bootstrap"]["relative_error"] < 1e-12  # the same moments twice
    assert invoke("kernels", save(tmp_path / "c.png", (2, 2)), "-k", 3, "-o", out, "--bootstrap", 5).exit_code == 3


def test_a_relative_ridge_is_that_of_each_resampled_set():
    """Contrasts differ between images: at a ridge of twice the variance, kernels of a set go with its own contrast."""
    parts = covariances(images(8, 3), 8)
    found = bootstrap_kernels(parts, [1] * 8, eps=2.0, relative=True, method=Eigh(), replicates=20, seed=4)
    weights = np.random.default_rng(4).multinomial(8, np.full(8, 1 / 8), 20)
    for sample, w in zip(found.samples, weights, strict=True):
        matrix = Covariance.pooled(parts, w.tolist()).matrix.numpy()
        values, vectors = np.linalg.eigh(matrix + 2.0 * np.trace(matrix) / len(matrix) * np.eye(len(matrix)))
        root = (vectors / np.sqrt(values)) @ vectors.T
        middle = len(matrix) // 2
        np.testing.assert_allclose(sample.ravel(), root[middle], rtol=1e-10, atol=1e-12 * root.max())
