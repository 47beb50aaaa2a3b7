"""A run whose loss is not finite stops before the step, and says where numbers ceased to be finite."""

import math

import numpy as np
import pytest
import torch

from ndtools.errors import NumericalError, TrainingDiverged
from ndtools.layers.config import DeconvConfig
from ndtools.models.factories import deconv
from ndtools.training.loop import Training
from ndtools.training.recipe import Recipe
from tests.training.networks import small_data, small_network


def until_divergence(form, spoil, after=2, **settings):
    run = Training(small_network(form), small_data(), Recipe(epochs=2, batch_size=20, lr=0.05, **settings))
    with pytest.raises(TrainingDiverged) as caught:
        for record in run.records():
            if record.step == after:
                spoil(run)
                before = [p.detach().clone() for p in run.model.parameters()]
    assert isinstance(caught.value, NumericalError)
    assert caught.value.step == after + 1 == run.step + 1
    for parameter, value in zip(run.model.parameters(), before, strict=True):
        assert torch.equal(parameter.nan_to_num(7), value.nan_to_num(7))
    return caught.value, run


def overflow_in(place):
    def spoil(run):
        with torch.no_grad():
            run.model[place].weight.fill_(3e38)  # finite, unlike sums of products with it

    return spoil


@pytest.mark.parametrize(("form", "place"), [("bn", 0), ("bn", 4), ("bn", 9), ("deconv", 7)])
def test_the_first_layer_whose_output_overflows_is_named(form, place):
    error, _ = until_divergence(form, overflow_in(place))
    assert (error.layer, error.condition) == (str(place), None)
    assert f"at step 3: the loss is nan, and the first layer whose output is not finite is {place}; lower" in str(error)


def test_weights_that_an_earlier_step_spoiled_are_told():
    error, _ = until_divergence("bn", lambda run: run.model[4].weight.data.fill_(math.nan))
    assert error.layer == "4"
    assert "4, whose weights are not finite since an earlier step; lower `lr`" in str(error)


@pytest.mark.parametrize("place", [0, 3])
def test_the_condition_is_that_of_the_patches_of_the_batch(place):
    config = DeconvConfig(block_size=None, sampling_stride=1, eps=1e-3)
    error, run = until_divergence(deconv(config, first=config), overflow_in(place))
    with torch.no_grad():
        x = run.model[:place](run.batches[2][0])
    assert error.layer == str(place)
    assert error.condition == pytest.approx(by_hand(x.double().numpy(), 1e-3), rel=1e-3)
    assert f"whose covariance has the condition number {error.condition:.3g}; lower `lr`" in str(error)
    assert "raise `eps`" in str(error)


def test_a_loss_that_overflows_by_itself_has_no_layer():
    def spoil(run):
        with torch.no_grad():
            run.model[-1].weight.zero_()
            run.model[-1].bias.copy_(torch.tensor([0.0, 1e30, -1e30]))

    error, _ = until_divergence("bn", spoil, loss="l2")
    assert (error.layer, error.condition) == (None, None)
    assert "the loss is inf, though the outputs of all layers are finite" in str(error)


def test_weights_that_the_last_step_spoils_are_noticed_though_no_batch_follows():
    run = Training(small_network("bn"), small_data(), Recipe(epochs=2, batch_size=20, max_steps=4))
    with pytest.raises(TrainingDiverged, match=r"at step 4: after it, 4.weight is not finite; lower") as caught:
        for record in run.records():
            if record.step == 3:
                run.model[4].weight.register_hook(lambda grad: grad * math.inf)
    assert (caught.value.step, caught.value.layer) == (4, "4")


def test_layers_that_are_called_by_keyword_are_named():
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = torch.nn.Linear(3 * 9 * 9, 3)

        def forward(self, x):
            return self.fc(input=x.flatten(1))

    run = Training(Net(), small_data(), Recipe(epochs=2, batch_size=20))
    with torch.no_grad():
        run.model.fc.weight.fill_(3e38)
    with pytest.raises(TrainingDiverged, match="the first layer whose output is not finite is fc; lower"):
        next(run.records())


def test_a_gradient_that_overflows_is_noticed_in_the_next_step():
    run = Training(small_network("bn"), small_data(), Recipe(epochs=2, batch_size=20, lr=1e6, opt="sgd", momentum=0.0))
    with pytest.raises(TrainingDiverged, match="training diverged at step"):
        list(run.records())


def by_hand(x, eps):
    """Condition number of the covariance of all 3×3 patches, padding included."""
    x = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(2, 3))
    rows = windows.transpose(0, 2, 3, 1, 4, 5).reshape(-1, x.shape[1] * 9)
    values = np.linalg.eigvalsh(np.cov(rows.T, bias=True) + eps * np.eye(rows.shape[1]))
    return values[-1] / values[0]
