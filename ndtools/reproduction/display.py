"""The screen of ``ndtools reproduce``: a table that follows the work, or a line for each part that is done."""

import re
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import zip_longest
from textwrap import wrap
from typing import TYPE_CHECKING

from ndtools.console.tables import fitted_table
from ndtools.results.reproductions import VERDICTS
from ndtools.text import duration

if TYPE_CHECKING:
    from rich.table import Table

    from ndtools.reproduction.run import Reproduction
    from ndtools.reproduction.state import ItemState

__all__ = ["following", "grade_lines", "in_paragraph", "list_table", "state_table"]

_WIDTH = 80  # of paragraphs
_INDENT = "    "
# A command follows a colon, so that words about ndtools are none, and ends with its sentence or clause.
_COMMAND = re.compile(r"(?<=:) (ndtools (?:'[^']*'|[;,.](?=\S)|[^;,.'])+)[;,.]?(?: |$)")


def state_table(states: "Sequence[ItemState]", now: str = "", *, width: int | None = None) -> "Table":
    """Return the table of items: what, at which level, seconds, verdicts.

    Parameters
    ----------
    states : sequence of ItemState
        Items in the order of the rows.
    now : str
        Words on the part that is running. Default: none.
    width : int, optional
        Width of the screen, letters. By default it is that of the terminal.

    Returns
    -------
    rich.table.Table
        Table with a row for each item.
    """
    rows = []
    for state in states:
        running = next((part for part in state.parts if part.state == "running"), None)
        level = state.level.title if state.level else state.item.title
        verdicts = f"running: {now or running.name}" if running else _verdicts(state)
        rows.append((state.item.id, level, _time(state), verdicts))
    return fitted_table(("ID", "level", "time", "verdicts"), rows, wrapped=(1, 3), width=width)


def list_table(states: "Sequence[ItemState]", *, width: int | None = None) -> "Table":
    """Return the table of what can be run: ID, what, data, time of the published recipe here ("in full"), and state.

    Parameters
    ----------
    states : sequence of ItemState
        Items in the order of the rows.
    width : int, optional
        Width of the screen, letters. By default it is that of the terminal.

    Returns
    -------
    rich.table.Table
        Table with a row for each item. What is done by a smaller recipe than the published one is "reduced".
    """
    rows = []
    for state in states:
        reduced = state.level is not None and not state.level.full and state.state in ("done", "partly")
        word = f"{state.state} reduced" if reduced else state.state
        data = ", ".join(state.item.needs) or "built in"
        rows.append((state.item.id, state.item.title, data, duration(state.estimate_full), word))
    return fitted_table(("ID", "what", "data", "in full", "state"), rows, wrapped=(1, 2), width=width)


def in_paragraph(text: str) -> str:
    """Return a remark in lines of at most 80 letters, and each command in a line of its own, whole, to be pasted."""
    words, commands = _COMMAND.split(text)[::2], _COMMAND.split(text)[1::2]
    lines: list[str] = []
    for part, command in zip_longest(words, commands):
        before = _INDENT if lines else ""
        lines += wrap(part, _WIDTH, initial_indent=before, subsequent_indent=_INDENT, break_on_hyphens=False)
        lines += [f"{_INDENT * 2}{command}"] if command else []
    return "\n".join(lines)


