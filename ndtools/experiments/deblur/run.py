"""Estimation of a blur kernel from a sharp and a blurred image (Ye et al. 2020, sec. 4.4.1 and fig. 1)."""

import os
import re

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ndtools.computing.operators import resolve_device
from ndtools.console.short_form import short_form
from ndtools.data.arrays import is_matrix_file, read_arrays
from ndtools.data.images.decoding import Pixels, decode_image
from ndtools.data.images.reading import Decoded
from ndtools.data.images.single import load_single
from ndtools.errors import DataError, OptionError
from ndtools.experiments.deblur.blur import (
    KernelMoments,
    blur,
    descend,
    gaussian_kernel,
    motion_kernel,
    solve,
    unit_pixels,
)
from ndtools.experiments.deblur.config import LARGEST_BLUR, DeblurConfig
from ndtools.experiments.deblur.result import Arm, DeblurResult
from ndtools.numerics.inverse_sqrt import inverse_sqrt, method_from_name
from ndtools.numerics.products import ridged
from ndtools.text import printable

__all__ = ["deblur", "run"]

SMALLEST = 15  # side of the estimated kernel by default, pixels
# Of the rate at which gradient descent diverges, 2/λ_max. The nearer to it, the longer the mean brightness of the
# kernel swings about the true one, so that kernels flip from step to step: each swing is 0.6 of the last one here, and
# 0.9 at 0.95. On photographs that rate has the same error after 10 iterations within 2 %, and 1 to 11 % less after 100.
SHARE_OF_LIMIT = 0.8
# Bytes for each pixel that the command takes, its figure included. Measured as the peak of the process: 52 more for
# each pixel from 4 to 8 Mpixel, 58 from 8 to 16, and 54 with kernels of 51×51, whose own matrices come on top.
WORKING = 62


def run(config: DeblurConfig) -> DeblurResult:
    """Blur an image and estimate the kernel from the pair.

    Parameters
    ----------
    config : DeblurConfig
        Configuration of the run.

    Returns
    -------
    DeblurResult
        On the CPU.

    Raises
    ------
    DataError
        If the source is not one image that can be read, of the kernel's size at least and not of one colour; or the
        file of the blur holds no kernel.
    OptionError
        If the true kernel is larger than the estimated one may be.
    NotPositiveDefiniteError
        If the covariance is singular and ``eps`` too small to mend it.

    Warns
    -----
    NumericalWarning
        If the image does not determine the kernel.
    """
    DeblurConfig.check_type(config)
    device = resolve_device(config.device)
    image = load_single(config.source, working=WORKING)
    kernel = _padded(_true_kernel(config), config.kernel_size)
    _check_size(image, len(kernel))
    blurred = _blurred(image.pixels, kernel, config, device)
    moments = KernelMoments.of(image.pixels, blurred, device=device)
    if not float(moments.covariance.trace()) > 1e-15 * len(moments.cross):
        raise DataError(f"{image.name} has one colour only, in which a blur leaves no trace")
    eps = config.eps * (float(moments.covariance.diagonal().mean()) if config.relative_eps else 1.0)
    whitening = ridged(moments.covariance, eps)
    method = method_from_name("coupled", n_iter=config.n_iter)
    root = inverse_sqrt(whitening, method)
    arms = _arms(moments, root.matrix, kernel, config.iterations)
    return DeblurResult(
        config=config,
        source=image.name,
        size=(len(image.pixels), image.pixels.shape[1], image.pixels.shape[2]),
        sharp=image.pixels,
        blurred=blurred,
        true_kernel=kernel,
        arms=arms,
        eps=eps,
        condition=float(root.condition),
        residual=float(root.residual),
        device=str(device),
    )


deblur = short_form(DeblurConfig, run)


def _arms(moments: KernelMoments, d: Tensor, true: NDArray[np.float64], iterations: int) -> tuple[Arm, ...]:
    best = solve(moments)
    arms = []
    for name, matrix in (("gradient", None), ("deconv", d)):
        hessian = moments.covariance if matrix is None else matrix @ moments.covariance @ matrix
        limit = 2 / float(torch.linalg.eigvalsh((hessian + hessian.mT) / 2)[-1])
        lr = SHARE_OF_LIMIT * limit if matrix is None else 1.0
        arms.append(_arm(name, descend(moments, lr, iterations, matrix), moments, best, true, lr, limit))
    return (*arms, _arm("closed_form", best[None], moments, best, true))


