"""Read CIFAR-10 and CIFAR-100 files: the binary layout, and the pickled one without trusting it."""

import hashlib
import os
import pickletools
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from ndtools.data.files import read_file
from ndtools.errors import DataError
from ndtools.text import printable

__all__ = ["Batch", "read_binary", "read_names", "read_pickle"]

_PIXELS = 3 * 32 * 32
_COARSE_CLASSES = 20
_MAX_BYTES = 1 << 30

# Of a pickle: a batch of CIFAR-100 in which each of 50,000 names was written by way of a function has 500,000.
_MAX_STEPS = 2_000_000

_Kind = TypeVar("_Kind")

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


class _Forbidden(Exception):
    """A pickle asks for something that no data file needs."""


class _Inert:
    """Stands in for what a pickle names; what it is not made for is refused."""

    __slots__ = ()

    def call(self, arguments: tuple[Any, ...]) -> object:
        """Do what the pickle takes for a call."""
        raise _Forbidden("it calls what is no function")

    def build(self, state: object) -> None:
        """Do what the pickle takes for setting the state."""
        raise _Forbidden("it alters what it names")


class _ArrayType(_Inert):
    """Stands in for numpy.ndarray, only ever an argument."""

    __slots__ = ()


class _DType(_Inert):
    """An element type; only that of bytes is of use."""

    __slots__ = ("code",)

    def __init__(self, code: object) -> None:
        self.code = code

    def build(self, state: object) -> None:
        """Ignore byte order and the like, which bytes do not have."""


class _MakeDType(_Inert):
    """Stands in for numpy.dtype."""

    __slots__ = ()

    def call(self, arguments: tuple[Any, ...]) -> _DType:
        return _DType(arguments[0])


class _Array(_Inert):
    """What a pickle says of an array, not acted upon."""

    __slots__ = ("state",)

    def __init__(self, state: object = None) -> None:
        self.state = state

    def build(self, state: object) -> None:
        self.state = state

    def pixels(self, name: str) -> Tensor:
        """Return the array, uint8 (N, 3072), once all that is said of it has been checked."""
        match self.state:
            case (
                _,
                (int(n), int(width)),
                _DType(code="u1" | "|u1" | b"u1" | b"|u1"),
                fortran,
                bytes(raw) | bytearray(raw),
            ) if width == _PIXELS:
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

    def call(self, arguments: tuple[Any, ...]) -> _Array:
        return _Array()


class _FromBuffer(_Inert):
    """Stands in for numpy's function that makes an array of bytes, shape and order."""

    __slots__ = ()

    def call(self, arguments: tuple[Any, ...]) -> _Array:
        raw, dtype, shape, order = arguments[:4]
        if order not in ("C", "F"):
            raise _Forbidden("it orders an array in an unusual way")
        return _Array((1, shape, dtype, order == "F", raw))


class _Encode(_Inert):
    """Stands in for _codecs.encode, by which Python 3 writes bytes in old protocols."""

    __slots__ = ("left",)

    def __init__(self, size: int) -> None:
        self.left = size

    def call(self, arguments: tuple[Any, ...]) -> bytes:
        text, encoding = arguments
        if not isinstance(text, str) or encoding not in ("latin1", b"latin1", "latin-1"):
            raise _Forbidden("it encodes text in an unusual way")
        # Each text is there for one piece of bytes, but a pickle could refer to one again and again.
        self.left -= len(text)
        if self.left < 0:
            raise _Forbidden("it makes more bytes than it holds")
        return text.encode("latin-1")


class _Bytes(_Inert):
    """Stands in for bytes, by which Python 3 writes empty ones in old protocols."""

    __slots__ = ()

    def call(self, arguments: tuple[Any, ...]) -> bytes:
        if arguments:
            raise _Forbidden("it makes bytes in an unusual way")
        return b""


