"""One image and its deconvolution (Ye et al. 2020, fig. 4)."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import conv2d, pad

from ndtools.computing.operators import resolve_device
from ndtools.data.images.reading import Decoded, load_images
from ndtools.data.images.sources import resolve_source
from ndtools.errors import DataError, MatrixError, NumericalError
from ndtools.experiments.deconvolve.config import DeconvolveConfig
from ndtools.moments.files import read_written
from ndtools.moments.images import too_small
from ndtools.numerics.covariance import PatchCovariance
from ndtools.numerics.deconvolution import RIDGE_AND_PRECISION, Deconvolution
from ndtools.numerics.inverse_sqrt import method_from_name
from ndtools.numerics.sparsity import REACH, ROUNDING, Density, Distribution, SparsitySums

__all__ = ["DeconvolveConfig", "DeconvolveResult", "run"]


@dataclass(frozen=True, eq=False)
class DeconvolveResult:
    """An image before and after deconvolution.

    Attributes
    ----------
    config : DeconvolveConfig
        What was asked for.
    source : str
        Name of the image, printable.
    pixels : array of shape (C, H, W)
        float32 in [0, 1].
    centred : array of shape (C, H', W')
        Pixels less the mean that D takes off, where there is an output.
    deconvolved : array of shape (C, H', W')
        float32: the centre outputs of D(x − μ). H' = H − k + 1 with border "valid", H with "reflect".
    kernels : array of shape (C, C, k, k)
        What was applied.
    fit : Deconvolution or None
        D of the image's own patches; None with kernels from a file.
    before, after : Distribution
        Of ``centred`` and ``deconvolved``, as in :mod:`ndtools.experiments.sparsity.run`, but about the mean that each
        channel has in this image, which with kernels of a set is not the one that D takes off.
    device : str
        Where the covariance was computed.
    reduced_to_luma : bool
        Whether a colour image was, for kernels of grey ones.
    """

    config: DeconvolveConfig
    source: str
    pixels: NDArray[np.float32]
    centred: NDArray[np.float32]
    deconvolved: NDArray[np.float32]
    kernels: NDArray[np.float64]
    fit: Deconvolution | None
    before: Distribution
    after: Distribution
    device: str
    reduced_to_luma: bool = False

    def picture(self) -> NDArray[np.uint8]:
        """Scale the deconvolved image such that 0 is mid-grey and the largest magnitude black or white.

        Returns
        -------
        array of shape (H', W') or (H', W', 3)
            Nothing is clipped: the paper's "min-max".
        """
        limit = float(np.abs(self.deconvolved).max()) or 1.0
        levels: NDArray[np.uint8] = np.rint(127.5 * (1 + self.deconvolved / limit)).astype(np.uint8)
        return levels[0] if len(levels) == 1 else levels.transpose(1, 2, 0)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays of the .npz file by name."""
        return {"deconvolved": self.deconvolved, "kernels": self.kernels}

    def numbers(self) -> dict[str, Any]:
        """Return the numbers of the .json file by key."""
        return {
            "shape": self.deconvolved.shape,
            "kernel_size": self.kernels.shape[-1],
            **(self.fit.numbers() if self.fit else dict.fromkeys(RIDGE_AND_PRECISION)),
            "relative_eps": None if self.config.from_file else self.config.relative_eps,
            "method": None if self.config.from_file else self.config.method,
            "from": self.config.from_file,
            "border": self.config.border,
            "before": self.before.numbers(),
            "after": self.after.numbers(),
        }


