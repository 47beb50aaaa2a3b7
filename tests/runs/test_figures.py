"""Figures, table and lines of runs that segment, and the names of the images that evaluate them."""

import dataclasses
import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ndtools.drawing.palette import CLASSES
from ndtools.models.catalogue import CATALOGUE
from ndtools.results.runs import read_run
from ndtools.runs.display import Pace, display
from ndtools.runs.examples import IGNORED, Examples, Scene, caption_examples, plot_examples
from ndtools.runs.figure import caption_train, plot_train
from ndtools.runs.table import table_of
from ndtools.training.records import EpochRecord
from tests.commands import invoke
from tests.drawing.test_palette import VIEWS, distance
from tests.layout import faults
from tests.run_folders import write_run
from tests.tiny_scenes import ENTRY


def data_of(ax):
    return {line.get_label(): np.array(line.get_data()) for line in ax.lines}


def printed(table):
    from rich.console import Console

    console = Console(width=200)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def examples(classes=3, shape=(30, 40), absent=False):
    rng = np.random.default_rng(classes)
    scenes = []
    for _ in range(3):
        truth = rng.integers(0, classes, shape)
        truth[:, -1] = IGNORED
        image = rng.integers(0, 256, (2 * shape[0], 2 * shape[1], 3), dtype=np.uint8)
        scenes.append(Scene(image, rng.integers(0, classes, shape), truth))
    iou = np.linspace(0, 100, classes)
    if absent:
        iou[1] = np.nan
    names = tuple(f"name {label}" for label in range(classes))
    return Examples(tuple(scenes), names, iou, 233, "test", "deeplabv3_resnet18, deconv", "camvid")


def test_three_panels_show_loss_pixels_and_mean_iou(tmp_path):
    run = read_run(write_run(tmp_path / "run", epochs=3, segments=True, splits=("eval", "test")))
    loss, pixels, mean_iou = plot_train(run).axes
    assert [ax.get_ylabel() for ax in (loss, pixels, mean_iou)] == ["loss", "pixel accuracy (%)", "mean IoU (%)"]
    np.testing.assert_array_equal(data_of(pixels)["training"], [[1, 2, 3], run.epochs["train_top1"]])
    np.testing.assert_array_equal(data_of(pixels)["validation"], [[1, 2, 3], run.epochs["eval_top1"]])
    np.testing.assert_array_equal(data_of(mean_iou)["validation"], [[1, 2, 3], run.epochs["eval_mean_iou"]])
    last = json.loads((tmp_path / "run" / "result.json").read_text())["last"]
    assert f"On the 10,000 test images, the mean is {last['test_mean_iou']:.2f} %" in caption_train(run)


def test_a_short_run_has_round_epochs_on_its_axis(tmp_path):
    run = read_run(write_run(tmp_path / "run", epochs=1))
    ticks = plot_train(run).axes[0].get_xticks()
    np.testing.assert_allclose(ticks[(ticks >= 0) & (ticks <= 1.02)], [0, 0.2, 0.4, 0.6, 0.8, 1], atol=1e-12)


@pytest.mark.parametrize("width", [85, 180])
@pytest.mark.parametrize(("state", "done"), [("finished", 7), ("running", 7), ("running", 0), ("diverged", 0)])
def test_layout_of_curves(tmp_path, width, state, done):
    run = read_run(write_run(tmp_path / "run", epochs=20, done=done, state=state, segments=True, splits=("eval",)))
    assert not faults(plot_train(run, width=width))


@pytest.mark.parametrize(
    ("splits", "split", "final"),
    [
        (("eval", "test"), "validation", "test"),
        (("eval",), "validation", "validation"),
        (("test",), "test", "test"),
        ((), "training", "training"),
        (None, "test", "test"),
    ],
)
@pytest.mark.parametrize("segments", [False, True])
def test_images_have_their_right_names(tmp_path, splits, split, final, segments):
    run = read_run(write_run(tmp_path / "run", epochs=2, segments=segments, splits=splits))
    assert (run.evaluation, run.final) == (split, final)
    shown = printed(table_of([run], width=200))
    words = ("mean IoU", "pixels") if segments else ("",)
    head = " ".join(shown.splitlines()[0].split())
    for word in words:
        assert f"{final} {word}".strip() in head and f"{split} {word}".strip() in head
    assert (("test" in head), ("validation" in head)) == ("test" in (split, final), split == "validation")
    assert f"highest {split} {'mean IoU' if segments else 'accuracy'}" in shown
    labels = [text.get_text() for text in plot_train(run).legends[0].get_texts()]
    assert len(set(labels)) == 2 and (split == "training" or labels == ["training", split])
    caption = caption_train(run)
    assert ("no others for evaluation" in caption) == (split == "training")
    assert ("of the pixels are right" in caption) == (segments and final != split)


