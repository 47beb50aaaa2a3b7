"""The forms for ImageNet: sizes and names of torchvision's networks, published settings, files."""

import pytest
import torch
from torch import nn

from ndtools.checkpoints.files import load_network, save_network
from ndtools.errors import OptionError
from ndtools.layers.config import DeconvConfig
from ndtools.layers.conv import FastDeconv2d
from ndtools.models import NAMES, arm, build
from ndtools.models.catalogue import CATALOGUE
from tests.commands import invoke
from tests.narrow_networks import narrow

pytestmark = pytest.mark.filterwarnings("ignore::ndtools.errors.NumericalWarning")

LARGE = ("vgg11", "resnet18", "densenet121")
SIZES = {
    "vgg11": 132_868_840,
    "vgg13": 133_053_736,
    "vgg16": 138_365_992,
    "vgg19": 143_678_248,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "densenet121": 7_978_856,
}
"""Numbers of parameters of torchvision's networks with batch normalisation, for 1000 classes."""


def outline(name, norm, **sizes):
    with torch.device("meta"):
        return build(name, norm, stem="imagenet", **sizes)


def count(network, *kinds):
    return sum(type(module) in kinds for module in network.modules())


def test_all_networks_for_imagenet_are_listed_here():
    assert {name for name in NAMES if "imagenet" in CATALOGUE[name].stems} == set(SIZES)


@pytest.mark.parametrize("name", SIZES)
def test_sizes_are_those_of_torchvision(name):
    assert sum(value.numel() for value in outline(name, "bn", num_classes=1000).parameters()) == SIZES[name]


@pytest.mark.parametrize(
    ("name", "halved", "last"),
    [("vgg11", "features.0", "features"), ("resnet18", "layer1", "layer4"), ("densenet121", "dense1", "dense4")],
)
def test_images_of_224_pixels_leave_7_by_7(name, halved, last):
    network, seen = outline(name, "bn", num_classes=1000), []
    network.get_submodule(halved).register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].shape[2]))
    network.get_submodule(last).register_forward_hook(lambda module, inputs, output: seen.append(output.shape[2]))
    assert network(torch.empty(2, 3, 224, 224, device="meta")).shape == (2, 1000)
    assert seen == [224 if name == "vgg11" else 56, 7]


@pytest.mark.parametrize(
    ("name", "layers", "norms"), [("vgg11", 8, 0), ("densenet121", 120, 0), ("resnet18", 20, 3), ("resnet50", 53, 4)]
)
def test_layers_and_settings_of_the_reference_are_the_published_ones(name, layers, norms):
    network = outline(name, "deconv-reference")
    assert count(network, FastDeconv2d) == layers
    assert (count(network, nn.BatchNorm2d), count(network, nn.Conv2d)) == (norms, 0)
    config = DeconvConfig.reference()
    assert network.spec.layer("first").deconv == DeconvConfig.reference(n_iter=15, freeze_after=101)
    assert network.spec.layer("conv").deconv == network.spec.layer("shortcut").deconv == config
    assert network.spec.layer("linear").deconv == DeconvConfig.reference(block_size=64)
    assert network.spec.outline().spec == network.spec


@pytest.mark.parametrize("name", LARGE)
def test_our_form_deconvolves_in_every_convolution_and_normalises_nowhere(name):
    kinds = {type(module) for module in outline(name, "deconv").modules() if hasattr(module, "weight")}
    assert kinds == {FastDeconv2d, nn.Linear}


@pytest.mark.parametrize("name", LARGE)
def test_initial_weights_are_those_for_imagenet(name, monkeypatch):
    """Of variance 2 / fan, where torch's own are of variance 1 / (3 fan_in)."""
    narrow(monkeypatch)
    torch.manual_seed(0)
    for norm in "bn", "deconv":
        network = build(name, norm, stem="imagenet")
        ratios = []
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d) and layer.weight.numel() >= 1000:
                fan = nn.init._calculate_correct_fan(layer.weight, "fan_in" if name == "densenet121" else "fan_out")
                ratios.append(layer.weight.var().item() * fan / 2)
        # the published deconvolution form of DenseNet keeps the weights of torch
        wanted = 1 / 6 if (name, norm) == ("densenet121", "deconv") else 1
        assert ratios
        assert min(ratios) > 0.8 * wanted
        assert max(ratios) < 1.2 * wanted
    if name == "vgg11":
        last = build(name, "bn", stem="imagenet").classifier[3]
        assert last.weight.std().item() == pytest.approx(0.01, rel=0.05)
        assert not last.bias.any()


def test_dropout_is_in_training_only(monkeypatch):
    narrow(monkeypatch)
    torch.manual_seed(0)
    network, x = build("vgg11", "none", stem="imagenet"), torch.randn(2, 3, 32, 32)
    assert not torch.equal(network(x), network(x))
    network.eval()
    assert torch.equal(network(x), network(x))


