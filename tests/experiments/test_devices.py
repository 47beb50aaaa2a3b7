"""Every experiment on CUDA: its tensors never meet those of the processor, and its numbers are those of the processor.

On machines without a GPU a pretended one shows the former, and that the latter holds of the same arithmetic.
"""

import copy
import warnings
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from ndtools.errors import NumericalWarning
from ndtools.experiments.check import prop3, samples
from ndtools.experiments.check import run as check
from ndtools.experiments.check.config import CheckConfig
from ndtools.experiments.compare_sets import run as compare_sets
from ndtools.experiments.compare_sets.config import CompareSetsConfig
from ndtools.experiments.covariance import run as covariance
from ndtools.experiments.covariance.config import CovarianceConfig
from ndtools.experiments.deblur import run as deblur
from ndtools.experiments.deblur.config import DeblurConfig
from ndtools.experiments.deconvolve import run as deconvolve
from ndtools.experiments.deconvolve.config import DeconvolveConfig
from ndtools.experiments.inference import run as inference
from ndtools.experiments.inference.config import InferenceConfig
from ndtools.experiments.kernels import run as kernels
from ndtools.experiments.kernels.config import KernelsConfig
from ndtools.experiments.mlp import run as mlp
from ndtools.experiments.mlp.config import MlpConfig
from ndtools.experiments.ns_stability import atlas as precision_atlas
from ndtools.experiments.ns_stability import run as ns_stability
from ndtools.experiments.ns_stability.config import NsStabilityConfig
from ndtools.experiments.regress import run as regress
from ndtools.experiments.regress.config import RegressConfig
from ndtools.experiments.signals import run as signals
from ndtools.experiments.signals.config import SignalsConfig
from ndtools.experiments.sparsity import run as sparsity
from ndtools.experiments.sparsity.config import SparsityConfig
from ndtools.experiments.timing import run as timing
from ndtools.experiments.timing.config import TimingConfig
from ndtools.layers.channel import ChannelDeconv
from ndtools.layers.config import DeconvConfig
from ndtools.numerics.deconvolution import fit_deconvolution
from ndtools.surgery.audit import audit
from ndtools.surgery.convert import convert
from ndtools.surgery.fold import fold
from ndtools.surgery.recalibrate import recalibrate
from tests.devices import pretended_cuda
from tests.small_set import write_small_set

SINGLE, DOUBLE = (torch.finfo(dtype).eps for dtype in (torch.float32, torch.float64))
STEPS = 4
IMAGES, PHOTO, MATRIX, SET = "images", "images/0.png", "matrix.npy", "set"  # in the folder of `inputs`


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Noise, whose covariances are well conditioned: images, a matrix, a data set."""
    folder = tmp_path_factory.mktemp("inputs")
    (folder / IMAGES).mkdir()
    rng = np.random.default_rng(0)
    for i in range(3):
        pixels = rng.integers(0, 256, (24, 26, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / IMAGES / f"{i}.png")
    rows = rng.standard_normal((60, 6))
    np.save(folder / MATRIX, rows.T @ rows / 60)
    write_small_set(folder / SET, n_train=200)
    return folder


@pytest.fixture(autouse=True)
def little_work(monkeypatch):
    """Keep to one condition number of the atlas, a small layer in the table of times, and few patches of the checks."""
    monkeypatch.setattr(precision_atlas, "CONDITIONS", (10.0,))
    monkeypatch.setattr(samples, "PATCHES", 500)
    monkeypatch.setattr(prop3, "SPREADS", prop3.SPREADS[:2])
    small = replace(timing.TABLE_3[0], in_channels=4 * timing.TABLE_3[0].groups, out_channels=4, size=12)
    monkeypatch.setattr(timing, "TABLE_3", (small,))


@contextmanager
def real_cuda():
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # which convolutions take by default
        yield None


CUDAS = [
    pytest.param(pretended_cuda, id="pretended"),
    pytest.param(
        real_cuda,
        id="cuda",
        marks=[
            pytest.mark.gpu,
            pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
        ],
    ),
]


def of_moments(features):
    """Rounding to float32 in the pixels' moments, times what it grows to by way of A^(-1/2)."""

    def tolerance(result):
        deconvolution = getattr(result, "deconvolution", None) or getattr(result, "fit", result)
        return features * SINGLE * deconvolution.condition

    return tolerance


