"""Converted networks: what is exchanged, what is kept and why, and that nothing else changes."""

import copy
import warnings

import pytest
import torch
from torch import nn

from ndtools.layers.channel import ChannelDeconv
from ndtools.layers.config import DeconvConfig
from ndtools.layers.conv import FastDeconv1d, FastDeconv2d, FastDeconv3d
from ndtools.layers.linear import DeconvLinear
from ndtools.models.factories import deconv
from ndtools.surgery.audit import audit
from ndtools.surgery.convert import convert
from ndtools.surgery.fold import fold
from ndtools.surgery.plan import Plan
from tests.tolerance import rtol

pytestmark = pytest.mark.filterwarnings("ignore::ndtools.errors.NumericalWarning")


def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, (3, 1), groups=8, padding="same", padding_mode="reflect"),
        nn.SyncBatchNorm(8),
        nn.Conv2d(8, 16, 1, groups=2, dilation=2),
        nn.Flatten(),
        nn.Linear(16 * 16, 4),
    )


def actions(plan):
    return {entry.name: (entry.was, entry.became, entry.action, entry.reason) for entry in plan.entries}


def test_convolutions_linear_layers_and_batch_norms():
    given = net()
    before = copy.deepcopy(given.state_dict())
    converted, plan = convert(given)
    assert actions(plan) == {
        "0": ("Conv2d", "FastDeconv2d", "converted", "first; bias added"),
        "1": ("BatchNorm2d", "Identity", "removed", ""),
        "3": ("Conv2d", "FastDeconv2d", "converted", ""),
        "4": ("SyncBatchNorm", "Identity", "removed", ""),
        "5": ("Conv2d", "FastDeconv2d", "converted", ""),
        "7": ("Linear", "DeconvLinear", "converted", ""),
    }
    assert (plan.converted, plan.removed, plan.kept) == (4, 2, 0)
    assert [type(m) for m in given] == [type(m) for m in net()]
    torch.testing.assert_close(given.state_dict(), before, rtol=0, atol=0)
    for i in (0, 3, 5, 7):
        assert torch.equal(converted[i].weight, given[i].weight)
        assert converted[i].weight is not given[i].weight
        if given[i].bias is None:
            assert not converted[i].bias.any()
        else:
            assert torch.equal(converted[i].bias, given[i].bias)
    for i in (0, 3, 5):
        for name in ("kernel_size", "stride", "padding", "dilation", "groups", "padding_mode", "in_channels"):
            assert getattr(converted[i], name) == getattr(given[i], name)
    configs = [converted[i].whitening.config for i in (0, 3, 5, 7)]
    assert configs == [
        DeconvConfig(n_iter=15, freeze_after=200),
        DeconvConfig(),
        DeconvConfig(),
        DeconvConfig(block_size=512, grouping="contiguous", shared=False),
    ]
    x = torch.randn(64, 3, 8, 8)
    loss = converted(x).square().mean()
    loss.backward()
    assert all(p.grad is not None for p in converted.parameters())


def test_before_training_it_is_the_network_without_its_norms():
    given = net().eval()
    given[1], given[4] = nn.Identity(), nn.Identity()
    x = torch.randn(5, 3, 8, 8)
    torch.testing.assert_close(convert(given)[0](x), given(x))


def test_a_bias_is_added_only_for_batch_norms():
    converted, plan = convert(nn.Sequential(nn.Conv1d(3, 4, 3, bias=False), nn.Linear(5, 2, bias=False)))
    assert converted[0].bias is converted[1].bias is None
    assert [entry.reason for entry in plan.entries] == ["first", ""]


def test_settings():
    config, first = DeconvConfig.reference(block_size=4), DeconvConfig(n_iter=7)
    converted, _ = convert(net(), config)
    assert converted[0].whitening.config == DeconvConfig.reference(block_size=4, n_iter=15, freeze_after=200)
    assert converted[3].whitening.config == config
    assert convert(net(), config, first=first)[0][0].whitening.config == first
    asked = []

    def choose(name, module):
        asked.append(name)
        return None if name in ("0", "4") else DeconvConfig(n_iter=int(name) + 1)

    converted, plan = convert(net(), choose)
    assert asked == ["0", "1", "3", "4", "5", "7"]
    assert actions(plan)["0"] == ("Conv2d", "Conv2d", "kept", "left by config")
    assert actions(plan)["4"] == ("SyncBatchNorm", "SyncBatchNorm", "kept", "left by config")
    assert [converted[i].whitening.config.n_iter for i in (3, 5, 7)] == [4, 6, 8]
    assert convert(net(), choose, first=first)[0][3].whitening.config == first


