"""Configuration of ``ndtools mlp``: its settings, with their defaults and limits. Imports nothing heavy."""

from dataclasses import KW_ONLY, dataclass

from ndtools.errors import OptionError
from ndtools.validation import Configuration, check_count, check_eps, check_positive, check_rate, check_run

__all__ = ["MlpConfig"]


@dataclass(frozen=True, repr=False)
class MlpConfig(Configuration):
    """Configuration of a multi-layer perceptron with sigmoids (Ye et al. 2020, fig. 5 c, d).

    Attributes
    ----------
    dataset : str
        Name of a data set or its folder; see :func:`ndtools.data.labelled.datasets.load_dataset`. The paper has MNIST.
    data_dir : str, optional
        Folder in which a name is looked for first.
    hidden : tuple of int
        Widths of the hidden layers. Three of 128 in the paper.
    epochs : int
        Number of passes through the data.
    batch_size : int
        Number of images in a batch; all images if there are fewer.
    lr : tuple of float
        Learning rates, positive. Of several rates, each arm takes the one with the least training loss in runs that
        serve this choice only.
    momentum : float
        Momentum of SGD, in [0, 1).
    n_iter : int
        Number of Newton-Schulz iterations.
    eps : float
        Ridge added to covariances, above 0.
    block_size : int, optional
        Number of features that are decorrelated together; all inputs of a layer by default, as in the paper.
    repeats : int
        Number of runs, with other initial weights and batches in each, which are the same for all arms.
    seed : int
        Seed of the initial weights and batches with which several rates are compared. The repeats have seed + 1,
        seed + 2, ..., whether rates were compared or not.
    jobs : int, optional
        Number of threads of torch's operators. The default is torch's own.
    device : {"auto", "cpu", "cuda", "mps"}
        Device that computes; "auto" is CUDA where there is a device.
    """

    dataset: str = "glyphs"
    _: KW_ONLY
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
        check_run(self)
        check_positive(self, "epochs", "n_iter", "block_size", "repeats")
        check_count("batch_size", self.batch_size)
        if self.batch_size < 2:
            raise OptionError(
                "batch_size", f"must be at least 2, since one image has no variance, got {self.batch_size}"
            )
        if not self.hidden or min(self.hidden) < 1:
            raise OptionError("hidden", "must be one or more widths of at least 1, such as 128,128,128")
        check_count("hidden", max(self.hidden))
        if not self.lr or len(set(self.lr)) < len(self.lr):
            raise OptionError("lr", "must be one or more rates, each once, such as 0.1,0.5")
        for rate in self.lr:
            check_rate("lr", rate)
        if not 0 <= self.momentum < 1:
            raise OptionError("momentum", f"must be at least 0 and less than 1, got {self.momentum}")
        check_eps(self.eps)
        if self.eps == 0:
            raise OptionError("eps", "must be above 0, got 0")
