"""Settings that differ between the roles of layers: built, saved, read, converted, folded and inspected."""

import json
from dataclasses import asdict, replace

import pytest
import torch
from torch import nn

from ndtools.checkpoints.config import CheckpointConfig, LayerSettings
from ndtools.checkpoints.files import load_network, read_checkpoint, save_network
from ndtools.checkpoints.state_dicts import save_state
from ndtools.errors import DataError
from ndtools.layers.config import DeconvConfig
from ndtools.layers.conv import FastDeconv2d
from ndtools.models import build
from ndtools.models.catalogue import CATALOGUE
from ndtools.models.factories import Factories, LayerSpec, batch_norm, deconv
from ndtools.surgery.audit import audit
from ndtools.surgery.fold import fold
from tests.commands import invoke
from tests.inverted_residuals import WIDTHS, inverted
from tests.narrow_networks import narrow
from tests.oracles.published_networks import published_state

__all__ = ["inverted"]

pytestmark = pytest.mark.filterwarnings("ignore::ndtools.errors.NumericalWarning")


def assert_same_outputs(one, other, images):
    """Weights are read to the bit, but not to equally aligned memory: products may round differently."""
    wanted = other(images)
    torch.testing.assert_close(one(images), wanted, rtol=0, atol=1e-4 * wanted.abs().max().item())


@pytest.fixture(scope="module")
def images():
    return torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(5))


def published(arch, **sizes):
    """Makers of a network's layers as in the published code."""
    settings = LayerSettings()
    return deconv_of(settings.by_role(DeconvConfig.reference, block_sizes=sizes, published=CATALOGUE[arch].published))


def deconv_of(roles):
    return deconv(roles["conv"], **{role: config for role, config in roles.items() if role != "conv"})


def seen(network, images):
    """Return a network in evaluation mode, after a training batch."""
    torch.manual_seed(0)
    with torch.no_grad():
        network(images)
    return network.eval()


def test_each_layer_has_the_settings_of_its_role(inverted, images):
    network = build(inverted, published(inverted))
    config = DeconvConfig.reference()
    assert network.conv.whitening.config == replace(config, n_iter=10, freeze_after=101)
    for block, width in (network.block1, WIDTHS[0]), (network.block2, WIDTHS[1]):
        assert block.expand.whitening.config == block.spread.whitening.config == config
        assert block.depthwise.whitening.config == replace(config, n_iter=1)
        assert block.project.whitening.config == replace(config, n_iter=1, block_size=width)
    rows = {row.name: row.blocks for row in audit(network, images).rows}
    assert rows["block1.project"] == ((2, 8),)
    assert rows["block2.project"] == ((2, 16),)
    assert rows["block2.depthwise"] == ((32, 1),)


def test_saved_read_and_folded(inverted, images, tmp_path):
    network = seen(build(inverted, published(inverted, linear=4), num_classes=5), images)
    save_network(network, tmp_path / "net.safetensors")
    again = load_network(tmp_path / "net.safetensors")
    assert again.spec == network.spec
    assert str(again) == str(network)
    assert_same_outputs(again, network, images)
    folded, _ = fold(network, images)
    assert folded.spec.form == "plain"
    save_network(folded, tmp_path / "folded.safetensors")
    assert_same_outputs(load_network(tmp_path / "folded.safetensors"), folded, images)
    result = invoke("fold", tmp_path / "net.safetensors", "--json", "-q")
    assert result.exit_code == 0, result.stderr
    content = json.loads(result.stdout)
    assert content["max_difference"] < 1e-4 * content["largest_output"]
    assert content["layers"] == 10


def test_a_network_that_keeps_batch_normalisation_in_some_roles(inverted, images, tmp_path):
    """As EfficientNet in the published code: only the first layer deconvolves."""
    config = DeconvConfig.reference(n_iter=10)
    layers = {**batch_norm().layers, "first": LayerSpec(deconv=config)}
    network = seen(build(inverted, Factories(layers)), images)
    assert isinstance(network.bn, nn.Identity)
    assert isinstance(network.block1.bn3, nn.BatchNorm2d)
    assert network.block1.depthwise.bias is None
    folded, _ = fold(network, images)
    assert folded.spec.layers == {**batch_norm().layers, "first": LayerSpec()}
    for name, model in ("net", network), ("folded", folded):
        save_network(model, tmp_path / f"{name}.safetensors")
        again = load_network(tmp_path / f"{name}.safetensors")
        assert_same_outputs(again, model, images)
    result = invoke("audit", tmp_path / "net.safetensors", "--batch-size", 4)
    assert "1 deconvolution layer, 8 batch normalisations left" in result.stdout, result.stdout + result.stderr


def test_the_command_converts_by_role(inverted, tmp_path):
    save_network(build(inverted, batch_norm()), tmp_path / "net.safetensors")
    settings = {"eps": 0.01, "depthwise": {"n_iter": 1}, "projection": {"n_iter": 2}, "projection.16": None}
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    result = invoke("convert", tmp_path / "net.safetensors", "--config", tmp_path / "settings.json")
    assert result.exit_code == 0, result.stderr
    network = load_network(tmp_path / "net-deconv.safetensors")
    config = DeconvConfig(eps=0.01)
    assert network.conv.whitening.config == config.for_first_layer()
    assert network.block2.expand.whitening.config == config
    assert network.block2.depthwise.whitening.config == replace(config, n_iter=1)
    assert network.block1.project.whitening.config == replace(config, n_iter=2)
    assert (type(network.block2.project), type(network.block2.bn4)) == (nn.Conv2d, nn.BatchNorm2d)
    for arguments, message in (
        ('{"depthwise": {"n_iter": 1}}', ""),
        ('{"depthwise": {"n_iter": 3}}', "--config depthwise.n_iter = 3 contradicts the checkpoint, which says 1"),
        ('{"projection.16": {"n_iter": 3}}', "projection.16 contradicts the checkpoint, in which these layers do not"),
    ):
        (tmp_path / "settings.json").write_text(arguments)
        result = invoke(
            "audit", tmp_path / "net-deconv.safetensors", "--batch-size", 2, "--config", tmp_path / "settings.json"
        )
        assert (result.exit_code, message in result.stderr) == (2 if message else 0, True), result.stderr
    (tmp_path / "settings.json").write_text('{"shortcut": {"n_iter": 1}}')
    result = invoke("convert", tmp_path / "net.safetensors", "--config", tmp_path / "settings.json")
    assert result.exit_code == 2
    assert (
        "--config inverted has no layers in the role 'shortcut'; its roles are conv, depthwise, first, linear,"
        " projection, projection.16, projection.8" in result.stderr
    )


