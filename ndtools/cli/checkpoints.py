"""Options and words that ``ndtools convert``, ``fold`` and ``audit`` share."""

import os
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ndtools.errors import OptionError
from ndtools.models.catalogue import NAMES, SEGMENTATION_NAMES
from ndtools.text import counted

if TYPE_CHECKING:
    from ndtools.checkpoints.config import CheckpointConfig
    from ndtools.models.spec import NetworkSpec

__all__ = [
    "Arch",
    "CheckpointFile",
    "InChannels",
    "NumClasses",
    "Settings",
    "To",
    "assumed",
    "checkpoint_config",
    "describe",
    "destination",
    "of_the_run",
]

_LEAST_SIZE = 32  # of the images that networks of checkpoints take


CheckpointFile = Annotated[
    Path, typer.Argument(metavar="CHECKPOINT", help="A .safetensors file, or one of torch.save (.pt, .pth).")
]


def complete_arch(incomplete: str) -> list[str]:
    """Return the names of networks that begin with what was typed."""
    return [name for name in (*NAMES, *SEGMENTATION_NAMES) if name.startswith(incomplete)]


Arch = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        autocompletion=complete_arch,
        help=f"Network: {', '.join((*NAMES, *SEGMENTATION_NAMES))} (default: as the file says).",
        show_default=False,
    ),
]
NumClasses = Annotated[
    int | None, typer.Option(help="Number of outputs (default: as the file has).", show_default=False)
]
InChannels = Annotated[
    int | None, typer.Option(help="Channels of the images (default: as the file has).", show_default=False)
]
Settings = Annotated[
    str | None,
    typer.Option(
        metavar="PRESET|FILE.json",
        help="Settings of the deconvolution layers, where the checkpoint does not say them: interleaved, paper,"
        " reference, or a JSON"
        ' file such as {"preset": "reference", "eps": 0.001, "first": {"n_iter": 5}} (default: interleaved).',
        show_default=False,
    ),
]
To = Annotated[
    Path | None,
    typer.Option(
        "--to",
        "--out",
        "--output",
        "-o",
        metavar="FILE",
        help="File to write, ending in .safetensors.",
        show_default=False,
    ),
]


def checkpoint_config(
    checkpoint: Path, *, arch: str | None, num_classes: int | None, in_channels: int | None, config: str | None
) -> "CheckpointConfig":
    """Return the configuration that the options of a command describe.

    Parameters
    ----------
    checkpoint : Path
        Path of the checkpoint that is read.
    arch, num_classes, in_channels
        Network of the checkpoint, as far as the user has said it.
    config : str, optional
        Preset or path of a JSON file with the settings of the deconvolution layers.

    Returns
    -------
    CheckpointConfig
        Configuration with the settings that the preset or the file stand for.
    """
    from ndtools.checkpoints.config import CheckpointConfig, LayerSettings

    return CheckpointConfig(
        source=str(checkpoint),
        arch=arch,
        num_classes=num_classes,
        in_channels=in_channels,
        settings=LayerSettings.of(config),
    )


def destination(source: Path, to: Path | None, suffix: str) -> tuple[Path, bool]:
    """Choose the file to write, and check before any work that it can be written.

    Parameters
    ----------
    source : Path
        Path of the checkpoint that is read.
    to : Path, optional
        Path that the user chose. By default the file is beside the source, with ``suffix`` appended to its name.
    suffix : str
        Text such as "-folded".

    Returns
    -------
    path : Path
        Path of the file to write.
    replaced : bool
        Whether this file exists, so that it will be replaced.

    Raises
    ------
    OptionError
        If the path is that of the source, or does not end in .safetensors.
    OutputError
        If the file cannot be written.
    """
    from ndtools.writing import check_writable

    stem = Path(source.name.removesuffix(".tar")).stem  # the published code writes checkpoint.pth.tar
    path = to or source.with_name(f"{stem}{suffix}.safetensors")
    if path.suffix != ".safetensors":
        raise OptionError("to", f"must end in .safetensors, got {path}")
    replaced = os.path.exists(path)  # False, too, for names that are too long
    if replaced and os.path.exists(source) and path.samefile(source):
        raise OptionError("to", f"must not be the checkpoint itself, {source}")
    check_writable([path], elsewhere="another file with --to", shorter="a shorter name with --to")
    return path, replaced


def of_the_run(checkpoint: Path) -> tuple[int, int] | None:
    """Return images in a training batch, and their side, as the run in whose folder a checkpoint lies recorded them.

    Parameters
    ----------
    checkpoint : Path
        Path of the checkpoint.

    Returns
    -------
    (int, int) or None
        Images in a batch of all processes, and their side in pixels. None if the checkpoint lies elsewhere, or the
        description of the run is damaged.
    """
    from ndtools.errors import DataError
    from ndtools.results.runs import read_about

    try:
        about = read_about(checkpoint.parent)
    except DataError:
        return None
    view = about["data"].get("view", {"size": _LEAST_SIZE})  # images in memory have no view
    try:
        side = int(view["size"] if "size" in view else view["crop"])
        count = int(about["config"]["batch_size"]) * int(about.get("processes", 1))
    except (LookupError, TypeError, ValueError):
        return None
    return (count, max(side, _LEAST_SIZE)) if count >= 1 else None


def describe(network: "NetworkSpec") -> str:
    """Return the architecture and size of a network in words."""
    return f"{network.arch} · {counted(network.in_channels, 'channel')} · {network.num_classes} classes"


def assumed(settings: Sequence[str], width: int = 80) -> str:
    """Say which settings were assumed, since the file does not say them.

    Parameters
    ----------
    settings : sequence of str
        Settings such as "eps=1e-05".
    width : int
        Largest number of characters in a line. Default 80.

    Returns
    -------
    str
        Line break and one or more lines; empty without settings.
    """
    if not settings:
        return ""
    line = f"settings assumed: {', '.join(settings)} (the file does not say; choose with --config)"
    filled = textwrap.fill(line, width, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False)
    return f"\n{filled}"
