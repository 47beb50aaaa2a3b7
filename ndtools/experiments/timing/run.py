"""What each stage of a deconvolution layer costs beside its convolution (Ye et al. 2020, table 3)."""

import warnings

import numpy as np
import torch
from torch import Tensor

from ndtools.computing.hardware import hardware
from ndtools.computing.operators import available_memory, operator_threads, resolve_device, seconds_at
from ndtools.computing.progress import Progress
from ndtools.console.short_form import short_form
from ndtools.errors import NumericalWarning, OptionError
from ndtools.experiments.timing.config import TimingConfig
from ndtools.experiments.timing.result import ARMS, LAYER, LeftOut, RowTiming, Seconds, TimingResult
from ndtools.experiments.timing.stages import Stage, memory_needed, our_stages, published_stages
from ndtools.experiments.timing.table import PUBLISHED_BATCH_SIZE, TABLE_3, TimedLayer

__all__ = ["run", "timing"]


def run(config: TimingConfig, *, progress: Progress | None = None) -> TimingResult:
    """Time the stages of deconvolution layers in turn, after a round that warms up.

    Parameters
    ----------
    config : TimingConfig
        Configuration of the run.
    progress : callable, optional
        Told how many of how many rows are done.

    Returns
    -------
    TimingResult
        Seconds of each stage of each layer.

    Raises
    ------
    OptionError
        If there is no such device, or not one of the rows fits into its memory.
    """
    TimingConfig.check_type(config)
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
        processor=str(hardware(device)["name"]),
        threads=threads,
        torch=str(torch.__version__),
    )


timing = short_form(TimingConfig, run, counting="layers")


def _too_large(layer: TimedLayer, config: TimingConfig, device: torch.device) -> str | None:
    needed = memory_needed(layer, config.batch_size, backward=config.backward)
    available = available_memory(device)
    if available is None or needed <= available:
        return None
    return f"needs about {needed / 1e9:.1f} GB for batches of {config.batch_size}, of {available / 1e9:.1f} GB free"


# Untimed runs of each stage: in the first two, memory is still being taken from the system, which can take 20 times as
# long as sampling the patches of a large layer.
WARM_UPS = 2


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
        measured = published_stages(layer, x, weight, bias, LAYER)
        ours = our_stages(layer, x, weight, bias, LAYER)
        stages = {("measured", name): stage for name, stage in measured.items()}
        stages |= {("ours", name): stage for name, stage in ours.items() if name != "convolution"}
        samples: dict[tuple[str, str], list[float]] = {key: [] for key in stages}
        for repeat in range(WARM_UPS + config.repeats):
            for key, stage in stages.items():
                seconds = _seconds(stage, device, backward=config.backward)
                if repeat >= WARM_UPS:
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
