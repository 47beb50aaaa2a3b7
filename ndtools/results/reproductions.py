"""Grades, and reproduction.json as it is read: the items of a reproduction, and their parts."""

import json
import math
import shlex
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar

from ndtools.data.files import read_file
from ndtools.errors import DataError
from ndtools.text import printable, reason

__all__ = [
    "FORMAT",
    "STATE_FILE",
    "VERDICTS",
    "Grade",
    "SavedItem",
    "SavedLevel",
    "SavedPart",
    "SavedReproduction",
    "Verdict",
]

FORMAT = 1
"""Version of the content of reproduction.json that is understood."""
STATE_FILE = "reproduction.json"
Verdict = Literal["disagrees", "same direction", "agrees", "not comparable", "not run"]
VERDICTS: dict[Verdict, str] = {
    "disagrees": "The measured value contradicts the published one.",
    "same direction": "Sign and order hold beyond chance, and the size differs or the recipe was reduced.",
    "agrees": "The measured value is as near to the published one as their spreads allow.",
    "not comparable": "There is a measured value, and conditions or chance do not allow a verdict.",
    "not run": "There is no measured value.",
}
"""Verdicts with their meaning, in the order in which the page has them: what fails stands first."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Grade:
    """How a measurement compares with a published number or claim.

    Attributes
    ----------
    subject : str
        ID of the published number or claim.
    verdict : str
        One of :data:`VERDICTS`.
    measured : float or None
        Measured value in the unit of the published number; None if nothing was run, or for a claim without one number.
    spread : float or None
        Standard deviation over the runs; None without several runs.
    n : int or None
        Number of runs; None if the number does not come from runs.
    reason : str
        One sentence that says what decided the verdict. For "not run": what is missing, and how to get it.
    conditions : str
        Conditions of the measurement in words, such as "5,000 of 50,000 images, 1 epoch, batches of 128".
    third_party : tuple of str
        IDs of numbers in other documents that stand beside the published one. Default: none.
    """

    subject: str
    verdict: Verdict
    measured: float | None = None
    spread: float | None = None
    n: int | None = None
    reason: str
    conditions: str
    third_party: tuple[str, ...] = ()

    def numbers(self) -> dict[str, Any]:
        """Return the entries of the .json file."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class SavedPart:
    """State of one unit of work of an item.

    Attributes
    ----------
    name : str
        Name of the part within its item.
    experiment : str
        Command that computes it, such as "kernels" or "train".
    state : str
        State in words, such as "done" or "waiting".
    seconds, estimate : float or None
        Measured and estimated duration in seconds.
    result : str or None
        Path of the .json file of its result or of the folder of its run, from the folder of the state.
    command : str
        Command line that computes it.
    reason : str or None
        Reason why it is not done.
    """

    name: str
    experiment: str
    state: str
    seconds: float | None
    estimate: float | None
    result: str | None
    command: str
    reason: str | None


@dataclass(frozen=True, kw_only=True)
class SavedLevel:
    """Size of the recipe that was chosen for an item.

    Attributes
    ----------
    title : str
        Size in words.
    full : bool
        Whether it is the published recipe.
    concludes, not_concluded : str
        Sentences that say what may be concluded from it, and what not.
    """

    title: str
    full: bool
    concludes: str
    not_concluded: str


@dataclass(frozen=True, kw_only=True)
class SavedItem:
    """State of one item of a reproduction: a figure, table or statement.

    Attributes
    ----------
    id, title, where : str
        ID, title, and place in the paper.
    aliases : tuple of str
        Other IDs of the same item.
    state : str
        State in words, such as "done" or "data missing".
    reason : str or None
        Sentence that says what is missing and how to get it.
    runnable : tuple of str
        Titles of the sizes whose data were there.
    level : SavedLevel or None
        Size of the recipe that was chosen.
    seconds, estimate, estimate_full : float or None
        Duration so far, estimate of the chosen size, and estimate of the published recipe, in seconds.
    command : str
        Command line that reproduces the item.
    parts : tuple of SavedPart
        Units of work in their order.
    grades : tuple of Grade
        Grades of its published numbers and claims.
    """

    id: str
    aliases: tuple[str, ...]
    title: str
    where: str
    state: str
    reason: str | None
    runnable: tuple[str, ...]
    level: SavedLevel | None
    seconds: float | None
    estimate: float | None
    estimate_full: float | None
    command: str
    parts: tuple[SavedPart, ...]
    grades: tuple[Grade, ...]


