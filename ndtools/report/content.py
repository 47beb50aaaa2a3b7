"""Load results and runs for a page and draw their figures, each once; what is damaged is named and left out."""

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ndtools.data.files import read_file
from ndtools.drawing.shown import ShownResult
from ndtools.errors import DataError
from ndtools.experiments.compare.config import CompareConfig
from ndtools.experiments.compare.result import CompareResult
from ndtools.experiments.compare.run import run as run_compare
from ndtools.experiments.saved import restore
from ndtools.report.numbers import Table, tables_of
from ndtools.report.pictures import WIDTH, Drawing, draw_figure, read_picture
from ndtools.results.companions import files_of_result
from ndtools.results.read import SavedResult, load, load_numbers
from ndtools.results.runs import Run, read_run
from ndtools.text import printable, reason

__all__ = ["Loader", "ShownFile", "ShownRuns"]


@dataclass(frozen=True, eq=False)
class ShownFile:
    """Saved result as a page shows it.

    Attributes
    ----------
    anchor : str
        ID of its place in the page.
    path : str
        Path of its .json file, printable.
    saved : SavedResult
        Content of its files.
    summary : tuple of str
        Lines that say what it is.
    drawings : tuple of Drawing
        Figures of the result.
    tables : tuple of Table
        Numbers of the result.
    """

    anchor: str
    path: str
    saved: SavedResult
    summary: tuple[str, ...]
    drawings: tuple[Drawing, ...]
    tables: tuple[Table, ...]

    @property
    def title(self) -> str:
        """Heading of the result."""
        return f"{self.saved.experiment}: {self.path}"

    @property
    def name(self) -> str:
        """File name of the result without extension."""
        return Path(self.path).stem


@dataclass(frozen=True, eq=False)
class ShownRuns:
    """Training runs of one data set as a page shows them.

    Attributes
    ----------
    anchor : str
        ID of their place in the page.
    runs : tuple of Run
        Content of their folders.
    result : CompareResult
        The runs in arms.
    drawings : tuple of Drawing
        Figure of the comparison, and scenes with the labels of networks that segment.
    """

    anchor: str
    runs: tuple[Run, ...]
    result: CompareResult
    drawings: tuple[Drawing, ...]

    @property
    def title(self) -> str:
        """Heading of the runs."""
        return f"Training runs on {self.result.dataset}"


