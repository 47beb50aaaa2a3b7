"""The command line. Its import loads the standard library and Typer only; each command imports what it needs."""

import os
import sys
from contextlib import suppress
from typing import Annotated

import typer

from ndtools import __version__
from ndtools.cli.audit import audit
from ndtools.cli.convert import convert
from ndtools.cli.data import data_app
from ndtools.cli.figure import figure
from ndtools.cli.fold import fold
from ndtools.cli.published import published
from ndtools.cli.report import report
from ndtools.computing.memory import prepare_allocator
from ndtools.computing.threads import limit_spinning
from ndtools.console.failures import INTERRUPTED, FailureHandlingGroup
from ndtools.console.flags import FlagsCommand
from ndtools.console.streams import prepare_standard_streams
from ndtools.experiments.check.command import check
from ndtools.experiments.compare.command import compare
from ndtools.experiments.compare_sets.command import compare_sets
from ndtools.experiments.covariance.command import covariance
from ndtools.experiments.deblur.command import deblur
from ndtools.experiments.deconvolve.command import deconvolve
from ndtools.experiments.features.command import features
from ndtools.experiments.inference.command import inference
from ndtools.experiments.kernels.command import kernels
from ndtools.experiments.mlp.command import mlp
from ndtools.experiments.ns_stability.command import ns_stability
from ndtools.experiments.regress.command import regress
from ndtools.experiments.segment.command import segment
from ndtools.experiments.signals.command import signals
from ndtools.experiments.sparsity.command import sparsity
from ndtools.experiments.stats.command import stats
from ndtools.experiments.timing.command import timing
from ndtools.experiments.train.command import train
from ndtools.reproduction.command import reproduce

__all__ = ["app", "main"]

app = typer.Typer(
    cls=FailureHandlingGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["--help", "-h"]},
    epilog="Exit codes: 0 done · 1 failed (cannot write, or a bug) · 2 wrong usage · 3 input absent or unusable"
    " · 4 arithmetic failed · 130 interrupted. In every command, --out, --output and -o are one option, which says"
    " where it writes.",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ndtools {__version__}")
        raise typer.Exit


@app.callback()
def ndtools(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Measure, remove and draw the correlations of images (network deconvolution)."""


app.command(cls=FlagsCommand)(kernels)
app.command(cls=FlagsCommand)(sparsity)
app.command(cls=FlagsCommand)(deconvolve)
app.command(cls=FlagsCommand)(covariance)
app.command(cls=FlagsCommand)(compare_sets)
app.command(cls=FlagsCommand)(signals)
app.command(cls=FlagsCommand)(stats)
app.command(cls=FlagsCommand)(ns_stability)
app.command(cls=FlagsCommand)(regress)
app.command(cls=FlagsCommand)(mlp)
app.command(cls=FlagsCommand)(deblur)
app.command(cls=FlagsCommand)(timing)
app.command(cls=FlagsCommand)(inference)
app.command(cls=FlagsCommand)(train)
app.command(cls=FlagsCommand)(segment)
app.command(cls=FlagsCommand)(features)
app.command(cls=FlagsCommand)(compare)
app.command(cls=FlagsCommand)(reproduce)
app.command(cls=FlagsCommand)(check)
app.command(cls=FlagsCommand)(figure)
app.command(cls=FlagsCommand)(report)
app.command(cls=FlagsCommand)(convert)
app.command(cls=FlagsCommand)(fold)
app.command(cls=FlagsCommand)(audit)
app.command(cls=FlagsCommand)(published)
app.add_typer(data_app, name="data")


def main() -> None:
    """Run the command line on ``sys.argv`` and exit."""
    prepare_standard_streams()
    limit_spinning()
    prepare_allocator()
    # Figures need no backend, and the import of matplotlib fails if this variable names an unknown one.
    os.environ.pop("MPLBACKEND", None)
    code: object = 0
    try:
        app(prog_name="ndtools")
    except KeyboardInterrupt:  # before or after the command itself
        code = INTERRUPTED
    except SystemExit as stop:
        code = stop.code
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # a failure to write was reported before
            stream.flush()
    # The process ends at once: unloading torch takes 0.4 s, and an interrupted run must not wait for threads that
    # are decoding a large image or reading from a slow disk.
    os._exit(code if isinstance(code, int) else 0)
