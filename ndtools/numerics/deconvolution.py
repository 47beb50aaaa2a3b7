"""Deconvolution of images: D = (Cov + eps·I)^(-1/2) of their patches, its kernels, and its application.

"Deconvolution" has the meaning of Ye et al. 2020 here: it removes the correlations that convolve an image (ZCA
whitening of its patches). It is neither a transposed convolution nor the undoing of a known blur.
"""

import math
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv1d, conv2d, conv3d, pad

from ndtools.errors import DataError, NumericalWarning
from ndtools.numerics.covariance import TOLERANCE, Covariance, absolute_ridge, rounding_effect, warn_if_degenerate
from ndtools.numerics.inverse_sqrt import Eigh, Method, inverse_sqrt, warn_unless_converged
from ndtools.numerics.patch_covariance import PatchCovariance
from ndtools.numerics.patches import NOUNS, UNITS, Sizes, as_pixels, axes_in_words, each_image, times, to_sizes
from ndtools.numerics.pixels import white
from ndtools.numerics.products import ridged
from ndtools.text import counted, precision_in_words, ridge_in_words

__all__ = [
    "RIDGE_AND_PRECISION",
    "Border",
    "Deconvolution",
    "convolved",
    "fit_deconvolution",
]

Border = Literal["valid", "reflect", "circular"]

RIDGE_AND_PRECISION = ("eps", "eps_relative_to_mean_variance", "condition", "residual", "covariance_error")
"""Names of the numbers about ridge and precision that .json files hold for every deconvolution."""
_CONVOLUTIONS = {1: conv1d, 2: conv2d, 3: conv3d}


