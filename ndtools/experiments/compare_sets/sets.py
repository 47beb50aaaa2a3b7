"""Measure one set of images, or one set of files of moments, for several kernel sizes and ridges."""

import glob
import itertools
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ndtools.computing.progress import Progress
from ndtools.data.images.sources import ImageSource, resolve_source
from ndtools.errors import DataError, NumericalWarning
from ndtools.experiments.compare_sets.config import CompareSetsConfig
from ndtools.experiments.compare_sets.differences import spread_of
from ndtools.experiments.compare_sets.measures import (
    RidgeUsed,
    SetMeasures,
    correlations_of,
    responses_of,
)
from ndtools.moments.grey import warn_if_grey
from ndtools.moments.groups import GroupedMoments, grouped_moments, moments_of_files
from ndtools.moments.keeping import KeptImages
from ndtools.moments.noise import warn_if_below_noise
from ndtools.moments.origin import PatchSetting
from ndtools.moments.resampling import GROUPS, resample_kernels, warn_of_groups
from ndtools.moments.whitened import Measured, Whitening, measure_values
from ndtools.numerics.covariance import has_variance
from ndtools.results.inputs import ImagesUsed, images_used
from ndtools.text import printable
from ndtools.validation import Ridge

__all__ = ["ImageSet", "MeasuredSet", "find_set", "measure_set", "warn_of_sets"]

LEFT_OUT = 200  # groups of images at most, of which each is left out once for the intervals of the sparsity

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ImageSet:
    """A set that is compared: a source of images, or moments from files.

    Attributes
    ----------
    name : str
        Name of the set in tables and figures: "A", "B" or "C".
    label : str
        Name of its source, printable.
    images : ImageSource or None
        Images; None if there are only moments.
    moments : GroupedMoments or None
        Moments from files, each file a group; None if there are images.
    paths : tuple of str
        Real paths of the source: its files of moments, or the file or folder of its images. A name that is no path
        stands for itself.
    """

    name: str
    label: str
    images: ImageSource | None
    moments: GroupedMoments | None
    paths: tuple[str, ...]

    @property
    def count(self) -> int:
        """Number of images that each pass reads."""
        return len(self.images) + len(self.images.skipped) if self.images else 0


@dataclass(frozen=True, eq=False)
class MeasuredSet:
    """Measures of a set for one kernel size and ridge, with those of bootstrap replicates.

    Attributes
    ----------
    measures : SetMeasures
        Measures of the set.
    kernels : array of shape (r, C, C, k, k) or None
        Kernels of the replicates; None without a bootstrap.
    responses : array of shape (r, C, n) or None
        Frequency responses of the replicates; None without a bootstrap.
    """

    measures: SetMeasures
    kernels: Array | None
    responses: Array | None


def find_set(name: str, source: str, config: CompareSetsConfig, *, halves: bool) -> ImageSet:
    """Find the images of a set, or read its files of moments.

    Parameters
    ----------
    name : str
        Name of the set.
    source : str
        Source of images, name of a file of moments, or glob of such files.
    config : CompareSetsConfig
        Configuration of the run.
    halves : bool
        Whether a ridge is chosen, for which moments are halved.

    Returns
    -------
    ImageSet
        Images or moments of the set.

    Raises
    ------
    DataError
        If there are no images or files of that name, or files are no files of moments.
    MatrixError
        If moments do not fit one another, or are not those of square patches with a centre pixel.
    """
    if not config.is_of_moments(source):
        images = resolve_source(source, layout=config.layout).subset(config.images, config.seed)
        if config.bootstrap and len(images) < 2:
            raise DataError(_too_few(name, images.label))
        return ImageSet(name, images.label, images, None, (_real(source),))
    pattern = glob.has_magic(source) and not os.path.lexists(source)
    paths = sorted(glob.glob(source)) if pattern else [source]
    if not paths:
        raise DataError(f"no files match '{printable(source)}'; save moments with ndtools kernels --save-moments")
    moments = moments_of_files(paths, resampled=bool(config.bootstrap), halves=halves)
    return ImageSet(name, printable(source), None, moments, tuple(map(_real, paths)))


