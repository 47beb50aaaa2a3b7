"""Configuration of ``ndtools regress``: its settings, with their defaults and limits. Imports nothing heavy."""

from dataclasses import KW_ONLY, dataclass
from typing import Literal

from ndtools.errors import OptionError
from ndtools.validation import (
    SHRINKAGES,
    Configuration,
    Shrinkage,
    check_choice,
    check_eps,
    check_positive,
    check_rate,
    check_run,
)

__all__ = ["RegressConfig"]


@dataclass(frozen=True, repr=False)
class RegressConfig(Configuration):
    """Configuration of linear regression on images (Ye et al. 2020, fig. 5 a, b).

    Attributes
    ----------
    dataset : str
        Name of a data set or its folder; see :func:`ndtools.data.labelled.datasets.load_dataset`. The paper has
        Fashion-MNIST.
    data_dir : str, optional
        Folder in which a name is looked for first.
    loss : {"l2", "logistic", "both"}
        Loss that is minimised.
    lr : float or "auto"
        Learning rate of the deconvolution arm, positive. 1 in the paper. "auto" is half its stability limit: 1 for the
        L2 loss and 4 for the logistic one, if D whitens.
    baseline_lr : tuple of str
        Learning rates of the other arms: numbers, or "auto" for 0.9 of the stability limit of each. The paper has
        0.02 to 0.1 for SGD.
    batch_size : int
        Number of images in a batch; all images if there are fewer.
    iterations : int
        Number of batches. Their order is shuffled anew in each epoch.
    epochs : int, optional
        Number of passes through the data, instead of ``iterations``.
    method : {"coupled", "eigh"}
        Method of the inverse square root: coupled Newton-Schulz, or exact.
    n_iter : int
        Number of Newton-Schulz iterations. 5 in the paper's layers.
    eps : float
        Ridge added to the covariance of [0, 1] pixels and to variances, at least 0.
    shrinkage : {"none", "lw", "oas"}
        Shrinkage of the covariance of a batch, see :mod:`ndtools.numerics.shrinkage`.
    repeats : int
        Number of runs with other batches, whose results are averaged.
    theory : bool
        Whether to predict the L2 losses of full-batch gradient descent, too.
    full_batch : bool
        Whether to descend on all images at once, in float64.
    seed : int
        Seed of the order in which batches are drawn.
    jobs : int, optional
        Number of threads of torch's operators. The default is torch's own.
    device : {"auto", "cpu", "cuda", "mps"}
        Device that computes; "auto" is CUDA where there is a device.
    """

    dataset: str = "glyphs"
    _: KW_ONLY
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
    shrinkage: Shrinkage = "none"
    repeats: int = 1
    theory: bool = False
    full_batch: bool = False
    seed: int = 0
    jobs: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        check_run(self)
        check_positive(self, "batch_size", "iterations", "epochs", "n_iter", "repeats")
        check_eps(self.eps)
        check_choice("loss", self.loss, ("l2", "logistic", "both"))
        check_choice("method", self.method, ("coupled", "eigh"))
        check_choice("shrinkage", self.shrinkage, SHRINKAGES)
        for name, rates in (("lr", (self.lr,)), ("baseline_lr", self.baseline_lr)):
            for rate in rates:
                if rate != "auto":
                    check_rate(name, rate, or_else=", or auto")
        numbers = [rate if rate == "auto" else float(rate) for rate in self.baseline_lr]
        if not numbers or len(set(numbers)) < len(numbers):
            raise OptionError("baseline_lr", "must name one or more rates, each once, such as auto,0.02")
        if self.theory and self.loss == "logistic":
            raise OptionError(
                "theory", 'predicts the L2 loss only, which is quadratic; it cannot be combined with `loss="logistic"`'
            )
        if self.full_batch and self.epochs is not None:
            raise OptionError("epochs", "cannot be combined with `full_batch=True`; use `iterations`")
        if self.full_batch and self.shrinkage != "none":
            raise OptionError(
                "shrinkage", "is for batches; it cannot be combined with `full_batch=True`, which has all images"
            )
        if self.full_batch and self.repeats > 1:
            raise OptionError(
                "repeats", "cannot be combined with `full_batch=True`: nothing is random, so all runs would be the same"
            )
