"""Two processes at half the batch are one process: the same losses, accuracies and weights, up to rounding."""

import dataclasses
import os
import socket
import weakref

import pytest
import torch
import torch.distributed as dist
from torch import nn

from ndtools.errors import DataError, OptionError
from ndtools.layers.config import DeconvConfig
from ndtools.models.factories import batch_norm, deconv
from ndtools.models.norms import arm
from ndtools.training.data import TrainingData
from ndtools.training.loop import Training
from ndtools.training.processes import average, joined, synchronised
from ndtools.training.recipe import Recipe
from ndtools.training.segmentation import IGNORED, Segmentation
from tests.training.networks import small_network, small_set

FORMS = {
    "bn": batch_norm(),
    "deconv": deconv(DeconvConfig(block_size=4, sampling_stride=1), first=DeconvConfig(freeze_after=3)),
    "reference": deconv(DeconvConfig.reference(block_size=4)),
    "iternorm": arm("iternorm", "vgg11"),
}


class DoubleData(TrainingData):
    """Images in double precision, so that rounding is far below any mistake."""

    def normalised(self, images):
        return super().normalised(images).double()


def new_run(form, batch_size, **settings):
    data = TrainingData.of(small_set())
    data = DoubleData(**{field.name: getattr(data, field.name) for field in dataclasses.fields(data)})
    recipe = Recipe(epochs=2, batch_size=batch_size, lr=0.05, **settings)
    return Training(small_network(FORMS[form]).double(), data, recipe)


def results(form, batch_size):
    """Train, stop in the middle and go on; return what happened."""
    run = new_run(form, batch_size)
    begun = []
    for record in run.records():
        begun.append(record)
        if record.step == 4:
            break
    again = new_run(form, batch_size)
    again.restore(run.state())
    begun += again.records()
    numbers = [dataclasses.astuple(dataclasses.replace(record, seconds=0)) for record in begun]
    return {"numbers": numbers, "state": again.state()}


def the_other(_, folder, port):
    torch.set_num_threads(1)
    one_of_two(1, folder, port)


def environment(rank, port):
    """What torchrun tells a process."""
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_PORT": port}
    return {"MASTER_ADDR": "127.0.0.1", **{name: str(number) for name, number in numbers.items()}}


def one_of_two(rank, folder, port):
    os.environ |= environment(rank, port)
    with joined(torch.device("cpu")) as device:
        assert device.type == "cpu"
        group = weakref.ref(dist.group.WORLD)
        for form in FORMS:
            torch.save(results(form, 10), f"{folder}/{form}{rank}.pt")
        torch.save(with_other_weights(rank), f"{folder}/weights{rank}.pt")
        torch.save(unequal(rank), f"{folder}/unequal{rank}.pt")
        torch.save(pixels(slice(rank, rank + 1)), f"{folder}/pixels{rank}.pt")
        torch.save(with_other_processes(), f"{folder}/refused{rank}.pt")
    assert not dist.is_initialized()
    assert group() is None  # and with it its threads, which abort the process where they outlive the interpreter


def with_other_weights(rank):
    """Weights at the beginning, though the processes have drawn others."""
    model = small_network("bn")
    with torch.no_grad():
        model[0].weight.add_(rank)
    return Training(model, TrainingData.of(small_set()), Recipe(batch_size=10)).state().tensors


def with_other_processes():
    """Message of a run that goes on with the state of one of another number of processes."""
    run = new_run("bn", 10)
    state = run.state()
    with pytest.raises(DataError) as error:
        run.restore(dataclasses.replace(state, surroundings={**state.surroundings, "processes": "1"}))
    return str(error.value)


def pixels(share):
    """Mean loss of label maps, of which the first has few labels, and its gradient in a common weight."""
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(2, 2, 4, 3, 5, dtype=torch.float64, generator=generator)
    labels = torch.randint(4, (2, 3, 5), generator=generator)
    labels[0, :, 1:] = IGNORED
    weight = torch.ones((), dtype=torch.float64, requires_grad=True)
    loss = Segmentation(4).loss(tuple(weight * each[share] for each in logits), labels[share], Recipe(smoothing=0.1))
    loss.backward()
    means = [loss.detach().clone(), weight.grad]
    average(means)
    return means


def batch():
    return torch.randn(7, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def unequal(rank):
    """Batch normalisation of unequal shares, with cumulative averages and without scale and shift."""
    layer = nn.BatchNorm1d(3, momentum=None, affine=False).double()
    for _ in range(2):
        with synchronised(layer):
            out = layer(batch()[:2] if rank == 0 else batch()[2:])
    assert "forward" not in vars(layer)
    return {"out": out, **layer.state_dict()}


@pytest.mark.skipif(not dist.is_available(), reason="this torch has no torch.distributed")
def test_two_processes_are_one(tmp_path, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name, value in environment(0, port).items():
        monkeypatch.setenv(name, value)  # to be taken back
    other = torch.multiprocessing.spawn(the_other, (str(tmp_path), port), nprocs=1, join=False)
    one_of_two(0, str(tmp_path), port)
    while not other.join():
        pass
    for form in FORMS:
        wanted = results(form, 20)
        for rank in (0, 1):
            found = torch.load(tmp_path / f"{form}{rank}.pt", weights_only=False)
            assert len(found["numbers"]) == len(wanted["numbers"]) == 8
            for ours, theirs in zip(found["numbers"], wanted["numbers"], strict=True):
                assert _known(ours) == pytest.approx(_known(theirs), rel=1e-9), form
            assert (found["state"].step, found["state"].right) == (6, 0)
            for name, value in wanted["state"].tensors.items():
                torch.testing.assert_close(
                    found["state"].tensors[name], value, rtol=1e-8, atol=1e-10, msg=f"{form} {name}"
                )
    one, other = (torch.load(tmp_path / f"weights{rank}.pt", weights_only=True) for rank in (0, 1))
    assert all(torch.equal(one[name], other[name]) for name in one)
    for rank in (0, 1):
        found = torch.load(tmp_path / f"pixels{rank}.pt", weights_only=True)
        torch.testing.assert_close(found, pixels(slice(None)), rtol=1e-12, atol=0)
        refused = torch.load(tmp_path / f"refused{rank}.pt", weights_only=True)
        assert refused.endswith("would have 10 images no longer, but 20; go on with 1 process")
    layer = nn.BatchNorm1d(3, momentum=None, affine=False).double()
    for _ in range(2):
        whole = layer(batch())
    for rank, share in ((0, slice(2)), (1, slice(2, None))):
        found = torch.load(tmp_path / f"unequal{rank}.pt", weights_only=True)
        torch.testing.assert_close(found["out"], whole[share], rtol=1e-10, atol=1e-12)
        for name, value in layer.state_dict().items():
            torch.testing.assert_close(found[name], value, rtol=1e-10, atol=1e-12)


def test_each_process_needs_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for name, value in environment(1, 0).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(OptionError, match="a GPU for each process: process 2 finds 1"), joined(torch.device("cuda")):
        pass


def test_without_torchrun_the_device_is_the_one_asked_for():
    with joined(torch.device("cpu")) as device:
        assert device == torch.device("cpu")
    assert not dist.is_initialized()


def _known(numbers):
    """Return the numbers of a record that it has."""
    return [number for number in numbers if number is not None]
