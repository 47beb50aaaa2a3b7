"""Published coefficients, against the formulas that they are said to come from."""

import math

import numpy as np
import pytest

from ndtools.experiments.ns_stability.config import COEFFICIENTS
from ndtools.numerics.iterations import CoupledNewtonSchulz, best_quintic
from ndtools.numerics.schedules import (
    POLAR_EXPRESS,
    PUBLISHED,
    QUINTIC,
    SOURCES,
    converges,
    final_gains,
    steps_of,
)


def apply(row, x):
    return sum(c * x ** (2 * n + 1) for n, c in enumerate(row))


def test_every_schedule_has_a_source():
    assert set(PUBLISHED) == set(SOURCES) == set(COEFFICIENTS)


def test_the_polar_express_is_made_of_best_quintics():
    """Amsel et al. 2025: singular values from 1e-3 to 1; no quintic is fitted to a range wider than 1:0.0241."""
    cushion, low, high = 0.02407327424182761, 1e-3, 1.0
    for found in POLAR_EXPRESS[:6]:
        p, q, r, _ = best_quintic(max(low, cushion * high), high)
        if low < cushion * high:  # centred again about 1 on the whole range
            ends = apply((p, q, r), low) + apply((p, q, r), high)
            p, q, r = 2 * p / ends, 2 * q / ends, 2 * r / ends
        assert found == pytest.approx((p / 1.01, q / 1.01**3, r / 1.01**5), rel=1e-9)
        low = apply((p, q, r), low)
        high = 2 - low
    # The next is the Taylor polynomial but for 1e-6, and so are all others.
    assert POLAR_EXPRESS[6] == pytest.approx((1.875 / 1.01, -1.25 / 1.01**3, 0.375 / 1.01**5), rel=2e-6)
    assert POLAR_EXPRESS[7:] == ((1.875, -1.25, 0.375),)


def test_the_polar_express_keeps_its_promise():
    x = np.geomspace(1e-3, 1, 2001)
    for row in POLAR_EXPRESS:
        x = apply(row, x)
    assert np.abs(x - 1).max() < 1e-5


def test_which_schedules_converge():
    assert final_gains(PUBLISHED["simple"]) == pytest.approx((1, 1), abs=1e-12)
    assert final_gains(POLAR_EXPRESS) == pytest.approx((1, 1), abs=1e-12)
    # Muon's polynomial maps this interval into itself: its ends are p at the local minimum, and p of that.
    p, q, r = QUINTIC[0]
    turn = math.sqrt((-3 * q + math.sqrt(9 * q * q - 20 * p * r)) / (10 * r))
    lowest = apply(QUINTIC[0], turn)
    low, high = final_gains(QUINTIC)
    assert lowest <= low < 0.69
    assert 1.12 < high <= apply(QUINTIC[0], lowest)
    assert final_gains(((3.0, 1.0),)) is None


def test_slow_schedules_converge_too():
    assert converges(((1.02, -0.02),))  # takes some 600 steps
    assert final_gains(((1.1, -0.05),)) != (1.0, 1.0)
    assert final_gains(((3.0, 0.0),)) is None


@pytest.mark.parametrize("rows", [((1.5, -0.5),), POLAR_EXPRESS])
def test_products_are_counted_for_each_row(rows):
    iteration = CoupledNewtonSchulz(coefficients=rows)
    for n in range(1, 15):
        assert iteration.products(n) == 3 * (n - 1) + sum(len(row) - 2 for row in steps_of(rows, n))
