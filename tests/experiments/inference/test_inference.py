"""Times of networks at testing time: the arms are what they are called, and the numbers those of the clock."""

import itertools

import numpy as np
import pytest
import torch

import ndtools as nd
from ndtools.errors import OptionError
from ndtools.experiments.inference import run as module
from ndtools.experiments.inference.config import InferenceConfig
from ndtools.experiments.inference.result import ARMS, InferenceResult, NetworkTimes
from tests.commands import invoke, numbers

SMALL = {"batch_size": 2, "repeats": 3, "jobs": 1, "device": "cpu"}


def test_the_arms_are_what_they_are_called():
    """Folding changes the outputs by rounding alone, and leaves plain layers, as many weights as the plain network."""
    config = InferenceConfig("simple_cnn", **SMALL)
    batch = torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    networks, difference = module._networks("simple_cnn", config, batch)
    assert set(networks) == set(ARMS)
    with torch.no_grad():
        deconv, folded = (networks[arm](batch[:2]).double() for arm in ("deconv", "folded"))
    largest = float(deconv.abs().max())
    assert float((deconv - folded).abs().max()) / largest == pytest.approx(difference, rel=1e-3, abs=1e-9)
    # Products of some hundred terms in float32, through five layers.
    assert 0 <= difference < 1e-4
    kinds = {arm: {type(layer).__name__ for layer in network.modules()} for arm, network in networks.items()}
    assert any("Deconv" in name for name in kinds["deconv"])
    assert not any("Deconv" in name for name in kinds["folded"])
    assert any("BatchNorm" in name for name in kinds["bn"])
    assert not any("Norm" in name or "Deconv" in name for name in kinds["none"])
    assert not any(network.training for network in networks.values())
    weights = {arm: sum(p.numel() for p in network.parameters() if p.ndim > 1) for arm, network in networks.items()}
    assert weights["folded"] == weights["none"]


def test_times_are_those_of_the_clock(monkeypatch):
    """Each arm takes the next of four durations, in the order of the arms, in every round."""
    durations = {"deconv": 0.4, "folded": 0.1, "bn": 0.2, "none": 0.05}
    ticks = itertools.accumulate(itertools.cycle(each for arm in ARMS for each in (0.0, durations[arm])))
    monkeypatch.setattr(module, "seconds_at", lambda _: next(ticks))
    (times,) = nd.inference("simple_cnn", **SMALL).networks
    for arm in ARMS:
        assert times.seconds[arm] == pytest.approx([durations[arm]] * 3)
    assert times.ratio("folded", "deconv") == pytest.approx(0.25)
    assert times.ratio("folded", "none") == pytest.approx(2.0)


def test_the_median_is_that_of_the_repeats():
    times = NetworkTimes("x", {"folded": np.array([1.0, 9.0, 2.0]), "bn": np.array([4.0, 4.0, 5.0])}, 0.0)
    assert times.median("folded") == 2.0
    assert times.ratio("folded", "bn") == 0.5


@pytest.mark.usefixtures("unpainted")
def test_screen_and_files(tmp_path):
    result = invoke("inference", "simple_cnn", "-b", 2, "--repeats", 2, "-j", 1, "--out", tmp_path)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].startswith("Testing time · batches of 2 images of 32×32 pixels · median of 2 · cpu")
    assert lines[2].split()[0] == "simple_cnn"
    assert max(map(len, lines[1:])) <= 80
    (network,) = numbers(tmp_path, "inference")["networks"]
    with np.load(tmp_path / "inference.npz") as arrays:
        assert arrays["seconds"].shape == (1, 4, 2)
        for arm, seconds in zip(arrays["arms"], arrays["seconds"][0], strict=True):
            assert network["seconds_per_image"][str(arm)] == pytest.approx(np.median(seconds) / 2)
    caption = (tmp_path / "inference.txt").read_text()
    assert "median (mark) and range (line) of 2 repeats" in caption


@pytest.mark.parametrize("slower", [3, 1000])
def test_all_marks_are_apart_from_the_frame_where_networks_differ_much(slower):
    """Marks at a thousandth of the width would be cut by the frame, and lie on top of one another."""
    networks = tuple(
        NetworkTimes(arch, {arm: factor * np.linspace(1e-3, 2e-3, 3) * (1 + i) for i, arm in enumerate(ARMS)}, 0.0)
        for arch, factor in (("simple_cnn", 1), ("vgg11", slower))
    )
    config = InferenceConfig(("simple_cnn", "vgg11"), **SMALL)
    result = InferenceResult(config, networks, "cpu", "a processor", 1, "2.0")
    for width in (85, 180):
        fig = result.plot(width=width)
        fig.canvas.draw()
        (ax,) = fig.axes
        marks = [line for line in ax.lines if line.get_marker() not in ("", "None", None)]
        assert len(marks) == 8
        left = [
            ax.transAxes.inverted().transform(ax.transData.transform((line.get_xdata()[0], 0)))[0] for line in marks
        ]
        assert min(left) > 0.02 and max(left) < 0.98
        assert ax.get_xscale() == ("log" if slower > 20 else "linear")
    assert ("logarithmic axis" in result.caption) == (slower > 20)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"archs": ("vgg16", "vgg61")}, "got 'vgg61'"),
        ({"archs": ()}, "one network or more"),
        ({"archs": ("vgg16", "vgg16")}, "each once"),
        ({"norm": "bn"}, "got 'bn'"),
        ({"repeats": 0}, "repeats"),
    ],
)
def test_bad_settings_are_named(settings, words):
    with pytest.raises(OptionError, match=words):
        InferenceConfig(**settings)


def test_a_batch_that_is_too_large_is_refused():
    with pytest.raises(OptionError, match="batch_size: 100000000 is too large"):
        nd.inference("simple_cnn", **{**SMALL, "batch_size": 100_000_000})


def test_an_argument_that_may_be_repeated_has_its_plain_name_in_errors():
    result = invoke("inference", "vgg")
    assert result.exit_code == 2 and result.stderr.startswith("error: ARCH must be one of vgg11, ")
