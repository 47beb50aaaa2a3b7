"""What `ndtools kernels` costs beyond reading the images: whole runs, stages, memory, and other methods beside it.

    python benchmarks/kernels_speed.py FOLDER [-k 15 -k 3] [--repeats 5] [--jobs 2]

The marginal cost is (whole run on all images - whole run on one) / (decoding the others alone, with as many
threads), each triple measured in one go; the median over the repeats is what counts on a noisy machine.
"""

import argparse
import cProfile
import os
import platform
import pstats
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ndtools.data.images.reading import Decoded, load_images
from ndtools.data.images.sources import ImageRef, ImageSource, resolve_source
from ndtools.moments.images import image_moments
from ndtools.numerics.correlations import CornerProducts, LagSpectra, StripSpectra
from ndtools.numerics.deconvolution import Deconvolution
from ndtools.numerics.patch_covariance import PatchCovariance
from ndtools.numerics.tiles import Centred, borders_of
from tests.oracles.patches import row_window_products


def whole_run(source: str, k: int, jobs: int, out: str) -> tuple[float, float]:
    """Seconds and peak memory in MB of the command as a user runs it."""
    command = [sys.executable, "-m", "ndtools", "kernels", source, "-k", str(k), "-j", str(jobs), "-o", out, "-q"]
    start = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{command} failed")
    process.returncode = 0
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def decoding(source: str, jobs: int) -> float:
    """Seconds to decode all images and do nothing with them."""
    start = time.perf_counter()
    for _ in load_images(resolve_source(source), jobs=jobs):
        pass
    return time.perf_counter() - start


def marginal_cost(paths: list[str], k: int, repeats: int, jobs: int, folder: str) -> None:
    """Print the marginal cost, the fixed cost, and how both depend on the number of images."""
    lists = {}
    for n in (1, 10, 100, len(paths)):
        lists[n] = f"@{folder}/{n}.txt"
        Path(folder, f"{n}.txt").write_text("\n".join(paths[:n]))
    Path(folder, "others.txt").write_text("\n".join(paths[1:]))
    ratios = []
    for _ in range(repeats):
        (every, peak), (one, peak_of_one) = (
            whole_run(lists[len(paths)], k, jobs, folder),
            whole_run(lists[1], k, jobs, folder),
        )
        alone = decoding(f"@{folder}/others.txt", jobs)
        ratios.append((every - one) / alone)
        print(
            f"  k {k}: {len(paths)} images {every:.2f} s, one {one:.2f} s, decoding the others {alone:.2f} s"
            f" -> {ratios[-1]:.2f}; peak {peak:.0f} MB, with one image {peak_of_one:.0f} MB",
            flush=True,
        )
    print(
        f"k {k}: marginal cost {statistics.median(ratios):.2f} times decoding ({min(ratios):.2f} to {max(ratios):.2f})"
    )
    for n, source in lists.items():
        seconds, peak = whole_run(source, k, jobs, folder)
        print(f"  {n} images: {seconds:.2f} s, peak {peak:.0f} MB")


def large_photographs(paths: list[str], k: int, jobs: int, folder: str) -> None:
    """Print time and memory for photographs enlarged to 24 megapixels."""
    large = Path(folder, "large")
    large.mkdir()
    for i, path in enumerate(paths[:24]):
        with Image.open(path) as image:
            image.convert("RGB").resize((6000, 4000), Image.Resampling.LANCZOS).save(large / f"{i:02d}.jpg", quality=92)
        if i in (5, 23):
            seconds, peak = whole_run(str(large), k, jobs, folder)
            print(f"k {k}: {i + 1} photographs of 24 megapixels {seconds:.1f} s, peak {peak:.0f} MB")


