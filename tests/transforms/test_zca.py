"""``nd.ZCA`` keeps scikit-learn's conventions, with and without it, and computes what NumPy computes in float64."""

import pickle
import sys
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import ndtools as nd
from ndtools.errors import DataError, NotPositiveDefiniteError, NumericalWarning, OptionError
from ndtools.transforms.estimator import NotFittedError
from tests.places import real
from tests.tolerance import rtol


def samples(n=300, d=10, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + 3 * rng.normal(size=d)


def direct(x, ridge):
    values, vectors = np.linalg.eigh(np.cov(x, rowvar=False, bias=True) + ridge * np.eye(x.shape[1]))
    return vectors / np.sqrt(values) @ vectors.T, values[-1] / values[0]


def test_the_checks_of_scikit_learn():
    checks = pytest.importorskip("sklearn.utils.estimator_checks")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the checks fit one sample, or constants
        results = checks.check_estimator(nd.ZCA(), on_fail=None, on_skip=None)
    failed = {result["check_name"]: result["exception"] for result in results if result["status"] == "failed"}
    assert not failed
    assert sum(result["status"] == "passed" for result in results) > 40


def test_in_a_pipeline_of_scikit_learn():
    pytest.importorskip("sklearn")
    from sklearn.base import clone
    from sklearn.exceptions import NotFittedError as Theirs
    from sklearn.linear_model import LinearRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline

    x = samples()
    y = x @ np.arange(10.0)
    search = GridSearchCV(make_pipeline(nd.ZCA(relative_eps=True), LinearRegression()), {"zca__eps": [1e-5, 1e3]}, cv=3)
    search.fit(x, y)
    assert search.best_params_ == {"zca__eps": 1e-5}
    assert search.best_score_ == pytest.approx(1)
    assert clone(nd.ZCA(eps=0.5, method=nd.CoupledNewtonSchulz(n_iter=7))).get_params() == {
        "eps": 0.5,
        "relative_eps": False,
        "method": nd.CoupledNewtonSchulz(n_iter=7),
    }
    with pytest.raises(Theirs):
        nd.ZCA().transform(x)


def test_without_scikit_learn(monkeypatch):
    monkeypatch.delitem(sys.modules, "sklearn.exceptions", raising=False)
    with pytest.raises(NotFittedError, match="call fit or partial_fit first"):
        nd.ZCA().transform(samples())
    assert not hasattr(nd.ZCA(), "mean_")
    zca = nd.ZCA(eps=0.5).set_params(relative_eps=True)
    assert repr(zca) == "ZCA(eps=0.5, relative_eps=True)"
    assert repr(nd.ZCA()) == "ZCA()"
    with pytest.raises(ValueError, match="must be among eps, relative_eps, method, got 'ridge'"):
        zca.set_params(ridge=1)


@pytest.mark.parametrize(("eps", "relative"), [(0.0, False), (0.05, False), (0.05, True), ("paper", False)])
def test_whitening_is_the_closed_form(eps, relative):
    x = samples()
    zca = nd.ZCA(eps=eps, relative_eps=relative)
    white = zca.fit_transform(x)
    unit = np.var(x, axis=0).mean()
    ridge = 1e-5 * unit if eps == "paper" else eps * unit if relative else eps
    d, condition = direct(x, ridge)
    tolerance = rtol(torch.float64, condition)
    assert zca.eps_ == pytest.approx(ridge, rel=1e-12)
    np.testing.assert_allclose(zca.mean_, x.mean(0), rtol=1e-12)
    np.testing.assert_allclose(zca.covariance_, np.cov(x, rowvar=False, bias=True), rtol=0, atol=1e-13 * 10 * unit)
    np.testing.assert_allclose(zca.whitening_, d, rtol=0, atol=tolerance * np.abs(d).max())
    np.testing.assert_allclose(white, (x - x.mean(0)) @ d, rtol=0, atol=tolerance * np.abs(d).max())
    np.testing.assert_allclose(zca.whitening_ @ zca.dewhitening_, np.eye(10), rtol=0, atol=tolerance)
    np.testing.assert_allclose(zca.inverse_transform(white), x, rtol=0, atol=tolerance * np.abs(x).max())
    if eps == 0:
        np.testing.assert_allclose(np.cov(white, rowvar=False, bias=True), np.eye(10), rtol=0, atol=tolerance)


@given(cuts=st.lists(st.integers(1, 299), max_size=6), seed=st.integers(0, 3))
@settings(max_examples=20)
def test_batches_in_any_division_add_up_to_the_whole(cuts, seed):
    x = samples(seed=seed)
    parts = nd.ZCA(eps=1e-3)
    for part in np.split(x, sorted(set(cuts))):
        parts.partial_fit(part)
    whole = nd.ZCA(eps=1e-3).partial_fit(x)
    np.testing.assert_allclose(parts.covariance_, whole.covariance_, rtol=0, atol=1e-13 * whole.covariance_.max())
    np.testing.assert_allclose(parts.mean_, whole.mean_, rtol=0, atol=1e-14 * np.abs(x).max())
    assert parts.n_samples_seen_ == whole.n_samples_seen_ == 300


def test_fit_forgets_and_partial_fit_goes_on():
    x, y = samples(), samples(seed=1)
    zca = nd.ZCA().fit(y).fit(x)
    np.testing.assert_array_equal(zca.whitening_, nd.ZCA().fit(x).whitening_)
    before = zca.whitening_.copy()
    zca.partial_fit(y)
    both = nd.ZCA().fit(np.concatenate([x, y]))
    np.testing.assert_allclose(zca.whitening_, both.whitening_, rtol=0, atol=1e-9 * np.abs(before).max())
    assert np.abs(zca.whitening_ - before).max() > 1e-3 * np.abs(before).max()


def test_pieces_of_the_size_of_the_memory_change_nothing(monkeypatch):
    x = samples()
    whole = nd.ZCA().fit(x)
    monkeypatch.setattr("ndtools.transforms.zca.CHUNK", 8 * 10 * 7)
    pieces = nd.ZCA().fit(x)
    np.testing.assert_allclose(pieces.covariance_, whole.covariance_, rtol=0, atol=1e-13 * whole.covariance_.max())
    np.testing.assert_allclose(pieces.transform(x), whole.transform(x), rtol=0, atol=1e-9)


def test_dtypes_pickles_and_constant_features():
    x = np.column_stack([samples(), np.full(300, 7.0)])
    zca = nd.ZCA().fit(x)  # a pixel that is always 7 is no reason for a warning
    assert np.abs(zca.transform(x)[:, -1]).max() < 1e-9
    single = nd.ZCA().fit(x.astype(np.float32))
    assert single.transform(x.astype(np.float32)).dtype == np.float32
    assert single.whitening_.dtype == single.transform(x).dtype == np.float64
    assert nd.ZCA().fit(np.arange(12).reshape(6, 2) ** 2).transform([[1, 2]]).dtype == np.float64
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(zca)).transform(x), zca.transform(x))
    np.testing.assert_array_equal(zca.get_feature_names_out()[:2], ["x0", "x1"])


