"""What audit says of layers whose covariance, samples and padding are known."""

import copy
import itertools
import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import pad

from ndtools.layers.channel import ChannelDeconv
from ndtools.layers.config import DeconvConfig
from ndtools.layers.conv import FastDeconv1d, FastDeconv2d
from ndtools.layers.linear import DeconvLinear
from ndtools.layers.sampling import axes_of
from ndtools.surgery.audit import audit

pytestmark = pytest.mark.filterwarnings("ignore::ndtools.errors.NumericalWarning")


def with_covariance(covariance, *, eps, n_iter, momentum=0.1, batches=3):
    d = len(covariance)
    config = DeconvConfig.paper(block_size=None, eps=eps, n_iter=n_iter, momentum=momentum)
    layer = DeconvLinear(d, 2, config=config, dtype=torch.float64)
    layer.whitening.num_batches_tracked.fill_(batches)
    layer.whitening.running_weight.fill_(1 - (1 - momentum) ** batches)
    layer.whitening.running_covariance.copy_(covariance * layer.whitening.running_weight)
    return layer


def test_a_known_covariance_has_its_condition_and_residual():
    values = torch.tensor([4.0, 1.0, 0.25], dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))[0]
    (row,) = audit(with_covariance(turn @ values.diag() @ turn.mT, eps=0.05, n_iter=60)).rows
    assert row.condition == pytest.approx(4.05 / 0.3, rel=1e-12)
    assert row.residual < 1e-12
    scale = (values + 0.05).norm()  # one step of Newton-Schulz from the identity, on each eigenvalue
    d = 0.5 * (3 - (values + 0.05) / scale) / scale.sqrt()
    (row,) = audit(with_covariance(values.diag(), eps=0.05, n_iter=1)).rows
    assert row.residual == pytest.approx((d**2 * (values + 0.05) - 1).norm().item() / math.sqrt(3), rel=1e-12)
    assert (row.rows, row.rows_per_feature, row.padding_share) == (None, None, None)
    assert (row.name, row.kind, row.blocks, row.features, row.batches) == ("", "DeconvLinear", ((1, 3),), 3, 3)


def test_a_d_far_from_exact_is_not_passed_over():
    """Six iterations on a condition of 1e4 leave most directions as they are; sixty whiten them all."""
    covariance = torch.logspace(0, -4, 32, dtype=torch.float64).diag()
    far, near = (audit(with_covariance(covariance, eps=1e-9, n_iter=n_iter)) for n_iter in (6, 60))
    assert far.rows[0].residual > 0.5 and far.rows[0].notes == ("partial D",)
    assert far.verdict.startswith("the statistics can be trusted") and far.warnings() == ()
    assert far.verdict.endswith("; D decorrelates only in part in 1 of 1 layer (residual above 0.5)")
    assert near.rows[0].residual < 1e-6 and near.rows[0].notes == () and "in part" not in near.verdict


def test_the_worst_block_counts():
    layer = DeconvLinear(5, 2, config=DeconvConfig.paper(block_size=2, eps=1e-3), dtype=torch.float64)
    assert audit(layer).rows[0].condition is None
    assert audit(layer).rows[0].residual is None
    layer.whitening.num_batches_tracked.fill_(100000)
    layer.whitening.running_weight.fill_(1)
    for name, values in (("running_covariance", [[1, 2], [1, 9]]), ("running_covariance_rest", [[5]])):
        layer.whitening.get_buffer(name).copy_(torch.tensor(values, dtype=torch.float64)[None].diag_embed())
    (row,) = audit(layer, torch.randn(40, 5, dtype=torch.float64)).rows
    assert row.blocks == ((2, 2), (1, 1))
    assert row.condition == pytest.approx(9.001 / 1.001)
    assert (row.features, row.rows, row.rows_per_feature) == (2, 40, 20)