def slow_storage(source: str, k: int, jobs: int) -> None:
    """Print the time from a storage that answers late."""
    images = resolve_source(source)
    for delay in (0.0, 0.01, 0.1):

        def late(reference: ImageRef, delay: float = delay) -> ImageRef:
            def read() -> bytes | Image.Image:
                time.sleep(delay)
                return reference.read()

            return ImageRef(reference.name, read)

        start, cpu = time.perf_counter(), time.process_time()
        image_moments(ImageSource("late", tuple(map(late, images))), kernel_size=k, jobs=jobs)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        print(f"k {k}: files {1e3 * delay:.0f} ms late: {seconds:.2f} s, {cpu / seconds:.2f} processors busy")


def stages(images: list[np.ndarray], k: int, decode: float) -> None:
    """Print where the time of one thread goes, per image."""
    torch.set_num_threads(1)
    moments = PatchCovariance(3, k)
    for image in images[:20]:
        moments.update(image)
    profile = cProfile.Profile()
    profile.enable()
    for image in images:
        moments.update(image)
    profile.disable()
    measured = {(file, line): row[3] for (file, line, _), row in pstats.Stats(profile).stats.items()}
    print(f"stages, k {k}, one thread, ms per image (under a profiler, so somewhat slow):")
    print(f"  decode {1e3 * decode:.2f}")
    for label, function in (
        ("centre and convert", Centred.copy_to),
        ("transforms of tiles and products of their spectra", LagSpectra.add),
        ("views of strips and corners", borders_of),
        ("strips: transforms and products, many at a time", StripSpectra.take),
        ("corners: products, many at a time", CornerProducts.take),
        ("all", PatchCovariance.update),
    ):
        code = function.__code__
        seconds = measured[code.co_filename, code.co_firstlineno]
        print(f"  {label} {1e3 * seconds / len(images):.2f}")
    start = time.perf_counter()
    covariance = moments.finalize()
    middle = time.perf_counter()
    Deconvolution.from_covariance(covariance)
    print(f"  once: assembly {middle - start:.2f} s, inverse square root {time.perf_counter() - middle:.2f} s")


def other_methods(images: list[np.ndarray], k: int) -> None:
    """Print the time of the exact covariance by other means, all threads, per image."""
    torch.set_num_threads(os.cpu_count() or 1)
    few = images[:3]

    def seconds(function: object) -> float:
        start = time.perf_counter()
        for image in few:
            function(image)
        return (time.perf_counter() - start) / len(few)

    exact = seconds(PatchCovariance(3, k).update)
    exact = seconds(PatchCovariance(3, k).update)
    im2col = seconds(PatchCovariance(3, k, method="im2col").update)
    rows = seconds(lambda image: row_window_products(image / 255.0, k))
    print(
        f"k {k}, per image: patch matrix {im2col:.3f} s, sliding row window {rows:.3f} s, this {exact:.4f} s:"
        f" {im2col / exact:.0f} and {rows / exact:.0f} times as fast (float64, {len(few)} images)"
    )


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("-k", type=int, action="append")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()
    paths = [os.path.abspath(ref.name) for ref in resolve_source(options.folder)]
    print(f"{len(paths)} images, {options.jobs} threads, torch {torch.__version__}, {platform.machine()}")
    decoding(options.folder, options.jobs)  # into the file cache
    with tempfile.TemporaryDirectory() as folder:
        for k in options.k or [15, 3]:
            marginal_cost(paths, k, options.repeats, options.jobs, folder)
        large_photographs(paths, (options.k or [15])[0], options.jobs, folder)
    slow_storage(options.folder, (options.k or [15])[0], options.jobs)
    # Only now: a new process counts the memory of its parent as its peak.
    start = time.perf_counter()
    some = resolve_source(options.folder).subset(100, 0)
    images = [item.pixels.copy() for item in load_images(some, jobs=1) if isinstance(item, Decoded)]
    decode = (time.perf_counter() - start) / len(images)
    for k in options.k or [15, 3]:
        stages(images, k, decode)
        other_methods(images, k)


if __name__ == "__main__":
    main()
