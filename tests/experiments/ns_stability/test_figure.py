import numpy as np
import pytest

from ndtools.experiments.ns_stability.config import NsStabilityConfig
from ndtools.experiments.ns_stability.figure import plot_ns_stability
from ndtools.experiments.ns_stability.figure_atlas import plot_precision_atlas
from ndtools.experiments.ns_stability.run import run
from tests.oracles.inverse_roots import SPECTRUM, spd


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    path = tmp_path_factory.mktemp("matrix") / "a.npy"
    np.save(path, spd(SPECTRUM, seed=1).numpy())
    return run(NsStabilityConfig(source=str(path), eps=0.0, sweep=True, iterations=20))


def test_curves_stay_in_the_frame_and_leave_marked(result):
    fig = plot_ns_stability(result)
    by_iteration, by_product, gain = fig.axes
    assert (by_iteration.get_yscale(), by_iteration.get_xlabel()) == ("log", "iteration")
    top = by_iteration.get_ylim()[1]
    for ax in (by_iteration, by_product):
        for line in ax.lines:
            assert np.max(line.get_ydata()) <= top
    leaving = [line for line in by_iteration.lines if not line.get_clip_on()]
    assert [line.get_marker() for line in leaving] == ["^", "^"]  # vanilla in either precision
    assert all(6 < line.get_xdata()[0] < 13 for line in leaving)
    words = "\n".join(text.get_text() for text in by_iteration.texts)
    for said in ("ε·κ, float32", "5: middle layers", "15: first layer"):
        assert said in words
    labels = [text.get_text() for text in by_iteration.get_legend().get_texts()]
    assert labels[:2] == ["coupled, float32", "coupled, float64"]
    assert labels[2].startswith("vanilla, float32 (diverges at ")
    assert "overflows at 13" in labels[2]
    assert "overflows at 17" in labels[3]
    assert len({(line.get_color(), line.get_linestyle()) for line in by_iteration.get_legend().get_lines()}) == 4
    assert "products" in by_product.get_xlabel()
    assert gain.get_xscale() == "log"
    ticks = gain.collections[0].get_segments()
    np.testing.assert_allclose([segment[0, 0] for segment in ticks], result.eigenvalues)
    assert [text.get_text() for text in gain.get_legend().get_texts()] == [f"n = {n}" for n in (15, 10, 5, 3, 2, 1)]


def test_long_runs_have_a_logarithmic_axis(result):
    config = NsStabilityConfig(source=result.source, eps=0.0, iterations=200)
    assert plot_ns_stability(run(config)).axes[0].get_xscale() == "log"


def test_atlas(result):
    fig = plot_precision_atlas(result.atlas)
    maps, bars = [ax for ax in fig.axes if ax.get_yscale() == "log" and ax.collections], fig.axes
    titled = [ax.get_title() for ax in bars if ax.get_title()]
    assert titled[0] == "image spectrum, Frobenius norm"
    assert titled[3] == "log-uniform spectrum, trace"
    assert {"best ‖D·D·A − I‖", "first iteration that is\nnot finite (grey: none)"} <= {ax.get_ylabel() for ax in bars}
    first = maps[0].collections[0].get_array()
    table = result.atlas.table("best_residual", "image", "fro")
    np.testing.assert_array_equal(np.ma.filled(first, np.nan).reshape(table.shape), table)
    assert np.isnan(table[:, 3, :2]).all()  # no inverse in half precision
    assert not np.isnan(table[:, :3]).all()