def test_held_out_images_stand_beside_test_images(tmp_path):
    run = read_run(write_run(tmp_path / "run", epochs=2, holdout=5000))
    head, row, *_ = printed(table_of([run], width=200)).splitlines()
    assert head.split()[5:7] == ["test", "held-out"]
    last = run.result["last"]
    assert f"{last['test_top1']:.2f} %" in row and f"{last['eval_top1']:.2f} %" in row


def test_the_table_has_both_measures_and_fits_the_screen(tmp_path):
    run = read_run(write_run(tmp_path / "run", epochs=2, segments=True, splits=("eval", "test")))
    last = run.result["last"]
    shown = printed(table_of([run], width=200))
    for name in ("test_mean_iou", "test_top1", "eval_mean_iou", "eval_top1"):
        assert f"{last[name]:.2f} %" in shown
    assert f"{run.epochs['eval_mean_iou'].max():.2f} % (" in shown
    assert max(map(len, printed(table_of([run], width=80)).rstrip().splitlines())) <= 80


def test_the_table_has_top_5_where_a_run_has_it(tmp_path):
    folders = [write_run(tmp_path / name, epochs=2) for name in ("many", "few")]
    content = json.loads((folders[0] / "result.json").read_text())
    content["last"] |= {"eval_top5": 97.25, "test_top5": 97.25}
    (folders[0] / "result.json").write_text(json.dumps(content))
    head, many, few, *_ = printed(table_of(list(map(read_run, folders)), width=200)).splitlines()
    assert "test top-5" in head and "97.25 %" in many and "97.25" not in few
    assert "top-5" not in printed(table_of([read_run(folders[1])], width=200))


def test_lines_of_progress_have_the_mean_iou():
    lines = []
    record = EpochRecord(1, 10, 1.5, 60.0, 1.25, 70.0, 0.1, 5.0, eval_mean_iou=30.5)
    with display(lines.append) as shown:
        shown.begin("run", steps=20, epochs=2, per_epoch=10, done=0)
        shown.epoch(record)
        shown.epoch(dataclasses.replace(record, eval_mean_iou=None))
    assert "train loss 1.5000  pixels 60.00 %  evaluation loss 1.2500  pixels 70.00 %  mean IoU 30.50 %" in lines[0]
    assert "IoU" not in lines[1] and "pixels" not in lines[1]
    pace = Pace(20, 2, 10)
    pace.after_epoch(record)
    assert "mean IoU 30.50 %" in pace.words and "accuracy" not in pace.words


def test_scenes_are_drawn_with_the_classes_of_their_pixels():
    given = examples()
    figure = plot_examples(given)
    assert figure.get_suptitle().startswith(f"{given.split.capitalize()} images of {given.data}, labelled by ")
    *pictures, bars = figure.axes
    for scene, (image, network, truth) in zip(given.scenes, (pictures[i : i + 3] for i in (0, 3, 6)), strict=True):
        np.testing.assert_array_equal(image.images[0].get_array(), scene.image)
        np.testing.assert_array_equal(network.images[0].get_array(), scene.predicted)
        drawn = truth.images[0].get_array()
        known = scene.truth != IGNORED
        np.testing.assert_array_equal(drawn[known], scene.truth[known])
        assert set(np.unique(drawn[~known])) <= {len(CLASSES) + 1, len(CLASSES) + 2}
        for ax in (image, network, truth):
            assert ax.get_xlim() == (0, 40) and ax.get_ylim() == (30, 0)  # one size, whatever the image's is
    assert [ax.get_title() for ax in pictures[:3]] == ["image", "network", "truth"]
    widths = [patch.get_width() for patch in bars.patches if patch.get_height() == pytest.approx(0.6)]
    assert widths == pytest.approx([0, 50, 100], rel=1e-12)
    assert [label.get_text() for label in bars.get_yticklabels()] == ["name 0", "name 1", "name 2", "no class"]


@pytest.mark.parametrize("width", [85, 180])
@pytest.mark.parametrize(("classes", "shape"), [(2, (40, 30)), (11, (30, 40)), (20, (20, 40)), (30, (20, 40))])
def test_layout_of_scenes(width, classes, shape):
    figure = plot_examples(examples(classes, shape, absent=classes > 2), width=width)
    assert not faults(figure) and figure.get_figheight() * 25.4 < 235


def test_more_classes_than_colours_are_named_and_missing_ones_too():
    many = examples(30)
    names = [label.get_text() for label in plot_examples(many).axes[-1].get_yticklabels()]
    assert names[-2:] == ["10 others", "no class"] and len(names) == 22
    assert "Colours are those of the 20 classes" in caption_examples(many)
    caption = caption_examples(examples(absent=True))
    assert "1 of 3 classes occur in neither" in caption and "their mean is 50.00 %" in caption
    assert "233 test images" in caption


