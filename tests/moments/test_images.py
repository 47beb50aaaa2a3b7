"""The threads that accumulate: what goes wrong in one of them stops all, soon."""

import random
import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image

import ndtools.moments.gathering as gathering
import ndtools.moments.images as module
from ndtools.computing import memory
from ndtools.data.images.reading import Decoded
from ndtools.data.images.sources import ImageRef, ImageSource, resolve_source
from ndtools.errors import NdtoolsError, OptionError
from ndtools.moments.images import image_moments
from ndtools.numerics.patch_covariance import PatchCovariance, memory_needed
from tests.waiting import wait_for


def source(count):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 20, 3), dtype=np.uint8))
    return ImageSource("test", tuple(ImageRef(str(i), lambda: picture) for i in range(count)))


@pytest.fixture
def endless(monkeypatch):
    """A source whose images never end; counts those taken, and knows whether it was closed."""

    class Endless:
        taken, closed = 0, False

        def load(self, *args, **kwargs):
            try:
                while True:
                    self.taken += 1
                    yield Decoded("x", np.zeros((3, 9, 9), np.uint8))
            finally:
                self.closed = True

    state = Endless()
    monkeypatch.setattr(gathering, "read_images", state.load)
    return state


@pytest.mark.parametrize("jobs", [1, 3])
def test_an_error_in_one_thread_stops_the_others(endless, monkeypatch, jobs):
    calls = []

    def update(self, image):
        calls.append(1)
        if len(calls) == 5:
            raise ZeroDivisionError("a bug")

    monkeypatch.setattr(PatchCovariance, "update", update)
    with pytest.raises(ZeroDivisionError):
        image_moments(source(10), kernel_size=3, jobs=jobs)
    wait_for(lambda: endless.closed)
    taken = endless.taken
    time.sleep(0.05)
    assert endless.taken == taken


