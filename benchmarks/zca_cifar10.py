"""ZCA of whole images of CIFAR-10 (3,072 features) beside a direct computation by NumPy and SciPy in float64.

    python benchmarks/zca_cifar10.py [--data-dir DIR] [--images 20000] [--batches 10]

It prints how far mean, covariance, D, whitened images and restored images are from the direct ones, and the times.
The direct computation holds all images in float64: 0.5 GB for 20,000.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import scipy.linalg
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import ndtools as nd

SHOWN = 2000  # images that are whitened


def off(found: np.ndarray, wanted: np.ndarray) -> float:
    """Largest difference, in units of the largest entry."""
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir")
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--batches", type=int, default=10)
    arguments = parser.parse_args()
    images = nd.load_dataset("cifar10", data_dir=arguments.data_dir).train.images[: arguments.images]
    rows = images.flatten(1).numpy()

    start = time.perf_counter()
    zca = nd.ZCA()
    for batch in np.array_split(rows, arguments.batches):
        zca.partial_fit(batch)
    print(f"partial_fit, {arguments.batches} batches: {time.perf_counter() - start:.1f} s", flush=True)
    start = time.perf_counter()
    d = zca.whitening_
    print(f"D and its inverse: {time.perf_counter() - start:.1f} s", flush=True)

    start = time.perf_counter()
    centred = rows.astype(np.float64)
    mean = centred.mean(0)
    centred -= mean
    covariance = centred.T @ centred / len(rows)
    eps = 1e-5 * np.trace(covariance) / len(covariance)
    values, vectors = scipy.linalg.eigh(covariance + eps * np.eye(len(covariance)))
    direct = vectors / np.sqrt(values) @ vectors.T
    print(f"direct: {time.perf_counter() - start:.1f} s · condition {values[-1] / values[0]:.3g}", flush=True)

    white, expected = zca.transform(rows[:SHOWN]), centred[:SHOWN] @ direct
    print(
        f"mean {off(zca.mean_, mean):.1e} · covariance {off(zca.covariance_, covariance):.1e} · D {off(d, direct):.1e}"
    )
    print(f"whitened {off(white, expected):.1e} · restored {off(zca.inverse_transform(white), rows[:SHOWN]):.1e}")
    left = d @ covariance @ d + eps * d @ d - np.eye(len(d))
    print(f"D Cov D + eps D D - I: {np.abs(left).max():.1e}", flush=True)

    whiten = nd.Whiten.fit(images, "full")
    white = whiten(images[:SHOWN]).flatten(1).double().numpy()
    restored = whiten.inverse(whiten(images[:SHOWN])).flatten(1).double().numpy()
    print(f"Whiten, float32: whitened {off(white, expected):.1e} · restored {off(255 * restored, rows[:SHOWN]):.1e}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
