"""An image before and after deconvolution: the result of ``ndtools deconvolve``, live or read back from its files."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ndtools.data.images.decoding import Pixels
from ndtools.drawing.channels import shown_channels
from ndtools.drawing.shown import ShownResult
from ndtools.experiments.deconvolve.config import DeconvolveConfig
from ndtools.experiments.deconvolve.levels import picture_of, picture_of_pixels, shown
from ndtools.experiments.deconvolve.set_result import DeconvolvedSet
from ndtools.moments.files import SPACE
from ndtools.moments.words import space_array
from ndtools.numerics.deconvolution import Deconvolution
from ndtools.numerics.pixels import white
from ndtools.numerics.ridge import RidgeChoice
from ndtools.numerics.sparsity import Distribution
from ndtools.results.deconvolutions import (
    deconvolution_arrays,
    deconvolution_numbers,
    ridge_numbers,
    saved_deconvolution,
)
from ndtools.results.distributions import before_and_after, density_arrays, saved_distribution
from ndtools.results.read import SavedResult
from ndtools.text import in_space, precision_in_words, printable, ridge_in_words, source_name

__all__ = ["DeconvolveResult", "centred"]


@dataclass(frozen=True, eq=False, repr=False)
class DeconvolveResult(ShownResult):
    """An image before and after deconvolution.

    Attributes
    ----------
    config : DeconvolveConfig
        Configuration of this run.
    source : str
        Name of the image, printable.
    image : array of shape (C, H, W)
        Image as decoded, reduced to luma for kernels of grey images.
    mean : array of shape (d,)
        μ of the patches, d = C·k², that D takes off.
    deconvolved : array of shape (C, H', W')
        float32: the centre outputs of D(x − μ), or these with the mean and standard deviation of the channels of the
        image. H' = H − k + 1 with border "valid", H with "reflect".
    kernels : array of shape (C, C, k, k)
        Kernels that were applied to the image.
    fit : Deconvolution or None
        D of the image's own patches; None with kernels from a file.
    before, after : Distribution
        Distributions of ``centred`` and ``deconvolved``, about the mean that each channel has in this image. With
        kernels of a set, that is not the mean that D takes off.
    device : str
        Device on which the covariance was computed.
    reduced_to_luma : bool
        Whether a colour image was, for kernels of grey ones.
    ridge : RidgeChoice or None
        Choice of the ridge, if it was "auto".
    calibrated : bool
        Whether the image is an array whose values are taken as they are, and need not be in [0, 1]. Default False.
    """

    config: DeconvolveConfig
    source: str
    image: Pixels
    mean: NDArray[np.float64]
    deconvolved: NDArray[np.float32]
    kernels: NDArray[np.float64]
    fit: Deconvolution | None
    before: Distribution
    after: Distribution
    device: str
    reduced_to_luma: bool = False
    ridge: RidgeChoice | None = None
    calibrated: bool = False

    @property
    def places(self) -> list[int]:
        """Places of the channels that pictures show: all, or the first, the middle and the last of more than three."""
        return shown_channels(len(self.image))

    @property
    def pixels(self) -> NDArray[np.float32]:
        """Image as numbers, of shape (C, H, W): in [0, 1], in another colour space, or as an array has them."""
        return np.divide(self.image, white(self.image), dtype=np.float32)

    @property
    def shown(self) -> NDArray[np.float32]:
        """Image as pictures show it, in [0, 1], of shape (1, H, W) or (3, H, W); see `levels.shown`."""
        return shown(self.pixels, self.config.space, calibrated=self.calibrated)

    @property
    def centred(self) -> NDArray[np.float32]:
        """Pixels less the mean that D takes off, where there is an output: of shape (C, H', W')."""
        return centred(self.image, self.mean, self.kernels.shape[-1], self.config.border)

    @property
    def deviations(self) -> NDArray[np.float32]:
        """Deconvolved image less the mean of each channel, if it kept its mean; otherwise the deconvolved image."""
        if not self.config.keep_scale:
            return self.deconvolved
        return np.asarray(self.deconvolved - self.deconvolved.mean((1, 2), keepdims=True))

    def picture(self) -> NDArray[np.uint8]:
        """Return the deconvolved image as levels from 0 to 255.

        Returns
        -------
        array of shape (H', W') or (H', W', 3)
            0 is mid-grey, and the largest 0.5 % of magnitudes are clipped. If the image kept its scale, its values are
            those of pixels, which are shown in sRGB. Of more than three channels, three are shown.
        """
        if self.config.keep_scale:
            return picture_of_pixels(self.deconvolved, self.config.space, calibrated=self.calibrated)
        return picture_of(self.deconvolved)

    def summary(self) -> Sequence[str]:
        """Return lines that say what the result comes from, and its main numbers."""
        (_, height, width), size = self.image.shape, self.kernels.shape[-1]
        kernels = f"kernels of {source_name(printable(self.config.from_file or ''))}"
        return (
            f"{source_name(self.source)} · {width}×{height} pixels · patches of {size}×{size}"
            f"{in_space(self.config.space, ' · ')}",
            f"{ridge_in_words(self.fit, self.ridge)} · {precision_in_words(self.fit)}" if self.fit else kernels,
            before_and_after(self.before, self.after),
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays of the .npz file by name."""
        return {
            "deconvolved": self.deconvolved,
            "kernels": self.kernels,
            "image": self.image,
            **deconvolution_arrays(self.fit),
            "mean": self.mean,
            SPACE: space_array(self.config.space),
            **density_arrays(self.before, self.after),
        }

    def numbers(self) -> dict[str, Any]:
        """Return the numbers of the .json file by key."""
        return {
            "shape": self.deconvolved.shape,
            "kernel_size": self.kernels.shape[-1],
            **deconvolution_numbers(self.fit),
            **(ridge_numbers(self.config, self.ridge) if self.fit else {"relative_eps": None}),
            "method": None if self.config.from_file else self.config.method,
            "from": self.config.from_file,
            "border": self.config.border,
            "keep_scale": self.config.keep_scale,
            "reduced_to_luma": self.reduced_to_luma,
            **({"values_as_they_are": True} if self.calibrated else {}),
            "before": self.before.numbers(),
            "after": self.after.numbers(),
        }

    @classmethod
    def from_saved(cls, saved: SavedResult) -> "DeconvolveResult | DeconvolvedSet":
        """Restore the result from its files; DataError if they are not those of a whole result of this command."""
        if "written" in saved.numbers:
            return DeconvolvedSet.from_saved(saved)
        with saved.restoring("deconvolve"):
            return cls(
                config=saved.configuration(DeconvolveConfig),
                source=saved.source,
                **{name: saved.arrays[name] for name in ("image", "mean", "deconvolved", "kernels")},
                fit=saved_deconvolution(saved),
                before=saved_distribution(saved, "before"),
                after=saved_distribution(saved, "after"),
                device=saved.device,
                reduced_to_luma=saved.numbers["reduced_to_luma"],
                ridge=RidgeChoice.from_numbers(saved.numbers.get("ridge")),
                calibrated=saved.numbers.get("values_as_they_are", False),
            )


def centred(pixels: Pixels, mean: NDArray[np.float64], kernel_size: int, border: str) -> NDArray[np.float32]:
    """Subtract the mean of each channel where a deconvolution has outputs.

    Parameters
    ----------
    pixels : array of shape (C, H, W)
        Pixels: uint8 for [0, 1], or floating point.
    mean : array of shape (d,)
        Mean of the patches, d = C·k². That of the centre pixel is subtracted.
    kernel_size : int
        Side k of the patches in pixels, odd.
    border : {"valid", "reflect"}
        "valid" leaves out k // 2 pixels on every side.

    Returns
    -------
    array of shape (C, H', W')
        Pixels less the mean of their channel.
    """
    centre = mean.reshape(len(pixels), kernel_size**2)[:, kernel_size**2 // 2, None, None]
    lost = kernel_size // 2 if border == "valid" else 0
    inner = pixels[:, lost : pixels.shape[1] - lost, lost : pixels.shape[2] - lost]
    exact = np.float64 if pixels.dtype == np.float64 else np.float32  # in which the mean is taken off
    return np.asarray(np.divide(inner, white(pixels), dtype=exact) - centre.astype(exact), np.float32)
