"""The screen and the result files of a command that runs an experiment."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ndtools.console.option_values import formats_from
from ndtools.console.options import (
    SharedOptions,
)
from ndtools.console.output import Output
from ndtools.drawing.shown import ShownResult
from ndtools.errors import OptionError, OutputError
from ndtools.text import counted

if TYPE_CHECKING:
    import numpy as np
    from rich.console import RenderableType

    from ndtools.data.images.layouts import ArraySettings
    from ndtools.results.inputs import ImagesUsed

__all__ = ["ANOTHER_FOLDER", "SHORTER_NAME", "ExperimentOutput", "check_stem"]

NAMED_IMAGES = 5  # skipped images that are named without --verbose
ANOTHER_FOLDER, SHORTER_NAME = "another folder with --out", "a shorter --name"


class ExperimentOutput(Output):
    """The screen and the result files of one run of an experiment.

    Parameters
    ----------
    shared : SharedOptions
        Shared options that the user chose.
    command : str
        Name of the command. It is also the name of the files, unless the user chose another with ``--name``.
    images : sequence of str
        Labels of the images that the command writes besides its figure, as STEM_LABEL.png. Default: none.
    figures : sequence of str
        Labels of the further figures that the command draws, as STEM_LABEL in the format of its figure. Default: none.
    """

    def __init__(
        self, shared: SharedOptions, command: str, images: Sequence[str] = (), figures: Sequence[str] = ()
    ) -> None:
        super().__init__(quiet=shared.quiet, as_json=shared.json)
        self.shared, self.command, self.images, self.figures = shared, command, images, figures
        self.stem = command if shared.name is None else shared.name
        self.formats, self.drawn = formats_from(shared.formats), shared.of_figures()

    def paths(self) -> list[Path]:
        """Return the paths of the result files; see `ndtools.results.files.result_paths`."""
        from ndtools.results.files import result_paths

        return result_paths(self.shared.out, self.stem, self.formats, self.images, self.figures)

    def check(self, *inputs: str) -> None:
        """Check, before any work, that the result can be written and that it replaces nothing but older results.

        Parameters
        ----------
        *inputs : str
            Paths that the command reads. Names that are not paths are ignored.

        Raises
        ------
        OutputError
            If a file cannot be written, or exists and was not written by ndtools.
        OptionError
            If the name of the files is a path, or a result would replace an input of the command.
        """
        from ndtools.results.companions import files_of_result
        from ndtools.writing import check_writable

        check_stem(self.stem)
        paths = self.paths()
        check_writable(paths, elsewhere=ANOTHER_FOLDER, shorter=SHORTER_NAME)
        read = {os.path.realpath(name) for name in inputs}
        older = files_of_result(self.shared.out, self.stem)
        for path in paths:
            if os.path.realpath(path) in read:
                raise OptionError("name", f"would replace {path}, which is read; choose another --name or --out")
            if path.exists() and path.name not in older:
                reason = f"{self.stem}.json does not list it" if older else f"{self.stem}.json is none"
                raise OutputError(
                    f"cannot write {path}: it exists, and is not a file of an older result of this name ({reason});"
                    " choose another --name or --out, or remove it"
                )

    def skipped(self, images: "ImagesUsed | None") -> None:
        """Warn of images that were left out, and name them with the reasons.

        Parameters
        ----------
        images : ImagesUsed or None
            Images of the result; None if it comes from no images.
        """
        if images is None or not images.skipped:
            return
        skipped = images.skipped
        self.warning(f"skipped {len(skipped)} of {images.total} images")
        named = skipped if self.shared.verbose else skipped[:NAMED_IMAGES]
        for image in named:
            typer.echo(f"  {image.name}: {image.reason}", err=True)
        if unnamed := len(skipped) - len(named):
            typer.echo(f"  ... and {unnamed} more (all with --verbose, and in {self.stem}.json)", err=True)

    def of_images(self, images: "ImagesUsed", config: "ArraySettings", *, wanted: int | None = None) -> None:
        """Remark on the images of a result: the unit of arrays, images that were left out, and too few images.

        Parameters
        ----------
        images : ImagesUsed
            Images of the result.
        config : ArraySettings
            Configuration of the result, as it applies to the images.
        wanted : int, optional
            Number of images that the user asked for. Default: all.
        """
        if images.calibrated:
            self.units(images.label, config)
        self.skipped(images)
        if wanted is not None and images.total < wanted:
            self.note(f"note: {images.label} has only {counted(images.total, 'image')}")

    def units(self, label: str, config: "ArraySettings") -> None:
        """Remark that the values of arrays are taken as they are, and what the unit of the ridge is.

        Parameters
        ----------
        label : str
            Name of the arrays, printable.
        config : ArraySettings
            Configuration of the result, as it applies to the images.
        """
        unit = ""
        if isinstance(getattr(config, "eps", None), float):  # "paper" and "auto" have a unit of their own
            relative = getattr(config, "relative_eps", False)
            unit = f"; eps is in units of their {'mean variance' if relative else 'square'}"
        self.note(f"note: the values of {label} are taken as they are{unit}")

    def results(
        self,
        result: ShownResult,
        *,
        title: str,
        table: "RenderableType",
        images: "Mapping[str, np.ndarray[Any, Any]] | None" = None,
        further: "Mapping[Path, Mapping[str, Any]] | None" = None,
    ) -> None:
        """Write the files of a result and print its table or its JSON.

        Parameters
        ----------
        result : ShownResult
            Result of the experiment.
        title : str
            One line above the table.
        table : rich.table.Table, or a rich.console.Group of several
            Table with the main numbers.
        images : mapping, optional
            Images by the labels given to the constructor; see :func:`ndtools.results.files.write_results`.
        further : mapping, optional
            Arrays of further .npz files, by path.
        """
        from ndtools.drawing.pictures import captions, draw
        from ndtools.results.companions import files_of_result, remove_files
        from ndtools.results.files import write_results
        from ndtools.results.read import FORMAT_VERSION

        pictures, replaced = result.pictures(), any(path.exists() for path in self.paths())
        run = self.manifest(config=result.config, seed=result.config.seed, device=result.device, source=result.source)
        numbers = {"experiment": self.command, "format_version": FORMAT_VERSION, **run, **result.numbers()}
        numbers["files"] = [path.name for path in self.paths()]
        stale = sorted(files_of_result(self.shared.out, self.stem) - set(numbers["files"]))
        paths = write_results(
            self.shared.out,
            self.stem,
            arrays=result.arrays(),
            numbers=numbers,
            figures=draw(pictures, result, **self.drawn),
            captions=captions(pictures, result),
            images=images,
            further=further,
            formats=self.formats,
            dpi=self.shared.dpi,
        )
        if removed := remove_files([self.shared.out / name for name in stale]):
            self.note(f"removed {'  '.join(map(str, removed))}, written by the run that this one replaces")
        try:
            self.json(numbers)
            self.table(table, title)
        finally:  # the files exist, even if the table cannot be printed
            self.written(paths, replaced=replaced)
        if self.shared.show:
            self._show(paths[0])

    def _show(self, figure: Path) -> None:
        without_display = sys.platform == "linux" and not {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys()
        if without_display or typer.launch(str(figure)) != 0:
            reason = "there is no display" if without_display else "no program for it was found"
            self.warning(f"--show cannot open {figure}: {reason}")


def check_stem(stem: str) -> None:
    """Refuse a name of files that is a path or cannot be printed."""
    if Path(stem).name != stem or stem in ("", "..") or not stem.isprintable():
        raise OptionError("name", f"must be a file name without folder, got {stem!r}; --out is the folder")
