"""DeconvLinear against explicit whitening, batch normalisation, autograd, and itself after saving and loading."""

import copy
import io
import math
import pickle
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ndtools.errors import NumericalWarning, OptionError
from ndtools.layers.config import DeconvConfig
from ndtools.layers.linear import DeconvLinear
from ndtools.layers.sampling import Vectors
from tests.oracles.inverse_roots import newton_schulz_by_spectrum

EXACT = 40  # iterations after which Newton-Schulz has converged


def batch(n=50, d=7, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(d, d, generator=generator, dtype=torch.float64) + 2 * torch.eye(d, dtype=torch.float64)
    return (3 + torch.randn(n, d, generator=generator, dtype=torch.float64) @ mix).to(dtype)


def layer_of(d=7, out=4, bias=True, dtype=torch.float64, seed=1, **settings_):
    torch.manual_seed(seed)
    return DeconvLinear(d, out, bias=bias, dtype=dtype, config=DeconvConfig.paper(**settings_))


def statistics_of(layer, x):
    ((mean, d),) = layer.whitening.running_statistics()
    return mean[0, 0], d[0, 0]


def explicit(x, weight, bias, *, block, n_iter, eps):
    """Whiten the rows block by block, then multiply: nothing folded."""
    centred = x - x.mean(0)
    parts = []
    for part in centred.split(block, dim=1):
        a = part.mT @ part / len(x) + eps * torch.eye(part.shape[1], dtype=x.dtype)
        parts.append(part @ newton_schulz_by_spectrum(a, n_iter))
    return torch.cat(parts, 1) @ weight.mT + (0 if bias is None else bias)


@pytest.mark.filterwarnings("ignore::ndtools.errors.NumericalWarning")
@given(st.integers(2, 20), st.integers(1, 9), st.integers(1, 9), st.booleans(), st.integers(0, 100))
@settings(max_examples=40)
def test_it_is_a_linear_layer_on_whitened_blocks(n, d, block, bias, seed):
    x = batch(n, d, seed)
    layer = layer_of(d, bias=bias, block_size=block, n_iter=5, eps=1e-3, shrinkage="none")
    expected = explicit(x, layer.weight, layer.bias, block=min(block, d), n_iter=5, eps=1e-3)
    torch.testing.assert_close(layer(x), expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    ("features", "block_size", "block"), [(100, 512, 100), (10, 64, 10), (64, 64, 64), (12, 8, 4), (100, None, 100)]
)
def test_blocks_are_those_of_the_published_linear_layer(features, block_size, block):
    """A block size above the number of features is one block of all; else it is their greatest common divisor."""
    layer = DeconvLinear(features, 3, config=DeconvConfig.reference(block_size=block_size))
    ((part,),) = (layer.whitening.parts,)
    assert (part.size, part.blocks, part.interleaved) == (block, features // block, False)


def test_output_of_the_identity_is_white():
    layer = layer_of(7, 7, n_iter=EXACT, eps=1e-12)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(7))
        layer.bias.zero_()
    out = layer(batch()).detach()
    torch.testing.assert_close(out.mT.cov(correction=0), torch.eye(7, dtype=torch.float64), rtol=0, atol=1e-6)


def test_blocks_of_one_feature_are_batch_normalisation():
    x = batch()
    layer, norm = layer_of(block_size=1, eps=1e-3, n_iter=1), nn.BatchNorm1d(7, eps=1e-3, affine=False).double()
    torch.testing.assert_close(layer(x), nn.functional.linear(norm(x), layer.weight, layer.bias))


def test_gradients_flow_through_the_statistics():
    torch.manual_seed(0)
    layer = layer_of(5, 3, block_size=3, n_iter=4, eps=1e-2)

    def function(x, weight, bias):
        return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, (x,))

    x = batch(8, 5).requires_grad_()
    assert torch.autograd.gradcheck(function, (x, layer.weight, layer.bias), atol=1e-5)


def test_evaluation_uses_averages_corrected_for_their_start():
    layer = layer_of(momentum=0.1, n_iter=EXACT)
    first, second = batch(seed=1), batch(seed=2)
    layer(first)
    layer.eval()
    x = batch(seed=3)
    mean, d = statistics_of(layer, x)
    torch.testing.assert_close(mean, first.mean(0))  # of one batch: its own statistics, not a tenth of them
    layer.train()
    layer(second)
    layer.eval()
    mean, d = statistics_of(layer, x)
    torch.testing.assert_close(mean, (0.09 * first.mean(0) + 0.1 * second.mean(0)) / 0.19)
    covariance = (0.09 * first.mT.cov(correction=0) + 0.1 * second.mT.cov(correction=0)) / 0.19
    a = covariance + layer.whitening.config.eps * torch.eye(7, dtype=torch.float64)
    torch.testing.assert_close(d @ a @ d, torch.eye(7, dtype=torch.float64), rtol=0, atol=1e-8)