def grade_lines(states: "Sequence[ItemState]") -> Iterator[str]:
    """Yield what was found of all claims that were run, and of numbers that disagree; what fails stands first.

    Parameters
    ----------
    states : sequence of ItemState
        Items with their grades.

    Yields
    ------
    str
        Lines of at most 80 letters, as far as words allow: for each grade its verdict, what is claimed, what was
        measured and under which conditions, and at the end the meaning of each verdict that occurs, in the table too.
    """
    from ndtools.published.registry import CLAIMS
    from ndtools.reproduction.state import failing_first

    for state, grade in failing_first(states):
        named = grade.subject.startswith("claim/") or grade.verdict == "disagrees"
        if grade.verdict == "not run" or not named:
            continue
        yield f"{grade.verdict:<15} {state.item.id:<7} {grade.subject}"
        if grade.subject in CLAIMS:
            yield from _indented(f"claim: {CLAIMS[grade.subject].statement}")
        yield from _indented(f"here: {grade.reason}")
        yield from _indented(f"({grade.conditions})")
    given = {grade.verdict for state in states for grade in state.grades if _verdicts(state) != state.state}
    for verdict in (verdict for verdict in VERDICTS if verdict in given):
        yield from wrap(f"{verdict}: {VERDICTS[verdict]}", _WIDTH, subsequent_indent=_INDENT, break_on_hyphens=False)


def _indented(text: str) -> list[str]:
    return wrap(text, _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT, break_on_hyphens=False)


def _verdicts(state: "ItemState") -> str:
    counts = {verdict: sum(grade.verdict == verdict for grade in state.grades) for verdict in VERDICTS}
    if state.state in ("over the budget", "data missing", "needs a GPU", "failed", "can run", "can run reduced"):
        return state.state
    return ", ".join(f"{number} {verdict}" for verdict, number in counts.items() if number)


def _time(state: "ItemState") -> str:
    done = all(part.state == "done" for part in state.parts)
    if state.level and not done:
        return f"~{duration(state.estimate)}"
    return duration(state.seconds)


@contextmanager
def following(say: Callable[[str], None], *, quiet: bool) -> "Iterator[_Follower]":
    """Follow a reproduction, for the body of a ``with``: as a live table in terminals, else in lines.

    Parameters
    ----------
    say : callable
        Function that prints a line on standard error.
    quiet : bool
        Whether nothing is shown.

    Yields
    ------
    _Follower
        Follower whose ``follow`` is to be given the reproduction, and which is called when a state has changed.
    """
    live = not quiet and sys.stderr.isatty()
    follower = _Follower((lambda _: None) if quiet or live else say)
    with ExitStack() as stack:
        if live:
            from rich.console import Console
            from rich.live import Live

            console = Console(stderr=True, highlight=False, markup=False)
            shown = Live(get_renderable=follower.render, console=console, transient=True, refresh_per_second=4)
            stack.enter_context(shown)
        yield follower


class _Follower:
    """Shows what has changed since it was called last.

    Parameters
    ----------
    say : callable
        Function that prints a line.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.of: Reproduction | None = None
        self._before: set[tuple[str, str]] = set()  # parts that were done before this call
        self._say = say
        self._told: set[tuple[str, str, str]] = set()
        self._lock = threading.Lock()

    def follow(self, work: "Reproduction") -> None:
        """Follow a reproduction, whose parts that are done already are not told of."""
        done = ((name, part.name) for name in work.asked for part in work.states[name].parts if part.state == "done")
        self._before, self.of = set(done), work

    def __call__(self) -> None:
        """Print a line for each part of the items asked for that has begun, or ended, since the last call."""
        if self.of is None:
            return
        with self._lock:
            for name in self.of.asked:
                for part in self.of.states[name].parts:
                    key = (name, part.name, part.state)
                    if (
                        key in self._told
                        or key[:2] in self._before
                        or part.state not in ("running", "done", "failed", "interrupted")
                    ):
                        continue
                    self._told.add(key)
                    self._say(_line(name, part.name, part.state, part.estimate, part.seconds, part.reason))

    def render(self) -> "Table | str":
        """Return the table of the items asked for."""
        if self.of is None:
            return "looking at the data"
        return state_table([self.of.states[name] for name in self.of.asked], self.of.now)


def _line(item: str, part: str, state: str, estimate: float, seconds: float | None, reason: str | None) -> str:
    if state == "running":
        return f"{item}: {part}, about {duration(estimate)}"
    took = f" in {duration(seconds)}" if seconds is not None and state == "done" else ""
    return f"{item}: {part} {state}{took}" + (f" ({reason})" if reason else "")
