"""Tables of ``ndtools kernels``: centres and surrounds, and with ``fit`` measures of cells."""

import math

from rich.table import Table

from ndtools.console import tables
from ndtools.experiments.kernels.cells import CellMeasures
from ndtools.experiments.kernels.degrees import in_degrees
from ndtools.experiments.kernels.result import KernelsResult
from ndtools.results.series import Series
from ndtools.text import with_error

__all__ = ["kernels_table", "series_table"]

POLARITY = "on: center > 0 > surround, however weak; off: the reverse"
IN_SPACE = {
    "zero_crossing": "zero crossing / px",
    "surround_half_width": "half-width / px",
    "surround_ratio": "surround/center sums",
}
NAMES = IN_SPACE | {"peak_to_dc": "peak/DC"}


def kernels_table(result: KernelsResult) -> Table:
    """Return what is printed of a result.

    Parameters
    ----------
    result : KernelsResult
        Kernels of an image set.

    Returns
    -------
    Table
        A row for each channel. If the kernels were measured as cells, further tables below, and the reasons for what
        could not be measured.
    """
    # D is positive definite if it is exact: then no centre is negative, and "on" says nothing of any channel.
    polarity = any(channel.polarity != "on" for channel in result.channels if channel.surround_mean is not None)
    headings = ("center", "surround (8 nearest)", "center/surround")
    table = _table("channel", *["polarity"] * polarity, *headings, gap=3)
    table.caption = POLARITY if polarity else None
    for channel in result.channels:
        numbers = ("-" if x is None else f"{x:.4g}" for x in (channel.center, channel.surround_mean))
        table.add_row(channel.name, *[channel.polarity or "-"] * polarity, *numbers, channel.ratio_in_words())
    if not result.cells:
        return table
    whole = Table.grid()
    for part in (table, _in_space(result), _in_frequency(result)):
        whole.add_row(part)
    if any(cell.dog for cell in result.cells):
        whole.add_row(_fits(result))
    if result.config.pixels_per_degree is not None:
        whole.add_row(_in_degrees(result, result.config.pixels_per_degree))
    for line in (*_legend(result), *_reasons(result)):
        whole.add_row(line)
    return whole


def series_table(series: Series[KernelsResult]) -> Table:
    """Return what is printed of kernels for several ridges and kernel sizes: a row for each.

    Parameters
    ----------
    series : Series of KernelsResult
        Kernels of an image set.

    Returns
    -------
    Table
        Condition, weights at the centre, and ratios of centre to surround.
    """
    names = [channel.name for channel in series[0].channels]
    headings = [f"{quantity} {name}" for quantity in ("center", "center/surround") for name in names]
    table = tables.series_table(series, ("condition", *headings))
    for member in series:
        centres = (f"{channel.center:.4g}" for channel in member.channels)
        ratios = (with_error(channel.center_surround_ratio, digits=4) for channel in member.channels)
        table.add_row(*tables.series_cells(member), f"{member.deconvolution.condition:.3g}", *centres, *ratios)
    return table


def _table(*headings: str, gap: int = 2) -> Table:
    words = [heading for heading in headings if heading in ("channel", "polarity", "Gaussian")]
    return tables.new_table(words, headings[len(words) :], gap=gap)


def _in_space(result: KernelsResult) -> Table:
    """Return the sizes and strengths of centres and surrounds."""
    table = _table("channel", *IN_SPACE.values())
    for channel, cell in zip(result.channels, result.cells, strict=True):
        table.add_row(channel.name, *(with_error(getattr(cell.measures, x), cell.errors.get(x)) for x in IN_SPACE))
    return table


def _in_frequency(result: KernelsResult) -> Table:
    """Return the measures of frequency responses."""
    table = _table("channel", "peak/DC", "slope of |H|", "peak of |H|")
    for channel, cell in zip(result.channels, result.cells, strict=True):
        gain = with_error(cell.measures.peak_to_dc, cell.errors.get("peak_to_dc"))
        slope = with_error(cell.response.low_frequency_slope, cell.errors.get("low_frequency_slope"))
        peak = ">= 0.5 (Nyquist)" if cell.response.peaks_at_end else f"{cell.response.peak_frequency:.3g}"
        table.add_row(channel.name, gain, slope, peak if cell.varies else "-")
    return table


