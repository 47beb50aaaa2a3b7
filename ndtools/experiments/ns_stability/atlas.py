"""Which iteration breaks when: algorithm × precision × condition number × norm × shape of the spectrum."""

import itertools
import math
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ndtools.computing.progress import Progress
from ndtools.experiments.ns_stability.config import ALGORITHMS, DTYPES, NsStabilityConfig
from ndtools.numerics.inverse_sqrt import Eigh, method_from_name
from ndtools.numerics.iterations import Norm
from ndtools.numerics.stability import Landmarks, inverse_sqrt_trace, predict_vanilla

__all__ = ["Cell", "PrecisionAtlas", "run_atlas", "saved_landmarks", "spectrum"]

CONDITIONS = tuple(float(10 ** (n / 2)) for n in range(1, 21))  # 3.2 ... 1e10
NORMS: tuple[Norm, ...] = ("fro", "trace")
SPECTRA = ("image", "log-uniform")


@dataclass(frozen=True)
class Cell:
    """One run of the sweep.

    Attributes
    ----------
    algorithm, dtype, norm : str
        Algorithm, precision and norm of the run.
    spectrum : {"image", "log-uniform"}
        Shape of the spectrum on a logarithmic axis.
    condition : float
        Condition number λ_max/λ_min of the matrix.
    measured : Landmarks
        Landmarks of the residuals that were measured.
    predicted : Landmarks or None
        Landmarks that theory predicts for the vanilla iteration.
    """

    algorithm: str
    dtype: str
    norm: str
    spectrum: str
    condition: float
    measured: Landmarks
    predicted: Landmarks | None