def test_new_features_are_behind_the_others_as_in_the_network_for_imagenet(monkeypatch):
    narrow(monkeypatch)
    x = torch.randn(2, 8, 4, 4)
    for stem, kept in ("cifar", slice(-8, None)), ("imagenet", slice(8)):
        layer = build("densenet121", "none", stem=stem).dense1[0]
        assert torch.equal(layer(x)[:, kept], x)


@pytest.mark.parametrize(
    ("name", "stem", "message"),
    [
        ("senet18", "imagenet", "^stem: of senet18 is 'cifar'; these have 'imagenet', too: vgg11, .*resnet18, .*dense"),
        ("resnet18", "large", "^stem: must be one of cifar, imagenet, got 'large'$"),
    ],
)
def test_forms_that_a_network_does_not_have_are_refused(name, stem, message):
    for make in build, lambda name, stem: arm("bn", name, stem=stem):
        with pytest.raises(OptionError, match=message):
            make(name, stem=stem)


def as_torchvision(name, state):
    """Write names of ours as torchvision has them."""
    named = {}
    for key, value in state.items():
        if name == "resnet18":
            key = key.replace("shortcut", "downsample").replace("linear", "fc")
        if name == "densenet121":
            place, *rest = key.split(".")
            if place.startswith("dense"):
                layer = rest[1].replace("bn", "norm")
                place = f"features.denseblock{place[-1]}.denselayer{int(rest[0]) + 1}.{layer}"
                rest = rest[2:]
            elif place.startswith("trans"):
                place, rest = f"features.transition{place[-1]}.{rest[0].replace('bn', 'norm')}", rest[1:]
            else:
                names = {"conv1": "features.conv0", "bn1": "features.norm0", "bn": "features.norm5"}
                place = names.get(place, "classifier")
            key = ".".join((place, *rest))
        named[key] = value
    return named


TORCHVISION = {
    "vgg11": {"features.0.weight", "features.1.running_var", "classifier.0.weight", "classifier.6.bias"},
    "resnet18": {
        "conv1.weight",
        "layer1.0.bn2.bias",
        "layer2.0.downsample.0.weight",
        "layer4.1.conv2.weight",
        "fc.bias",
    },
    "densenet121": {
        "features.conv0.weight",
        "features.norm0.running_mean",
        "features.denseblock2.denselayer12.norm1.weight",
        "features.denseblock4.denselayer16.conv2.weight",
        "features.transition3.norm.bias",
        "features.transition3.conv.weight",
        "features.norm5.weight",
        "classifier.weight",
    },
}


@pytest.mark.parametrize("name", LARGE)
def test_checkpoints_of_torchvision_are_read_and_converted(name, monkeypatch, tmp_path):
    narrow(monkeypatch)
    torch.manual_seed(0)
    network = build(name, "bn", num_classes=7, stem="imagenet").eval()
    named = as_torchvision(name, network.state_dict())
    assert TORCHVISION[name] < named.keys()
    torch.save(named, tmp_path / "net.pt")
    again, x = load_network(tmp_path / "net.pt", arch=name), torch.randn(2, 3, 64, 64)
    assert again.spec == network.spec
    torch.testing.assert_close(again(x), network(x))
    assert invoke("convert", tmp_path / "net.pt", "--arch", name).exit_code == 0
    converted = load_network(tmp_path / "net-deconv.safetensors")
    assert (converted.spec.stem, converted.spec.form, converted.spec.num_classes) == ("imagenet", "deconv", 7)
    assert count(converted, nn.BatchNorm2d, nn.Conv2d, nn.Linear) == 0


@pytest.mark.parametrize("name", LARGE)
def test_files_keep_the_form(name, monkeypatch, tmp_path):
    narrow(monkeypatch)
    network = build(name, "deconv-reference", stem="imagenet", num_classes=5)
    save_network(network, tmp_path / "net.safetensors")
    assert load_network(tmp_path / "net.safetensors").spec == network.spec


@pytest.mark.parametrize("name", LARGE)
def test_checkpoints_of_the_published_networks_for_imagenet_are_read(name, monkeypatch, tmp_path):
    narrow(monkeypatch)
    torch.manual_seed(0)
    network, x = build(name, "deconv-reference", stem="imagenet").double(), torch.randn(4, 3, 32, 32).double()
    with torch.no_grad():
        network(x)
        network.eval()
        state = {}
        for key, value in as_torchvision(name, network.state_dict()).items():
            if key.endswith("running_deconv"):  # written as one matrix, or one for each group
                value = value[:, 0] if len(value) > 1 else value[0, 0]
            if key.endswith("whitening.running_mean"):
                value = value.flatten()
            if ".whitening." not in key or key.endswith(("running_deconv", "running_mean")):
                state[key.replace("whitening.", "")] = value
        torch.save(state, tmp_path / "net.pt")
        again = load_network(tmp_path / "net.pt", arch=name)
        assert count(again, nn.BatchNorm2d) == count(network, nn.BatchNorm2d)
        wanted = network(x)
        assert again.spec.layer("first") == network.spec.layer("first")
        torch.testing.assert_close(again(x), wanted, rtol=0, atol=1e-10 * wanted.abs().max().item())
