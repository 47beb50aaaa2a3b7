"""Images with known statistics."""

import numpy as np
from scipy.ndimage import gaussian_filter


def smooth_images(count, channels=3, blur=2.0):
    """Images whose covariance has eigenvalues near 0, in float32."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0.5, 0.1 * blur, (count, channels, 90, 110))
    return list(gaussian_filter(noise, (0, 0, blur, blur)).astype(np.float32))
