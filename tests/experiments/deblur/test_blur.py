import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from ndtools.errors import NumericalWarning
from ndtools.experiments.deblur import blur as module
from ndtools.experiments.deblur.blur import (
    KernelMoments,
    blur,
    correlate,
    descend,
    gaussian_kernel,
    motion_kernel,
    solve,
)
from ndtools.numerics.inverse_sqrt import Eigh, inverse_sqrt
from tests.oracles.patches import patch_matrix

CPU = torch.device("cpu")


def second_moments(kernel):
    y, x = (np.arange(n) - n // 2 for n in kernel.shape)
    return (kernel * x**2).sum(), (kernel * y[:, None] ** 2).sum(), -(kernel * np.outer(y, x)).sum()


@pytest.mark.parametrize("sigma", [0.8, 1.0, 2.0, 3.7])
def test_gaussian(sigma):
    kernel = gaussian_kernel(sigma)
    assert kernel.shape == (2 * int(np.ceil(3.5 * sigma)) + 1,) * 2
    assert kernel.sum() == pytest.approx(1, abs=1e-14)
    for turned in (kernel.T, kernel[::-1], kernel[:, ::-1]):
        np.testing.assert_allclose(kernel, turned, rtol=1e-12)
    centre = len(kernel) // 2
    assert kernel[centre, centre + 1] / kernel[centre, centre] == pytest.approx(np.exp(-0.5 / sigma**2))
    assert kernel[centre + 1, centre + 1] / kernel[centre, centre] == pytest.approx(np.exp(-1 / sigma**2))
    vertical, horizontal, mixed = second_moments(kernel)
    assert vertical == pytest.approx(sigma**2, rel=0.007)  # 0.6 % is cut off
    assert horizontal == pytest.approx(vertical)
    assert mixed == pytest.approx(0, abs=1e-12)


@settings(max_examples=60)
@given(st.floats(0.1, 30), st.floats(-400, 400))
def test_motion(length, angle):
    kernel = motion_kernel(length, angle)
    assert kernel.min() >= 0
    assert kernel.sum() == pytest.approx(1, abs=1e-12)
    np.testing.assert_array_equal(kernel, kernel[::-1, ::-1])
    x, y = length * np.cos(np.radians(angle)), length * np.sin(np.radians(angle))
    found = second_moments(kernel)
    for value, line in zip(found[:2], (x**2 / 12, y**2 / 12), strict=True):
        assert line - 1e-9 <= value <= line + 0.25 + 1e-9
    assert found[2] == pytest.approx(x * y / 12, abs=1e-9)  # sharing spreads along the axes only
    fine = np.linspace(-0.5, 0.5, 20001)
    half = len(kernel) // 2
    across = np.maximum(0, 1 - np.abs(np.arange(-half, half + 1)[:, None] - fine * x))
    np.testing.assert_allclose(kernel.sum(0), across.mean(1), atol=1e-3)


def test_motion_along_the_axes_and_a_diagonal():
    along = motion_kernel(9, 0)
    assert along.shape == (11, 11)
    np.testing.assert_allclose(along[5], [0.125 / 9, 0.875 / 9, *[1 / 9] * 7, 0.875 / 9, 0.125 / 9])
    assert second_moments(along)[0] == pytest.approx(81 / 12 + 1 / 6)  # whole pixels share 1/6 on average
    assert second_moments(along)[1] == 0
    np.testing.assert_allclose(motion_kernel(9, 90), along.T, atol=1e-12)
    rising = motion_kernel(7, 45)
    assert rising[0, -1] > 0 == rising[0, 0]  # up to the right, as the image is seen
    np.testing.assert_allclose(motion_kernel(7, 135), rising[:, ::-1], atol=1e-12)


@pytest.mark.parametrize(
    "call",
    [
        lambda: gaussian_kernel(0),
        lambda: gaussian_kernel(np.nan),
        lambda: motion_kernel(-1, 0),
        lambda: motion_kernel(3, np.inf),
        lambda: blur(torch.zeros(4, 9), torch.ones(5, 3)),
    ],
)
def test_nonsense_is_refused(call):
    with pytest.raises(ValueError):
        call()


@settings(max_examples=40)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 40), st.integers(0, 40), st.integers(0, 9))
def test_blur_and_correlate_are_exact_in_any_bands(ky, kx, more_rows, more_columns, seed):
    rng = np.random.default_rng(seed)
    x, k = rng.random((ky + more_rows, kx + more_columns)), rng.random((ky, kx))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BAND", 7)
        y = blur(torch.from_numpy(x), torch.from_numpy(k))
        products = correlate(torch.from_numpy(x), y)
    expected = signal.convolve(x, k, mode="valid", method="direct")
    np.testing.assert_allclose(y.numpy(), expected, atol=1e-13)  # a transform rounds to the largest
    np.testing.assert_allclose(
        products.numpy().ravel(), patch_matrix(x[None], (ky, kx)).T @ expected.ravel(), rtol=1e-12
    )