@pytest.mark.parametrize(
    ("plain", "fast"), [(nn.Conv1d, FastDeconv1d), (nn.Conv2d, FastDeconv2d), (nn.Conv3d, FastDeconv3d)]
)
def test_the_network_may_be_a_layer(plain, fast):
    given = plain(2, 3, 3, dtype=torch.float64).eval().requires_grad_(False)
    converted, plan = convert(given, inplace=True)
    assert type(converted) is fast
    assert (plan.entries[0].name, str(plan).splitlines()[1].split()[0]) == ("", "(model)")
    assert converted.weight is given.weight
    assert not converted.weight.requires_grad
    assert converted.weight.dtype == converted.whitening.running_mean.dtype == torch.float64
    assert not converted.training
    assert not converted.whitening.training


def test_a_root_that_is_linear():
    assert type(convert(nn.Linear(3, 2))[0]) is DeconvLinear


def test_in_place():
    given = net()
    weight = given[0].weight
    converted, _ = convert(given, inplace=True)
    assert converted is given
    assert given[0].weight is weight


def test_training_flags_dtype_and_gradients():
    given = net().to(torch.bfloat16)
    given[3].eval()
    given[0].requires_grad_(False)
    converted, _ = convert(given)
    assert [converted[i].training for i in (0, 3)] == [True, False]
    assert converted[3].whitening.training is False
    assert converted[0].bias.requires_grad is converted[0].weight.requires_grad is False
    assert converted[0].bias.dtype == torch.bfloat16
    assert converted[0].whitening.running_mean.dtype == torch.float32
    assert converted.state_dict()["0.whitening.num_batches_tracked"] == 0


def test_shared_modules_stay_shared():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 3, padding=1)
            self.more = nn.ModuleList([self.conv, nn.BatchNorm2d(4)])

        def forward(self, x):
            return self.more[1](self.more[0](self.conv(x)))

    converted, plan = convert(Shared())
    assert converted.conv is converted.more[0]
    assert actions(plan)["conv"][-1] == "first; also more.0"
    converted(torch.randn(20, 4, 6, 6))
    assert converted.conv.whitening.num_batches_tracked == 2


class Depthwise(nn.Conv2d):
    """As in the EfficientNet of transformers: only the constructor differs."""

    def __init__(self, channels):
        super().__init__(channels, channels, 3, groups=channels, bias=False, padding="same")
        self.multiplier = 1


class Standardised(nn.Conv2d):
    def _conv_forward(self, x, weight, bias):
        return super()._conv_forward(x, weight - weight.mean((1, 2, 3), keepdim=True), bias)


class WithActivation(nn.Conv2d):
    def __init__(self, *args):
        super().__init__(*args)
        self.activation = nn.ReLU()


def test_subclasses_of_convolutions_that_compute_the_same():
    given = nn.Sequential(nn.Conv2d(3, 4, 1), Depthwise(4), nn.BatchNorm2d(4))
    converted, plan = convert(given)
    assert actions(plan)["1"] == ("Depthwise", "FastDeconv2d", "converted", "bias added")
    assert actions(plan)["2"][2] == "removed"
    assert (converted[1].groups, converted[1].padding, converted[1].multiplier) == (4, "same", 1)
    assert torch.equal(converted[1].weight, given[1].weight)
    for module in (Standardised(4, 4, 3), WithActivation(4, 4, 3)):
        found = actions(convert(nn.Sequential(nn.Conv2d(3, 4, 1), module))[1])
        assert found["1"][2:] == ("kept", "a subclass of Conv2d, which may do something else")


