"""``nd.Whiten`` in its five modes, and within what torch's users put it into."""

import pickle

import numpy as np
import pytest
import scipy.linalg
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.utils.data import DataLoader, Dataset

import ndtools as nd
from ndtools.errors import DataError, MatrixError, NotPositiveDefiniteError, NumericalWarning, OptionError
from ndtools.numerics.covariance import TOLERANCE
from tests.commands import invoke
from tests.oracles.patches import patch_covariance, patch_matrix
from tests.places import real
from tests.tolerance import rtol

MODES = ("conv", "full", "channel", "pca", "cholesky")
EPS = 1e-2  # of the mean variance


def pictures(n=300, channels=3, height=4, width=5, seed=0):
    """Images in [0, 1] with correlated pixels and channels, more than they have pixels."""
    noise = np.random.default_rng(seed).random((n, channels, height, width))
    smooth = noise.cumsum(2).cumsum(3)
    return torch.from_numpy((smooth + smooth.mean(1, keepdims=True)) / smooth.max() / 2)


def fitted(mode, **settings):
    if mode == "conv":
        settings = {"border": "circular", **settings}
    return nd.Whiten.fit(pictures(), mode, eps=EPS, relative_eps=True, dtype=torch.float64, **settings)


def direct(x, eps=EPS):
    """D of rows by NumPy, with a relative ridge, and the condition number of A."""
    covariance = np.cov(x, rowvar=False, bias=True)
    a = covariance + eps * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    values, vectors = np.linalg.eigh(a)
    return vectors / np.sqrt(values) @ vectors.T, values[-1] / values[0], a


@pytest.mark.parametrize("mode", ["full", "pca", "cholesky"])
def test_whole_images_get_the_identity_as_covariance(mode):
    images = pictures()
    white = nd.Whiten.fit(images, mode, eps=0.0, dtype=torch.float64)(images)
    assert white.shape == ((300, 60) if mode == "pca" else images.shape)
    rows = images.numpy().reshape(300, -1)
    condition = np.linalg.cond(np.cov(rows, rowvar=False))
    found = np.cov(white.flatten(1).numpy(), rowvar=False, bias=True)
    np.testing.assert_allclose(found, np.eye(60), rtol=0, atol=rtol(torch.float64, condition))


def test_full_is_d_of_all_pixels_and_the_others_are_its_rotations():
    images = pictures()
    rows = images.numpy().reshape(300, -1)
    d, condition, a = direct(rows)
    expected = (rows - rows.mean(0)) @ d
    tolerance = rtol(torch.float64, condition) * np.abs(expected).max()
    np.testing.assert_allclose(fitted("full")(images).flatten(1), expected, rtol=0, atol=tolerance)
    lower = scipy.linalg.cholesky(a, lower=True)
    expected = scipy.linalg.solve_triangular(lower, (rows - rows.mean(0)).T, lower=True).T
    np.testing.assert_allclose(fitted("cholesky")(images).flatten(1), expected, rtol=0, atol=tolerance)
    variances = fitted("pca")(images).var(0, correction=0)
    eigenvalues = np.linalg.eigvalsh(np.cov(rows, rowvar=False, bias=True))[::-1]
    np.testing.assert_allclose(variances, eigenvalues / np.linalg.eigvalsh(a)[::-1], rtol=tolerance)


def test_channel_whitens_the_channels_of_each_pixel():
    images = pictures()
    pixels = images.movedim(1, -1).reshape(-1, 3).numpy()
    d, condition, _ = direct(pixels)
    expected = ((pixels - pixels.mean(0)) @ d).reshape(300, 4, 5, 3).transpose(0, 3, 1, 2)
    # With a relative ridge of 1e-2 the covariance itself may be summed in float32 (see transform_dtype).
    np.testing.assert_allclose(fitted("channel")(images), expected, rtol=0, atol=1e-6 * condition)
    larger = pictures(1, 3, 9, 7)
    assert fitted("channel")(larger).shape == larger.shape


