"""How many threads pay, on a quiet machine and beside as many busy processes as there are processors.

    python benchmarks/threads.py [--repeats 3] [--work mlp,regress,kernels,step]

Whole commands on built-in data, and training steps of a deconvolving VGG-11: with ndtools' own choice of threads and of
waiting, with one thread, and with all threads that wait as the OpenMP library has it by default. The three take turns;
the table has median seconds and their ratio to the best of the row. The machine should be quiet to begin with.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STEP = """
import sys, time, torch
sys.path.insert(0, {root!r})
from ndtools.models import build, factories
if {threads}:
    torch.set_num_threads({threads})
torch.manual_seed(0)
net, x = build("vgg11", factories.deconv()), torch.randn(32, 3, 32, 32)
for step in range(4):
    if step == 1:
        start = time.perf_counter()
    net(x).square().sum().backward()
print((time.perf_counter() - start) / 3)
"""
COMMANDS = {
    "mlp": ["mlp", "--epochs", "1", "--repeats", "1", "--block-size", "196", "--lr", "1"],
    "regress": ["regress", "--loss", "l2", "--iterations", "20", "--baseline-lr", "0.01"],
    "kernels": ["kernels", "sample"],
}
ARMS = ("default", "one thread", "all threads")


def seconds(work: str, arm: str) -> float:
    """Run a piece of work once and return how long it took."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "MKL_"))}
    processors = len(os.sched_getaffinity(0))
    if work == "step":
        if arm == "default":  # what the documentation recommends
            environment["GOMP_SPINCOUNT"] = "1000"
        code = STEP.format(root=str(ROOT), threads=1 if arm == "one thread" else 0)
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        return float(done.stdout)
    command = [sys.executable, str(ROOT / "cli.py"), *COMMANDS[work]]
    if arm == "one thread":
        command += ["--jobs", "1"]
    elif arm == "all threads":
        command += ["--jobs", str(processors)]
        environment["GOMP_SPINCOUNT"] = "300000"  # GNU OpenMP's own, where there are as many processors as threads
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        subprocess.run([*command, "--out", folder, "--quiet"], env=environment, check=True)
        return time.perf_counter() - start


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--work", default=",".join([*COMMANDS, "step"]))
    options = parser.parse_args()
    print(f"{'':16s}" + "".join(f"{arm:>22s}" for arm in ARMS))
    for busy in (False, True):
        spin = [sys.executable, "-c", "while True: pass"]
        others = [subprocess.Popen(spin) for _ in range(len(os.sched_getaffinity(0)) if busy else 0)]
        try:
            for work in options.work.split(","):
                taken: dict[str, list[float]] = {arm: [] for arm in ARMS}
                for _ in range(options.repeats):
                    for arm in ARMS:
                        taken[arm].append(seconds(work, arm))
                medians = [statistics.median(taken[arm]) for arm in ARMS]
                cells = "".join(f"{median:12.2f} s ({median / min(medians):5.2f})" for median in medians)
                print(f"{work:8s} {'busy' if busy else 'quiet':7s}{cells}", flush=True)
        finally:
            for other in others:
                other.kill()


if __name__ == "__main__":
    main()
