"""The perceptron: what its arms are, that they see the same, and that rates are chosen as said."""

import numpy as np
import pytest
import torch
from torch import nn

from ndtools.data.labelled.datasets import load_dataset
from ndtools.errors import DataError, OptionError
from ndtools.experiments.mlp.config import MlpConfig
from ndtools.experiments.mlp.result import MlpArm
from ndtools.experiments.mlp.run import build_mlp, recipe_of, run, unprocessed
from ndtools.layers.config import DeconvConfig
from ndtools.layers.linear import DeconvLinear
from ndtools.training.batches import Batches
from tests.places import real
from tests.small_set import write_small_set


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(write_small_set(tmp_path_factory.mktemp("set") / "blobs"))


def config_of(folder, **settings):
    return MlpConfig(**{"dataset": folder, "hidden": (8, 8), "epochs": 2, "batch_size": 50, "repeats": 2} | settings)


@pytest.mark.parametrize(
    ("arm", "kinds"),
    [
        ("none", [nn.Linear, nn.Sigmoid] * 3 + [nn.Linear]),
        ("bn", [nn.Linear, nn.BatchNorm1d, nn.Sigmoid] * 3 + [nn.Linear]),
        ("deconv", [DeconvLinear, nn.Sigmoid] * 3 + [DeconvLinear]),
    ],
)
def test_the_networks_of_the_arms(arm, kinds):
    model = build_mlp((784, 128, 128, 128, 10), arm, DeconvConfig())
    assert [type(layer) for layer in model] == kinds
    assert sum(p.numel() for p in model.parameters()) == 134_794 + (2 * 3 * 128 if arm == "bn" else 0)


def test_arms_start_with_the_same_weights():
    weights = []
    for arm in ("none", "bn", "deconv"):
        torch.manual_seed(0)
        model = build_mlp((6, 5, 4, 3), arm, DeconvConfig())
        weights.append([p.detach() for p in model.parameters() if p.dim() == 2])
    for one, *others in zip(*weights, strict=True):
        assert all(torch.equal(one, other) for other in others)


def test_curves_have_the_shape_asked_for_and_the_run_is_reproducible(folder):
    config = config_of(folder)
    counted = []
    result = run(config, progress=lambda done, total: counted.append((done, total)))
    assert counted == [(i, 12) for i in range(1, 13)]
    assert [arm.name for arm in result.arms] == ["none", "bn", "deconv"]
    for arm, again in zip(result.arms, run(config).arms, strict=True):
        assert arm.loss.shape == (2, 2, 6)
        assert arm.test_accuracy.shape == (2, 2)
        np.testing.assert_array_equal(arm.loss, again.loss)
        assert (arm.loss[0] != arm.loss[1]).any()
        assert arm.loss[:, 0, 0] == pytest.approx(np.log(3), rel=0.5)
    numbers = result.numbers()["arms"][2]
    assert np.array(numbers["train_loss"]).shape == (2, 2)


def by_hand(arm, folder, config):
    """The losses and accuracies of the first repeat, with torch's own optimiser left out."""
    data = unprocessed(load_dataset(folder))
    torch.manual_seed(config.seed + 1)
    model = build_mlp(
        (25, *config.hidden, 3), arm, DeconvConfig(block_size=config.block_size, n_iter=config.n_iter, eps=config.eps)
    )
    velocity = [torch.zeros_like(p) for p in model.parameters()]
    losses, accuracies = [], []
    batches = Batches(data, recipe_of(config, config.batch_size, config.lr[0], config.seed + 1))
    tested, wanted = data.test.images.flatten(1).float() / 255, data.test.labels
    for step in range(1, 6 * config.epochs + 1):
        images, labels = batches[step - 1]
        rows = images.flatten(1)
        model.train()
        log_likelihood = model(rows).log_softmax(1)[torch.arange(len(rows)), labels]
        model.zero_grad()
        (-log_likelihood.mean()).backward()
        losses.append(-log_likelihood.mean().item())
        with torch.no_grad():
            for p, v in zip(model.parameters(), velocity, strict=True):
                v.mul_(config.momentum).add_(p.grad)
                p.sub_(config.lr[0] * v)
            if step % 6 == 0:
                model.eval()
                accuracies.append((model(tested).argmax(1) == wanted).double().mean().item())
    return losses, accuracies


