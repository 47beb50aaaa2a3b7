"""Fits of differences of Gaussians against closed forms, quadrature, and the noise that was added."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import least_squares
from scipy.stats import binom
from scipy.stats import f as f_distribution

from ndtools.numerics.difference_of_gaussians import (
    PARAMETERS,
    DifferenceOfGaussians,
    fit_difference_of_gaussians,
)
from tests.oracles.gaussians import CELL, dog, pixel

LAPLACIAN = np.array([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])


def parameters(fit):
    return np.array([fit.center_volume, fit.surround_volume, fit.center_sigma, fit.surround_sigma])


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
    fit = fit_difference_of_gaussians(dog(true, k), intervals=False)
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
    assert (fit.center_radius, fit.surround_radius) == pytest.approx(
        (math.sqrt(2) * fit.center_sigma, math.sqrt(2) * fit.surround_sigma)
    )


def value_of(name, p):
    """A parameter of log σ_c, log σ_s, V_c, V_s."""
    log_c, log_s, v_c, v_s = p
    return dict(zip(PARAMETERS, (math.exp(log_c), math.exp(log_s), v_c, v_s, v_s / v_c), strict=True))[name]


def squares_with(kernel, name, value, start):
    """The least sum of squares with a parameter held at a value, by a search over the three others."""
    i = 3 if name == "volume_ratio" else PARAMETERS.index(name)

    def whole(p):
        held = value * p[2] if name == "volume_ratio" else math.log(value) if i < 2 else value
        return np.insert(p, i, held)

    def left(p):
        log_c, log_s, v_c, v_s = whole(p)
        return (kernel - dog((v_c, v_s, math.exp(log_c), math.exp(log_s)), len(kernel))).ravel()

    start = np.delete(start, i)
    return 2 * least_squares(left, start, xtol=1e-12, ftol=1e-12, gtol=1e-12, x_scale=np.abs(start) + 0.1).cost


def threshold(kernel, fit):
    """The sum of squares up to which a value is within the interval; opposite pixels count as one."""
    k, even = len(kernel), (kernel + kernel[::-1, ::-1]) / 2
    least, freedom = np.sum((even - fit.kernel(k)) ** 2), (k * k + 1) / 2 - 4
    return even, least * (1 + f_distribution.ppf(0.95, 1, freedom) / freedom)


@pytest.mark.parametrize("cell", [CELL, (-3.0, -2.4, 0.35, 1.0)])
def test_intervals_end_where_the_likelihood_says(cell):
    kernel = dog(cell, 9) + 0.01 * np.random.default_rng(2).standard_normal((9, 9))
    fit = fit_difference_of_gaussians(kernel)
    even, allowed = threshold(kernel, fit)
    best = np.array([math.log(fit.center_sigma), math.log(fit.surround_sigma), fit.center_volume, fit.surround_volume])
    for name, (low, high) in fit.intervals.items():
        assert low < value_of(name, best) < high
        for end in (low, high):
            beyond = 0.02 * (end - value_of(name, best))
            inner, outer = (squares_with(even, name, end + step, best) for step in (-beyond, beyond))
            assert inner < allowed < outer


def test_opposite_pixels_count_as_one():
    """Kernels of images equal themselves turned by half a turn: half of the pixels say nothing new."""
    noise = 0.003 * np.random.default_rng(0).standard_normal((11, 11))
    even = dog(CELL, 11) + (noise + noise[::-1, ::-1]) / 2
    odd = (noise - noise[::-1, ::-1]) / 2
    one, other = fit_difference_of_gaussians(even), fit_difference_of_gaussians(even + odd)
    for name in PARAMETERS:
        assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-9)
        assert one.intervals[name] == pytest.approx(other.intervals[name], rel=1e-6)
    assert one.residual < other.residual


def test_intervals_hold_the_truth_in_19_of_20_kernels():
    """A few kernels; benchmarks/fit_recovery.py does it for 200 of each of four kinds."""
    true, k, noise, n = (1.0, 0.85, 0.35, 1.0), 7, 0.01, 10
    truth = dict(zip(PARAMETERS, (0.35, 1.0, 1.0, 0.85, 0.85), strict=True))
    generator, misses = np.random.default_rng(0), 0
    for _ in range(n):
        fit = fit_difference_of_gaussians(dog(true, k) + noise * generator.standard_normal((k, k)))
        for name, (low, high) in fit.intervals.items():
            misses += (low is not None and low > truth[name]) or (high is not None and high < truth[name])
    # The five parameters of a kernel miss together at worst: then as often as n would, five at a time.
    assert misses <= 5 * binom.ppf(0.999, n, 0.05)


def test_a_bound_is_the_largest_center_that_the_kernel_allows():
    """Not the end of the search range, 0.05, but up to where the kernel tells it from a pixel."""
    k = 11
    for center, noise in ((0.05, 1e-3), (0.15, 1e-3), (0.05, 1e-2)):
        kernel = dog((3.0, 1.0, center, 2.0), k) + noise * np.random.default_rng(0).standard_normal((k, k))
        fit = fit_difference_of_gaussians(kernel)
        assert (fit.center_bound, fit.surround_bound, fit.surround_limit) == ("≤", None, None)
        assert fit.intervals["center_sigma"] == (None, fit.center_limit)
        assert center < fit.center_limit < 0.3
        even, allowed = threshold(kernel, fit)
        start = [math.log(fit.center_limit), math.log(fit.surround_sigma), fit.center_volume, fit.surround_volume]
        inner, outer = (squares_with(even, "center_sigma", x * fit.center_limit, start) for x in (0.98, 1.02))
        assert inner < allowed < outer


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
    assert set(alone.intervals) == {"center_sigma", "center_volume"}


def test_a_flat_surround_is_bounded_by_the_narrowest_that_is_flat_enough():
    kernel = dog((1, 0, 0.7, 1), 11) - 0.001 + 1e-4 * np.random.default_rng(0).standard_normal((11, 11))
    fit = fit_difference_of_gaussians(kernel)
    assert fit.surround_bound == "≥"
    assert fit.surround_limit == fit.intervals["surround_sigma"][0] < fit.surround_sigma
    even, allowed = threshold(kernel, fit)
    start = [math.log(fit.center_sigma), math.log(fit.surround_limit), fit.center_volume, fit.surround_volume]
    wider, narrower = (squares_with(even, "surround_sigma", x * fit.surround_limit, start) for x in (1.01, 0.99))
    assert wider < allowed < narrower
    assert fit.intervals["surround_volume"][1] is None  # the wider the surround, the more of it is outside


def moved(kernel, fit, share, seed):
    """A kernel that differs by a share of what the fit misses, as kernels of other images would."""
    change = np.random.default_rng(seed).standard_normal(kernel.shape)
    return kernel + share * np.linalg.norm(kernel - fit.kernel(len(kernel))) * change / np.linalg.norm(change)


@pytest.mark.parametrize(("center", "surround", "ratio"), [(0.05, 0.85, 0.75), (0.18, 0.83, 0.85), (0.28, 0.37, 0.97)])
def test_nearly_equal_kernels_have_nearly_equal_parameters(center, surround, ratio):
    """Centres within a pixel, and tails as of photographs: the fit is not the kernel, and widths are hardly known."""
    k = 9
    y, x = np.indices((k, k)) - k // 2
    kernel = dog((1, ratio, center, surround), k) - 0.006 / (1 + np.hypot(y, x)) ** 3
    fit = fit_difference_of_gaussians(kernel)
    others = [fit_difference_of_gaussians(moved(kernel, fit, 0.1, seed)) for seed in range(2)]
    for other in others:
        for name, (low, high) in fit.intervals.items():
            # A tenth of the residual moves the best values by a tenth of what the residual as noise would, and the ends
            # as well: by a fraction of the width of the interval. Ends that are open stay open.
            ends = other.intervals[name]
            assert [end is None for end in ends] == [low is None, high is None]
            assert low is None or low <= getattr(other, name)
            assert high is None or getattr(other, name) <= high
            for end, before in zip(ends, (low, high), strict=True):
                if end is not None:
                    width = high - low if None not in (low, high) else abs(before - getattr(fit, name))
                    assert abs(end - before) <= 0.25 * max(width, 0.05 * abs(before))


def test_a_centre_that_is_hardly_measured_does_not_jump():
    """With a little more noise σ_c is no longer told from a pixel's: that is for its interval, not for the best fit."""
    noise = np.random.default_rng(0).standard_normal((9, 9))
    one, other = (fit_difference_of_gaussians(dog((1, 0.85, 0.2, 0.83), 9) + x * noise) for x in (0.0035, 0.004))
    assert [fit.intervals["center_sigma"][0] is None for fit in (one, other)] == [False, True]
    # The noise grows by a seventh, and so do errors to first order, which are within half an interval.
    for name in PARAMETERS:
        low, high = one.intervals[name]
        assert abs(getattr(other, name) - getattr(one, name)) < 0.1 * (high - low)
    assert other.center_limit == pytest.approx(one.intervals["center_sigma"][1], rel=1 / 14)


