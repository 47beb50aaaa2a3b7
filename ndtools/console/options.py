"""Options that several commands share, each declared once. Defaults belong to the configurations."""

import copy
import functools
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

import typer

from ndtools.console.completion import complete_dataset, complete_photo, complete_source
from ndtools.console.storage import OPTION, storage_from
from ndtools.errors import OptionError
from ndtools.validation import Ridge, RootMethod, Space

__all__ = [
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
    "formats_from",
    "numbers_from",
    "ridges_from",
    "width_from",
    "with_shared_options",
]


class Device(StrEnum):
    """Devices that compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


N = TypeVar("N", int, float)

IMAGE_FORMATS = ("png", "svg", "pdf")
LEAST_WIDTH, MOST_WIDTH = 60.0, 500.0  # millimetres, as in ndtools.drawing.style, which is slow to import

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
Gray = Annotated[bool, typer.Option("--gray", "--grey", help="Reduce images to luma.")]
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
        "'auto', the ridge that gives held-out images the highest likelihood; or several, separated by commas. A "
        "smaller one makes the output sparser, and large kernels of JPEG photographs ring: rounding to 8 bits is noise "
        "of variance 1.3e-6.",
    ),
]
RelativeEps = Annotated[
    bool,
    typer.Option(
        "--relative-eps", help="Take numbers of eps in units of the mean variance of a pixel (the paper: 1e-5)."
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
Iterations = Annotated[int, typer.Option(help="Number of Newton-Schulz iterations, for the other methods than eigh.")]

# Data sets with labels.
Dataset = Annotated[
    str,
    typer.Argument(
        help="Name of a data set or its folder; 'glyphs' is built in, synthetic digits.",
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
    typer.Option("--quiet", "-q", help="Print nothing but warnings and errors (and --json).", rich_help_panel=_SCREEN),
]
Seed = Annotated[
    int, typer.Option("--seed", min=0, max=2**32 - 1, help="Seed of all random numbers.", rich_help_panel=_RUN)
]


@dataclass(frozen=True, kw_only=True)
class SharedOptions:
    """Options of every command that runs an experiment. The help texts describe them."""

    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.", rich_help_panel=_FILES)] = Path(
        "figures"
    )
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
            help="Threads that decode, and as many that compute (default: one per processor; one for small matrices).",
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
            help="Option of the storage of an address such as s3://bucket/photos, as fsspec takes it: anon=true, or a "
            "JSON object (repeatable). Results do not record it.",
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


def numbers_from(option: str, text: str, kind: Callable[[str], N]) -> tuple[N, ...]:
    """Read a list of numbers.

    Parameters
    ----------
    option : str
        Name of the option, for the error.
    text : str
        Numbers separated by commas, such as "128,128".
    kind : callable
        ``int`` or ``float``.

    Returns
    -------
    tuple
        Numbers in the order of the text.

    Raises
    ------
    OptionError
        If a part of the text is not a number of that kind.
    """
    try:
        return tuple(kind(number) for number in text.split(","))
    except ValueError:
        wanted = "whole numbers" if kind is int else "numbers"
        raise OptionError(option, f"must be {wanted} separated by commas, got {text!r}") from None


def ridges_from(text: str) -> tuple[Ridge, ...]:
    """Read a list of ridges.

    Parameters
    ----------
    text : str
        Numbers, "paper" or "auto", separated by commas, such as "paper,1e-3".

    Returns
    -------
    tuple of float, "paper" or "auto"
        Ridges in the order of the text.

    Raises
    ------
    OptionError
        If a part of the text is none of these.
    """
    ridges: list[Ridge] = []
    for part in text.split(","):
        match part.strip():
            case "paper" | "auto" as name:
                ridges.append(name)
            case word:
                try:
                    ridges.append(float(word))
                except ValueError:
                    raise OptionError(
                        "eps", f"must be numbers, 'paper' or 'auto', separated by commas, got {text!r}"
                    ) from None
    return tuple(ridges)


def formats_from(text: str) -> tuple[str, ...]:
    """Read the formats of figures.

    Parameters
    ----------
    text : str
        Formats separated by commas, such as "png,pdf".

    Returns
    -------
    tuple of str
        Formats in the order of the text, each once.

    Raises
    ------
    OptionError
        If a format is unknown.
    """
    formats = tuple(dict.fromkeys(part.strip().lower() for part in text.split(",")))
    if not set(formats) <= set(IMAGE_FORMATS):
        raise OptionError(
            "formats", f"must be {', '.join(IMAGE_FORMATS)}, or several separated by commas, got {text!r}"
        )
    return formats


def width_from(text: str) -> float:
    """Read a width in print.

    Parameters
    ----------
    text : str
        Number of millimetres, as in "85" or "85mm", or of inches, as in "7in".

    Returns
    -------
    float
        Width in millimetres.

    Raises
    ------
    OptionError
        If the text is no such number, or the width is below 60 mm or above 500 mm.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(mm|in)?\s*", text)
    width = float(match[1]) * (25.4 if match[2] == "in" else 1.0) if match else 0.0
    if not LEAST_WIDTH <= width <= MOST_WIDTH:
        raise OptionError(
            "width", f"must be {LEAST_WIDTH:g} to {MOST_WIDTH:g} millimetres, as in 85 or 3.5in, got {text!r}"
        )
    return width


def with_shared_options(
    command: Callable[..., None], texts: Mapping[str, str] | None = None, without: Sequence[str] = ()
) -> Callable[..., None]:
    """Give a command the options of :class:`SharedOptions`, whose values it gets as one argument ``shared``.

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
    hints = get_type_hints(SharedOptions, include_extras=True)
    for name, text in (texts or {}).items():
        kind, option = get_args(hints[name])
        option = copy.copy(option)
        option.help = text
        hints[name] = Annotated[kind, option]
    offered = [field for field in fields(SharedOptions) if field.name not in without]
    own = inspect.signature(command)

    @functools.wraps(command)
    def wrapper(**values: Any) -> None:  # noqa: ANN401
        shared = SharedOptions(**{field.name: values.pop(field.name) for field in offered})
        options = storage_from(shared.storage_options)
        if not options:
            command(**values, shared=shared)
            return
        from ndtools.data.images.storage import storage_options

        with storage_options(options):
            command(**values, shared=shared)

    parameters = [p for p in own.parameters.values() if p.name != "shared"]
    parameters += [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in offered
    ]
    wrapper.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    return wrapper
