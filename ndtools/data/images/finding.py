"""Collect the images of one SOURCE, in all the places that it names."""

import os
from collections.abc import Callable
from functools import partial

from ndtools.data.images.archives import is_archive, is_zip, zip_members
from ndtools.data.images.entries import Archive, Entry, ImageRef, archive_problem, is_wanted
from ndtools.data.images.folders import Skipped, is_image
from ndtools.data.images.parquet import is_parquet
from ndtools.data.images.places import Place, place_of
from ndtools.errors import DataError, UnreachableError
from ndtools.text import printable

__all__ = ["Collector"]


class Collector:
    """Collects the images of one SOURCE, and the entries that cannot be used.

    Parameters
    ----------
    counted : callable, optional
        Function that is told how many images were found so far.
    """

    def __init__(self, counted: Callable[[int], object] | None = None) -> None:
        self.entries: list[Entry] = []
        self.skipped: list[Skipped] = []
        self.repeated = 0  # paths of files that were added before
        self._counted = counted
        self._added: set[str] = set()
        self._places: dict[str, Place] = {}

    def place(self, path: str) -> Place:
        """Return the place that has a path."""
        return place_of(path, self._places)

    def add(self, path: str) -> None:
        """Add a file, an archive, or a folder."""
        place = self.place(path)
        if _is_folder(place, path):
            for file in self._files_in(place, path):
                self._add_file(place, file)
        elif is_archive(path) or is_parquet(path):
            if self._is_new(place, path):
                self._add_archive(place, path)
        else:
            self._add_file(place, path)

    def add_list(self, paths: list[str], folder: str) -> None:
        """Add the paths of a list, which are looked for beside the list, too."""
        for path in paths:
            self.add(self.place(path).beside(path, folder))

    def add_glob(self, pattern: str) -> None:
        """Add all that matches a glob pattern."""
        place = self.place(pattern)
        extension = os.path.splitext(pattern)[1]
        any_file = bool(extension) and not place.is_pattern(extension)
        files: dict[str, str] = {}  # by normalised path: "**" matches folders and also the files in them
        for match in sorted(place.matches(pattern), key=os.fsencode):
            if _is_folder(place, match):
                paths = self._files_in(place, match)
            else:
                paths = [match] if any_file or _has_known_name(match) else []
            for path in paths:
                files.setdefault(path if place.far else os.path.normpath(path), path)
        for path in sorted(files.values(), key=os.fsencode):
            self.add(path)

    def _add_file(self, place: Place, path: str) -> None:
        if self._is_new(place, path):
            reference = ImageRef(printable(path), partial(place.read, path), size=partial(place.size, path))
            self.entries.append(reference)

    def _is_new(self, place: Place, path: str) -> bool:
        """Return whether a file is added for the first time, judged by its path."""
        identity = place.identity(path)
        if identity in self._added:
            self.repeated += 1
            return False
        self._added.add(identity)
        return True

    def _files_in(self, place: Place, folder: str) -> list[str]:
        files: list[str] = []
        for images, skipped in place.walk(folder):
            files += images
            self.skipped += skipped
            if self._counted:
                self._counted(len(self.entries) + len(files))
        return sorted(files, key=os.fsencode)

    def _add_archive(self, place: Place, path: str) -> None:
        if is_zip(path):
            self._add_zip(place, path)
            return
        archive = Archive(path, place)
        if place.far and not is_parquet(path):  # to list it would be to read it
            self.entries.append(archive)
            return
        entries, skipped = archive.listed()
        self.entries += entries
        self.skipped += skipped

    def _add_zip(self, place: Place, path: str) -> None:
        try:
            members = zip_members(path, place.open)
        except UnreachableError:
            raise
        except DataError as error:
            raise DataError(archive_problem(path, error)) from error
        for member in members:
            if not is_wanted(member.name):
                continue
            name = f"{printable(path)}/{printable(member.name)}"
            if member.problem is None:
                self.entries.append(ImageRef(name, member.read, size=partial(int, member.size)))
            else:
                self.skipped.append(Skipped(name, member.problem))


def _is_folder(place: Place, path: str) -> bool:
    """Return whether a path is a folder. A far one that has the name of a file is none, without asking."""
    return not (place.far and _has_known_name(path)) and place.is_folder(path)


def _has_known_name(path: str) -> bool:
    return is_archive(path) or is_parquet(path) or is_image(path.partition("?")[0] if "://" in path else path)