def _arm(
    name: str,
    path: Tensor,
    moments: KernelMoments,
    best: Tensor,
    true: NDArray[np.float64],
    lr: float | None = None,
    limit: float | None = None,
) -> Arm:
    kernels = path.numpy()[:, ::-1].reshape(-1, *true.shape)  # a patch meets the kernel reversed
    # About the optimum, where the loss is least and a difference of large terms would be all rounding.
    least = max(0.0, (moments.variance - float(best @ moments.cross)) / 2)
    away = path - best
    loss = least + ((away @ moments.covariance) * away).sum(1).numpy() / 2
    shown = _shown(len(path) - 1)
    return Arm(
        name=name,
        lr=lr,
        stability_limit=limit,
        kernel_error=np.linalg.norm(kernels - true, axis=(1, 2)) / np.linalg.norm(true[None], axis=(1, 2)),
        loss=loss,
        kernel=kernels[-1].copy(),
        iterations=shown,
        snapshots=kernels[shown],
    )


def _shown(last: int) -> NDArray[np.int64]:
    """Return 1, 2, 5, 10, 20, 50, ... and the last iteration; 0 if there is none."""
    steps = {m * 10**n for n in range(len(str(last))) for m in (1, 2, 5)}
    return np.array(sorted({n for n in steps if n < last} | {last}))


def _true_kernel(config: DeblurConfig) -> NDArray[np.float64]:
    kind, values = config.blur_parameters()
    if kind == "gaussian":
        return gaussian_kernel(*values)
    if kind == "motion":
        return motion_kernel(*values)
    name = printable(config.blur)
    if not os.path.exists(config.blur):
        kinds = "gaussian:SIGMA, motion:LENGTH,ANGLE, or a file"
        if re.fullmatch(r"[A-Za-z_-]{1,20}(:[-+.,\d\s]*)?", config.blur):  # a word, perhaps with numbers: no path
            raise OptionError("blur", f"must be {kinds}, got '{name}'")
        raise DataError(f"no such blur: '{name}'; it is {kinds}")
    if is_matrix_file(config.blur):
        kernel = read_arrays(config.blur, ["kernel"])["kernel"].astype(np.float64)
    else:
        try:
            kernel = decode_image(config.blur, gray=True)[0].astype(np.float64)
        except DataError as error:
            raise DataError(f"{name}: {error}") from None
    if kernel.ndim != 2 or not all(side % 2 for side in kernel.shape):
        raise DataError(f"{name} has shape {kernel.shape}; a kernel has two odd sides, so that there is a centre pixel")
    if not (np.isfinite(kernel).all() and kernel.min() >= 0 and 0 < kernel.sum() < np.inf):
        raise DataError(f"{name} holds no kernel: weights must be finite, at least 0, and not all 0")
    normalised: NDArray[np.float64] = kernel / kernel.sum()
    return normalised


def _padded(kernel: NDArray[np.float64], kernel_size: int | None) -> NDArray[np.float64]:
    """Return the kernel in the middle of a square of zeros of the size that is estimated."""
    needed = max(kernel.shape)
    shape = "×".join(map(str, kernel.shape[::-1]))
    if needed > LARGEST_BLUR:
        raise OptionError("blur", f"is {shape} pixels large; at most {LARGEST_BLUR} a side can be estimated")
    side = kernel_size or max(SMALLEST, needed)
    if needed > side:
        raise OptionError("kernel_size", f"{side} cannot hold the blur, of {shape} pixels; take {needed} or more")
    rows, columns = ((side - n) // 2 for n in kernel.shape)
    return np.pad(kernel, ((rows, rows), (columns, columns)))


def _check_size(image: Decoded, side: int) -> None:
    _, height, width = image.pixels.shape
    if min(height, width) < 2 * side:
        raise DataError(f"{image.name}: {width}×{height} pixels, where a {side}×{side} kernel needs {2 * side} a side")


def _blurred(
    sharp: Pixels, kernel: NDArray[np.float64], config: DeblurConfig, device: torch.device
) -> NDArray[np.float64]:
    """Return y = k * x + noise of all channels."""
    rng = np.random.default_rng(config.seed)
    side = len(kernel)
    y = np.empty((len(sharp), sharp.shape[1] - side + 1, sharp.shape[2] - side + 1))
    for x, out in zip(sharp, y, strict=True):
        out[:] = blur(unit_pixels(x, device), torch.from_numpy(kernel).to(device)).cpu().numpy()
        if config.noise:
            out += config.noise * rng.standard_normal(out.shape)
    return y
