"""What the paper proves of its operation, in numbers (Ye et al. 2020, propositions, appendices)."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import batch_norm, mse_loss, unfold

from ndtools.layers.channel import ChannelDeconv
from ndtools.layers.config import DeconvConfig
from ndtools.layers.conv import FastDeconv2d
from ndtools.layers.linear import DeconvLinear
from ndtools.layers.sampling import Vectors

EXACT = DeconvConfig.paper(block_size=None, n_iter=40, sampling_stride=1, eps=1e-5)


def smooth_images(n=6, channels=2, size=12):
    torch.manual_seed(0)
    x = torch.randn(n, channels, size + 2, size + 2, dtype=torch.float64)
    return torch.nn.functional.avg_pool2d(x, 3, stride=1) + 0.5


def test_convolving_the_deconvolved_with_the_correlation_gives_the_input_back():
    # Proposition 2: X Cov^(-1/2) (Cov^(1/2) δ) = X δ, the pixel at the centre of each patch
    x = smooth_images()
    patches = unfold(x, 3).movedim(1, 2).flatten(0, 1)
    covariance = torch.cov(patches.mT, correction=0) + 1e-5 * torch.eye(18, dtype=x.dtype)
    values, vectors = torch.linalg.eigh(covariance)
    correlation = (vectors * values.sqrt()) @ vectors.mT
    layer = FastDeconv2d(2, 2, 3, bias=False, dtype=x.dtype, config=EXACT)
    with torch.no_grad():
        layer.weight.copy_(correlation[[4, 13]].view(2, 2, 3, 3))  # of the centres of both channels
        out = layer(x)
    centre = x[:, :, 1:-1, 1:-1]
    mean = patches.mean(0)[[4, 13]].view(1, 2, 1, 1)
    torch.testing.assert_close(out, centre - mean, rtol=0, atol=1e-9)


def test_the_kernel_of_a_pixel_is_a_column_of_d():
    # ... which is the deconvolution kernel Cov^(-1/2) δ (sec. 4.3.1)
    x = smooth_images(channels=1)
    layer = FastDeconv2d(1, 1, 3, bias=False, dtype=x.dtype, config=EXACT)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(9, dtype=x.dtype)[4].view(1, 1, 3, 3))
        out = layer(x)
    _, ((mean, d),) = copy.deepcopy(layer).whitening.statistics(*layer.sampled_input(x))
    kernel = d[0, 0, 4].view(1, 1, 3, 3)
    expected = nn.functional.conv2d(x - x.mean(), kernel)
    shift = ((mean[0, 0] - x.mean()) * d[0, 0, 4]).sum()
    torch.testing.assert_close(out, expected - shift, rtol=0, atol=1e-9)


@pytest.mark.parametrize("eps", [1e-8, 1e-3])
def test_correcting_the_input_is_correcting_the_gradient_by_newton(eps):
    # Appendix A.8: a step on W behind D moves the map that the data see by −α D² Xᵗ dL/dY, as Newton's method does
    torch.manual_seed(1)
    x = torch.randn(200, 6, dtype=torch.float64) @ torch.randn(6, 6, dtype=torch.float64)
    target = torch.randn(200, 3, dtype=torch.float64)
    config = DeconvConfig.paper(block_size=None, n_iter=60, eps=eps, through_statistics=False)
    layer = DeconvLinear(6, 3, dtype=x.dtype, config=config)
    _, ((mean, d),) = copy.deepcopy(layer).whitening.statistics(x, lambda *_: Vectors())
    rate = 0.1
    seen = (layer.weight @ d[0, 0]).detach()
    out = layer(x)
    out.retain_grad()
    mse_loss(out, target, reduction="sum").backward()
    with torch.no_grad():
        layer.weight -= rate * layer.weight.grad
        moved = layer.weight @ d[0, 0] - seen
    centred = x - mean[0, 0]
    covariance = centred.mT @ centred / len(x) + eps * torch.eye(6, dtype=x.dtype)
    newton = -rate * torch.linalg.solve(covariance, centred.mT @ out.grad).mT
    torch.testing.assert_close(moved, newton, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("shape", [(50, 4), (9, 4, 7), (5, 4, 6, 6), (4, 4, 3, 3, 3)])
def test_channels_one_by_one_are_batch_normalised(shape):
    torch.manual_seed(2)
    x = 3 + torch.randn(shape, dtype=torch.float64) * torch.tensor([1.0, 2, 3, 4]).view(1, 4, *[1] * (len(shape) - 2))
    layer = ChannelDeconv(4, DeconvConfig.paper(block_size=1, n_iter=40, sampling_stride=1), dtype=x.dtype)
    torch.testing.assert_close(layer(x), batch_norm(x, None, None, training=True, eps=1e-5), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("shape", [(80, 6), (9, 6, 12), (5, 6, 8, 8)])
def test_whitened_channels_are_white(shape):
    torch.manual_seed(3)
    mix = torch.randn(6, 6, dtype=torch.float64)
    x = torch.tensordot(torch.randn(shape, dtype=torch.float64), mix, dims=([1], [0])).movedim(-1, 1) + 2
    layer = ChannelDeconv(
        6, DeconvConfig.paper(block_size=None, n_iter=60, eps=1e-12, sampling_stride=1), dtype=x.dtype
    )
    rows = layer(x).movedim(1, 0).flatten(1)
    torch.testing.assert_close(rows.mean(1), torch.zeros(6, dtype=x.dtype), rtol=0, atol=1e-9)
    torch.testing.assert_close(torch.cov(rows, correction=0), torch.eye(6, dtype=x.dtype), rtol=0, atol=1e-6)


def test_blocks_of_channels_are_white_each():
    torch.manual_seed(4)
    x = torch.randn(100, 7, 5, 5, dtype=torch.float64)
    x = x + x.roll(1, 1)
    layer = ChannelDeconv(7, DeconvConfig.paper(block_size=3, n_iter=40, eps=1e-12, sampling_stride=1), dtype=x.dtype)
    covariance = torch.cov(layer(x).movedim(1, 0).flatten(1), correction=0)
    for start in (0, 3, 6):
        block = covariance[start : start + 3, start : start + 3]
        torch.testing.assert_close(block, torch.eye(len(block), dtype=x.dtype), rtol=0, atol=1e-6)
    assert covariance[2, 3].abs() > 0.1  # neighbours in different blocks stay correlated


@pytest.mark.parametrize(
    "config", [DeconvConfig.paper(block_size=3, sampling_stride=1), DeconvConfig.reference(block_size=2)]
)
def test_gradients_of_whitened_channels(config):
    layer = ChannelDeconv(6, config, dtype=torch.float64)
    torch.manual_seed(5)
    x = torch.randn(3, 6, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, x)


def test_channels_that_do_not_fit():
    with pytest.raises(ValueError, match=r"expected 3 channels, got 4"):
        ChannelDeconv(3)(torch.ones(2, 4, 5, 5))
    with pytest.raises(ValueError, match=r"2 to 5 axes"):
        ChannelDeconv(3)(torch.ones(3))
    with pytest.raises(ValueError, match="num_channels must be at least 1"):
        ChannelDeconv(0)