def test_what_is_refused():
    x = samples()
    zca = nd.ZCA().fit(x)
    for wrong, error, message in (
        (x[0], ValueError, "Reshape your data"),
        (x[:, :3], ValueError, "X has 3 features, but ZCA is expecting 10"),
        (x * 1j, ValueError, "Complex data not supported"),
        (np.where(x > 3, np.nan, x), ValueError, "finite"),
        (x[:0], ValueError, r"0 sample\(s\)"),
    ):
        for call in (zca.transform, zca.inverse_transform, zca.partial_fit):
            with pytest.raises(error, match=message):
                call(wrong)
    assert zca.n_samples_seen_ == 300
    with pytest.raises(OptionError, match="eps: must be at least 0"):
        nd.ZCA(eps=-1.0).fit(x)
    with pytest.raises(NotPositiveDefiniteError, match="add a ridge"):
        nd.ZCA(eps=0.0).fit(np.column_stack([x, x[:, 0]]))
    with pytest.warns(NumericalWarning, match="9 samples cannot determine the covariance of 10 features"):
        nd.ZCA().fit(x[:9])


def test_features_that_do_not_fit_into_the_memory_are_refused(monkeypatch):
    monkeypatch.setattr("ndtools.computing.memory.free_memory", lambda: 20_000_000)
    with pytest.raises(DataError, match=r"whitening rows of 2000 features needs about"):
        nd.ZCA().fit(np.zeros((2, 2000)))


def test_real_digits_with_pixels_that_are_always_black():
    images = nd.load_dataset(str(real("mnist"))).test.images[:3000, :, 4:24, 4:24]
    x = np.asarray(images).reshape(3000, -1)  # uint8, taken as it is
    zca = nd.ZCA(eps=0.1, relative_eps=True).fit(x)
    d, condition = direct(x.astype(float), 0.1 * x.var(0).mean())
    np.testing.assert_allclose(zca.whitening_, d, rtol=0, atol=rtol(torch.float64, condition) * np.abs(d).max())


def test_a_fit_that_is_refused_leaves_the_one_before(monkeypatch):
    samples = np.random.default_rng(0).normal(size=(50, 3))
    zca = nd.ZCA().fit(samples)
    wanted = zca.transform(samples)
    monkeypatch.setattr("ndtools.computing.memory.free_memory", lambda: 2**20)
    with pytest.raises(DataError, match="take fewer features"):
        zca.fit(np.zeros((1, 100_000)))
    assert zca.n_features_in_ == 3
    assert np.array_equal(zca.transform(samples), wanted)
