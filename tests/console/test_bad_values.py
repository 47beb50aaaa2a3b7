"""Numbers and names that no computation can be made of: one line, the option's name, and the right exit code."""

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from ndtools.cli.app import app
from ndtools.layers.config import DeconvConfig
from ndtools.layers.sampling import axes_of, patches_of
from ndtools.models import build
from ndtools.models.factories import plain
from tests.small_set import write_small_set

HUGE, LARGE = "100000000000000000000", "1000000000"
LONG = "n" * 300


def refused(tmp_path, monkeypatch, command, code, message):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, command.split())
    assert result.exit_code == code, (result.stderr, result.exception)
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") <= 2
    assert message in result.stderr


@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("kernels --covariance im2col --stride", "stride"),
        ("kernels --bootstrap", "bootstrap"),
        ("kernels --jobs", "jobs"),
        ("kernels --method coupled --iterations", "iterations"),
        ("sparsity --bins", "bins"),
        ("sparsity --bootstrap", "bootstrap"),
        ("compare-sets sample dead-leaves --bootstrap", "bootstrap"),
        ("covariance --method coupled --iterations", "iterations"),
        ("deconvolve --method coupled --iterations", "iterations"),
        ("ns-stability --iterations", "iterations"),
        ("regress --n-iter", "n-iter"),
        ("mlp --hidden 5,", "hidden"),
        ("mlp --block-size", "block-size"),
        ("deblur --n-iter", "n-iter"),
        ("timing --jobs", "jobs"),
    ],
)
@pytest.mark.parametrize("value", [LARGE, HUGE])
def test_counts_beyond_reason(tmp_path, monkeypatch, command, option, value):
    joined = f"{command}{value}" if command.endswith(",") else f"{command} {value}"
    refused(tmp_path, monkeypatch, joined, 2, f"--{option} must be at most ")


def test_a_choice_that_does_not_exist_is_named_without_phrases_of_the_parser():
    result = CliRunner().invoke(app, ["regress", "--loss", "hinge"], env={"COLUMNS": "120"})
    assert result.exit_code == 2
    assert "Invalid value for '--loss': 'hinge' is not one of 'l2', 'logistic', 'both'." in result.stderr


@pytest.mark.parametrize(
    "command",
    [
        "kernels --images",
        "regress --iterations",
        "regress --epochs",
        "regress --repeats",
        "regress --batch-size",
        "mlp --epochs",
        "mlp --repeats",
        "mlp --batch-size",
        "timing --repeats",
        "timing --batch-size",
    ],
)
def test_counts_that_overflow(tmp_path, monkeypatch, command):
    refused(
        tmp_path, monkeypatch, f"{command} {HUGE}", 2, f"{command.split()[1]} must be at most 1000000000, got {HUGE}"
    )


@pytest.mark.parametrize(
    "command",
    [
        *(f"{c} --eps" for c in ("kernels", "sparsity", "covariance", "deconvolve", "deblur", "regress", "mlp")),
        "ns-stability --eps",
        "regress --lr",
        "regress --baseline-lr",
        "mlp --lr",
    ],
)
def test_ridges_and_rates_that_overflow(tmp_path, monkeypatch, command):
    refused(tmp_path, monkeypatch, f"{command} 1e308", 2, f"{command.split()[1]} must be at most 1e+")


@pytest.mark.parametrize("command", ["kernels sample-photo -k 3", "deblur --iterations 2"])
def test_the_largest_ridge_that_is_taken_works(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, [*command.split(), "--eps", "1e12"])
    assert result.exit_code == 0, (result.stderr, result.exception)


