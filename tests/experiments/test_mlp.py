"""The perceptron: what its arms are, that they see the same, and that rates are chosen as said."""

import numpy as np
import pytest
import torch
from torch import nn

from ndtools.errors import OptionError
from ndtools.experiments.config import MlpConfig
from ndtools.experiments.mlp import build_mlp, run
from ndtools.layers.config import DeconvConfig
from ndtools.layers.linear import DeconvLinear
from tests.real_data import real
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


def test_each_arm_keeps_to_its_best_rate(folder):
    result = run(config_of(folder, lr=(1e-6, 0.5), repeats=1))
    for arm in result.arms:
        assert set(arm.tried) == {1e-6, 0.5}
        assert arm.lr == min(arm.tried, key=arm.tried.get)
        assert arm.loss[0, -1].mean() == pytest.approx(arm.tried[arm.lr])
    assert result.arms[2].lr == 0.5


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
