"""Storage that addresses of fsspec name: buckets, web servers, hubs. fsspec is imported on use only."""

import glob
import posixpath
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, BinaryIO, TypeVar

from ndtools.data.files import MAX_FILE_BYTES
from ndtools.data.images.far_files import open_far
from ndtools.data.images.folders import Skipped, is_hidden, is_image
from ndtools.data.images.retries import ShortReadError, is_of_storage, retried, storage_reason
from ndtools.data.images.storage import current_options
from ndtools.errors import DataError, NdtoolsError, OptionError, UnreachableError
from ndtools.text import printable, reason

__all__ = ["FarPlace", "around"]

R = TypeVar("R")

_PARTS = re.compile(r"((?:[a-z][a-z0-9+.-]*::)*([a-z][a-z0-9+.-]+)://)(.*?)((?:::.*)?)", re.IGNORECASE | re.DOTALL)
_WEB = ("http", "https")
# Packages by the scheme of an address; fsspec names the others itself.
_PACKAGES = {
    "s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "hf": "huggingface_hub", "http": "aiohttp",
    "https": "aiohttp", "abfs": "adlfs", "az": "adlfs", "sftp": "paramiko", "ssh": "paramiko", "smb": "smbprotocol",
}  # fmt: skip


def around(address: str) -> tuple[str, str]:
    """Return what an address begins with, up to ``://``, and the further addresses that it ends with."""
    found = _PARTS.fullmatch(address)
    assert found is not None
    return found[1], found[4]


