"""Several ridges and kernel sizes in one run: the members are the results of runs of their own."""

import json
from dataclasses import replace

import numpy as np
import pytest

import ndtools as nd
from ndtools.data.images import reading
from ndtools.drawing.style import COLUMN, PAGE
from ndtools.errors import OptionError
from tests.commands import invoke, numbers, save
from tests.layout import faults, smallest_type

pytestmark = [
    pytest.mark.usefixtures("unpainted"),
    pytest.mark.filterwarnings("ignore:.*below the noise of the files:ndtools.errors.NumericalWarning"),
]

CONFIGS = {
    "kernels": nd.KernelsConfig(kernel_size=3),
    "covariance": nd.CovarianceConfig(kernel_size=3),
    "sparsity": nd.SparsityConfig(bootstrap=2),
    "deconvolve": nd.DeconvolveConfig(),
}
RUNS = {name: (getattr(nd, f"run_{name}"), getattr(nd, f"run_{name}_series")) for name in CONFIGS}


def source_of(name, photos):
    return str(photos / "1.jpg" if name == "deconvolve" else photos)


@pytest.mark.parametrize("name", CONFIGS)
def test_members_are_the_results_of_runs_of_their_own(name, photos):
    run, run_series = RUNS[name]
    config = replace(CONFIGS[name], source=source_of(name, photos))
    series = run_series(config, kernel_sizes=(5, 3), ridges=(1e-2, "paper", "auto"))
    assert [(m.config.kernel_size, m.config.eps) for m in series] == [
        (k, eps) for k in (5, 3) for eps in (1e-2, "paper", "auto")
    ]
    for member in (series[0], series[4], series[5]):
        alone = run(member.config)
        assert alone.config == member.config
        assert alone.fit.eps == pytest.approx(member.fit.eps, rel=1e-3)  # of sums in float32, or in float64
        # Float32 rounds entries of the covariance to 1e-7 of the variance, D to that over the ridge.
        np.testing.assert_allclose(member.fit.matrix, alone.fit.matrix, rtol=2e-3, atol=2e-3 * alone.fit.matrix.max())
    if name == "sparsity":
        assert series[0].before is series[1].before
    if name in ("kernels", "covariance"):
        assert series[3].covariance is series[4].covariance


@pytest.mark.parametrize("name", ["kernels", "covariance", "sparsity"])
def test_each_image_is_decoded_once(name, photos, monkeypatch):
    decoded = []
    decode = reading.decode_image
    monkeypatch.setattr(reading, "decode_image", lambda *a, **k: decoded.append(1) or decode(*a, **k))
    RUNS[name][1](CONFIGS[name].__class__(source=str(photos)), kernel_sizes=(1, 3), ridges=(1e-2, "auto"))
    assert len(decoded) == 4  # `sparsity` keeps images between its two passes


def test_images_smaller_than_the_largest_patch_are_left_out_of_all(photos):
    save(photos / "small.png", (5, 5))
    series = nd.run_kernels_series(nd.KernelsConfig(source=str(photos)), kernel_sizes=(3, 7))
    for member in series:
        assert member.images.read == 4
        assert [s.name.rsplit("/")[-1] for s in member.images.skipped] == ["small.png"]


@pytest.mark.parametrize("relative", [False, True])
def test_precision_is_that_of_the_smallest_ridge(photos, relative):
    config = nd.KernelsConfig(source=str(photos), kernel_size=5, relative_eps=relative)
    several = nd.run_kernels_series(config, ridges=(1e-1, 1e-6))
    alone = nd.run_kernels_series(config, ridges=(1e-6,))
    assert several[0].covariance.rounding == alone[0].covariance.rounding  # float64
    mixed = nd.run_kernels_series(config, ridges=(1e-1, "paper"))
    assert mixed[0].covariance.rounding <= alone[0].covariance.rounding


