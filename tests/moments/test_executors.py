"""Moments of a source on executors: equal to the bit, whoever computes them and whatever happens to a worker."""

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor

import pytest
import torch

import ndtools as nd
from ndtools.data.images.sources import resolve_source
from ndtools.errors import DataError, NdtoolsError, NoUsableImageError, OptionError
from ndtools.moments import executors
from ndtools.moments.executors import LostTaskError, completed
from ndtools.moments.files import iterate_moments
from ndtools.moments.groups import moments_of_files
from ndtools.moments.origin import PatchSetting
from ndtools.moments.source import ShardTask, compute_shard
from tests.commands import invoke, save
from tests.places import ROOT

pytestmark = pytest.mark.usefixtures("unpainted")


def same(first, second):
    a, b = first.covariance, second.covariance
    return (
        torch.equal(a.matrix, b.matrix)
        and torch.equal(a.mean, b.mean)
        and (a.count, a.rounding)
        == (
            b.count,
            b.rounding,
        )
    )


def processes(count=2):
    # They are forked from one that has loaded torch and computed nothing: new ones would need seconds to load it.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ndtools.moments.source"])
    return ProcessPoolExecutor(count, context)


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(9):
        save(folder / f"{i}.png", size=(20 + i, 16), seed=i)
    return folder


class Backwards(Executor):
    """An executor whose tasks are done in the reverse order, by futures with no more than the usual methods."""

    class Later:
        def __init__(self, call, queue):
            self.call, self.queue, self.value = call, queue, None

        def done(self):
            if self.queue and self.queue[-1] is self:
                self.queue.pop()
                self.value = self.call()
            return self.value is not None

        def result(self):
            return self.value

        def cancel(self):
            return False

    def __init__(self):
        self.queue = []

    def submit(self, function, *arguments):
        # Arguments go through a pickle, as they do on their way to another machine.
        function, arguments = pickle.loads(pickle.dumps((function, arguments)))
        self.queue.append(self.Later(lambda: pickle.loads(pickle.dumps(function(*arguments))), self.queue))
        return self.queue[-1]


def test_all_executors_and_the_files_of_shards_give_the_same_bits(pictures, tmp_path):
    alone = nd.moments(pictures, kernel_size=3, shards=5)
    assert alone.images == 9
    told = []
    for executor in (ThreadPoolExecutor(3), processes(), Backwards()):
        found = nd.moments(pictures, kernel_size=3, shards=5, executor=executor, progress=lambda *now: told.append(now))
        assert same(found, alone), executor
        assert told == [(i, 5) for i in range(1, 6)]
        told.clear()
        executor.shutdown()
    paths = [tmp_path / f"{i}.npz" for i in range(1, 6)]
    for i, path in enumerate(paths, 1):
        options = ("-k", 3, "--shard", f"{i}/5", "--save-moments", path, "-j", 1 + i % 2)
        assert invoke("kernels", pictures, *options).exit_code == 0
    assert torch.equal(moments_of_files(list(map(str, paths[::-1]))).by_size[0].whole.matrix, alone.covariance.matrix)
    alone.save(tmp_path / "whole.npz")
    (again,) = list(iterate_moments([str(tmp_path / "whole.npz")]))
    assert same(again, alone) and again[1:6] == alone[1:6]
    other = nd.moments(pictures, kernel_size=3, shards=4)
    assert not same(other, alone)  # else the division into shards was without effect, and this test as well
    scale = alone.covariance.matrix.abs().max().item()
    torch.testing.assert_close(other.covariance.matrix, alone.covariance.matrix, rtol=0, atol=1e-6 * scale)


def test_a_worker_that_is_killed_has_its_shard_done_again(pictures):
    alone = nd.moments(pictures, kernel_size=3, shards=6)
    with processes() as executor:
        killed = []

        def kill(done, _):
            if not killed:
                killed.append(next(iter(executor._processes)))
                os.kill(killed[0], signal.SIGKILL)

        found = nd.moments(pictures, kernel_size=3, shards=6, executor=executor, progress=kill)
        assert killed and same(found, alone)
        with pytest.raises(BrokenExecutor):  # or nobody was killed in time
            executor.submit(int).result()


