"""Comparing training runs: arms, means, tests and published numbers, also while runs are going on."""

import json

import numpy as np
import pytest
import scipy.stats

import ndtools as nd
from ndtools.drawing.style import COLUMN, PAGE
from ndtools.errors import DataError, NumericalWarning
from ndtools.experiments.compare.caption import caption_compare
from ndtools.experiments.compare.figure import arm_styles, smoothed
from ndtools.experiments.compare.table import arm_cells
from ndtools.experiments.compare.welch import difference
from ndtools.report.arms import table_of_arms
from tests.commands import invoke, numbers
from tests.layout import faults
from tests.run_folders import write_run

pytestmark = pytest.mark.usefixtures("unpainted")


@pytest.fixture
def runs(tmp_path):
    """Write three runs of each of two arms, as of table 1."""
    for seed in range(3):
        write_run(tmp_path / f"bn-{seed}", norm="bn", seed=seed, epochs=20, accuracy=90.0)
        write_run(tmp_path / f"deconv-{seed}", norm="deconv", seed=seed, epochs=20, accuracy=93.0, seconds=5.0)
    return tmp_path


@pytest.mark.parametrize("sizes", [(3, 3), (2, 5), (5, 2)])
def test_welch_is_that_of_scipy(sizes):
    rng = np.random.default_rng(sum(sizes) + sizes[0])
    ours, theirs = rng.normal(93, 0.2, sizes[0]), rng.normal(92.5, 0.8, sizes[1])
    wanted = scipy.stats.ttest_ind(ours, theirs, equal_var=False)
    found = difference(ours, theirs)
    interval = wanted.confidence_interval(0.95)
    np.testing.assert_allclose(
        [found.value, found.t, found.freedom, found.p, found.low, found.high],
        [ours.mean() - theirs.mean(), wanted.statistic, wanted.df, wanted.pvalue, interval.low, interval.high],
        rtol=1e-9,
    )


def test_single_or_equal_runs_have_no_test():
    for ours, theirs in (([1.0], [2.0, 3.0]), ([1.0, 1.0], [2.0, 2.0])):
        found = difference(np.array(ours), np.array(theirs))
        assert found.value < 0 and found.t is None and found.p is None and found.low is None


def test_a_smoothed_loss_is_the_mean_of_as_many_steps_on_either_side():
    values = np.random.default_rng(0).normal(size=30)
    values[20] = np.nan
    for width in (1, 5, 11):
        half = width // 2
        for at, found in enumerate(smoothed(values, width)):
            reach = min(half, at, 29 - at)
            wanted = values[at - reach : at + reach + 1].mean()
            assert np.isnan(wanted) == np.isnan(found) and (np.isnan(wanted) or abs(found - wanted) < 1e-12)
    assert smoothed(np.empty(0), 5).shape == (0,)
    values[3] = 1e20  # a loss that explodes and recovers leaves no trace behind its neighbours
    assert smoothed(values, 5)[10] == pytest.approx(values[8:13].mean(), rel=1e-12)
    np.testing.assert_allclose(smoothed(np.arange(9.0), 5), np.arange(9.0), rtol=1e-12)  # a line stays as it is


def test_runs_that_differ_in_their_seed_alone_are_one_arm(runs):
    result = nd.compare(runs)
    assert [(arm.name, len(arm.runs)) for arm in result.arms] == [("bn", 3), ("deconv", 3)]
    for arm in result.arms:
        written = [json.loads((runs / f"{arm.name}-{i}" / "result.json").read_text()) for i in range(3)]
        np.testing.assert_array_equal(arm.last, [each["last"]["test_top1"] for each in written])
        np.testing.assert_array_equal(arm.best, [each["best"]["eval_top1"] for each in written])
        assert arm.finished and arm.common == 20


def test_arms_are_named_by_what_sets_them_apart(tmp_path):
    for norm in ("bn", "deconv"):
        for decay in (0.0005, 0.005):
            write_run(tmp_path / f"{norm}-{decay}", norm=norm, weight_decay=decay, epochs=1)
    result = nd.compare(tmp_path)
    assert {arm.name for arm in result.arms} == {f"{n}, decay {d}" for n in ("bn", "deconv") for d in (0.0005, 0.005)}
    colours = {(arm.norm, style["color"]) for arm, style in zip(result.arms, arm_styles(result.arms), strict=True)}
    assert len(colours) == 2  # a colour for each normalisation
    assert len({str(style) for style in arm_styles(result.arms)}) == 4


