"""Kernels of signals and volumes recover the mixing and the blur that were put in.

Sources are white, so the exact covariance of the mixture is known, and D with it. Kernels of n patches differ from the
exact ones by about √(d/n) of them, d being the number of features.
"""

import math

import numpy as np
import pytest

import ndtools as nd
from ndtools.errors import DataError, OptionError
from ndtools.experiments.signals.result import strongest
from ndtools.experiments.signals.run import run
from tests.oracles.mixtures import central_rows, inverse_filter, mixed_covariance

CHANNELS, SAMPLES, K = 4, 40_000, 9
BLUR = np.array([0.15, 0.7, 0.15])
MIXING = 0.5 ** np.abs(np.subtract.outer(np.arange(CHANNELS), np.arange(CHANNELS)))  # symmetric and positive definite


@pytest.fixture(scope="module")
def electrodes(tmp_path_factory):
    """A recording of four electrodes that each see the neighbours' sources, too, and are slow; and the sources."""
    sources = np.random.default_rng(0).laplace(scale=math.sqrt(0.5), size=(CHANNELS, SAMPLES))
    smooth = sum(w * np.roll(sources, shift, 1) for w, shift in zip(BLUR, (-1, 0, 1), strict=True))
    path = tmp_path_factory.mktemp("recording") / "electrodes.npy"
    np.save(path, MIXING @ smooth)
    return str(path), sources


@pytest.fixture(scope="module")
def recovered(electrodes):
    return run(nd.SignalsConfig(electrodes[0], kernel_size=K, eps=0.0))


def relative(found, wanted):
    return np.linalg.norm(found - wanted) / np.linalg.norm(wanted)


def test_kernels_of_a_recording_are_those_of_its_mixing(recovered):
    exact = central_rows(mixed_covariance(MIXING, [BLUR], [K]), CHANNELS, (K,))
    assert relative(recovered.kernels, exact) < math.sqrt(CHANNELS * K / SAMPLES)


