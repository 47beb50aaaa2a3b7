"""Reading of IDX files, the format of MNIST: images and labels, plain or compressed with gzip."""

import hashlib
import math
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import torch
from torch import Tensor

from ndtools.computing.memory import require_memory
from ndtools.data.files import read_pieces
from ndtools.errors import DataError
from ndtools.text import printable

__all__ = ["read_idx"]

_UNSIGNED_BYTES = 0x08  # Third byte of the magic number. The fourth byte is the number of dimensions.
_MAX_BYTES = 1 << 31
_WHAT = {1: "labels", 3: "images"}


def read_idx(path: str | os.PathLike[str], dimensions: int) -> tuple[Tensor, str]:
    """Read one IDX file of unsigned bytes.

    Parameters
    ----------
    path : str or path-like
        The file. It is decompressed if its name ends in .gz.
    dimensions : {1, 3}
        Number of dimensions: 1 for labels, 3 for images.

    Returns
    -------
    tensor of shape (N,) or (N, H, W), uint8
        The labels or images.
    str
        MD5 checksum of the uncompressed file, as 32 hexadecimal digits.

    Raises
    ------
    DataError
        The file cannot be read, is damaged, has another format, or is longer or shorter than its header says.
        Decompression stops as soon as the file proves longer than that.
    """
    name = printable(path)
    try:
        with closing(read_pieces(Path(path))) as content:
            return _parse(content, name, dimensions)
    except MemoryError:
        raise DataError(f"{name} is too large for the memory") from None


def _parse(source: Iterator[bytes], name: str, dimensions: int) -> tuple[Tensor, str]:
    header_size = 4 + 4 * dimensions
    content = bytearray()
    for piece in source:
        content += piece
        if len(content) >= header_size:
            break
    shape = _shape(bytes(content[:header_size]), name, dimensions)
    wanted = header_size + math.prod(shape)
    require_memory(wanted, f"{name} ({_describe(shape)})")
    for piece in source:
        if len(content) > wanted:
            break
        content += piece
    if len(content) != wanted:
        fault = f"only {len(content):,}; it is cut short" if len(content) < wanted else "more follow"
        raise DataError(f"{name}: its header ({_describe(shape)}) promises {wanted:,} bytes, but {fault}")
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return torch.frombuffer(content, dtype=torch.uint8, offset=header_size).view(shape), md5


def _shape(header: bytes, name: str, dimensions: int) -> tuple[int, ...]:
    magic = bytes([0, 0, _UNSIGNED_BYTES, dimensions])
    if header[:4] != magic:
        raise DataError(
            f"{name} is not an IDX file of {_WHAT[dimensions]}: it begins with 0x{header[:4].hex() or '(nothing)'},"
            f" not 0x{magic.hex()}"
        )
    if len(header) < 4 + 4 * dimensions:
        raise DataError(f"{name} is cut short within its header")
    shape = tuple(int.from_bytes(header[i : i + 4], "big") for i in range(4, len(header), 4))
    if 0 in shape:
        raise DataError(f"{name} is empty: its header says {_describe(shape)}")
    if math.prod(shape) > _MAX_BYTES:
        raise DataError(f"{name}: its header ({_describe(shape)}) promises more than 2 GiB")
    return shape


def _describe(shape: tuple[int, ...]) -> str:
    return " × ".join(f"{size:,}" for size in shape)
