"""Recalibrated statistics are those of all samples together."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from ndtools.errors import NumericalWarning
from ndtools.layers.channel import ChannelDeconv
from ndtools.layers.config import DeconvConfig
from ndtools.layers.conv import FastDeconv2d
from ndtools.layers.linear import DeconvLinear
from ndtools.layers.sampling import Patches, Vectors
from ndtools.surgery.recalibrate import recalibrate


def batches(count=4, shift=0.0, sizes=(30, 7, 5, 30)):
    """Batches of a few sizes, with means and covariances of their own."""
    torch.manual_seed(5)
    return [
        shift + torch.randn(n, 4, dtype=torch.float64) @ torch.randn(4, 4, dtype=torch.float64) + torch.randn(4)
        for n in sizes[:count]
    ]


@pytest.mark.parametrize("trained", [0, 3])
def test_evaluation_uses_the_covariance_of_all_samples(trained):
    layer = DeconvLinear(4, 3, dtype=torch.float64, config=DeconvConfig(n_iter=40))
    for x in batches(trained, shift=7):
        layer(x)
    data = batches()
    assert recalibrate(layer, [(x, "label") for x in data]) == 4
    ((mean, d),) = layer.whitening.running_statistics()
    pooled = torch.cat(data)
    covariance = torch.cov(pooled.mT, correction=0) + 1e-5 * torch.eye(4)
    torch.testing.assert_close(mean[0, 0], pooled.mean(0))
    torch.testing.assert_close(layer.whitening.running_covariances()[0][0, 0] + 1e-5 * torch.eye(4), covariance)
    torch.testing.assert_close(d[0, 0] @ covariance @ d[0, 0], torch.eye(4, dtype=torch.float64), rtol=0, atol=1e-9)
    assert layer.training
    assert layer.whitening.num_batches_tracked == (trained or 4)


def test_training_goes_on_with_the_averages():
    layer = DeconvLinear(4, 3, dtype=torch.float64, config=DeconvConfig(momentum=0.25))
    data = batches()
    recalibrate(layer, data)
    ((before, _),) = layer.whitening.running_statistics()
    layer(data[0])
    ((after, _),) = layer.eval().whitening.running_statistics()
    # the averages weigh 1 now, whatever the number of batches
    torch.testing.assert_close(after[0, 0], 0.75 * before[0, 0] + 0.25 * data[0].mean(0))


def test_the_averaged_matrix():
    layer = DeconvLinear(4, 3, dtype=torch.float64, config=DeconvConfig.reference(block_size=4))
    data = batches()
    recalibrate(layer, data)
    each = copy.deepcopy(layer).train()
    found = [each.whitening.statistics(x, lambda *_: Vectors())[1][0][1].detach() for x in data]
    weighed = sum(len(x) * d for x, d in zip(data, found, strict=True)) / sum(map(len, data))
    torch.testing.assert_close(layer.whitening.running_deconv, weighed)


@pytest.mark.parametrize("shrinkage", ["none", "oas"])
@pytest.mark.parametrize("shared", [False, True])
def test_every_patch_counts_alike(shared, shrinkage):
    config = DeconvConfig(block_size=2, shared=shared, sampling_stride=1, shrinkage=shrinkage)
    layer = FastDeconv2d(5, 4, 3, dtype=torch.float64, config=config)
    torch.manual_seed(2)
    images = [n + torch.randn(n, 5, side, side, dtype=torch.float64) for n, side in ((6, 5), (1, 9), (2, 7))]

    def moments(batches):
        """Mean and second moment of each part, which add up over samples."""
        recalibrate(layer, batches)
        whitening = layer.whitening
        means = [mean for mean, _ in whitening.running_statistics()]
        pairs = zip(means, whitening.running_covariances(), strict=True)
        return means, [c + m[..., None] * m[..., None, :] for m, c in pairs]

    shares = torch.tensor([len(x) * (x.shape[-1] - 2) ** 2 for x in images]).double()
    shares /= shares.sum()
    apart = [moments([x]) for x in images]
    for i, found in enumerate(moments(images)):
        for part, value in enumerate(found):
            expected = sum(share * each[i][part] for share, each in zip(shares, apart, strict=True))
            torch.testing.assert_close(value, expected)


@pytest.mark.parametrize(
    ("kernel", "config"),
    [
        (3, DeconvConfig()),
        (3, DeconvConfig.paper(block_size=2)),
        (1, DeconvConfig(grid="corner")),
    ],
)
def test_the_first_layer_does_not_depend_on_the_batches(kernel, config):
    torch.manual_seed(3)
    images = torch.randn(50, 3, 8, 8, dtype=torch.float64) + 5 * torch.randn(50, 3, 1, 1, dtype=torch.float64)
    found = []
    for size in (50, 16, 7, 1):
        layer = FastDeconv2d(3, 4, kernel, stride=2, padding=1, dtype=torch.float64, config=config)
        recalibrate(layer, images.split(size))
        found.append(dict(layer.whitening.named_buffers()) | {"num_batches_tracked": None})
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=1e-12, atol=1e-12)


def test_images_are_gathered_a_few_at_a_time(monkeypatch):
    """So that the memory of all positions does not grow with the batch."""
    data = [torch.randn(5, 4, 9, 9, dtype=torch.float64) for _ in range(2)]
    layers = [FastDeconv2d(4, 4, 3, dtype=torch.float64, config=DeconvConfig(block_size=3)) for _ in range(2)]
    recalibrate(layers[0], data)
    sizes = []
    gather = Patches.gather
    monkeypatch.setattr(Patches, "gather", lambda self, x: sizes.append(len(x)) or gather(self, x))
    monkeypatch.setattr("ndtools.layers.whitening.ROOM", 2 * 9 * 4 * 81)
    recalibrate(layers[1], data)
    assert sizes == [2, 2, 1] * 2
    torch.testing.assert_close(*(dict(layer.whitening.named_buffers()) for layer in layers), rtol=1e-12, atol=1e-12)


def test_other_layers_rest_and_frozen_ones_stay_so():
    model = nn.Sequential(
        FastDeconv2d(3, 4, 3, config=DeconvConfig(freeze_after=2, sampling_stride=1)),
        nn.BatchNorm2d(4),
        nn.Dropout(0.5),
        ChannelDeconv(4, DeconvConfig(sampling_stride=1)),
    )
    data = [torch.randn(8, 3, 9, 9) for _ in range(3)]
    for x in data:
        model(x)
    model[1].eval()
    norm = copy.deepcopy(model[1].state_dict())
    recalibrate(model, data[:1])
    assert model[0].whitening.frozen
    assert all(torch.equal(value, norm[key]) for key, value in model[1].state_dict().items())
    assert [module.training for module in model] == [True, False, True, True]
    torch.testing.assert_close(
        model[0].whitening.running_statistics()[0][0][0, 0],
        nn.functional.unfold(data[0], 3).movedim(1, 0).flatten(1).mean(1),
    )


@pytest.mark.parametrize("bad", [[], [torch.ones(3, 9)], [torch.randn(30, 4), None]])
def test_a_failure_changes_nothing(bad):
    layer = DeconvLinear(4, 3)
    layer(torch.randn(30, 4))
    before = copy.deepcopy(layer.state_dict())
    with pytest.raises((ValueError, TypeError)):
        recalibrate(layer, bad)
    assert layer.training
    assert all(torch.equal(value, before[key]) for key, value in layer.state_dict().items())
    layer.eval()(torch.randn(2, 4))
    assert layer.whitening.num_batches_tracked == 1


def test_a_network_without_deconvolution():
    with pytest.raises(ValueError, match="no deconvolution layer in this Linear"):
        recalibrate(nn.Linear(2, 2), [torch.ones(3, 2)])


def test_layers_that_the_batches_do_not_reach_stay_and_are_named():
    class WithAuxiliaryHead(nn.Module):
        def __init__(self):
            super().__init__()
            self.main, self.auxiliary = DeconvLinear(4, 3), DeconvLinear(4, 2)

        def forward(self, x):
            return (self.main(x), self.auxiliary(x)) if self.training else self.main(x)

    model = WithAuxiliaryHead()
    model(torch.randn(30, 4))
    before = copy.deepcopy(model.auxiliary.state_dict())
    with pytest.warns(NumericalWarning, match="1 of 2 deconvolution layers see none.*auxiliary.whitening"):
        recalibrate(model, [5 + torch.randn(30, 4)])
    assert all(torch.equal(value, before[key]) for key, value in model.auxiliary.state_dict().items())
    assert (model.main.whitening.running_statistics()[0][0] > 4).all()


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        (torch.zeros(4, 3, 8, 8), r"got one Tensor of shape \(4, 3, 8, 8\): pass \[x\] for one batch x"),
        ("abc", "batches must be an iterable of batches, such as a loader, got str"),
        (None, "got NoneType"),
        ([np.zeros((4, 3, 8, 8))], "batches must hold Tensors, or sequences that begin with one, .* got ndarray"),
        ([{"x": torch.zeros(4, 3, 8, 8)}], "got dict"),
        ([[]], "got list"),
    ],
)
def test_batches_that_are_none(batches, message):
    net = nn.Sequential(FastDeconv2d(3, 4, 3))
    net(torch.randn(4, 3, 8, 8))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(TypeError, match=message):
        recalibrate(net, batches)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    with pytest.raises(TypeError, match="model must be a torch.nn.Module, got one of type str"):
        recalibrate("net", [torch.zeros(4, 3, 8, 8)])


def test_a_failure_leaves_the_schedule_of_refreshes():
    layer = FastDeconv2d(3, 4, 3, config=DeconvConfig(refresh_every=4))
    layer(torch.randn(8, 3, 12, 12))
    before = layer.whitening.next_source()
    with pytest.raises(ValueError, match="no batch"):
        recalibrate(layer, [])
    assert before == layer.whitening.next_source() == "last"
