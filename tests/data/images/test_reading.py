import io
import os
import threading
import time
import zipfile

import numpy as np
import pytest
from PIL import Image

from ndtools.computing import memory
from ndtools.data.images import reading as images
from ndtools.data.images.reading import Decoded, Encoded, Skipped, iter_images, load_images, read_images
from ndtools.data.images.single import load_single
from ndtools.data.images.sources import ImageRef, ImageSource, resolve_source
from ndtools.errors import DataError, NdtoolsError, NumericalWarning, OptionError, SkippedImageWarning
from tests.commands import save
from tests.waiting import wait_for


def png(value, size=(6, 4)):
    file = io.BytesIO()
    Image.new("RGB", size, (value, value // 2, 7)).save(file, "PNG")
    return file.getvalue()


class Counted:
    """A source of pictures that counts how many have been asked for."""

    def __init__(self, count, size=(6, 4)):
        self.count, self.size = count, size
        self.begun = 0
        self.lock = threading.Lock()

    def read(self):
        with self.lock:
            self.begun += 1
        return Image.new("RGB", self.size)

    def source(self):
        nbytes = 3 * self.size[0] * self.size[1]
        refs = (ImageRef(str(i), self.read, size=lambda: nbytes) for i in range(self.count))
        return ImageSource("counted", tuple(refs))

    def settled(self):
        """Count once the threads seem to have stopped taking more: they may have taken fewer than they will."""
        before = -1
        while before != self.begun:
            before = self.begun
            time.sleep(0.05)
        return before


@pytest.mark.parametrize("jobs", [1, 2, 5, None])
def test_order_of_the_source_and_nothing_lost(jobs):
    rng = np.random.default_rng(0)
    delays = rng.uniform(0, 0.004, 60)

    def read(i):
        time.sleep(delays[i])
        return png(i)

    refs = tuple(ImageRef(f"{i}.png", lambda i=i: read(i)) for i in range(60))
    loaded = list(load_images(ImageSource("x", refs), jobs=jobs))
    assert [item.name for item in loaded] == [f"{i}.png" for i in range(60)]
    assert [int(item.pixels[0, 0, 0]) for item in loaded] == list(range(60))


def test_the_unreadable_is_skipped_in_its_place():
    def fail():
        raise DataError("lost")

    refs = (
        ImageRef("a", lambda: png(1)),
        ImageRef("b", fail),
        ImageRef("c", bytes),
        ImageRef("d", lambda: png(2)),
    )
    loaded = list(load_images(ImageSource("x", refs, (Skipped("folder", "locked"),))))
    assert [item.name for item in loaded] == ["folder", "a", "b", "c", "d"]
    assert loaded[0] == Skipped("folder", "locked")
    assert loaded[2] == Skipped("b", "lost")
    assert loaded[3] == Skipped("c", "empty file")
    assert isinstance(loaded[1], Decoded)
    assert isinstance(loaded[4], Decoded)


def test_no_memory_for_a_file_is_skipped():
    def fail():
        raise MemoryError

    (item,) = load_images(ImageSource("x", (ImageRef("a", fail),)))
    assert item == Skipped("a", "too large for the memory")


def test_an_unexpected_error_propagates():
    def fail():
        raise ZeroDivisionError

    loaded = load_images(ImageSource("x", (ImageRef("a", lambda: png(1)), ImageRef("b", fail))))
    assert next(loaded).name == "a"
    with pytest.raises(ZeroDivisionError):
        next(loaded)


def test_options_reach_the_decoder():
    source = ImageSource("x", (ImageRef("a", lambda: png(8)),))
    (item,) = load_images(source, gray=True, resize=2)
    assert item.pixels.shape == (1, 2, 3)


@pytest.mark.parametrize(("option", "value"), [("jobs", 0), ("jobs", -2), ("resize", 0)])
def test_bad_options_are_refused_before_any_work(option, value):
    with pytest.raises(OptionError, match=option):
        load_images(Counted(1).source(), **{option: value})


@pytest.mark.parametrize("jobs", [1, 3])
def test_the_look_ahead_is_bounded_in_number(jobs):
    counted = Counted(100)
    loaded = load_images(counted.source(), jobs=jobs)
    for consumed in range(1, 6):
        next(loaded)
        ahead = counted.settled() - consumed
        assert ahead <= 2 * jobs + 2
    wait_for(lambda: counted.begun >= consumed + 2 * jobs)  # and it does run ahead
    assert len(list(loaded)) == 95


def test_the_look_ahead_is_bounded_in_bytes(monkeypatch):
    counted = Counted(40, size=(100, 100))  # 30,000 bytes each
    monkeypatch.setattr(images, "LOOK_AHEAD_BYTES", 100_000)
    loaded = load_images(counted.source(), jobs=8)
    for consumed in range(1, 20):
        next(loaded)
        ahead = counted.settled() - consumed
        assert ahead <= 4  # three, and the next one, which need not wait for room
    wait_for(lambda: counted.begun >= consumed + 2)
    assert len(list(loaded)) == 21


def test_images_beyond_the_bound_still_come_one_by_one(monkeypatch):
    monkeypatch.setattr(images, "LOOK_AHEAD_BYTES", 1)
    assert len(list(load_images(Counted(10).source(), jobs=4))) == 10


def test_content_held_by_references_counts(monkeypatch):
    monkeypatch.setattr(images, "LOOK_AHEAD_BYTES", 1000)
    taken = []

    class Streamed(ImageSource):
        def __iter__(self):
            for i in range(20):
                taken.append(i)
                yield ImageRef(str(i), lambda: png(1), nbytes=600)

    loaded = load_images(Streamed("x", ()), jobs=4)
    next(loaded)
    next(loaded)
    assert len(taken) <= 4
    assert len(list(loaded)) == 18


def test_threads_work_at_the_same_time():
    barrier = threading.Barrier(3)

    def read():
        barrier.wait(timeout=60)  # breaks unless three are here together
        return png(0)

    refs = tuple(ImageRef(str(i), read) for i in range(6))
    assert len(list(load_images(ImageSource("x", refs), jobs=3))) == 6


def test_what_is_read_decodes_to_what_is_loaded():
    def fail():
        raise DataError("cannot be read")

    contents = {
        "a": lambda: png(9),
        "absent": fail,
        "b": lambda: Image.new("RGB", (6, 4)),
        "damaged": lambda: png(9)[:60],
    }
    source = ImageSource("x", tuple(ImageRef(name, read) for name, read in contents.items()), (Skipped("z", "odd"),))
    read = list(read_images(source, gray=True, resize=2))
    assert [type(item) for item in read] == [Skipped, Encoded, Skipped, Encoded, Encoded]
    assert (read[1].content, read[1].nbytes, read[3].nbytes) == (png(9), len(png(9)), 3 * 6 * 4)
    decoded = [item.decode() if isinstance(item, Encoded) else item for item in read]
    for ours, theirs in zip(decoded, load_images(source, gray=True, resize=2), strict=True):
        assert (type(ours), ours.name) == (type(theirs), theirs.name)
        if isinstance(ours, Skipped):
            assert ours.reason == theirs.reason
        else:
            np.testing.assert_array_equal(ours.pixels, theirs.pixels)


def test_reading_hides_the_latency_of_a_slow_storage():
    barrier = threading.Barrier(8)

    def read():
        barrier.wait(timeout=60)  # breaks unless so many are here together, whatever the number of processors
        return png(0)

    assert len(list(read_images(ImageSource("x", tuple(ImageRef(str(i), read) for i in range(16)))))) == 16
    with pytest.raises(OptionError, match="resize"):
        read_images(Counted(1).source(), resize=0)


@pytest.mark.parametrize("way", ["close", "interrupt"])
def test_an_early_end_drops_what_has_not_begun(way):
    after_the_end, begun, finished = threading.Event(), [], []

    def read(i):
        begun.append(i)
        if i >= 2:
            after_the_end.wait(60)
        finished.append(i)
        return png(i)

    before = set(threading.enumerate())
    source = ImageSource("x", tuple(ImageRef(str(i), lambda i=i: read(i)) for i in range(100)))
    loaded = load_images(source, jobs=1)
    next(loaded)
    next(loaded)
    wait_for(lambda: len(begun) == 3)  # a third is under way, and more are queued
    if way == "close":
        loaded.close()
    else:
        with pytest.raises(KeyboardInterrupt):
            loaded.throw(KeyboardInterrupt)
    assert finished == [0, 1]  # not even the one under way is waited for
    after_the_end.set()
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
        assert not thread.is_alive()
    assert begun == [0, 1, 2]


def test_a_zip_is_read_by_several_threads(tmp_path):
    rng = np.random.default_rng(1)
    pictures = rng.integers(0, 256, (40, 30, 20, 3), dtype=np.uint8)
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for i, picture in enumerate(pictures):
            file = io.BytesIO()
            Image.fromarray(picture).save(file, "BMP")
            archive.writestr(f"{i:02d}.bmp", file.getvalue())
    for _ in range(5):
        loaded = list(load_images(resolve_source(tmp_path / "x.zip"), jobs=8))
        np.testing.assert_array_equal(np.stack([item.pixels for item in loaded]), pictures.transpose(0, 3, 1, 2))


def test_iter_images_gives_floating_point_arrays(tmp_path):
    rng = np.random.default_rng(2)
    colour = rng.integers(0, 256, (4, 6, 3), dtype=np.uint8)
    deep = rng.integers(0, 65536, (4, 6), dtype=np.uint16)
    Image.fromarray(colour).save(tmp_path / "a.png")
    Image.fromarray(deep).save(tmp_path / "b.png")
    first, second = iter_images(tmp_path)
    np.testing.assert_allclose(first, colour.transpose(2, 0, 1) / 255, rtol=1e-6)
    np.testing.assert_allclose(second, np.stack([deep / 65535] * 3), rtol=1e-6)
    for array in (first, second):
        assert array.dtype == np.float32
        assert array.flags.c_contiguous
        assert array.flags.writeable


def test_iter_images_warns_of_what_it_skips(tmp_path):
    (tmp_path / "a.png").write_bytes(png(255))
    (tmp_path / "b.png").write_bytes(b"")
    with pytest.warns(SkippedImageWarning, match=r"skipped .*b\.png: empty file") as caught:
        arrays = list(iter_images(str(tmp_path)))
    assert len(arrays) == 1
    assert arrays[0].max() == 1
    assert caught[0].filename == __file__  # points at the loop, not into the library


def test_iter_images_takes_a_subset(tmp_path):
    for i in range(10):
        (tmp_path / f"{i}.png").write_bytes(png(i))
    source = resolve_source(tmp_path)
    chosen = [round(255 * float(array[0, 0, 0])) for array in iter_images(source, images=4, seed=5)]
    assert chosen == [int(ref.name[-5]) for ref in source.subset(4, 5)]
    assert len(chosen) == 4
    assert [array.shape for array in iter_images(source, images=1, gray=True, resize=2)] == [(1, 2, 3)]


def test_iter_images_fails_at_the_call_not_in_the_loop(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        iter_images(tmp_path / "absent")
    with pytest.raises(OptionError, match="images"):
        iter_images("sample", images=0)


def test_large_files_are_read_one_by_one(monkeypatch):
    """However many threads read: what is known of the sizes bounds what is read before any of it is consumed."""
    monkeypatch.setattr(images, "LOOK_AHEAD_BYTES", 1000)
    held, most, lock = 0, 0, threading.Lock()

    def read():
        nonlocal held, most
        with lock:
            held += 600
            most = max(most, held)
        return png(1)

    refs = tuple(ImageRef(str(i), read, size=lambda: 600) for i in range(50))
    for item in read_images(ImageSource("x", refs)):
        assert isinstance(item, Encoded)
        with lock:
            held -= 600
    assert most <= 3 * 600  # the next one, one more within the limit, and one between two takings


def test_fewer_threads_where_the_system_allows_no_more(monkeypatch):
    start, started = threading.Thread.start, []

    def limited(thread):
        if len(started) == 2:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    refs = tuple(ImageRef(str(i), lambda i=i: png(i)) for i in range(30))
    loaded = list(load_images(ImageSource("x", refs), jobs=8))
    assert [int(item.pixels[0, 0, 0]) for item in loaded] == list(range(30))
    assert len(started) == 2
    with pytest.raises(NdtoolsError, match="cannot start a thread: a limit on memory or processes"):
        list(load_images(ImageSource("x", refs), jobs=8))


def test_the_only_image_of_a_source(tmp_path):
    save(tmp_path / "a.png")
    assert load_single(str(tmp_path)).pixels.shape == (3, 30, 40)
    assert load_single(str(tmp_path), gray=True).pixels.shape == (1, 30, 40)
    os.symlink("nothing.png", tmp_path / "link.png")
    assert load_single(str(tmp_path)).name.endswith("a.png")
    (tmp_path / "b.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="holds 2 images, where one is wanted; name a file"):
        load_single(str(tmp_path))
    with pytest.raises(DataError, match="b.png: not an image that Pillow can read"):
        load_single(str(tmp_path / "b.png"))


def test_an_image_that_is_too_large_to_work_on_is_not_decoded(tmp_path, monkeypatch):
    Image.new("RGB", (800, 600)).save(tmp_path / "a.png")
    monkeypatch.setattr(memory, "free_memory", lambda: 50_000_000)
    assert load_single(str(tmp_path), working=100).pixels.shape == (3, 600, 800)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", None)
    message = "a.png: an image of 800 x 600 pixels needs about 0.096 GB of memory, and 0.05 GB are free; crop it"
    with pytest.raises(DataError, match=message):
        load_single(str(tmp_path), working=200)


@pytest.mark.parametrize("format", ["GIF", "TIFF", "PNG", "WEBP"])
def test_further_frames_are_counted(tmp_path, format):
    frames = [Image.new("L", (6, 5), 50 * i) for i in range(4)]
    frames[0].save(tmp_path / f"a.{format.lower()}", save_all=True, append_images=frames[1:])
    with pytest.warns(NumericalWarning, match=r"1 image has several frames, .*: .*a\.\w+ \(4 frames\)"):
        (image,) = iter_images(tmp_path)
    assert image.max() < 0.1
    with pytest.warns(NumericalWarning, match="only the first is used"):
        assert load_single(str(tmp_path)).frames == 4


@pytest.mark.parametrize(("format", "hinted"), [("GIF", False), ("TIFF", True)])
def test_the_pages_of_a_tiff_file_can_be_channels(tmp_path, format, hinted):
    frames = [Image.new("L", (6, 5), 50 * i) for i in range(4)]
    frames[0].save(tmp_path / f"a.{format.lower()}", save_all=True, append_images=frames[1:])
    with pytest.warns(NumericalWarning) as caught:
        list(iter_images(tmp_path))
    assert ("`axes`, as in CHW, reads all pages" in str(caught[0].message)) == hinted


def test_previews_are_no_frames(tmp_path):
    frames = [Image.new("RGB", (6, 5), 50 * i) for i in range(2)]
    frames[0].save(tmp_path / "a.mpo", "MPO", save_all=True, append_images=frames[1:])
    assert load_single(str(tmp_path)).frames == 1
