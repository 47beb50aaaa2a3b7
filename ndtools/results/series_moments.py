"""Moments of patches for all members of a series: of the images of a source, or added up from files."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import torch

from ndtools.computing.operators import resolve_device
from ndtools.computing.progress import Progress
from ndtools.data.images.layouts import MomentsSettings
from ndtools.data.images.sources import resolve_source
from ndtools.errors import MatrixError
from ndtools.moments.files import check_space_of_files
from ndtools.moments.grey import warn_if_grey
from ndtools.moments.groups import GroupMoments, grouped_moments, moments_of_files
from ndtools.moments.origin import Origin, PatchSetting
from ndtools.results.inputs import ImagesUsed, images_used
from ndtools.text import printable
from ndtools.validation import Ridge

__all__ = ["SeriesMoments", "series_moments"]

C = TypeVar("C", bound=MomentsSettings)


@dataclass(frozen=True, eq=False)
class SeriesMoments(Generic[C]):
    """Moments of patches for the members of a series.

    Attributes
    ----------
    members : tuple of (configuration, GroupMoments)
        Configuration of each member, as it applies to the images, and its moments.
    groups : tuple of int
        Number of images in each group.
    images : ImagesUsed
        Images that the moments come from.
    origin : Origin or None
        Source of the moments; None for files of several sources.
    device : torch.device
        Device that computes.
    """

    members: tuple[tuple[C, GroupMoments], ...]
    groups: tuple[int, ...]
    images: ImagesUsed
    origin: Origin | None
    device: torch.device


def series_moments(
    sizes: Sequence[int],
    ridges: Sequence[Ridge],
    members: tuple[C, ...],
    *,
    groups: int = 1,
    odd: bool = True,
    progress: Progress | None = None,
) -> SeriesMoments[C]:
    """Compute the moments for all members of a series, or read them from files; each image is decoded once.

    Parameters
    ----------
    sizes, ridges, members
        Return value of :func:`ndtools.results.series.configurations`.
    groups : int
        Number of groups to which images are dealt at random. With several, each file is a group. Default 1.
    odd : bool
        Whether patches must have a centre pixel. Default True.
    progress : callable, optional
        Function that is told the number of images done and of all images.

    Returns
    -------
    SeriesMoments
        Moments on the CPU.

    Raises
    ------
    DataError
        If nothing could be used, or a file is no file of moments.
    MatrixError
        If moments do not fit one another, or are not those of square patches.

    Warns
    -----
    NumericalWarning
        If colour images are grey, have several frames, or are named more than once.
    """
    config, device = members[0], resolve_device(members[0].device)
    if config.from_moments:
        found = moments_of_files(config.from_moments, resampled=groups > 1, halves="auto" in ridges, odd=odd)
        check_space_of_files(config.space, found.space)
        whole = found.by_size[0].whole
        k, gray = whole.kernel_size[0], whole.channels == 1
        if k != whole.kernel_size[1]:
            raise MatrixError(f"{printable(config.from_moments[0])} is not of square patches, got {whole!r}")
        read: dict[str, Any] = {"kernel_size": k, "gray": gray, "resize": found.resize, "space": found.space}
        members = tuple(
            replace(member, **read).of_moments(found.names, calibrated=found.calibrated) for member in members
        )
        label = ", ".join(map(printable, config.from_moments))
        used = ImagesUsed(label, found.read, noise=found.noise, calibrated=found.calibrated)
        origin = found.origin
    else:
        images = resolve_source(config.source, layout=config.layout, progress=progress)
        images = images.subset(config.images, config.seed)
        members = tuple(member.applied_to(images) for member in members)
        setting = PatchSetting.of(members[0], ridges)
        found = grouped_moments(
            images,
            setting,
            kernel_sizes=sizes,
            groups=groups,
            halves="auto" in ridges,
            device=device,
            jobs=config.jobs,
            progress=progress,
        )
        used = images_used(images, found.read, found.skipped, found.frames, found.noise)
        origin = Origin.of(images.label, images.listing, setting)
    moments = [each for each in found.by_size for _ in ridges]
    warn_if_grey(moments[0].whole, stacklevel=3)
    return SeriesMoments(tuple(zip(members, moments, strict=True)), found.images, used, origin, device)
