"""FastDeconv layers against the published code, explicit whitening of patches, batch normalisation and autograd."""

import copy
import itertools
import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import conv2d, pad, unfold

from ndtools.errors import NumericalWarning
from ndtools.layers.config import DeconvConfig
from ndtools.layers.conv import FastDeconv1d, FastDeconv2d, FastDeconv3d
from ndtools.layers.linear import DeconvLinear
from ndtools.layers.sampling import axes_of
from tests.oracles.inverse_roots import newton_schulz_by_spectrum
from tests.oracles.published_layers import CASES, REFERENCE
from tests.tolerance import assert_equal_to_rounding

pytestmark = pytest.mark.filterwarnings("ignore::ndtools.errors.NumericalWarning")

EXACT = 40  # iterations after which Newton-Schulz has converged


def images(n=6, c=4, size=(9, 9), seed=0, dtype=torch.float64):
    """Correlated ones, of another mean in each channel."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, c, *size, generator=generator, dtype=torch.float64)
    x = x + torch.roll(x, 1, -1) + 0.5 * torch.roll(x, 1, 1)
    return (x + torch.arange(c, dtype=torch.float64).view(1, c, *[1] * len(size))).to(dtype)


def layer_of(*args, config=None, kind=FastDeconv2d, dtype=torch.float64, seed=1, **kwargs):
    torch.manual_seed(seed)
    return kind(*args, dtype=dtype, config=config, **kwargs)


@pytest.fixture(scope="module")
def published():
    with np.load(REFERENCE) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def published_step(wanted, name, dtype):
    """What a layer with the published weights gives where the published one was recorded, in a dtype."""
    inputs, outputs, kernel, arguments, config = CASES[name]
    wanted = {key: value.to(dtype) for key, value in wanted.items()}
    layer = layer_of(inputs, outputs, kernel, config=DeconvConfig.reference(**config), dtype=dtype, **arguments)
    layer.load_state_dict({k: wanted[k] for k in ("weight", "bias")}, strict=False)
    x = wanted["x0"].clone().requires_grad_()
    y = layer(x)
    y.backward(wanted["g"])
    found = {"y0": y.detach(), "dx": x.grad, "dw": layer.weight.grad}
    with torch.no_grad():
        found |= {f"y{step}": layer(wanted[f"x{step}"]) for step in (1, 2)}
        found["yeval"] = layer.eval()(wanted["x2"])
    for buffer in ("running_mean", "running_deconv"):
        found[buffer] = getattr(layer.whitening, buffer).view_as(wanted[buffer])
    return found


@pytest.mark.parametrize("name", CASES)
def test_the_published_code_is_reproduced(published, name):
    wanted = {key.split("/")[1]: value for key, value in published.items() if key.startswith(f"{name}/")}
    found, single = (published_step(wanted, name, dtype) for dtype in (torch.float64, torch.float32))
    assert set(wanted) == {*found, "weight", "bias", "x0", "x1", "x2", "g"}
    for key, value in found.items():
        assert_equal_to_rounding(value, wanted[key], single=single[key], name=key)


def test_the_published_linear_layer_is_reproduced(published):
    found = {}
    for dtype in (torch.float64, torch.float32):
        wanted = {key: value.to(dtype) for key, value in published.items() if key.startswith("linear/")}
        layer = layer_of(12, 5, kind=DeconvLinear, dtype=dtype, config=DeconvConfig.reference(block_size=6))
        layer.load_state_dict({k: wanted[f"linear/{k}"] for k in ("weight", "bias")}, strict=False)
        with torch.no_grad():
            outputs = {f"y{step}": layer(wanted[f"linear/x{step}"]) for step in (0, 1)}
            found[dtype] = outputs | {"yeval": layer.eval()(wanted["linear/x1"])}
    for key, value in found[torch.float64].items():
        assert_equal_to_rounding(value, published[f"linear/{key}"], single=found[torch.float32][key], name=key)


def explicit(x, layer):
    """Whiten the patches of every output position block by block, by statistics of the sampled ones, then multiply."""
    config, k = layer.whitening.config, layer.kernel_size
    arguments = {"dilation": layer.dilation, "stride": layer.stride}
    side = layer.padding[0]
    padded = pad(x, (layer.padding[1],) * 2 + (side,) * 2)
    everything = unfold(padded, k, **arguments)  # (N, C taps, positions)
    taps, per_group = k[0] * k[1], layer.in_channels // layer.groups
    high, wide = (
        (n - d * (s - 1) - 1) // t + 1
        for n, s, d, t in zip(padded.shape[2:], k, layer.dilation, layer.stride, strict=True)
    )
    grid = everything.view(len(x), -1, high, wide)
    size = per_group if config.block_size in (None, "auto") else min(config.block_size, per_group)
    features = size * taps
    for step in range(config.sampling_stride, 0, -1):
        alternatives = [
            axes_of(n, s, t, d, (p, p), step, config.grid)
            for n, s, t, d, p in zip(x.shape[2:], k, layer.stride, layer.dilation, layer.padding, strict=True)
        ]
        sampled = []
        for image, axes in zip(grid, itertools.cycle(itertools.product(*alternatives)), strict=False):
            at = [
                [(a.first + i * a.step + (p if a.padding == (0, 0) else 0)) // t for i in range(a.count)]
                for a, t, p in zip(axes, layer.stride, layer.padding, strict=True)
            ]
            sampled.append(image[:, at[0]][..., at[1]].flatten(1).mT)
        sampled = torch.cat(sampled)
        if config.grid != "staggered" or len(x) * high * wide >= features * math.prod(map(len, alternatives)):
            break
    outputs = []
    for group in range(layer.groups):
        total = 0
        for first in range(0, per_group, size):
            channels = range(first, min(first + size, per_group))
            at_channel = slice((group * per_group + channels[0]) * taps, (group * per_group + channels[-1] + 1) * taps)
            rows = sampled[:, at_channel]
            centred = rows - rows.mean(0)
            a = centred.mT @ centred / len(rows) + config.eps * torch.eye(centred.shape[1], dtype=x.dtype)
            d = newton_schulz_by_spectrum(a, config.n_iter)
            white = d @ (everything[:, at_channel] - rows.mean(0)[:, None])
            each = layer.out_channels // layer.groups
            weight = layer.weight[group * each : (group + 1) * each, channels[0] : channels[-1] + 1].flatten(1)
            total = total + weight @ white
        outputs.append(total)
    y = torch.cat(outputs, 1).view(len(x), -1, high, wide)
    return y if layer.bias is None else y + layer.bias[:, None, None]


@given(
    st.integers(1, 6),
    st.sampled_from([1, 2, 3, (1, 3), (3, 2)]),
    st.integers(1, 2),
    st.integers(0, 1),
    st.integers(1, 2),
    st.sampled_from([None, 1, 2, 4]),
    st.integers(1, 3),
    st.booleans(),
)
@settings(max_examples=60)
def test_it_is_a_convolution_of_whitened_patches(channels, kernel, stride, padding, groups, block, sampling, bias):
    config = DeconvConfig.paper(block_size=block, sampling_stride=sampling, eps=1e-2, shrinkage="none")
    layer = layer_of(
        channels * groups,
        3 * groups,
        kernel,
        stride=stride,
        padding=padding if min(np.atleast_1d(kernel)) > 1 else 0,
        groups=groups,
        bias=bias,
        config=config,
    )
    x = images(c=channels * groups, size=(7, 8))
    torch.testing.assert_close(layer(x), explicit(x, layer), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("grid", ["staggered", "corner"])
@pytest.mark.parametrize(("dilation", "sampling"), [(2, 3), (2, 1), (4, 2), (24, 2), (36, 3)])
def test_dilation(dilation, sampling, grid):
    """Also where all but the middle pixel of the kernel is beyond the image, as in the pyramid of DeepLabV3."""
    config = DeconvConfig.paper(block_size=4, eps=1e-2, shrinkage="none", sampling_stride=sampling, grid=grid)
    layer = layer_of(4, 3, 3, dilation=dilation, padding=dilation, config=config)
    x = images()
    torch.testing.assert_close(layer(x), explicit(x, layer), rtol=1e-8, atol=1e-8)


def test_output_is_white_where_all_patches_are_sampled():
    config = DeconvConfig.paper(block_size=2, n_iter=EXACT, eps=1e-12, sampling_stride=1)
    layer = layer_of(4, 36, 3, config=config, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(36).view(36, 4, 3, 3))
    out = layer(images(40)).transpose(0, 1).flatten(1)
    covariance = out.cov(correction=0)
    for first in (0, 18):  # blocks of two channels of nine pixels
        block = covariance[first : first + 18, first : first + 18]
        torch.testing.assert_close(block, torch.eye(18, dtype=torch.float64), rtol=0, atol=1e-5)
    assert covariance[:18, 18:].abs().max() > 0.1


def test_one_pixel_and_one_channel_are_batch_normalisation():
    config = DeconvConfig.paper(block_size=1, sampling_stride=1, eps=1e-3, n_iter=1)
    layer, norm = layer_of(4, 3, 1, config=config), nn.BatchNorm2d(4, eps=1e-3, affine=False).double()
    x = images()
    torch.testing.assert_close(layer(x), conv2d(norm(x), layer.weight, layer.bias), rtol=1e-10, atol=1e-10)


@pytest.mark.filterwarnings("ignore:Using padding=.same. with even kernel")
@pytest.mark.parametrize("padding_mode", ["zeros", "reflect", "circular"])
@pytest.mark.parametrize("padding", ["same", "valid", 1, (0, 2)])
def test_shapes_are_those_of_convolutions(padding, padding_mode):
    arguments = {"padding": padding, "padding_mode": padding_mode, "dilation": (2, 1)}
    layer = layer_of(4, 6, (3, 2), config=DeconvConfig(), **arguments)
    plain = nn.Conv2d(4, 6, (3, 2), dtype=torch.float64, **arguments)
    x = images()
    assert layer(x).shape == plain(x).shape
    assert layer(x[0]).shape == plain(x[0]).shape


@pytest.mark.parametrize(("kind", "plain", "dims"), [(FastDeconv1d, nn.Conv1d, 1), (FastDeconv3d, nn.Conv3d, 3)])
def test_signals_and_volumes(kind, plain, dims):
    x = images(size=(8,) * dims)
    layer, other = layer_of(4, 6, 3, padding=1, kind=kind), plain(4, 6, 3, padding=1, dtype=torch.float64)
    assert layer(x).shape == other(x).shape
    layer.eval()
    ((mean, d),) = layer.whitening.running_statistics()
    weight, shift = layer.whitening.fold(layer.weight, [(mean, d)])
    with torch.no_grad():
        other.weight.copy_(weight)
        other.bias.copy_(layer.bias + shift)
    torch.testing.assert_close(layer(x), other(x))


def test_signals_are_images_of_one_row():
    config = DeconvConfig(sampling_stride=1, eps=1e-2)
    signal = images(size=(12,))
    layer, flat = layer_of(4, 3, 3, kind=FastDeconv1d, config=config), layer_of(4, 3, (1, 3), config=config)
    with torch.no_grad():
        flat.weight.copy_(layer.weight[:, :, None])
        flat.bias.copy_(layer.bias)
    torch.testing.assert_close(layer(signal), flat(signal[:, :, None])[:, :, 0])


@pytest.mark.parametrize(
    "config", [DeconvConfig.paper(eps=1e-2, block_size=2), DeconvConfig.reference(eps=1e-2, block_size=2)]
)
def test_gradients_flow_through_the_statistics(config):
    layer = layer_of(4, 2, 2, padding=1, config=config)

    def function(x, weight, bias):
        layer.whitening.reset_running_stats()  # the next batch would be sampled at other positions
        return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, (x,))

    x = images(2, size=(4, 5)).requires_grad_()
    assert torch.autograd.gradcheck(function, (x, layer.weight, layer.bias), atol=1e-5)


def test_detached_statistics_change_the_gradient_only():
    x = images()
    gradients = []
    for through in (True, False):
        layer = layer_of(4, 3, 3, config=DeconvConfig(eps=1e-2, through_statistics=through))
        leaf = x.clone().requires_grad_()
        out = layer(leaf)
        out.square().sum().backward()
        gradients.append((out.detach(), leaf.grad))
    torch.testing.assert_close(gradients[0][0], gradients[1][0])
    assert not torch.allclose(gradients[0][1], gradients[1][1])


def test_statistics_freeze_and_stay_frozen():
    layer = layer_of(4, 3, 3, config=DeconvConfig(freeze_after=2))
    for seed in range(2):
        layer(images(seed=seed))
    state = copy.deepcopy(layer.state_dict())
    assert layer.whitening.frozen
    x = images(seed=5)
    out = layer(x)
    torch.testing.assert_close(out, copy.deepcopy(layer).eval()(x))
    for key, value in layer.state_dict().items():
        assert torch.equal(value, state[key])
    again = layer_of(4, 3, 3, config=DeconvConfig(freeze_after=2), seed=9)
    again.load_state_dict(state)
    assert again.whitening.frozen
    torch.testing.assert_close(again(x), out)


def no_sampling(*_):
    raise AssertionError("the statistics are kept")


@pytest.mark.parametrize("settings", [{}, {"freeze_after": 1}, {"refresh_every": 2}])
def test_positions_are_chosen_only_where_statistics_are_taken(settings, monkeypatch):
    layer = layer_of(4, 3, 3, config=DeconvConfig(sampling_stride=1000, **settings))
    layer(images())
    monkeypatch.setattr("ndtools.layers.conv.patches_of", no_sampling)
    layer.train(bool(settings))(images())


def test_few_grids_are_built_of_many():
    layer = layer_of(1, 1, 1, config=DeconvConfig(sampling_stride=1000))
    x = torch.zeros(2, 1, 200, 300, dtype=torch.float64)
    sampling = layer.whitening.sampling(*layer.sampled_input(x))
    assert len(sampling) > 10_000
    assert sampling.gather(x).shape[-1] >= 2
    assert len(list(sampling._shares(x))) == 2


def test_refreshing_every_third_batch():
    layer = layer_of(4, 3, 3, config=DeconvConfig(refresh_every=3))
    exact = layer_of(4, 3, 3)
    batches = [images(seed=seed) for seed in range(7)]
    for step, x in enumerate(batches):
        if step % 3:
            _, ((mean, _),) = layer.whitening.statistics(x, no_sampling)
            assert not mean.requires_grad
        else:
            torch.testing.assert_close(layer(x), exact(x))
    assert layer.whitening.num_batches_tracked == 7
    layer.eval()
    exact.eval()
    torch.testing.assert_close(layer(x), exact(x))  # averages over the refreshed batches, and corrected for three


@pytest.mark.parametrize(
    "config", [DeconvConfig(refresh_every=2), DeconvConfig(freeze_after=3), DeconvConfig.reference()]
)
def test_loaded_in_mid_training_it_goes_on_the_same(config):
    layer = layer_of(4, 3, 3, config=config)
    layer(images(seed=0))
    again = layer_of(4, 3, 3, config=config, seed=7)
    again.load_state_dict(copy.deepcopy(layer.state_dict()))
    for seed in range(1, 5):
        x = images(seed=seed)
        assert torch.equal(layer(x), again(x))
    assert torch.equal(layer.eval()(x), again.eval()(x))


@given(
    size=st.integers(1, 40),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 2),
    padding=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    sampling=st.integers(1, 5),
    grid=st.sampled_from(["staggered", "corner"]),
)
def test_sampled_patches_are_patches_of_the_convolution(size, kernel, stride, dilation, padding, sampling, grid):
    reach = (kernel - 1) * dilation + 1
    if size + sum(padding) < reach:
        return
    positions = range(0, size + sum(padding) - reach + 1, stride)
    axes = axes_of(size, kernel, stride, dilation, padding, sampling, grid)
    assert all(axis.count >= 1 for axis in axes)
    all_found = [
        [axis.first + (0 if axis.padding == padding else padding[0]) + i * axis.step for i in range(axis.count)]
        for axis in axes
    ]
    found = all_found[0]
    assert set(found) <= set(positions)

    if grid == "staggered":
        assert sorted(itertools.chain(*all_found)) == list(
            positions
        )  # each once: padding is met as often as it is used
        assert max(map(len, all_found)) <= -(-len(positions) // sampling)
        assert len(axes) <= sampling
    else:
        assert found == list(positions)[::sampling]


@given(
    n=st.integers(1, 12),
    height=st.integers(1, 8),
    width=st.integers(1, 8),
    padding=st.integers(0, 2),
    s=st.integers(1, 4),
    turn=st.integers(0, 20),
)
def test_scattering_is_the_adjoint_of_gathering_on_staggered_grids(n, height, width, padding, s, turn):
    if min(height, width) + 2 * padding < 3:
        return
    layer = layer_of(2, 1, 3, padding=padding, config=DeconvConfig(sampling_stride=s))
    x = images(n, 2, (height, width))
    sampling = layer.whitening.sampling(*layer.sampled_input(x), turn=turn)
    features = sampling.gather(x)
    weights = torch.randn(features.shape, generator=torch.Generator().manual_seed(1), dtype=x.dtype)
    grad = torch.zeros_like(x)
    sampling.scatter_add(grad, weights)
    left, right = (grad * x).sum(), (weights * features).sum()
    assert abs(left - right) <= 1e-12 * (weights * features).abs().sum()


def test_a_batch_meets_each_position_equally_often():
    layer = layer_of(1, 1, 3, padding=1)
    n = 2 * 3  # grids along 4 and 7 pixels
    sampling = layer.whitening.sampling(*layer.sampled_input(torch.zeros(n, 1, 4, 7, dtype=torch.float64)))
    assert len(sampling) == n
    x = torch.arange(28, dtype=torch.float64).view(1, 1, 4, 7).expand(n, 1, 4, 7) + 1
    patches = sampling.gather(x)[0].mT  # a zero is padding
    every = unfold(pad(x[:1], (1,) * 4), 3)[0].mT
    assert sorted(map(tuple, patches.tolist())) == sorted(map(tuple, every.tolist()))


@pytest.mark.parametrize(("images", "batches"), [(1, 9), (2, 9), (3, 3), (9, 1), (5, 9)])
@pytest.mark.parametrize("refresh_every", [1, 3])
def test_batches_of_few_images_meet_each_position_equally_often(images, batches, refresh_every):
    config = DeconvConfig.paper(block_size=1, momentum=1.0, refresh_every=refresh_every)
    layer = layer_of(81, 1, 1, config=config)
    pixels = torch.eye(81, dtype=torch.float64).view(81, 9, 9)  # a channel for each position
    times = 0
    for _ in range(batches):
        for _ in range(refresh_every):
            layer(pixels.expand(images, 81, 9, 9))
        times = times + images * 9 * layer.whitening.running_mean.flatten()  # 9 patches of each image
    torch.testing.assert_close(times, torch.full_like(times, images * batches / 9), rtol=1e-12, atol=0)


def test_a_batch_of_one_image_meets_the_padding_as_often_as_the_convolution():
    layer = layer_of(1, 1, 3, padding=1, config=DeconvConfig(momentum=1.0))
    x = torch.ones(1, 1, 9, 9, dtype=torch.float64)
    means = []
    for _ in range(9):
        layer(x)
        means.append(layer.whitening.running_mean[0, 0].clone())
    expected = unfold(pad(x, (1,) * 4), 3)[0].mean(1)
    torch.testing.assert_close(torch.stack(means).mean(0), expected, rtol=1e-12, atol=0)


def test_constant_images_and_maps_of_one_pixel():
    for x in (torch.full((3, 4, 9, 9), 2.0, dtype=torch.float64), images(size=(1, 1))):
        layer = layer_of(4, 3, 3, padding=1)
        assert layer(x).isfinite().all()
        assert layer.eval()(x).isfinite().all()


def test_a_batch_of_one_image():
    assert layer_of(4, 3, 3)(images(1)).isfinite().all()


def test_autocast_keeps_the_statistics_in_float32():
    layer = layer_of(4, 3, 3, dtype=torch.float32)
    x = images(dtype=torch.float32)
    expected = copy.deepcopy(layer)(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = layer(x)
    assert layer.whitening.running_covariance.dtype == torch.float32
    reference = layer_of(4, 3, 3, dtype=torch.float32)
    reference(x)
    torch.testing.assert_close(layer.whitening.running_covariance, reference.whitening.running_covariance)
    weight, _ = layer.whitening.fold(layer.weight, layer.whitening.running_statistics())
    scale = (x.abs().amax() * weight.abs().flatten(1).sum(1).amax()).item()
    assert (out.float() - expected).abs().max().item() < 4 * 2**-8 * scale


def test_constructor_arguments_are_those_of_convolutions():
    for bias, groups in itertools.product((True, False), (1, 2)):
        layer = FastDeconv2d(4, 6, (3, 1), (2, 1), (1, 0), 1, groups, bias, "zeros")
        assert (layer.bias is None) != bias
        assert layer(images(dtype=torch.float32)).shape == (6, 6, 5, 9)


def test_too_few_samples_are_warned_of():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        layer_of(4, 3, 3, config=DeconvConfig(shrinkage="none"))(images(2, size=(4, 4)))
    (warning,) = caught
    assert issubclass(warning.category, NumericalWarning)
    assert "for 36 features" in str(warning.message)
    assert warning.filename == __file__


@pytest.mark.parametrize(("shared", "patches"), [(True, 4 * 36 // 9), (False, 4 * 36 // 4)])
def test_the_sampling_stride_is_lowered_until_each_block_has_as_many_samples_as_features(shared, patches):
    """Blocks of 4 channels (36 features); 4 of them share one D, or each has its own. The map has 4 · 6² positions."""
    layer = layer_of(16, 3, 3, padding=1, config=DeconvConfig(block_size=4, shared=shared))
    x = images(4, 16, (6, 6))
    sampled = layer.whitening.sampling(*layer.sampled_input(x)).gather(x)
    assert sampled.shape == (16, 9, patches)
    (part,) = layer.whitening.parts
    assert part.rows(sampled[None]).shape[-1] >= 36


def test_patches_may_lie_wholly_in_the_padding():
    layer = layer_of(1, 1, 1, padding=3, config=DeconvConfig(sampling_stride=100))
    x = images(15, 1)
    assert layer(x).isfinite().all()
    (patches,) = (
        layer.whitening.sampling(*layer.sampled_input(x)).gather(x).unbind(0)
    )  # one of each image, in the same row of pixels
    rows = [image[0, 4].tolist() for image in x]
    wanted = [rows[i][at] if 0 <= (at := (7 + i) % 15 - 3) < 9 else 0 for i in range(15)]
    assert patches[0].tolist() == wanted
