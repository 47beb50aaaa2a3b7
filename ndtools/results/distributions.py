"""Distributions of pixels before and after deconvolution in result files, which several experiments write and read."""

import numpy as np
from numpy.typing import NDArray

from ndtools.numerics.sparsity import Distribution, Estimate
from ndtools.results.read import SavedResult
from ndtools.text import percent, with_error

__all__ = ["before_and_after", "density_arrays", "saved_distribution"]


def before_and_after(before: Distribution, after: Distribution) -> str:
    """Return a line with the main measures of sparsity of both distributions."""
    sides = [side.measures for side in (before, after)]
    kurtosis = " -> ".join(with_error(measures["kurtosis"].value) for measures in sides)
    near = (measures["near_zero"].value for measures in sides)
    shares = " -> ".join("-" if share is None else percent(share) for share in near)
    return f"before -> after: kurtosis {kurtosis} (Gaussian: 3) · within 0.1 σ {shares}"


def density_arrays(before: Distribution, after: Distribution) -> dict[str, NDArray[np.float64]]:
    """Return the histograms of both distributions for a .npz file."""
    return {"density_before": before.density, "density_after": after.density}


def saved_distribution(saved: SavedResult, side: str) -> Distribution:
    """Restore the distribution of one side, "before" or "after", from its numbers and its histogram."""
    numbers = saved.numbers[side]
    return Distribution(
        sigma=numbers["sigma"],
        measures={name: Estimate(numbers[name], *ends) for name, ends in numbers["intervals"].items()},
        density=saved.arrays[f"density_{side}"],
        clipped=numbers["clipped"],
    )
