"""Whitening as a module of torch: a transform of images, by a convolution or by a matrix."""

import json
import os
from collections.abc import Mapping
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from ndtools.errors import MatrixError, OptionError
from ndtools.numerics.circular import circular_inverse
from ndtools.numerics.deconvolution import Border, Deconvolution, convolved
from ndtools.numerics.inverse_sqrt import Method
from ndtools.numerics.linear_whitening import Form, linear_whitening, restoring_scales
from ndtools.numerics.patches import Pair, to_pair
from ndtools.numerics.pixels import white
from ndtools.numerics.ridge import ridge_terms
from ndtools.transforms.checks import Mode, check_image, check_odd_sides, check_shapes, refuse, settings_from
from ndtools.transforms.fitting import Images, covariance_of_images, covariance_of_patches, kernels_of_file
from ndtools.validation import check_choice

__all__ = ["Mode", "Whiten"]

_FORMS: dict[str, Form] = {"full": "zca", "channel": "zca", "pca": "pca", "cholesky": "cholesky"}
_STATE = "_extra_state"


class Whiten(nn.Module):
    """Whitening of images: y = W (x - μ) + offset, as a transform or as the first layer of a network.

    It takes images (C, H, W) and batches (N, C, H, W), uint8 for [0, 1] or floating point, and returns numbers in its
    own dtype. There are no parameters to train: mean and matrix are buffers, and gradients flow through to the images.
    `fit` makes one from images, `load` from the file of ``ndtools kernels``, `from_state_dict` from a saved state.

    Parameters
    ----------
    mean : Tensor
        Mean μ: of a patch, (C·k_y·k_x,), for "conv"; of the channels, (C,), for "channel"; otherwise of the pixels,
        (C·H·W,).
    weight : Tensor
        Kernels, (C, C, k_y, k_x) with odd sides, for "conv". Otherwise the matrix W, (d, d) for the d features.
    inverse : Tensor of shape (d, d), optional
        Inverse of the matrix. Default: computed from it. It has no meaning for "conv".
    offset : Tensor, optional
        Number that is added to each output channel ("conv", "channel") or output feature. Default: 0.
    mode : {"conv", "full", "channel", "pca", "cholesky"}
        Form of whitening; see the notes. Default "conv".
    shape : (int, int, int), optional
        Channels, height and width of the images for "full", "pca" and "cholesky", which take images of one size.
    border : {"valid", "reflect", "circular"}
        Outputs of "conv": pixels with a whole patch in the image ("valid"); or all pixels, with the image mirrored
        ("reflect") or continued by its opposite side ("circular"). Default "valid".
    dtype : torch.dtype, optional
        Dtype of the buffers, torch's default by default (float32). With float64 the whole transform is in float64.

    Raises
    ------
    OptionError
        If mode or border is unknown, or an argument has no meaning in this mode.
    ValueError
        If the shapes of the tensors do not fit one another.
    MatrixError
        If the matrix has no inverse.

    Notes
    -----
    "conv"
        Each pixel becomes the centre of D (x - μ) of the patch around it, with D = A^(-1/2) (Ye et al. 2020): the
        deconvolution that `ndtools.Deconvolution.apply` computes. Images may have any size.
    "full"
        D of all pixels of an image, for images of one size: ZCA whitening, whose output looks like an image.
    "channel"
        D of the channels of a pixel, the same at each pixel: images may have any size.
    "pca"
        Principal components of all pixels, each divided by its standard deviation. The output is a vector, (d,) or
        (N, d), largest variance first.
    "cholesky"
        L^(-1) of all pixels, with A = L Lᵀ: each pixel is whitened by itself and the pixels before it.

    Examples
    --------
    >>> images = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    >>> whiten = Whiten.fit(images, "channel")
    >>> whiten(images[0]).shape
    torch.Size([3, 16, 16])
    >>> torch.allclose(whiten.inverse(whiten(images)), images, atol=1e-5)
    True
    """

    mean: Tensor
    weight: Tensor
    inverse_weight: Tensor | None
    offset: Tensor
    bias: Tensor | None

    def __init__(
        self,
        mean: Tensor,
        weight: Tensor,
        *,
        inverse: Tensor | None = None,
        offset: Tensor | None = None,
        mode: Mode = "conv",
        shape: tuple[int, int, int] | None = None,
        border: Border = "valid",
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_choice("mode", mode, get_args(Mode))
        check_choice("border", border, get_args(Border))
        dtype = dtype or torch.get_default_dtype()
        self.mode: Mode = mode
        self.border: Border = border
        self.shape = None if shape is None else tuple(shape)
        check_shapes(mode, self.shape, self.border, mean=mean, weight=weight, inverse=inverse)
        if inverse is None and mode != "conv":
            try:
                inverse = torch.linalg.inv(_double(weight))
            except RuntimeError:  # torch.linalg.LinAlgError
                raise MatrixError("weight must have an inverse, got a singular matrix") from None
        offset = torch.zeros(len(weight)) if offset is None else offset
        if offset.shape != weight.shape[:1]:
            raise ValueError(f"offset must have shape ({len(weight)},), got {tuple(offset.shape)}")
        # Kernels are large and nearly cancel: the bias of the convolution is summed in float64.
        bias = _double(offset) - _double(weight).flatten(1) @ _double(mean) if mode == "conv" else None
        buffers = {"mean": mean, "weight": weight, "inverse_weight": inverse, "offset": offset, "bias": bias}
        for name, value in buffers.items():
            buffer = None if value is None else value.detach().to(weight.device, dtype, copy=True).contiguous()
            self.register_buffer(name, buffer)

    @classmethod
    def fit(
        cls,
        images: Images,
        mode: Mode = "conv",
        *,
        kernel_size: int | Pair | None = None,
        eps: float | Literal["paper"] = "paper",
        relative_eps: bool = False,
        method: Method | None = None,
        border: Border = "valid",
        keep_scale: bool = False,
        dtype: torch.dtype | None = None,
    ) -> "Whiten":
        """Fit whitening to images.

        Parameters
        ----------
        images : Tensor or array of shape (C, H, W) or (N, C, H, W), or iterable of such
            Images of floating point, or of uint8 for [0, 1]: at once, or one or a batch after the other, as a loader
            or ``nd.iter_images`` yields them. Sizes may differ with "conv" and "channel".
        mode : {"conv", "full", "channel", "pca", "cholesky"}
            Form of whitening; see the notes of the class. Default "conv".
        kernel_size : int or (int, int), optional
            Sides of the patches in pixels, odd, for "conv". Default 3.
        eps : float or "paper"
            Ridge added to the covariance, at least 0. "paper", the default, is 1e-5 of the mean variance of a feature
            (Ye et al. 2020).
        relative_eps : bool
            Whether a number ``eps`` is in units of the mean variance of a feature. Default False.
        method : Method, optional
            Algorithm of D, for "conv", "full" and "channel"; the eigendecomposition by default.
        border : {"valid", "reflect", "circular"}
            Border of "conv", as in the class. Default "valid".
        keep_scale : bool
            Whether each channel keeps its mean and standard deviation, with "conv" and "channel": the decorrelation
            stretch of remote sensing. Default False.
        dtype : torch.dtype, optional
            Dtype of the result, torch's default by default. The matrix is computed in float64 before it is rounded.

        Returns
        -------
        Whiten
            Whitening of these images, on the CPU.

        Raises
        ------
        DataError
            If there is no image, one is smaller than the patch, or whole images have too many pixels for the memory.
        OptionError
            If an argument has no meaning in this mode.
        TypeError
            If ``images`` hold something else than images.
        ValueError
            If images differ in channels (or in size, for whole images), hold numbers that are not finite, or ``eps``
            is negative.
        NotPositiveDefiniteError
            If the covariance with the ridge is singular to working precision.
        """
        check_choice("mode", mode, get_args(Mode))
        check_choice("border", border, get_args(Border))
        refuse("kernel_size", kernel_size is not None and mode != "conv", mode)
        refuse("border", border != "valid" and mode != "conv", mode)
        refuse("keep_scale", keep_scale and mode not in ("conv", "channel"), mode)
        refuse("method", method is not None and mode in ("pca", "cholesky"), mode)
        ridge, relative = ridge_terms(eps, relative=relative_eps)
        if mode in ("conv", "channel"):
            k = to_pair(3 if kernel_size is None else kernel_size) if mode == "conv" else (1, 1)
            check_odd_sides(k)
            moments = covariance_of_patches(images, k, eps=ridge, relative=relative)
            fit = Deconvolution.from_covariance(moments, eps=ridge, relative=relative, method=method)
            kernels, offset = fit.kernels(), None
            if keep_scale:
                kernels = kernels * restoring_scales(kernels, moments)[:, None, None, None]
                offset = moments.at_centre().mean
            weight = kernels if mode == "conv" else kernels[:, :, 0, 0]
            return cls(fit.mean, weight, offset=offset, mode=mode, border=border, dtype=dtype)
        moments, shape = covariance_of_images(images)
        found = linear_whitening(moments, _FORMS[mode], eps=ridge, relative=relative, method=method, samples="images")
        return cls(found.mean, found.matrix, inverse=found.inverse, mode=mode, shape=shape, dtype=dtype)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], *, border: Border = "valid", dtype: torch.dtype | None = None
    ) -> "Whiten":
        """Read the kernels that ``ndtools kernels`` has written.

        Parameters
        ----------
        path : str or path-like
            The .npz file.
        border, dtype
            Border and dtype, as in the class.

        Returns
        -------
        Whiten
            Whitening of mode "conv".

        Raises
        ------
        DataError
            If the file is absent, damaged, or of another sort.

        Warns
        -----
        NumericalWarning
            If the kernels are for pixels of another colour space than sRGB.
        """
        kernels, mean = kernels_of_file(os.fspath(path))
        return cls(mean, kernels, border=border, dtype=dtype)

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any]) -> "Whiten":
        """Make a whitening from the state of another.

        Parameters
        ----------
        state : mapping
            The ``state_dict()`` of a whitening, such as ``torch.load`` or safetensors read it.

        Returns
        -------
        Whiten
            Whitening of the same mode, shape, border, dtype and numbers.

        Raises
        ------
        ValueError
            If the state is that of another module.
        """
        missing = [name for name in ("mean", "weight", "offset", _STATE) if name not in state]
        if missing:
            raise ValueError(f"state must be the state_dict of a Whiten, got one without {', '.join(missing)}")
        settings = settings_from(state[_STATE])
        weight: Tensor = state["weight"]
        whiten = cls(
            state["mean"],
            weight,
            inverse=state.get("inverse_weight"),
            offset=state["offset"],
            mode=settings["mode"],
            shape=settings["shape"],
            border=settings["border"],
            dtype=weight.dtype,
        )
        whiten.load_state_dict(state)
        return whiten

    def forward(self, images: Tensor) -> Tensor:
        """Whiten an image or a batch of images.

        Parameters
        ----------
        images : Tensor of shape (C, H, W) or (N, C, H, W)
            Images in the units of those of the fit, or uint8 for [0, 1].

        Returns
        -------
        Tensor
            Whitened images in the dtype of the buffers: (C, H', W') or (N, C, H', W'); for "pca" (d,) or (N, d).

        Raises
        ------
        TypeError
            If the images are no tensor of uint8 or floating point.
        ValueError
            If they have another shape.
        """
        pixels = self._pixels(images)
        if self.mode == "conv":
            assert self.bias is not None
            return convolved(pixels, self.weight, self.bias, self.border)
        if self.mode == "channel":
            centred = pixels.movedim(-3, -1) - self.mean
            return (centred @ self.weight.mT + self.offset).movedim(-1, -3)
        output = (pixels.flatten(-3) - self.mean) @ self.weight.mT + self.offset
        return output if self.mode == "pca" else output.view(pixels.shape)

    def inverse(self, whitened: Tensor) -> Tensor:
        """Return the images of which `forward` makes the given ones.

        Parameters
        ----------
        whitened : Tensor
            Whitened images, of a shape that `forward` returns.

        Returns
        -------
        Tensor of shape (C, H, W) or (N, C, H, W)
            Images in the dtype of the buffers.

        Raises
        ------
        OptionError
            For "conv" with another border than "circular": a convolution that leaves out or mirrors the border has no
            simple inverse.
        ValueError
            If the shape is another.
        """
        values = whitened.to(self.weight.dtype)
        if self.mode == "conv":
            if self.border != "circular" and tuple(self.weight.shape[2:]) != (1, 1):
                raise OptionError("border", f"must be 'circular' for an inverse of mode 'conv', got {self.border!r}")
            self._check_image(values)
            assert self.bias is not None
            return circular_inverse(values - self.bias[:, None, None], self.weight)
        inverse = self.inverse_weight
        assert inverse is not None
        if self.mode == "channel":
            self._check_image(values)
            return ((values.movedim(-3, -1) - self.offset) @ inverse.mT + self.mean).movedim(-1, -3)
        assert self.shape is not None
        if self.mode == "pca":
            if values.dim() not in (1, 2) or values.shape[-1] != len(self.mean):
                d = len(self.mean)
                raise ValueError(f"whitened must have shape ({d},) or (N, {d}), got {tuple(values.shape)}")
        else:
            self._check_image(values)
            values = values.flatten(-3)
        output = (values - self.offset) @ inverse.mT + self.mean
        return output.view(*output.shape[:-1], *self.shape)

    def extra_repr(self) -> str:
        """Return the settings for the text of the module."""
        size = f"images of {'×'.join(map(str, self.shape))}" if self.shape else f"{len(self.weight)} channels"
        if self.mode != "conv":
            return f"{self.mode}, {size}"
        ky, kx = self.weight.shape[2:]
        return f"{self.mode}, {size}, kernels of {ky}×{kx}, border {self.border}"

    def get_extra_state(self) -> Tensor:
        """Return mode, shape and border as a tensor, so that every format of tensors can hold the state."""
        text = json.dumps({"mode": self.mode, "shape": self.shape, "border": self.border})
        return torch.tensor(list(text.encode()), dtype=torch.uint8)

    def set_extra_state(self, state: object) -> None:
        """Check that a state that is loaded is that of a whitening with the same mode, shape and border."""
        theirs, mine = settings_from(state), settings_from(self.get_extra_state())
        for name in ("mode", "shape", "border"):
            if theirs[name] != mine[name]:
                raise ValueError(
                    f"{name} of the state must be {mine[name]!r}, as of this Whiten, got {theirs[name]!r};"
                    " Whiten.from_state_dict makes one that fits the state"
                )

    def _pixels(self, images: Tensor) -> Tensor:
        """Return images in the dtype of the buffers, after a check of type and shape."""
        if not isinstance(images, Tensor):
            raise TypeError(f"images must be a Tensor, got {type(images).__name__}; torch.from_numpy makes one")
        if images.dtype != torch.uint8 and not images.is_floating_point():
            raise TypeError(f"images must be uint8 or floating point, got {images.dtype}")
        self._check_image(images)
        pixels = images.to(self.weight.dtype)
        return pixels / white(images) if images.dtype == torch.uint8 else pixels

    def _check_image(self, images: Tensor) -> None:
        kernel_size = tuple(self.weight.shape[2:]) if self.mode == "conv" else (1, 1)
        check_image(tuple(images.shape), self.shape or (self.weight.shape[1], None, None), kernel_size)


def _double(tensor: Tensor) -> Tensor:
    """Return a tensor in float64 on the CPU, as some devices have no such numbers."""
    return tensor.detach().cpu().double()