def test_another_network_or_number_of_processes_is_another_arm(tmp_path):
    write_run(tmp_path / "one", epochs=1)
    write_run(tmp_path / "two", epochs=1, processes=2)
    write_run(tmp_path / "three", epochs=1, arch="vgg13")
    write_run(tmp_path / "four", epochs=1)
    spec = json.loads((tmp_path / "four" / "run.json").read_text())
    (tmp_path / "four" / "run.json").write_text(json.dumps(spec | {"network": {"arch": "vgg16", "eps": 1}}))
    names = [arm.name for arm in nd.compare(tmp_path).arms]
    assert len(set(names)) == 4 and {"vgg13, processes 1", "vgg16, processes 2"} <= set(names)


def test_settings_that_were_not_given_are_not_in_the_names(tmp_path):
    write_run(tmp_path / "a", epochs=1, norm="bn")
    write_run(tmp_path / "b", epochs=1, norm="deconv", n_iter=4)
    assert [arm.name for arm in nd.compare(tmp_path).arms] == ["bn", "deconv, n iter 4"]
    long = {"weight_decay": 0.0005, "lr": 0.05, "momentum": 0.95, "smoothing": 0.1, "warmup_epochs": 0.5}
    write_run(tmp_path / "c", epochs=1, arch="efficientnet_b0", norm="deconv-reference", **long)
    write_run(tmp_path / "d", epochs=1, arch="efficientnet_b0", norm="deconv-reference", compile=True, **long)
    *_, one, other = [arm.name for arm in nd.compare(tmp_path).arms]
    assert one.startswith("efficientnet_b0, deconv-reference, ") and len(other) < 70
    assert (one[-4:], other[-4:]) == (" (c)", " (d)") and one[:-4] == other[:-4]


def test_arms_with_equal_settings_have_the_names_of_their_folders_and_a_reason(tmp_path):
    write_run(tmp_path / "a" / "one", epochs=1)
    two = write_run(tmp_path / "b" / "two", epochs=1)
    about = json.loads((two / "run.json").read_text())
    about["network"]["layers"] = {"conv": {"bias": True}}
    about["data"]["train_images"] = 49000
    (two / "run.json").write_text(json.dumps(about))
    result = nd.compare([tmp_path / "a", tmp_path / "b"])
    assert [arm.name for arm in result.arms] == ["bn (one)", "bn (two)"]
    (remark,) = result.remarks
    assert remark.startswith("bn: ") and remark.endswith("differ in data.train_images, network.layers.conv.bias")
    printed = invoke("compare", tmp_path / "a", tmp_path / "b", "-o", tmp_path / "out")
    assert "network.layers.conv.bias" in " ".join(printed.stdout.split())
    assert remark in caption_compare(nd.load_result(tmp_path / "out" / "compare.json"))
    assert remark in table_of_arms(result).note
    two.rename(tmp_path / "b" / "one")
    assert [arm.name for arm in nd.compare([tmp_path / "a", tmp_path / "b"]).arms] == [
        f"bn ({tmp_path / folder / 'one'})" for folder in "ab"
    ]


def test_the_size_of_streamed_images_sets_no_images_in_memory_apart(tmp_path):
    write_run(tmp_path / "earlier", epochs=1, seed=1)
    content = json.loads((tmp_path / "earlier" / "run.json").read_text())
    del content["config"]["size"], content["config"]["resize"]
    (tmp_path / "earlier" / "run.json").write_text(json.dumps(content))
    write_run(tmp_path / "now", epochs=1, seed=2)
    (arm,) = nd.compare(tmp_path).arms
    assert len(arm.runs) == 2


def test_settings_without_effect_make_no_arm(tmp_path):
    write_run(tmp_path / "one", epochs=1, seed=1, device="cpu")
    write_run(tmp_path / "two", epochs=1, seed=2, jobs=2, data_dir="elsewhere", location="elsewhere")
    (arm,) = nd.compare(tmp_path).arms
    assert arm.name == "bn" and len(arm.runs) == 2


