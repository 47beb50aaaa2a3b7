"""Slow, obvious versions of what the package does quickly, in float64."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def patch_matrix(image, kernel_size, stride=1):
    """All valid patches of a (C, H, W) array as rows, features in (c, ky, kx) order."""
    ky, kx = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    windows = sliding_window_view(np.asarray(image, dtype=np.float64), (ky, kx), axis=(1, 2))[:, ::stride, ::stride]
    return windows.transpose(1, 2, 0, 3, 4).reshape(-1, image.shape[0] * ky * kx)


def patch_covariance(images, kernel_size, stride=1):
    """Count, mean and biased covariance of the patches of all images, in two passes."""
    count = sum(len(patch_matrix(image, kernel_size, stride)) for image in images)
    mean = sum(patch_matrix(image, kernel_size, stride).sum(0) for image in images) / count
    centred = (patch_matrix(image, kernel_size, stride) - mean for image in images)
    return count, mean, sum(x.T @ x for x in centred) / count
