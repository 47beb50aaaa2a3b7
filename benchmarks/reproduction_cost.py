"""Measure the work of every part that `ndtools reproduce` can run, and how good its estimates are.

    python benchmarks/reproduction_cost.py [ID ...] [--data-dir DIR] [--most SECONDS]
    THP_MEM_ALLOC_ENABLE=1 python benchmarks/reproduction_cost.py --training

A line for each part: seconds measured, seconds on the reference machine (to be written into the item as ``work``), the
estimate of the item, and measured over estimated, which should be between 1/2 and 2. Parts that are expected to take
longer than ``--most`` seconds, and training runs, are left out. The probe is taken anew before each part.

With ``--training``, a line for each network: seconds of an epoch of 50,000 images in batches of 128 on the reference
machine, with batch normalisation and with deconvolution, from a few steps of each (the table in items/recipes.py).
"""

import argparse
import statistics

import torch
from layer_cost import timed, training

from ndtools.reproduction.cost import REFERENCE, probe
from ndtools.reproduction.item import Setting
from ndtools.reproduction.items.recipes import SECONDS
from ndtools.reproduction.kinds import KINDS
from ndtools.reproduction.places import Places
from ndtools.reproduction.registry import ITEMS, find_item
from ndtools.reproduction.store import compute_part


def epoch_seconds(arch: str, norm: str, *, steps: int = 3) -> float:
    """Return the seconds of an epoch on the reference machine, from the median of some steps after the first."""
    images, labels = torch.randn(128, 3, 32, 32), torch.randint(10, (128,))
    slow = probe() / REFERENCE
    step = training(arch, norm, images, labels)
    timed(step, "cpu")
    return statistics.median(timed(step, "cpu") for _ in range(steps)) * 50_000 / 128 / slow


def print_epochs() -> None:
    """Print a line for each network, as the table of the items has it."""
    for arch, (plain, deconvolved) in SECONDS.items():
        found = ", ".join(f"{epoch_seconds(arch, norm):.0f}" for norm in ("bn", "deconv-reference"))
        print(f'"{arch}": ({found}),  # was {plain:.0f}, {deconvolved:.0f}; probe {probe():.4f} s', flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ids", nargs="*")
    parser.add_argument("--data-dir")
    parser.add_argument("--most", type=float, default=120.0)
    parser.add_argument("--training", action="store_true", help="time an epoch of each network instead")
    options = parser.parse_args()
    if options.training:
        print_epochs()
        return
    setting = Setting(places=Places(data_dir=options.data_dir))
    print(f"{'item':7} {'level':44} {'part':12} measured  work  estimate  ratio  probe {probe():.4f} s")
    seen = set()
    for item in [find_item(name) for name in options.ids] or ITEMS:
        for level in item.levels(setting):
            for part in level.parts:
                slow = probe() / REFERENCE
                missing = setting.places.missing(level.needs)
                if part in seen or missing or part.work * slow > options.most or part.experiment in KINDS:
                    continue
                seen.add(part)
                _, seconds = compute_part(part)
                estimate = part.work * slow
                print(
                    f"{item.id:7} {level.title[:44]:44} {part.name[:12]:12} {seconds:8.2f} {seconds / slow:5.2f}"
                    f" {estimate:9.2f} {seconds / estimate:6.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
