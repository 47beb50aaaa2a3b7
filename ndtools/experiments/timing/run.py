"""What each stage of a deconvolution layer costs beside its convolution (Ye et al. 2020, table 3)."""

import platform
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ndtools.computing.operators import available_memory, operator_threads, resolve_device, seconds_at
from ndtools.errors import NumericalWarning, OptionError
from ndtools.experiments.timing.config import TimingConfig
from ndtools.experiments.timing.stages import Stage, memory_needed, our_stages, published_stages
from ndtools.experiments.timing.table import PUBLISHED_BATCH_SIZE, TABLE_3, TimedLayer
from ndtools.layers.config import DeconvConfig
from ndtools.moments.images import Progress

__all__ = ["LeftOut", "RowTiming", "TimingConfig", "TimingResult", "run"]

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
        Of the published code's arithmetic: "im2col", "covariance", "inverse", "fold", "convolution".
    ours : dict of str to array of shape (repeats,)
        Of this project's layer: the same, and "statistics", which is the first three as the layer does them. The
        convolution is the same one.
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
            Whose.

        Returns
        -------
        dict
            By stage.
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
            Whose.
        as_measured : bool
            Whether of the convolution of the images that were timed. By default of that of 128 images: "inverse" and
            "fold" cost the same for any number, the convolution of 128 is taken as ``scale`` times that of N.

        Returns
        -------
        dict
            By stage.
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
        Which.
    reason : str
        Why.
    """

    id: str
    reason: str

    @property
    def number(self) -> int:
        """Which row of the table."""
        return int(self.id.removeprefix("T3-"))


@dataclass(frozen=True, eq=False)
class TimingResult:
    """Times of the stages of deconvolution layers.

    Attributes
    ----------
    config : TimingConfig
        What was asked for.
    rows : tuple of RowTiming
        In the order of the table.
    left_out : tuple of LeftOut
        Rows for which the memory is too small.
    device : str
        Where they were timed.
    processor : str
        Its name, as far as the system tells.
    threads : int
        Of torch's operators.
    """

    config: TimingConfig
    rows: tuple[RowTiming, ...]
    left_out: tuple[LeftOut, ...]
    device: str
    processor: str
    threads: int

    source: ClassVar[str] = "random images"

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
            "n_iter": _DECONV.n_iter,
            "eps": _DECONV.eps,
            "environment": {
                "processor": self.processor,
                "threads": self.threads,
                "torch": str(torch.__version__),
            },
            "rows": [row.numbers() for row in self.rows],
            "left_out": [{"id": row.id, "reason": row.reason} for row in self.left_out],
        }


def run(config: TimingConfig, *, progress: Progress | None = None) -> TimingResult:
    """Time the stages of each row, one after the other in each repeat, after a round that does not count.

    Parameters
    ----------
    config : TimingConfig
        What to do.
    progress : callable, optional
        Told how many of how many rows are done.

    Returns
    -------
    TimingResult
        Seconds.

    Raises
    ------
    OptionError
        If there is no such device, or not one of the rows fits into its memory.
    """
    device = resolve_device(config.device)
    rows, left_out = [], []
    with operator_threads(config.jobs):
        for done, number in enumerate(config.rows):
            if progress:
                progress(done, len(config.rows))
            layer = TABLE_3[number - 1]
            reason = _too_large(layer, config, device)
            if reason:
                left_out.append(LeftOut(layer.id, reason))
            else:
                rows.append(_row(layer, config, device))
        threads = torch.get_num_threads()
    if not rows:
        row = left_out[0]
        raise OptionError("batch_size", f"is too large: row {row.number} {row.reason}; take a smaller one")
    return TimingResult(
        config=config,
        rows=tuple(rows),
        left_out=tuple(left_out),
        device=str(device),
        processor=_processor(device),
        threads=threads,
    )


_DECONV = DeconvConfig()


def _too_large(layer: TimedLayer, config: TimingConfig, device: torch.device) -> str | None:
    needed = memory_needed(layer, config.batch_size, backward=config.backward)
    available = available_memory(device)
    if available is None or needed <= available:
        return None
    return f"needs about {needed / 1e9:.1f} GB for batches of {config.batch_size}, of {available / 1e9:.1f} GB free"


def _row(layer: TimedLayer, config: TimingConfig, device: torch.device) -> RowTiming:
    generator = torch.Generator().manual_seed(config.seed)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(device)

    c, o, k = layer.in_channels, layer.out_channels, layer.kernel_size
    x = random(config.batch_size, c, layer.size, layer.size)
    weight, bias = random(o, c, k, k) / (c * k * k) ** 0.5, random(o)
    with warnings.catch_warnings():
        # The statistics of a small batch are poor, and nobody uses them.
        warnings.simplefilter("ignore", NumericalWarning)
        measured = published_stages(layer, x, weight, bias, _DECONV)
        ours = our_stages(layer, x, weight, bias, _DECONV)
        stages = {("measured", name): stage for name, stage in measured.items()}
        stages |= {("ours", name): stage for name, stage in ours.items() if name != "convolution"}
        samples: dict[tuple[str, str], list[float]] = {key: [] for key in stages}
        for repeat in range(config.repeats + 1):
            for key, stage in stages.items():
                seconds = _seconds(stage, device, backward=config.backward)
                if repeat > 0:  # the first warms up
                    samples[key].append(seconds)
    samples["ours", "convolution"] = samples["measured", "convolution"]
    arms: dict[str, Seconds] = {
        arm: {name: np.array(values) for (whose, name), values in samples.items() if whose == arm} for arm in ARMS[1:]
    }
    return RowTiming(layer=layer, scale=PUBLISHED_BATCH_SIZE / config.batch_size, **arms)


def _seconds(stage: Stage, device: torch.device, *, backward: bool) -> float:
    if not backward:
        with torch.no_grad():
            start = seconds_at(device)
            outputs = stage.outputs()
            return seconds_at(device) - start
    inputs = tuple(each.detach().requires_grad_() for each in stage.inputs)
    start = seconds_at(device)
    outputs = stage.function(*inputs)
    forward = seconds_at(device) - start
    gradients = [torch.ones_like(each) for each in outputs]
    start = seconds_at(device)
    torch.autograd.grad(outputs, inputs, gradients)
    return forward + seconds_at(device) - start


def _processor(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
