"""Measures of kernels against closed forms, quadrature, and the noise that was added."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import minimize_scalar
from scipy.special import ndtr

from ndtools.numerics.center_surround import DifferenceOfGaussians, fit_difference_of_gaussians
from ndtools.numerics.kernel_profiles import frequency_response, opponency, radial_profile
from tests.oracles.patches import patch_covariance

LAPLACIAN = np.array([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])
CELL = (1.0, 0.8, 0.6, 2.5)  # V_c, V_s, σ_c, σ_s


def dog(parameters, k):
    """A difference of Gaussians integrated over pixels, by differences of the normal distribution function."""
    v_c, v_s, s_c, s_s = parameters
    edges = np.arange(k + 1) - k / 2
    center, surround = (np.diff(ndtr(edges / s)) for s in (s_c, s_s))
    return v_c * np.outer(center, center) - v_s * np.outer(surround, surround)


def parameters(fit):
    return np.array([fit.center_volume, fit.surround_volume, fit.center_sigma, fit.surround_sigma])


def embedded(kernel, k):
    return np.pad(kernel, (k - len(kernel)) // 2)


def pixel(k):
    return embedded(np.ones((1, 1)), k)


def cramer_rao(true, k, noise):
    """Covariance of the best unbiased estimates of the parameters, and of V_s/V_c, under white noise."""
    step = 1e-5
    jacobian = np.stack(
        [(dog(true + step * e, k) - dog(true - step * e, k)).ravel() / (2 * step) for e in np.eye(4)], axis=1
    )
    covariance = noise**2 * np.linalg.inv(jacobian.T @ jacobian)
    of_ratio = np.array([-true[1] / true[0] ** 2, 1 / true[0], 0, 0])
    return covariance, math.sqrt(of_ratio @ covariance @ of_ratio)


@settings(max_examples=20)
@given(
    k=st.sampled_from([9, 15]),
    center=st.floats(0.3, 1.0),
    spread=st.floats(2.0, 5.0),
    ratio=st.floats(0.1, 1.2),
    volume=st.sampled_from([3.0, -3.0, 1e-200, -1e200]),
)
def test_exact_parameters_are_recovered_at_any_scale_and_polarity(k, center, spread, ratio, volume):
    surround = min(center * spread, k / 2)
    true = np.array([volume, ratio * volume, center, surround])
    fit = fit_difference_of_gaussians(dog(true, k))
    # What rounding errors of the pixels, about eps of the largest, can do to the estimates is what noise would.
    unit = true / [volume, volume, 1, 1]
    error = np.sqrt(np.diag(cramer_rao(unit, k, np.finfo(float).eps)[0])) * [abs(volume), abs(volume), 1, 1]
    assert np.all(np.abs(parameters(fit) - true) <= 5 * error + 1e-13 * np.abs(true))
    assert fit.volume_ratio == pytest.approx(ratio, rel=1e-6)
    assert fit.residual < 1e-14
    assert not fit.at_bound


def test_bounds_and_what_is_off_the_centre():
    kernel = dog((3.0, 1.0, 0.05, 2.0), 9)
    kernel[2, 2] += 0.02
    fit = fit_difference_of_gaussians(kernel)
    assert (fit.center_bound, fit.surround_bound) == ("≤", None)
    left = (kernel - fit.kernel(9)).ravel()
    off = np.delete(left, 40), np.delete(kernel.ravel(), 40)
    assert fit.residual_off_center == pytest.approx(np.linalg.norm(off[0]) / np.linalg.norm(off[1]), rel=1e-9)
    assert fit.residual_off_center > 3 * fit.residual
    assert fit_difference_of_gaussians(pixel(5)).residual_off_center is None
    # Directions average out what an axis has: the ring of radius 2 and what the model is there.
    assert fit.radial([0.0])[0] == pytest.approx(fit.kernel(9)[4, 4])
    assert dog((0, -1, 1, 3.0), 9)[4, 6] == pytest.approx(
        DifferenceOfGaussians(0.0, -1.0, 1.0, 3.0, 0.0, 0.0, False).radial([2.0])[0], rel=1e-2
    )


def least_squares_with(kernel, i, sigma):
    """The least sum of squares of two Gaussians of which the i-th has a given σ, by a search for the other."""
    k = len(kernel)

    def left(log_other):
        pair = np.insert([math.exp(log_other)], i, sigma)
        both = np.stack([dog((1, 0, s, 1), k).ravel() for s in pair], axis=1)
        rest = kernel.ravel() - both @ np.linalg.lstsq(both, kernel.ravel(), rcond=None)[0]
        return rest @ rest

    ends = (math.log(0.05), math.log(1)) if i else (math.log(1), math.log(k))
    return minimize_scalar(left, bounds=ends, method="bounded", options={"xatol": 1e-7}).fun


@pytest.mark.parametrize(("center", "noise"), [(0.05, 1e-3), (0.15, 1e-3), (0.05, 1e-2)])
def test_a_bound_is_the_largest_center_that_the_kernel_allows(center, noise):
    """Not the end of the search range, 0.05, but up to where the kernel tells it from a pixel."""
    k = 11
    kernel = dog((3.0, 1.0, center, 2.0), k) + noise * np.random.default_rng(0).standard_normal((k, k))
    fit = fit_difference_of_gaussians(kernel)
    assert (fit.center_bound, fit.center_sigma) == ("≤", pytest.approx(0.05))
    assert (fit.surround_bound, fit.surround_limit) == (None, None)
    assert center < fit.center_limit < 0.3
    least = min(least_squares_with(kernel, 0, sigma) for sigma in np.linspace(0.05, 0.25, 41))
    allowed = least * (1 + 4 / (k * k - 4))
    narrower, wider = (least_squares_with(kernel, 0, factor * fit.center_limit) for factor in (0.98, 1.02))
    assert narrower < allowed < wider


def test_the_limit_grows_with_the_noise_and_is_none_where_sigma_is_measured():
    limits = []
    for noise in (1e-6, 1e-4, 1e-2):
        generator = np.random.default_rng(1)
        kernel = dog((3.0, 1.0, 0.05, 2.0), 11) + noise * generator.standard_normal((11, 11))
        limits.append(fit_difference_of_gaussians(kernel).center_limit)
    assert limits == sorted(limits)
    assert limits[-1] > 1.3 * limits[0]
    assert fit_difference_of_gaussians(dog(CELL, 15)).center_limit is None
    alone = fit_difference_of_gaussians(pixel(15))
    assert 0.05 < alone.center_limit < 0.08  # 1e-12 of the volume lies outside the pixel
    assert alone.surround_limit is None


def test_a_flat_surround_is_bounded_by_the_narrowest_that_is_flat_enough():
    kernel = dog((1, 0, 0.7, 1), 11) - 0.001 + 1e-4 * np.random.default_rng(0).standard_normal((11, 11))
    fit = fit_difference_of_gaussians(kernel)
    assert (fit.surround_bound, fit.surround_sigma) == ("≥", pytest.approx(11))
    allowed = least_squares_with(kernel, 1, 11.0) * (1 + 4 / 117)
    wider, narrower = (least_squares_with(kernel, 1, factor * fit.surround_limit) for factor in (1.01, 0.99))
    assert wider < allowed < narrower


def test_errors_are_those_that_noise_must_cause():
    true, k, noise, n = np.array(CELL), 15, 2e-3, 40
    covariance, of_ratio = cramer_rao(true, k, noise)
    generator = np.random.default_rng(0)
    errors, ratios = np.empty((n, 4)), np.empty(n)
    for i in range(n):
        kernel = dog(true, k) + noise * generator.standard_normal((k, k))
        fit = fit_difference_of_gaussians(kernel)
        errors[i], ratios[i] = parameters(fit) - true, fit.volume_ratio - true[1] / true[0]
        assert not fit.at_bound
        expected = noise * math.sqrt(k * k - 4) / np.linalg.norm(kernel)
        assert fit.residual == pytest.approx(expected, rel=5 / math.sqrt(2 * (k * k - 4)))
    assert np.all(np.abs(errors) <= 5 * np.sqrt(np.diag(covariance)))
    assert np.all(np.abs(ratios) <= 5 * of_ratio)
    # Efficient: Σ eᵀC⁻¹e is chi-squared with 4n degrees of freedom. Less precise estimates would exceed it.
    squares = np.einsum("ni,ij,nj", errors, np.linalg.inv(covariance), errors)
    assert squares == pytest.approx(4 * n, abs=5 * math.sqrt(8 * n))


def test_scale_and_polarity_go_to_the_volumes_alone():
    kernel = dog(CELL, 15) + 0.01 * np.random.default_rng(1).standard_normal((15, 15))
    fit, other = fit_difference_of_gaussians(kernel), fit_difference_of_gaussians(-1024 * kernel)
    np.testing.assert_allclose(parameters(other), parameters(fit) * [-1024, -1024, 1, 1], rtol=1e-12)
    assert (other.volume_ratio, other.residual) == pytest.approx((fit.volume_ratio, fit.residual), rel=1e-12)


@pytest.mark.parametrize(("k", "noise"), [(9, 2e-3), (15, 5e-3), (9, 0.03), (9, 10)])
@pytest.mark.parametrize("seed", range(3))
def test_no_other_gaussians_are_nearer(k, noise, seed):
    kernel = dog(CELL, k) + noise * np.random.default_rng(seed).standard_normal((k, k))
    fit = fit_difference_of_gaussians(kernel)
    norm = np.linalg.norm(kernel)
    assert fit.residual == pytest.approx(np.linalg.norm(kernel - fit.kernel(k)) / norm, rel=1e-12)

    def left(s_c, s_s):
        both = np.stack([dog((1, 0, s_c, 1), k).ravel(), dog((1, 0, s_s, 1), k).ravel()], axis=1)
        return np.linalg.norm(kernel.ravel() - both @ np.linalg.lstsq(both, kernel.ravel(), rcond=None)[0]) / norm

    sigma = np.geomspace(0.05, k, 60)
    least = min(left(a, b) for a in sigma for b in sigma if b >= math.hypot(1.1 * a, 0.2))
    assert fit.at_bound == (noise > 0.01)
    # A bound is preferred to a parameter that is not significant, or to two.
    allowed = 1 + 8 / (k * k - 4) if fit.at_bound else 1
    assert fit.residual**2 <= least**2 * allowed + 1e-12


def test_pixels_are_integrated():
    fit = DifferenceOfGaussians(1.3, 0.7, 0.4, 1.8, 0.7 / 1.3, 0.0, False)

    def line(x, sigma):
        density = lambda t: math.exp(-(t**2) / (2 * sigma**2)) / (sigma * math.sqrt(2 * math.pi))  # noqa: E731
        return quad(density, x - 0.5, x + 0.5, epsabs=1e-14)[0]

    for y in range(-3, 4):
        for x in range(-3, 4):
            expected = 1.3 * line(y, 0.4) * line(x, 0.4) - 0.7 * line(y, 1.8) * line(x, 1.8)
            assert fit.kernel(7)[y + 3, x + 3] == pytest.approx(expected, abs=1e-13)
    assert fit.kernel(41).sum() == pytest.approx(1.3 - 0.7, abs=1e-12)  # volumes are those of the whole plane
    np.testing.assert_array_equal(fit.kernel(41)[17:24, 17:24], fit.kernel(7))


@pytest.mark.parametrize("sign", [1, -1])
def test_a_single_pixel_gives_a_bound(sign):
    fit = fit_difference_of_gaussians(sign * pixel(15))
    assert fit.at_bound
    assert fit.center_sigma == pytest.approx(0.05)
    assert (fit.center_volume, fit.surround_volume, fit.volume_ratio) == pytest.approx((sign, 0, 0), abs=1e-15)
    assert fit.residual < 1e-15


def test_a_single_pixel_in_a_wide_surround_gives_a_bound():
    kernel = pixel(15) + dog((0, 0.8, 1, 2.5), 15)
    noise = 1e-4
    noisy = kernel + noise * np.random.default_rng(0).standard_normal((15, 15))
    for given_kernel, tolerance in ((kernel, 1e-10), (noisy, 50 * noise)):
        fit = fit_difference_of_gaussians(given_kernel)
        assert fit.at_bound
        assert fit.center_sigma == pytest.approx(0.05)
        assert (fit.center_volume, fit.surround_volume, fit.surround_sigma) == pytest.approx(
            (1, 0.8, 2.5), abs=tolerance
        )


def test_a_flat_surround_gives_a_bound():
    fit = fit_difference_of_gaussians(dog((1, 0, 0.7, 1), 11) - 0.001)
    assert fit.at_bound
    assert fit.surround_sigma == pytest.approx(11)


def test_the_derivative_of_a_gaussian_gives_a_bound():
    fit = fit_difference_of_gaussians(dog((1000, 1000, 1.5, 1.501), 15))
    assert fit.at_bound
    assert fit.surround_sigma / fit.center_sigma == pytest.approx(math.hypot(1.1, 0.2 / fit.center_sigma))


@settings(max_examples=30)
@given(sigma=st.floats(0.2, 4), volume=st.sampled_from([2.0, -2.0]))
def test_one_gaussian_has_no_surround(sigma, volume):
    fit = fit_difference_of_gaussians(dog((volume, 0, sigma, 1), 15))
    assert (fit.center_volume, fit.center_sigma) == pytest.approx((volume, sigma), rel=1e-9)
    assert (fit.surround_volume, fit.volume_ratio, fit.at_bound) == (0, 0, True)
    assert fit.center_sigma < fit.surround_sigma


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (np.ones((1, 1)), r"at least 5, got \(1, 1\)"),
        (LAPLACIAN, r"at least 5, got \(3, 3\)"),
        (np.ones((6, 6)), r"k odd .*got \(6, 6\)"),
        (np.ones((5, 7)), r"got \(5, 7\)"),
        (np.ones((1, 5, 5)), r"got \(1, 5, 5\)"),
        (np.zeros((5, 5)), "not be zero everywhere, got only zeros"),
        (np.full((5, 5), np.nan), "finite, got nan"),
    ],
)
def test_kernels_that_cannot_be_fitted(kernel, message):
    with pytest.raises(ValueError, match=message):
        fit_difference_of_gaussians(kernel)


@pytest.mark.parametrize("k", [0, 4, -3])
def test_a_fit_has_a_centre_pixel(k):
    with pytest.raises(ValueError, match=f"odd and at least 1, got {k}"):
        fit_difference_of_gaussians(dog(CELL, 9)).kernel(k)


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
