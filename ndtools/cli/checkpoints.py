"""Options, screen and output file of ``ndtools convert``, ``fold`` and ``audit``."""

import os
import shlex
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ndtools.errors import OptionError

if TYPE_CHECKING:
    from ndtools.checkpoints.config import CheckpointConfig
    from ndtools.models.spec import NetworkSpec

__all__ = [
    "Arch",
    "Checkpoint",
    "InChannels",
    "Json",
    "NumClasses",
    "Quiet",
    "Report",
    "Seed",
    "Settings",
    "Size",
    "To",
    "describe",
]


Checkpoint = Annotated[Path, typer.Argument(help="A .safetensors file, or one of torch.save (.pt, .pth).")]
Arch = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Network: vgg11, 13, 16, 19; resnet18, 34, 50, 101, 152; preact18, 34, ... (default: as the file says).",
        show_default=False,
    ),
]
NumClasses = Annotated[int | None, typer.Option(help="Outputs (default: as the file has).", show_default=False)]
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
    Path | None, typer.Option("--to", metavar="FILE", help="File to write, ending in .safetensors.", show_default=False)
]
Size = Annotated[int, typer.Option(help="Side of the images, pixels.")]
Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of the images.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but warnings and errors (and --json).")]


def describe(network: "NetworkSpec") -> str:
    """Return the architecture and size of a network in words."""
    colours = "channel" if network.in_channels == 1 else "channels"
    return f"{network.arch} · {network.in_channels} {colours} · {network.num_classes} classes"


class Report:
    """Screen and output file of one run of a command on a checkpoint.

    Parameters
    ----------
    as_json : bool
        Whether to print JSON instead of text.
    quiet : bool
        Whether to print nothing but warnings, errors and JSON.
    """

    def __init__(self, *, as_json: bool, quiet: bool) -> None:
        self.as_json, self.quiet = as_json, quiet
        self.start = time.perf_counter()

    def destination(self, source: Path, to: Path | None, suffix: str) -> Path:
        """Choose the file to write, and make sure before any work that it can be.

        Parameters
        ----------
        source : Path
            Path of the checkpoint that is read.
        to : Path, optional
            Path that the user chose; by default the file is beside the source, with ``suffix`` appended to its name.
        suffix : str
            Such as "-folded".

        Returns
        -------
        Path
            Path of the file to write.

        Raises
        ------
        OptionError
            If the path is that of the source, or does not end in .safetensors.
        OutputError
            If the file cannot be written.
        """
        from ndtools.results.files import check_writable

        path = to or source.with_name(f"{source.stem}{suffix}.safetensors")
        if path.suffix != ".safetensors":
            raise OptionError("to", f"must end in .safetensors, got {path}")
        self.replaced = os.path.exists(path)  # False, too, for names that are too long
        if self.replaced and os.path.exists(source) and path.samefile(source):
            raise OptionError("to", f"must not be the checkpoint itself, {source}")
        check_writable([path], elsewhere="another file with --to", shorter="a shorter name with --to")
        return path

    def show(
        self,
        text: str,
        config: "CheckpointConfig",
        numbers: Mapping[str, Any],
        to: Path | None = None,
        *,
        note: str = "",
    ) -> None:
        """Print the result.

        Parameters
        ----------
        text : str
            Result as text.
        config : CheckpointConfig
            Configuration of the run.
        numbers : mapping
            Result as values for JSON.
        to : Path, optional
            Path of the file that was written.
        note : str
            For people, below the text.
        """
        from ndtools.results.files import strict_json
        from ndtools.results.manifest import manifest

        seconds = time.perf_counter() - self.start
        if self.as_json:
            run = manifest(
                command=shlex.join(["ndtools", *sys.argv[1:]]),
                config=config,
                seed=int(numbers.get("seed", 0)),
                device="cpu",
                source=config.source,
                seconds=seconds,
            )
            output = {} if to is None else {"output": str(to)}
            typer.echo(strict_json(run | output | dict(numbers)), nl=False)
        elif not self.quiet:
            typer.echo(f"{text}\n{note}" if note else text)
        if to is not None and not self.quiet:
            typer.echo(f"{to}   {seconds:.1f} s" + ("   (replaced)" if self.replaced else ""), err=True)
