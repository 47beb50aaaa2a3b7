import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ndtools.numerics.patches import as_pixels, im2col, patch_grid, to_sizes
from tests.oracles.patches import patch_matrix


@given(
    channels=st.integers(1, 3),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    ky=st.integers(1, 9),
    kx=st.integers(1, 9),
    stride=st.integers(1, 4),
)
def test_patches_and_their_number_are_those_of_a_sliding_window(channels, height, width, ky, kx, stride):
    image = torch.arange(float(channels * height * width), dtype=torch.float64).view(channels, height, width)
    rows, columns = patch_grid((height, width), (ky, kx), stride)
    if height < ky or width < kx:
        assert (rows, columns) == (0, 0)
        with pytest.raises(ValueError, match="at least as large as"):
            im2col(image, (ky, kx), stride)
        return
    patches = im2col(image, (ky, kx), stride)
    assert patches.shape[0] == rows * columns
    assert patches.tolist() == patch_matrix(image, (ky, kx), stride).tolist()


def test_stride_may_differ_by_axis_and_batches_keep_their_dimensions():
    images = torch.rand(2, 5, 3, 12, 10)
    patches = im2col(images, (3, 2), (4, 3))
    assert patches.shape == (2, 5, 3 * 3, 3 * 3 * 2)
    assert torch.equal(patches[1, 2, 4].view(3, 3, 2), images[1, 2, :, 4:7, 3:5])


@pytest.mark.parametrize("bad", [0, -1, (3, 0), (1, 2, 3, 4), (), 1.5, (2.5, 1), "3", None])
def test_sizes_must_be_positive_integers(bad):
    with pytest.raises(ValueError, match="size must be a positive integer or one for each"):
        to_sizes(bad, "size")


def test_sizes_may_be_numpy_integers():
    assert to_sizes(np.int64(3)) == (3, 3)
    assert to_sizes((np.int32(3), 4)) == (3, 4)
    assert to_sizes((1, 2, 3)) == (1, 2, 3)
    assert to_sizes(2, axes=3) == (2, 2, 2)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("writeable", [False, True])
@pytest.mark.parametrize("dtype", ["u1", "<f4", ">f4", ">f8", "f2"])
def test_arrays_of_any_layout_become_pixels(dtype, flip, writeable):
    image = np.arange(24).reshape(2, 3, 4).astype(dtype).transpose(2, 0, 1)
    expected = (image[:, ::-1] if flip else image).astype(float)
    image = image[:, ::-1] if flip else image
    image.flags.writeable = writeable
    assert as_pixels(image).tolist() == expected.tolist()
    assert as_pixels(torch.tensor(expected)).tolist() == expected.tolist()


def test_other_types_are_no_pixels():
    with pytest.raises(TypeError, match="int64"):
        as_pixels(np.zeros((3, 2, 2), dtype=np.int64))


def test_image_needs_three_dimensions():
    with pytest.raises(ValueError, match=r"\(\.\.\., C, H, W\), got \(4, 4\)"):
        im2col(torch.zeros(4, 4), 2)
