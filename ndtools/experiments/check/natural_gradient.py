"""The relation to natural gradient descent: a step behind D and a step by the inverse Fisher matrix (sec. 5)."""

import numpy as np
import torch
from torch import Tensor

from ndtools.experiments.check.arithmetic import cancellation, condition_of, fixed, fixed_map, relative, rounding, said
from ndtools.experiments.check.config import CheckConfig
from ndtools.experiments.check.result import Comparison, Curve, Outcome
from ndtools.experiments.check.samples import Samples
from ndtools.layers.linear import DeconvLinear

__all__ = ["SCALES", "check"]

CLASSES = 5
ROWS = 5_000
SCALES = np.array([0.0, *np.logspace(-1.5, 1, 11)])
"""Standard deviations of the logits for which both steps are compared."""


def check(samples: Samples, config: CheckConfig) -> Outcome:
    """Compare the step of a deconvolution layer with the natural gradient, for two losses.

    The Fisher matrix is that of the model's own predictions. The ridge damps it on the side of the inputs, as it damps
    D: with covariance S of the gradients on the side of the outputs, S ⊗ eps·I is added.

    Parameters
    ----------
    samples : Samples
        Patches of images, of which the middle 3×3 pixels are used.
    config : CheckConfig
        Configuration of the run.

    Returns
    -------
    Outcome
        The L2 loss, softmax at zero weights, and softmax as its predictions become more certain.
    """
    dtype = getattr(torch, config.dtype)
    generator = torch.Generator().manual_seed(config.seed)
    rows = samples.middle[:ROWS].to(dtype)
    layer = DeconvLinear(rows.shape[1], CLASSES, bias=False, dtype=dtype, device=rows.device, config=fixed(config.eps))
    mean, matrix = fixed_map(layer, rows)
    centred = (rows - mean).double()

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(rows.device)

    directions, truth = (_of_unit_logits(normal(CLASSES, rows.shape[1]), centred) for _ in range(2))
    labels = torch.multinomial(torch.softmax((2 * centred @ truth.mT).cpu(), 1), 1, generator=generator)[:, 0]
    targets = torch.nn.functional.one_hot(labels, CLASSES).double().to(rows.device)

    def step_of_layer(weight: Tensor, loss: str) -> Tensor:
        """Return by how much a step at rate 1 changes W₁, from its value ``weight``, in the layer's own arithmetic."""
        with torch.no_grad():
            layer.weight.copy_(torch.linalg.solve(matrix.double(), weight.mT).mT)
        optimiser = torch.optim.SGD(layer.parameters(), lr=1.0)
        optimiser.zero_grad()
        outputs = layer(rows)
        if loss == "l2":
            value = (outputs - targets.to(dtype)).square().sum() / (2 * len(rows))
        else:
            value = torch.nn.functional.cross_entropy(outputs, labels.to(rows.device))
        before = layer.weight.detach().clone()
        value.backward()
        optimiser.step()
        return (layer.weight.detach() - before) @ matrix

    def natural(weight: Tensor, loss: str) -> tuple[Tensor, Tensor]:
        """Return the steps by the inverse Fisher matrix, and by its Kronecker factors."""
        outputs = centred @ weight.mT
        chance = torch.softmax(outputs, 1)
        errors = outputs - targets if loss == "l2" else chance - targets
        gradient = errors.mT @ centred / len(rows)
        return _natural(centred, chance if loss == "softmax" else None, gradient, config.eps)

    start = 0.5 * directions
    cancelled = [cancellation(errors, centred) for errors in (centred @ start.mT - targets, 1 / CLASSES - targets)]
    condition = condition_of(matrix) ** 2 * max(cancelled)
    bound = rounding(dtype, condition, power=2, terms=len(rows), summed=len(rows))
    l2 = relative(step_of_layer(start, "l2"), natural(start, "l2")[0])
    nothing = torch.zeros_like(start)
    # Each class has the chance 1/K: its covariance is I/K, but for the direction in which all logits are equal.
    zero = relative(CLASSES * step_of_layer(nothing, "softmax"), natural(nothing, "softmax")[0])
    fisher, factors = [], []
    for scale in SCALES:
        step = step_of_layer(scale * directions, "softmax").double()
        exact, factored = natural(scale * directions, "softmax")
        fisher.append(_angle(step, exact))
        factors.append(_angle(step, factored))
    at = int(np.argmin(abs(SCALES - 1)))
    comparisons = (
        Comparison("L2 loss", l2, bound),
        Comparison("softmax at zero weights, times K", zero, bound),
        Comparison("softmax, logits of 1, any rate", fisher[at], bound, decides=False),
        Comparison("the same and Kronecker factors", factors[at], bound, decides=False),
    )
    return Outcome(
        name="natural-gradient",
        where="sec. 5",
        statement=(
            "A step behind D is a natural gradient step where the output side of the Fisher matrix is a multiple of I:"
            " for the L2 loss, and for softmax at zero weights."
        ),
        compared="change of the weight that the data see, with the natural gradient's",
        comparisons=comparisons,
        finding=(
            "A step on the weights behind D and a natural gradient step are equal for the L2 loss (relative difference"
            f" {said(l2)}). For softmax at zero weights they are equal up to a factor, for which the learning rate can"
            " make up. They differ more as predictions become more certain: where the logits have a standard deviation"
            f" of {SCALES[at]:.2g}, a relative difference of {said(fisher[at])} is left at the best learning rate. The"
            " reason is that D accounts for the inputs of a layer alone, and the natural gradient for its outputs, too."
            " The paper calls the two “similar”."
        ),
        curves=(
            Curve("fisher", SCALES, np.array(fisher)),
            Curve("factors", SCALES, np.array(factors)),
        ),
    )


