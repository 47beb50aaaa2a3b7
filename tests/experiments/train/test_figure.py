"""The figure of a training run and its caption say what the folder holds."""

import numpy as np
import pytest

from ndtools.results.runs import read_run
from ndtools.runs.figure import caption_train, plot_train
from tests.layout import faults
from tests.run_folders import write_run


def lines_of(ax):
    return {line.get_label(): np.array(line.get_data()) for line in ax.lines}


def test_accuracies_are_drawn_at_the_ends_of_their_epochs(tmp_path):
    run = read_run(write_run(tmp_path / "run", epochs=3, holdout=5000))
    loss, accuracy = plot_train(run).axes
    np.testing.assert_array_equal(lines_of(accuracy)["held-out"], [[1, 2, 3], run.epochs["eval_top1"]])
    np.testing.assert_array_equal(lines_of(accuracy)["training"], [[1, 2, 3], run.epochs["train_top1"]])
    training, evaluation = (np.array(line.get_data()) for line in loss.lines)
    np.testing.assert_array_equal(training, [run.steps["epoch"], run.steps["loss"]])
    np.testing.assert_array_equal(evaluation, [[1, 2, 3], run.epochs["eval_loss"]])
    caption = caption_train(run)
    assert "45,000 training images" in caption and "5,000 held-out images" in caption and "seed 0" in caption


@pytest.mark.parametrize("end", [0.25, 2.5])
def test_an_epoch_that_was_cut_short_is_drawn_at_its_fraction(tmp_path, end):
    folder = write_run(tmp_path / "run", epochs=3)
    lines = (folder / "steps.jsonl").read_text().splitlines()
    (folder / "steps.jsonl").write_text("".join(f"{line}\n" for line in lines[: round(20 * end)]))
    rows = (folder / "summary.csv").read_text().splitlines()
    (folder / "summary.csv").write_text("\n".join(rows[: 2 + int(end)]) + "\n")
    _, accuracy = plot_train(read_run(folder)).axes
    expected = [*range(1, int(end) + 1), end]
    np.testing.assert_allclose(lines_of(accuracy)["test"][0], expected, rtol=1e-12)


def test_long_runs_are_drawn_as_means(tmp_path):
    run = read_run(write_run(tmp_path / "run", epochs=5, per_epoch=200))
    (reached, drawn), _ = (np.array(line.get_data()) for line in plot_train(run).axes[0].lines)
    assert len(drawn) == 400  # of 1,000 steps: the first pieces have three, the last have two
    for found, values in ((reached, run.steps["epoch"]), (drawn, run.steps["loss"])):
        assert found[0] == pytest.approx(values[:3].mean(), rel=1e-12)
        assert found[-1] == pytest.approx(values[-2:].mean(), rel=1e-12)


@pytest.mark.parametrize("width", [85, 180])
@pytest.mark.parametrize(("state", "done"), [("finished", 7), ("running", 7), ("diverged", 7), ("diverged", 0)])
def test_layout(tmp_path, width, state, done):
    run = read_run(write_run(tmp_path / "run", epochs=20, done=done, state=state))
    assert not faults(plot_train(run, width=width))


def test_a_run_that_diverged_says_so(tmp_path):
    run = read_run(write_run(tmp_path / "none", done=0, state="diverged"))
    fig = plot_train(run)
    loss, accuracy = fig.axes
    assert [text.get_text() for text in accuracy.texts if text.get_text() != "b"] == ["no epoch was finished"]
    assert not len(accuracy.get_yticks())
    assert "The run diverged at step 1: the loss of step 1 is not finite." in caption_train(run)
    run = read_run(write_run(tmp_path / "some", done=3, state="diverged"))
    loss, accuracy = plot_train(run).axes
    (cross,) = [line for line in loss.lines if line.get_marker() == "x"]
    assert list(cross.get_xdata()) == [run.steps["epoch"][-1]]
    assert "diverged" in [text.get_text() for text in loss.figure.legends[0].get_texts()]
    assert "diverged" not in caption_train(read_run(write_run(tmp_path / "well")))


def test_a_run_without_records_is_drawn(tmp_path):
    folder = write_run(tmp_path / "run")
    for name in ("steps.jsonl", "summary.csv", "result.json"):
        (folder / name).unlink()
    assert not faults(plot_train(read_run(folder)))