def measure_set(
    images: ImageSet,
    config: CompareSetsConfig,
    *,
    sizes: Sequence[int],
    ridges: Sequence[Ridge],
    edges: Array,
    device: torch.device,
    begin: Callable[[int], Progress | None],
) -> list[MeasuredSet]:
    """Measure a set of images for each kernel size and ridge.

    Parameters
    ----------
    images : ImageSet
        Images or moments of the set.
    config : CompareSetsConfig
        Configuration of the run.
    sizes : sequence of int
        Sides of the kernels in pixels.
    ridges : sequence of float, "paper" or "auto"
        Ridges for each kernel size.
    edges : array
        Edges of the bins of the densities, in units of σ.
    device : torch.device
        Device that computes covariances.
    begin : callable
        Function that begins a pass over so many images, and returns the function that is told its progress.

    Returns
    -------
    list of MeasuredSet
        For each kernel size in turn, the measures for each ridge.

    Raises
    ------
    DataError
        If nothing could be used, or there is one image where a bootstrap, or the choice of a ridge, needs two.

    Warns
    -----
    NumericalWarning
        See :func:`ndtools.experiments.compare_sets.run.run`.
    """
    sparsity = config.sparsity and images.images is not None
    kept = KeptImages() if sparsity else None
    moments, used = _moments(images, config, sizes, ridges, device, kept, begin)
    warn_if_grey(moments.by_size[0].whole, of=f"set {images.name}")
    whitenings, choices = [], []
    for by_size in moments.by_size:
        for ridge in ridges:
            eps, relative, choice = by_size.terms(ridge, relative=config.relative_eps)
            whitenings.append(Whitening.of(by_size.whole, "patch", eps, relative=relative))
            choices.append(choice)
    measured: Measured | None = None
    if sparsity and images.images:
        maps = [each.pixel for each in whitenings[:: len(ridges)]] + [each.output for each in whitenings]
        measured = measure_values(
            images.images,
            maps,
            PatchSetting.of(config, ridges),
            edges=edges,
            groups=LEFT_OUT,
            largest=(max(sizes), max(sizes)),
            jobs=config.jobs,
            kept=kept,
            progress=begin(images.count),
        )
    rows: list[MeasuredSet] = []
    for i, by_size in enumerate(moments.by_size):
        own = slice(i * len(ridges), (i + 1) * len(ridges))
        fits = [whitening.fit for whitening in whitenings[own] if whitening.fit]
        samples, correlations = None, None
        if config.bootstrap and len(by_size.groups) > 1:
            # A ridge that was chosen is taken as given, like an absolute one.
            varies = any(has_variance(by_size.whole))
            terms = [by_size.terms(ridge, relative=config.relative_eps) for ridge in ridges]
            samples = resample_kernels(
                by_size.groups,
                [(eps, relative and varies) for eps, relative, _ in terms],
                replicates=config.bootstrap,
                # Sets are resampled independently of one another, and sizes alike, whatever others there are.
                rng=np.random.default_rng([config.seed, ord(images.name)]),
            )
            correlations = samples.correlations
        groups = 1 if samples is None else len(by_size.groups)
        shared = correlations_of(by_size.whole.correlations_of_centre().numpy(), correlations, groups)
        for j, (fit, choice) in enumerate(zip(fits, choices[own], strict=True)):
            before = after = None
            if measured:  # sizes come first among its maps, for the values before deconvolution
                before = measured.distributions[i]
                after = measured.distributions[len(sizes) + own.start + j]
            kernels = None if samples is None else samples.kernels[j]
            frequency, response = responses_of(fit.kernels().numpy())
            responses = None if kernels is None else responses_of(kernels)[1]
            measures = SetMeasures(
                name=images.name,
                images=used,
                from_moments=images.images is None,
                patches=by_size.whole.count,
                groups=groups,
                mean_variance=by_size.whole.mean_variance,
                fit=RidgeUsed.of(fit),
                ridge=choice,
                kernels=fit.kernels().numpy(),
                kernels_error=None if kernels is None else spread_of(kernels),
                frequency=frequency,
                response=response,
                response_error=None if responses is None else spread_of(responses),
                correlations=shared,
                before=before,
                after=after,
            )
            rows.append(MeasuredSet(measures, kernels, responses))
    warn_if_below_noise(min(row.measures.fit.eps for row in rows), used.noise, spectrum=False)
    return rows


