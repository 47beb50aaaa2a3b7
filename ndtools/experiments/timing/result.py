"""Times of the stages of deconvolution layers: the result of ``ndtools timing``, live or read back from its files."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ndtools.drawing.shown import ShownResult
from ndtools.experiments.timing.config import TimingConfig
from ndtools.experiments.timing.table import PUBLISHED_BATCH_SIZE, TABLE_3, TimedLayer
from ndtools.layers.config import DeconvConfig
from ndtools.results.read import SavedResult
from ndtools.text import counted, shortened

__all__ = ["ARMS", "LAYER", "LeftOut", "RowTiming", "Seconds", "TimingResult"]

LAYER = DeconvConfig()  # settings of the layers that are timed
ARMS = ("published", "measured", "ours")
SUMMED = ("im2col", "covariance", "inverse")
Seconds = dict[str, NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class RowTiming:
    """Seconds of one row, by stage.

    Attributes
    ----------
    layer : TimedLayer
        The row, with what was published.
    scale : float
        128/N: how many batches of N images are a published one.
    measured : dict of str to array of shape (repeats,)
        Times of the arithmetic of the published code: "im2col", "covariance", "inverse", "fold", "convolution".
    ours : dict of str to array of shape (repeats,)
        Times of the layer of this project: the same stages, and "statistics", which is the first three together as
        the layer computes them. The convolution is the same one.
    """

    layer: TimedLayer
    scale: float
    measured: Seconds
    ours: Seconds

    def seconds(self, arm: str) -> dict[str, float]:
        """Return the median seconds of the stages.

        Parameters
        ----------
        arm : {"published", "measured", "ours"}
            Published times, times of the published arithmetic here, or times of the layer of this project.

        Returns
        -------
        dict
            Seconds, or shares, by stage.
        """
        if arm == "published":
            return {name: getattr(self.layer, name) for name in (*SUMMED, "convolution")}
        samples = self.measured if arm == "measured" else self.ours
        return {name: float(np.median(values)) for name, values in samples.items()}

    def shares(self, arm: str, *, as_measured: bool = False) -> dict[str, float]:
        """Return the times of the stages in units of the convolution's, and "total" of those that were published.

        Parameters
        ----------
        arm : {"published", "measured", "ours"}
            Published times, times of the published arithmetic here, or times of the layer of this project.
        as_measured : bool
            Whether of the convolution of the images that were timed. By default of that of 128 images: "inverse" and
            "fold" cost the same for any number, the convolution of 128 is taken as ``scale`` times that of N.

        Returns
        -------
        dict
            Seconds, or shares, by stage.
        """
        seconds = self.seconds(arm)
        convolution = seconds.pop("convolution")
        seconds.pop("statistics", None)
        more = 1.0 if arm == "published" or as_measured else self.scale
        shares = {
            name: value / (convolution * (more if name in ("inverse", "fold") else 1))
            for name, value in seconds.items()
        }
        return shares | {"total": sum(shares[name] for name in SUMMED)}

    def numbers(self) -> dict[str, Any]:
        """Return the numbers of the .json file by key."""
        layer = self.layer
        return {
            "id": layer.id,
            "H": layer.size,
            "in_channels": layer.in_channels,
            "out_channels": layer.out_channels,
            "groups": layer.groups,
            "block_size": layer.block_size,
            "kernel_size": layer.kernel_size,
            "sampling_stride": layer.sampling_stride,
            **{arm: self.seconds(arm) for arm in ARMS},
            "range": {
                arm: {name: [float(values.min()), float(values.max())] for name, values in samples.items()}
                for arm, samples in (("measured", self.measured), ("ours", self.ours))
            },
            "shares": {arm: self.shares(arm) for arm in ARMS},
            "shares_as_measured": {arm: self.shares(arm, as_measured=True) for arm in ARMS[1:]},
        }


@dataclass(frozen=True)
class LeftOut:
    """A row that was not timed.

    Attributes
    ----------
    id : str
        Name of the row, such as "T3-16".
    reason : str
        Reason why it was left out.
    """

    id: str
    reason: str

    @property
    def number(self) -> int:
        """Which row of the table."""
        return int(self.id.removeprefix("T3-"))


@dataclass(frozen=True, eq=False, repr=False)
class TimingResult(ShownResult):
    """Times of the stages of deconvolution layers.

    Attributes
    ----------
    config : TimingConfig
        Configuration of this run.
    rows : tuple of RowTiming
        In the order of the table.
    left_out : tuple of LeftOut
        Rows for which the memory is too small.
    device : str
        Device on which the layers were timed.
    processor : str
        Its name, as far as the system tells.
    threads : int
        Number of threads of torch's operators.
    torch : str
        Version of torch that was timed.
    """

    config: TimingConfig
    rows: tuple[RowTiming, ...]
    left_out: tuple[LeftOut, ...]
    device: str
    processor: str
    threads: int
    torch: str

    source: ClassVar[str] = "random images"

    def summary(self) -> Sequence[str]:
        """Return lines that say what the result comes from, and its main numbers."""
        sums = {arm: float(np.median([row.shares(arm)["total"] for row in self.rows])) for arm in ARMS}
        return (
            f"{counted(len(self.rows), 'row')} of table 3 · batches of {self.config.batch_size} · {self.device}, "
            f"{shortened(self.processor)}, {counted(self.threads, 'thread')}",
            "im2col, covariance and inverse in units of the convolution, median of the rows: "
            + " · ".join(f"{arm} {total:.3g}" for arm, total in sums.items()),
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays of the .npz file by name."""
        arrays: dict[str, NDArray[Any]] = {"rows": np.array([row.layer.number for row in self.rows])}
        arrays["published"] = np.array([list(row.seconds("published").values()) for row in self.rows])
        for arm in ("measured", "ours"):
            samples: list[Seconds] = [getattr(row, arm) for row in self.rows]
            arrays[f"{arm}_stages"] = np.array(list(samples[0]))
            arrays[arm] = np.array([list(each.values()) for each in samples])
        return arrays

    def numbers(self) -> dict[str, Any]:
        """Return the numbers of the .json file by key."""
        return {
            "batch_size": self.config.batch_size,
            "published_batch_size": PUBLISHED_BATCH_SIZE,
            "repeats": self.config.repeats,
            "backward": self.config.backward,
            "dtype": "float32",
            "n_iter": LAYER.n_iter,
            "eps": LAYER.eps,
            "environment": {
                "processor": self.processor,
                "threads": self.threads,
                "torch": self.torch,
            },
            "rows": [row.numbers() for row in self.rows],
            "left_out": [{"id": row.id, "reason": row.reason} for row in self.left_out],
        }

    @classmethod
    def from_saved(cls, saved: SavedResult) -> "TimingResult":
        """Restore the result from its files; DataError if they are not those of a whole result of this command."""
        with saved.restoring("timing"):
            config = saved.configuration(TimingConfig)
            environment = saved.numbers["environment"]
            samples = {arm: _saved_samples(saved.arrays[f"{arm}_stages"], saved.arrays[arm]) for arm in ARMS[1:]}
            rows = zip(saved.arrays["rows"].tolist(), samples["measured"], samples["ours"], strict=True)
            return cls(
                config=config,
                rows=tuple(
                    RowTiming(TABLE_3[number - 1], PUBLISHED_BATCH_SIZE / config.batch_size, measured, ours)
                    for number, measured, ours in rows
                ),
                left_out=tuple(LeftOut(row["id"], row["reason"]) for row in saved.numbers["left_out"]),
                device=saved.device,
                processor=environment["processor"],
                threads=environment["threads"],
                torch=environment["torch"],
            )


def _saved_samples(stages: NDArray[Any], samples: NDArray[np.float64]) -> list[Seconds]:
    """Return for each row the seconds of its repeats by stage; ``samples`` has shape (rows, stages, repeats)."""
    return [dict(zip(stages.tolist(), row, strict=True)) for row in samples]
