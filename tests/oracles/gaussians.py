"""Kernels that are differences of Gaussians, by differences of the normal distribution function."""

import numpy as np
from scipy.special import ndtr

CELL = (1.0, 0.8, 0.6, 2.5)  # V_c, V_s, σ_c, σ_s


def dog(parameters, k):
    """A difference of Gaussians integrated over pixels."""
    v_c, v_s, s_c, s_s = parameters
    edges = np.arange(k + 1) - k / 2
    center, surround = (np.diff(ndtr(edges / s)) for s in (s_c, s_s))
    return v_c * np.outer(center, center) - v_s * np.outer(surround, surround)


def embedded(kernel, k):
    return np.pad(kernel, (k - len(kernel)) // 2)


def pixel(k):
    return embedded(np.ones((1, 1)), k)
