"""The loop: its steps are those of the textbook, its records say what happened, and it disturbs nothing else."""

import dataclasses
import time

import pytest
import torch

from ndtools.data.labelled.dataset import Split
from ndtools.errors import OptionError
from ndtools.models.norms import prepare
from ndtools.training.loop import Training
from ndtools.training.recipe import Recipe
from ndtools.training.records import EpochRecord, StepRecord
from tests.training.networks import FORMS, small_data, small_network


def recipe(**settings):
    return Recipe(**{"epochs": 2, "batch_size": 20, "lr": 0.05} | settings)


def trained(form="bn", *, data=None, dropout=0.0, **settings):
    training = Training(small_network(form, dropout), data or small_data(), recipe(**settings))
    return training, list(training.records())


def steps(records):
    return [record for record in records if isinstance(record, StepRecord)]


def epochs(records):
    return [record for record in records if isinstance(record, EpochRecord)]


def by_hand(form, data, settings):
    """Losses of all steps and accuracies after each epoch, with the optimiser and the loss written out."""
    training = Training(small_network(form), data, settings)  # which only makes the batches
    model = small_network(form)
    prepare(model, data.normalised(data.train.images))
    velocity = [torch.zeros_like(p) for p in model.parameters()]
    losses, shares, right = [], [], []
    for step in range(training.steps):
        images, labels = training.batches[step]
        model.train()
        logits = model(images)
        loss = -logits.log_softmax(1)[torch.arange(len(labels)), labels].mean()
        model.zero_grad()
        loss.backward()
        losses.append(loss.item())
        right += (logits.argmax(1) == labels).tolist()
        with torch.no_grad():
            for p, v in zip(model.parameters(), velocity, strict=True):
                v.mul_(settings.momentum).add_(p.grad + settings.weight_decay * p)
                p.sub_(settings.lr * v)
            if (step + 1) % training.per_epoch == 0:
                model.eval()
                logits = model((data.test.images.float() / 255 - data.mean) / data.std)
                loss = -logits.log_softmax(1)[torch.arange(20), data.test.labels].mean()
                correct = (logits.argmax(1) == data.test.labels).double().mean()
                shares.append((100 * sum(right) / len(right), loss.item(), 100 * correct.item()))
                right = []
    return losses, shares


@pytest.mark.parametrize("form", FORMS)
def test_steps_are_those_of_momentum_with_weight_decay(form):
    data, settings = small_data(), recipe(sched="constant", momentum=0.8, weight_decay=1e-2, epochs=3)
    losses, shares = by_hand(form, data, settings)
    training = Training(small_network(form), data, settings)
    records = list(training.records())
    assert [record.loss for record in steps(records)] == pytest.approx(losses, rel=1e-4)
    for record, (train_top1, eval_loss, eval_top1) in zip(epochs(records), shares, strict=True):
        assert record.train_top1 == pytest.approx(train_top1)
        assert record.eval_loss == pytest.approx(eval_loss, rel=1e-3)
        assert record.eval_top1 == pytest.approx(eval_top1)


def test_records_say_what_happened():
    training, records = trained()
    assert (training.per_epoch, training.steps, training.step) == (3, 6, 6)
    assert [type(r) for r in records] == ([StepRecord] * 3 + [EpochRecord]) * 2
    assert [r.step for r in records] == [1, 2, 3, 3, 4, 5, 6, 6]
    assert [r.epoch for r in steps(records)] == pytest.approx([1 / 3, 2 / 3, 1, 4 / 3, 5 / 3, 2])
    assert [r.epoch for r in epochs(records)] == [1, 2]
    assert {r.images for r in steps(records)} == {20}
    for number, record in enumerate(epochs(records)):
        own = steps(records)[3 * number : 3 * number + 3]
        assert record.train_loss == pytest.approx(sum(r.loss for r in own) / 3)
        assert record.lr == own[-1].lr
        assert record.seconds >= own[-1].seconds
    rates = [r.lr for r in steps(records)]
    assert rates[0] == 0.05
    assert rates == sorted(rates, reverse=True)
    seconds = [r.seconds for r in records]
    assert seconds == sorted(seconds)
    assert list(training.records()) == []


def test_a_run_that_ends_within_an_epoch_still_has_its_record():
    _, records = trained(max_steps=4)
    assert [r.step for r in records] == [1, 2, 3, 3, 4, 4]
    whole = trained()[1]
    assert [r.loss for r in steps(records)] == [r.loss for r in steps(whole)][:4]  # the schedule is that of all epochs
    assert records[-1].epoch == 2
    assert records[-1].train_loss == records[-2].loss
    assert [r.step for r in trained(max_steps=3)[1]] == [1, 2, 3, 3]
    assert [r.step for r in trained(max_steps=99)[1]] == [r.step for r in whole]


