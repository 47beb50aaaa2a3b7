"""The checks of the propositions: what holds, what does not, and that each notices a wrong D."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from ndtools.errors import DataError, NotPositiveDefiniteError, OptionError
from ndtools.experiments.check import batch_norm, equivalence, natural_gradient, prop1, prop2, prop3, samples
from ndtools.experiments.check.arithmetic import relative, rounding
from ndtools.experiments.check.config import NAMES, CheckConfig
from ndtools.experiments.check.result import Comparison, Outcome
from ndtools.experiments.check.run import CHECKS, run
from ndtools.layers.whitening import Whitening
from tests.commands import save

EPS = 1e-3


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    return str(save(tmp_path_factory.mktemp("photo") / "photo.png", size=(90, 80)))


@pytest.fixture(scope="module")
def config(photo):
    return CheckConfig(source=photo, eps=EPS)


@pytest.fixture(scope="module")
def drawn(config):
    """A few patches: quick, and all that is compared is exact for any number."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(samples, "PATCHES", 3000)
        return samples.draw_samples(config, torch.device("cpu"))


@pytest.fixture(scope="module")
def outcomes(drawn, config):
    return {name: CHECKS[name](drawn, config) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_every_statement_holds_to_rounding(name, outcomes):
    outcome = outcomes[name]
    assert outcome.name == name
    assert outcome.verdict == "holds"
    assert outcome.difference <= max(each.bound for each in outcome.deciding) < 1e-6  # a bound that can be exceeded
    flags = [each.decides for each in outcome.comparisons]
    assert flags == sorted(flags, reverse=True) and True in flags and False in flags


@pytest.mark.parametrize("name", NAMES)
def test_what_does_not_meet_the_assumptions_is_told_apart(name, outcomes):
    others = [each for each in outcomes[name].comparisons if not each.decides]
    assert all(each.difference > 1e3 * each.bound for each in others if "Newton-Schulz" not in each.name)
    assert any(each.verdict != "holds" for each in others)


def wrong_whitening(module):
    def change(patch):
        correct = module.whitening_matrix
        patch.setattr(module, "whitening_matrix", lambda matrix: 1.01 * correct(matrix))

    return change


def wrong_layer(patch):
    correct = Whitening.inverse_sqrt
    patch.setattr(Whitening, "inverse_sqrt", lambda self, matrix: 1.01 * correct(self, matrix))


def wrong_fold(patch):
    correct = Whitening.fold

    def fold(self, weight, statistics):
        return correct(self, weight, [(mean, 1.01 * matrix) for mean, matrix in statistics])

    patch.setattr(Whitening, "fold", fold)


def wrong_running(patch):
    correct = Whitening.running_statistics
    patch.setattr(
        Whitening, "running_statistics", lambda self: [(mean, 1.01 * matrix) for mean, matrix in correct(self)]
    )


@pytest.mark.parametrize(
    ("name", "break_it"),
    [
        ("prop1", wrong_whitening(prop1)),
        ("prop2", wrong_whitening(prop2)),
        ("prop3", wrong_whitening(prop3)),
        ("equivalence", wrong_fold),
        ("batch-norm", wrong_layer),
        ("natural-gradient", wrong_running),
    ],
)
def test_a_d_that_is_wrong_by_one_per_cent_is_noticed(name, break_it, drawn, config):
    with pytest.MonkeyPatch.context() as patch:
        break_it(patch)
        outcome = CHECKS[name](drawn, config)
    assert outcome.verdict in ("holds approximately", "does not hold")
    assert outcome.difference > 5e-3


def test_a_gradient_that_is_corrected_by_d_alone_is_noticed(drawn, config, monkeypatch):
    # An equivalence that holds for every matrix would say nothing: D² is wanted, not D.
    correct = equivalence._descend
    monkeypatch.setattr(
        equivalence,
        "_descend",
        lambda case, weight, rate, correction: correct(case, weight, rate, torch.linalg.cholesky(correction)),
    )
    assert equivalence.check(drawn, config).verdict == "does not hold"


def spectrum_and_responses(drawn, config):
    """Return singular values of the patches, and the responses along their directions, made again in NumPy."""
    rows = drawn.rows.numpy()
    generator = torch.Generator().manual_seed(config.seed)
    weights, noise = (torch.randn(n, generator=generator, dtype=torch.float64).numpy() for n in (27, len(rows)))
    signal = rows @ weights / np.sqrt(np.mean((rows @ weights) ** 2))
    directions, values, _ = np.linalg.svd(rows, full_matrices=False)
    parts = directions.T @ (signal + prop1.NOISE * noise)
    return values, parts


def test_one_step_with_a_ridge_leaves_what_the_spectrum_says(drawn, config, outcomes):
    # In each principal direction one step makes λ/(λ + eps) of the way.
    values, parts = spectrum_and_responses(drawn, config)
    values = values**2 / len(drawn.rows)
    left = np.linalg.norm(parts * EPS / (values + EPS)) / np.linalg.norm(parts)
    found = outcomes["prop1"].comparison(f"whitened with the ridge {EPS:.3g}")
    assert found.difference == pytest.approx(left, rel=1e-8)


def test_the_raw_arm_follows_its_recurrence(drawn, config, outcomes):
    values, parts = spectrum_and_responses(drawn, config)
    left = (1 - values**2 / values[0] ** 2)[None] ** np.arange(prop1.STEPS + 1)[:, None] * parts
    np.testing.assert_allclose(
        outcomes["prop1"].curve("raw").y, np.linalg.norm(left, axis=1) / np.linalg.norm(parts), rtol=1e-8
    )


def test_the_optimum_of_the_logistic_loss():
    rng = np.random.default_rng(3)
    rows = rng.standard_normal((400, 4))
    labels = (rng.random(400) < 1 / (1 + np.exp(-rows @ [2.0, -1.0, 0.5, 0.0]))).astype(float)
    logits = lambda w: rows @ w  # noqa: E731
    best = minimize(
        lambda w: np.mean(np.logaddexp(0, logits(w)) - labels * logits(w)),
        np.zeros(4),
        jac=lambda w: rows.T @ (1 / (1 + np.exp(-logits(w))) - labels) / 400,
        method="BFGS",
        options={"gtol": 1e-10},
    )
    found = prop1._logistic_optimum(torch.from_numpy(rows), torch.from_numpy(labels))
    np.testing.assert_allclose(found.numpy(), best.x, rtol=1e-6)


def test_the_error_of_a_ridge_is_the_one_expected(outcomes):
    measured, predicted = (outcomes["prop2"].curve(key) for key in ("measured", "predicted"))
    exact = outcomes["prop2"].comparison("no ridge")  # what rounding makes of the pixels without any ridge
    np.testing.assert_allclose(measured.y, predicted.y, rtol=0, atol=exact.bound)
    assert exact.bound < 1e-2 * min(predicted.y)
    assert (np.diff(predicted.y) > 0).all()
    assert outcomes["prop2"].comparison("5 Newton-Schulz iterations").difference > 1e-3


def test_the_linear_problem_is_as_ill_conditioned_as_w_squared(outcomes):
    linear, relu, raw = (outcomes["prop3"].curve(key).y for key in ("linear", "relu", "raw"))
    np.testing.assert_allclose(linear, prop3.SPREADS**2, rtol=1e-6)
    assert 1 < relu[0] < raw[0]


def test_what_the_published_code_makes_of_channels(drawn, outcomes):
    # One mean and one scale: standard deviations keep their ratios.
    maps = batch_norm._feature_maps(drawn.crops, 0)
    flat = maps.movedim(1, 0).flatten(1)
    scale = math.sqrt(float(flat.var(correction=0)) + EPS)
    found = outcomes["batch-norm"].curve("published_code").y
    np.testing.assert_allclose(found, flat.std(1, correction=0).numpy() / scale, rtol=1e-10)
    expected = 1 / np.sqrt(1 + EPS / flat.var(1, correction=0).numpy())
    np.testing.assert_allclose(outcomes["batch-norm"].curve("per_channel").y, expected, rtol=1e-10)


def test_steps_part_as_predictions_become_certain(outcomes):
    fisher, factors = (outcomes["natural-gradient"].curve(key).y for key in ("fisher", "factors"))
    assert fisher[0] < 1e-8 and factors[0] < 1e-8
    assert (np.diff(fisher[:6]) > 0).all()
    assert fisher[6] > 0.05


def test_the_fisher_matrix_is_that_of_sampled_gradients():
    # E[vec(g) vec(g)ᵗ] over labels drawn by the model, class by class and row by row.
    torch.manual_seed(0)
    rows, chance = torch.randn(30, 3, dtype=torch.float64), torch.softmax(torch.randn(30, 4, dtype=torch.float64), 1)
    fisher = torch.zeros(12, 12, dtype=torch.float64)
    for x, p in zip(rows, chance, strict=True):
        for label in range(4):
            g = torch.outer(p - torch.eye(4, dtype=torch.float64)[label], x).flatten()
            fisher += p[label] * torch.outer(g, g) / 30
    gradient = torch.randn(4, 3, dtype=torch.float64)
    gradient -= gradient.mean(0)
    step, _ = natural_gradient._natural(rows, chance, gradient, 0.0)
    expected = -torch.linalg.pinv(fisher) @ gradient.flatten()
    values = torch.linalg.eigvalsh(fisher)
    condition = float(values[-1] / values[3])  # 3 are zero: an equal change of all logits changes nothing
    assert relative(step.flatten(), expected) <= rounding(torch.float64, condition, terms=len(rows))


@pytest.mark.parametrize(
    ("difference", "bound", "verdict"),
    [
        (1e-12, 1e-10, "holds"),
        (0.0, 1e-10, "holds"),
        (1e-3, 1e-10, "holds approximately"),
        (0.2, 1e-10, "does not hold"),
        (math.nan, 1e-10, "cannot be decided"),
        (1e-3, 0.05, "cannot be decided"),
        (0.2, 0.3, "cannot be decided"),
        (0.2, 0.05, "does not hold"),
    ],
)
def test_verdicts(difference, bound, verdict):
    one = Comparison("a", difference, bound)
    assert one.verdict == verdict
    good, aside = Comparison("b", 0.0, 1e-10), Comparison("c", 1.0, 1e-10, decides=False)
    outcome = Outcome("prop1", "sec. 1", "It is.", "both", (good, one, aside), "It was.", ())
    assert outcome.verdict == verdict
    assert outcome.comparison("c") is aside
    with pytest.raises(KeyError):
        outcome.comparison("d")


def test_float32_decides_what_is_well_conditioned(photo):
    result = run(CheckConfig(("prop1", "batch-norm"), source=photo, dtype="float32"))
    prop, norm = result.outcomes
    assert prop.verdict == "cannot be decided"
    assert "take float64" in prop.finding
    assert norm.verdict == "holds"
    assert 1e-9 < norm.difference < 1e-5  # it is float32 that computes
    with pytest.raises(OptionError, match="this result has prop1, batch-norm"):
        result.outcome("prop2")


def test_numbers_that_decide_nothing_are_introduced_as_such(photo):
    """Else the sentence says that both sides are equal, below a verdict that nothing is known."""
    result = run(CheckConfig(("equivalence", "batch-norm"), source=photo, dtype="float32"))
    undecided, decided = result.outcomes
    assert undecided.verdict == "cannot be decided" and decided.verdict == "holds"
    assert undecided.finding.startswith("Nothing is decided, since rounding in float32 may cause more than 1 %")
    assert "Nothing is decided" not in decided.finding


def test_a_run_is_reproducible_and_depends_on_its_seed(photo):
    one, again, other = (
        run(CheckConfig(("prop1",), source=photo, gray=True, seed=seed)).outcome("prop1") for seed in (0, 0, 1)
    )
    assert one.numbers() == again.numbers()
    assert not np.array_equal(one.curve("raw").y, other.curve("raw").y)
    assert other.verdict == "holds"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"names": ()}, "one or more checks"),
        ({"names": ("prop1", "prop1")}, "each once"),
        ({"names": ("prop4",)}, "did you mean prop3"),
        ({"names": "prop1"}, "tuple of texts"),
        ({"kernel_size": 4}, "odd"),
        ({"kernel_size": 17}, "at most 15"),
        ({"eps": 0.0}, "at least 1e-18"),
        ({"eps": -1.0}, "at least 0"),
        ({"images": 0}, "at least 1"),
        ({"dtype": "float16"}, "float64, float32"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(OptionError, match=message):
        CheckConfig(**settings)


def test_images_that_cannot_be_used(tmp_path):
    from PIL import Image

    save(tmp_path / "small.png", size=(12, 10))
    with pytest.raises(DataError, match="use larger or more images, or a smaller `kernel_size`"):
        run(CheckConfig(source=str(tmp_path / "small.png"), kernel_size=5))
    with pytest.raises(DataError, match=r"no image could be used; 12×10 pixels are less than the 24×24"):
        run(CheckConfig(source=str(tmp_path / "small.png"), kernel_size=15))
    Image.new("RGB", (40, 40), (10, 20, 30)).save(tmp_path / "flat.png")
    with pytest.raises(NotPositiveDefiniteError, match="is singular"):
        run(CheckConfig(source=str(tmp_path / "flat.png")))
    pixels = np.asarray(Image.open(save(tmp_path / "colour.png", size=(60, 50))).convert("L"))
    Image.fromarray(np.stack([pixels] * 3, -1)).save(tmp_path / "grey.png")
    with pytest.raises(NotPositiveDefiniteError, match="`gray=True` for grey images"):
        run(CheckConfig(source=str(tmp_path / "grey.png")))
    assert run(CheckConfig(("prop2",), source=str(tmp_path / "grey.png"), gray=True)).outcomes[0].verdict == "holds"
