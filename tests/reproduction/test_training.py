"""Training parts: made in the folder of the reproduction, gone on with, and taken up from elsewhere."""

import os
import signal
from dataclasses import replace

import pytest

from ndtools.experiments.train.config import TrainConfig
from ndtools.reproduction.grading import grade_claim
from ndtools.reproduction.item import Item, Level, Part
from ndtools.results.run_folder import RunFolder
from ndtools.runs.run import run as train
from tests.reproduction.small_items import reproduction

pytestmark = pytest.mark.usefixtures("unpainted")

CONFIG = TrainConfig("glyphs", arch="simple_cnn", norm="bn", images=64, batch_size=32, epochs=2, lr=0.01, jobs=1)


def training_item(config=CONFIG, work=5.0):
    part = Part(name="bn, seed 0", experiment="train", config=config, work=work)
    level = Level(title="tiny", parts=(part,), full=False, concludes="None.", not_concluded="All.")

    def grade(level, results):
        top1 = results["bn, seed 0"].result["last"]["test_top1"]
        return [grade_claim("claim/x", [True], full=False, measured=top1, reason="It ran.", conditions="tiny")]

    return Item(
        id="t", title="t", where="nowhere", needs=(), subjects=("claim/x",), levels=lambda _: [level], grade=grade
    )


def final_weights(path):
    return (path / "last.safetensors").read_bytes()


def test_stopped_gone_on_with_and_equal_to_a_run_of_the_command(tmp_path):
    out = tmp_path / "out"
    works = []

    def stop_at_the_first_step():
        if works and ", step 1" in works[0].now:
            os.kill(os.getpid(), signal.SIGINT)

    works.append(reproduction(out, [training_item()], changed=stop_at_the_first_step))
    (work,) = works
    with pytest.raises(KeyboardInterrupt):
        work.run()
    (state,) = work.states["t"].parts
    assert state.state == "interrupted"
    folder = out / "runs" / f"glyphs-simple_cnn-bn-{state.address}"
    assert 0 < len(RunFolder.open(folder).read().steps["step"]) < 4
    work = reproduction(out, [training_item()])
    assert work.states["t"].parts[0].state == "interrupted"
    work.run()
    (state,) = work.states["t"].parts
    assert (state.state, state.reason) == ("done", None)
    assert state.result == f"runs/{folder.name}"
    assert state.seconds > 0
    assert work.states["t"].grades[0].measured == RunFolder.open(folder).read().result["last"]["test_top1"]
    whole = train(CONFIG, tmp_path / "whole")
    assert final_weights(folder) == final_weights(tmp_path / "whole" / whole.name)


@pytest.mark.parametrize(
    ("changes", "taken"),
    [({}, True), ({"jobs": None, "device": "cpu"}, True), ({"seed": 1}, False), ({"images": 32}, False)],
)
def test_runs_elsewhere_are_taken_up_if_equal(tmp_path, changes, taken):
    runs = tmp_path / "runs"
    train(replace(CONFIG, epochs=1), runs, name="before")
    item = training_item(replace(CONFIG, epochs=1, **changes))
    work = reproduction(tmp_path / "out", [item], runs=runs)
    assert work.states["t"].state == ("done" if taken else "can run reduced")
    if taken:
        (state,) = work.states["t"].parts
        assert "taken up from" in state.reason
        assert state.result == str(runs / "before")
        work.run()
        assert not (tmp_path / "out" / "runs").exists()
    (runs / "before" / "result.json").unlink()  # as while it is still running
    assert reproduction(tmp_path / "out", [item], runs=runs).states["t"].state == "can run reduced"


def test_a_run_of_other_code_is_kept_and_called_so(tmp_path, monkeypatch):
    item = training_item(replace(CONFIG, epochs=1))
    reproduction(tmp_path / "out", [item]).run()
    (state,) = reproduction(tmp_path / "out", [item]).states["t"].parts
    assert (state.state, state.reason) == ("done", None)
    monkeypatch.setattr("ndtools.reproduction.training.code_of", lambda _: "other code")
    (state,) = reproduction(tmp_path / "out", [item]).states["t"].parts
    assert state.state == "done"
    assert "the code has changed" in state.reason


def test_a_run_of_another_configuration_in_its_place_is_not_taken_up(tmp_path):
    item = training_item(replace(CONFIG, epochs=1))
    work = reproduction(tmp_path / "out", [item])
    name = f"glyphs-simple_cnn-bn-{work.kept.address(item.levels(None)[0].parts[0])}"
    train(replace(CONFIG, epochs=1, seed=5), tmp_path / "out" / "runs", name=name)
    work = reproduction(tmp_path / "out", [item])
    assert work.states["t"].state != "done"
    work.run()
    assert work.states["t"].state == "failed"
    assert "another configuration; move it away" in work.states["t"].reason


def test_a_run_ends_with_the_budget_and_goes_on_with_the_next(tmp_path, monkeypatch):
    out, now = tmp_path / "out", [0.0]
    monkeypatch.setattr("ndtools.reproduction.run.time.monotonic", lambda: now[0])
    works = []

    def let_a_minute_pass_in_each_step():
        if works and ", step " in works[0].now:
            now[0] += 60.0

    works.append(reproduction(out, [training_item()], budget=100.0, changed=let_a_minute_pass_in_each_step))
    works[0].run()
    state = works[0].states["t"]
    (part,) = state.parts
    assert (state.state, part.state) == ("partly", "interrupted")
    assert part.reason == "50 % of the training is done; the next call goes on with it"
    run = RunFolder.open(out / "runs" / f"glyphs-simple_cnn-bn-{part.address}").read()
    assert list(run.steps["step"]) == [1, 2]
    assert part.estimate == pytest.approx(run.steps["seconds"][-1])  # the other half, at the pace of the first
    now[0] = 0.0
    work = reproduction(out, [training_item()], budget=100.0)
    work.run()
    assert work.states["t"].state == "done"
    whole = train(CONFIG, tmp_path / "whole")
    folder = out / "runs" / f"glyphs-simple_cnn-bn-{part.address}"
    assert final_weights(folder) == final_weights(tmp_path / "whole" / whole.name)


def test_a_run_that_was_made_for_another_item_is_graded_at_once(tmp_path):
    whole, small = replace(CONFIG, epochs=1), replace(CONFIG, epochs=1, images=32)
    (long,) = training_item(whole, 500.0).levels(None)
    quick = replace(long, title="quick", parts=(Part(name="bn, seed 0", experiment="train", config=small, work=100.0),))
    both = replace(training_item(whole, 500.0), id="both", levels=lambda _: [long, quick])
    work = reproduction(tmp_path / "out", [both, replace(training_item(whole, 500.0), id="one")], budget=800.0)
    work.run()
    first, second = work.states.values()
    assert (first.level.title, second.level.title) == ("quick", "tiny")
    assert first.grades[0].measured == second.grades[0].measured
    again = reproduction(tmp_path / "out", [both, replace(training_item(whole, 500.0), id="one")], budget=800.0)
    assert again.states["both"].grades == first.grades