@pytest.mark.parametrize("polarity", [1, -1])
def test_errors_are_those_that_noise_must_cause(polarity):
    true, k, noise, n = np.array(CELL) * [polarity, polarity, 1, 1], 15, 2e-3, 40
    covariance, of_ratio = cramer_rao(true, k, noise)
    generator = np.random.default_rng(0)
    errors, ratios = np.empty((n, 4)), np.empty(n)
    for i in range(n):
        kernel = dog(true, k) + noise * generator.standard_normal((k, k))
        fit = fit_difference_of_gaussians(kernel, intervals=False)
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
    for name in PARAMETERS:
        low, high = (-1024 * end if name.endswith("volume") else end for end in fit.intervals[name])
        assert sorted((low, high)) == pytest.approx(other.intervals[name], rel=1e-6)


@pytest.mark.parametrize(("k", "noise"), [(9, 2e-3), (15, 5e-3), (9, 0.03), (9, 10)])
@pytest.mark.parametrize("seed", range(3))
def test_no_other_gaussians_are_nearer(k, noise, seed):
    kernel = dog(CELL, k) + noise * np.random.default_rng(seed).standard_normal((k, k))
    fit = fit_difference_of_gaussians(kernel, intervals=False)
    norm = np.linalg.norm(kernel)
    assert fit.residual == pytest.approx(np.linalg.norm(kernel - fit.kernel(k)) / norm, rel=1e-12)

    def left(s_c, s_s):
        both = np.stack([dog((1, 0, s_c, 1), k).ravel(), dog((1, 0, s_s, 1), k).ravel()], axis=1)
        return np.linalg.norm(kernel.ravel() - both @ np.linalg.lstsq(both, kernel.ravel(), rcond=None)[0]) / norm

    sigma = np.geomspace(0.05, k, 60)
    least = min(left(a, b) for a in sigma for b in sigma if b >= math.hypot(1.1 * a, 0.2))
    # One Gaussian is preferred to two parameters that are not significant.
    freedom = (k * k + 1) / 2 - 4
    allowed = 1 if fit.surround_volume else 1 + 2 * f_distribution.ppf(0.95, 2, freedom) / freedom
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
    assert (fit.center_bound, fit.surround_bound) == ("≤", None)
    assert (fit.center_volume, fit.surround_volume, fit.volume_ratio) == pytest.approx((sign, 0, 0), abs=1e-12)
    assert fit.residual < 1e-12


