"""What the training loop costs: images a second of ndtools.training beside a bare loop over the same tensors.

    python benchmarks/throughput.py [--arch vgg11] [--norm bn|deconv] [--batch-size 64] [--repeats 12] [--device cpu]

Both train the same network on CIFAR-10's shape. The bare loop has one batch, made before, and nothing but forward,
backward and step. The training loop draws, shifts, mirrors and normalises its batches, follows its schedule, counts
what is right, and yields records. They take their steps in turn, so that what else the machine does meets both. On a
CPU the numbers are processor time of one thread; on a GPU, wall time of ten steps, synchronised.
"""

import argparse
import statistics
import sys
import time
from itertools import islice
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ndtools.data.labelled.dataset import Dataset, Split
from ndtools.models.catalogue import NAMES, build
from ndtools.models.factories import batch_norm, deconv
from ndtools.training.data import TrainingData
from ndtools.training.loop import Training
from ndtools.training.recipe import Recipe

FORMS = {"bn": batch_norm, "deconv": deconv}


def noise(count: int) -> Split:
    """Random images in the shape of CIFAR-10."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return Split(images, torch.randint(10, (count,), generator=generator))


def main() -> None:
    """Measure both loops in turn, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", choices=NAMES, default="vgg11")
    parser.add_argument("--norm", choices=FORMS, default="bn")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=12)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    device, size = torch.device(options.device), options.batch_size
    torch.set_num_threads(1)
    steps = 10 if device.type == "cuda" else 1
    dataset = Dataset("noise", noise(20 * size), noise(size), tuple("0123456789"), True, "built in")
    data = TrainingData.of(dataset).to(device)

    def network() -> torch.nn.Module:
        torch.manual_seed(0)
        return build(options.arch, FORMS[options.norm]()).to(device)

    recipe = Recipe(batch_size=size, epochs=1 + steps * (options.repeats + 2) // 20)
    records = iter(Training(network(), data, recipe).records())
    model = network()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
    images, labels = data.normalised(data.train.images[:size]), data.train.labels[:size]

    def bare() -> None:
        for _ in range(steps):
            optimiser.zero_grad(set_to_none=True)
            loss = cross_entropy(model(images), labels)
            loss.backward()
            optimiser.step()
            loss.item()

    def loop() -> None:
        list(islice((record for record in records if hasattr(record, "loss")), steps))

    def clock() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize()
            return time.perf_counter()
        return time.process_time()

    seconds: dict[str, list[float]] = {"bare": [], "loop": []}
    for repeat in range(options.repeats + 1):
        for name, run in (("bare", bare), ("loop", loop)):
            start = clock()
            run()
            if repeat:  # the first one allocates
                seconds[name].append((clock() - start) / steps)
    where = torch.cuda.get_device_name() if device.type == "cuda" else "CPU, 1 thread"
    print(f"torch {torch.__version__}, {where}, {options.arch} {options.norm}, batches of {size}")
    for name, values in seconds.items():
        rates = [size / value for value in values]
        print(f"{name}: {statistics.median(rates):8.1f} images/s (fastest {max(rates):.1f})")
    ratios = [loop / bare for bare, loop in zip(seconds["bare"], seconds["loop"], strict=True)]
    print(f"the loop takes {100 * (statistics.median(ratios) - 1):+.1f} % (fastest: {_fastest(seconds):+.1f} %)")


def _fastest(seconds: dict[str, list[float]]) -> float:
    return 100 * (min(seconds["loop"]) / min(seconds["bare"]) - 1)


if __name__ == "__main__":
    main()
