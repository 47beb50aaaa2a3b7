"""Which arm learns best, each at its own best learning rate: a small network on real CIFAR-10.

    python benchmarks/learning.py [--data-dir DIR] [--images 6000] [--epochs 3] [--seeds 3] [--batch-size 128]
        [--arms bn,deconv,deconv-reference,paper,...] [--rates 0.05,0.1,0.2,0.4,0.8,1.6] [--results FILE]
        [--figure learning.png]

Five convolutions of 16 to 64 channels (blocks of 16), SGD with momentum 0.9 and weight decay 1e-3, the rate falling to
0 along a cosine; each image is shifted by up to 4 pixels and mirrored (ndtools.training). Each arm first looks for its
rate, on a seed that is not used afterwards: from the middle of the list it walks to ever better neighbours, and takes
the rate with which it classifies most of 5,000 other training images right. A rate at the end of the list is marked
"edge": a better one may lie beyond. Then all seeds are trained and tested on the 10,000 test images.
p is that of Welch's test of an arm's last accuracy against the first arm's. Seconds are processor time of one thread,
so that other processes on the machine matter little. With --results, each finished run is a line of that file, and is
not repeated when the script is started again. --figure draws accuracy against epochs and seconds, with the standard
deviation as a band.
"""

import argparse
import json
import math
import statistics
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from matplotlib.ticker import MaxNLocator
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ndtools.data.labelled.datasets import load_dataset
from ndtools.drawing.accuracy import accuracy_axis
from ndtools.drawing.palette import ARMS as LINES
from ndtools.drawing.series import sized_styles
from ndtools.drawing.style import add_letters, drawing_style, new_figure
from ndtools.errors import TrainingDiverged
from ndtools.experiments.compare.welch import difference
from ndtools.layers.config import DeconvConfig
from ndtools.models.factories import Factories, chain, deconv
from ndtools.models.norms import NORMS, arm
from ndtools.training.data import TrainingData
from ndtools.training.loop import Training
from ndtools.training.recipe import Recipe
from ndtools.training.records import EpochRecord

DEFAULT, PAPER = (make(block_size=16) for make in (DeconvConfig, DeconvConfig.paper))
ARMS = {
    # The arms of `ndtools train`. Those of simple_cnn have no settings that were published for one network.
    **{norm: arm(norm, "simple_cnn", **({"block_size": 16} if NORMS[norm].deconvolves else {})) for norm in NORMS},
    "paper": deconv(PAPER),
    "interleaved own D": deconv(replace(DEFAULT, shared=False)),
    "contiguous shared D": deconv(replace(DEFAULT, grouping="contiguous")),
    "paper corner": deconv(replace(PAPER, grid="corner")),
    "deconv refresh 4": deconv(replace(DEFAULT, refresh_every=4)),
    "paper refresh 4": deconv(replace(PAPER, refresh_every=4)),
    "deconv detached": deconv(replace(DEFAULT, through_statistics=False)),
}


OTHER = "#cc79a7"  # colour of lines that are no arm of ndtools train


def network(factories: Factories) -> nn.Sequential:
    """Five convolutions and a linear layer, for 32×32 images."""
    widths = [3, 16, 32, 64, 64, 64]
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(zip(widths, widths[1:], strict=False)):
        role = "first" if i == 0 else "conv"
        layers += [factories.conv(before, after, 3, padding=1, role=role), factories.norm(after, role=role), nn.ReLU()]
        if 0 < i < 4:
            layers.append(nn.MaxPool2d(2))
    return chain(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), factories.linear(64, 10))


@dataclass(frozen=True)
class Run:
    """One training run."""

    arm: str
    rate: float
    seed: int


def train(run: Run, data: TrainingData, epochs: int, size: int) -> dict:
    """Train a network; return the accuracy after each epoch in %, the mean loss of the last, and seconds an epoch."""
    torch.manual_seed(run.seed)
    recipe = Recipe(epochs=epochs, batch_size=size, lr=run.rate, seed=run.seed)
    accuracy, seconds, loss = [], 0.0, math.nan
    records, start = Training(network(ARMS[run.arm]), data, recipe).records(), time.process_time()
    try:
        for record in records:
            if isinstance(record, EpochRecord):
                accuracy.append(record.eval_top1)
                loss = record.train_loss
            else:
                seconds += time.process_time() - start
            start = time.process_time()
    except TrainingDiverged:
        loss = math.nan
        accuracy += [0.0] * (epochs - len(accuracy))
    return {"accuracy": accuracy, "loss": loss, "seconds": seconds / epochs}


