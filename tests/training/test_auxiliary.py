"""Training for label maps: the rate of the auxiliary classifier, and runs that go on."""

import dataclasses
import json

import pytest
import torch

from ndtools.data.labelled.streamed import load_streamed
from ndtools.data.labelled.views import Scenes
from ndtools.models.catalogue import CATALOGUE, build
from ndtools.training.loop import Training
from ndtools.training.optimisers import optimiser_of
from ndtools.training.recipe import Recipe
from ndtools.training.schedules import learning_rate
from ndtools.training.segmentation import Segmentation
from ndtools.training.state import TrainingState
from ndtools.training.streams import StreamedData
from tests.data.labelled.streamed_files import camvid
from tests.tiny_scenes import ENTRY


@pytest.fixture
def new_run(tmp_path, monkeypatch):
    monkeypatch.setitem(CATALOGUE, "tiny_scenes", ENTRY)
    found = load_streamed(camvid(tmp_path / "camvid", (("train", 8), ("val", 3))))
    data = StreamedData(found, Scenes(crop=16))

    def make(norm="bn", auxiliary_lr=10.0, **settings):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            network = build("tiny_scenes", norm, num_classes=11)
        recipe = {"epochs": 2, "batch_size": 2, "lr": 0.02, "sched": "poly", "weight_decay": 1e-3}
        return Training(network, data, Recipe(**recipe | settings), Segmentation(11, auxiliary_lr=auxiliary_lr))

    return make


@pytest.mark.parametrize("factor", [10.0, 0.3])
@pytest.mark.parametrize("opt", ["sgd", "adam", "adamw", "muon"])
def test_the_auxiliary_classifier_takes_steps_as_at_another_rate(opt, factor, new_run):
    def weights_after_a_step(**settings):
        run = new_run(opt=opt, **settings)
        next(run.records())
        return {name: p.detach() for name, p in run.model.named_parameters()}

    found = weights_after_a_step(auxiliary_lr=factor)
    slow = weights_after_a_step(auxiliary_lr=1.0)
    fast = weights_after_a_step(auxiliary_lr=1.0, lr=0.02 * factor)
    for name, value in found.items():
        wanted = fast if name.startswith("auxiliary.") else slow
        # The rates are those of one step up to the rounding of lr * factor.
        torch.testing.assert_close(value, wanted[name], rtol=1e-5, atol=1e-7, msg=name)
    assert any(not torch.equal(slow[name], fast[name]) for name in found if name.startswith("auxiliary."))


def test_no_classifier_is_made_orthogonal(new_run):
    network = new_run().model
    optimiser = optimiser_of(network, Recipe(opt="muon"), {"auxiliary": 10.0})
    orthogonal = {id(p) for group in optimiser.param_groups if group["orthogonal"] for p in group["params"]}
    names = {name for name, p in network.named_parameters() if id(p) in orthogonal}
    wanted = ("backbone.conv1", "backbone.conv2", "head.unit.conv", "auxiliary.unit.conv")
    assert names == {f"{name}.weight" for name in wanted}
    every = [id(p) for group in optimiser.param_groups for p in group["params"]]
    assert sorted(every) == sorted(map(id, network.parameters()))


@pytest.mark.filterwarnings("ignore:[0-9]+ samples for")
@pytest.mark.parametrize(("norm", "opt"), [("deconv", "sgd"), ("bn", "adam"), ("bn", "muon")])
def test_a_run_goes_on_from_any_place(norm, opt, new_run, tmp_path):
    run, path = new_run(norm, opt=opt), tmp_path / "state.safetensors"
    records, states = [], [run.state()]
    for record in run.records():
        records.append(dataclasses.replace(record, seconds=0))
        states.append(run.state())
    assert len(records) == 10
    assert records[-1].eval_mean_iou is not None
    for place in (0, 1, 3, 4, 5, 8):
        states[place].save(path)
        again = new_run(norm, opt=opt)
        again.restore(TrainingState.load(path))
        assert [dataclasses.replace(record, seconds=0) for record in again.records()] == records[place:]
        ends = again.state().tensors
        assert all(torch.equal(ends[name], value) for name, value in states[-1].tensors.items())
        factors = {group.get("factor", 1.0): group["lr"] for group in again._optimiser.param_groups}
        assert factors[10.0] == pytest.approx(10 * factors[1.0])


def test_states_of_an_earlier_version_go_on(new_run, tmp_path):
    """They do not say how many decisions of the epoch were counted; those were all images."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    from tests.training.networks import small_data, small_network

    def classifier():
        return Training(small_network("bn"), small_data(), Recipe(epochs=2, batch_size=20, lr=0.05))

    run, path = classifier(), tmp_path / "state.safetensors"
    records = []
    for record in run.records():
        records.append(dataclasses.replace(record, seconds=0))
        if record.step == 2 and len(records) == 2:
            run.state().save(path)
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no dict)
        numbers = json.loads(file.metadata()["ndtools-training"])
    assert numbers.pop("counted") == 40
    save_file(tensors, path, metadata={"ndtools-training": json.dumps(numbers)})
    again = classifier()
    again.restore(TrainingState.load(path))
    assert [dataclasses.replace(record, seconds=0) for record in again.records()] == records[2:]


@pytest.mark.parametrize("warmup", [0.0, 0.5])
def test_the_polynomial_schedule(warmup):
    recipe, per_epoch = Recipe(epochs=3, lr=0.02, sched="poly", warmup_epochs=warmup), 8
    first = int(warmup * per_epoch)
    rates = [learning_rate(recipe, step, per_epoch) for step in range(25)]
    assert rates[:first] == pytest.approx([0.02 * (step + 1) / 4 for step in range(first)])
    left = 24 - first
    assert rates[first:] == pytest.approx([0.02 * ((left - i) / left) ** 0.9 for i in range(left + 1)])
    assert rates[first] == 0.02
