"""Differences of sets of images: their size, their errors, and what chance makes of sets of the same images."""

import numpy as np
import pytest
import torch
from scipy.special import stdtrit

from ndtools.experiments.compare_sets.differences import RelativeDifference, Uncertain, spread_of, standardised
from ndtools.moments.resampling import resample_kernels
from ndtools.numerics.covariance import Covariance
from ndtools.numerics.patch_covariance import PatchCovariance
from ndtools.numerics.sparsity import Estimate, difference

EPS = 1e-3


def group(rng):
    """Moments of an image of noise with a contrast of its own, which is what kernels vary by."""
    image = rng.uniform(0.05, 0.4) * rng.standard_normal((1, 12, 12)) + 0.5
    return PatchCovariance(1, 3, dtype=torch.float64).update(image).finalize()


def kernels_of(parts, rng, replicates=25):
    """Kernels of a set, slowly and obviously, and those of its replicates."""
    matrix = Covariance.pooled(parts).matrix.numpy() + EPS * np.eye(9)
    values, vectors = np.linalg.eigh(matrix)
    root = (vectors / np.sqrt(values)) @ vectors.T
    samples = resample_kernels(parts, [(EPS, False)], replicates=replicates, rng=rng)
    return root[4].reshape(1, 1, 3, 3), samples.kernels[0]


def test_sets_of_the_same_images_do_not_differ():
    """Differences in units of their errors have a standard deviation of 1, and 5 % of them are called apart."""
    rng, groups, pairs = np.random.default_rng(0), 24, 40
    squares, apart, values, errors = [], [], [], []
    for _ in range(pairs):
        a, b = (kernels_of([group(rng) for _ in range(groups)], rng) for _ in range(2))
        found = RelativeDifference.of(a[0], b[0], (a[1], b[1]), (groups, groups))
        squares.append(found.in_errors**2)
        apart.append(found.is_apart)
        values.append(found.value)
        errors.append(found.chance)
    # The mean of 1/s² over estimates s² of a variance with f degrees of freedom is f/(f - 2) of that of the variance.
    freedom = 2 * (groups - 1)
    expected = freedom / (freedom - 2)
    # Four standard errors of the mean of so many pairs, of which each has few independent weights.
    tolerance = 4 * np.std(squares, ddof=1) / np.sqrt(pairs)
    assert tolerance < 0.5
    assert np.mean(squares) == pytest.approx(expected, abs=tolerance)
    # 95 % of pairs stay below the chance that each pair estimates for itself, from few groups.
    assert np.mean(apart) < 0.05 + 4 * np.sqrt(0.05 * 0.95 / pairs)
    assert np.mean(np.array(values) > errors) < 0.05 + 4 * np.sqrt(0.05 * 0.95 / pairs)


def test_sets_of_different_images_differ_and_the_error_is_the_spread():
    """Contrasts of B are four times as large: kernels of pairs spread by what each pair says."""
    rng, groups, pairs = np.random.default_rng(1), 24, 25
    found = []
    for _ in range(pairs):
        a = kernels_of([group(rng) for _ in range(groups)], rng)
        wide = [Covariance(p.mean, 16 * p.matrix, p.count, 1, (3, 3)) for p in (group(rng) for _ in range(groups))]
        b = kernels_of(wide, rng)
        found.append(RelativeDifference.of(a[0], b[0], (a[1], b[1]), (groups, groups)))
    assert np.mean([each.is_apart for each in found]) > 0.9  # one of nine weights tells them apart
    values = np.array([each.value for each in found])
    spread, claimed = values.std(ddof=1), np.sqrt(np.mean([each.error**2 for each in found]))
    # A spread of 25 values is known to 1/√48, 14 %.
    assert claimed == pytest.approx(spread, rel=4 / np.sqrt(2 * (pairs - 1)))


def test_the_value_is_that_of_the_formula():
    a, b = np.array([3.0, 4.0]), np.array([3.0, 1.0])
    found = RelativeDifference.of(a, b, (None, None))
    assert found.value == pytest.approx(3 / ((5 + np.sqrt(10)) / 2))
    assert found.error is found.chance is found.in_errors is found.is_apart is None
    assert str(found) == "74 %"


