"""Folded networks against the evaluation of what they were made of, and against whitening of explicit patches."""

import copy
import math
import shutil
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import pad, unfold
from torch.nn.utils import prune

from ndtools.layers.channel import ChannelDeconv
from ndtools.layers.config import DeconvConfig
from ndtools.layers.conv import FastDeconv1d, FastDeconv2d, FastDeconv3d
from ndtools.layers.conv_transpose import FastDeconvTranspose1d, FastDeconvTranspose2d, FastDeconvTranspose3d
from ndtools.layers.linear import DeconvLinear
from ndtools.layers.whitening import Whitening
from ndtools.models import build
from ndtools.models.factories import batch_norm
from ndtools.surgery.audit import audit
from ndtools.surgery.convert import convert
from ndtools.surgery.fold import fold
from ndtools.surgery.replacing import deconvolves
from tests.narrow_networks import narrow
from tests.tolerance import rtol

pytestmark = pytest.mark.filterwarnings("ignore::ndtools.errors.NumericalWarning")
LAYERS = {1: (FastDeconv1d, nn.Conv1d), 2: (FastDeconv2d, nn.Conv2d), 3: (FastDeconv3d, nn.Conv3d)}
TRANSPOSED = {
    1: (FastDeconvTranspose1d, nn.ConvTranspose1d),
    2: (FastDeconvTranspose2d, nn.ConvTranspose2d),
    3: (FastDeconvTranspose3d, nn.ConvTranspose3d),
}
PRESETS = [DeconvConfig.paper(block_size=3, eps=1e-2), DeconvConfig.reference(block_size=2, eps=1e-2)]


def batch(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(*shape, generator=generator, dtype=torch.float64)
    return 1 + x + 0.5 * torch.roll(x, 1, 1)


def trained(model, *batches):
    torch.manual_seed(0)
    for x in batches:
        model(x)
    return model


@given(
    dims=st.integers(1, 3),
    stride=st.integers(1, 2),
    dilation=st.integers(1, 2),
    groups=st.integers(1, 2),
    padding=st.sampled_from([0, 1, "valid", "same"]),
    mode=st.sampled_from(["zeros", "reflect", "replicate", "circular"]),
    bias=st.booleans(),
    config=st.sampled_from(PRESETS),
)
@settings(max_examples=60)
def test_convolutions(dims, stride, dilation, groups, padding, mode, bias, config):
    if mode == "reflect" and dims == 3 and padding == "same":
        mode = "circular"
    stride = 1 if padding == "same" else stride
    fast, plain = LAYERS[dims]
    x = batch(3, 4, *(7, 6, 5)[:dims])
    settings_ = {"stride": stride, "dilation": dilation, "groups": groups, "padding": padding, "padding_mode": mode}
    layer = trained(fast(4, 6, 3, **settings_, bias=bias, dtype=torch.float64, config=config), x, batch(*x.shape))
    folded, difference = fold(layer, x)
    assert type(folded) is plain
    for name, value in settings_.items():
        assert getattr(folded, name) == getattr(layer, name), name
        assert (value == "same") <= (folded.padding == "same")
    assert difference < 1e-12
    other = batch(2, *x.shape[1:], seed=7)
    torch.testing.assert_close(folded(other), layer.eval()(other), rtol=0, atol=1e-12)
    torch.testing.assert_close(folded(other[0]), layer(other[0]), rtol=0, atol=1e-12)


@given(
    dims=st.integers(1, 3),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 2),
    groups=st.integers(1, 2),
    padding=st.integers(0, 2),
    output_padding=st.integers(0, 1),
    bias=st.booleans(),
    config=st.sampled_from(PRESETS),
)
@settings(max_examples=40)
def test_transposed_convolutions(dims, stride, dilation, groups, padding, output_padding, bias, config):
    fast, plain = TRANSPOSED[dims]
    x = batch(3, 4, *(6, 5, 4)[:dims])  # the smallest output has two pixels
    settings_ = {"stride": stride, "dilation": dilation, "groups": groups, "padding": padding}
    settings_["output_padding"] = output_padding if output_padding < max(stride, dilation) else 0
    layer = trained(fast(4, 6, 3, **settings_, bias=bias, dtype=torch.float64, config=config), x, batch(*x.shape))
    folded, difference = fold(layer, x)
    assert type(folded) is plain
    for name in settings_:
        assert getattr(folded, name) == getattr(layer, name), name
    other = batch(2, *x.shape[1:], seed=7)
    # Each output is a sum of products, whose sizes bound its rounding and that of the folded weight.
    sizes = copy.deepcopy(folded)
    for parameter in sizes.parameters():
        parameter.data.abs_()
    for images in (x, other):
        allowed = rtol(torch.float64, 1) * math.sqrt(folded.weight.shape[0] * 3**dims) * sizes(images.abs()).max()
        found, wanted = folded(images), layer.eval()(images)
        assert (found - wanted).abs().max() <= allowed
        assert images is other or difference <= allowed
    torch.testing.assert_close(folded(other[0]), folded(other)[0])


