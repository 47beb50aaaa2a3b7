"""Picture of the eigenvalues of a covariance, beside the ridge and the noise of the files."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ndtools.drawing.axes import plain_number, plain_ticks
from ndtools.drawing.palette import BLACK, VERMILION
from ndtools.drawing.series import plain_eps, rows_of, series_in_words, sized_styles
from ndtools.drawing.style import PAGE, add_title, drawing_style, is_wide, legend_columns, new_figure, width_of
from ndtools.text import in_space, source_name

__all__ = ["caption_spectrum", "plot_spectrum", "wants_spectrum"]

ROOM = 10  # the axis ends at this part of the smallest ridge or noise


def wants_spectrum(result: Any) -> bool:  # noqa: ANN401
    """Return whether the spectrum of a result, or of a series of results, was asked for."""
    return bool(_members(result)[0].config.spectrum)


def plot_spectrum(result: Any, *, width: float = PAGE, title: bool = True, fig: Figure | None = None) -> Figure:  # noqa: ANN401
    """Draw the eigenvalues of Cov against their rank, a line for each ridge, and one for the noise of the files.

    Parameters
    ----------
    result : result or Series
        Result of `kernels` or `covariance`, or a series of such.
    width : float
        Width of the figure in print, millimetres. Default 180.
    title : bool
        Whether the figure has a title. Default True.
    fig : Figure, optional
        An empty figure to draw on, which keeps its size. Default: a new one.

    Returns
    -------
    Figure
        With one panel, both of whose axes are logarithmic. Eigenvalues that are not above 0 are left out.
    """
    members = _members(result)
    rows = rows_of(members)
    noise = members[0].images.noise
    with drawing_style():
        width = width_of(fig, width)
        wide = is_wide(width)
        fig = new_figure(fig, width, (72 if wide else 62) + 6 * title + 4 * len(rows))
        ax = fig.subplots()
        values = [row[0].fit.eigenvalues.numpy()[::-1] for row in rows]
        for i, (row, eigenvalues) in enumerate(zip(rows, values, strict=True)):
            positive = eigenvalues > 0
            k = row[0].config.kernel_size
            ax.plot(
                np.arange(1, len(eigenvalues) + 1)[positive],
                eigenvalues[positive],
                markevery=0.08,
                label=f"eigenvalues of Cov, {k}×{k}",
                **sized_styles(i),
            )
        ridges = sorted({member.fit.eps: member for member in members if member.fit.eps > 0}.items(), reverse=True)
        for i, (eps, member) in enumerate(ridges):
            name = f"ridge, {plain_eps(member)}" if len(ridges) == 1 else "ridges"
            ax.axhline(eps, color=VERMILION, linestyle="--", linewidth=0.8, label=None if i else name)
        if noise:
            ax.axhline(
                noise, color=BLACK, linestyle=":", linewidth=1.0, label=f"rounding of the files, {_plain(noise)}"
            )
        ax.set_xscale("log")
        if any((v > 0).any() for v in values):
            ax.set_yscale("log")
            levels = [eps for eps, _ in ridges] + ([noise] if noise else [])
            top = max(float(v.max()) for v in values)
            lowest = min(float(v[v > 0].min()) for v in values if (v > 0).any())
            # Eigenvalues that are only rounding, far below all that matters, are cut off.
            least = min(levels, default=lowest)
            ax.set_ylim(max(min(lowest, least), least / ROOM) / 2, 2 * max(top, *levels, top))
            plain_ticks(ax.yaxis)
        plain_ticks(ax.xaxis, whole=True)
        ax.set_xlabel("rank")
        ax.set_ylabel("variance" if members[0].images.calibrated else "variance of [0, 1] pixels")
        names = ax.get_legend_handles_labels()[1]
        fig.legend(loc="outside lower center", ncols=legend_columns(names, width))
        if title:
            add_title(
                fig, f"Eigenvalues of the covariance of {source_name(result.source)}{in_space(members[0].config.space)}"
            )
    return fig


def caption_spectrum(result: Any) -> str:  # noqa: ANN401
    """Say in words what the figure of :func:`plot_spectrum` shows."""
    members = _members(result)
    noise = members[0].images.noise
    shares = [
        f"{float((row[0].fit.eigenvalues < noise).double().mean()):.0%} of {k}×{k}"
        for row in rows_of(members)
        if noise
        for k in [row[0].config.kernel_size]
    ]
    return (
        f"Eigenvalues of the covariance of the patches of {result.source} ({members[0].images.counted}) against their"
        f" rank, for {series_in_words(members)} Dashed lines: ridges, below which D does not whiten."
        + (
            f" Dotted line: variance {_plain(noise)} of the rounding of the files' pixels; {', '.join(shares)}"
            " eigenvalues lie below it."
            if noise
            else ""
        )
    )


def _plain(value: float) -> str:
    return plain_number(float(f"{value:.2g}"))


def _members(result: Any) -> tuple[Any, ...]:  # noqa: ANN401
    return tuple(getattr(result, "members", (result,)))
