"""Comparing runs that segment: by the mean intersection over union, beside the pixel accuracy."""

import json

import numpy as np
import pytest
import scipy.stats

import ndtools as nd
from ndtools.drawing.style import COLUMN, PAGE
from ndtools.errors import DataError
from ndtools.experiments.compare.table import arm_cells
from ndtools.report.arms import table_of_arms, table_of_runs
from tests.commands import invoke, numbers
from tests.layout import faults
from tests.run_folders import write_run

pytestmark = pytest.mark.usefixtures("unpainted")

BOTH = {"segments": True, "splits": ("eval", "test"), "dataset": "camvid"}


@pytest.fixture
def runs(tmp_path):
    """Write three runs of each of two arms, with validation and test images."""
    for seed in range(3):
        write_run(tmp_path / f"bn-{seed}", norm="bn", seed=seed, epochs=8, accuracy=80.0, **BOTH)
        write_run(tmp_path / f"deconv-{seed}", norm="deconv", seed=seed, epochs=8, accuracy=85.0, seconds=5.0, **BOTH)
    return tmp_path


def ends(runs, name, measure):
    written = [json.loads((runs / f"{name}-{seed}" / "result.json").read_text()) for seed in range(3)]
    return np.array([each["last"][measure] for each in written])


def test_arms_are_compared_by_the_mean_intersection_over_union_of_the_test_images(runs):
    bn, deconv = nd.compare(runs).arms
    assert (bn.split, bn.final, bn.measure) == ("validation", "test", "mean IoU")
    for name, arm in (("bn", bn), ("deconv", deconv)):
        np.testing.assert_array_equal(arm.last, ends(runs, name, "test_mean_iou"))
        np.testing.assert_array_equal(arm.pixels, ends(runs, name, "test_top1"))
        np.testing.assert_array_equal(arm.best, [run.table["eval_mean_iou"].max() for run in arm.runs])
    for found, measure in ((deconv.against(bn), "test_mean_iou"), (deconv.against_pixels(bn), "test_top1")):
        ours, theirs = ends(runs, "deconv", measure), ends(runs, "bn", measure)
        assert found.value == pytest.approx(ours.mean() - theirs.mean(), rel=1e-12)
        assert found.p == pytest.approx(scipy.stats.ttest_ind(ours, theirs, equal_var=False).pvalue, rel=1e-9)
    target = np.mean([run.table["eval_mean_iou"][-1] for run in bn.runs])
    firsts = [
        next(i for i, value in enumerate(run.table["eval_mean_iou"], 1) if value >= target) for run in deconv.runs
    ]
    assert deconv.reach(bn).steps == pytest.approx(20 * np.mean(firsts), rel=1e-12)


def test_the_figure_has_loss_mean_iou_and_pixel_accuracy(runs):
    result = nd.compare(runs)
    losses, by_epoch, pixels, by_step, by_time, first = result.plot().axes
    bn = result.arms[0]
    epochs = np.arange(1, 9)
    for ax, x, column, name in (
        (losses, epochs, "train_loss", "training loss"),
        (by_epoch, epochs, "eval_mean_iou", "validation mean IoU (%)"),
        (pixels, epochs, "eval_top1", "validation pixel accuracy (%)"),
        (by_step, 20 * epochs, "eval_mean_iou", "validation mean IoU (%)"),
        (by_time, 2.0 * epochs, "eval_mean_iou", "validation mean IoU (%)"),
    ):
        line = ax.lines[0]
        values = np.array([run.table[column] for run in bn.runs])
        np.testing.assert_allclose(line.get_xdata(), x, rtol=1e-9)
        np.testing.assert_allclose(line.get_ydata(), values.mean(0), rtol=1e-12)
        assert len(ax.collections) == 2 and ax.get_ylabel().startswith(name)
        band = ax.collections[0].get_paths()[0].vertices[:, 1]
        assert band.max() == pytest.approx((values.mean(0) + values.std(0, ddof=1)).max(), rel=1e-12)
    assert [ax.get_yscale() for ax in (losses, by_epoch, pixels, first)] == ["log", "linear", "linear", "log"]
    for width in (COLUMN, PAGE):
        assert not faults(result.plot(width=width))
    assert "(c) Share of the labelled pixels of the validation images" in result.caption
    mean, deviation = bn.last.mean(), bn.last.std(ddof=1)
    assert f"bn, 3 runs, test mean IoU {mean:.2f} ± {deviation:.2f} % (pixel accuracy" in result.caption