def trained(seed=1, **settings_):
    layer = layer_of(**settings_)
    layer(batch(seed=seed, dtype=layer.weight.dtype))
    return layer.eval()


def test_in_evaluation_d_is_computed_once():
    layer = trained()
    assert layer.whitening.running_statistics() is layer.whitening.running_statistics()


def after_training(layer, x):
    layer.train()
    layer(batch(seed=3))
    layer.eval()


def after_loading(layer, x):
    layer.load_state_dict(trained(seed=2).state_dict())


def after_writing_to_a_buffer(layer, x):
    layer.whitening.running_mean.add_(1)


def after_averaging_models(layer, x):
    average = torch.optim.swa_utils.AveragedModel(layer, use_buffers=True, avg_fn=lambda old, new, n: new)
    average.module.eval()(x)
    average.update_parameters(trained(seed=2))
    layer.__dict__ = average.module.__dict__


def after_writing_past_versions(layer, x):
    for mine, other in zip(layer.buffers(), trained(seed=2).buffers(), strict=True):
        mine.data.copy_(other)


@pytest.mark.parametrize(
    "change",
    [after_training, after_loading, after_writing_to_a_buffer, after_writing_past_versions, after_averaging_models],
)
def test_the_kept_d_follows_its_buffers(change):
    layer, x = trained(), batch(seed=5)
    before = layer(x).detach()
    change(layer, x)
    after = layer(x).detach()
    assert not torch.allclose(before, after)
    again = layer_of()
    again.load_state_dict(layer.state_dict())
    torch.testing.assert_close(again.eval()(x).detach(), after, rtol=1e-12, atol=1e-12)


def test_functional_calls_use_the_buffers_they_are_given():
    layer, other, x = trained(), trained(seed=2), batch(seed=5)
    expected = other(x)
    layer(x)
    for _ in range(2):
        torch.testing.assert_close(torch.func.functional_call(layer, other.state_dict(), (x,)), expected)


def test_evaluation_in_inference_mode_leaves_a_layer_that_can_learn():
    layer, x = trained(), batch(seed=5)
    with torch.inference_mode():
        expected = layer(x)
    x.requires_grad_()
    out = layer(x)
    torch.testing.assert_close(out.detach(), expected.clone())
    out.sum().backward()
    assert x.grad is not None
    assert layer.weight.grad is not None


