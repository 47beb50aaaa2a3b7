"""Memory and time of training on a CPU, with the allocator as `ndtools` sets it and as the C library has it.

    python benchmarks/training_memory.py [--arch mobilenet_v2] [--norm deconv-reference] [--batch-size 128] [--steps 40]

Each is a process of its own, on one thread, one after the other. Memory is the resident size after each tenth of the
steps, time the median of the processor time of a step.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STEPS = """
import json, resource, sys, time
from ndtools.computing.memory import prepare_allocator
arch, norm, size, steps, ours = json.loads(sys.argv[1])
if ours:
    prepare_allocator()
import torch
from torch.nn.functional import cross_entropy
from ndtools.models import build
torch.set_num_threads(1)
images, labels = torch.randn(size, 3, 32, 32), torch.randint(10, (size,))
model = build(arch, norm)
seconds, resident = [], []
for step in range(steps):
    start = time.process_time()
    model.zero_grad()
    cross_entropy(model(images), labels).backward()
    seconds.append(time.process_time() - start)
    pages = int(open("/proc/self/statm").read().split()[1])
    resident.append(pages * resource.getpagesize())
print(json.dumps([seconds, resident]))
"""


def main() -> None:
    """Measure both, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", default="mobilenet_v2")
    parser.add_argument("--norm", default="deconv-reference")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=40)
    options = parser.parse_args()
    print(
        f"{options.arch}, {options.norm}, batches of {options.batch_size}; GB after each tenth of {options.steps} steps"
    )
    for name, ours in (("as ndtools sets it", True), ("as the C library has it", False)):
        about = json.dumps([options.arch, options.norm, options.batch_size, options.steps, ours])
        command = [sys.executable, "-W", "ignore", "-c", STEPS, about]
        done = subprocess.run(command, cwd=ROOT, env=os.environ, stdout=subprocess.PIPE, text=True, check=True)
        seconds, resident = json.loads(done.stdout)
        shown = resident[:: max(1, options.steps // 10)]
        sizes = " ".join(f"{size / 1e9:.1f}" for size in shown)
        print(
            f"{name:24s} {statistics.median(seconds):6.2f} s a step; {sizes}; at most {max(resident) / 1e9:.1f} GB",
            flush=True,
        )


if __name__ == "__main__":
    main()
