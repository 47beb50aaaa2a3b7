"""Whether the cheap forms of deconvolution learn as well as the exact ones: a small network on real CIFAR-10.

    python benchmarks/learning.py [--data-dir DIR] [--images 10000] [--epochs 3] [--seeds 3] [--batch-size 128]
        [--arms bn,reference,paper,...] [--rates 0.02,0.05,0.1,0.2]

Five convolutions of 16 to 64 channels (blocks of 16), SGD with momentum 0.9 and weight decay 1e-3, the rate falling to
0 along a cosine; images are shifted by up to 4 pixels and mirrored. Each arm is first run with every rate on a seed of
its own, for all epochs, and takes the rate with which it classifies most of 5,000 other training images right; then
all seeds, tested on the 10,000 test images. Arms take turns, so that seconds compare.
"""

import argparse
import math
import statistics
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ndtools.data.datasets import load_dataset
from ndtools.layers.config import DeconvConfig
from ndtools.models.factories import Factories, batch_norm, chain, deconv

REFERENCE, PAPER = DeconvConfig.reference(block_size=16), DeconvConfig.paper(block_size=16)
ARMS = {
    "bn": batch_norm(),
    "reference": deconv(REFERENCE),
    "reference refresh 4": deconv(replace(REFERENCE, refresh_every=4)),
    "paper": deconv(PAPER),
    "paper shared": deconv(replace(PAPER, shared=True)),
    "paper detached": deconv(replace(PAPER, through_statistics=False)),
    "paper refresh 4": deconv(replace(PAPER, refresh_every=4)),
    "paper stride 6": deconv(replace(PAPER, sampling_stride=6)),
}


def network(factories: Factories) -> nn.Sequential:
    """Five convolutions and a linear layer, for 32×32 images."""
    widths = [3, 16, 32, 64, 64, 64]
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(zip(widths, widths[1:], strict=False)):
        make = factories.first if i == 0 else factories.conv
        layers += [make(before, after, 3, padding=1), factories.norm(after), nn.ReLU()]
        if 0 < i < 4:
            layers.append(nn.MaxPool2d(2))
    return chain(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), factories.linear(64, 10))


@dataclass
class Run:
    """A network in training."""

    arm: str
    rate: float
    seed: int
    steps: int
    batch_size: int
    seconds: float = 0.0
    accuracy: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        torch.manual_seed(self.seed)
        self.model = network(ARMS[self.arm])
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=self.rate, momentum=0.9, weight_decay=1e-3)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, self.steps)

    def train(self, images: Tensor, labels: Tensor, epoch: int) -> None:
        """Run an epoch, on the same batches for all arms."""
        generator = torch.Generator().manual_seed(1000 * self.seed + epoch)
        self.model.train()
        start = time.perf_counter()
        for batch in torch.randperm(len(images), generator=generator).split(self.batch_size):
            if len(batch) < self.batch_size:
                break
            x = images[batch]
            top, left = torch.randint(9, (2,), generator=generator).tolist()
            x = pad(x, (4, 4, 4, 4))[:, :, top : top + 32, left : left + 32]
            mirrored = torch.rand(len(x), generator=generator) < 0.5
            x = torch.where(mirrored[:, None, None, None], x.flip(3), x)
            self.optimizer.zero_grad(set_to_none=True)
            cross_entropy(self.model(x), labels[batch]).backward()
            self.optimizer.step()
            self.schedule.step()
        self.seconds += time.perf_counter() - start

    def test(self, images: Tensor, labels: Tensor) -> None:
        """Note the accuracy in %."""
        self.model.eval()
        with torch.inference_mode():
            right = sum(
                int((self.model(x).argmax(1) == y).sum())
                for x, y in zip(images.split(500), labels.split(500), strict=True)
            )
        self.accuracy.append(100 * right / len(images))


def main() -> None:
    """Tune, train, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--rates", default="0.02,0.05,0.1,0.2")
    options = parser.parse_args()
    data = load_dataset("cifar10", data_dir=options.data_dir)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)))

    def prepared(split: str, part: slice) -> tuple[Tensor, Tensor]:
        chosen = getattr(data, split)
        return (chosen.images[part].float() / 255 - mean) / std, chosen.labels[part].long()

    training = prepared("train", slice(options.images))
    held_out, test = prepared("train", slice(-5000, None)), prepared("test", slice(None))
    steps = options.epochs * (options.images // options.batch_size)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {options.images} images")
    best: dict[str, float] = {}
    for arm in options.arms.split(","):
        found = {}
        for rate in map(float, options.rates.split(",")):
            run = Run(arm, rate, 99, steps, options.batch_size)
            for epoch in range(options.epochs):
                run.train(*training, epoch)
            run.test(*held_out)
            found[rate] = run.accuracy[0]
        best[arm] = max(found, key=lambda rate: found[rate])
        tried = ", ".join(f"{rate:g}: {accuracy:.1f} %" for rate, accuracy in found.items())
        print(f"{arm:20s} {tried}", flush=True)
    runs = [Run(arm, best[arm], seed, steps, options.batch_size) for seed in range(options.seeds) for arm in best]
    for epoch in range(options.epochs):
        for run in runs:
            run.train(*training, epoch)
            run.test(*test)
    epochs = "".join(f"   epoch {epoch + 1:2d}    " for epoch in range(options.epochs))
    print(f"{'arm':20s} rate{epochs}   s/epoch")
    for arm, rate in best.items():
        mine = [run for run in runs if run.arm == arm]
        cells = []
        for epoch in range(options.epochs):
            values = [run.accuracy[epoch] for run in mine]
            spread = statistics.stdev(values) if len(values) > 1 else math.nan
            cells.append(f"{statistics.mean(values):6.2f} ± {spread:4.2f} %")
        seconds = statistics.mean(run.seconds for run in mine) / options.epochs
        print(f"{arm:20s} {rate:4g}  {'  '.join(cells)}  {seconds:6.1f}")


if __name__ == "__main__":
    main()