def test_the_cost_of_the_other_arms_accuracy(runs):
    result = nd.compare(runs)
    bn, deconv = result.arms
    target = np.mean([run.accuracy[-1] for run in bn.runs])
    epochs = []
    for run in deconv.runs:
        epochs.append(next(epoch for epoch, value in enumerate(run.accuracy, 1) if value >= target))
    reach = deconv.reach(bn)
    assert reach.accuracy == pytest.approx(target, rel=1e-12)
    assert (reach.runs, reach.of) == (3, 3)
    assert reach.steps == pytest.approx(20 * np.mean(epochs), rel=1e-12)
    assert reach.seconds == pytest.approx(5.0 * np.mean(epochs), rel=1e-9)
    never = bn.reach(deconv)
    assert (never.runs, never.of, never.steps, never.seconds) == (0, 3, None, None)


def test_runs_of_different_length_are_never_averaged_beyond_their_common_epochs(tmp_path):
    for seed, done in ((0, 3), (1, 5)):
        write_run(tmp_path / f"bn-{seed}", seed=seed, epochs=20, done=done, state="running", half=True)
    write_run(tmp_path / "deconv", norm="deconv", epochs=20)
    bn, deconv = nd.compare(tmp_path).arms
    assert (bn.common, bn.finished, len(bn.counted)) == (3, False, 2)
    np.testing.assert_array_equal(bn.last, [run.accuracy[2] for run in bn.runs])
    against = deconv.against(bn)  # at the epoch that both have, although one has finished
    assert against.epoch == 3
    assert against.value == pytest.approx(deconv.runs[0].accuracy[2] - bn.last.mean(), rel=1e-12)
    assert deconv.reach(bn) is None


def test_an_epoch_that_was_cut_short_counts_as_a_fraction(tmp_path):
    folder = write_run(tmp_path / "bn", epochs=2, max_steps=25)
    lines = (folder / "steps.jsonl").read_text().splitlines()
    (folder / "steps.jsonl").write_text("".join(f"{line}\n" for line in lines[:25]))  # of 2 epochs of 20
    rows = (folder / "summary.csv").read_text().splitlines()
    seconds = json.loads(lines[24])["seconds"]
    (folder / "summary.csv").write_text("\n".join([*rows[:2], f"{rows[2].rpartition(',')[0]},{seconds}", ""]))
    (arm,) = nd.compare(tmp_path).arms
    assert arm.common == 2
    assert arm.runs[0].table["epoch"].tolist() == [1, 1.25]
    assert arm.seconds_per_epoch == pytest.approx([2.0], rel=1e-9)  # as an epoch that is not cut short
    shown = invoke("compare", tmp_path, "-o", tmp_path / "out").stdout
    assert "1.25 of 2 a " in shown
    assert "a: --max-steps ended the runs before all epochs were done" in " ".join(shown.split())


def test_diverged_and_running_runs_are_shown_and_not_counted(runs):
    write_run(runs / "deconv-3", norm="deconv", seed=3, epochs=20, done=4, state="diverged", accuracy=50.0)
    write_run(runs / "bn-3", seed=3, epochs=20, done=4, state="running", accuracy=50.0)
    write_run(runs / "gn-0", norm="gn", epochs=20, done=0, state="diverged")
    result = invoke("compare", runs, "-o", runs / "out")
    assert result.exit_code == 0, result.stderr
    assert "3 +1 running" in result.stdout and "3 +1 diverged" in result.stdout and "0 +1 diverged" in result.stdout
    reason = "the loss of step 81 is not finite; lower --lr, or use --warmup-epochs"  # as train spells them
    assert f"diverged: {runs / 'deconv-3'}, after epoch 4: {reason}" in result.stderr
    assert f"running, or interrupted: {runs / 'bn-3'}, after epoch 4 of 20" in result.stderr
    by_name = {arm["name"]: arm for arm in numbers(runs / "out", "compare")["arms"]}
    assert [by_name[name]["n"] for name in ("bn", "deconv", "gn")] == [3, 3, 0]
    assert by_name["deconv"]["last"]["mean"] == pytest.approx(93, abs=1)
    assert by_name["gn"]["last"] == {"mean": None, "sd": None} and by_name["gn"]["difference"] is None
    caption = (runs / "out" / "compare.txt").read_text()
    assert "diverged are drawn alone" in caption and "gn, no run with a finished epoch" in caption


