"""Covariances of groups of the images of a source: what is resampled, held out, or used as a whole."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch

from ndtools.computing.progress import Progress
from ndtools.data.images.frames import Frames
from ndtools.data.images.sources import ImageSource, Skipped
from ndtools.errors import DataError, MatrixError, NoUsableImageError
from ndtools.moments.adding import TreeSum
from ndtools.moments.files import iterate_moments
from ndtools.moments.images import image_moments
from ndtools.moments.keeping import KeptImages
from ndtools.moments.origin import Origin, PatchSetting
from ndtools.numerics.covariance import Covariance
from ndtools.numerics.ridge import RidgeChoice, choose_ridge, ridge_terms, tightest_ridge
from ndtools.text import printable
from ndtools.validation import Ridge, Space

__all__ = ["GroupMoments", "GroupedMoments", "grouped_moments", "moments_of_files"]


@dataclass(frozen=True, eq=False)
class GroupMoments:
    """Covariances of the patches of one size in each group of images.

    Attributes
    ----------
    groups : tuple of Covariance
        Covariance of each group, on the CPU.
    together : Covariance, optional
        Covariance of all patches, where it is more than the groups together.
    """

    groups: tuple[Covariance, ...]
    together: Covariance | None = None

    @cached_property
    def whole(self) -> Covariance:
        """Covariance of the patches of all images."""
        if self.together:
            return self.together
        return self.groups[0] if len(self.groups) == 1 else Covariance.pooled(self.groups)

    @cached_property
    def choice(self) -> RidgeChoice:
        """Ridge with which each half of the images predicts the other best; the halves are alternate groups."""
        if len(self.groups) < 2:
            raise DataError(
                "a ridge that is chosen by held-out images needs two images, or files of moments, at least, got one"
            )
        return choose_ridge(Covariance.pooled(self.groups[::2]), Covariance.pooled(self.groups[1::2]))

    def terms(self, eps: Ridge, *, relative: bool = False) -> tuple[float, bool, RidgeChoice | None]:
        """Return a ridge as a number, whether it is relative to the mean variance, and its choice if it is "auto"."""
        if eps == "auto":
            return self.choice.eps, False, self.choice
        return *ridge_terms(eps, relative=relative), None


@dataclass(frozen=True, eq=False)
class GroupedMoments:
    """Covariances of groups of images for several sizes of patches.

    Attributes
    ----------
    by_size : tuple of GroupMoments
        Covariances of the groups for each kernel size.
    images : tuple of int
        Number of images in each group.
    skipped : tuple of Skipped
        Images that were not used, sorted by name.
    frames : tuple of Frames
        Images of several frames, of which the first was used, sorted by name.
    noise : float or None
        Mean variance of the rounding of the files' pixels in [0, 1]; None if it is not known.
    resize : int or None
        Short side in pixels to which the images were resized; None if they were not.
    space : {"srgb", "linear", "xyz", "lms", "log-lms"}
        Colour space of the pixels.
    origin : Origin or None
        Source of moments that were read from files; None for images, and for files of several sources.
    calibrated : bool
        Whether the images are arrays whose values are taken as they are, and need not be in [0, 1]. Default False.
    names : tuple of str
        Names of the channels of moments that were read from files; none if they are not known.
    """

    by_size: tuple[GroupMoments, ...]
    images: tuple[int, ...]
    skipped: tuple[Skipped, ...] = ()
    frames: tuple[Frames, ...] = ()
    noise: float | None = None
    resize: int | None = None
    space: Space = "srgb"
    origin: Origin | None = None
    calibrated: bool = False
    names: tuple[str, ...] = ()

    @property
    def read(self) -> int:
        """Number of images that were used."""
        return sum(self.images)


def grouped_moments(
    source: ImageSource,
    setting: PatchSetting,
    *,
    kernel_sizes: Sequence[int],
    groups: int = 1,
    halves: bool = False,
    device: torch.device | str = "cpu",
    jobs: int | None = None,
    kept: KeptImages | None = None,
    progress: Progress | None = None,
) -> GroupedMoments:
    """Compute the covariances of the patches of groups of images; each image is decoded once.

    Parameters
    ----------
    source : ImageSource
        Source of the images.
    setting : PatchSetting
        Settings of the images and their patches, but for the size of the patches. Its seed is that of the random deal.
    kernel_sizes : sequence of int
        Sides of the patches in pixels.
    groups : int
        Number of groups to which images are dealt at random; with fewer images, each is a group. Default 1.
    halves : bool
        Whether images make two groups at least, for the choice of a ridge. Default False.
    device, jobs, kept
        Settings of :func:`ndtools.moments.images.image_moments`.
    progress : callable, optional
        Function that is told the number of images done and of all images.

    Returns
    -------
    GroupedMoments
        Covariances of the groups that have usable images.

    Raises
    ------
    DataError
        If no image could be used.
    """
    groups = max(groups, 2 if halves else 1)
    eps, relative = tightest_ridge([setting.eps], relative=setting.relative_eps)
    parts: list[list[Covariance]] = [[] for _ in kernel_sizes]
    images, skipped, frames, before, noise = list[int](), list[Skipped](), list[Frames](), 0, 0.0
    failure: NoUsableImageError | None = None
    for group in source.parts(groups, setting.seed) if groups > 1 and len(source) else (source,):

        def report(done: int, _: int, before: int = before) -> None:
            if progress:
                progress(before + done, source.total or 0)

        try:
            found = image_moments(
                group,
                kernel_size=kernel_sizes,
                method=setting.covariance,
                stride=setting.stride,
                eps=eps,
                relative=relative,
                device=device,
                gray=setting.gray,
                resize=setting.resize,
                space=setting.space,
                jobs=jobs,
                kept=kept,
                progress=report,
            )
            for part, moments in zip(parts, found.by_size, strict=True):
                part.append(moments.finalize().cpu())
            images.append(found.read)
            noise += found.read * found.noise
            skipped += found.skipped
            frames += found.frames
        except NoUsableImageError as error:
            skipped += error.skipped
            failure = failure or error
        before += group.total or 0
    if kept:
        kept.finish()
    if failure and not images:
        raise failure
    return GroupedMoments(
        tuple(GroupMoments(tuple(part)) for part in parts),
        tuple(images),
        tuple(sorted(skipped, key=lambda s: s.name)),
        tuple(sorted(frames, key=lambda f: f.name)),
        noise / sum(images),
        setting.resize,
        setting.space,
        calibrated=source.calibrated,
    )


def moments_of_files(
    paths: Sequence[str], *, resampled: bool = False, halves: bool = False, odd: bool = True
) -> GroupedMoments:
    """Read files of moments, and add up those that need not be kept apart: only their sums are in memory then.

    Parameters
    ----------
    paths : sequence of str
        Paths of one or more .npz files.
    resampled : bool
        Whether each file is a group of images of its own, for a bootstrap. Default False.
    halves : bool
        Whether the files make two groups at least, for the choice of a ridge. Default False.
    odd : bool
        Whether patches must be square with a centre pixel, as kernels are. Default True.

    Returns
    -------
    GroupedMoments
        Moments of the patches of the one size that the files have. The order of files of shards has no influence.

    Raises
    ------
    DataError
        If a file cannot be read or is not a file of moments, or if a shard is missing.
    MatrixError
        If moments do not fit one another, or are not those of square patches with a centre pixel.
    """
    kept = len(paths) if resampled else 2 if halves else 1
    groups: list[TreeSum] = []
    sizes: list[int] = []
    noise: float | None = 0.0
    origins = set[Origin | None]()
    names: tuple[str, ...] = ()
    for i, moments in enumerate(iterate_moments(paths)):
        if not groups:
            resize, space, calibrated = moments.resize, moments.space, moments.calibrated  # all files agree in them
            ky, kx = moments.covariance.kernel_size
            if odd and (ky != kx or ky % 2 == 0):
                message = f"{printable(paths[0])} is of {ky}×{kx} patches, where a side that is odd is wanted"
                raise MatrixError(f"{message}: kernels are square about a centre pixel")
        if i < kept:
            groups.append(TreeSum())
            sizes.append(0)
        groups[i % kept].add(i // kept, moments.covariance)
        sizes[i % kept] += moments.images
        noise = None if noise is None or moments.noise is None else noise + moments.images * moments.noise
        names = names or moments.names
        origins.add(moments.origin and replace(moments.origin, shard=None))
    return GroupedMoments(
        (GroupMoments(tuple(group.total() for group in groups)),),
        tuple(sizes),
        noise=None if noise is None else noise / sum(sizes),
        resize=resize,
        space=space,
        origin=origins.pop() if len(origins) == 1 else None,
        calibrated=calibrated,
        names=names,
    )
