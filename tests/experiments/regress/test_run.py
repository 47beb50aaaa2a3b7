"""Regression arms against plain gradient descent on explicitly normalised features, and against the theory."""

import warnings

import numpy as np
import pytest
import torch
from torch.nn.functional import one_hot

from ndtools.data.labelled.datasets import load_dataset
from ndtools.data.labelled.flat import FlatDataset
from ndtools.errors import NotPositiveDefiniteError, NumericalWarning, OptionError
from ndtools.experiments.regress.arms import MovingMoments
from ndtools.experiments.regress.config import RegressConfig
from ndtools.experiments.regress.run import run
from tests.oracles.inverse_roots import newton_schulz_by_spectrum
from tests.places import real
from tests.small_set import write_small_set


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(write_small_set(tmp_path_factory.mktemp("set") / "blobs"))


def config_of(folder, **settings):
    defaults = {"dataset": folder, "batch_size": 100, "iterations": 12, "baseline_lr": ("auto",), "eps": 1e-3}
    return RegressConfig(**defaults | settings)


def explicit(name, rows, n_iter, eps):
    centred = rows - rows.mean(0)
    covariance = centred.mT @ centred / len(rows)
    if name == "sgd":
        return rows
    if name == "bn":
        return centred / (covariance.diagonal() + eps).sqrt()
    return centred @ newton_schulz_by_spectrum(covariance + eps * torch.eye(rows.shape[1], dtype=rows.dtype), n_iter)


def test_arms_are_gradient_descent_on_normalised_batches(folder):
    config = config_of(folder)
    result = run(config)
    data = FlatDataset.of(load_dataset(folder))
    for loss in result.losses:
        for arm in loss.arms:
            weights = torch.zeros(26, 3, dtype=torch.float64)
            expected = []
            for rows, labels in data.batches(100, 12, config.seed):
                z = explicit(arm.name, rows.double(), config.n_iter, config.eps)
                z = torch.cat([torch.ones(100, 1, dtype=torch.float64), z], 1)
                y = one_hot(labels, 3).double()
                logits = z @ weights
                if loss.name == "l2":
                    expected.append(0.5 * (logits - y).square().sum().item() / 100)
                    error = logits - y
                else:
                    p = logits.sigmoid()
                    expected.append(-(y * p.log() + (1 - y) * (1 - p).log()).sum().item() / 100)
                    error = p - y
                weights -= arm.lr * z.mT @ error / 100
            # Twelve steps in float32 on features of a gain up to 1/√eps.
            np.testing.assert_allclose(arm.loss[0], expected, rtol=1e-4)


def test_what_an_arm_is_worth_in_the_end_is_judged_by_moving_averages(folder):
    config = config_of(folder, loss="l2")
    (loss,) = run(config).losses
    dataset = load_dataset(folder)
    data = FlatDataset.of(dataset)
    for arm in loss.arms:
        weights = torch.zeros(26, 3, dtype=torch.float64)
        means, covariances = torch.zeros(25, dtype=torch.float64), torch.zeros(25, 25, dtype=torch.float64)
        for rows, labels in data.batches(100, 12, config.seed):
            rows = rows.double()
            means = 0.9 * means + 0.1 * rows.mean(0)
            covariances = 0.9 * covariances + 0.1 * rows.mT.cov(correction=0)
            z = torch.cat([torch.ones(100, 1, dtype=torch.float64), explicit(arm.name, rows, 5, config.eps)], 1)
            weights -= arm.lr * z.mT @ (z @ weights - one_hot(labels, 3).double()) / 100
        share = 1 - 0.9**12
        mean, covariance = means / share, covariances / share

        def logits(rows, name=arm.name, mean=mean, covariance=covariance, weights=weights):
            if name == "sgd":
                return rows @ weights[1:] + weights[0]
            if name == "bn":
                return (rows - mean) / (covariance.diagonal() + config.eps).sqrt() @ weights[1:] + weights[0]
            d = newton_schulz_by_spectrum(covariance + config.eps * torch.eye(25, dtype=torch.float64), 5)
            return (rows - mean) @ d @ weights[1:] + weights[0]

        everything = data.rows(slice(None), torch.float64)
        expected = 0.5 * (logits(everything) - one_hot(data.labels, 3)).square().sum().item() / 300
        assert arm.train_loss[0] == pytest.approx(expected, rel=1e-4)
        right = (logits(data.test_pixels.double() / 255).argmax(1) == data.test_labels).double().mean().item()
        assert arm.test_accuracy[0] == pytest.approx(right)


