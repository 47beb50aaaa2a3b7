"""A run that is interrupted anywhere, and goes on in new objects, has the same weights to the bit."""

import dataclasses

import pytest
import torch

from ndtools.errors import DataError, NumericalWarning, OptionError, OutputError
from ndtools.training.loop import Training
from ndtools.training.recipe import Recipe
from ndtools.training.state import TrainingState
from tests.training.networks import FORMS, small_data, small_network


def new_run(form="frozen", dropout=0.0, **settings):
    return Training(
        small_network(form, dropout), small_data(), Recipe(**{"epochs": 3, "batch_size": 20, "lr": 0.05} | settings)
    )


def without_time(record):
    return dataclasses.replace(record, seconds=0)


def assert_same(found, wanted):
    assert found.tensors.keys() == wanted.tensors.keys()
    for name, value in wanted.tensors.items():
        assert torch.equal(found.tensors[name], value), name
    for field in ("step", "epochs", "loss_sum", "right", "scaler"):
        assert getattr(found, field) == getattr(wanted, field)


def assert_resumes(path, places, *args, **settings):
    run = new_run(*args, **settings)
    records, states = [], [run.state()]
    for record in run.records():
        records.append(without_time(record))
        states.append(run.state())
    for place in places or range(len(states)):
        states[place].save(path)
        again = new_run(*args, **settings)
        again.restore(TrainingState.load(path))
        assert_same(again.state(), states[place])
        assert [without_time(record) for record in again.records()] == records[place:]
        assert_same(again.state(), states[-1])
    return records


@pytest.mark.parametrize("form", FORMS)
def test_a_run_goes_on_from_any_place(form, tmp_path):
    records = assert_resumes(tmp_path / "state.safetensors", (), form, 0.3)
    assert len(records) == 12


@pytest.mark.parametrize(
    "settings",
    [
        {"momentum": 0.0},
        {"channels_last": True},
        {"opt": "adam", "lr": 0.01},
        {"opt": "adamw", "lr": 0.01},
        {"opt": "muon", "channels_last": True},
        {"amp": "bf16", "loss": "l2", "smoothing": 0.1, "sched": "step", "warmup_epochs": 1.5},
    ],
)
def test_a_run_goes_on_with_any_recipe(settings, tmp_path):
    assert_resumes(tmp_path / "state.safetensors", (0, 2, 3, 4), **settings)


def test_a_state_does_not_change_with_the_run_and_a_loop_may_be_entered_again():
    run, other = new_run(), new_run()
    whole = [without_time(record) for record in other.records()]
    begun = []
    for record in run.records():
        begun.append(without_time(record))
        if record.step == 2:
            break
    state = run.state()
    kept = {name: value.clone() for name, value in state.tensors.items()}
    begun += [without_time(record) for record in run.records()]
    assert begun == whole
    assert all(torch.equal(state.tensors[name], value) for name, value in kept.items())


def test_a_longer_run_goes_on_from_a_shorter_one():
    short, whole = new_run(max_steps=4), new_run()
    records = [without_time(record) for record in whole.records()]
    states = []
    for _ in short.records():
        states.append(short.state())
    for state in states[-2:]:  # before and after the record of the epoch that the shorter run has begun
        longer = new_run()
        longer.restore(state)
        again = [without_time(record) for record in longer.records()]
        assert again == records[-len(again) :] and len(again) == len(records) - 5
        assert_same(longer.state(), whole.state())
    with pytest.raises(DataError, match="an earlier version wrote it, without the losses of that epoch"):
        new_run().restore(dataclasses.replace(states[-1], loss_sum=0.0, right=0))
    again = new_run(max_steps=4)
    again.restore(states[-1])
    assert list(again.records()) == []
    with pytest.raises(OptionError, match="max_steps: must be at least the 4 steps that are done, got 3"):
        new_run(max_steps=3).restore(states[-1])


@pytest.fixture
def state():
    run = new_run()
    for record in run.records():
        if record.step == 2:
            break
    return run.state()


@pytest.mark.parametrize("changed", [{"lr": 0.1}, {"batch_size": 10}, {"seed": 1}, {"epochs": 4}])
def test_another_recipe_is_refused(state, changed):
    with pytest.raises(OptionError, match=f"{next(iter(changed))}: must be .* as in the run that goes on"):
        new_run(**changed).restore(state)


def test_another_network_or_other_data_are_refused(state):
    with pytest.raises(DataError, match="another network: it differs in 0.weight"):
        Training(small_network("frozen", channels=1), small_data(channels=1), state.recipe).restore(state)
    with pytest.raises(DataError, match="another network: it differs in 0.bias"):
        Training(small_network("bn"), small_data(), state.recipe).restore(state)
    with pytest.raises(DataError, match="70 training images, got 71"):
        Training(small_network("frozen"), small_data(n_train=71), state.recipe).restore(state)


def test_another_number_of_threads_is_warned_of(state):
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        with pytest.warns(NumericalWarning, match=f"with threads {before + 1}, not {before}: its weights will differ"):
            new_run().restore(state)
    finally:
        torch.set_num_threads(before)


def test_a_file_that_is_damaged_is_refused(state, tmp_path):
    path = tmp_path / "state.safetensors"
    with pytest.raises(DataError, match="no such file"):
        TrainingState.load(path)
    state.save(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="not a safetensors file, or a damaged one"):
        TrainingState.load(path)
    for wrong, right in (
        (b'\\"lr\\": 0.05', b'\\"lr\\": null'),
        (b'\\"step\\"', b'\\"stop\\"'),
        (b"-training", b"-somethin"),
    ):
        assert len(wrong) == len(right)
        assert wrong in content
        path.write_bytes(content.replace(wrong, right))
        with pytest.raises(DataError, match="not the state of a training run of this version"):
            TrainingState.load(path)


def test_a_state_that_cannot_be_written_leaves_the_one_before(state, tmp_path, monkeypatch):
    path = tmp_path / "state.safetensors"
    state.save(path)
    before = path.read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OutputError, match="No space left on device"):
        dataclasses.replace(state, step=3).save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
