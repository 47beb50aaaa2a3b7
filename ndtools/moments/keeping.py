"""Decoded images that are kept in memory between two passes over a source."""

import threading
from collections.abc import Iterator

from ndtools.computing.memory import free_memory
from ndtools.data.images.reading import Decoded
from ndtools.data.images.sources import ImageSource, Skipped

__all__ = ["KeptImages"]

SHARE = 4  # of the free memory, one part at most is taken by images that are kept
UNKNOWN = 2**28  # bytes that are taken where the free memory is not known


class KeptImages:
    """Decoded images of a source, all of them or none.

    The first pass over the source adds its images, in one part or several, and ends with `finish`. If all of them have
    room, the second pass decodes none; otherwise none is kept, and all are decoded again. Which pass decodes has no
    influence on the order of the images.

    Parameters
    ----------
    limit : int, optional
        Largest memory of all images together, bytes. Default: a quarter of the memory that is free.
    """

    def __init__(self, limit: int | None = None) -> None:
        if limit is None:
            free = free_memory()
            limit = UNKNOWN if free is None else free // SHARE
        self._limit, self._held = limit, 0
        self._items: dict[str, Decoded | Skipped] | None = {}
        self._finished = False
        self._lock = threading.Lock()

    def add(self, item: Decoded | Skipped) -> None:
        """Keep an image, or the reason why it cannot be used. Any thread may call this."""
        with self._lock:
            if self._items is None:
                return
            self._held += item.nbytes if isinstance(item, Decoded) else 0
            # A name that comes again is that of another image, as in an archive.
            if self._held > self._limit or item.name in self._items:
                self._items = None
            else:
                self._items[item.name] = item

    def finish(self) -> None:
        """End the first pass. Images are given back only now: a name may come again in another part of the source."""
        self._finished = True

    def of(self, source: ImageSource) -> Iterator[Decoded | Skipped] | None:
        """Return the images of a source in its order, after its skipped entries; None if not all of them are kept."""
        names = [entry.name for entry in source.entries]
        if not self._finished or self._items is None or not all(name in self._items for name in names):
            return None
        return iter([*source.skipped, *(self._items[name] for name in names)])