class FarPlace:
    """Storage that addresses of one beginning name.

    Parameters
    ----------
    address : str
        Any address in this storage.

    Raises
    ------
    DataError
        If a package is missing, or the storage cannot be reached.
    OptionError
        If the options of the storage are not known to it.
    """

    far = True

    def __init__(self, address: str) -> None:
        found = _PARTS.fullmatch(address)
        assert found is not None
        self._before, self._scheme, self._after = found[1], found[2].lower(), found[4]
        self._files = _file_system(address, self._scheme)
        self._files.invalidate_cache()  # what was listed before may have changed
        self._sizes: dict[str, int] = {}

    def has(self, path: str) -> bool:
        """Return whether there is a file or folder of that name."""
        return bool(self._asked(lambda: self._files.exists(self._inner(path)), path))

    def is_folder(self, path: str) -> bool:
        """Return whether a path is a folder: a common beginning of names, in a bucket."""
        return path not in self._sizes and bool(self._asked(lambda: self._files.isdir(self._inner(path)), path))

    def is_pattern(self, path: str) -> bool:
        """Return whether a path has the wildcards of a glob pattern; a web address has none from its ``?`` on."""
        return glob.has_magic(path.partition("?")[0] if self._scheme in _WEB else path)

    def walk(self, folder: str) -> Iterator[tuple[list[str], list[Skipped]]]:
        """Yield the images of a folder and of each folder below it, as they are listed."""
        waiting = [self._inner(folder).rstrip("/")]
        entered = set(waiting)
        while waiting:
            inner = waiting.pop()
            try:
                entries = self._asked(lambda inner=inner: self._files.ls(inner, detail=True), folder)  # type: ignore[misc]
            except DataError as error:
                yield [], [Skipped(printable(self._address(inner)), str(error))]
                continue
            files = []
            for entry in entries:
                name = str(entry["name"]).rstrip("/")
                if is_hidden(posixpath.basename(name)) or name == inner.rstrip("/"):
                    continue
                if entry["type"] == "directory":
                    if name not in entered and self._is_below(name, inner):
                        entered.add(name)
                        waiting.append(name)
                elif is_image(name.partition("?")[0]):
                    files.append(self._remembered(name, entry))
            yield files, []

    def matches(self, pattern: str) -> list[str]:
        """Return the files and folders that match a glob pattern, in no particular order."""
        found = self._asked(lambda: self._files.glob(self._inner(pattern), detail=True), pattern)
        return [
            self._address(name) if entry["type"] == "directory" else self._remembered(name, entry)
            for name, entry in found.items()
            if not is_hidden(posixpath.basename(name.rstrip("/")))
        ]

    def beside(self, path: str, folder: str) -> str:
        """Return where a path of a list is: an address already."""
        return path

    def identity(self, path: str) -> str:
        """Return the address."""
        return path

    def size(self, path: str) -> int:
        """Return the size of a file in bytes; 0 if it is not known."""
        return self._sizes.get(path, 0)

    def read(self, path: str, *, limit: int = MAX_FILE_BYTES) -> bytes:
        """Return the content of a file, after failures that pass from a further attempt."""
        inner = self._inner(path)
        size = self._sizes.get(path)
        if size is None:
            size = self._asked(lambda: self._files.info(inner), path).get("size")
        content = b"" if (size or 0) > limit else self._asked(lambda: self._files.cat_file(inner), path)
        if max(size or 0, len(content)) > limit:
            raise DataError(f"larger than {limit / 2**20:.4g} MiB")
        return bytes(content)

    def open(self, path: str) -> BinaryIO:
        """Open a file for reading, block by block and ahead of the reader."""
        inner = self._inner(path)
        information = self._asked(lambda: self._files.info(inner), path)
        # A web server that does not promise to send parts of a file may send all of it for each.
        in_parts = information.get("size") is not None and (self._scheme not in _WEB or information.get("partial"))
        if not in_parts:
            return self._asked(lambda: self._files.open(inner, "rb", block_size=0), path)  # type: ignore[no-any-return]

        def part(start: int, end: int) -> bytes:
            content = self._files.cat_file(inner, start=start, end=end)
            if len(content) != end - start:
                raise ShortReadError(f"{len(content)} of {end - start} bytes came")
            return bytes(content)

        return open_far(lambda start, end: self._asked(lambda: part(start, end), path), int(information["size"]))

    def _asked(self, call: Callable[[], R], path: str) -> R:
        """Call a function that reads from the storage; DataError, with the reason alone, if it fails."""
        try:
            return retried(call)
        except UnreachableError as error:
            raise UnreachableError(f"cannot read '{printable(path)}': {error}") from error
        except NdtoolsError:
            raise
        except Exception as error:
            if not is_of_storage(error):
                raise
            raise DataError(storage_reason(error)) from error

    def _inner(self, path: str) -> str:
        """Return the path of a file as the file system has it."""
        if self._scheme in _WEB and not self._after:
            return path
        inner = path[len(self._before) : len(path) - len(self._after)]
        return str(self._files._strip_protocol(f"{self._scheme}://{inner}"))

    def _address(self, inner: str) -> str:
        """Return the address of a path of the file system."""
        if self._scheme in _WEB and not self._after:
            return inner
        return f"{self._before}{inner.lstrip('/')}{self._after}"

    def _remembered(self, inner: str, entry: dict[str, Any]) -> str:
        address = self._address(inner)
        if isinstance(entry.get("size"), int):
            self._sizes[address] = entry["size"]
        return address

    def _is_below(self, name: str, folder: str) -> bool:
        """Return whether a folder is below another: pages of a web server link to folders above them."""
        return self._scheme not in _WEB or name.startswith(folder.rstrip("/") + "/")


def _file_system(address: str, scheme: str) -> Any:  # noqa: ANN401
    """Return the file system of fsspec that an address belongs to."""
    try:
        core = import_module("fsspec.core")
    except ImportError:
        raise DataError(
            f"{scheme}:// addresses need the package fsspec: pip install 'ndtools[remote]'{_and_package(scheme)}"
        ) from None
    try:
        files, _ = core.url_to_fs(address, **current_options())
    except ImportError as error:
        package = _PACKAGES.get(scheme)
        remedy = f"pip install {package}" if package else reason(error)
        raise DataError(f"{scheme}:// addresses need {package or 'another package'}: {remedy}") from None
    except (TypeError, KeyError) as error:
        raise OptionError("storage_options", f"must be known to {scheme}:// addresses: {reason(error)}") from None
    except ValueError as error:
        raise DataError(f"cannot open '{printable(address)}': {reason(error)}") from None
    except Exception as error:
        if not is_of_storage(error):
            raise
        raise DataError(f"cannot open '{printable(address)}': {storage_reason(error)}") from error
    return files


def _and_package(scheme: str) -> str:
    return f" {_PACKAGES[scheme]}" if scheme in _PACKAGES else ""
