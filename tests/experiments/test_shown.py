"""Results in a notebook: a few lines of text, the main figure, and its caption."""

import dataclasses
import io
from dataclasses import replace

import pytest
from PIL import Image

import ndtools as nd
from ndtools.text import with_error
from ndtools.validation import Configuration
from tests.figures import shown


@pytest.fixture(scope="module")
def result():
    return nd.kernels("sample", kernel_size=5, images=8, bootstrap=2, fit=True)


def test_a_result_says_what_it_is(result):
    lines = repr(result).splitlines()
    assert lines[0].startswith("KernelsResult: sample · 8 images · ")
    assert lines[0].endswith(" patches of 5×5")
    assert "eps 0.001 (" in lines[1] and "condition " in lines[1] and "residual " in lines[1]
    green = result.channels[1]
    ratio = with_error(green.center_surround_ratio, green.standard_error["center_surround_ratio"])
    assert lines[2].startswith("  center, center/surround: R ") and f" · G {green.center:.4g}, {ratio} · B " in lines[2]
    assert len(repr(result)) < 500


def test_long_names_do_not_make_long_texts(result):
    far = replace(result, images=replace(result.images, label="/" + "/".join(["folder" * 20] * 50)))
    assert len(repr(far)) < 500
    assert len(repr(nd.KernelsConfig(from_moments=tuple(f"shard{i}.npz" for i in range(500))))) < 500


def test_a_notebook_shows_the_main_figure(result):
    picture = Image.open(io.BytesIO(result._repr_png_()))
    assert picture.format == "PNG" and picture.width > 1000


def test_the_main_figure_is_that_of_the_plot_function(result):
    assert shown(result.plot(width=85, title=False)) == shown(nd.plot_kernels(result, width=85, title=False))
    assert result.caption.startswith("5×5 deconvolution kernels of sample (8 images")


def test_all_figures_have_labels(result):
    figures = result.figures(width=85)
    assert list(figures) == ["", "fit", "bootstrap"]
    assert all(figure.get_figwidth() == pytest.approx(85 / 25.4) for figure in figures.values())
    assert list(replace(result, bootstrap=None, cells=()).figures()) == [""]


@pytest.mark.filterwarnings("ignore:.*below the noise of the files:ndtools.errors.NumericalWarning")
def test_a_series_shows_itself(photos):
    series = nd.kernels(photos, kernel_size=[1, 3], eps=[1e-2, "auto"])
    lines = repr(series).splitlines()
    assert lines[0].startswith("Series: ") and lines[0].endswith(" · 4 of KernelsResult")
    assert lines[1] == "  patches of 1×1, 3×3"
    assert lines[2].startswith("  eps 0.01, auto · condition ")
    assert list(series.figures()) == ["", "ridge"]
    assert shown(series.plot(width=85, title=False)) == shown(nd.plot_kernel_series(series, width=85, title=False))
    assert "1×1 and 3×3 patches" in series.caption
    assert series._repr_png_().startswith(b"\x89PNG")


@pytest.mark.filterwarnings("ignore:.*below the noise of the files:ndtools.errors.NumericalWarning")
def test_the_largest_series_has_a_short_text(photos):
    ridges = [1.2345e-10 * 10**i for i in range(12)]
    series = nd.run_covariance_series(nd.CovarianceConfig(photos / "1.jpg", relative_eps=True), ridges=ridges)
    many = replace(series, members=series.members * 6)
    for value in (many, many.config):
        assert len(repr(value)) < 500 and len(max(repr(value).splitlines(), key=len)) < 200


def test_deconvolutions_and_covariances_print_no_matrices(result):
    assert repr(result.deconvolution).startswith("Deconvolution(5×5 patches of 3 channels · eps 0.001 (")
    assert "condition" in repr(result.deconvolution) and "tensor" not in repr(result.deconvolution)
    assert f"{result.covariance.count:,} patches of 5×5 pixels and 3 channels" in repr(result.covariance)
    assert "tensor" not in repr(result.covariance)


def test_data_sets_print_no_images():
    assert repr(nd.glyphs(20, 10)) == "Dataset(glyphs, synthetic: 20 + 10 images of 1×28×28, 10 classes)"


CONFIGURATIONS = [getattr(nd, name) for name in nd.__all__ if name.endswith("Config") and name != "DeconvConfig"]


@pytest.mark.parametrize("kind", CONFIGURATIONS, ids=lambda kind: kind.__name__)
def test_configurations_print_what_differs_from_the_defaults(kind):
    assert issubclass(kind, Configuration)
    needed = {f.name: f.name for f in dataclasses.fields(kind) if f.default is dataclasses.MISSING}
    words = [f"{name}={name!r}" for name in needed]
    assert repr(kind(**needed)) == f"{kind.__name__}({', '.join(words)})"
    changed = kind(**needed, seed=3, jobs=2)
    assert repr(changed) == f"{kind.__name__}({', '.join([*words, 'seed=3', 'jobs=2'])})"
    assert eval(repr(changed), vars(nd) | {kind.__name__: kind}) == changed
