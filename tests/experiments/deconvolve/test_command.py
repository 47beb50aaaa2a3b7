"""``ndtools deconvolve`` and ``ndtools covariance`` as their user meets them: screen, files, exit codes."""

import numpy as np
import pytest
from PIL import Image

import ndtools as nd
from ndtools.errors import DataError
from ndtools.experiments.covariance.result import MeanCorrelation
from tests.commands import invoke, numbers, save
from tests.oracles.inverse_roots import inverse_root
from tests.oracles.patches import patch_covariance, patch_matrix
from tests.oracles.whitened_pixels import distributions

pytestmark = pytest.mark.usefixtures("unpainted")


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def deconvolve(image, out, *arguments):
    return invoke("deconvolve", *([] if image is None else [image]), "--out", out, *arguments)


def deconvolved(out):
    with np.load(out / "deconvolve.npz") as arrays:
        return arrays["deconvolved"]


def test_an_image_by_itself(photos, out):  # noqa: F811
    result = deconvolve(photos / "1.jpg", out, "-k", 5, "--eps", 1e-2)
    assert result.exit_code == 0, result.stderr
    assert str(out / "deconvolve_image.png") in result.stderr
    pixels = np.asarray(Image.open(photos / "1.jpg")).transpose(2, 0, 1) / 255
    _, mean, covariance = patch_covariance([pixels], 5)
    patches = (patch_matrix(pixels, 5) - mean) @ inverse_root(covariance + 1e-2 * np.eye(75))
    centres = np.arange(3) * 25 + 12
    found = deconvolved(out)
    assert found.shape == (3, 26, 36)
    np.testing.assert_allclose(found, patches[:, centres].T.reshape(3, 26, 36), atol=2e-4)
    content = numbers(out, "deconvolve")
    x = patches[:, centres]
    assert content["after"]["kurtosis"] == pytest.approx((x**4).mean() / (x**2).mean() ** 2, rel=1e-3)
    assert content["shape"] == [3, 26, 36]
    assert content["after"]["clipped"] == pytest.approx((np.abs(x) > 10 * x.std()).mean(), abs=1e-9)
    assert content["before"]["sigma"] == pytest.approx(pixels[:, 2:-2, 2:-2].std(), rel=0.5)
    picture = np.asarray(Image.open(out / "deconvolve_image.png")).transpose(2, 0, 1).astype(float)
    white = np.percentile(np.abs(found), 99.5)
    np.testing.assert_allclose(picture, 127.5 * (1 + (found / white).clip(-1, 1)), atol=0.51)
    assert {0.0, 255.0} & {picture.min(), picture.max()}


def test_kernels_of_a_set_and_borders(photos, out):  # noqa: F811
    assert invoke("kernels", photos, "--out", out, "-k", 3).exit_code == 0
    kernels = out / "kernels.npz"
    assert deconvolve(photos / "2.jpg", out, "--from", kernels).exit_code == 0
    valid = deconvolved(out)
    assert deconvolve(photos / "2.jpg", out, "--from", kernels, "--border", "reflect").exit_code == 0
    whole = deconvolved(out)
    assert valid.shape == (3, 28, 38)
    assert whole.shape == (3, 30, 40)
    np.testing.assert_allclose(whole[:, 1:-1, 1:-1], valid, atol=1e-4)
    with np.load(kernels) as arrays:
        weights, mean = arrays["kernels"], arrays["mean"]
    pixels = np.asarray(Image.open(photos / "2.jpg")).transpose(2, 0, 1) / 255
    mirrored = np.pad(pixels, ((0, 0), (1, 1), (1, 1)), mode="reflect")
    expected = (patch_matrix(mirrored, 3) - mean) @ weights.reshape(3, -1).T
    np.testing.assert_allclose(whole, expected.T.reshape(3, 30, 40), atol=1e-3)
    content = numbers(out, "deconvolve")
    assert content["from"] == str(kernels)
    assert content["eps"] is content["condition"] is None
    assert invoke("kernels", photos, "--out", out, "-k", 3, "--gray").exit_code == 0
    assert deconvolve(photos / "2.jpg", out, "--from", kernels).exit_code == 0
    assert deconvolved(out).shape == (1, 28, 38)
    with Image.open(out / "deconvolve_image.png") as picture:
        assert picture.mode == "L"
    assert "is reduced to luma" in deconvolve(photos / "2.jpg", out, "--from", kernels).stderr
    Image.open(photos / "2.jpg").convert("L").save(photos.parent / "grey.png")
    assert "luma" not in deconvolve(photos.parent / "grey.png", out, "--from", kernels).stderr