@pytest.mark.parametrize("border", ["valid", "reflect", "circular"])
def test_conv_is_the_centre_of_the_whitened_patch(border):
    images = pictures(20, 3, 9, 11)
    _, mean, covariance = patch_covariance(images.numpy(), 3)
    values, vectors = np.linalg.eigh(covariance + 1e-4 * np.eye(27))
    d = vectors / np.sqrt(values) @ vectors.T
    whiten = nd.Whiten.fit(images, eps=1e-4, border=border, dtype=torch.float64)
    mode = {"valid": None, "reflect": "reflect", "circular": "wrap"}[border]
    for image, found in zip(images.numpy(), whiten(images), strict=True):
        padded = np.pad(image, ((0, 0), (1, 1), (1, 1)), mode=mode) if mode else image
        centre = ((patch_matrix(padded, 3) - mean) @ d)[:, [4, 13, 22]]
        np.testing.assert_allclose(found.flatten(1), centre.T, rtol=0, atol=1e-6 * values[-1] / values[0])
    fit = nd.fit_deconvolution(images, kernel_size=3, eps=1e-4)
    if border == "valid":  # the same sums of terms, in another order and about another number
        terms = fit.kernels().abs().sum((1, 2, 3)).max().item() * images.abs().max().item()
        atol = 16 * torch.finfo(torch.float64).eps * terms
        torch.testing.assert_close(whiten(images), fit.apply(images), rtol=0, atol=atol)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_inverse_gives_the_images_back(mode, dtype):
    images = pictures()
    whiten = fitted(mode).to(dtype)
    assert whiten(images).dtype == dtype
    _, condition, _ = direct(images.numpy().reshape(300, -1))
    tolerance = rtol(dtype, condition)
    torch.testing.assert_close(whiten.inverse(whiten(images)), images.to(dtype), rtol=0, atol=tolerance)
    torch.testing.assert_close(whiten.inverse(whiten(images[3])), images[3].to(dtype), rtol=0, atol=tolerance)


