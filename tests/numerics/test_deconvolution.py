from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch

from ndtools.errors import DataError, NotPositiveDefiniteError, NumericalWarning
from ndtools.numerics.deconvolution import Deconvolution, fit_deconvolution
from ndtools.numerics.iterations import CoupledNewtonSchulz
from ndtools.numerics.patch_covariance import PatchCovariance
from ndtools.numerics.patches import im2col
from tests.oracles.patches import patch_covariance
from tests.oracles.pictures import smooth_images

EPS = 1e-3


def picture(channels=3, height=40, width=50, seed=0):
    """Correlated along both axes and between channels."""
    noise = np.random.default_rng(seed).random((channels, height, width))
    smooth = noise.cumsum(1).cumsum(2)
    return torch.tensor((smooth + smooth.mean(0)) / smooth.max() / 2)


@pytest.fixture(scope="module")
def fit():
    return fit_deconvolution([picture(seed=s) for s in range(3)], kernel_size=(3, 5), eps=EPS)


def test_matrix_is_the_inverse_square_root_of_the_patch_matrix_covariance(fit):
    _, mean, covariance = patch_covariance([picture(seed=s).numpy() for s in range(3)], (3, 5))
    values, vectors = scipy.linalg.eigh(covariance + EPS * np.eye(45))
    # Float32 correlations move eigenvalues of A by about 1e-7; D changes by that times λ_min^(-3/2) / 2.
    np.testing.assert_allclose(fit.matrix, vectors / np.sqrt(values) @ vectors.T, rtol=0, atol=1e-7 * EPS**-1.5)
    np.testing.assert_allclose(fit.mean, mean, rtol=0, atol=1e-7)
    np.testing.assert_allclose(fit.eigenvalues, values - EPS, rtol=0, atol=1e-6)
    assert fit.condition == pytest.approx(values[-1] / values[0], rel=1e-3)
    assert fit.residual < 1e-10


def test_whitened_patches_have_the_covariance_of_the_ridge_left_out(fit):
    """D Cov D = I - eps D D: exact whitening but for the ridge."""
    patches = torch.cat([im2col(picture(seed=s), (3, 5)) for s in range(3)])
    white = (patches - fit.mean) @ fit.matrix
    covariance = white.mT @ white / len(white)
    expected = torch.eye(45) - EPS * fit.matrix @ fit.matrix
    torch.testing.assert_close(covariance, expected, rtol=0, atol=1e-4)


def test_kernels_are_the_centre_rows(fit):
    kernels = fit.kernels()
    assert kernels.shape == (3, 3, 3, 5)
    delta = torch.zeros(3, 3, 5, dtype=torch.float64)
    delta[1, 1, 2] = 1
    torch.testing.assert_close(kernels[1].flatten(), fit.matrix @ delta.flatten(), rtol=1e-12, atol=1e-12)


def test_apply_gives_the_centre_of_every_deconvolved_patch(fit):
    image = picture(seed=9)
    patches = (im2col(image, (3, 5)) - fit.mean) @ fit.matrix
    centre = patches.view(38, 46, 3, 3, 5)[:, :, :, 1, 2].permute(2, 0, 1)
    torch.testing.assert_close(fit.apply(image), centre, rtol=0, atol=1e-9)
    batch = fit.apply(torch.stack([image, image.flip(2)]).float())
    assert batch.dtype == torch.float32
    torch.testing.assert_close(batch[0].double(), centre, rtol=0, atol=1e-3)


def test_weight_and_bias_are_those_of_a_convolution(fit):
    image = torch.stack([picture(seed=9).float(), picture(seed=8).float()])
    assert fit.weight.shape == (3, 3, 3, 5) and fit.bias.shape == (3,)
    wanted = fit.apply(image)
    # Each output is a sum of these terms, in another order and about another number.
    terms = fit.weight.abs().sum((1, 2, 3)).max().item() * image.abs().max().item()
    close = {"rtol": 0, "atol": 4 * torch.finfo(torch.float32).eps * terms}
    torch.testing.assert_close(torch.nn.functional.conv2d(image, fit.weight, fit.bias), wanted, **close)
    layer = torch.nn.Conv2d(3, 3, (3, 5))
    layer.load_state_dict({"weight": fit.weight, "bias": fit.bias})
    torch.testing.assert_close(layer(image), wanted, **close)
    assert torch.equal(fit.weight, fit.kernels().float())


