"""The ridge of a deconvolution: its units, and the ridge that suits held-out images best."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from ndtools.errors import DataError
from ndtools.numerics.covariance import Covariance
from ndtools.validation import PAPER_RIDGE, Ridge

__all__ = ["RidgeChoice", "choose_ridge", "held_out_likelihood", "ridge_terms", "tightest_ridge"]

LOWEST, HIGHEST = 1e-8, 10.0  # range of ridges that are tried, in units of the mean variance
PER_DECADE = 8


def ridge_terms(eps: Ridge, *, relative: bool = False) -> tuple[float, bool]:
    """Return a ridge as a number, and whether it is in units of the mean variance.

    Parameters
    ----------
    eps : float or "paper"
        Ridge that was asked for; "paper" is that of Ye et al. 2020, 1e-5 of the mean variance.
    relative : bool
        Whether a number is in units of the mean variance. Default False.

    Returns
    -------
    (float, bool)
        Arguments ``eps`` and ``relative`` of :meth:`ndtools.Deconvolution.from_covariance`.

    Raises
    ------
    ValueError
        If ``eps`` is "auto", which :func:`choose_ridge` turns into a number.
    """
    if isinstance(eps, str):
        if eps != "paper":
            raise ValueError(f"eps must be a number or 'paper', got {eps!r}")
        return PAPER_RIDGE, True
    return eps, relative


def tightest_ridge(ridges: Sequence[Ridge], *, relative: bool = False) -> tuple[float, bool]:
    """Return the ridge that asks for the most precise covariance.

    Parameters
    ----------
    ridges : sequence of float, "paper" or "auto"
        Ridges that will be added to one covariance.
    relative : bool
        Whether numbers are in units of the mean variance. Default False.

    Returns
    -------
    (float, bool)
        Arguments ``eps`` and ``relative`` of :class:`ndtools.PatchCovariance`. If the ridges have different units, or
        one is not known yet, they are those of a ridge of 0, for which images are always transformed in float64.
    """
    if "auto" in ridges:
        return 0.0, False
    terms = [ridge_terms(eps, relative=relative) for eps in ridges]
    if len({unit for _, unit in terms}) > 1:
        return 0.0, False
    return min(terms)


@dataclass(frozen=True, eq=False)
class RidgeChoice:
    """The ridge that gives held-out images the highest likelihood.

    Attributes
    ----------
    eps : float
        Absolute ridge that was chosen.
    ridges : array of shape (m,)
        Absolute ridges that were tried, ascending.
    log_likelihood : array of shape (m,)
        Mean log-likelihood of a held-out patch, nats, for each ridge that was tried.
    best : float
        Mean log-likelihood of a held-out patch, nats, for the ridge that was chosen.
    at_end : {"lowest", "highest", None}
        End of the range that was tried at which the chosen ridge lies; None within the range.
    """

    eps: float
    ridges: NDArray[np.float64]
    log_likelihood: NDArray[np.float64]
    best: float
    at_end: str | None

    @property
    def in_words(self) -> str:
        """Reason of the choice, as in "chosen by the likelihood of held-out images"."""
        reason = "chosen by the likelihood of held-out images"
        return f"{reason}; it is the {self.at_end} ridge that was tried" if self.at_end else reason

    def numbers(self) -> dict[str, Any]:
        """Return what the .json file holds of the choice."""
        return dict(vars(self))

    @classmethod
    def from_numbers(cls, numbers: dict[str, Any] | None) -> "RidgeChoice | None":
        """Restore the choice from what `numbers` returned; None if no ridge was chosen."""
        if numbers is None:
            return None
        curves = {name: np.array(numbers[name], dtype=np.float64) for name in ("ridges", "log_likelihood")}
        return cls(**(numbers | curves))


def choose_ridge(first: Covariance, second: Covariance) -> RidgeChoice:
    """Choose the ridge with which each half of a set of images predicts the other half best.

    Parameters
    ----------
    first, second : Covariance
        Means and covariances of the patches of both halves.

    Returns
    -------
    RidgeChoice
        Ridge with the highest mean of both log-likelihoods, by :func:`held_out_likelihood`. Ridges from 1e-8 to 10
        times the mean variance are tried, and the best is refined between its neighbours.

    Raises
    ------
    DataError
        If the images have no variance.
    """
    unit = (first.mean_variance + second.mean_variance) / 2
    if not unit > 0:
        raise DataError("no ridge can be chosen: the images have constant colour, without variance")
    steps = round(PER_DECADE * math.log10(HIGHEST / LOWEST)) + 1
    ridges = unit * np.geomspace(LOWEST, HIGHEST, steps)
    ways = [held_out_likelihood(first, second), held_out_likelihood(second, first)]

    def likelihood(eps: NDArray[np.float64]) -> NDArray[np.float64]:
        return (ways[0](eps) + ways[1](eps)) / 2

    curve = likelihood(ridges)
    best = int(curve.argmax())
    eps, at_end = float(ridges[best]), {0: "lowest", steps - 1: "highest"}.get(best)
    if at_end is None:
        refined = minimize_scalar(
            lambda log_eps: -float(likelihood(np.array([math.exp(log_eps)]))[0]),
            bounds=(math.log(ridges[best - 1]), math.log(ridges[best + 1])),
            method="bounded",
            options={"xatol": 1e-4},
        )
        eps = math.exp(float(refined.x))
    return RidgeChoice(eps, ridges, curve, float(likelihood(np.array([eps]))[0]), at_end)


def held_out_likelihood(
    fitted: Covariance, held_out: Covariance
) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Return the mean Gaussian log-likelihood of patches under the mean and covariance of others, by the ridge.

    With A = Cov + eps·I of the fitted patches, of mean μ, and the second moment M of the held-out patches about μ, the
    mean log-likelihood of a held-out patch of d features is -(d log 2π + log det A + tr(A⁻¹ M))/2. One
    eigendecomposition of Cov gives it for all ridges.

    Parameters
    ----------
    fitted : Covariance
        Mean and covariance of the patches to which the Gaussian is fitted.
    held_out : Covariance
        Mean and covariance of the patches whose likelihood is computed.

    Returns
    -------
    callable
        Function from absolute ridges (m,) above 0 to the mean log-likelihood of a patch in nats for each of them.
    """
    values, vectors = torch.linalg.eigh(fitted.matrix.double())
    shift = (held_out.mean - fitted.mean).double() @ vectors
    moments = ((vectors * (held_out.matrix.double() @ vectors)).sum(0) + shift.square()).cpu().numpy()
    spectrum = values.clamp_min(0).cpu().numpy()

    def likelihood(ridges: NDArray[np.float64]) -> NDArray[np.float64]:
        variances = spectrum + np.asarray(ridges)[:, None]
        terms = math.log(2 * math.pi) + np.log(variances) + moments / variances
        return np.asarray(-0.5 * terms.sum(1))

    return likelihood