def _natural(rows: Tensor, chance: Tensor | None, gradient: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Return the natural gradient steps by the whole Fisher matrix and by its Kronecker factors (rate 1).

    Parameters
    ----------
    rows : Tensor of shape (N, d)
        Inputs less their mean.
    chance : Tensor of shape (N, K) or None
        Chances that the model gives to the classes; None for a model of Gaussian outputs with unit variance.
    gradient : Tensor of shape (K, d)
        Gradient of the mean loss.
    eps : float
        Ridge on the side of the inputs.

    Returns
    -------
    fisher, factors : Tensor of shape (K, d)
        Changes of the weight by both steps.
    """
    count, features = rows.shape
    covariance = rows.mT @ rows / count
    covariance = covariance + eps * torch.eye(features, dtype=rows.dtype, device=rows.device)
    if chance is None:
        step = -torch.linalg.solve(covariance, gradient.mT).mT
        return step, step
    classes = chance.shape[1]
    # Equal changes of all logits change nothing: an orthonormal basis leaves this direction out.
    square = torch.eye(classes, dtype=rows.dtype, device=rows.device)
    square[:, 0] = 1
    basis = torch.linalg.qr(square)[0][:, 1:]
    outer = torch.diag_embed(chance) - chance[:, :, None] * chance[:, None, :]
    outer = basis.mT @ outer @ basis
    side = classes - 1
    fisher = rows.new_empty(side, features, side, features)
    for i in range(side):
        for j in range(side):
            fisher[i, :, j, :] = (rows.mT * outer[:, i, j]) @ rows / count
    mean = outer.mean(0)
    fisher += mean[:, None, :, None] * eps * torch.eye(features, dtype=rows.dtype, device=rows.device)[:, None, :]
    reduced = basis.mT @ gradient
    flat = fisher.reshape(side * features, side * features)
    whole = torch.linalg.solve(flat, reduced.flatten()).view(side, features)
    factored = torch.linalg.solve(mean, torch.linalg.solve(covariance, reduced.mT).mT)
    return -(basis @ whole), -(basis @ factored)


def _of_unit_logits(weight: Tensor, rows: Tensor) -> Tensor:
    """Return a weight scaled such that each logit has a standard deviation of 1 over the rows."""
    return weight / (rows @ weight.mT).std(0)[:, None]


def _angle(one: Tensor, other: Tensor) -> float:
    """Return ‖c·one − other‖/‖other‖ for the best factor c: the sine of the angle between both."""
    factor = (one * other).sum() / one.square().sum()
    return relative(factor * one, other)
