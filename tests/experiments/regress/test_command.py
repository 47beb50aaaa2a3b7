"""``ndtools regress`` and ``ndtools mlp`` as their user meets them: screen, files, exit codes."""

import json

import numpy as np
import pytest

from tests.commands import invoke, numbers
from tests.small_set import write_small_set

pytestmark = pytest.mark.usefixtures("unpainted")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_small_set(tmp_path_factory.mktemp("sets") / "blobs")


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def regress(folder, out, *arguments):
    return invoke("regress", folder, "--out", out, "--iterations", 8, "--batch-size", 100, *arguments)


def mlp(folder, out, *arguments):
    return invoke("mlp", folder, "--out", out, "--hidden", "6,5", "--epochs", 2, "--batch-size", 50, *arguments)


def test_regress_writes_what_it_promises(folder, out):
    result = regress(folder, out, "--baseline-lr", "auto, 0.001", "--lr", "0.5")
    assert result.exit_code == 0, result.stderr
    for extension in ("png", "npz", "json"):
        assert str(out / f"regress.{extension}") in result.stderr
    assert "limit: learning rate 2/λ_max" in result.stderr
    content = numbers(out, "regress")
    assert content["input"] == str(folder)
    assert content["dataset"] == {"name": "blobs", "synthetic": False, "location": str(folder)}
    assert set(content["losses"]) == {"l2", "logistic"}
    for loss in content["losses"].values():
        assert set(loss["optimum"]) >= {"loss", "test_accuracy"}
        names = [arm["name"] for arm in loss["arms"]]
        assert names == ["sgd", "sgd", "bn", "bn", "deconv"]
        for arm in loss["arms"]:
            assert set(arm) >= {
                "name",
                "lr",
                "stability_limit",
                "loss",
                "train_loss",
                "test_accuracy",
                "diverged",
                "seconds",
            }
            assert len(arm["loss"]) == 8
        assert loss["arms"][-1]["lr"] == 0.5
    with np.load(out / "regress.npz") as arrays:
        assert arrays["l2_optimum_kernels"].shape == (3, 1, 5, 5)
        np.testing.assert_allclose(arrays["l2_deconv_0.5_loss"][0], content["losses"]["l2"]["arms"][-1]["loss"])


def test_regress_says_that_an_arm_diverges(folder, out):
    result = regress(folder, out, "--loss", "l2", "--baseline-lr", "50", "--iterations", 60)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.count("diverged") == 2
    sgd, bn, deconv = numbers(out, "regress")["losses"]["l2"]["arms"]
    assert (sgd["diverged"], bn["diverged"], deconv["diverged"]) == (True, True, False)
    assert None in sgd["loss"]  # not NaN, which JSON has not


def test_regress_predicts_full_batch_descent(folder, out):
    result = invoke(
        "regress", folder, "--out", out, "--iterations", 8, "--loss", "l2", "--full-batch", "--theory", "--json"
    )
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout) == numbers(out, "regress")
    for arm in numbers(out, "regress")["losses"]["l2"]["arms"]:
        np.testing.assert_allclose(arm["theory"], arm["loss"], rtol=1e-9)


def test_every_option_of_regress_arrives(folder, out):
    given = {
        "loss": "l2",
        "lr": "0.7",
        "baseline_lr": ["0.001"],
        "batch_size": 90,
        "iterations": 3,
        "n_iter": 4,
        "eps": 0.01,
        "shrinkage": "lw",
        "repeats": 2,
        "theory": True,
        "seed": 5,
        "jobs": 1,
    }
    arguments = []
    for name, value in given.items():
        option = "--" + name.replace("_", "-")
        arguments += [option] if value is True else [option, *(value if isinstance(value, list) else [value])]
    result = invoke("regress", folder, "--out", out, *arguments)
    assert result.exit_code == 0, result.stderr
    config = numbers(out, "regress")["config"]
    assert {name: config[name] for name in given} == given


def test_every_option_of_mlp_arrives(folder, out):
    given = {
        "hidden": [4, 3],
        "epochs": 1,
        "batch_size": 60,
        "lr": [0.2],
        "momentum": 0.5,
        "n_iter": 4,
        "eps": 0.01,
        "block_size": 5,
        "repeats": 1,
        "seed": 5,
        "jobs": 1,
    }
    arguments = []
    for name, value in given.items():
        text = ",".join(map(str, value)) if isinstance(value, list) else value
        arguments += ["--" + name.replace("_", "-"), text]
    result = invoke("mlp", folder, "--out", out, *arguments)
    assert result.exit_code == 0, result.stderr
    config = numbers(out, "mlp")["config"]
    assert {name: config[name] for name in given} == given


