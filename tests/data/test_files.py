import gzip
import itertools
import os
import socket

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndtools.data.files import open_regular, read_file, read_pieces
from ndtools.errors import DataError

HAS_PIPES = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
LONG = bytes(1 << 20) + np.random.default_rng(2).bytes(1 << 19) + bytes(1 << 20)


def test_a_regular_file_and_a_link_to_it(tmp_path):
    (tmp_path / "a").write_bytes(b"content")
    os.symlink("a", tmp_path / "link")
    for name in ("a", "link"):
        assert read_file(tmp_path / name) == b"content"
        with open_regular(str(tmp_path / name)) as file:
            assert file.read(3) == b"con"


def test_what_is_absent_or_a_folder(tmp_path):
    os.symlink("loop", tmp_path / "loop")
    for name, reason in [("absent", "^No such file"), (".", "^Is a directory$"), ("loop", "symbolic links")]:
        with pytest.raises(DataError, match=reason):
            read_file(tmp_path / name)
    with pytest.raises(DataError, match="null"):
        read_file("a\0b")


@HAS_PIPES
def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match=r"^a pipe, not a regular file; copy its content into a file first$"):
        read_file(tmp_path / "pipe")


def test_devices_and_sockets_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # names of sockets must be short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        with pytest.raises(DataError, match="socket.*not a regular file"):
            read_file("socket")
    for name in ("/dev/zero", "/dev/urandom"):
        if os.path.exists(name):
            with pytest.raises(DataError, match="^a device, not a regular file"):
                read_file(name)


def test_nothing_beyond_the_limit_is_read(tmp_path):
    path = tmp_path / "huge"
    with path.open("wb") as file:
        file.truncate(2**30 + 1)  # sparse
    with pytest.raises(DataError, match="^larger than 1 GiB$"):
        read_file(path)
    path.write_bytes(b"12345")
    assert read_file(path, limit=5) == b"12345"
    with pytest.raises(DataError, match="^larger than 4 bytes$"):
        read_file(path, limit=4)


def test_a_file_that_does_not_tell_its_size(tmp_path, monkeypatch):
    if not os.path.exists("/proc/self/status"):
        pytest.skip("no /proc on this system")
    assert b"VmSize" in read_file("/proc/self/status")
    with pytest.raises(DataError, match="larger than 10 bytes"):
        read_file("/proc/self/status", limit=10)


@settings(max_examples=60)
@given(cuts=st.lists(st.integers(0, len(LONG)), max_size=8), short=st.integers(1, 19))
def test_a_gz_of_several_members(tmp_path, cuts, short):
    path = tmp_path / "long.gz"
    edges = [0, *sorted(cuts), len(LONG)]
    content = b"".join(gzip.compress(LONG[a:b], 1, mtime=0) for a, b in itertools.pairwise(edges))
    path.write_bytes(content)
    assert b"".join(read_pieces(path)) == LONG
    path.write_bytes(content[:-short])
    with pytest.raises(DataError, match=r"long\.gz is damaged"):
        b"".join(read_pieces(path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(LONG, 1)[:-9], "the compressed data is cut short"),
        (gzip.compress(LONG, 1)[:-8] + bytes(8), "CRC check failed"),
        (gzip.compress(LONG, 1)[:10] + b"\xff" * 99, "invalid block type"),
        (LONG, "Not a gzipped file"),
    ],
)
def test_a_damaged_gz(tmp_path, content, message):
    path = tmp_path / "x.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"x\.gz is damaged: .*{message}"):
        list(read_pieces(path))


def test_pieces_are_small_whatever_the_size(tmp_path):
    for name, content in (("plain", LONG), ("packed.gz", gzip.compress(LONG, 9))):
        (tmp_path / name).write_bytes(content)
        assert [len(piece) for piece in read_pieces(tmp_path / name)] == [1 << 20, 1 << 20, 1 << 19]


def test_pieces_of_what_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match=r"cannot read .*absent: No such file"):
        list(read_pieces(tmp_path / "absent"))
    (tmp_path / "folder.gz").mkdir()
    with pytest.raises(DataError, match=r"cannot read .*folder\.gz: Is a directory"):
        list(read_pieces(tmp_path / "folder.gz"))
