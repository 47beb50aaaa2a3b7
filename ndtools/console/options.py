"""Options that several commands share, each declared once. Defaults belong to the configurations."""

import copy
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import typer

from ndtools.console.completion import complete_dataset, complete_photo, complete_source
from ndtools.console.option_values import width_from
from ndtools.console.storage import OPTION, storage_from
from ndtools.errors import OptionError
from ndtools.validation import RootMethod, Space

__all__ = [
    "ArrayOptions",
    "ArrayRidgeOptions",
    "AsJson",
    "AtMostImages",
    "ColourSpace",
    "DataDir",
    "Dataset",
    "Device",
    "Dpi",
    "Formats",
    "Gray",
    "Images",
    "Iterations",
    "KernelSizes",
    "ManySources",
    "Method",
    "OneImage",
    "PatchSize",
    "PatchSizes",
    "Quiet",
    "RelativeEps",
    "Resize",
    "Ridges",
    "Seed",
    "SharedOptions",
    "Source",
    "Spectrum",
    "Title",
    "Width",
    "with_shared_options",
]


class Device(StrEnum):
    """Devices that compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


_FILES, _SCREEN, _RUN = "Files", "Screen", "Run"

# Images and their patches.
Source = Annotated[
    str, typer.Argument(help="Images, as for kernels; 'sample' is built in.", autocompletion=complete_source)
]
ManySources = Annotated[  # one source, or files of moments that the shell puts after the first
    list[str] | None,
    typer.Argument(
        help="Images: a file, a folder (with its subfolders), a quoted glob, @list.txt (a path a line), - "
        "(such a list from standard input), a .zip or .tar, or 'sample' (built in).",
        show_default="sample",
        autocompletion=complete_source,
    ),
]
OneImage = Annotated[
    str,
    typer.Argument(metavar="IMAGE", help="An image file; 'sample-photo' is built in.", autocompletion=complete_photo),
]
_DRAWN = "Draw this many images at random, or take all if there are fewer"
Images = Annotated[int | None, typer.Option("--images", "-n", help=f"{_DRAWN} (default: all).")]
AtMostImages = Annotated[int, typer.Option("--images", "-n", help=f"{_DRAWN}.")]
KernelSizes = Annotated[
    str,
    typer.Option(
        "--kernel-size",
        "-k",
        metavar="K[,K...]",
        help="Side of kernels and patches in pixels, odd; or several, separated by commas.",
    ),
]
PatchSizes = Annotated[
    str,
    typer.Option(
        "--kernel-size",
        "-k",
        metavar="K[,K...]",
        help="Side of the patches in pixels; or several, separated by commas.",
    ),
]
PatchSize = Annotated[int, typer.Option("--kernel-size", "-k", help="Side of the patches in pixels.")]
Gray = Annotated[bool, typer.Option("--gray", "--grey", help="Reduce images to one channel, luma.")]
ColourSpace = Annotated[
    Space,
    typer.Option(
        "--space",
        help="Colour space of the pixels: as in files (srgb), light (linear), CIE XYZ, cones (lms), or log10 of cones.",
    ),
]
Resize = Annotated[
    int | None,
    typer.Option("--resize", help="Resize images to this short side in pixels (default: as they are)."),
]

# Deconvolution of patches of images.
Ridges = Annotated[
    str,
    typer.Option(
        "--eps",
        metavar="EPS[,EPS...]",
        help="Ridge added to the covariance of [0, 1] pixels: a number; 'paper', 1e-5 of the mean variance of a pixel; "
        "'auto', the ridge with which half of the images best predict the other half; or several, separated by commas. "
        "A smaller ridge makes the output sparser, but amplifies noise, so that large kernels ring (8-bit rounding has "
        "the variance 1.3e-6).",
    ),
]
RelativeEps = Annotated[
    bool,
    typer.Option(
        "--relative-eps", help="Take numbers of --eps in units of the mean variance of a pixel (the paper has 1e-5)."
    ),
]
Spectrum = Annotated[
    bool,
    typer.Option(
        "--spectrum",
        help="Draw the eigenvalues of the covariance, with the ridge and the noise of the files (NAME_spectrum).",
    ),
]
Method = Annotated[
    RootMethod,
    typer.Option(help="Inverse square root: exact (eigh), or Newton-Schulz (vanilla is unstable)."),
]
Iterations = Annotated[int, typer.Option(help="Number of Newton-Schulz iterations, unless --method is eigh.")]

# Data sets with labels.
Dataset = Annotated[
    str,
    typer.Argument(
        help="Name of a data set, or a folder with its files; 'glyphs' (synthetic digits) is built in.",
        autocompletion=complete_dataset,
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Folder in which a named data set is looked for first.", show_default=False),
]

# Files, screen and run, for all commands.
Formats = Annotated[
    str,
    typer.Option(
        "--format", help="Formats of the figures, separated by commas: png, svg, pdf.", rich_help_panel=_FILES
    ),
]
Width = Annotated[
    str,
    typer.Option(
        "--width",
        metavar="MM",
        help="Width of the figures in print, millimetres: 85 for one column of a journal, 180 for a page.",
        rich_help_panel=_FILES,
    ),
]
Title = Annotated[
    bool, typer.Option("--title/--no-title", help="Write a title above the figures.", rich_help_panel=_FILES)
]
Dpi = Annotated[
    int,
    typer.Option("--dpi", min=10, max=2400, help="Resolution of the figures, pixels per inch.", rich_help_panel=_FILES),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.", rich_help_panel=_SCREEN)]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet", "-q", help="Print only warnings and errors (and the text of --json).", rich_help_panel=_SCREEN
    ),
]
Seed = Annotated[
    int, typer.Option("--seed", min=0, max=2**32 - 1, help="Seed of all random numbers.", rich_help_panel=_RUN)
]


_ARRAYS = "Arrays of images (.npy, .npz, .mat, .iml, .imc, TIFF, raw)"


@dataclass(frozen=True, kw_only=True)
class ArrayOptions:
    """Options of commands whose images may be arrays. The help texts describe them."""

    axes: Annotated[
        str | None,
        typer.Option(
            "--axes",
            metavar="AXES",
            help="Order of the axes: H (rows) and W (columns), with C (channels) and N (images), as in HWC or NCHW.",
            rich_help_panel=_ARRAYS,
        ),
    ] = None
    key: Annotated[
        str | None,
        typer.Option(
            "--key", metavar="NAME", help="Name of the array in an .npz or .mat file.", rich_help_panel=_ARRAYS
        ),
    ] = None
    channels: Annotated[
        str | None,
        typer.Option(
            "--channels",
            metavar="NAME[,NAME...]",
            help="Names of the channels, separated by commas.",
            rich_help_panel=_ARRAYS,
        ),
    ] = None
    raw: Annotated[
        str | None,
        typer.Option(
            "--raw",
            metavar="HxW:TYPE",
            help="Read files as numbers without a header, of these sizes and this NumPy type, as in 1024x1536:>u2.",
            rich_help_panel=_ARRAYS,
        ),
    ] = None

    def of_arrays(self) -> dict[str, Any]:
        """Return the settings of configurations whose images may be arrays."""
        names = () if self.channels is None else tuple(name.strip() for name in self.channels.split(","))
        return {"axes": self.axes, "key": self.key, "channels": names, "raw": self.raw}


@dataclass(frozen=True, kw_only=True)
class ArrayRidgeOptions(ArrayOptions):
    """Options of commands whose images may be arrays, and to whose covariance a ridge is added."""

    absolute_eps: Annotated[
        bool,
        typer.Option(
            "--absolute-eps",
            help="Take numbers of --eps in squared units of the values (default: in units of their mean variance).",
            rich_help_panel=_ARRAYS,
        ),
    ] = False

    def of_arrays(self) -> dict[str, Any]:
        """Return the settings of configurations whose images may be arrays, with the unit of the ridge."""
        return {**super().of_arrays(), "absolute_eps": self.absolute_eps}


@dataclass(frozen=True, kw_only=True)
class SharedOptions:
    """Options of every command that runs an experiment. The help texts describe them."""

    out: Annotated[
        Path, typer.Option("--out", "--output", "-o", help="Folder for the results.", rich_help_panel=_FILES)
    ] = Path("figures")
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            help="File name of the results, without extension (default: the command).",
            rich_help_panel=_FILES,
        ),
    ] = None
    formats: Formats = "png"
    width: Width = "180"
    title: Title = True
    dpi: Dpi = 300
    json: AsJson = False
    quiet: Quiet = False
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Name every skipped file.", rich_help_panel=_SCREEN)
    ] = False
    show: Annotated[
        bool, typer.Option("--show", help="Open the figure when it is written.", rich_help_panel=_SCREEN)
    ] = False
    seed: Seed = 0
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            "-j",
            help="Number of threads that decode, and of those that compute (default: one per processor; one "
            "for small matrices).",
            rich_help_panel=_RUN,
        ),
    ] = None
    device: Annotated[Device, typer.Option("--device", help="Device that computes.", rich_help_panel=_RUN)] = (
        Device.auto
    )
    storage_options: Annotated[
        list[str] | None,
        typer.Option(
            OPTION,
            metavar="KEY=VALUE",
            help="Option for the storage of an address such as s3://bucket/photos, in the words of fsspec: anon=true, "
            "or a JSON object (repeatable). Results do not record it.",
            rich_help_panel=_RUN,
        ),
    ] = None

    def __post_init__(self) -> None:
        if self.quiet and self.verbose:
            raise OptionError("quiet", "cannot be combined with `verbose`: one prints less, the other more")

    def of_figures(self) -> dict[str, Any]:
        """Return how figures are drawn: their width in millimetres, and whether they have titles."""
        return {"width": width_from(self.width), "title": self.title}

    def of_run(self) -> dict[str, Any]:
        """Return the settings that every configuration has: seed, jobs and device."""
        return {"seed": self.seed, "jobs": self.jobs, "device": self.device.value}


def with_shared_options(
    command: Callable[..., None], texts: Mapping[str, str] | None = None, without: Sequence[str] = ()
) -> Callable[..., None]:
    """Give a command the options of :class:`SharedOptions`, whose values it gets as one argument ``shared``.

    A command with an argument ``arrays: ArrayOptions``, or of a class derived from it, gets the options of that class
    in the same way, before the shared ones.

    Parameters
    ----------
    command : callable
        Function with a keyword argument ``shared: SharedOptions``, and other parameters that Typer understands.
    texts : mapping, optional
        Help texts of shared options that mean something else in this command, by the name of the option.
    without : sequence of str
        Names of the shared options that would have no effect in this command, which keep their defaults. Default: none.

    Returns
    -------
    callable
        The same function with an option for each of the other fields of SharedOptions in place of ``shared``.
    """
    own = inspect.signature(command)
    groups: dict[str, type[Any]] = {}
    if "arrays" in own.parameters:
        groups["arrays"] = get_type_hints(command)["arrays"]
    groups["shared"] = SharedOptions
    offered = {name: [field for field in fields(kind) if field.name not in without] for name, kind in groups.items()}
    hints: dict[str, Any] = {}
    for kind in groups.values():
        hints |= get_type_hints(kind, include_extras=True)
    for name, text in (texts or {}).items():
        kind, option = get_args(hints[name])
        option = copy.copy(option)
        option.help = text
        hints[name] = Annotated[kind, option]

    @functools.wraps(command)
    def wrapper(**values: Any) -> None:  # noqa: ANN401
        grouped = {
            name: kind(**{field.name: values.pop(field.name) for field in offered[name]})
            for name, kind in groups.items()
        }
        options = storage_from(grouped["shared"].storage_options)
        if not options:
            command(**values, **grouped)
            return
        from ndtools.data.images.storage import storage_options

        with storage_options(options):
            command(**values, **grouped)

    parameters = [p for p in own.parameters.values() if p.name not in groups]
    parameters += [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for fields_of_group in offered.values()
        for field in fields_of_group
    ]
    wrapper.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    return wrapper
