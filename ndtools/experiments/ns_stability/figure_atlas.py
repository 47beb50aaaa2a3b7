"""Picture of which iteration breaks in which precision at which condition number."""

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ndtools.experiments.ns_stability.atlas import PrecisionAtlas

__all__ = ["plot_precision_atlas"]

DIGITS = {"bfloat16": 2.0**-7, "float16": 2.0**-10, "float32": 2.0**-23, "float64": 2.0**-52}  # eps
SHORT = {"bfloat16": "bf16", "float16": "f16", "float32": "f32", "float64": "f64"}
CELL, HEIGHT = 0.21, 3.0  # inches: width of a column of cells, height of a panel
NEVER = "0.88"


def plot_precision_atlas(atlas: "PrecisionAtlas", *, fig: Figure | None = None) -> Figure:
    """Draw the best residual of each run, and the first iteration that is not finite, as heat maps.

    Parameters
    ----------
    atlas : PrecisionAtlas
        Result of :func:`ndtools.experiments.ns_stability.atlas.run_atlas`.
    fig : Figure, optional
        An empty figure to draw on.

    Returns
    -------
    Figure
        Two rows of four maps (spectrum × norm), condition number against algorithm and precision, and two colour
        bars. Black bars mark ε·κ = 1, ε the machine epsilon of each precision: beyond, A is not positive definite
        to it.
    """
    arrays = atlas.arrays()
    conditions = arrays["sweep_conditions"]
    columns = len(atlas.algorithms) * len(atlas.dtypes)
    width, gap = CELL * columns, 0.2
    size = (4 * width + 3 * gap + 2.0, 2 * HEIGHT + 2.35)
    fig = fig or Figure(figsize=size)
    best_norm, bad_norm = LogNorm(1e-14, 10), Normalize(1, atlas.iterations)
    rows: list[tuple[str, Any, Any, str]] = [
        ("best_residual", best_norm, colormaps["viridis_r"], "best ‖D·D·A − I‖"),
        ("first_bad_iteration", bad_norm, colormaps["inferno"], "first iteration that is\nnot finite (grey: none)"),
    ]
    for row, (quantity, norm, colours, label) in enumerate(rows):
        bottom = 1.15 + (1 - row) * (HEIGHT + 0.35)
        for column, (spectrum, kind) in enumerate(atlas.panels):
            left = 0.85 + column * (width + gap)
            ax = fig.add_axes((left / size[0], bottom / size[1], width / size[0], HEIGHT / size[1]))
            table = atlas.table(quantity, spectrum, kind).reshape(len(conditions), columns)
            missing = np.isnan(atlas.table("best_residual", spectrum, kind).reshape(table.shape))
            mesh = _draw_map(ax, table, missing, conditions, norm=norm, cmap=colours)
            _label_columns(ax, atlas, np.asarray(missing.all(0)), names=row == 1)
            if row == 0:
                ax.set_title(
                    f"{spectrum} spectrum, {'Frobenius norm' if kind == 'fro' else 'trace'}", fontsize="medium"
                )
            if column == 0:
                ax.set_ylabel("condition number κ")
            else:
                ax.tick_params(labelleft=False)
        bar = fig.add_axes(((size[0] - 1.0) / size[0], bottom / size[1], 0.14 / size[0], HEIGHT / size[1]))
        fig.colorbar(mesh, cax=bar, extend="both" if row == 0 else "neither").set_label(label)
    fig.suptitle(
        f"Inverse square roots of {atlas.features}×{atlas.features} matrices, {atlas.iterations} iterations each\n"
        "black bars: ε·κ = 1, ε the machine epsilon; hatched: no such iteration in that precision",
        fontsize="medium",
        y=1 - 0.1 / size[1],
    )
    return fig


def _draw_map(
    ax: Axes,
    table: NDArray[np.float64],
    missing: NDArray[np.bool_],
    conditions: NDArray[np.float64],
    **style: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    step = np.log10(conditions[1] / conditions[0])
    y = np.append(np.log10(conditions) - step / 2, np.log10(conditions[-1]) + step / 2)
    x = np.arange(table.shape[1] + 1)
    ax.set_facecolor(NEVER)
    mesh = ax.pcolormesh(x, 10**y, np.ma.masked_invalid(table), **style)
    for column in np.flatnonzero(missing.all(0)):
        ax.axvspan(float(column), float(column) + 1, facecolor="white", edgecolor="0.7", hatch="////", linewidth=0)
    ax.set_yscale("log")
    ax.set_ylim(10 ** y[0], 10 ** y[-1])
    return mesh


def _label_columns(ax: Axes, atlas: "PrecisionAtlas", missing: NDArray[np.bool_], *, names: bool) -> None:
    count = len(atlas.dtypes)
    low, high = ax.get_ylim()
    for i, algorithm in enumerate(atlas.algorithms):
        if i:
            ax.axvline(i * count, color="w", linewidth=2)
        for j, dtype in enumerate(atlas.dtypes):
            if low < 1 / DIGITS[dtype] < high and not missing[i * count + j]:
                place = [i * count + j + 0.1, i * count + j + 0.9], [1 / DIGITS[dtype]] * 2
                ax.plot(*place, color="w", linewidth=3.2, solid_capstyle="butt")
                ax.plot(*place, color="k", linewidth=1.4, solid_capstyle="butt")
        if names:
            below: dict[str, Any] = {
                "transform": ax.get_xaxis_transform(),
                "ha": "center",
                "va": "top",
                "fontsize": "small",
            }
            ax.text((i + 0.5) * count, -0.12, algorithm.replace("-", "-\n"), **below)
    ax.set_xticks(np.arange(count * len(atlas.algorithms)) + 0.5)
    ax.set_xticklabels(
        [SHORT[dtype] for dtype in atlas.dtypes] * len(atlas.algorithms), rotation=90, fontsize="x-small"
    )
    ax.tick_params(axis="x", length=0, labelbottom=names)
