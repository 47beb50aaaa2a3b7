"""Configuration of ``ndtools deblur``: its settings, with their defaults and limits. Imports nothing heavy."""

import math
from dataclasses import KW_ONLY, dataclass

from ndtools.errors import OptionError
from ndtools.validation import Configuration, check_count, check_eps, check_odd, check_positive, check_run

__all__ = ["LARGEST_BLUR", "LARGEST_NOISE", "MOST_STEPS", "DeblurConfig"]


@dataclass(frozen=True, repr=False)
class DeblurConfig(Configuration):
    """Configuration of the estimation of a blur kernel (Ye et al. 2020, sec. 4.4.1).

    Attributes
    ----------
    source : str
        Source of one sharp image; see :func:`ndtools.data.images.sources.resolve_source`.
    blur : str
        "gaussian:SIGMA" (standard deviation in pixels), "motion:LENGTH,ANGLE" (in pixels, and degrees anticlockwise
        from the horizontal), or a file with the kernel: an image, .npy, or .npz with "kernel".
    noise : float
        Standard deviation of the Gaussian noise that is added to the blurred image, in units of [0, 1] pixels.
    kernel_size : int, optional
        Side in pixels of the kernel that is estimated, odd, at most :data:`LARGEST_BLUR`. By default the side of
        the true kernel, and at least 15.
    iterations : int
        Number of steps of gradient descent.
    n_iter : int
        Number of coupled Newton-Schulz iterations for D. 15 is the paper's for inputs (A.2), with which one step of
        descent is enough; with 5, the paper's for inner layers, D whitens in part and tens of steps are needed.
    eps : float
        Ridge added to the covariance of [0, 1] pixels before D is taken, at least 0. The closed form has none.
    relative_eps : bool
        Whether ``eps`` is in units of the mean diagonal entry of the covariance.
    seed : int
        Seed of the noise.
    jobs : int, optional
        Number of threads that read the image; one for each processor by default.
    device : {"auto", "cpu", "cuda", "mps"}
        Device that computes the moments; "auto" is CUDA where there is a device.
    """

    source: str = "sample-photo"
    _: KW_ONLY
    blur: str = "gaussian:2"
    noise: float = 0.01
    kernel_size: int | None = None
    iterations: int = 100
    n_iter: int = 15
    eps: float = 1e-5
    relative_eps: bool = False
    seed: int = 0
    jobs: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        check_run(self)
        if not 0 <= self.noise <= LARGEST_NOISE:
            raise OptionError(
                "noise", f"must be from 0 to {LARGEST_NOISE:g}, in units of [0, 1] pixels, got {self.noise}"
            )
        if self.kernel_size is not None:
            check_odd(self.kernel_size)
            if self.kernel_size > LARGEST_BLUR:
                raise OptionError("kernel_size", f"must be at most {LARGEST_BLUR}, got {self.kernel_size}")
        check_positive(self, "n_iter")
        check_count("iterations", self.iterations, MOST_STEPS)
        check_eps(self.eps)
        self.blur_parameters()

    def blur_parameters(self) -> tuple[str, tuple[float, ...]]:
        """Parse ``blur``.

        Returns
        -------
        kind : {"gaussian", "motion", "file"}
            Kind of the blur.
        values : tuple of float
            Numbers of the blur: (sigma,), (length, angle), or () for a file.

        Raises
        ------
        OptionError
            If the numbers are missing or out of range.
        """
        kind, _, rest = self.blur.partition(":")
        if kind not in ("gaussian", "motion"):
            return "file", ()
        try:
            values = tuple(float(value) for value in rest.split(","))
        except ValueError:
            values = ()
        wanted = {"gaussian": "gaussian:SIGMA", "motion": "motion:LENGTH,ANGLE"}[kind]
        if len(values) != wanted.count(",") + 1 or not all(map(math.isfinite, values)) or values[0] <= 0:
            size = wanted[len(kind) + 1 :].split(",")[0]
            raise OptionError("blur", f"must be {wanted} with a positive {size} in pixels, got {self.blur!r}")
        if values[0] > 2 * LARGEST_BLUR:
            raise OptionError("blur", f"is too large: kernels have {LARGEST_BLUR} pixels a side at most")
        return kind, values


LARGEST_NOISE = 1000.0
LARGEST_BLUR = 51  # side, pixels: the moments are 2601 × 2601
MOST_STEPS = 10_000  # all of which are kept
