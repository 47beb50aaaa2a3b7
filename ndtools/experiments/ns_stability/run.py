"""How stable iterations towards A^(-1/2) are (Ye et al. 2020, fig. 6; fig. 7 of the first version)."""

import itertools
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ndtools.computing.operators import resolve_device, single_threaded_operators
from ndtools.data.arrays import is_matrix_file, read_matrix
from ndtools.data.images.sources import Skipped, resolve_source
from ndtools.errors import MatrixError
from ndtools.experiments.ns_stability.atlas import PrecisionAtlas, run_atlas
from ndtools.experiments.ns_stability.config import ALGORITHMS, NsStabilityConfig
from ndtools.moments.images import Progress, image_moments
from ndtools.numerics.inverse_sqrt import Eigh, Method, checked, method_from_name, symmetric_part
from ndtools.numerics.iterations import norms
from ndtools.numerics.stability import Landmarks, inverse_sqrt_trace, predict_vanilla, spectral_gain, vanilla_growth
from ndtools.text import printable

__all__ = ["Curve", "NsStabilityConfig", "NsStabilityResult", "run"]

SMALL = 128  # rows up to which threads cost more time than they save
MATRICES = 12  # of that size that are held at a time: A, its eigenvectors, iterates, and what LAPACK needs
GAIN_ITERATIONS = (1, 2, 3, 5, 10, 15)


