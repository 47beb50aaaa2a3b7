"""The networks of the catalogue, with few channels and blocks: gradients, conversion, folding."""

import copy

import pytest
import torch
from torch import nn

from ndtools.checkpoints.files import load_network, save_network
from ndtools.layers.config import DeconvConfig
from ndtools.models import NAMES, build
from ndtools.models.factories import deconv
from ndtools.surgery.audit import audit
from ndtools.surgery.fold import fold
from tests.commands import invoke
from tests.narrow_networks import small
from tests.tolerance import assert_equal_to_rounding

pytestmark = pytest.mark.filterwarnings("ignore::ndtools.errors.NumericalWarning")

# depths that differ in the numbers of equal blocks only, and would be alike with few blocks
LIKE_OTHERS = {"vgg13", "vgg16", *(f"{family}{d}" for family in ("resnet", "preact_resnet") for d in (34, 101, 152))}
FORMS = [(name, "cifar") for name in NAMES if name not in LIKE_OTHERS]
FORMS += [(name, "imagenet") for name in ("vgg11", "resnet18", "resnet50", "densenet121")]


@pytest.fixture(autouse=True)
def networks(monkeypatch):
    small(monkeypatch)
    torch.manual_seed(0)


def images(count, seed=1):
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def network_of(name, stem, norm):
    """Build a network in float64; if it deconvolves, so that two images are enough for its covariances."""
    few = DeconvConfig(eps=0.1, sampling_stride=1)
    return build(name, deconv(few, linear=few) if norm == "deconv" else norm, stem=stem).double()


def kinds(network):
    """Types of the layers that hold parameters."""
    return {type(module).__name__ for module in network.modules() if module._parameters}


@pytest.mark.parametrize("norm", ["bn", "none", "deconv"])
@pytest.mark.parametrize(("name", "stem"), FORMS)
def test_gradients_say_how_much_a_step_lowers_the_loss(name, stem, norm):
    network, x, labels = network_of(name, stem, norm), images(2), torch.tensor([3, 5])
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    logits = network(x)
    assert logits.shape == (2, 10)
    before = nn.functional.cross_entropy(logits, labels)
    before.backward()
    learned = {key: value for key, value in network.named_parameters() if value.requires_grad}
    assert not [key for key, value in learned.items() if value.grad is None]
    squared = sum(value.grad.square().sum() for value in learned.values())
    wanted = 1e-7  # small enough for a straight line, and far above rounding
    torch.optim.SGD(learned.values(), lr=float(wanted / squared)).step()
    with torch.no_grad():
        after = nn.functional.cross_entropy(network(x), labels)
    assert (before.item() - after.item()) == pytest.approx(wanted, rel=0.02)


@pytest.mark.parametrize(("name", "stem"), FORMS)
def test_deconvolution_is_in_every_layer_and_folds_into_plain_layers(name, stem):
    network, x = network_of(name, stem, "deconv"), images(2, seed=2)
    with torch.no_grad():
        network(images(4))
    layers = sum(bool(module._parameters) for module in network.modules())
    found = audit(network.eval(), x)
    assert (len(found.rows), found.batch_norms) == (layers, ())
    folded, _ = fold(network, images(2))
    assert kinds(folded) == {"Conv2d", "Linear"}
    assert (folded.spec.form, folded.spec.stem) == ("plain", stem)
    with torch.no_grad():
        single = copy.deepcopy(folded).float()(x.float())
        assert_equal_to_rounding(folded(x), network(x), single=single, name=name)


@pytest.mark.parametrize(("name", "stem"), FORMS)
def test_the_command_converts_all_batch_normalisations(name, stem, tmp_path):
    network = build(name, "bn", stem=stem)
    assert "BatchNorm2d" in kinds(network)
    save_network(network, tmp_path / "net.safetensors")
    result = invoke("convert", tmp_path / "net.safetensors", "--quiet")
    assert result.exit_code == 0, result.output
    converted = load_network(tmp_path / "net-deconv.safetensors")
    assert kinds(converted) == {"FastDeconv2d", "DeconvLinear"}
    assert not audit(converted).batch_norms
    assert converted.spec.stem == stem
