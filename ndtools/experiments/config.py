"""What each experiment can be told: frozen configurations, checked, with the paper's values as defaults.

This module imports nothing heavy, so a command can refuse its options at once. The name of a field is that
of the command line's option.
"""

import math
from dataclasses import dataclass
from typing import Literal

from ndtools.errors import OptionError
from ndtools.experiments.timing_table import TABLE_3

__all__ = [
    "ALGORITHMS",
    "DTYPES",
    "CovarianceConfig",
    "DeblurConfig",
    "DeconvolveConfig",
    "KernelsConfig",
    "MlpConfig",
    "NsStabilityConfig",
    "RegressConfig",
    "SparsityConfig",
    "TimingConfig",
]


@dataclass(frozen=True, kw_only=True)
class KernelsConfig:
    """Configuration of the deconvolution kernels of an image set (Ye et al. 2020, fig. 2).

    Attributes
    ----------
    source : str
        Images: see :func:`ndtools.data.sources.resolve_source`. "sample" is the built-in set.
    kernel_size : int
        Side of the kernels in pixels, odd. 15 in fig. 2.
    images : int, optional
        Number of images to draw at random from the source; all by default. Fig. 2 says 128, its text 1,024.
    eps : float
        Ridge added to the covariance of [0, 1] pixels, at least 0. The paper does not give it for fig. 2.
    relative_eps : bool
        Whether ``eps`` is in units of the mean variance of a pixel.
    method : {"eigh", "coupled", "vanilla"}
        Inverse square root: exact, or by Newton-Schulz.
    iterations : int
        Of Newton-Schulz. 15 in the paper's first layer (A.2).
    covariance : {"exact", "im2col"}
        All patch positions at the cost of a Fourier transform, or the patch matrix.
    stride : int
        Step between patch positions in pixels ("im2col" only).
    gray : bool
        Whether to reduce images to luma.
    resize : int, optional
        Short side in pixels to which images are resized; as they are by default.
    fit : bool
        Whether to measure each channel's kernel as a cell: difference of Gaussians, profile, frequency response.
    bootstrap : int
        Replicates of a bootstrap over images, for the standard error of each weight; 0 for none.
    from_moments : tuple of str
        Files of ``--save-moments`` to add up in place of images; kernel size and channels are then theirs.
    seed : int
        Of the draw of ``images``.
    jobs : int, optional
        Threads; one for each processor by default.
    device : {"auto", "cpu", "cuda", "mps"}
        Where to compute.
    """

    source: str = "sample"
    kernel_size: int = 15
    images: int | None = None
    eps: float = 1e-3
    relative_eps: bool = False
    method: str = "eigh"
    iterations: int = 15
    covariance: str = "exact"
    stride: int = 1
    gray: bool = False
    resize: int | None = None
    fit: bool = False
    bootstrap: int = 0
    from_moments: tuple[str, ...] = ()
    seed: int = 0
    jobs: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        _check_odd(self.kernel_size)
        _check_positive(self, "images", "stride", "resize", "jobs")
        check_count("iterations", self.iterations, MOST_NEWTON_SCHULZ)
        _check_eps(self.eps)
        _check_bootstrap(self.bootstrap)
        _check_choice("method", self.method, METHODS)
        _check_choice("covariance", self.covariance, ("exact", "im2col"))
        _check_choice("device", self.device, DEVICES)
        if self.stride != 1 and self.covariance == "exact":
            raise OptionError("stride", "needs --covariance im2col: the exact covariance takes every position")


ALGORITHMS = ("coupled", "vanilla", "chebyshev", "denman-beavers")
DTYPES = ("bfloat16", "float16", "float32", "float64")