def test_a_large_mean_of_the_values_costs_no_precision(fit):
    image = torch.round(picture(seed=9) * 2**8) / 2**8  # so that float32 holds the sum with the offset exactly
    offset = 2.0**14
    raised = replace(fit, mean=fit.mean + offset)
    found = raised.apply((image + offset).float()).double()
    # Rounding is that of products with the variation of the image, not with its offset.
    terms = fit.kernels().abs().sum((1, 2, 3)).max().item()
    atol = 16 * torch.finfo(torch.float32).eps * terms
    assert 100 * atol < torch.finfo(torch.float32).eps * terms * offset
    torch.testing.assert_close(found, fit.apply(image), rtol=0, atol=atol)
    even = fit_deconvolution(picture(), kernel_size=2)
    with pytest.raises(ValueError, match="must be odd"):
        even.bias  # noqa: B018


def test_bytes_stand_for_the_unit_interval(fit):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 9, 9), dtype=np.uint8)
    expected = fit.apply(torch.tensor(pixels / 255, dtype=torch.float32))
    torch.testing.assert_close(fit.apply(pixels), expected, rtol=0, atol=1e-4)


def test_fold_equals_explicit_whitening(fit):
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(4, 3, 3, 5, dtype=torch.float64, generator=generator)
    bias = torch.randn(4, dtype=torch.float64, generator=generator)
    image = picture(seed=5)
    explicit = ((im2col(image, (3, 5)) - fit.mean) @ fit.matrix) @ weight.flatten(1).mT + bias
    folded_weight, folded_bias = fit.fold(weight, bias)
    folded = torch.nn.functional.conv2d(image, folded_weight, folded_bias).flatten(1).mT
    torch.testing.assert_close(folded, explicit, rtol=1e-11, atol=1e-11)
    with pytest.raises(ValueError, match=r"\(O, 3, 3, 5\), got \(4, 2, 3, 5\)"):
        fit.fold(weight[:, :2])


