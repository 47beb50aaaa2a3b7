"""What deconvolution costs in training and after folding, beside batch normalisation in the same network.

    THP_MEM_ALLOC_ENABLE=1 OMP_NUM_THREADS=1 python benchmarks/layer_cost.py [--networks vgg16,resnet18,...]
        [--arms bn,published,deconv-reference,deconv,...] [--batch-size 128] [--repeats 5] [--device cpu] [--inference]
        [--channels-last]

A training step is forward, backward and SGD on random images of 32×32. The arms take turns, one step each, and the
ratios to batch normalisation are those of steps next to each other; their median is what counts on a noisy machine.
The networks are those of `ndtools train --arch`; the arms are those of its --norm and the variants in ARMS, below.
"published" is the arithmetic of the published code, written plainly: im2col, and autograd through every iterate; it has
no grouped convolutions. `ndtools` sets the first variable itself: torch then uses larger pages of memory.
"""

import argparse
import math
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, cross_entropy, unfold

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ndtools.layers.config import DeconvConfig
from ndtools.models import build
from ndtools.models.factories import Factories, deconv
from ndtools.models.norms import NORMS
from ndtools.models.norms import arm as layers
from ndtools.surgery.fold import fold


class PublishedDeconv(nn.Conv2d):
    """The published layer's training step: interleaved blocks, one D, three products for each iteration."""

    def __init__(self, *args: int, n_iter: int = 5, block: int = 64, sampling: int = 3, **kwargs: int) -> None:
        super().__init__(*args, **kwargs)
        self.n_iter, self.sampling = n_iter, sampling
        self.blocks = self.in_channels // math.gcd(block, self.in_channels)
        features = self.in_channels // self.blocks * math.prod(self.kernel_size)
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_deconv", torch.eye(features))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer, in training mode."""
        if self.kernel_size == (1, 1):
            rows = x.permute(0, 2, 3, 1).reshape(-1, self.in_channels)[:: self.sampling**2]
        else:
            step = [self.sampling * s for s in self.stride]
            rows = unfold(x, self.kernel_size, self.dilation, self.padding, step)
            rows = rows.transpose(1, 2).reshape(-1, self.in_channels * math.prod(self.kernel_size))
        width = len(self.running_mean)
        rows = rows.reshape(-1, width, self.blocks).transpose(1, 2).reshape(-1, width)
        mean = rows.mean(0)
        rows = rows - mean
        eye = torch.eye(width, device=x.device)
        covariance = torch.addmm(eye, rows.t(), rows, beta=1e-5, alpha=1 / len(rows))
        norm = covariance.norm()
        y, z = covariance / norm, eye
        for _ in range(self.n_iter):
            t = 0.5 * (3 * eye - z @ y)
            y, z = y @ t, t @ z
        d = z / norm.sqrt()
        self.running_mean.mul_(0.9).add_(mean.detach(), alpha=0.1)
        self.running_deconv.mul_(0.9).add_(d.detach(), alpha=0.1)
        weight = self.weight.view(-1, width, self.blocks).transpose(1, 2).reshape(-1, width) @ d
        shift = (weight @ mean.unsqueeze(1)).view(self.out_channels, -1).sum(1)
        weight = weight.view(-1, self.blocks, width).transpose(1, 2).reshape(self.weight.shape)
        return conv2d(x, weight, self.bias - shift, self.stride, self.padding, self.dilation)


class Published(Factories):
    """Makers of a network without normalisation, whose convolutions are those of the published code."""

    def conv(  # noqa: D102
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        bias: bool | None = None,  # noqa: ARG002 - it has one
        role: str = "conv",
    ) -> nn.Module:
        if groups > 1:
            sys.exit("published has no grouped convolutions; leave such networks out of --networks")
        n_iter = 15 if role == "first" else 5
        return PublishedDeconv(in_channels, out_channels, kernel_size, stride=stride, padding=padding, n_iter=n_iter)


REFERENCE, PAPER = DeconvConfig.reference(), DeconvConfig.paper()


def _deconv(config: DeconvConfig) -> Factories:
    return deconv(config, first=replace(config, n_iter=15))


