"""Proposition 1: where (1/N) XᵗX = I, a step of gradient descent at rate 1 reaches the optimum of the L2 loss."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ndtools.experiments.check.arithmetic import condition_of, relative, rounding, said, singular_in, whitening_matrix
from ndtools.experiments.check.config import CheckConfig
from ndtools.experiments.check.result import Comparison, Curve, Outcome
from ndtools.experiments.check.samples import Samples
from ndtools.numerics.products import ridged

__all__ = ["STEPS", "check"]

STEPS = 20
NEWTON = 50  # steps, at most, towards the optimum of the logistic loss; about 8 are taken
NOISE = 0.5  # standard deviation of the responses' noise, in units of their signal
SPREAD = 2.0  # standard deviation of the logits by which labels are drawn


def check(samples: Samples, config: CheckConfig) -> Outcome:
    """Descend on whitened, standardised and raw patches, and compare each prediction with that of the closed form.

    Parameters
    ----------
    samples : Samples
        Patches of images.
    config : CheckConfig
        Configuration of the run.

    Returns
    -------
    Outcome
        One step at rate 1 against the closed form of equation 3, and the way there of all arms.
    """
    rows, covariance = samples.rows, samples.covariance
    dtype = getattr(torch, config.dtype)
    generator = torch.Generator().manual_seed(config.seed)
    weights = torch.randn(rows.shape[1], generator=generator, dtype=rows.dtype).to(rows.device)
    signal = rows @ weights
    signal = signal / signal.square().mean().sqrt()
    noise = torch.randn(len(rows), generator=generator, dtype=rows.dtype).to(rows.device)
    response = signal + NOISE * noise
    # The closed form by QR in float64: it shares nothing with D.
    optimum = rows @ torch.linalg.lstsq(rows, response[:, None], driver="gels").solution[:, 0]

    single, moments = rows.to(dtype), covariance.to(dtype)
    arms = {
        "raw": single,
        "standardised": single / moments.diagonal().sqrt(),
        "ridge": single @ whitening_matrix(ridged(moments, config.eps)),
        "whitened": single @ whitening_matrix(moments),
    }
    gaps = {}
    for name, features in arms.items():
        rate = 1.0 if name in ("ridge", "whitened") else _largest_rate(features)
        gaps[name] = _descend(features, response.to(dtype), optimum, rate)

    chance = torch.sigmoid(SPREAD * signal).cpu()
    labels = torch.bernoulli(chance, generator=generator).to(rows.device)
    white = rows @ whitening_matrix(covariance)
    target = white @ _logistic_optimum(white, labels)
    gaps["logistic"] = _descend(arms["whitened"], labels.to(dtype), target, 1.0, torch.sigmoid)

    exact, ridge = (
        rounding(dtype, condition, terms=len(rows))
        for condition in (samples.condition, condition_of(ridged(covariance, config.eps)))
    )
    after = {name: float(values[1]) for name, values in gaps.items()}
    comparisons = (
        Comparison("whitened", after["whitened"], exact),
        Comparison(f"whitened with the ridge {config.eps:.3g}", after["ridge"], ridge, decides=False),
        Comparison("standardised, at rate 1/λ_max", after["standardised"], exact, decides=False),
        Comparison("raw, at rate 1/λ_max", after["raw"], exact, decides=False),
        Comparison("whitened, logistic loss", after["logistic"], exact, decides=False),
    )
    return Outcome(
        name="prop1",
        where="proposition 1, sec. 3.1",
        statement=(
            "Where the features are white, one step of gradient descent at rate 1 reaches the optimum of the L2 loss."
        ),
        compared="predictions after one step, with those of the closed form",
        comparisons=comparisons,
        finding=(
            f"On whitened patches, one step of gradient descent leaves {said(after['whitened'])} of the distance to the"
            f" closed-form solution. After {STEPS} steps, {said(gaps['raw'][-1])} is left on raw patches, and"
            f" {said(gaps['standardised'][-1])} on standardised ones. If patches are whitened with the ridge, one step"
            f" leaves {said(after['ridge'])}. With the logistic loss, whose curvature depends on its weights, one step"
            f" leaves {said(after['logistic'])}."
        )
        if math.isfinite(after["whitened"])
        else singular_in(dtype, samples.condition),
        curves=tuple(Curve(name, np.arange(STEPS + 1.0), values) for name, values in gaps.items()),
    )


def _largest_rate(features: Tensor) -> float:
    """Return 1/λ_max, the largest rate at which no direction oscillates."""
    return 1 / float(torch.linalg.eigvalsh((features.mT @ features).double() / len(features))[-1])


def _descend(
    features: Tensor, response: Tensor, optimum: Tensor, rate: float, link: Callable[[Tensor], Tensor] | None = None
) -> np.ndarray:
    """Return how far predictions are from the optimum before the first step and after each one (equation 2)."""
    weights = features.new_zeros(features.shape[1])
    gaps = [1.0]
    for _ in range(STEPS):
        predicted = features @ weights
        error = (predicted if link is None else link(predicted)) - response
        weights = weights - rate * (features.mT @ error) / len(features)
        gaps.append(relative(features @ weights, optimum))
    return np.array(gaps)


def _logistic_optimum(features: Tensor, labels: Tensor) -> Tensor:
    """Return the weights of the least logistic loss, by Newton's method in float64."""
    weights = features.new_zeros(features.shape[1])
    for _ in range(NEWTON):
        chance = torch.sigmoid(features @ weights)
        gradient = features.mT @ (chance - labels) / len(features)
        hessian = (features.mT * (chance * (1 - chance))) @ features / len(features)
        step = torch.linalg.solve(hessian, gradient)
        weights = weights - step
        if float(step.norm()) <= math.sqrt(torch.finfo(features.dtype).eps) * 1e-3 * float(weights.norm()):
            break
    return weights
