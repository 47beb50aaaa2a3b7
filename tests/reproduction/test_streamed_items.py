"""Items of sets that are streamed from files, ImageNet and scenes: grades of finished runs, without training."""

import json
from dataclasses import asdict, replace

import pytest

from ndtools.experiments.segment.config import SegmentConfig
from ndtools.experiments.train.config import TrainConfig
from ndtools.published.registry import CLAIMS, ENTRIES
from ndtools.reproduction.address import Fingerprints, address
from ndtools.reproduction.item import Part, Setting
from ndtools.reproduction.kinds import STREAMED, config_of, same_data
from ndtools.reproduction.places import Places
from ndtools.reproduction.registry import find_item
from ndtools.results.runs import COLUMNS, MORE_COLUMNS
from tests.reproduction.small_items import reproduction

NAMES = {"imagenet": 50_000, "camvid": 233, "cityscapes": 500}  # images for the final number


@pytest.fixture(autouse=True)
def _no_data(monkeypatch, tmp_path):
    monkeypatch.setenv("NDTOOLS_DATA", str(tmp_path / "none"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def write_run(folder, config, measures, losses=(2.0, 1.0), **data):
    """Write the folder of a finished run, as far as grades read it; all epochs are like the last."""
    folder.mkdir(parents=True)
    about = {
        "format": 1,
        "name": folder.name,
        "experiment": config.command,
        "task": config.task,
        "arch": config.arch,
        "norm": config.norm,
        "config": asdict(config),
        "data": {
            "name": config.dataset,
            "train_images": config.images or STREAMED[config.dataset].train,
            "test_images": NAMES[config.dataset],
            "eval_split": "validation",
            **data,
        },
        "hardware": {"name": "a machine"},
        "threads": 1,
    }
    (folder / "run.json").write_text(json.dumps(about))
    last = {"epoch": config.epochs} | {f"{where}_{name}": measures[name] for name in measures for where in WHERE}
    result = {"format": 1, "steps": len(losses), "last": last, "best": last, "seconds": 10.0, "stopped": None}
    (folder / "result.json").write_text(json.dumps(result))
    steps = [
        {"step": n, "epoch": n / len(losses), "loss": loss, "lr": 0.1, "seconds": float(n), "images": 8}
        for n, loss in enumerate(losses, 1)
    ]
    (folder / "steps.jsonl").write_text("".join(json.dumps(step) + "\n" for step in steps))
    more = [name for name in MORE_COLUMNS if name.removeprefix("eval_") in measures]
    row = [1.0, measures["top1"], 1.0, measures["top1"], 0.1, 10.0, *(measures[name[5:]] for name in more)]
    rows = [[epoch, *row] for epoch in range(1, config.epochs + 1)]
    lines = [",".join([*COLUMNS, *more]), *(",".join(map(str, row)) for row in rows)]
    (folder / "summary.csv").write_text("\n".join(lines) + "\n")


WHERE = ("eval", "test")


def graded(tmp_path, name, at, measures, changed=None, losses=None):
    """Return the state of an item, and its grades by subject, after runs of parts of a level have finished."""
    parts = {part.name: part for part in find_item(name).levels(Setting(places=Places()))[at].parts}
    for part, values in measures.items():
        config = replace(parts[part].config, **(changed or {}))
        more = {} if losses is None else {"losses": losses[part]}
        write_run(tmp_path / "runs" / part.replace(" ", "").replace(",", "-"), config, values, **more)
    state = reproduction(tmp_path / "out", [find_item(name)], runs=tmp_path / "runs").states[name]
    return state, {grade.subject: grade for grade in state.grades}


QUALITY, CONVERGENCE = "claim/segmentation", "claim/segmentation-convergence"


def scene(iou, pixels):
    return {"mean_iou": iou, "top1": pixels}


def test_segmentation_is_graded_at_the_better_rate_of_each_arm(tmp_path):
    runs = {
        "bn, rate 0.01": scene(20.0, 60.0),
        "nd, rate 0.01": scene(45.0, 85.0),
        "bn, rate 0.05": scene(30.0, 70.0),
        "nd, rate 0.05": scene(40.0, 99.0),
    }
    changed = {"jobs": 1, "workers": 1, "device": "cpu"}
    state, grades = graded(tmp_path, "fig6", 1, runs, changed)
    assert [part.state for part in state.parts] == ["done"] * 4
    assert grades[QUALITY].verdict == "same direction"  # CamVid is not Cityscapes
    assert grades[QUALITY].measured == pytest.approx(15.0)
    assert "85.00 and 70.00 % of the pixels" in grades[QUALITY].reason
    assert "233 scenes" in grades[QUALITY].reason
    assert "batch normalisation at rate 0.05" in grades[QUALITY].conditions
    # equal losses, which chance explains, and a mean IoU above
    assert grades[CONVERGENCE].verdict == "same direction"
    assert grades[CONVERGENCE].reason.startswith("1 of 2 statements hold, and chance explains")


@pytest.mark.parametrize(
    ("nd", "losses", "verdicts"),
    [
        (scene(80.0, 95.0), (1.9, 0.8, 0.5), ("agrees", "agrees")),
        (scene(60.5, 85.0), (1.9, 0.8, 0.5), ("not comparable", "same direction")),  # chance explains half a point
        (scene(40.0, 70.0), (2.5, 1.8, 1.2), ("disagrees", "disagrees")),
    ],
)
def test_the_published_recipe_of_segmentation(tmp_path, nd, losses, verdicts):
    runs = {"bn, rate 0.1": scene(60.0, 85.0), "nd, rate 0.1": nd}
    of_runs = {"bn, rate 0.1": (2.0, 1.0, 0.6), "nd, rate 0.1": losses}
    _, grades = graded(tmp_path, "fig6", 0, runs, losses=of_runs)
    assert (grades[QUALITY].verdict, grades[CONVERGENCE].verdict) == verdicts
    assert CLAIMS[QUALITY].decided_by == CLAIMS[CONVERGENCE].decided_by == "fig6"


@pytest.mark.parametrize("changed", [{"crop": 96}, {"seed": 1}, {"auxiliary": 0.0}, {"images": 100}])
def test_other_segmentation_runs_are_not_taken_up(tmp_path, changed):
    state, grades = graded(tmp_path, "fig6", 1, {"bn, rate 0.01": scene(20.0, 60.0)}, changed)
    assert not any(part.state == "done" for part in state.parts)
    assert grades[QUALITY].verdict == "not run"


def test_the_kind_of_a_run_is_that_of_its_command():
    train, segment = TrainConfig("imagenet", arch="resnet18"), SegmentConfig("camvid")
    for config in (train, segment):
        about = {"experiment": config.command, "config": json.loads(json.dumps(asdict(config)))}
        assert config_of(about) == config
    assert config_of({"config": asdict(train)}) == train  # as runs of earlier versions
    with pytest.raises(LookupError):
        config_of({"experiment": "future", "config": {}})
    with pytest.raises(TypeError):
        config_of({"experiment": "train", "config": asdict(segment)})


def test_data_are_compared_by_name_and_number_of_images():
    images = STREAMED["camvid"].train
    for folder in ("camvid", "/data/CamVid", "/data/camvid-240x180"):
        assert same_data({"name": "camvid", "train_images": images}, SegmentConfig(folder))
        assert not same_data({"name": "camvid", "train_images": images - 1}, SegmentConfig(folder))
        assert not same_data({"name": "cityscapes", "train_images": images}, SegmentConfig(folder))
        assert same_data({"name": "camvid", "train_images": 90}, SegmentConfig(folder, images=100, holdout=10))
    assert not same_data({"name": "streets", "train_images": images}, SegmentConfig("/data/streets"))


def test_a_large_folder_is_told_by_the_names_and_sizes_of_its_files(tmp_path):
    def of(folder):
        config = SegmentConfig(str(folder))
        return address(Part(name="x", experiment="segment", config=config, work=1.0), Fingerprints(tmp_path / "f.json"))

    found = []
    for name in ("a", "b"):
        (tmp_path / name / "train").mkdir(parents=True)
        (tmp_path / name / "train" / "1.png").write_bytes(name.encode())
        found.append(of(tmp_path / name))
    assert found[0] == found[1]  # wherever it is
    (tmp_path / "a" / "train" / "1.png").write_bytes(b"longer")
    (tmp_path / "b" / "train" / "1.png").rename(tmp_path / "b" / "train" / "2.png")
    assert len({found[0], of(tmp_path / "a"), of(tmp_path / "b")}) == 3


def test_table_2(tmp_path):
    published = {
        "VGG-11, none": (69.02, 88.63),
        "VGG-11, bn": (70.38, 89.81),
        "VGG-11, nd": (73.5, 90.49),
        "ResNet-18, bn": (69.76, 89.08),
        "ResNet-18, nd": (71.24, 90.14),
        "DenseNet-121, bn": (75.884, 92.956),
        "DenseNet-121, nd": (73.668, 92.694),
    }
    runs = {name: {"top1": top1, "top5": top5} for name, (top1, top5) in published.items()}
    state, grades = graded(tmp_path, "table2", 0, runs)
    assert [part.state for part in state.parts] == ["done"] * 7
    verdicts = {subject: grade.verdict for subject, grade in grades.items()}
    assert set(verdicts) == {
        *(name for name in ENTRIES if name.startswith("table2/")),
        *(name for name, claim in CLAIMS.items() if claim.decided_by == "table2"),
        "text/vgg13-reference",
        "text/gain-of-batch-normalisation",
        "text/gain-of-deconvolution",
    }
    assert verdicts["text/vgg13-reference"] == "not run"
    assert "model zoo" in grades["text/vgg13-reference"].reason
    assert verdicts["table2/resnet18/nd/top5/v1"] == verdicts["table2/resnet18/nd/top5/v2"] == "agrees"
    assert verdicts["table2/vgg11/nd/top1"] == "same direction"  # 1.55 points above, and ahead
    assert verdicts["table2/densenet121/nd/top1/v2"] == "disagrees"
    assert grades["table2/densenet121/nd/top5/v2"].third_party[-1] == "rescience/densenet121/imagenet/nd/90/top5"
    assert (verdicts["claim/imagenet"], grades["claim/imagenet"].measured) == ("same direction", pytest.approx(-2.216))
    assert verdicts["claim/twice-the-gain"] == "agrees"
    assert grades["claim/twice-the-gain"].measured == pytest.approx((73.5 - 69.02) / (70.38 - 69.02))
    assert verdicts["claim/vgg11-beats-vgg13"] == "agrees"
    assert verdicts["text/gain-of-batch-normalisation"] == "agrees"
    assert verdicts["text/gain-of-deconvolution"] == "disagrees"


def test_the_first_thousand_steps_on_imagenet_decide_the_claim_about_the_loss(tmp_path):
    names = ("loss, none", "loss, bn", "loss, nd")
    curves = {
        name: [start - 0.001 * n for n in range(1000)] for name, start in zip(names, (6.9, 6.5, 6.0), strict=True)
    }
    runs = {name: {"top1": 1.0, "top5": 5.0} for name in names}
    _, grades = graded(tmp_path, "fig8", 2, runs, losses=curves)
    assert grades["claim/training-loss"].verdict == "agrees"
    assert "first 1,000 steps" in grades["claim/training-loss"].reason
