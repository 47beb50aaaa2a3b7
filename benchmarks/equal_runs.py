"""Whether two runs of every command write the same files, byte by byte.

    python benchmarks/equal_runs.py [--images SOURCE] [--only NAME ...]

Two processes run all commands, each in a folder of its own, and write the figures as PNG, PDF and SVG. The table says
how many files of each result are equal. The time that a run took is left out of .json files, and `timing`, whose
numbers are times, is left out. Checkpoints are those of `convert` and `fold`. It exits with 1 if any file
differs or is missing in one of the folders.
"""

import argparse
import json
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.all_commands import EXPERIMENTS
from benchmarks.all_commands import run as run_command

COMPARED = [name for name in EXPERIMENTS if name != "timing"]
CHECKPOINTS = "checkpoints"
SECONDS = re.compile(rb'("seconds(?:_per_epoch)?": )[0-9.e+-]+')


def main() -> None:
    """Run all commands twice and compare, or, as one of the two processes, run them once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", default="sample")
    parser.add_argument("--only", nargs="+", choices=[*COMPARED, CHECKPOINTS], default=[*COMPARED, CHECKPOINTS])
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.once:
        for name in options.only:
            run_once(name, options.images)
        return
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        folders = [Path(one), Path(other)]
        for folder in folders:
            again = [sys.executable, str(Path(__file__).resolve()), "--once", "--images", options.images]
            run = subprocess.run([*again, "--only", *options.only], cwd=folder, capture_output=True, text=True)
            if run.returncode:
                sys.exit(run.stderr)
        sys.exit(compare(*folders))


def run_once(name: str, images: str) -> None:
    """Run a command in the working folder; its figures are drawn again, in another format, by `figure`."""
    if name == CHECKPOINTS:
        write_networks()
        run_command(["convert", "plain.safetensors", "--to", "converted.safetensors"])
        run_command(["fold", "trained.safetensors", "--to", "folded.safetensors"])
        return
    run_command([*shlex.split(EXPERIMENTS[name].format(images=shlex.quote(images))), "-q", "-o", ".", "--name", name])
    run_command(["figure", f"{name}.json", "--format", "pdf,svg", "--width", "85"])


def write_networks() -> None:
    """Write a network with batch normalisation, and one that deconvolves and has seen a batch."""
    import torch

    from ndtools.checkpoints.files import save_network
    from ndtools.layers.config import DeconvConfig
    from ndtools.models import build
    from ndtools.models.factories import batch_norm, deconv

    torch.manual_seed(0)
    save_network(build("vgg11", batch_norm(), num_classes=4), "plain.safetensors")
    network = build("vgg11", deconv(DeconvConfig()), num_classes=4)
    network(torch.randn(16, 3, 32, 32))
    save_network(network, "trained.safetensors")


def compare(one: Path, other: Path) -> bool:
    """Print how many files of each name are equal; return whether any are not."""
    names = sorted({path.name for folder in (one, other) for path in folder.iterdir()})
    differ = []
    for name in names:
        paths = [one / name, other / name]
        if not all(path.exists() for path in paths) or content(paths[0]) != content(paths[1]):
            differ.append(name)
    by_suffix: dict[str, list[str]] = {}
    for name in names:
        by_suffix.setdefault(Path(name).suffix, []).append(name)
    for suffix, of_kind in sorted(by_suffix.items()):
        equal = [name for name in of_kind if name not in differ]
        print(f"{suffix:<14}{len(equal):>4} of {len(of_kind)} files are equal")
    for name in differ:
        print(f"differs: {name}")
    return bool(differ)


def content(path: Path) -> bytes:
    """Return what a file holds, without the time that the run took."""
    data = path.read_bytes()
    if path.suffix == ".json":
        json.loads(data)  # which is whole
        data = SECONDS.sub(rb"\1", data)
    return data


if __name__ == "__main__":
    main()
