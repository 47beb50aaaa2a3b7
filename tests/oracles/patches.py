"""Patches and their moments, slowly and obviously, in float64."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def patch_matrix(image, kernel_size, stride=1):
    """All valid patches of a (C, H, W), (C, T) or (C, D, H, W) array as rows, features in (c, ky, kx) order."""
    axes = image.ndim - 1
    sides = (kernel_size,) * axes if isinstance(kernel_size, int) else kernel_size
    windows = sliding_window_view(np.asarray(image, dtype=np.float64), sides, axis=tuple(range(1, axes + 1)))
    windows = windows[:, *(slice(None, None, stride),) * axes]
    return np.moveaxis(windows, 0, axes).reshape(-1, image.shape[0] * np.prod(sides))


def patch_covariance(images, kernel_size, stride=1):
    """Count, mean and biased covariance of the patches of all images, in two passes."""
    count = sum(len(patch_matrix(image, kernel_size, stride)) for image in images)
    mean = sum(patch_matrix(image, kernel_size, stride).sum(0) for image in images) / count
    centred = (patch_matrix(image, kernel_size, stride) - mean for image in images)
    return count, mean, sum(x.T @ x for x in centred) / count


def row_window_products(image, kernel_size):
    """Σ_p x xᵀ over all valid patches: unfold rows only, and slide the window down by adding and removing a row.

    A second oracle, independent of Fourier transforms and quicker than the patch matrix for large kernels.
    """
    ky, kx = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    channels, height, _ = image.shape
    positions = height - ky + 1
    rows = sliding_window_view(np.asarray(image, dtype=np.float64), kx, axis=2)  # (C, H, positions along x, kx)
    rows = rows.transpose(1, 0, 3, 2).reshape(height, channels * kx, -1)
    total = np.empty((ky, channels * kx, ky, channels * kx))
    for lag in range(ky):
        upper, lower = rows[:positions], rows[lag : lag + positions]
        product = np.tensordot(upper, lower, axes=([0, 2], [0, 2]))
        for y in range(ky - lag):
            if y:
                product = product - rows[y - 1] @ rows[y - 1 + lag].T
                product += rows[y - 1 + positions] @ rows[y - 1 + lag + positions].T
            total[y, :, y + lag] = product
            total[y + lag, :, y] = product.T
    shape = (ky, channels, kx)
    return total.reshape(*shape, *shape).transpose(1, 0, 2, 4, 3, 5).reshape((channels * ky * kx,) * 2)
