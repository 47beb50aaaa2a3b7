import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import conv2d, pad

from ndtools.errors import NumericalWarning, OptionError
from ndtools.experiments.timing import run as timing
from ndtools.experiments.timing.config import TimingConfig
from ndtools.experiments.timing.run import run
from ndtools.experiments.timing.stages import memory_needed, our_layer, our_stages, published_stages
from ndtools.experiments.timing.table import TABLE_3, TimedLayer
from ndtools.layers.config import DeconvConfig

SMALL = TimedLayer(1, 12, 6, 4, 3, 3, 2, 0.1, 0.2, 0.3, 0.4)
LAYERS = [SMALL, replace(SMALL, groups=1, kernel_size=5), replace(SMALL, groups=6, sampling_stride=3, size=13)]


@pytest.fixture
def small_table(monkeypatch):
    """Rows that take no time: those of the table with small images and few channels."""
    table = tuple(
        replace(layer, size=16, in_channels=4 * layer.groups if layer.groups < 5 else 8, out_channels=4)
        if layer.groups < 5
        else replace(layer, size=16, in_channels=8, out_channels=4, groups=8)
        for layer in TABLE_3
    )
    monkeypatch.setattr(timing, "TABLE_3", table)
    return table


def tensors(layer, n=5, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    c, o, k = layer.in_channels, layer.out_channels, layer.kernel_size
    shapes = (n, c, layer.size, layer.size), (o, c, k, k), (o,)
    x, weight, bias = (torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes)
    return x + torch.roll(x, 1, -1) + 2, weight, bias


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("kind", ["published", "ours"])
def test_the_stages_make_up_the_layer(layer, kind):
    x, weight, bias = tensors(layer)
    if kind == "published":
        config = DeconvConfig.reference()
        stages = published_stages(layer, x, weight, bias, config)
    else:
        config = DeconvConfig.paper()
        stages = our_stages(layer, x, weight, bias, config)
    module = our_layer(layer, config, x)
    module.load_state_dict({"weight": weight, "bias": bias}, strict=False)
    (found,) = stages["convolution"].outputs()
    torch.testing.assert_close(found, module(x), rtol=1e-9, atol=1e-9)
    # Each stage's inputs are what the stages before it give.
    out = {name: stage.outputs() for name, stage in stages.items()}
    torch.testing.assert_close(stages["convolution"].inputs, (x, *out["fold"]))
    moments = out["covariance"]
    if kind == "published":
        torch.testing.assert_close(stages["covariance"].inputs, out["im2col"])
        torch.testing.assert_close(stages["inverse"].inputs, moments[1:])
        torch.testing.assert_close(stages["fold"].inputs, (weight, bias, moments[0], *out["inverse"]))
    else:
        torch.testing.assert_close(stages["inverse"].inputs, moments[2::2])
        torch.testing.assert_close(out["statistics"], (x, *stages["fold"].inputs[2:]))
        torch.testing.assert_close(out["statistics"][2::2], out["inverse"])


@pytest.mark.parametrize("layer", LAYERS)
def test_published_stages_have_their_shapes_and_moments(layer):
    x, weight, bias = tensors(layer)
    out = {name: stage.outputs() for name, stage in published_stages(layer, x, weight, bias, DeconvConfig()).items()}
    k, s = layer.kernel_size, layer.sampling_stride
    positions = len(range(0, layer.size + 2 * (k // 2) - k + 1, s)) ** 2
    (rows,) = out["im2col"]
    assert rows.shape == (5 * positions * layer.groups, layer.features)
    padded = pad(x, (k // 2,) * 4)
    everything = torch.stack(
        [
            padded[:, :, i : i + k, j : j + k].flatten(1)
            for i in range(0, padded.shape[2] - k + 1, s)
            for j in range(0, padded.shape[3] - k + 1, s)
        ],
        dim=1,
    )
    torch.testing.assert_close(rows.sum(), everything.sum())
    mean, a = out["covariance"]
    expected = np.cov(rows.numpy().T, bias=True) + 1e-5 * np.eye(layer.features)
    np.testing.assert_allclose(a, expected, atol=1e-12)
    np.testing.assert_allclose(mean, rows.mean(0))


@pytest.mark.parametrize("stages", [published_stages, our_stages])
def test_every_stage_runs_backwards(stages):
    x, weight, bias = tensors(SMALL)
    for name, stage in stages(SMALL, x, weight, bias, DeconvConfig()).items():
        inputs = tuple(each.clone().requires_grad_() for each in stage.inputs)
        outputs = stage.function(*inputs)
        gradients = torch.autograd.grad(outputs, inputs, [torch.ones_like(each) for each in outputs])
        assert [g.shape for g in gradients] == [i.shape for i in inputs], name
        assert all(g.isfinite().all() for g in gradients), name


def test_sampling_backwards_is_its_adjoint():
    x, weight, bias = tensors(SMALL)
    stage = our_stages(SMALL, x, weight, bias, DeconvConfig())["im2col"]
    z = x.clone().requires_grad_()
    same, features = stage.function(z)
    y = torch.randn_like(features)
    (gradient,) = torch.autograd.grad((same, features), z, [torch.zeros_like(x), y])
    assert float((gradient * x).sum()) == pytest.approx(float((y * features.detach()).sum()))


def test_the_published_table():
    """Sums of its columns, and what the layers have in common, guard against a wrong digit or a shifted row."""
    assert [layer.id for layer in TABLE_3] == [f"T3-{n}" for n in range(1, 23)]
    assert sum(layer.im2col for layer in TABLE_3) == pytest.approx(3.38)
    assert sum(layer.covariance for layer in TABLE_3) == pytest.approx(2.0049)
    assert sum(layer.inverse for layer in TABLE_3) == pytest.approx(0.10741)
    assert sum(layer.convolution for layer in TABLE_3) == pytest.approx(13.42)
    assert sum(layer.size for layer in TABLE_3) == 3152
    assert [layer.block_size for layer in TABLE_3[:13]] == [3, 64, 64, 64, 64, 1, 1, 1, 1, 2, 4, 8, 16]
    assert all(layer.in_channels % layer.groups == 0 for layer in TABLE_3)
    assert TABLE_3[12].label == "16² 512→512 k3 S3 B16"
    assert TABLE_3[18].features == 363


def test_groups_are_not_of_the_convolution():
    """The published convolution takes as long with 8 as with 512 groups, which would have a 64th of its products."""
    by_layer = {}
    for layer in TABLE_3[:13]:
        by_layer.setdefault((layer.size, layer.in_channels), []).append(layer.convolution)
    assert all(max(times) < 1.1 * min(times) for times in by_layer.values())


@pytest.mark.parametrize("backward", [False, True])
def test_a_run(small_table, backward):
    told = []
    threads = torch.get_num_threads()
    config = TimingConfig(rows=(3, 8, 22), batch_size=1, repeats=2, backward=backward, jobs=1, device="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("error", NumericalWarning)
        result = run(config, progress=lambda done, total: told.append((done, total)))
    assert told == [(0, 3), (1, 3), (2, 3)]
    assert (result.device, result.threads, result.left_out) == ("cpu", 1, ())
    assert result.processor
    assert torch.get_num_threads() == threads
    assert [row.layer.number for row in result.rows] == [3, 8, 22]
    numbers, arrays = result.numbers(), result.arrays()
    assert arrays["measured"].shape == (3, 5, 2)
    assert arrays["ours"].shape == (3, 6, 2)
    assert arrays["published"].shape == (3, 4)
    for i, row in enumerate(numbers["rows"]):
        layer = small_table[[2, 7, 21][i]]
        assert row["published"] == {
            "im2col": layer.im2col,
            "covariance": layer.covariance,
            "inverse": layer.inverse,
            "convolution": layer.convolution,
        }
        assert list(row["measured"]) == ["im2col", "covariance", "inverse", "fold", "convolution"]
        assert set(row["ours"]) == {*row["measured"], "statistics"}
        assert row["ours"]["convolution"] == row["measured"]["convolution"]
        for arm in ("measured", "ours"):
            for j, (name, value) in enumerate(row[arm].items()):
                low, high = row["range"][arm][name]
                assert 0 < low <= value <= high
                assert arrays[f"{arm}_stages"][j] == name
                assert value == np.median(arrays[arm][i, j])


def test_shares():
    samples = {"im2col": 1.0, "covariance": 2.0, "inverse": 4.0, "fold": 8.0, "convolution": 10.0}
    arrays = {name: np.array([value, value, 99.0]) for name, value in samples.items()}
    row = timing.RowTiming(SMALL, scale=16.0, measured=arrays, ours=arrays | {"statistics": np.array([7.0])})
    assert row.shares("published") == pytest.approx({"im2col": 0.25, "covariance": 0.5, "inverse": 0.75, "total": 1.5})
    for arm in ("measured", "ours"):
        assert row.shares(arm) == pytest.approx(
            {"im2col": 0.1, "covariance": 0.2, "inverse": 0.025, "fold": 0.05, "total": 0.325}
        )
        assert row.shares(arm, as_measured=True)["total"] == pytest.approx(0.7)
        assert row.seconds(arm)["im2col"] == 1


def test_rows_too_large_for_the_memory_are_left_out(small_table, monkeypatch):
    needs = {n: memory_needed(small_table[n - 1], 2, backward=False) for n in (1, 16, 19)}
    assert needs[1] < needs[16] < needs[19]
    monkeypatch.setattr(timing, "available_memory", lambda device: needs[16])
    result = run(TimingConfig(rows=(1, 16, 19), batch_size=2, repeats=1, device="cpu"))
    assert [row.layer.number for row in result.rows] == [1, 16]
    ((left_out,)) = result.numbers()["left_out"]
    assert left_out["id"] == "T3-19"
    assert "GB for batches of 2" in left_out["reason"]
    monkeypatch.setattr(timing, "available_memory", lambda device: 0)
    with pytest.raises(OptionError, match="too large: row 1 needs about"):
        run(TimingConfig(rows=(1, 16), batch_size=2, repeats=1, device="cpu"))
    monkeypatch.setattr(timing, "available_memory", lambda device: None)  # not told
    assert len(run(TimingConfig(rows=(1,), batch_size=2, repeats=1, device="cpu")).rows) == 1


def test_memory_needed():
    layer = TABLE_3[1]
    forward, backward = (memory_needed(layer, 128, backward=b) for b in (False, True))
    patches = 4 * 128 * 43**2 * 576
    assert 3 * patches < forward < backward < 20 * patches
    assert memory_needed(layer, 64, backward=False) < 0.51 * forward


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": ()}, "one row or more"),
        ({"rows": (0,)}, "from 1 to 22"),
        ({"rows": (1, 23)}, "got 23"),
        ({"rows": (1, 1)}, "each row once"),
        ({"batch_size": 0}, "batch_size: must be at least 1"),
        ({"repeats": 0}, "repeats: must be at least 1"),
        ({"jobs": 0}, "jobs: must be at least 1"),
        ({"device": "abacus"}, "device: must be one of"),
    ],
)
def test_bad_configurations(changes, message):
    with pytest.raises(OptionError, match=message):
        TimingConfig(**changes)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu():
    result = run(TimingConfig(rows=(5,), batch_size=2, repeats=1, backward=True, device="cuda"))
    assert result.processor
    assert min(result.rows[0].seconds("ours").values()) > 0


def test_convolution_is_that_of_the_layer():
    x, weight, bias = tensors(SMALL)
    stage = published_stages(SMALL, x, weight, bias, DeconvConfig())["convolution"]
    torch.testing.assert_close(stage.outputs()[0], conv2d(*stage.inputs, padding=1))
