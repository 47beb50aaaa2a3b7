"""Configuration of ``ndtools ns-stability``: its settings, with their defaults and limits. Imports nothing heavy."""

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Literal

from ndtools.errors import OptionError
from ndtools.validation import (
    MOST_FOLLOWED,
    Configuration,
    check_choice,
    check_count,
    check_eps,
    check_positive,
    check_run,
)

__all__ = ["ALGORITHMS", "COEFFICIENTS", "DTYPES", "NsStabilityConfig"]


ALGORITHMS = ("coupled", "vanilla", "chebyshev", "denman-beavers", "gram")
COEFFICIENTS = ("simple", "quintic", "polar-express")
DTYPES = ("bfloat16", "float16", "float32", "float64")


@dataclass(frozen=True, repr=False)
class NsStabilityConfig(Configuration):
    """Configuration of the study of Newton-Schulz' stability (Ye et al. 2020, fig. 7; fig. 6 of the first version).

    Attributes
    ----------
    source : str
        Source of images whose patches give the covariance (see :func:`ndtools.data.images.sources.resolve_source`); or
        a .npy or .npz file with a square symmetric matrix, in a .npz file under "covariance". The paper has Lenna;
        "sample-photo" is a free photograph.
    kernel_size : int
        Side of the patches in pixels. 3 in the paper, which makes 27 features of colour images.
    gray : bool
        Whether to reduce images to luma: one channel in place of three. Default False.
    iterations : int
        Number of iterations to follow.
    eps : float
        Ridge added to the covariance (of [0, 1] pixels, or to the given matrix), at least 0.
    relative_eps : bool
        Whether ``eps`` is in units of the mean diagonal entry of the covariance.
    dtype : tuple of str
        Precisions of the iterations, each one of :data:`DTYPES`.
    norm : {"fro", "trace"}
        Norm that A is divided by at first: Frobenius (the paper's) or trace.
    algorithms : tuple of str
        Algorithms to follow, of :data:`ALGORITHMS`. Default: all.
    coefficients : str
        Coefficients of the steps of "coupled" and "gram": one of :data:`COEFFICIENTS`, or the path of a .json or .csv
        file with a row of numbers (q_0, q_1, ...) for each step; the last row repeats. Default: "simple",
        Newton-Schulz.
    restart : int, optional
        Number of iterations after which "gram" computes M afresh from Z and A. Default: never.
    restart_form : {"zazt", "zaz"}
        Formula of these restarts: Z A Zᵀ (default), or Z A Z, which is unstable.
    sweep : bool
        Whether to run all algorithms, precisions and norms on matrices of many condition numbers, too. In the
        sweep, all algorithms have their default coefficients, and no restarts.
    seed : int
        Seed of the random eigenvectors of ``sweep``.
    jobs : int, optional
        Number of threads that read images; one for each processor by default.
    device : {"auto", "cpu", "cuda", "mps"}
        Device that computes; "auto" is CUDA where there is a device.
    """

    source: str = "sample-photo"
    _: KW_ONLY
    kernel_size: int = 3
    gray: bool = False
    iterations: int = 50
    eps: float = 1e-5
    relative_eps: bool = False
    dtype: tuple[str, ...] = ("float32", "float64")
    norm: Literal["fro", "trace"] = "fro"
    algorithms: tuple[str, ...] = ALGORITHMS
    coefficients: str = COEFFICIENTS[0]
    restart: int | None = None
    restart_form: Literal["zazt", "zaz"] = "zazt"
    sweep: bool = False
    seed: int = 0
    jobs: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        check_run(self)
        check_positive(self, "kernel_size")
        check_count("iterations", self.iterations, MOST_FOLLOWED)
        check_eps(self.eps)
        check_choice("norm", self.norm, ("fro", "trace"))
        _check_each_once("dtype", self.dtype, DTYPES, "precisions")
        _check_each_once("algorithms", self.algorithms, ALGORITHMS, "algorithms")
        self._check_steps()

    def _check_steps(self) -> None:
        check_choice("restart_form", self.restart_form, ("zazt", "zaz"))
        if self.restart is not None:
            check_count("restart", self.restart, MOST_FOLLOWED)
            if "gram" not in self.algorithms:
                raise OptionError("restart", "has no meaning without the algorithm gram, which alone restarts")
        elif self.restart_form != "zazt":
            raise OptionError("restart_form", "has no meaning without a number of iterations between restarts")
        if self.coefficients not in COEFFICIENTS and Path(self.coefficients).suffix.lower() not in (".json", ".csv"):
            known = ", ".join(COEFFICIENTS)
            raise OptionError("coefficients", f"must be {known}, or a .json or .csv file, got {self.coefficients!r}")
        if self.coefficients != COEFFICIENTS[0] and not {"coupled", "gram"} & set(self.algorithms):
            raise OptionError("coefficients", "have no meaning without one of the algorithms coupled and gram")


def _check_each_once(name: str, values: tuple[str, ...], allowed: tuple[str, ...], noun: str) -> None:
    if not values or len(set(values)) < len(values):
        raise OptionError(name, f"must name one or more {noun}, each once, got {', '.join(values)!r}")
    for value in values:
        check_choice(name, value, allowed)
