"""Patch covariance against the float64 patch matrix.

Rounding is relative to the largest second moment about the image's mean, so that is what error is measured
against, and to the largest covariance where there is some. A Fourier transform of n points loses eps·log2(n) of
the largest value at most; the longest have 448 × 448, so log2(n) < 18.
"""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ndtools.numerics.covariance import rounding_effect
from ndtools.numerics.patch_covariance import PatchCovariance, transform_dtype
from ndtools.numerics.tiles import LONGEST_TRANSFORM, cut, longest_transform
from tests.oracles.patches import patch_covariance, row_window_products
from tests.oracles.pictures import smooth_images
from tests.places import real

FLOAT32 = 18 * torch.finfo(torch.float32).eps
FLOAT64 = 1e-12  # of pixels in [0, 1], about 4000 roundings: the slow sums lose digits of their own


def covariance(images, kernel_size, **options):
    moments = PatchCovariance(images[0].shape[0], kernel_size, **options)
    for image in images:
        moments.update(image)
    return moments.finalize()


def assert_exact(result, images, kernel_size, rtol, scale=None, oracle=None):
    count, mean, expected = oracle or patch_covariance([as_unit(image) for image in images], kernel_size)
    scale = np.abs(expected).max() if scale is None else scale
    assert result.count == count
    np.testing.assert_allclose(result.mean, mean, rtol=0, atol=rtol)
    assert np.abs(result.matrix.numpy() - expected).max() <= rtol * scale


def as_unit(image):
    image = np.asarray(image)
    return image / 255 if image.dtype == np.uint8 else image.astype(np.float64)


def largest_second_moment(images, kernel_size):
    """Of a patch element about its image's mean, over all patches."""
    total = count = 0
    for image in map(as_unit, images):
        squares = np.square(image - image.mean(tuple(range(1, image.ndim)), keepdims=True))
        sides = (kernel_size,) * (image.ndim - 1) if isinstance(kernel_size, int) else kernel_size
        positions = [n - k + 1 for n, k in zip(image.shape[1:], sides, strict=True)]
        parts = ([slice(d, d + n) for d, n in zip(at, positions, strict=True)] for at in np.ndindex(sides))
        total = total + np.array([squares[:, *part].sum(tuple(range(1, image.ndim))) for part in parts])
        count += math.prod(positions)
    return (total / count).max()


windows = st.tuples(st.integers(1, 8), st.integers(1, 8))


