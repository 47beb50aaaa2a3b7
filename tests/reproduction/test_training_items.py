"""Items that train: grades of finished runs, written as run folders, without training."""

import json
from dataclasses import asdict, replace

import pytest

from ndtools.published.registry import CLAIMS, ENTRIES
from ndtools.reproduction.item import Setting
from ndtools.reproduction.places import Places
from ndtools.reproduction.registry import find_item
from ndtools.reproduction.training import run_name
from ndtools.results.runs import COLUMNS
from tests.reproduction.small_items import reproduction

SETTING = Setting(places=Places())


def write_run(folder, config, top1, *, seconds=10.0, losses=(2.0, 1.0), parameters=1):
    """Write the folder of a finished run, as far as grades read it."""
    folder.mkdir(parents=True)
    n_train = config.images or 50_000
    about = {
        "format": 1,
        "name": folder.name,
        "command": "ndtools train",
        "arch": config.arch,
        "norm": config.norm,
        "parameters": parameters,
        "network": {"layers": {"conv": {"norm": "batch_norm" if config.norm == "bn" else "none"}}},
        "config": asdict(config),
        "data": {"name": config.dataset, "synthetic": False, "train_images": n_train, "test_images": 10_000},
        "hardware": {"name": "a machine"},
        "threads": 1,
    }
    (folder / "run.json").write_text(json.dumps(about))
    last = {"epoch": config.epochs, "test_top1": top1}
    result = {"format": 1, "steps": len(losses), "last": last, "best": last, "seconds": seconds, "stopped": None}
    (folder / "result.json").write_text(json.dumps(result))
    steps = [
        {
            "step": n,
            "epoch": n / len(losses),
            "loss": loss,
            "lr": 0.1,
            "seconds": n * seconds / len(losses),
            "images": n,
        }
        for n, loss in enumerate(losses, 1)
    ]
    (folder / "steps.jsonl").write_text("".join(json.dumps(step) + "\n" for step in steps))
    rows = [[epoch, 1.0, top1, 1.0, top1, 0.1, seconds * (epoch + 1) / config.epochs] for epoch in range(config.epochs)]
    lines = [",".join(COLUMNS), *(",".join(map(str, row)) for row in rows)]
    (folder / "summary.csv").write_text("\n".join(lines) + "\n")


def parts_of(name, at=0):
    return {part.name: part for part in find_item(name).levels(SETTING)[at].parts}


def graded(tmp_path, name, accuracies, *, at=0, changed=None, **written):
    """Return the state of an item, and its grades by subject, after runs of its parts have finished elsewhere."""
    parts = parts_of(name, at)
    for part, top1 in accuracies.items():
        write_run(
            tmp_path / "runs" / part.replace(" ", ""), replace(parts[part].config, **(changed or {})), top1, **written
        )
    work = reproduction(tmp_path / "out", [find_item(name)], runs=tmp_path / "runs")
    state = work.states[name]
    return state, {grade.subject: grade for grade in state.grades}


VGG, EFFICIENT = "VGG-16, cifar10, {}, {}", "EfficientNet, cifar10, {}, {}"


