"""Signals and volumes that are made in code are what they say."""

import numpy as np
import pytest

from ndtools.data.signals.synthetic import BASES, base_calls, beads


def test_a_run_without_phasing_and_noise_shows_the_dye_of_each_base():
    run = base_calls(20, 30, lagging=0, leading=0, noise=0)
    assert run.signals.shape == (20, len(BASES), 30)
    assert run.signals.dtype == np.float32
    dyes = run.cross_talk[:, run.bases].transpose(1, 0, 2)  # (reads, channel, cycles)
    brightness = run.signals.sum((1, 2)) / dyes.sum((1, 2))
    np.testing.assert_allclose(run.signals, brightness[:, None, None] * dyes, rtol=1e-5, atol=1e-6)
    assert run.error_rate(np.linalg.inv(run.cross_talk) @ run.signals) == 0


def test_molecules_behind_show_earlier_bases_and_those_ahead_later_ones():
    for settings, shift in (({"lagging": 1, "leading": 0}, -1), ({"lagging": 0, "leading": 1}, 1)):
        run = base_calls(50, 40, noise=0, **settings)
        unmixed = np.linalg.inv(run.cross_talk) @ run.signals
        calls = unmixed.argmax(1)[:, 2:-2]  # 80 % are one cycle off, the rest two
        assert (calls == np.roll(run.bases, -shift, axis=1)[:, 2:-2]).all()
    assert run.phasing.sum() == pytest.approx(1)


def test_errors_are_counted_on_the_same_cycles_for_signals_of_all_lengths():
    run = base_calls(30, 21, noise=0.3)
    wrong = run.signals.argmax(1) != run.bases
    assert run.error_rate(run.signals) == wrong.mean()
    assert run.error_rate(run.signals, margin=4) == wrong[:, 4:-4].mean()
    assert run.error_rate(run.signals[:, :, 3:-3]) == wrong[:, 3:-3].mean()
    assert run.error_rate(run.signals[:, :, 3:-3], margin=4) == wrong[:, 4:-4].mean()
    for bad in (run.signals[:, :, 1:], run.signals[:5], run.signals[:, :3]):
        with pytest.raises(ValueError, match="signals must have shape"):
            run.error_rate(bad)
    with pytest.raises(ValueError, match="margin must leave"):
        run.error_rate(run.signals, margin=11)


def test_equal_seeds_give_equal_data():
    assert (base_calls(5, 6).signals == base_calls(5, 6).signals).all()
    assert not (base_calls(5, 6).signals == base_calls(5, 6, seed=1).signals).all()
    assert (beads(4, 5, 6).volume == beads(4, 5, 6).volume).all()


def test_beads_are_blurred_by_the_weights_that_are_told():
    made = beads(6, 7, 8, density=0.1, blur=(0.2, 0.1, 0.0), noise=0)
    volume = made.sharp[0].astype(np.float64)
    for axis, weights in enumerate(made.blur):
        assert weights.sum() == pytest.approx(1)
        volume = sum(w * np.roll(volume, shift, axis) for w, shift in zip(weights, (-1, 0, 1), strict=True))
    np.testing.assert_allclose(made.volume[0], volume, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "settings", [{"reads": 0}, {"cycles": 0}, {"noise": -1}, {"lagging": 0.6, "leading": 0.5}, {"lagging": -0.1}]
)
def test_impossible_runs_are_refused(settings):
    with pytest.raises(ValueError, match="must be"):
        base_calls(**settings)


@pytest.mark.parametrize("settings", [{"depth": 0}, {"density": 0}, {"noise": -1}, {"blur": (0.25, 0.1, 0.1)}])
def test_impossible_volumes_are_refused(settings):
    with pytest.raises(ValueError, match="must be"):
        beads(**settings)