def test_wide_layers_are_refused_by_the_memory_they_take(tmp_path, monkeypatch):
    write_small_set(tmp_path / "set")
    refused(
        tmp_path,
        monkeypatch,
        "mlp set --hidden 99000,99000",
        2,
        "--hidden 99000,99000 is too large for this machine: it",
    )


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        (f"kernels --name {LONG}", 1, "File name too long; choose a shorter --name"),
        (f"kernels --out {LONG}", 1, "File name too long; choose another folder with --out"),
        (f"kernels --save-moments {LONG}.npz", 1, "File name too long; choose another file with --save-moments"),
        (f"deblur --blur {LONG}", 3, "no such blur"),
        ("deblur --blur gauss:2", 2, "--blur must be gaussian:SIGMA, motion:LENGTH,ANGLE, or a file, got 'gauss:2'"),
        ("kernels --quiet --verbose", 2, "--quiet cannot be combined with --verbose"),
        (f"audit {LONG}.pt", 3, "no such file"),
        (f"fold {LONG}.pt --to x.safetensors", 3, "no such file"),
        (f"fold {LONG}.pt", 1, "File name too long; choose a shorter name with --to"),
        (f"convert x.pt --to {LONG}.safetensors", 1, "File name too long; choose a shorter name with --to"),
        ("deblur missing.png -k 5", 3, "no such file or folder: 'missing.png'"),
        ("kernels one two", 2, "error: SOURCE must be one, got 2"),
        ("kernels --from-moments a.npz b.mom", 2, "write --from-moments before it, or let its name end in .npz"),
    ],
)
def test_names_and_settings(tmp_path, monkeypatch, command, code, message):
    refused(tmp_path, monkeypatch, command, code, message)


@pytest.fixture(scope="module")
def weights():
    torch.manual_seed(0)
    return build("vgg11", plain()).state_dict()


@pytest.mark.parametrize("command", ["audit", "fold", "convert"])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda weight: weight[:0], "classifier.weight has no values: its shape is (0, 512)"),
        (lambda weight: weight.new_zeros(0), "classifier.weight has no values: its shape is (0,)"),
        (lambda weight: weight.to_sparse(), "classifier.weight is of the layout torch.sparse_coo, not a dense tensor"),
        (lambda weight: weight.to("meta"), "classifier.weight is a meta tensor, which has no values"),
    ],
)
def test_weights_without_values(tmp_path, monkeypatch, weights, command, spoil, message):
    torch.save(weights | {"classifier.weight": spoil(weights["classifier.weight"])}, tmp_path / "x.pt")
    refused(tmp_path, monkeypatch, f"{command} x.pt --arch vgg11", 3, f"x.pt: {message}")


@pytest.mark.parametrize("metadata", ["[" * 100_000, '{"x": ' + "[" * 500 + "]" * 500 + "}"])
def test_deeply_nested_metadata(tmp_path, monkeypatch, metadata):
    save_file({"weight": torch.ones(2)}, tmp_path / "x.safetensors", {"ndtools": metadata})
    refused(tmp_path, monkeypatch, "audit x.safetensors", 3, "x.safetensors: ")


def test_images_too_large_for_the_memory(tmp_path, monkeypatch, weights):
    torch.save(weights, tmp_path / "x.pt")
    for option, value in (("--size", LARGE), ("--size", HUGE), ("--batch-size", LARGE), ("--batch-size", HUGE)):
        command = f"audit x.pt --arch vgg11 {option} {value}"
        refused(tmp_path, monkeypatch, command, 2, f"{option} {value} is too large for this machine: it takes ")


def test_a_huge_sampling_stride_takes_one_position_at_once():
    for grid in ("staggered", "corner"):
        found, expected = (axes_of(8, 3, 1, 1, (1, 1), sampling, grid) for sampling in (10**9, 100))
        assert [(axis.first, axis.count) for axis in found] == [(axis.first, axis.count) for axis in expected]
        around = {"sizes": (8,), "kernel": (3,), "stride": (1,), "dilation": (1,), "padding": [(1, 1)], "grid": grid}
        found, expected = (patches_of(2, sampling, patches=1000, **around) for sampling in (10**9, 8))
        assert found == expected
    with pytest.raises(ValueError, match="sampling_stride: must be at most 1000"):
        DeconvConfig(sampling_stride=10**9)
