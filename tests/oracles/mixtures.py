"""White sources, mixed across channels and blurred along axes: the covariance of their patches, and its root."""

import itertools

import numpy as np


def autocorrelation(blur, reach):
    """Autocorrelation of a blur at lags from -reach to reach, as a function of the lag."""
    full = np.correlate(blur, blur, "full")
    middle = len(full) // 2
    return {lag: full[middle + lag] if abs(lag) <= middle else 0.0 for lag in range(-reach, reach + 1)}


def mixed_covariance(mixing, blurs, kernel_size):
    """Covariance of the patches of white sources of unit variance, mixed by a matrix and blurred along each axis."""
    along = [autocorrelation(blur, k) for blur, k in zip(blurs, kernel_size, strict=True)]
    places = list(itertools.product(*map(range, kernel_size)))
    spatial = np.array(
        [[np.prod([r[b - a] for r, a, b in zip(along, one, other, strict=True)]) for other in places] for one in places]
    )
    return np.kron(mixing @ mixing.T, spatial)


def central_rows(covariance, channels, kernel_size):
    """Rows of the inverse square root that belong to the centre, (C, C, *kernel_size)."""
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors / np.sqrt(values)) @ vectors.T
    area = int(np.prod(kernel_size))
    return root.reshape(channels, area, channels, *kernel_size)[:, area // 2]


def inverse_filter(blur, reach, length=4096):
    """Weights at lags -reach ... reach of the filter that undoes a symmetric blur whose transform is positive."""
    half = len(blur) // 2
    padded = np.zeros(length)
    padded[np.arange(-half, half + 1)] = blur
    inverse = np.fft.ifft(1 / np.fft.fft(padded).real).real
    return inverse[np.arange(-reach, reach + 1)]