@pytest.mark.parametrize("mode", MODES)
def test_one_image_is_whitened_as_in_a_batch_and_uint8_is_scaled(mode):
    whiten = fitted(mode)
    levels = (255 * pictures()).round().to(torch.uint8)
    batch = whiten(levels)
    torch.testing.assert_close(whiten(levels[2]), batch[2], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(whiten(levels.double() / 255), batch, rtol=0, atol=0)
    same = nd.Whiten.fit(levels, mode, eps=EPS, relative_eps=True, dtype=torch.float64)
    other = nd.Whiten.fit(levels.double() / 255, mode, eps=EPS, relative_eps=True, dtype=torch.float64)
    torch.testing.assert_close(same.weight, other.weight, rtol=0, atol=1e-5 * other.weight.abs().max().item())


@pytest.mark.parametrize("mode", MODES)
def test_an_iterable_of_images_or_batches_fits_the_same(mode):
    images, whiten = pictures(), fitted(mode)
    settings = {"eps": EPS, "relative_eps": True, "dtype": torch.float64}
    for given in (list(images), (batch.numpy() for batch in images.split(70))):
        again = nd.Whiten.fit(given, mode, **settings)
        torch.testing.assert_close(again.weight, whiten.weight, rtol=0, atol=1e-9 * whiten.weight.abs().max().item())
        torch.testing.assert_close(again.mean, whiten.mean, rtol=1e-12, atol=0)


@pytest.mark.parametrize("mode", MODES)
def test_states_are_saved_and_loaded(mode, tmp_path):
    images, whiten = pictures(4), fitted(mode)
    torch.save(whiten.state_dict(), tmp_path / "whiten.pt")
    save_file(whiten.state_dict(), tmp_path / "whiten.safetensors")
    for state in (torch.load(tmp_path / "whiten.pt"), load_file(tmp_path / "whiten.safetensors")):
        again = nd.Whiten.from_state_dict(state)
        assert repr(again) == repr(whiten)
        assert torch.equal(again(images), whiten(images))
    assert torch.equal(pickle.loads(pickle.dumps(whiten))(images), whiten(images))
    network = torch.nn.Sequential(nd.Whiten.fit(pictures(seed=1), mode, dtype=torch.float64, border=whiten.border))
    network.load_state_dict({f"0.{name}": value for name, value in whiten.state_dict().items()})
    assert torch.equal(network(images), whiten(images))
    assert torch.equal(network[0].inverse(whiten(images)), whiten.inverse(whiten(images)))
    assert not list(network.parameters())


def test_a_state_of_another_mode_is_refused():
    full, pca = fitted("full"), fitted("pca")
    with pytest.raises(ValueError, match=r"mode of the state must be 'full'.*got 'pca'.*from_state_dict"):
        full.load_state_dict(pca.state_dict())
    with pytest.raises(ValueError, match="got one without weight"):
        nd.Whiten.from_state_dict({"mean": full.mean, "offset": full.offset, "_extra_state": full.get_extra_state()})


class Images(Dataset):
    def __init__(self, transform):
        self.images, self.transform = pictures(8).float(), transform

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        return self.transform(self.images[i]), i


def test_in_the_workers_of_a_loader():
    whiten = fitted("full").float()
    found = torch.cat([batch for batch, _ in DataLoader(Images(whiten), batch_size=4, num_workers=1)])
    torch.testing.assert_close(found, whiten(pictures(8).float()), rtol=0, atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_gradients_flow_to_the_images(mode):
    whiten = fitted(mode)
    images = pictures(2).requires_grad_()
    assert torch.autograd.gradcheck(whiten, images)
    assert torch.autograd.gradcheck(whiten.inverse, whiten(images))


@pytest.mark.parametrize("mode", ["conv", "full"])
def test_exported_with_a_batch_of_any_size(mode):
    images, whiten = pictures(4).float(), fitted(mode).float()
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(whiten, (images,), dynamic_shapes=({0: batch},))
    other = pictures(7, seed=5).float()
    torch.testing.assert_close(program.module()(other), whiten(other), rtol=0, atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_compiled_without_a_break_of_the_graph(mode):
    images, whiten = pictures(4), fitted(mode)
    compiled = torch.compile(whiten, fullgraph=True, backend="aot_eager")  # the tracing, without a compiler of C
    torch.testing.assert_close(compiled(images), whiten(images), rtol=0, atol=1e-12)


@pytest.mark.parametrize("mode", ["conv", "channel"])
def test_keep_scale_restores_each_channels_mean_and_deviation(mode):
    images = pictures(20, 3, 9, 11)
    whiten = nd.Whiten.fit(images, mode, eps=1e-4, keep_scale=True, dtype=torch.float64)
    found = whiten(images)
    inner = images[:, :, 1:-1, 1:-1] if mode == "conv" else images
    dims = (0, 2, 3)
    torch.testing.assert_close(found.mean(dims), inner.mean(dims), rtol=0, atol=1e-6)
    # The covariance is summed in float32 where its rounding changes D A D by no more than this.
    torch.testing.assert_close(found.std(dims), inner.std(dims), rtol=TOLERANCE, atol=0)
    before, after = (torch.corrcoef(x.movedim(1, 0).flatten(1)) for x in (inner, found))
    assert (after - torch.eye(3)).abs().max() < 0.3 * (before - torch.eye(3)).abs().max()
    if mode == "channel":
        torch.testing.assert_close(whiten.inverse(found), images, rtol=0, atol=1e-10)


@pytest.mark.usefixtures("unpainted")
def test_load_reads_what_the_command_has_written(photos, tmp_path):
    assert invoke("kernels", photos, "-k", 3, "--out", tmp_path, "-q").exit_code == 0
    whiten = nd.Whiten.load(tmp_path / "kernels.npz", border="reflect", dtype=torch.float64)
    kernels = nd.load(tmp_path / "kernels.npz")
    (image,) = nd.iter_images(photos / "0.jpg")
    found = whiten(torch.from_numpy(image))
    assert found.shape == image.shape
    expected = kernels.deconvolution.apply(image.astype(np.float64))
    torch.testing.assert_close(found[:, 1:-1, 1:-1], expected, rtol=0, atol=1e-9 * expected.abs().max().item())
    with np.load(tmp_path / "kernels.npz") as arrays:
        linear = dict(arrays) | {"space": np.frombuffer(b"linear", np.uint8)}
    np.savez(tmp_path / "linear.npz", **linear)
    with pytest.warns(NumericalWarning, match=r"in the colour space linear: .*space='linear'"):
        nd.Whiten.load(tmp_path / "linear.npz")
    np.savez(tmp_path / "other.npz", covariance=np.eye(3))
    with pytest.raises(DataError, match="`path` takes the .npz file that ndtools kernels writes"):
        nd.Whiten.load(tmp_path / "other.npz")
    with pytest.raises(DataError, match="no such file"):
        nd.Whiten.load(tmp_path / "none.npz")


def test_real_images_of_cifar_as_by_a_direct_computation():
    folder, tiles = real("cifar-10-webp"), []
    for i in range(2):  # mosaics of 25 rows of 40 images
        with Image.open(folder / f"test_batch_{i}.webp") as mosaic:
            pixels = np.asarray(mosaic).reshape(25, 32, 40, 32, 3).transpose(0, 2, 4, 1, 3)
            tiles.append(pixels.reshape(1000, 3, 32, 32)[:, :, 8:24, 8:24])
    images = np.concatenate(tiles)
    whiten = nd.Whiten.fit(images, "full", dtype=torch.float64)
    rows = images.reshape(2000, -1) / 255
    d, condition, _ = direct(rows, 1e-5)
    np.testing.assert_allclose(whiten.weight, d, rtol=0, atol=rtol(torch.float64, condition) * np.abs(d).max())
    expected = (rows[:50] - rows.mean(0)) @ d
    found = whiten.float()(torch.as_tensor(images[:50])).flatten(1)
    np.testing.assert_allclose(found, expected, rtol=0, atol=rtol(torch.float32, condition**0.5) * 10)


def test_bad_arguments_are_named():
    images, whiten = pictures(4), fitted("full")
    for settings, error, message in (
        ({"mode": "zca"}, OptionError, "mode: must be one of conv, full"),
        ({"mode": "full", "kernel_size": 3}, OptionError, "kernel_size: has no meaning in mode 'full'"),
        ({"mode": "channel", "border": "reflect"}, OptionError, "border: has no meaning"),
        ({"mode": "full", "keep_scale": True}, OptionError, "keep_scale: has no meaning"),
        ({"mode": "pca", "method": nd.Eigh()}, OptionError, "method: has no meaning"),
        ({"kernel_size": 2}, ValueError, "kernel_size must be odd"),
        ({"border": "zeros"}, OptionError, "border: must be one of valid, reflect, circular"),
        ({"eps": "auto"}, ValueError, "eps must be a number or 'paper'"),
        ({"eps": -1.0}, ValueError, "eps must be at least 0"),
        ({"kernel_size": 7}, DataError, "at least 7×7 pixels"),
    ):
        with pytest.raises(error, match=message):
            nd.Whiten.fit(images, **settings)
    for given, error, message in (
        ([], DataError, "at least one image"),
        ("folder", TypeError, "iter_images"),
        ([(images[0], 3)], TypeError, "image for image, label"),
        ([images[0, 0]], ValueError, r"got one of \(4, 5\)"),
        (images.long(), TypeError, "uint8 or floating point"),
        (images * torch.nan, ValueError, "finite"),
        ([images[0], images[0, :, :3]], ValueError, "shape of the first"),
    ):
        with pytest.raises(error, match=message):
            nd.Whiten.fit(given, "full")
    with pytest.warns(NumericalWarning, match="4 images cannot determine"), pytest.raises(NotPositiveDefiniteError):
        nd.Whiten.fit(images, "full", eps=0.0)
    for call, wrong in ((whiten, images[:, :2]), (whiten, images[0, 0]), (whiten.inverse, images[0, :, :2])):
        with pytest.raises(ValueError, match=r"images must have shape \(3, 4, 5\) or \(N, 3, 4, 5\)"):
            call(wrong)
    with pytest.raises(TypeError, match="must be a Tensor, got ndarray"):
        whiten(images.numpy())
    with pytest.raises(TypeError, match="uint8 or floating point"):
        whiten(images.int())
    with pytest.raises(OptionError, match="border: must be 'circular' for an inverse"):
        fitted("conv", border="reflect").inverse(images)
    with pytest.raises(ValueError, match="at least 3×3 pixels"):
        fitted("conv")(images[:, :, :2])
    with pytest.raises(ValueError, match=r"shape \(60,\) or \(N, 60\)"):
        fitted("pca").inverse(images)
    with pytest.raises(MatrixError, match="must have an inverse"):
        nd.Whiten(torch.zeros(3), torch.ones(3, 3), mode="channel")
    with pytest.raises(ValueError, match=r"mean must have shape \(3,\)"):
        nd.Whiten(torch.zeros(4), torch.eye(3), mode="channel")
    with pytest.raises(ValueError, match="shape must be that of the images"):
        nd.Whiten(torch.zeros(3), torch.eye(3), mode="full")


def test_images_that_do_not_fit_into_the_memory_are_refused(monkeypatch):
    monkeypatch.setattr("ndtools.computing.memory.free_memory", lambda: 20_000_000)
    with pytest.raises(DataError, match=r"whitening images of 3072 pixels needs about .* another mode"):
        nd.Whiten.fit(torch.zeros(1, 3, 32, 32), "full")
