"""Read results back from their files STEM.json and STEM.npz."""

import dataclasses
import json
import os
import shlex
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ndtools.data.files import open_regular, read_file
from ndtools.errors import DataError, OptionError
from ndtools.text import printable, reason

__all__ = ["FORMAT_VERSION", "SavedResult", "floats", "load", "load_numbers", "optional_float"]

FORMAT_VERSION = 1
"""Version of the content of result files, to be raised when they change. Files without a version have version 0."""

REMEDY = "give the .json or .npz file that an experiment of ndtools wrote"
_DRAWN = (".png", ".pdf", ".svg", ".txt")  # suffixes of the files beside those of the result itself
_NETWORKS = (".safetensors", ".pt", ".pth")
_MANIFEST = (
    "experiment",
    "format_version",
    "command",
    "config",
    "seed",
    "versions",
    "device",
    "input",
    "seconds",
    "files",
)
_OPTIONAL = ("experiment", "format_version", "files")  # absent from files of older versions
# What NumPy, zipfile and zlib raise on files that are damaged or of another kind.
_DAMAGED = (ValueError, EOFError, OverflowError, SyntaxError, RuntimeError, zipfile.BadZipFile, zlib.error)
_MISFITS = (LookupError, TypeError, ValueError, AttributeError)

C = TypeVar("C")


@dataclasses.dataclass(frozen=True, eq=False)
class SavedResult:
    """Content of the files of a result.

    Attributes
    ----------
    path : str
        Path of the .json file, printable.
    experiment : str
        Command that wrote the files, such as "kernels" or "ns-stability".
    manifest : dict
        Command line, configuration, seed, versions, device, input and seconds of the run, and names of its files.
    numbers : dict
        All other keys of the .json file. Numbers that were not finite are None.
    arrays : dict of str to array
        Arrays of the .npz file.
    """

    path: str
    experiment: str
    manifest: dict[str, Any]
    numbers: dict[str, Any]
    arrays: dict[str, NDArray[Any]]

    @property
    def source(self) -> str:
        """Name of the data that the result comes from."""
        return str(self.manifest["input"])

    @property
    def command(self) -> str:
        """Command line that made the result."""
        return str(self.manifest["command"])

    @property
    def device(self) -> str:
        """Device on which the result was computed."""
        return str(self.manifest["device"])

    def configuration(self, kind: type[C]) -> C:
        """Restore the configuration of the run.

        Parameters
        ----------
        kind : type
            Dataclass of the configuration. Fields that the file lacks have their defaults.

        Returns
        -------
        object
            An instance of that dataclass.
        """
        values = self.manifest["config"].items()
        return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values})

    def restoring(self, experiment: str) -> "AbstractContextManager[None, None]":
        """Turn errors about the content of the files, within a ``with`` block, into errors that name the files.

        Parameters
        ----------
        experiment : str
            Command whose result is restored in the block.

        Returns
        -------
        context manager
            Raises DataError if another command wrote the files, or if something is missing or does not fit.
        """
        return self._restoring(experiment)  # type: ignore[return-value]  # which swallows no exception

    @contextmanager
    def _restoring(self, experiment: str) -> Iterator[None]:
        if self.experiment != experiment:
            raise DataError(f"{self.path} was written by ndtools {self.experiment}, not by ndtools {experiment}")
        try:
            yield
        except KeyError as error:
            self._refuse(f"it has no {error}", error)
        except OptionError as error:
            self._refuse(f"{error.option} {error.message}", error)
        except _MISFITS as error:
            self._refuse(reason(error), error)

    def _refuse(self, why: str, error: Exception) -> NoReturn:
        version = self.manifest["versions"].get("ndtools", "of an unknown version")
        raise DataError(
            f"{self.path} and its .npz file do not hold a whole result: {why}. ndtools {version} wrote them; run the"
            f" command again: {self.manifest['command']}"
        ) from error


def load(path: str | os.PathLike[str]) -> SavedResult:
    """Read the result of an experiment.

    Parameters
    ----------
    path : str or path-like
        The .json or the .npz file, which lie side by side.

    Returns
    -------
    SavedResult
        Numbers, arrays and manifest.

    Raises
    ------
    DataError
        If a file is absent, unreadable or cut short, is not the result of an experiment, or has a format version that
        this version of ndtools does not know.
    """
    path = _numbers_of(path)
    saved = load_numbers(path)
    return dataclasses.replace(saved, arrays=_arrays(path.with_suffix(".npz"), saved.path, saved.command))