@dataclass(frozen=True, kw_only=True)
class SavedReproduction:
    """Content of the folder of a reproduction.

    Attributes
    ----------
    folder : Path
        Folder that holds the state.
    version : str
        Version of ndtools that wrote it.
    started, updated : str or None
        Dates of the first start and of the last change.
    budget : float or None
        Seconds that the last call was given for all items; None for a call without a limit.
    versions, hardware : mapping
        Versions of the software, and the machine.
    items : tuple of SavedItem
        Items that could be read, in their order.
    damaged : tuple of str
        Remarks about items that could not be read.
    content : mapping
        Whole content of the file.
    """

    folder: Path
    version: str
    started: str | None
    updated: str | None
    budget: float | None
    versions: Mapping[str, Any]
    hardware: Mapping[str, Any]
    items: tuple[SavedItem, ...]
    damaged: tuple[str, ...]
    content: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path, *, remedy: str | None = None) -> "SavedReproduction":
        """Read the state of a reproduction.

        Parameters
        ----------
        folder : Path
            Folder that holds reproduction.json.
        remedy : str, optional
            Clause that says what can be done if the file cannot be understood. By default it is to begin it anew.

        Returns
        -------
        SavedReproduction
            State with all items that can be read; the others are named in ``damaged``.

        Raises
        ------
        DataError
            If the file is absent, is not JSON, or is of a format that is not known.
        """
        path = folder / STATE_FILE
        name = printable(path)
        if remedy is None:
            again = f"ndtools reproduce --output {shlex.quote(printable(folder))}"
            remedy = f"move it away, and make it anew with: {again}, which keeps all finished results"
        content = _object(path, name, remedy)
        if content.get("format") != FORMAT or isinstance(content["format"], bool):
            raise DataError(
                f"{name} has the format {content.get('format')!r}, and this version of ndtools reads {FORMAT}; update"
                f" ndtools, or {remedy}"
            )
        values = _Fields(content)
        items: list[SavedItem] = []
        damaged: list[str] = []
        try:
            for number, value in enumerate(values.many("items", lambda value: value), 1):
                try:
                    items.append(_saved(SavedItem, value))
                except _Misfit as error:
                    called = value.get("id") if isinstance(value, dict) else None
                    which = called if isinstance(called, str) else f"number {number}"
                    damaged.append(f"{name}: the item {which} is damaged and is left out: {error}")
            return cls(
                folder=folder,
                version=values.text("ndtools"),
                started=values.optional_text("started"),
                updated=values.optional_text("updated"),
                budget=values.number("budget"),
                versions=values.mapping("versions"),
                hardware=values.mapping("hardware"),
                items=tuple(items),
                damaged=tuple(damaged),
                content=content,
            )
        except _Misfit as error:
            raise DataError(f"{name} is damaged: {error}; {remedy}") from None


class _Misfit(Exception):  # noqa: N818 (a value that does not fit, told apart from errors of the program)
    """A value of the file is absent or of another type."""


class _Fields:
    """Values of a JSON object, each checked when it is taken."""

    def __init__(self, content: object) -> None:
        if not isinstance(content, dict):
            raise _Misfit("it is no JSON object")
        self._content = content

    def text(self, name: str) -> str:
        value = self._content.get(name)
        return value if isinstance(value, str) else self._refuse(name, "a text")

    def optional_text(self, name: str) -> str | None:
        return None if self._content.get(name) is None else self.text(name)

    def number(self, name: str) -> float | None:
        value = self._content.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            self._refuse(name, "a finite number or null")
        return value

    def count(self, name: str) -> int | None:
        value = self.number(name)
        return value if value is None or isinstance(value, int) else self._refuse(name, "a whole number or null")

    def flag(self, name: str) -> bool:
        value = self._content.get(name)
        return value if isinstance(value, bool) else self._refuse(name, "true or false")

    def mapping(self, name: str) -> dict[str, Any]:
        value = self._content.get(name)
        return value if isinstance(value, dict) else self._refuse(name, "an object")

    def optional(self, name: str, read: Callable[[Any], T]) -> T | None:
        value = self._content.get(name)
        return None if value is None else read(value)

    def many(self, name: str, read: Callable[[Any], T]) -> tuple[T, ...]:
        value = self._content.get(name)
        return tuple(map(read, value)) if isinstance(value, list) else self._refuse(name, "a list")

    @staticmethod
    def _refuse(name: str, wanted: str) -> NoReturn:
        raise _Misfit(f"'{name}' must be {wanted}")


def _saved(kind: Callable[..., T], value: object) -> T:
    """Restore a dataclass from a JSON object that has its fields, each of which is read by its type."""
    content = _Fields(value)
    return kind(**{field.name: _READERS[field.type](content, field.name) for field in fields(kind)})  # type: ignore[arg-type]


def _word(value: object) -> str:
    if not isinstance(value, str):
        raise _Misfit("a list of names holds something else than a text")
    return value


def _grade(value: object) -> Grade:
    grade = _saved(Grade, value)
    if grade.verdict not in VERDICTS:
        raise _Misfit(f"the verdict of {grade.subject} must be one of {', '.join(VERDICTS)}, got {grade.verdict!r}")
    return grade


_READERS: dict[Any, Callable[[_Fields, str], Any]] = {
    str: _Fields.text,
    Verdict: _Fields.text,
    bool: _Fields.flag,
    str | None: _Fields.optional_text,
    float | None: _Fields.number,
    int | None: _Fields.count,
    tuple[str, ...]: partial(_Fields.many, read=_word),
    SavedLevel | None: partial(_Fields.optional, read=partial(_saved, SavedLevel)),
    tuple[SavedPart, ...]: partial(_Fields.many, read=partial(_saved, SavedPart)),
    tuple[Grade, ...]: partial(_Fields.many, read=_grade),
}


def _object(path: Path, name: str, remedy: str) -> dict[str, Any]:
    try:
        content = json.loads(read_file(path))
    except DataError as error:
        raise DataError(f"cannot read {name}: {error}; {remedy}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name} is not JSON, or is cut short: {reason(error)}; {remedy}") from None
    if not isinstance(content, dict):
        raise DataError(f"{name} holds no JSON object; {remedy}")
    return content