@pytest.mark.parametrize("arm", ["none", "bn", "deconv"])
def test_arms_learn_by_momentum_from_the_same_batches(folder, arm):
    config = config_of(folder, repeats=1, epochs=3, lr=(0.3,), momentum=0.7, n_iter=4, eps=1e-2, block_size=5, seed=3)
    (found,) = (each for each in run(config).arms if each.name == arm)
    losses, accuracies = by_hand(arm, folder, config)
    np.testing.assert_allclose(found.loss.ravel(), losses, rtol=1e-4)
    np.testing.assert_allclose(found.test_accuracy[0], accuracies)


def test_batches_are_pixels_in_order(folder):
    dataset = load_dataset(folder)
    images, labels = Batches(unprocessed(dataset), recipe_of(config_of(folder), 50, 0.5, 3))[0]
    known = (dataset.train.images.float() / 255).flatten(1)
    place = (images.flatten(1)[:, None] == known).all(2).int().argmax(1)
    assert torch.equal(images.flatten(1), known[place])
    assert torch.equal(labels, dataset.train.labels[place])


def test_a_run_that_diverges_is_kept_and_loses_the_choice(folder, monkeypatch):
    def spoiled(widths, arm, config):
        model = build_mlp(widths, arm, config)
        if arm == "bn":
            model[-1].weight.data.fill_(torch.inf)
        return model

    monkeypatch.setattr("ndtools.experiments.mlp.run.build_mlp", spoiled)
    counted = []
    result = run(config_of(folder, lr=(0.1, 0.5)), progress=lambda done, total: counted.append((done, total)))
    assert counted[-1] == (24, 24)
    none, bn, _ = result.arms
    assert set(bn.tried.values()) == {np.inf}
    assert np.isnan(bn.loss).all()
    assert not bn.test_accuracy.any()
    assert np.isfinite(none.loss).all()


def test_best_rates_at_the_edge_are_marked(folder):
    edge, inner = (MlpArm("bn", lr, {0.1: 2.0, 0.5: 1.0, 1.0: 3.0}, None, None, 1.0) for lr in (0.1, 0.5))
    assert edge.at_the_edge
    assert not inner.at_the_edge


def test_one_image_is_no_batch(tmp_path):
    with pytest.raises(DataError, match="one training image only"):
        run(config_of(str(write_small_set(tmp_path / "set", n_train=1, classes=1))))


def test_each_arm_keeps_to_its_best_rate(folder):
    result = run(config_of(folder, lr=(1e-6, 0.5), repeats=1))
    for arm in result.arms:
        assert set(arm.tried) == {1e-6, 0.5}
        assert arm.lr == min(arm.tried, key=arm.tried.get)
    assert result.arms[2].lr == 0.5


def test_the_runs_that_choose_a_rate_are_not_among_the_repeats(folder):
    result = run(config_of(folder, lr=(0.2, 0.5), seed=4))
    for i, arm in enumerate(result.arms):
        # Those of the repeats are what they are without a choice, and the loss of the choice is that of none of them.
        np.testing.assert_array_equal(arm.loss, run(config_of(folder, lr=(arm.lr,), seed=4)).arms[i].loss)
        chosen_with = run(config_of(folder, lr=(arm.lr,), seed=3, repeats=1)).arms[i].loss[0, -1].mean()
        assert arm.tried[arm.lr] == chosen_with
        assert arm.tried[arm.lr] not in arm.loss[:, -1].mean(1)


def test_one_rate_is_compared_with_none(folder):
    counted = []
    result = run(config_of(folder, repeats=1), progress=lambda done, total: counted.append((done, total)))
    assert counted[-1] == (6, 6)
    assert [arm.tried for arm in result.arms] == [{}, {}, {}]
    assert not any(arm.at_the_edge for arm in result.arms)


def test_it_leaves_the_random_state_alone(folder):
    before = torch.get_rng_state()
    run(config_of(folder, epochs=1, repeats=1))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden": ()}, "hidden"),
        ({"hidden": (3, 0)}, "hidden"),
        ({"lr": ()}, "lr"),
        ({"lr": (0.1, 0.1)}, "lr"),
        ({"lr": (-1.0,)}, "lr"),
        ({"momentum": 1.0}, "momentum"),
        ({"eps": 0.0}, "eps"),
        ({"epochs": 0}, "epochs"),
        ({"block_size": 0}, "block_size"),
    ],
)
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(OptionError, match=message):
        MlpConfig(**settings)


def test_deconvolution_learns_mnist_faster_than_batch_normalisation_and_that_than_nothing():
    folder = str(real("mnist").parent)
    result = run(MlpConfig(dataset="mnist", data_dir=folder, epochs=1, repeats=1, block_size=196))
    none, bn, deconv = (arm.test_accuracy[:, -1] for arm in result.arms)
    assert deconv.min() > bn.max() > none.max()
