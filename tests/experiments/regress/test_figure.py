from dataclasses import replace

import numpy as np
import pytest

import ndtools as nd
from ndtools.experiments.mlp.figure import caption_mlp
from ndtools.experiments.regress.figure import caption_regress
from ndtools.experiments.regress.figure_kernels import caption_regress_kernels
from tests.layout import faults
from tests.small_set import write_small_set


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(write_small_set(tmp_path_factory.mktemp("sets") / "blobs"))


@pytest.fixture(scope="module")
def result(folder):
    return nd.run_regress(
        nd.RegressConfig(dataset=folder, batch_size=100, iterations=30, theory=True, baseline_lr=("auto", "50"))
    )


def axes(figure, label):
    return [ax for ax in figure.axes if ax.get_label() == label]


def names_of(ax):
    return [text.get_text() for text in ax.texts if text.get_text()]


def test_curves_are_the_losses_and_name_what_diverges(result):
    figure = nd.plot_regress(result)
    assert any(arm.diverged for arm in result.losses[0].arms)
    for ax, loss in zip(axes(figure, "losses"), result.losses, strict=True):
        assert (ax.get_xscale(), ax.get_yscale()) == ("symlog", "log")
        assert ax.get_xlabel().startswith("steps")
        lines = {line.get_label(): line for line in ax.lines}
        for arm in loss.arms:
            name = {"sgd": "SGD", "bn": "BN", "deconv": "deconvolution"}[arm.name]
            line = lines[f"{name}, rate {arm.lr:.3g}"]
            drawn = np.asarray(line.get_ydata())
            np.testing.assert_array_equal(drawn, np.where(np.isfinite(arm.loss[0]), arm.loss[0], np.nan))
            away = arm.diverged or not arm.loss[0, -1] <= ax.get_ylim()[1]
            assert f"{name}, rate {arm.lr:.3g}{' ↑' if away else ''}" in names_of(ax)
        assert ax.get_ylim()[1] == pytest.approx(1.6 * loss.arms[0].loss[0, 0])
        assert any(np.all(np.asarray(line.get_ydata()) == loss.optimum) for line in ax.lines)
        assert f"{loss.optimum:.3g}" in names_of(ax)[0]  # from below
        assert f"the optimum {loss.optimum:.4g}" in caption_regress(result)


@pytest.mark.parametrize("width", [85, 150, 180])
def test_names_of_curves_that_leave_early_and_late_cover_nothing(result, width):
    loss = result.losses[0]
    steps = np.arange(result.iterations)
    start = loss.arms[0].loss[:, :1]
    deconv = [arm for arm in loss.arms if arm.name == "deconv"]
    # one curve is gone after the first step, the other near the end: no side of both has room
    gone = (
        replace(loss.arms[0], lr=2.0, loss=start * 9.0**steps),
        replace(loss.arms[0], lr=1.0, loss=start * 1.02**steps),
    )
    figure = nd.plot_regress(replace(result, losses=(replace(loss, arms=(*gone, *deconv)),)), width=width)
    assert faults(figure) == []


def test_a_kind_of_features_has_one_style_in_all_panels(result):
    for name in ("SGD", "BN", "deconvolution"):
        lines = [line for ax in axes(nd.plot_regress(result), "losses") for line in ax.lines]
        styles = {(line.get_color(), line.get_linestyle()) for line in lines if line.get_label().startswith(name)}
        assert len(styles) == 1


def test_predictions_are_points_on_the_l2_panel(result):
    l2, logistic = axes(nd.plot_regress(result), "losses")
    points = [line for line in l2.lines if line.get_linestyle() == "None"]
    assert len(points) == len(result.losses[0].arms)
    deconv = points[-1]
    np.testing.assert_array_equal(deconv.get_ydata(), result.losses[0].arms[-1].theory[deconv.get_xdata()])
    assert not [line for line in logistic.lines if line.get_linestyle() == "None"]


