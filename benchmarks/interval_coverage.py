"""How often the 95 % intervals of ``ndtools sparsity`` hold the truth, if images are drawn from a set that is known.

    python benchmarks/interval_coverage.py FOLDER [--eps 1e-3] [--images 10,40,100,200] [--sets 400]

The images of the folder are the whole world: sets of them are drawn with replacement, so what all of them have is what
an interval should hold (drawn without replacement, a large set would be nearer to it than its interval allows for).
For each size of set, and before and after deconvolution, the share of sets whose interval holds it; in brackets the
share whose interval lies below. A share of 400 sets is known to 1 to 2 %.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ndtools.data.images.reading import Decoded, load_images
from ndtools.data.images.sources import resolve_source
from ndtools.moments.images import image_moments
from ndtools.moments.whitened import Whitening
from ndtools.numerics.sparsity import MEASURES, SparsitySums

REPLICATES = 200


def main() -> None:
    """Draw sets and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--eps", type=float, default=1e-3)
    parser.add_argument("--images", default="10,40,100,200")
    parser.add_argument("--sets", type=int, default=400)
    options = parser.parse_args()
    print(f"{'':24}" + "".join(f"{name:>16}" for name in MEASURES))
    for side, rows in sums_of_images(options.folder, options.eps).items():
        truth = {name: found.value for name, found in of_sums(rows, 0).measures().items()}
        for images in map(int, options.images.split(",")):
            rng, held, below = np.random.default_rng(0), [], []
            for _ in range(options.sets):
                drawn = rows[rng.integers(0, len(rows), images)]
                found = of_sums(drawn, REPLICATES, rng).measures()
                held.append([(f.low or np.inf) <= truth[name] <= (f.high or -np.inf) for name, f in found.items()])
                below.append([(f.high or np.inf) < truth[name] for name, f in found.items()])
            shares = zip(np.mean(held, 0), np.mean(below, 0), strict=True)
            print(f"{side}, {images} images".ljust(24) + "".join(f"{f'{h:.1%} ({b:.0%})':>16}" for h, b in shares))


def sums_of_images(folder: str, eps: float) -> dict[str, NDArray[np.float64]]:
    """Return the sums of each image, before and after deconvolution with all images' D."""
    source = resolve_source(folder)
    covariance = image_moments(source, kernel_size=3, eps=eps).moments.finalize()
    whitening = Whitening.of(covariance, "patch", eps)
    maps = {"before": whitening.pixel, "after": whitening.output}
    rows: dict[str, list[NDArray[np.float64]]] = {side: [] for side in maps}
    for image in load_images(source):
        if isinstance(image, Decoded):
            for side, transform in maps.items():
                sums = SparsitySums().add(transform(image), np.random.default_rng(0))
                rows[side].append(sums._sums[0])
    return {side: np.array(each) for side, each in rows.items()}


def of_sums(rows: NDArray[np.float64], replicates: int, rng: np.random.Generator | None = None) -> SparsitySums:
    """Return what adding images with these sums would make."""
    found = SparsitySums(replicates)
    groups = rng.integers(replicates, size=len(rows)) if rng else np.zeros(len(rows), dtype=int)
    np.add.at(found._sums, groups, rows)
    return found


if __name__ == "__main__":
    main()
