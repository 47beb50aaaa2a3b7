"""Files that unpack to more than they are allowed to, or to more than they say."""

import io
import tarfile
import zipfile

import numpy as np
import pytest
import torch

from ndtools.checkpoints.state_dicts import load_state
from ndtools.data.arrays import read_arrays
from ndtools.data.images.sources import resolve_source
from ndtools.errors import DataError
from tests.commands import save


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_members_that_are_unpacked_by_whole_blocks_are_refused(tmp_path, method):
    save(tmp_path / "a.png")
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.write(tmp_path / "a.png", "plain.png", zipfile.ZIP_DEFLATED)
        archive.write(tmp_path / "a.png", "blocks.png", method)
    source = resolve_source(tmp_path / "images.zip")
    assert len(source) == 1
    (skipped,) = source.skipped
    assert skipped.name.endswith("blocks.png")
    assert skipped.reason == "compressed with bzip2 or LZMA; unpack the archive first"
    np.save(tmp_path / "a.npy", np.eye(3))
    with zipfile.ZipFile(tmp_path / "a.npz", "w", method) as archive:
        archive.write(tmp_path / "a.npy", "a.npy")
    with pytest.raises(DataError, match="compressed with bzip2 or LZMA: save it with numpy.savez_compressed"):
        read_arrays(tmp_path / "a.npz", ["a"])


def test_tensors_that_repeat_values_are_refused(tmp_path):
    torch.save({"weight": torch.zeros(1, 4).expand(1000, 4)}, tmp_path / "net.pt")
    with pytest.raises(DataError, match="weight repeats values that it does not hold"):
        load_state(tmp_path / "net.pt")


def test_checkpoints_larger_than_the_memory_are_refused(tmp_path, monkeypatch):
    torch.save({"weight": torch.zeros(1 << 23)}, tmp_path / "net.pt")  # 32 MiB
    monkeypatch.setattr("ndtools.computing.memory.free_memory", lambda: 1 << 20)
    with pytest.raises(DataError, match="net.pt needs about 0.034 GB of memory, and 0.001 GB are free"):
        load_state(tmp_path / "net.pt")


def header(kind, size, name="header"):
    """Return a header of a tar archive that claims a size."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


HEADERS = {"x": tarfile.XHDTYPE, "g": tarfile.XGLTYPE, "L": tarfile.GNUTYPE_LONGNAME, "K": tarfile.GNUTYPE_LONGLINK}


@pytest.mark.parametrize("kind", HEADERS)
@pytest.mark.parametrize("first", [b"", tarfile.TarInfo("first.png").tobuf()], ids=["at the beginning", "later"])
def test_extended_headers_of_gigabytes_are_refused(tmp_path, kind, first):
    path = tmp_path / "images.tar"
    path.write_bytes(first + header(HEADERS[kind], 2**32) + bytes(10240))
    with pytest.raises(DataError, match=r"images\.tar': its extended header 'header' is too large: .* 4\.1e\+03 MiB"):
        resolve_source(path)


def test_many_extended_headers_add_up(tmp_path):
    record = b"%d comment=%s\n"
    text = record % (600_011, b"a" * 599_995)
    blocks = header(tarfile.XGLTYPE, len(text)) + text + bytes(-len(text) % 512)
    member = tarfile.TarInfo("a.png").tobuf()
    (tmp_path / "few.tar").write_bytes(blocks + member + bytes(10240))
    assert len(resolve_source(tmp_path / "few.tar")) == 1
    (tmp_path / "many.tar").write_bytes(2 * (blocks + member) + bytes(10240))
    with pytest.raises(DataError, match="too large: with those before it 1.14 MiB, where 1 MiB is allowed"):
        resolve_source(tmp_path / "many.tar")


def test_long_names_are_read(tmp_path):
    name = "folder/" * 100 + "a.png"
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        with tarfile.open(tmp_path / "a.tar", "w", format=form) as archive:
            archive.addfile(tarfile.TarInfo(name))
        (entry,) = resolve_source(tmp_path / "a.tar")
        assert entry.name.endswith(name)


def test_sparse_files_in_archives_are_refused(tmp_path):
    """The maps of their holes may be of any length."""
    (tmp_path / "old.tar").write_bytes(header(tarfile.GNUTYPE_SPARSE, 0, "a.png") + bytes(10240))
    with pytest.raises(DataError, match="a.png is a sparse file, which is not read from archives; .* unpack it first"):
        resolve_source(tmp_path / "old.tar")
    with tarfile.open(tmp_path / "new.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("b.png")
        info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
        archive.addfile(info)
    with pytest.raises(DataError, match="b.png is a sparse file, which is not read from archives; .* unpack it first"):
        resolve_source(tmp_path / "new.tar")


def test_members_of_archives_larger_than_the_memory_are_refused(tmp_path, monkeypatch):
    info = tarfile.TarInfo("large.png")
    info.size = 1 << 25
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.addfile(info, io.BytesIO(bytes(info.size)))
    source = resolve_source(tmp_path / "a.tar")
    monkeypatch.setattr("ndtools.computing.memory.free_memory", lambda: 1 << 20)
    monkeypatch.setattr(tarfile.ExFileObject, "read", None)
    with pytest.raises(DataError, match="the member large.png needs about 0.034 GB of memory, and 0.001 GB are free"):
        list(source)