def test_exact_whitening_of_small_batches_works_where_rounding_hides_the_ridge(folder):
    with pytest.warns(NumericalWarning, match="cannot tell"):
        result = run(config_of(folder, loss="l2", method="eigh", eps=1e-9, batch_size=20))
    assert np.isfinite(result.losses[0].arms[-1].loss).all()


def test_pixels_that_do_not_vary_are_no_trouble_to_batch_normalisation(tmp_path):
    folder = str(write_small_set(tmp_path / "set", constant=(3,)))
    result = run(config_of(folder, loss="l2", iterations=20, eps=0.0))
    assert not result.losses[0].arms[1].diverged


def test_auto_is_half_the_limit_of_deconvolved_features(folder):
    result = run(config_of(folder, lr="auto", n_iter=30, iterations=2))
    rates = [loss.arms[-1].lr for loss in result.losses]
    assert rates == pytest.approx([1, 4], rel=1e-2)


def test_all_arms_start_at_zero_weights_on_the_same_batches(folder):
    result = run(config_of(folder, iterations=3, baseline_lr=("auto", "0.01")))
    l2, logistic = result.losses
    assert [(a.name, a.auto) for a in l2.arms] == [
        ("sgd", False),
        ("sgd", True),
        ("bn", False),
        ("bn", True),
        ("deconv", False),
    ]
    assert {a.loss[0, 0] for a in l2.arms} == {0.5}
    for arm in logistic.arms:
        assert arm.loss[0, 0] == pytest.approx(3 * np.log(2), rel=1e-6)


def test_limits_are_twice_the_reciprocal_of_the_largest_eigenvalue(folder):
    result = run(config_of(folder))
    rows = FlatDataset.of(load_dataset(folder)).rows(slice(None), torch.float64)
    for name in ("sgd", "bn", "deconv"):
        z = torch.cat([torch.ones(len(rows), 1, dtype=torch.float64), explicit(name, rows, 5, 1e-3)], 1)
        limit = 2 / torch.linalg.eigvalsh(z.mT @ z / len(z))[-1].item()
        for loss, factor in zip(result.losses, (1, 4), strict=True):
            (arm,) = (a for a in loss.arms if a.name == name)
            assert arm.stability_limit == pytest.approx(factor * limit, rel=1e-9)
            assert arm.lr == pytest.approx(1.0 if name == "deconv" else 0.9 * factor * limit)


def test_beyond_its_limit_an_arm_diverges_and_says_so(folder):
    result = run(config_of(folder, loss="l2", iterations=400, baseline_lr=("auto", "3")))
    for arm in result.losses[0].arms:
        assert arm.diverged == (arm.lr == 3)
        if arm.diverged:
            assert not np.isfinite(arm.loss[0, -1])
            assert arm.test_accuracy[0] == 0
    assert result.numbers()["losses"]["l2"]["arms"][0]["diverged"] is False


def test_full_batch_reaches_the_optimum_in_one_step(folder):
    """Proposition 1, to rounding."""
    result = run(config_of(folder, loss="l2", full_batch=True, method="eigh", eps=0.0, iterations=3))
    (loss,) = result.losses
    deconv = loss.arms[-1]
    assert abs(deconv.loss[0, 1] - loss.optimum) < 1e-10
    assert deconv.near(loss.optimum) == 1
    assert loss.arms[0].loss[0, 1] > 1.05 * loss.optimum


def test_full_batch_losses_are_as_predicted(folder):
    result = run(config_of(folder, loss="both", full_batch=True, theory=True, iterations=40))
    for arm in result.losses[0].arms:
        np.testing.assert_allclose(arm.theory, arm.loss[0], rtol=1e-9)
    assert all(arm.theory is None for arm in result.losses[1].arms)


def test_optima_are_below_every_arm(folder):
    result = run(config_of(folder, full_batch=True, iterations=300))
    for loss in result.losses:
        for arm in loss.arms:
            assert loss.optimum <= arm.loss.min() + 1e-6
            assert arm.train_loss[0] >= loss.optimum - 1e-6
        deconv = loss.arms[-1]
        assert deconv.train_loss[0] < 1.05 * loss.optimum
        assert abs(deconv.test_accuracy[0] - loss.optimum_accuracy) < 0.1
        np.testing.assert_allclose(deconv.kernels.shape, (3, 1, 5, 5))


def test_features_that_do_not_vary(tmp_path):
    folder = str(write_small_set(tmp_path / "set", constant=(3, 11)))
    result = run(config_of(folder, loss="l2", iterations=20))
    assert np.isfinite(result.losses[0].arms[-1].loss).all()
    with pytest.raises(NotPositiveDefiniteError, match="eps above"):
        run(config_of(folder, loss="l2", full_batch=True, method="eigh", eps=0.0))