def test_screen_page_and_files_have_both_measures(runs):
    shown = invoke("compare", runs, "-o", runs / "out")
    assert shown.exit_code == 0, shown.stderr
    result = nd.compare([str(runs / f"{arm}-{seed}") for arm in ("bn", "deconv") for seed in range(3)])
    row = dict(zip(table_of_arms(result).head, table_of_arms(result).rows[1], strict=True))
    assert "published / %" not in row  # nobody published numbers of scenes
    cell = arm_cells(result)[1]
    assert row["last mean IoU / %"] == cell.last and row["last pixels / %"] == cell.pixels
    for value in (cell.last, cell.best, cell.pixels, cell.difference, cell.pixels_difference, cell.pixels_p):
        assert value and value in shown.stdout
    assert "last IoU / %" in shown.stdout and "last pixels / %" in shown.stdout
    assert table_of_runs(result).head[5:7] == ("test mean IoU / %", "test pixel accuracy / %")
    saved = numbers(runs / "out", "compare")
    assert saved["measure"] == "mean_iou" and saved["columns"][-1] == "eval_mean_iou"
    assert saved["arms"][0]["last"]["mean"] == pytest.approx(ends(runs, "bn", "test_mean_iou").mean(), rel=1e-12)
    assert saved["arms"][0]["pixels"]["mean"] == pytest.approx(ends(runs, "bn", "test_top1").mean(), rel=1e-12)


def test_a_saved_result_is_drawn_again(runs):
    invoke("compare", runs, "-o", runs / "out")
    again = nd.load_result(runs / "out" / "compare.json")
    live = nd.compare(runs)
    assert [arm.final for arm in again.arms] == ["test", "test"] and again.caption == live.caption
    for ours, theirs in zip(again.arms, live.arms, strict=True):
        np.testing.assert_array_equal(ours.pixels, theirs.pixels)
        np.testing.assert_array_equal(ours.curves(), theirs.curves())


def test_sets_without_test_images_say_so(tmp_path):
    write_run(tmp_path / "bn", epochs=2, segments=True, splits=("eval",))
    result = nd.compare(tmp_path)
    assert (result.arms[0].split, result.arms[0].final) == ("validation", "validation")
    assert "validation mean IoU" in result.caption and "test" not in result.caption
    shown = " ".join(invoke("compare", tmp_path, "-o", tmp_path / "out").stdout.split())
    assert "(validation images, once" in shown and "best:" not in shown


def test_the_screen_says_which_images_the_best_is_of(runs):
    shown = " ".join(invoke("compare", runs, "-o", runs / "out").stdout.split())
    assert "last: after the last epoch (test images" in shown
    assert "best: of each run's best epoch, on the validation images" in shown


def test_runs_of_different_tasks_are_refused_by_name(tmp_path):
    write_run(tmp_path / "classes", epochs=1, splits=("eval", "test"))
    write_run(tmp_path / "pixels", epochs=1, segments=True, splits=("eval", "test"))
    with pytest.raises(DataError, match="of classification and of segmentation cannot be compared") as error:
        nd.compare(tmp_path)
    assert f"{tmp_path / 'classes'} of classification; {tmp_path / 'pixels'} of segmentation" in str(error.value)


def test_runs_that_diverged_or_go_on_are_drawn(tmp_path):
    write_run(tmp_path / "gone", epochs=3, done=0, state="diverged", segments=True, splits=("eval",))
    write_run(tmp_path / "on", norm="deconv", epochs=3, done=2, state="running", segments=True, splits=("eval",))
    result = nd.compare(tmp_path)
    for width in (COLUMN, PAGE):
        assert not faults(result.plot(width=width))
    assert result.arms[1].pixels == pytest.approx(result.arms[1].runs[0].table["eval_top1"][-1:], rel=1e-12)
