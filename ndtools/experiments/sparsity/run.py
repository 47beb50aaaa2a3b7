"""How sparse images are before and after deconvolution (Ye et al. 2020, fig. 10; fig. 9 of the first version)."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ndtools.computing.operators import resolve_device
from ndtools.computing.progress import Progress, of_pass
from ndtools.console.short_form import short_form
from ndtools.data.images.sources import resolve_source
from ndtools.errors import DataError, OptionError
from ndtools.experiments.sparsity.config import SparsityConfig
from ndtools.experiments.sparsity.result import SparsityResult
from ndtools.moments.files import check_space_of_files
from ndtools.moments.grey import warn_if_grey
from ndtools.moments.groups import GroupMoments, grouped_moments, moments_of_files
from ndtools.moments.keeping import KeptImages
from ndtools.moments.origin import PatchSetting
from ndtools.moments.whitened import Whitening, measure_values
from ndtools.numerics.ridge import RidgeChoice
from ndtools.numerics.sparsity import REACH
from ndtools.results.inputs import images_used
from ndtools.results.series import Series, configurations
from ndtools.text import counted
from ndtools.validation import Ridge

__all__ = ["run", "run_series", "sparsity"]


def run(config: SparsityConfig, *, progress: Progress | None = None) -> SparsityResult:
    """Measure how sparse images are before and after deconvolution, in two passes over them.

    The covariance may come from files of moments instead; there is one pass then.

    Parameters
    ----------
    config : SparsityConfig
        Configuration of the run.
    progress : callable, optional
        Told how many of how many images are done, each counting twice.

    Returns
    -------
    SparsityResult
        Both distributions with their measures. Intervals are those for the D and μ of these images, which stay as
        they are in all replicates.

    Warns
    -----
    NumericalWarning
        If colour images are grey, have several frames, or are named more than once.
    """
    return run_series(config, progress=progress)[0]


def run_series(
    config: SparsityConfig,
    *,
    kernel_sizes: Sequence[int] | None = None,
    ridges: Sequence[Ridge] | None = None,
    progress: Progress | None = None,
) -> Series[SparsityResult]:
    """Measure the distributions for several kernel sizes and ridges, in two passes over the images for all of them.

    D depends on all images, so that it can be applied to the first only when all have been read. Where the decoded
    images have room in a quarter of the free memory, the second pass takes them from there, and decodes nothing.

    Parameters
    ----------
    config : SparsityConfig
        Configuration of all results, but for their kernel sizes and ridges.
    kernel_sizes : sequence of int, optional
        Sides of the patches in pixels. Images smaller than the largest are left out for all sizes. Default: that of
        ``config``.
    ridges : sequence of float, "paper" or "auto", optional
        Ridges, in the unit that ``config.relative_eps`` says. Default: that of ``config``.
    progress : callable, optional
        Told how many of how many images are done, each counting twice.

    Returns
    -------
    Series of SparsityResult
        For each kernel size in turn, a result for each ridge. Those of one kernel size share the distribution
        before deconvolution.

    Raises
    ------
    OptionError
        If there are several results of images that are not decorrelated, or too many.
    DataError
        If nothing could be used, or a file is no file of moments.
    """
    SparsityConfig.check_type(config)
    sizes, eps, members = configurations(config, kernel_sizes, ridges)
    if len(members) > 1 and config.whitening == "none":
        raise OptionError("whitening", "must decorrelate something where there are several results, got 'none'")
    device = resolve_device(config.device)
    images = resolve_source(config.source, layout=config.layout, progress=progress).subset(config.images, config.seed)
    config, members = config.applied_to(images), tuple(member.applied_to(images) for member in members)

    passes = 1 if config.from_moments else 2
    kept = None if config.from_moments else KeptImages()
    if config.from_moments:
        if len(sizes) > 1:
            raise OptionError("kernel_size", f"must be one with files of moments, which have theirs, got {len(sizes)}")
        found = moments_of_files(config.from_moments, halves="auto" in eps)
        check_space_of_files(config.space, found.space)
        whole = found.by_size[0].whole
        sizes = (whole.kernel_size[0],)
        members = tuple(
            replace(member, kernel_size=sizes[0], gray=whole.channels == 1, space=found.space) for member in members
        )
        members = tuple(member.of_moments(found.names, calibrated=found.calibrated) for member in members)
        config = members[0]
        if whole.channels != len(images.channels_decoded(gray=config.gray)):
            raise DataError(
                f"the moments are of {counted(whole.channels, 'channel')}, and {images.label} has"
                f" {len(images.channels_decoded(gray=config.gray))}"
            )
    else:
        found = grouped_moments(
            images,
            PatchSetting.of(config, eps),
            kernel_sizes=sizes,
            halves="auto" in eps,
            device=device,
            jobs=config.jobs,
            kept=kept,
            progress=of_pass(progress, 0, passes),
        )
    if config.whitening != "none":
        warn_if_grey(found.by_size[0].whole)
    moments = [each for each in found.by_size for _ in eps]
    whitenings, choices = [], []
    for member, each in zip(members, moments, strict=True):
        ridge, relative, choice = _terms(member, each)
        whitenings.append(Whitening.of(each.whole, config.whitening, ridge, relative=relative))
        choices.append(choice)
    edges = np.linspace(-REACH, REACH, config.bins + 1)
    # Results of one kernel size share the values before deconvolution.
    maps = [whitening.pixel for whitening in whitenings[:: len(eps)]] + [whitening.output for whitening in whitenings]
    measured = measure_values(
        images,
        maps,
        PatchSetting.of(config, eps),
        edges=edges,
        groups=config.bootstrap,
        largest=max(each.whole.kernel_size for each in found.by_size),
        own=not config.from_moments,
        jobs=config.jobs,
        kept=kept,
        progress=of_pass(progress, passes - 1, passes),
    )
    gathered = measured.gathered
    used = images_used(images, gathered.read, gathered.skipped, gathered.frames, gathered.noise)
    return Series(
        tuple(
            SparsityResult(
                config=member,
                images=used,
                count=measured.counts[i // len(eps)],
                edges=edges,
                before=measured.distributions[i // len(eps)],
                after=measured.distributions[len(sizes) + i],
                fit=whitening.fit,
                device=str(device),
                ridge=choice,
            )
            for i, (member, whitening, choice) in enumerate(zip(members, whitenings, choices, strict=True))
        )
    )


def _terms(config: SparsityConfig, moments: GroupMoments) -> tuple[float, bool, RidgeChoice | None]:
    """Return the ridge for the features that are decorrelated."""
    if config.whitening == "none":
        return 0.0, False, None
    if config.whitening == "channel":
        moments = GroupMoments(tuple(group.at_centre() for group in moments.groups))
    return moments.terms(config.eps, relative=config.relative_eps)


sparsity = short_form(SparsityConfig, run, run_series, counting="images, twice")
