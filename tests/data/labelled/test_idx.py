import gzip
import hashlib
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndtools.data.labelled.idx import read_idx
from ndtools.errors import DataError
from tests.labelled_files import idx

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)
PLAIN = idx(IMAGES)
PACKED = gzip.compress(PLAIN, mtime=0)


def outcome(path, content, dimensions=3):
    """What reading gives: the array, or None after an error that names the file."""
    path.write_bytes(content)
    try:
        return read_idx(path, dimensions)[0].numpy()
    except DataError as error:
        assert str(path) in str(error)
        return None


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_content_and_checksum(tmp_path, suffix):
    for name, content in (("images", IMAGES), ("labels", [3, 0, 9])):
        path = tmp_path / f"{name}{suffix}"
        path.write_bytes(gzip.compress(idx(content)) if suffix else idx(content))
        found, md5 = read_idx(path, np.ndim(content))
        np.testing.assert_array_equal(found.numpy(), content)
        assert md5 == hashlib.md5(idx(content)).hexdigest()


def test_compressed_in_parts(tmp_path):
    path = tmp_path / "images.gz"
    parts = gzip.compress(PLAIN[:30]) + gzip.compress(PLAIN[30:])
    np.testing.assert_array_equal(outcome(path, parts), IMAGES)
    assert outcome(path, gzip.compress(PLAIN[:30]) + b"\x1f") is None


def test_larger_than_one_piece(tmp_path):
    images = np.random.default_rng(1).integers(0, 256, (300, 100, 100), dtype=np.uint8)
    for name, content in (("a.gz", gzip.compress(idx(images), 1)), ("a", idx(images))):
        np.testing.assert_array_equal(outcome(tmp_path / name, content), images)
        assert outcome(tmp_path / name, content[:-1]) is None
        assert outcome(tmp_path / name, content[: len(content) // 2]) is None


@settings(max_examples=60)
@given(at=st.integers(0, len(PACKED) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_in_a_gz_never_gives_another_array(tmp_path, at, bit):
    damaged = bytearray(PACKED)
    damaged[at] ^= 1 << bit
    found = outcome(tmp_path / "images.gz", damaged)
    # Some bits have no bearing on the content: the time in the header, and those that fill the last compressed byte.
    assert found is None or np.array_equal(found, IMAGES)


@settings(max_examples=60)
@given(at=st.integers(0, 15), value=st.integers(1, 255))
def test_a_changed_byte_in_a_plain_header(tmp_path, at, value):
    damaged = bytearray(PLAIN)
    damaged[at] ^= value
    assert outcome(tmp_path / "images", damaged) is None


@settings(max_examples=60)
@given(packed=st.booleans(), share=st.floats(0, 1, exclude_max=True))
def test_cut_short(tmp_path, packed, share):
    content = PACKED if packed else PLAIN
    assert outcome(tmp_path / ("images.gz" if packed else "images"), content[: int(share * len(content))]) is None


@settings(max_examples=60)
@given(packed=st.booleans(), more=st.binary(min_size=1, max_size=20) | st.integers(1, 20).map(bytes))
def test_bytes_added(tmp_path, packed, more):
    found = outcome(tmp_path / ("images.gz" if packed else "images"), (PACKED if packed else PLAIN) + more)
    if packed and not any(more):  # gzip allows files to be padded with zeros
        np.testing.assert_array_equal(found, IMAGES)
    else:
        assert found is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"not an IDX file of images: it begins with 0x\(nothing\)"),
        (idx([1, 2]), "begins with 0x00000801, not 0x00000803"),
        (PLAIN[:9], "cut short within its header"),
        (idx(np.zeros((0, 4, 4))), "is empty: its header says 0 × 4 × 4"),
        (PLAIN[:-1], r"header \(5 × 4 × 3\) promises 76 bytes, but only 75; it is cut short"),
        (PLAIN + b"\0", "promises 76 bytes, but more follow"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "promises more than 2 GiB"),
    ],
)
def test_the_fault_is_named(tmp_path, content, message):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_idx(tmp_path / "x", 3)


def test_faults_of_the_file_system_and_of_the_compression(tmp_path):
    with pytest.raises(DataError, match=r"cannot read .*nothing: No such file"):
        read_idx(tmp_path / "nothing", 3)
    with pytest.raises(DataError, match=r"cannot read .*: Is a directory"):
        read_idx(tmp_path, 3)
    (tmp_path / "plain.gz").write_bytes(PLAIN)
    with pytest.raises(DataError, match=r"plain\.gz is damaged: Not a gzipped file"):
        read_idx(tmp_path / "plain.gz", 3)


def test_a_bomb_is_not_unpacked(tmp_path):
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(PLAIN + bytes(200_000_000), 1))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="more follow"):
            read_idx(path, 3)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
