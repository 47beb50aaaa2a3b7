"""Mean, standard deviation and covariance of the channels of a set of images."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from ndtools.computing.progress import Progress, of_pass
from ndtools.console.short_form import short_form
from ndtools.data.images.conversion import in_colour_space
from ndtools.data.images.reading import Decoded
from ndtools.data.images.sources import ImageSource
from ndtools.experiments.stats.config import StatsConfig
from ndtools.experiments.stats.inputs import LabelledImages, resolve
from ndtools.experiments.stats.result import Sizes, SplitUsed, StatsResult
from ndtools.moments.gathering import gather
from ndtools.numerics.channel_statistics import ChannelSums
from ndtools.numerics.colour import reach_of
from ndtools.results.inputs import ImagesUsed, images_used

__all__ = ["run", "stats"]

TOGETHER = 1000  # images of a data set that are added at a time
WORKING = 8  # bytes for each pixel of an image that adding it takes
NOISE = 1 / 255**2 / 12  # variance of rounding to 8 bits


@dataclass
class _Sums:
    channels: ChannelSums
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)


def run(config: StatsConfig, *, progress: Progress | None = None) -> StatsResult:
    """Measure the statistics of the channels of images, each of which is decoded once and not kept.

    Parameters
    ----------
    config : StatsConfig
        Configuration of the run.
    progress : callable, optional
        Told how many of how many images are done.

    Returns
    -------
    StatsResult
        Statistics over all pixels and image by image.

    Raises
    ------
    DataError
        If nothing could be used.
    OptionError
        If settings do not fit the images that ``config.source`` names.

    Warns
    -----
    NumericalWarning
        If images have several frames, or are named more than once.
    """
    StatsConfig.check_type(config)
    found = resolve(config)
    if isinstance(found, LabelledImages):
        return _of_labelled(config, found, progress)
    return _of_source(config, found, progress)


stats = short_form(StatsConfig, run, counting="images")


def _of_source(config: StatsConfig, images: ImageSource, progress: Progress | None) -> StatsResult:
    config = config.applied_to(images)
    channels = len(images.channels_decoded(gray=config.gray))
    passes = 2 if images.calibrated else 1
    reach = _reach(config, images, of_pass(progress, 0, passes)) if images.calibrated else reach_of(config.space)

    def new() -> _Sums:
        return _Sums(ChannelSums(channels, reach))

    gathered = gather(
        images,
        new,
        _add,
        gray=config.gray,
        resize=config.resize,
        space=config.space,
        jobs=config.jobs,
        working=WORKING,
        progress=of_pass(progress, passes - 1, passes),
    )
    total, *others = gathered.parts
    for part in others:
        total.channels.merge(part.channels)
        total.sizes.update(part.sizes)
    used = images_used(images, gathered.read, gathered.skipped, gathered.frames, gathered.noise)
    return _result(config, total, used, None)


def _reach(config: StatsConfig, images: ImageSource, progress: Progress | None) -> tuple[float, float]:
    """Return the smallest and the largest value of arrays, which are not in [0, 1], in a pass of its own."""

    def add(ends: list[float], image: Decoded) -> None:
        ends[:] = min(ends[0], float(image.pixels.min())), max(ends[1], float(image.pixels.max()))

    gathered = gather(
        images,
        lambda: [np.inf, -np.inf],
        add,
        gray=config.gray,
        resize=config.resize,
        jobs=config.jobs,
        working=WORKING,
        progress=progress,
    )
    low, high = min(ends[0] for ends in gathered.parts), max(ends[1] for ends in gathered.parts)
    return (low, high) if low < high else (low, low + max(1.0, abs(low)))  # 1 would be lost in a large value's rounding


def _add(sums: _Sums, image: Decoded) -> None:
    sums.channels.update(image.pixels[None])
    sums.sizes[image.pixels.shape[1:]] += 1


def _of_labelled(config: StatsConfig, labelled: LabelledImages, progress: Progress | None) -> StatsResult:
    dataset, pixels = labelled.dataset, labelled.pixels
    gray = config.gray or pixels.shape[1] == 1
    sums = _Sums(ChannelSums(1 if gray else pixels.shape[1], reach_of(config.space)))
    for start in range(0, len(pixels), TOGETHER):
        part = pixels[start : start + TOGETHER].numpy()
        sums.channels.update(in_colour_space(part, config.space, gray=gray))
        if progress:
            progress(min(start + TOGETHER, len(pixels)), len(pixels))
    sums.sizes[int(pixels.shape[2]), int(pixels.shape[3])] = len(pixels)
    used = ImagesUsed(dataset.name, len(pixels), noise=NOISE)
    return _result(config, sums, used, SplitUsed(dataset.name, config.split, dataset.synthetic, dataset.location))


def _result(config: StatsConfig, sums: _Sums, used: ImagesUsed, split: SplitUsed | None) -> StatsResult:
    statistics = sums.channels.finish()
    return StatsResult(
        config=config,
        images=used,
        split=split,
        names=config.names_of(len(statistics.mean)),
        sizes=Sizes.of(sums.sizes),
        statistics=statistics,
        device="cpu",
    )
