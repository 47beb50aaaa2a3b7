import numpy as np
import pytest

from ndtools.data.images.decoding import decode_image
from ndtools.data.images.synthetic import dead_leaves, sample_images


@pytest.fixture(scope="module")
def leaves():
    return np.stack([dead_leaves(256, 256, seed=seed) for seed in range(10)]).astype(float) / 255


def test_shape_type_and_determinism():
    image = dead_leaves(40, 70, seed=3)
    assert image.shape == (3, 40, 70)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, dead_leaves(40, 70, seed=3))
    assert (image != dead_leaves(40, 70, seed=4)).mean() > 0.5
    state = np.random.get_state()[1]
    dead_leaves(40, 70, seed=5)
    np.testing.assert_array_equal(state, np.random.get_state()[1])


def test_power_spectrum_falls_as_the_inverse_square(leaves):
    size = leaves.shape[-1]
    luminance = leaves.mean(axis=1)
    window = np.outer(np.hanning(size), np.hanning(size))
    centred = luminance - luminance.mean(axis=(1, 2), keepdims=True)
    power = (np.abs(np.fft.fft2(centred * window)) ** 2).mean(axis=0)
    cycles = np.fft.fftfreq(size, 1 / size)
    ring = np.rint(np.hypot(cycles[:, None], cycles)).astype(int).ravel()
    radial = np.bincount(ring, power.ravel()) / np.bincount(ring)
    frequency = np.arange(4, 64)  # cycles per image: scales of 4 to 64 pixels
    slope = np.polyfit(np.log(frequency), np.log(radial[frequency]), 1)[0]
    assert -2.4 < slope < -1.6


def test_channels_are_highly_but_not_perfectly_correlated(leaves):
    correlation = np.corrcoef(leaves.transpose(1, 0, 2, 3).reshape(3, -1))
    pairs = correlation[np.triu_indices(3, 1)]
    assert pairs.min() > 0.88
    assert pairs.max() < 0.98


def test_every_pixel_is_covered(leaves):
    # No leaf is quite black, an unpainted pixel would be.
    assert leaves.sum(axis=1).min() > 0
    # And hardly any sees the backmost leaf: no colour has more than a third of an image everywhere.
    assert leaves.std(axis=(1, 2, 3)).min() > 0.1


def test_discs_are_flat_opaque_and_antialiased(leaves):
    step = np.diff(leaves.mean(axis=1), axis=-1)
    assert (step == 0).mean() > 0.2  # inside a disc nothing changes
    kurtosis = (step**4).mean() / (step**2).mean() ** 2
    assert kurtosis > 5  # a Gaussian has 3
    # A single large radius: few edges, and on them intermediate values that no leaf has.
    sparse = dead_leaves(128, 128, seed=0, r_min=30, r_max=40)
    colours, counts = np.unique(sparse.reshape(3, -1), axis=1, return_counts=True)
    assert counts.max() > 500
    assert (counts == 1).sum() > 20


def test_radii_follow_the_inverse_cube():
    """Share of each scale in the covered area: r^-3 gives every octave the same."""
    shares = []
    for low in (4.0, 8.0, 16.0):
        coarse = [dead_leaves(256, 256, seed=s, r_min=low, r_max=2 * low) for s in range(2)]
        edges = np.mean([(np.diff(image.astype(int).sum(0), axis=1) != 0).mean() for image in coarse])
        shares.append(edges * low)
    # Edge length per area falls as 1 / r, whatever the octave: the model is scale invariant.
    assert max(shares) < 1.3 * min(shares)


@pytest.mark.parametrize(
    "options",
    [
        {"height": 0},
        {"width": -1},
        {"r_min": 0.0},
        {"r_min": 5.0, "r_max": 5.0},
        {"r_min": 3.0, "r_max": 2.0},
    ],
)
def test_bad_sizes_and_radii(options):
    with pytest.raises(ValueError, match="must"):
        dead_leaves(**{"height": 10, "width": 10, "seed": 0, **options})


def test_one_pixel():
    assert dead_leaves(1, 1, seed=0).shape == (3, 1, 1)


def test_the_sample_is_made_when_asked_for_and_ends_with_a_photograph():
    sample = sample_images()
    names = [name for name, _ in sample]
    assert len(names) == len(set(names)) == 25
    np.testing.assert_array_equal(decode_image(sample[1][1]()), dead_leaves(256, 384, seed=1))
    photograph = decode_image(sample[-1][1]())
    assert photograph.shape == (3, 600, 512)
    assert 0.3 < photograph.mean() / 255 < 0.7