def test_published_values_stand_beside_those_measured(runs):
    for columns, tables in (("80", 2), ("200", 1)):
        result = invoke("compare", runs, "-o", runs / "out", env={"COLUMNS": columns})
        lines = result.stdout.splitlines()
        headers = [i for i, line in enumerate(lines) if line.startswith("arm ")]
        assert len(headers) == tables and max(map(len, lines)) <= int(columns)
        header, bn, deconv = lines[headers[-1] :][:3]
        assert header.split()[-3:] == ["paper", "report", "ReScience"]
        assert bn.startswith("bn ") and bn.rstrip().endswith("90.07   90.24  90.36 ± 0.22")
        assert deconv.startswith("deconv ") and deconv.rstrip().endswith("93.25   93.10  92.83 ± 0.12")


@pytest.mark.parametrize(
    ("settings", "published"),
    [
        ({"images": 5000}, False),
        ({"max_steps": 100}, False),
        ({"epochs": 19}, False),
        ({"batch_size": 64}, False),
        ({"batch_size": 64, "processes": 2}, True),
        ({"norm": "gn"}, False),
        ({"norm": "deconv-reference"}, True),
        ({"arch": "preact18"}, True),
        ({"dataset": "glyphs"}, False),
    ],
)
def test_published_values_need_the_same_conditions(tmp_path, settings, published):
    write_run(tmp_path / "run", **{"epochs": 20} | settings)
    (arm,) = nd.compare(tmp_path).arms
    assert bool(arm.references) == published
    assert all(reference.differs == () for reference in arm.references)


def test_other_settings_of_published_values_are_named(tmp_path):
    write_run(tmp_path / "run", epochs=20, weight_decay=0.0005, holdout=5000)
    result = invoke("compare", tmp_path, "-o", tmp_path / "out")
    remark = "paper: published with weight_decay 0.001 instead of 0.0005, no images held out instead of 5000"
    assert "90.07 a" in result.stdout and f"a: {remark}" in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"sched": "constant"}, "sched cosine instead of constant"),
        ({"momentum": 0.5}, "momentum 0.9 instead of 0.5"),
        ({"loss": "l2"}, "loss ce instead of l2"),
        ({"augment": False}, "augment True instead of False"),
        ({"smoothing": 0.1}, "smoothing 0 instead of 0.1"),
        ({"warmup_epochs": 2}, "warmup_epochs 0 instead of 2"),
    ],
)
def test_all_of_a_recipe_that_differs_from_the_published_is_named(tmp_path, settings, words):
    write_run(tmp_path / "run", epochs=20, **settings)
    (arm,) = nd.compare(tmp_path).arms
    for reference in arm.references:
        if reference.document != "report" or next(iter(settings)) not in ("sched", "momentum", "loss"):  # not stated
            assert reference.differs == (words,)


def test_doubtful_published_values_say_so(tmp_path):
    write_run(tmp_path / "run", epochs=20, dataset="cifar100")
    result = invoke("compare", tmp_path, "-o", tmp_path / "out")
    assert "69.04 ± 0.21 a" in result.stdout and "a: ReScience: reads like training accuracy" in result.stdout


def test_of_a_report_with_several_values_the_nearest_is_taken(tmp_path):
    write_run(tmp_path / "adam", epochs=20, norm="deconv", opt="adam")
    (arm,) = nd.compare(tmp_path).arms
    assert {each.document: each.id for each in arm.references}["report"] == "report4/vgg16/adam"


def test_the_test_images_are_the_number_and_held_out_images_the_curve(tmp_path):
    for norm in ("bn", "deconv"):
        write_run(tmp_path / norm, norm=norm, holdout=5000, epochs=4)
    bn, deconv = nd.compare(tmp_path).arms
    assert bn.split == "held-out"
    assert bn.last[0] == pytest.approx(bn.runs[0].accuracy[-1] - 0.5, rel=1e-12)
    assert deconv.against(bn).epoch is None


def test_accuracies_of_different_images_are_not_compared(tmp_path):
    write_run(tmp_path / "a", epochs=4)
    write_run(tmp_path / "b", epochs=4, done=2, state="running", holdout=5000)
    first, second = nd.compare(tmp_path).arms
    assert second.against(first) is None and second.reach(first) is None


def test_runs_of_different_data_are_refused(tmp_path):
    write_run(tmp_path / "a", epochs=1)
    write_run(tmp_path / "b", epochs=1, dataset="cifar100")
    result = invoke("compare", tmp_path / "a", tmp_path / "b", "-o", tmp_path / "out")
    assert result.exit_code == 3
    assert f"{tmp_path / 'a'} on 10000 images of cifar10; {tmp_path / 'b'} on 10000 images of cifar100" in result.stderr
    assert not (tmp_path / "out" / "compare.json").exists()


