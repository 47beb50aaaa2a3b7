"""Deconvolve all images of a set by the same kernels, and write them to files."""

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ndtools.computing.operators import resolve_device
from ndtools.computing.progress import Progress
from ndtools.data.images.reading import Decoded
from ndtools.data.images.sources import ImageSource, resolve_source
from ndtools.experiments.deconvolve.config import DeconvolveConfig
from ndtools.experiments.deconvolve.destinations import Destinations, destinations
from ndtools.experiments.deconvolve.levels import picture_of, picture_of_pixels
from ndtools.experiments.deconvolve.maps import deconvolved_values, deconvolving, read_fitting
from ndtools.experiments.deconvolve.set_result import DeconvolvedSet, Sample
from ndtools.moments.gathering import gather
from ndtools.moments.grey import warn_if_grey
from ndtools.moments.groups import GroupMoments, grouped_moments
from ndtools.moments.images import too_small
from ndtools.moments.origin import PatchSetting
from ndtools.numerics.deconvolution import Deconvolution
from ndtools.numerics.inverse_sqrt import method_from_name
from ndtools.numerics.pixels import white
from ndtools.numerics.ridge import RidgeChoice
from ndtools.results.inputs import images_used
from ndtools.transforms.whiten import Whiten
from ndtools.validation import Ridge
from ndtools.writing import write_whole

__all__ = ["deconvolve_images", "run_set"]

SAMPLES, SAMPLE_SIDE = 4, 400  # number of images in the figure, and the longer side to which they are reduced, pixels
# Bytes for each pixel of an image of three channels that deconvolving and writing it takes. Measured as the peak of the
# process at 2.25 and 9 Mpixel, with .npy and .png files: 123 more for each pixel, decoding included.
WORKING = 120


def run_set(
    config: DeconvolveConfig,
    out: str | Path | Destinations,
    *,
    formats: tuple[str, ...] = ("png",),
    images: ImageSource | None = None,
    progress: Progress | None = None,
) -> DeconvolvedSet:
    """Deconvolve all images of a source, and write them to files.

    The images are read twice: for their covariance, unless the kernels come from a file, and to be deconvolved. Memory
    does not grow with their number. Each file is written whole or not at all, and existing files are replaced.

    Parameters
    ----------
    config : DeconvolveConfig
        Configuration of the run.
    out : str, Path or Destinations
        Folder of the files, which is created if it does not exist, or the files themselves. Images keep their names,
        and their folders below the folder that they have in common.
    formats : tuple of {"png", "npy", "npz"}
        Formats in which each image is written: as a picture of 8 bits, or as float32 values of shape (C, H, W), in
        .npz files under the name "deconvolved". Default: pictures.
    images : ImageSource, optional
        Images of the source, if they are listed already.
    progress : callable, optional
        Function that is told how many of how many images are done, in each pass.

    Returns
    -------
    DeconvolvedSet
        Kernels, and the files that were written.

    Raises
    ------
    DataError
        If no image can be used, two have the same name, or the file of kernels holds none.
    NumericalError
        If an output overflows.
    OptionError
        If a format is unknown, the folder lies in that of the images or an image would be replaced, or ``gray`` is set
        and the kernels from a file are those of colour images.
    OutputError
        If a file cannot be written. Those that are written already stay.

    Warns
    -----
    NumericalWarning
        If colour images are grey, have several frames, or are named more than once.
    """
    DeconvolveConfig.check_type(config)
    images = images or resolve_source(config.source, layout=config.layout).subset(config.images, config.seed)
    config = config.applied_to(images)
    files = out if isinstance(out, Destinations) else destinations(images, Path(out), formats)
    files.check_apart(config.source)
    device = resolve_device(config.device)
    fit: Deconvolution | None = None
    choice: RidgeChoice | None = None
    moments: GroupMoments | None = None
    if config.from_file is not None:
        config, kernels, mean = read_fitting(config, images, config.from_file)
        gray, k = len(kernels) == 1, kernels.shape[-1]
        if config.keep_scale:
            moments = _moments(config, images, k, 0.0, gray=gray, device=device, progress=progress)
    else:
        gray, k = config.gray, config.kernel_size
        moments = _moments(config, images, k, config.eps, gray=gray, device=device, progress=progress)
        eps, relative, choice = moments.terms(config.eps, relative=config.relative_eps)
        method = method_from_name(config.method, n_iter=config.iterations)
        fit = Deconvolution.from_covariance(moments.whole, eps=eps, relative=relative, method=method)
        kernels, mean = fit.kernels(), fit.mean
    whiten = deconvolving(config, kernels, mean, moments.whole if moments else None, calibrated=images.calibrated)
    assert whiten.bias is not None
    first = [entry.name for entry in images.listed.entries][:SAMPLES]
    writer = _Writer(whiten, files, first, config, calibrated=images.calibrated)
    gathered = gather(
        images,
        list[str],
        writer.add,
        jobs=config.jobs,
        gray=gray,
        space=config.space,
        working=2 * WORKING if images.calibrated else WORKING,  # which is deconvolved in float64
        progress=progress,
    )
    return DeconvolvedSet(
        config=config,
        images=images_used(images, gathered.read, gathered.skipped, gathered.frames, gathered.noise),
        kernels=kernels.numpy(),
        mean=mean.numpy(),
        weight=whiten.weight.numpy(),
        bias=whiten.bias.numpy(),
        fit=fit,
        formats=files.formats,
        written=files.written(name for part in gathered.parts for name in part),
        samples=tuple(writer.samples[name] for name in writer.wanted if name in writer.samples),
        device=str(device),
        ridge=choice,
    )


