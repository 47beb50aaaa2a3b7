"""Options that all commands share, declared once."""

import copy
import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

import typer

from ndtools.errors import OptionError

__all__ = [
    "DataDir",
    "Device",
    "Eps",
    "ImageFormat",
    "RelativeEps",
    "SharedOptions",
    "numbers_from",
    "with_shared_options",
]


class ImageFormat(StrEnum):
    """Formats of figures."""

    png = "png"
    svg = "svg"
    pdf = "pdf"


class Device(StrEnum):
    """Where to compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


N = TypeVar("N", int, float)

_FILES, _SCREEN, _RUN = "Files", "Screen", "Run"

DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Folder in which a named data set is looked for first.", show_default=False),
]
"""Of commands that take a data set."""

Eps = Annotated[
    float,
    typer.Option(
        help="Ridge added to the covariance of [0, 1] pixels. A smaller one makes the output sparser, and large "
        "kernels of JPEG photographs ring: rounding to 8 bits is noise of variance 1.3e-6."
    ),
]
"""Of commands that whiten images."""

RelativeEps = Annotated[
    bool, typer.Option("--relative-eps", help="Take eps in units of the mean variance of a pixel (the paper: 1e-5).")
]
"""Of commands that whiten images."""


@dataclass(frozen=True, kw_only=True)
class SharedOptions:
    """What every command that computes can be told; see the help texts."""

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
    image_format: Annotated[
        ImageFormat, typer.Option("--format", help="Format of the figure.", rich_help_panel=_FILES)
    ] = ImageFormat.png
    dpi: Annotated[
        int,
        typer.Option(
            "--dpi",
            min=10,
            max=2400,
            help="Resolution of the figure, pixels per inch.",
            rich_help_panel=_FILES,
        ),
    ] = 150
    json: Annotated[
        bool,
        typer.Option("--json", help="Print the numbers as JSON instead of the table.", rich_help_panel=_SCREEN),
    ] = False
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet",
            "-q",
            help="Print nothing but warnings and errors (and --json).",
            rich_help_panel=_SCREEN,
        ),
    ] = False
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Name every skipped file.", rich_help_panel=_SCREEN)
    ] = False
    show: Annotated[
        bool, typer.Option("--show", help="Open the figure when it is written.", rich_help_panel=_SCREEN)
    ] = False
    seed: Annotated[
        int, typer.Option("--seed", min=0, max=2**32 - 1, help="Seed of all that is random.", rich_help_panel=_RUN)
    ] = 0
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            "-j",
            help="Threads that decode, and as many that compute (default: one per processor; one for small matrices).",
            rich_help_panel=_RUN,
        ),
    ] = None
    device: Annotated[Device, typer.Option("--device", help="Where to compute.", rich_help_panel=_RUN)] = Device.auto


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
        If a part is not a number of that kind.
    """
    try:
        return tuple(kind(part) for part in text.split(","))
    except ValueError:
        what = "whole numbers" if kind is int else "numbers"
        raise OptionError(option, f"must be {what} separated by commas, got {text!r}") from None


def with_shared_options(command: Callable[..., None], texts: Mapping[str, str] | None = None) -> Callable[..., None]:
    """Give a command the options of :class:`SharedOptions`, and the values as its argument ``shared``.

    Parameters
    ----------
    command : callable
        With a keyword argument ``shared: SharedOptions`` and parameters that Typer understands.
    texts : mapping, optional
        Help of shared options that do something else in this command, by name.

    Returns
    -------
    callable
        The same with an option in place of ``shared`` for each of its fields.
    """
    hints = get_type_hints(SharedOptions, include_extras=True)
    for name, text in (texts or {}).items():
        kind, option = get_args(hints[name])
        option = copy.copy(option)
        option.help = text
        hints[name] = Annotated[kind, option]
    shared_names = [field.name for field in fields(SharedOptions)]
    own = inspect.signature(command)

    @functools.wraps(command)
    def wrapper(**values: Any) -> None:  # noqa: ANN401
        shared = SharedOptions(**{name: values.pop(name) for name in shared_names})
        command(**values, shared=shared)

    parameters = [p for p in own.parameters.values() if p.name != "shared"]
    parameters += [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in fields(SharedOptions)
    ]
    wrapper.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    return wrapper