@pytest.mark.parametrize("view", VIEWS)
def test_colours_of_classes_are_told_apart(view):
    assert len(set(CLASSES)) == 20
    near = min(distance(one, other, view) for one, other in itertools.combinations([*CLASSES, "#d9d9d9"], 2))
    assert near > 17  # of large patches side by side, 2.3 is just noticeable


def test_examples_lie_evenly_in_the_list_of_their_images():
    from ndtools.data.labelled.scenes import scenes
    from ndtools.training.streams import Scenes, StreamedData

    data = StreamedData(scenes(), Scenes(), constants="published")
    found = list(data.examples("test", 3))
    test = data.streamed.test
    for (pixels, image, labels), index in zip(found, (16, 50, 83), strict=True):
        wanted, label = test.read(index)
        assert torch.equal(pixels, wanted) and torch.equal(labels[0], label.long())
        restored = (image[0] * data.std + data.mean) * 255
        torch.testing.assert_close(restored, wanted.float(), rtol=0, atol=1e-3)
    assert len(list(data.examples("eval", 1000))) == 100


@pytest.fixture(scope="module")
def segmented(tmp_path_factory):
    """Folder of a run that segments the built-in scenes."""
    import ndtools as nd

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CATALOGUE, "tiny_scenes", ENTRY)
        config = nd.SegmentConfig(arch="tiny_scenes", norm="bn", images=8, epochs=1, batch_size=4, crop=32, workers=0)
        return Path(nd.run_train(config, tmp_path_factory.mktemp("runs"), name="run").path)


def test_a_run_that_segments_writes_its_scenes(segmented):
    folder, run = segmented, read_run(segmented)
    assert (folder / "examples.png").read_bytes()[:4] == b"\x89PNG"
    captions = (folder / "figure.txt").read_text()
    assert captions.startswith("figure: Learning curves") and "\n\nexamples: Three scenes among the test" in captions
    assert f"their mean is {run.result['last']['test_mean_iou']:.2f} %" in captions
    assert run.about["data"]["class_names"] == ["ground", "disc", "square", "triangle", "ring"]

    from ndtools.report.content import Loader

    loader = Loader()
    (group,) = loader.compared([folder])
    assert not loader.remarks and len(group.drawings) == 2
    assert group.drawings[1].caption.startswith("Three scenes among the test images")


def test_figure_draws_the_curves_and_scenes_of_a_run_again(segmented, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(segmented, folder)
    names, before = ("figure.png", "examples.png"), {path.name: path.read_bytes() for path in folder.iterdir()}
    pixels = {name: np.asarray(Image.open(folder / name)) for name in names}
    done = invoke("figure", folder, "--dpi", 200)
    assert done.exit_code == 0 and "(replaced)" in done.stderr, done.stderr
    for name in names:
        np.testing.assert_array_equal(np.asarray(Image.open(folder / name)), pixels[name])
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {name for name in before if before[name] != after[name]} <= set(names) and before.keys() == after.keys()

    done = invoke(
        "figure", folder / "run.json", "--width", "85mm", "--out", tmp_path / "new", "--name", "a", "--format", "svg"
    )
    assert done.exit_code == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["a.svg", "a.txt", "a_examples.svg"]
    for name in ("a", "a_examples"):
        head = (tmp_path / "new" / f"{name}.svg").read_text()[:1000]
        assert f'width="{85 / 25.4 * 72:.6f}pt"' in head
    assert [part.split(":")[0] for part in (tmp_path / "new" / "a.txt").read_text().split("\n\n")[:2]] == [
        "a",
        "a_examples",
    ]

    (folder / "examples.npz").write_bytes(before["examples.npz"][:-40])
    done = invoke("figure", folder)
    assert done.exit_code == 3 and "examples.npz, which holds scenes of the run" in done.stderr
    (folder / "examples.npz").unlink()  # as in runs of earlier versions
    done = invoke("figure", folder, "--dpi", 50)
    assert done.exit_code == 0 and "examples.png is not drawn again" in done.stderr
    assert (folder / "figure.txt").read_bytes() == before["figure.txt"]
    assert (folder / "figure.png").read_bytes() != after["figure.png"]
    assert (folder / "examples.png").read_bytes() == after["examples.png"]


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("label", "predicted1 has the label 5, and the run 5 classes, from 0 to 4"),
        ("negative", "truth0 has the label -1"),
        ("beyond a byte", "truth2 has the label 300"),
        ("no truth", "there is no array truth2"),
        ("no scene", "there is no array image0"),
        ("a gap", "there is no array image1"),
        ("too many", "it has 4 scenes, where a run keeps 3"),
        ("grey", "image0 must have 8-bit pixels of three colours, got uint8 of shape"),
        ("floats", "image0 must have 8-bit pixels of three colours, got float64"),
        ("no label map", "truth0 must be a label map, got float64"),
        ("empty", "truth1 must be a label map, got uint8 of shape (0, 8)"),
        ("sizes", "predicted0 and truth0 differ in size"),
        ("one array", "cannot read"),
        ("text", "cannot read"),
        ("nothing", "cannot read"),
    ],
)
def test_damaged_scenes_are_named_with_a_remedy(segmented, tmp_path, what, message):
    folder = tmp_path / "run"
    shutil.copytree(segmented, folder)
    path = folder / "examples.npz"
    with np.load(path) as stored:
        arrays = dict(stored)
    labels = arrays["truth0"].astype(np.int64)
    changed = {
        "label": lambda: {"predicted1": np.full_like(arrays["predicted1"], 5)},
        "negative": lambda: {"truth0": -np.ones_like(labels)},
        "beyond a byte": lambda: {"truth2": np.full_like(labels, 300)},
        "too many": lambda: {f"{part}3": arrays[f"{part}0"] for part in ("image", "predicted", "truth")},
        "grey": lambda: {"image0": arrays["image0"][..., 0]},
        "floats": lambda: {"image0": arrays["image0"] / 255},
        "no label map": lambda: {"truth0": labels / 2},
        "empty": lambda: {"truth1": arrays["truth1"][:0, :8]},
        "sizes": lambda: {"truth0": arrays["truth0"][:4]},
    }.get(what, dict)()
    removed = {"no truth": ["truth2"], "a gap": ["image1", "predicted1", "truth1"], "no scene": list(arrays)}
    np.savez(path, **{key: value for key, value in (arrays | changed).items() if key not in removed.get(what, ())})
    if what == "one array":
        with path.open("wb") as file:
            np.save(file, labels)
    elif what in ("text", "nothing"):
        path.write_text("no archive" if what == "text" else "")
    before = {each.name: each.read_bytes() for each in folder.iterdir()}
    done = invoke("figure", folder, "--dpi", 50)
    assert done.exit_code == 3, done.output
    (line,) = done.stderr.splitlines()
    assert str(path) in line and message in line and "move it elsewhere" in line
    assert before == {each.name: each.read_bytes() for each in folder.iterdir()}


