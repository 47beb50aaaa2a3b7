"""Statistics of channels against all pixels at once in float64."""

import numpy as np
import pytest

from ndtools.numerics import channel_statistics
from ndtools.numerics.channel_statistics import ChannelSums

DOUBLE = np.finfo(np.float64).eps


def images(rng, dtype, sizes=((9, 7), (4, 11), (1, 1), (5, 5))):
    made = [rng.integers(0, 256, (3, *size), dtype=np.uint8) for size in sizes]
    return made if dtype == np.uint8 else [(image / 255).astype(np.float32) for image in made]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("block", [7, 2**20])
def test_statistics_are_those_of_all_pixels_and_the_means_over_images(dtype, block, monkeypatch):
    monkeypatch.setattr(channel_statistics, "BLOCK", block)
    pictures = images(np.random.default_rng(0), dtype)
    sums, others = ChannelSums(3), ChannelSums(3)
    for i, picture in enumerate(pictures):
        (others if i == 2 else sums).update(picture[None])
    sums.merge(others)
    found = sums.finish()
    white = 255 if dtype == np.uint8 else 1
    flat = [picture.reshape(3, -1).astype(np.float64) / white for picture in pictures]
    every = np.concatenate(flat, axis=1)
    close = {"rtol": 40 * DOUBLE, "atol": 40 * DOUBLE}  # sums of up to 133 numbers of at most 1
    assert (found.images, found.pixels) == (4, every.shape[1])
    np.testing.assert_allclose(found.mean, every.mean(1), **close)
    np.testing.assert_allclose(found.covariance, np.cov(every), **close)
    np.testing.assert_allclose(found.sd, every.std(1, ddof=1), **close)
    np.testing.assert_allclose(found.correlation, np.corrcoef(every), rtol=100 * DOUBLE)
    np.testing.assert_allclose(found.image_mean, np.mean([each.mean(1) for each in flat], axis=0), **close)
    sds = np.array([each.std(1, ddof=1) if each.shape[1] > 1 else np.zeros(3) for each in flat])
    np.testing.assert_allclose(found.image_sd, sds.mean(0), **close)
    np.testing.assert_allclose(found.between, np.std([each.mean(1) for each in flat], axis=0, ddof=1), **close)
    np.testing.assert_array_equal(found.low, every.min(1))
    np.testing.assert_array_equal(found.high, every.max(1))
    edges = np.histogram_bin_edges([], 256, (-0.5 / 255, 255.5 / 255))
    np.testing.assert_allclose(found.edges, edges, atol=DOUBLE)
    for channel, counts in zip(every, found.counts, strict=True):
        np.testing.assert_array_equal(counts, np.bincount(np.rint(channel * 255).astype(int), minlength=256))
    assert (found.sd_counts.sum(1) == 4).all()
    np.testing.assert_array_equal(found.sd_counts[0], np.histogram(sds[:, 0], found.sd_edges)[0])


def test_several_images_at_once_are_as_one_by_one():
    batch = np.random.default_rng(1).integers(0, 256, (50, 3, 6, 6), dtype=np.uint8)
    together, alone = ChannelSums(3), ChannelSums(3)
    together.update(batch)
    for image in batch:
        alone.update(image[None])
    a, b = together.finish(), alone.finish()
    for name in ("mean", "covariance", "image_mean", "image_sd", "between"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=100 * DOUBLE, atol=10 * DOUBLE)
    np.testing.assert_array_equal(a.counts, b.counts)
    np.testing.assert_array_equal(a.sd_counts, b.sd_counts)


def test_of_one_size_the_variance_is_that_within_images_plus_that_between_them():
    batch = np.random.default_rng(2).random((20, 1, 8, 8), dtype=np.float32)
    batch *= np.linspace(0.2, 1, 20, dtype=np.float32)[:, None, None, None]
    sums = ChannelSums(1)
    sums.update(batch)
    found = sums.finish()
    within = np.mean([image.astype(np.float64).var() for image in batch])
    total = found.sd[0] ** 2 * (found.pixels - 1) / found.pixels
    np.testing.assert_allclose(total, within + found.between[0] ** 2 * 19 / 20, rtol=1e-13)
    assert found.image_sd[0] < found.sd[0]


@pytest.mark.parametrize("value", [0, 1, 7, 200, 255])
def test_a_constant_channel_has_no_variance_at_all(value):
    batch = np.random.default_rng(3).integers(0, 256, (3, 3, 13, 17), dtype=np.uint8)
    batch[:, 1] = value
    sums = ChannelSums(3)
    for image in batch:
        sums.update(image[None])
    found = sums.finish()
    assert found.varies.tolist() == [True, False, True]
    np.testing.assert_allclose(found.mean[1], value / 255, rtol=2 * DOUBLE)
    assert np.isnan(found.correlation[1]).all()
    assert not np.isnan(found.correlation[::2, ::2]).any()


def test_axes_are_those_of_the_covariance():
    rng = np.random.default_rng(4)
    brightness, blue = rng.random((2, 40, 1, 10, 10))
    batch = (
        np.concatenate([brightness + 0.1 * blue, brightness, brightness - 0.1 * blue], axis=1).astype(np.float32) / 3
    )
    sums = ChannelSums(3)
    sums.update(batch)
    found = sums.finish()
    shares, axes = found.axes()
    np.testing.assert_allclose(shares.sum(), 1)
    assert shares[2] < 1e-12  # two signals only, in float32
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-14)
    np.testing.assert_allclose(
        axes @ found.covariance @ axes.T, np.diag(shares * np.trace(found.covariance)), atol=1e-14
    )
    assert (axes[0] > 0).all()


def test_nothing_has_no_statistics():
    with pytest.raises(ValueError, match="at least one image"):
        ChannelSums(3).finish()
