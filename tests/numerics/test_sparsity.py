"""Measures of sparsity on distributions whose values are known, with tolerances from sampling theory."""

import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

import ndtools.numerics.sparsity as sparsity
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


@settings(max_examples=60)
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
    assert equal["ggd_shape"] is None  # flatter than any generalised Gaussian
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


def estimates_of_sets(images, size, sets, replicates, contrast):
    """Measures of independent sets of images of log-normal contrast. Each set has its own standard deviation."""
    for t in range(sets):
        rng = np.random.default_rng(t)
        x = np.exp(rng.normal(0, contrast, images))[:, None] * rng.standard_normal((images, size))
        x /= np.sqrt(np.mean(x**2))
        total = SparsitySums(replicates)
        for i, values in enumerate(x):
            total.add(values.astype(np.float32), np.random.default_rng([t, i]))
        assert total.count == images * size
        yield total.measures()


def test_intervals_are_the_spread_of_independent_sets():
    sets = 60
    found = list(estimates_of_sets(images=40, size=400, sets=sets, replicates=80, contrast=0.4))
    # A standard deviation of 60 sets is known to 9 %. Kurtosis is too skewed for its error to be that good.
    for name in set(MEASURES) - {"kurtosis"}:
        assert all(each[name].low < each[name].value < each[name].high for each in found)
        errors = [(each[name].high - each[name].low) / (2 * 1.96) for each in found]
        spread = np.std([each[name].value for each in found], ddof=1)
        assert np.mean(errors) == pytest.approx(spread, rel=3 / math.sqrt(2 * sets))


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    """Few images of different contrast. Percentiles of a bootstrap hold the Gini index in 85 % of such sets, the shape
    in 82 %, and the kurtosis in 67 %: no interval from 20 images knows of tails that are in none of them.
    """
    images = dict(size=50, contrast=0.3)
    truth = {
        name: found.value for name, found in next(estimates_of_sets(20_000, sets=1, replicates=0, **images)).items()
    }
    truth["kurtosis"] = 3 * math.exp(4 * 0.3**2)
    found = list(estimates_of_sets(20, sets=100, replicates=20, **images))
    for name, least in (("kurtosis", 0.7), ("gini", 0.88), ("near_zero", 0.88), ("ggd_shape", 0.87)):
        assert np.mean([each[name].low <= truth[name] <= each[name].high for each in found]) > least, name


def test_each_group_is_left_out_once_with_the_unit_of_the_rest():
    """Against the definition, slowly: the share below 0.1 of the standard deviation of the other groups."""
    rng, replicates = np.random.default_rng(0), 8
    images = np.array([np.exp(rng.normal(0, 0.7)) * rng.standard_normal(3000) for _ in range(20)], dtype=np.float32)
    total = SparsitySums(replicates)
    for i, image in enumerate(images):
        total.add(image, np.random.default_rng(i))
    group = np.array([np.random.default_rng(i).integers(replicates) for i in range(20)])
    shares, units = [], []
    for left_out in set(group):
        rest = images[group != left_out]
        units.append(np.sqrt(np.mean(np.square(rest))) / np.sqrt(np.mean(np.square(images))))
        shares.append(np.mean(np.abs(rest) < 0.1 * units[-1]))
    assert np.ptp(units) > 0.05
    found = total.measures()["near_zero"]
    assert found.value == np.mean(np.abs(images) < 0.1)
    odds = np.log(np.array(shares) / (1 - np.array(shares)))
    middle = math.log(found.value / (1 - found.value))
    half = scipy.stats.t.ppf(0.975, len(odds) - 1) * math.sqrt((len(odds) - 1) * np.var(odds))
    ends = [1 / (1 + math.exp(-middle + side * half)) for side in (1, -1)]
    # Values are spread evenly within a bin of the histogram, 4.4 % wide.
    assert (found.low, found.high) == pytest.approx(tuple(ends), rel=0.02)
    assert found.high - found.low > 0.02


def test_intervals_stay_where_measures_can_be():
    two = SparsitySums(2)
    seeds = {int(np.random.default_rng(seed).integers(2)): seed for seed in range(9)}
    for group, size in ((0, 1.0), (1, 30.0)):
        values = size * np.random.default_rng(group).standard_normal(500).astype(np.float32)
        two.add(values, np.random.default_rng(seeds[group]))
    for name, found in two.measures().items():
        assert 0 < found.low < found.value < found.high, name
        assert name in ("kurtosis", "ggd_shape") or found.high < 1


def test_no_interval_of_a_kurtosis_reaches_below_one():
    """E x⁴ ≥ (E x²)². One loud image among quiet ones makes the interval as wide as it gets."""
    rng = np.random.default_rng(0)
    ten = SparsitySums(10)
    for size in (8, *[1] * 9):
        ten.add(size * rng.standard_normal(500).astype(np.float32), rng)
    kurtosis = ten.measures()["kurtosis"]
    assert 1 <= kurtosis.low < 3 < kurtosis.value < kurtosis.high


def test_one_image_has_no_intervals():
    alone = sums(np.random.default_rng(4).standard_normal(99), replicates=50).measures()["near_zero"]
    assert alone.low is None


@pytest.mark.parametrize("seed", range(40))
def test_the_shape_is_the_deepest_minimum(seed):
    """Few sizes, some of them rare: likelihoods with several maxima."""
    rng = np.random.default_rng(seed)
    many = rng.integers(2, 5)
    counts, sizes = 10 ** rng.uniform(0, 6, many), np.exp(rng.uniform(-5, 5, many))
    beta = np.geomspace(*sparsity.SHAPES, 2000)
    moments = np.array([scipy.special.logsumexp(b * np.log(sizes), b=counts / counts.sum()) for b in beta])
    cost = scipy.special.gammaln(1 / beta) - np.log(beta) + (np.log(beta) + moments + 1) / beta
    found, best = sparsity._shape(counts, sizes), beta[cost.argmin()]
    if math.isnan(found):
        assert best < 0.11 or best > 18
    else:
        assert found == pytest.approx(best, rel=6e-3)


def test_values_must_be_finite():
    with pytest.raises(ValueError, match="finite"):
        sums([1.0, np.inf])


@settings(max_examples=50)
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