@st.composite
def image_sets(draw):
    ky, kx = draw(windows)
    channels = draw(st.integers(1, 4))
    sizes = draw(st.lists(st.tuples(st.integers(0, 24), st.integers(0, 24)), min_size=1, max_size=4))
    level, contrast = draw(st.floats(0, 1)), draw(st.sampled_from([1.0, 0.02, 1 / 255]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    dtype = draw(st.sampled_from([np.uint8, np.float16, np.float32, np.float64]))
    images = []
    for extra_y, extra_x in sizes:
        # A random walk along x: neighbours are correlated, as in pictures.
        walk = rng.normal(size=(channels, ky + extra_y, kx + extra_x)).cumsum(-1)
        image = np.clip(level + contrast * walk / (np.abs(walk).max() + 1e-9), 0, 1)
        images.append(np.round(image * 255).astype(np.uint8) if dtype == np.uint8 else image.astype(dtype))
    return images, (ky, kx)


@settings(max_examples=100)
@given(image_sets())
def test_equals_the_patch_matrix_in_float32(case):
    images, kernel_size = case
    # Sets of images with different means have a larger covariance than second moments within the images.
    largest = np.abs(patch_covariance(list(map(as_unit, images)), kernel_size)[2]).max()
    scale = max(largest_second_moment(images, kernel_size), largest)
    assert_exact(covariance(images, kernel_size), images, kernel_size, FLOAT32, scale=scale + 1e-15)


@settings(max_examples=60)
@given(image_sets())
def test_equals_the_patch_matrix_in_float64(case):
    images, kernel_size = case
    assert_exact(covariance(images, kernel_size, dtype=torch.float64), images, kernel_size, FLOAT64, scale=1.0)


@st.composite
def arrays_of_any_axes(draw):
    """Signals, images or volumes of 1 to 31 channels; the patches stay below some hundred features."""
    axes = draw(st.integers(1, 3))
    kernel_size = tuple(draw(st.integers(1, {1: 24, 2: 5, 3: 3}[axes])) for _ in range(axes))
    channels = draw(st.integers(1, min(31, 400 // math.prod(kernel_size))))
    most = {1: 120, 2: 12, 3: 5}[axes]
    sizes = draw(st.lists(st.tuples(*[st.integers(0, most)] * axes), min_size=1, max_size=3))
    level, dtype = draw(st.floats(0, 1)), draw(st.sampled_from([np.uint8, np.float32, np.float64]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    arrays = []
    for extra in sizes:
        walk = rng.normal(size=(channels, *map(sum, zip(kernel_size, extra, strict=True)))).cumsum(-1)
        array = np.clip(level + walk / (np.abs(walk).max() + 1e-9), 0, 1)
        arrays.append(np.round(array * 255).astype(np.uint8) if dtype == np.uint8 else array.astype(dtype))
    return arrays, kernel_size, draw(st.sampled_from([torch.float32, torch.float64]))


@settings(max_examples=60)
@given(arrays_of_any_axes())
def test_equals_the_patch_matrix_in_one_two_and_three_axes(case):
    arrays, kernel_size, dtype = case
    oracle = patch_covariance(list(map(as_unit, arrays)), kernel_size)
    scale = max(largest_second_moment(arrays, kernel_size), np.abs(oracle[2]).max()) + 1e-15
    rtol, scale = (FLOAT32, scale) if dtype == torch.float32 else (FLOAT64, 1.0)
    result = covariance(arrays, kernel_size, dtype=dtype)
    assert result.kernel_size == kernel_size
    assert_exact(result, arrays, kernel_size, rtol, scale=scale, oracle=oracle)


@pytest.mark.parametrize(
    ("size", "kernel_size", "channels"),
    [
        ((20_000,), (15,), 4),
        ((9_000,), (301,), 1),
        ((5_000,), (2,), 31),
        ((40, 50, 120), (3, 5, 4), 1),
        ((9, 10, 200), (9, 2, 3), 2),
        ((200, 4, 5), (4, 4, 5), 3),
    ],
)
def test_long_signals_and_volumes_in_several_tiles(size, kernel_size, channels):
    walk = np.random.default_rng(1).normal(size=(channels, *size)).cumsum(1 + np.argmax(size))
    array = walk / np.abs(walk).max()
    oracle = patch_covariance([array], kernel_size)
    scale = largest_second_moment([array], kernel_size)
    assert_exact(covariance([array], kernel_size), [array], kernel_size, FLOAT32, scale=scale, oracle=oracle)
    result = covariance([array], kernel_size, dtype=torch.float64)
    assert_exact(result, [array], kernel_size, FLOAT64, scale=1.0, oracle=oracle)
    result = covariance([array], kernel_size, method="im2col")
    assert_exact(result, [array], kernel_size, FLOAT64, scale=1.0, oracle=oracle)


def test_signals_and_volumes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"signal must have shape \(2, T\), got \(2, 5, 5\)"):
        PatchCovariance(2, (3,)).update(np.zeros((2, 5, 5)))
    with pytest.raises(ValueError, match=r"volume must be at least as large as a 3×3×3 patch, got 2×9×9 voxels"):
        PatchCovariance(1, (3, 3, 3)).update(np.zeros((1, 2, 9, 9)))
    with pytest.raises(ValueError, match="kernel_size must be a positive integer or one for each of one to three axes"):
        PatchCovariance(1, (3, 3, 3, 3))
    with pytest.raises(ValueError, match="stride must be a positive integer or a tuple of one"):
        PatchCovariance(1, (3,), method="im2col", stride=(2, 2))
    with pytest.raises(ValueError, match="kernel_size must be the same"):
        PatchCovariance(1, (3,)).merge(PatchCovariance(1, (3, 1)))


@pytest.mark.parametrize(
    ("size", "k", "longest"),
    [
        ((15, 15), 15, 448),
        ((15, 400), 15, 448),
        ((300, 15), 15, 448),
        ((31, 33), 15, 448),
        ((20, 720), 5, 448),
        ((90, 140), 5, 64),
        ((32, 32), 31, 448),
    ],
)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sizes_from_a_single_patch_to_several_tiles(size, k, longest, channels, monkeypatch):
    monkeypatch.setitem(LONGEST_TRANSFORM, 2, longest)
    if k == 31:
        channels = 1
    image = np.random.default_rng(0).random((channels, *size)).cumsum(1) / size[0]
    oracle = patch_covariance([image], k)
    # A single patch has no covariance: compare with the second moment.
    scale = largest_second_moment([image], k)
    assert_exact(covariance([image], k), [image], k, FLOAT32, scale=scale, oracle=oracle)
    assert_exact(covariance([image], k, dtype=torch.float64), [image], k, FLOAT64, scale=1.0, oracle=oracle)


@pytest.mark.parametrize(
    ("kernel_size", "sizes"),
    [
        (31, [(31, 31), (40, 90), (120, 110)]),
        (24, [(50, 64), (200, 30)]),
        ((31, 9), [(100, 100)]),
        ((6, 31), [(70, 140)]),
    ],
)
def test_large_even_and_rectangular_windows(kernel_size, sizes):
    images = [np.random.default_rng(h).random((2, h, w)).cumsum(1) / h for h, w in sizes]
    total = sum(row_window_products(image, kernel_size) for image in images)
    result = covariance(images, kernel_size)
    second = result.matrix + torch.outer(result.mean, result.mean)
    scale = largest_second_moment(images, kernel_size)
    np.testing.assert_allclose(second, total / result.count, rtol=0, atol=FLOAT32 * scale)
    second = covariance(images, kernel_size, dtype=torch.float64)
    second = second.matrix + torch.outer(second.mean, second.mean)
    np.testing.assert_allclose(second, total / result.count, rtol=0, atol=FLOAT64)


@pytest.mark.parametrize("blur", [0.01, 2.0])
@pytest.mark.parametrize("count", [1, 12])
@pytest.mark.parametrize(("channels", "k"), [(3, 1), (3, 3), (3, 9), (1, 15), (1, 25)])
def test_the_effect_of_rounding_is_as_estimated(blur, count, channels, k):
    """What it is estimated from in `rounding_effect`: ‖D ΔCov D‖ against float64, which is exact beside float32."""
    images = smooth_images(count, channels, blur)
    measured, estimated = effect_of_rounding(images, k, 1e-3)
    assert 1e-3 < measured / estimated < 3
    rounded, exact = covariance(images, k), covariance(images, k, dtype=torch.float64)
    assert exact.rounding == pytest.approx(rounded.rounding * 2.0**-29, rel=1e-9)  # 24 and 53 bits


def effect_of_rounding(images, k, relative_eps):
    """Measured ‖D ΔCov D‖ of transforms in float32, and its estimate; float64 is exact beside float32."""
    rounded, exact = covariance(images, k), covariance(images, k, dtype=torch.float64)
    eps = relative_eps * rounded.mean_variance
    values, vectors = torch.linalg.eigh(exact.matrix + eps * torch.eye(len(exact.matrix)))
    d = vectors / values.sqrt() @ vectors.mT
    measured = torch.linalg.matrix_norm(d @ (rounded.matrix - exact.matrix) @ d, 2).item()
    return measured, rounding_effect(rounded.rounding, len(values), values[0].item())


@settings(max_examples=25)
@given(
    channels=st.integers(1, 31),
    kernel_size=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    shapes=st.lists(st.tuples(st.integers(3, 14), st.integers(3, 14)), min_size=1, max_size=3),
    scale=st.sampled_from([1e-6, 1.0, 1e5]),
    seed=st.integers(0, 99),
)
def test_any_number_of_channels_in_any_unit(channels, kernel_size, shapes, scale, seed):
    rng = np.random.default_rng(seed)
    images = [scale * (20 + rng.normal(size=(channels, *shape)).cumsum(0)) for shape in shapes]
    count, mean, expected = patch_covariance(images, kernel_size)
    result = covariance(images, kernel_size, dtype=torch.float64)
    assert result.count == count
    np.testing.assert_allclose(result.mean, mean, rtol=FLOAT64)
    largest = scale**2 * largest_second_moment([image / scale for image in images], kernel_size)
    assert np.abs(result.matrix.numpy() - expected).max() <= FLOAT64 * largest


def test_tiles_of_many_channels_are_shorter():
    image = np.random.default_rng(0).normal(size=(7, 230, 20))  # as many rows as one tile of three channels has
    assert len(cut(230, 3, longest_transform(2, 3))) < len(cut(230, 3, longest_transform(2, 7)))
    count, mean, expected = patch_covariance([image], 3)
    result = covariance([image], 3, dtype=torch.float64)
    assert np.abs(result.matrix.numpy() - expected).max() <= FLOAT64 * largest_second_moment([image], 3)


@pytest.mark.parametrize("first", [0, 1])
def test_no_sample_of_the_pixels_hides_their_structure(first):
    """Noise on every second pixel of every second row alone, for either choice of these."""
    image = torch.full((1, 128, 128), 0.5)
    noise = torch.rand(64, 64, generator=torch.Generator().manual_seed(0)) - 0.5
    image[0, first::2, first::2] += noise
    mean_square = (image.double() - image.double().mean()).square().mean().item()
    expected = torch.finfo(torch.float32).eps * mean_square * 128**2 / 124**2
    assert covariance([image], 5).rounding == pytest.approx(expected, rel=1e-6)
    measured, estimated = effect_of_rounding([image], 5, 1e-3)
    assert 1e-3 < measured / estimated < 3


def test_a_small_ridge_makes_transforms_float64():
    images = smooth_images(2)
    single, double = (covariance(images, 5, dtype=dtype).matrix for dtype in (torch.float32, torch.float64))
    assert not torch.equal(single, double)
    assert torch.equal(covariance(images, 5, eps=1e-3).matrix, single)
    assert torch.equal(covariance(images, 5, eps=1e-7).matrix, double)
    assert torch.equal(covariance(images, 5, eps=0.0).matrix, double)
    assert torch.equal(covariance(images, 5, eps=1e-2, relative=True).matrix, single)
    assert torch.equal(covariance(images, 5, eps=1e-5, relative=True).matrix, double)


def test_only_images_whose_contrast_asks_for_it_are_float64():
    image = smooth_images(1)[0]
    faint = 0.5 + 1e-3 * (image - 0.5)
    eps = 1e-7
    assert covariance([image], 5, eps=eps).rounding < 1e-6 * covariance([image], 5).rounding
    assert covariance([faint], 5, eps=eps).rounding == covariance([faint], 5).rounding


def test_the_default_ridge_and_kernel_need_float32_whatever_the_images():
    assert transform_dtype(0.25, 3 * 15**2, 1e-3) == torch.float32
    assert transform_dtype(0.25, 3 * 15**2, 1e-4) == torch.float64


def test_rounding_adds_up_as_patches_do():
    images = smooth_images(3)
    parts = [PatchCovariance(3, 5).update(image) for image in images]
    whole = covariance(images, 5).rounding
    assert (parts[0] + parts[1] + parts[2]).finalize().rounding == pytest.approx(whole, rel=1e-12)
    assert sum((part.finalize() for part in parts[1:]), parts[0].finalize()).rounding == pytest.approx(whole, rel=1e-12)


def test_low_contrast_keeps_its_relative_error():
    rng = np.random.default_rng(0)
    grain = (0.78 + 0.02 * rng.normal(size=(3, 60, 70))).astype(np.float32)
    assert_exact(covariance([grain], 5), [grain], 5, FLOAT32)
    flat = np.full((3, 200, 220), 200, np.uint8)
    flat[1, 90, 100] += 1
    assert_exact(covariance([flat], 5), [flat], 5, FLOAT32)


def test_each_image_keeps_its_precision_among_images_of_other_levels():
    """What is subtracted from an image must be what is added back, to the last bit."""
    rng = np.random.default_rng(0)
    for dtype, contrast in ((np.float32, 1e-4), (np.float32, 1e-2), (np.float16, 1e-2)):
        images = [(level + contrast * rng.random((3, 40, 50))).astype(dtype) for level in (0.7, 0.1, 0.4)]
        assert_exact(covariance(images, 3, dtype=torch.float64), images, 3, FLOAT64, scale=1.0)
        assert_exact(covariance(images[:1], 3), images[:1], 3, FLOAT32)


def test_constant_images_have_exactly_no_covariance():
    flat = np.full((3, 30, 40), 77, np.uint8)
    result = covariance([flat, flat[:, :20]], 7)
    assert torch.count_nonzero(result.matrix) == 0
    torch.testing.assert_close(result.mean, torch.full((147,), 77 / 255, dtype=torch.float64), rtol=1e-15, atol=0)


@settings(max_examples=25)
@given(st.lists(st.integers(0, 3), min_size=8, max_size=8), st.randoms())
@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float32, FLOAT32), (torch.float64, FLOAT64)])
def test_any_partition_and_order_give_the_same(dtype, rtol, parts, random):
    rng = np.random.default_rng(1)
    images = [rng.random((2, 10 + 3 * i, 20 + i)).astype(np.float32) * rng.random() for i in range(8)]
    whole = covariance(images, (3, 4), dtype=dtype)
    order = list(range(8))
    random.shuffle(order)
    accumulators = [PatchCovariance(2, (3, 4), dtype=dtype) for _ in range(4)]
    for i in order:
        accumulators[parts[i]].update(images[i])
    total = accumulators[0] + accumulators[1]
    total.merge(accumulators[2]).merge(accumulators[3])
    result = total.finalize()
    assert result.count == whole.count
    torch.testing.assert_close(result.matrix, whole.matrix, rtol=0, atol=rtol * whole.matrix.max().item())
    torch.testing.assert_close(result.mean, whole.mean, rtol=0, atol=rtol)


def test_finalize_leaves_the_accumulator_usable_and_merge_leaves_the_other():
    images = torch.rand(2, 3, 20, 20)
    a, b = PatchCovariance(3, 3).update(images[0]), PatchCovariance(3, 3).update(images[1])
    a.finalize()
    before = b.finalize().matrix
    a.merge(b)
    torch.testing.assert_close(b.finalize().matrix, before, rtol=0, atol=0)
    whole = covariance(list(images), 3).matrix
    torch.testing.assert_close(a.finalize().matrix, whole, rtol=0, atol=FLOAT32 * whole.max().item())


@pytest.mark.parametrize("stride", [1, 2, (3, 1)])
def test_im2col_takes_strides_and_agrees(stride):
    images = [np.random.default_rng(i).random((3, 30 + i, 25)) for i in range(2)]
    result = covariance(images, 4, method="im2col", stride=stride)
    sy, sx = (stride, stride) if isinstance(stride, int) else stride
    rows = [
        x
        for image in images
        for y in range(0, image.shape[1] - 3, sy)
        for x in np.stack([image[:, y : y + 4, c : c + 4].ravel() for c in range(0, 22, sx)])
    ]
    assert result.count == len(rows)
    np.testing.assert_allclose(result.matrix, np.cov(np.array(rows).T, bias=True), rtol=0, atol=1e-7)
    if stride == 1:
        torch.testing.assert_close(result.matrix, covariance(images, 4).matrix, rtol=0, atol=1e-7)


def test_photographs():
    folder = real("imagenet-sample")
    images = []
    for path in sorted(folder.iterdir())[:6]:
        with Image.open(path) as image:
            images.append(np.asarray(image.convert("RGB")).transpose(2, 0, 1)[:, :120, :160])
    for k in (3, 9):
        assert_exact(covariance(images, k), images, k, FLOAT32)
    assert_exact(covariance(images[:1], 15), images[:1], 15, FLOAT32)


def test_pixels_may_be_read_only_or_transposed_and_are_left_alone():
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    pixels.flags.writeable = False
    result = covariance([pixels.transpose(2, 0, 1)], 3)
    for dtype in (torch.float32, torch.float64):
        image = torch.rand(3, 20, 20, dtype=dtype)
        copy = image.clone()
        covariance([image], 3)
        assert torch.equal(image, copy)
    assert_exact(result, [pixels.transpose(2, 0, 1)], 3, FLOAT32)


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (torch.zeros(4, 9, 9), ValueError, r"shape \(3, H, W\), got \(4, 9, 9\)"),
        (torch.zeros(9, 9), ValueError, "shape"),
        (torch.zeros(3, 4, 9), ValueError, "at least as large as a 5×5 patch, got 4×9 pixels"),
        (torch.zeros(3, 9, 9, dtype=torch.int32), TypeError, "int32"),
        (torch.full((3, 9, 9), float("nan")), ValueError, "finite"),
    ],
)
def test_unusable_images_are_refused_and_not_counted(image, error, message):
    moments = PatchCovariance(3, 5)
    with pytest.raises(error, match=message):
        moments.update(image)
    assert moments.count == 0
    with pytest.raises(ValueError, match="images must be added"):
        moments.finalize()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 0}, "channels"),
        ({"kernel_size": 0}, "kernel_size"),
        ({"dtype": torch.float16}, "dtype"),
        ({"method": "fft"}, "method"),
        ({"stride": 2}, "stride"),
        ({"eps": -1.0}, "eps"),
    ],
)
def test_bad_set_up_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        PatchCovariance(**options)


def test_only_like_accumulators_merge():
    with pytest.raises(ValueError, match="kernel_size"):
        PatchCovariance(3, 3).merge(PatchCovariance(3, 5))


@pytest.mark.gpu
def test_cuda_agrees_with_the_processor():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    images = [torch.rand(3, 300, 400), torch.rand(3, 90, 90)]
    there, here = covariance(images, 15, device="cuda").cpu(), covariance(images, 15)
    torch.testing.assert_close(there.matrix, here.matrix, rtol=0, atol=1e-7)