def load_numbers(path: str | os.PathLike[str]) -> SavedResult:
    """Read the numbers of a result of an experiment, whether or not its arrays are beside them.

    Parameters
    ----------
    path : str or path-like
        The .json file, or the .npz file beside it.

    Returns
    -------
    SavedResult
        Numbers and manifest, and no arrays.

    Raises
    ------
    DataError
        If the .json file is absent, unreadable, not the result of an experiment, or of a newer version.
    """
    path = _numbers_of(path)
    name = printable(path)
    if path.is_dir():
        raise DataError(f"{name} is a folder; {REMEDY}")
    if path.suffix.lower() in _DRAWN:
        beside = path.with_suffix(".json")
        raise DataError(
            f"{name} is a figure or a caption, and not the result itself; "
            + (f"give {printable(beside)}" if beside.exists() else REMEDY)
        )
    if path.suffix.lower() in _NETWORKS and path.is_file():
        raise DataError(f"{name} is the file of a network, and not a result: nd.load_network reads it; {REMEDY}")
    content = _parsed(path, name)
    absent = [key for key in _MANIFEST if key not in content and key not in _OPTIONAL]
    if absent:
        raise DataError(f"{name} is no result of an experiment: it has no '{absent[0]}'; {REMEDY}")
    versions = content["versions"]
    if not isinstance(content["config"], dict) or not isinstance(versions, dict):
        raise DataError(f"{name} is no result of an experiment: its 'config' or 'versions' is no object; {REMEDY}")
    version = content.get("format_version", 0)
    if not isinstance(version, int) or isinstance(version, bool) or not 0 <= version <= FORMAT_VERSION:
        raise DataError(
            f"{name} has format version {version}, and this version of ndtools reads those up to {FORMAT_VERSION};"
            f" ndtools {versions.get('ndtools', 'of an unknown version')} wrote it; update ndtools"
        )
    return SavedResult(
        path=name,
        experiment=str(content.get("experiment") or _command(str(content["command"]))),
        manifest={key: content[key] for key in _MANIFEST if key in content},
        numbers={key: value for key, value in content.items() if key not in _MANIFEST},
        arrays={},
    )


def _numbers_of(path: str | os.PathLike[str]) -> Path:
    """Return the .json file of a result of which either file was named."""
    path = Path(path)
    return _beside(path) if path.suffix.lower() == ".npz" else path


def _beside(path: Path) -> Path:
    """Return the .json file of a result of which the .npz file was named."""
    numbers = path.with_suffix(".json")
    if not os.path.lexists(path) and not os.path.lexists(numbers):
        raise DataError(f"no such file: '{printable(path)}'; {REMEDY}")
    if not os.path.lexists(numbers):
        raise DataError(
            f"cannot read {printable(path)} as a result: the file {printable(numbers)}, which holds its numbers, is"
            " not beside it; both files are needed, side by side"
        )
    return numbers


def _command(line: str) -> str:
    """Return the command in a command line, or "": files of version 0 do not name the command otherwise."""
    try:
        words = shlex.split(line)
    except ValueError:
        return ""
    return words[1] if len(words) > 1 else ""


def _parsed(path: Path, name: str) -> dict[str, Any]:
    try:
        text = read_file(path)
    except DataError as error:
        if not os.path.lexists(path):
            raise DataError(f"no such file: '{name}'; {REMEDY}") from None
        raise DataError(f"cannot read {name}: {error}; {REMEDY}") from None
    try:
        content = json.loads(text)
    except UnicodeDecodeError:
        raise DataError(f"{name} is not JSON: its bytes are no text; {REMEDY}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name} is not JSON, or is cut short: {reason(error)}; {REMEDY}") from None
    if not isinstance(content, dict):
        raise DataError(f"{name} is no result of an experiment; {REMEDY}")
    return content


def _arrays(path: Path, name: str, command: str) -> dict[str, NDArray[Any]]:
    shown = printable(path)
    if not os.path.lexists(path):
        raise DataError(
            f"no such file: '{shown}', which holds the arrays of {name}; both files are needed, side by side. This"
            f" command writes both: {command}"
        )
    try:
        file = open_regular(path)
    except DataError as error:
        raise DataError(
            f"cannot read {shown}, which holds the arrays of {name}: {error}; both files are needed, side by side"
        ) from None
    try:
        with file:
            arrays = np.load(file, allow_pickle=False)
            if not isinstance(arrays, Mapping):
                raise ValueError("it holds one array without a name")
            return dict(arrays)
    except OSError as error:
        raise DataError(f"cannot read {shown}: {reason(error)}") from None
    except _DAMAGED as error:
        raise DataError(
            f"{shown}, which holds the arrays of {name}, is damaged or cut short: {reason(error)}; run the command"
            " that wrote it again"
        ) from None


def floats(values: ArrayLike) -> NDArray[np.float64]:
    """Return numbers of a .json file as an array, in which None becomes NaN."""
    return np.array(values, dtype=np.float64)


def optional_float(value: float | None, default: float = np.nan) -> float:
    """Return a number of a .json file, or a default (NaN) in place of None."""
    return default if value is None else value
