"""Compare sets of images: their kernels, responses, correlations and sparsity."""

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ndtools.computing.operators import resolve_device
from ndtools.computing.progress import Progress
from ndtools.console.short_form import short_form
from ndtools.errors import DataError, MatrixError, OptionError
from ndtools.experiments.compare_sets.config import CompareSetsConfig
from ndtools.experiments.compare_sets.differences import RelativeDifference
from ndtools.experiments.compare_sets.result import CompareSetsResult, SetDifference
from ndtools.experiments.compare_sets.sets import ImageSet, MeasuredSet, find_set, measure_set, warn_of_sets
from ndtools.moments.files import check_space_of_files, size_in_words
from ndtools.numerics.sparsity import MEASURES, REACH, difference
from ndtools.results.series import Series, configurations
from ndtools.text import counted
from ndtools.validation import Ridge, Space

__all__ = ["compare_sets", "run", "run_series"]

BINS = 201  # of the densities


def run(config: CompareSetsConfig, *, progress: Progress | None = None) -> CompareSetsResult:
    """Compare two or three sets of images.

    D depends on all images of a set, so that it can be applied to the first only when all have been read. The sparsity
    therefore takes a second pass. Where the decoded images of a set have room in a quarter of the free memory, that
    pass takes them from there, and each image is decoded once.

    Parameters
    ----------
    config : CompareSetsConfig
        Configuration of the run.
    progress : callable, optional
        Told how many of how many images are done, each counting once for each pass.

    Returns
    -------
    CompareSetsResult
        Measures of each set, and their differences.

    Raises
    ------
    DataError
        If nothing could be used, or a set has one image where a bootstrap, or the choice of a ridge, needs two.
    MatrixError
        If the moments of the sets are of patches of different sizes or channels, or of images resized differently.

    Warns
    -----
    NumericalWarning
        If a set is one file of moments, which gives no standard errors; if sets are the same; if replicates are few,
        so that the errors are rough; if images are few, grey, have several frames,
        or are named more than once; or if the ridge is below the noise of files whose pixels are rounded.
    """
    return run_series(config, progress=progress)[0]


def run_series(
    config: CompareSetsConfig,
    *,
    kernel_sizes: Sequence[int] | None = None,
    ridges: Sequence[Ridge] | None = None,
    progress: Progress | None = None,
) -> Series[CompareSetsResult]:
    """Compare sets of images for several kernel sizes and ridges, which share the passes over the images.

    Parameters
    ----------
    config : CompareSetsConfig
        Configuration of all results, but for their kernel sizes and ridges.
    kernel_sizes : sequence of int, optional
        Sides of the kernels in pixels. Images smaller than the largest are left out for all sizes. Default: that of
        ``config``.
    ridges : sequence of float, "paper" or "auto", optional
        Ridges, in the unit that ``config.relative_eps`` says. Default: that of ``config``.
    progress : callable, optional
        Told how many of how many images are done.

    Returns
    -------
    Series of CompareSetsResult
        For each kernel size in turn, a result for each ridge.

    Raises
    ------
    DataError
        If nothing could be used, or a set has one image where a bootstrap, or the choice of a ridge, needs two.
    MatrixError
        If the moments of the sets are of patches of different sizes or channels, or of images resized differently.
    OptionError
        If there are too many results, or several kernel sizes, or another ``resize``, with files of moments,
        which have theirs.
    """
    CompareSetsConfig.check_type(config)
    sizes, eps, members = configurations(config, kernel_sizes, ridges)
    device = resolve_device(config.device)
    sets = [find_set(name, source, config, halves="auto" in eps) for name, source in config.sources.items()]
    warn_of_sets(sets, bootstrap=config.bootstrap)
    if of_files := [each for each in sets if each.moments]:
        if len(sizes) > 1:
            raise OptionError("kernel_size", f"must be one with files of moments, which have theirs, got {len(sizes)}")
        size, gray, resize, space = _of_files(of_files)
        check_space_of_files(config.space, space)
        if config.resize not in (None, resize):
            raise OptionError(
                "resize",
                f"must be that of the files of moments, whose images {size_in_words(resize)}, got {config.resize}: sets"
                " that are processed differently cannot be compared",
            )
        sizes = (size,)
        members = tuple(replace(member, kernel_size=size, gray=gray, resize=resize, space=space) for member in members)
        config = members[0]
    members = _of_arrays(members, sets)
    config = members[0]
    report = _Report(progress, sum(each.count * (1 + config.sparsity) for each in sets))
    edges = np.linspace(-REACH, REACH, BINS + 1)
    columns = [
        measure_set(each, config, sizes=sizes, ridges=eps, edges=edges, device=device, begin=report.begin)
        for each in sets
    ]
    return Series(
        tuple(
            CompareSetsResult(
                config=member,
                sets=tuple(measured.measures for measured in row),
                differences=tuple(_difference(*pair) for pair in itertools.combinations(row, 2)),
                edges=edges,
                device=str(device),
            )
            for member, row in zip(members, zip(*columns, strict=True), strict=True)
        )
    )


