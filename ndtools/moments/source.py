"""Moments of a whole source, computed in shards on any executor: ``nd.moments``."""

import json
import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ndtools.computing.operators import single_threaded_operators
from ndtools.computing.progress import Progress
from ndtools.data.images.frames import Frames, warn_of_frames
from ndtools.data.images.sources import ImageSource, Skipped, resolve_source
from ndtools.data.images.storage import current_options
from ndtools.data.images.storage import storage_options as using
from ndtools.errors import DataError, NdtoolsError, NoUsableImageError, OptionError
from ndtools.moments.adding import TreeSum
from ndtools.moments.executors import AnyExecutor, LostTaskError, completed
from ndtools.moments.files import Moments
from ndtools.moments.origin import Origin, PatchSetting, Shard
from ndtools.moments.sharded import shard_moments
from ndtools.numerics.covariance import Covariance
from ndtools.numerics.patches import Sizes
from ndtools.text import printable
from ndtools.validation import Ridge, Space, check_count

__all__ = ["ShardResult", "ShardTask", "compute_shard", "moments"]

MOST_SHARDS = 32  # by default
ATTEMPTS = 3  # times that a shard is begun


@dataclass(frozen=True)
class ShardTask:
    """All that a worker needs to know to compute any of the shards of a source.

    Attributes
    ----------
    source : str
        Source of images, which the worker lists by itself.
    setting : PatchSetting
        Settings by which images become moments.
    of : int
        Number of shards.
    listing : str
        Digest of the names of the images, which must be the same in all workers.
    jobs : int or None
        Number of threads of a worker.
    storage : str
        Options of the storage of an address, as JSON. They are not shown.
    """

    source: str
    setting: PatchSetting
    of: int
    listing: str
    jobs: int | None
    storage: str = field(default="{}", repr=False)


@dataclass(frozen=True, eq=False)
class ShardResult:
    """Moments of one shard as a worker returns them, in NumPy's arrays.

    A tensor would go through memory that processes share, which is lost with the worker.

    Attributes
    ----------
    matrix, mean : array or None
        Covariance and mean of the patches; None if no image of the shard could be used.
    count, channels, kernel_size, rounding
        Fields of :class:`ndtools.Covariance`.
    read : int
        Number of images that were used.
    noise : float
        Mean variance of the rounding of their pixels.
    skipped : tuple of Skipped
        Images that were not used.
    frames : tuple of Frames
        Images of several frames.
    """

    matrix: NDArray[np.float64] | None
    mean: NDArray[np.float64] | None
    count: int = 0
    channels: int = 0
    kernel_size: Sizes = (0, 0)
    rounding: float = 0.0
    read: int = 0
    noise: float = 0.0
    skipped: tuple[Skipped, ...] = field(default=(), repr=False)
    frames: tuple[Frames, ...] = field(default=(), repr=False)

    def covariance(self) -> Covariance | None:
        """Return the covariance of the patches; None if there are none."""
        if self.matrix is None or self.mean is None:
            return None
        mean, matrix = torch.from_numpy(self.mean), torch.from_numpy(self.matrix)
        return Covariance(mean, matrix, self.count, self.channels, self.kernel_size, self.rounding)


def compute_shard(task: ShardTask, number: int, attempt: int = 0) -> ShardResult:
    """Compute the moments of one shard, in any process.

    Parameters
    ----------
    task : ShardTask
        Source and settings.
    number : int
        Number of the shard, from 0.
    attempt : int
        Number of times that the shard was begun before. It has no influence on the result, and tells executors that
        keep the results of equal calls that this is another one.

    Returns
    -------
    ShardResult
        Moments of the shard, and the images that were left out.

    Raises
    ------
    DataError
        If the source holds other images than when the work was divided.
    """
    images = _listed(task)
    try:
        covariance, found, _ = shard_moments(images, task.setting, Shard(number + 1, task.of), jobs=task.jobs)
    except NoUsableImageError as error:
        return ShardResult(None, None, skipped=error.skipped)
    return ShardResult(
        covariance.matrix.numpy(),
        covariance.mean.numpy(),
        covariance.count,
        covariance.channels,
        covariance.kernel_size,
        covariance.rounding,
        found.read,
        found.noise,
        found.skipped,
        found.frames,
    )


