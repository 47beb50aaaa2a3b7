"""Sources that are far: in memory by fsspec, on a server of S3 on this machine, and on storage that fails."""

import io
import json
import subprocess
import sys
import tarfile
import zipfile

import numpy as np
import pytest
import torch

import ndtools as nd
from ndtools.console.storage import storage_from, without_values
from ndtools.data.images import far_files, retries
from ndtools.data.images.far_files import open_far
from ndtools.data.images.places import expand_braces, is_address
from ndtools.data.images.reading import load_images
from ndtools.data.images.retries import ShortReadError, is_transient, retried
from ndtools.data.images.sources import resolve_source
from ndtools.errors import DataError, NoUsableImageError, OptionError, UnreachableError
from tests.commands import invoke, numbers, save
from tests.places import ROOT
from tests.waiting import wait_for

fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed")


def tar_of(paths):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for path in paths:
            archive.add(path, path.name)
        for name in ("0.json", ".hidden.jpg"):  # as in shards of WebDataset; neither is an image
            archive.addfile(tarfile.TarInfo(name))
    return content.getvalue()


def fill(files, photos, root):
    """Put the pictures of a folder into storage: as files, as two tar archives, and as a zip archive."""
    paths = sorted(photos.glob("*.jpg"))
    for i, path in enumerate(paths):
        files.pipe_file(f"{root}/photos/{'sub/' if i % 2 else ''}{path.name}", path.read_bytes())
    files.pipe_file(f"{root}/photos/.hidden.jpg", b"")
    files.pipe_file(f"{root}/photos/notes.txt", b"no image")
    for i in (0, 1):
        files.pipe_file(f"{root}/shards/{i:03d}.tar", tar_of(paths[2 * i : 2 * i + 2]))
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        for path in paths:
            opened.write(path, path.name)
    files.pipe_file(f"{root}/all.zip", archive.getvalue())


@pytest.fixture
def memory(photos):
    files = fsspec.filesystem("memory")
    fill(files, photos, "/b")
    yield "memory://b"
    files.rm("/b", recursive=True)


def pixels(source):
    return [image.pixels for image in load_images(resolve_source(source), jobs=2)]


@pytest.fixture
def wanted(photos):
    return pixels(str(photos))


def equal(first, second):
    return len(first) == len(second) and all(map(np.array_equal, first, second))


@pytest.mark.parametrize(
    ("source", "order"),
    [
        ("{}/photos", (0, 2, 1, 3)),
        ("{}/photos/", (0, 2, 1, 3)),
        ("{}/photos/*.jpg", (0, 2)),
        ("{}/photos/**/*.jpg", (0, 2, 1, 3)),
        ("{}/photos/{{0,2}}.jpg", (0, 2)),
        ("{}/photos/sub/3.jpg", (3,)),
        ("{}/shards/*.tar", (0, 1, 2, 3)),
        ("{}/shards/{{000..001}}.tar", (0, 1, 2, 3)),
        ("{}/shards/001.tar", (2, 3)),
        ("{}/all.zip", (0, 1, 2, 3)),
    ],
)
def test_far_images_are_those_of_this_machine(memory, wanted, source, order):
    address = source.format(memory)
    found = pixels(address)
    assert equal(found, [wanted[i] for i in order])
    listed = resolve_source(address)
    assert len(listed) == len(order)  # which reads far archives
    assert [image.name for image in listed] == [entry.name for entry in listed.listed.entries]
    assert all(image.name.startswith(memory) for image in listed)


def test_far_archives_are_opened_once_and_listed_only_if_that_is_needed(memory, monkeypatch):
    opened = []
    place = type(resolve_source(f"{memory}/photos").entries[0].read.func.__self__)
    original = place.open
    monkeypatch.setattr(place, "open", lambda self, path: opened.append(path) or original(self, path))
    source = resolve_source(f"{memory}/shards/*.tar")
    assert (source.total, opened) == (None, [])
    assert nd.moments(f"{memory}/shards/*.tar", kernel_size=3).images == 4
    assert len(opened) == 2
    assert len(source.subset(3, 0)) == 3 and len(source.subset(2, 0)) == 2
    assert len(opened) == 4  # listed once
    assert [len(source.shard(i, 2)) for i in (1, 2)] == [2, 2]
    assert source.shard(1, 2).total is None
    assert source.shard(1, 4).total == 1


