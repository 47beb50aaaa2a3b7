"""``ndtools check``: the paper's propositions and equivalences in numbers."""

import math
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ndtools.console.completion import complete_source
from ndtools.console.options import AtMostImages, Gray, SharedOptions, with_shared_options
from ndtools.console.results import ExperimentOutput
from ndtools.console.tables import new_table
from ndtools.experiments.check.config import NAMES, CheckConfig

if TYPE_CHECKING:
    from rich.console import Group

    from ndtools.experiments.check.result import CheckResult

__all__ = ["check"]


@with_shared_options
def check(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME",
            help=f"Checks to run: {', '.join(NAMES)} (default: all).",
            autocompletion=lambda incomplete: [name for name in NAMES if name.startswith(incomplete)],
        ),
    ] = None,
    *,
    source: Annotated[
        str,
        typer.Option(
            help="Images whose patches are used, as for kernels; 'sample-photo' and 'sample' are built in.",
            autocompletion=complete_source,
        ),
    ] = CheckConfig.source,
    images: AtMostImages = CheckConfig.images,
    kernel_size: Annotated[
        int, typer.Option("--kernel-size", "-k", help="Side of the patches in pixels, odd, at most 15.")
    ] = CheckConfig.kernel_size,
    gray: Gray = CheckConfig.gray,
    eps: Annotated[
        float, typer.Option(help="Ridge added to the covariance of [0, 1] pixels, where a check has one.")
    ] = CheckConfig.eps,
    dtype: Annotated[
        Literal["float64", "float32"], typer.Option(help="Precision of the arithmetic that is checked.")
    ] = CheckConfig.dtype,
    shared: SharedOptions,
) -> None:
    """Check the paper's propositions in numbers (Ye et al. 2020, sec. 3.1, 4.3, 4.4, 5, A.8).

    Each check compares two quantities that a statement of the paper says
    are equal. A difference within what rounding can cause holds; one of up
    to 10 % holds approximately. Lines in brackets have no part in the
    verdict: they show what happens where the assumptions are not met.

    Example: [bold]ndtools check prop1 prop2 --source photo.jpg[/bold]
    """
    output = ExperimentOutput(shared, "check")
    config = CheckConfig(
        names=tuple(name.lower() for name in names or NAMES),
        source=source,
        images=images,
        kernel_size=kernel_size,
        gray=gray,
        eps=eps,
        dtype=dtype,
        **shared.of_run(),
    )
    output.check(config.source)

    from ndtools.experiments.check.run import run

    result = output.compute(run, config, counting="checks")
    output.skipped(result.images)
    output.results(result, title=_title(result), table=_table(result))


def _title(result: "CheckResult") -> str:
    from ndtools.text import source_name

    k = result.config.kernel_size
    return (
        f"Propositions in numbers · {source_name(result.source)} · {result.patches} patches of {k}×{k} · condition"
        f" {result.condition:.3g} · {result.config.dtype}"
    )


def _table(result: "CheckResult") -> "Group":
    from rich.console import Group
    from rich.text import Text

    table = new_table(("compared",), ("difference", "rounding", "verdict"), gap=2)
    for outcome in result.outcomes:
        table.add_row(outcome.name, "", "", outcome.verdict, style="bold")
        for each in outcome.comparisons:
            name = each.name if each.decides else f"({each.name})"
            difference = "-" if math.isnan(each.difference) else f"{each.difference:.1e}"
            table.add_row(f"  {name}", difference, f"{each.bound:.1e}", each.verdict)
    findings = (Text(f"{each.name}: {each.finding}", style="italic dim") for each in result.outcomes)
    return Group(table, *findings)
