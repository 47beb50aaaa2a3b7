"""Transposed convolutions against explicit whitening of the patches of zero-stuffed images, and against torch's."""

import copy
import math
import pickle

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import pad, unfold
from torch.utils.checkpoint import checkpoint

from ndtools.layers.config import DeconvConfig
from ndtools.layers.conv import FastDeconv1d, FastDeconv2d, FastDeconv3d
from ndtools.layers.conv_transpose import FastDeconvTranspose1d, FastDeconvTranspose2d, FastDeconvTranspose3d
from ndtools.surgery.audit import audit
from tests.oracles.inverse_roots import newton_schulz_by_spectrum
from tests.tolerance import rtol

pytestmark = pytest.mark.filterwarnings("ignore::ndtools.errors.NumericalWarning")
KINDS = {
    1: (FastDeconvTranspose1d, nn.ConvTranspose1d, FastDeconv1d),
    2: (FastDeconvTranspose2d, nn.ConvTranspose2d, FastDeconv2d),
    3: (FastDeconvTranspose3d, nn.ConvTranspose3d, FastDeconv3d),
}
CONFIG = DeconvConfig.paper(block_size=2, sampling_stride=1, eps=1e-2, shrinkage="none")


def images(n=6, c=4, size=(5, 6), seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, c, *size, generator=generator, dtype=torch.float64)
    return 1 + x + 0.5 * torch.roll(x, 1, 1)


def layer_of(*args, config=CONFIG, kind=FastDeconvTranspose2d, **kwargs):
    torch.manual_seed(1)
    return kind(*args, dtype=torch.float64, config=config, **kwargs)


def explicit(x, layer):
    """Output by the definition, and a bound on its rounding.

    Zeros are put between and around the pixels, all patches are whitened block by block, and each is multiplied by the
    flipped kernel with channels exchanged.
    """
    (sy, sx), (py, px), (oy, ox), (dy, dx), (ky, kx) = (
        layer.stride,
        layer.padding,
        layer.output_padding,
        layer.dilation,
        layer.kernel_size,
    )
    n, channels, high, wide = x.shape
    stuffed = torch.zeros(n, channels, (high - 1) * sy + 1, (wide - 1) * sx + 1, dtype=x.dtype)
    stuffed[:, :, ::sy, ::sx] = x
    around_y, around_x = dy * (ky - 1) - py, dx * (kx - 1) - px
    padded = pad(stuffed, (around_x, around_x + ox, around_y, around_y + oy))
    size = [padded.shape[2] - dy * (ky - 1), padded.shape[3] - dx * (kx - 1)]
    patches = unfold(padded, (ky, kx), dilation=(dy, dx)).view(n, channels, ky * kx, -1)
    in_group, out_group = channels // layer.groups, layer.out_channels // layer.groups
    y = torch.zeros(n, layer.out_channels, patches.shape[-1], dtype=x.dtype)
    bound = torch.zeros_like(y)
    block = layer.whitening.config.block_size
    for group in range(layer.groups):
        outputs = slice(group * out_group, (group + 1) * out_group)
        for first in range(0, in_group, block):
            at = slice(group * in_group + first, group * in_group + min(first + block, in_group))
            rows = patches[:, at].flatten(1, 2)
            samples = rows.transpose(0, 1).flatten(1)
            mean = samples.mean(1, keepdim=True)
            a = (samples - mean) @ (samples - mean).mT / samples.shape[1]
            a = a + layer.whitening.config.eps * torch.eye(len(a), dtype=a.dtype)
            d = newton_schulz_by_spectrum(a, layer.whitening.config.n_iter)
            kernel = layer.weight[at].flip(2, 3).transpose(0, 1).flatten(1)
            y[:, outputs] += kernel @ d @ (rows - mean)
            # Each iteration rounds anew, and so does each product of the output.
            error = rtol(a.dtype, float(torch.linalg.cond(a))) * (layer.whitening.config.n_iter + math.sqrt(len(a)))
            bound[:, outputs] += error * (kernel.abs() @ d.abs() @ (rows.abs() + mean.abs()))
    bias = 0 if layer.bias is None else layer.bias[:, None]
    return (y + bias).unflatten(2, size), bound.max()


