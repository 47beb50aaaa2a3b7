"""``ndtools timing``: the cost of each stage of a deconvolution layer, compared with its convolution."""

import re
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from ndtools.console.options import SharedOptions, with_shared_options
from ndtools.console.results import ExperimentOutput
from ndtools.console.tables import new_table
from ndtools.errors import OptionError
from ndtools.experiments.timing.config import TimingConfig
from ndtools.experiments.timing.table import PUBLISHED_BATCH_SIZE, TABLE_3

if TYPE_CHECKING:
    from rich.table import Table

    from ndtools.experiments.timing.result import TimingResult

__all__ = ["rows_from", "timing"]

STAGES = {"im2col": "im", "covariance": "cov", "inverse": "inv", "total": "sum"}
ARMS = {"published": "pub", "measured": "ref", "ours": "our"}


@partial(
    with_shared_options,
    texts={
        "jobs": "Threads that compute (default: one per processor).",
    },
    without=("verbose", "storage_options"),  # it reads no images
)
def timing(
    *,
    rows: Annotated[
        str, typer.Option(help="Rows of the table, such as 1-5,16.", show_default="all")
    ] = f"1-{len(TABLE_3)}",
    batch_size: Annotated[
        int,
        typer.Option(
            "--batch-size",
            "-b",
            help="Number of images in a batch. The paper has 128, with which a row takes up to 9 GB.",
        ),
    ] = TimingConfig.batch_size,
    repeats: Annotated[
        int, typer.Option(help="Number of measurements, of which the median is taken.")
    ] = TimingConfig.repeats,
    backward: Annotated[
        bool, typer.Option("--backward", help="Time the backward pass of each stage, too.")
    ] = TimingConfig.backward,
    shared: SharedOptions,
) -> None:
    """Time im2col, covariance, inverse square root and convolution (Ye et al. 2020, table 3).

    For each of the table's 22 layers, three times are compared: the published
    time, that of the published code's arithmetic on this machine, and that of
    this project's layer. Since machines differ, all are shares of the time of
    the convolution.

    Example: [bold]ndtools timing --rows 1-5 --batch-size 16[/bold]
    """
    output = ExperimentOutput(shared, "timing")
    config = TimingConfig(
        rows=rows_from(rows),
        batch_size=batch_size,
        repeats=repeats,
        backward=backward,
        **shared.of_run(),
    )
    output.check()

    from ndtools.experiments.timing.run import run

    result = output.compute(run, config, counting="layers")
    for row in result.left_out:
        output.note(f"note: left out row {row.number}, which {row.reason}")
    output.results(
        result,
        title=_title(result),
        table=_table(result),
    )


def rows_from(text: str) -> tuple[int, ...]:
    """Read rows of the table.

    Parameters
    ----------
    text : str
        Numbers and ranges such as "1-5,16" or "T3-16", in any order; a row may be named more than once.

    Returns
    -------
    tuple of int
        Numbers of the rows in increasing order, each once.

    Raises
    ------
    OptionError
        If a part is neither a row of the table nor a range of them.
    """
    last, rows = len(TABLE_3), set()
    for part in text.split(","):
        match = re.fullmatch(r"(?:T3-)?([0-9]{1,9})(?:-(?:T3-)?([0-9]{1,9}))?", part.strip())
        if match is None:
            raise OptionError("rows", f"must be numbers and ranges from 1 to {last}, such as 1-5,16, got {text!r}")
        first, end = int(match[1]), int(match[2] or match[1])
        if 1 <= end < first <= last:
            raise OptionError("rows", f"must go upwards, such as {end}-{first}, got {part.strip()!r}")
        if not 1 <= first <= end <= last:
            raise OptionError("rows", f"must be from 1 to {last}, the rows of table 3, got {part.strip()!r}")
        rows |= set(range(first, end + 1))
    return tuple(sorted(rows))


def _title(result: "TimingResult") -> str:
    from ndtools.text import counted

    config = result.config
    threads = f", {counted(result.threads, 'thread')}" if result.device == "cpu" else ""
    return (
        f"Cost of deconvolution layers · batches of {config.batch_size} · median of {config.repeats}"
        f" · {'forward and backward' if config.backward else 'forward'} · {result.device}{threads}"
    )


def _table(result: "TimingResult") -> "Table":
    backward = " (forward only)" if result.config.backward else ""
    scale = PUBLISHED_BATCH_SIZE / result.config.batch_size
    caption = (
        f"% of the convolution's time. pub: published{backward}; ref: the published code's arithmetic, here;"
        " our: this project's layer. im: im2col (sampling), cov: covariance, inv: inverse square root, sum: of the"
        " three. S: sampling stride, B: channels decorrelated together. inv, the same for any batch, is in % of the"
        f" convolution of {PUBLISHED_BATCH_SIZE} images, taken as {scale:.3g} times conv."
    )
    stages = [f"{arm}\n{stage}" for arm in ARMS.values() for stage in STAGES.values()]
    table = new_table(("#", "layer"), (*stages, "conv\nms"), gap=1, caption=caption)  # 80 columns at most
    for row in result.rows:
        table.add_row(
            f"{row.layer.number:2}",
            row.layer.label,
            *(_cell(row.shares(arm)[stage]) for arm in ARMS for stage in STAGES),
            _milliseconds(row.seconds("measured")["convolution"]),
        )
    return table


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.0f}" if seconds >= 0.1 else f"{1000 * seconds:.3g}"


def _cell(share: float) -> str:
    """Return two digits of a percentage in three characters, if it is below 1000."""
    hundredths = 100 * share
    if hundredths < 0.995:
        return "0" if hundredths < 0.005 else f"{hundredths:.2f}"[1:]
    return f"{hundredths:.1f}" if hundredths < 9.95 else f"{hundredths:.0f}"