def test_what_is_no_independent_repeat_is_warned_of(tmp_path):
    write_run(tmp_path / "a", epochs=1)
    write_run(tmp_path / "b", epochs=1)
    with pytest.warns(NumericalWarning, match="bn: 2 runs have the seed 0"):
        nd.compare(tmp_path)
    write_run(tmp_path / "c", epochs=1, norm="gn", threads=2)
    with pytest.warns(NumericalWarning) as warned:
        nd.compare(tmp_path)
    assert any("different hardware" in str(each.message) for each in warned)


def test_a_run_that_went_on_elsewhere_was_timed_on_different_hardware(tmp_path):
    again = [{"step": 20, "hardware": {"cpu": "another"}, "threads": 1}]
    folder = write_run(tmp_path / "a", epochs=2)
    about = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(about | {"resumed": again}))
    with pytest.warns(NumericalWarning, match="different hardware"):
        nd.compare(folder)


def test_bad_settings_and_folders_are_named(tmp_path):
    for arguments, code, message in (
        ((tmp_path / "none",), 3, "no such folder"),
        ((tmp_path,), 3, "holds no run"),
        ((tmp_path, "--smooth", 4), 2, "--smooth must be odd"),
        ((tmp_path, "--loss-steps", 0), 2, "--loss-steps must be at least 1"),
    ):
        result = invoke("compare", *arguments, "-o", tmp_path / "out")
        assert (result.exit_code, message in result.stderr) == (code, True), result.stderr
    with pytest.raises(DataError, match="does not say the number of epochs"):
        folder = write_run(tmp_path / "run", epochs=1)
        content = json.loads((folder / "run.json").read_text())
        del content["config"]["epochs"]
        (folder / "run.json").write_text(json.dumps(content))
        nd.compare(folder)


def test_the_figure_shows_means_bands_and_ends(runs):
    write_run(runs / "deconv-3", norm="deconv", seed=3, epochs=20, done=4, state="diverged", accuracy=50.0)
    result = nd.compare(runs)
    by_epoch, by_step, by_time, loss = result.plot().axes
    bn = result.arms[0]
    mean = 1 - bn.curves().mean(0) / 100
    for ax, x in ((by_epoch, np.arange(1, 21)), (by_step, 20 * np.arange(1, 21)), (by_time, 2.0 * np.arange(1, 21))):
        line = ax.lines[0]
        np.testing.assert_allclose(line.get_xdata(), x, rtol=1e-9)
        np.testing.assert_allclose(line.get_ydata(), mean, rtol=1e-9)
        assert len(ax.collections) == 2  # a band for each arm
    crosses = [line for line in by_epoch.lines if line.get_marker() == "x"]
    assert [list(line.get_xdata()) for line in crosses] == [[4]]
    published = [line for line in by_epoch.lines if line.get_marker() == "D"]
    np.testing.assert_allclose([line.get_ydata()[0] for line in published], [1 - 0.9007, 1 - 0.9325], rtol=1e-9)
    assert loss.lines[0].get_xdata()[-1] == 395  # 5 steps before the end, which are means of fewer than 11
    (diverged,) = (arm for arm in result.arms if arm.norm == "deconv")
    assert any(line.get_xdata()[-1] == len(diverged.runs[-1].loss) for line in loss.lines)  # this one, to its end


def test_accuracies_near_chance_fill_their_panels(tmp_path):
    for norm, accuracy in (("bn", 11.0), ("deconv", 12.0)):
        write_run(tmp_path / norm, norm=norm, epochs=6, accuracy=accuracy)
    result = nd.compare(tmp_path)
    for width in (COLUMN, PAGE):
        fig = result.plot(width=width)
        assert not faults(fig) and fig.get_figheight() * 25.4 < 170
        for ax in fig.axes[:3]:
            drawn = np.concatenate([line.get_ydata() for line in ax.lines])
            low, high = sorted(ax.get_ylim())
            assert np.log(drawn.max() / drawn.min()) > 0.5 * np.log(high / low)
            assert len(ax.get_yticks()) >= 3


def test_markers_at_the_end_are_within_the_frame(tmp_path):
    for name, steps, seconds in (("bn", 20, 2.0), ("deconv", 21, 2.1)):  # ends that lie close together
        write_run(tmp_path / name, norm=name, epochs=1, per_epoch=steps, seconds=seconds)
    for ax in nd.compare(tmp_path).plot(width=PAGE).axes[:3]:
        last = max(line.get_xdata().max() for line in ax.lines)
        assert last * 1.02 < ax.get_xlim()[1] < last * 1.2