@dataclass(frozen=True, kw_only=True)
class NsStabilityConfig:
    """Configuration of the study of Newton-Schulz' stability (Ye et al. 2020, fig. 6; fig. 7 of the first version).

    Attributes
    ----------
    source : str
        Images (see :func:`ndtools.data.sources.resolve_source`), of whose patches the covariance is taken; or a
        .npy or .npz file with a square symmetric matrix, in the latter under "covariance". The paper has Lenna;
        "sample-photo" is a free photograph.
    kernel_size : int
        Side of the patches in pixels. 3 in the paper, which makes 27 features of colour images.
    iterations : int
        How many to follow.
    eps : float
        Ridge added to the covariance (of [0, 1] pixels, or to the given matrix), at least 0.
    dtype : tuple of str
        Of :data:`DTYPES`: in which to iterate.
    norm : {"fro", "trace"}
        What A is divided by at first: Frobenius norm (the paper's) or trace.
    sweep : bool
        Whether to run all algorithms, precisions and norms over condition numbers, too.
    seed : int
        Of the random eigenvectors of ``sweep``.
    jobs : int, optional
        Threads that read images; one for each processor by default.
    device : {"auto", "cpu", "cuda", "mps"}
        Where to compute.
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
        _check_positive(self, "kernel_size", "jobs")
        check_count("iterations", self.iterations, MOST_FOLLOWED)
        _check_eps(self.eps)
        _check_choice("norm", self.norm, ("fro", "trace"))
        _check_choice("device", self.device, DEVICES)
        if not self.dtype or len(set(self.dtype)) < len(self.dtype):
            raise OptionError("dtype", f"must name one or more precisions, each once, got {', '.join(self.dtype)!r}")
        for name in self.dtype:
            _check_choice("dtype", name, DTYPES)


@dataclass(frozen=True, kw_only=True)
class SparsityConfig:
    """Configuration of the sparsity of images before and after deconvolution (Ye et al. 2020, fig. 9; later fig. 10).

    Attributes
    ----------
    source : str
        Images: see :func:`ndtools.data.sources.resolve_source`.
    kernel_size : int
        Side of the patches in pixels, odd.
    images : int
        Number of images to draw at random from the source, which may have fewer. The paper has 1,000.
    eps : float
        Ridge added to the covariance of [0, 1] pixels, at least 0.
    relative_eps : bool
        Whether ``eps`` is in units of the mean variance of a pixel.
    bins : int
        Of the histograms, from -10 to 10 standard deviations; at least 10.
    whitening : {"patch", "channel", "none"}
        D of the patches (deconvolution), of the channels of single pixels, or the identity.
    bootstrap : int
        Groups of images for the intervals, at least 2, each of which is left out once; 0 for no intervals.
    seed : int
        Draws the images, and deals them to groups.
    jobs : int, optional
        Threads; one for each processor by default.
    device : {"auto", "cpu", "cuda", "mps"}
        Where to compute the covariance.
    """

    source: str = "sample"
    kernel_size: int = 3
    images: int = 1000
    eps: float = 1e-3
    relative_eps: bool = False
    bins: int = 201
    whitening: Literal["patch", "channel", "none"] = "patch"
    bootstrap: int = 200
    seed: int = 0
    jobs: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        _check_odd(self.kernel_size)
        _check_positive(self, "images", "jobs")
        if self.bins < 10:
            raise OptionError("bins", f"must be at least 10, two standard deviations wide, got {self.bins}")
        check_count("bins", self.bins)
        _check_eps(self.eps)
        _check_choice("whitening", self.whitening, ("patch", "channel", "none"))
        _check_choice("device", self.device, DEVICES)
        _check_bootstrap(self.bootstrap)


@dataclass(frozen=True, kw_only=True)
class CovarianceConfig:
    """Configuration of the covariance of patches before and after deconvolution (Ye et al. 2020, fig. 3).

    Attributes
    ----------
    source : str
        Images: see :func:`ndtools.data.sources.resolve_source`.
    kernel_size : int
        Side of the patches in pixels.
    images : int, optional
        Number of images to draw at random from the source; all by default.
    eps : float
        Ridge added to the covariance of [0, 1] pixels, at least 0.
    relative_eps : bool
        Whether ``eps`` is in units of the mean variance of a pixel.
    method : {"eigh", "coupled", "vanilla"}
        Inverse square root: exact, or by Newton-Schulz.
    iterations : int
        Of Newton-Schulz.
    seed : int
        Of the draw of ``images``.
    jobs : int, optional
        Threads; one for each processor by default.
    device : {"auto", "cpu", "cuda", "mps"}
        Where to compute.
    """

    source: str = "sample"
    kernel_size: int = 3
    images: int | None = None
    eps: float = 1e-3
    relative_eps: bool = False
    method: str = "eigh"
    iterations: int = 15
    seed: int = 0
    jobs: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        _check_positive(self, "kernel_size", "images", "jobs")
        check_count("iterations", self.iterations, MOST_NEWTON_SCHULZ)
        _check_eps(self.eps)
        _check_choice("method", self.method, METHODS)
        _check_choice("device", self.device, DEVICES)


@dataclass(frozen=True, kw_only=True)
class DeconvolveConfig:
    """Configuration of the deconvolution of one image (Ye et al. 2020, fig. 4).

    Attributes
    ----------
    source : str
        One image: see :func:`ndtools.data.sources.resolve_source`.
    from_file : str, optional
        A .npz file of ``ndtools kernels``, whose kernels and mean are applied. By default they come from the image
        itself, and the five settings below say how.
    kernel_size : int
        Side of the patches in pixels, odd.
    eps : float
        Ridge added to the covariance of [0, 1] pixels, at least 0.
    relative_eps : bool
        Whether ``eps`` is in units of the mean variance of a pixel.
    method : {"eigh", "coupled", "vanilla"}
        Inverse square root: exact, or by Newton-Schulz.
    iterations : int
        Of Newton-Schulz.
    border : {"valid", "reflect"}
        Only where a whole patch lies in the image, which loses k // 2 pixels on every side; or everywhere, the image
        continued by its mirror image.
    seed : int
        Nothing here is random; recorded with the result.
    jobs : int, optional
        Threads; one for each processor by default.
    device : {"auto", "cpu", "cuda", "mps"}
        Where to compute the covariance.
    """

    source: str = "sample-photo"
    from_file: str | None = None
    kernel_size: int = 3
    eps: float = 1e-3
    relative_eps: bool = False
    method: str = "eigh"
    iterations: int = 15
    border: Literal["valid", "reflect"] = "valid"
    seed: int = 0
    jobs: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        _check_odd(self.kernel_size)
        _check_positive(self, "jobs")
        check_count("iterations", self.iterations, MOST_NEWTON_SCHULZ)
        _check_eps(self.eps)
        _check_choice("method", self.method, METHODS)
        _check_choice("border", self.border, ("valid", "reflect"))
        _check_choice("device", self.device, DEVICES)


@dataclass(frozen=True, kw_only=True)
class RegressConfig:
    """Configuration of linear regression on images (Ye et al. 2020, fig. 5 a, b).

    Attributes
    ----------
    dataset : str
        Name or folder: see :func:`ndtools.data.datasets.load_dataset`. The paper has Fashion-MNIST.
    data_dir : str, optional
        Folder in which a name is looked for first.
    loss : {"l2", "logistic", "both"}
        What is minimised.
    lr : float or "auto"
        Learning rate of the deconvolution arm, positive. 1 in the paper. "auto" is half its stability limit: 1 for the
        L2 loss and 4 for the logistic one, if D whitens.
    baseline_lr : tuple of str
        Learning rates of the other arms: numbers, or "auto" for 0.9 of the stability limit of each. The paper has
        0.02 to 0.1 for SGD.
    batch_size : int
        Images in a batch; all if there are fewer.
    iterations : int
        Batches, in an order shuffled anew in each epoch.
    epochs : int, optional
        Instead of ``iterations``.
    method : {"coupled", "eigh"}
        Inverse square root of the covariance: by Newton-Schulz, or exact.
    n_iter : int
        Iterations of Newton-Schulz. 5 in the paper's layers.
    eps : float
        Ridge added to the covariance of [0, 1] pixels and to variances, at least 0.
    shrinkage : {"none", "lw", "oas"}
        Of the covariance of a batch, see :mod:`ndtools.numerics.shrinkage`.
    repeats : int
        Runs with other batches, whose results are averaged.
    theory : bool
        Whether to predict the L2 losses of full-batch gradient descent, too.
    full_batch : bool
        Whether to descend on all images at once, in float64.
    seed : int
        Of the batches.
    jobs : int, optional
        Threads of torch's operators; as torch has it by default.
    device : {"auto", "cpu", "cuda", "mps"}
        Where to compute.
    """

    dataset: str = "glyphs"
    data_dir: str | None = None
    loss: Literal["l2", "logistic", "both"] = "both"
    lr: float | str = 1.0
    baseline_lr: tuple[str, ...] = ("auto", "0.02", "0.1")
    batch_size: int = 2048
    iterations: int = 100
    epochs: int | None = None
    method: Literal["coupled", "eigh"] = "coupled"
    n_iter: int = 5
    eps: float = 1e-5
    shrinkage: Literal["none", "lw", "oas"] = "none"
    repeats: int = 1
    theory: bool = False
    full_batch: bool = False
    seed: int = 0
    jobs: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        _check_positive(self, "batch_size", "iterations", "epochs", "n_iter", "repeats", "jobs")
        _check_eps(self.eps)
        _check_choice("loss", self.loss, ("l2", "logistic", "both"))
        _check_choice("method", self.method, ("coupled", "eigh"))
        _check_choice("shrinkage", self.shrinkage, SHRINKAGES)
        _check_choice("device", self.device, DEVICES)
        for name, rates in (("lr", (self.lr,)), ("baseline_lr", self.baseline_lr)):
            for rate in rates:
                if rate != "auto":
                    _check_rate(name, rate, or_else=", or auto")
        numbers = [rate if rate == "auto" else float(rate) for rate in self.baseline_lr]
        if not numbers or len(set(numbers)) < len(numbers):
            raise OptionError("baseline_lr", "must name one or more rates, each once, such as auto,0.02")
        if self.theory and self.loss == "logistic":
            raise OptionError("theory", "is of the L2 loss, which is quadratic; not with --loss logistic")
        if self.full_batch and self.epochs is not None:
            raise OptionError("epochs", "of one batch each are --iterations with --full-batch")
        if self.full_batch and self.shrinkage != "none":
            raise OptionError("shrinkage", "is for batches; --full-batch has the covariance of all images")
        if self.full_batch and self.repeats > 1:
            raise OptionError("repeats", "would all be the same with --full-batch: nothing is random")


@dataclass(frozen=True, kw_only=True)
class DeblurConfig:
    """Configuration of the estimation of a blur kernel (Ye et al. 2020, sec. 4.4.1).

    Attributes
    ----------
    source : str
        One sharp image: see :func:`ndtools.data.sources.resolve_source`.
    blur : str
        "gaussian:SIGMA" (standard deviation in pixels), "motion:LENGTH,ANGLE" (in pixels, and degrees anticlockwise
        from the horizontal), or a file with the kernel: an image, .npy, or .npz with "kernel".
    noise : float
        Standard deviation of the Gaussian noise that is added to the blurred image, in units of [0, 1] pixels.
    kernel_size : int, optional
        Side in pixels of the kernel that is estimated, odd, at most :data:`LARGEST_BLUR`. By default what holds the
        true kernel, and 15 at least.
    iterations : int
        Of gradient descent.
    n_iter : int
        Of coupled Newton-Schulz, for D. 15 is the paper's for inputs (A.2) and makes one step do; with 5, the
        paper's for inner layers, D whitens less and tens of steps are needed.
    eps : float
        Ridge added to the covariance of [0, 1] pixels before D is taken, at least 0. The closed form has none.
    seed : int
        Of the noise.
    jobs : int, optional
        Threads that read the image; one for each processor by default.
    device : {"auto", "cpu", "cuda", "mps"}
        Where to compute the moments.
    """

    source: str = "sample-photo"
    blur: str = "gaussian:2"
    noise: float = 0.01
    kernel_size: int | None = None
    iterations: int = 100
    n_iter: int = 15
    eps: float = 1e-5
    seed: int = 0
    jobs: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        if not 0 <= self.noise <= LARGEST_NOISE:
            raise OptionError(
                "noise", f"must be from 0 to {LARGEST_NOISE:g}, in units of [0, 1] pixels, got {self.noise}"
            )
        if self.kernel_size is not None:
            _check_odd(self.kernel_size)
            if self.kernel_size > LARGEST_BLUR:
                raise OptionError("kernel_size", f"must be at most {LARGEST_BLUR}, got {self.kernel_size}")
        _check_positive(self, "n_iter", "jobs")
        check_count("iterations", self.iterations, MOST_STEPS)
        _check_eps(self.eps)
        _check_choice("device", self.device, DEVICES)
        self.blur_parameters()

    def blur_parameters(self) -> tuple[str, tuple[float, ...]]:
        """Take ``blur`` apart.

        Returns
        -------
        kind : {"gaussian", "motion", "file"}
            Which.
        values : tuple of float
            (sigma,), (length, angle), or ().

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