def test_a_single_pixel_in_a_wide_surround_gives_a_bound():
    truth = {"surround_sigma": 2.5, "center_volume": 1, "surround_volume": 0.8, "volume_ratio": 0.8}
    kernel = pixel(15) + dog((0, 0.8, 1, 2.5), 15)
    noisy = kernel + 1e-4 * np.random.default_rng(0).standard_normal((15, 15))
    for given_kernel in (kernel, noisy):
        fit = fit_difference_of_gaussians(given_kernel)
        assert fit.at_bound
        assert fit.center_bound == "≤"
        for name, value in truth.items():
            low, high = fit.intervals[name]
            assert low <= value * (1 + 1e-10)
            assert high >= value * (1 - 1e-10)
            assert getattr(fit, name) == pytest.approx(value, rel=0.01 if given_kernel is noisy else 1e-9)


def test_the_derivative_of_a_gaussian_gives_a_bound():
    fit = fit_difference_of_gaussians(dog((1000, 1000, 1.5, 1.501), 15))
    assert fit.at_bound
    assert fit.surround_sigma / fit.center_sigma == pytest.approx(math.hypot(1.1, 0.2 / fit.center_sigma))
    # Closer Gaussians of larger volumes would do as well, so that no largest volume is known.
    assert fit.intervals["center_volume"][1] is fit.intervals["surround_volume"][1] is None


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