def test_cells_of_single_runs_are_graded_although_the_data_are_not_here(tmp_path, monkeypatch):
    monkeypatch.setenv("NDTOOLS_DATA", str(tmp_path / "none"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    runs = {
        VGG.format("bn", "1 epoch"): 11.0,
        VGG.format("nd", "1 epoch"): 74.0,
        EFFICIENT.format("bn", "1 epoch"): 35.4,
    }
    state, grades = graded(tmp_path, "table1", runs, parameters=14_719_818)
    assert (state.state, sum(part.state == "done" for part in state.parts)) == ("partly", 3)
    verdicts = {subject: grade.verdict for subject, grade in grades.items() if grade.verdict != "not run"}
    assert verdicts == {
        "table1/vgg16/cifar10/bn/1": "same direction",  # 3.12 points below, and behind the other arm
        "table1/vgg16/cifar10/nd/1": "agrees",
        "table1/efficientnet_b0/cifar10/bn/1": "agrees",
        "table1/vgg16/parameters": "disagrees",
        "claim/every-network": "same direction",  # one of sixty pairs refutes nothing, and proves nothing
        "claim/first-epoch": "same direction",
        "claim/no-batch-normalisation": "same direction",
        "claim/few-iterations": "same direction",
    }
    assert grades["claim/first-epoch"].measured == pytest.approx(63.0)
    assert set(grades["table1/vgg16/cifar10/nd/1"].third_party) == {
        "rescience/vgg16/cifar10/nd/1",
        "report2/vgg16/cifar10/nd/1",
    }
    assert "fetch cifar10" in grades["table1/vgg16/cifar100/nd/1"].reason


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({"channels_last": True, "compile": True, "jobs": 3, "data_dir": "elsewhere"}, "agrees"),
        ({"constants": "pooled"}, "not comparable"),  # shown, but never as the published recipe
        ({"seed": 1}, "not run"),
        ({"lr": 0.05}, "not run"),
    ],
)
def test_equal_runs(changed, verdict, tmp_path):
    state, grades = graded(tmp_path, "table1", {VGG.format("nd", "1 epoch"): 74.0}, changed=changed)
    grade = grades["table1/vgg16/cifar10/nd/1"]
    assert grade.verdict == verdict
    assert any(part.state == "done" for part in state.parts) == (verdict == "agrees")
    assert ("normalised by" in grade.conditions) == (verdict == "not comparable")


def test_twenty_epochs_beside_a_hundred(tmp_path):
    runs = {VGG.format("nd", "20 epochs"): 90.0, VGG.format("bn", "100 epochs"): 93.58}
    grade = graded(tmp_path, "table1", runs)[1]["claim/twenty-epochs"]
    assert grade.measured == pytest.approx(-3.58)
    assert grade.verdict == "not comparable"


def test_a_lead_of_the_other_arm_in_a_pair_is_not_concealed(tmp_path):
    runs = {
        **{VGG.format(norm, "1 epoch"): top1 for norm, top1 in (("bn", 80.0), ("nd", 70.0))},
        **{EFFICIENT.format(norm, "1 epoch"): top1 for norm, top1 in (("bn", 30.0), ("nd", 50.0))},
    }
    grade = graded(tmp_path, "table1", runs)[1]["claim/every-network"]
    assert (grade.verdict, grade.measured) == ("same direction", -10.0)
    assert "ahead in 1 of 2 pairs" in grade.reason


def test_report_1_is_not_comparable_but_its_claim_is(tmp_path):
    _, grades = graded(tmp_path, "report1", {"none": 40.0, "bn": 60.0, "nd": 70.0})
    assert {grades[name].verdict for name in ENTRIES if name.startswith("report1/")} == {"not comparable"}
    assert grades["claim/report-simple-networks"].verdict == "agrees"


def test_report_3_grades_times_as_ratios(tmp_path):
    parts = parts_of("report3")
    for name, (top1, seconds) in {"resnet50/bn": (80.0, 100.0), "resnet50/nd": (90.4, 210.0)}.items():
        write_run(tmp_path / "runs" / name.replace("/", "-"), parts[name].config, top1, seconds=seconds)
    work = reproduction(tmp_path / "out", [find_item("report3")], runs=tmp_path / "runs")
    grades = {grade.subject: grade.verdict for grade in work.states["report3"].grades}
    assert grades["report3/resnet50/nd/seconds"] == grades["report3/resnet50/slow-down"] == "agrees"
    assert grades["report3/resnet50/bn/seconds"] == "not comparable"
    assert grades["report3/resnet50/bn"] == "same direction"
    assert grades["claim/report-time"] == "same direction"  # of two networks


def test_report_4_compares_with_the_base(tmp_path):
    parts = {name: 90.0 for name in parts_of("report4")}
    parts |= {name: 60.0 for name in parts if name.endswith("adam")}
    parts |= {name: 91.5 for name in parts if name.endswith("block32")}
    _, grades = graded(tmp_path, "report4", parts)
    assert grades["claim/report-optimiser"].verdict == "agrees"
    assert grades["claim/report-loss"].verdict == "not comparable"  # equal, so that chance explains it
    assert grades["claim/report-block-size"].verdict == "same direction"