def test_replicates_without_kernels_and_numbers_without_errors_are_left_out():
    rng = np.random.default_rng(2)
    a, b = np.ones(3), np.array([2.0, 2.0, 1.0])
    samples = [x + np.array([0.1, 0.2, 0.0]) * rng.standard_normal((30, 3)) for x in (a, b)]
    clean = RelativeDifference.of(a, b, tuple(samples))
    spoiled = [np.concatenate([each, [[np.nan, 1, 1]]]) for each in samples]
    assert RelativeDifference.of(a, b, tuple(spoiled)) == clean
    errors = [spread_of(each)[:2] for each in samples]
    z = (a - b)[:2] / np.hypot(*errors)
    assert clean.in_errors == pytest.approx(np.sqrt((z**2).mean()))
    np.testing.assert_allclose(standardised(a - b, *(spread_of(each) for each in samples)), [*z, np.nan])
    assert RelativeDifference.of(a, a, (samples[0], samples[0])).value == 0


def test_one_eigendecomposition_gives_the_kernels_of_all_ridges():
    rng = np.random.default_rng(3)
    parts = [group(rng) for _ in range(3)]
    ridges = [(1e-1, False), (1e-3, False), (0.5, True)]
    found = resample_kernels(parts, ridges, replicates=5, rng=np.random.default_rng(4))
    weights = np.random.default_rng(4).multinomial(3, np.full(3, 1 / 3), 5)
    for i, (eps, relative) in enumerate(ridges):
        expected = []
        for w in weights:
            matrix = Covariance.pooled(parts, w.tolist()).matrix.numpy()
            unit = np.trace(matrix) / 9 if relative else 1.0  # each draw has a mean variance of its own
            values, vectors = np.linalg.eigh(matrix + eps * unit * np.eye(9))
            expected.append(((vectors / np.sqrt(values)) @ vectors.T)[4].reshape(3, 3))
        mean = np.mean(expected, 0)  # deviations are enlarged by √(3/2), as resampling of 3 groups makes them too small
        expected = mean + np.sqrt(3 / 2) * (expected - mean)
        # Rounding, amplified by the condition of the smallest ridge, of some 10⁴
        np.testing.assert_allclose(found.kernels[i, :, 0, 0], expected, rtol=0, atol=1e-10 * np.abs(expected).max())


def test_singular_replicates_are_warned_of():
    """Each group is one direction, so that a draw of few groups has too few."""
    rng = np.random.default_rng(5)
    rows = rng.standard_normal((6, 4))
    parts = [Covariance(torch.zeros(4).double(), torch.tensor(np.outer(r, r)), 9, 4, (1, 1)) for r in rows]
    with pytest.warns(UserWarning, match="of 40 resampled sets of images have no kernels for the smallest eps"):
        found = resample_kernels(parts, [(0.0, False), (1.0, False)], replicates=40, rng=rng)
    assert np.isnan(found.kernels[0]).any() and np.isfinite(found.kernels[1]).all()


def test_correlations_of_the_centre_are_those_of_numpy():
    rng = np.random.default_rng(6)
    patches = rng.standard_normal((500, 18)) @ rng.standard_normal((18, 18)) + 3
    patches[:, 17] = 2.0  # without variance
    matrix = torch.tensor(np.cov(patches.T, bias=True))
    covariance = Covariance(torch.tensor(patches.mean(0)), matrix, 500, 2, (3, 3))
    found = covariance.correlations_of_centre().numpy()
    with np.errstate(invalid="ignore"):
        expected = np.corrcoef(patches.T)[[4, 13]].reshape(2, 2, 3, 3)
    expected[:, 1, 2, 2] = np.nan
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_numbers_with_errors():
    assert Uncertain(3.0, 0.3) - Uncertain(1.0, 0.4) == Uncertain(2.0, 0.5)
    assert (Uncertain(1.0, 0.3) - Uncertain(None, None)).value is None
    assert Uncertain(1.1, 0.5).is_apart and not Uncertain(-0.9, 0.5).is_apart
    assert Uncertain(1.0, None).is_apart is None
    assert Uncertain.of(np.nan, None) == Uncertain(None, None)
    assert Uncertain.of(1.0, np.array([1.0, 3.0, np.nan])).error == pytest.approx(np.sqrt(2))


