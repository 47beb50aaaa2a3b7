"""Progress bars: in terminals, and in notebooks."""

import html
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import ProgressColumn, Task

__all__ = ["DELAY", "later_bar", "notebook_bar", "terminal_bar"]

DELAY = 1.0
"""Seconds after which a run counts as long: shorter ones show no bar."""

Update = Callable[[int, int], None]


@contextmanager
def later_bar(label: str, *, delay: float = DELAY) -> Iterator[Update]:
    """Show a bar in a notebook or terminal as soon as a run is long, and nothing elsewhere.

    Parameters
    ----------
    label : str
        Text before the bar, such as the noun of what it counts ("images").
    delay : float
        Seconds before the bar appears. Default 1.

    Yields
    ------
    callable
        Function that takes the number done and the total.
    """
    start, shown = time.monotonic(), list[Update]()
    bar = notebook_bar if _in_notebook() else terminal_bar if sys.stderr.isatty() else None
    with ExitStack() as stack:

        def update(done: int, total: int) -> None:
            if bar and not shown and time.monotonic() - start >= delay:
                shown.append(stack.enter_context(bar(label)))
            for each in shown:
                each(done, total)

        yield update


@contextmanager
def terminal_bar(label: str, *, of_bytes: bool = False) -> Iterator[Update]:
    """Show a bar with rate and time left on standard error, which vanishes at the end.

    Parameters
    ----------
    label : str
        Text before the bar.
    of_bytes : bool
        Whether bytes are counted, which are shown as kB or MB. Default False.

    Yields
    ------
    callable
        Function that takes the number done and the total.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(label), BarColumn(), *_counting_columns(of_bytes), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)


@contextmanager
def notebook_bar(label: str) -> Iterator[Update]:
    """Show a bar below the running cell of a notebook, which vanishes at the end.

    Rich's bars need ipywidgets there; this one needs nothing but a browser.

    Parameters
    ----------
    label : str
        Text after the numbers.

    Yields
    ------
    callable
        Function that takes the number done and the total.
    """
    display: Any = import_module("IPython.display").display  # without types, and there in notebooks only

    def content(bar: str, words: str) -> dict[str, str]:
        return {"text/html": f"{bar}{html.escape(words)}", "text/plain": words}

    shown = display(content("", ""), raw=True, display_id=True)

    def update(done: int, total: int) -> None:
        bar = f'<progress value="{done}" max="{total}"></progress> ' if total else "<progress></progress> "
        shown.update(content(bar, f"{done} of {total} {label}" if total else f"{done} {label}"), raw=True)

    try:
        yield update
    finally:
        shown.update(content("", ""), raw=True)


def _in_notebook() -> bool:
    """Return whether this runs in the kernel of a notebook."""
    ipython = sys.modules.get("IPython")  # absent in all other programs
    shell = ipython.get_ipython() if ipython else None
    return getattr(shell, "kernel", None) is not None


def _counting_columns(of_bytes: bool) -> "tuple[ProgressColumn, ...]":
    """Return the columns that show how much is done, and how fast."""
    from rich.progress import DownloadColumn, MofNCompleteColumn, ProgressColumn, TransferSpeedColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: "Task") -> Text:
            return Text(f"{task.speed:.0f}/s" if task.speed else "")

    return (DownloadColumn(), TransferSpeedColumn()) if of_bytes else (MofNCompleteColumn(), Rate())