def iterated(terms, n_iter, eps):
    """Rounding of sums of so many terms, which each iteration of Newton-Schulz multiplies by up to 2.25."""
    return lambda result: terms * eps * 2.25**n_iter


def in_training(features, n_iter=5):
    return iterated(STEPS * features, n_iter, SINGLE)


CASES = {
    "kernels": (kernels.run, KernelsConfig, {"source": IMAGES, "kernel_size": 3, "fit": True}, of_moments(27)),
    "kernels, im2col, bootstrap": (
        kernels.run,
        KernelsConfig,
        {"source": IMAGES, "kernel_size": 3, "covariance": "im2col", "stride": 2, "bootstrap": 2},
        of_moments(27),
    ),
    "covariance": (covariance.run, CovarianceConfig, {"source": IMAGES, "method": "coupled"}, of_moments(27)),
    "deconvolve": (deconvolve.run, DeconvolveConfig, {"source": PHOTO, "border": "reflect"}, of_moments(27)),
    "sparsity": (sparsity.run, SparsityConfig, {"source": IMAGES, "bootstrap": 2}, of_moments(27)),
    "sparsity, channels": (sparsity.run, SparsityConfig, {"source": IMAGES, "whitening": "channel"}, of_moments(27)),
    "signals": (signals.run, SignalsConfig, {"kernel_size": 5}, of_moments(20)),
    "compare_sets": (
        compare_sets.run,
        CompareSetsConfig,
        {"a": IMAGES, "b": IMAGES, "kernel_size": 3, "bootstrap": 0, "sparsity": False},
        of_moments(27),
    ),
    "ns_stability": (
        ns_stability.run,
        NsStabilityConfig,
        {"source": MATRIX, "iterations": 4, "sweep": True, "dtype": ("float64",)},
        iterated(6, 4, DOUBLE),
    ),
    "ns_stability, an image": (
        ns_stability.run,
        NsStabilityConfig,
        {"source": PHOTO, "iterations": 4, "dtype": ("float64",)},
        lambda result: 27 * SINGLE * result.eigenvalues[-1] / result.eigenvalues[0],
    ),
    "regress": (
        regress.run,
        RegressConfig,
        {"dataset": SET, "batch_size": 100, "iterations": STEPS, "shrinkage": "oas"},
        in_training(25),
    ),
    "regress, whole": (
        regress.run,
        RegressConfig,
        {"dataset": SET, "iterations": STEPS, "full_batch": True, "theory": True},
        iterated(25 * STEPS, 5, DOUBLE),
    ),
    "mlp": (
        mlp.run,
        MlpConfig,
        {"dataset": SET, "hidden": (8,), "epochs": 2, "batch_size": 100, "repeats": 1, "lr": (0.2, 0.5)},
        in_training(25),
    ),
    "deblur": (
        deblur.run,
        DeblurConfig,
        {"source": PHOTO, "blur": "gaussian:0.8", "kernel_size": 7, "iterations": STEPS, "n_iter": 8},
        iterated(49 * STEPS, 8, DOUBLE),
    ),
    "check": (check.run, CheckConfig, {"source": IMAGES}, lambda result: 1e-9 * result.condition),
    "inference": (inference.run, InferenceConfig, {"archs": "simple_cnn", "batch_size": 2, "repeats": 1}, None),
    "timing": (timing.run, TimingConfig, {"rows": (1,), "batch_size": 2, "repeats": 1, "backward": True}, None),
}
NUMBERS = {  # by which experiments are compared: those that are continuous in what they are computed from
    "sparsity": lambda result: [
        value
        for side in (result.before, result.after)
        for value in (side.sigma, *(side.measures[name].value for name in ("kurtosis", "hoyer", "gini")))
    ],
    "regress": lambda result: [
        *[arm.loss for loss in result.losses for arm in loss.arms],
        *[arm.train_loss for loss in result.losses for arm in loss.arms],
        *[loss.optimum for loss in result.losses if loss.name == "l2"],
    ],
    "mlp": lambda result: [arm.loss for arm in result.arms],
    "ns_stability": lambda result: [result.eigenvalues],
}


def numbers_of(name, result):
    chosen = NUMBERS.get(name.split(",")[0])
    return chosen(result) if chosen else list(result.arrays().values())


