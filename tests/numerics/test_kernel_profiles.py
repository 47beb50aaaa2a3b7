"""Profiles of kernels against closed forms and sums over single pixels."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndtools.numerics.difference_of_gaussians import fit_difference_of_gaussians
from ndtools.numerics.kernel_profiles import frequency_response, opponency, radial_profile
from tests.oracles.gaussians import CELL, dog, embedded, pixel
from tests.oracles.patches import patch_covariance

LAPLACIAN = np.array([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])


@settings(max_examples=40)
@given(k=st.integers(0, 12).map(lambda n: 2 * n + 1), seed=st.integers(0, 99), offset=st.sampled_from([0, 1e6]))
def test_a_profile_keeps_sums_and_squares(k, seed, offset):
    kernel = np.random.default_rng(seed).standard_normal((k, k)) + offset
    profile = radial_profile(kernel)
    y, x = np.indices((k, k)) - k // 2
    assert profile.radius.tolist() == list(range(k // 2 + 1))
    for r, mean, deviation, count in zip(
        profile.radius, profile.mean, profile.standard_deviation, profile.count, strict=True
    ):
        ring = kernel[((r - 0.5) ** 2 * np.sign(r - 0.5) < y**2 + x**2) & (y**2 + x**2 < (r + 0.5) ** 2)]
        assert count == len(ring)
        assert mean == pytest.approx(ring.mean(), rel=1e-12)
        assert deviation == pytest.approx(ring.std(), rel=1e-9, abs=1e-12)
    disc = kernel[y**2 + x**2 < (k // 2 + 0.5) ** 2]
    assert profile.count @ profile.mean == pytest.approx(disc.sum(), rel=1e-10, abs=1e-10)
    squares = profile.count @ (profile.mean**2 + profile.standard_deviation**2)
    assert squares == pytest.approx((disc**2).sum(), rel=1e-12)


def test_profiles_of_a_constant_and_of_a_fit():
    constant = radial_profile(np.full((9, 9), 0.1))
    rounding = 32 * np.finfo(float).eps  # of a sum of at most so many
    np.testing.assert_allclose(constant.mean, 0.1, rtol=rounding)
    np.testing.assert_allclose(constant.standard_deviation, 0, atol=0.1 * rounding)
    assert constant.count.tolist() == [1, 8, 12, 16, 32]
    assert radial_profile(np.full((1, 1), 7.0)).mean.tolist() == [7]


@pytest.mark.parametrize("kernel", [np.ones((4, 4)), np.ones(5), np.full((3, 3), np.inf)])
def test_kernels_without_a_profile(kernel):
    with pytest.raises(ValueError, match="got"):
        radial_profile(kernel)
    with pytest.raises(ValueError, match="got"):
        frequency_response(kernel)


def rings(n, values):
    """Means of a function of (f_y, f_x) over annuli 1, ..., n//2, one frequency after the other."""
    sums = [[] for _ in range(n // 2 + 1)]
    for i in range(-(n // 2), (n + 1) // 2):
        for j in range(-(n // 2), (n + 1) // 2):
            if 0 < i * i + j * j <= n * n / 4:
                sums[math.floor(math.hypot(i, j) + 0.5)].append(values(i / n, j / n))
    return np.array([np.mean(ring) for ring in sums[1:]]), [len(ring) for ring in sums[1:]]


def slope(frequency, magnitude, low, high):
    band = (frequency >= low) & (frequency <= high)
    return np.polyfit(np.log(frequency[band]), np.log(magnitude[band]), 1)[0]


@pytest.mark.parametrize("n", [31, 32, 64])
def test_response_of_the_laplacian(n):
    response = frequency_response(embedded(LAPLACIAN, 31), n)
    expected, count = rings(n, lambda fy, fx: abs(2 * math.cos(2 * math.pi * fx) + 2 * math.cos(2 * math.pi * fy) - 4))
    frequency, _ = rings(n, math.hypot)
    np.testing.assert_allclose(response.magnitude, expected, rtol=1e-12)
    np.testing.assert_allclose(response.frequency, frequency, rtol=1e-14)
    assert response.count.tolist() == count
    assert response.dc == 0
    assert response.peak_frequency == response.frequency[-1] <= 0.5
    assert response.peak == pytest.approx(expected[-1])
    assert response.low_band == (1 / 31, response.frequency[-1] / 2)
    assert response.low_frequency_slope == pytest.approx(slope(frequency, expected, *response.low_band), rel=1e-9)
    # |H| = (2πf)²(1 − c (2πf)²...), c from 1/24 along an axis to 1/12 + ... across: below 2, by 0.13 at f = 0.25.
    assert 1.8 < response.low_frequency_slope < 2


@pytest.mark.parametrize("shift", [0, 3])
def test_response_of_a_pixel_is_flat(shift):
    response = frequency_response(-2 * np.roll(pixel(15), shift, axis=0))
    np.testing.assert_allclose(response.magnitude, 2, rtol=1e-14)
    assert response.dc == -2
    assert response.peak == pytest.approx(2)
    assert response.peak_frequency == response.frequency[-1]
    assert response.low_frequency_slope == pytest.approx(0, abs=1e-12)


def inverse_transform(transfer, n, k):
    """The k×k middle of the kernel with a given real transfer function of |f|."""
    f = np.fft.fftfreq(n)
    kernel = np.fft.fftshift(np.fft.ifft2(transfer(np.hypot(f[:, None], f))).real)
    first = (n - k) // 2 + (n - k) % 2
    return kernel[first : first + k, first : first + k]


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_slope_of_an_ideal_kernel(power):
    n = 255
    response = frequency_response(inverse_transform(lambda f: f**power, n, n), n)
    expected, _ = rings(n, lambda fy, fx: math.hypot(fy, fx) ** power)
    np.testing.assert_allclose(response.magnitude, expected, rtol=1e-9)
    # Not exactly the power, as the mean of f^p over an annulus is not the power of the mean: by 1/(12 r²) for p = 2.
    assert response.low_frequency_slope == pytest.approx(power, abs=0.003)
    assert response.peak_frequency == response.frequency[-1]


@pytest.mark.parametrize("k", [31, 63])
def test_slope_of_whitening_by_a_window(k):
    """A spectrum f^-2 and a ridge, taken by kernels that are tapered to their window as a lens would."""
    corner, n = 0.4, 1024

    def ideal(f):
        return f / np.sqrt(1 + (f / corner) ** 2)

    taper = np.cos(np.pi / (k + 1) * (np.arange(k) - k // 2)) ** 2
    response = frequency_response(inverse_transform(ideal, n, k) * np.outer(taper, taper), n)
    expected = slope(response.frequency, ideal(response.frequency), *response.low_band)
    assert 0.8 < expected < 1
    # The taper averages H over about 1/k, which lifts it near f = 0 where it is not smooth.
    assert expected - 6 / k < response.low_frequency_slope < expected


def test_a_response_holds_all_of_an_isotropic_kernel():
    n, sigma = 128, 2.0
    kernel = dog((1, 0, sigma, 1), 41)  # no power beyond 0.5 cycles: exp(-2π²σ²/4) = 3e-9
    response = frequency_response(kernel, n)
    # H > 0 here, so that its sum is the centre; |H|² varies within annuli by the square of their width, 1/n.
    assert response.count @ response.magnitude + response.dc == pytest.approx(n**2 * kernel[20, 20], rel=1e-6)
    power = response.count @ response.magnitude**2 + response.dc**2
    assert power == pytest.approx(n**2 * np.sum(kernel**2), rel=(2 * math.pi * sigma / n) ** 2)
    expected = np.exp(-2 * (math.pi * sigma * response.frequency[:8]) ** 2) * np.sinc(response.frequency[:8])
    np.testing.assert_allclose(response.magnitude[:8], expected, rtol=(2 * math.pi * sigma / n) ** 2 * 2)


def test_response_of_a_difference_of_gaussians_peaks_where_theory_says():
    v_c, v_s, s_c, s_s = 1.0, 1.0, 1.0, 3.0
    response = frequency_response(dog((v_c, v_s, s_c, s_s), 41))
    # d/df² of V_c exp(-2π²σ_c²f²) − V_s exp(-2π²σ_s²f²) = 0; the pixel's sinc shifts it by less than 1/n.
    expected = math.sqrt(math.log(v_s * s_s**2 / (v_c * s_c**2)) / (2 * math.pi**2 * (s_s**2 - s_c**2)))
    assert response.peak_frequency == pytest.approx(expected, abs=1.5 / 256)
    assert response.dc == pytest.approx(0, abs=1e-9)


def test_scale_and_polarity_of_a_response():
    kernel = dog(CELL, 15)
    response, other = frequency_response(kernel), frequency_response(-1e100 * kernel)
    np.testing.assert_allclose(other.magnitude, 1e100 * response.magnitude, rtol=1e-12)
    assert other.dc == pytest.approx(-1e100 * response.dc)
    assert other.low_frequency_slope == pytest.approx(response.low_frequency_slope)
    assert other.peak_frequency == response.peak_frequency


@pytest.mark.parametrize(("k", "n", "annuli"), [(3, 256, 0), (7, 16, 1), (7, 18, 2), (15, 16, 3)])
def test_no_slope_without_three_annuli(k, n, annuli):
    response = frequency_response(pixel(k), n)
    assert response.low_band == (1 / k, response.peak_frequency / 2)
    assert np.sum((response.frequency >= 1 / k) & (response.frequency <= response.peak_frequency / 2)) == annuli
    assert (response.low_frequency_slope is None) == (annuli < 3)


def test_kernels_without_a_response():
    with pytest.raises(ValueError, match="zero everywhere"):
        frequency_response(np.zeros((5, 5)))
    with pytest.raises(ValueError, match=r"n must be at least 15 .*, got 14"):
        frequency_response(pixel(15), 14)
    with pytest.raises(ValueError, match="got 1"):
        frequency_response(pixel(1), 1)


@settings(max_examples=40)
@given(channels=st.integers(1, 4), k=st.sampled_from([1, 3, 7]), seed=st.integers(0, 99))
def test_opponency_of_any_kernels(channels, k, seed):
    generator = np.random.default_rng(seed)
    kernels = generator.standard_normal((channels, channels, k, k))
    found = opponency(kernels)
    for i in range(channels):
        for j in range(channels):
            assert found[i, j] == pytest.approx(kernels[i, j].sum() / np.abs(kernels[i]).sum(), rel=1e-9, abs=1e-12)
    assert np.all(np.abs(found).sum(1) <= 1 + 1e-12)
    np.testing.assert_allclose(np.abs(opponency(np.abs(kernels))).sum(1), 1, rtol=1e-12)
    scale = np.array([1e200, 1e-200, -1, 3])[:channels]
    scaled = opponency(kernels * scale[:, None, None, None])
    np.testing.assert_allclose(scaled, found * np.sign(scale)[:, None], rtol=1e-9, atol=1e-14)


def test_opponency_of_balanced_and_opponent_cells():
    balanced = np.tile(embedded(LAPLACIAN, 5), (2, 2, 1, 1))
    np.testing.assert_array_equal(opponency(balanced), np.zeros((2, 2)))
    red_green = np.stack([[pixel(5), -pixel(5)], [-pixel(5), 3 * pixel(5)]])
    np.testing.assert_array_equal(opponency(red_green), [[0.5, -0.5], [-0.25, 0.75]])


@pytest.mark.parametrize(
    ("kernels", "message"),
    [
        (np.ones((2, 3, 5, 5)), r"\(C, C, k, k\) with k odd, got \(2, 3, 5, 5\)"),
        (np.ones((2, 2, 4, 4)), r"got \(2, 2, 4, 4\)"),
        (np.ones((2, 2, 3, 5)), r"got \(2, 2, 3, 5\)"),
        (np.ones((5, 5)), r"got \(5, 5\)"),
        (np.ones((0, 0, 3, 3)), r"got \(0, 0, 3, 3\)"),
        (np.full((1, 1, 3, 3), np.nan), "finite"),
        (np.stack([np.ones((2, 3, 3)), np.zeros((2, 3, 3))]), "all zero, got only zeros for output channel 1"),
    ],
)
def test_kernels_without_opponency(kernels, message):
    with pytest.raises(ValueError, match=message):
        opponency(kernels)


def test_the_kernel_of_natural_noise_is_centre_surround():
    """Whitening of noise with the spectrum f^-2 of natural images, their variance and a usual ridge."""
    n, k, eps, variance = 256, 11, 1e-3, 0.06
    f = np.fft.fftfreq(n)
    spectrum = 1 / np.maximum(np.hypot(f[:, None], f), 1 / n) ** 2
    spectrum *= variance / spectrum.mean()
    noise = np.fft.fft2(np.random.default_rng(0).standard_normal((n, n)))
    image = np.fft.ifft2(noise * np.sqrt(spectrum)).real
    _, _, covariance = patch_covariance([image[None]], k)
    values, vectors = np.linalg.eigh(covariance)
    kernel = ((vectors / np.sqrt(values + eps)) @ vectors.T)[k * k // 2].reshape(k, k)

    fit, profile, response = fit_difference_of_gaussians(kernel), radial_profile(kernel), frequency_response(kernel)
    assert fit.center_volume > fit.surround_volume > 0
    assert fit.center_sigma < 0.5  # within a pixel
    assert fit.residual < 0.15
    assert profile.mean[0] > 0 > profile.mean[1]
    assert np.all(np.abs(profile.mean[1:]) < profile.mean[0] / 5)
    assert response.dc < response.peak / 5
    power = variance / np.mean(1 / np.maximum(np.hypot(f[:, None], f), 1 / n) ** 2)
    ideal = 1 / np.sqrt(power / response.frequency**2 + eps)
    expected = slope(response.frequency, ideal, *response.low_band)
    assert 0.7 < expected < 1
    assert response.low_frequency_slope == pytest.approx(expected, abs=0.2)
    assert opponency(kernel[None, None])[0, 0] == pytest.approx(response.dc / np.abs(kernel).sum())