@dataclass(frozen=True, kw_only=True)
class MlpConfig:
    """Configuration of a multi-layer perceptron with sigmoids (Ye et al. 2020, fig. 5 c, d).

    Attributes
    ----------
    dataset : str
        Name or folder: see :func:`ndtools.data.datasets.load_dataset`. The paper has MNIST.
    data_dir : str, optional
        Folder in which a name is looked for first.
    hidden : tuple of int
        Widths of the hidden layers. Three of 128 in the paper.
    epochs : int
        Passes through the data.
    batch_size : int
        Images in a batch; all if there are fewer.
    lr : tuple of float
        Learning rates, positive. Of several, each arm keeps to the one that gave it the least training loss in runs
        for this choice alone.
    momentum : float
        Of SGD, in [0, 1).
    n_iter : int
        Iterations of Newton-Schulz.
    eps : float
        Ridge added to covariances, above 0.
    block_size : int, optional
        Features that are decorrelated together; all inputs of a layer by default, as in the paper.
    repeats : int
        Number of runs, with other initial weights and batches in each, which are the same for all arms.
    seed : int
        Seed of the initial weights and batches with which several rates are compared. The repeats have seed + 1,
        seed + 2, ..., whether rates were compared or not.
    jobs : int, optional
        Threads of torch's operators; as torch has it by default.
    device : {"auto", "cpu", "cuda", "mps"}
        Where to compute.
    """

    dataset: str = "glyphs"
    data_dir: str | None = None
    hidden: tuple[int, ...] = (128, 128, 128)
    epochs: int = 5
    batch_size: int = 512
    lr: tuple[float, ...] = (0.5,)
    momentum: float = 0.9
    n_iter: int = 5
    eps: float = 1e-5
    block_size: int | None = None
    repeats: int = 3
    seed: int = 0
    jobs: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        _check_positive(self, "epochs", "n_iter", "block_size", "repeats", "jobs")
        check_count("batch_size", self.batch_size)
        if self.batch_size < 2:
            raise OptionError(
                "batch_size", f"must be at least 2, since one image has no variance, got {self.batch_size}"
            )
        _check_choice("device", self.device, DEVICES)
        if not self.hidden or min(self.hidden) < 1:
            raise OptionError("hidden", "must be one or more widths of at least 1, such as 128,128,128")
        check_count("hidden", max(self.hidden))
        if not self.lr or len(set(self.lr)) < len(self.lr):
            raise OptionError("lr", "must be one or more rates, each once, such as 0.1,0.5")
        for rate in self.lr:
            _check_rate("lr", rate)
        if not 0 <= self.momentum < 1:
            raise OptionError("momentum", f"must be at least 0 and less than 1, got {self.momentum}")
        _check_eps(self.eps)
        if self.eps == 0:
            raise OptionError("eps", "must be above 0, got 0")


