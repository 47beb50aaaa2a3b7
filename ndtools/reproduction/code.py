"""Fingerprints of the code that computes an experiment, which changes more often than the version does."""

import hashlib
import re
from functools import cache
from pathlib import Path

from ndtools.errors import DataError
from ndtools.text import printable, reason

__all__ = ["code_of"]

_PACKAGE = Path(__file__).parent.parent
_IMPORT = re.compile(
    r"^\s*(?:from\s+(ndtools[\w.]*)\s+import\s+(\([^)]*\)|[^\n]*)|import\s+(ndtools[\w.]*))", re.MULTILINE
)
_NAME = re.compile(r"[A-Za-z_]\w*")
_SHOWING = ("ndtools.console", "ndtools.drawing")
"""Parts that show results, and compute nothing."""
_FIGURES = re.compile(r"\.(figures?(_\w+)?|table|panels|display|command)$")


@cache
def code_of(experiment: str) -> str:
    """Return a fingerprint of the code that computes an experiment.

    It is that of the source files of its ``run`` and of everything in this package that they import, at the top or
    within functions. Files that only draw or print are left out, so that another colour makes no result again.

    Parameters
    ----------
    experiment : str
        Command of the experiment, such as "kernels".

    Returns
    -------
    str
        Hexadecimal digits that depend on the source text alone.

    Raises
    ------
    DataError
        If a source file cannot be read.
    """
    digest = hashlib.sha256()
    for name, path in sorted(modules_of_experiment(experiment).items()):
        digest.update(name.encode() + b"\0" + hashlib.sha256(_text(path).encode()).digest())
    return digest.hexdigest()


def modules_of_experiment(experiment: str) -> dict[str, Path]:
    """Return the modules that compute an experiment, with their files; training runs have their ``run`` in common."""
    folder = f"ndtools.experiments.{experiment.replace('-', '_')}"
    starts = (f"{folder}.run",) if _file(f"{folder}.run") else ("ndtools.runs.run", f"{folder}.config")
    return {name: path for start in starts for name, path in modules_of(start).items()}


def modules_of(name: str) -> dict[str, Path]:
    """Return the modules of this package that a module imports, and those that they import, with their files."""
    found: dict[str, Path] = {}
    waiting = [name]
    while waiting:
        module = waiting.pop()
        path = _file(module)
        if module in found or path is None or module.startswith(_SHOWING) or _FIGURES.search(module):
            continue
        found[module], text = path, _text(path)
        if "import_module(" in text:  # by a name that is made: any module beside it
            waiting += [f"{module.rpartition('.')[0]}.{beside.stem}" for beside in path.parent.glob("*.py")]
        for source, names, plain in _IMPORT.findall(text):
            waiting.append(source or plain)
            waiting += [f"{source}.{word}" for word in _NAME.findall(names)] if source else []
    return found


def _file(module: str) -> Path | None:
    """Return the source file of a module or package; None if there is no such module."""
    place = _PACKAGE.joinpath(*module.split(".")[1:])
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)


@cache
def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {printable(path)}: {reason(error)}") from None