def test_measures_are_about_the_mean_of_the_image(tmp_path, out):
    """Kernels of a darker set leave the output with a mean of its own, which is neither kurtosis nor variance."""
    rng = np.random.default_rng(0)
    (tmp_path / "dark").mkdir()
    for name, low, high in (("dark/a", 0, 60), ("dark/b", 0, 60), ("bright", 190, 250)):
        pixels = rng.integers(low, high, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    assert invoke("kernels", tmp_path / "dark", "--out", out, "-k", 3).exit_code == 0
    assert deconvolve(tmp_path / "bright.png", out, "--from", out / "kernels.npz").exit_code == 0
    content, x = numbers(out, "deconvolve"), deconvolved(out).astype(float)
    assert abs(x.mean()) > 2 * x.std()
    x -= x.mean((1, 2), keepdims=True)
    assert content["after"]["sigma"] == pytest.approx(x.std(), rel=1e-5)
    assert content["after"]["kurtosis"] == pytest.approx((x**4).mean() / (x**2).mean() ** 2, rel=1e-4)
    pixels = np.asarray(Image.open(tmp_path / "bright.png")).transpose(2, 0, 1)[:, 1:-1, 1:-1] / 255
    pixels -= pixels.mean((1, 2), keepdims=True)
    assert content["before"]["kurtosis"] == pytest.approx((pixels**4).mean() / (pixels**2).mean() ** 2, rel=1e-4)
    assert content["before"]["sigma"] == pytest.approx(pixels.std(), rel=1e-5)


def test_output_that_overflows(photos, tmp_path, out):  # noqa: F811
    np.savez(tmp_path / "k.npz", kernels=np.full((3, 3, 3, 3), 1e38), mean=np.zeros(27))
    result = deconvolve(photos / "1.jpg", out, "--from", tmp_path / "k.npz")
    assert result.exit_code == 4
    assert "overflows" in result.stderr


def test_the_default_and_a_flat_image(tmp_path, out):
    assert deconvolve(None, out, "--quiet").exit_code == 0
    assert deconvolved(out).shape == (3, 598, 510)
    Image.new("RGB", (9, 9), (10, 20, 30)).save(tmp_path / "flat.png")
    result = deconvolve(tmp_path / "flat.png", out)
    assert result.exit_code == 0
    assert "constant" in result.stderr
    content = numbers(out, "deconvolve")
    for side in ("before", "after"):
        assert content[side]["sigma"] == 0
        assert content[side]["kurtosis"] is content[side]["near_zero"] is None


def test_bad_input(photos, tmp_path, out):  # noqa: F811
    image = photos / "1.jpg"
    with pytest.raises(DataError, match="4 images, where one is wanted"):
        nd.deconvolve(photos)
    assert deconvolve(tmp_path / "no.png", out).exit_code == 3
    assert deconvolve(save(tmp_path / "a.png", (2, 9)), out).exit_code == 3
    assert deconvolve(image, out, "-k", 2).exit_code == 2
    (tmp_path / "b.png").write_bytes(b"no image")
    assert deconvolve(tmp_path / "b.png", out).exit_code == 3
    assert deconvolve(image, out, "--from", tmp_path / "no.npz").exit_code == 3
    good = {"kernels": np.zeros((3, 3, 3, 3)), "mean": np.zeros(27)}
    for changes, message in (
        ({"kernels": np.zeros((3, 3, 2, 2))}, "where (C, C, k, k)"),
        ({"kernels": np.zeros((2, 3, 3, 3))}, "where (C, C, k, k)"),
        ({"kernels": np.zeros((2, 2, 3, 3))}, "mean of shape (27,), where (18,) is wanted"),
        ({"kernels": np.zeros((2, 2, 3, 3)), "mean": np.zeros(18)}, "holds kernels of 2 channels, and"),
        ({"kernels": np.zeros(3)}, "where (C, C, k, k)"),
        ({"mean": np.zeros(3)}, "mean of shape (3,)"),
        ({"mean": np.full(27, np.nan)}, "not finite"),
    ):
        np.savez(tmp_path / "k.npz", **{**good, **changes})
        result = deconvolve(image, out, "--from", tmp_path / "k.npz")
        assert result.exit_code == 3
        assert message in result.stderr
    np.save(tmp_path / "k.npy", np.zeros((3, 3, 3, 3)))
    assert "must be a .npz file with kernels, mean" in deconvolve(image, out, "--from", tmp_path / "k.npy").stderr


def test_covariance(photos, out):  # noqa: F811
    result = invoke("covariance", photos, "--out", out, "--eps", 1e-2)
    assert result.exit_code == 0, result.stderr
    images = [np.asarray(Image.open(p)).transpose(2, 0, 1) / 255 for p in sorted(photos.iterdir())]
    count, _, covariance = patch_covariance(images, 3)
    d = inverse_root(covariance + 1e-2 * np.eye(27))
    content = numbers(out, "covariance")
    with np.load(out / "covariance.npz") as arrays:
        np.testing.assert_allclose(arrays["covariance"], covariance, atol=1e-7)
        np.testing.assert_allclose(arrays["whitened"], d @ covariance @ d, atol=1e-5)
    assert content["patches"] == count
    for side, matrix in (("before", covariance), ("after", d @ covariance @ d)):
        correlation = np.abs(matrix / np.sqrt(np.outer(matrix.diagonal(), matrix.diagonal())))
        within = [correlation[i, j] for i in range(27) for j in range(27) if i // 9 == j // 9 and i != j]
        across = [correlation[i, j] for i in range(27) for j in range(27) if i // 9 != j // 9]
        found = content["mean_abs_correlation"][side]
        assert found["within_channel"] == pytest.approx(np.mean(within), rel=1e-4)
        assert found["across_channels"] == pytest.approx(np.mean(across), rel=1e-4)
    before, _ = distributions(photos, 3, 1e-2)
    assert before.shape[1] == 3  # the oracle of sparsity sees the same patches


def test_partial_whitening_leaves_more(photos, out):  # noqa: F811
    left = []
    for iterations in (3, 30):
        arguments = ("--method", "coupled", "--iterations", iterations, "--eps", 1e-4)
        assert invoke("covariance", photos, "--out", out, *arguments).exit_code == 0
        left.append(numbers(out, "covariance")["mean_abs_correlation"]["after"]["within_channel"])
    assert left[0] > 2 * left[1]


def test_covariance_of_bad_input(tmp_path, out):
    assert invoke("covariance", tmp_path / "no", "--out", out).exit_code == 3
    assert invoke("covariance", save(tmp_path / "a.png"), "--out", out, "-k", 0).exit_code == 2
    assert invoke("covariance", save(tmp_path / "a.png"), "--out", out, "-k", 1).exit_code == 0
    assert numbers(out, "covariance")["mean_abs_correlation"]["before"]["within_channel"] is None


def test_mean_correlation_of_features_without_variance():
    matrix = np.diag([1.0, 1e-20, 2.0, 3.0])
    matrix[0, 2] = matrix[2, 0] = -np.sqrt(2) / 2
    found = MeanCorrelation.of(matrix, 2, 1e-15)
    assert found.within_channel == 0
    assert found.across_channels == pytest.approx(0.5 / 2)
    assert found.same_pixel == pytest.approx(-0.5)
    assert found.largest == pytest.approx(0.5)
    assert MeanCorrelation.of(np.eye(3), 1).across_channels is None
    assert MeanCorrelation.of(np.diag([-1e-20] * 4), 2) == MeanCorrelation(None, None, None, None)


def test_covariance_of_a_subset_and_of_constant_images(photos, tmp_path, out):  # noqa: F811
    assert invoke("covariance", photos, "--out", out, "-n", 2, "--seed", 3).exit_code == 0
    content = numbers(out, "covariance")
    assert content["images"]["read"] == 2
    assert content["max_abs_correlation"]["after"] < content["max_abs_correlation"]["before"] < 1
    assert content["same_pixel_correlation"]["before"] < 1
    Image.new("RGB", (20, 20), (10, 200, 30)).save(tmp_path / "flat.png")
    result = invoke("covariance", tmp_path / "flat.png", "--out", out)
    assert result.exit_code == 0
    assert result.stderr.count("warning:") == 1
    assert set(numbers(out, "covariance")["max_abs_correlation"].values()) == {None}
    result = invoke("covariance", save(tmp_path / "few.png", (4, 4)), "--out", out)
    assert "4 patches cannot determine" in result.stderr


def test_options_without_meaning(photos, tmp_path, out):  # noqa: F811
    image = photos / "1.jpg"
    for arguments, option in (
        (("deconvolve", image, "--from", "k.npz", "-k", 3), "--kernel-size"),
        (("deconvolve", image, "--from", "k.npz", "--eps", 1), "--eps"),
        (("deconvolve", image, "--iterations", 15), "--iterations"),
        (("covariance", image, "--iterations", 15), "--iterations"),
    ):
        result = invoke(*arguments, "--out", out)
        assert result.exit_code == 2
        assert result.stderr.startswith(f"error: {option} has no meaning")


def test_files_that_hold_no_kernels(photos, tmp_path, out):  # noqa: F811
    assert invoke("covariance", photos, "--out", out).exit_code == 0
    (tmp_path / "a.txt").write_text("kernels")
    for path in (out / "covariance.npz", tmp_path / "a.txt"):
        result = deconvolve(photos / "1.jpg", out, "--from", path)
        assert result.exit_code == 3
        assert "--from takes the .npz file that ndtools kernels writes" in result.stderr
        assert "pickle" not in result.stderr


def test_kernels_of_a_file_have_no_ridge_here(photos, tmp_path, out):  # noqa: F811
    assert invoke("kernels", photos, "-k", 3, "-o", tmp_path).exit_code == 0
    kernels = tmp_path / "kernels.npz"
    assert invoke("deconvolve", photos / "0.jpg", "--from", kernels, "-o", out).exit_code == 0
    content = numbers(out, "deconvolve")
    assert content["eps_relative_to_mean_variance"] is content["covariance_error"] is content["relative_eps"] is None
    result = invoke("deconvolve", photos / "0.jpg", "--from", kernels, "-o", out, "--relative-eps")
    assert result.exit_code == 2
    assert "--relative-eps" in result.stderr


def test_an_image_that_does_not_fit_into_the_memory_is_refused(tmp_path, monkeypatch):
    Image.new("RGB", (1000, 900)).save(tmp_path / "large.png")  # decoding it takes no more than 12 MB
    monkeypatch.setattr("ndtools.computing.memory.free_memory", lambda: 30_000_000)
    done = invoke("deconvolve", tmp_path / "large.png", "--out", tmp_path)
    assert done.exit_code == 3
    size = "large.png: an image of 1000 x 900 pixels needs about 0.17 GB of memory, and 0.03 GB are free; crop it"
    assert size in done.output.replace("\n", "")
