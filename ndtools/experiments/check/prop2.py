"""Proposition 2: D undoes the correlation kernel, X Cov^(-1/2) (Cov^(1/2) δ) = X δ = x (equation 5)."""

import math
from collections.abc import Callable

import numpy as np
import torch
from scipy.linalg import sqrtm
from torch import Tensor

from ndtools.experiments.check.arithmetic import condition_of, relative, rounding, said, singular_in, whitening_matrix
from ndtools.experiments.check.config import CheckConfig
from ndtools.experiments.check.result import Comparison, Curve, Outcome
from ndtools.experiments.check.samples import Samples
from ndtools.numerics.inverse_sqrt import inverse_sqrt
from ndtools.numerics.iterations import CoupledNewtonSchulz
from ndtools.numerics.products import ridged

__all__ = ["RIDGES", "check"]

RIDGES = np.logspace(-8, 0, 17)


def check(samples: Samples, config: CheckConfig) -> Outcome:
    """Convolve deconvolved patches with the correlation kernel, and compare with the pixels at their centres.

    Parameters
    ----------
    samples : Samples
        Patches of images.
    config : CheckConfig
        Configuration of the run.

    Returns
    -------
    Outcome
        Both sides of equation 5, without and with a ridge, and the error against the ridge.
    """
    rows, covariance = samples.rows, samples.covariance
    dtype = getattr(torch, config.dtype)
    pixels = samples.kernel_size**2
    centres = slice(pixels // 2, None, pixels)  # of the channels
    values, vectors = torch.linalg.eigh(covariance)

    def error(whitening: Tensor, matrix: Tensor) -> float:
        """Return the largest error over channels of X D k_cov, with k_cov from this matrix."""
        # The square root is by Schur's method, which shares nothing with D.
        root = torch.from_numpy(np.ascontiguousarray(np.real(sqrtm(matrix.cpu().numpy())))).to(rows.device)
        found = (rows.to(dtype) @ whitening.to(dtype)) @ root[:, centres].to(dtype)
        return max(relative(*pair) for pair in zip(found.unbind(1), rows[:, centres].unbind(1), strict=True))

    def predicted(eps: float) -> float:
        """Return the error of a ridge in D alone, 1 − (λ/(λ + eps))^(1/2) in each principal direction."""
        loss = 1 - (values.clamp(min=0) / (values.clamp(min=0) + eps)).sqrt()
        weights = vectors[centres].square() * values
        return float(((weights * loss.square()).sum(1) / weights.sum(1)).sqrt().max())

    def whitened(eps: float) -> Tensor:
        return whitening_matrix(ridged(covariance, eps).to(dtype))

    def iterated(iterations: int) -> Tensor:
        matrix = ridged(covariance, config.eps).to(dtype)
        return inverse_sqrt(matrix, CoupledNewtonSchulz(n_iter=iterations)).matrix

    a = ridged(covariance, config.eps)
    exact, ridge = (rounding(dtype, condition) for condition in (samples.condition, condition_of(a)))
    alone = error(whitened(config.eps), covariance)
    comparisons = (
        Comparison("no ridge", error(whitened(0.0), covariance), exact),
        Comparison(f"the ridge {config.eps:.3g} in D and kernel", error(whitened(config.eps), a), ridge),
        Comparison(f"the ridge {config.eps:.3g} in D alone", alone, ridge, decides=False),
        Comparison("15 Newton-Schulz iterations", error(iterated(15), a), ridge, decides=False),
        Comparison("5 Newton-Schulz iterations", error(iterated(5), a), ridge, decides=False),
    )
    return Outcome(
        name="prop2",
        where="proposition 2, sec. 4.3.1",
        statement="Deconvolved patches, convolved with the correlation kernel Cov^(1/2) δ, give the image back.",
        compared="X D k_cov with the pixels at the centres of the patches",
        comparisons=comparisons,
        finding=(
            "Without a ridge, the correlation kernel makes the pixels of deconvolved patches again, with a relative"
            f" error of {said(comparisons[0].difference)}. If D alone has a ridge of {config.eps:.3g}, the error is"
            f" {said(alone)} (theory: {said(predicted(config.eps))}). If D is computed by five Newton-Schulz"
            f" iterations, as in a layer, it is {said(comparisons[-1].difference)}."
        )
        if math.isfinite(comparisons[0].difference)
        else singular_in(dtype, samples.condition),
        curves=(
            Curve("measured", RIDGES, _over(RIDGES, lambda eps: error(whitened(eps), covariance))),
            Curve("predicted", RIDGES, _over(RIDGES, predicted)),
        ),
        values={"predicted": predicted(config.eps)},
    )


def _over(ridges: np.ndarray, function: Callable[[float], float]) -> np.ndarray:
    return np.array([function(float(eps)) for eps in ridges])
