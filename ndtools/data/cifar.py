"""Read CIFAR-10 and CIFAR-100 files: the binary layout, and the pickled one without trusting it."""

import hashlib
import io
import os
import pickle
import pickletools
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ndtools.data.folders import printable
from ndtools.errors import DataError

__all__ = ["Batch", "read_binary", "read_names", "read_pickle"]

_PIXELS = 3 * 32 * 32
_COARSE_CLASSES = 20
_MAX_BYTES = 1 << 30

# Pickles could make the unpickler reserve memory or nest tuples without end; the official files have 20 such steps,
# others that Python 3 wrote one for each piece of bytes.
_STEPS = frozenset(["TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "REDUCE", "BUILD", "GLOBAL", "STACK_GLOBAL", "FROZENSET"])
_MAX_STEPS = 5_000

Batch = tuple[Tensor, Tensor, str]
"""Images (N, 3, 32, 32) uint8, labels (N,) int64, and the MD5 of the file."""


def read_binary(path: str | os.PathLike[str], n_classes: int, label_bytes: int = 1) -> Batch:
    """Read a file of the binary layout.

    Parameters
    ----------
    path : str or path-like
        Records of `label_bytes` + 3072 bytes; red, green and blue planes row by row.
    n_classes : int
        Labels are below it.
    label_bytes : {1, 2}
        2 for CIFAR-100, whose coarse label comes first; the fine one is read.

    Returns
    -------
    Batch

    Raises
    ------
    DataError
        The file cannot be read, is no whole number of records, or has a label out of range.
    """
    name, content = printable(path), _content(path)
    record = label_bytes + _PIXELS
    if not content or len(content) % record:
        raise DataError(
            f"{name} holds {len(content):,} bytes, not a whole number of records of {record:,}; it is cut short or"
            " of another kind"
        )
    table = torch.frombuffer(content, dtype=torch.uint8).view(-1, record)
    if label_bytes == 2:
        _check_labels(table[:, 0], _COARSE_CLASSES, name, "coarse label")
    labels = table[:, label_bytes - 1].long()
    _check_labels(labels, n_classes, name)
    images = table[:, label_bytes:].reshape(-1, 3, 32, 32)
    return images, labels, _md5(content)


def read_pickle(path: str | os.PathLike[str], n_classes: int) -> Batch:
    """Read a file of the pickled layout, without running anything that it names.

    Parameters
    ----------
    path : str or path-like
        A pickled dict with ``data`` and ``labels`` or ``fine_labels``.
    n_classes : int
        Labels are below it.

    Returns
    -------
    Batch

    Raises
    ------
    DataError
        The file cannot be read, holds something else, names anything but an array of bytes, or has a label
        out of range.
    """
    name, content = printable(path), _content(path)
    held = _unpickled(content, name)
    data, labels = held.get("data"), held.get("labels", held.get("fine_labels"))
    if not isinstance(data, _Array) or not isinstance(labels, list):
        raise DataError(f"{name} is not a CIFAR file: it lacks data or labels")
    pixels = data.pixels(name)
    if not all(type(label) is int for label in labels) or len(labels) != len(pixels):
        raise DataError(f"{name} holds {len(pixels):,} images, but not one label, a whole number, for each")
    wrong = next((label for label in labels if not 0 <= label < n_classes), None)
    if wrong is not None:
        raise DataError(f"{name}: label {wrong} of image {labels.index(wrong)} is not in 0..{n_classes - 1}")
    return pixels.view(-1, 3, 32, 32), torch.tensor(labels, dtype=torch.int64), _md5(content)


def read_names(path: str | os.PathLike[str], n_classes: int) -> tuple[tuple[str, ...], str]:
    """Read the names of the classes.

    Parameters
    ----------
    path : str or path-like
        A .txt file with a name on each line, or a pickled dict with ``label_names`` or ``fine_label_names``.
    n_classes : int
        How many there must be.

    Returns
    -------
    tuple of str
        The names.
    str
        MD5 of the file.

    Raises
    ------
    DataError
        The file cannot be read or holds something else.
    """
    name, content = printable(path), _content(path)
    if Path(path).suffix == ".txt":
        held: Any = [line.strip() for line in bytes(content).split(b"\n") if line.strip()]
    else:
        found = _unpickled(content, name)
        held = found.get("fine_label_names", found.get("label_names"))
    if not isinstance(held, list) or len(held) != n_classes:
        raise DataError(f"{name} does not hold the names of {n_classes} classes")
    names = tuple(_text(item) for item in held)
    if None in names:
        raise DataError(f"{name} holds something other than names of classes")
    return tuple(printable(item) for item in names if item is not None), _md5(content)


class _Forbidden(pickle.UnpicklingError):
    """A pickle asks for something that no data file needs."""


class _Inert:
    """Stands in for what a pickle names; an instance, so that the pickle cannot alter or subclass it."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        raise _Forbidden("it alters what it names")


class _ArrayType(_Inert):
    """Stands in for numpy.ndarray, only ever an argument."""

    __slots__ = ()


class _DType(_Inert):
    """An element type; only that of bytes is of use."""

    __slots__ = ("code",)

    def __init__(self, code: object) -> None:
        self.code = code.decode("latin-1") if isinstance(code, bytes) else code

    def __setstate__(self, state: object) -> None:
        """Ignore byte order and the like, which bytes do not have."""


class _MakeDType(_Inert):
    """Stands in for numpy.dtype."""

    __slots__ = ()

    def __call__(self, code: object, *_: object) -> _DType:
        return _DType(code)


class _Array(_Inert):
    """What a pickle says of an array, not acted upon."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state: object = None

    def __setstate__(self, state: object) -> None:
        self.state = state

    def pixels(self, name: str) -> Tensor:
        """Return the array, uint8 (N, 3072), once all that is said of it has been checked."""
        match self.state:
            case (_, (int(n), int(width)), _DType(code="u1" | "|u1"), fortran, bytes(raw)) if width == _PIXELS:
                pass
            case _:
                raise DataError(f"{name}: its data is not an array of bytes with {_PIXELS:,} to an image")
        if n < 1 or n * _PIXELS != len(raw):
            raise DataError(f"{name}: its data is said to be {n:,} images, but holds {len(raw):,} bytes")
        flat = torch.frombuffer(bytearray(raw), dtype=torch.uint8)
        return flat.view(_PIXELS, n).t().contiguous() if fortran else flat.view(n, _PIXELS)


class _Reconstruct(_Inert):
    """Stands in for numpy's function that makes an empty array."""

    __slots__ = ()

    def __call__(self, *_: object) -> _Array:
        return _Array()


class _Encode(_Inert):
    """Stands in for _codecs.encode, by which Python 3 writes bytes in old protocols."""

    __slots__ = ()

    def __call__(self, text: object, encoding: object = "latin1", *_: object) -> bytes:
        if not isinstance(text, str) or encoding not in ("latin1", b"latin1", "latin-1"):
            raise _Forbidden("it encodes text in an unusual way")
        return text.encode("latin-1")


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        match module, name:
            case "numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct":
                return _Reconstruct()
            case "numpy", "ndarray":
                return _ArrayType()
            case "numpy", "dtype":
                return _MakeDType()
            case "_codecs", "encode":
                return _Encode()
        raise _Forbidden(f"it names {module}.{name}")


def _unpickled(content: bytearray, name: str) -> dict[str, Any]:
    try:
        _check_steps(content)
        held = _Unpickler(io.BytesIO(content), encoding="bytes").load()
    except _Forbidden as error:
        raise DataError(f"{name} is refused: {error}, which no CIFAR file does") from None
    except MemoryError:
        raise DataError(f"{name} is too large for the memory") from None
    except Exception as error:  # damaged pickles raise almost anything
        reason = str(error) or type(error).__name__
        raise DataError(f"{name} is damaged, or no pickled file: {printable(reason)}") from None
    if not isinstance(held, dict):
        raise DataError(f"{name} is not a CIFAR file: it holds no table")
    texts = ((_text(key), value) for key, value in held.items())
    return {key: value for key, value in texts if key is not None}


def _check_steps(content: bytearray) -> None:
    steps = 0
    for opcode, argument, _ in pickletools.genops(bytes(content)):
        steps += opcode.name in _STEPS
        if steps > _MAX_STEPS:
            raise _Forbidden(f"it takes more than {_MAX_STEPS:,} steps")
        if opcode.name in ("PUT", "LONG_BINPUT") and not 0 <= int(argument or 0) <= len(content):
            raise _Forbidden("it asks for memory without bound")


def _text(item: object) -> str | None:
    if isinstance(item, bytes):
        return item.decode("utf-8", "backslashreplace")
    return item if isinstance(item, str) else None


def _check_labels(labels: Tensor, n_classes: int, name: str, what: str = "label") -> None:
    wrong = (labels >= n_classes).nonzero()
    if len(wrong):
        first = int(wrong[0])
        raise DataError(f"{name}: {what} {int(labels[first])} of image {first} is not in 0..{n_classes - 1}")


def _content(path: str | os.PathLike[str]) -> bytearray:
    name = printable(path)
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size > _MAX_BYTES:
                raise DataError(f"{name} is larger than 1 GiB, which no CIFAR file is")
            return bytearray(file.read(_MAX_BYTES))
    except OSError as error:
        raise DataError(f"cannot read {name}: {error.strerror or error}") from None


def _md5(content: bytearray) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