@pytest.mark.parametrize("config", PRESETS)
@pytest.mark.parametrize("bias", [True, False])
def test_linear_layers(config, bias):
    x = batch(20, 3, 6)
    layer = trained(DeconvLinear(6, 4, bias=bias, dtype=torch.float64, config=config), x)
    folded, difference = fold(layer, x)
    assert type(folded) is nn.Linear
    assert difference < 1e-12


@pytest.mark.parametrize("dims", [0, 1, 2, 3])
def test_channels(dims):
    x = batch(30, 5, *(4,) * dims)
    layer = trained(ChannelDeconv(5, DeconvConfig.paper(block_size=3), dtype=torch.float64), x)
    folded, difference = fold(nn.Sequential(layer), x)
    assert type(folded[0]) is (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims]
    assert difference < 1e-12


def test_it_is_a_convolution_of_whitened_patches():
    """All patches whitened by the running statistics, written out with unfold: nothing of the layer's own folding."""
    x = batch(6, 4, 8, 7)
    config = DeconvConfig.paper(block_size=2, eps=1e-2, n_iter=40, momentum=1)
    layer = trained(FastDeconv2d(4, 5, 3, padding=1, stride=2, dtype=torch.float64, config=config), x)
    folded, _ = fold(layer, x)
    patches = unfold(pad(x, (1, 1, 1, 1)), 3, stride=2)
    white = []
    for block in range(2):
        mean = layer.whitening.running_mean[0, block]
        values, vectors = torch.linalg.eigh(layer.whitening.running_covariance[0, block])
        d = vectors @ torch.diag((values + 1e-2) ** -0.5) @ vectors.mT
        white.append(d @ (patches[:, 18 * block : 18 * (block + 1)] - mean[:, None]))
    expected = layer.weight.flatten(1) @ torch.cat(white, 1) + layer.bias[:, None]
    torch.testing.assert_close(folded(x).flatten(2), expected, rtol=0, atol=1e-9)


class Net(nn.Module):
    """One layer of each kind, one of them applied twice."""

    def __init__(self):
        super().__init__()
        self.stem = FastDeconv2d(3, 8, 3, padding=1)
        self.twice = FastDeconv2d(8, 8, 3, padding=1, groups=2)
        self.again = self.twice
        self.norm, self.drop = nn.BatchNorm2d(8), nn.Dropout(0.5)
        self.channels = ChannelDeconv(8)
        self.head = DeconvLinear(8, 4)

    def forward(self, x):
        x = self.stem(x).relu()
        x = self.again(self.twice(x).relu()).relu()
        return self.head(self.drop(self.channels(self.norm(x)).mean((2, 3))))


def state_of(model):
    return copy.deepcopy({**model.state_dict(), "training": [m.training for m in model.modules()]})


@pytest.fixture(scope="module")
def net():
    return trained(Net(), *(batch(20, 3, 10, 10, seed=seed).float() for seed in range(3)))


