"""Forward and backward correction: a step behind a fixed D moves W₁ by −α D² Xᵗ dL/dY (appendix A.8)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear

from ndtools.experiments.check.arithmetic import (
    cancellation,
    condition_of,
    fixed,
    fixed_map,
    relative,
    rounding,
    said,
    whitening_matrix,
)
from ndtools.experiments.check.config import CheckConfig
from ndtools.experiments.check.result import Comparison, Curve, Outcome
from ndtools.experiments.check.samples import Samples
from ndtools.layers.conv import FastDeconv2d
from ndtools.layers.linear import DeconvLinear
from ndtools.numerics.products import ridged

__all__ = ["STEPS", "check"]

STEPS = 20
RATE = 0.5  # at 1, the first step would be the last
OUTPUTS = 4
NOISE = 0.1  # standard deviation of the noise of the wanted outputs


@dataclass(frozen=True, eq=False)
class _Case:
    """A layer with its fixed D, and the plain layer that it equals.

    Attributes
    ----------
    layer : FastDeconv2d or DeconvLinear
        Layer with weight W₂, whose D is fixed.
    plain : callable
        Function from the input, a weight W₁ and a bias to the output of the plain layer.
    batch : Tensor
        Input of both.
    features : Tensor of shape (N, d)
        Matrix X: rows of the input that a weight multiplies, less their mean.
    mean : Tensor of shape (d,)
        Mean of the rows.
    matrix : Tensor of shape (d, d)
        Matrix D that the layer keeps.
    target : Tensor
        Output that both layers learn.
    """

    layer: FastDeconv2d | DeconvLinear
    plain: Callable[[Tensor, Tensor, Tensor], Tensor]
    batch: Tensor
    features: Tensor
    mean: Tensor
    matrix: Tensor
    target: Tensor

    @property
    def seen(self) -> Tensor:
        """Weight W₁ = W₂ D with which a plain layer gives the same output, of shape (O, d)."""
        return self.layer.weight.detach().flatten(1) @ self.matrix

    def output(self, weight: Tensor) -> Tensor:
        """Return the output of the plain layer for a weight W₁ of shape (O, d)."""
        return self.plain(self.batch, weight.view(self.layer.weight.shape), -(weight @ self.mean))

    def loss(self, output: Tensor) -> Tensor:
        """Return half the squared error, summed over outputs, of the average row."""
        return (output - self.target).square().sum() / (2 * len(self.features))

    def gradient(self, weight: Tensor) -> tuple[float, Tensor]:
        """Return the loss of the plain layer for a weight W₁, and Xᵗ dL/dY, transposed: of shape (O, d)."""
        output = self.output(weight).requires_grad_()
        loss = self.loss(output)
        (of_output,) = torch.autograd.grad(loss, output)
        return float(loss.detach()), _rows(of_output).mT @ self.features


def check(samples: Samples, config: CheckConfig) -> Outcome:
    """Train a deconvolution layer by SGD beside a plain layer whose gradient is corrected.

    Parameters
    ----------
    samples : Samples
        Patches and crops of images.
    config : CheckConfig
        Configuration of the run.

    Returns
    -------
    Outcome
        Outputs of the layer and of W₂ on deconvolved rows, those of a 1×1 layer and of whitened channels, weights of
        both layers after one step and after twenty, and what Adam does.
    """
    dtype = getattr(torch, config.dtype)
    convolution, full = _convolution(samples, config, dtype), _linear(samples, config, dtype)
    comparisons = []
    curves: dict[str, np.ndarray] = {}
    for name, case in (("FastDeconv2d", convolution), ("DeconvLinear", full)):
        condition = condition_of(case.matrix) ** 2
        start = case.seen
        condition *= cancellation(_rows(case.output(start) - case.target), case.features)
        bound = rounding(dtype, condition, power=2, terms=len(case.features))
        deconvolved = case.features @ case.matrix @ case.layer.weight.detach().flatten(1).mT
        forward = relative(_rows(case.layer(case.batch).detach()), deconvolved)
        comparisons.append(Comparison(f"output, {name}", forward, bound))
        losses, weights = _descend_forward(case)
        corrected, expected = _descend(case, start, RATE, case.matrix @ case.matrix)
        comparisons += [
            Comparison(f"{'step' if step == 1 else f'{step} steps'}, {name}", difference, bound)
            for step in (1, STEPS)
            for difference in [relative(weights[step - 1] - start, expected[step - 1] - start)]
        ]
        if case is convolution:
            covariance = case.features.mT @ case.features / len(case.features)
            largest = float(torch.linalg.eigvalsh(covariance.double())[-1])
            plain, _ = _descend(case, start, 1 / largest, torch.eye(len(start[0]), dtype=dtype, device=start.device))
            curves = {"layer": losses, "corrected": corrected, "plain": plain}
            comparisons += _elsewhere(case, start, bound)
    comparisons.append(_channels(samples, config, dtype))
    decided = tuple(sorted(comparisons, key=lambda each: not each.decides))
    worst = max(decided, key=lambda each: each.difference if each.decides else -1.0)
    steps = np.arange(STEPS + 1.0)
    return Outcome(
        name="equivalence",
        where="appendix A.7 (A.8 in the second version)",
        statement=(
            "With D fixed, a step of gradient descent on the weight behind D changes what the data see by"
            " −α D² Xᵗ dL/dY: a Newton-like step of the plain layer."
        ),
        compared="outputs, and changes of the weight, of both layers",
        comparisons=decided,
        finding=(
            "A deconvolution layer, and a plain layer whose gradient is multiplied by D², differ by"
            f" {said(worst.difference)} at most in their outputs and weights. After {STEPS} steps both have a training"
            f" loss of {curves['layer'][-1]:.3g}. The plain layer with its own gradient, at the largest rate that does"
            f" not oscillate, has {curves['plain'][-1]:.3g}. With Adam the two layers are not equivalent, since Adam"
            " scales each coordinate of a weight, and the layers have different weights."
        ),
        curves=tuple(Curve(key, steps, values) for key, values in curves.items()),
        values={"features": float(convolution.features.shape[1])},
    )


def _convolution(samples: Samples, config: CheckConfig, dtype: torch.dtype) -> _Case:
    crops = samples.crops.to(dtype)
    k, (_, channels, side, _) = samples.kernel_size, crops.shape
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        layer = FastDeconv2d(channels, OUTPUTS, k, bias=False, dtype=dtype, config=fixed(config.eps))
        positions = side - k + 1
        target = torch.randn(len(crops), OUTPUTS, positions, positions, dtype=dtype)
    layer, target = layer.to(crops.device), target.to(crops.device)
    mean, matrix = fixed_map(layer, crops)
    rows = _rows(nn.functional.unfold(crops, k))
    target = NOISE * target + conv2d(crops, torch.ones_like(layer.weight)) / channels
    return _Case(layer, conv2d, crops, rows - mean, mean, matrix, target - target.mean((0, 2, 3), keepdim=True))


def _linear(samples: Samples, config: CheckConfig, dtype: torch.dtype) -> _Case:
    rows = samples.rows.to(dtype)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        layer = DeconvLinear(rows.shape[1], OUTPUTS, bias=False, dtype=dtype, config=fixed(config.eps))
        target = torch.randn(len(rows), OUTPUTS, dtype=dtype)
    layer, target = layer.to(rows.device), target.to(rows.device)
    mean, matrix = fixed_map(layer, rows)
    target = NOISE * target + rows.sum(1, keepdim=True)
    return _Case(layer, linear, rows, rows - mean, mean, matrix, target)


def _channels(samples: Samples, config: CheckConfig, dtype: torch.dtype) -> Comparison:
    """Compare a 1×1 layer with the whitening of channels by an eigendecomposition in float64."""
    crops = samples.crops.to(dtype)
    channels = crops.shape[1]
    layer = FastDeconv2d(channels, channels, 1, bias=False, dtype=dtype, device=crops.device, config=fixed(config.eps))
    with torch.no_grad():
        layer.weight.copy_(torch.eye(channels)[..., None, None])
    fixed_map(layer, crops)
    pixels = _rows(samples.crops)
    rows = pixels - pixels.mean(0)
    a = ridged(rows.mT @ rows / len(rows), config.eps)
    difference = relative(_rows(layer(crops).detach()), rows @ whitening_matrix(a))
    # Values far from 0 in units of their standard deviation lose digits when D μ is subtracted from D x.
    condition = condition_of(a) * float((pixels.square().mean(0) / a.diagonal()).max())
    bound = rounding(dtype, condition, terms=len(rows), summed=len(rows))
    return Comparison("k = 1, whitened channels", difference, bound)


def _rows(values: Tensor) -> Tensor:
    """Return what has its features in the second axis as rows of features."""
    return values.flatten(2).movedim(1, 2).flatten(0, 1) if values.dim() > 2 else values


def _descend_forward(case: _Case, optimiser: type[torch.optim.Optimizer] = torch.optim.SGD) -> tuple[np.ndarray, list]:  # type: ignore[type-arg]
    """Train the layer: its losses before each step and after the last, and W₁ after each step."""
    initial = case.layer.weight.detach().clone()
    steps = optimiser([case.layer.weight], lr=RATE)  # type: ignore[call-arg]
    losses, weights = [], []
    for _ in range(STEPS):
        steps.zero_grad()
        loss = case.loss(case.layer(case.batch))
        loss.backward()  # type: ignore[no-untyped-call]
        steps.step()
        losses.append(float(loss.detach()))
        weights.append(case.seen)
    with torch.no_grad():
        losses.append(float(case.loss(case.layer(case.batch))))
        case.layer.weight.copy_(initial)
    return np.array(losses), weights


def _descend(case: _Case, weight: Tensor, rate: float, correction: Tensor) -> tuple[np.ndarray, list[Tensor]]:
    """Train the plain layer by gradients that a matrix corrects: its losses, and W₁ after each step (equation 11)."""
    losses, weights = [], []
    for _ in range(STEPS):
        loss, gradient = case.gradient(weight)
        weight = weight - rate * gradient @ correction
        losses.append(loss)
        weights.append(weight)
    return np.array([*losses, case.gradient(weight)[0]]), weights


def _elsewhere(case: _Case, start: Tensor, bound: float) -> list[Comparison]:
    """Return what happens where the assumptions are not met: with Adam, and with the D of another batch."""
    _, weights = _descend_forward(case, torch.optim.Adam)
    plain = nn.Parameter(start.clone())
    steps = torch.optim.Adam([plain], lr=RATE)
    plain.grad = case.gradient(start)[1] @ case.matrix @ case.matrix
    steps.step()
    adam = relative(weights[0] - start, plain.detach() - start)
    half = len(case.batch) // 2
    outputs = []
    for part in (case.batch[:half], case.batch[half:]):
        fresh = FastDeconv2d(
            case.layer.in_channels,
            OUTPUTS,
            case.layer.kernel_size,
            bias=False,
            dtype=start.dtype,
            device=start.device,
            config=case.layer.whitening.config,
        )
        _, matrix = fixed_map(fresh, part)
        outputs.append(case.layer.weight.detach().flatten(1) @ matrix)
    return [
        Comparison("step of Adam, FastDeconv2d", adam, bound, decides=False),
        Comparison("W₁ by D of another batch", relative(outputs[1], outputs[0]), bound, decides=False),
    ]