@given(
    channels=st.integers(1, 5),
    kernel=st.sampled_from([1, 2, 3, (1, 3), (3, 2)]),
    stride=st.sampled_from([1, 2, 3, (1, 2)]),
    padding=st.integers(0, 3),
    output_padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
    groups=st.integers(1, 2),
    bias=st.booleans(),
)
@settings(max_examples=80)
def test_it_is_a_convolution_of_whitened_patches_of_zero_stuffed_images(
    channels, kernel, stride, padding, output_padding, dilation, groups, bias
):
    smallest = min(stride) if isinstance(stride, tuple) else stride
    assume(output_padding < max(smallest, dilation))
    arguments = (kernel, stride, padding, output_padding, groups, bias, dilation)
    x = images(c=channels * groups)
    layer = layer_of(channels * groups, 3 * groups, *arguments)
    try:
        wanted = nn.ConvTranspose2d(channels * groups, 3 * groups, *arguments, dtype=torch.float64)(x).shape
    except RuntimeError:
        assume(False)
    found = layer(x).detach()
    assert found.shape == wanted
    expected, bound = explicit(x, layer)
    assert (found - expected).abs().max() <= bound


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("config", [DeconvConfig(block_size=3), DeconvConfig.reference(block_size=2)])
def test_with_stride_one_it_is_a_convolution(dims, config):
    transposed, _, plain = KINDS[dims]
    layer = layer_of(4, 6, 3, 1, 1, kind=transposed, groups=2, dilation=2, config=config)
    same = layer_of(4, 6, 3, 1, 3, kind=plain, groups=2, dilation=2, config=config)
    with torch.no_grad():
        for group in range(2):
            weight = layer.weight[2 * group : 2 * group + 2].transpose(0, 1)
            same.weight[3 * group : 3 * group + 3] = weight.flip(tuple(range(2, 2 + dims)))
        same.bias.copy_(layer.bias)
    for x in (images(size=(6, 5, 4)[:dims]), images(9, size=(6, 5, 4)[:dims], seed=2)):
        torch.testing.assert_close(layer(x), same(x))
    torch.testing.assert_close(layer.eval()(x), same.eval()(x))
    for name, buffer in layer.named_buffers():
        torch.testing.assert_close(buffer, same.get_buffer(name))


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_evaluation_is_torchs_with_the_folded_weight(dims):
    transposed, plain, _ = KINDS[dims]
    layer, other = layer_of(4, 3, 3, 2, kind=transposed), plain(4, 3, 3, 2, dtype=torch.float64)
    x = images(size=(6, 5, 4)[:dims])
    assert layer(x).shape == other(x).shape
    layer.eval()
    statistics = layer.whitening.running_statistics()
    spatial = tuple(range(2, 2 + dims))
    weight, shift = layer.whitening.fold(layer.weight.transpose(0, 1).flip(spatial), statistics)
    with torch.no_grad():
        other.weight.copy_(weight.flip(spatial).transpose(0, 1))
        other.bias.copy_(layer.bias + shift)
    torch.testing.assert_close(layer(x), other(x))
    torch.testing.assert_close(layer(x[0]), other(x)[0])


def test_the_size_of_the_output_can_be_chosen():
    layer, plain = layer_of(4, 3, 3, 2, 1), nn.ConvTranspose2d(4, 3, 3, 2, 1, dtype=torch.float64)
    x = images()
    for size in ([9, 12], [10, 11], [6, 3, 10, 12]):
        assert layer(x, output_size=size).shape == plain(x, output_size=size).shape
    padded = layer_of(4, 3, 3, 2, 1, output_padding=(1, 0))
    torch.testing.assert_close(layer(x, [10, 11]), padded(x))
    with pytest.raises(ValueError, match="output size"):
        layer(x, [13, 13])


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.ones(2, 8, 9, 9), ValueError, "expected 4 channels, got 8"),
        (torch.ones(4, 9), ValueError, "expected an input with 4 axes, or 3 without N"),
        (torch.ones(2, 4, 1, 1), ValueError, r"shape \(2, 4, 1, 1\) gives an output of \[-1, -1\] pixels"),
        (torch.ones(2, 4, 9, 9, dtype=torch.float64), TypeError, "dtype of the weights, torch.float32"),
        (torch.ones(0, 4, 9, 9), ValueError, "at least one sample"),
    ],
)
def test_inputs_that_do_not_fit_are_named_and_not_tracked(x, error, message):
    layer = FastDeconvTranspose2d(4, 3, 3, padding=2)
    with pytest.raises(error, match=message):
        layer(x)
    assert layer.whitening.num_batches_tracked == 0
    assert not layer.whitening.running_mean.any()