def test_a_network_and_nothing_left_of_the_method(net):
    before, x = state_of(net), batch(5, 3, 10, 10).float()
    folded, difference = fold(net, x)
    assert not any(type(m).__module__.startswith("ndtools") for m in folded.modules())
    assert not any("whitening" in key for key in folded.state_dict())
    assert not any(m.training for m in folded.modules())
    assert folded.twice is folded.again
    assert type(folded.norm) is nn.BatchNorm2d
    after = state_of(net)
    assert net.training
    assert before.pop("training") == after.pop("training")
    torch.testing.assert_close(before, after, rtol=0, atol=0)
    again = copy.deepcopy(net).eval()
    assert difference == (folded(x) - again(x)).abs().max().item() < 1e-4


def test_it_runs_wherever_plain_modules_do(net):
    x = batch(5, 3, 10, 10).float()
    folded, _ = fold(net, x)
    with torch.no_grad():
        expected = folded(x)
        torch.testing.assert_close(torch.export.export(folded, (x,)).module()(x), expected)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_it_can_be_traced(net):
    x = batch(5, 3, 10, 10).float()
    folded, _ = fold(net, x)
    torch.testing.assert_close(torch.jit.trace(folded, x)(x), folded(x))


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore")
def test_it_compiles(net):
    x = batch(5, 3, 10, 10).float()
    folded, _ = fold(net, x)
    with torch.no_grad():
        torch.testing.assert_close(torch.compile(folded, backend="aot_eager")(x), folded(x))


@pytest.mark.filterwarnings("ignore")
def test_it_goes_to_onnx(net, tmp_path):
    pytest.importorskip("onnxscript", reason="torch.onnx needs onnxscript")
    x = batch(5, 3, 10, 10).float()
    torch.onnx.export(fold(net, x)[0], (x,), tmp_path / "net.onnx", dynamo=True)


@dataclass
class Output:
    logits: torch.Tensor
    note: str = ""


@pytest.mark.parametrize(
    "wrap",
    [lambda y: (y, 2 * y), lambda y: {"a": y, "b": [None, y]}, lambda y: Output(y), lambda y: (y.new_empty(0), y)],
)
def test_outputs_of_other_kinds(wrap):
    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = DeconvLinear(4, 3)

        def forward(self, x, *, scale=1.0):
            return wrap(self.layer(x) * scale)

    x = batch(20, 4).float()
    model = trained(Wrapped(), x)
    for example in (x, (x,), {"x": x, "scale": 2.0}):
        assert fold(model, example)[1] < 1e-5


def test_equal_infinities_are_no_difference():
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = DeconvLinear(4, 3)

        def forward(self, x):
            return self.layer(x).masked_fill(torch.tensor([True, False, False]), -torch.inf)

    x = batch(20, 4).float()
    assert fold(trained(Masked(), x), x)[1] < 1e-5


def test_half_precision():
    x = batch(20, 4, 6, 6).float()
    layer = trained(FastDeconv2d(4, 3, 3), x).bfloat16()
    folded, difference = fold(layer, x.bfloat16())
    assert folded.weight.dtype == torch.bfloat16
    assert difference <= 2**-7 * layer.eval()(x.bfloat16()).abs().max().item()


def test_channels_in_half_precision():
    x = batch(20, 4, 6).float()
    layer = trained(ChannelDeconv(4), x).bfloat16()
    folded, difference = fold(layer, x.bfloat16())
    assert folded.weight.dtype == torch.bfloat16
    assert difference <= 2**-6 * layer.eval()(x.bfloat16()).abs().max().item()


def test_hooks_and_gradients_survive():
    x = batch(20, 4).float()
    layer = trained(DeconvLinear(4, 3), x).requires_grad_(False)
    seen = []
    layer.register_forward_hook(lambda *_: seen.append(1))
    folded, _ = fold(layer, x)
    assert not folded.weight.requires_grad
    seen.clear()
    folded(x)
    assert seen == [1]