@dataclass(frozen=True, kw_only=True)
class TimingConfig:
    """Configuration of the times of a layer's stages (Ye et al. 2020, table 3).

    Attributes
    ----------
    rows : tuple of int
        Of the table, from 1; all by default.
    batch_size : int
        Images in a batch. 128 in the paper, which takes some GB and minutes.
    repeats : int
        Of which the median is taken, after one that does not count.
    backward : bool
        Whether each stage is run backwards, too.
    seed : int
        Of images and weights.
    jobs : int, optional
        Threads of torch's operators; as torch has it by default.
    device : {"auto", "cpu", "cuda", "mps"}
        Where to compute.
    """

    rows: tuple[int, ...] = tuple(range(1, len(TABLE_3) + 1))
    batch_size: int = 4
    repeats: int = 3
    backward: bool = False
    seed: int = 0
    jobs: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        _check_positive(self, "batch_size", "repeats", "jobs")
        _check_choice("device", self.device, DEVICES)
        if not self.rows:
            raise OptionError("rows", f"must be one row or more, from 1 to {len(TABLE_3)}")
        for row in self.rows:
            if not 1 <= row <= len(TABLE_3):
                raise OptionError("rows", f"must be from 1 to {len(TABLE_3)}, the rows of table 3, got {row}")
        if len(set(self.rows)) < len(self.rows):
            raise OptionError("rows", "must name each row once")