class Caching(nn.Module):
    """As in LeViT: in evaluation what is computed from parameters is kept."""

    def __init__(self):
        super().__init__()
        self.bias, self.layer, self.cache = nn.Parameter(torch.ones(3)), nn.Linear(3, 3), {}

    def forward(self, x):
        self.cache.setdefault("biases", {"cpu": self.bias * 2})
        return self.layer(x) + self.cache["biases"]["cpu"]


def test_networks_that_keep_results_of_computations():
    given, x = Caching(), torch.randn(40, 3)
    expected = given(x)
    converted, _ = convert(given)
    kept = converted.cache["biases"]["cpu"]
    assert not kept.requires_grad
    assert kept is not given.cache["biases"]["cpu"]
    converted(x)
    with torch.no_grad():
        converted.bias.zero_()
    torch.testing.assert_close(given(x), expected, rtol=0, atol=0)
    converted.cache.clear()
    converted.eval()(x)  # keeps a result again
    assert not converted.cache["biases"]["cpu"].is_leaf
    folded, difference = fold(converted, x)
    assert type(folded.layer) is nn.Linear
    assert difference <= rtol(torch.float32, 1) * float(converted(x).detach().abs().max())
    assert audit(converted, x).rows[0].rows == 40


@pytest.mark.parametrize(
    ("layer", "blocks"),
    [
        (nn.Conv1d(128, 2, 3), [64, 64]),
        (nn.Conv1d(128, 2, 21), [16] * 8),
        (nn.Conv2d(70, 2, 3), [35, 35]),
        (nn.Conv2d(24, 2, 5), [12, 12]),
        (nn.Conv3d(32, 2, 3), [16, 16]),
        (nn.Conv3d(2, 2, 9), [1, 1]),
        (nn.Conv2d(32, 2, 7, groups=2), [8] * 4),
    ],
)
def test_blocks_have_at_most_576_features_unless_their_size_is_chosen(layer, blocks):
    def sizes(config):
        whitening = convert(layer, config)[0].whitening
        return [part.size for _ in range(whitening.groups) for part in whitening.parts for _ in range(part.blocks)]

    assert sizes(None) == sizes(DeconvConfig(eps=1e-3)) == blocks
    per_group = layer.in_channels // layer.groups
    assert sizes(DeconvConfig(block_size=None)) == [per_group] * layer.groups
    assert max(sizes(DeconvConfig.paper(block_size=64))) == min(64, per_group)


def test_the_published_codes_blocks_do_not_depend_on_the_kernel():
    layer = FastDeconv2d(128, 2, 5, config=DeconvConfig.reference())
    assert layer.whitening.parts[0].size == 64


def test_tied_weights_stay_tied():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.head = nn.Embedding(10, 6), nn.Linear(6, 10)
            self.head.weight = self.embedding.weight

    for inplace in (False, True):
        converted, plan = convert(Tied(), inplace=inplace)
        assert type(converted.head) is DeconvLinear
        assert converted.head.weight is converted.embedding.weight
        assert actions(plan)["embedding"] == ("Embedding", "Embedding", "kept", "it has no deconvolution form")


