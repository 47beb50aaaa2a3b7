"""Distributions before and after deconvolution: the result of ``ndtools sparsity``, live or read back."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ndtools.experiments.sparsity.config import SparsityConfig
from ndtools.numerics.deconvolution import Deconvolution
from ndtools.numerics.ridge import RidgeChoice
from ndtools.numerics.sparsity import Distribution
from ndtools.results.deconvolutions import (
    deconvolution_arrays,
    deconvolution_numbers,
    ridge_numbers,
    saved_deconvolution,
)
from ndtools.results.distributions import density_arrays, saved_distribution
from ndtools.results.inputs import ImagesUsed
from ndtools.results.read import SavedResult

__all__ = ["SparsityResult"]


@dataclass(frozen=True, eq=False)
class SparsityResult:
    """Distributions before and after.

    Attributes
    ----------
    config : SparsityConfig
        Configuration of this run.
    images : ImagesUsed
        Images that were used and skipped.
    count : int
        Values in each distribution: channels times valid positions.
    edges : array of shape (bins + 1,)
        Edges of the bins of both histograms, in units of σ.
    before, after : Distribution
        Pixels less the channel means, and the centre outputs of D(x − μ), at the same positions.
    fit : Deconvolution or None
        D of the patches, or of the channels of a pixel; None without whitening.
    device : str
        Device on which the covariance was computed.
    ridge : RidgeChoice or None
        Choice of the ridge, if it was "auto".
    """

    config: SparsityConfig
    images: ImagesUsed
    count: int
    edges: NDArray[np.float64]
    before: Distribution
    after: Distribution
    fit: Deconvolution | None
    device: str
    ridge: RidgeChoice | None = None

    @property
    def source(self) -> str:
        """Name of the image source, printable."""
        return self.images.label

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """Return the arrays of the .npz file by name."""
        return {
            "edges": self.edges,
            **density_arrays(self.before, self.after),
            **deconvolution_arrays(self.fit),
        }

    def numbers(self) -> dict[str, Any]:
        """Return the numbers of the .json file by key."""
        return {
            "images": self.images.numbers(),
            "values": self.count,
            "kernel_size": self.config.kernel_size,
            **deconvolution_numbers(self.fit),
            **ridge_numbers(self.config, self.ridge),
            "whitening": self.config.whitening,
            "before": self.before.numbers(),
            "after": self.after.numbers(),
        }

    @classmethod
    def from_saved(cls, saved: SavedResult) -> "SparsityResult":
        """Restore the result from its files; DataError if they are not those of a whole result of this command."""
        with saved.restoring("sparsity"):
            return cls(
                config=saved.configuration(SparsityConfig),
                images=ImagesUsed.from_numbers(saved.source, saved.numbers["images"]),
                count=saved.numbers["values"],
                edges=saved.arrays["edges"],
                before=saved_distribution(saved, "before"),
                after=saved_distribution(saved, "after"),
                fit=saved_deconvolution(saved),
                device=saved.device,
                ridge=RidgeChoice.from_numbers(saved.numbers.get("ridge")),
            )
