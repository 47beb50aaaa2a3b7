"""The folder of a reproduction: results by their address, training runs, and reproduction.json."""

import json
import os
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ndtools.errors import DataError
from ndtools.experiments.saved import load
from ndtools.reproduction.item import Part
from ndtools.results.files import write_results
from ndtools.results.manifest import manifest
from ndtools.results.read import FORMAT_VERSION
from ndtools.results.reproductions import FORMAT, STATE_FILE, SavedReproduction
from ndtools.results.strict_json import strict_json
from ndtools.text import printable
from ndtools.writing import check_writable, write_whole

if TYPE_CHECKING:
    from ndtools.drawing.shown import ShownResult

__all__ = ["Store", "compute_part"]

_DPI = 150


class Store:
    """Folder of a reproduction.

    Parameters
    ----------
    folder : Path
        Path of the folder. It is made when something is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._settings: dict[Path, dict[str, Any] | None] = {}

    @property
    def state(self) -> Path:
        """Path of reproduction.json."""
        return self.folder / STATE_FILE

    @property
    def runs(self) -> Path:
        """Folder of the training runs."""
        return self.folder / "runs"

    def check(self) -> None:
        """Make the folder; OutputError if it cannot be written to."""
        check_writable([self.folder / STATE_FILE], elsewhere="another `output`")

    def place(self, part: Part, address: str | None) -> Path:
        """Return the path of the .json file of a part's result; one without address if that is not known."""
        name = part.experiment if address is None else f"{part.experiment}-{address}"
        return self.folder / "results" / name / f"{part.experiment}.json"

    def relative(self, path: Path) -> str:
        """Return a path for reproduction.json: relative to the folder where it lies below it, else absolute."""
        full, root = os.path.realpath(path), os.path.realpath(self.folder)
        inside = os.path.commonpath([full, root]) == root
        return printable(os.path.relpath(full, root) if inside else full)

    def result(self, part: Part, address: str) -> "ShownResult | None":
        """Return the result of a part; None if there is none, or if its files are damaged."""
        place = self.place(part, address)
        if not place.exists():
            return None
        try:
            return load(place)
        except DataError:  # it is then computed again
            return None

    def settings(self, experiment: str) -> list[dict[str, Any]]:
        """Return the configurations of all results of an experiment, as their .json files have them."""
        found = []
        for place in sorted((self.folder / "results").glob(f"{experiment}-*/{experiment}.json")):
            if place not in self._settings:
                self._settings[place] = _config(place)
            found.append(self._settings[place])
        return [config for config in found if config is not None]

    def seconds(self, part: Part, address: str | None) -> float | None:
        """Return the seconds that the result of a part took; None if that cannot be read."""
        try:
            return float(json.loads(self.place(part, address).read_bytes())["seconds"])
        except (OSError, ValueError, TypeError, LookupError):
            return None

    def write(self, part: Part, address: str, result: "ShownResult", *, seconds: float, command: str) -> Path:
        """Write the result of a part as its command does: figures, arrays, numbers and captions.

        Parameters
        ----------
        part : Part
            Work that was done.
        address : str
            Address of its result.
        result : ShownResult
            Result of the experiment.
        seconds : float
            Seconds that it took.
        command : str
            Command that makes the same result.

        Returns
        -------
        Path
            Path of the .json file.
        """
        from ndtools.drawing.pictures import captions, draw

        place, pictures = self.place(part, address), result.pictures()
        check_writable([place], elsewhere="another `output`")
        config = result.config
        about = manifest(
            command=command,
            config=config,
            seed=config.seed,
            device=result.device,
            source=result.source,
            seconds=seconds,
        )
        figures = draw(pictures, result)
        stem = part.experiment
        numbers = {"experiment": stem, "format_version": FORMAT_VERSION, **about, **result.numbers()}
        numbers["files"] = [f"{stem}{label and '_'}{label}.png" for label in figures]
        numbers["files"] += [f"{stem}.{suffix}" for suffix in ("npz", "json", "txt")]
        write_results(
            place.parent,
            stem,
            arrays=result.arrays(),
            numbers=numbers,
            figures=figures,
            captions=captions(pictures, result),
            dpi=_DPI,
        )
        return place

    def read(self) -> SavedReproduction | None:
        """Return the content of reproduction.json; None if there is none.

        Returns
        -------
        SavedReproduction or None
            Content of the file, all of which could be read.

        Raises
        ------
        DataError
            If it is damaged, or of a newer format.
        """
        if not os.path.lexists(self.state):
            return None
        remedy = "move it away to begin anew (finished results are kept), or choose another `output`"
        saved = SavedReproduction.read(self.folder, remedy=remedy)
        if saved.damaged:
            raise DataError(f"{saved.damaged[0]}; {remedy}")
        return saved

    def save(self, content: Mapping[str, Any]) -> None:
        """Write reproduction.json, whole or not at all.

        Parameters
        ----------
        content : mapping
            Content beside the version of the format.
        """
        text = strict_json({"format": FORMAT, **content}).encode()
        write_whole({self.folder / STATE_FILE: lambda file: file.write(text)}, elsewhere="another `output`")


def _config(place: Path) -> dict[str, Any] | None:
    """Return the configuration of a result; None if its file is damaged."""
    try:
        config = json.loads(place.read_bytes())["config"]
    except (OSError, ValueError, TypeError, LookupError, RecursionError):
        return None
    return config if isinstance(config, dict) else None


def compute_part(
    part: Part, compute: Callable[..., Any] = lambda run, *args, **settings: run(*args, **settings)
) -> "tuple[ShownResult, float]":
    """Run the experiment of a part.

    Parameters
    ----------
    part : Part
        Work with its configuration; no training run.
    compute : callable
        Function that calls another one with its arguments. Commands give one that Ctrl-C can end. Default: call it.

    Returns
    -------
    result : ShownResult
        Result of the experiment.
    seconds : float
        Seconds that it took.
    """
    run = import_module(f"ndtools.experiments.{part.experiment.replace('-', '_')}.run").run
    start = time.perf_counter()
    result = compute(run, part.config)
    return result, time.perf_counter() - start
