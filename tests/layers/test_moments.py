"""Moments of sampled features: value and gradient against autograd through gathering and centring."""

import pytest
import torch

from ndtools.layers.blocks import parts_of
from ndtools.layers.config import DeconvConfig
from ndtools.layers.moments import moments_of
from ndtools.layers.sampling import Axis, Patches, Pixels, Vectors

DISJOINT = Patches((3, 2), (1, 1), (Axis(1, 3, 2, (0, 0)), Axis(0, 4, 2, (0, 0))))
OVERLAPPING = Patches((3, 3), (1, 2), (Axis(0, 1, 5, (0, 0)), Axis(1, 2, 2, (0, 0))))
PADDED = Patches((3, 3), (1, 1), (Axis(0, 3, 3, (1, 2)), Axis(0, 2, 4, (1, 0))))
SAMPLINGS = {
    "disjoint": (DISJOINT, (4, 6, 7, 8)),
    "overlapping": (OVERLAPPING, (4, 6, 7, 8)),
    "padded": (PADDED, (4, 6, 7, 8)),
    "pixels": (Pixels(5), (4, 6, 7, 8)),
    "all pixels": (Pixels(1), (4, 6, 7)),
    "vectors": (Vectors(), (9, 3, 6)),
}
LAYOUTS = {
    "one block": DeconvConfig(block_size=None),
    "blocks": DeconvConfig(block_size=3),
    "and a rest": DeconvConfig(block_size=4),
    "shared": DeconvConfig(block_size=2, shared=True),
    "published": DeconvConfig.reference(block_size=2),
}


def plainly(x, sampling, parts, groups):
    features = sampling.gather(x)
    grouped = features.reshape(groups, -1, *features.shape[1:])
    found = []
    for part in parts:
        rows = part.rows(grouped)
        mean = rows.mean(-1, keepdim=True)
        found.append((mean[..., 0], (rows - mean) @ (rows - mean).mT / rows.shape[-1]))
    return found


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("memory", ["contiguous", "channels last"])
def test_moments_and_their_gradient(sampling, layout, groups, memory):
    sampling, shape = SAMPLINGS[sampling]
    torch.manual_seed(0)
    x = torch.randn(shape, dtype=torch.float64)
    if memory == "channels last" and x.dim() == 4:
        x = x.to(memory_format=torch.channels_last)
    before = x.clone()
    x.requires_grad_()
    channels = x.shape[-1] if isinstance(sampling, Vectors) else x.shape[1]
    parts = parts_of(channels // groups, sampling.gather(x).shape[1], groups, LAYOUTS[layout])
    expected = plainly(x, sampling, parts, groups)
    passed, counts, moments = moments_of(x, sampling, parts, groups, torch.float64)
    weights = [(torch.randn_like(mean), torch.randn_like(square)) for mean, square in expected]
    onward = torch.randn_like(x)  # what comes back through the layer

    def total(x, moments):
        return (x * onward).sum() + sum(
            (m * w).sum() + (s * v).sum() for (m, s), (w, v) in zip(moments, weights, strict=True)
        )

    (wanted,) = torch.autograd.grad(total(x, expected), x)
    (grad,) = torch.autograd.grad(total(passed, moments), x)
    for (mean, square), (other_mean, other_square) in zip(moments, expected, strict=True):
        torch.testing.assert_close(mean, other_mean, rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(square, other_square, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(grad, wanted, rtol=1e-12, atol=1e-13)
    assert torch.equal(x, before)
    assert counts == [sampling.gather(x).shape[-1] * (part.blocks if part.shared else 1) for part in parts]


def test_a_gradient_that_cannot_be_written_to():
    x = torch.randn(5, 4, requires_grad=True)
    passed, _, ((_, square),) = moments_of(x, Vectors(), parts_of(4, 1, 1, DeconvConfig()), 1, torch.float32)
    (passed.sum() + 0 * square.sum()).backward()
    torch.testing.assert_close(x.grad, torch.ones(5, 4))


def test_half_precision_is_summed_in_full():
    x = (1000 + torch.randn(4000, 2)).to(torch.bfloat16)
    _, _, ((mean, square),) = moments_of(x, Vectors(), parts_of(2, 1, 1, DeconvConfig()), 1, torch.float32)
    torch.testing.assert_close(mean[0, 0], x.double().mean(0).float(), rtol=1e-6, atol=0)
    torch.testing.assert_close(square[0, 0], torch.cov(x.double().mT, correction=0).float(), rtol=1e-4, atol=1e-4)