@pytest.mark.parametrize(("wide", "freedom"), [(0, 3.0), (1, 31.0)])
def test_a_set_of_few_groups_widens_what_chance_makes_by_its_share_of_the_error(wide, freedom):
    """Welch: if nearly all of the error is that of one set, Student's t is that of the groups of this set."""
    rng, many = np.random.default_rng(7), 100_000
    scales = [100.0 if i == wide else 1.0 for i in range(2)]
    samples = [scale * rng.standard_normal((300, 2)) for scale in scales]
    a, b = np.array([1e4, 0.0]), np.array([1e4, 50.0])
    few, certain = (RelativeDifference.of(a, b, tuple(samples), groups) for groups in ((4, 32), (many, many)))
    # The 300 replicates count, too: 1/f = 1/3 + 1/299.
    expected = stdtrit(1 / (1 / freedom + 1 / 299), 0.975) / stdtrit(1 / (1 / many + 1 / 299), 0.975)
    assert few.in_errors_chance / certain.in_errors_chance == pytest.approx(expected, rel=2e-3)
    assert few.chance / certain.chance == pytest.approx(expected, rel=2e-3)


def test_errors_of_few_groups_tell_numbers_apart_by_students_t():
    # 95 % of Student's t of 3 degrees of freedom is below 3.18.
    assert Uncertain(3.1, 1.0, 3.0).is_apart is False and Uncertain(3.3, 1.0, 3.0).is_apart is True
    difference = Uncertain(3.1, 1.0, 3.0) - Uncertain(0.0, 1e-3, 31.0)
    assert difference.freedom == pytest.approx(3.0, rel=1e-5) and difference.is_apart is False
    equal = Uncertain(1.0, 1.0, 10.0) - Uncertain(0.0, 1.0, 10.0)
    assert equal.freedom == pytest.approx(20.0)


def test_the_interval_of_a_difference():
    """Symmetric intervals give the usual one; others lean to the side of the longer ends."""
    found = difference(Estimate(5.0, 2.0, 8.0), Estimate(1.0, -3.0, 5.0))
    assert (found.value, found.low, found.high) == (4.0, -1.0, 9.0)
    found = difference(Estimate(5.0, 4.0, 9.0), Estimate(5.0, 5.0, 5.0))
    assert (found.low, found.high) == (-1.0, 4.0)
    assert difference(Estimate(None, None, None), Estimate(1.0, 0.0, 2.0)).value is None
    assert difference(Estimate(2.0, None, None), Estimate(1.0, 0.0, 2.0)) == Estimate(1.0, None, None)


@pytest.mark.parametrize("replicates", [10, 50])
def test_verdicts_that_other_draws_turn_are_unsure(replicates):
    """Numbers about their limit, all of one kind, whose errors are the least certain: few draws are sure of them."""
    freedom, sure = 2 * (replicates - 1), 0
    found = []
    for seed in range(40):
        rng = np.random.default_rng([seed, replicates])
        samples = tuple(rng.standard_normal((replicates, 1)) * np.ones(9) for _ in range(2))
        found.append(RelativeDifference.of(np.full(9, 2.77), np.zeros(9), samples, (10**6, 10**6)))
        sure += not found[-1].is_unsure
    ratios = np.log([each.in_errors / each.in_errors_chance for each in found])
    # The formula is that of a standard error of this many degrees of freedom, at most.
    assert np.std(ratios, ddof=1) < (1 + 4 / np.sqrt(2 * 39)) / np.sqrt(2 * freedom)
    assert found[0].draws == pytest.approx(freedom, rel=0.5)
    assert sure < 40 * (0.05 + 4 * np.sqrt(0.05 * 0.95 / 40)), sure
    far = RelativeDifference.of(np.full(9, 20.0), np.zeros(9), samples, (10**6, 10**6))
    assert far.is_apart and not far.is_unsure
    assert Uncertain(2.0, 1.0, None, 49).is_unsure and not Uncertain(4.0, 1.0, None, 49).is_unsure
    assert not Uncertain(2.0, 1.0).is_unsure  # a certain error