def _fits(result: KernelsResult) -> Table:
    """Return the differences of Gaussians, a row for each Gaussian."""
    table = _table("channel", "Gaussian", "σ / px", "r = √2 σ", "V_s/V_c", "misfit")
    for channel, cell in zip(result.channels, result.cells, strict=True):
        if not cell.dog:
            table.add_row(channel.name, *["-"] * 5)
            continue
        off = cell.dog.residual_off_center
        misfit = "-" if off is None else f"{off:.0%}"
        center, surround = (_parameter(cell, f"{part}_sigma") for part in ("center", "surround"))
        ratio = _parameter(cell, "volume_ratio")
        table.add_row(channel.name, "center", center, _radius(cell, "center"), ratio, misfit)
        table.add_row("", "surround", surround, _radius(cell, "surround"), "", "")
    return table


def _in_degrees(result: KernelsResult, pixels_per_degree: float) -> Table:
    """Return sizes in degrees of visual angle, and peaks in cycles per degree."""
    table = _table(
        "channel", "zero crossing / deg", "half-width / deg", "r_c / deg", "r_s / deg", "peak / (cycles/deg)"
    )
    share = 1 / pixels_per_degree
    for channel, cell in zip(result.channels, result.cells, strict=True):
        lengths = (
            with_error(
                in_degrees(getattr(cell.measures, name), pixels_per_degree),
                in_degrees(cell.errors.get(name), pixels_per_degree),
            )
            for name in ("zero_crossing", "surround_half_width")
        )
        radii = (_radius(cell, part, share) if cell.dog else "-" for part in ("center", "surround"))
        bound = ">= " if cell.response.peaks_at_end else ""
        peak = f"{bound}{cell.response.peak_frequency * pixels_per_degree:.3g}" if cell.varies else "-"
        table.add_row(channel.name, *lengths, *radii, peak)
    return table


def _parameter(cell: CellMeasures, name: str, scale: float = 1.0, *, spread: bool = True) -> str:
    """Write a parameter of a fit with its standard error or its interval, or the bound that the kernel gives it."""
    dog, error = cell.dog, cell.errors.get(name)
    assert dog is not None
    if not dog.surround_volume and name != "center_sigma":
        return "0" if name == "volume_ratio" else "-"
    low, high = (end if end is None else scale * end for end in dog.intervals.get(name, (None, None)))
    if low is None and high is None:
        return "any"
    if low is None or high is None:
        return f"<= {high:.2g}" if low is None else f">= {low:.2g}"
    value = scale * getattr(dog, name)
    if not spread:
        return f"{value:.3g}"
    return with_error(value, error) if error else f"{value:.3g} ({low:.3g} to {high:.3g})"


def _radius(cell: CellMeasures, part: str, scale: float = 1.0) -> str:
    """Write a radius at which a Gaussian has fallen to 1/e, in pixels or in units of so many."""
    return _parameter(cell, f"{part}_sigma", scale * math.sqrt(2), spread=False)


def _legend(result: KernelsResult) -> list[str]:
    """Return lines that say what the tables show."""
    cells = result.cells
    bands = sorted({cell.response.low_band for cell in cells if cell.response.low_frequency_slope is not None})
    scale = result.config.pixels_per_degree
    lines = (
        [] if scale is None else [f"deg: of visual angle, {scale:g} pixels; r = √2 σ of centre (c) and surround (s)"]
    )
    lines += [f"slope: of log |H| over log f, f from {a:.3g} to {b:.3g} cycles/pixel" for a, b in bands]
    if any(cell.dog for cell in cells):
        lines.append("misfit: of the difference of Gaussians, off the centre; (a to b): 95 % interval")
        lines.append("<=, >=: the end of an interval that is open at its other end")
    return lines


def _reasons(result: KernelsResult) -> list[str]:
    """Return a line for each reason why something is missing, with the channels that miss it."""
    missing: dict[tuple[str, str], list[str]] = {}
    for channel, cell in zip(result.channels, result.cells, strict=True):
        by_reason: dict[str, list[str]] = {}
        for name, reason in cell.measures.missing.items():
            by_reason.setdefault(reason, []).append(NAMES[name].removesuffix(" / px"))
        if cell.dog_missing:
            by_reason.setdefault(cell.dog_missing, []).append("difference of Gaussians")
        for reason, names in by_reason.items():
            words = "surround" if len(names) == len(IN_SPACE) else ", ".join(names)
            missing.setdefault((words, reason), []).append(channel.name)
    lines = [f"no {names} ({', '.join(channels)}): {reason}" for (names, reason), channels in missing.items()]
    if result.config.kernel_size < 5:
        lines.append("take -k 5 or more for a difference of Gaussians")
    return lines