def test_a_set_without_differences(tmp_path, out):
    folder = write_small_set(tmp_path / "set", constant=range(25))
    result = regress(folder, out)
    assert result.exit_code == 3
    assert "all training images of set are the same" in result.stderr


def test_a_perfect_fit_is_written(tmp_path, out):
    folder = write_small_set(tmp_path / "set", classes=1)
    result = regress(folder, out)
    assert result.exit_code == 0, result.stderr


def test_regress_has_data_of_its_own(out):
    result = invoke("regress", "--out", out, "--iterations", 2, "--loss", "l2")
    assert result.exit_code == 0, result.stderr
    assert "glyphs (synthetic)" in result.stdout
    assert numbers(out, "regress")["dataset"] == {"name": "glyphs", "synthetic": True, "location": "built in"}


def test_mlp_writes_what_it_promises(folder, out):
    result = mlp(folder, out, "--lr", "0.01,0.5", "--repeats", 2)
    assert result.exit_code == 0, result.stderr
    content = numbers(out, "mlp")
    assert content["widths"] == [25, 6, 5, 3]
    assert [arm["name"] for arm in content["arms"]] == ["none", "bn", "deconv"]
    for arm in content["arms"]:
        assert np.array(arm["train_loss"]).shape == np.array(arm["test_accuracy"]).shape == (2, 2)
        assert [tried["lr"] for tried in arm["tried"]] == [0.01, 0.5]
    with np.load(out / "mlp.npz") as arrays:
        assert arrays["deconv_loss"].shape == (2, 2, 6)
    assert "±" in result.stdout


@pytest.mark.parametrize(
    ("command", "arguments", "code", "message"),
    [
        (regress, ["--lr", "0"], 2, "--lr must be a positive number, or auto"),
        (regress, ["--baseline-lr", "0.02,0.020"], 2, "--baseline-lr must name one or more rates, each once"),
        (regress, ["--epochs", "2"], 2, "--iterations has no meaning with --epochs"),
        (regress, ["--method", "eigh", "--n-iter", "7"], 2, "--n-iter has no meaning with --method eigh"),
        (regress, ["--seed", "99999999999999999999"], 2, "--seed"),
        (regress, ["--baseline-lr", "0.1,fast"], 2, "--baseline-lr must be a positive number, or auto, got 'fast'"),
        (regress, ["--loss", "logistic", "--theory"], 2, "--theory predicts the L2 loss only"),
        (regress, ["--full-batch"], 2, "--batch-size has no meaning with --full-batch"),
        (regress, ["--method", "eigh", "--batch-size", "300"], 0, ""),
        (mlp, ["--batch-size", "1"], 2, "--batch-size must be at least 2"),
        (mlp, ["--hidden", "6,x"], 2, "--hidden must be whole numbers separated by commas, got '6,x'"),
        (mlp, ["--lr", "0.1,"], 2, "--lr must be numbers separated by commas"),
        (mlp, ["--hidden", "0"], 2, "--hidden"),
        (mlp, ["--momentum", "1"], 2, "--momentum"),
    ],
)
def test_wrong_options_are_named(folder, out, command, arguments, code, message):
    result = command(folder, out, *arguments)
    assert result.exit_code == code, result.stderr
    assert message in result.stderr
    assert code == 0 or not list(out.glob("*.png"))


@pytest.mark.parametrize("command", [regress, mlp])
def test_data_that_are_not_here(tmp_path, out, command, monkeypatch):
    monkeypatch.setenv("NDTOOLS_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    result = command("mnist", out)
    assert result.exit_code == 3
    assert "ndtools data fetch mnist" in result.stderr
    assert command("nothing", out).exit_code == 3


def test_a_singular_covariance_without_ridge(tmp_path, out):
    folder = write_small_set(tmp_path / "set", constant=(3,))
    result = invoke("regress", folder, "--out", out, "--full-batch", "--method", "eigh", "--eps", 0)
    assert result.exit_code == 4
    assert "add a ridge" in result.stderr
