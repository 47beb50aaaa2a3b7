"""Sparsity of images with the D of saved moments, and the paper's sentence judged at its ridge."""

import numpy as np
import pytest
from PIL import Image

import ndtools as nd
from ndtools.errors import OptionError
from ndtools.experiments.sparsity.verdict import Verdict
from ndtools.numerics.sparsity import Density, Estimate, SparsitySums
from tests.commands import invoke, numbers, save
from tests.oracles.patches import patch_covariance, patch_matrix

pytestmark = pytest.mark.usefixtures("unpainted")


@pytest.fixture
def moments(photos):
    """File of the moments of the photographs, and a folder of other images."""
    file = photos.parent / "m.npz"
    np.savez(file, **nd.kernels(str(photos), kernel_size=3).moments())
    others = photos.parent / "others"
    others.mkdir()
    for i in range(3):
        save(others / f"{i}.png", seed=20 + i)
        pixels = np.asarray(Image.open(others / f"{i}.png"))
        noise = np.random.default_rng(i).integers(-20, 21, pixels.shape)
        Image.fromarray((pixels // 2 + 60 + noise).clip(0, 255).astype(np.uint8)).save(others / f"{i}.png")
    return str(file), others


def test_moments_of_the_same_images_change_nothing(photos, moments):
    config = nd.SparsityConfig(str(photos), eps=1e-2)
    plain = nd.run_sparsity(config)
    found = nd.sparsity(str(photos), eps=1e-2, from_moments=(moments[0],))
    assert found.config.kernel_size == 3 and found.count == plain.count
    for side in ("before", "after"):
        mine, theirs = getattr(found, side), getattr(plain, side)
        assert mine.sigma == pytest.approx(theirs.sigma, rel=1e-4)
        # Values of 8-bit files may lie at the edges of bins, and rounding moves them across.
        np.testing.assert_allclose(np.cumsum(mine.density), np.cumsum(theirs.density), atol=0.1)
        for name in ("kurtosis", "hoyer", "gini", "near_zero", "ggd_shape"):
            # Values near the threshold are spread evenly within a bin of the histogram.
            tolerance = 1e-2 if name == "near_zero" else 1e-3
            assert mine.measures[name].value == pytest.approx(theirs.measures[name].value, rel=tolerance), name


def test_other_images_slowly(photos, moments):
    """D and μ of the photographs applied to other images, whose values have another mean and σ."""
    file, others = moments
    found = nd.sparsity(str(others), eps=1e-3, from_moments=(file,), bootstrap=0)
    folder = [np.asarray(Image.open(p)).transpose(2, 0, 1) / 255 for p in sorted(photos.iterdir())]
    _, mean, covariance = patch_covariance(folder, 3)
    values, vectors = np.linalg.eigh(covariance + 1e-3 * np.eye(27))
    rows = ((vectors / np.sqrt(values)) @ vectors.T)[[4, 13, 22]]
    images = [np.asarray(Image.open(p)).transpose(2, 0, 1) / 255 for p in sorted(others.iterdir())]
    x = np.concatenate([(patch_matrix(image, 3) - mean) @ rows.T for image in images]).ravel()
    sigma = np.sqrt((x**2).mean())
    assert found.after.sigma == pytest.approx(sigma, rel=1e-3)
    assert found.count == x.size
    measures = {name: estimate.value for name, estimate in found.after.measures.items()}
    assert measures["kurtosis"] == pytest.approx((x**4).mean() / sigma**4, rel=1e-3)
    assert measures["near_zero"] == pytest.approx((np.abs(x) < 0.1 * sigma).mean(), rel=2e-2)
    counts = np.histogram(x / sigma, bins=found.edges)[0] / x.size / np.diff(found.edges)
    np.testing.assert_allclose(found.after.density, counts, atol=3e-2)
    assert "others, D of m.npz" in repr(found)
    assert "D and the means are those of" in found.caption


def test_the_command_reads_images_once(photos, moments, tmp_path):
    result = invoke("sparsity", photos, "--from-moments", moments[0], "--eps", "paper,1e-2,auto", "-o", tmp_path / "r")
    assert result.exit_code == 3  # one file has no halves, of which one could judge the ridge of the other
    assert "two images, or files of moments, at least, got one" in result.stderr
    result = invoke("sparsity", photos, "--from-moments", moments[0], "--eps", "paper,1e-2", "-o", tmp_path / "r")
    assert result.exit_code == 0, result.stderr
    series = numbers(tmp_path / "r", "sparsity")["series"]
    assert [member["kernel_size"] for member in series] == [3, 3]
    assert "paper" in series[0] and "paper" not in series[1]
    assert 'At the paper\'s ridge, 3×3: "heavy-tailed"' in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-k", 3), "--kernel-size has no meaning with --from-moments"),
        (("--gray",), "--gray has no meaning with --from-moments"),
        (("--whitening", "none"), "--from-moments has no meaning without whitening"),
    ],
)
def test_options_without_meaning(photos, moments, tmp_path, arguments, message):
    result = invoke("sparsity", photos, "--from-moments", moments[0], *arguments, "-o", tmp_path)
    assert result.exit_code == 2
    assert message in result.stderr


