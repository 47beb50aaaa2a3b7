"""The arms of a comparison: what stands in a network in place of batch normalisation."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch import nn

from ndtools.errors import OptionError
from ndtools.layers.config import DeconvConfig
from ndtools.layers.conv import FastDeconv2d
from ndtools.models import NAMES, build
from ndtools.models.catalogue import CATALOGUE
from ndtools.models.factories import Factories, LayerSpec, batch_norm, deconv, plain
from ndtools.models.norms import NORMS, arm, prepare
from tests.inverted_residuals import NAME, inverted  # noqa: F401
from tests.narrow_networks import narrow

pytestmark = pytest.mark.filterwarnings("ignore::ndtools.errors.NumericalWarning")
NETWORKS = ("vgg11", "resnet18")
FAMILIES = sorted({CATALOGUE[name].builder: name for name in reversed(NAMES)}.values())


def outline(name, *args, **kwargs):
    """Build a network without memory for its weights."""
    with torch.device("meta"):
        return build(name, *args, **kwargs)


def kinds(network):
    """Types of the layers that hold parameters."""
    return [type(module).__name__ for module in network.modules() if module._parameters]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("norm", NORMS)
def test_every_arm_learns_a_step(norm, name, monkeypatch):
    narrow(monkeypatch)
    torch.manual_seed(0)
    network = build(name, norm, num_classes=4)
    images, labels = torch.randn(8, 3, 32, 32), torch.arange(8) % 4
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-3)
    before = nn.functional.cross_entropy(network(images), labels)
    before.backward()
    for parameter, value in network.named_parameters():
        assert value.grad is not None, parameter
        assert value.grad.isfinite().all(), parameter
    optimiser.step()
    with torch.no_grad():
        after = nn.functional.cross_entropy(network(images), labels)
    assert after < before
    network.eval()
    with torch.no_grad():
        assert network(images[:1]).isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_deconvolution_is_in_every_convolution_and_nothing_normalises(name):
    for network in outline(name), outline(name, "deconv"):
        assert set(kinds(network)) == {"FastDeconv2d", "Linear"}
        first, *others = (m.whitening.config for m in network.modules() if isinstance(m, FastDeconv2d))
        assert first == DeconvConfig().for_first_layer()
        assert set(others) <= {DeconvConfig()}  # simple_cnn has no others
    assert arm("deconv", name) == deconv()


@pytest.mark.parametrize("norm", ["deconv-reference", "gn", "iternorm", "first-whitened"])
@pytest.mark.parametrize(
    "name", [name for name in NAMES if not name.endswith(("13", "16", "19", "34", "50", "1", "52"))]
)
def test_networks_are_built_again_from_the_specifications_of_their_arms(name, norm):
    network = outline(name, norm, num_classes=3, in_channels=1)
    again = network.spec.outline()
    assert again.spec == network.spec
    assert str(again) == str(network)


def test_the_reference_has_the_published_settings():
    reference = DeconvConfig.reference
    assert arm("deconv-reference", "vgg16") == deconv(
        reference(), first=reference(n_iter=15, freeze_after=101), linear=reference(block_size=512)
    )
    spec = outline("resnet18", "deconv-reference").spec
    assert set(spec.layers) == {"conv", "linear"}, "the first layer of the published ResNet is like the others"
    assert spec.layer("first") == LayerSpec(deconv=reference())


def test_roles_of_the_reference(inverted):  # noqa: F811
    spec = outline(inverted, "deconv-reference").spec
    assert spec.layer("depthwise").deconv == DeconvConfig.reference(n_iter=1)
    assert spec.layer("projection.16").deconv == DeconvConfig.reference(n_iter=1, block_size=16)
    assert spec.layer("first").deconv == DeconvConfig.reference(n_iter=10, freeze_after=101)


def test_the_reference_keeps_normalisations_that_the_published_network_keeps(inverted, monkeypatch):  # noqa: F811
    """As the published EfficientNet, of which the first layer alone deconvolves."""
    entry = CATALOGUE[NAME]._replace(
        published={"first": {"n_iter": 10}, "conv": None}, normalised={"projection": {"norm": "none", "bias": True}}
    )
    monkeypatch.setitem(CATALOGUE, NAME, entry)
    network = outline(inverted, "deconv-reference")
    assert network.spec.layers == {
        "conv": LayerSpec(norm="batch_norm", bias=False),
        "projection": LayerSpec(),
        "first": LayerSpec(deconv=DeconvConfig.reference(n_iter=10)),
        "linear": LayerSpec(deconv=DeconvConfig.reference(block_size=512)),
    }
    block = ["Conv2d", "BatchNorm2d"] * 3 + ["Conv2d"]
    assert kinds(network) == ["FastDeconv2d", *block, *block, "DeconvLinear"]
    assert kinds(outline(inverted, "bn")) == ["Conv2d", "BatchNorm2d", *block, *block, "Linear"]
    assert set(kinds(outline(inverted, "deconv"))) == {"FastDeconv2d", "Linear"}


def test_biases_beside_batch_normalisation_are_those_of_the_published_networks():
    assert arm("bn", "vgg16") == batch_norm(conv_bias=True)
    assert arm("bn", "resnet18") == batch_norm()
    assert arm("none", "vgg16") == plain()


@pytest.mark.parametrize(("norm", "groups"), [("gn", 32), ("ln", 1)])
def test_normalisations_of_single_images(norm, groups):
    """Group normalisation by hand: each group of channels of an image has mean 0 and variance 1."""
    layer = Factories({"conv": arm(norm, "resnet18").layers["conv"], "linear": LayerSpec()}).norm(64).double()
    x = 3 + 2 * torch.randn(2, 64, 5, 5, dtype=torch.float64)
    grouped = x.reshape(2, groups, -1)
    variance = grouped.var(-1, correction=0, keepdim=True) + layer.eps
    expected = (grouped - grouped.mean(-1, keepdim=True)) / variance.sqrt()
    torch.testing.assert_close(layer(x), expected.reshape(x.shape))


@pytest.mark.parametrize(("channels", "groups"), [(64, 32), (44, 4), (24, 8), (7, 1)])
def test_groups_are_halved_until_they_divide_the_channels(channels, groups):
    assert Factories(arm("gn", "resnet18").layers).norm(channels).num_groups == groups


def test_settings_are_those_of_all_layers_but_roles_keep_their_iterations_and_blocks():
    layers = arm("deconv", "vgg11", n_iter=3, block_size=16, eps=1e-2, freeze_after=7).layers
    common = DeconvConfig(n_iter=3, block_size=16, eps=1e-2, freeze_after=7)
    assert layers["conv"].deconv == common
    assert layers["first"].deconv == DeconvConfig(n_iter=15, block_size=16, eps=1e-2, freeze_after=7)
    linear = arm("deconv-reference", "vgg11", n_iter=3, block_size=16, eps=1e-2).layers["linear"].deconv
    assert linear == DeconvConfig.reference(n_iter=3, block_size=512, eps=1e-2)


@pytest.mark.parametrize(
    ("norm", "arch", "settings", "message"),
    [
        ("batchnorm", "vgg11", {}, "^norm: must be one of deconv, .*, first-whitened, got 'batchnorm'$"),
        ("bn", "vgg12", {}, "^arch: must be one of vgg11, .* got 'vgg12'$"),
        (
            "bn",
            "vgg11",
            {"eps": 1.0},
            "^eps: is a setting of deconvolution layers, which `norm=bn` does not have; deco",
        ),
        ("deconv", "vgg11", {"epsilon": 1.0}, "^epsilon: is no setting of deconvolution layers: block_size, "),
        ("deconv", "vgg11", {"eps": -1.0}, "^eps: must be above 0"),
    ],
)
def test_wrong_arms_are_refused(norm, arch, settings, message):
    with pytest.raises(OptionError, match=message):
        arm(norm, arch, **settings)


def test_build_refuses_an_unknown_arm():
    with pytest.raises(OptionError, match="^norm: must be one of deconv, "):
        build("vgg11", "batch")


def test_arms_are_listed_without_torch():
    code = "import sys; from ndtools.models.norms import NORMS; assert NORMS; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_successor_normalises_the_input_of_each_convolution():
    reference = arm("deconv-reference", "vgg16").layers
    for role, layer in arm("nd++", "vgg16").layers.items():
        assert layer == replace(reference[role], deconv=replace(reference[role].deconv, layer_norm=role != "linear"))


def test_the_successor_deconvolves_where_the_published_network_does_not(inverted, monkeypatch):  # noqa: F811
    monkeypatch.setitem(CATALOGUE, NAME, CATALOGUE[NAME]._replace(published={"first": {"n_iter": 10}, "conv": None}))
    assert set(kinds(outline(inverted, "nd++"))) == {"FastDeconv2d", "DeconvLinear"}


def test_iterative_normalisation_is_where_batch_normalisation_is():
    ours, usual = kinds(outline("resnet18", "iternorm")), kinds(outline("resnet18", "bn"))
    assert [{"IterNorm": "BatchNorm2d"}.get(kind, kind) for kind in ours] == usual
    assert "IterNorm" in ours


def whitened_patches(network, images):
    """Second moments of what the weights of the first layer see: its patches, whitened by its folded statistics."""
    layer = network.features[0]
    mean, matrix = layer.whitening.running_statistics()[0]
    rows = nn.functional.unfold(images, 3, padding=1).transpose(0, 1).flatten(1)
    white = matrix[0, 0] @ (rows - mean[0, 0, :, None])
    return white @ white.T / white.shape[1]


def test_the_first_layer_is_whitened_by_the_images_and_stays_so(monkeypatch):
    narrow(monkeypatch)
    torch.manual_seed(0)
    network = build("vgg11", "first-whitened").double()
    images = torch.randn(40, 3, 32, 32, dtype=torch.float64)
    images = images + images.roll(1, -1) + 0.5 * images.roll(1, 1)
    prepare(network, images)
    eye = torch.eye(27, dtype=torch.float64)
    values = torch.linalg.eigvalsh(whitened_patches(network, images))
    rest = 5e-4 / torch.linalg.eigvalsh(nn.functional.unfold(images, 3, padding=1).transpose(0, 1).flatten(1).cov())
    assert (1 - values).abs().max() < 2 * rest.max(), "white, but for the ridge"
    before = network.features[0].whitening.state_dict()
    before = {key: value.clone() for key, value in before.items()}
    network(3 * images[:8])
    prepare(network, 5 * images)
    for key, value in network.features[0].whitening.state_dict().items():
        assert torch.equal(value, before[key]), key
    assert (whitened_patches(network, images) - eye).abs().max() < 0.02
    assert kinds(network).count("BatchNorm2d") == 8
    assert kinds(network)[:2] == ["FastDeconv2d", "BatchNorm2d"]
    assert set(kinds(network)[2:]) == {"Conv2d", "BatchNorm2d", "Linear"}


def test_without_preparation_the_first_batch_whitens(monkeypatch):
    narrow(monkeypatch)
    torch.manual_seed(0)
    networks = [build("vgg11", "first-whitened") for _ in range(2)]
    images = torch.randn(16, 3, 32, 32)
    networks[0](images)
    networks[0](images + 1)
    prepare(networks[1], images)
    found, wanted = (network.features[0].whitening.running_covariances()[0] for network in networks)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    assert networks[0].features[0].whitening.num_batches_tracked == 1


def test_other_arms_are_not_changed_by_preparation(monkeypatch):
    narrow(monkeypatch)
    for norm in [*(set(NORMS) - {"first-whitened"}), arm("deconv", "vgg11", freeze_after=1)]:
        network = build("vgg11", norm)
        before = {key: value.clone() for key, value in network.state_dict().items()}
        prepare(network, torch.randn(4, 3, 32, 32))
        assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items()), norm


def test_preparation_needs_images():
    with pytest.raises(OptionError, match="^images: must hold at least one image$"):
        prepare(build("vgg11", "first-whitened"), torch.empty(0, 3, 32, 32))
