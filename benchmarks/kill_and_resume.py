"""Kill a training run again and again, and compare its weights with those of a run that was not, to the bit.

    python benchmarks/kill_and_resume.py [--kills 20] [--arch vgg11] [--norm bn] [--epochs 6] [--seed 0] [--folder DIR]

Trains on 40 small images, in batches of 4: once without interruption, and once with SIGKILL at random moments, each
time going on with ``ndtools train --resume``. The state is written every half second. Every other kill waits until a
file is being written: then it comes at a random moment within the time that this took before. State and last network of
both runs have to be the same to the bit, and their records the same up to the seconds that they took.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from safetensors.numpy import load_file

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.small_set import write_small_set

LIMIT = 600.0  # seconds without progress after which the script gives up


def main() -> None:
    """Parse the command line, and measure in a temporary folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--arch", default="vgg11")
    parser.add_argument("--norm", default="bn")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        _measure(options, Path(name))


def _measure(options: argparse.Namespace, folder: Path) -> None:
    data = write_small_set(folder / "small", n_train=40, n_test=16, side=32)
    settings = [str(data), "--arch", options.arch, "--norm", options.norm, "--epochs", str(options.epochs), "-b", "4"]
    settings += ["--lr", "0.01", "-j", "1", "--device", "cpu", "--checkpoint-every", "0.5", "-o", str(folder)]
    started = time.monotonic()
    _ndtools("train", *settings, "--name", "whole", "-q").wait(LIMIT)
    whole, killed = folder / "whole", folder / "killed"
    cost = json.loads((whole / "result.json").read_text())["checkpoints"]
    writing = cost["seconds"] / max(cost["count"], 1)
    print(
        f"whole run: {len(_steps(whole))} steps, {time.monotonic() - started:.0f} s; the state is written"
        f" {cost['count']} times, {1000 * writing:.0f} ms each"
    )
    moments = random.Random(options.seed)
    within, kills, arguments = 0, 0, (*settings, "--name", "killed")
    per_kill = len(_steps(whole)) / (options.kills + 1)
    while kills < options.kills:
        process = _ndtools("train", *arguments, "-q")
        reach = min(round(per_kill * (kills + moments.random())), len(_steps(whole)) - 2)
        _wait(lambda reach=reach: len(_steps(killed)) >= reach and (killed / "run.json").exists(), process)
        if kills % 2:
            _wait(lambda process=process: _unfinished(killed, process.pid), process)
            time.sleep(writing * moments.random())
        else:
            time.sleep(0.3 * moments.random())
        process.kill()
        process.wait()
        if (killed / "result.json").exists():
            raise SystemExit(f"the run ended after {kills} kills: give more --epochs, or fewer --kills")
        kills += 1
        caught = [path.name for path in _unfinished(killed, process.pid)]
        within += bool(caught)
        print(
            f"kill {kills}: after step {len(_steps(killed))}{', while writing ' + ', '.join(caught) if caught else ''}"
        )
        arguments = ("--resume", str(killed))
    _ndtools("train", *arguments, "-q").wait(LIMIT)
    same = [_compare(whole / name, killed / name) for name in ("state.safetensors", "last.safetensors")]
    records = [[{**step, "seconds": 0} for step in _steps(run)] for run in (whole, killed)]
    leftovers = _unfinished(killed)
    print(
        f"{kills} kills, {within} of them while a file was being written: state {same[0]}, network {same[1]},"
        f" records {'equal' if records[0] == records[1] else 'DIFFERENT'}, files left over: {len(leftovers)}"
    )
    if same != ["equal", "equal"] or records[0] != records[1] or leftovers:
        raise SystemExit(1)


def _ndtools(*arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-W", "ignore", "-m", "ndtools", *arguments]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def _steps(run: Path) -> list[dict[str, float]]:
    path = run / "steps.jsonl"
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


def _unfinished(run: Path, process: int | str = "*") -> list[Path]:
    return list(run.glob(f".*.{process}.tmp"))


def _wait(condition, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + LIMIT
    while not condition():
        if process.poll() is not None:
            raise SystemExit(f"the run ended by itself: {process.stderr.read().decode()}")
        if time.monotonic() > end:
            process.kill()
            raise SystemExit(f"nothing happened for {LIMIT:.0f} s")
        time.sleep(0.002)


def _compare(one: Path, other: Path) -> str:
    first, second = load_file(one), load_file(other)
    if first.keys() != second.keys():
        return "DIFFERENT"
    return "equal" if all(first[key].tobytes() == second[key].tobytes() for key in first) else "DIFFERENT"


if __name__ == "__main__":
    main()