def deconvolve_images(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    formats: Sequence[str] = ("png",),
    **settings: Any,  # noqa: ANN401
) -> DeconvolvedSet:
    """Deconvolve all images of a source by the same kernels, and write them to files.

    The images are read twice: for their covariance, unless the kernels come from a file, and to be deconvolved. Memory
    does not grow with their number. Each file is written whole or not at all, and existing files are replaced, but none
    of the images.

    Parameters
    ----------
    source : str or path-like
        Source of the images: a folder, glob, list, archive or file, or "sample".
    out : str or path-like
        Folder of the files, which is created if it does not exist. Images keep their names, and their folders below the
        folder that they have in common.
    formats : sequence of {"png", "npy", "npz"}
        Formats in which each image is written: as a picture of 8 bits, or as float32 values of shape (C, H, W), in
        .npz files under the name "deconvolved". Default: pictures.
    **settings
        Other settings of :class:`ndtools.DeconvolveConfig`, such as ``kernel_size``, ``eps`` or ``keep_scale``.

    Returns
    -------
    DeconvolvedSet
        Kernels, and the files that were written.

    Raises
    ------
    DataError
        If no image can be used, two have the same name, or the file of kernels holds none.
    OptionError
        If a setting is out of range, or an image would be replaced.
    OutputError
        If a file cannot be written. Those that are written already stay.

    Examples
    --------
    >>> import ndtools as nd
    >>> nd.deconvolve_images("scenes/", "stretched/", kernel_size=1, keep_scale=True)  # doctest: +SKIP
    """
    return run_set(DeconvolveConfig(source=os.fspath(source), **settings), Path(out), formats=tuple(formats))


def _moments(
    config: DeconvolveConfig,
    images: ImageSource,
    kernel_size: int,
    eps: Ridge,
    *,
    gray: bool,
    device: torch.device,
    progress: Progress | None,
) -> GroupMoments:
    found = grouped_moments(
        images,
        PatchSetting.of(replace(config, gray=gray), [eps]),
        kernel_sizes=[kernel_size],
        halves=eps == "auto",
        device=device,
        jobs=config.jobs,
        progress=progress,
    )
    warn_if_grey(found.by_size[0].whole)
    return found.by_size[0]


@dataclass
class _Writer:
    """Deconvolves images and writes them to their files, in several threads."""

    whiten: Whiten
    files: Destinations
    wanted: list[str]
    config: DeconvolveConfig
    calibrated: bool = False

    def __post_init__(self) -> None:
        self.samples: dict[str, Sample] = {}
        self._lock = threading.Lock()

    def add(self, done: list[str], image: Decoded) -> str | None:
        """Deconvolve and write an image, and note its name; return the reason if it cannot be used."""
        size = self.whiten.weight.shape[-1]
        if reason := too_small(image, (size, size)):
            return reason
        values = deconvolved_values(self.whiten, image.pixels, image.name)
        space = self.config.space
        pictured = partial(picture_of_pixels, space=space, calibrated=self.calibrated)
        picture = pictured(values) if self.config.keep_scale else picture_of(values)
        paths = self.files.of(image.name)
        writers: dict[Path, Callable[[IO[bytes]], object]] = {
            path: partial(_WRITERS[extension], values, picture) for extension, path in paths.items()
        }
        next(iter(paths.values())).parent.mkdir(parents=True, exist_ok=True)
        write_whole(writers)
        done.append(image.name)
        if image.name in self.wanted:
            before = np.divide(image.pixels, white(image.pixels), dtype=np.float32)
            sample = Sample(image.name, _reduced(pictured(before)), _reduced(picture))
            with self._lock:
                self.samples[image.name] = sample
        return None


def _write_png(_: NDArray[np.float32], picture: NDArray[np.uint8], file: IO[bytes]) -> None:
    Image.fromarray(picture).save(file, format="PNG")


def _write_npy(values: NDArray[np.float32], _: NDArray[np.uint8], file: IO[bytes]) -> None:
    np.save(file, values)


def _write_npz(values: NDArray[np.float32], _: NDArray[np.uint8], file: IO[bytes]) -> None:
    np.savez(file, deconvolved=values)


_WRITERS = {"png": _write_png, "npy": _write_npy, "npz": _write_npz}


def _reduced(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture whose longer side is no more than `SAMPLE_SIDE`."""
    image = Image.fromarray(picture)
    image.thumbnail((SAMPLE_SIDE, SAMPLE_SIDE))
    return np.asarray(image)