def test_figure_draws_runs_that_are_going_on_and_names_what_else_a_folder_is(tmp_path):
    write_run(tmp_path / "runs" / "a", epochs=4, done=2, state="running")
    done = invoke("figure", tmp_path / "runs" / "a", "--dpi", 50)
    assert done.exit_code == 0 and (tmp_path / "runs" / "a" / "figure.txt").exists(), done.stderr
    assert not (tmp_path / "runs" / "a" / "examples.png").exists()
    done = invoke("figure", tmp_path / "runs")
    assert done.exit_code == 3
    assert (
        f"is a folder of runs; give one of them, or draw them beside one another with ndtools compare {tmp_path}"
        in done.stderr
    )
    (tmp_path / "empty").mkdir()
    done = invoke("figure", tmp_path / "empty")
    assert done.exit_code == 3 and "empty is not the folder of a run of ndtools train or ndtools segment" in done.stderr


def test_figure_keeps_what_it_cannot_draw_again(segmented, tmp_path, monkeypatch):
    """Runs of earlier versions have no arrays of their scenes: their caption and picture stay as they are."""
    folder = tmp_path / "run"
    shutil.copytree(segmented, folder)
    (folder / "examples.npz").unlink()
    before = {name: (folder / name).read_bytes() for name in ("figure.txt", "examples.png")}
    monkeypatch.chdir(folder)
    (tmp_path / "link").symlink_to(folder)
    for out in (folder, Path("..") / "run", tmp_path / "link"):
        done = invoke("figure", ".", "--out", out, "--dpi", 50)
        assert done.exit_code == 0, done.stderr
        assert before == {name: (folder / name).read_bytes() for name in before}
    done = invoke("figure", ".", "--name", "examples", "--dpi", 50)
    assert done.exit_code == 2 and "--name" in done.stderr and "examples.png" in done.stderr
    assert before == {name: (folder / name).read_bytes() for name in before}


def test_figure_draws_a_run_that_recorded_no_command(tmp_path):
    write_run(tmp_path / "a", epochs=4)
    about = json.loads((tmp_path / "a" / "run.json").read_text())
    about.pop("command", None)
    (tmp_path / "a" / "run.json").write_text(json.dumps(about))
    done = invoke("figure", tmp_path / "a", "--dpi", 50)
    assert done.exit_code == 0, (done.stderr, done.exception)
    assert "no command recorded" in (tmp_path / "a" / "figure.txt").read_text()