@pytest.mark.parametrize(
    ("change", "settings", "option"),
    [
        ({"fit": True}, {"ridges": (1, 2)}, "fit"),
        ({"bootstrap": 5}, {"kernel_sizes": (1, 3)}, "bootstrap"),
        ({}, {"ridges": [1 / i for i in range(1, 14)]}, "eps"),
        ({}, {"kernel_sizes": range(1, 15, 2)}, "kernel_size"),
        ({}, {"kernel_sizes": (3, 4)}, "kernel_size"),
        ({}, {"ridges": (1e-3, -1)}, "eps"),
        ({}, {"ridges": (1e-3, 0)}, "eps"),
        ({}, {"ridges": ("paper", "other")}, "eps"),
    ],
)
def test_what_has_no_meaning_is_refused(photos, change, settings, option):
    with pytest.raises(OptionError) as raised:
        nd.run_kernels_series(nd.KernelsConfig(source=str(photos), **change), **settings)
    assert raised.value.option == option


def test_a_chosen_ridge_needs_two_images(photos):
    with pytest.raises(nd.DataError, match="two images"):
        nd.run_kernels(nd.KernelsConfig(source=str(photos / "0.jpg"), kernel_size=3, eps="auto"))
    with pytest.raises(nd.DataError, match="30 rows are too few"):
        nd.run_deconvolve(nd.DeconvolveConfig(source=str(photos / "0.jpg"), kernel_size=9, eps="auto"))


@pytest.mark.parametrize("command", CONFIGS)
def test_a_command_writes_one_result(command, photos, tmp_path):
    source = source_of(command, photos)
    result = invoke(command, source, "-k", "3,5", "--eps", "1e-2, paper", "-o", tmp_path, "--name", "x")
    assert result.exit_code == 0, result.stderr
    content = numbers(tmp_path, "x")
    assert [(m["kernel_size"], m["relative_eps"]) for m in content["series"]] == [
        (k, relative) for k in (3, 5) for relative in (False, True)
    ]
    assert len(content["config"]["members"]) == 4
    rows = [line.split()[:2] for line in result.stdout.splitlines()]
    assert [row[0] for row in rows].count("3") == [row[0] for row in rows].count("5") >= 2
    with np.load(tmp_path / "x.npz") as arrays:
        names = set(arrays)
        assert {f"{i}_deconvolution" for i in range(4)} < names
        if command in ("kernels", "covariance"):  # shared by the ridges of a kernel size
            assert {name for name in names if name.endswith("_covariance")} == {"0_covariance", "2_covariance"}
    figures = sorted(path.name for path in tmp_path.glob("x*.png"))
    assert figures == ["x.png"] + [f"x_image_{i}.png" for i in range(4)] * (command == "deconvolve")
    assert "5×5 patches and eps 0.01" in (tmp_path / "x.txt").read_text()
    assert invoke("figure", tmp_path / "x.json", "--name", "again").exit_code == 0
    assert (tmp_path / "again.png").exists()


def test_a_damaged_series_is_refused(photos, tmp_path):
    assert invoke("kernels", photos, "-k", 1, "--eps", "1e-2,1e-3", "-o", tmp_path).exit_code == 0
    path = tmp_path / "kernels.json"
    content = json.loads(path.read_text())
    for series in ([], content["series"][:1], [{}, {}]):
        path.write_text(json.dumps(content | {"series": series}))
        with pytest.raises(nd.DataError, match="do not hold a whole result"):
            nd.load(path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("kernels", "--eps", "1e-3,x"), "--eps must be numbers, 'paper' or 'auto', separated by commas, got '1e-3,x'"),
        (("kernels", "-k", "3,x"), "--kernel-size must be whole numbers separated by commas, got '3,x'"),
        (
            ("kernels", "-k", "3,5", "--save-moments", "m.npz"),
            "--save-moments has no meaning with several kernel sizes",
        ),
        (("kernels", "--eps", "1,2", "--fit"), "--fit cannot be combined with several"),
        (("deconvolve", "--eps", "1,2", "--from", "k.npz"), "--eps has no meaning with --from"),
        (("sparsity", "-k", "3,5", "--whitening", "none"), "--whitening must decorrelate something"),
    ],
)
def test_bad_lists_are_named(arguments, message, tmp_path):
    result = invoke(*arguments, "-o", tmp_path)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {message}")