def pair(size, seed=0, channels=2, noise=0.1, kernel=None):
    rng = np.random.default_rng(seed)
    x = rng.random((channels, *size)).cumsum(1) / size[0]
    kernel = rng.random((3, 3)) if kernel is None else kernel
    y = np.stack([signal.convolve(plane, kernel, mode="valid") for plane in x])
    return x, y + noise * rng.standard_normal(y.shape), kernel


def regression(x, y, k):
    """Patches and outputs of all channels, each about its own mean."""
    rows = [patch_matrix(plane[None], k) for plane in x]
    return np.concatenate([r - r.mean(0) for r in rows]), np.concatenate([(p - p.mean()).ravel() for p in y])


@settings(max_examples=30)
@given(st.integers(3, 20), st.integers(3, 20), st.integers(1, 3), st.integers(0, 9))
def test_moments_are_those_of_the_patch_matrix(height, width, channels, seed):
    x, y, _ = pair((height, width), seed, channels)
    matrix, target = regression(x, y, 3)
    found = KernelMoments.of(x, y, device=CPU)
    np.testing.assert_allclose(found.covariance.numpy(), matrix.T @ matrix / len(matrix), atol=1e-13)
    np.testing.assert_allclose(found.cross.numpy(), matrix.T @ target / len(matrix), atol=1e-13)
    assert found.variance == pytest.approx((target**2).mean(), abs=1e-13)


def test_moments_of_grey_levels():
    x, y, _ = pair((12, 13))
    levels = np.rint(255 * x).astype(np.uint8)
    a, b = KernelMoments.of(levels, y, device=CPU), KernelMoments.of(levels / 255, y, device=CPU)
    torch.testing.assert_close(a.covariance, b.covariance, atol=1e-13, rtol=0)
    torch.testing.assert_close(a.cross, b.cross, atol=1e-13, rtol=0)


def test_descent_is_that_on_the_patch_matrix():
    x, y, _ = pair((20, 17))
    matrix, target = regression(x, y, 3)
    d = np.linalg.inv(matrix.T @ matrix / len(matrix) + 0.05 * np.eye(9))
    moments = KernelMoments.of(x, y, device=CPU)
    for lr, whitening in ((0.3, None), (0.01, d)):
        data, w = (matrix if whitening is None else matrix @ d), np.zeros(9)
        path = descend(moments, lr, 20, None if whitening is None else torch.from_numpy(d)).numpy()
        for n in range(21):
            np.testing.assert_allclose(path[n], w if whitening is None else d @ w, atol=1e-11)
            w = w - lr * data.T @ (data @ w - target) / len(data)


def test_one_step_is_the_optimum_when_whitening_is_exact():
    x, y, _ = pair((30, 30), noise=0.2)
    moments = KernelMoments.of(x, y, device=CPU)
    d = inverse_sqrt(moments.covariance, Eigh()).matrix
    path = descend(moments, 1.0, 3, d)
    for n in (1, 2, 3):
        torch.testing.assert_close(path[n], solve(moments), rtol=1e-9, atol=1e-10)


def test_the_closed_form_recovers_the_kernel():
    x, y, kernel = pair((40, 30), noise=0)
    found = solve(KernelMoments.of(x, y, device=CPU)).numpy()[::-1].reshape(3, 3)
    np.testing.assert_allclose(found, kernel, rtol=1e-9)


def test_an_image_without_detail_does_not_determine_it():
    x = np.tile(np.arange(20.0) ** 2 / 400, (1, 20, 1))  # a row, repeated
    y = np.stack([signal.convolve(x[0], np.ones((3, 3)) / 9, mode="valid")])
    with pytest.warns(NumericalWarning, match="determines 2 of the 9"):
        weights = solve(KernelMoments.of(x, y, device=CPU))
    np.testing.assert_allclose(weights.numpy().reshape(3, 3).std(0), 0, atol=1e-9)  # the smallest: columns alike