def test_the_run_is_reproducible_with_dropout_and_leaves_the_random_state_alone():
    before = torch.get_rng_state()
    one = trained(dropout=0.5)[1]
    assert torch.equal(before, torch.get_rng_state())
    torch.rand(7)
    assert [r.loss for r in steps(trained(dropout=0.5)[1])] == [r.loss for r in steps(one)]
    assert [r.loss for r in steps(trained(dropout=0.5, seed=1)[1])] != [r.loss for r in steps(one)]
    assert [r.loss for r in steps(trained()[1])] != [r.loss for r in steps(one)]


def test_pauses_and_evaluation_do_not_count_as_training(monkeypatch):
    now = 0.0

    def passes(seconds):
        nonlocal now
        now += seconds

    monkeypatch.setattr(time, "perf_counter", lambda: now)
    training = Training(small_network(), small_data(), recipe())
    training.model.register_forward_hook(lambda model, *_: passes(1.0 if model.training else 1000.0))
    seconds = []
    for record in training.records():
        seconds.append(record.seconds)
        passes(100.0)
    assert seconds == [1, 2, 3, 3, 4, 5, 6, 6]
    assert training.state().seconds == 6


def test_evaluation_weighs_all_images_equally_and_counts_overflow_as_wrong():
    data = small_data(n_test=2500)
    training = Training(small_network(), data, recipe())
    found = training.evaluate("test")
    logits = training.model(data.normalised(data.test.images))
    wanted = torch.nn.functional.cross_entropy(logits, data.test.labels)
    assert found.loss == pytest.approx(wanted.item(), rel=1e-5)
    right = logits.argmax(1) == data.test.labels
    assert found.top1 == pytest.approx(100 * right.double().mean().item())
    training.data = dataclasses.replace(data, test=Split(data.test.images[right], data.test.labels[right]))
    assert training.evaluate("test").top1 == 100
    with torch.no_grad():
        training.model[-1].bias[0] = torch.inf
    assert training.evaluate("test").top1 == 0


def test_a_whitening_that_is_kept_is_that_of_the_training_images():
    data = small_data(n_train=4500)
    network, expected = small_network("first-whitened"), small_network("first-whitened")
    Training(network, data, recipe())
    prepare(expected, data.normalised(data.train.images[::3]))
    assert network[0].whitening.frozen
    torch.testing.assert_close(network[0].whitening.state_dict(), expected[0].whitening.state_dict())


def test_half_precision_of_16_bits_needs_a_gpu():
    with pytest.raises(OptionError, match="amp: must be off or bf16 on the device cpu"):
        Training(small_network(), small_data(), recipe(amp="fp16"))


def test_channels_last_is_the_same_computation_in_another_layout():
    seen = []
    training = Training(small_network(), small_data(), recipe(channels_last=True))
    training.model[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    found = [r.loss for r in steps(training.records())]
    assert training.model[4].weight.is_contiguous(memory_format=torch.channels_last)
    assert all(x.is_contiguous(memory_format=torch.channels_last) for x in seen)
    assert found == pytest.approx([r.loss for r in steps(trained()[1])], rel=1e-4)


def test_autocast_reaches_training_and_evaluation_but_not_the_loss():
    seen = []
    training = Training(small_network(), small_data(), recipe(amp="bf16"))
    training.model[4].register_forward_hook(lambda module, _, out: seen.append((module.training, out.dtype)))
    records = list(training.records())
    assert set(seen) == {(True, torch.bfloat16), (False, torch.bfloat16)}
    wanted = trained()[1]
    # bfloat16 keeps 8 bits; a network of two layers does not lose more than another two.
    assert [r.loss for r in steps(records)] == pytest.approx([r.loss for r in steps(wanted)], rel=2**-6)
    assert [r.loss for r in steps(records)] != [r.loss for r in steps(wanted)]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:The .grad attribute:UserWarning")  # of the compiler
def test_the_compiled_network_is_what_is_trained(monkeypatch):
    compiled = []

    def without_generated_code(model):
        compiled.append(model)
        return real(model, backend="eager")

    real = torch.compile
    monkeypatch.setattr(torch, "compile", without_generated_code)
    training, records = trained("frozen", compile=True)
    assert compiled == [training.model]
    assert not any("_orig_mod" in name for name in training.state().tensors)
    assert [r.loss for r in steps(records)] == pytest.approx([r.loss for r in steps(trained("frozen")[1])], rel=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("settings", [{}, {"amp": "fp16", "channels_last": True}, {"amp": "bf16", "opt": "muon"}])
def test_a_gpu_gives_the_same_bits_when_a_run_goes_on(settings):
    def new_run():
        return Training(small_network("frozen", 0.3), small_data().to("cuda"), recipe(epochs=4, **settings))

    one = new_run()
    states = [one.state()] + [one.state() for _ in one.records()]
    for state in states[::3]:
        other = new_run()
        other.restore(state)
        list(other.records())
        for name, value in states[-1].tensors.items():
            assert torch.equal(other.state().tensors[name], value), name
