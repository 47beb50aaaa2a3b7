"""Layers within training as people write it: checkpointing, hooks, several passes, compilation, mixed precision."""

import copy
from functools import partial

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from ndtools.errors import NumericalWarning, OptionError
from ndtools.layers.channel import ChannelDeconv
from ndtools.layers.config import DeconvConfig
from ndtools.layers.conv import FastDeconv1d, FastDeconv2d, FastDeconv3d
from ndtools.layers.conv_transpose import FastDeconvTranspose1d, FastDeconvTranspose2d, FastDeconvTranspose3d
from ndtools.layers.linear import DeconvLinear

CONFIGS = {
    "paper": DeconvConfig(block_size=2, sampling_stride=1),
    "reference": DeconvConfig.reference(block_size=2, sampling_stride=1),
    "refresh": DeconvConfig(block_size=2, sampling_stride=1, refresh_every=2),
    "freeze": DeconvConfig(block_size=2, sampling_stride=1, freeze_after=2),
}


def network(config, dtype=torch.float64):
    torch.manual_seed(0)
    return nn.Sequential(
        FastDeconv2d(4, 6, 3, padding=1, dtype=dtype, config=config),
        nn.ReLU(),
        FastDeconv2d(6, 3, 3, dtype=dtype, config=config),
    )


