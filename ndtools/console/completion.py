"""Words that shells complete for arguments which are names or paths. Completing imports nothing heavy."""

import os
from collections.abc import Iterable

__all__ = [
    "complete_dataset",
    "complete_fetched",
    "complete_images",
    "complete_name_of_dataset",
    "complete_photo",
    "complete_signals",
    "complete_source",
]

_SOURCES = ("sample", "sample-photo", "dead-leaves")


def complete_images(incomplete: str) -> list[str]:
    """Return the built-in sources of images, the names of data sets, and paths, that begin with what was typed."""
    return _names_or_paths((*_SOURCES, *complete_name_of_dataset(incomplete)), incomplete)


def complete_source(incomplete: str) -> list[str]:
    """Return the built-in sources of images, and paths, that begin with what was typed."""
    return _names_or_paths(_SOURCES, incomplete)


def complete_photo(incomplete: str) -> list[str]:
    """Return the built-in photograph, and paths, that begin with what was typed."""
    return _names_or_paths(("sample-photo",), incomplete)


def complete_signals(incomplete: str) -> list[str]:
    """Return the built-in sets of signals and volumes, and paths, that begin with what was typed."""
    return _names_or_paths(("base-calls", "beads"), incomplete)


def complete_dataset(incomplete: str) -> list[str]:
    """Return the names of data sets, and paths, that begin with what was typed."""
    return _names_or_paths(complete_name_of_dataset(incomplete), incomplete)


def complete_name_of_dataset(incomplete: str) -> list[str]:
    """Return the names of data sets that begin with what was typed."""
    from ndtools.data.labelled.catalogue import KNOWN

    return [name for name in KNOWN if name.startswith(incomplete)]


def complete_fetched(incomplete: str) -> list[str]:
    """Return the names, of data sets that can be downloaded, which begin with what was typed."""
    from ndtools.data.labelled.catalogue import BUILT_IN

    return [name for name in complete_name_of_dataset(incomplete) if name != BUILT_IN]


def _names_or_paths(names: Iterable[str], incomplete: str) -> list[str]:
    """Return names and paths that begin with what was typed; nothing if it begins no name."""
    matches = [name for name in names if name.startswith(incomplete)]
    if not matches:  # a shell to which nothing is returned completes paths by itself, and knows folders better
        return []
    try:
        with os.scandir() as entries:
            paths = sorted(
                f"{entry.name}/" if entry.is_dir() else entry.name
                for entry in entries
                if entry.name.startswith(incomplete) and not entry.name.startswith(".")
            )
    except OSError:  # no folder, or one that must not be read
        paths = []
    return matches + paths
