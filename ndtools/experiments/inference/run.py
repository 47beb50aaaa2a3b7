"""How fast networks are at testing time, with D folded into their weights and without (Ye et al. 2020, sec. 4.5.1)."""

import warnings

import numpy as np
import torch
from torch import Tensor, nn

from ndtools.computing.hardware import hardware
from ndtools.computing.operators import check_memory, operator_threads, resolve_device, seconds_at
from ndtools.computing.progress import Progress
from ndtools.console.short_form import short_form
from ndtools.errors import NumericalWarning
from ndtools.experiments.inference.config import InferenceConfig
from ndtools.experiments.inference.result import ARMS, InferenceResult, NetworkTimes
from ndtools.models.catalogue import build
from ndtools.surgery.fold import fold

__all__ = ["inference", "run"]

# Untimed batches of each network: memory is still being taken from the system, and D of evaluation is made once.
WARM_UPS = 2
_LEAST = 64  # images that the statistics of evaluation are gathered from


def run(config: InferenceConfig, *, progress: Progress | None = None) -> InferenceResult:
    """Time the arms of each network in turn, after rounds that warm up.

    Parameters
    ----------
    config : InferenceConfig
        Configuration of the run.
    progress : callable, optional
        Told how many of how many networks are done.

    Returns
    -------
    InferenceResult
        Seconds of a batch for each arm of each network.

    Raises
    ------
    OptionError
        If there is no such device, or the batch does not fit into its memory.
    """
    InferenceConfig.check_type(config)
    device = resolve_device(config.device)
    # The widest layers have 64 channels at full size, and im2col of the statistics takes nine times as much.
    check_memory("batch_size", config.batch_size, 10 * 4 * 64 * config.size**2 * max(config.batch_size, _LEAST), device)
    networks = []
    with operator_threads(config.jobs):
        for done, arch in enumerate(config.archs):
            if progress:
                progress(done, len(config.archs))
            networks.append(_times(arch, config, device))
        threads = torch.get_num_threads()
    return InferenceResult(
        config=config,
        networks=tuple(networks),
        device=str(device),
        processor=str(hardware(device)["name"]),
        threads=threads,
        torch=str(torch.__version__),
    )


inference = short_form(InferenceConfig, run, counting="networks")


def _times(arch: str, config: InferenceConfig, device: torch.device) -> NetworkTimes:
    generator = torch.Generator().manual_seed(config.seed)

    def images(number: int) -> Tensor:
        return torch.randn(number, 3, config.size, config.size, generator=generator).to(device)

    x = images(config.batch_size)
    networks, difference = _networks(arch, config, images(max(config.batch_size, _LEAST)))
    samples: dict[str, list[float]] = {arm: [] for arm in ARMS}
    with torch.no_grad():
        for repeat in range(WARM_UPS + config.repeats):
            for arm in ARMS:
                start = seconds_at(device)
                networks[arm](x)
                seconds = seconds_at(device) - start
                if repeat >= WARM_UPS:
                    samples[arm].append(seconds)
    return NetworkTimes(arch, {arm: np.array(values) for arm, values in samples.items()}, difference)


def _networks(arch: str, config: InferenceConfig, batch: Tensor) -> tuple[dict[str, nn.Module], float]:
    """Return the network of each arm, and by how much folding changes the outputs, relative to the largest."""
    # One batch of training gives the statistics of evaluation. Weights stay as drawn: times do not depend on them.
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore", NumericalWarning)  # of the statistics of one batch, which nobody uses
        torch.manual_seed(config.seed)
        networks = {
            arm: build(arch, norm).to(batch.device)
            for arm, norm in (("deconv", config.norm), ("bn", "bn"), ("none", "none"))
        }
        with torch.no_grad():
            networks["deconv"].train()(batch)
        for network in networks.values():
            network.eval()
        networks["folded"], difference = fold(networks["deconv"], batch[:2])
        with torch.no_grad():
            largest = float(networks["deconv"](batch[:2]).abs().max())
    return networks, difference / largest