METHODS = ("eigh", "coupled", "vanilla")

LARGEST_EPS = 1e12  # far above any covariance, and its square is still a float32
LARGEST_RATE = 1e6  # learning rates are stable below 8: the bias alone gives the Hessian an eigenvalue of 1/4 at least
_MOST = {  # larger counts are mistyped: they would overflow, or run for years
    "jobs": 1024,
    "n_iter": 1000,
    "stride": 100_000,
    "resize": 100_000,
    "block_size": 100_000,
    "bootstrap": 100_000,
    "bins": 100_000,
    "hidden": 100_000,
}
_MOST_OF_ANYTHING = 1_000_000_000
MOST_NEWTON_SCHULZ = 1000
MOST_FOLLOWED = 100_000
SHRINKAGES = ("none", "lw", "oas")
DEVICES = ("auto", "cpu", "cuda", "mps")


def check_count(name: str, value: int, most: int | None = None) -> None:
    """Make sure that a number of things is one that this program can count to.

    Parameters
    ----------
    name : str
        Name of the option.
    value : int
        Its value.
    most : int, optional
        The largest that makes sense; by default that of all options of this name.

    Raises
    ------
    OptionError
        If the value is less than 1 or larger than that.
    """
    most = most or _MOST.get(name, _MOST_OF_ANYTHING)
    if value < 1:
        raise OptionError(name, f"must be at least 1, got {value}")
    if value > most:
        raise OptionError(name, f"must be at most {most}, got {value}")


