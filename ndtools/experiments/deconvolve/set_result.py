"""A set of deconvolved images: the result of ``ndtools deconvolve FOLDER``, live or read back from its files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ndtools.drawing.shown import ShownResult, figures_of
from ndtools.experiments.deconvolve.config import DeconvolveConfig
from ndtools.moments.files import SPACE
from ndtools.moments.words import space_array
from ndtools.numerics.deconvolution import Deconvolution
from ndtools.numerics.ridge import RidgeChoice
from ndtools.results.deconvolutions import (
    deconvolution_arrays,
    deconvolution_numbers,
    ridge_numbers,
    saved_deconvolution,
)
from ndtools.results.inputs import ImagesUsed
from ndtools.results.read import SavedResult
from ndtools.text import counted, in_space, precision_in_words, printable, ridge_in_words, source_name

if TYPE_CHECKING:
    from ndtools.drawing.pictures import Picture

__all__ = ["DeconvolvedSet", "Sample"]


@dataclass(frozen=True, eq=False)
class Sample:
    """One of the first images of a set, reduced for a figure.

    Attributes
    ----------
    name : str
        Name of the image, printable.
    before, after : array of shape (H, W) or (H, W, 3)
        Levels from 0 to 255 of the image, and of the deconvolved image as it is written as a picture.
    """

    name: str
    before: NDArray[np.uint8]
    after: NDArray[np.uint8]


@dataclass(frozen=True, eq=False, repr=False)
class DeconvolvedSet(ShownResult):
    """A set of images that were deconvolved by the same kernels, and written to files.

    Attributes
    ----------
    config : DeconvolveConfig
        Configuration of this run.
    images : ImagesUsed
        Images that were used and skipped.
    kernels : array of shape (C, C, k, k)
        Kernels of the deconvolution, float64.
    mean : array of shape (d,)
        Mean μ of the patches that the deconvolution subtracts, d = C·k².
    weight : array of shape (C, C, k, k)
        Kernels that were applied: those of the deconvolution, or with ``keep_scale`` their multiples.
    bias : array of shape (C,)
        Number that was added to each output channel.
    fit : Deconvolution or None
        D of the patches of the set; None with kernels from a file.
    formats : tuple of str
        Formats in which the images were written.
    written : tuple of str
        Files of the images, as paths within the folder of the result.
    samples : tuple of Sample
        First images of the set, before and after.
    device : str
        Device on which the covariance was computed.
    ridge : RidgeChoice or None
        Choice of the ridge, if it was "auto".
    earlier : tuple of str
        Files of images in the same folder that older runs wrote.
    """

    config: DeconvolveConfig
    images: ImagesUsed
    kernels: NDArray[np.float64]
    mean: NDArray[np.float64]
    weight: NDArray[np.floating[Any]]
    bias: NDArray[np.floating[Any]]
    fit: Deconvolution | None
    formats: tuple[str, ...]
    written: tuple[str, ...]
    samples: tuple[Sample, ...]
    device: str
    ridge: RidgeChoice | None = None
    earlier: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """Name of the image source, printable."""
        return self.images.label

    def pictures(self) -> "Mapping[str, Picture]":
        """Return the figures of a set, with their captions, by label: "" for the main one."""
        return figures_of(type(self), "SETS")

    def how(self) -> str:
        """Return in words where the kernels come from: their ridge and precision, or their file."""
        if self.fit:
            return f"{ridge_in_words(self.fit, self.ridge)} · {precision_in_words(self.fit)}"
        return f"kernels of {source_name(printable(self.config.from_file or ''))}"

    def summary(self) -> Sequence[str]:
        """Return lines that say what the result comes from, and what was written."""
        size = self.kernels.shape[-1]
        return (
            f"{source_name(self.source)} · {self.images.counted} · patches of {size}×{size}"
            f"{in_space(self.config.space, ' · ')}",
            self.how(),
            f"{counted(len(self.written), 'file')} written as {', '.join(self.formats)}",
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays of the .npz file by name."""
        return {
            "kernels": self.kernels,
            "weight": self.weight,
            "bias": self.bias,
            **deconvolution_arrays(self.fit),
            "mean": self.mean,
            SPACE: space_array(self.config.space),
            **{f"before_{i}": sample.before for i, sample in enumerate(self.samples)},
            **{f"after_{i}": sample.after for i, sample in enumerate(self.samples)},
        }

    def numbers(self) -> dict[str, Any]:
        """Return the numbers of the .json file by key."""
        return {
            "images": self.images.numbers(),
            "kernel_size": self.kernels.shape[-1],
            **deconvolution_numbers(self.fit),
            **(ridge_numbers(self.config, self.ridge) if self.fit else {"relative_eps": None}),
            "method": None if self.config.from_file else self.config.method,
            "from": self.config.from_file,
            "border": self.config.border,
            "keep_scale": self.config.keep_scale,
            "formats": self.formats,
            "samples": [sample.name for sample in self.samples],
            "written": self.written,
            "earlier": self.earlier,
        }

    @classmethod
    def from_saved(cls, saved: SavedResult) -> "DeconvolvedSet":
        """Restore the result from its files; DataError if they are not those of a whole result of a set."""
        with saved.restoring("deconvolve"):
            numbers, arrays = saved.numbers, saved.arrays
            return cls(
                config=saved.configuration(DeconvolveConfig),
                images=ImagesUsed.from_numbers(saved.source, numbers["images"]),
                kernels=arrays["kernels"],
                mean=arrays["mean"],
                weight=arrays["weight"],
                bias=arrays["bias"],
                fit=saved_deconvolution(saved),
                formats=tuple(numbers["formats"]),
                written=tuple(numbers["written"]),
                earlier=tuple(numbers["earlier"]),
                samples=tuple(
                    Sample(name, arrays[f"before_{i}"], arrays[f"after_{i}"])
                    for i, name in enumerate(numbers["samples"])
                ),
                device=saved.device,
                ridge=RidgeChoice.from_numbers(numbers.get("ridge")),
            )