def images(seed, n=8, dtype=torch.float64):
    return torch.randn(n, 4, 9, 9, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def gradients(model, x, through=lambda model, x: model(x)):
    model.zero_grad()
    x = x.clone().requires_grad_()
    through(model, x).square().sum().backward()
    return [x.grad, *(p.grad.clone() for p in model.parameters())]


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("name", CONFIGS)
def test_activation_checkpointing_changes_nothing(name, reentrant):
    model, other = network(CONFIGS[name]), network(CONFIGS[name])
    for step in range(4):  # past the first refresh, and past freezing
        expected = gradients(model, images(step))
        found = gradients(other, images(step), lambda m, x: checkpoint(m, x, use_reentrant=reentrant))
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
        for key, value in model.state_dict().items():
            assert torch.equal(other.state_dict()[key], value), key


@pytest.mark.parametrize("name", CONFIGS)
def test_several_passes_before_one_backward(name):
    # as of a discriminator: the statistics of the first pass must not be overwritten by the second
    model = network(CONFIGS[name])
    model(images(9))
    alone = []
    for seed in (1, 2):
        copied = copy.deepcopy(model)
        if seed == 2:
            copied(images(1))
        alone.append(gradients(copied, images(seed)))
    model.zero_grad()
    inputs = [images(seed).requires_grad_() for seed in (1, 2)]
    sum(model(x).square().sum() for x in inputs).backward()
    for i, p in enumerate(model.parameters()):
        torch.testing.assert_close(p.grad, alone[0][i + 1] + alone[1][i + 1], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", CONFIGS)
def test_an_evaluation_and_a_training_pass_before_one_backward(name):
    model = network(CONFIGS[name])
    model(images(9))
    alone = gradients(copy.deepcopy(model).eval(), images(1))[0]
    x = images(1).requires_grad_()
    evaluated = model.eval()(x).square().sum()
    (evaluated + model.train()(images(2)).square().sum()).backward()
    torch.testing.assert_close(x.grad, alone, rtol=1e-12, atol=1e-12)


def test_hooks_see_gradients_that_nobody_writes_to_later():
    model = network(CONFIGS["paper"])
    seen = []

    def note(module, grad_input, grad_output):
        seen.extend((g, g.clone()) for g in (*grad_input, *grad_output) if g is not None)

    for module in model.modules():
        module.register_full_backward_hook(note)
    plain = gradients(network(CONFIGS["paper"]), images(1))
    hooked = gradients(model, images(1))
    for a, b in zip(hooked, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    assert len(seen) >= 8
    assert all(torch.equal(shown, copied) for shown, copied in seen)


@pytest.mark.parametrize("kind", ["lw", "oas"])
@pytest.mark.parametrize("features", [1, 5, 9])
def test_gradients_through_shrinkage(kind, features):
    # 5 features in blocks of 4 leave a block of one, whose covariance is a multiple of the identity
    torch.manual_seed(0)
    layer = DeconvLinear(features, 2, dtype=torch.float64, config=DeconvConfig(block_size=4, shrinkage=kind))
    x = torch.randn(12, features, dtype=torch.float64)
    if features == 9:
        x[:, 4:8] = 0  # dead features
        layer(x.requires_grad_()).square().sum().backward()
        assert x.grad.isfinite().all()
    else:
        assert torch.autograd.gradcheck(layer, x.requires_grad_())


def test_shrinkage_in_a_layer_is_that_of_its_rows():
    from ndtools.numerics.shrinkage import shrink

    torch.manual_seed(0)
    x = torch.randn(20, 6, dtype=torch.float64)
    layer = DeconvLinear(6, 2, dtype=torch.float64, config=DeconvConfig(shrinkage="lw", momentum=1.0))
    layer(x)
    centred = x - x.mean(0)
    expected = shrink(centred, centred.mT @ centred / 20, "lw")
    torch.testing.assert_close(layer.whitening.running_covariance[0, 0], expected)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:The .grad attribute:UserWarning")  # of the compiler
def test_the_compiled_layer_trains_the_same():
    model = network(CONFIGS["paper"])
    compiled_network = network(CONFIGS["paper"])
    breaks = torch._dynamo.explain(compiled_network)(images(7))
    assert breaks.graph_break_count == 2  # one for each layer
    model(images(7))
    compiled = torch.compile(compiled_network, backend="aot_eager")
    for step in range(2):
        expected = gradients(model, images(step))
        found = gradients(compiled, images(step))
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
    model.eval()
    compiled.eval()
    torch.testing.assert_close(compiled(images(5)), model(images(5)))


def test_a_backward_pass_under_autocast_keeps_the_statistics_exact():
    # torch advises against it, and people do it
    layer, x = network(CONFIGS["paper"], torch.float32)[0], images(0, dtype=torch.float32)
    model, (_, sampler) = layer.whitening, layer.sampled_input(x)
    found = []
    for autocast in (False, True):
        leaf = x.clone().requires_grad_()
        passed, ((mean, matrix),) = model.statistics(leaf, sampler)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            (mean.sum() + matrix.square().sum() + 0 * passed.sum()).backward()
        found.append(leaf.grad)
    torch.testing.assert_close(found[1], found[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.ones(2, 8, 9, 9), ValueError, "expected 4 channels, got 8"),
        (torch.ones(2, 2, 9, 9), ValueError, "expected 4 channels, got 2"),
        (torch.ones(4, 9), ValueError, "expected an input with 4 axes, or 3 without N"),
        (torch.ones(1, 2, 4, 9, 9), ValueError, "expected an input with 4 axes, or 3 without N"),
        (torch.ones(2, 4, 2, 9), ValueError, r"reaches over \[5, 3\] pixels does not fit in \[4, 11\]"),
        (
            torch.ones(2, 4, 9, 9, dtype=torch.float64),
            TypeError,
            "dtype of the weights, torch.float32, got torch.float64",
        ),
        (torch.ones(2, 4, 9, 9, dtype=torch.uint8), TypeError, "floating dtype, got torch.uint8"),
        (torch.ones(0, 4, 9, 9), ValueError, "at least one sample"),
    ],
)
def test_inputs_that_do_not_fit_are_named_and_not_tracked(x, error, message):
    layer = FastDeconv2d(4, 3, (5, 3), padding=1)
    with pytest.raises(error, match=message):
        layer(x)
    assert layer.whitening.num_batches_tracked == 0
    assert not layer.whitening.running_mean.any()


def test_vectors_and_channels_of_whole_numbers():
    with pytest.raises(TypeError, match="floating dtype, got torch.int64"):
        DeconvLinear(4, 3)(torch.ones(6, 4, dtype=torch.int64))
    with pytest.raises(TypeError, match="floating dtype, got torch.int64"):
        ChannelDeconv(4)(torch.ones(6, 4, dtype=torch.int64))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"block_size": 2.5}, "block_size.*whole number of at least 1, got 2.5"),
        ({"n_iter": None}, "n_iter.*whole number of at least 1, got None"),
        ({"refresh_every": True}, "refresh_every.*whole number"),
        ({"momentum": "0.1"}, "momentum.*must be a number, got '0.1'"),
        ({"shared": 1}, "shared.*True or False"),
        ({"sync": True, "shrinkage": "lw"}, "sync.*oas"),
    ],
)
def test_settings_that_are_none(settings, message):
    with pytest.raises(OptionError, match=message):
        DeconvConfig(**settings)


