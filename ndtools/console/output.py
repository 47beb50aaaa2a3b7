"""The screen of a command: its result goes to standard output, everything else to standard error."""

import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from ndtools.computing.threads import start_thread
from ndtools.console.bars import terminal_bar
from ndtools.console.heartbeat import heartbeat
from ndtools.console.storage import without_values

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import RenderableType

__all__ = ["Output"]

R = TypeVar("R")


class Output:
    """The screen of one run of a command.

    A command states its result both as JSON (`json`) and for people (`text`, `table`); what the user asked for is
    printed.

    Parameters
    ----------
    quiet : bool
        Whether to print nothing but warnings, errors and JSON. Default False.
    as_json : bool
        Whether to print the result as JSON instead of text. Default False.
    """

    def __init__(self, *, quiet: bool = False, as_json: bool = False) -> None:
        self.quiet, self.as_json = quiet, as_json
        self._start = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Time since the command started, in seconds."""
        return time.perf_counter() - self._start

    def manifest(self, *, config: object, seed: int, device: str, source: str) -> dict[str, Any]:
        """Describe this run for the JSON of its result.

        Parameters
        ----------
        config : dataclass instance
            Configuration of the run.
        seed : int
            Seed of all random numbers of the run.
        device : str
            Device that ran the computation.
        source : str
            Source of the data, printable.

        Returns
        -------
        dict
            Command line, versions and duration so far, beside the arguments; see `ndtools.results.manifest`.
        """
        from ndtools.results.manifest import manifest

        command = shlex.join(["ndtools", *without_values(sys.argv[1:])])
        return manifest(command=command, config=config, seed=seed, device=device, source=source, seconds=self.seconds)

    def json(self, numbers: "Mapping[str, Any]") -> None:
        """Print the result as JSON, if the user asked for JSON.

        Parameters
        ----------
        numbers : mapping
            Content of the JSON text; see `ndtools.results.strict_json`.
        """
        if self.as_json:
            from ndtools.results.strict_json import strict_json

            typer.echo(strict_json(numbers), nl=False)

    def text(self, text: str) -> None:
        """Print a part of the result as text, unless the user asked for JSON or quiet.

        Parameters
        ----------
        text : str
            One or more lines without the last line break.
        """
        if self._for_people:
            typer.echo(text)

    def table(self, table: "RenderableType", title: str | None = None) -> None:
        """Print a part of the result as a table, unless the user asked for JSON or quiet.

        Parameters
        ----------
        table : rich.table.Table, or a rich.console.Group of several
            Table to print, or several with texts between. Each is as wide as its numbers need, even if the terminal is
            narrower.
        title : str, optional
            Title in bold, on a line of its own above the table. By default there is none.
        """
        if not self._for_people:
            return
        from rich.console import Console, Group
        from rich.table import Table
        from rich.text import Text

        console = Console(highlight=False, markup=False)
        # Rich would cut numbers to fit the 80 columns that it assumes for a pipe.
        unbounded = console.options.update(max_width=sys.maxsize)
        parts = table.renderables if isinstance(table, Group) else [table]
        widths = [console.measure(part, options=unbounded).maximum for part in parts if isinstance(part, Table)]
        console.width = max(console.width, *widths)
        with nullcontext() if console.is_terminal else console.capture() as captured:
            if title is not None:
                console.print(title, style="bold", soft_wrap=True)
            for part in parts:
                whole = isinstance(part, Text) and bool(part.no_wrap)  # as lines to be pasted are
                console.print(part, soft_wrap=whole)
        if captured is not None:  # without the spaces that fill the lines of tables
            typer.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))

    @property
    def _for_people(self) -> bool:
        return not (self.as_json or self.quiet)

    def note(self, line: str) -> None:
        """Print a remark on standard error, unless the user asked for quiet.

        Parameters
        ----------
        line : str
            Text of the remark.
        """
        if not self.quiet:
            typer.echo(line, err=True)

    def warning(self, line: str) -> None:
        """Print a warning on standard error, whatever the user asked for.

        Parameters
        ----------
        line : str
            Text of the warning.
        """
        typer.echo(f"warning: {line}", err=True)

    def written(self, paths: Sequence[Path], *, replaced: bool) -> None:
        """Name the files that were written, with the duration of the run, as a remark.

        Parameters
        ----------
        paths : sequence of Path
            Paths of the files.
        replaced : bool
            Whether older files were replaced.
        """
        self.note("  ".join(map(str, paths)) + f"   {self.seconds:.1f} s" + ("   (replaced)" if replaced else ""))

    @contextmanager
    def progress(self, label: str, *, of_bytes: bool = False) -> Iterator[Callable[[int, int], None] | None]:
        """Show a bar with rate and time left, or a line every 30 s where standard error is no terminal.

        Parameters
        ----------
        label : str
            Text before the bar, such as the noun of what it counts ("images").
        of_bytes : bool
            Whether bytes are counted, which are shown as kB or MB. Default False.

        Yields
        ------
        callable or None
            Function that takes the number done and the total; None if the user asked for quiet.
        """
        if self.quiet:
            yield None
            return
        if not sys.stderr.isatty():
            with heartbeat(label, self.note) as update_lines:
                yield update_lines
            return
        with terminal_bar(label, of_bytes=of_bytes) as update_bar:
            yield update_bar

    def compute(self, run: Callable[..., R], *args: Any, counting: str | None = None, **settings: Any) -> R:  # noqa: ANN401
        """Compute a result, with a progress bar, such that Ctrl-C ends the command at once.

        Python handles signals in its main thread, between operators: a large eigendecomposition would delay them.
        So the computation has a thread of its own, which ends with the process when the command is interrupted.

        Parameters
        ----------
        run : callable
            Function that computes the result.
        *args, **settings
            Arguments of ``run``.
        counting : str, optional
            Noun of what the progress bar counts, such as "images"; ``run`` is then given an argument ``progress``.
            By default there is no bar.

        Returns
        -------
        object
            Return value of ``run``. An exception that ``run`` raises is raised here.
        """
        results: list[R] = []
        errors: list[BaseException] = []
        with ExitStack() as stack:
            if counting is not None:
                settings["progress"] = stack.enter_context(self.progress(counting))

            def call() -> None:
                try:
                    results.append(run(*args, **settings))
                except BaseException as error:  # noqa: BLE001  # raised again below
                    errors.append(error)

            start_thread(call, "ndtools-computation").join()
        if errors:
            raise errors[0]
        return results[0]