def test_several_kernel_sizes_of_one_file(photos, moments):
    with pytest.raises(OptionError, match="must be one with files of moments"):
        nd.sparsity(str(photos), from_moments=(moments[0],), kernel_size=[3, 5])


def test_rescaled_histograms():
    x = np.random.default_rng(0).normal(0, 2, 200_000).astype(np.float32)
    edges = np.linspace(-10, 10, 41)
    wide = Density(np.linspace(-40, 40, 1601)).add(x)
    found = wide.rescaled(2.0, edges)
    direct = Density(edges).add(x / 2)
    # Edges of the wide histogram are among the scaled ones, so that only rounding moves values.
    np.testing.assert_allclose(found.counts, direct.counts, atol=5)
    assert found.total == direct.total and found.clipped == pytest.approx(direct.clipped, abs=1e-4)
    np.testing.assert_allclose(wide.rescaled(0.0, edges).density, Density(edges).add(x).density, atol=1e-3)


def test_measures_in_another_unit():
    """Values that were added in a unit of their own have the measures of values that were scaled before."""
    x = np.random.default_rng(1).laplace(size=100_000).astype(np.float32)
    generators = [np.random.default_rng(2) for _ in range(2)]
    mine, plain = SparsitySums(4), SparsitySums(4)
    for part in np.split(x, 20):
        mine.add(part * np.float32(0.37), generators[0])
        plain.add(part / np.float32(x.std()), generators[1])
    assert mine.deviation == pytest.approx(0.37 * np.sqrt((x.astype(float) ** 2).mean()), rel=1e-6)
    for name, estimate in mine.measures(mine.deviation).items():
        expected = plain.measures(plain.deviation)[name]
        assert estimate.value == pytest.approx(expected.value, rel=1e-2), name
        if name != "near_zero":  # whose threshold is within a bin of the histogram
            assert estimate.high - estimate.low == pytest.approx(expected.high - expected.low, rel=0.1), name


@pytest.mark.parametrize(
    ("kurtosis", "near", "heavy", "most", "words"),
    [
        (Estimate(27.0, 22.0, 33.0), 0.156, True, False, "above the 6 of a Laplace distribution"),
        (Estimate(7.0, 4.0, 12.0), 0.6, True, True, "above the 3 of a Gaussian"),
        (
            Estimate(3.5, 2.5, 5.0),
            0.5,
            None,
            False,
            "cannot be decided, as the kurtosis is 3.5 (2.5 to 5), an interval",
        ),
        (Estimate(2.5, 2.1, 2.9), 0.5, False, False, "not above the 3 of a Gaussian"),
        (Estimate(2.5, None, None), 0.1, False, False, "not above the 3 of a Gaussian"),
        (Estimate(3.5, None, None), 0.1, True, False, "above the 3 of a Gaussian"),
    ],
)
def test_the_verdict_follows_the_interval(kurtosis, near, heavy, most, words):
    verdict = Verdict(3, kurtosis, Estimate(near, None, None))
    assert (verdict.heavy_tailed, verdict.most_near_zero) == (heavy, most)
    assert words in str(verdict)
    assert str(verdict).count("does not hold") == (heavy is False) + (not most)


def test_only_the_ridge_of_the_paper_is_judged(photos):
    results = nd.sparsity(str(photos), eps=["paper", 1e-3, "auto"], bootstrap=0)
    assert [Verdict.of(result) is not None for result in results] == [True, False, False]
    assert str(Verdict.of(results[0])) in results.caption
    relative = nd.sparsity(str(photos), eps=1e-5, relative_eps=True, bootstrap=0)
    assert relative.numbers()["paper"] == results[0].numbers()["paper"]
    assert Verdict.of(nd.sparsity(str(photos), whitening="channel", bootstrap=0)) is None
