import dataclasses

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from ndtools.drawing.palette import ALGORITHMS
from ndtools.drawing.pictures import captions, draw
from ndtools.drawing.style import COLUMN, PAGE
from ndtools.experiments.ns_stability.config import NsStabilityConfig
from ndtools.experiments.ns_stability.figure import caption_ns_stability, draw_curve, plot_ns_stability
from ndtools.experiments.ns_stability.figure_atlas import caption_precision_atlas, plot_precision_atlas
from ndtools.experiments.ns_stability.figure_gains import caption_ns_gains, plot_ns_gains
from ndtools.experiments.ns_stability.figures import FIGURES
from ndtools.experiments.ns_stability.run import run
from tests.layout import drawn, faults, smallest_type
from tests.oracles.inverse_roots import SPECTRUM, spd


@pytest.fixture(scope="module")
def matrix(tmp_path_factory):
    path = tmp_path_factory.mktemp("a-folder-whose-name-should-not-be-in-a-figure") / "a.npy"
    np.save(path, spd(SPECTRUM, seed=1).numpy())
    return str(path)


@pytest.fixture(scope="module")
def result(matrix):
    return run(NsStabilityConfig(source=matrix, eps=0.0, iterations=20))


@pytest.fixture(scope="module")
def atlas(matrix):
    return run(NsStabilityConfig(source=matrix, eps=0.0, sweep=True, iterations=20)).atlas


def half(matrix, iterations):
    return run(
        NsStabilityConfig(
            source=matrix, eps=0.0, iterations=iterations, dtype=("bfloat16", "float16", "float32", "float64")
        )
    )


def test_curves_stay_in_the_frame_and_leave_marked(result):
    fig = plot_ns_stability(result)
    (ax,) = fig.axes  # the paper's panel, by itself
    assert (ax.get_yscale(), ax.get_xlabel()) == ("log", "iteration")
    top = ax.get_ylim()[1]
    for line in ax.lines:
        assert np.max(line.get_ydata()) <= top
    leaving = [line for line in ax.lines if not line.get_clip_on()]
    assert [line.get_marker() for line in leaving] == ["^", "^"]  # vanilla in either precision
    assert all(6 < line.get_xdata()[0] < 13 for line in leaving)
    assert {text.get_text() for text in ax.texts} == {
        "ε·κ, float32",
        "ε·κ, float64",
        "5: middle layers",
        "15: first layer",
    }
    (legend,) = fig.legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == ["coupled, float32", "coupled, float64", "vanilla, float32", "vanilla, float64"]
    assert len({(line.get_color(), line.get_linestyle()) for line in legend.get_lines()}) == 4


def test_the_algorithms_that_were_asked_for_are_drawn(matrix):
    """Gram Newton-Schulz goes the way of coupled Newton-Schulz, and both can be seen."""
    config = NsStabilityConfig(
        source=matrix, eps=0.0, iterations=20, dtype=("float64",), algorithms=("coupled", "gram"), restart=1
    )
    asked = run(config)
    for fig, drawn_names in (
        (plot_ns_stability(asked), ["coupled, float64", "gram, float64"]),
        (plot_ns_gains(asked).subfigs[0], ["coupled Newton-Schulz", "Gram Newton-Schulz"]),
    ):
        (legend,) = fig.legends
        assert [text.get_text() for text in legend.get_texts()] == drawn_names
        curves = {to_hex(line.get_color()): line for line in fig.axes[0].lines if len(line.get_xdata()) > 2}
        coupled, gram = (curves[to_hex(ALGORITHMS[name]["color"])] for name in ("coupled", "gram"))
        assert gram.get_zorder() < coupled.get_zorder()
        assert gram.get_linewidth() > 2 * coupled.get_linewidth()
        assert gram.get_alpha() < 0.5
        assert faults(plot_ns_stability(asked, width=COLUMN)) == []
    assert "of coupled and gram, in" in caption_ns_stability(asked)
    by_default = run(NsStabilityConfig(source=matrix, eps=0.0, iterations=20, restart=1))
    assert "of coupled and vanilla and gram, in" not in caption_ns_stability(by_default)
    assert "of coupled, vanilla and gram, in" in caption_ns_stability(by_default)


def test_the_caption_tells_where_curves_end(result):
    caption = caption_ns_stability(result)
    for said in ("vanilla in float32", ", is not finite from 13 on)", ", is not finite from 17 on)", "a.npy"):
        assert said in caption
    assert f"condition number κ is {result.condition:.3g}" in caption
    assert "coupled in float64" in caption.split("diverges at")[0]


