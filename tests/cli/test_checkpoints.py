"""``ndtools convert``, ``fold`` and ``audit`` as their user meets them: screen, files, exit codes."""

import json

import pytest
import torch
from torch import nn

from ndtools.experiments.networks import CheckpointConfig, Network, load_network
from ndtools.layers.checkpoints import load_state, save_state
from ndtools.layers.config import DeconvConfig
from ndtools.layers.replacing import deconvolves
from ndtools.models import build, vgg
from ndtools.models.factories import batch_norm, deconv, plain
from tests.cli.test_kernels import invoke

pytestmark = pytest.mark.filterwarnings("ignore::ndtools.errors.NumericalWarning")
BLOCK = 16  # small, so that tests are quick


@pytest.fixture(scope="module", autouse=True)
def narrow():
    """VGGs of few channels, and so small files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vgg, "_WIDTHS", (16, 16, 32, 32, 32))
        yield


def trained(model, in_channels=3, steps=2):
    """Train for a few steps on noise."""
    torch.manual_seed(0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(steps):
        x = torch.randn(4, in_channels, 32, 32)
        nn.functional.cross_entropy(model(x), torch.arange(4)).backward()
        optimizer.step()
        optimizer.zero_grad()
    return model


@pytest.fixture(scope="module")
def images():
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A VGG-11 as the published code saves it, and the network."""
    torch.manual_seed(0)
    config = DeconvConfig.reference(block_size=BLOCK)
    linear = DeconvConfig.reference(block_size=32)
    model = trained(build("vgg11", deconv(config, first=config, linear=linear), num_classes=7), steps=1).eval()
    state = {}
    for key, value in model.state_dict().items():
        if "num_batches_tracked" in key:
            continue
        if "running_mean" in key:
            value = value.flatten()
        if "running_deconv" in key:
            value = value[0, 0]
        state["module." + key.replace("whitening.", "")] = value
    path = tmp_path_factory.mktemp("published") / "ckpt.pt"
    torch.save({"net": state, "acc": 12.5, "epoch": 3}, path)
    return path, model


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A checkpoint of the project, and the network."""
    path = tmp_path_factory.mktemp("own") / "net.safetensors"
    config = DeconvConfig(block_size=BLOCK, sampling_stride=2)
    network = Network(arch="vgg11", num_classes=5, in_channels=1, form="deconv", config=config, first=config)
    torch.manual_seed(0)
    model = trained(network.build(), 1).eval()
    save_state(path, model.state_dict(), network.numbers())
    return path, model


def test_from_published_to_folded(published, images, tmp_path):
    source, model = published
    ours, folded = tmp_path / "ours.safetensors", tmp_path / "folded.safetensors"
    result = invoke("convert", source, "--arch", "vgg11", "--to", ours)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "vgg11 · 3 channels · 7 classes · translated from the published code: the same function"
    assert lines[2].split()[:4] == ["features.0", "FastDeconv", "FastDeconv2d", "converted"]
    assert lines[-2].split()[:4] == ["classifier", "Delinear", "DeconvLinear", "converted"]
    assert lines[-1] == "9 converted, 0 removed, 0 kept"
    assert result.stderr.startswith(f"{ours}   ")
    network, state = load_network(CheckpointConfig(source=str(ours)))
    assert (network.config.block_size, network.config.grouping) == (BLOCK, "interleaved")
    assert (network.first.n_iter, network.first.freeze_after) == (15, 101)
    again = network.build().eval()
    again.load_state_dict(state)
    torch.testing.assert_close(again(images), model(images))

    result = invoke("fold", ours, "--to", folded)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("vgg11 · 3 channels · 7 classes · 9 layers folded · max difference ")
    assert result.stdout.endswith("8 random images 32×32, seed 0\n")
    simple = build("vgg11", plain(), num_classes=7).eval()
    state, metadata = load_state(folded)
    simple.load_state_dict(state)
    assert metadata["form"] == "plain"
    torch.testing.assert_close(simple(images), model(images), rtol=1e-3, atol=1e-4)
    straight = invoke("fold", source, "--arch", "vgg11", "--to", tmp_path / "straight.safetensors", "--json")
    assert straight.exit_code == 0, straight.stderr
    content = json.loads(straight.stdout)
    assert content["max_difference"] < 1e-5 * max(1, content["largest_output"])
    assert (content["layers"], content["size"], content["seed"]) == (9, 32, 0)
    assert content["output"] == str(tmp_path / "straight.safetensors")
    assert content["input"] == str(source)
    torch.testing.assert_close(load_state(tmp_path / "straight.safetensors")[0], state)


@pytest.mark.parametrize(
    ("arch", "make"),
    [
        ("vgg11", batch_norm(conv_bias=True)),
        ("resnet18", batch_norm()),
        ("preact18", batch_norm()),
        ("preact18", plain()),
    ],
)
def test_a_network_that_is_not_of_the_method(arch, make, images, tmp_path):
    model = build(arch, make, num_classes=4).eval()
    source = tmp_path / "net.pt"
    torch.save({"state_dict": model.state_dict()}, source)
    result = invoke("convert", source, "--arch", arch, "--json", "-q")
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    content = json.loads(result.stdout)
    norms = sum(isinstance(m, nn.BatchNorm2d) for m in model.modules())
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert (content["converted"], content["removed"], content["kept"]) == (len(convolutions) + 1, norms, 0)
    assert content["layers"][0]["reason"].startswith("first")
    network, state = load_network(CheckpointConfig(source=str(tmp_path / "net-deconv.safetensors")))
    assert network.first == DeconvConfig(n_iter=15, freeze_after=200)
    assert network.linear == DeconvConfig(block_size=512)
    ours = network.build()
    ours.load_state_dict(state)
    layers = [m for m in ours.modules() if deconvolves(m)]
    for old, new in zip(convolutions, layers[:-1], strict=True):
        assert torch.equal(old.weight, new.weight)
        assert not new.bias.any() if old.bias is None else torch.equal(old.bias, new.bias)
    if not norms:
        torch.testing.assert_close(ours.eval()(images), model(images))
    refused = invoke("fold", tmp_path / "net-deconv.safetensors")
    assert refused.exit_code == 3
    assert "have not seen a training batch" in refused.stderr


def test_audit(own):
    path, model = own
    result = invoke("audit", path, "--batch-size", 4)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "vgg11 · 1 channel · 5 classes · batches of 4 images 32×32"
    assert len(lines) == 2 + 8 + 1
    assert lines[2].split()[:5] == ["features.0", "FastDeconv2d", "1×1", "9", "900"]
    assert lines[-1] == "8 deconvolution layers, 0 batch normalisations left"
    result = invoke("audit", path, "--json", "--batch-size", 4)
    content = json.loads(result.stdout)
    assert result.stderr == ""
    assert content["network"]["config"]["sampling_stride"] == 2
    assert [row["batches"] for row in content["rows"]] == [2] * 8
    assert content["rows"][0]["condition"] > 1
    assert content["batch_norms"] == []


def test_audit_counts_the_batch_normalisations_of_other_networks(tmp_path):
    save_state(tmp_path / "bn.safetensors", build("vgg11", batch_norm()).state_dict())
    result = invoke("audit", tmp_path / "bn.safetensors", "--arch", "vgg11", "--batch-size", 1)
    assert result.exit_code == 1 or "0 deconvolution layers, 8 batch normalisations left: features.1" in result.stdout
    result = invoke("audit", tmp_path / "bn.safetensors", "--arch", "vgg11", "--batch-size", 2)
    assert "0 deconvolution layers, 8 batch normalisations left: features.1" in result.stdout


def test_own_state_without_metadata_needs_the_settings(own, tmp_path):
    path, model = own
    state, _ = load_state(path)
    save_state(tmp_path / "bare.safetensors", state)
    result = invoke("audit", tmp_path / "bare.safetensors", "--arch", "vgg11")
    assert result.exit_code == 3  # blocks of 16, where the preset has 64
    assert "not a checkpoint of vgg11 in the form 'deconv': features" in result.stderr
    whole = build("vgg11", deconv(), in_channels=1)
    save_state(tmp_path / "whole.safetensors", whole.state_dict())
    result = invoke("audit", tmp_path / "whole.safetensors", "--arch", "vgg11", "--batch-size", 2)
    assert result.exit_code == 0, result.stderr
    result = invoke("audit", tmp_path / "whole.safetensors", "--arch", "vgg11", "--config", "reference")
    assert result.exit_code == 3
    assert "running_deconv is missing" in result.stderr


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--arch", "vgg16"], 2, "--arch vgg16 contradicts the checkpoint, which says vgg11"),
        (["--arch", "vgg12"], 2, "--arch must be one of vgg11, vgg13"),
        (["--num-classes", 10], 2, "--num-classes 10 contradicts the checkpoint, which says 5"),
        (["--in-channels", 3], 2, "--in-channels 3 contradicts the checkpoint, which says 1"),
        (["--config", "reference"], 2, "--config reference contradicts the checkpoint's settings"),
        (["--size", 31], 2, "--size must be at least 32, got 31"),
        (["--in-channels", 0], 2, "--in-channels must be at least 1, got 0"),
        (["--to", "net.pt"], 2, "--to must end in .safetensors, got net.pt"),
    ],
)
def test_contradictions(own, options, code, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = invoke("fold", own[0], *options)
    assert result.exit_code == code
    assert message in result.stderr
    assert not own[0].with_name("net-folded.safetensors").exists()


def test_options_that_agree_are_no_contradiction(own, tmp_path):
    agreeing = ["--arch", "vgg11", "--num-classes", 5, "--in-channels", 1, "--config", "paper"]
    result = invoke("fold", own[0], *agreeing, "--to", tmp_path / "x.safetensors", "-q")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    result = invoke("fold", own[0], "--to", tmp_path / "x.safetensors")
    assert result.stderr.endswith("(replaced)\n")


def test_unusable_checkpoints(own, published, tmp_path):
    path, source = own[0], published[0]
    for arguments, code, message in (
        (["fold", tmp_path / "none.pt"], 3, "no such file"),
        (["fold", source], 2, "--arch is needed"),
        (["fold", source, "--arch", "resnet18"], 3, "not a checkpoint of resnet18 in the form 'deconv': "),
        (["fold", source, "--arch", "vgg11", "--num-classes", 8], 2, "--num-classes 8 contradicts the checkpoint"),
        (["convert", source, "--arch", "vgg11", "--config", "paper"], 2, "paper contradicts"),
        (["fold", source, "--arch", "vgg11", "--config", "paper"], 2, "paper contradicts"),
        (["convert", path], 3, "it has deconvolution layers of ndtools already"),
        (["convert", path, "--to", path], 2, "must not be the checkpoint itself"),
        (["audit", path, "--batch-size", 0], 2, "--batch-size must be at least 1"),
    ):
        result = invoke(*arguments)
        assert result.exit_code == code, (arguments, result.stderr)
        assert message in result.stderr
    save_state(tmp_path / "plain.safetensors", build("vgg11", plain()).state_dict())
    result = invoke("fold", tmp_path / "plain.safetensors", "--arch", "vgg11")
    assert result.exit_code == 3
    assert "there is nothing to fold" in result.stderr
    result = invoke("fold", tmp_path / "plain.safetensors", "--arch", "vgg13")
    assert result.exit_code == 3
    assert "not a checkpoint of vgg13" in result.stderr
    save_state(tmp_path / "odd.safetensors", load_state(path)[0], {"arch": "vgg11", "later": 1})
    result = invoke("fold", tmp_path / "odd.safetensors")
    assert result.exit_code == 3
    assert "metadata that this version does not know" in result.stderr