def test_far_and_near_have_the_same_bits(memory, photos, tmp_path):
    paths = sorted(photos.glob("*.jpg"))
    for i in (0, 1):
        (tmp_path / f"{i:03d}.tar").write_bytes(tar_of(paths[2 * i : 2 * i + 2]))
    near = nd.moments(f"{tmp_path}/{{000..001}}.tar", kernel_size=3, shards=2)
    far = nd.moments(f"{memory}/shards/{{000..001}}.tar", kernel_size=3, shards=2)
    assert torch.equal(near.covariance.matrix, far.covariance.matrix)
    assert torch.equal(near.covariance.mean, far.covariance.mean)


def test_lists_may_name_addresses_and_be_far(memory, wanted, tmp_path):
    (tmp_path / "list.txt").write_text(f"{memory}/photos/2.jpg\n{memory}/shards/000.tar\n{memory}/photos/2.jpg\n")
    source = resolve_source(f"@{tmp_path}/list.txt")
    assert source.repeated == 1
    assert equal(pixels(f"@{tmp_path}/list.txt"), [wanted[i] for i in (2, 0, 1)])
    fsspec.filesystem("memory").pipe_file("/b/list.txt", f"{memory}/photos/2.jpg\n".encode())
    assert equal(pixels(f"@{memory}/list.txt"), [wanted[2]])


def test_listing_is_counted(memory, photos):
    told = []
    for source in (f"{memory}/photos", str(photos)):
        resolve_source(source, progress=lambda *now: told.append(now))
    assert told == [(0, 2), (0, 4), (0, 4)]


def test_commands_read_addresses_and_record_no_secrets(memory, tmp_path, monkeypatch):
    out = ("-k", 3, "-o", tmp_path, "--format", "svg")
    monkeypatch.setattr(sys, "argv", ["ndtools", "covariance", "--storage-options", "secret=hush"])
    result = invoke("covariance", f"{memory}/shards/*.tar", *out, "--storage-options", "skip_instance_cache=true")
    assert result.exit_code == 0, result.stderr
    found = numbers(tmp_path, "covariance")
    assert found["images"]["read"] == 4 and found["input"] == f"{memory}/shards/*.tar"
    for path in tmp_path.iterdir():
        if path.is_file():
            assert b"hush" not in path.read_bytes()
    assert "secret=..." in found["command"]


def test_what_is_not_there(memory):
    why = r"can be used \(1 tried; No such file or directory"
    with pytest.raises(NoUsableImageError, match=f"memory://b/none.jpg {why}"):
        nd.moments(f"{memory}/none.jpg")
    with pytest.raises(DataError, match="cannot read the archive 'memory://b/none.tar': No such file"):
        nd.moments(f"{memory}/none.tar")
    with pytest.raises(DataError, match=r"no files match 'memory://b/\*.png'"):
        resolve_source(f"{memory}/*.png")
    with pytest.raises(DataError, match="cannot open 'nothing://x': Protocol not known"):
        resolve_source("nothing://x")


def test_options_that_a_storage_does_not_know(monkeypatch):
    def refuse(address, **options):
        raise TypeError(f"unexpected {list(options)}")

    monkeypatch.setattr("fsspec.core.url_to_fs", refuse)
    message = r"storage_options: must be known to memory:// addresses: unexpected \['other'\]"
    with pytest.raises(OptionError, match=message), nd.storage_options(other=1):
        resolve_source("memory://b")


