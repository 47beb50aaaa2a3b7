"""What ``ndtools ns-stability`` can be told, with the paper's values as defaults. Imports nothing heavy."""

from dataclasses import dataclass
from typing import Literal

from ndtools.errors import OptionError
from ndtools.validation import DEVICES, MOST_FOLLOWED, check_choice, check_count, check_eps, check_positive

__all__ = ["ALGORITHMS", "DTYPES", "NsStabilityConfig"]


ALGORITHMS = ("coupled", "vanilla", "chebyshev", "denman-beavers")
COEFFICIENTS = ("simple", "quintic", "polar-express")
DTYPES = ("bfloat16", "float16", "float32", "float64")


@dataclass(frozen=True, kw_only=True)
class NsStabilityConfig:
    """Configuration of the study of Newton-Schulz' stability (Ye et al. 2020, fig. 6; fig. 7 of the first version).

    Attributes
    ----------
    source : str
        Images (see :func:`ndtools.data.images.sources.resolve_source`), of whose patches the covariance is taken; or a
        .npy or .npz file with a square symmetric matrix, in the latter under "covariance". The paper has Lenna;
        "sample-photo" is a free photograph.
    kernel_size : int
        Side of the patches in pixels. 3 in the paper, which makes 27 features of colour images.
    iterations : int
        Number of iterations to follow.
    eps : float
        Ridge added to the covariance (of [0, 1] pixels, or to the given matrix), at least 0.
    dtype : tuple of str
        Precisions of the iterations, of :data:`DTYPES`.
    norm : {"fro", "trace"}
        Norm that A is divided by at first: Frobenius (the paper's) or trace.
    sweep : bool
        Whether to run all algorithms, precisions and norms over condition numbers, too.
    seed : int
        Seed of the random eigenvectors of ``sweep``.
    jobs : int, optional
        Threads that read images; one for each processor by default.
    device : {"auto", "cpu", "cuda", "mps"}
        Device that computes; "auto" is CUDA where there is a device.
    """

    source: str = "sample-photo"
    kernel_size: int = 3
    iterations: int = 50
    eps: float = 1e-5
    dtype: tuple[str, ...] = ("float32", "float64")
    norm: Literal["fro", "trace"] = "fro"
    sweep: bool = False
    seed: int = 0
    jobs: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        check_positive(self, "kernel_size", "jobs")
        check_count("iterations", self.iterations, MOST_FOLLOWED)
        check_eps(self.eps)
        check_choice("norm", self.norm, ("fro", "trace"))
        check_choice("device", self.device, DEVICES)
        if not self.dtype or len(set(self.dtype)) < len(self.dtype):
            raise OptionError("dtype", f"must name one or more precisions, each once, got {', '.join(self.dtype)!r}")
        for name in self.dtype:
            check_choice("dtype", name, DTYPES)