@pytest.mark.parametrize(("size", "kernel_size"), [((60,), (5,)), ((9, 10, 11), (3, 1, 5))])
def test_signals_and_volumes(size, kernel_size):
    """As of images: D is that of the patch matrix, and convolutions apply it and fold it."""
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(2, 2, *size, dtype=torch.float64, generator=generator).cumsum(-1)
    fit = fit_deconvolution(data, kernel_size=kernel_size, eps=0.1)
    count, mean, covariance = patch_covariance(list(data.numpy()), kernel_size)
    features = len(mean)
    values, vectors = scipy.linalg.eigh(covariance + 0.1 * np.eye(features))
    assert count > features
    np.testing.assert_allclose(fit.matrix, vectors / np.sqrt(values) @ vectors.T, rtol=0, atol=1e-5)
    patches = im2col(data[0], kernel_size)
    positions = [n - k + 1 for n, k in zip(size, kernel_size, strict=True)]
    centres = ((patches - fit.mean) @ fit.matrix).view(-1, 2, features // 2)[:, :, features // 4]
    torch.testing.assert_close(fit.apply(data[0]), centres.mT.reshape(2, *positions), rtol=0, atol=1e-9)
    torch.testing.assert_close(fit.apply(data)[0], fit.apply(data[0]), rtol=0, atol=1e-9)
    weight = torch.randn(3, 2, *kernel_size, dtype=torch.float64, generator=generator)
    folded, bias = fit.fold(weight)
    explicit = ((patches - fit.mean) @ fit.matrix) @ weight.flatten(1).mT
    torch.testing.assert_close(patches @ folded.flatten(1).mT + bias, explicit, rtol=1e-9, atol=1e-9)
    assert repr(fit).startswith(f"Deconvolution({'×'.join(map(str, kernel_size))} patches of 2 channels")
    with pytest.raises(ValueError, match="must have shape"):
        fit.apply(torch.zeros(3, 9, 9, 9, 9))


def test_arrays_of_another_number_of_axes_say_how_signals_are_fitted():
    with pytest.raises(ValueError, match=r"kernel_size=\(k,\) is for signals \(C, T\)"):
        fit_deconvolution(torch.zeros(2, 100), kernel_size=5)
    with pytest.raises(ValueError, match=r"images must have shape \(C, T\) or \(N, C, T\)"):
        fit_deconvolution(torch.zeros(2, 3, 4, 5), kernel_size=(5,))
    with pytest.raises(DataError, match=r"at least 5 samples \(kernel_size\), got none"):
        fit_deconvolution(torch.zeros(1, 4), kernel_size=(5,))


def test_relative_eps_does_not_see_the_scale_of_the_pixels():
    a = fit_deconvolution([picture()], 3, eps=0.01, relative=True)
    b = fit_deconvolution([picture() * 8], 3, eps=0.01, relative=True)  # a power of two: the same rounding
    assert b.eps == pytest.approx(64 * a.eps, rel=1e-12)
    torch.testing.assert_close(a.matrix, 8 * b.matrix, rtol=1e-9, atol=1e-9)


def test_few_iterations_whiten_in_part_and_say_so():
    covariance = PatchCovariance(3, 3).update(picture()).finalize()
    with pytest.warns(NumericalWarning, match="whitens only in part after 5 iterations"):
        partial = Deconvolution.from_covariance(covariance, method=CoupledNewtonSchulz(n_iter=5))
    assert 1e-3 < partial.residual < 1
    assert Deconvolution.from_covariance(covariance, method=CoupledNewtonSchulz(n_iter=30)).residual < 1e-10


def test_a_small_ridge_whitens_the_covariance_of_the_patch_matrix():
    """Of smooth images, whose smallest eigenvalues are the ridge: float32 transforms would leave some 30 %."""
    images, eps = smooth_images(3, channels=1), 1e-8
    fit = fit_deconvolution(images, 9, eps=eps)
    exact = torch.tensor(patch_covariance(images, 9)[2]) + eps * torch.eye(81)
    error = torch.linalg.matrix_norm(fit.matrix @ exact @ fit.matrix - torch.eye(81), 2).item()
    assert error < 1e-6
    assert fit.covariance_error < 1e-6
    assert fit.residual < 1e-6


def test_a_covariance_that_is_too_coarse_for_the_ridge_is_told():
    images = smooth_images(3, channels=1)
    moments = PatchCovariance(1, 9)  # not told of a ridge
    for image in images:
        moments.update(image)
    covariance = moments.finalize()
    assert Deconvolution.from_covariance(covariance, eps=1e-3).covariance_error < 1e-5
    with pytest.warns(NumericalWarning, match="rounding in the covariance changes D A D by about 0.0"):
        fit = Deconvolution.from_covariance(covariance, eps=1e-6)
    assert fit.residual < 1e-6 < 1e-3 < fit.covariance_error


def test_the_ridge_is_told_in_both_units():
    fit = fit_deconvolution([picture()], 3, eps=0.01, relative=True)
    assert fit.relative_eps == pytest.approx(0.01, rel=1e-12)
    assert fit.numbers()["eps"] == pytest.approx(0.01 * fit.mean_variance, rel=1e-12)
    with pytest.warns(NumericalWarning, match="constant"):
        assert fit_deconvolution([torch.full((3, 20, 20), 0.3)], 3).relative_eps is None


def test_constant_images_warn_and_need_a_ridge():
    flat = torch.full((3, 20, 20), 0.3)
    with pytest.warns(NumericalWarning, match="constant colour"):
        fit = fit_deconvolution([flat], 3, eps=0.04)
    torch.testing.assert_close(fit.matrix, 5 * torch.eye(27, dtype=torch.float64))
    with pytest.warns(NumericalWarning), pytest.raises(NotPositiveDefiniteError, match="eps"):
        fit_deconvolution([flat], 3, eps=0)


def test_one_constant_channel_is_named():
    image = picture()
    image[2] = 0.5
    with pytest.warns(NumericalWarning, match="channel 2 is constant"):
        fit_deconvolution([image], 3)


def test_too_few_patches_warn():
    with pytest.warns(NumericalWarning, match="64 patches cannot determine the covariance of 75 features"):
        fit_deconvolution([picture()[:, :12, :12]], 5)


def test_images_smaller_than_the_patch_are_left_out():
    with pytest.warns(NumericalWarning, match="left out 2 images smaller than a 3×3 patch"):
        fit = fit_deconvolution([picture()[:, :2], picture(), picture()[:, :, :1]], 3)
    torch.testing.assert_close(fit.matrix, fit_deconvolution([picture()], 3).matrix)
    with pytest.raises(DataError, match="at least 3×3 pixels .*, got none .1 are smaller"):
        fit_deconvolution([picture()[:, :2]], 3)


def test_wrong_use_is_refused():
    with pytest.raises(DataError, match="got none"):
        fit_deconvolution([])
    with pytest.raises(ValueError, match="eps"):
        fit_deconvolution([picture()], 3, eps=-1)
    with pytest.raises(ValueError, match="kernel_size must be odd"):
        fit_deconvolution([picture()], 4).kernels()


def test_one_image_or_a_batch_in_place_of_a_list():
    images = torch.rand(2, 3, 9, 8, generator=torch.Generator().manual_seed(0))
    expected = fit_deconvolution(list(images), kernel_size=3).matrix
    assert torch.equal(fit_deconvolution(images, kernel_size=3).matrix, expected)
    assert torch.equal(fit_deconvolution(images.numpy(), kernel_size=3).matrix, expected)
    one = fit_deconvolution([images[0]], kernel_size=3).matrix
    assert torch.equal(fit_deconvolution(images[0].numpy(), kernel_size=3).matrix, one)


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        ("photos", TypeError, "got str; ndtools.iter_images reads the images of a file or folder"),
        (Path("photos"), TypeError, "got PosixPath; ndtools.iter_images"),
        (None, TypeError, "images must be Tensors or arrays, one or an iterable of them, got NoneType"),
        ([[1, 2]], TypeError, r"images must hold Tensors or arrays of shape \(C, H, W\), got list"),
        (torch.zeros(9, 8), ValueError, r"images must have shape \(C, H, W\) or \(N, C, H, W\), .*got \(9, 8\)"),
        ([torch.zeros(9, 8)], ValueError, r"images of shape \(C, H, W\), got one of shape \(9, 8\)"),
    ],
)
def test_what_is_no_image_is_refused(images, error, message):
    with pytest.raises(error, match=message):
        fit_deconvolution(images, kernel_size=3)


@pytest.mark.parametrize("shape", [(9, 8), (1, 9, 8), (9, 8, 3), (3, 2, 8), (3, 9, 2), (2, 2, 3, 9, 8)])
def test_images_of_another_shape_are_not_deconvolved(shape):
    fit = fit_deconvolution(torch.rand(3, 9, 8), kernel_size=3)
    message = r"image must have shape \(3, H, W\) or \(N, 3, H, W\) with H at least 3 .* images of 3 channels, got "
    with pytest.raises(ValueError, match=message):
        fit.apply(torch.zeros(shape))
    with pytest.raises(TypeError, match="image must be a Tensor or an array, got list"):
        fit.apply([0.0])


def test_a_poor_inverse_square_root_names_arguments_not_classes():
    with pytest.warns(NumericalWarning, match=r"^D whitens only in part after 1 iteration: .*, or `method=\"eigh\"`$"):
        fit_deconvolution([picture()], kernel_size=3, eps=1e-6, method=CoupledNewtonSchulz(n_iter=1))