def run(config: DeconvolveConfig) -> DeconvolveResult:
    """Deconvolve an image.

    Parameters
    ----------
    config : DeconvolveConfig
        What to do.

    Returns
    -------
    DeconvolveResult
        On the CPU.

    Raises
    ------
    DataError
        If the source is not one image that can be read, or it is smaller than the patch, or the file of kernels
        holds none.
    NumericalError
        If the output overflows.
    """
    device = resolve_device(config.device)
    fit = None
    if config.from_file is None:
        image = _image(config, gray=False)
        fit = _fit(image, config, device)
        kernels, mean = fit.kernels(), fit.mean
    else:
        kernels, mean = _kernels_from(config.from_file)
        image = _image(config, gray=len(kernels) == 1)
    k = kernels.shape[-1]
    if reason := too_small(image, (k, k)):
        raise DataError(f"{image.name}: {reason}")
    pixels = torch.from_numpy(np.divide(image.pixels, 255 if image.pixels.dtype == np.uint8 else 1, dtype=np.float32))
    centre = mean.view(len(kernels), k * k)[:, k * k // 2, None, None]
    bias = -(kernels.flatten(1) @ mean)
    half = k // 2
    whole = pad(pixels[None], (half,) * 4, mode="reflect") if config.border == "reflect" and half else pixels[None]
    deconvolved = conv2d(whole, kernels.float(), bias.float())[0].numpy()
    if not np.isfinite(deconvolved).all():
        raise NumericalError(f"{image.name}: the deconvolved image overflows; the kernels are too large")
    inner = (
        pixels
        if config.border == "reflect"
        else pixels[:, half : pixels.shape[1] - half, half : pixels.shape[2] - half]
    )
    centred = (inner - centre.float()).numpy()
    largest = float(pixels.abs().max())
    return DeconvolveResult(
        config=config,
        source=image.name,
        pixels=pixels.numpy(),
        centred=centred,
        deconvolved=deconvolved,
        kernels=kernels.numpy(),
        fit=fit,
        before=_distribution(centred, largest),
        after=_distribution(deconvolved, largest * float(kernels.abs().sum((1, 2, 3)).max())),
        device=str(device),
        reduced_to_luma=config.from_file is not None and len(kernels) == 1 and _has_colour(config),
    )


def _image(config: DeconvolveConfig, *, gray: bool) -> Decoded:
    images = resolve_source(config.source)
    if len(images) != 1:
        raise DataError(f"{images.label} holds {len(images)} images, where one is wanted; name a file")
    for item in load_images(images, gray=gray, jobs=config.jobs):
        if isinstance(item, Decoded):
            return item
        raise DataError(f"{item.name}: {item.reason}")
    raise DataError(f"{images.label} holds no image")


def _has_colour(config: DeconvolveConfig) -> bool:
    red, green, blue = _image(config, gray=False).pixels
    return bool((red != green).any() or (red != blue).any())


def _fit(image: Decoded, config: DeconvolveConfig, device: torch.device) -> Deconvolution:
    """Return the deconvolution of an image's own patches."""
    k = config.kernel_size
    if reason := too_small(image, (k, k)):
        raise DataError(f"{image.name}: {reason}")
    moments = PatchCovariance(len(image.pixels), k, eps=config.eps, relative=config.relative_eps, device=device)
    covariance = moments.update(image.pixels).finalize().cpu()
    method = method_from_name(config.method, n_iter=config.iterations)
    return Deconvolution.from_covariance(covariance, eps=config.eps, relative=config.relative_eps, method=method)


def _kernels_from(path: str) -> tuple[Tensor, Tensor]:
    """Read the kernels and the mean that ``ndtools kernels`` has written."""
    arrays = read_written(path, ("kernels", "mean"), "--from takes the .npz file that ndtools kernels writes")
    kernels, mean = (arrays[key].astype(np.float64) for key in ("kernels", "mean"))
    shape = kernels.shape
    if len(shape) != 4 or shape[0] != shape[1] or shape[2] != shape[3] or shape[0] not in (1, 3) or not shape[2] % 2:
        raise MatrixError(f"{path} holds kernels of shape {shape}, where (C, C, k, k) with C 1 or 3, k odd is wanted")
    if mean.shape != (math.prod(shape[1:]),):
        raise MatrixError(f"{path} holds a mean of shape {mean.shape}, where ({math.prod(shape[1:])},) is wanted")
    if not (np.isfinite(kernels).all() and np.isfinite(mean).all()):
        raise MatrixError(f"{path} holds values that are not finite")
    return torch.from_numpy(kernels), torch.from_numpy(mean)


def _distribution(values: NDArray[np.float32], terms: float) -> Distribution:
    """Measure values (C, H, W) about each channel's mean; ``terms`` is the size of what they are the sums of."""
    about_mean = values - values.mean((1, 2), dtype=np.float64, keepdims=True)
    sigma = float(about_mean.std())
    if sigma <= ROUNDING * terms:
        sigma, about_mean = 0.0, np.zeros_like(about_mean)
    scaled = (about_mean / (sigma or 1)).astype(np.float32)
    density = Density(np.linspace(-REACH, REACH, 202)).add(scaled)
    sums = SparsitySums().add(scaled, np.random.default_rng(0))
    return Distribution(sigma, sums.measures(), density.density, density.clipped)