def test_repeats_differ_in_their_batches(folder):
    result = run(config_of(folder, loss="l2", repeats=2))
    arm = result.losses[0].arms[-1]
    assert arm.loss.shape == (2, 12)
    assert (arm.loss[0, 1:] != arm.loss[1, 1:]).any()
    again = run(config_of(folder, loss="l2", seed=1)).losses[0].arms[-1]
    np.testing.assert_array_equal(arm.loss[1], again.loss[0])
    assert result.numbers()["losses"]["l2"]["arms"][-1]["loss_std"][0] == 0


def test_epochs_count_whole_batches(folder):
    result = run(config_of(folder, loss="l2", batch_size=128, epochs=3))
    assert result.iterations == 6
    assert run(config_of(folder, loss="l2", batch_size=10_000)).batch_size == 300


def test_small_batches_that_are_fully_whitened_are_warned_of(folder):
    with pytest.warns(NumericalWarning, match="20 images cannot tell 25 features apart"):
        run(config_of(folder, loss="l2", batch_size=20, n_iter=15))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(config_of(folder, loss="l2", batch_size=20))
        run(config_of(folder, loss="l2", batch_size=20, n_iter=15, shrinkage="oas"))


def test_shrinkage_keeps_a_fully_whitened_small_batch_from_fitting_noise(folder):
    losses = {}
    for shrinkage in ("none", "lw", "oas"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NumericalWarning)
            result = run(
                config_of(folder, loss="l2", batch_size=30, n_iter=20, eps=1e-5, shrinkage=shrinkage, repeats=5)
            )
        losses[shrinkage] = result.losses[0].arms[-1].train_loss.mean()
    assert losses["lw"] < 0.9 * losses["none"]
    assert losses["oas"] < 0.9 * losses["none"]


def test_moving_averages_are_corrected_for_their_start():
    moving = MovingMoments(momentum=0.1)
    for value in (1.0, 3.0):
        moving.update(torch.tensor([value]))
    assert moving.value()[0].item() == pytest.approx((0.09 * 1 + 0.1 * 3) / 0.19)


def test_batches_of_an_epoch_have_every_image_once(folder):
    data = FlatDataset.of(load_dataset(folder))
    epoch = torch.cat([rows for rows, _ in data.batches(100, 3, seed=4)])
    assert sorted(map(tuple, epoch.tolist())) == sorted(map(tuple, data.rows(slice(None), torch.float32).tolist()))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": 0.0}, "lr"),
        ({"lr": float("nan")}, "lr"),
        ({"baseline_lr": ("fast",)}, "baseline_lr"),
        ({"baseline_lr": ()}, "baseline_lr"),
        ({"baseline_lr": ("auto", "auto")}, "baseline_lr"),
        ({"batch_size": 0}, "batch_size"),
        ({"iterations": 0}, "iterations"),
        ({"eps": -1.0}, "eps"),
        ({"theory": True, "loss": "logistic"}, "theory"),
        ({"full_batch": True, "epochs": 3}, "epochs"),
        ({"full_batch": True, "shrinkage": "oas"}, "shrinkage"),
        ({"full_batch": True, "repeats": 2}, "repeats"),
        ({"shrinkage": "ridge"}, "shrinkage"),
    ],
)
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(OptionError, match=message):
        RegressConfig(**settings)


def test_fashion_mnist():
    """The numbers that the method is known by: closed form, limits, and who is where after 5 and 40 steps."""
    result = run(RegressConfig(dataset="fashion-mnist", data_dir=str(real("fashion-mnist").parent), iterations=43))
    l2, logistic = result.losses
    assert l2.optimum == pytest.approx(0.17403, abs=5e-6)
    assert l2.optimum_accuracy == pytest.approx(0.811, abs=5e-4)
    arms = {(loss.name, arm.name, arm.auto): arm for loss in result.losses for arm in loss.arms}
    sgd, bn, deconv = (arms["l2", name, name != "deconv"] for name in ("sgd", "bn", "deconv"))
    assert (sgd.stability_limit, bn.stability_limit) == pytest.approx((0.0180, 0.0116), rel=5e-3)
    assert deconv.loss[0, 5] < 1.15 * l2.optimum
    assert deconv.loss[0, 38:43].min() < 1.05 * l2.optimum
    assert min(sgd.loss[0, 40], bn.loss[0, 40]) > 0.21
    assert 0.70 < logistic.optimum < 0.712
    ours = arms["logistic", "deconv", False].loss[0]
    for name in ("sgd", "bn"):
        assert (arms["logistic", name, True].loss[0, 5:] > ours[5:]).all()
