"""The eigenvalues of Cov beside the ridge and the noise of the files, and warnings of ridges below that noise."""

import warnings

import numpy as np
import pytest
from PIL import Image

import ndtools as nd
from ndtools.drawing.spectrum import caption_spectrum
from ndtools.drawing.style import COLUMN, PAGE
from ndtools.errors import NumericalWarning
from tests.commands import invoke, numbers
from tests.layout import faults

pytestmark = pytest.mark.usefixtures("unpainted")

EIGHT, SIXTEEN = 1 / 255**2 / 12, 1 / 65535**2 / 12


@pytest.fixture
def deep(tmp_path):
    """Return a folder with a grey image of 8 bits, one of 16 bits, and one of floating point."""
    pixels = np.random.default_rng(0).random((20, 20)).cumsum(0)
    pixels /= pixels.max()
    Image.fromarray((255 * pixels).astype(np.uint8)).save(tmp_path / "8.png")
    Image.fromarray((65535 * pixels).astype(np.uint16)).save(tmp_path / "16.png")
    Image.fromarray(pixels.astype(np.float32)).save(tmp_path / "float.tif")
    return tmp_path


@pytest.mark.parametrize(
    ("file", "noise"),
    [("8.png", EIGHT), ("16.png", SIXTEEN), ("float.tif", 0.0), (".", (EIGHT + SIXTEEN) / 3)],
)
def test_the_noise_is_that_of_the_files(deep, file, noise):
    config = nd.KernelsConfig(source=str(deep / file), kernel_size=3, gray=True)
    assert nd.run_kernels(config).images.noise == pytest.approx(noise)
    assert nd.run_covariance(nd.CovarianceConfig(source=str(deep / file), gray=True)).images.noise == (
        pytest.approx(noise)
    )


@pytest.mark.parametrize("run", ["kernels", "covariance"])
def test_a_ridge_below_the_noise_is_warned_of(deep, run):
    kind = {"kernels": nd.KernelsConfig, "covariance": nd.CovarianceConfig}[run]
    compute = getattr(nd, f"run_{run}")
    with pytest.warns(NumericalWarning, match="below the noise of the files.*1.3e-06"):
        compute(kind(source=str(deep / "8.png"), kernel_size=1, gray=True, eps=1.2e-6))
    with warnings.catch_warnings():
        warnings.simplefilter("error", NumericalWarning)
        compute(kind(source=str(deep / "8.png"), kernel_size=1, gray=True, eps=1.3e-6))
        compute(kind(source=str(deep / "16.png"), kernel_size=1, gray=True, eps=1.2e-6))


def test_moments_in_files_know_the_noise_of_their_images_unless_the_file_is_older(photos, tmp_path):
    moments = tmp_path / "m.npz"
    out = ("-o", tmp_path / "out")
    assert invoke("kernels", photos, "-k", 1, "--save-moments", moments, *out).exit_code == 0
    result = invoke("kernels", "--from-moments", moments, "--eps", "1e-9", *out)
    assert result.exit_code == 0
    assert "below the noise" in result.stderr
    assert numbers(tmp_path / "out")["images"]["rounding_noise"] == pytest.approx(1 / 255**2 / 12)
    with np.load(moments) as held:
        older = {name: held[name] for name in held.files if name != "noise"}
    np.savez(moments, **older)
    result = invoke("kernels", "--from-moments", moments, "--eps", "1e-9", *out)
    assert result.exit_code == 0
    assert "below the noise" not in result.stderr
    assert numbers(tmp_path / "out")["images"]["rounding_noise"] is None


@pytest.mark.parametrize("command", ["kernels", "covariance"])
@pytest.mark.parametrize("lists", [(), ("-k", "1,3", "--eps", "1e-2,1e-3")])
def test_commands_write_the_spectrum(command, lists, photos, tmp_path):
    result = invoke(command, photos, "-k", 3, *lists, "--spectrum", "-o", tmp_path, "--name", "x", "--dpi", 30)
    assert result.exit_code == 0, result.stderr
    assert (tmp_path / "x_spectrum.png").exists()
    assert "x_spectrum: Eigenvalues of the covariance" in (tmp_path / "x.txt").read_text()
    again = invoke("figure", tmp_path / "x.json", "--name", "again")
    assert again.exit_code == 0
    assert (tmp_path / "again_spectrum.png").exists()


@pytest.mark.filterwarnings("ignore:eps .* is below the noise")
@pytest.mark.parametrize("sizes", [3, [1, 3]])
def test_titles_name_the_colour_space(photos, sizes):
    for space, words in (("lms", "cones (LMS)"), ("srgb", "")):
        result = nd.kernels(str(photos), kernel_size=sizes, space=space, eps="auto", spectrum=True)
        for plot in (nd.plot_ridge, nd.plot_spectrum):
            title = plot(result).get_suptitle()
            assert words in title and (" in " in title) == bool(words)


def test_what_is_drawn(photos):
    config = nd.KernelsConfig(source=str(photos), kernel_size=3)
    result = nd.run_kernels(config)
    values, ridge, noise = nd.plot_spectrum(result).axes[0].lines
    np.testing.assert_array_equal(values.get_ydata(), result.deconvolution.eigenvalues.numpy()[::-1])
    np.testing.assert_array_equal(values.get_xdata(), np.arange(1, 28))
    assert set(ridge.get_ydata()) == {1e-3}
    assert list(noise.get_ydata()) == pytest.approx([EIGHT, EIGHT])
    below = float((result.deconvolution.eigenvalues < EIGHT).double().mean())
    assert f"{below:.0%} of 3×3 eigenvalues" in caption_spectrum(result)


@pytest.mark.filterwarnings("ignore::ndtools.errors.NumericalWarning")
@pytest.mark.parametrize("case", ["one", "series", "flat", "constant"])
def test_no_faults(case, photos, tmp_path):
    source = photos
    if case in ("flat", "constant"):
        source = tmp_path / "flat.png"
        Image.new("RGB", (20, 20), (10, 20, 30) if case == "flat" else (0, 0, 0)).save(source)
    config = nd.KernelsConfig(source=str(source), kernel_size=3)
    lists = {"ridges": [10.0**-i for i in range(1, 9)], "kernel_sizes": (1, 3, 5)} if case == "series" else {}
    result = nd.run_kernels_series(config, **lists)
    for width in (60, COLUMN, PAGE, 250):
        assert faults(nd.plot_spectrum(result, width=width)) == []