def test_kernels_are_centred_on_zero(result):
    rows = axes(nd.plot_regress_kernels(result), "kernels")
    assert [len(ax.images) for ax in rows] == 2 * 4 * [3]  # losses, rows, classes
    for ax in rows:
        for image in ax.images:
            low, high = image.get_clim()
            assert low == -high
    for width in (85, 180):
        rows = axes(nd.plot_regress_kernels(result, width=width), "kernels")
        named = {ax.get_yticklabels()[0].get_text(): ax for ax in rows}
        for name, loss in zip(("closed\nform", "L-BFGS"), result.losses, strict=True):
            for image, kernel in zip(named[name].images, loss.optimum_kernels, strict=True):
                np.testing.assert_array_equal(image.get_array(), kernel[0])


def test_colour_kernels_are_colour_pictures_about_grey(result):
    loss = result.losses[0]
    kernels = np.zeros((3, 3, 2, 2))
    kernels[:, 0], kernels[:, 2] = 1, -1
    arms = tuple(replace(arm, kernels=kernels) for arm in loss.arms)
    colour = replace(result, losses=(replace(loss, arms=arms, optimum_kernels=kernels),))
    for ax in axes(nd.plot_regress_kernels(colour), "kernels"):
        for image in ax.images:
            np.testing.assert_array_equal(image.get_array(), np.broadcast_to([1, 0.5, 0], (2, 2, 3)))
    assert "grey is 0" in caption_regress_kernels(colour)
    assert "white is 0" in caption_regress_kernels(result)


def test_a_full_batch_ends_with_the_loss_after_the_last_step(folder):
    config = nd.RegressConfig(dataset=folder, loss="l2", full_batch=True, iterations=1, baseline_lr=("auto",))
    result = nd.run_regress(config)
    (ax,) = axes(nd.plot_regress(result), "losses")
    for line, arm in zip(ax.lines, result.losses[0].arms, strict=False):
        np.testing.assert_array_equal(line.get_ydata(), [arm.loss[0, 0], arm.train_loss[0]])


def test_a_perfect_fit_is_a_picture(result):
    perfect = replace(result, losses=tuple(replace(loss, optimum=0.0) for loss in result.losses))
    nd.plot_regress(perfect).canvas.draw()


def test_spread_of_several_runs(folder):
    result = nd.run_regress(
        nd.RegressConfig(dataset=folder, loss="l2", batch_size=100, iterations=5, repeats=2, baseline_lr=("auto",))
    )
    (ax,) = axes(nd.plot_regress(result), "losses")
    assert len(ax.collections) == 3


def test_curves_of_the_perceptron(folder):
    result = nd.run_mlp(nd.MlpConfig(dataset=folder, hidden=(6,), epochs=3, batch_size=50, repeats=2))
    loss, accuracy = nd.plot_mlp(result).axes
    assert loss.get_xlabel() == accuracy.get_xlabel() == "epoch"
    assert loss.get_yscale() == "log"
    for line, arm in zip(accuracy.lines, result.arms, strict=True):
        np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3])
        np.testing.assert_allclose(line.get_ydata(), (1 - arm.test_accuracy).clip(1e-3).mean(0))
    for line, arm in zip(loss.lines, result.arms, strict=True):
        assert np.mean(line.get_ydata()) == pytest.approx(arm.loss.mean())  # six batches, six parts
    low, high = accuracy.get_ylim()
    assert low > high  # accuracy rises
    for tick, label in zip(accuracy.get_yticks(), accuracy.get_yticklabels(), strict=True):
        assert float(label.get_text().removesuffix(" %")) == pytest.approx(100 * (1 - tick))


def test_one_epoch_of_one_run_is_a_picture(folder):
    result = nd.run_mlp(nd.MlpConfig(dataset=folder, hidden=(6,), epochs=1, batch_size=300, repeats=1))
    figure = nd.plot_mlp(result)
    assert not figure.axes[0].collections
    assert faults(figure) == []
    for ax in figure.axes:
        low, high = ax.get_xlim()
        assert [tick for tick in ax.get_xticks() if low <= tick <= high] in ([0, 1], [1])  # whole epochs
    assert "a single run" in caption_mlp(result)