def test_without_layers_or_training_there_is_nothing_to_fold():
    x = batch(20, 4).float()
    with pytest.raises(ValueError, match="Linear has no deconvolution layers"):
        fold(nn.Linear(4, 3), x)
    with pytest.raises(ValueError, match="1 of 2 deconvolution layers have not seen a training batch.*'1'"):
        fold(nn.Sequential(trained(DeconvLinear(4, 4), x), DeconvLinear(4, 3)), x)
    with pytest.raises(TypeError, match="the output of the network must hold tensors, got int"):
        model = trained(nn.Sequential(DeconvLinear(4, 3)), x)
        model.forward = lambda x: 3
        fold(model, x)


def test_unknown_holders_of_statistics_are_refused():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.mine, self.layer = Whitening(4, 1, DeconvConfig()), DeconvLinear(4, 3)

        def forward(self, x):
            return self.layer(x)

    x = batch(20, 4).float()
    with pytest.raises(ValueError, match="unknown type holds the statistics 'mine'"):
        fold(trained(Own(), x), x)


@pytest.mark.parametrize(
    ("shapes", "seen"), [([], "nothing"), ([(9, 4), (9, 4, 5)], "2 axes of torch.float32 and 3 axes")]
)
def test_channels_that_are_not_reached_in_one_shape(shapes, seen):
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.channels, self.layer = ChannelDeconv(4), DeconvLinear(4, 3)

        def forward(self, x):
            for shape in shapes:
                self.channels(torch.randn(shape))
            return self.layer(x)

    x = batch(20, 4).float()
    model = trained(Odd(), x)
    model.channels(torch.randn(9, 4))
    with pytest.raises(ValueError, match=f"channels sees {seen}"):
        fold(model, x)


def test_folding_draws_no_random_numbers():
    x = batch(20, 4, 6).float()
    model = trained(nn.Sequential(FastDeconv1d(4, 4, 3), ChannelDeconv(4), nn.Dropout(), DeconvLinear(4, 3)), x)
    before = torch.get_rng_state()
    fold(model, x)
    assert torch.equal(torch.get_rng_state(), before)


def test_layers_held_in_plain_lists_are_refused():
    class Held(nn.Module):
        def __init__(self, layer, pairs):
            super().__init__()
            self.layer, self.pairs = layer, pairs

        def forward(self, x):
            return self.pairs["first"][0][0](x)

    x = batch(20, 4).float()
    layer = trained(DeconvLinear(4, 3), x)
    block = nn.Sequential(layer)
    for held in (layer, block):
        with pytest.raises(ValueError, match="Held.pairs: lists and dicts .* cannot be exchanged there"):
            fold(Held(nn.ReLU(), {"first": [(held,)]}), x)
    with pytest.raises(ValueError, match=r"Held\.pairs"):
        fold(Held(layer, {"first": [(layer,)]}), x)
    folded, difference = fold(Held(block, {"first": [(block,)]}), x)  # it is exchanged within the block
    assert folded.pairs["first"][0][0] is folded.layer
    assert type(folded.layer[0]) is nn.Linear
    assert difference < 1e-5


def test_weights_that_hooks_compute_are_refused():
    x = batch(20, 4).float()
    layer = trained(DeconvLinear(4, 3), x)
    prune.l1_unstructured(layer, "weight", 4)
    with pytest.raises(ValueError, match=r"hooks compute the weight of 0 at each call .*prune\.remove"):
        fold(nn.Sequential(layer), x)
    prune.l1_unstructured(layer, "bias", 1)
    prune.remove(layer, "weight")
    with pytest.raises(ValueError, match="hooks compute the bias of"):
        fold(layer, x)
    prune.remove(layer, "bias")
    assert fold(layer, x)[1] < 1e-5
    assert fold(trained(DeconvLinear(4, 3, bias=False), x), x)[1] < 1e-5


def test_parametrised_weights_become_plain():
    x = batch(20, 4)
    layer = trained(nn.utils.parametrizations.weight_norm(DeconvLinear(4, 3, dtype=torch.float64)), x)
    folded, difference = fold(layer, x)
    assert set(folded.state_dict()) == {"weight", "bias"}
    assert difference < 1e-12


