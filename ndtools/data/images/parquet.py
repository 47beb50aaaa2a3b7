"""Read images from the rows of a Parquet table, as data sets on hubs have them."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from typing import Any, BinaryIO

from ndtools.data.files import MAX_FILE_BYTES
from ndtools.data.images.archives import Member
from ndtools.errors import DataError, NdtoolsError
from ndtools.text import printable, reason

__all__ = ["is_parquet", "parquet_members"]

_ROWS = 16  # that are in memory at a time
_BUFFER = 2**20  # bytes of a column that are read at a time
_NAMES = ("image", "img", "jpg", "jpeg", "png", "webp", "image_bytes", "bytes", "content")


def is_parquet(path: str) -> bool:
    """Return whether a file is a Parquet table, judged by its name."""
    return path.lower().endswith((".parquet", ".pq"))


def parquet_members(
    path: str, wanted: Collection[int] | Callable[[str], bool], open_file: Callable[[str], BinaryIO]
) -> Iterator[tuple[int, Member]]:
    """Iterate through the rows of a Parquet table, each of which holds an encoded image.

    The images are in the first column that holds structures with a field ``bytes``, as the data sets of Hugging Face
    have it; else in a column of bytes that has the name of images, or is the only one.

    Parameters
    ----------
    path : str
        Path of the table.
    wanted : collection of int, or callable
        Rows to read. If it is empty, all are listed, and no image is read; if it is a function, all are read.
    open_file : callable
        Function that opens the table.

    Yields
    ------
    (int, Member)
        Row and member, whose name is the number of the row.

    Raises
    ------
    DataError
        If pyarrow is not installed, or the table is damaged or has no column of images. The message is only the reason.
    """
    try:
        parquet = import_module("pyarrow.parquet")
    except ImportError:
        raise DataError("tables need the package pyarrow: pip install pyarrow") from None
    with _damage(), open_file(path) as opened:
        table = parquet.ParquetFile(opened, buffer_size=_BUFFER, pre_buffer=False)
        column, inner = _image_column(table.schema_arrow)
        if not callable(wanted) and not wanted:
            for row in range(table.metadata.num_rows):
                yield row, Member(str(row), None, bytes, 0)
            return
        first = 0
        for group in range(table.num_row_groups):
            rows = range(first, first + table.metadata.row_group(group).num_rows)
            first = rows.stop
            if not callable(wanted) and not any(row in wanted for row in rows):
                continue
            row = rows.start
            for batch in table.iter_batches(_ROWS, row_groups=[group], columns=[inner]):
                for value in batch.column(column).to_pylist():
                    if callable(wanted) or row in wanted:
                        yield row, _member(row, value)
                    row += 1


def _member(row: int, value: Any) -> Member:  # noqa: ANN401
    content = value.get("bytes") if isinstance(value, dict) else value
    problem = None if content else "no image in this row"
    if content and len(content) > MAX_FILE_BYTES:
        problem = "larger than 1 GiB"
    return Member(str(row), problem, partial(bytes, content or b""), len(content or b""))


def _image_column(schema: Any) -> tuple[str, str]:  # noqa: ANN401
    """Return the name of the column of images, and that of the bytes within it."""
    types = import_module("pyarrow").types
    binary = []
    for column in schema:
        if types.is_struct(column.type):
            fields = {inner.name: inner.type for inner in column.type}
            if "bytes" in fields and _is_bytes(types, fields["bytes"]):
                return column.name, f"{column.name}.bytes"
        elif _is_bytes(types, column.type):
            binary.append(column.name)
    named = [name for name in _NAMES if name in binary]
    if named or len(binary) == 1:
        name = (named or binary)[0]
        return name, name
    names = ", ".join(map(printable, schema.names)) or "none"
    raise DataError(f"it has no column that is known to hold images (its columns: {names})")


def _is_bytes(types: Any, kind: Any) -> bool:  # noqa: ANN401
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


@contextmanager
def _damage() -> Iterator[None]:
    try:
        yield
    except (NdtoolsError, GeneratorExit):
        raise
    except Exception as error:
        if isinstance(error, OSError) or type(error).__module__.split(".")[0] == "pyarrow":
            raise DataError(reason(error)) from error
        raise
