"""What reading images while training costs: images a second of the loader alone, and the memory of its processes.

    python benchmarks/streaming.py [--images 10000] [--size 224] [--side 300] [--batch-size 64] [--seconds 20]

Makes JPEG files in 100 classes in a temporary folder, as folders of classes and as tar shards. Compares a bare loop,
in which one process decodes each image with Pillow and crops and scales it by Pillow, with the batches of
ndtools.training.streams from folders and from shards, with 1 and 2 worker processes. Each is timed for some seconds
after its first batches. In the end all images are read once by 2 workers; memory is that of this process and its
workers (resident, and their share of it, PSS) after the first batches and after the last. Batches from folders and
from shards have to be equal.
"""

import argparse
import io
import itertools
import math
import sys
import tarfile
import tempfile
import time
from contextlib import ExitStack
from multiprocessing import active_children
from pathlib import Path

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ndtools.data.labelled.streamed import load_streamed
from ndtools.data.labelled.views import Crops
from ndtools.training.recipe import Recipe
from ndtools.training.streams import StreamedData

CLASSES, SHARDS = 100, 10


def made(folder: Path, images: int, side: int) -> None:
    """Write the images as folders and as shards, with a few images to evaluate on."""
    coarse = np.random.default_rng(0).integers(0, 256, (images, 8, 10, 3), dtype=np.uint8)
    (folder / "shards").mkdir()
    with ExitStack() as stack:
        shards = [
            stack.enter_context(tarfile.open(folder / "shards" / f"train-{n:03}.tar", "w")) for n in range(SHARDS)
        ]
        write(folder, coarse, side, shards)


def write(folder: Path, coarse: np.ndarray, side: int, shards: list[tarfile.TarFile]) -> None:
    """Write an image for each array of a few colours."""
    for i, seed in enumerate(coarse):
        file = io.BytesIO()
        picture = Image.fromarray(seed).resize((side * 4 // 3, side), Image.Resampling.BICUBIC)
        picture.save(file, "JPEG", quality=90)
        name = f"c{i % CLASSES:03}/{i:06}.jpg"
        path = folder / "folders" / "train" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.getvalue())
        info = tarfile.TarInfo(name)
        info.size = len(file.getvalue())
        shards[i % SHARDS].addfile(info, io.BytesIO(file.getvalue()))


def bare(folder: Path, size: int, seconds: float) -> float:
    """Images a second of one process that decodes, crops, scales and mirrors by Pillow, without this package."""
    paths = sorted((folder / "folders" / "train").rglob("*.jpg"))
    random = np.random.default_rng(0)
    order = itertools.cycle(random.permutation(len(paths)).tolist())
    start, n, batch = time.perf_counter(), 0, []
    while time.perf_counter() - start < seconds:
        with Image.open(paths[next(order)]) as file:
            image = file.convert("RGB")
        width, height = image.size
        while True:
            area, ratio = width * height * random.uniform(0.08, 1), math.exp(random.uniform(-1, 1) * math.log(4 / 3))
            w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if w <= width and h <= height:
                break
        left, top = int(random.integers(width - w + 1)), int(random.integers(height - h + 1))
        crop = image.resize((size, size), Image.Resampling.BILINEAR, (left, top, left + w, top + h))
        if random.random() < 0.5:
            crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        batch.append(torch.from_numpy(np.array(crop)).permute(2, 0, 1))
        if len(batch) == 64:
            torch.stack(batch)
            batch = []
        n += 1
    return n / (time.perf_counter() - start)


def loaded(root: Path, size: int, workers: int) -> StreamedData:
    """Return the set below a folder with its last 100 images held out."""
    held_out = load_streamed(root).chosen(holdout=100)
    return StreamedData(held_out, Crops(size, size), workers=workers, constants="published")


def speed(data: StreamedData, recipe: Recipe, seconds: float) -> float:
    """Images a second of the batches alone, after those that were read ahead."""
    batches = data.batches(recipe)
    ahead = 2 * data.workers + 2
    for step in range(ahead):
        batches[step]
    start, step = time.perf_counter(), ahead
    while (passed := time.perf_counter() - start) < seconds:
        batches[step]
        step += 1
    return (step - ahead) * recipe.batch_size / passed


def memory() -> dict[str, tuple[float, float]]:
    """Resident memory and share of it in MB, of this process and of its workers."""
    found = {}
    for n, pid in enumerate(["self", *sorted(child.pid for child in active_children())]):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        sizes = {line.split(":")[0]: int(line.split()[1]) / 1000 for line in lines[1:]}
        found["main" if n == 0 else f"worker {n}"] = sizes["Rss"], sizes["Pss"]
    return found


def main() -> None:
    """Make the images, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--size", type=int, default=224, help="of the crops")
    parser.add_argument("--side", type=int, default=300, help="short side of the images")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    recipe = Recipe(epochs=1000, batch_size=options.batch_size)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made(folder, options.images, options.side)
        for root in ("folders", "shards"):
            start = time.perf_counter()
            load_streamed(folder / root)
            print(f"{options.images} images listed in {root}: {time.perf_counter() - start:.2f} s", flush=True)
        first, second = (loaded(folder / root, options.size, 1).batches(recipe) for root in ("folders", "shards"))
        for step in (0, 1, 7):
            assert all(map(torch.equal, first[step], second[step])), f"batch {step} differs between folders and shards"
        print("batches 0, 1 and 7 from folders and from shards are equal", flush=True)
        del first, second
        print(f"bare loop, 1 process: {bare(folder, options.size, options.seconds):.0f} images/s", flush=True)
        for root in ("folders", "shards"):
            for workers in (1, 2):
                rate = speed(loaded(folder / root, options.size, workers), recipe, options.seconds)
                print(f"{root}, {workers} worker(s): {rate:.0f} images/s", flush=True)
        data = loaded(folder / "shards", options.size, 2)
        batches = data.batches(recipe)
        for step in range(4):
            batches[step]
        before, steps = memory(), math.ceil(options.images / options.batch_size)
        for step in range(4, 4 + steps):
            batches[step]
        for process, (resident, share) in memory().items():
            rss, pss = before[process]
            print(
                f"{process}: RSS {rss:.0f} MB at first, {resident:.0f} MB after {steps * options.batch_size} images;"
                f" PSS {pss:.0f} and {share:.0f} MB",
                flush=True,
            )
        del batches


if __name__ == "__main__":
    main()