# What stands in a network, by its name: the arms of `ndtools train`, the published code, and variants of our layer.
ARMS: dict[str, Callable[[str], Factories]] = {
    **{norm: partial(layers, norm) for norm in NORMS},
    "published": lambda name: Published(layers("none", name).layers),
    "deconv-refresh4": lambda name: layers("deconv", name, refresh_every=4),
    "reference-detached": lambda _: _deconv(replace(REFERENCE, through_statistics=False)),
    "reference-stride6": lambda _: _deconv(replace(REFERENCE, sampling_stride=6)),
    "reference-refresh4": lambda _: _deconv(replace(REFERENCE, refresh_every=4)),
    "paper": lambda _: _deconv(PAPER),
    "paper-detached": lambda _: _deconv(replace(PAPER, through_statistics=False)),
    "paper-refresh4": lambda _: _deconv(replace(PAPER, refresh_every=4)),
    "paper-refresh4-detached": lambda _: _deconv(replace(PAPER, refresh_every=4, through_statistics=False)),
}
# what has nothing to fold, or cannot be folded
UNFOLDED = {norm for norm, made in NORMS.items() if not made.deconvolves} | {"nd++", "published"}


def _placed(model: nn.Module, images: Tensor) -> nn.Module:
    """Return a network on the device of the images, with its weights in their order of dimensions."""
    layout = torch.channels_last if images.stride(1) == 1 else torch.contiguous_format
    return model.to(images.device, memory_format=layout)


def training(name: str, norm: str, images: Tensor, labels: Tensor) -> Callable[[], None]:
    """Build a network; return what makes one training step of it."""
    torch.manual_seed(0)
    model = _placed(build(name, ARMS[norm](name)), images)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        cross_entropy(model(images), labels).backward()
        optimizer.step()

    return step


def inference(name: str, norm: str, images: Tensor, labels: Tensor) -> Callable[[], None]:
    """Build a network and train it for one step; return what evaluates it, with deconvolution folded."""
    torch.manual_seed(0)
    model = _placed(build(name, ARMS[norm](name)), images)
    model(images)
    model.eval()
    if norm not in UNFOLDED:
        model, _ = fold(model, images[:2])

    def step() -> None:
        with torch.inference_mode():
            model(images)

    return step


def timed(step: Callable[[], None], device: str) -> float:
    """Seconds that a step takes; processor time on one thread of a CPU, which other processes disturb less."""
    clock = time.process_time if device == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    step()
    if device == "cuda":
        torch.cuda.synchronize()
    return clock() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default="vgg11,vgg16,resnet18,preact_resnet18")
    parser.add_argument("--arms", default="bn,published,deconv-reference,deconv,paper")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--inference", action="store_true", help="time evaluation, deconvolution folded")
    parser.add_argument("--channels-last", action="store_true", help="keep the channels of a pixel side by side")
    options = parser.parse_args()
    arms = options.arms.split(",")
    if arms[0] != "bn":
        parser.error("the first of --arms must be bn")
    print(f"torch {torch.__version__}, {platform.machine()}, {options.device}, {torch.get_num_threads()} threads")
    torch.manual_seed(0)
    layout = torch.channels_last if options.channels_last else torch.contiguous_format
    images = torch.randn(options.batch_size, 3, 32, 32, device=options.device).contiguous(memory_format=layout)
    labels = torch.randint(10, (options.batch_size,), device=options.device)
    of = inference if options.inference else training
    for name in options.networks.split(","):
        steps = {arm: of(name, arm, images, labels) for arm in arms}
        cycle = math.lcm(*(4 if "refresh4" in arm else 1 for arm in arms)) if not options.inference else 1
        for step in steps.values():
            for _ in range(cycle):
                timed(step, options.device)
        seconds: dict[str, list[float]] = {arm: [] for arm in arms}
        for _ in range(options.repeats):
            for arm, step in steps.items():
                # steps of an arm that refreshes every fourth time count as a whole cycle
                runs = 4 if "refresh4" in arm and not options.inference else 1
                seconds[arm].append(sum(timed(step, options.device) for _ in range(runs)) / runs)
        for arm in arms:
            ratios = [a / b for a, b in zip(seconds[arm], seconds["bn"], strict=True)]
            median = statistics.median(seconds[arm])
            print(
                f"{name:16s} {arm:24s} {median:8.3f} s   {statistics.median(ratios):5.2f} x bn"
                f"   ({min(ratios):.2f} to {max(ratios):.2f})",
                flush=True,
            )


if __name__ == "__main__":
    main()
