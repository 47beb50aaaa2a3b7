"""``ndtools reproduce``: the figures and tables of the paper once more, graded, within a budget."""

import shlex
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ndtools.console.failures import FAILED, INTERRUPTED
from ndtools.console.options import AsJson, DataDir, Device, Quiet
from ndtools.console.output import Output
from ndtools.console.spelling import as_options, spellings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ndtools.reproduction.run import Reproduction
    from ndtools.reproduction.state import ItemState

__all__ = ["reproduce"]

_DATA, _RUN = "Data", "Run"


def reproduce(
    context: typer.Context,
    ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ID",
            help="IDs of figures, tables and other items, such as fig7 or table3 (default: all).",
            show_default=False,
        ),
    ] = None,
    *,
    listed: Annotated[
        bool, typer.Option("--list", help="List the items with their data, time and state, and run nothing.")
    ] = False,
    budget: Annotated[
        str,
        typer.Option(
            help="Time for all items together: 90s, 15m, 2h, or none. It decides how much of each recipe is run.",
            rich_help_panel=_RUN,
        ),
    ] = "15m",
    output: Annotated[
        Path, typer.Option("--output", "--out", "-o", help="Folder of results and states.", rich_help_panel=_RUN)
    ] = Path("reproduction"),
    runs: Annotated[
        Path,
        typer.Option(
            help="Folder of training runs; finished ones with an equal configuration are used, and not run again.",
            rich_help_panel=_RUN,
        ),
    ] = Path("runs"),
    device: Annotated[Device, typer.Option(help="Device that computes.", rich_help_panel=_RUN)] = Device.auto,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs", "-j", help="Number of threads (default: that of each experiment).", rich_help_panel=_RUN
        ),
    ] = None,
    data_dir: DataDir = None,
    photographs: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder of photographs, ideally of ImageNet (default: imagenet_sample in the folders of data sets).",
            show_default=False,
            rich_help_panel=_DATA,
        ),
    ] = None,
    image: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="File of Lenna or another photograph, or sample-photo (default: lenna.png among the data sets).",
            show_default=False,
            rich_help_panel=_DATA,
        ),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Run figures and tables of the paper again, and grade the results.

    Each is run at the largest size that the budget allows, and what may be
    concluded from that size is said. Results are kept: a second call does
    nothing twice, and an interrupted one goes on. Without real data, built-in
    images serve, and the screen says how to get the rest.

    Example: [bold]ndtools reproduce fig2 fig7 --budget 5m[/bold]
    """
    from ndtools.reproduction.cost import budget_from
    from ndtools.reproduction.display import following, grade_lines, in_paragraph, list_table, state_table
    from ndtools.reproduction.places import Places
    from ndtools.reproduction.reasons import together
    from ndtools.reproduction.request import Request
    from ndtools.reproduction.run import Reproduction

    screen = Output(quiet=quiet, as_json=as_json)
    request = Request(
        ids=tuple(ids or ()),
        budget=budget_from(budget),
        output=output,
        runs=runs,
        places=Places(None if data_dir is None else str(data_dir), photographs, image),
        device=device.value,
        jobs=jobs,
    )
    if listed:
        work = Reproduction(request)
        if output.is_dir():  # nothing is written elsewhere for a list
            work.kept.fingerprints.save()
        screen.json(work.content)
        screen.table(list_table([work.states[name] for name in work.asked]))
        for line in together([work.states[name] for name in work.asked]):
            screen.note(in_paragraph(line))
        return
    with following(screen.note, quiet=quiet) as follower:
        root: Any = context.find_root()
        spell = partial(_spell, root)
        work = Reproduction(request, changed=follower, compute=screen.compute, spell=spell)
        follower.follow(work)
        _run(work, screen)
    states = [work.states[name] for name in work.asked]
    screen.json(work.content)
    screen.table(state_table(states))
    for line in grade_lines(states):
        screen.text(line)
    for line in together(states):
        screen.note(in_paragraph(line))
    screen.note(f"{output / 'reproduction.json'}   {screen.seconds:.1f} s")
    _end(states)


def _spell(root: typer.Context, experiment: str, message: str) -> str:
    """Return a message of an experiment with the options of its own command, which it names: this one has others."""
    spelt = as_options(message, spellings(root, experiment))
    return spelt if spelt == message else f"{spelt} (options of ndtools {experiment})"


def _run(work: "Reproduction", screen: Output) -> None:
    """Run the items; when interrupted, say what is kept and how to go on, and end the command."""
    try:
        work.run()
    except KeyboardInterrupt:
        again = shlex.join(["ndtools", *sys.argv[1:]])
        screen.note(f"interrupted: what is finished is kept in {work.request.output}; go on with: {again}")
        raise typer.Exit(INTERRUPTED) from None


def _end(states: "Sequence[ItemState]") -> None:
    """End the command with the exit code of a failure, if an item failed."""
    if any(state.state == "failed" for state in states):
        raise typer.Exit(FAILED)