def test_the_example_is_left_alone_by_networks_that_write_to_it():
    class Writing(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = DeconvLinear(4, 3)

        def forward(self, x, more):
            x += 1
            more["scale"][0].mul_(2)
            return self.layer(x) * more["scale"][0]

    x, scale = batch(20, 4).float(), torch.ones(1)
    model = trained(Writing().train())
    model(x.clone(), {"scale": [scale.clone()]})
    before = x.clone()
    for example in ((x, {"scale": [scale]}), {"x": x, "more": {"scale": [scale]}}):
        assert fold(model, example)[1] < 1e-5
        assert torch.equal(x, before)
        assert scale == 1


@pytest.mark.parametrize("arch", ["resnet18", "preact_resnet18"])
def test_converted_trained_and_folded_networks(arch, monkeypatch):
    """Images of 16×16: the last stage has maps of 2×2."""
    narrow(monkeypatch)
    torch.manual_seed(0)
    model = convert(build(arch, batch_norm()).double(), DeconvConfig.paper(block_size=8))[0]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for seed in range(2):
        nn.functional.cross_entropy(model(batch(4, 3, 16, 16, seed=seed)), torch.arange(4)).backward()
        optimizer.step()
        optimizer.zero_grad()
    images = batch(2, 3, 16, 16, seed=2)
    folded, difference = fold(model, images)
    assert not any(deconvolves(module) for module in folded.modules())
    largest = folded(images).abs().max().item()
    assert difference < 1e-10 * max(1, largest)


def test_poor_statistics_are_refused():
    net = nn.Sequential(FastDeconv2d(3, 4, 3), FastDeconv2d(4, 4, 3))
    x = torch.randn(20, 3, 12, 12)
    net(x)
    covariance = net[1].whitening.running_covariance
    covariance[0, 0] -= 3 * torch.eye(36)
    with pytest.raises(ValueError, match="^1: the averaged covariance has negative eigenvalues, .*; estimate"):
        fold(net, x)
    covariance[0, 0, 3, 3] = torch.nan
    net[0].whitening.running_mean[:] = torch.inf
    with pytest.raises(ValueError, match="^0, 1: the averaged statistics contain NaN or Inf, as after a training"):
        fold(net, x)


@pytest.mark.parametrize("function", [fold, audit])
def test_what_is_no_example(function):
    net = nn.Sequential(FastDeconv2d(3, 4, 3))
    x = torch.randn(20, 3, 12, 12)
    net(x)
    for example, message in (
        (x.numpy(), r"got an array of numpy: pass torch.from_numpy\(array\)"),
        ([x, x], r"got a list: of a batch \[x, y\] pass x"),
        ((x, x), "Sequential does not take 2 arguments: a tuple holds .* of a batch \\(x, y\\) of inputs and targets"),
        ({"images": x}, "Sequential does not take the arguments images: "),
    ):
        with pytest.raises(TypeError, match=message):
            function(net, example)
    with pytest.raises(TypeError, match="model must be a torch.nn.Module, got one of type OrderedDict"):
        function(net.state_dict(), x)


def test_type_errors_of_the_network_are_its_own():
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = FastDeconv2d(3, 4, 3)

        def forward(self, x):
            return self.layer(x) if self.training else len(3)

    net, x = Broken(), torch.randn(20, 3, 12, 12)
    net(x)
    with pytest.raises(TypeError, match="has no len"):
        fold(net, x)


@pytest.mark.parametrize("function", [fold, audit])
def test_examples_that_are_none(function):
    net = nn.Sequential(FastDeconv2d(3, 4, 3))
    net(torch.randn(4, 3, 8, 8))
    for example in ("abc", 3, *([None] if function is fold else [])):
        with pytest.raises(TypeError, match=f"example must be a Tensor, .* got {type(example).__name__}: pass a small"):
            function(net, example)
    for example in (torch.zeros(0, 3, 8, 8), (torch.zeros(0, 3, 8, 8),), {"input": torch.zeros(0, 3, 8, 8)}):
        with pytest.raises(ValueError, match=r"at least one sample, got a Tensor of shape \(0, 3, 8, 8\)"):
            function(net, example)
