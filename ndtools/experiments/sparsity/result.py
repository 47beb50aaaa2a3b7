"""Distributions before and after deconvolution: the result of ``ndtools sparsity``, live or read back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ndtools.drawing.shown import ShownResult
from ndtools.experiments.sparsity.config import SparsityConfig
from ndtools.experiments.sparsity.verdict import Verdict
from ndtools.numerics.deconvolution import Deconvolution
from ndtools.numerics.ridge import RidgeChoice
from ndtools.numerics.sparsity import Distribution
from ndtools.results.deconvolutions import (
    deconvolution_arrays,
    deconvolution_numbers,
    ridge_numbers,
    saved_deconvolution,
)
from ndtools.results.distributions import before_and_after, density_arrays, saved_distribution
from ndtools.results.inputs import ImagesUsed
from ndtools.results.read import SavedResult
from ndtools.text import in_space, precision_in_words, ridge_in_words, source_name

__all__ = ["SparsityResult"]


@dataclass(frozen=True, eq=False, repr=False)
class SparsityResult(ShownResult):
    """Distributions of pixels before and after deconvolution, and their measures of sparsity.

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

    def summary(self) -> Sequence[str]:
        """Return lines that say what the result comes from, and its main numbers."""
        size, whitening = self.config.kernel_size, self.config.whitening
        source = source_name(self.source)
        if self.config.from_moments:
            source += f", D of {source_name(', '.join(self.config.from_moments))}"
        ridge = "no whitening"
        if self.fit:
            ridge = f"{ridge_in_words(self.fit, self.ridge)} · {precision_in_words(self.fit)}"
        of = {"patch": f"patches of {size}×{size}", "channel": "the channels of a pixel", "none": "single pixels"}
        return (
            f"{source} · {self.images.counted} · {self.count:,} values · {of[whitening]}"
            f"{in_space(self.config.space, ' · ')}",
            ridge,
            before_and_after(self.before, self.after),
        )

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
            **({"paper": verdict.numbers()} if (verdict := Verdict.of(self)) else {}),
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
