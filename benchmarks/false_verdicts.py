"""How often ``ndtools compare-sets`` finds sets apart that are of the same kind.

    python benchmarks/false_verdicts.py [--pairs 400] [--eps 1e-1,1e-3] [--sets 32x32,8x8,4x32,2x32]

The images are generated (dead leaves of 64×64 pixels), so that both sets of a pair are certainly of one kind. Each
set has so many images of its own, and each image is a group of the bootstrap, as in sets of up to 32 images. For each
pair of numbers of images, the table has the share of pairs whose kernels, and whose responses, are found apart. In
brackets is the share that is found apart, but marked "unsure". A share of 400 pairs is known to 1 to 2 %. It takes five
minutes of one core.
"""

import argparse
import sys
import warnings
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ndtools.data.images.synthetic import dead_leaves
from ndtools.experiments.compare_sets.config import CompareSetsConfig
from ndtools.experiments.compare_sets.differences import RelativeDifference
from ndtools.experiments.compare_sets.run import _difference
from ndtools.experiments.compare_sets.sets import ImageSet, MeasuredSet, measure_set
from ndtools.moments.groups import GroupedMoments, GroupMoments
from ndtools.numerics.covariance import Covariance
from ndtools.numerics.patch_covariance import PatchCovariance

SIDE, KERNEL = 64, 3
IMAGES = 1500  # of which the sets of a pair are drawn without replacement


def main() -> None:
    """Draw pairs of sets and count the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=400)
    parser.add_argument("--eps", default="1e-1,1e-3")
    parser.add_argument("--sets", default="32x32,8x8,4x32,2x32")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # of few images
    ridges = tuple(map(float, options.eps.split(",")))
    moments = [moments_of(seed) for seed in range(IMAGES)]
    print("images".ljust(10) + "".join(f"{f'kernels, {eps:g}':>22}{f'responses, {eps:g}':>22}" for eps in ridges))
    for sizes in options.sets.split(","):
        first, second = map(int, sizes.split("x"))
        rng = np.random.default_rng([first, second])
        rows = []
        for pair in range(options.pairs):
            drawn = [moments[i] for i in rng.choice(IMAGES, first + second, replace=False)]
            sets = zip("AB", (drawn[:first], drawn[first:]), strict=True)
            columns = [measured(name, parts, ridges, seed=pair) for name, parts in sets]
            differences = (_difference(a, b) for a, b in zip(*columns, strict=True))
            rows.append([verdict(found) for each in differences for found in (each.kernels, each.responses)])
        wrong, unsure = np.array(rows).mean(0).T
        shares = (f"{w:.1%} ({u:.1%})" for w, u in zip(wrong, unsure, strict=True))
        print(f"{first} and {second}".ljust(10) + "".join(f"{share:>22}" for share in shares), flush=True)


def moments_of(seed: int) -> Covariance:
    """Return the covariance of the patches of a generated image."""
    image = torch.from_numpy(dead_leaves(SIDE, SIDE, seed=seed)).double() / 255
    return PatchCovariance(3, KERNEL).update(image).finalize()


def measured(name: str, parts: list[Covariance], ridges: tuple[float, ...], *, seed: int) -> list[MeasuredSet]:
    """Measure a set, as the command does, from the covariances of its images."""
    config = CompareSetsConfig("a.npz", "b.npz", kernel_size=KERNEL, sparsity=False, seed=seed)
    grouped = GroupedMoments((GroupMoments(tuple(parts)),), (1,) * len(parts))
    images = ImageSet(name, name, None, grouped, ())
    return measure_set(
        images,
        config,
        sizes=(KERNEL,),
        ridges=ridges,
        edges=np.linspace(-1, 1, 3),
        device=torch.device("cpu"),
        begin=lambda _: None,
    )


def verdict(found: RelativeDifference) -> tuple[bool, bool]:
    """Return whether a difference is found apart, and whether it is so, but marked as unsure."""
    return bool(found.is_apart), bool(found.is_apart) and found.is_unsure


if __name__ == "__main__":
    main()
