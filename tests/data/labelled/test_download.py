import errno
import gzip
import io
import os
import stat
import subprocess
import sys
import tarfile
import textwrap
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
import requests

from ndtools.data.labelled import download, locations
from ndtools.data.labelled.catalogue import KNOWN, Download
from ndtools.data.labelled.datasets import load_dataset
from ndtools.data.labelled.download import fetch, remedy, verify
from ndtools.errors import DataError, OutputError
from tests.labelled_files import IDX_NAMES, Server, idx, md5, serve_mnist
from tests.places import ROOT

pytestmark = pytest.mark.usefixtures("nothing_elsewhere")


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


@pytest.fixture
def mnist(server, monkeypatch):
    known = serve_mnist(server)
    monkeypatch.setitem(KNOWN, "mnist", known)
    return known


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


ALL = sorted(f"mnist/{name}.gz" for name in IDX_NAMES)


def test_success_and_nothing_twice(tmp_path, server, mnist):
    seen = []
    folder = fetch("mnist", data_dir=tmp_path / "sets", progress=lambda done, total: seen.append((done, total)))
    assert folder == tmp_path / "sets" / "mnist"
    assert files(tmp_path / "sets") == ALL
    assert load_dataset("mnist", data_dir=tmp_path / "sets").name == "mnist"
    assert sum(server.requests.values()) == 4
    total = sum(item.size for item in mnist.downloads)
    assert seen[-1] == (total, total)
    assert seen == sorted(seen)
    assert (folder / f"{IDX_NAMES[0]}.gz").stat().st_mode & 0o777 == 0o644
    fetch("mnist", data_dir=tmp_path / "sets")
    assert sum(server.requests.values()) == 4


def test_only_what_is_absent_or_wrong_is_fetched(tmp_path, server, mnist):
    folder = fetch("mnist", data_dir=tmp_path)
    (folder / f"{IDX_NAMES[0]}.gz").write_bytes(gzip.compress(idx([1, 2])))
    (folder / f"{IDX_NAMES[1]}.gz").unlink()
    plain = gzip.decompress((folder / f"{IDX_NAMES[2]}.gz").read_bytes())
    (folder / f"{IDX_NAMES[2]}.gz").unlink()
    (folder / IDX_NAMES[2].replace("-idx", ".idx")).write_bytes(plain)  # right, in another spelling
    server.requests.clear()
    fetch("mnist", data_dir=tmp_path)
    assert sorted(server.requests) == [f"/a/{name}.gz" for name in IDX_NAMES[:2]]
    assert load_dataset("mnist", data_dir=tmp_path).name == "mnist"


def test_where_it_is_put(tmp_path, mnist, monkeypatch):
    assert fetch("mnist") == tmp_path / "cache" / "mnist"
    monkeypatch.setenv("NDTOOLS_DATA", str(tmp_path / "variable"))
    assert fetch("mnist") == tmp_path / "variable" / "mnist"
    monkeypatch.undo()
    monkeypatch.delenv("NDTOOLS_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    if sys.platform == "linux":
        assert locations.home() == tmp_path / "xdg" / "ndtools" / "data"


@pytest.mark.parametrize("fault", ["404", "broken", "wrong", "longer", "endless"])
def test_the_next_mirror_is_tried(tmp_path, server, mnist, fault):
    path = f"/a/{IDX_NAMES[0]}.gz"
    right = server.content[path]
    match fault:
        case "404":
            del server.content[path]
        case "broken":
            server.broken.add(path)
        case "wrong":
            server.content[path] = right[:-1] + bytes([right[-1] ^ 1])
        case "longer":
            server.content[path] = right + b"\0"
        case "endless":
            server.content[path] = bytes(1 << 16)
            server.endless.add(path)
    folder = fetch("mnist", data_dir=tmp_path)
    assert server.requests[path] == server.requests[path.replace("/a/", "/b/")] == 1
    assert (folder / f"{IDX_NAMES[0]}.gz").read_bytes() == right
    assert files(tmp_path) == ALL


def test_all_mirrors_fail(tmp_path, server, mnist):
    a, b = f"/a/{IDX_NAMES[1]}.gz", f"/b/{IDX_NAMES[1]}.gz"
    del server.content[a]
    server.broken.add(b)
    with pytest.raises(DataError) as caught:
        fetch("mnist", data_dir=tmp_path)
    for part in (
        f"cannot fetch {IDX_NAMES[1]}.gz of mnist",
        f"{server.url}{a}: 404 Not Found",
        f"{server.url}{b}: the connection broke off",
    ):
        assert part in str(caught.value)
    # What came whole stays and is not fetched again; no part of the other is left.
    assert files(tmp_path) == [f"mnist/{IDX_NAMES[0]}.gz"]
    server.broken.clear()
    server.requests.clear()
    fetch("mnist", data_dir=tmp_path)
    assert f"/a/{IDX_NAMES[0]}.gz" not in server.requests


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"x" * 50, "wrong checksum"), (bytes(10_000_000), "it sends more bytes than the file has")],
)
def test_a_wrong_file_is_never_accepted(tmp_path, server, mnist, content, reason):
    for mirror in "ab":
        server.content[f"/{mirror}/{IDX_NAMES[0]}.gz"] = content
    with pytest.raises(DataError, match=reason):
        fetch("mnist", data_dir=tmp_path)
    assert files(tmp_path) == []


