"""``ndtools signals``: signals and volumes, their kernels and their deconvolution."""

from typing import TYPE_CHECKING, Annotated

import typer

from ndtools.console.completion import complete_signals
from ndtools.console.conflicts import refuse_given
from ndtools.console.option_values import ridges_from
from ndtools.console.options import (
    Iterations,
    Method,
    SharedOptions,
    with_shared_options,
)
from ndtools.console.results import ExperimentOutput
from ndtools.console.tables import new_table
from ndtools.errors import OptionError
from ndtools.experiments.signals.config import SignalsConfig
from ndtools.validation import Ridge

if TYPE_CHECKING:
    from rich.table import Table

    from ndtools.experiments.signals.result import SignalsResult

__all__ = ["signals"]

ROWS = 16  # channels of the table


@with_shared_options
def signals(
    context: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            help="A file, a folder or a quoted glob: .npy, .npz, .mat, .wav, TIFF of several pages, NIfTI; or"
            " 'base-calls' (four channels over time) or 'beads' (a volume), which are built in.",
            autocompletion=complete_signals,
        ),
    ] = SignalsConfig.source,
    *,
    axes: Annotated[
        str | None,
        typer.Option(
            help="Axes of arrays in their order: T (time), or Z, Y and X; C (channels) and N (several of them) where"
            " they are, as in CT or CZYX (default: as the format says, or CT).",
            show_default=False,
        ),
    ] = SignalsConfig.axes,
    key: Annotated[
        str | None, typer.Option(help="Name of the array in .npz and .mat files.", show_default=False)
    ] = SignalsConfig.key,
    channels: Annotated[
        str | None,
        typer.Option(
            help="Names of the channels, separated by commas (default: numbers, gray).",
            show_default=False,
        ),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(help="Samples per second (default: that of .wav files, or none).", show_default=False),
    ] = SignalsConfig.rate,
    kernel_size: Annotated[
        str | None,
        typer.Option(
            "--kernel-size",
            "-k",
            metavar="K[xKxK]",
            help="Length of the patches in samples, odd; or the side of patches of volumes in voxels, or a side for"
            " each of z, y and x, as in 3x7x7 (default: 15 samples, 5 voxels).",
            show_default=False,
        ),
    ] = None,
    eps: Annotated[
        str,
        typer.Option(
            metavar="EPS",
            help="Ridge added to the covariance, in units of its mean variance: a number; 'paper', 1e-5; or 'auto', the"
            " ridge that gives held-out parts the highest likelihood.",
        ),
    ] = str(SignalsConfig.eps),
    absolute_eps: Annotated[
        bool, typer.Option("--absolute-eps", help="Take a number of eps in squared units of the values.")
    ] = SignalsConfig.absolute_eps,
    method: Method = SignalsConfig.method,
    iterations: Iterations = SignalsConfig.iterations,
    shared: SharedOptions,
) -> None:
    """Fit and draw kernels of signals and volumes, and deconvolve them.

    The kernels are the rows of D = (Cov + eps·I)^(-1/2) of the centre of a
    patch, where Cov is the covariance of all patches of k samples, or of
    k×k×k voxels, of all channels. They undo the correlations in time or
    space and between channels: base calling, recordings of many electrodes,
    sound, volumes of microscopes. The .npz file has the deconvolved values.

    Example: [bold]ndtools signals recording.npy --axes CT -k 31 --rate 30000[/bold]
    """
    output = ExperimentOutput(shared, "signals")
    if method == "eigh":
        refuse_given(context, ["iterations"], "with --method eigh, which is exact")
    config = SignalsConfig(
        source=source,
        axes=axes,
        key=key,
        channels=() if channels is None else tuple(name.strip() for name in channels.split(",")),
        rate=rate,
        kernel_size=_sides_from(kernel_size),
        eps=_ridge_from(eps),
        absolute_eps=absolute_eps,
        method=method,
        iterations=iterations,
        **shared.of_run(),
    )
    output.check(config.source)

    from ndtools.experiments.signals.run import run

    result = output.compute(run, config)
    output.results(result, title=_title(result), table=_table(result))


def _sides_from(text: str | None) -> int | tuple[int, ...] | None:
    """Read the size of patches: one number, or three as in "3x7x7"."""
    if text is None:
        return None
    try:
        sides = tuple(int(number) for number in text.lower().replace("×", "x").split("x"))
    except ValueError:
        raise OptionError("kernel_size", f"must be whole numbers, as in 15 or 3x7x7, got {text!r}") from None
    return sides[0] if len(sides) == 1 else sides


def _ridge_from(text: str) -> Ridge:
    """Read one ridge; OptionError if there are several."""
    ridges = ridges_from(text)
    if len(ridges) > 1:
        raise OptionError("eps", f"must be one ridge, got {len(ridges)}")
    return ridges[0]


def _title(result: "SignalsResult") -> str:
    from ndtools.text import precision_in_words, source_name

    return (
        f"Deconvolution · {source_name(result.source)} · {result.counted} · patches of {result.patch}"
        f" · {result.ridge_words} · {result.config.method} · {precision_in_words(result.fit)}"
    )


def _table(result: "SignalsResult") -> "Table":
    import numpy as np

    from ndtools.text import with_error

    count = len(result.names)
    flat = result.kernels.reshape(count, count, -1)
    middle = flat.shape[2] // 2
    kurtosis = (with_error(side.measures["kurtosis"].value) for side in (result.before, result.after))
    lines = [
        f"{result.correlation_words}, of all channels at all lags within a patch",
        f"kurtosis of the values {' -> '.join(kurtosis)} (Gaussian: 3)",
    ]
    if count > ROWS:
        lines.insert(0, f"... and {count - ROWS} more channels, in the .npz file")
    table = new_table(
        ("channel",),
        ("weight at the centre", "largest other weight", "largest from another channel", "which"),
        gap=2,
        caption="\n".join(lines),
    )
    for i, name in enumerate(result.names[:ROWS]):
        own = np.delete(flat[i, i], middle)
        cells = [f"{flat[i, i, middle]:.4g}", f"{own[np.abs(own).argmax()]:.4g}" if own.size else "-"]
        if count > 1:
            rest = flat[i].copy()
            rest[i] = 0
            j, place = np.unravel_index(np.abs(rest).argmax(), rest.shape)
            cells += [f"{rest[j, place]:.4g}", result.names[j]]
        else:
            cells += ["-", "-"]
        table.add_row(name, *cells)
    return table