def _moments(
    images: ImageSet,
    config: CompareSetsConfig,
    sizes: Sequence[int],
    ridges: Sequence[Ridge],
    device: torch.device,
    kept: KeptImages | None,
    begin: Callable[[int], Progress | None],
) -> tuple[GroupedMoments, ImagesUsed]:
    """Return the moments of groups of images, and describe the images; warn if standard errors are rough."""
    if images.moments:
        moments, used = (
            images.moments,
            ImagesUsed(images.label, images.moments.read, calibrated=images.moments.calibrated),
        )
        if len(moments.images) < 2:  # `warn_of_sets` warns of it
            return moments, used
    else:
        assert images.images is not None
        moments = grouped_moments(
            images.images,
            PatchSetting.of(config, ridges),
            kernel_sizes=sizes,
            groups=GROUPS if config.bootstrap else 1,
            halves="auto" in ridges,
            device=device,
            jobs=config.jobs,
            kept=kept,
            progress=begin(images.count),
        )
        used = images_used(images.images, moments.read, moments.skipped, moments.frames, moments.noise)
        if config.bootstrap and len(moments.images) < 2:
            raise DataError(_too_few(images.name, used.label))
    if config.bootstrap:
        warn_of_groups(moments.images)
    return moments, used


def warn_of_sets(sets: Sequence[ImageSet], *, bootstrap: int) -> None:
    """Warn of few replicates, and of sets that are the same images, or one file of moments.

    Parameters
    ----------
    sets : sequence of ImageSet
        Sets that are compared with each other.
    bootstrap : int
        Number of replicates; 0 if no standard errors are wanted.

    Warns
    -----
    NumericalWarning
        If there are few replicates, or sets are the same, or are one file each.
    """
    if 0 < bootstrap < CompareSetsConfig.bootstrap:
        warnings.warn(
            f"a bootstrap of {bootstrap} replicates gives a rough error; take {CompareSetsConfig.bootstrap} at least",
            NumericalWarning,
            stacklevel=3,
        )
    errors = ", and their standard errors differ by the random draws of the bootstrap alone" if bootstrap else ""
    for first, second in itertools.combinations(sets, 2):
        if first.paths == second.paths:
            warnings.warn(
                f"sets {first.name} and {second.name} are the same images, {first.label}: they do not differ{errors}",
                NumericalWarning,
                stacklevel=3,
            )
    single = [each.name for each in sets if each.moments and len(each.paths) == 1]
    if single and (bootstrap or len(sets) > 2 <= len(single)):
        which = f"set {single[0]} is" if len(single) == 1 else f"each of the sets {' and '.join(single)} is"
        errors = ", so that differences have no standard errors" if bootstrap else ""
        warnings.warn(
            f"{which} one file of moments{errors}; files of the parts of one set are named by a glob in quotation"
            " marks, as in 'parts/*.npz'",
            NumericalWarning,
            stacklevel=3,
        )


def _real(source: str) -> str:
    """Return the real path of a file or folder, or the name of a source that is none."""
    return os.path.realpath(source) if os.path.lexists(source) else source


def _too_few(name: str, label: str) -> str:
    return f"set {name} has one image, {label}; standard errors need two: take `bootstrap=0`"
