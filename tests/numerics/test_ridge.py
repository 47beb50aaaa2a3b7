"""The ridge that suits held-out images best: against likelihoods of single patches, and where the best is known."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ndtools.errors import DataError
from ndtools.numerics.covariance import Covariance
from ndtools.numerics.ridge import HIGHEST, LOWEST, choose_ridge, held_out_likelihood, ridge_terms, tightest_ridge


def of(patches):
    """Return the covariance of patches (N, d)."""
    x = torch.from_numpy(patches)
    about = x - x.mean(0)
    return Covariance(x.mean(0), about.mT @ about / len(x), len(x), 1, (1, x.shape[1]))


def direct(fitted, held_out, eps):
    """Mean log-density of each patch of one set under the Gaussian of another, patch by patch, in float64."""
    mean = fitted.mean(0)
    a = (fitted - mean).T @ (fitted - mean) / len(fitted) + eps * np.eye(fitted.shape[1])
    inverse, (_, log_det) = np.linalg.inv(a), np.linalg.slogdet(a)
    terms = [(x - mean) @ inverse @ (x - mean) for x in held_out]
    return -0.5 * (fitted.shape[1] * math.log(2 * math.pi) + log_det + np.mean(terms))


@given(
    seed=st.integers(0, 2**16),
    features=st.integers(1, 6),
    eps=st.floats(1e-3, 10),
    shift=st.floats(-3, 3),
    scale=st.floats(0.1, 3),
)
def test_the_closed_form_is_the_likelihood_of_single_patches(seed, features, eps, shift, scale):
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((features, features))
    first = rng.standard_normal((features + 3, features)) @ mixing
    second = scale * rng.standard_normal((9, features)) @ mixing + shift
    found = held_out_likelihood(of(first), of(second))(np.array([eps, 2 * eps]))
    expected = [direct(first, second, eps), direct(first, second, 2 * eps)]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_a_singular_covariance_has_the_likelihood_of_its_ridge():
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((3, 8)), rng.standard_normal((5, 8))
    (found,) = held_out_likelihood(of(first), of(second))(np.array([0.1]))
    assert found == pytest.approx(direct(first, second, 0.1), rel=1e-9)


def best_on_a_fine_grid(first, second):
    ridges = np.geomspace(1e-6, 10, 4000)
    curve = held_out_likelihood(first, second)(ridges) + held_out_likelihood(second, first)(ridges)
    return ridges[curve.argmax()]


@pytest.mark.parametrize("noise", [1e-3, 1e-2, 1e-1])
def test_noise_that_few_patches_do_not_show_is_found_again(noise):
    """Patches of rank 5 among 60 features with white noise, fewer than features: Cov lacks most of the noise."""
    rng = np.random.default_rng(1)
    basis = np.linalg.qr(rng.standard_normal((60, 5)))[0]
    signal = rng.standard_normal((80, 5)) * [3, 2.5, 2, 1.5, 1]
    patches = signal @ basis.T + math.sqrt(noise) * rng.standard_normal((80, 60))
    choice = choose_ridge(of(patches[::2]), of(patches[1::2]))
    assert choice.at_end is None
    # With n patches of d - 5 noisy directions, eigenvalues are spread about the noise: the ridge adds what they lack.
    assert 0.2 * noise < choice.eps < 2 * noise
    assert choice.eps == pytest.approx(best_on_a_fine_grid(of(patches[::2]), of(patches[1::2])), rel=0.01)


def test_more_patches_need_less_ridge():
    rng = np.random.default_rng(2)
    scales = np.geomspace(1, 1e-3, 20)
    chosen = []
    for count in (30, 300, 3000):
        patches = rng.standard_normal((2 * count, 20)) * scales
        chosen.append(choose_ridge(of(patches[:count]), of(patches[count:])).eps)
    assert chosen[0] > chosen[1] > chosen[2]


def test_the_curve_has_the_choice_as_its_best():
    rng = np.random.default_rng(3)
    choice = choose_ridge(of(rng.standard_normal((30, 20))), of(rng.standard_normal((30, 20))))
    assert choice.best >= choice.log_likelihood.max()
    i = int(choice.log_likelihood.argmax())
    assert choice.ridges[i - 1] < choice.eps < choice.ridges[i + 1]
    assert choice.ridges[-1] / choice.ridges[0] == pytest.approx(HIGHEST / LOWEST)


def test_ends_of_the_range_are_told():
    exact = of(np.random.default_rng(4).standard_normal((400, 3)))
    choice = choose_ridge(exact, exact)  # a ridge can only harm
    assert choice.at_end == "lowest"
    assert choice.eps == choice.ridges[0]
    assert "the lowest ridge that was tried" in choice.in_words
    far = of(1e3 * np.random.default_rng(5).standard_normal((400, 3)) ** 5)
    tiny = Covariance(far.mean + 1e6, far.matrix, far.count, 1, far.kernel_size)
    assert choose_ridge(far, tiny).at_end == "highest"  # no ridge of the range explains such a shift


def test_constant_images_have_no_choice():
    flat = of(np.ones((5, 3)))
    with pytest.raises(DataError, match="constant colour"):
        choose_ridge(flat, flat)


def test_the_order_of_the_halves_does_not_matter():
    rng = np.random.default_rng(6)
    one, other = of(rng.standard_normal((30, 6))), of(rng.standard_normal((20, 6)))
    assert choose_ridge(one, other).eps == pytest.approx(choose_ridge(other, one).eps, rel=1e-9)


def test_terms_of_ridges():
    assert ridge_terms(0.1) == (0.1, False)
    assert ridge_terms(0.1, relative=True) == (0.1, True)
    assert ridge_terms("paper") == (1e-5, True)
    with pytest.raises(ValueError, match="a number or 'paper'"):
        ridge_terms("auto")
    assert tightest_ridge([0.1, 0.01]) == (0.01, False)
    assert tightest_ridge(["paper", 1e-6], relative=True) == (1e-6, True)
    assert tightest_ridge(["paper", 1e-6]) == tightest_ridge([1.0, "auto"]) == (0.0, False)  # always float64
