"""Measures of sparsity on distributions whose values are known, with tolerances from sampling theory."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from ndtools.numerics.sparsity import MEASURES, Density, SparsitySums

N = 200_000


def sums(values, replicates=0, seed=0):
    return SparsitySums(replicates).add(np.asarray(values, dtype=np.float32), np.random.default_rng(seed))


def values_of(values):
    return {name: estimate.value for name, estimate in sums(values).measures().items()}


def gini(x):
    """Mean absolute difference of all pairs over twice the mean: slow and obvious."""
    x = np.abs(np.asarray(x, dtype=np.float64))
    return np.abs(x[:, None] - x[None, :]).mean() / (2 * x.mean())


DISTRIBUTIONS = {  # of variance 1: moments 4, 6 and 8, Hoyer, Gini of |x|, shape
    "gaussian": (scipy.stats.norm(), (3, 15, 105), 1 - math.sqrt(2 / math.pi), math.sqrt(2) - 1, 2.0),
    "laplace": (scipy.stats.laplace(scale=math.sqrt(0.5)), (6, 90, 2520), 1 - math.sqrt(0.5), 0.5, 1.0),
    "uniform": (
        scipy.stats.uniform(-math.sqrt(3), 2 * math.sqrt(3)),
        (9 / 5, 27 / 7, 9),
        1 - math.sqrt(0.75),
        1 / 3,
        None,
    ),
    "heavy": (
        scipy.stats.gennorm(0.5, scale=1 / math.sqrt(120)),
        tuple(math.factorial(2 * k + 1) / 120 ** (k / 2) for k in (4, 6, 8)),
        None,
        None,
        0.5,
    ),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_closed_forms(name):
    distribution, (kurtosis, m6, m8), hoyer, area, shape = DISTRIBUTIONS[name]
    x = distribution.rvs(N, random_state=np.random.default_rng(1))
    found = values_of(x)
    # Standard errors from moments of the distribution itself, by the delta method.
    error = math.sqrt((m8 / kurtosis**2 - 4 * m6 / kurtosis + 4 * kurtosis - 1) / N) * kurtosis
    assert found["kurtosis"] == pytest.approx(kurtosis, abs=5 * error)
    near = distribution.cdf(0.1) - distribution.cdf(-0.1)
    assert found["near_zero"] == pytest.approx(near, abs=5 * math.sqrt(near * (1 - near) / N))
    if hoyer is not None:
        assert found["hoyer"] == pytest.approx(hoyer, abs=5 / math.sqrt(N))
        assert found["gini"] == pytest.approx(area, abs=5 / math.sqrt(N))
    if shape is not None:
        # Fisher information of log β, numerically: the inverse of the cost's curvature, generously doubled.
        assert found["ggd_shape"] == pytest.approx(shape, rel=5 * 2 * 2 / math.sqrt(N))


def test_the_shape_is_the_maximum_likelihood_of_scipy():
    x = scipy.stats.gennorm(0.8).rvs(20_000, random_state=np.random.default_rng(2))
    shape, _, _ = scipy.stats.gennorm.fit(x, floc=0)
    assert values_of(x)["ggd_shape"] == pytest.approx(shape, rel=2e-3)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    x=st.lists(st.floats(-50, 50, width=32), min_size=2, max_size=60).filter(lambda x: max(map(abs, x)) > 1e-3),
)
def test_measures_are_those_of_their_definitions(x):
    found = values_of(x)
    x = np.array(x, dtype=np.float64)
    n = len(x)
    assert found["kurtosis"] == pytest.approx(n * (x**4).sum() / (x**2).sum() ** 2, rel=1e-6)
    hoyer = (math.sqrt(n) - np.abs(x).sum() / np.linalg.norm(x)) / (math.sqrt(n) - 1)
    assert found["hoyer"] == pytest.approx(hoyer, abs=1e-6)
    assert found["gini"] == pytest.approx(gini(x), abs=0.0111)  # values within a bin (δ = 4.4 %) count as equal: δ/4
    assert found["near_zero"] == np.mean(np.abs(x.astype(np.float32)) < 0.1)


def test_constants_two_values_and_zeros():
    equal = values_of(np.full(1000, 2.0))
    assert equal["kurtosis"] == pytest.approx(1)
    assert equal["hoyer"] == pytest.approx(0, abs=1e-6)
    assert equal["gini"] == pytest.approx(0, abs=1e-6)
    assert equal["ggd_shape"] > 19  # the bound: two equal sizes are flatter than any generalised Gaussian
    one = np.zeros(10_000)
    one[3] = 5
    sparse = values_of(one)
    assert sparse["hoyer"] == pytest.approx(1)
    assert sparse["gini"] == pytest.approx(1, abs=1e-3)
    assert sparse["near_zero"] == pytest.approx(0.9999)
    assert values_of(np.zeros(5)) == dict.fromkeys(MEASURES)
    assert values_of([]) == dict.fromkeys(MEASURES)


def test_sums_do_not_depend_on_order_or_parts():
    rng = np.random.default_rng(3)
    images = [rng.standard_normal(size).astype(np.float32) for size in (50, 400, 7, 90)]

    def of(order, parts):
        made = [SparsitySums(20) for _ in range(parts)]
        for n, i in enumerate(order):
            made[n % parts].add(images[i], np.random.default_rng([5, i]))
        for other in made[1:]:
            made[0].merge(other)
        return made[0].measures()

    wanted = of(range(4), 1)
    for order, parts in (((3, 1, 0, 2), 1), ((2, 0, 3, 1), 3)):
        found = of(order, parts)
        for name in MEASURES:
            for field in ("value", "low", "high"):
                assert getattr(found[name], field) == pytest.approx(getattr(wanted[name], field), rel=1e-9)


def test_the_bootstrap_covers_images_not_pixels():
    """Images differ in size of contrast; the mean share near zero is known for each, so its standard error is."""
    rng = np.random.default_rng(4)
    scales = rng.uniform(0.2, 2, 200)
    total = SparsitySums(400)
    shares = []
    for i, scale in enumerate(scales):
        x = (scale * rng.standard_normal(500)).astype(np.float32)
        shares.append(np.mean(np.abs(x) < 0.1))
        total.add(x, np.random.default_rng([0, i]))
    estimate = total.measures()["near_zero"]
    error = np.std(shares) / math.sqrt(len(shares))
    # 400 replicates: a 95 % interval's half width is known to about 8 %.
    assert (estimate.high - estimate.low) / 2 == pytest.approx(1.96 * error, rel=0.3)
    assert estimate.low < estimate.value < estimate.high
    alone = sums(rng.standard_normal(99), replicates=50).measures()["near_zero"]
    assert alone.low is None
    assert total.count == 200 * 500


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    x=st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=80),
    bins=st.integers(1, 50),
)
def test_densities_integrate_to_what_is_not_clipped(x, bins):
    edges = np.linspace(-10, 10, bins + 1)
    density = Density(edges).add(np.array(x, dtype=np.float32))
    outside = np.mean(np.abs(np.array(x)) > 10)
    assert density.clipped == pytest.approx(outside, abs=1e-12)
    assert (density.density * np.diff(edges)).sum() == pytest.approx(1 - outside, abs=1e-9)
    both = (
        Density(edges)
        .add(np.array(x[:1], dtype=np.float32))
        .merge(Density(edges).add(np.array(x[1:], dtype=np.float32)))
    )
    np.testing.assert_array_equal(both.counts, density.counts)
    assert both.total == density.total


def test_no_values_are_no_share():
    assert Density(np.linspace(-1, 1, 3)).clipped == 0