@dataclass(frozen=True, eq=False, repr=False)
class Deconvolution:
    """Linear map that decorrelates patches of images, signals or volumes: x -> D (x - μ).

    Attributes
    ----------
    mean : Tensor of shape (d,)
        Mean μ of the patches, float64, with d = C·k_y·k_x features in (c, ky, kx) order.
    matrix : Tensor of shape (d, d)
        Whitening matrix D = A^(-1/2) with A = Cov + eps·I, float64.
    eigenvalues : Tensor of shape (d,)
        Eigenvalues of Cov, ascending, float64.
    channels : int
        Number C of channels.
    kernel_size : tuple of int
        Height k_y and width k_x of the patches in pixels; or their length alone, or depth, height and width.
    eps : float
        Absolute ridge, in squared units of the pixels.
    condition : float
        Condition number of A.
    residual : float
        Error ‖D A D - I‖_F / √d for the A that was computed: 0 if D is its exact inverse square root, 1 if D is as
        poor as D = 0.
    covariance_error : float
        Estimated change of D A D, in the spectral norm, between the A that was computed and the exact one. Its cause
        is the rounding of Cov by Fourier transforms (`ndtools.numerics.covariance.rounding_effect`).
    mean_variance : float
        Mean variance of a feature of the patches.
    """

    mean: Tensor
    matrix: Tensor
    eigenvalues: Tensor
    channels: int
    kernel_size: Sizes
    eps: float
    condition: float
    residual: float
    covariance_error: float
    mean_variance: float

    def __repr__(self) -> str:
        patches = f"{times(self.kernel_size)} patches of {counted(self.channels, 'channel')}"
        return f"Deconvolution({patches} · {ridge_in_words(self)} · {precision_in_words(self)})"

    @property
    def weight(self) -> Tensor:
        """Weight of the convolution that does what `apply` does, of shape (C, C, k, ...).

        With `bias`, it is an argument of :func:`torch.nn.functional.conv2d` (conv1d for signals, conv3d for volumes),
        in torch's default dtype (float32): ``conv2d(images, fit.weight, fit.bias)`` equals ``fit.apply(images)`` for
        images of shape (N, C, H, W), to rounding: `apply` first takes off a mean, which matters where it is large.
        In float64, the weight is what `kernels` returns. ValueError if a side of the patch is even.
        """
        return self._centre()[0].to(torch.get_default_dtype())

    @property
    def bias(self) -> Tensor:
        """Bias of the convolution that does what `apply` does, of shape (C,): -D μ at the centre; see `weight`."""
        return self._centre()[1].to(torch.get_default_dtype())

    @property
    def relative_eps(self) -> float | None:
        """Ridge in units of the mean variance; None if there is no variance."""
        return self.eps / self.mean_variance if self.mean_variance > 0 else None

    def numbers(self) -> dict[str, float | None]:
        """Return the numbers about ridge and precision that .json files hold."""
        numbers = (self.eps, self.relative_eps, self.condition, self.residual, self.covariance_error)
        return dict(zip(RIDGE_AND_PRECISION, numbers, strict=True))

    @classmethod
    def from_covariance(
        cls,
        covariance: Covariance,
        *,
        eps: float = 1e-3,
        relative: bool = False,
        method: Method | None = None,
    ) -> "Deconvolution":
        """Compute D for a covariance (Ye et al. 2020, algorithm 1).

        Parameters
        ----------
        covariance : Covariance
            Mean and covariance of the patches.
        eps : float
            Ridge added to the diagonal, at least 0.
        relative : bool
            Whether ``eps`` is in units of the mean diagonal entry of the covariance; of 1 if nothing varies.
        method : Method, optional
            Algorithm for the inverse square root; the eigendecomposition by default.

        Returns
        -------
        Deconvolution
            Deconvolution D with the condition number of A and both parts of its error.

        Raises
        ------
        ValueError
            If ``eps`` is negative.

        Warns
        -----
        NumericalWarning
            If there are no more patches than features, a channel is constant, the iteration has not converged, or the
            covariance was summed less precisely than this ridge requires.
        """
        ridge = absolute_ridge(covariance, eps, relative=relative)
        warn_if_degenerate(covariance, stacklevel=3)
        method = method or Eigh()
        root = inverse_sqrt(ridged(covariance.matrix, ridge), method)
        warn_unless_converged(root, stacklevel=3)
        error = rounding_effect(covariance.rounding, len(covariance.matrix), root.eigenvalues[0].item())
        if error > TOLERANCE:
            warnings.warn(
                f"rounding in the covariance changes D A D by about {error:.2g}, which the residual does not show; "
                "use a larger eps, or compute the covariance for this eps",
                NumericalWarning,
                stacklevel=2,
            )
        return cls(
            mean=covariance.mean,
            matrix=root.matrix,
            eigenvalues=root.eigenvalues - ridge,
            channels=covariance.channels,
            kernel_size=covariance.kernel_size,
            eps=ridge,
            condition=root.condition.item(),
            residual=root.residual.item(),
            covariance_error=error,
            mean_variance=covariance.mean_variance,
        )

    def kernels(self) -> Tensor:
        """Return the rows of D that belong to the centre pixel, as convolution kernels (Ye et al. 2020, fig. 2).

        Returns
        -------
        Tensor of shape (C, C, k, ...)
            Kernels for cross-correlation: ``kernels[i, j]`` is the contribution of input channel j to output channel i.

        Raises
        ------
        ValueError
            If a side of the patch is even, so that it has no centre pixel.
        """
        if not all(k % 2 for k in self.kernel_size):
            message = f"kernel_size must be odd, so that there is a centre pixel, got {times(self.kernel_size)}"
            raise ValueError(message)
        area = math.prod(self.kernel_size)
        return self.matrix.view(self.channels, area, self.channels, *self.kernel_size)[:, area // 2]

    def apply(self, image: Tensor | np.ndarray[Any, Any]) -> Tensor:
        """Deconvolve an image, signal or volume: return the centre pixel of D (x - μ) at every valid position.

        Parameters
        ----------
        image : Tensor or array of shape (C, H, W) or (N, C, H, W)
            Image or batch of images, or of signals (C, T) or volumes (C, D, H, W) if D was fitted to those: floating
            point in the units of the images that D was fitted to, or uint8 for [0, 1].

        Returns
        -------
        Tensor of shape (C, H - k_y + 1, W - k_x + 1), or (N, ...)
            Deconvolved image in the dtype of the input (float32 for uint8).

        Raises
        ------
        TypeError
            If the image is neither a tensor nor an array, or its numbers are neither uint8 nor floating point.
        ValueError
            If the image has another shape, or is smaller than the patch.
        """
        if not isinstance(image, Tensor | np.ndarray):
            raise TypeError(f"image must be a Tensor or an array, got {type(image).__name__}")
        shape, axes, c = tuple(image.shape), len(self.kernel_size), self.channels
        fits = len(shape) in (axes + 1, axes + 2) and shape[-axes - 1] == c
        if not fits or any(n < k for n, k in zip(shape[-axes:], self.kernel_size, strict=True)):
            names = axes_in_words(axes)
            sides = zip(names.split(", "), self.kernel_size, strict=True)
            least = " and ".join(f"{name} at least {k}" for name, k in sides)
            raise ValueError(
                f"{NOUNS[axes]} must have shape ({c}, {names}) or (N, {c}, {names}) with {least}, as the"
                f" deconvolution was fitted to {NOUNS[axes]}s of {counted(c, 'channel')}, got {shape}"
            )
        pixels = as_pixels(image)
        if pixels.dtype == torch.uint8:
            pixels = pixels.float() / white(pixels)
        # Channels are convolved about their mean: products with a large offset would cancel, and leave their rounding.
        offset = self.mean.view(c, -1).mean(1).to(pixels)
        weight, area = self.kernels(), math.prod(self.kernel_size)
        bias = -weight.flatten(1) @ (self.mean - offset.to(self.mean).repeat_interleave(area))
        return convolved(pixels - offset.view(-1, *(1,) * axes), weight.to(pixels), bias.to(pixels))

    def fold(self, weight: Tensor, bias: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Merge D into a convolution that follows it (Ye et al. 2020, sec. 4.5.1).

        Parameters
        ----------
        weight : Tensor of shape (O, C, k, ...)
            Weight w of a convolution on decorrelated patches.
        bias : Tensor of shape (O,), optional
            Bias b of this convolution; 0 by default.

        Returns
        -------
        weight : Tensor of shape (O, C, k, ...)
            Weight w D of the convolution that gives the same output from the image itself.
        bias : Tensor of shape (O,)
            Bias b - w D μ of that convolution. Both have the dtype and device of the ``weight`` that was given.

        Raises
        ------
        ValueError
            If the shape of the weight does not fit D.
        """
        wanted = (self.channels, *self.kernel_size)
        if tuple(weight.shape[1:]) != wanted:
            raise ValueError(f"weight must have shape (O, {', '.join(map(str, wanted))}), got {tuple(weight.shape)}")
        folded = weight.to(self.matrix).flatten(1) @ self.matrix
        shift = -folded @ self.mean
        if bias is not None:
            shift = shift + bias.to(self.matrix)
        return folded.view_as(weight).to(weight), shift.to(weight)

    def _centre(self) -> tuple[Tensor, Tensor]:
        """Return weight and bias, in float64, of the convolution that gives the centre pixels of D (x - μ)."""
        weight = self.kernels()
        return weight, -weight.flatten(1) @ self.mean


def fit_deconvolution(
    images: Tensor | np.ndarray[Any, Any] | Iterable[Tensor | np.ndarray[Any, Any]],
    kernel_size: int | Sizes = 15,
    eps: float = 1e-3,
    *,
    relative: bool = False,
    method: Method | None = None,
) -> Deconvolution:
    """Fit a deconvolution to all patches of some images, signals or volumes.

    Parameters
    ----------
    images : Tensor or array of shape (C, H, W) or (N, C, H, W), or iterable of such of shape (C, H, W)
        Images of floating point in [0, 1], or of uint8: one, a batch, or any number one after the other. Sizes may
        differ; images smaller than the patch are left out with a warning. Each image is held only while it is added.
        Signals have shape (C, T) or (N, C, T), and volumes (C, D, H, W) or (N, C, D, H, W).
    kernel_size : int or tuple of int
        Height and width of the patches in pixels, or one number for both. A tuple of one number says that the images
        are signals, and has the length of their patches in samples; a tuple of three says that they are volumes, and
        has depth, height and width in voxels.
    eps, relative, method
        Ridge, its unit, and the algorithm for D, as in :meth:`Deconvolution.from_covariance`.

    Returns
    -------
    Deconvolution
        Deconvolution D of all valid stride-1 patches, computed on the CPU wherever the images are. It applies to
        images, and folds into weights, on any device.

    Raises
    ------
    DataError
        If no image is at least as large as the patch.
    TypeError
        If ``images`` are no images, such as the name of a folder, which `ndtools.iter_images` reads.
    ValueError
        If an image has another shape, other channels than the first, or numbers that are not finite.

    Examples
    --------
    >>> noise = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))
    >>> fit_deconvolution([noise], kernel_size=3).kernels().shape
    torch.Size([3, 3, 3, 3])

    Four channels over time, with patches of 9 samples:

    >>> signal = torch.randn(4, 5000, generator=torch.Generator().manual_seed(0))
    >>> fit_deconvolution(signal, kernel_size=(9,)).apply(signal).shape
    torch.Size([4, 4992])
    """
    sides = to_sizes(kernel_size)
    axes = len(sides)
    noun, names = NOUNS[axes], axes_in_words(axes)
    moments = None
    small = 0
    for image in each_image(images, axes):
        if not isinstance(image, Tensor | np.ndarray):
            raise TypeError(f"images must hold Tensors or arrays of shape (C, {names}), got {type(image).__name__}")
        if len(image.shape) != axes + 1:
            raise ValueError(f"images must hold {noun}s of shape (C, {names}), got one of shape {tuple(image.shape)}")
        if moments is None:
            moments = PatchCovariance(image.shape[0], sides, eps=eps, relative=relative)
        if any(n < k for n, k in zip(image.shape[1:], sides, strict=True)):
            small += 1
        else:
            moments.update(image)
    if moments is None or moments.count == 0:
        raise DataError(
            f"images must include one of at least {times(sides)} {UNITS[axes]} (kernel_size), got none ({small} are"
            " smaller)"
        )
    if small:
        warnings.warn(f"left out {small} {noun}s smaller than a {times(sides)} patch", NumericalWarning, stacklevel=2)
    return Deconvolution.from_covariance(moments.finalize(), eps=eps, relative=relative, method=method)


def convolved(pixels: Tensor, weight: Tensor, bias: Tensor, border: Border = "valid") -> Tensor:
    """Convolve images, signals or volumes with the kernels of a deconvolution.

    Parameters
    ----------
    pixels : Tensor of shape (C, H, W) or (N, C, H, W)
        Image or batch of images, at least as large as the kernels.
    weight : Tensor of shape (O, C, k_y, k_x)
        Kernels for cross-correlation, with odd sides unless the border is "valid". They have as many axes as the
        images: one for signals, three for volumes.
    bias : Tensor of shape (O,)
        Number that is added to each output channel.
    border : {"valid", "reflect", "circular"}
        Outputs are those of all pixels with a whole patch in the image ("valid"); or of all pixels, with the image
        mirrored at its border ("reflect") or continued by its opposite side ("circular"). Default "valid".

    Returns
    -------
    Tensor of shape (O, H', W') or (N, O, H', W')
        Convolved images. H' = H - k_y + 1 and W' = W - k_x + 1 with border "valid", otherwise H and W.
    """
    axes = weight.dim() - 2
    batch = pixels if pixels.dim() == axes + 2 else pixels[None]
    if border != "valid" and max(weight.shape[2:]) > 1:
        batch = pad(batch, [k // 2 for k in reversed(weight.shape[2:]) for _ in range(2)], mode=border)
    output = _CONVOLUTIONS[axes](batch, weight, bias)
    return output if pixels.dim() == axes + 2 else output[0]