def main() -> None:
    """Tune, train, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir")
    parser.add_argument("--images", type=int, default=6_000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--rates", default="0.05,0.1,0.2,0.4,0.8,1.6")
    parser.add_argument("--results", type=Path)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    dataset = load_dataset("cifar10", data_dir=options.data_dir)
    choosing = TrainingData.of(dataset, images=options.images, holdout=5_000)
    final = replace(choosing, eval=choosing.test)
    torch.set_num_threads(1)
    rates = sorted(map(float, options.rates.split(",")))
    setting = {"images": options.images, "epochs": options.epochs, "batch_size": options.batch_size, "loop": 2}
    print(f"torch {torch.__version__}, 1 thread, {options.images} images, {options.epochs} epochs")
    kept: dict[str, dict] = {}
    if options.results and options.results.exists():
        kept = {
            line["run"]: line["result"]
            for line in map(json.loads, options.results.read_text().splitlines())
            if line["setting"] == setting
        }

    def result(run: Run, data: TrainingData) -> dict:
        name = str(run)
        if name not in kept:
            kept[name] = train(run, data, options.epochs, options.batch_size)
            if options.results:
                with options.results.open("a") as file:
                    file.write(json.dumps({"setting": setting, "run": name, "result": kept[name]}) + "\n")
        return kept[name]

    best: dict[str, float] = {}
    for name in options.arms.split(","):
        found: dict[int, float] = {}
        at = (len(rates) - 1) // 2
        while True:
            for i in (at, at - 1, at + 1):
                if i in range(len(rates)) and i not in found:
                    found[i] = result(Run(name, rates[i], 99), choosing)["accuracy"][-1]
            better = max(found, key=lambda i: found[i])
            if better == at:
                break
            at = better
        best[name] = rates[at]
        tried = ", ".join(f"{rates[i]:g}: {found[i]:.1f} %" for i in sorted(found))
        print(f"{name:20s} {tried}", flush=True)
    runs = {
        name: [result(Run(name, rate, seed), final) for seed in range(options.seeds)] for name, rate in best.items()
    }
    epochs = "".join(f"    epoch {epoch + 1:2d}   " for epoch in range(options.epochs))
    print(f"{'arm':20s} rate{epochs}        p     last loss  s/epoch")
    first = np.array([run["accuracy"][-1] for run in next(iter(runs.values()))])
    for name, rate in best.items():
        cells = [_spread([run["accuracy"][epoch] for run in runs[name]], 2) + " %" for epoch in range(options.epochs)]
        p = difference(np.array([run["accuracy"][-1] for run in runs[name]]), first).p
        cells += ["       -" if p is None or name == next(iter(runs)) else f"{p:8.2g}"]
        cells += [_spread([run["loss"] for run in runs[name]], 3)]
        seconds = statistics.mean(run["seconds"] for run in runs[name])
        edge = "  edge" if rate in (rates[0], rates[-1]) else ""
        print(f"{name:20s} {rate:4g}  {'  '.join(cells)}  {seconds:6.1f}{edge}")
    if options.figure:
        draw(runs, options.figure)


def draw(runs: dict[str, list[dict]], path: Path) -> None:
    """Draw the accuracy of all arms against epochs and seconds."""
    with drawing_style():
        fig = new_figure(None, 180, 95)
        axes = list(fig.subplots(1, 2))
        errors = {name: 1 - np.array([run["accuracy"] for run in of]) / 100 for name, of in runs.items()}
        for number, (name, values) in enumerate(errors.items()):
            style = LINES.get(name) or {**sized_styles(number), "color": OTHER}
            mean, spread = values.mean(0), values.std(0, ddof=1) if len(values) > 1 else np.zeros(values.shape[1])
            epoch = np.arange(1, values.shape[1] + 1)
            seconds = statistics.mean(run["seconds"] for run in runs[name])
            for ax, x in zip(axes, (epoch, epoch * seconds), strict=True):
                ax.plot(x, mean, label=name, **style)
                ax.fill_between(x, mean - spread, mean + spread, color=style["color"], alpha=0.2, linewidth=0)
        for ax, label in zip(axes, ("epoch", "processor time of training / s"), strict=True):
            accuracy_axis(ax, np.concatenate([values.ravel() for values in errors.values()]), "test accuracy")
            ax.set_xlabel(label)
            ax.set_xlim(left=0)
        axes[0].xaxis.set_major_locator(MaxNLocator(integer=True))
        add_letters(axes)
        fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
        fig.savefig(path, dpi=300)


def _spread(values: list[float], digits: int) -> str:
    spread = statistics.stdev(values) if len(values) > 1 else math.nan
    return f"{statistics.mean(values):6.{digits}f} ± {spread:4.{digits}f}"


if __name__ == "__main__":
    main()
