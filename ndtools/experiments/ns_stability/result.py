"""Residuals of iterations towards A^(-1/2): the result of ``ndtools ns-stability``, live or read back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ndtools.drawing.shown import ShownResult
from ndtools.experiments.ns_stability.atlas import PrecisionAtlas, saved_landmarks
from ndtools.experiments.ns_stability.coefficients import source_of
from ndtools.experiments.ns_stability.config import NsStabilityConfig
from ndtools.numerics.schedules import Coefficients, final_gains
from ndtools.numerics.stability import Landmarks, spectral_gain
from ndtools.results.inputs import ImagesUsed
from ndtools.results.read import SavedResult
from ndtools.text import printable, source_name, with_error

__all__ = ["GAIN_ITERATIONS", "Curve", "NsStabilityResult", "absolute_ridge"]

GAIN_ITERATIONS = (1, 2, 3, 5, 10, 15)


@dataclass(frozen=True, eq=False)
class Curve:
    """How one algorithm fares in one precision.

    Attributes
    ----------
    algorithm : str
        One of :data:`ndtools.experiments.ns_stability.config.ALGORITHMS`.
    dtype : str
        Precision of the arithmetic of the iteration.
    residual : array of shape (iterations,)
        ‖D·D·A − I‖_F, evaluated in float64 from the iterates; nan where not finite.
    whitening_residual : array of shape (iterations,)
        ‖D·A·Dᵀ − I‖_F, evaluated likewise. Unlike ``residual`` it is 0 for a rotated D, too.
    products : array of shape (iterations,)
        Matrix products up to each iteration; an inverse counts as one.
    measured : Landmarks
        Landmarks of ``residual``.
    predicted : Landmarks or None
        Landmarks that follow from spectrum and precision alone, for the vanilla iteration; None for the others, of
        which nothing is predicted.
    growth : float or None
        Predicted growth of an error per step near the solution; 1 if the algorithm is stable. None if its coefficients
        do not converge to the solution.
    """

    algorithm: str
    dtype: str
    residual: NDArray[np.float64]
    whitening_residual: NDArray[np.float64]
    products: NDArray[np.int64]
    measured: Landmarks
    predicted: Landmarks | None
    growth: float | None

    @property
    def whitening_at_best(self) -> float | None:
        """‖D·A·Dᵀ − I‖_F at the iteration where ``residual`` is smallest; None if it never is finite."""
        best = self.measured.best_iteration
        return None if best is None else float(self.whitening_residual[best - 1])

    def diverges(self, floor: float) -> int | None:
        """Return the first iteration whose residual exceeds ten times the best, and ten times a floor.

        Parameters
        ----------
        floor : float
            Residual that rounding alone may cause. By luck the best is far less; beside that, all others
            would seem to diverge (``divergence_iteration``, which goes by the best alone, then says so).

        Returns
        -------
        int or None
            Counted from 1.
        """
        best, at = self.measured.best_residual, self.measured.best_iteration
        if best is None or at is None:
            return None
        beyond = np.flatnonzero(~(self.residual[at:] <= 10 * max(best, floor)))
        return at + int(beyond[0]) + 1 if len(beyond) else None

    def cost(self, floor: float) -> int | None:
        """Return the matrix products until the residual is at most twice the best.

        Parameters
        ----------
        floor : float
            Residual that rounding alone may cause, as for :meth:`diverges`.

        Returns
        -------
        int or None
            None if the iteration diverges, or has not come near the solution: then no residual is below 1.
        """
        best, settled = self.measured.best_residual, self.measured.settled_iteration
        if best is None or settled is None or best >= 1 or self.diverges(floor):
            return None
        return int(self.products[settled - 1])

    @property
    def name(self) -> str:
        """Key in the .npz file."""
        return _name(self.algorithm, self.dtype)

    def numbers(self) -> dict[str, Any]:
        """Return what the .json file holds of it."""
        predicted = self.predicted
        return {
            "algorithm": self.algorithm,
            "dtype": self.dtype,
            "residual": self.residual,
            "whitening_residual": self.whitening_residual,
            "whitening_residual_at_best": self.whitening_at_best,
            "products": self.products,
            **vars(self.measured),
            "predicted_divergence_iteration": predicted and predicted.divergence_iteration,
            "predicted_first_bad_iteration": predicted and predicted.first_bad_iteration,
            "predicted_growth": self.growth,
            "predicted": predicted and vars(predicted),
        }

    @classmethod
    def from_numbers(cls, numbers: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> "Curve":
        """Restore the curve from what `numbers` returned, and its residuals from the arrays of the .npz file."""
        return cls(
            algorithm=numbers["algorithm"],
            dtype=numbers["dtype"],
            residual=arrays[_name(numbers["algorithm"], numbers["dtype"])],
            whitening_residual=arrays[_whitening(_name(numbers["algorithm"], numbers["dtype"]))],
            products=np.array(numbers["products"], dtype=np.int64),
            measured=saved_landmarks(numbers),
            predicted=None if numbers["predicted"] is None else saved_landmarks(numbers["predicted"]),
            growth=numbers["predicted_growth"],
        )


def absolute_ridge(config: NsStabilityConfig, mean_diagonal: float) -> float:
    """Return the absolute ridge of a configuration, for a matrix with this mean diagonal entry."""
    return config.eps * (mean_diagonal if config.relative_eps else 1.0)


@dataclass(frozen=True, eq=False, repr=False)
class NsStabilityResult(ShownResult):
    """Curves of all algorithms in all precisions for one matrix.

    Attributes
    ----------
    config : NsStabilityConfig
        Configuration of this run.
    images : ImagesUsed or None
        Images that were used and skipped; None if a matrix was given.
    covariance : array of shape (d, d)
        Cov, or the matrix given, without eps.
    eigenvalues : array of shape (d,)
        Eigenvalues of A = Cov + eps·I, ascending.
    norm : float
        ‖A‖, what A was divided by. The Chebyshev and Denman-Beavers iterations are told λ_min/‖A‖.
    coefficients : Coefficients
        Rows of coefficients of the steps of the coupled and the Gram iteration.
    curves : tuple of Curve
        Algorithm by algorithm.
    left_out : tuple of str
        Algorithms that do not exist in some precision, and why.
    atlas : PrecisionAtlas or None
        If ``sweep`` was asked for.
    device : str
        Device on which the result was computed.
    """

    config: NsStabilityConfig
    images: ImagesUsed | None
    covariance: NDArray[np.float64]
    eigenvalues: NDArray[np.float64]
    norm: float
    coefficients: Coefficients
    curves: tuple[Curve, ...]
    left_out: tuple[str, ...]
    atlas: PrecisionAtlas | None
    device: str

    @property
    def source(self) -> str:
        """Name of the image source, or of the file of the matrix, printable."""
        return self.images.label if self.images else printable(self.config.source)

    @property
    def eps(self) -> float:
        """Absolute ridge."""
        return absolute_ridge(self.config, float(self.covariance.diagonal().mean()))

    @property
    def condition(self) -> float:
        """λ_max/λ_min of A."""
        return float(self.eigenvalues[-1] / self.eigenvalues[0])

    @property
    def widest(self) -> str:
        """The most precise dtype."""
        return min(self.config.dtype, key=self.floor)

    def floor(self, dtype: str) -> float:
        """Return where rounding stops a stable iteration, about: eps of the dtype times the condition number."""
        return float(torch.finfo(getattr(torch, dtype)).eps) * self.condition

    def summary(self) -> Sequence[str]:
        """Return lines that say what the result comes from, and its main numbers."""
        images = f"{self.images.counted} · " if self.images else ""
        best = [
            f"{curve.algorithm} {with_error(curve.measured.best_residual)} ({curve.measured.best_iteration or '-'})"
            for curve in self.curves
            if curve.dtype == self.widest
        ]
        return (
            f"{source_name(self.source)} · {images}{len(self.eigenvalues)} features · eps {self.eps:.3g} ·"
            f" condition {self.condition:.3g}",
            f"least residual in {self.widest} (iteration): {' · '.join(best)}",
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays of the .npz file by name."""
        return {
            "covariance": self.covariance,
            "eigenvalues": self.eigenvalues,
            "iterations": np.arange(1, self.config.iterations + 1),
            **{curve.name: curve.residual for curve in self.curves},
            **{_whitening(curve.name): curve.whitening_residual for curve in self.curves},
            "gain_iterations": np.array(GAIN_ITERATIONS),
            "gain": self.gain(self.eigenvalues),
            **(self.atlas.arrays() if self.atlas else {}),
        }

    def gain(self, eigenvalues: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what :data:`GAIN_ITERATIONS` of the coupled iteration make of eigenvalues, (n, m); 1 is white."""
        gain = spectral_gain(eigenvalues / self.norm, max(GAIN_ITERATIONS), self.coefficients)
        return np.stack([gain[n - 1] for n in GAIN_ITERATIONS])

    def numbers(self) -> dict[str, Any]:
        """Return the numbers of the .json file by key."""
        return {
            "images": self.images and self.images.numbers(),
            "kernel_size": self.config.kernel_size if self.images else None,
            "features": len(self.eigenvalues),
            "eps": self.eps,
            "relative_eps": self.config.relative_eps,
            "condition": self.condition,
            "norm": self.config.norm,
            "matrix_norm": self.norm,
            "lower": float(self.eigenvalues[0]) / self.norm,
            "coefficients": {
                "source": source_of(self.config.coefficients),
                "rows": self.coefficients,
                "final_gains": final_gains(self.coefficients),
            },
            "rounding_floor": {dtype: self.floor(dtype) for dtype in self.config.dtype},
            "curves": [curve.numbers() for curve in self.curves],
            "left_out": self.left_out,
            **({"sweep": self.atlas.numbers()} if self.atlas else {}),
        }

    @classmethod
    def from_saved(cls, saved: SavedResult) -> "NsStabilityResult":
        """Restore the result from its files; DataError if they are not those of a whole result of this command."""
        with saved.restoring("ns-stability"):
            numbers = saved.numbers
            images, sweep = numbers["images"], numbers.get("sweep")
            return cls(
                config=saved.configuration(NsStabilityConfig),
                images=None if images is None else ImagesUsed.from_numbers(saved.source, images),
                covariance=saved.arrays["covariance"],
                eigenvalues=saved.arrays["eigenvalues"],
                norm=numbers["matrix_norm"],
                coefficients=tuple(tuple(row) for row in numbers["coefficients"]["rows"]),
                curves=tuple(Curve.from_numbers(curve, saved.arrays) for curve in numbers["curves"]),
                left_out=tuple(numbers["left_out"]),
                atlas=None if sweep is None else PrecisionAtlas.from_numbers(sweep),
                device=saved.device,
            )


def _name(algorithm: str, dtype: str) -> str:
    return f"{algorithm}_{dtype}"


def _whitening(name: str) -> str:
    return f"{name}_whitening"
