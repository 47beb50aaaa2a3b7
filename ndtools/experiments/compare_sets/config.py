"""Configuration of ``ndtools compare-sets``: its settings, with their defaults and limits. Imports nothing heavy."""

from dataclasses import KW_ONLY, dataclass

from ndtools.validation import (
    Configuration,
    Ridge,
    Space,
    check_bootstrap,
    check_odd,
    check_positive,
    check_ridge,
    check_run,
    check_space,
)

__all__ = ["CompareSetsConfig", "names_moments"]


@dataclass(frozen=True, repr=False)
class CompareSetsConfig(Configuration):
    """Configuration of the comparison of two or three sets of images.

    Attributes
    ----------
    a, b : str
        Sources of the images of both sets; see :func:`ndtools.data.images.sources.resolve_source`. In place of images,
        the name of a file of moments as ``ndtools kernels`` saves them, or a glob of such files: it ends in .npz.
        Kernel size, channels and resizing of all sets are then those of the files, and the sparsity of that set is not
        known.
    c : str, optional
        Source of a third set. By default there are two.
    kernel_size : int
        Side of the kernels in pixels, odd.
    images : int, optional
        Number of images to draw at random from each source; all by default.
    eps : float, "paper" or "auto"
        Ridge added to the covariance of [0, 1] pixels, at least 0. "paper" is that of the paper, 1e-5 of the mean
        variance of a pixel; "auto" chooses the ridge that gives held-out images the highest likelihood. Both are
        those of each set by itself.
    relative_eps : bool
        Whether a number ``eps`` is in units of the mean variance of a pixel of each set.
    gray : bool
        Whether to reduce images to luma: one channel in place of three. Default False.
    space : {"srgb", "linear", "xyz", "lms", "log-lms"}
        Colour space of the pixels: as files have it ("srgb"), light ("linear"), CIE XYZ, cone signals ("lms") or their
        logarithm; see :mod:`ndtools.numerics.colour`. With ``gray``, "srgb" or "linear".
    resize : int, optional
        Short side in pixels to which images are resized. By default they are not resized.
    sparsity : bool
        Whether to measure the sparsity of the deconvolved images, which takes a second pass over them. Default True.
    bootstrap : int
        Number of replicates of a bootstrap over the images of each set, for standard errors; 0 for no errors.
    seed : int
        Seed of the random draws of images, and of the bootstrap.
    jobs : int, optional
        Number of threads; one for each processor by default.
    device : {"auto", "cpu", "cuda", "mps"}
        Device that computes the covariances; "auto" is CUDA where there is a device.
    """

    a: str
    b: str
    c: str | None = None
    _: KW_ONLY
    kernel_size: int = 15
    images: int | None = None
    eps: Ridge = 1e-3
    relative_eps: bool = False
    gray: bool = False
    space: Space = "srgb"
    resize: int | None = None
    sparsity: bool = True
    bootstrap: int = 50
    seed: int = 0
    jobs: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        check_run(self)
        check_space(self)
        check_odd(self.kernel_size)
        check_positive(self, "images", "resize")
        check_ridge(self.eps)
        check_bootstrap(self.bootstrap)

    @property
    def sources(self) -> dict[str, str]:
        """Sources by the names of the sets: A, B, and C if there are three."""
        return {name: source for name, source in (("A", self.a), ("B", self.b), ("C", self.c)) if source is not None}


def names_moments(source: str) -> bool:
    """Return whether a source is a file of moments, or a glob of such files, judged by its name."""
    return source.lower().endswith(".npz")