def test_a_file_of_the_published_code_is_recognised(inverted, images, tmp_path):
    network = seen(build(inverted, published(inverted, linear=3), num_classes=4), images)
    torch.save(published_state(network), tmp_path / "ckpt.pt")
    again = load_network(tmp_path / "ckpt.pt", arch=inverted)
    assert [m.extra_repr() for m in again.modules()] == [m.extra_repr() for m in network.modules()]
    assert_same_outputs(again, network, images)


@pytest.mark.parametrize("linear", [None, 4])
@pytest.mark.parametrize("make", [DeconvConfig, DeconvConfig.paper, DeconvConfig.reference])
@pytest.mark.parametrize("sizes", [{}, {"conv": 8}, {"conv": 16, "depthwise": 1}, {"projection.16": 4, "first": 3}])
def test_block_sizes_follow_from_the_shapes(inverted, make, sizes, linear, tmp_path):
    """Among them those of 3×3 and 5×5 kernels together, which "auto" makes different."""
    roles = {role: make(block_size=size) for role, size in sizes.items()}
    makers = deconv_of({"conv": make(), **roles, "linear": linear and make(block_size=linear)})
    with torch.device("meta"):
        network = build(inverted, makers).to_empty(device="cpu")
    for value in network.state_dict().values():
        value.zero_()
    save_state(tmp_path / "net.safetensors", network.state_dict())
    preset = {DeconvConfig.reference: "reference"}.get(make)
    found = read_checkpoint(
        CheckpointConfig(source=str(tmp_path / "net.safetensors"), arch=inverted, settings=LayerSettings.of(preset))
    ).network
    shapes = {key: value.shape for key, value in found.outline().state_dict().items()}
    assert shapes == {key: value.shape for key, value in network.state_dict().items()}
    parts = [module.parts for module in network.modules() if hasattr(module, "parts")]
    assert [module.parts for module in found.outline().modules() if hasattr(module, "parts")] == parts
    if not sizes and preset is None:
        assert found.layer("conv").deconv.block_size == "auto"


def test_blocks_that_no_setting_gives_are_refused(inverted, images, tmp_path):
    network = build(inverted, deconv(DeconvConfig.reference()))
    spread = network.block2.spread
    sizes, config = (spread.in_channels, spread.out_channels, spread.kernel_size), DeconvConfig.reference(block_size=8)
    spread.whitening = FastDeconv2d(*sizes, groups=spread.groups, config=config).whitening
    save_state(tmp_path / "net.safetensors", network.state_dict())
    with pytest.raises(DataError) as raised:
        load_network(tmp_path / "net.safetensors", arch=inverted, config="reference")
    message = str(raised.value)
    assert "the blocks of its layers in the role 'conv' follow from no block size that they have in common" in message
    assert "block2.spread has blocks of 8 channels, not 16; state block_size among the settings, or load" in message


def test_files_of_earlier_versions_are_read(inverted, images, tmp_path):
    config, first = DeconvConfig(block_size=8), DeconvConfig(n_iter=7)
    for form, values, makers in (
        ("plain", {}, {"conv": LayerSpec(), "linear": LayerSpec()}),
        ("batch_norm", {}, batch_norm().layers),
        ("batch_norm_with_bias", {}, batch_norm(conv_bias=True).layers),
        ("deconv", {"config": config, "first": first}, deconv(config, first=first).layers),
        ("deconv", {}, deconv().layers),
    ):
        network = build(inverted, Factories(makers))
        metadata = {"arch": network.spec.arch, "num_classes": 10, "in_channels": 3, "form": form}
        metadata |= {name: vars(value) for name, value in values.items()}
        save_state(tmp_path / "net.safetensors", network.state_dict(), metadata)
        assert load_network(tmp_path / "net.safetensors").spec == network.spec


def test_files_with_earlier_names_of_networks_are_read(monkeypatch, images, tmp_path):
    """In ndtools 0.1, ``preact_resnet18`` was ``preact18``, and lacked the normalisation that is not used."""
    narrow(monkeypatch)
    path = tmp_path / "net.safetensors"
    torch.manual_seed(0)
    network = build("preact18", batch_norm())
    assert network.spec.arch == "preact_resnet18"
    network(images)
    state = {key: value for key, value in network.state_dict().items() if not key.startswith("bn1.")}
    earlier = {**asdict(network.spec), "arch": "preact18"}
    for metadata, stated in (earlier, None), ({}, "preact18"), ({}, "preact_resnet18"), (earlier, "preact_resnet18"):
        save_state(path, state, metadata)
        again = load_network(path, arch=stated)
        assert again.spec == network.spec
        assert_same_outputs(again, network.eval(), images)
    save_state(path, {key: value for key, value in state.items() if key != "conv1.weight"}, earlier)
    with pytest.raises(DataError, match="conv1.weight is missing"):
        load_network(path)
