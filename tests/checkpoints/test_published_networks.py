"""Checkpoints of the published networks become networks of this project that give the recorded outputs."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from ndtools.checkpoints.block_sizes import deconvolving
from ndtools.checkpoints.config import CheckpointConfig, LayerSettings
from ndtools.checkpoints.files import load_network, read_checkpoint
from ndtools.layers.config import DeconvConfig
from ndtools.models import build
from ndtools.models.factories import Factories, LayerSpec, deconv, plain
from ndtools.models.norms import arm
from ndtools.models.spec import NetworkSpec
from ndtools.surgery.replacing import deconvolves
from tests.commands import invoke
from tests.oracles import published_networks as published
from tests.places import real

pytestmark = pytest.mark.filterwarnings("ignore::ndtools.errors.NumericalWarning")


def with_statistics(name, **roles):
    """Build a network in its published form with random statistics, as if it had been trained."""
    torch.manual_seed(0)
    network = build(name, Factories({**arm("deconv-reference", name).layers, **roles})).eval()
    for value in network.buffers():
        # the translation counts one batch, since the published layers do not count them
        value += 0.1 * torch.rand_like(value) / value.shape[-1] if value.is_floating_point() else 1
    return network


def outputs(network):
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        return network(images)


def assert_same_function(found, wanted):
    """Assert that two networks have equal layers, and equal tensors up to the roundings of unequal alignment."""
    assert found.spec == wanted.spec
    assert str(found) == str(wanted)
    expected = outputs(wanted)
    assert expected.isfinite().all()
    torch.testing.assert_close(outputs(found), expected, rtol=0, atol=1e-4 * expected.abs().max().item())


@pytest.mark.parametrize("key", published.QUICK)
def test_a_published_checkpoint_gives_the_published_outputs(key, tmp_path):
    name, form = key.split("/")
    network = published.network_of(key)
    first, second = published.batches()
    with torch.no_grad():
        network(first)
        network(second)
    path = tmp_path / "checkpoint.pth.tar"
    torch.save(published.published_checkpoint(network), path)
    if form == "nd":
        result = invoke("convert", path, "--arch", name)
        assert result.exit_code == 0, result.stderr
        assert "translated from the published code: the same function" in result.stdout
        again = load_network(tmp_path / "checkpoint-deconv.safetensors")
    else:  # converted, it would be another function
        again = load_network(path, arch=name)
    assert again.spec == build(name, published.ARMS[form]).spec
    with torch.no_grad():
        ours = again(second).numpy()
    wanted = published.recorded(key)["yeval"]
    assert np.abs(ours - wanted).max() <= published.allowed(key) * np.abs(wanted).max()


@pytest.mark.parametrize("key", [key for key in published.NETWORKS if key not in published.QUICK])
def test_a_checkpoint_of_a_large_network_has_the_published_layers(key, tmp_path):
    """The script of the oracle compares their outputs, too. These files are large: not written on every machine."""
    real("published_networks.npz")
    name, form = key.split("/")
    with torch.device("meta"):
        network = build(name, published.ARMS[form]).half()  # for smaller files
    network.to_empty(device="cpu")
    for index, value in enumerate(network.state_dict().values()):
        value.fill_(index + 1)
    torch.save(published.published_state(network), tmp_path / "ckpt.pt")
    given = read_checkpoint(CheckpointConfig(source=str(tmp_path / "ckpt.pt"), arch=name))
    assert given.network == network.spec
    assert given.published == (form == "nd")
    wanted = network.state_dict()
    assert set(given.state) == set(wanted)
    assert all(given.state[key].shape == value.shape for key, value in wanted.items())
    ordered = [key for key in wanted if not key.endswith("whitening.num_batches_tracked")]
    assert all(given.state[key].flatten()[0] == wanted[key].flatten()[0] for key in ordered)


@pytest.mark.parametrize("name", ["pnasnet_a", "mobilenet_v2", "efficientnet_b0"])
def test_the_linear_layer_may_be_an_ordinary_one(name, tmp_path):
    """As with --block-fc 0, the default of the published code."""
    network = with_statistics(name, linear=LayerSpec())
    torch.save(published.published_state(network), tmp_path / "ckpt.pt")
    assert_same_function(load_network(tmp_path / "ckpt.pt", arch=name), network)


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda state: state,
        lambda state: {f"module.{key}": value for key, value in state.items()},
        lambda state: {"net": {f"module.{key}": value for key, value in state.items()}, "acc": 90.0, "epoch": 3},
    ],
)
def test_state_dicts_of_parallel_networks_and_bare_ones(wrapped, tmp_path):
    network = with_statistics("pnasnet_a")
    torch.save(wrapped(published.published_state(network)), tmp_path / "ckpt.pt")
    assert_same_function(load_network(tmp_path / "ckpt.pt", arch="pnasnet_a"), network)


def test_the_published_efficientnet_keeps_its_batch_normalisations(tmp_path):
    network = with_statistics("efficientnet_b0")
    path = tmp_path / "ckpt.pt"
    torch.save(published.published_state(network), path)
    result = invoke("convert", path, "--arch", "efficientnet_b0", "--json")
    assert result.exit_code == 0, result.stderr
    content = json.loads(result.stdout)
    assert (content["converted"], content["removed"], content["kept"]) == (2, 0, 132)
    assert {row["name"] for row in content["layers"] if row["action"] == "converted"} == {"conv1", "linear"}
    reasons = [row["reason"] for row in content["layers"] if row["was"] == "BatchNorm2d"]
    assert reasons == 50 * ["is there in the published network, too"]
    result = invoke("audit", tmp_path / "ckpt-deconv.safetensors", "--batch-size", 2)
    assert "2 deconvolution layers, 50 batch normalisations left" in result.stdout, result.stderr
    result = invoke("fold", path, "--arch", "efficientnet_b0")
    assert result.exit_code == 0, result.stderr
    folded = load_network(tmp_path / "ckpt-folded.safetensors")
    wanted = outputs(network)
    torch.testing.assert_close(outputs(folded), wanted, rtol=0, atol=1e-4 * wanted.abs().max().item())
    assert not any(deconvolves(module) for module in folded.modules())


def test_a_role_that_does_not_deconvolve_in_the_published_network_may_do_so_in_a_file(tmp_path):
    """Some have repaired the published EfficientNet, which deconvolves in its first layer only."""
    config = DeconvConfig.reference()
    first = replace(config, n_iter=10, freeze_after=101)
    makers = deconv(config, first=first, linear=replace(config, block_size=512))
    network = with_statistics("efficientnet_b0", **makers.layers)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    torch.save(published.published_state(network), tmp_path / "ckpt.pt")
    assert_same_function(load_network(tmp_path / "ckpt.pt", arch="efficientnet_b0"), network)


@pytest.mark.parametrize(
    ("name", "block_size"), [("densenet121", 32), ("densenet121", 512), ("dpn92", 512), ("mobilenet_v2", 16)]
)
def test_other_block_sizes_follow_from_the_shapes(name, block_size):
    """Channels of these networks have many divisors, and layers with few channels have all of them in one block."""
    makers = arm("deconv-reference", name, block_size=block_size)
    with torch.device("meta"):
        wanted = build(name, makers)
    ordinary = NetworkSpec(arch=name, num_classes=10, in_channels=3, layers=plain().layers)
    found = deconvolving(ordinary, wanted.state_dict(), LayerSettings(), published=True).outline()
    parts = [[m.parts for m in each.modules() if hasattr(m, "parts")] for each in (found, wanted)]
    assert len(parts[0]) > 50
    assert parts[0] == parts[1]


@pytest.mark.parametrize("form", ["deconv-reference", "bn"])
def test_the_stem_follows_from_the_shapes(form, tmp_path):
    with torch.device("meta"):
        network = build("resnet18", form, stem="imagenet", num_classes=5)
    network.to_empty(device="cpu")
    torch.save(published.published_state(network), tmp_path / "ckpt.pt")
    given = read_checkpoint(CheckpointConfig(source=str(tmp_path / "ckpt.pt"), arch="resnet18"))
    assert given.network == network.spec
    assert set(given.state) == set(network.state_dict())
