import numpy as np
import pytest

from tests.oracles.patches import patch_covariance, patch_matrix, row_window_products


@pytest.mark.parametrize("kernel_size", [1, 2, 5, (1, 4), (4, 1), (3, 6)])
def test_the_two_oracles_agree(kernel_size):
    image = np.random.default_rng(0).random((3, 11, 9))
    patches = patch_matrix(image, kernel_size)
    np.testing.assert_allclose(row_window_products(image, kernel_size), patches.T @ patches, rtol=1e-12)
    np.testing.assert_allclose(patch_covariance([image], kernel_size)[2], np.cov(patches.T, bias=True), atol=1e-14)