def test_no_connection(tmp_path, monkeypatch):
    item = replace(KNOWN["mnist"].downloads[0], mirrors=("http://127.0.0.1:9/x",))
    monkeypatch.setitem(KNOWN, "mnist", replace(KNOWN["mnist"], downloads=(item,)))
    with pytest.raises(DataError, match="127.0.0.1:9/x/train-images-idx3-ubyte.gz: cannot connect"):
        fetch("mnist", data_dir=tmp_path)

    def late(*_, **__):
        raise requests.ReadTimeout

    monkeypatch.setattr(requests, "get", late)
    with pytest.raises(DataError, match="no answer within 30 s"):
        fetch("mnist", data_dir=tmp_path)


def test_a_full_disk(tmp_path, server, mnist, monkeypatch):
    import pooch

    class Full(pooch.HTTPDownloader):
        def __call__(self, url, output_file, *_, **__):
            Path(output_file).write_bytes(b"some")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pooch, "HTTPDownloader", Full)
    with pytest.raises(OutputError, match="cannot write to '.*mnist': No space left on device; make room"):
        fetch("mnist", data_dir=tmp_path)
    assert files(tmp_path) == []
    assert not server.requests


def test_a_folder_that_cannot_be_made(tmp_path, mnist):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="cannot write to '.*file/mnist': Not a directory"):
        fetch("mnist", data_dir=tmp_path / "file")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_pipe_in_place_of_a_file_is_refused(tmp_path, server, mnist):
    (tmp_path / "mnist").mkdir()
    os.mkfifo(tmp_path / ALL[0])
    with pytest.raises(OutputError, match=f"cannot write .*{ALL[0]}: it is not a regular file; remove it"):
        fetch("mnist", data_dir=tmp_path)
    assert stat.S_ISFIFO((tmp_path / ALL[0]).stat().st_mode)


def test_what_cannot_be_fetched():
    with pytest.raises(DataError, match="glyphs is built in"):
        fetch("glyphs")
    with pytest.raises(DataError, match="did you mean mnist"):
        fetch("mnits")


def test_interrupted(tmp_path, mnist):
    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch("mnist", data_dir=tmp_path, progress=stop)
    assert files(tmp_path) == []


