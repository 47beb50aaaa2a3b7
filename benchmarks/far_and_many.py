"""Moments of one set of photographs as files, as tar archives, in memory and on S3, by one process and by many.

    python benchmarks/far_and_many.py FOLDER [--shards 5] [-k 15]

S3 is a server of moto on the loopback address, in a process of its own. In each run on several workers, one of them is
killed after the first shard is done. All covariances of the archives must be equal to the bit.
"""

import argparse
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import fsspec
import torch

import ndtools as nd
from ndtools.data.images.sources import resolve_source


def fill_memory(folder: str) -> None:
    """Put the archives of a folder into the memory of this process, which memory:// names."""
    files = fsspec.filesystem("memory")
    for path in sorted(Path(folder).glob("*.tar")):
        files.pipe_file(f"/shards/{path.name}", path.read_bytes())


def make_archives(source: str, folder: str, shards: int) -> None:
    """Write the images of a source as tar archives, neighbours together."""
    names = [reference.name for reference in resolve_source(source)]
    for i in range(shards):
        with tarfile.open(f"{folder}/{i:03d}.tar", "w") as archive:
            for name in names[i * len(names) // shards : (i + 1) * len(names) // shards]:
                archive.add(name, os.path.basename(name))


def serve_s3(folder: str) -> tuple[subprocess.Popen, dict[str, str]]:
    """Start a server of S3 that has the archives of a folder, and return it with the options of its storage."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    options = {"key": "test", "secret": "test", "endpoint_url": f"http://127.0.0.1:{port}"}
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    files = fsspec.filesystem("s3", **options)
    files.mkdir("photographs")
    for path in sorted(Path(folder).glob("*.tar")):
        files.pipe_file(f"photographs/{path.name}", path.read_bytes())
    return server, options


def processes(folder: str) -> ProcessPoolExecutor:
    """Return a pool of two processes, whose memory has the archives."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ndtools.moments.source"])
    return ProcessPoolExecutor(2, context, initializer=fill_memory, initargs=(folder,))


class Killer:
    """Progress that kills a worker after the first shard."""

    def __init__(self, workers) -> None:
        self.workers, self.killed = workers, None

    def __call__(self, done: int, total: int) -> None:
        """Kill a worker, once."""
        if self.killed is None:
            self.killed = next(iter(self.workers()))
            os.kill(self.killed, signal.SIGKILL)


def main() -> None:
    """Run the comparison, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--shards", type=int, default=5)
    parser.add_argument("-k", type=int, default=15)
    parser.add_argument("--engines", default="one,processes,dask", help="engines, separated by commas")
    parser.add_argument("--places", default="tar,memory,s3", help="places for several workers, separated by commas")
    options = parser.parse_args()
    wanted = []

    def measure(label, source, **settings) -> None:
        start, begun = time.perf_counter(), time.process_time()
        found = nd.moments(source, kernel_size=options.k, shards=options.shards, **settings)
        seconds, busy = time.perf_counter() - start, time.process_time() - begun
        wanted.append(found.covariance)
        same = torch.equal(found.covariance.matrix, wanted[0].matrix) and torch.equal(
            found.covariance.mean, wanted[0].mean
        )
        killed = getattr(settings.get("progress"), "killed", None)
        print(
            f"{label:42} {found.images:4} images {seconds:7.1f} s {found.images / seconds:6.1f}/s"
            f"  {1000 * busy / found.images:5.1f} ms of this process an image"
            f"  {'equal to the bit' if same else 'DIFFERENT'}{'  (a worker killed)' if killed else ''}",
            flush=True,
        )

    with tempfile.TemporaryDirectory() as folder:
        make_archives(options.folder, folder, options.shards)
        names = f"{{000..{options.shards - 1:03d}}}.tar"
        fill_memory(folder)
        server, s3 = serve_s3(folder)
        try:
            near, memory, far = f"{folder}/{names}", f"memory://shards/{names}", f"s3://photographs/{names}"
            places = {"tar": (near, {}), "memory": (memory, {}), "s3": (far, s3)}
            chosen = [(place, *places[place]) for place in options.places.split(",")]
            measure("tar, one process", near)
            if "one" in options.engines:
                measure("files, one process", options.folder)
                measure("memory, one process", memory)
                measure("s3, one process", far, storage_options=s3)
            for label, source, storage in chosen if "processes" in options.engines else ():
                with processes(folder) as pool:
                    killer = Killer(lambda pool=pool: pool._processes) if source is not near else None
                    measure(f"{label}, 2 processes", source, executor=pool, storage_options=storage, progress=killer)
            if "dask" not in options.engines:
                return
            from distributed import Client, LocalCluster, WorkerPlugin

            class Fill(WorkerPlugin):
                def setup(self, worker) -> None:  # noqa: D102
                    fill_memory(folder)

            with (
                LocalCluster(2, threads_per_worker=1, dashboard_address=None, silence_logs=50) as cluster,
                Client(cluster) as client,
            ):
                client.register_plugin(Fill())
                pool = client.get_executor()
                for label, source, storage in chosen:
                    pids = list(client.run(os.getpid).values())
                    killer = Killer(lambda pids=pids: pids) if source is not near else None
                    measure(
                        f"{label}, Dask, 2 workers", source, executor=pool, storage_options=storage, progress=killer
                    )
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