def test_accumulators_that_cannot_be_made_stop_the_run(endless, monkeypatch):
    def fail(self, *args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(PatchCovariance, "__init__", fail)
    with pytest.raises(MemoryError):
        image_moments(source(10), kernel_size=3, jobs=2)
    wait_for(lambda: endless.closed)
    assert endless.taken <= 2


def test_interruption_does_not_wait_for_an_image_that_does_not_come(monkeypatch):
    after_the_end, came = threading.Event(), []

    def load(*args, **kwargs):
        yield Decoded("x", np.zeros((3, 9, 9), np.uint8))
        after_the_end.wait(60)
        came.append(1)

    def interrupt(done, total):
        raise KeyboardInterrupt

    monkeypatch.setattr(gathering, "read_images", load)
    with pytest.raises(KeyboardInterrupt):
        image_moments(source(2), kernel_size=3, jobs=2, progress=interrupt)
    assert not came
    after_the_end.set()


def test_threads_of_torch_are_as_before():
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    seen = []
    image_moments(source(2), kernel_size=3, progress=lambda *_: seen.append(torch.get_num_threads()))
    after = torch.get_num_threads()
    torch.set_num_threads(before)
    assert set(seen) == {1}
    assert after == before + 1


def test_every_thread_computes_with_itself_alone(monkeypatch):
    # The number that torch reports is that of the process; what MKL uses is that of the thread, which cannot be asked.
    told, original = set(), torch.set_num_threads

    def tell(number):
        told.add((threading.current_thread().name, number))
        original(number)

    monkeypatch.setattr(torch, "set_num_threads", tell)
    image_moments(source(8), kernel_size=3, jobs=2)
    assert {("gather_0", 1), ("MainThread", 1)} <= told


def test_no_more_accumulators_than_images(monkeypatch):
    made = []
    original = PatchCovariance.__init__

    def count(self, *args, **kwargs):
        made.append(1)
        original(self, *args, **kwargs)

    monkeypatch.setattr(PatchCovariance, "__init__", count)
    assert image_moments(source(1), kernel_size=3, jobs=16).read == 1
    assert len(made) == 1


def test_memory_limits_the_threads_and_the_patch(monkeypatch):
    needed = memory_needed(3, 5)
    monkeypatch.setattr(module, "free_memory", lambda: 4 * needed)
    assert [module._affordable(workers, needed) for workers in (1, 2, 8)] == [1, 2, 2]
    monkeypatch.setattr(module, "free_memory", lambda: needed - 1)
    assert image_moments(source(1), kernel_size=5).read == 1  # so little is tried
    monkeypatch.setattr(module, "CERTAIN", 0)
    with pytest.raises(OptionError, match="too large for this machine"):
        image_moments(source(1), kernel_size=5)


def test_few_accumulators_are_fed_by_more_threads_that_decode(monkeypatch):
    decoding = []
    original = gathering.load_images
    monkeypatch.setattr(module, "_affordable", lambda workers, needed: 1)
    monkeypatch.setattr(
        gathering, "load_images", lambda *args, **kw: decoding.append(kw["jobs"]) or original(*args, **kw)
    )
    assert image_moments(source(5), kernel_size=3, jobs=4).read == 5
    assert decoding == [4]


@pytest.mark.parametrize("option", ["jobs", "resize"])
def test_options_out_of_range_are_refused(option):
    with pytest.raises(OptionError, match=option):
        image_moments(source(1), kernel_size=3, **{option: 0})


def tensors_of(value):
    """All tensors that an object holds, by way of its attributes."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors_of(item)
    elif isinstance(value, list):
        for item in value:
            yield from tensors_of(item)
    elif type(value).__module__.startswith("ndtools"):
        yield from tensors_of(vars(value))


@pytest.mark.parametrize(("channels", "k"), [(1, 3), (3, 7), (3, 15)])
def test_memory_needed_bounds_what_images_of_many_sizes_hold(channels, k):
    moments = PatchCovariance(channels, k)
    for height, width in np.random.default_rng(0).integers(150, 700, (80, 2)):
        moments.update(np.zeros((channels, height, width), np.uint8))
    held = sum(t.nbytes for t in tensors_of(moments))
    assert 0.1 * memory_needed(channels, k) < held < memory_needed(channels, k)


def test_images_that_do_not_fit_into_the_memory_are_skipped(tmp_path, monkeypatch):
    for name, size in (("large.png", (4000, 3000)), ("small.png", (20, 20))):
        Image.new("RGB", size, (9, 20, 3)).save(tmp_path / name)
    monkeypatch.setattr(memory, "free_memory", lambda: 100_000_000)
    found = image_moments(resolve_source(tmp_path), kernel_size=3, jobs=2)
    assert found.read == 1
    (skipped,) = found.skipped
    assert skipped.name.endswith("large.png")
    assert skipped.reason == "an image of 4000 x 3000 pixels needs about 0.24 GB of memory, and 0.1 GB are free"


def test_large_images_are_used_one_after_the_other(tmp_path, monkeypatch):
    for i in range(6):
        Image.new("L", (1500, 1500), i).save(tmp_path / f"{i}.png")
    lock, at_work, most = threading.Lock(), 0, 0

    def add(accumulator, image):
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        time.sleep(0.02)
        with lock:
            at_work -= 1

    monkeypatch.setattr(gathering, "free_memory", lambda: 2 * 27_000_000)  # half of it is room for one
    assert gathering.gather(resolve_source(tmp_path), list, add, jobs=4).read == 6
    assert most == 1


def test_fewer_threads_gather_where_the_system_allows_no_more(monkeypatch):
    start, started = threading.Thread.start, []

    def limited(thread):
        if thread.name.startswith("gather"):
            if len(started) == limit:
                raise RuntimeError("can't start new thread")
            started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    limit = 2
    assert image_moments(source(10), kernel_size=3, jobs=6).read == 10
    limit = len(started)
    with pytest.raises(NdtoolsError, match="cannot start a thread"):
        image_moments(source(10), kernel_size=3, jobs=6)


@pytest.mark.parametrize("jobs", [2, 3])
def test_threads_get_the_same_images_in_every_run(monkeypatch, jobs):
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 255, (20 + i % 3, 20, 3), dtype=np.uint8)) for i in range(24)]
    images = ImageSource("test", tuple(ImageRef(str(i), lambda p=p: p) for i, p in enumerate(pictures)))
    delays = random.Random()
    original = PatchCovariance.update

    def update(self, image):
        time.sleep(delays.uniform(0, 0.004))
        return original(self, image)

    monkeypatch.setattr(PatchCovariance, "update", update)
    first, second = (image_moments(images, kernel_size=3, jobs=jobs).moments.finalize().matrix for _ in range(2))
    assert torch.equal(first, second)  # to the bit