def test_table_4(tmp_path):
    accuracies = {name: 91.0 for name in parts_of("table4")} | {"batches of 2, usual settings": 60.0}
    _, grades = graded(tmp_path, "table4", accuracies)
    assert grades["claim/all-batch-sizes"].verdict == "agrees"
    assert grades["claim/small-batches"].verdict == "same direction"
    assert grades["table4/8"].verdict == "agrees"
    assert grades["table4/2"].verdict == "disagrees"


def test_fig_8_needs_both_directions(tmp_path):
    decays = {"bn": (60.0, 55.0), "nd": (65.0, 66.0)}
    runs = {
        f"{norm}, decay {decay:g}, seed {seed}": pair[decay == 0.005]
        for seed in range(5)
        for norm, pair in decays.items()
        for decay in (0.0005, 0.001, 0.005)
    }
    _, grades = graded(tmp_path, "fig8", runs)
    assert grades["claim/weight-decay-v2"].verdict == "agrees"
    assert grades["claim/weight-decay-v2"].measured == pytest.approx(1.0)
    assert grades["claim/training-loss"].verdict == "not run"


def test_cost_and_wall_time(tmp_path):
    for item, at, names in (("cost", 0, ("vgg16, bn", "vgg16, nd")), ("fig12", 1, ("bn", "nd"))):
        parts = parts_of(item, at)
        for name, top1, seconds in zip(names, (50.0, 70.0), (100.0, 120.0), strict=True):
            folder, losses = tmp_path / item / name.replace(" ", ""), (2.0, 1.0, 1.0)
            write_run(folder, parts[name].config, top1, seconds=seconds, losses=losses)
    work = reproduction(tmp_path / "out", [find_item("cost")], runs=tmp_path / "cost")
    (slow, *_) = work.states["cost"].grades
    assert (slow.subject, slow.verdict) == ("claim/slow-down", "same direction")  # one of eleven networks
    assert slow.measured == pytest.approx(20.0)
    work = reproduction(tmp_path / "out2", [find_item("fig12")], runs=tmp_path / "fig12")
    (speed,) = work.states["fig12"].grades
    assert (speed.verdict, speed.measured) == ("same direction", 20.0)  # ImageNet is not CIFAR-10


def test_features_wait_for_the_network_that_is_trained(tmp_path):
    item = find_item("fig11")
    trained, features = item.levels(SETTING)[2].parts
    work = reproduction(tmp_path / "out", [item], runs=tmp_path / "runs")
    assert work.kept.address(features) is None
    write_run(tmp_path / "runs" / "vgg", trained.config, 70.0)
    (tmp_path / "runs" / "vgg" / "last.safetensors").write_bytes(b"weights")
    work = reproduction(tmp_path / "out", [item], runs=tmp_path / "runs")
    ready = work.kept.ready(features)
    assert ready.config.checkpoint == str(tmp_path / "runs" / "vgg" / "last.safetensors")
    assert work.kept.address(features) is not None


@pytest.mark.usefixtures("unpainted")
def test_propositions_and_claims(tmp_path):
    work = reproduction(tmp_path / "out", [find_item("prop1"), find_item("fig6")], ids=("claims",), budget=10.0)
    assert work.asked == ("prop1", "fig6")
    work.run()
    (grade,) = work.states["prop1"].grades
    assert (grade.subject, grade.verdict) == ("claim/one-step-optimum", "agrees")
    assert work.states["fig6"].state == "over the budget"
    assert CLAIMS[grade.subject].decided_by == "prop1"


def test_runs_of_an_earlier_call_are_graded_as_the_published_recipe(tmp_path):
    """Here, in the folder of the reproduction, and not elsewhere."""
    name = EFFICIENT.format("bn", "1 epoch")
    part = parts_of("table1")[name]
    work = reproduction(tmp_path / "out", [find_item("table1")], runs=tmp_path / "none")
    if (address := work.kept.address(part)) is None:
        pytest.skip("CIFAR-10 is not here")
    write_run(work.store.runs / run_name(part.config, address), part.config, 35.4)
    state = reproduction(tmp_path / "out", [find_item("table1")], runs=tmp_path / "none").states["table1"]
    (grade,) = (grade for grade in state.grades if grade.subject == "table1/efficientnet_b0/cifar10/bn/1")
    assert grade.verdict == "agrees"