def test_kernels_of_a_recording_undo_the_mixing_and_the_blur(recovered):
    """The inverse of a symmetric mixing, times the filter that undoes the blur; patches of finite length cut it off."""
    undone = np.linalg.inv(MIXING)[:, :, None] * inverse_filter(BLUR, K // 2)
    assert relative(recovered.kernels, undone) < 0.04
    assert relative(recovered.kernels, np.swapaxes(undone, 0, 1)[::-1]) > 0.5


def test_sources_of_a_recording_come_back(recovered, electrodes):
    _, sources = electrodes
    inner = sources[:, K // 2 : -(K // 2)]
    (deconvolved,) = recovered.deconvolved
    assert deconvolved.shape == inner.shape
    for source, after in zip(inner, deconvolved, strict=True):
        assert np.corrcoef(source, after)[0, 1] > 0.995
    assert recovered.after.measures["kurtosis"].value == pytest.approx(6, rel=0.1)  # that of a Laplace distribution
    assert recovered.before.measures["kurtosis"].value < 4.5
    assert strongest(recovered.correlations_before) > 0.7
    assert strongest(recovered.correlations_after) < 5 / math.sqrt(SAMPLES)


def test_kernels_of_a_volume_undo_its_blur():
    made = nd.beads(noise=0)
    fit = nd.fit_deconvolution(made.volume, kernel_size=(5, 5, 5), eps=0)
    exact = central_rows(mixed_covariance(np.eye(1), made.blur, (5, 5, 5)), 1, (5, 5, 5))
    kernels = fit.kernels().numpy() * made.sharp.std()
    assert relative(kernels, exact) < math.sqrt(125 / made.volume.size)
    undone = np.multiply.outer(
        inverse_filter(made.blur[0], 2), np.multiply.outer(*(inverse_filter(blur, 2) for blur in made.blur[1:]))
    )
    assert relative(kernels[0, 0], undone) < 0.06
    sharp, after = made.sharp[0, 2:-2, 2:-2, 2:-2], fit.apply(made.volume)[0].numpy()
    assert np.corrcoef(sharp.ravel(), after.ravel())[0, 1] > 0.99
    assert np.corrcoef(sharp.ravel(), made.volume[0, 2:-2, 2:-2, 2:-2].ravel())[0, 1] < 0.9


def test_base_calling_errs_less_after_deconvolution():
    calls = nd.base_calls()
    result = nd.signals("base-calls", kernel_size=7)
    after = np.stack(result.deconvolved)
    scaled = (calls.signals - calls.signals.mean((0, 2), keepdims=True)) / calls.signals.std((0, 2), keepdims=True)
    raw, normalised, deconvolved = (calls.error_rate(values, margin=3) for values in (calls.signals, scaled, after))
    assert raw > 0.25
    assert 0.015 < normalised < 0.03
    assert deconvolved < 0.6 * normalised
    assert result.names == ("A", "C", "G", "T")


def test_a_ridge_is_chosen_by_halves(electrodes, tmp_path):
    path, _ = electrodes
    recording = np.load(path)
    noisy = recording + 0.5 * np.random.default_rng(1).normal(size=recording.shape)
    np.save(tmp_path / "few.npy", noisy[:, :600])
    result = run(nd.SignalsConfig(str(tmp_path / "few.npy"), kernel_size=K, eps="auto"))
    assert result.ridge.eps == result.fit.eps
    assert "chosen by the likelihood of held-out parts" in result.ridge_words
    np.save(tmp_path / "short.npy", noisy[:, :20])
    with pytest.raises(DataError, match="20 samples are too few to choose a ridge by halves"):
        run(nd.SignalsConfig(str(tmp_path / "short.npy"), kernel_size=K, eps="auto"))


def test_units_of_the_ridge(electrodes):
    path, _ = electrodes
    config = nd.SignalsConfig(path, kernel_size=3, eps=0.01)
    result = run(config)
    assert result.fit.relative_eps == pytest.approx(0.01)
    absolute = run(nd.SignalsConfig(path, kernel_size=3, eps=result.fit.eps, absolute_eps=True))
    np.testing.assert_allclose(absolute.kernels, result.kernels, rtol=1e-4, atol=1e-6)


def test_what_does_not_fit_is_refused(electrodes, tmp_path):
    path, _ = electrodes
    with pytest.raises(OptionError, match="channels: must be 4 names, one for each channel, got 2"):
        run(nd.SignalsConfig(path, channels=("a", "b")))
    with pytest.raises(OptionError, match="kernel_size: must be one number for signals, got 3x3x3"):
        run(nd.SignalsConfig(path, kernel_size=(3, 3, 3)))
    np.save(tmp_path / "short.npy", np.zeros((2, 7)))
    with pytest.raises(DataError, match=r"a signal of 7 samples is smaller than a patch of 15; take a smaller"):
        run(nd.SignalsConfig(str(tmp_path / "short.npy")))


def test_more_than_fits_into_memory_is_refused(electrodes, monkeypatch):
    path, _ = electrodes
    monkeypatch.setattr("ndtools.computing.memory.free_memory", lambda: 20_000_000)
    with pytest.raises(DataError, match=r"electrodes\.npy: the deconvolution of 1\.28 MB needs about 0\.022 GB"):
        run(nd.SignalsConfig(path, kernel_size=3))


def test_what_is_left_may_be_smaller_than_a_patch(tmp_path):
    np.save(tmp_path / "short.npy", np.random.default_rng(0).normal(size=(1, 12)))
    with pytest.warns(nd.NumericalWarning, match="cannot determine the covariance"):
        result = run(nd.SignalsConfig(str(tmp_path / "short.npy"), kernel_size=9))
    assert np.isnan(result.correlations_after).all()
    assert strongest(result.correlations_after) is None
    assert result.correlation_words.endswith("-> -")
    result.plot()


def test_sizes_of_patches_may_be_numbers_of_numpy():
    assert nd.signals("beads", kernel_size=np.int64(3)).fit.kernel_size == (3, 3, 3)


def test_values_about_a_large_mean_keep_their_precision(tmp_path):
    values = np.round(np.random.default_rng(0).normal(size=(2, 3000)).cumsum(1) * 4) / 4
    np.save(tmp_path / "low.npy", values.astype(np.float32))
    np.save(tmp_path / "high.npy", (values + 2**17).astype(np.float32))  # which float32 holds exactly
    low, high = (nd.signals(str(tmp_path / f"{name}.npy"), eps="paper") for name in ("low", "high"))
    size = np.abs(low.deconvolved[0]).max()
    np.testing.assert_allclose(high.deconvolved[0], low.deconvolved[0], rtol=0, atol=1e-3 * size)
    assert high.after.measures["kurtosis"].value == pytest.approx(low.after.measures["kurtosis"].value, rel=1e-3)
