"""Whether files of moments are complete and count nothing twice, and the order in which they are added."""

import os
from collections.abc import Sequence

from ndtools.errors import DataError, MatrixError, OptionError
from ndtools.moments.origin import Origin
from ndtools.text import printable

__all__ = ["in_order", "numbers_in_words"]

NAMED = 10  # missing shards that a message names


def in_order(paths: Sequence[str], origins: Sequence[Origin | None]) -> list[str]:
    """Return the paths of files of moments in the order in which they are added, if they are all there and once.

    Parameters
    ----------
    paths : sequence of str
        Paths of the files.
    origins : sequence of Origin or None
        Source or shard that the moments in each file come from; None if it is not known.

    Returns
    -------
    list of str
        Files of shards in the order of the shards' numbers. Other files keep their order.

    Raises
    ------
    OptionError
        If a file is named twice, or two files hold the same images.
    DataError
        If a shard is missing.
    MatrixError
        If files of shards are of different sources, settings or divisions, or are mixed with files of whole sources.
    """
    seen: dict[str, str] = {}
    for path in paths:
        if os.path.realpath(path) in seen:
            message = f"must name each file once, got {printable(path)} twice: its images would count twice"
            raise OptionError("from_moments", message)
        seen[os.path.realpath(path)] = path
    held: dict[Origin, str] = {}
    for path, origin in zip(paths, origins, strict=True):
        if origin is None:
            continue
        if origin in held:
            what = f"shard {origin.shard} of {origin.source}" if origin.shard else origin.source
            raise OptionError(
                "from_moments",
                f"must name each shard and source once: {printable(held[origin])} and {printable(path)} both hold"
                f" {what}, whose images would count twice",
            )
        held[origin] = path
    if not any(origin and origin.shard for origin in origins):
        return list(paths)
    return _of_shards(paths, origins)


def _of_shards(paths: Sequence[str], origins: Sequence[Origin | None]) -> list[str]:
    i = next(i for i, origin in enumerate(origins) if origin and origin.shard)
    first = origins[i]
    assert first is not None and first.shard is not None
    numbers: dict[int, str] = {}
    for path, origin in zip(paths, origins, strict=True):
        difference = origin.difference(first) if origin else "it does not say which shard it is"
        if origin is None or origin.shard is None or difference:
            remedy = "" if origin and origin.shard else "; first add up the shards alone, with `save_moments`"
            raise MatrixError(f"{printable(path)} does not fit {printable(paths[i])}: {difference}{remedy}")
        numbers[origin.shard.number] = path
    of = first.shard.of
    missing = [number for number in range(1, of + 1) if number not in numbers]
    if missing:
        one = len(missing) == 1
        raise DataError(
            f"{len(missing)} of {of} shards of {first.source} {'is' if one else 'are'} missing:"
            f" {numbers_in_words(missing)}; name {'its file' if one else 'their files'}, or make"
            f" {'it' if one else 'them'} with `shard={missing[0]}/{of}`{'' if one else ' and so on'}"
        )
    return [numbers[number] for number in range(1, of + 1)]


def numbers_in_words(numbers: Sequence[int]) -> str:
    """Return numbers in ascending order as a list with ranges, shortened if there are many, as in "3, 5 to 9"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    words = [f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs]
    return ", ".join(words[:NAMED]) + (" ..." if len(words) > NAMED else "")