def run_on(device, inputs, run, config, settings):
    paths = {key: str(inputs / settings[key]) for key in ("source", "dataset", "a", "b") if key in settings}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NumericalWarning)  # of few images: see the tests of each experiment
        return run(config(**settings | paths, jobs=1, device=device))


@pytest.mark.parametrize("cuda", CUDAS)
@pytest.mark.parametrize("name", CASES)
def test_experiments(name, cuda, inputs):
    run, config, settings, tolerance = CASES[name]
    with cuda() as waits:
        result = run_on("cuda", inputs, run, config, settings)
    assert result.device == "cuda"
    if waits is not None and run in (regress.run, mlp.run, timing.run, inference.run):
        assert waits, "seconds are measured without waiting for the device"
    if tolerance is None:
        return
    expected = run_on("cpu", inputs, run, config, settings)
    limit = tolerance(expected)
    assert limit < 1e-2, "a test in this precision would not notice a mistake"
    pairs = list(zip(numbers_of(name, result), numbers_of(name, expected), strict=True))
    assert pairs
    for there, here in pairs:
        np.testing.assert_allclose(there, here, rtol=0, atol=limit * np.abs(here).max())


@pytest.mark.parametrize("cuda", CUDAS)
@pytest.mark.parametrize("preset", [DeconvConfig.paper, DeconvConfig.reference])
def test_networks(preset, cuda):
    torch.manual_seed(0)
    config = preset(block_size=4, sampling_stride=1)
    plain = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 6, 1), nn.Flatten(), nn.Linear(384, 5)
    )
    x = torch.randn(40, 3, 8, 8)

    def life(device):
        """Convert, train a step, take the statistics anew, inspect and fold."""
        model, _ = convert(copy.deepcopy(plain).to(device), config)
        model.append(ChannelDeconv(5, config, device=device))
        images = x.to(device)
        optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(2):
            optimiser.zero_grad()
            model(images).square().mean().backward()
            optimiser.step()
        recalibrate(model, [x, x[:20]])
        audit(model, images)
        with torch.no_grad():
            folded, difference = fold(model, images)
            return model.eval()(images).cpu(), folded(images).cpu(), difference

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NumericalWarning)
        with cuda():
            result, folded, difference = life("cuda")
        expected = life("cpu")[0]
    # Two steps, the layers one after the other, and D's of so many iterations.
    limit = iterated(2 * 384, config.n_iter, SINGLE)(None)
    for each in (result, folded):
        torch.testing.assert_close(each, expected, rtol=0, atol=limit * expected.abs().max().item())
    assert difference <= limit * expected.abs().max().item()


@pytest.mark.parametrize("cuda", CUDAS)
def test_a_deconvolution_is_folded_where_the_weight_is(cuda):
    images = torch.rand(2, 3, 20, 20)
    fit = fit_deconvolution(images, kernel_size=3)
    weight, bias = torch.randn(4, 3, 3, 3), torch.randn(4)
    here = fit.fold(weight, bias)
    with cuda():
        there = fit.fold(weight.to("cuda"), bias.to("cuda"))
        assert all(tensor.device.type == "cuda" for tensor in there)
        there = [tensor.cpu() for tensor in there]
        applied = fit.apply(images.to("cuda")).cpu()
    for a, b in zip((*there, applied), (*here, fit.apply(images)), strict=True):
        torch.testing.assert_close(a, b)


def test_the_pretended_device_refuses_to_mix():
    with pretended_cuda():
        x = torch.zeros(3, 4, device="cuda")
        assert x.device == (x + 1).device == torch.device("cuda:0")
        x[:, 1:] = torch.ones(3, 3)  # a copy, as on CUDA
        assert (x * torch.tensor(2.0)).sum().item() == 18
        assert x[torch.tensor([1])].cpu().numpy().shape == (1, 4)
        for mixed in (
            lambda: x + torch.ones(3, 4),
            lambda: torch.ones(2, 3) @ x,
            lambda: torch.cat([x, torch.ones(3, 4)]),
            lambda: torch.ones(3, 4)[x[0].long()],
        ):
            with pytest.raises(RuntimeError, match="is on the cpu, another on cuda"):
                mixed()
        with pytest.raises((TypeError, RuntimeError)):
            x.numpy()