class _Loader:
    """Take the steps of a pickle that data files need, and no others.

    Not the unpickler of the standard library, whose other steps take time and memory out of proportion to the
    file: they hash nested tuples, copy, make objects.

    Parameters
    ----------
    content : bytes
        The pickle; protocol 2 or later.
    """

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.stack: list[Any] = []
        self.outer: list[list[Any]] = []  # what lies below each mark
        self.memo: dict[int, Any] = {}
        encode, reconstruct, from_buffer = _Encode(len(content)), _Reconstruct(), _FromBuffer()
        self.named: dict[tuple[str, str], _Inert] = {
            ("numpy.core.multiarray", "_reconstruct"): reconstruct,
            ("numpy._core.multiarray", "_reconstruct"): reconstruct,
            ("numpy.core.numeric", "_frombuffer"): from_buffer,
            ("numpy._core.numeric", "_frombuffer"): from_buffer,
            ("numpy", "ndarray"): _ArrayType(),
            ("numpy", "dtype"): _MakeDType(),
            ("_codecs", "encode"): encode,
            ("__builtin__", "bytes"): _Bytes(),
        }

    def load(self) -> object:
        """Return what the pickle holds."""
        for steps, (opcode, argument, _) in enumerate(pickletools.genops(self.content)):
            if steps == _MAX_STEPS:
                raise _Forbidden(f"it takes more than {_MAX_STEPS:,} steps")
            self.take(opcode.name, argument)
        return self.stack.pop()

    def take(self, step: str, argument: Any) -> None:  # noqa: ANN401
        """Take one step."""
        match step:
            case "PROTO" | "FRAME" | "STOP":
                pass
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT":
                self.stack.append(argument)
            case "SHORT_BINUNICODE" | "BINUNICODE" | "BINUNICODE8":
                self.stack.append(argument)
            case "SHORT_BINBYTES" | "BINBYTES" | "BINBYTES8" | "BYTEARRAY8":
                self.stack.append(argument)
            case "SHORT_BINSTRING" | "BINSTRING":
                self.stack.append(argument.encode("latin-1"))
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                self.stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[step])
            case "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = self.stack[-1]
            case "MEMOIZE":
                self.memo[len(self.memo)] = self.stack[-1]
            case "BINGET" | "LONG_BINGET":
                self.stack.append(self.memo[argument])
            case "MARK":
                self.outer.append(self.stack)
                self.stack = []
            case "EMPTY_LIST" | "EMPTY_DICT":
                self.stack.append([] if step == "EMPTY_LIST" else {})
            case "EMPTY_TUPLE" | "TUPLE1" | "TUPLE2" | "TUPLE3":
                self.stack.append(tuple(self.last(["EMPTY_TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"].index(step))))
            case "TUPLE":
                items = self.marked()
                self.stack.append(tuple(items))
            case "APPEND" | "APPENDS":
                items = self.last(1) if step == "APPEND" else self.marked()
                self.held(list).extend(items)
            case "SETITEM" | "SETITEMS":
                items = self.last(2) if step == "SETITEM" else self.marked()
                # Other keys can take for ever to hash.
                if not all(type(key) in (str, bytes) for key in items[::2]):
                    raise _Forbidden("it has a table with keys other than text")
                self.held(dict).update(zip(items[::2], items[1::2], strict=True))
            case "GLOBAL":
                self.name(*argument.split(" ", 1))
            case "STACK_GLOBAL":
                self.name(*self.last(2))
            case "REDUCE":
                function, arguments = self.last(2)
                if not isinstance(function, _Inert) or not isinstance(arguments, tuple):
                    raise _Forbidden("it calls what is no function")
                self.stack.append(function.call(arguments))
            case "BUILD":
                (state,) = self.last(1)
                self.held(_Inert).build(state)
            case _:
                raise _Forbidden(f"it takes the step {step}")

    def last(self, n: int) -> list[Any]:
        """Take the last `n` values off the stack."""
        at = len(self.stack) - n
        if at < 0:
            raise IndexError("values are missing")
        items = self.stack[at:]
        del self.stack[at:]
        return items

    def marked(self) -> list[Any]:
        """Take what follows the last mark off the stack."""
        items = self.stack
        self.stack = self.outer.pop()
        return items

    def held(self, kind: type[_Kind]) -> _Kind:
        """Return the value on top of the stack, which a step is to alter."""
        value = self.stack[-1]
        if not isinstance(value, kind):
            raise _Forbidden("it alters what cannot be altered")
        return value

    def name(self, module: object, attribute: object) -> None:
        """Put what stands in for a name on the stack."""
        if not isinstance(module, str) or not isinstance(attribute, str):
            raise _Forbidden("it names what is no text")
        found = self.named.get((module, attribute))
        if found is None:
            raise _Forbidden(f"it names {module}.{attribute}")
        self.stack.append(found)


def _unpickled(content: bytearray, name: str) -> dict[str, Any]:
    try:
        held = _Loader(bytes(content)).load()
    except _Forbidden as error:
        raise DataError(f"{name} is refused: {printable(str(error))}, which no CIFAR file does") from None
    except MemoryError:
        raise DataError(f"{name} is too large for the memory") from None
    except Exception as error:  # damaged pickles raise almost anything
        reason = str(error) or type(error).__name__
        raise DataError(f"{name} is damaged, or no pickled file: {printable(reason)}") from None
    if not isinstance(held, dict):
        raise DataError(f"{name} is not a CIFAR file: it holds no table")
    texts = ((_text(key), value) for key, value in held.items())
    return {key: value for key, value in texts if key is not None}


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
    try:
        return bytearray(read_file(path, limit=_MAX_BYTES))
    except DataError as error:
        raise DataError(f"cannot read {printable(path)}: {error}") from None


def _md5(content: bytearray) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
