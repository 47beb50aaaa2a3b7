"""The three forms of whitening matrices, against closed forms of SciPy in float64."""

import numpy as np
import pytest
import scipy.linalg
import torch

from ndtools.errors import MatrixError, NotPositiveDefiniteError, NumericalWarning, OptionError
from ndtools.numerics.circular import circular_inverse
from ndtools.numerics.covariance import Covariance
from ndtools.numerics.deconvolution import convolved
from ndtools.numerics.inverse_sqrt import Eigh
from ndtools.numerics.iterations import CoupledNewtonSchulz
from ndtools.numerics.linear_whitening import linear_whitening, restoring_scales
from tests.tolerance import rtol

FORMS = ("zca", "pca", "cholesky")


def rows(n=400, d=12, seed=0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + 3 * rng.normal(size=d))


def test_the_covariance_of_rows_is_that_of_numpy_and_adds_up():
    x = rows()
    found = Covariance.of_rows(x)
    torch.testing.assert_close(found.mean, torch.from_numpy(x.numpy().mean(0)), rtol=1e-12, atol=0)
    expected = torch.from_numpy(np.cov(x.numpy(), rowvar=False, bias=True))
    torch.testing.assert_close(found.matrix, expected, rtol=1e-12, atol=1e-13 * expected.abs().max().item())
    parts = Covariance.of_rows(x[:7]) + Covariance.of_rows(x[7:8]) + Covariance.of_rows(x[8:])
    torch.testing.assert_close(parts.matrix, expected, rtol=1e-12, atol=1e-13 * expected.abs().max().item())
    assert parts.count == 400


@pytest.mark.parametrize("form", FORMS)
def test_whitened_samples_have_the_identity_as_covariance(form):
    x = rows()
    covariance = Covariance.of_rows(x)
    found = linear_whitening(covariance, form, eps=0.0)
    condition = np.linalg.cond(covariance.matrix.numpy())
    white = (x - found.mean) @ found.matrix.mT
    # Rounding of the covariance, eps·‖Cov‖, is amplified by ‖W‖² = 1/λ_min.
    tolerance = rtol(torch.float64, condition)
    torch.testing.assert_close(white.mT @ white / len(x), torch.eye(12).double(), rtol=0, atol=tolerance)
    back = white @ found.inverse.mT + found.mean
    torch.testing.assert_close(back, x, rtol=0, atol=tolerance * x.abs().max().item())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("relative", [False, True])
def test_matrices_are_the_closed_forms(form, relative):
    covariance = Covariance.of_rows(rows())
    eps = 0.05
    found = linear_whitening(covariance, form, eps=eps, relative=relative)
    ridge = eps * np.trace(covariance.matrix.numpy()) / 12 if relative else eps
    assert found.eps == pytest.approx(ridge, rel=1e-14)
    a = covariance.matrix.numpy() + ridge * np.eye(12)
    values, vectors = scipy.linalg.eigh(a)
    if form == "zca":
        expected = vectors / np.sqrt(values) @ vectors.T
    elif form == "pca":
        signs = np.sign(vectors[np.abs(vectors).argmax(0), np.arange(12)])
        expected = (vectors * signs / np.sqrt(values)).T[::-1]
    else:
        expected = scipy.linalg.solve_triangular(scipy.linalg.cholesky(a, lower=True), np.eye(12), lower=True)
    tolerance = rtol(torch.float64, values[-1] / values[0])
    gap = np.diff(values).min() / values[-1]  # by which rounding of the matrix turns eigenvectors
    np.testing.assert_allclose(found.matrix, expected, rtol=0, atol=tolerance / gap * np.abs(expected).max())
    np.testing.assert_allclose(found.inverse, np.linalg.inv(expected), rtol=0, atol=tolerance / gap * values[-1])
    if form == "cholesky":
        assert torch.equal(found.matrix, found.matrix.tril())


def test_an_iteration_that_has_not_converged_is_inverted_as_it_is():
    covariance = Covariance.of_rows(rows())
    with pytest.warns(NumericalWarning, match="whitens only in part"):
        found = linear_whitening(covariance, eps=0.1, method=CoupledNewtonSchulz(n_iter=3))
    torch.testing.assert_close(found.matrix @ found.inverse, torch.eye(12).double(), rtol=0, atol=1e-11)


def test_what_is_refused():
    singular = Covariance.of_rows(torch.cat([rows(), rows()[:, :1]], 1))
    for form in FORMS:
        with pytest.raises(NotPositiveDefiniteError, match="add a ridge"):
            linear_whitening(singular, form, eps=0.0)
    covariance = Covariance.of_rows(rows())
    with pytest.raises(OptionError, match="no meaning for the form 'pca'"):
        linear_whitening(covariance, "pca", eps=0.1, method=Eigh())
    with pytest.raises(OptionError, match="form: must be one of zca, pca, cholesky"):
        linear_whitening(covariance, "cholesk", eps=0.1)
    with pytest.raises(ValueError, match="eps must be at least 0"):
        linear_whitening(covariance, eps=-1.0)
    with pytest.warns(NumericalWarning, match="5 samples cannot determine the covariance of 12 features"):
        linear_whitening(Covariance.of_rows(rows(5)), eps=0.1)


@pytest.mark.parametrize("size", [(8, 10), (7, 5)])
def test_the_circular_inverse_undoes_the_convolution(size):
    generator = torch.Generator().manual_seed(0)
    weight = 0.05 * torch.randn(3, 3, 3, 5, generator=generator, dtype=torch.float64)
    weight[:, :, 1, 2] += torch.eye(3)
    images = torch.randn(2, 3, *size, generator=generator, dtype=torch.float64)
    output = convolved(images, weight, torch.zeros(3).double(), "circular")
    torch.testing.assert_close(circular_inverse(output, weight), images, rtol=0, atol=1e-13)
    shifted = convolved(images.roll((1, 2), (-2, -1)), weight, torch.zeros(3).double(), "circular")
    torch.testing.assert_close(shifted, output.roll((1, 2), (-2, -1)), rtol=0, atol=1e-13)


def test_restoring_scales_give_channels_their_deviations():
    x = rows(500, 3)
    covariance = Covariance.of_rows(x)
    matrix = linear_whitening(covariance, eps=0.1).matrix
    scales = restoring_scales(matrix[:, :, None, None], covariance)
    after = (x - covariance.mean) @ matrix.mT * scales
    torch.testing.assert_close(after.std(0, correction=0), x.std(0, correction=0), rtol=1e-12, atol=0)
    constant = Covariance.of_rows(torch.cat([x, torch.full((500, 1), 0.3).double()], 1))
    with pytest.warns(NumericalWarning, match="channel 3 is constant"):
        matrix = linear_whitening(constant, eps=0.1).matrix
    assert restoring_scales(matrix[:, :, None, None], constant)[3] == 1


def test_a_convolution_that_removes_a_frequency_has_no_inverse():
    difference = torch.tensor([[[[0.0, 0, 0], [-1, 1, 0], [0, 0, 0]]]])  # removes the mean
    with pytest.raises(MatrixError, match="weight must have an inverse for images of 8×6 pixels"):
        circular_inverse(torch.rand(1, 8, 6), difference)