def test_attention_and_transformers():
    """In evaluation torch reads the weights of linear1 and linear2 itself: they stay."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0)
    given = nn.Sequential(nn.Linear(5, 8), layer, nn.Linear(8, 3))
    converted, plan = convert(given)
    found = actions(plan)
    assert found["1.self_attn"][2:] == ("kept", "it has no deconvolution form")
    assert found["1.self_attn.out_proj"][2:] == ("kept", "a subclass of Linear, which may do something else")
    assert found["1.linear1"][2:] == ("kept", "TransformerEncoderLayer reads its weight")
    assert found["1.norm1"][2:] == ("kept", "normalises samples, not batches")
    assert type(converted[2]) is DeconvLinear
    x = torch.randn(4, 6, 5)
    converted(x)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fast = converted.eval()(x)
    torch.testing.assert_close(fast, converted(x))  # with gradient torch takes the slow way


class Mine(nn.Conv2d):
    def forward(self, x):
        return super().forward(x)


def weight_normed():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.utils.weight_norm(nn.Linear(3, 3))


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (Mine(3, 3, 3), "a subclass of Conv2d, which may do something else"),
        (nn.LazyConv2d(3, 3), "lazy: run the network once first"),
        (nn.LazyBatchNorm1d(), "lazy: run the network once first"),
        (nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 3, 3)), "its weight is parametrised"),
        (nn.utils.parametrizations.spectral_norm(nn.Linear(3, 3)), "its weight is parametrised"),
        (weight_normed(), "its weight is computed from other tensors"),
        (nn.InstanceNorm2d(3, affine=True), "normalises samples, not batches"),
        (nn.InstanceNorm2d(3), "normalises samples, not batches"),
        (nn.GroupNorm(1, 3), "normalises samples, not batches"),
        (FastDeconv2d(3, 3, 3), "deconvolves already"),
        (DeconvLinear(3, 3), "deconvolves already"),
        (ChannelDeconv(3), "deconvolves already"),
        (nn.PReLU(), "it has no deconvolution form"),
        (nn.Conv2d(3, 3, 3, dtype=torch.complex64), "its weight is complex"),
        (nn.Bilinear(2, 2, 2), "it has no deconvolution form"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_what_is_kept(module, reason):
    other = nn.Linear(3, 3)
    inplace = "weight_g" in module._parameters or isinstance(module, nn.LazyBatchNorm1d)  # torch cannot copy these
    converted, plan = convert(nn.Sequential(module, other), inplace=inplace)
    assert type(converted[0]) is type(module)
    assert actions(plan) == {
        "0": (type(module).__name__, type(module).__name__, "kept", reason),
        "1": ("Linear", "DeconvLinear", "converted", ""),
    }
    with pytest.raises(ValueError, match="nothing to convert in Sequential: 1 .*" + reason):
        convert(nn.Sequential(module), inplace=True)


def test_a_replaced_forward_and_modules_held_elsewhere_are_kept():
    given = net()
    given[0].forward = lambda x: x
    given.spare = [given[3]]
    given[5]._register_state_dict_hook(lambda *_: None)
    found = actions(convert(given)[1])
    assert found["0"][-1] == "its forward is replaced"
    assert found["3"][-1] == "Sequential.spare holds it, too"
    assert found["5"][-1] == "hooks on its state_dict"


def test_hooks_are_carried_over():
    given = net()
    seen = []
    handle = given[0].register_forward_hook(lambda module, *_: seen.append(type(module)))
    given[1].register_forward_pre_hook(lambda module, *_: seen.append(type(module)))
    converted, plan = convert(given, inplace=True)
    assert actions(plan)["0"][-1] == "first; bias added; hooks carried over"
    converted(torch.randn(9, 3, 8, 8))
    handle.remove()
    converted(torch.randn(9, 3, 8, 8))
    assert seen == [FastDeconv2d, nn.Identity, nn.Identity]


def test_networks_without_layers():
    with pytest.raises(ValueError, match="nothing to convert in ReLU: it has no layers with parameters"):
        convert(nn.ReLU())
    with pytest.raises(ValueError, match="nothing to convert in Sequential: 1 BatchNorm1d"):
        convert(nn.Sequential(nn.BatchNorm1d(3)))


def test_compiled_networks_are_refused():
    with pytest.raises(ValueError, match=r"before torch\.compile"):
        convert(torch.compile(net(), backend="eager"))


def test_conversion_draws_no_random_numbers():
    given = net()
    before = torch.get_rng_state()
    convert(given)
    assert torch.equal(torch.get_rng_state(), before)


def test_converting_twice_changes_nothing():
    once, _ = convert(net())
    with pytest.raises(ValueError, match=r"3 FastDeconv2d \(deconvolves already\)"):
        convert(once)


def test_an_empty_plan_is_a_table():
    assert str(Plan(())).endswith("0 converted, 0 removed, 0 kept")


class Block(nn.Module):
    """Of a ResNet as torchvision has it, or of a pre-activation one, by where the normalisations are."""

    def __init__(self, conv, inputs, planes, first="conv"):
        super().__init__()
        if first == "norm":
            self.bn1, self.conv1 = nn.BatchNorm2d(inputs), conv(inputs, planes, 3, padding=1)
            self.bn2, self.conv2 = nn.BatchNorm2d(planes), conv(planes, planes, 3, padding=1)
        else:
            self.conv1, self.bn1 = conv(inputs, planes, 3, padding=1), nn.BatchNorm2d(planes)
            self.conv2, self.bn2 = conv(planes, planes, 3, padding=1), nn.BatchNorm2d(planes)
        self.shortcut = nn.Sequential(conv(inputs, planes, 1), nn.BatchNorm2d(planes))


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.ModuleList([self.double(3, 8), self.double(8, 16)])
        self.up = nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.norm = nn.BatchNorm2d(8)
        self.merge = self.double(16, 8)
        self.head = nn.Conv2d(8, 2, 1)

    @staticmethod
    def double(inputs, outputs):
        first = nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()
        return nn.Sequential(*first, nn.Conv2d(outputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs))


def stages(conv, **kwargs):
    blocks = Block(conv, 8, 8, **kwargs), Block(conv, 8, 16, **kwargs), nn.Flatten(), nn.Linear(16, 2)
    return nn.Sequential(conv(3, 8, 3), nn.BatchNorm2d(8), *blocks)


@pytest.mark.parametrize("first", ["conv", "norm"])
def test_normalisations_go_with_the_layers_that_they_normalise(first):
    plan = convert(stages(nn.Conv2d, first=first))[1]
    assert plan.kept == 0
    assert plan.removed == 7
    given = stages(Mine, first=first)
    converted, plan = convert(given)
    assert (plan.converted, plan.removed) == (1, 0)
    norms = [(e.name, e.reason) for e in plan.entries if e.was == "BatchNorm2d"]
    normalised = {
        "conv": ["0", "2.conv1", "2.conv2", "2.shortcut.0", "3.conv1", "3.conv2", "3.shortcut.0"],
        "norm": ["0", "0", "2.conv1", "2.shortcut.0", "2.shortcut.0", "3.conv1", "3.shortcut.0"],
    }
    assert [reason for _, reason in norms] == [f"probably normalises {name}, which stays" for name in normalised[first]]
    assert [type(m) for m in converted[:-1].modules()] == [type(m) for m in given[:-1].modules()]
    assert converted[-1].bias is not None


def test_decoders_of_transposed_convolutions_are_converted_wholly():
    given = UNet()
    converted, plan = convert(given)
    assert (plan.converted, plan.removed, plan.kept) == (8, 7, 0)
    assert actions(plan)["up"] == ("ConvTranspose2d", "FastDeconvTranspose2d", "converted", "")
    assert torch.equal(converted.up.weight, given.up.weight)
    up = nn.ConvTranspose1d
    generator, plan = convert(
        nn.Sequential(up(16, 8, 4, bias=False), nn.BatchNorm1d(8), nn.ReLU(), up(8, 3, 4, 2, 1, output_padding=1))
    )
    assert [entry.reason for entry in plan.entries] == ["first; bias added", "", ""]
    assert generator[0].bias.shape == (8,)
    assert generator[3].output_padding == (1,)
    assert generator(torch.randn(20, 16, 5)).shape == (20, 3, 17)


class Lists(nn.Module):
    """Convolutions in one list, normalisations in another."""

    def __init__(self, second):
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv2d(3, 4, 3), second, nn.Conv2d(8, 12, 3)])
        self.norms = nn.ModuleList([nn.BatchNorm2d(n) for n in (4, 8, 12, 20)])


class Matrix(nn.Module):
    """A layer of a kind that nobody knows."""

    def __init__(self):
        super().__init__()
        self.kernels, self.scale = nn.Parameter(torch.randn(1, 5, 8)), nn.Parameter(torch.ones(1, 12, 1))


@pytest.mark.parametrize("second", [Mine(4, 8, 3), nn.LazyConvTranspose2d(8, 3), Matrix()])
def test_the_size_tells_which_of_several_layers_is_normalised(second):
    found = actions(convert(Lists(second))[1])
    assert [found[f"norms.{i}"][2] for i in range(4)] == ["removed", "kept", "removed", "removed"]
    assert found["norms.1"][-1] == "probably normalises layers.1, which stays"


def test_siblings_and_the_whole_network_must_agree():
    class Own(nn.Module):
        def __init__(self, conv, shortcut):
            super().__init__()
            self.conv, self.shortcut = conv(8, 8, 3), nn.Sequential(shortcut(8, 8, 1))
            self.bn = nn.BatchNorm2d(8)
            self.head = nn.Linear(8, 2)

    for conv, shortcut, name in ((Mine, nn.Conv2d, "conv"), (nn.Conv2d, Mine, "shortcut.0")):
        found = actions(convert(Own(conv, shortcut))[1])
        assert found["bn"][2:] == ("kept", f"probably normalises {name}, which stays")
    assert actions(convert(Own(nn.Conv2d, nn.Conv2d))[1])["bn"][2] == "removed"


def test_normalisations_of_no_layer_or_of_another_size():
    def of(*modules):
        return [(e.action, e.reason) for e in convert(nn.Sequential(*modules))[1].entries if "BatchNorm" in e.was]

    removed = ("removed", "")
    assert of(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3)) == [removed]
    assert of(nn.BatchNorm2d(3), Mine(3, 4, 3), nn.Linear(3, 2)) == [
        ("kept", "probably normalises the input of 1, which stays")
    ]
    shuffled = nn.PixelShuffle(2), nn.BatchNorm2d(2)
    assert of(nn.Conv2d(3, 8, 3), *shuffled) == [removed]
    assert of(nn.Conv2d(3, 4, 3), Mine(4, 8, 3), *shuffled) == [("kept", "probably normalises 1, which stays")]
    assert of(FastDeconv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2)) == [removed]
    assert of(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.PReLU(4), nn.BatchNorm2d(4)) == [removed]
    spectral = nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 4, 3))
    assert of(spectral, nn.BatchNorm2d(4), nn.Linear(4, 2)) == [("kept", "probably normalises 0, which stays")]


def test_normalisations_of_what_config_leaves():
    found = actions(convert(net(), lambda name, _: None if name == "0" else DeconvConfig())[1])
    assert found["1"][2:] == ("kept", "probably normalises 0, which stays")
    assert found["4"][2] == "removed"


def test_modules_held_in_nested_containers_are_kept():
    given = net()
    given.pairs = {"first": [(given[3], given[4])]}
    found = actions(convert(given)[1])
    assert found["3"][-1] == found["4"][-1] == "Sequential.pairs holds it, too"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("paper",), r"config must be a DeconvConfig, got 'paper': pass DeconvConfig.paper\(\)$"),
        (("papers",), r"got 'papers': pass DeconvConfig\(...\), DeconvConfig.paper\(\) or DeconvConfig.reference\(\)"),
        (({"eps": 1},), r"got a dict: pass DeconvConfig\(\*\*settings\)"),
        ((DeconvConfig.paper,), r"got DeconvConfig.paper itself: pass DeconvConfig.paper\(\), called"),
        ((DeconvConfig,), r"got DeconvConfig itself: pass DeconvConfig\(\), called"),
        ((lambda name, module: "paper",), r"what config returns for 0 must be a DeconvConfig, got 'paper'"),
    ],
)
def test_what_is_no_configuration(arguments, message):
    with pytest.raises(TypeError, match=message):
        convert(nn.Sequential(nn.Conv2d(3, 4, 3)), *arguments)


def test_what_is_no_network():
    with pytest.raises(
        TypeError, match="model must be a torch.nn.Module, got one of type OrderedDict: build the network"
    ):
        convert(nn.Conv2d(3, 4, 3).state_dict())
    with pytest.raises(TypeError, match="got the class Conv2d"):
        convert(nn.Conv2d)
    with pytest.raises(TypeError, match="first must be a DeconvConfig, got 'reference'"):
        convert(nn.Conv2d(3, 4, 3), first="reference")
    for name in ("config", "first", "linear"):
        with pytest.raises(TypeError, match=f"{name} must be a DeconvConfig, got 'reference'"):
            deconv(**{name: "reference"})


def test_a_module_of_ones_own_holds_its_parameters():
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))

    _, plan = convert(nn.Sequential(nn.Conv2d(3, 4, 3), Scale()))
    assert plan.entries[1].reason == "holds parameters of its own"
