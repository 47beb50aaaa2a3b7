"""Addresses of results: what decides them is the configuration, the content of the data, and the code."""

import glob
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ndtools import __version__
from ndtools.computing.hardware import hardware
from ndtools.computing.operators import resolve_device
from ndtools.data.files import open_regular
from ndtools.data.images.sources import BUILT_IN_SOURCES
from ndtools.data.labelled.catalogue import BUILT_IN, KNOWN
from ndtools.data.labelled.locations import find
from ndtools.errors import DataError, OutputError
from ndtools.reproduction.code import code_of
from ndtools.reproduction.item import Part
from ndtools.reproduction.kinds import KINDS, SCENES
from ndtools.results.strict_json import strict_json
from ndtools.text import printable
from ndtools.writing import write_whole

__all__ = ["AbsentError", "Fingerprints", "address", "could_be", "plain", "without_places"]

# Settings that change where and how fast a result is computed, but not what it is.
_IRRELEVANT = ("jobs", "device", "data_dir")
_MACHINE = ("timing", "inference")  # experiments whose results are those of a machine
_DATA = ("source", "dataset", "from_file", "from_moments", "checkpoint", "a", "b", "c")
_RUNS = tuple(KINDS)  # experiments whose results take hours: other code does not make them worthless, but is said
_PIECE = 1 << 20


class AbsentError(DataError):
    """Data are not here."""


class Fingerprints:
    """Fingerprints of files by their content. They are kept by path, size and time, so that each file is read once.

    Parameters
    ----------
    cache : Path
        File that keeps the fingerprints. It need not exist.
    """

    def __init__(self, cache: Path) -> None:
        self.cache = cache
        self._known: dict[str, Any] = {}
        self._changed = False
        self._lists: dict[str, str] = {}
        self._labelled: dict[tuple[str, str | None], dict[str, str] | None] = {}
        with suppress(OSError, ValueError):  # without the file, or with a damaged one, files are read again
            content = json.loads(cache.read_bytes())
            self._known = content if isinstance(content, dict) else {}

    def of(self, path: str) -> str:
        """Return the fingerprint of a file, or of all files in a folder with their names.

        Parameters
        ----------
        path : str
            Path of a file or folder.

        Returns
        -------
        str
            Hexadecimal digits that depend on the content alone, and not on where it is.

        Raises
        ------
        DataError
            If a file cannot be read.
        """
        if not os.path.isdir(path):
            return self._of_file(path)
        digest = hashlib.sha256()
        for file in _files(path):
            digest.update(os.fsencode(os.path.relpath(file, path)) + b"\0" + self._of_file(file).encode())
        return digest.hexdigest()

    def of_list(self, path: str) -> str:
        """Return the fingerprint of the names and sizes of all files in a folder that is too large to be read.

        Parameters
        ----------
        path : str
            Path of a folder.

        Returns
        -------
        str
            Hexadecimal digits that do not depend on where the folder is.
        """
        if path not in self._lists:
            digest = hashlib.sha256()
            for file in _files(path):
                size = os.path.getsize(file)
                digest.update(os.fsencode(os.path.relpath(file, path)) + f"\0{size}\0".encode())
            self._lists[path] = digest.hexdigest()
        return self._lists[path]

    def of_labelled(self, name: str, data_dir: str | None) -> dict[str, str]:
        """Return the fingerprints of the files of a data set with labels.

        Parameters
        ----------
        name : str
            Name of the data set.
        data_dir : str or None
            Folder of data sets that is searched first.

        Returns
        -------
        dict of str to str
            Fingerprints by what the files hold.

        Raises
        ------
        AbsentError
            If the data set is not here.
        DataError
            If a file cannot be read.
        """
        key = (name, data_dir)
        if key not in self._labelled:
            found = find(KNOWN[name], data_dir)
            files = None if found is None else {file: self.of(str(path)) for file, path in sorted(found.files.items())}
            self._labelled[key] = files
        files = self._labelled[key]
        if files is None:
            raise AbsentError(f"{name} is not here")
        return files

    def save(self) -> None:
        """Write the fingerprints, if there are new ones. It is no failure if that is impossible."""
        if self._changed:
            with suppress(OutputError):
                write_whole({self.cache: lambda file: file.write(strict_json(self._known).encode())})
            self._changed = False

    def _of_file(self, path: str) -> str:
        try:
            status = os.stat(path)
        except (OSError, ValueError):
            raise DataError(f"cannot read {printable(path)}: it does not exist, or must not be read") from None
        key, state = os.path.abspath(path), [status.st_size, status.st_mtime_ns]
        known = self._known.get(printable(key))
        if isinstance(known, list) and known[:2] == state:
            return str(known[2])
        digest = hashlib.sha256()
        try:
            with open_regular(path) as file:
                while piece := file.read(_PIECE):
                    digest.update(piece)
        except (DataError, OSError) as error:
            raise DataError(f"cannot read {printable(path)}: {error}") from None
        self._known[printable(key)] = [*state, digest.hexdigest()]
        self._changed = True
        return digest.hexdigest()


