"""Write files whole or not at all: first to temporary names, renamed when all are complete."""

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from ndtools.errors import OutputError

__all__ = ["check_writable", "write_whole"]


def check_writable(
    paths: Sequence[Path], *, elsewhere: str = "another folder", shorter: str = "a shorter name"
) -> None:
    """Check that files can be written, and create their folder if it does not exist.

    Parameters
    ----------
    paths : sequence of Path
        Paths of the files, all in one folder.
    elsewhere : str
        Remedy if the folder cannot be written to, as the object of "choose". Default "another folder".
    shorter : str
        Remedy if the name of a file is too long, as the object of "choose". Default "a shorter name".

    Raises
    ------
    OutputError
        If a file cannot be written. The message gives the reason and the remedy.
    """
    folder = paths[0].parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise OutputError(f"cannot write to {folder}: it is a file, not a folder; choose {elsewhere}") from None
    except OSError as error:
        raise OutputError(f"cannot write to {folder}: {error.strerror}; choose {elsewhere}") from None
    for path in paths:
        if os.path.islink(path) and not os.path.isdir(os.path.dirname(os.path.realpath(path))):
            raise OutputError(
                f"cannot write {path}: it is a link into a folder that does not exist; choose {elsewhere}"
            )
        if os.path.isdir(path):
            raise OutputError(f"cannot write {path}: it is a folder; choose {elsewhere}")
        if os.path.exists(path) and not os.path.isfile(path):  # a device or pipe would be replaced by a file
            raise OutputError(f"cannot write to {folder}: {path.name} there is not a regular file; choose {elsewhere}")
        try:
            with _temporary(path).open("wb"):  # fails also for names that are too long
                pass
            _temporary(path).unlink()
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise OutputError(f"cannot write {path.name}: {error.strerror}; choose {shorter}") from None
            raise OutputError(f"cannot write to {folder}: {error.strerror}; choose {elsewhere}") from None


def write_whole(
    writers: Mapping[Path, Callable[[IO[bytes]], object]], *, elsewhere: str = "another folder"
) -> list[Path]:
    """Write files: all completely under temporary names, then each by renaming.

    Parameters
    ----------
    writers : mapping of Path to callable
        Functions that write the content of each file into the open file that they are given. The folders exist.
        A path that is a symbolic link remains one; the file that it points to is replaced.
    elsewhere : str
        Remedy if a file cannot be written, as the object of "choose". Default "another folder".

    Returns
    -------
    list of Path
        Paths of the files, in the order of ``writers``.

    Raises
    ------
    OutputError
        If a file cannot be written. Existing files then remain unchanged, unless it is the renaming of one of several
        files that fails.
    """
    targets = {path: Path(os.path.realpath(path)) for path in writers}
    temporary = {path: _temporary(target) for path, target in targets.items()}
    try:
        for path, write in writers.items():
            with temporary[path].open("wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())  # so that after a power failure either the old file is whole or the new one
        for path, complete in temporary.items():
            os.replace(complete, targets[path])
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"cannot write {path}: {reason}; choose {elsewhere}") from error
    finally:
        for leftover in temporary.values():
            with suppress(OSError):  # a folder that cannot be entered holds none
                leftover.unlink(missing_ok=True)
    return list(writers)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")
