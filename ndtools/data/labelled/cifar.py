"""Reading of CIFAR-10 and CIFAR-100 files, in the binary layout and in the pickled one.

Pickled files are read without running anything that they name. Every name becomes an inert stand-in, so that no code
of numpy or of anything else is called, and what the file says about its array is checked before memory is allocated.
"""

import hashlib
import io
import os
import pickle
import pickletools
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ndtools.data.files import read_file
from ndtools.errors import DataError
from ndtools.text import printable

__all__ = ["Batch", "read_binary", "read_names", "read_pickle"]

_PIXELS = 3 * 32 * 32
_COARSE_CLASSES = 20
_MAX_BYTES = 1 << 30
_LONGEST_TEXT = 1000  # Characters. Longer texts are neither keys nor names of classes.

# A batch of CIFAR-100 takes 500,000 opcodes if each of its 50,000 file names was pickled as a function call.
_MAX_OPCODES = 2_000_000
# A pickled array has two tuples within other tuples.
_MAX_NESTED_TUPLES = 1000

# fmt: off
_TUPLE_OPCODES = {"EMPTY_TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "TUPLE"}
_PUT_OPCODES = {"BINPUT", "LONG_BINPUT", "MEMOIZE"}
_GET_OPCODES = {"BINGET", "LONG_BINGET"}
# Objects directly after these opcodes are no tuples. After BUILD or APPENDS, a hostile file can have a tuple.
_SHARED_OPCODES = {
    "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8",
    "SHORT_BINSTRING", "BINSTRING", "EMPTY_LIST", "EMPTY_DICT", "GLOBAL", "STACK_GLOBAL", "REDUCE",
}
_OPCODES = _TUPLE_OPCODES | _PUT_OPCODES | _GET_OPCODES | _SHARED_OPCODES | {
    "PROTO", "FRAME", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1",
    "BINFLOAT", "APPEND", "APPENDS", "SETITEM", "SETITEMS", "BUILD",
}
# fmt: on

_NAMES = frozenset(
    {
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy.core.numeric", "_frombuffer"),
        ("numpy._core.numeric", "_frombuffer"),
        ("_codecs", "encode"),
        ("__builtin__", "bytes"),
        ("builtins", "bytes"),
    }
)

Batch = tuple[Tensor, Tensor, str]
"""Images of shape (N, 3, 32, 32) as uint8, labels of shape (N,) as int64, and the MD5 checksum of the file."""


def read_binary(path: str | os.PathLike[str], n_classes: int, label_bytes: int = 1) -> Batch:
    """Read a file of the binary layout.

    Parameters
    ----------
    path : str or path-like
        The file: records of `label_bytes` + 3072 bytes. The pixels of a record are its red, green and blue plane,
        each row by row.
    n_classes : int
        Number of classes. Labels must be smaller.
    label_bytes : {1, 2}
        Number of label bytes of a record: 1 for CIFAR-10, 2 for CIFAR-100. In CIFAR-100 the coarse label comes first,
        and the fine label is returned.

    Returns
    -------
    Batch
        The images, labels and checksum.

    Raises
    ------
    DataError
        The file cannot be read, does not hold a whole number of records, or has a label out of range.
    """
    name, content = printable(path), _content(path)
    record = label_bytes + _PIXELS
    if not content or len(content) % record:
        raise DataError(
            f"{name} holds {len(content):,} bytes, not a whole number of records of {record:,}; it is cut short or"
            " not a binary CIFAR file"
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
        The file: a pickled dictionary with ``data`` and either ``labels`` or ``fine_labels``, of protocol 2 or later.
    n_classes : int
        Number of classes. Labels must be smaller.

    Returns
    -------
    Batch
        The images, labels and checksum.

    Raises
    ------
    DataError
        The file cannot be read, holds something else, names anything but an array of bytes, or has a label
        out of range.
    """
    name, content = printable(path), _content(path)
    entries = _entries(content, name)
    data, labels = entries.get("data"), entries.get("labels", entries.get("fine_labels"))
    if not isinstance(data, _StandIn) or not isinstance(labels, list):
        raise DataError(f"{name} is not a CIFAR file: it lacks data or labels")
    pixels = _pixels(data, name)
    if not all(type(label) is int for label in labels) or len(labels) != len(pixels):
        raise DataError(f"{name} must hold one integer label for each of its {len(pixels):,} images, but does not")
    wrong = next((label for label in labels if not 0 <= label < n_classes), None)
    if wrong is not None:
        raise DataError(f"{name}: label {wrong} of image {labels.index(wrong)} is not in 0..{n_classes - 1}")
    return pixels.view(-1, 3, 32, 32), torch.tensor(labels, dtype=torch.int64), _md5(content)


def read_names(path: str | os.PathLike[str], n_classes: int) -> tuple[tuple[str, ...], str]:
    """Read the names of the classes.

    Parameters
    ----------
    path : str or path-like
        The file: text with one name per line if its name ends in .txt, otherwise a pickled dictionary with
        ``label_names`` or ``fine_label_names``.
    n_classes : int
        Number of names that the file must hold.

    Returns
    -------
    tuple of str
        The printable names, in the order of the labels.
    str
        MD5 checksum of the file.

    Raises
    ------
    DataError
        The file cannot be read or holds something else.
    """
    name, content = printable(path), _content(path)
    if Path(path).suffix == ".txt":
        items: Any = [line.strip() for line in bytes(content).split(b"\n") if line.strip()]
    else:
        entries = _entries(content, name)
        items = entries.get("fine_label_names", entries.get("label_names"))
    if not isinstance(items, list) or len(items) != n_classes:
        raise DataError(f"{name} does not hold the names of {n_classes} classes")
    texts = [_text(item) for item in items]
    if None in texts:
        raise DataError(f"{name} holds something other than names of classes")
    return tuple(printable(text) for text in texts if text is not None), _md5(content)


class _RefusedError(Exception):
    """A pickle contains something that no data file needs."""


class _StandIn:
    """Stand-in for an object that a pickle names or makes. Calls and states are noted and have no effect.

    Attributes
    ----------
    name : str
        Name of the class or function.
    arguments : tuple or None
        Arguments of the call. None for the named object itself.
    state : object
        State that the pickle sets after the call.
    """

    __slots__ = ("arguments", "name", "state")

    def __init__(self, name: str, arguments: tuple[Any, ...] | None = None) -> None:
        self.name = name
        self.arguments = arguments
        self.state: object = None

    def __call__(self, *arguments: object) -> "_StandIn":
        return _StandIn(self.name, arguments)

    # The unpickler sets attributes and entries of __dict__ itself, even of classes, if this method is absent.
    def __setstate__(self, state: object) -> None:
        self.state = state


class _Unpickler(pickle.Unpickler):
    """Unpickler that puts a stand-in in the place of each permitted name and refuses all other names."""

    def find_class(self, module_name: str, global_name: str, /) -> _StandIn:
        if (module_name, global_name) not in _NAMES:
            raise _RefusedError(f"it names {module_name}.{global_name}")
        return _StandIn(global_name)


def _check_opcodes(content: bytes) -> None:
    """Refuse opcodes that data files do not use, and uses of the others that take much time or memory.

    Together with the stand-ins this keeps a hostile file from running code, from allocating memory out of proportion
    to its size, and from making the unpickler hash tuples within tuples. A tuple computes its hash anew each time, so
    that tuples that share their items take exponential time, and deeply nested ones overflow the stack of C. It is
    not a defence against integer keys that were chosen to collide in a dictionary: they take quadratic time.

    Parameters
    ----------
    content : bytes
        The pickle, before it is given to the unpickler.

    Raises
    ------
    _RefusedError
        The pickle has such an opcode.
    """
    memo: dict[int, bool] = {}  # Whether each numbered object may be referred to again.
    last, nested = "", 0
    argument: Any
    for count, (opcode, argument, _) in enumerate(pickletools.genops(content)):
        name = opcode.name
        if count == _MAX_OPCODES:
            raise _RefusedError(f"it uses more than {_MAX_OPCODES:,} opcodes")
        if name not in _OPCODES:
            raise _RefusedError(f"it uses the opcode {name}")
        if name in _GET_OPCODES and not memo.get(argument, True):
            raise _RefusedError("it refers again to an object that may be a tuple")
        if name in _PUT_OPCODES:
            index = len(memo) if argument is None else argument
            if index > count:  # The memo of the unpickler is an array: a large index takes much memory.
                raise _RefusedError("it numbers an object beyond the count of its opcodes")
            memo[index] = last in _SHARED_OPCODES
        elif name != "FRAME":  # Like numbering, it leaves the last object as it is.
            # Tuples that become arguments or states are never hashed.
            nested += last in _TUPLE_OPCODES and name not in {"REDUCE", "BUILD"}
            if nested > _MAX_NESTED_TUPLES:
                raise _RefusedError(f"it nests more than {_MAX_NESTED_TUPLES:,} tuples")
            last = name


def _entries(content: bytearray, name: str) -> dict[str, Any]:
    """Return the entries of a pickled dictionary whose keys are texts."""
    try:
        pickled = bytes(content)
        _check_opcodes(pickled)
        table = _Unpickler(io.BytesIO(pickled), encoding="bytes").load()
    except _RefusedError as error:
        raise DataError(f"{name} is refused: {printable(str(error))}, which no CIFAR file does") from None
    except MemoryError:
        raise DataError(f"{name} is too large for the memory") from None
    except Exception as error:  # Damaged pickles raise errors of almost any class.
        reason = str(error) or type(error).__name__
        raise DataError(f"{name} is damaged or not a pickled file: {printable(reason)}") from None
    if not isinstance(table, dict):
        raise DataError(f"{name} is not a CIFAR file: it does not hold a dictionary")
    texts = ((_text(key), value) for key, value in table.items())
    return {key: value for key, value in texts if key is not None}


def _pixels(data: _StandIn, name: str) -> Tensor:
    """Return the pickled array as uint8 of shape (N, 3072), after checking all that the pickle says about it."""
    match data:
        case _StandIn(name="_reconstruct", state=(_, shape, dtype, fortran, raw)):
            pass
        case _StandIn(name="_frombuffer", arguments=(raw, dtype, shape, "C" | "F" as order)):
            fortran = order == "F"
        case _:
            shape, dtype, fortran, raw = None, None, False, None
    match shape, dtype, _bytes(raw):
        case (
            (int(n), int(width)),
            _StandIn(name="dtype", arguments=("u1" | "|u1" | b"u1" | b"|u1", *_)),
            bytes() | bytearray() as pixels,
        ) if width == _PIXELS:
            pass
        case _:
            raise DataError(f"{name}: its data is not an array of bytes with {_PIXELS:,} per image")
    if n < 1 or n * _PIXELS != len(pixels):
        raise DataError(f"{name}: its data is said to be {n:,} images, but holds {len(pixels):,} bytes")
    flat = torch.frombuffer(bytearray(pixels), dtype=torch.uint8)
    return flat.view(_PIXELS, n).t().contiguous() if fortran else flat.view(n, _PIXELS)


def _bytes(value: object) -> bytes | bytearray | None:
    """Return bytes, also those that Python 3 writes as a function call in protocol 2; None for other objects."""
    match value:
        case bytes() | bytearray():
            return value
        case _StandIn(name="bytes", arguments=()):
            return b""
        case _StandIn(name="encode", arguments=(str(text), "latin1")):
            try:
                return text.encode("latin-1")
            except UnicodeEncodeError:
                return None
    return None


def _text(value: object) -> str | None:
    """Return a text or decoded bytes; None for other objects, and for texts that are too long for a name."""
    match value:
        # Many keys can refer to one text, and each would be encoded anew.
        case _StandIn(name="encode", arguments=(str(encoded), _)) if len(encoded) > _LONGEST_TEXT:
            return None
    content = _bytes(value)
    text = value if content is None else content.decode("utf-8", "backslashreplace")
    return text if isinstance(text, str) and len(text) <= _LONGEST_TEXT else None


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