def address(part: Part, fingerprints: Fingerprints, *, version: str = __version__) -> str:
    """Return the address of a part's result.

    Parameters
    ----------
    part : Part
        Work with its configuration.
    fingerprints : Fingerprints
        Fingerprints of the files that the configuration names.
    version : str
        Version of ndtools. Default: this one.

    Returns
    -------
    str
        Twelve hexadecimal digits. They change with every setting that can change the result, with the content of the
        data, with the version, and with the source code of the experiment; for times also with the machine. Training
        runs, which take hours, keep theirs when the code changes.

    Raises
    ------
    DataError
        If the data are absent or cannot be read.
    """
    settings = asdict(part.config)
    content: dict[str, Any] = {name: value for name, value in settings.items() if name not in _IRRELEVANT}
    for name in _DATA:
        if content.get(name):
            if part.experiment in _RUNS and os.path.isdir(content[name]):  # up to millions of images
                content[name] = fingerprints.of_list(content[name])
            else:
                content[name] = _data(content[name], settings, fingerprints)
    if part.experiment in _MACHINE:
        content["machine"] = {
            **hardware(resolve_device(settings["device"])),
            "jobs": settings["jobs"],
            "threads": os.environ.get("OMP_NUM_THREADS"),
        }
    whole = {"experiment": part.experiment, "version": version, "config": content}
    if part.experiment not in _RUNS:
        whole["code"] = code_of(part.experiment)
    return hashlib.sha256(json.dumps(plain(whole), sort_keys=True).encode()).hexdigest()[:12]


def without_places(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a configuration that can change a result, but for those that name data."""
    return dict(plain({name: settings[name] for name in settings if name not in (*_IRRELEVANT, *_DATA)}))


def could_be(saved: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Return whether a saved result could be the wanted one, as far as can be told without reading any data.

    Parameters
    ----------
    saved, wanted : mapping
        Settings of the configurations of both, as a .json file has them.

    Returns
    -------
    bool
        Whether all settings are equal that do not name data, and the same ones name data that the code makes.
    """
    names = {name for name in (*_DATA, *saved, *wanted) if name not in _IRRELEVANT}
    return all(
        saved.get(name) == wanted.get(name)
        if name not in _DATA or {_built_in(saved.get(name)), _built_in(wanted.get(name))} != {False}
        else True
        for name in names
    )


def _built_in(value: Any) -> bool:  # noqa: ANN401
    return isinstance(value, str) and (value in (BUILT_IN, SCENES) or value in BUILT_IN_SOURCES)


def _data(value: Any, settings: Mapping[str, Any], fingerprints: Fingerprints) -> Any:  # noqa: ANN401
    """Return a name for the content of the data that a setting names."""
    if not isinstance(value, str):
        return [_data(each, settings, fingerprints) for each in value]
    if os.path.lexists(value):
        return fingerprints.of(value)
    if value in KNOWN and value != BUILT_IN:
        return fingerprints.of_labelled(value, settings.get("data_dir"))
    if _built_in(value):  # decided by the code
        return value
    if value == "-" or value.startswith("@") or glob.has_magic(value):
        raise DataError(f"{printable(value)} is no file or folder, whose content could be told; name one")
    raise AbsentError(f"{printable(value)} is not here")


def _files(path: str) -> Iterator[str]:
    """Yield the paths of all files in a folder and its subfolders, but hidden ones, in the order of their names."""
    entered = {_identity(path)}  # links may form loops
    for folder, folders, files in os.walk(path, followlinks=True):
        inner = sorted(name for name in folders if not name.startswith("."))
        folders[:] = [name for name in inner if _identity(os.path.join(folder, name)) not in entered]
        entered.update(_identity(os.path.join(folder, name)) for name in folders)
        for name in sorted(files):
            file = os.path.join(folder, name)
            if not name.startswith(".") and os.path.isfile(file):
                yield file


def _identity(path: str) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def plain(value: Any) -> Any:  # noqa: ANN401
    """Return a value as it is read back from a .json file: tuples as lists, paths as texts."""
    return json.loads(strict_json({"value": value}))["value"]
