"""Values of pixels before and after deconvolution, slowly and obviously, in float64."""

import numpy as np
from PIL import Image

from tests.oracles.inverse_roots import inverse_root
from tests.oracles.patches import patch_covariance, patch_matrix


def distributions(folder, kernel_size, eps):
    """Both sets of values of a folder's images, slowly, in units of their standard deviation."""
    images = [np.asarray(Image.open(p)).transpose(2, 0, 1) / 255 for p in sorted(folder.iterdir())]
    _, mean, covariance = patch_covariance(images, kernel_size)
    d = inverse_root(covariance + eps * np.eye(len(covariance)))
    centres = np.arange(3) * kernel_size**2 + kernel_size**2 // 2
    patches = np.concatenate([patch_matrix(image, kernel_size) for image in images]) - mean
    before, after = patches[:, centres], (patches @ d)[:, centres]
    return before / before.std(), after / after.std()
