"""Moments of one shard of a source, and what makes them the same wherever they are computed."""

import torch

from ndtools.computing.operators import single_threaded_operators
from ndtools.computing.progress import Progress
from ndtools.data.images.sources import ImageSource
from ndtools.moments.images import ImageMoments, image_moments
from ndtools.moments.origin import Origin, PatchSetting, Shard
from ndtools.numerics.covariance import Covariance
from ndtools.numerics.ridge import tightest_ridge

__all__ = ["shard_moments"]


def shard_moments(
    source: ImageSource,
    setting: PatchSetting,
    shard: Shard,
    *,
    jobs: int | None = None,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> tuple[Covariance, ImageMoments, Origin]:
    """Compute the moments of one shard of a source.

    One thread adds up all images of the shard, in their order, so that neither the number of threads nor the other
    shards have an influence on its roundings.

    Parameters
    ----------
    source : ImageSource
        Source of the images: those that the setting draws.
    setting : PatchSetting
        Settings by which images become moments.
    shard : Shard
        Part of the source.
    jobs : int, optional
        Number of threads that decode. Default: one for each processor.
    device : torch.device or str
        Device that computes. Default: the CPU.
    progress : callable, optional
        Function that is told the number of images done and of all images of the shard.

    Returns
    -------
    (Covariance, ImageMoments, Origin)
        Covariance on the CPU, the images that were used and skipped, and what the covariance comes from.

    Raises
    ------
    NoUsableImageError
        If no image of the shard could be used.
    OptionError
        If the source has fewer images than there are shards.
    """
    eps, relative = tightest_ridge([setting.eps], relative=setting.relative_eps or source.calibrated)
    found = image_moments(
        source.shard(shard.number, shard.of),
        kernel_size=setting.kernel_size,
        method=setting.covariance,
        stride=setting.stride,
        eps=eps,
        relative=relative,
        device=device,
        gray=setting.gray,
        space=setting.space,
        resize=setting.resize,
        jobs=jobs,
        accumulators=1,
        progress=progress,
    )
    with single_threaded_operators():
        covariance = found.moments.finalize().cpu()
    return covariance, found, Origin.of(source.label, source.listing, setting, shard)