@given(
    n=st.integers(1, 7),
    size=st.tuples(st.integers(1, 5), st.integers(1, 4)),
    kernel=st.integers(1, 4),
    stride=st.integers(1, 4),
    padding=st.integers(0, 3),
    output_padding=st.integers(0, 3),
    dilation=st.integers(1, 3),
    sampling=st.integers(1, 5),
    grid=st.sampled_from(["staggered", "corner"]),
)
def test_sampled_patches_are_those_of_the_definition(
    n, size, kernel, stride, padding, output_padding, dilation, sampling, grid
):
    assume(output_padding < max(stride, dilation))
    outputs = [(s - 1) * stride - 2 * padding + dilation * (kernel - 1) + output_padding + 1 for s in size]
    assume(min(outputs) >= 1)
    config = DeconvConfig(sampling_stride=sampling, grid=grid)
    layer = layer_of(1, 1, kernel, stride, padding, output_padding, dilation=dilation, config=config)
    x = images(n, 1, size)
    patches = layer.whitening.sampling(*layer.sampled_input(x))
    features = patches.gather(x)
    around = dilation * (kernel - 1) - padding
    stuffed = torch.zeros(n, 1, *[(s - 1) * stride + 1 for s in size], dtype=x.dtype)
    stuffed[:, :, ::stride, ::stride] = x
    padded = pad(stuffed, (around, around + output_padding) * 2)
    every = unfold(padded, kernel, dilation=dilation).transpose(0, 1).flatten(1)
    allowed = set(map(tuple, every.mT.tolist()))
    assert set(map(tuple, features[0].mT.tolist())) <= allowed

    weights = torch.randn(features.shape, generator=torch.Generator().manual_seed(1), dtype=x.dtype)
    grad = torch.zeros_like(x)
    patches.scatter_add(grad, weights)
    products = weights * features
    assert (
        abs((grad * x).sum() - products.sum()) <= rtol(x.dtype, 1) * math.sqrt(products.numel()) * products.abs().sum()
    )


@pytest.mark.parametrize("grid", ["staggered", "corner"])
@pytest.mark.parametrize("sampling", [2, 3, 4, 6])
def test_every_grid_meets_every_phase_of_the_zeros(grid, sampling):
    layer = layer_of(1, 1, 1, 2, config=DeconvConfig(sampling_stride=sampling, grid=grid))
    x = torch.ones(1, 1, 24, 24, dtype=torch.float64)
    features = layer.whitening.sampling(*layer.sampled_input(x)).gather(x)
    # A kernel of one pixel sees the pixel at a quarter of the positions.
    assert abs(float(features.mean()) - 1 / 4) < 1 / 16


def test_few_patches_are_sampled_less_sparsely():
    layer = layer_of(6, 6, 3, 2, 1, config=DeconvConfig(sampling_stride=3, shrinkage="none", eps=1e-9))
    x = images(4, 6, (7, 7))
    layer(x)
    values = torch.linalg.eigvalsh(layer.whitening.running_covariances()[0][0, 0])
    assert values[0] > 1e-6 * values[-1]


def test_blocks_have_at_most_576_features():
    layer = FastDeconvTranspose2d(64, 2, 4, stride=2)
    assert layer.whitening.running_mean.shape == (1, 1, 32 * 16)  # a kernel of 4×4 pixels


def network():
    torch.manual_seed(0)
    new = {"dtype": torch.float64, "config": CONFIG}
    return nn.Sequential(FastDeconvTranspose2d(4, 6, 4, 2, 1, **new), nn.ReLU(), FastDeconvTranspose2d(6, 3, 3, **new))


def gradients(model, x, through=lambda model, x: model(x)):
    model.zero_grad()
    x = x.clone().requires_grad_()
    through(model, x).square().sum().backward()
    return [x.grad, *(p.grad.clone() for p in model.parameters())]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:The .grad attribute:UserWarning")  # of the compiler
def test_compiled_checkpointed_copied_and_pickled_it_trains_the_same():
    model = network()
    assert len(torch._dynamo.explain(network()[:2])(images()).break_reasons) == 1  # one for the layer
    recomputed = network()
    others = {
        "compiled": torch.compile(network(), backend="aot_eager"),
        "copied": copy.deepcopy(model),
        "pickled": pickle.loads(pickle.dumps(model)),
        "checkpointed": lambda x: checkpoint(recomputed, x, use_reentrant=False),
    }
    for step in range(2):
        x = images(seed=step)
        expected = gradients(model, x)[0]
        for name, other in others.items():
            leaf = x.clone().requires_grad_()
            other(leaf).square().sum().backward()
            torch.testing.assert_close(leaf.grad, expected, msg=lambda text, name=name: f"{name}: {text}")


def test_the_audit_counts_padding_and_not_the_zeros_between_pixels():
    x = images(5, 4, (6, 6)).float()
    layer = FastDeconvTranspose2d(4, 3, 3, 2, config=DeconvConfig(sampling_stride=1))
    (row,) = audit(layer, x).rows
    padded = pad(torch.ones(1, 1, 11, 11), (2,) * 4)
    assert row.rows == 5 * 13 * 13
    assert row.padding_share == pytest.approx(1 - float(unfold(padded, 3).mean()), rel=1e-6)
    assert audit(nn.Sequential(FastDeconvTranspose2d(4, 3, 1, 2)), x).rows[0].padding_share == 0
