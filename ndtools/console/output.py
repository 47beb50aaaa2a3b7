"""Where a command's words go: the result to standard output, all else to standard error."""

import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import typer

from ndtools.computing.threads import start_thread
from ndtools.console.heartbeat import heartbeat
from ndtools.console.options import SharedOptions
from ndtools.errors import OptionError
from ndtools.text import counted

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from rich.table import Table

    from ndtools.results.inputs import ImagesUsed

__all__ = ["Output", "Result", "check_stem"]

R = TypeVar("R")

SKIPPED_NAMED = 5  # without --verbose


class Configuration(Protocol):
    """Configuration of an experiment: a frozen dataclass."""

    @property
    def seed(self) -> int:
        """Seed of all that is random."""


class Result(Protocol):
    """Result of an experiment: a frozen dataclass that its files restore."""

    @property
    def config(self) -> Configuration:
        """Configuration of the run."""

    @property
    def device(self) -> str:
        """Device on which the result was computed."""

    @property
    def source(self) -> str:
        """Name of the data that the result comes from, printable."""

    def arrays(self) -> "dict[str, np.ndarray[Any, Any]]":
        """Arrays of the .npz file."""

    def numbers(self) -> dict[str, Any]:
        """Numbers of the .json file."""


class Output:
    """The screen and the files of one run of a command.

    Parameters
    ----------
    shared : SharedOptions
        Shared options that the user chose.
    command : str
        Name of the command, which names the files too unless ``--name`` does.
    images : sequence of str
        Labels of the images that the command writes beside the usual files, as STEM_LABEL.png.
    figures : sequence of str
        Labels of the figures that the command draws beside the usual one, as STEM_LABEL in the format asked for.
    """

    def __init__(
        self, shared: SharedOptions, command: str, images: Sequence[str] = (), figures: Sequence[str] = ()
    ) -> None:
        self.shared, self.command, self.images, self.figures = shared, command, images, figures
        self.stem = command if shared.name is None else shared.name
        self.start = time.perf_counter()

    def check(self, *inputs: str) -> None:
        """Make sure, before any work, that the results can be written, and replace nothing but older results.

        Parameters
        ----------
        *inputs : str
            Paths that the command reads; names that are no paths do no harm.

        Raises
        ------
        OutputError
            If a file cannot be written, or is there and was not written by ndtools.
        OptionError
            If the name of the files is a path, or one of them is an input of the command.
        """
        import matplotlib

        from ndtools.errors import OptionError, OutputError
        from ndtools.results.files import check_writable, is_result

        check_stem(self.stem)
        paths = self._paths()
        check_writable(paths)
        read = {os.path.realpath(name) for name in inputs}
        own = is_result(self.shared.out / f"{self.stem}.json")
        for path in paths:
            if os.path.realpath(path) in read:
                raise OptionError("name", f"would replace {path}, which is read; choose another --name or --out")
            if path.exists() and not own:
                raise OutputError(
                    f"cannot write {path}: it exists, and is no result of ndtools (none in {self.stem}.json); choose"
                    " another --name or --out, or remove it"
                )
        matplotlib.rcdefaults()  # figures look the same whatever the user's matplotlibrc says

    @contextmanager
    def progress(self, what: str) -> Iterator[Callable[[int, int], None] | None]:
        """Show a bar with rate and time left, or a line every 30 s where standard error is no terminal.

        Parameters
        ----------
        what : str
            Things that the bar counts, such as "images".

        Yields
        ------
        callable or None
            To be told how many of how many are done; None with ``--quiet``.
        """
        if self.shared.quiet:
            yield None
            return
        if not sys.stderr.isatty():
            with heartbeat(what, self.note) as update_lines:
                yield update_lines
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn(what),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(what, total=None, rate="")

            def update(done: int, total: int) -> None:
                speed = bar.tasks[task].speed
                bar.update(task, completed=done, total=total, rate=f"{speed:.0f}/s" if speed else "")

            yield update

    def compute(self, run: Callable[..., R], *args: Any, counting: str | None = None, **settings: Any) -> R:  # noqa: ANN401
        """Compute a result, with a progress bar, such that Ctrl-C ends the command at once.

        Python handles signals in its main thread, between operators: a large eigendecomposition would hold them up.
        So the computation has a thread of its own, which ends with the process when the command is interrupted.

        Parameters
        ----------
        run : callable
            Computes the result.
        *args, **settings
            Arguments of ``run``.
        counting : str, optional
            Things that the progress bar counts, such as "images"; ``run`` then takes ``progress``, too. By default
            there is no bar.

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

    def note(self, line: str) -> None:
        """Say something on standard error, unless the user wants quiet.

        Parameters
        ----------
        line : str
            Text of the note.
        """
        if not self.shared.quiet:
            self._say(line)

    def skipped(self, images: "ImagesUsed | None") -> None:
        """Name images that were left out, with the reason.

        Parameters
        ----------
        images : ImagesUsed or None
            Images of the result; None if it comes from no images.
        """
        if images is None or not images.skipped:
            return
        skipped = images.skipped
        self._say(f"warning: skipped {len(skipped)} of {images.total} images")
        named = skipped if self.shared.verbose else skipped[:SKIPPED_NAMED]
        for item in named:
            self._say(f"  {item.name}: {item.reason}")
        if len(named) < len(skipped):
            self._say(f"  ... and {len(skipped) - len(named)} more (all with --verbose, and in {self.stem}.json)")

    def fewer(self, images: "ImagesUsed", wanted: int | None) -> None:
        """Say so if a source has fewer images than were wanted.

        Parameters
        ----------
        images : ImagesUsed
            Images of the result.
        wanted : int or None
            Number of images that the user asked for; None for all.
        """
        if wanted is not None and images.total < wanted:
            self.note(f"note: {images.label} has only {counted(images.total, 'image')}")

    def results(
        self,
        result: Result,
        *,
        figure: "Figure | Mapping[str, Figure]",
        title: str,
        table: "Table",
        images: "Mapping[str, np.ndarray[Any, Any]] | None" = None,
        further: "Mapping[Path, Mapping[str, Any]] | None" = None,
    ) -> None:
        """Write the files of a result and show its table.

        Parameters
        ----------
        result : Result
            Result of the experiment.
        figure : Figure, or mapping of str to Figure
            Its figure, or several figures by what is added to the file name: "" for the main one, and those announced.
        title : str
            One line above the table.
        table : rich.table.Table
            Table with the main numbers.
        images : mapping, optional
            Those announced, by what they are of; see :func:`ndtools.results.files.write_results`.
        further : mapping, optional
            Arrays of further .npz files, by path.
        """
        from ndtools.results.companions import other_files, remove_files
        from ndtools.results.files import strict_json, write_results
        from ndtools.results.manifest import manifest as describe
        from ndtools.results.read import FORMAT_VERSION

        existing = [p for p in self._paths() if p.exists()]
        seconds = time.perf_counter() - self.start
        numbers = {
            "experiment": self.command,
            "format_version": FORMAT_VERSION,
            **describe(
                command=_command_line(),
                config=result.config,
                seed=result.config.seed,
                device=result.device,
                source=result.source,
                seconds=seconds,
            ),
            **result.numbers(),
        }
        others, current = other_files(self.shared.out, self.stem, self._paths(), numbers["config"])
        numbers["files"] = [path.name for path in (*self._paths(), *(others if current else ()))]
        figures = dict(figure) if isinstance(figure, Mapping) else {"": figure}
        paths = write_results(
            self.shared.out,
            self.stem,
            arrays=result.arrays(),
            numbers=numbers,
            figure=figures.pop(""),
            images=images,
            figures=figures,
            further=further,
            image_format=self.shared.image_format.value,
            dpi=self.shared.dpi,
        )
        if not current and (removed := remove_files(others)):
            self.note(f"removed {'  '.join(map(str, removed))}: not of this run, but of the result that it replaces")
        try:
            if self.shared.json:
                typer.echo(strict_json(numbers), nl=False)
            elif not self.shared.quiet:
                _print_table(title, table)
        finally:  # the files are there, even if the table cannot be printed
            seconds = time.perf_counter() - self.start
            self.note("  ".join(map(str, paths)) + f"   {seconds:.1f} s" + ("   (replaced)" if existing else ""))
        if self.shared.show:
            self._show(paths[0])

    def _paths(self) -> list[Path]:
        from ndtools.results.files import result_paths

        return result_paths(self.shared.out, self.stem, self.shared.image_format.value, self.images, self.figures)

    def _show(self, figure: Path) -> None:
        without_display = sys.platform == "linux" and not {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys()
        if without_display or typer.launch(str(figure)) != 0:
            reason = "there is no display" if without_display else "no program for it was found"
            self._say(f"warning: --show cannot open {figure}: {reason}")

    def _say(self, line: str) -> None:
        typer.echo(line, err=True)


def check_stem(stem: str) -> None:
    """Refuse a name of files that is a path or cannot be printed."""
    if Path(stem).name != stem or stem in ("", "..") or not stem.isprintable():
        raise OptionError("name", f"must be a file name without folder, got {stem!r}; --out is the folder")


def _print_table(title: str, table: "Table") -> None:
    from rich.console import Console

    console = Console(highlight=False)
    # A table is as wide as its numbers need: rich would cut them to the 80 columns that it takes a pipe to have.
    unbounded = console.options.update(max_width=sys.maxsize)
    console.width = max(console.width, console.measure(table, options=unbounded).maximum)
    console.print(title, style="bold", markup=False, soft_wrap=True)
    console.print(table)


def _command_line() -> str:
    return shlex.join(["ndtools", *sys.argv[1:]])