_lists: dict[ShardTask, ImageSource] = {}  # the last source that this process listed: it has several shards to compute


def _listed(task: ShardTask) -> ImageSource:
    images = _lists.get(task)
    if images is None:
        with using(json.loads(task.storage)):
            images = resolve_source(task.source, layout=task.setting.layout)
            images = images.subset(task.setting.images, task.setting.seed)
        if images.listing != task.listing:
            raise DataError(
                f"'{printable(task.source)}' holds other images here than where the work was divided: name a source"
                " that all workers see alike, and change nothing in it meanwhile"
            )
        _lists.clear()
        _lists[task] = images
    return images


def moments(
    source: str | os.PathLike[str] = "sample",
    *,
    kernel_size: int = 15,
    executor: AnyExecutor | None = None,
    shards: int | None = None,
    images: int | None = None,
    seed: int = 0,
    gray: bool = False,
    space: Space = "srgb",
    resize: int | None = None,
    covariance: Literal["exact", "im2col"] = "exact",
    stride: int = 1,
    eps: Ridge = 1e-3,
    relative_eps: bool = False,
    key: str | None = None,
    axes: str | None = None,
    raw: str | None = None,
    channels: Sequence[str] = (),
    jobs: int | None = None,
    attempts: int = ATTEMPTS,
    storage_options: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Moments:
    """Compute the mean and the covariance of the patches of an image source, on this machine or on many.

    The images are divided into shards in a fixed way. One thread adds up the images of a shard, in order, and shards
    are added in a tree of their numbers. The result therefore depends on the source and on the number of shards, and
    neither on the executor, its workers and their number, nor on the order in which shards are done: it is the same to
    the bit, on processors of one kind. The files that ``ndtools kernels --shard I/N`` writes add up to the same.

    Parameters
    ----------
    source : str or path-like
        Source of images; see :func:`ndtools.data.images.sources.resolve_source`. Each worker lists it by itself, and
        must find the same images.
    kernel_size : int
        Side of the patches in pixels. Default 15.
    executor : concurrent.futures.Executor, or function that returns one, optional
        Executor that computes the shards: of processes, of threads, or of a cluster, such as
        ``dask.distributed.Client(...).get_executor()``. Processes must not be forked: torch may hang in them. By
        default shards are computed here, one after another.
    shards : int, optional
        Number of shards. Default: 32, or one for each tar archive or image if there are fewer of them.
    images : int, optional
        Number of images to draw at random from the source. By default all are used.
    seed : int
        Seed of that draw. Default 0.
    gray : bool
        Whether to reduce images to luma. Default False.
    space : {"srgb", "linear", "xyz", "lms", "log-lms"}
        Colour space of the pixels, as in :class:`ndtools.KernelsConfig`. Default "srgb".
    resize : int, optional
        Short side in pixels to which images are resized. By default they are not resized.
    covariance : {"exact", "im2col"}
        Method of the covariance, as in :class:`ndtools.KernelsConfig`. Default "exact".
    stride : int
        Step between patch positions in pixels ("im2col" only). Default 1.
    eps : float, "paper" or "auto"
        Ridge that will be added to the covariance, on which the precision depends. Default 1e-3.
    relative_eps : bool
        Whether a number ``eps`` is in units of the mean variance of a pixel. Default False, except for arrays.
    key, axes, raw : str, optional
        Name, axes and type of the arrays in files, as in :class:`ndtools.KernelsConfig`.
    channels : sequence of str
        Names of the channels of arrays, which files of moments hold. Default: "gray", "R", "G", "B", or numbers.
    jobs : int, optional
        Number of threads that decode images, in each worker. Default: one with an executor, and one for each processor
        without.
    attempts : int
        Number of times that a shard is begun at most, where its worker is killed or lost. Default 3.
    storage_options : mapping, optional
        Options of the storage of an address, as :func:`ndtools.storage_options` takes them; workers get them, too.
        Default: those that hold now.
    progress : callable, optional
        Function that is told the number of shards done and of all shards.

    Returns
    -------
    Moments
        Covariance, number of images, and those that were skipped. Its ``save`` writes a file of moments.

    Raises
    ------
    DataError
        If the source cannot be read, or no image could be used.
    OptionError
        If a setting is out of range, there are more shards than images, or the source is a list on standard input,
        which workers cannot read.
    NdtoolsError
        If a shard was not finished, because its worker was lost each time, or because the executor is broken.

    Examples
    --------
    >>> import ndtools as nd
    >>> found = nd.moments("sample", kernel_size=3, shards=5)
    >>> found.images, found.covariance.channels
    (25, 3)
    """
    name = os.fspath(source)
    setting = PatchSetting(
        kernel_size,
        gray,
        space,
        resize,
        images,
        seed,
        covariance,
        stride,
        eps,
        relative_eps,
        key,
        axes,
        raw,
        tuple(channels),
    )
    check_count("attempts", attempts)
    if name == "-":
        raise OptionError(
            "source", "must be one that every worker can list: write the paths into a file, and give @FILE"
        )
    with using(storage_options):
        options = json.dumps(current_options(), sort_keys=True)
        listed = resolve_source(name, layout=setting.layout).subset(images, seed)
    of = listed.shards(MOST_SHARDS) if shards is None else shards
    check_count("shards", of)
    listed.shard(1, of)  # an error if there are more shards than images
    if executor is not None and jobs is None:
        jobs = 1
    task = ShardTask(name, setting, of, listed.listing, jobs, options)
    tree, results = TreeSum(), dict[int, ShardResult]()
    _lists.clear()
    _lists[task] = listed
    try:
        # In executors of threads, each of several shards would set the number of threads back to that of another.
        with single_threaded_operators(), closing(_results(executor, task, attempts)) as done:
            for number, result in done:
                tree.add(number, result.covariance())
                results[number] = result
                if progress:
                    progress(len(results), of)
    except LostTaskError as error:
        raise NdtoolsError(
            f"shard {error.number + 1}/{of} of {listed.label} was not finished: its worker was lost"
            f" {error.attempts} times ({error.why}); it may lack memory: take more shards, or fewer workers"
        ) from error
    finally:
        _lists.clear()
    found = _together(tree, [results[number] for number in range(of)], listed, setting)
    warn_of_frames(found.frames)
    return found


def _results(
    executor: AnyExecutor | None, task: ShardTask, attempts: int
) -> Generator[tuple[int, ShardResult], None, None]:
    if executor is not None:
        return completed(executor, compute_shard, task, range(task.of), attempts=attempts)
    return ((number, compute_shard(task, number)) for number in range(task.of))


def _together(tree: TreeSum, results: list[ShardResult], source: ImageSource, setting: PatchSetting) -> Moments:
    skipped = tuple(sorted((s for result in results for s in result.skipped), key=lambda s: s.name))
    read = sum(result.read for result in results)
    if not read:
        first = skipped[0].in_words(source.label) if skipped else "it is empty"
        raise NoUsableImageError(f"no image of {source.label} can be used ({len(skipped)} tried; {first})", skipped)
    return Moments(
        tree.total(),
        read,
        setting.resize,
        setting.space,
        sum(result.read * result.noise for result in results) / read,
        Origin.of(source.label, source.listing, setting),
        skipped,
        tuple(sorted((f for result in results for f in result.frames), key=lambda f: f.name)),
        calibrated=source.calibrated,
        names=source.channels_decoded(gray=setting.gray, space=setting.space),
    )