def test_processes_that_are_forked_are_refused(pictures):
    forking = ProcessPoolExecutor(2, multiprocessing.get_context("fork"))
    for executor in (forking, lambda: forking):
        with pytest.raises(OptionError, match="executor: must not fork processes, in which torch may hang: make it as"):
            nd.moments(pictures, kernel_size=3, executor=executor)


class Flaky(Executor):
    """An executor that loses some tasks, each a given number of times, as clusters do."""

    def __init__(self, losses, error):
        self.losses, self.error, self.begun = dict(losses), error, []

    def submit(self, function, argument, number, attempt):
        self.begun.append((number, attempt))
        future = Future()
        if self.losses.get(number, 0):
            self.losses[number] -= 1
            future.set_exception(self.error)
        else:
            future.set_result(function(argument, number, attempt))
        return future


def product(factor, number, attempt):
    return factor * number


KilledWorker = type("KilledWorker", (Exception,), {"__module__": "distributed.scheduler"})


@pytest.mark.parametrize("error", [KilledWorker("x"), ConnectionResetError("x"), EOFError("x")])
def test_lost_tasks_are_begun_again_and_counted_once(error):
    executor = Flaky({1: 2, 3: 1}, error)
    assert sorted(completed(executor, product, 10, range(5))) == [(i, 10 * i) for i in range(5)]
    assert sorted(executor.begun) == [(0, 0), (1, 0), (1, 1), (1, 2), (2, 0), (3, 0), (3, 1), (4, 0)]
    with pytest.raises(LostTaskError, match="task 1 was lost 3 times: x"):
        list(completed(Flaky({1: 3}, error), product, 10, range(5)))


def test_a_shard_that_kills_its_workers_ends_with_an_error(pictures):
    executor = Flaky({4: 9}, KilledWorker("out of memory"))
    message = r"shard 5/9 of .*pictures was not finished: its worker was lost 2 times \(out of memory\); it may lack"
    with pytest.raises(NdtoolsError, match=message):
        nd.moments(pictures, kernel_size=3, executor=executor, attempts=2)


def test_errors_of_the_task_are_no_losses():
    for error in (DataError("bad"), ZeroDivisionError("a bug")):
        executor = Flaky({1: 1}, error)
        with pytest.raises(type(error)):
            list(completed(executor, product, 10, range(3)))
        assert (1, 1) not in executor.begun


def test_a_broken_executor_of_another_kind_needs_a_function_that_makes_one():
    with pytest.raises(NdtoolsError, match="the executor is broken .*: give a function that makes an executor"):
        list(completed(Flaky({1: 1}, BrokenExecutor("lost")), product, 10, range(3)))
    losses = iter([{1: 1}, {1: 1}, {}])
    made = []

    def make():
        made.append(Flaky(next(losses), BrokenExecutor("lost")))
        return made[-1]

    assert sorted(completed(make, product, 10, range(3))) == [(0, 0), (1, 10), (2, 20)]
    assert len(made) == 3
    with pytest.raises(TypeError, match=r"must be a concurrent.futures.Executor, got int"):
        list(completed(3, product, 10, range(3)))


def test_interrupting_cancels_what_has_not_begun():
    with ThreadPoolExecutor(1) as executor:
        tasks = completed(executor, slow, 0.05, range(50))
        next(tasks)
        start = time.monotonic()
        tasks.close()
    assert time.monotonic() - start < 1  # not 50 tasks, of 2.5 seconds together


def slow(seconds, number, attempt):
    time.sleep(seconds)
    return number


def test_arguments_are_small(pictures):
    task = ShardTask(str(pictures), PatchSetting(), 3, resolve_source(pictures).listing, 1)
    assert len(pickle.dumps((compute_shard, task, 1, 0))) < 1000


