import contextlib
import zipfile

import numpy as np
import pytest

from ndtools.data.matrices import is_matrix_file, read_matrix
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
        (np.zeros((2, 3)), MatrixError, r"shape \(2, 3\), where a square"),
        (np.zeros(4), MatrixError, r"shape \(4,\)"),
        (np.zeros((0, 0)), MatrixError, r"shape \(0, 0\)"),
        (np.zeros((2, 2, 2)), MatrixError, r"shape \(2, 2, 2\)"),
        (np.zeros((2, 2), dtype=complex), MatrixError, "complex128, not real"),
        (np.array([["a"]]), MatrixError, "not real"),
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
    with pytest.raises(MatrixError, match="raw bytes"):
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
    with pytest.raises(DataError, match="o.npy is not a NumPy file"):
        read_matrix(tmp_path / "o.npy")
    (tmp_path / "folder.npy").mkdir()
    with pytest.raises(DataError, match="cannot read"):
        read_matrix(tmp_path / "folder.npy")