@pytest.mark.parametrize("move", [lambda m: m.float(), lambda m: m.double()])
def test_other_dtypes_move_the_statistics(move):
    layer, x = trained(), batch(seed=5)
    expected = layer(x).detach()
    moved = move(layer)
    dtype = moved.weight.dtype
    assert moved.whitening.running_covariance.dtype == dtype
    torch.testing.assert_close(moved(x.to(dtype)).double(), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_keeps_the_statistics(dtype):
    layer = trained(dtype=torch.float32)
    before = layer.whitening.running_covariance.clone()
    layer.to(dtype)
    assert layer.weight.dtype == dtype
    assert torch.equal(layer.whitening.running_covariance, before)
    layer.train()
    assert layer(300 * batch(dtype=dtype)).isfinite().all()  # whose squares float16 does not hold
    assert layer.eval()(batch(dtype=dtype)).dtype == dtype


def test_copies_and_pickles_give_the_same():
    layer, x = trained(), batch(seed=5)
    expected = layer(x)
    for again in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(again(x), expected)
        assert again.whitening.__dict__["_kept"][1][0][1] is not layer.whitening.__dict__["_kept"][1][0][1]


def test_initial_weights_are_those_of_a_linear_layer():
    torch.manual_seed(0)
    expected = nn.Linear(7, 4)
    torch.manual_seed(0)
    layer = DeconvLinear(7, 4)
    assert torch.equal(layer.weight, expected.weight)
    assert torch.equal(layer.bias, expected.bias)
    layer(batch(dtype=torch.float32))
    torch.manual_seed(0)
    layer.reset_parameters()
    assert torch.equal(layer.weight, expected.weight)
    assert layer.whitening.num_batches_tracked == 0
    assert layer.whitening.running_mean.abs().max() == 0


def test_saved_in_mid_training_it_goes_on_the_same():
    layer = layer_of(block_size=4)
    layer(batch(seed=1))
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    again = layer_of(seed=7, block_size=4)
    again.load_state_dict(torch.load(file, weights_only=True))
    for model in (layer, again):
        model(batch(seed=2))
        model.eval()
    x = batch(seed=3)
    torch.testing.assert_close(again(x), layer(x), rtol=0, atol=0)


def test_before_training_it_warns_once_and_decorrelates_nothing():
    layer = layer_of().eval()
    x = batch()
    with pytest.warns(NumericalWarning, match="before it has seen"):
        out = layer(x)
    torch.testing.assert_close(out, nn.functional.linear(x, layer.weight, layer.bias))
    layer.train().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer(x)


def test_axes_before_the_last_are_samples():
    layer = layer_of()
    x = batch(60)
    torch.testing.assert_close(layer(x.view(3, 4, 5, 7)).view(60, 4), copy.deepcopy(layer)(x))


def test_statistics_are_of_full_precision_under_autocast():
    torch.manual_seed(0)
    layer = layer_of(dtype=torch.float32)
    x = batch(dtype=torch.float32)
    expected = copy.deepcopy(layer)(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = layer(x)
    assert out.dtype == torch.bfloat16
    assert layer.whitening.running_covariance.dtype == torch.float32
    weight, _ = layer.whitening.fold(layer.weight, layer.whitening.statistics(x, lambda *_: Vectors())[1])
    # Rounding of inputs, weights and products to 8 bits, and the shift by the mean, which cancels what they add up to.
    scale = (x.abs() @ weight.abs().mT).max().item()
    assert (out.float() - expected).abs().max().item() < 4 * 2**-8 * scale


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_layers_keep_their_statistics_in_float32(dtype):
    layer = layer_of(dtype=dtype)
    out = layer(batch(dtype=dtype))
    assert out.dtype == dtype
    assert out.isfinite().all()
    assert layer.whitening.running_covariance.dtype == torch.float32


@pytest.mark.filterwarnings("ignore::ndtools.errors.NumericalWarning")
def test_constant_inputs_and_single_rows_give_the_bias():
    for x in (torch.full((6, 7), 2.5, dtype=torch.float64), batch(1)):
        layer = layer_of()
        torch.testing.assert_close(layer(x), layer.bias.expand(len(x), 4), rtol=0, atol=1e-9)


def test_too_few_samples_are_warned_of_once():
    layer = layer_of(d=7, shrinkage="none")
    with pytest.warns(NumericalWarning, match=r"6 samples for 7 features \(0.86 for each\)"):
        layer(batch(6))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer(batch(6))
        layer_of(d=7, shrinkage="oas")(batch(6))
        layer_of(d=7)(batch(6))


@pytest.mark.filterwarnings("ignore::ndtools.errors.NumericalWarning")
def test_correlations_of_few_samples_are_weakened_and_no_others():
    for n, factor in ((3, (3 / 21) ** 3), (7, (7 / 21) ** 3), (20, (20 / 21) ** 3), (21, 1), (30, 1)):
        x = batch(n)
        layer = layer_of(d=7)
        layer(x)
        covariance = x.mT.cov(correction=0)
        expected = factor * covariance + (1 - factor) * covariance.diagonal().diag()
        torch.testing.assert_close(layer.whitening.running_covariances()[0][0, 0], expected)


def test_gradients_flow_through_the_shrinkage():
    layer = layer_of(5, 3, eps=1e-2)
    x = batch(4, 5).requires_grad_()
    assert torch.autograd.gradcheck(layer, (x,), atol=1e-5)


@pytest.mark.parametrize("n", [8, 20, 39, 40, 44, 80])
def test_few_samples_do_not_make_evaluation_explode(n):
    """Batches of few samples leave directions of the 40 unseen, or nearly; inputs of evaluation have them all."""
    grown, trained = {}, 0.0
    for shrinkage in ("none", "auto"):
        layers = [layer_of(40, 40, shrinkage=shrinkage, seed=seed) for seed in range(20)]
        net = nn.Sequential(*(module for layer in layers for module in (layer, nn.ReLU())))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NumericalWarning)
            for seed in range(3):
                trained = net(batch(n, 40, seed)).std().item()
        grown[shrinkage] = net.eval()(batch(200, 40, 9)).std().item()
    assert grown["auto"] < 100 * trained  # after 20 layers
    assert n > 40 or grown["none"] > 1e3 * grown["auto"]


def test_misuse_is_named():
    layer = layer_of()
    with pytest.raises(ValueError, match="expected 7 features, got 6"):
        layer(batch(d=6))
    with pytest.raises(ValueError, match="at least one sample"):
        layer(batch()[:0])
    with pytest.raises(ValueError, match="in_features must be at least 1"):
        DeconvLinear(0, 3)
    for wrong in ({"eps": math.inf}, {"sampling_stride": 0}, {"refresh_every": 0}, {"grouping": "odd"}):
        with pytest.raises(OptionError, match=next(iter(wrong))):
            DeconvConfig(**wrong)
    for wrong in ({"block_size": 0}, {"n_iter": 0}, {"eps": 0.0}, {"momentum": 0.0}, {"momentum": math.nan}):
        with pytest.raises(OptionError, match=next(iter(wrong))):
            DeconvConfig(**wrong)
