"""How well a difference of Gaussians recovers the parameters of kernels that are one, but for noise.

    python benchmarks/fit_recovery.py [--kernels 200] [--size 15] [--noise 0.002]

Kernels of known parameters with independent Gaussian noise (in units of the centre's volume) are fitted. For each
parameter: its true value; the mean error of the fit, in standard errors of that mean; the root mean square error over
the smallest that any unbiased fit can have (Cramér and Rao); the share of 95 % intervals that hold the truth, with its
standard error; the shares of intervals below and above it; and the share that is open at an end. Where a parameter is
not determined by the kernel, as the width of a centre within a pixel, estimates may be biased, but intervals hold the
truth all the same.
"""

import argparse
import math
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ndtools.numerics.difference_of_gaussians import (
    PARAMETERS,
    DifferenceOfGaussians,
    fit_difference_of_gaussians,
)

CELLS = {  # σ_c, σ_s, V_s with V_c = 1
    "centre of several pixels": (0.8, 2.5, 0.8),
    "centre of about a pixel": (0.35, 1.0, 0.85),
    "centre within a pixel, as of photographs": (0.1, 0.85, 0.75),
    "surround about as narrow as the centre": (0.28, 0.45, 0.95),
}


def main() -> None:
    """Fit and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernels", type=int, default=200)
    parser.add_argument("--size", type=int, default=15)
    parser.add_argument("--noise", type=float, default=0.002)
    options = parser.parse_args()
    for title, (center, surround, volume) in CELLS.items():
        truth = np.array([center, surround, 1.0, volume, volume])
        print(f"{title}: {options.kernels} kernels of {options.size}×{options.size}, noise {options.noise}")
        print(f"  {'':16}{'truth':>7}{'bias/se':>9}{'rms/CR':>8}{'in 95 %':>14}{'below':>8}{'above':>8}{'open':>7}")
        for name, numbers in recovery(truth, options.kernels, options.size, options.noise).items():
            value, bias, efficiency, held, below, above, unbounded = numbers
            spread = math.sqrt(0.95 * 0.05 / options.kernels)
            shares = f"{f'{held:.1%} ± {spread:.1%}':>14}{below:8.1%}{above:8.1%}{unbounded:7.0%}"
            print(f"  {name:16}{value:7.3g}{bias:9.2f}{efficiency:8.2f}{shares}")


def recovery(truth: NDArray[np.float64], count: int, k: int, noise: float) -> dict[str, tuple[float, ...]]:
    """Return the numbers of each row of a table."""
    rng, clean = np.random.default_rng(0), kernel_of(truth[:4], k)
    errors, sides, open_ends = np.empty((count, 5)), np.zeros((count, 5)), np.zeros((count, 5), dtype=bool)
    for i in range(count):
        fit = fit_difference_of_gaussians(clean + noise * rng.standard_normal((k, k)))
        for j, name in enumerate(PARAMETERS):
            low, high = fit.intervals.get(name, (None, None))
            errors[i, j] = getattr(fit, name) - truth[j]
            sides[i, j] = -1 if high is not None and high < truth[j] else 1 if low is not None and low > truth[j] else 0
            open_ends[i, j] = low is None or high is None
    bias = errors.mean(0) / (errors.std(0, ddof=1) / math.sqrt(count))
    efficiency = np.sqrt((errors**2).mean(0)) / cramer_rao(truth, k, noise)
    shares = ((sides == side).mean(0) for side in (0, -1, 1))
    return dict(zip(PARAMETERS, zip(truth, bias, efficiency, *shares, open_ends.mean(0), strict=True), strict=True))


def kernel_of(parameters: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """Return the kernel with σ_c, σ_s, V_c and V_s."""
    center, surround, v_c, v_s = parameters.tolist()
    return DifferenceOfGaussians(v_c, v_s, center, surround, v_s / v_c, 0.0, False).kernel(k)


def cramer_rao(truth: NDArray[np.float64], k: int, noise: float) -> NDArray[np.float64]:
    """Return the smallest standard errors of unbiased estimates."""
    step = 1e-5
    slopes = [
        (kernel_of(truth[:4] + step * e, k) - kernel_of(truth[:4] - step * e, k)).ravel() / (2 * step)
        for e in np.eye(4)
    ]
    jacobian = np.stack(slopes, axis=1)
    covariance = noise**2 * np.linalg.pinv(jacobian.T @ jacobian)
    to_ratio = np.array([0, 0, -truth[3] / truth[2] ** 2, 1 / truth[2]])
    return np.sqrt(np.append(covariance.diagonal(), to_ratio @ covariance @ to_ratio))


if __name__ == "__main__":
    main()
