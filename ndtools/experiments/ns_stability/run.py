"""How stable iterations towards A^(-1/2) are (Ye et al. 2020, fig. 7; fig. 6 of the first version)."""

import itertools
from contextlib import nullcontext

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ndtools.computing.operators import resolve_device, single_threaded_operators
from ndtools.computing.progress import Progress
from ndtools.console.short_form import short_form
from ndtools.data.arrays import is_matrix_file, read_matrix
from ndtools.data.images.sources import resolve_source
from ndtools.errors import MatrixError
from ndtools.experiments.ns_stability.atlas import run_atlas
from ndtools.experiments.ns_stability.coefficients import read_coefficients
from ndtools.experiments.ns_stability.config import NsStabilityConfig
from ndtools.experiments.ns_stability.result import Curve, NsStabilityResult, absolute_ridge
from ndtools.moments.grey import warn_if_grey
from ndtools.moments.images import image_moments
from ndtools.numerics.inverse_sqrt import Eigh, checked, method_from_name, symmetric_part
from ndtools.numerics.iterations import (
    CoupledNewtonSchulz,
    GramNewtonSchulz,
    Iteration,
    VanillaNewtonSchulz,
    norms,
)
from ndtools.numerics.products import ridged
from ndtools.numerics.schedules import Coefficients, converges
from ndtools.numerics.stability import Landmarks, inverse_sqrt_trace, predict_vanilla, restart_growth, vanilla_growth
from ndtools.results.inputs import ImagesUsed, images_used
from ndtools.text import printable

__all__ = ["ns_stability", "run"]

SMALL = 128  # rows up to which threads cost more time than they save
MATRICES = 12  # of that size that are held at a time: A, its eigenvectors, iterates, and what LAPACK needs


def run(config: NsStabilityConfig, *, progress: Progress | None = None) -> NsStabilityResult:
    """Follow each algorithm towards the inverse square root of a covariance, in each precision.

    Parameters
    ----------
    config : NsStabilityConfig
        Configuration of the run.
    progress : callable, optional
        Told how many of how many images, or with ``sweep`` runs of it, are done.

    Returns
    -------
    NsStabilityResult
        On the CPU.

    Raises
    ------
    DataError
        If the file of coefficients is absent, unreadable, or does not hold rows of numbers.
    MatrixError
        If the matrix is not square, symmetric and finite, or has only one row.
    NotPositiveDefiniteError
        If, with eps, it is not positive definite.

    Warns
    -----
    NumericalWarning
        If colour images are grey, have several frames, or are named more than once.
    """
    NsStabilityConfig.check_type(config)
    device = resolve_device(config.device)
    coefficients = read_coefficients(config.coefficients)
    covariance, images = _matrix(config, device, None if config.sweep else progress)
    if len(covariance) == 1:
        source = images.label if images else printable(config.source)
        remedy = "take larger patches" if images else "give a larger one"
        raise MatrixError(f"{source} gives a 1×1 matrix, which has no correlations to remove; {remedy}")
    a = ridged(covariance, absolute_ridge(config, covariance.diagonal().mean().item()))
    _, values, vectors, _ = checked(a)
    norm = norms(a, config.norm).item()
    eigenvalues = values.cpu().numpy()
    lower = float(eigenvalues[0]) / norm
    curves, left_out = [], []
    with single_threaded_operators() if len(a) <= SMALL else nullcontext():
        for algorithm, dtype in itertools.product(config.algorithms, config.dtype):
            if algorithm == "denman-beavers" and dtype in ("float16", "bfloat16"):
                left_out.append(f"{algorithm} in {dtype}: torch inverts no matrix in that precision")
                continue
            method = _method(algorithm, config, coefficients, lower)
            curves.append(_curve(algorithm, dtype, a, method, eigenvalues))
        atlas = run_atlas(eigenvalues, vectors, config, progress) if config.sweep else None
    return NsStabilityResult(
        config=config,
        images=images,
        covariance=covariance.cpu().numpy(),
        eigenvalues=eigenvalues,
        norm=norm,
        coefficients=coefficients,
        curves=tuple(curves),
        left_out=tuple(left_out),
        atlas=atlas,
        device=str(device),
    )


ns_stability = short_form(NsStabilityConfig, run, counting="images")


def _matrix(
    config: NsStabilityConfig, device: torch.device, progress: Progress | None
) -> tuple[Tensor, ImagesUsed | None]:
    """Return the covariance, and the images that it comes from, if it was not given as a matrix."""
    if is_matrix_file(config.source):
        # Symmetric up to rounding in the precision of the file.
        matrix = torch.from_numpy(read_matrix(config.source, copies=MATRICES))
        return symmetric_part(matrix.to(device)).double(), None
    source = resolve_source(config.source)
    found = image_moments(
        source,
        kernel_size=config.kernel_size,
        device=device,
        gray=config.gray,
        jobs=config.jobs,
        progress=progress,
    )
    covariance = found.moments.finalize()
    warn_if_grey(covariance, stacklevel=3)
    return covariance.matrix, images_used(source, found.read, found.skipped, found.frames, found.noise)


def _method(algorithm: str, config: NsStabilityConfig, coefficients: Coefficients, lower: float) -> Iteration:
    if algorithm == "coupled":
        return CoupledNewtonSchulz(n_iter=config.iterations, norm=config.norm, coefficients=coefficients)
    if algorithm == "gram":
        return GramNewtonSchulz(
            n_iter=config.iterations,
            norm=config.norm,
            coefficients=coefficients,
            restart=config.restart,
            restart_form=config.restart_form,
        )
    method = method_from_name(algorithm, n_iter=config.iterations, norm=config.norm, lower=lower)
    assert not isinstance(method, Eigh)
    return method


def _curve(algorithm: str, dtype: str, a: Tensor, method: Iteration, eigenvalues: NDArray[np.float64]) -> Curve:
    precision: torch.dtype = getattr(torch, dtype)
    # The matrices of the records are not kept: there may be many thousands.
    records = inverse_sqrt_trace(a, method, dtype=precision)
    rows = [(record.residual, record.whitening_residual, record.products) for record in records]
    residual, whitening, products = np.array(rows, dtype=float).T
    residual[~np.isfinite(residual)] = np.nan
    whitening[~np.isfinite(whitening)] = np.nan
    vanilla = algorithm == "vanilla"
    # Rounding mixes no eigenvectors of a diagonal matrix: what theory expects of others does not happen to it.
    mixing = bool((a - a.diagonal().diag()).abs().max() > 0)
    predicted = predict_vanilla(eigenvalues, precision, method.n_iter, method.norm) if vanilla and mixing else None
    return Curve(
        algorithm=algorithm,
        dtype=dtype,
        residual=residual,
        whitening_residual=whitening,
        products=products.astype(int),
        measured=Landmarks.of(residual),
        predicted=None if predicted is None else Landmarks.of(predicted),
        growth=_growth(method, float(eigenvalues[-1] / eigenvalues[0])),
    )


def _growth(method: Iteration, condition: float) -> float | None:
    """Return the predicted growth of an error per iteration near the solution; None for what never comes near it."""
    if isinstance(method, VanillaNewtonSchulz):
        return vanilla_growth(condition)
    if isinstance(method, (CoupledNewtonSchulz, GramNewtonSchulz)) and not converges(method.coefficients):
        return None
    if isinstance(method, GramNewtonSchulz) and method.restart and method.restart_form == "zaz":
        return float(restart_growth(condition) ** (1 / method.restart))
    return 1.0