def test_two_processes_at_once(tmp_path, server, mnist):
    script = textwrap.dedent(f"""
        import sys
        from dataclasses import replace
        from ndtools.data.labelled.catalogue import KNOWN, Download
        from ndtools.data.labelled.download import fetch
        items = {[(item.file, item.md5, item.size, item.mirrors) for item in mnist.downloads]!r}
        KNOWN["mnist"] = replace(
            KNOWN["mnist"], md5={dict(mnist.md5)!r}, downloads=tuple(Download(*item) for item in items)
        )
        sys.stdin.read()
        fetch("mnist", data_dir={str(tmp_path)!r})
    """)
    processes = [
        subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    for process in processes:
        process.stdin.close()
        process.stdin = None
    for process in processes:
        _, stderr = process.communicate(timeout=300)
        assert process.returncode == 0, stderr
        assert stderr == b""
    assert files(tmp_path) == ALL
    assert {status for _, status in verify("mnist", tmp_path)} == {"ok"}


def test_verify(tmp_path, mnist):
    assert [status for _, status in verify("mnist", None)] == ["missing"] * 4
    folder = fetch("mnist", data_dir=tmp_path)
    assert verify("mnist", tmp_path) == [(folder / f"{name}.gz", "ok") for name in IDX_NAMES]
    (folder / f"{IDX_NAMES[0]}.gz").write_bytes(gzip.compress(b"other"))
    content = (folder / f"{IDX_NAMES[1]}.gz").read_bytes()
    (folder / f"{IDX_NAMES[1]}.gz").write_bytes(content[:-1])
    (folder / f"{IDX_NAMES[2]}.gz").unlink()
    found = [status for _, status in verify("mnist", tmp_path)]
    assert found == ["wrong checksum", "unreadable or damaged", "missing", "ok"]
    assert verify("glyphs") == []
    with pytest.raises(DataError, match="no such folder"):
        verify("mnist", tmp_path / "absent")


@pytest.mark.parametrize("where", ["DIR/mnist", "DIR", "DIR/MNIST/raw", "mnist", "mnist/MNIST/raw"])
@pytest.mark.parametrize("by", ["data_dir", "environment", "folder"])
@pytest.mark.parametrize("packed", [True, False])
def test_the_advice_mends_what_was_found(tmp_path, mnist, monkeypatch, where, by, packed):
    given = tmp_path / where.split("/")[0]
    folder = tmp_path / where
    folder.mkdir(parents=True)
    for path in fetch("mnist", data_dir=tmp_path / "elsewhere").iterdir():
        content = path.read_bytes()
        (folder / (path.name if packed else path.stem)).write_bytes(content if packed else gzip.decompress(content))
    if by == "environment":
        monkeypatch.setenv("NDTOOLS_DATA", str(given))
    data_dir = given if by == "data_dir" else None

    def load():
        return load_dataset(str(given) if by == "folder" else "mnist", data_dir=data_dir)

    assert load().name == "mnist"
    path = folder / (f"{IDX_NAMES[0]}.gz" if packed else IDX_NAMES[0])
    content = gzip.decompress(path.read_bytes()) if packed else path.read_bytes()
    content = content[:-1] + bytes([content[-1] ^ 1])
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(DataError) as caught:
        load()
    store = tmp_path if where.startswith("mnist") else given
    command = f"ndtools data fetch mnist --data-dir {store}"
    assert str(caught.value).startswith(str(path))
    assert f"delete it and fetch it again with '{command}'" in str(caught.value)
    listed = verify("mnist", given)
    delete = "" if folder == store / "mnist" else f"delete '{path}' and "
    assert remedy("mnist", listed, given) == f"{delete}fetch mnist with '{command}'"
    if by == "folder" or delete:
        path.unlink()
    fetch("mnist", data_dir=store)
    assert load().name == "mnist"
    assert {status for _, status in verify("mnist", given)} == {"ok"}


def test_the_advice_for_the_cache_needs_no_folder(tmp_path, mnist):
    folder = fetch("mnist")
    (folder / f"{IDX_NAMES[0]}.gz").write_bytes(b"")
    with pytest.raises(DataError, match="fetch it again with 'ndtools data fetch mnist',"):
        load_dataset("mnist")
    with pytest.raises(DataError, match="fetch it again with 'ndtools data fetch mnist',"):
        load_dataset(str(folder))
    assert remedy("mnist", verify("mnist")) == "fetch mnist with 'ndtools data fetch mnist'"


PICKLED = {
    name: name.encode() * 100 for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"]
}


def tar(members):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            else:
                info.type, info.linkname = content
                archive.addfile(info)
    return stream.getvalue()


def regular(**changes):
    return [(f"cifar-10-batches-py/{name}", content) for name, content in (PICKLED | changes).items()]


@pytest.fixture
def cifar(server, monkeypatch):
    """Return a function that serves an archive, its checksum known."""

    def serve(archive):
        server.content["/a/cifar.tar.gz"] = archive
        item = Download("cifar.tar.gz", md5(archive), len(archive), (f"{server.url}/a",))
        checksums = {name: md5(content) for name, content in PICKLED.items()}
        known = replace(KNOWN["cifar10"], md5=MappingProxyType(checksums), downloads=(item,))
        monkeypatch.setitem(KNOWN, "cifar10", known)

    return serve


def test_archive(tmp_path, server, cifar):
    cifar(tar([("cifar-10-batches-py", (tarfile.DIRTYPE, "")), *regular(), ("cifar-10-batches-py/readme.html", b"x")]))
    folder = fetch("cifar10", data_dir=tmp_path)
    assert folder == tmp_path / "cifar10" / "cifar-10-batches-py"
    assert files(tmp_path) == sorted(f"cifar10/cifar-10-batches-py/{name}" for name in PICKLED)
    assert sorted(path.name for path in (tmp_path / "cifar10").iterdir()) == ["cifar-10-batches-py"]
    assert {status for _, status in verify("cifar10", tmp_path)} == {"ok"}
    assert len(verify("cifar10", tmp_path)) == 7
    fetch("cifar10", data_dir=tmp_path)
    assert server.requests["/a/cifar.tar.gz"] == 1
    (folder / "data_batch_2").write_bytes(b"damaged")
    fetch("cifar10", data_dir=tmp_path)
    assert server.requests["/a/cifar.tar.gz"] == 2
    assert (folder / "data_batch_2").read_bytes() == PICKLED["data_batch_2"]


@pytest.mark.parametrize(
    "kind", [(tarfile.SYMTYPE, "data_batch_2"), (tarfile.LNKTYPE, "../../x"), (tarfile.CHRTYPE, "")]
)
def test_links_and_devices_are_refused(tmp_path, cifar, kind):
    cifar(tar([*regular(), ("cifar-10-batches-py/data_batch_1", kind)]))
    with pytest.raises(DataError, match="cifar.tar.gz is refused.*data_batch_1' in it is not a regular file"):
        fetch("cifar10", data_dir=tmp_path / "sets")
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    "member",
    [
        ("../evil", b"x"),
        ("cifar-10-batches-py/../../evil", b"x"),
        ("/tmp/evil", b"x"),
        ("cifar-10-batches-py", (tarfile.SYMTYPE, "..")),
        ("cifar-10-batches-py/other", b"x"),
        ("cifar-10-batches-py/evil", (tarfile.SYMTYPE, "/etc/passwd")),
        ("top", (tarfile.CHRTYPE, "")),
    ],
)
def test_nothing_else_is_unpacked(tmp_path, cifar, member):
    cifar(tar([member, *regular(), member]))
    folder = fetch("cifar10", data_dir=tmp_path / "sets")
    assert sorted(path.name for path in folder.iterdir()) == sorted(PICKLED)
    assert files(tmp_path) == sorted(f"sets/cifar10/cifar-10-batches-py/{name}" for name in PICKLED)


@pytest.mark.parametrize(
    ("archive", "message"),
    [
        (tar(regular()[1:]), "lacks cifar-10-batches-py/data_batch_1"),
        (tar(regular(test_batch=b"other")), "cifar-10-batches-py/test_batch in it has a wrong checksum"),
        (b"no archive", "is damaged"),
        (tar(regular())[:-60], "is damaged|lacks"),
    ],
)
def test_archives_that_are_not_right(tmp_path, cifar, archive, message):
    cifar(archive)
    with pytest.raises(DataError, match=message):
        fetch("cifar10", data_dir=tmp_path)
    assert files(tmp_path) == []


def test_a_full_disk_while_unpacking(tmp_path, cifar, monkeypatch):
    cifar(tar(regular()))

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("shutil.copyfileobj", full)
    with pytest.raises(OutputError, match="No space left"):
        fetch("cifar10", data_dir=tmp_path)
    assert files(tmp_path) == []


def test_loading_never_downloads(tmp_path, mnist, server):
    with pytest.raises(DataError, match="data fetch mnist"):
        load_dataset("mnist", data_dir=tmp_path)
    assert not server.requests
    assert download.fetch is fetch
