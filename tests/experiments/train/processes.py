"""Run ndtools in processes of their own that start at once, so that tests can kill them."""

import multiprocessing
import os
import socket
import sys
import time

_SERVER = multiprocessing.get_context("forkserver")  # loads torch once, and computes nothing itself
_SERVER.set_forkserver_preload(
    [
        "tests.experiments.train.small_networks",
        "ndtools.runs.session",
        "ndtools.runs.figure",
        "torch._dynamo",  # which optimisers import
        "rich.table",
    ]
)


def _run(arguments, log, environment):
    os.environ.update(environment)
    multiprocessing.current_process()._config["daemon"] = False  # so that it may have processes that read images
    from tests.experiments.train import small_networks  # noqa: F401  (adds the networks)

    with open(log, "ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    import torch

    from ndtools.cli.app import main

    torch.set_num_threads(1)
    sys.argv = ["ndtools", *map(str, arguments)]
    sys.stdin = open(os.devnull)  # noqa: SIM115  (until the process ends)
    main()


def start(log, *arguments, environment=()):
    """Start ndtools with these arguments; what it prints is appended to the file ``log``."""
    process = _SERVER.Process(target=_run, args=(arguments, log, dict(environment)), daemon=True)
    process.start()
    return process


def finish(log, *arguments, limit=120):
    """Run ndtools to its end, and return its exit code."""
    process = start(log, *arguments)
    process.join(limit)
    if process.is_alive():
        process.kill()
        raise AssertionError(f"still running after {limit} s:\n{log.read_text()}")
    return process.exitcode


def until(condition, process, log, limit=60):
    """Wait until a condition holds while a process runs."""
    end = time.monotonic() + limit
    while not condition():
        assert process.is_alive(), log.read_text()
        assert time.monotonic() < end, f"nothing happened for {limit} s:\n{log.read_text()}"
        time.sleep(0.005)


def steps_of(run):
    """Count the steps that the folder of a run has records of."""
    path = run / "steps.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def begin(log, *arguments):
    """Start two processes that find each other."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [
        start(log, *arguments, environment=common | {"RANK": str(rank), "LOCAL_RANK": str(rank)}) for rank in range(2)
    ]


def end(processes, log, limit=60):
    for process in processes:
        process.join(limit)
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    assert None not in codes, log.read_text()
    return codes
