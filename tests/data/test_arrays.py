import contextlib
import zipfile

import numpy as np
import pytest

from ndtools.computing import memory
from ndtools.data.arrays import is_matrix_file, read_matrix
from ndtools.errors import DataError, MatrixError


def test_both_formats(tmp_path):
    matrix = np.array([[2, 1], [1, 3]], dtype=np.int32)
    np.save(tmp_path / "a.npy", matrix)
    np.savez(tmp_path / "b.npz", covariance=matrix, other=np.zeros(3))
    np.savez_compressed(tmp_path / "c.NPZ", covariance=matrix.astype(np.float32))
    (tmp_path / "c.NPZ.npz").rename(tmp_path / "c.NPZ")
    for name in ("a.npy", "b.npz", "c.NPZ"):
        found = read_matrix(tmp_path / name)
        assert is_matrix_file(name)
        assert found.dtype == (np.float32 if name == "c.NPZ" else np.float64)
        np.testing.assert_array_equal(found, matrix)
    np.testing.assert_array_equal(read_matrix(tmp_path / "b.npz", key="covariance"), matrix)
    assert not is_matrix_file("a.png")
    assert not is_matrix_file("npy")


@pytest.mark.parametrize(
    ("array", "error", "message"),
    [
        (np.zeros((2, 3)), MatrixError, r"must hold a square matrix, got an array of shape \(2, 3\)"),
        (np.zeros(4), MatrixError, r"shape \(4,\)"),
        (np.zeros((0, 0)), MatrixError, r"shape \(0, 0\)"),
        (np.zeros((2, 2, 2)), MatrixError, r"shape \(2, 2, 2\)"),
        (np.zeros((2, 2), dtype=complex), MatrixError, "must hold real numbers, got dtype complex128"),
        (np.array([["a"]]), MatrixError, "must hold real numbers"),
    ],
)
def test_what_is_no_square_matrix(tmp_path, array, error, message):
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(error, match=message):
        read_matrix(tmp_path / "x.npy")


def test_what_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match=r"no such file: '.*x\.npz'"):
        read_matrix(tmp_path / "x.npz")
    np.savez(tmp_path / "x.npz", mean=np.zeros(2), kernels=np.zeros(3))
    with pytest.raises(DataError, match=r"no array 'covariance', only: mean, kernels"):
        read_matrix(tmp_path / "x.npz")
    for content in (b"", b"PK\x03\x04 broken", b"\x93NUMPY\x01\x00", b"text"):
        (tmp_path / "y.npy").write_bytes(content)
        with pytest.raises(DataError, match="y.npy is not a NumPy file"):
            read_matrix(tmp_path / "y.npy")
    with zipfile.ZipFile(tmp_path / "y.npz", "w") as archive:
        archive.writestr("covariance", b"raw")
    with pytest.raises(DataError, match="not a NumPy file of numbers"):
        read_matrix(tmp_path / "y.npz")
    np.savez_compressed(tmp_path / "z.npz", covariance=np.random.default_rng(0).random((20, 20)))
    content = bytearray((tmp_path / "z.npz").read_bytes())
    for at in range(60, len(content) - 60, 97):  # every part of it damaged once
        damaged = content.copy()
        damaged[at] ^= 0xFF
        (tmp_path / "z.npz").write_bytes(damaged)
        with contextlib.suppress(DataError):  # some bytes, as the time of day, do not matter
            read_matrix(tmp_path / "z.npz")
    np.save(tmp_path / "w.npy", np.zeros((2, 2)))
    huge = (tmp_path / "w.npy").read_bytes().replace(b"(2, 2), }          ", b"(9999999, 9999999)}")
    (tmp_path / "w.npy").write_bytes(huge)
    with pytest.raises(DataError):
        read_matrix(tmp_path / "w.npy")
    np.save(tmp_path / "o.npy", np.array([[object()]]), allow_pickle=True)
    with pytest.raises(DataError, match="o.npy must hold real numbers, got dtype object"):
        read_matrix(tmp_path / "o.npy")
    (tmp_path / "folder.npy").mkdir()
    with pytest.raises(DataError, match="cannot read"):
        read_matrix(tmp_path / "folder.npy")


def test_what_unpacks_beyond_the_free_memory_is_not_unpacked(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "bomb.npz", covariance=np.zeros((2000, 2000)), other=np.eye(2))
    assert (tmp_path / "bomb.npz").stat().st_size < 2000 * 2000 * 8 / 200
    monkeypatch.setattr(memory, "free_memory", lambda: 20_000_000)
    monkeypatch.setattr(np.lib.format, "read_array", None)  # nothing is read
    with pytest.raises(
        DataError, match=r"the numbers in .*bomb\.npz needs about 0\.032 GB of memory, and 0\.02 GB are free"
    ):
        read_matrix(tmp_path / "bomb.npz")
    monkeypatch.setattr(memory, "free_memory", lambda: 100_000_000)
    with pytest.raises(DataError, match=r"needs about 0\.32 GB"):
        read_matrix(tmp_path / "bomb.npz", copies=10)
    monkeypatch.setattr(memory, "free_memory", lambda: 20_000_000)
    # Bytes become eight times as long.
    np.save(tmp_path / "bytes.npy", np.zeros((2000, 2000), np.uint8))
    with pytest.raises(DataError, match=r"needs about 0\.036 GB"):
        read_matrix(tmp_path / "bytes.npy")


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ("(4000000000, 4000000000)", r"is cut short: its header promises an array of shape \(4000000000, 4000000000\)"),
        ("(-1, 4)", r"its header states the impossible shape \(-1, 4\)"),
        ("(2, 2)" + " " * 20000, "Header info length"),
    ],
)
def test_headers_that_promise_too_much(tmp_path, shape, message):
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY\x02\0" + len(header).to_bytes(4, "little") + header + bytes(32))
    with pytest.raises(DataError, match=message) as caught:
        read_matrix(tmp_path / "x.npy")
    assert "\n" not in str(caught.value)


def test_many_names_of_arrays_are_not_all_listed(tmp_path):
    np.savez(tmp_path / "x.npz", **{f"a{i}": np.zeros(1) for i in range(100)})
    with pytest.raises(DataError, match=r"only: a0, .*, a7, \.\.\.$"):
        read_matrix(tmp_path / "x.npz")
