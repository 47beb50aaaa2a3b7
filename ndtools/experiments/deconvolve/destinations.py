"""Names of the files in which the images of a set are written when they are deconvolved."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from ndtools.data.files import read_file
from ndtools.data.images.folders import is_image
from ndtools.data.images.sources import ImageSource
from ndtools.errors import DataError, OptionError, OutputError
from ndtools.results.strict_json import strict_json
from ndtools.validation import check_choice
from ndtools.writing import write_whole

__all__ = ["SET_FORMATS", "Destinations", "destinations"]

SET_FORMATS = ("png", "npy", "npz")
"""Formats of deconvolved images: pictures of 8 bits, or the exact float32 values (C, H, W)."""


@dataclass(frozen=True, eq=False)
class Destinations:
    """Files of the deconvolved images of a set.

    Attributes
    ----------
    folder : Path
        Folder of all files.
    stems : mapping of str to str
        Path within the folder, without extension, by the name of each image.
    formats : tuple of str
        Formats in which each image is written, which are the file extensions.
    """

    folder: Path
    stems: Mapping[str, str]
    formats: tuple[str, ...]

    def of(self, name: str) -> dict[str, Path]:
        """Return the file of an image for each format."""
        return {extension: self.folder / f"{self.stems[name]}.{extension}" for extension in self.formats}

    def written(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return the files of some images, as paths within the folder with forward slashes, sorted."""
        return tuple(sorted(f"{self.stems[name]}.{extension}" for name in names for extension in self.formats))

    def check_apart(self, source: str) -> None:
        """Check that no image of the source is replaced, nor taken for one of the source by the next run.

        Parameters
        ----------
        source : str
            Source of the images.

        Raises
        ------
        OptionError
            If the folder lies in that of the images, or an image would be replaced.
        """
        if os.path.isdir(source):
            images, folder = os.path.realpath(source), os.path.realpath(self.folder)
            if folder == images or folder.startswith(os.path.join(images, "")):
                raise OptionError("out", f"must not lie in the folder of the images, {source}; choose another")
        for name in self.stems:
            for path in self.of(name).values():
                if os.path.lexists(path) and os.path.realpath(path) in self._inputs:
                    raise OptionError("out", f"would replace {path}, which is one of the images; choose another")

    @cached_property
    def _inputs(self) -> set[str]:
        return {os.path.realpath(name) for name in self.stems}

    def check(self, results: Sequence[Path]) -> tuple[str, ...]:
        """Check that no file is replaced but those of an older run.

        Parameters
        ----------
        results : sequence of Path
            Files of the result itself, which lie in the same folder; one of them is the .json file.

        Returns
        -------
        tuple of str
            Files of images that older runs wrote and that still exist, as paths within the folder.

        Raises
        ------
        OptionError
            If an image would have the name of a file of the result.
        OutputError
            If a file exists and is not of an older run.
        """
        older = set().union(*map(_written_before, (_numbers_of(results), _announced_in(results))))
        own = {os.path.normcase(path.name) for path in results}
        for stem in self.stems.values():
            for extension in self.formats:
                path = self.folder / f"{stem}.{extension}"
                if os.path.normcase(f"{stem}.{extension}") in own:
                    raise OptionError("name", f"is also that of an image, {path}; choose another")
                if os.path.lexists(path) and f"{stem}.{extension}" not in older:
                    raise OutputError(
                        f"cannot write {path}: it exists, and no older run of this name wrote it; choose another `out`"
                        " or `name`, or remove it"
                    )
        return tuple(name for name in older if (self.folder / name).is_file())

    def announce(self, results: Sequence[Path], earlier: Sequence[str]) -> Path:
        """Write down, before the first image, which files are those of this run, for the case that it is interrupted.

        The next run of the same name may replace what the file names.

        Parameters
        ----------
        results : sequence of Path
            Files of the result itself, as for `check`.
        earlier : sequence of str
            Files of images that older runs wrote.

        Returns
        -------
        Path
            File that was written, to be removed when the result is complete.
        """
        path = _announced_in(results)
        content = {"written": self.written(self.stems), "earlier": list(earlier)}
        write_whole({path: lambda file: file.write(strict_json(content).encode())})
        return path


def destinations(images: ImageSource, folder: Path, formats: Sequence[str]) -> Destinations:
    """Return the files in which the images of a source are written when they are deconvolved.

    Images keep their names, and their folders below the folder that they have in common. Where several would have one
    name, as a.jpg and a.png, the extension of the image stays in it.

    Parameters
    ----------
    images : ImageSource
        Source of the images.
    folder : Path
        Folder of the files.
    formats : sequence of {"png", "npy", "npz"}
        Formats in which each image is written.

    Returns
    -------
    Destinations
        Files by the names of the images.

    Raises
    ------
    OptionError
        If a format is unknown.
    DataError
        If two images have the same name.
    """
    for each in formats:
        check_choice("formats", each, SET_FORMATS)
    names = [entry.name for entry in images.listed.entries]
    paths = [PurePosixPath(name.replace(os.sep, "/")).parts for name in names]
    depth = len(os.path.commonprefix([path[:-1] for path in paths]))
    label = PurePosixPath(images.label.replace(os.sep, "/")).parts
    if all(path[: len(label)] == label for path in paths):  # keep a folder that all images lie in by chance
        depth = min(depth, len(label))
    inner = ["/".join(part for part in path[depth:] if part not in ("..", ".", "/")) for path in paths]
    bare = [str(PurePosixPath(path).with_suffix("")) if is_image(path) else path for path in inner]
    counts = Counter(stem.casefold() for stem in bare)
    stems = [stem if counts[stem.casefold()] == 1 else path for stem, path in zip(bare, inner, strict=True)]
    repeated = [stem for stem, count in Counter(map(str.casefold, stems)).items() if count > 1]
    if repeated:
        twice = next(name for name, stem in zip(names, stems, strict=True) if stem.casefold() == repeated[0])
        raise DataError(f"{images.label} has several images of the name {twice}: one would replace the other")
    return Destinations(folder, dict(zip(names, stems, strict=True)), tuple(dict.fromkeys(formats)))


def _numbers_of(results: Sequence[Path]) -> Path:
    """Return the .json file among the files of a result."""
    return next(path for path in results if path.suffix == ".json")


def _announced_in(results: Sequence[Path]) -> Path:
    """Return the file in which a run announces what it writes."""
    return _numbers_of(results).with_suffix(".part.json")


def _written_before(path: Path) -> set[str]:
    """Return the files of images that the .json file of an older result, or of an interrupted run, lists."""
    try:
        content = json.loads(read_file(path))
        names = [*content["written"], *content["earlier"]]
    except (DataError, ValueError, LookupError, TypeError, RecursionError):  # there is none, or none of a set
        return set()
    return {name for name in names if isinstance(name, str)}
