"""A small data set in IDX files, whose classes differ: what commands on data sets are tested with."""

import struct

import numpy as np


def write_small_set(folder, *, n_train=300, n_test=60, side=5, classes=3, seed=0, constant=()):
    """Write smooth noise with a bump for each class; pixels named in ``constant`` do not vary."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for name, n in (("train", n_train), ("t10k", n_test)):
        labels = np.arange(n) % classes
        rng.shuffle(labels)
        images = 90 + 20 * rng.standard_normal((n, 1, 1)) + 8 * rng.standard_normal((n, side, side))
        images[np.arange(n), labels, labels] += 14
        images = images.clip(0, 255).astype(np.uint8)
        images.reshape(n, -1)[:, list(constant)] = 7
        header = struct.pack(">4B3I", 0, 0, 8, 3, n, side, side)
        (folder / f"{name}-images-idx3-ubyte").write_bytes(header + images.tobytes())
        header = struct.pack(">4BI", 0, 0, 8, 1, n)
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(header + labels.astype(np.uint8).tobytes())
    return folder