def test_where_d_is_averaged_its_condition():
    layer = DeconvLinear(3, 2, config=DeconvConfig.reference(block_size=3))
    layer.whitening.num_batches_tracked.fill_(1)
    layer.whitening.running_deconv.copy_(torch.diag(torch.tensor([1.0, 2.0, 8.0])))
    (row,) = audit(layer).rows
    assert (row.condition, row.residual) == (8, None)


@given(
    height=st.integers(3, 9),
    width=st.integers(3, 9),
    stride=st.integers(1, 2),
    padding=st.integers(0, 2),
    sampling=st.integers(1, 4),
    grid=st.sampled_from(["staggered", "corner"]),
    mode=st.sampled_from(["zeros", "circular"]),
    kernel=st.sampled_from([1, 3]),
)
@settings(max_examples=60)
def test_rows_and_padding_by_counting(height, width, stride, padding, sampling, grid, mode, kernel):
    config = DeconvConfig.paper(sampling_stride=sampling, grid=grid, block_size=1)
    layer = FastDeconv2d(4, 2, kernel, stride=stride, padding=padding, padding_mode=mode, config=config)
    (row,) = audit(layer, torch.randn(3, 4, height, width)).rows
    outside = pad(torch.zeros(height, width), (padding,) * 4, value=1.0)
    if grid == "corner" and kernel == 1:
        places = height * width if mode == "zeros" else outside.numel()
        flat = torch.zeros(places) if mode == "zeros" else outside.flatten()
        touched = flat.repeat(3)[:: (sampling * stride) ** 2]
        count = len(touched)
    else:
        sides = (padding, padding) if mode == "zeros" else (0, 0)
        sizes = (height, width) if mode == "zeros" else outside.shape
        positions = math.prod((n + sum(sides) - kernel) // stride + 1 for n in sizes)
        for step in range(sampling, 0, -1):
            grids = list(itertools.product(*(axes_of(n, kernel, stride, 1, sides, step, grid) for n in sizes)))
            patches = []
            for axes in itertools.islice(itertools.cycle(grids), 3):  # one for each image
                begins = [
                    [
                        a.first + i * a.step + (padding if mode == "zeros" and a.padding == (0, 0) else 0)
                        for i in range(a.count)
                    ]
                    for a in axes
                ]
                patches += [outside[y : y + kernel, x : x + kernel] for y in begins[0] for x in begins[1]]
            if grid != "staggered" or 3 * positions >= len(grids) * kernel**2:  # of fewer, the covariance is singular
                break
        touched, count = torch.stack(patches), len(patches)
    assert row.rows == count
    assert row.rows_per_feature == pytest.approx(count / kernel**2)
    assert row.padding_share == pytest.approx(touched.double().mean().item(), abs=1e-7)


def test_padding_of_each_grid():
    """4×4 maps have 44 zeros in 144 taps; sampled from their padded corner, 20 in 36 (1 of 2×2 patches has 5 of 9)."""
    x = torch.randn(4, 4, 4, 4)
    shares = [
        audit(FastDeconv2d(4, 2, 3, padding=1, config=DeconvConfig(grid=grid)), x).rows[0].padding_share
        for grid in ("staggered", "corner")
    ]
    assert shares == [pytest.approx(44 / 144), pytest.approx(20 / 36)]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = FastDeconv1d(3, 8, 3, padding=1, config=DeconvConfig(freeze_after=1))
        self.norm, self.drop = nn.BatchNorm1d(8), nn.Dropout(0.5)
        self.channels = ChannelDeconv(8, DeconvConfig(sampling_stride=1))
        self.unused = DeconvLinear(2, 2)
        self.head = FastDeconv1d(8, 4, 1, config=DeconvConfig.reference(block_size=2, sampling_stride=1))

    def forward(self, x, *, mask=None):
        x = self.channels(self.drop(self.norm(self.conv(x))))
        return {"all": self.head(x), "last": self.head(x[:1])}


def test_a_network_and_that_it_stays_as_it_is():
    torch.manual_seed(0)
    net = Net()
    net(torch.randn(20, 3, 12))
    before = copy.deepcopy(net.state_dict()), [m.training for m in net.modules()], torch.get_rng_state()
    found = audit(net, {"x": torch.randn(10, 3, 9)})
    torch.testing.assert_close(net.state_dict(), before[0], rtol=0, atol=0)
    assert [m.training for m in net.modules()] == before[1]
    assert found.batch_norms == ("norm",)
    rows = {row.name: row for row in found.rows}
    assert list(rows) == ["conv", "channels", "unused", "head"]
    assert (rows["conv"].frozen, rows["conv"].batches, rows["conv"].rows) == (True, 1, 30)
    assert (rows["channels"].kind, rows["channels"].rows, rows["channels"].padding_share) == ("ChannelDeconv", 90, None)
    assert (rows["unused"].rows, rows["unused"].batches, rows["unused"].condition) == (None, 0, None)
    assert (rows["head"].features, rows["head"].rows) == (2, 9 * 4)  # the second call, of one sample; four blocks
    assert rows["head"].batches == 2
    without = {row.name: row for row in audit(net).rows}
    assert without["conv"].condition == rows["conv"].condition > 1
    json.dumps(found.numbers(), allow_nan=False)


def test_the_example_draws_no_random_numbers_outside():
    before = torch.get_rng_state()
    net = Net()
    state = torch.get_rng_state()
    assert not torch.equal(before, state)
    audit(net, torch.zeros(10, 3, 9))
    assert torch.equal(torch.get_rng_state(), state)


def test_the_table():
    torch.manual_seed(0)
    net = Net()
    net(torch.randn(20, 3, 12))
    lines = str(audit(net, torch.randn(10, 3, 9))).splitlines()
    assert lines[0].split() == [
        "name",
        "kind",
        "blocks",
        "features",
        "rows",
        "rows/f",
        "condition",
        "residual",
        "padding",
        "batches",
    ]
    assert lines[1].split()[:6] == ["conv", "FastDeconv1d", "1×3", "9", "30", "3.33"]
    assert lines[1].endswith("7%  1 frozen")
    assert lines[3].split() == ["unused", "DeconvLinear", "1×2", "2", "-", "-", "-", "-", "-", "0"]
    assert [line.split(":")[0] for line in lines[5:7]] == ["rows/f", "condition"]
    assert lines[-2] == "4 deconvolution layers, 1 batch normalisation left: norm"
    assert lines[-1] == (
        "verdict: the statistics can be trusted: finite, nowhere singular; 1 of 4 layers saw no training batch"
    )
    assert str(audit(nn.ReLU())).endswith("0 deconvolution layers, 0 batch normalisations left")


def test_the_verdict_goes_by_samples_and_training():
    layer = FastDeconv1d(3, 4, 3)
    new = "there are no statistics yet: no layer has seen a training batch"
    assert audit(layer, torch.randn(10, 3, 12)).verdict == new
    layer(torch.randn(20, 3, 12))
    enough, few = (audit(layer, torch.randn(n, 3, 5)) for n in (10, 1))
    assert enough.rows[0].rows_per_feature > 1 >= few.rows[0].rows_per_feature
    assert enough.verdict.endswith("trusted: finite, nowhere singular, of more samples than features")
    assert few.verdict == "the statistics of 1 of 1 layer come from too few samples to be trusted"
    assert audit(nn.ReLU()).verdict == ""


def test_singular_covariances_have_no_condition_number():
    """To rounding: those of float32 have eigenvalues below zero of up to 1e-7 of the largest, here far above eps."""
    generator = torch.Generator().manual_seed(0)
    rows = 100 * torch.randn(30, 60, generator=generator)
    layer = DeconvLinear(63, 2, config=DeconvConfig.paper(block_size=60))
    whitening = layer.whitening
    whitening.num_batches_tracked.fill_(1)
    whitening.running_weight.fill_(1)
    whitening.running_covariance.copy_(rows.mT @ rows / 30)
    whitening.running_covariance_rest.copy_(torch.diag(torch.tensor([1.0, 2.0, 8.0])))
    assert torch.linalg.eigvalsh(whitening.running_covariance.double() + 1e-5 * torch.eye(60)).min() < 0
    found = audit(layer)
    (row,) = found.rows
    assert (row.condition, row.trouble) == (math.inf, "singular")
    assert found.verdict == "the statistics of 1 of 1 layer cannot be used"
    assert str(found).splitlines()[1].split()[6] == "singular"
    (numbers,) = json.loads(json.dumps(found.numbers(), allow_nan=False))["rows"]
    assert (numbers["condition"], numbers["trouble"]) == (None, "singular")
    assert numbers["residual"] == row.residual
    whitening.running_covariance.add_(torch.eye(60))  # resolved: about 1e5
    assert audit(layer).verdict.startswith("the statistics can be trusted: finite, nowhere singular")
    (row,) = audit(layer).rows
    assert (1e4 < row.condition < 1e6, row.trouble) == (True, "")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_statistics_that_are_not_finite(value):
    net = nn.Sequential(
        FastDeconv1d(3, 4, 3, config=DeconvConfig(shrinkage="oas")),
        DeconvLinear(10, 8, config=DeconvConfig.reference(block_size=4)),
        DeconvLinear(8, 2),
    )
    net(torch.randn(20, 3, 12))
    net[0].whitening.running_covariance[0, 0, 1, 1] = value
    net[1].whitening.running_deconv[0, 0, 1, 1] = value
    net[0].weight.data[:] = value  # and so what the others are applied to
    found = audit(net, torch.randn(10, 3, 12))
    assert [row.trouble for row in found.rows] == ["non-finite", "non-finite", ""]
    assert found.verdict == "the statistics of 2 of 3 layers cannot be used"
    assert [row.rows for row in found.rows] == [33, 5 * 40, 40]
    assert str(found).splitlines()[1].split()[6:8] == ["non-finite", "non-finite"]
    json.dumps(found.numbers(), allow_nan=False)


def test_other_processes_hear_nothing(monkeypatch):
    """As in one of two processes: any collective would fail, as there is no group."""
    net = nn.Sequential(FastDeconv1d(3, 4, 3, config=DeconvConfig(sync=True)), nn.SyncBatchNorm(4))
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda *_: 2)
    with pytest.raises(ValueError, match="process group"):
        net[0](torch.randn(20, 3, 12))
    assert audit(net, torch.randn(20, 3, 12)).rows[0].rows == 66
    assert net[0].whitening.config.sync
    assert not net[0]._forward_pre_hooks


def test_an_example_that_is_written_to_and_a_batch_of_one():
    net = nn.Sequential(nn.ReLU(inplace=True), nn.Flatten(), DeconvLinear(6, 4), nn.BatchNorm1d(4))
    x = -torch.ones(1, 6)
    assert audit(net, x).rows[0].rows == 1
    assert (x == -1).all()


@pytest.mark.parametrize("shrinkage", ["none", "auto", "oas"])
def test_only_what_would_change_something_is_advised(shrinkage):
    for grid in ("staggered", "corner"):
        config = DeconvConfig(shrinkage=shrinkage, grid=grid)
        net = nn.Sequential(FastDeconv2d(8, 4, 3, padding=1, config=config))
        few, padded = audit(net, torch.randn(2, 8, 2, 2)).warnings()
        assert few.startswith("1 layer has no more samples than features: take larger batches or smaller blocks")
        assert ("shrinkage='auto'" in few) == (shrinkage == "none")
        assert padded.startswith("1 layer has more than a third of padding in the sampled patches: take larger images")
        assert ("grid='staggered'" in padded) == (grid == "corner")