def test_a_worker_that_sees_other_images(pictures):
    task = ShardTask(str(pictures), PatchSetting(kernel_size=3), 3, resolve_source(pictures).listing, 1)
    save(pictures / "new.png")
    with pytest.raises(DataError, match="holds other images here than where the work was divided"):
        compute_shard(task, 0)


def test_images_that_cannot_be_used(pictures):
    (pictures / "0.png").write_bytes(b"no picture")
    for name in ("1.png", "2.png"):
        save(pictures / name, size=(2, 2))
    found = nd.moments(pictures, kernel_size=3, shards=9, executor=processes())
    assert found.images == 6
    assert [image.name.rsplit("/")[-1] for image in found.skipped] == ["0.png", "1.png", "2.png"]
    with pytest.raises(NoUsableImageError, match=r"no image of .* can be used \(9 tried; .*0.png"):
        nd.moments(pictures, kernel_size=19)


def test_what_cannot_be_divided(pictures):
    with pytest.raises(OptionError, match="at most as many parts as .* has images, 9"):
        nd.moments(pictures, shards=10)
    with pytest.raises(OptionError, match="every worker can list"):
        nd.moments("-", executor=processes())
    with pytest.raises(OptionError, match="shards"):
        nd.moments(pictures, shards=0)


def test_the_function_has_the_name_of_a_package_that_was_imported_before():
    first = "import ndtools.moments.images; assert isinstance(nd.moments, type(nd))"
    code = f"import ndtools as nd; {first}; print(nd.moments('sample-photo', kernel_size=1).images)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout == "1\n"


def plus(first, second, _):
    return first + second


class Workerless(Executor):
    """A cluster like that of Dask, which has no workers at first, or ever."""

    def __init__(self, comes_after):
        self._client, self._comes_after, self.futures = self, comes_after, []

    def scheduler_info(self):
        self._comes_after -= 1
        if self._comes_after > 0:
            return {"workers": {}}
        for future, work, arguments in self.futures:
            future.set_result(work(*arguments))
        self.futures = []
        return {"workers": {"tcp://1": {}}}

    def submit(self, work, *arguments):
        self.futures.append((Future(), work, arguments))
        return self.futures[-1][0]


def test_a_cluster_without_workers_is_not_waited_for_for_ever(monkeypatch):
    monkeypatch.setattr(executors, "POLL", 0.01)
    monkeypatch.setattr(executors, "ASKED", 0.01)
    monkeypatch.setattr(executors, "WORKERLESS", 0.2)
    late = Workerless(3)
    assert dict(completed(late, plus, 10, range(3))) == {0: 10, 1: 11, 2: 12}
    never = Workerless(10**9)
    with pytest.raises(NdtoolsError, match=r"no worker for .* s: start some, .*wait_for_workers\(1\)"):
        list(completed(never, plus, 10, range(3)))
    assert all(future.cancelled() for future, _, _ in never.futures)


def test_another_pool_has_the_settings_of_the_first():
    with (
        ProcessPoolExecutor(
            3, multiprocessing.get_context("spawn"), initializer=print, initargs=("x",), max_tasks_per_child=2
        ) as pool,
        executors._like(pool) as like,
    ):
        for name in ("_max_workers", "_mp_context", "_initializer", "_initargs", "_max_tasks_per_child"):
            assert getattr(like, name) == getattr(pool, name)


def test_a_cluster_of_dask(pictures):
    distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed")
    alone = nd.moments(pictures, kernel_size=3, shards=6)
    with (
        distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None, silence_logs=50) as cluster,
        distributed.Client(cluster) as client,
    ):
        assert same(nd.moments(pictures, kernel_size=3, shards=6, executor=client.get_executor()), alone)
        workers = client.run(os.getpid)
        killed = []

        def kill(done, _):
            if not killed:
                killed.append(next(iter(workers.values())))
                os.kill(killed[0], signal.SIGKILL)

        found = nd.moments(pictures, kernel_size=3, shards=6, executor=client.get_executor(), progress=kill)
        assert killed and same(found, alone)
        with pytest.raises(NoUsableImageError, match="9 tried"):
            nd.moments(pictures, kernel_size=19, executor=client.get_executor())
