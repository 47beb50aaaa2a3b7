"""Published coefficients of Newton-Schulz iterations: one odd polynomial for each step.

A row (q_0, q_1, q_2, ...) stands for the odd polynomial p(σ) = σ·(q_0 + q_1 σ² + q_2 σ⁴ + ...), which is applied to
singular values σ in (0, 1]. For an inverse square root σ² is an eigenvalue of M = Z A Z/‖A‖, and the step multiplies Z
by T = q_0 I + q_1 M + q_2 M² + ... After its last row, a schedule repeats that row.

These are numbers, and the formula that made them where it is known; no code comes with them.
"""

import math
from collections.abc import Iterator

import numpy as np

from ndtools.errors import OptionError

__all__ = [
    "POLAR_EXPRESS",
    "PUBLISHED",
    "QUINTIC",
    "SIMPLE",
    "SOURCES",
    "Coefficients",
    "check_rows",
    "converges",
    "final_gains",
    "steps_of",
]

Coefficients = tuple[tuple[float, ...], ...]
"""Rows of a schedule, from the first step to the last."""

SIMPLE: Coefficients = ((1.5, -0.5),)
"""Newton-Schulz: the Taylor polynomial of degree 3, p(σ) = (3σ − σ³)/2. Its gains rise to 1."""

QUINTIC: Coefficients = ((3.4445, -4.7750, 2.0315),)
"""Muon's polynomial, chosen for its slope at 0. Its gains do not converge: they end between 0.68 and 1.13."""

_SAFETY = 1.01  # by which all but the last row are stretched, against rounding in bfloat16 (sec. 3.4)
_EXACT = (  # for singular values from 1e-3 to 1: best quintics, no step on a range wider than 1:0.0241
    (8.28721201814563, -23.595886519098837, 17.300387312530933),
    (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
    (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
    (3.3184196573706015, -2.488488024314874, 0.51004894012372),
    (2.300652019954817, -1.6689039845747493, 0.4188073119525673),
    (1.891301407787398, -1.2679958271945868, 0.37680408948524835),
    (1.8750014808534479, -1.2500016453999487, 0.3750001645474248),
)
POLAR_EXPRESS: Coefficients = (
    *(tuple(c / _SAFETY ** (2 * n + 1) for n, c in enumerate(row)) for row in _EXACT),
    (1.875, -1.25, 0.375),
)
"""The Polar Express: best polynomials of degree 5, one after the other, for singular values from 1e-3 to 1, with the
published safety factor. The last row, which repeats, is the Taylor polynomial. Its gains converge to 1."""

PUBLISHED: dict[str, Coefficients] = {"simple": SIMPLE, "quintic": QUINTIC, "polar-express": POLAR_EXPRESS}
"""Schedules by name."""

SOURCES: dict[str, str] = {
    "simple": "Higham 2008, Functions of Matrices, eq. 6.35",
    "quintic": "Jordan et al. 2024, Muon, https://kellerjordan.github.io/posts/muon/",
    "polar-express": "Amsel et al. 2025, The Polar Express, https://arxiv.org/abs/2505.16932",
}
"""Where each schedule was published, by name."""

MOST_ROWS = 1000  # after which any schedule has converged, or never will
MOST_COEFFICIENTS = 8  # degree 15
MOST_STEPS = 100_000  # that are followed to find where gains end


def check_rows(rows: Coefficients) -> None:
    """Raise an error if rows cannot be a schedule.

    Parameters
    ----------
    rows : Coefficients
        Rows of coefficients (q_0, q_1, ...).

    Raises
    ------
    OptionError
        If there is no row or there are more than 1,000, a row has fewer than 2 or more than 8 coefficients, or one of
        them is not finite.
    """
    if not 1 <= len(rows) <= MOST_ROWS:
        raise OptionError("coefficients", f"must have 1 to {MOST_ROWS} rows, got {len(rows)}")
    for number, row in enumerate(rows, start=1):
        if not 2 <= len(row) <= MOST_COEFFICIENTS:
            wanted = f"2 to {MOST_COEFFICIENTS} numbers in each row"
            raise OptionError("coefficients", f"must have {wanted}, got {len(row)} in row {number}")
        if bad := [value for value in row if not math.isfinite(value)]:
            raise OptionError("coefficients", f"must be finite, got {bad[0]} in row {number}")


def steps_of(rows: Coefficients, n_iter: int) -> Iterator[tuple[float, ...]]:
    """Yield the row of step 1, 2, ..., ``n_iter``: after the last row, that row again."""
    for step in range(n_iter):
        yield rows[min(step, len(rows) - 1)]


def final_gains(rows: Coefficients) -> tuple[float, float] | None:
    """Return between which gains singular values end, in exact arithmetic.

    Parameters
    ----------
    rows : Coefficients
        Rows of a schedule.

    Returns
    -------
    tuple of float or None
        Smallest and largest gain in the last 100 steps, of singular values from 1e-3 to 1. Both are 1 if the schedule
        converges. Steps are taken until gains are no longer nearer to 1 than 100 steps before, 100,000 at most. None
        if a gain exceeds all bounds.
    """
    gains, last = np.geomspace(1e-3, 1.0, 100), math.inf
    low, high = math.inf, 0.0
    for step, row in enumerate(steps_of(rows, MOST_STEPS), start=1):
        gains = np.abs(gains * np.polynomial.polynomial.polyval(gains**2, row))
        if not gains.max() <= 1e6:
            return None
        low, high = min(low, float(gains.min())), max(high, float(gains.max()))
        if step % 100 == 0:
            away = max(1 - low, high - 1)
            if away < 1e-12 or (step >= max(len(rows), 200) and away >= last * (1 - 1e-6)):
                break
            last = away
            if step < MOST_STEPS:
                low, high = math.inf, 0.0
    return low, high


def converges(rows: Coefficients) -> bool:
    """Return whether all gains of a schedule end at 1, in exact arithmetic."""
    gains = final_gains(rows)
    return gains is not None and all(abs(gain - 1) < 1e-6 for gain in gains)