@dataclass(frozen=True, eq=False)
class Curve:
    """How one algorithm fares in one precision.

    Attributes
    ----------
    algorithm : str
        One of :data:`ndtools.experiments.ns_stability.config.ALGORITHMS`.
    dtype : str
        In which it iterated.
    residual : array of shape (iterations,)
        ‖D·D·A − I‖_F, evaluated in float64 from the iterates; nan where not finite.
    products : array of shape (iterations,)
        Matrix products up to each iteration; an inverse counts as one.
    measured : Landmarks
        Of ``residual``.
    predicted : Landmarks or None
        From spectrum and precision alone; None where no divergence is predicted: the algorithm is stable.
    growth : float
        Predicted growth of an error per step near the solution; 1 if the algorithm is stable.
    """

    algorithm: str
    dtype: str
    residual: NDArray[np.float64]
    products: NDArray[np.int64]
    measured: Landmarks
    predicted: Landmarks | None
    growth: float

    def diverges(self, floor: float) -> int | None:
        """Return the first iteration whose residual exceeds ten times the best, and ten times a floor.

        Parameters
        ----------
        floor : float
            What rounding alone may make of a residual. By luck the best is far less; beside that, all others
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

    @property
    def name(self) -> str:
        """Key in the .npz file."""
        return f"{self.algorithm}_{self.dtype}"

    def numbers(self) -> dict[str, Any]:
        """Return what the .json file holds of it."""
        predicted = self.predicted
        return {
            "algorithm": self.algorithm,
            "dtype": self.dtype,
            "residual": self.residual,
            "products": self.products,
            **vars(self.measured),
            "predicted_divergence_iteration": predicted and predicted.divergence_iteration,
            "predicted_first_bad_iteration": predicted and predicted.first_bad_iteration,
            "predicted_growth": self.growth,
        }


@dataclass(frozen=True, eq=False)
class NsStabilityResult:
    """Curves of all algorithms in all precisions for one matrix.

    Attributes
    ----------
    config : NsStabilityConfig
        What was asked for.
    source : str
        What the matrix came from, printable.
    read : int or None
        Images used; None if a matrix was given.
    skipped : tuple of Skipped
        Images not used, and why.
    covariance : array of shape (d, d)
        Cov, or the matrix given, without eps.
    eigenvalues : array of shape (d,)
        Of A = Cov + eps·I, ascending.
    norm : float
        ‖A‖, what A was divided by. The Chebyshev and Denman-Beavers iterations are told λ_min/‖A‖.
    curves : tuple of Curve
        Algorithm by algorithm.
    left_out : tuple of str
        Algorithms that do not exist in some precision, and why.
    atlas : PrecisionAtlas or None
        If ``sweep`` was asked for.
    device : str
        Where it was computed.
    """

    config: NsStabilityConfig
    source: str
    read: int | None
    skipped: tuple[Skipped, ...]
    covariance: NDArray[np.float64]
    eigenvalues: NDArray[np.float64]
    norm: float
    curves: tuple[Curve, ...]
    left_out: tuple[str, ...]
    atlas: PrecisionAtlas | None
    device: str

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

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays of the .npz file by name."""
        return {
            "covariance": self.covariance,
            "eigenvalues": self.eigenvalues,
            "iterations": np.arange(1, self.config.iterations + 1),
            **{curve.name: curve.residual for curve in self.curves},
            "gain_iterations": np.array(GAIN_ITERATIONS),
            "gain": self.gain(self.eigenvalues),
            **(self.atlas.arrays() if self.atlas else {}),
        }

    def gain(self, eigenvalues: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what :data:`GAIN_ITERATIONS` of Newton-Schulz make of eigenvalues, (n, m); 1 is white."""
        gain = spectral_gain(eigenvalues / self.norm, max(GAIN_ITERATIONS))
        return np.stack([gain[n - 1] for n in GAIN_ITERATIONS])

    def numbers(self) -> dict[str, Any]:
        """Return the numbers of the .json file by key."""
        return {
            "images": None
            if self.read is None
            else {"read": self.read, "skipped": [{"path": s.name, "reason": s.reason} for s in self.skipped]},
            "kernel_size": None if self.read is None else self.config.kernel_size,
            "features": len(self.eigenvalues),
            "eps": self.config.eps,
            "condition": self.condition,
            "norm": self.config.norm,
            "lower": float(self.eigenvalues[0]) / self.norm,
            "rounding_floor": {dtype: self.floor(dtype) for dtype in self.config.dtype},
            "curves": [curve.numbers() for curve in self.curves],
            **({"sweep": self.atlas.numbers()} if self.atlas else {}),
        }


def run(config: NsStabilityConfig, *, progress: Progress | None = None) -> NsStabilityResult:
    """Follow every algorithm in every precision asked for.

    Parameters
    ----------
    config : NsStabilityConfig
        What to do.
    progress : callable, optional
        Told how many of how many images, or with ``sweep`` runs of it, are done.

    Returns
    -------
    NsStabilityResult
        On the CPU.

    Raises
    ------
    MatrixError
        If the matrix is not square, symmetric and finite, or has only one row.
    NotPositiveDefiniteError
        If, with eps, it is not positive definite.
    """
    device = resolve_device(config.device)
    covariance, source, read, skipped = _matrix(config, device, None if config.sweep else progress)
    if len(covariance) == 1:
        remedy = "give a larger one" if read is None else "take larger patches"
        raise MatrixError(f"{source} gives a 1×1 matrix, which has no correlations to remove; {remedy}")
    a = covariance + config.eps * torch.eye(len(covariance), dtype=torch.float64, device=device)
    _, values, vectors, _ = checked(a)
    norm = norms(a, config.norm).item()
    eigenvalues = values.cpu().numpy()
    lower = float(eigenvalues[0]) / norm
    curves, left_out = [], []
    with single_threaded_operators() if len(a) <= SMALL else nullcontext():
        for algorithm, dtype in itertools.product(ALGORITHMS, config.dtype):
            if algorithm == "denman-beavers" and dtype in ("float16", "bfloat16"):
                left_out.append(f"{algorithm} in {dtype}: torch inverts no matrix in that precision")
                continue
            method = method_from_name(algorithm, n_iter=config.iterations, norm=config.norm, lower=lower)
            curves.append(_curve(algorithm, dtype, a, method, eigenvalues))
        atlas = run_atlas(eigenvalues, vectors, config, progress) if config.sweep else None
    return NsStabilityResult(
        config=config,
        source=source,
        read=read,
        skipped=skipped,
        covariance=covariance.cpu().numpy(),
        eigenvalues=eigenvalues,
        norm=norm,
        curves=tuple(curves),
        left_out=tuple(left_out),
        atlas=atlas,
        device=str(device),
    )


def _matrix(
    config: NsStabilityConfig, device: torch.device, progress: Progress | None
) -> tuple[Tensor, str, int | None, tuple[Skipped, ...]]:
    """Return the covariance, what it is of, and which images were read and skipped."""
    if is_matrix_file(config.source):
        # Symmetric up to rounding in the precision of the file.
        matrix = torch.from_numpy(read_matrix(config.source, copies=MATRICES))
        covariance = symmetric_part(matrix.to(device)).double()
        return covariance, printable(config.source), None, ()
    images = resolve_source(config.source)
    found = image_moments(images, kernel_size=config.kernel_size, device=device, jobs=config.jobs, progress=progress)
    return found.moments.finalize().matrix, images.label, found.read, found.skipped


def _curve(algorithm: str, dtype: str, a: Tensor, method: Method, eigenvalues: NDArray[np.float64]) -> Curve:
    assert not isinstance(method, Eigh)
    precision: torch.dtype = getattr(torch, dtype)
    records = list(inverse_sqrt_trace(a, method, dtype=precision))
    residual = np.array([record.residual for record in records])
    residual[~np.isfinite(residual)] = np.nan
    vanilla = algorithm == "vanilla"
    # Rounding mixes no eigenvectors of a diagonal matrix: what theory expects of others does not happen to it.
    mixing = bool((a - a.diagonal().diag()).abs().max() > 0)
    predicted = predict_vanilla(eigenvalues, precision, method.n_iter, method.norm) if vanilla and mixing else None
    return Curve(
        algorithm=algorithm,
        dtype=dtype,
        residual=residual,
        products=np.array([record.products for record in records]),
        measured=Landmarks.of(residual),
        predicted=None if predicted is None else Landmarks.of(predicted),
        growth=vanilla_growth(float(eigenvalues[-1] / eigenvalues[0])) if vanilla else 1.0,
    )