@dataclass(frozen=True, eq=False)
class PrecisionAtlas:
    """All runs of the sweep.

    Attributes
    ----------
    iterations : int
        Number of iterations of each run.
    features : int
        Size of the matrices.
    cells : tuple of Cell
        The runs. There are none of Denman-Beavers in float16 and bfloat16, in which torch inverts nothing.
    """

    iterations: int
    features: int
    cells: tuple[Cell, ...]

    algorithms: ClassVar[tuple[str, ...]] = ALGORITHMS
    dtypes: ClassVar[tuple[str, ...]] = DTYPES
    panels: ClassVar[tuple[tuple[str, str], ...]] = tuple(itertools.product(SPECTRA, NORMS))
    """Spectra and norms."""

    def table(self, quantity: str, spectrum_name: str, norm: str) -> NDArray[np.float64]:
        """Return a landmark of all runs with one spectrum and norm.

        Parameters
        ----------
        quantity : str
            Field of :class:`ndtools.numerics.stability.Landmarks`.
        spectrum_name, norm : str
            Spectrum and norm of the runs in the table.

        Returns
        -------
        array of shape (conditions, algorithms, dtypes)
            nan where there is none.
        """
        table = np.full((len(CONDITIONS), len(ALGORITHMS), len(DTYPES)), np.nan)
        for cell in self.cells:
            if (cell.spectrum, cell.norm) == (spectrum_name, norm):
                at = CONDITIONS.index(cell.condition), ALGORITHMS.index(cell.algorithm), DTYPES.index(cell.dtype)
                value = getattr(cell.measured, quantity)
                table[at] = np.nan if value is None else value
        return table

    def limits(self, residual: float) -> list[tuple[str, str, float | None, float | None]]:
        """Summarise each algorithm in each precision over all spectra and norms.

        Parameters
        ----------
        residual : float
            Largest residual that is good enough.

        Returns
        -------
        list of (algorithm, dtype, reached, lost)
            The condition number up to which every run attains that residual, and the lowest at which some run is not
            finite; None where there is none.
        """
        rows: list[tuple[str, str, float | None, float | None]] = []
        for algorithm, dtype in itertools.product(ALGORITHMS, DTYPES):
            runs = [cell for cell in self.cells if (cell.algorithm, cell.dtype) == (algorithm, dtype)]
            if not runs:
                continue
            short = {
                c.condition for c in runs if c.measured.best_residual is None or c.measured.best_residual > residual
            }
            reached = [k for k in CONDITIONS if k < min(short, default=math.inf)]
            lost = [c.condition for c in runs if c.measured.first_bad_iteration]
            rows.append((algorithm, dtype, max(reached, default=None), min(lost, default=None)))
        return rows

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays of the .npz file: (spectrum, norm, condition, algorithm, dtype) for each landmark."""
        shape = (len(SPECTRA), len(NORMS), len(CONDITIONS), len(ALGORITHMS), len(DTYPES))
        tables = {
            f"sweep_{quantity}": np.stack([self.table(quantity, *panel) for panel in self.panels]).reshape(shape)
            for quantity in ("best_residual", "best_iteration", "divergence_iteration", "first_bad_iteration")
        }
        axes = {
            "spectra": SPECTRA,
            "norms": NORMS,
            "conditions": CONDITIONS,
            "algorithms": ALGORITHMS,
            "dtypes": DTYPES,
        }
        return {**{f"sweep_{name}": np.array(values) for name, values in axes.items()}, **tables}

    def numbers(self) -> dict[str, Any]:
        """Return what the .json file holds of it."""
        return {
            "iterations": self.iterations,
            "features": self.features,
            "conditions": CONDITIONS,
            "runs": [
                {
                    "algorithm": cell.algorithm,
                    "dtype": cell.dtype,
                    "norm": cell.norm,
                    "spectrum": cell.spectrum,
                    "condition": cell.condition,
                    **vars(cell.measured),
                    "predicted_divergence_iteration": cell.predicted and cell.predicted.divergence_iteration,
                    "predicted_first_bad_iteration": cell.predicted and cell.predicted.first_bad_iteration,
                    "predicted": cell.predicted and vars(cell.predicted),
                }
                for cell in self.cells
            ],
        }

    @classmethod
    def from_numbers(cls, numbers: dict[str, Any]) -> "PrecisionAtlas":
        """Restore the atlas from what `numbers` returned."""
        names = ("algorithm", "dtype", "norm", "spectrum", "condition")
        return cls(
            iterations=numbers["iterations"],
            features=numbers["features"],
            cells=tuple(
                Cell(
                    **{name: run[name] for name in names},
                    measured=saved_landmarks(run),
                    predicted=None if run["predicted"] is None else saved_landmarks(run["predicted"]),
                )
                for run in numbers["runs"]
            ),
        )


def saved_landmarks(numbers: dict[str, Any]) -> Landmarks:
    """Restore landmarks from a part of a .json file that holds them, with or without further keys."""
    return Landmarks(**{field.name: numbers[field.name] for field in fields(Landmarks)})


def spectrum(shape: NDArray[np.float64], condition: float) -> NDArray[np.float64]:
    """Stretch a spectrum on its logarithmic axis.

    Parameters
    ----------
    shape : array of shape (d,)
        Positive, ascending, not all equal.
    condition : float
        Wanted ratio of the largest to the smallest.

    Returns
    -------
    array of shape (d,)
        From 1/condition to 1.
    """
    place = np.log(shape / shape[-1]) / np.log(shape[-1] / shape[0])  # -1 ... 0
    return np.asarray(condition**place)


def run_atlas(
    eigenvalues: NDArray[np.float64],
    eigenvectors: Tensor,
    config: NsStabilityConfig,
    progress: Progress | None = None,
) -> PrecisionAtlas:
    """Run every algorithm in every precision on matrices of every condition number.

    Parameters
    ----------
    eigenvalues : array of shape (d,)
        Eigenvalues of A in ascending order; the "image" spectrum stretches them.
    eigenvectors : Tensor of shape (d, d)
        Eigenvectors of A, which the matrices of the "image" spectrum have, too. Those of a log-uniform spectrum have
        random eigenvectors.
    config : NsStabilityConfig
        Its ``iterations`` and ``seed`` count.
    progress : callable, optional
        Told how many of how many runs are done.

    Returns
    -------
    PrecisionAtlas
        All runs. The Chebyshev and Denman-Beavers iterations are told λ_min/‖A‖.
    """
    d = len(eigenvalues)
    generator = torch.Generator().manual_seed(config.seed)
    random = torch.linalg.qr(torch.randn(d, d, dtype=torch.float64, generator=generator)).Q.to(eigenvectors.device)
    flat = eigenvalues[-1] - eigenvalues[0] <= 1e-9 * eigenvalues[-1]
    log_uniform = np.geomspace(1 / 2, 1, d)
    shapes = {"image": (log_uniform if flat else eigenvalues, eigenvectors), "log-uniform": (log_uniform, random)}
    kinds = [
        kind
        for kind in itertools.product(NORMS, ALGORITHMS, DTYPES)
        if not (kind[1] == "denman-beavers" and kind[2] in ("float16", "bfloat16"))
    ]
    cells: list[Cell] = []
    for shape, condition in itertools.product(SPECTRA, CONDITIONS):
        template, vectors = shapes[shape]
        values = spectrum(template, condition)
        matrix = (vectors * torch.from_numpy(values).to(vectors.device)) @ vectors.mT
        symmetric = (matrix + matrix.mT) / 2
        for norm, algorithm, dtype in kinds:
            cells.append(_cell(values, symmetric, config.iterations, shape, condition, norm, algorithm, dtype))
            if progress:
                progress(len(cells), len(kinds) * len(SPECTRA) * len(CONDITIONS))
    return PrecisionAtlas(config.iterations, d, tuple(cells))


def _cell(
    values: NDArray[np.float64],
    matrix: Tensor,
    n_iter: int,
    shape: str,
    condition: float,
    norm: Norm,
    algorithm: str,
    dtype: str,
) -> Cell:
    size = np.linalg.norm(values) if norm == "fro" else values.sum()
    method = method_from_name(algorithm, n_iter=n_iter, norm=norm, lower=float(values[0] / size))
    assert not isinstance(method, Eigh)
    precision: torch.dtype = getattr(torch, dtype)
    residuals = []
    for record in inverse_sqrt_trace(matrix, method, dtype=precision):
        residuals.append(record.residual)
        if not math.isfinite(record.residual):
            break  # and so it stays
    predicted = Landmarks.of(predict_vanilla(values, precision, n_iter, norm)) if algorithm == "vanilla" else None
    return Cell(algorithm, dtype, norm, shape, condition, Landmarks.of(residuals), predicted)