compare_sets = short_form(CompareSetsConfig, run, run_series, counting="images")


class _Report:
    """Progress over all passes over all sets."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._before = progress, total, 0

    def begin(self, count: int) -> Progress | None:
        """Begin a pass over so many images, and return the function that is told how many of them are done."""
        before, self._before = self._before, self._before + count
        progress = self._progress
        return (lambda done, _: progress(before + done, self._total)) if progress else None


def _of_files(sets: Sequence[ImageSet]) -> tuple[int, bool, int | None, Space]:
    """Return kernel size, whether they are grey, `resize` and `space` of sets of moments; MatrixError unless equal."""
    moments = [each.moments for each in sets if each.moments]
    first, whole = moments[0], moments[0].by_size[0].whole
    for each, other in zip(sets, moments, strict=True):
        misfit = f"the moments of {each.label} do not fit those of {sets[0].label}: their"
        for name in ("channels", "kernel_size"):
            value, expected = getattr(other.by_size[0].whole, name), getattr(whole, name)
            if value != expected:
                raise MatrixError(f"{misfit} {name.replace('_', ' ')} must be {expected}, got {value}")
        if other.resize != first.resize:
            raise MatrixError(
                f"{misfit} images {size_in_words(other.resize)}, the others {size_in_words(first.resize)}"
            )
        if other.space != first.space:
            raise MatrixError(f"{misfit} pixels are in the colour space {other.space}, the others in {first.space}")
    return whole.kernel_size[0], whole.channels == 1, first.resize, first.space


def _of_arrays(members: tuple[CompareSetsConfig, ...], sets: Sequence[ImageSet]) -> tuple[CompareSetsConfig, ...]:
    """Return the configurations as they apply to the images of all sets; DataError if their channels differ."""
    gray, counts = members[0].gray, []
    for each in sets:
        if each.images:
            counts.append(len(each.images.channels_decoded(gray=gray)))
            members = tuple(member.applied_to(each.images) for member in members)
        elif each.moments:
            members = tuple(
                member.of_moments(each.moments.names, calibrated=each.moments.calibrated) for member in members
            )
            counts.append(each.moments.by_size[0].whole.channels)
    for each, count in zip(sets, counts, strict=True):
        if count != counts[0]:
            raise DataError(
                f"set {each.name}, {each.label}, has {counted(count, 'channel')}, and set {sets[0].name} has"
                f" {counts[0]}: only images of as many channels can be compared"
            )
    return members


def _difference(first: MeasuredSet, second: MeasuredSet) -> SetDifference:
    """Return what two sets differ in."""
    a, b = first.measures, second.measures
    groups = (a.groups, b.groups)
    sparsity = {}
    if a.after and b.after:
        sparsity = {name: difference(a.after.measures[name], b.after.measures[name]) for name in MEASURES}
    return SetDifference(
        names=(a.name, b.name),
        kernels=RelativeDifference.of(a.kernels, b.kernels, (first.kernels, second.kernels), groups),
        responses=RelativeDifference.of(a.response, b.response, (first.responses, second.responses), groups),
        neighbours=a.correlations.neighbours - b.correlations.neighbours,
        channels=a.correlations.channels - b.correlations.channels,
        sparsity=sparsity,
    )