def test_state_of_low_precision_is_assigned_in_full():
    layer = DeconvLinear(4, 3)
    layer(torch.randn(50, 4))
    state = {key: value.bfloat16() if value.is_floating_point() else value for key, value in layer.state_dict().items()}
    other = DeconvLinear(4, 3)
    other.load_state_dict(state, assign=True)
    assert other.whitening.running_covariance.dtype == torch.float32
    assert other.weight.dtype == torch.bfloat16
    assert other.eval()(torch.randn(5, 4).bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize("training", [False, True])
def test_functional_gradients(training):
    model = network(CONFIGS["paper"])
    model(images(0))
    model.train(training)
    x = images(1)
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}  # in training they are written to

    def loss(x, buffers):
        return torch.func.functional_call(model, buffers, (x,)).square().sum(), buffers

    (found, after) = torch.func.grad(loss, has_aux=True)(x, buffers)
    leaf = x.clone().requires_grad_()
    model(leaf).square().sum().backward()
    torch.testing.assert_close(found, leaf.grad)
    for name, buffer in model.named_buffers():
        torch.testing.assert_close(after[name], buffer)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (lambda **kw: FastDeconv1d(4, 3, 3, padding=1, **kw), (3, 4, 8)),
        (lambda **kw: FastDeconv2d(4, 4, (2, 3), stride=(2, 1), dilation=(1, 2), groups=2, **kw), (3, 4, 5, 7)),
        (lambda **kw: FastDeconv2d(3, 2, 3, padding="same", padding_mode="reflect", bias=False, **kw), (3, 3, 4, 4)),
        (lambda **kw: FastDeconv3d(2, 3, 2, **kw), (2, 2, 3, 3, 4)),
        (lambda **kw: FastDeconvTranspose1d(4, 3, 3, stride=2, **kw), (3, 4, 5)),
        (lambda **kw: FastDeconvTranspose2d(4, 4, (2, 3), (2, 1), (3, 0), (1, 0), 2, **kw), (2, 4, 4, 3)),
        (lambda **kw: FastDeconvTranspose3d(2, 3, 2, stride=(1, 2, 2), bias=False, **kw), (2, 2, 2, 2, 2)),
        (lambda **kw: DeconvLinear(5, 3, **kw), (7, 5)),
        (lambda **kw: ChannelDeconv(5, **kw), (4, 5, 3)),
    ],
)
@pytest.mark.parametrize("config", [CONFIGS["paper"], CONFIGS["reference"]], ids=["paper", "reference"])
def test_gradcheck_of_every_layer(layer, shape, config):
    torch.manual_seed(0)
    layer = layer(dtype=torch.float64, config=config)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    parameters = dict(layer.named_parameters())

    def through(x, *values):
        return torch.func.functional_call(layer, dict(zip(parameters, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(through, (x, *parameters.values()))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("export", [torch.jit.trace, lambda model, x: torch.export.export(model, (x,))])
def test_what_cannot_be_exported_says_what_can(export):
    model = network(CONFIGS["paper"])
    model(images(0))
    with pytest.raises(RuntimeError, match="fold it first"):
        export(model.eval(), images(1))


def test_damaged_averages_are_named():
    torch.manual_seed(0)
    layer = DeconvLinear(8, 3, config=DeconvConfig(n_iter=15))
    layer(torch.randn(100, 1) @ torch.ones(1, 8) * 30 + 0.01 * torch.randn(100, 8))
    assert layer.whitening.trouble() == ""
    layer.whitening.running_covariance[0, 0].fill_diagonal_(0)  # a trace of 0: indefinite
    with pytest.warns(NumericalWarning, match="are indefinite: a covariance has negative eigenvalues"):
        layer.eval()(torch.randn(4, 8))
    layer.whitening.running_mean[0, 0, 0] = float("nan")
    assert layer.whitening.trouble() == "non-finite"


@pytest.mark.parametrize("shrinkage", ["auto", "none", "oas", "lw"])
@pytest.mark.parametrize("scale", [1e-5, 1e10, 1e17])
def test_inputs_of_any_size_are_whitened_alike(scale, shrinkage):
    found = []
    for size in (1.0, scale):
        torch.manual_seed(0)
        layer = DeconvLinear(6, 3, config=DeconvConfig(eps=1e-18, shrinkage=shrinkage))
        x = (size * (torch.randn(50, 6) @ torch.randn(6, 6))).requires_grad_()
        out = layer(x)
        out.square().sum().backward()
        layer.eval()
        assert layer.whitening.trouble() == ""
        found.append((out, size * x.grad, layer.weight.grad, layer(x)))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3 * a.abs().max().item())


def test_the_smallest_ridge_is_enough_for_inputs_that_do_not_vary():
    layer = FastDeconv2d(4, 3, 3, config=DeconvConfig(eps=1e-18, n_iter=15))
    x = torch.full((3, 4, 9, 9), 2.0, requires_grad=True)
    layer(x).square().sum().backward()
    assert all(t.isfinite().all() for t in (x.grad, layer.weight.grad, layer.eval()(x)))
    for eps in (1e-19, 1e-38, 1e-50):
        with pytest.raises(OptionError, match="eps: must be at least 1e-18, below which float32 overflows"):
            DeconvConfig(eps=eps)


def test_inputs_that_overflow_are_named():
    layer = DeconvLinear(4, 3)
    layer(1e25 * torch.randn(50, 4))
    with pytest.warns(NumericalWarning, match="are non-finite: .* from inputs of 1e19 on"):
        layer.eval()(torch.randn(4, 4))


def test_state_of_a_layer_that_takes_statistics_of_every_batch():
    every, third = (network(DeconvConfig(block_size=2, sampling_stride=1, refresh_every=n)) for n in (1, 3))
    every(images(0))
    third.load_state_dict(every.state_dict(), strict=False)
    torch.testing.assert_close(third(images(1)), every(images(1)))  # and not by a D that no batch has
    last = third[0].whitening.last_statistics()
    third(images(2))
    torch.testing.assert_close(third[0].whitening.last_statistics(), last)


@pytest.mark.parametrize(("old", "new"), [("matrix", "covariance"), ("covariance", "matrix")])
def test_state_of_other_averages_is_discarded(old, new):
    trained, layer = (DeconvLinear(4, 3, config=DeconvConfig(running=running)) for running in (old, new))
    trained(torch.randn(50, 4))
    with pytest.warns(NumericalWarning, match=f"has no .*running_{'deconv' if new == 'matrix' else 'covariance'}"):
        layer.load_state_dict(trained.state_dict(), strict=False)
    assert layer.whitening.num_batches_tracked == 0
    with pytest.warns(NumericalWarning, match="before it has seen a training batch"):
        layer.eval()(torch.randn(5, 4))


def test_a_configuration_is_passed_by_its_name():
    with pytest.raises(TypeError, match="bias must be True or False.*passed as config="):
        DeconvLinear(8, 3, DeconvConfig(block_size=2))


@pytest.mark.parametrize("layer", [FastDeconv2d, FastDeconvTranspose2d])
@pytest.mark.parametrize(
    ("argument", "remedy"),
    [
        ("block", "config=DeconvConfig.reference(block_size=...)"),  # as in the published code
        ("freeze_iter", "config=DeconvConfig.reference(freeze_after=...)"),
        ("block_size", "config=DeconvConfig(block_size=...)"),
        ("n_iter", "config=DeconvConfig(n_iter=...)"),
    ],
)
def test_a_setting_in_place_of_an_argument_has_a_remedy(layer, argument, remedy):
    with pytest.raises(TypeError) as caught:
        layer(8, 3, 3, **{argument: 64})
    assert str(caught.value) == f"{layer.__name__} has no argument '{argument}': it is a setting, passed as {remedy}"
    with pytest.raises(TypeError, match="unexpected keyword argument 'kernel'"):
        layer(8, 3, 3, kernel=5)


@pytest.mark.parametrize(
    "make", [partial(FastDeconv2d, 8, 3, 3), partial(DeconvLinear, 8, 3), partial(ChannelDeconv, 8)]
)
def test_a_configuration_by_its_name_alone_is_refused(make):
    with pytest.raises(TypeError, match=r"config must be a DeconvConfig, got 'reference': .*reference\(\)"):
        make(config="reference")


def test_the_printed_layer_tells_what_is_not_default():
    assert "Whitening(blocks=1×4 channels, taps=9)" in repr(FastDeconv2d(4, 3, 3))
    layer = FastDeconv2d(4, 3, 3, config=DeconvConfig(n_iter=7))
    assert "Whitening(blocks=1×4 channels, taps=9, n_iter=7)" in repr(layer)
