"""Figure 5: linear and logistic regression, and a perceptron, by gradient descent."""

from dataclasses import replace

import numpy as np

from ndtools.experiments.mlp.config import MlpConfig
from ndtools.experiments.regress.config import RegressConfig
from ndtools.reproduction.chance import beyond, noise_of_means, noise_of_pairs
from ndtools.reproduction.grading import grade_claim
from ndtools.reproduction.item import Item, Level, Part, Results, Setting
from ndtools.results.reproductions import Grade
from ndtools.text import counted, percent

__all__ = ["FIG_5"]

SMALL_RATES = "claim/small-rate-of-plain-descent"
FIVE, FIVE_LOGISTIC = "claim/linear-five-iterations", "claim/logistic-five-iterations"
RATE_ONE = "claim/rate-one"
PERCEPTRON = "claim/perceptron"
STEPS = 5
HIGH = 0.02  # below the accuracy of the optimum, as a share of the test images
LOW = 0.1  # of the loss between zero weights and the optimum that is left at a low cost
_NAMES = {"l2": "L2", "logistic": "logistic"}


def _levels(setting: Setting) -> list[Level]:
    folder = setting.places.data_dir
    regress = RegressConfig("fashion-mnist", data_dir=folder, **setting.run)
    mlp = MlpConfig("mnist", data_dir=folder, **setting.run)

    def parts(regress: RegressConfig, mlp: MlpConfig, *work: float) -> tuple[Part, ...]:
        return (
            Part(name="regression", experiment="regress", config=regress, work=work[0]),
            Part(name="perceptron", experiment="mlp", config=mlp, work=work[1]),
        )

    concludes = "Whether deconvolution lets gradient descent reach a low cost in few steps at rate 1."
    return [
        Level(
            title="published recipe: 3 runs of 5 epochs",
            parts=parts(regress, mlp, 17.0, 115.0),
            full=True,
            concludes=f"{concludes} Whether a perceptron with it learns faster than with batch normalisation.",
            not_concluded="Nothing about the rates of the perceptron in the figure, which the paper does not give.",
            needs=("fashion-mnist", "mnist"),
        ),
        Level(
            title="20 steps, and 1 run of 1 epoch",
            parts=parts(replace(regress, iterations=20), replace(mlp, epochs=1, repeats=1), 10.5, 7.2),
            full=False,
            concludes=concludes,
            not_concluded="Nothing about the end of training, nor about the spread over runs.",
            needs=("fashion-mnist", "mnist"),
        ),
        Level(
            title="synthetic digits, 1 run of 3 epochs",
            parts=parts(
                replace(regress, dataset="glyphs", iterations=20, data_dir=None),
                replace(mlp, dataset="glyphs", epochs=3, repeats=1, data_dir=None),
                7.3,
                7.9,
            ),
            full=False,
            concludes=concludes,
            not_concluded="Nothing about photographs of clothes or handwriting: the digits are drawn in code.",
        ),
    ]


def _grade(level: Level, results: Results) -> list[Grade]:
    grades = []
    if "regression" in results:
        grades += _grade_regression(level, results["regression"])
    if "perceptron" in results:
        grades += _grade_perceptron(level, results["perceptron"])
    return grades


def _grade_regression(level: Level, result) -> list[Grade]:  # type: ignore[no-untyped-def]  # noqa: ANN001
    conditions = (
        f"{result.data.label}, {result.data.images:,} images, batches of {result.batch_size:,},"
        f" {result.iterations} steps, {result.config.n_iter} Newton-Schulz iterations, ridge {result.config.eps:g}"
    )
    losses = {loss.name: loss for loss in result.losses}
    grades = []
    for name, subject in (("l2", FIVE), ("logistic", FIVE_LOGISTIC)):
        loss = losses[name]
        arm = next(arm for arm in loss.arms if arm.name == "deconv")
        curve = arm.loss.mean(0)
        share = (curve - loss.optimum) / (curve[0] - loss.optimum)
        below = np.flatnonzero(share <= LOW)
        at = int(below[0]) if below.size else None
        left = float(share[min(STEPS, len(share) - 1)])
        grades.append(
            grade_claim(
                subject,
                [at is not None and at <= STEPS],
                full=level.full,
                measured=None if at is None else float(at),
                reason=f"At rate {arm.lr:g} the {_NAMES[name]} loss has lost all but {100 * left:.1f} % of its excess"
                f" over the optimum after {min(STEPS, len(share) - 1)} steps"
                + (
                    f", and comes below {percent(LOW)} after {at}."
                    if at is not None
                    else f", and stays above {percent(LOW)}."
                ),
                conditions=conditions,
            )
        )
    pairs = [
        (name, float(arm.test_accuracy.mean()), loss.optimum_accuracy)
        for name, loss in losses.items()
        for arm in loss.arms
        if arm.name == "deconv"
    ]
    grades.append(
        grade_claim(
            RATE_ONE,
            [accuracy > optimum - HIGH for _, accuracy, optimum in pairs],
            full=level.full,
            measured=100 * pairs[0][1],
            reason="Test accuracy at rate 1: "
            + ", ".join(
                f"{100 * accuracy:.1f} % by the {_NAMES[name]} loss, whose optimum has {100 * optimum:.1f} %"
                for name, accuracy, optimum in pairs
            )
            + ".",
            conditions=conditions,
        )
    )
    plain = [arm for loss in result.losses for arm in loss.arms if arm.name == "sgd" and not arm.auto]
    held = [max(arm.stability_limit for arm in plain) < 1, *(not arm.diverged for arm in plain)]
    ends = ", ".join(
        f"{_NAMES[loss.name]} at {arm.lr:g} {'diverges' if arm.diverged else 'converges'} (limit"
        f" {arm.stability_limit:.3g})"
        for loss in result.losses
        for arm in loss.arms
        if arm.name == "sgd" and not arm.auto
    )
    grades.append(
        grade_claim(
            SMALL_RATES,
            held,
            full=level.full,
            reason=f"Rate 1 is above the limits of plain descent. At the paper's rates: {ends}.",
            conditions=conditions,
        )
    )
    return grades


def _grade_perceptron(level: Level, result) -> list[Grade]:  # type: ignore[no-untyped-def]  # noqa: ANN001
    ends = {arm.name: arm.loss[:, -1] for arm in result.arms}  # of each run and batch
    last = {name: float(values.mean()) for name, values in ends.items()}
    if result.config.repeats > 1:
        noise = noise_of_means(ends["bn"].mean(1), ends["deconv"].mean(1))
    else:  # the batches of one run are the same for both arms
        noise = noise_of_pairs(list((ends["bn"] - ends["deconv"]).ravel()))
    rates = ", ".join(f"{name} {value:.3g}" for name, value in last.items())
    return [
        grade_claim(
            PERCEPTRON,
            [beyond(last["bn"] - last["deconv"], noise)],
            full=level.full,
            measured=last["deconv"],
            reason=f"Training loss in the last epoch: {rates}.",
            conditions=f"{result.data.label}, {result.data.images:,} images, {counted(result.config.repeats, 'run')} of"
            f" {counted(result.config.epochs, 'epoch')}, batches of {result.batch_size}, rate {result.config.lr[0]:g}",
        )
    ]


FIG_5 = Item(
    id="fig5",
    title="regression and a perceptron",
    where="fig. 5 and section 6 of both versions",
    needs=("fashion-mnist", "mnist"),
    subjects=(FIVE, FIVE_LOGISTIC, RATE_ONE, SMALL_RATES, PERCEPTRON),
    levels=_levels,
    grade=_grade,
)
"""Figure 5."""