def test_marks_at_chance_are_whole(tmp_path):
    """The axis ends at an error of 1, so close to the 0.9 of ten classes that the frame would cut the marks."""
    write_run(tmp_path / "bn", norm="bn", accuracy=10.0)
    write_run(tmp_path / "deconv", norm="deconv", accuracy=99.9)
    for width in (COLUMN, PAGE):
        fig = nd.compare(tmp_path).plot(width=width)
        fig.canvas.draw()
        for ax in fig.axes[:3]:
            radius = ax.lines[0].get_markersize() / 2 * fig.dpi / 72
            lowest = min(ax.transData.transform(line.get_xydata())[:, 1].min() for line in ax.lines)
            assert lowest - radius > ax.bbox.y0 or not any(line.get_clip_on() for line in ax.lines)


def test_the_caption_says_of_which_steps_the_loss_is(tmp_path):
    write_run(tmp_path / "bn", norm="bn", epochs=2, per_epoch=20)
    assert "Loss of each training step, averaged" in nd.compare(tmp_path).caption
    assert "Loss of each training step, averaged" in nd.compare(tmp_path, loss_steps=40).caption
    assert "Loss of the first 39 training steps, averaged" in nd.compare(tmp_path, loss_steps=39).caption


def test_a_report_explains_the_columns_that_it_has(runs, tmp_path):
    assert "with p of Welch's test" in table_of_arms(nd.compare(runs)).note
    write_run(tmp_path / "bn", norm="bn")
    write_run(tmp_path / "deconv", norm="deconv")
    note = table_of_arms(nd.compare(tmp_path)).note
    assert "Welch" not in note and "s/epoch: seconds of training in an epoch" in note


def test_a_figure_of_runs_that_all_diverged_says_so(tmp_path):
    for seed in range(2):
        write_run(tmp_path / f"bn{seed}", epochs=6, done=0, seed=seed, state="diverged")
    result = nd.compare(tmp_path)
    for width in (COLUMN, PAGE):
        fig = result.plot(width=width)
        assert not faults(fig)
        said = [[text.get_text() for text in ax.texts if len(text.get_text()) > 1] for ax in fig.axes]
        assert said == [*[["no run has finished an epoch"]] * 3, ["no loss is finite"]]
        assert fig.legends[0].get_texts()[0].get_text() == "bn (2 diverged)"
    assert "bn, no run with a finished epoch (2 runs diverged)" in result.caption


def test_the_loss_is_drawn_as_far_as_asked_for(runs):
    result = nd.compare(runs, loss_steps=50, smooth=7)
    line = result.plot().axes[3].lines[0]
    losses = np.array([run.loss for run in result.arms[0].runs])
    assert losses.shape == (3, 53)  # three steps more take part in averages
    np.testing.assert_array_equal(line.get_xdata(), np.arange(1, 51))
    assert line.get_ydata()[49] == pytest.approx(losses[:, 46:53].mean(), rel=1e-9)


def test_the_command_and_a_report_show_the_same_cells(runs):
    result = nd.compare(runs)
    cells = arm_cells(result)
    assert [cell.name for cell in cells] == [arm.name for arm in result.arms]
    for arm, cell in zip(result.arms, cells, strict=True):
        assert float(cell.last.split(" ± ")[0]) == pytest.approx(arm.last.mean(), abs=0.005)
        assert int(cell.runs.split()[0]) == len(arm.counted)
        against = arm.against(result.arms[0]) if arm is not result.arms[0] else None
        assert (cell.difference == "") == (against is None)
        assert against is None or float(cell.difference) == pytest.approx(against.value, abs=0.005)
    table = table_of_arms(result)
    assert (table.head[-1] == "published / %") == any(cell.published for cell in cells)
    screen = invoke("compare", runs, "--out", runs.parent / "out").stdout
    for cell, row in zip(cells, table.rows, strict=True):
        assert row[:5] == (cell.name, cell.runs, cell.epochs, cell.last, cell.best)
        assert row[6] == cell.seconds
        for shown in (cell.last, cell.best, cell.difference, cell.seconds, cell.steps_to):
            assert shown in screen
        for published in cell.published:
            assert published.value in screen and published.value in row[7]