def test_a_curve_that_enters_through_the_top_is_drawn_from_there(result):
    """Denman-Beavers begins far off if the condition number is large, and comes back."""
    residual = np.array([1e8, 1e6, 10.0, 1e-6, 1e-6])
    curve = dataclasses.replace(result.curves[0], residual=residual)
    ax = Figure().add_subplot()
    draw_curve(ax, np.arange(1, 6), residual, 1e5, curve)
    (line,) = ax.lines
    assert line.get_xdata().tolist() == [3, 4, 5]
    np.testing.assert_array_equal(line.get_ydata(), residual[2:])


def test_a_curve_that_is_never_in_the_frame_is_not_drawn(result):
    ax = Figure().add_subplot()
    draw_curve(ax, np.arange(1, 4), np.array([1e6, np.inf, np.nan]), 1e5, result.curves[0])
    assert not ax.lines


def test_gains(result):
    figure = plot_ns_gains(result)
    by_product, gain = figure.axes
    assert "products" in by_product.get_xlabel()
    assert all(np.max(line.get_ydata()) <= by_product.get_ylim()[1] for line in by_product.lines)
    colours = {to_hex(ALGORITHMS[name]["color"]) for name in ("coupled", "chebyshev", "denman-beavers", "gram")}
    assert {to_hex(line.get_color()) for line in by_product.lines} == colours
    assert gain.get_xscale() == "log"
    ticks = gain.collections[0].get_segments()
    np.testing.assert_allclose([segment[0, 0] for segment in ticks], result.eigenvalues)
    (algorithms,), (counts,) = (part.legends for part in figure.subfigs)
    assert [text.get_text() for text in counts.get_texts()] == [f"n = {n}" for n in (1, 2, 3, 5, 10, 15)]
    assert len(algorithms.get_texts()) == len(colours)
    drawn(figure)
    heights = [ax.get_window_extent().height for ax in (by_product, gain)]
    assert heights[0] == pytest.approx(heights[1], rel=0.02)
    widest = [c for c in result.curves if (c.algorithm, c.dtype) == ("chebyshev", "float64")]
    products = widest[0].products[widest[0].measured.settled_iteration - 1]
    assert f"coupled Chebyshev {products}" in caption_ns_gains(result)


def test_long_runs_have_a_logarithmic_axis(result):
    config = NsStabilityConfig(source=result.source, eps=0.0, iterations=200)
    assert plot_ns_stability(run(config)).axes[0].get_xscale() == "log"


def test_the_atlas_is_the_printed_table(atlas):
    (ax,) = plot_precision_atlas(atlas).axes
    limits = atlas.limits(1e-3)
    assert [label.get_text() for label in ax.get_yticklabels()] == [f"{row[0]}, {row[1]}" for row in limits]
    bars = [patch.get_x() + patch.get_width() for patch in ax.patches]
    np.testing.assert_allclose(bars, [reached for _, _, reached, _ in limits if reached is not None])
    crosses = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "x"]
    assert crosses == [lost for *_, lost in limits if lost is not None]
    caption = caption_precision_atlas(atlas)
    assert f"{len(atlas.cells)} runs" in caption
    assert "20 iterations" in caption


@pytest.mark.parametrize("width", [60, COLUMN, 120, PAGE, 250])
def test_layout(matrix, result, atlas, width):
    for fig in (
        plot_ns_stability(half(matrix, 20), width=width),
        plot_ns_gains(result, width=width),
        plot_precision_atlas(atlas, width=width),
    ):
        assert faults(fig) == []
        assert smallest_type(fig) >= 5.5
        assert fig.get_figwidth() * 25.4 == pytest.approx(width)
        assert "folder" not in fig.get_suptitle()


@pytest.mark.parametrize("iterations", [1, 5, 15, 200])
def test_layout_of_short_and_long_runs(matrix, iterations):
    for fig in draw(FIGURES, half(matrix, iterations), width=COLUMN).values():
        assert faults(fig) == []


def test_all_figures_have_captions(result, atlas):
    assert list(draw(FIGURES, result)) == list(captions(FIGURES, result)) == ["", "gains"]
    swept = dataclasses.replace(result, atlas=atlas)
    assert list(draw(FIGURES, swept)) == list(captions(FIGURES, swept)) == [""]
    assert draw(FIGURES, swept, title=False)[""].get_suptitle() == ""