@dataclass
class Loader:
    """Results, runs and figures of one page.

    Attributes
    ----------
    step : callable
        Function without arguments that is called after each file.
    remarks : list of str
        Sentences about what was left out, and warnings.
    drawings : list of Drawing
        All figures so far.
    results : list of ShownFile
        All results so far.
    runs : list of ShownRuns
        All groups of runs so far.
    """

    step: Callable[[], None] = lambda: None
    remarks: list[str] = field(default_factory=list)
    drawings: list[Drawing] = field(default_factory=list)
    results: list[ShownFile] = field(default_factory=list)
    runs: list[ShownRuns] = field(default_factory=list)
    _shown: dict[str, ShownFile | None] = field(default_factory=dict)
    _compared: dict[tuple[str, ...], ShownRuns | None] = field(default_factory=dict)

    def result(self, path: Path) -> ShownFile | None:
        """Return a saved result, with its figures when it is asked for first; None if it is damaged."""
        real = os.path.realpath(path)
        if real not in self._shown:
            self._shown[real] = self._load(path)
            if shown := self._shown[real]:
                self.results.append(shown)
            self.step()
        return self._shown[real]

    def compared(self, paths: Sequence[Path]) -> list[ShownRuns]:
        """Return training runs in groups of one data set, each compared once; damaged runs are left out."""
        groups: dict[tuple[object, ...], list[tuple[Path, Run]]] = {}
        for path in paths:
            try:
                run = read_run(path)
            except DataError as error:
                self.leave_out(str(error))
                continue
            data = run.about["data"]
            kind = run.segments, str(data.get("name")), str(data.get("test_images"))
            groups.setdefault(kind, []).append((path, run))
        shown = []
        for members in groups.values():
            key = tuple(os.path.realpath(path) for path, _ in members)
            if key not in self._compared:
                self._compared[key] = self._compare(members)
                self.runs += filter(None, [self._compared[key]])
                self.step()
            shown.append(self._compared[key])
        return [group for group in shown if group]

    def leave_out(self, why: str) -> None:
        """Remark that something is left out; the reason is a clause or sentence."""
        self.remarks.append(f"{why.rstrip('.')}. It is left out.")

    def _load(self, path: Path) -> ShownFile | None:
        try:
            if path.with_suffix(".npz").exists():
                saved = load(path)
                result = restore(saved)
                summary, numbers = tuple(result.summary()), result.numbers()
                drawings = self._draw(result, printable(path))
            else:
                saved = load_numbers(path)
                summary, numbers = (_origin(saved),), saved.numbers
                drawings = self._drawn_before(path, saved)
            tables = tuple(tables_of(numbers))
        except DataError as error:
            self.leave_out(str(error))
            return None
        except Exception as error:  # noqa: BLE001  # contents of a file can be wrong in ways that no check foresees
            self.leave_out(f"{printable(path)} cannot be shown: {type(error).__name__}: {reason(error)}")
            return None
        return ShownFile(f"result-{len(self.results) + 1}", printable(path), saved, summary, drawings, tables)

    def _draw(self, result: ShownResult, name: str) -> tuple[Drawing, ...]:
        """Draw the figures of a result; one that cannot be drawn is named in a remark, and the others stay."""
        drawings: list[Drawing] = []
        pictures = result.pictures()
        words = "; ".join(result.summary())
        for label, picture in pictures.items():
            if not picture.wanted(result):
                continue
            try:
                figure = picture.plot(result, width=WIDTH, title=False)
                about = f"Figure{f' ({label})' if label else ''}: {words}"
                prefix = f"f{len(self.drawings) + len(drawings) + 1}-"
                drawings.append(draw_figure(figure, prefix=prefix, alt=about, caption=picture.caption(result)))
            except Exception as error:  # noqa: BLE001  # as in _load
                self.remarks.append(
                    f"A figure{f' ({label})' if label else ''} of {name} cannot be drawn: {type(error).__name__}:"
                    f" {reason(error)}. Its numbers are shown."
                )
        self.drawings += drawings
        return tuple(drawings)

    def _drawn_before(self, path: Path, saved: SavedResult) -> tuple[Drawing, ...]:
        """Return the figures that the command drew, for a result whose arrays are gone."""
        drawings: list[Drawing] = []
        captions = _captions_beside(path)
        for name in sorted(files_of_result(path.parent, path.stem)):
            place = path.parent / name
            if place.suffix == ".png" and place.is_file():
                label = place.stem.removeprefix(path.stem).lstrip("_")
                about = f"Figure{f' ({label})' if label else ''} of ndtools {_origin(saved)}"
                words = f"As the command drew it, since the arrays of the result are not beside {printable(path)}."
                try:
                    drawings.append(
                        read_picture(place, alt=about, caption=f"{captions.get(place.stem, '')} {words}".strip())
                    )
                except DataError as error:
                    self.leave_out(str(error))
        self.drawings += drawings
        return tuple(drawings)

    def _compare(self, members: Sequence[tuple[Path, Run]]) -> ShownRuns | None:
        paths = tuple(str(path) for path, _ in members)
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                result = run_compare(CompareConfig(runs=paths))
            self.remarks += [f"{str(warning.message).rstrip('.')}." for warning in caught]
            drawings = self._draw(result, f"{len(members)} training runs")
            drawings += tuple(self._examples([(path, run) for path, run in members if run.segments]))
        except DataError as error:
            self.leave_out(str(error))
            return None
        except Exception as error:  # noqa: BLE001  # as in _load
            names = ", ".join(map(printable, paths[:3])) + (", ..." if len(paths) > 3 else "")
            self.leave_out(f"runs cannot be compared ({names}): {type(error).__name__}: {reason(error)}")
            return None
        return ShownRuns(f"runs-{len(self.runs) + 1}", tuple(run for _, run in members), result, drawings)

    def _examples(self, members: Sequence[tuple[Path, Run]]) -> Iterator[Drawing]:
        """Return the figures of scenes of the best run of each normalisation, as far as runs have them."""
        kept = [(path, run) for path, run in members if (path / "examples.png").is_file() and len(run.epochs["epoch"])]
        best: dict[str, Path] = {}
        for path, run in sorted(kept, key=lambda member: member[1].epochs["eval_mean_iou"][-1], reverse=True):
            best.setdefault(run.about["norm"], path)
        for folder in best.values():
            caption = _captions_beside(folder / "figure.json", of="examples").get("examples", "")
            about = f"Scenes with the labels of the network of {printable(folder.name)}"
            try:
                drawing = read_picture(folder / "examples.png", alt=about, caption=caption)
            except DataError as error:
                self.leave_out(str(error))
                continue
            self.drawings.append(drawing)
            yield drawing
        if len(kept) > len(best):
            self.remarks.append(
                f"Scenes of {len(best)} of {len(kept)} runs are shown: of each normalisation, those of the run with the"
                " highest mean intersection over union after its last epoch."
            )


def _captions_beside(path: Path, of: str | None = None) -> dict[str, str]:
    """Return the captions that the command wrote beside a result, by the names of the figures without extension."""
    try:
        text = read_file(path.with_suffix(".txt")).decode("utf-8", "replace")
    except DataError:
        return {}
    named = (paragraph.partition(": ") for paragraph in text.split("\n\n"))
    return {name: " ".join(caption.split()) for name, _, caption in named if name.startswith(of or path.stem)}


def _origin(saved: SavedResult) -> str:
    return f"{saved.experiment} of {saved.source}"