def test_moments_serve_several_ridges(photos, tmp_path):
    moments = [tmp_path / "0.npz", tmp_path / "1.npz"]
    for i, path in enumerate(moments):
        out = ("-o", tmp_path, "--save-moments", path)
        assert invoke("kernels", photos / f"{i}.jpg", "-k", 3, "--eps", "1e-2,1e-3", *out).exit_code == 0
    result = invoke("kernels", "--from-moments", *moments, "--eps", "1e-1,auto", "-o", tmp_path)
    assert result.exit_code == 0, result.stderr
    assert "chosen by the likelihood of held-out images" in result.stdout
    content = numbers(tmp_path)
    assert content["series"][1]["ridge"]["eps"] == content["series"][1]["eps"]
    assert (tmp_path / "kernels_ridge.png").exists()


def test_the_same_warning_is_shown_once(tmp_path):
    for i in range(2):
        save(tmp_path / f"{i}.png", (6, 6), seed=i)
    result = invoke("kernels", tmp_path, "-k", 5, "--eps", "1e-2,1e-3,1e-4", "-o", tmp_path / "out")
    assert result.stderr.count("cannot determine the covariance") == 1


SHAPES = {
    "six ridges": {"ridges": tuple(10.0**-i for i in range(1, 7))},
    "two sizes": {"ridges": ("paper", 1e-3), "kernel_sizes": (3, 1)},
    "sizes alone": {"kernel_sizes": (1, 3, 5)},
    "one": {},
    "very many": {"ridges": tuple(10 ** (-i / 2) for i in range(12)), "kernel_sizes": (1, 3)},
}


@pytest.mark.filterwarnings("ignore::ndtools.errors.NumericalWarning")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", CONFIGS)
def test_figures_have_no_faults(name, shape, photos):
    for gray in (False, True) if shape in ("six ridges", "sizes alone") else (False,):
        config = replace(CONFIGS[name], source=source_of(name, photos), gray=gray)
        series = RUNS[name][1](config, **SHAPES[shape])
        picture = series.pictures()[""]
        for width in (60, 250) if gray else (COLUMN, PAGE):
            figure = picture.plot(series, width=width)
            assert faults(figure) == [], (gray, width)
            assert smallest_type(figure) >= 5.5
            assert figure.get_figheight() * 25.4 <= 226


def test_measures_are_drawn_against_the_ridge(photos):
    series = nd.run_sparsity_series(nd.SparsityConfig(source=str(photos)), ridges=(1e-1, 1e-2, 1e-3))
    figure = nd.plot_sparsity_series(series)
    densities, kurtosis, near = figure.axes
    for ax, measure in ((kurtosis, "kurtosis"), (near, "near_zero")):
        drawn, paper = ax.lines
        np.testing.assert_array_equal(drawn.get_xdata(), [1e-1, 1e-2, 1e-3])
        np.testing.assert_array_equal(drawn.get_ydata(), [m.after.measures[measure].value for m in series])
        assert paper.get_xdata()[0] == pytest.approx(1e-5 * series[0].fit.mean_variance)
    assert len(densities.lines) == 4


def test_kernels_share_one_scale(photos):
    series = nd.run_kernels_series(nd.KernelsConfig(source=str(photos), kernel_size=3, gray=True), ridges=(1e-1, 1e-4))
    figure = nd.plot_kernel_series(series)
    images = [image for ax in figure.axes for image in ax.images]
    assert len(images) == 2
    assert images[0].norm is images[1].norm
    assert images[0].norm.vmax >= max(np.abs(member.kernels).max() for member in series)


@pytest.mark.parametrize("several", [False, True])
def test_the_choice_is_drawn(photos, several):
    config = nd.KernelsConfig(source=str(photos), kernel_size=3, eps="auto")
    result = nd.run_kernels_series(config, kernel_sizes=(1, 3)) if several else nd.run_kernels(config)
    for width in (60, COLUMN, PAGE):
        figure = nd.plot_ridge(result, width=width)
        assert faults(figure) == []
    choice = (result[0] if several else result).ridge
    curve, dot = figure.axes[0].lines[:2]
    np.testing.assert_array_equal(curve.get_xdata(), choice.ridges)
    assert dot.get_xdata()[0] == choice.eps
