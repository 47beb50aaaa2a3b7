"""Proposition 3: y = A W B is a linear problem in W, white if A is white and B orthogonal (sec. 4.4.2)."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ndtools.experiments.check.arithmetic import condition_of, relative, rounding, said, singular_in, whitening_matrix
from ndtools.experiments.check.config import CheckConfig
from ndtools.experiments.check.result import Comparison, Curve, Outcome
from ndtools.experiments.check.samples import Samples

__all__ = ["SPREADS", "check"]

UNITS = 6  # outputs of the layer, and of the network after it
ROWS = 1_000  # patches: a network of 6 outputs has 6,000 equations
FEW = 100  # patches for which the Kronecker product is written out
SPREADS = np.logspace(0, 2, 7)
"""Ratios of the largest to the smallest singular value of W."""
NOISE = 0.5  # standard deviation of the responses' noise, in units of their signal


@dataclass(frozen=True, eq=False)
class _Problem:
    """Linear problem in W of a network that whitens, multiplies by W, opens or closes units, and whitens again.

    Attributes
    ----------
    design : Tensor of shape (N·M, F·G)
        Column (f, g) is what W[f, g] contributes to the outputs: Bᵗ ⊗ A, with a B for each sample.
    weight : Tensor of shape (F·G,)
        Weight W before the step.
    rows : int
        Number N of samples.
    """

    design: Tensor
    weight: Tensor
    rows: int

    @classmethod
    def of(
        cls, inputs: Tensor, weight: Tensor, rotation: Tensor, *, relu: bool, deconvolved: bool = True
    ) -> "_Problem":
        """Return the problem of a network at a weight.

        Parameters
        ----------
        inputs : Tensor of shape (N, F)
            Inputs A, less their mean.
        weight : Tensor of shape (F, G)
            Weight W at which the units open or close.
        rotation : Tensor of shape (G, M)
            Orthogonal matrix behind the last deconvolution.
        relu : bool
            Whether a ReLU stands between both deconvolutions: a factor of 0 or 1, which is held fixed.
        deconvolved : bool
            Whether what is behind W is deconvolved. Default True.

        Returns
        -------
        _Problem
            Problem in the precision of the inputs.
        """
        outputs = inputs @ weight
        factor = (outputs > 0).to(inputs.dtype) if relu else torch.ones_like(outputs)
        hidden = outputs * factor
        hidden = hidden - hidden.mean(0)
        last = rotation
        if deconvolved:
            last = whitening_matrix(hidden.mT @ hidden / len(hidden)) @ rotation
        parts = inputs[:, :, None] * factor[:, None, :]
        parts = parts - parts.mean(0)
        design = (parts[..., None] * last).permute(0, 3, 1, 2).flatten(0, 1).flatten(1)
        return cls(design, weight.flatten(), len(inputs))

    @property
    def gram(self) -> Tensor:
        """Matrix (1/N) XᵗX of the design X, in float64."""
        design = self.design.double()
        return design.mT @ design / self.rows

    def gap(self, truth: Tensor, noise: Tensor) -> float:
        """Return ‖y₁ − y*‖/‖y₀ − y*‖ for outputs before and after a step at rate 1, and at the optimum.

        Parameters
        ----------
        truth : Tensor of shape (F, G)
            Weight W that the responses come from.
        noise : Tensor of shape (N, M)
            Noise of the responses, in units of its standard deviation.

        Returns
        -------
        float
            Gap after the step, in units of that before it; NaN if this precision has no D.
        """
        if not torch.isfinite(self.design).all():
            return math.nan
        signal = self.design @ truth.flatten().to(self.design)
        response = signal + NOISE * signal.std() * noise.flatten().to(self.design)
        exact = self.design.double()
        optimum = exact @ torch.linalg.lstsq(exact, response.double()[:, None], driver="gels").solution[:, 0]
        start = self.design @ self.weight
        stepped = self.weight - self.design.mT @ (start - response) / self.rows
        after, before = ((y.double() - optimum).norm() for y in (self.design @ stepped, start))
        return float(after / before)


def check(samples: Samples, config: CheckConfig) -> Outcome:
    """Train the first of two layers by one step at rate 1, and compare with the optimum of the L2 loss.

    The network whitens its input to A, multiplies by W, applies a ReLU or not, and whitens again: B is the map from
    the output of W to that of the last deconvolution, for each sample, and is held fixed.

    Parameters
    ----------
    samples : Samples
        Patches of images, of which the middle 3×3 pixels are used.
    config : CheckConfig
        Configuration of the run.

    Returns
    -------
    Outcome
        The Kronecker identity, one step against the optimum for orthogonal and other W, and with a ReLU.
    """
    dtype = getattr(torch, config.dtype)
    generator = torch.Generator().manual_seed(config.seed)
    rows = samples.middle[:ROWS]
    rows = rows - rows.mean(0)
    covariance = rows.mT @ rows / len(rows)
    inputs = rows.to(dtype) @ whitening_matrix(covariance.to(dtype))
    features, units = inputs.shape[1], min(UNITS, inputs.shape[1])

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(rows.device)

    orthogonal, rotation = (torch.linalg.qr(normal(size, units))[0] for size in (features, units))
    initial = (2 * torch.rand(features, units, generator=generator, dtype=torch.float64) - 1) / math.sqrt(features)
    initial = initial.to(rows.device)
    truth, noise = normal(features, units), normal(len(rows), units)
    last = rotation.to(dtype)

    def gap(weight: Tensor, *, relu: bool = False) -> float:
        return _Problem.of(inputs, weight.to(dtype), last, relu=relu).gap(truth, noise)

    def condition(weight: Tensor, *, relu: bool, deconvolved: bool = True) -> float:
        """Return the condition number of the problem in float64."""
        given = rows @ whitening_matrix(covariance) if deconvolved else rows
        return condition_of(_Problem.of(given, weight, rotation, relu=relu, deconvolved=deconvolved).gram)

    def of_spread(ratio: float) -> Tensor:
        """Return W with singular values between 1 and 1/ratio."""
        values = torch.logspace(0, -math.log10(ratio), units, dtype=torch.float64, device=rows.device)
        weight: Tensor = orthogonal @ torch.diag(values) @ rotation
        return weight

    few = inputs[:FEW]
    written_out = _kronecker(last.mT, few) @ truth.to(dtype).mT.flatten()
    product = (few @ truth.to(dtype) @ last).mT.flatten()
    gram = _kronecker(last @ last.mT, inputs.mT @ inputs / len(inputs))
    identity = torch.eye(len(gram), dtype=torch.float64, device=rows.device)
    bound = rounding(dtype, condition_of(covariance), terms=len(rows))
    plain, through, torchs = gap(orthogonal), gap(orthogonal, relu=True), gap(initial)
    comparisons = (
        Comparison("A W B and (Bᵗ ⊗ A) vec(W)", relative(product, written_out), rounding(dtype, features)),
        Comparison("Gram matrix of Bᵗ ⊗ A and I", relative(gram, identity), bound),
        Comparison("one step, orthogonal W", plain, bound),
        Comparison("one step, orthogonal W, ReLU", through, bound, decides=False),
        Comparison("one step, W as torch draws it", torchs, bound, decides=False),
    )
    singular = torch.linalg.svdvals(initial)
    conditions = {
        "linear": [condition(of_spread(ratio), relu=False) for ratio in SPREADS],
        "relu": [condition(of_spread(ratio), relu=True) for ratio in SPREADS],
        "raw": [condition(of_spread(ratio), relu=True, deconvolved=False) for ratio in SPREADS],
    }
    return Outcome(
        name="prop3",
        where="proposition 3, sec. 4.4.2",
        statement=(
            "If the input A of a layer is white, and the map B behind it orthogonal, then y = A W B is a white linear"
            " problem in W, and one step at rate 1 solves it. B is orthogonal if W is, in a linear network."
        ),
        compared="both sides of the identity; predictions after one step, with the optimum",
        comparisons=comparisons,
        finding=(
            f"If W is orthogonal and the network linear, one step leaves {said(plain)} of the distance to the optimum."
            f" With a ReLU behind the same W, one step leaves {said(through)}. In a linear network whose W is drawn as"
            f" torch does, {said(torchs)} times the distance is left. The paper says near-optimal, but not how near:"
            f" with the ReLU, the condition number is {conditions['relu'][0]:.3g}, where 1 is optimal and a network"
            f" without deconvolution has {conditions['raw'][0]:.2g}."
        )
        if math.isfinite(plain)
        else singular_in(dtype, condition_of(covariance)),
        curves=tuple(Curve(key, SPREADS, np.array(values)) for key, values in conditions.items()),
        values={"spread": float(singular[0] / singular[-1])},
    )


def _kronecker(one: Tensor, other: Tensor) -> Tensor:
    """Return the Kronecker product; torch's own fails on transposes of a single row (torch 2.13)."""
    blocks = one[:, None, :, None] * other[None, :, None, :]
    return blocks.reshape(one.shape[0] * other.shape[0], one.shape[1] * other.shape[1])