def test_a_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(DataError, match="gs:// addresses need gcsfs: pip install gcsfs"):
        resolve_source("gs://bucket/photos")
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    message = r"s3:// addresses need the package fsspec: pip install 'ndtools\[remote\]' s3fs"
    with pytest.raises(DataError, match=message):
        resolve_source("s3://bucket/photos")


def test_fsspec_is_loaded_on_use_only(photos):
    code = f"""
import sys
from ndtools.data.images.sources import resolve_source
resolve_source({str(photos)!r})
assert not {{"fsspec", "pyarrow", "s3fs"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_addresses():
    for text in ("s3://b/x", "https://x.org/a.png?b=1", "simplecache::s3://b/x", "memory://"):
        assert is_address(text)
    for text in ("photos", "/a/b", "C:/photos", "a:b", "://x", "*.png"):
        assert not is_address(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a{1..3}", ["a1", "a2", "a3"]),
        ("{008..010}.tar", ["008.tar", "009.tar", "010.tar"]),
        ("{2..0}", ["2", "1", "0"]),
        ("{a,b}/{0..1}", ["a/0", "a/1", "b/0", "b/1"]),
        ("{a}b{}", ["{a}b{}"]),
        ("plain", ["plain"]),
    ],
)
def test_braces(text, expected):
    assert list(expand_braces(text)) == expected


def test_braces_without_end():
    for text in ("{0..9999999}", "{0..9999}/{0..9999}"):
        with pytest.raises(OptionError, match="a million files at most"):
            expand_braces(text)


def test_braces_of_this_machine_need_all_files(photos):
    assert [r.name for r in resolve_source(f"{photos}/{{0..2}}.jpg")] == [f"{photos}/{i}.jpg" for i in range(3)]
    with pytest.raises(DataError, match="no such file or folder: .*/4.jpg"):
        resolve_source(f"{photos}/{{3..5}}.jpg")
    save(photos / "{0..2}.jpg")  # a file of that name has precedence
    assert len(resolve_source(f"{photos}/{{0..2}}.jpg")) == 1


# What fails and passes.


class Status(Exception):
    """An error of a library for HTTP."""

    def __init__(self, status):
        super().__init__(f"status {status}")
        self.status = status


class ClientError(Exception):
    """An error of botocore."""

    def __init__(self, code):
        super().__init__(code)
        self.response = {"Error": {"Code": code}}


ServerDisconnectedError = type("ServerDisconnectedError", (Exception,), {})


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (ConnectionResetError(), True),
        (TimeoutError(), True),
        (ShortReadError("short"), True),
        (Status(503), True),
        (Status(429), True),
        (ClientError("SlowDown"), True),
        (ServerDisconnectedError(), True),
        (OSError(5, "Input/output error"), True),
        (Status(404), False),
        (Status(403), False),
        (ClientError("AccessDenied"), False),
        (FileNotFoundError(), False),
        (PermissionError(), False),
        (OSError("no number"), False),
        (ValueError("a bug"), False),
        (TypeError("a bug in a connection"), False),
    ],
)
def test_what_may_pass_is_tried_again(error, passes):
    assert is_transient(error) == passes
    calls, waits = [], []

    def call():
        calls.append(1)
        if len(calls) < 3:
            raise error
        return 7

    if not passes:
        with pytest.raises(type(error)):
            retried(call, sleep=waits.append)
        assert (len(calls), waits) == (1, [])
        return
    assert retried(call, sleep=waits.append) == 7
    assert len(waits) == 2 and 0.5 <= waits[0] <= 0.75 and 1 <= waits[1] <= 1.5
    calls[:] = [0] * -100
    with pytest.raises(UnreachableError, match="the storage does not answer .2 times tried"):
        retried(lambda: calls.clear() or call(), attempts=2, sleep=waits.append)


@pytest.fixture
def failing(memory, monkeypatch):
    """Storage of which every read fails a number of times, and that says how often it was asked."""
    files = fsspec.filesystem("memory")
    original, asked = files.cat_file, {}
    state = {"failures": 1, "error": ConnectionResetError("reset"), "asked": asked}

    def cat_file(path, start=None, end=None, **settings):
        asked[path, start] = asked.get((path, start), 0) + 1
        if asked[path, start] <= state["failures"]:
            raise state["error"]
        return original(path, start=start, end=end, **settings)

    monkeypatch.setattr(files, "cat_file", cat_file)
    monkeypatch.setattr(retries, "FIRST_DELAY", 0.001)
    monkeypatch.setattr(far_files, "BLOCK", 2**12)  # so that archives of the test have several
    return state


@pytest.mark.parametrize("source", ["{}/photos", "{}/shards/*.tar", "{}/all.zip"])
def test_reads_that_fail_are_made_again(failing, memory, wanted, source):
    found = pixels(source.format(memory))
    assert len(found) == 4 and all(any(np.array_equal(image, other) for other in wanted) for image in found)
    assert failing["asked"] and min(failing["asked"].values()) >= 2


@pytest.mark.parametrize("source", ["{}/photos", "{}/shards/*.tar"])
def test_storage_that_stays_away_ends_the_run_and_skips_nothing(failing, memory, source):
    failing["failures"] = 10**9
    with pytest.raises(UnreachableError, match="cannot read 'memory://b/.*': the storage does not answer"):
        nd.moments(source.format(memory), kernel_size=3)
    failing["error"] = PermissionError("denied")
    with pytest.raises(DataError, match="no access .denied.; give credentials"):
        nd.moments(source.format(memory), kernel_size=3)


@pytest.mark.parametrize("size", [0, 1, 999, 1000, 1001, 12345])
def test_a_far_file_is_the_file(size, monkeypatch):
    monkeypatch.setattr(far_files, "BLOCK", 1000)
    content = np.random.default_rng(0).bytes(size)
    with open_far(lambda start, end: content[start:end], size) as file:
        assert file.read() == content
        rng = np.random.default_rng(1)
        for _ in range(200):
            if rng.random() < 0.5:
                start = int(rng.integers(0, size + 10))
                assert file.seek(start) == start
            start, count = file.tell(), int(rng.integers(0, 2500))
            assert file.read(count) == content[start : start + count]
        assert file.seek(-1, io.SEEK_END) == size - 1 if size else True


def test_a_far_file_is_read_ahead_by_a_reader_that_goes_on(monkeypatch):
    monkeypatch.setattr(far_files, "BLOCK", 1000)
    asked = []

    def fetch(start, end):
        asked.append(start)
        return bytes(end - start)

    with open_far(fetch, 100_000) as file:
        file.seek(50_000)
        file.read(10)
        assert asked == [50_000]  # a jump, as into a zip archive, fetches what is wanted
        file.read(2000)
        wait_for(lambda: len(asked) >= 6)  # more than was read
    assert len(asked) < 30 and min(asked) == 50_000


# Tables.


def table_of(path, contents, name="image", nested=True):
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")
    column = [{"bytes": content, "path": "x.jpg"} for content in contents] if nested else contents
    table = pyarrow.table({"label": list(range(len(contents))), name: column})
    parquet.write_table(table, path, row_group_size=3)


def test_images_in_tables(memory, photos, wanted, tmp_path):
    contents = [path.read_bytes() for path in sorted(photos.glob("*.jpg"))]
    for nested, name in ((True, "photo"), (False, "anything")):
        table_of(tmp_path / "t.parquet", contents, name, nested)
        source = resolve_source(tmp_path / "t.parquet")
        assert [entry.name for entry in source.entries] == [f"{tmp_path}/t.parquet/{i}" for i in range(4)]
        assert equal(pixels(tmp_path / "t.parquet"), wanted)
    chosen = source.subset(2, seed=0)
    assert len(list(chosen)) == 2 and {image.name for image in chosen} <= {entry.name for entry in source.entries}
    fsspec.filesystem("memory").pipe_file("/b/t.parquet", (tmp_path / "t.parquet").read_bytes())
    assert equal(pixels(f"{memory}/*.parquet"), wanted)
    near, far = (nd.moments(name, kernel_size=3, shards=4) for name in (tmp_path / "t.parquet", f"{memory}/t.parquet"))
    assert torch.equal(near.covariance.matrix, far.covariance.matrix)


def test_tables_that_hold_no_images(tmp_path, monkeypatch):
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    pytest.importorskip("pyarrow.parquet").write_table(pyarrow.table({"x": [1], "y": ["a"]}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"no column that is known to hold images \(its columns: x, y\)"):
        resolve_source(tmp_path / "t.parquet")
    (tmp_path / "bad.parquet").write_bytes(b"no table")
    with pytest.raises(DataError, match="cannot read the archive .*bad.parquet"):
        resolve_source(tmp_path / "bad.parquet")
    table_of(tmp_path / "none.parquet", [b"no image", None])
    with pytest.raises(NoUsableImageError, match="2 tried"):
        nd.moments(tmp_path / "none.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(DataError, match="tables need the package pyarrow: pip install pyarrow"):
        resolve_source(tmp_path / "t.parquet")


# Options.


def test_options_of_storage():
    texts = ["anon=true", "key=a=b", "client_kwargs.region_name=eu", "client_kwargs.n=3", '{"x": [1]}']
    assert storage_from(texts) == {
        "anon": True, "key": "a=b", "client_kwargs": {"region_name": "eu", "n": 3}, "x": [1],
    }  # fmt: skip
    for text in ("hush", "=hush", "{hush"):
        with pytest.raises(OptionError) as error:
            storage_from([text])
        assert "hush" not in str(error.value)
    with pytest.raises(OptionError, match="one value, or options of its own"):
        storage_from(["a=1", "a.b=2"])


def test_values_are_not_shown():
    command = ["kernels", "s3://b", "--storage-options", "secret=hush", '--storage-options={"key": "hush"}', "-k", "3"]
    assert without_values(command) == [
        "kernels", "s3://b", "--storage-options", "secret=...", "--storage-options={...}", "-k", "3",
    ]  # fmt: skip


def test_options_hold_in_the_body_only():
    from ndtools.data.images.storage import current_options

    with nd.storage_options({"a": 1}, b=2):
        assert current_options() == {"a": 1, "b": 2}
    assert current_options() == {}
    with pytest.raises(TypeError), nd.storage_options(a=object()):
        pass
    assert current_options() == {}


def test_s3_on_this_machine(photos, wanted, tmp_path, unpainted):
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    server_module = pytest.importorskip("moto.server", reason="moto is not installed")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        options = {"key": "test", "secret": "hush", "endpoint_url": f"http://{host}:{port}"}
        files = fsspec.filesystem("s3", **options)
        files.mkdir("bucket")
        fill(files, photos, "bucket")
        with nd.storage_options(options):
            assert equal(pixels("s3://bucket/photos"), [wanted[i] for i in (0, 2, 1, 3)])
            assert equal(pixels("s3://bucket/shards/{000..001}.tar"), wanted)
            assert equal(pixels("s3://bucket/all.zip"), wanted)
            with pytest.raises(NoUsableImageError, match=r"s3://bucket/none.jpg can be used \(1 tried; No such file"):
                nd.moments("s3://bucket/none.jpg")
        for i in (1, 2):
            result = invoke(
                "kernels", "s3://bucket/shards/*.tar", "-k", 3, "--shard", f"{i}/2", "--save-moments",
                tmp_path / f"{i}.npz", "--storage-options", json.dumps(options),
            )  # fmt: skip
            assert result.exit_code == 0, result.stderr
        result = invoke("kernels", "--from-moments", tmp_path / "*.npz", "-o", tmp_path / "out")
        assert result.exit_code == 0, result.stderr
        alone = nd.moments("s3://bucket/shards/*.tar", kernel_size=3, storage_options=options)
        with np.load(tmp_path / "out" / "kernels.npz") as found:
            assert np.array_equal(found["covariance"], alone.covariance.matrix.numpy())
    finally:
        server.stop()