def _check_odd(kernel_size: int) -> None:
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise OptionError(
            "kernel_size", f"must be odd and positive, so that there is a centre pixel, got {kernel_size}"
        )


def _check_positive(config: object, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if value is not None:
            check_count(name, value)


def _check_eps(eps: float) -> None:
    if not (eps >= 0 and math.isfinite(eps)):
        raise OptionError("eps", f"must be at least 0 and finite, got {eps}")
    if eps > LARGEST_EPS:
        raise OptionError("eps", f"must be at most {LARGEST_EPS:g}, got {eps}")


def _check_bootstrap(replicates: int) -> None:
    if replicates < 0 or replicates == 1:
        raise OptionError("bootstrap", f"must be 0 or at least 2, got {replicates}")
    if replicates:
        check_count("bootstrap", replicates)


def _check_rate(name: str, value: float | str, or_else: str = "") -> None:
    try:
        rate = float(value)
    except ValueError:
        rate = math.nan
    if not (rate > 0 and math.isfinite(rate)):
        raise OptionError(name, f"must be a positive number{or_else}, got {value!r}")
    if rate > LARGEST_RATE:
        raise OptionError(name, f"must be at most {LARGEST_RATE:g}, got {value!r}")


def _check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise OptionError(name, f"must be one of {', '.join(allowed)}, got {value!r}")
