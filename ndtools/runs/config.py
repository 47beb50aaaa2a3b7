"""Settings that all training runs have, with their limits. Imports nothing heavy."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, fields
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

from ndtools.errors import OptionError
from ndtools.models.catalogue import CATALOGUE, EARLIER_NAMES
from ndtools.models.norms import NORMS
from ndtools.training.recipe import Recipe
from ndtools.validation import check_choice, check_eps, check_positive, check_run

if TYPE_CHECKING:
    from ndtools.data.labelled.streamed import StreamedSet
    from ndtools.data.labelled.views import View
    from ndtools.models.catalogue import Stem
    from ndtools.training.tasks import Task

__all__ = ["CHECKPOINT_EVERY", "LAYER_SETTINGS", "OUTPUT", "RunConfig"]

Constants = Literal["pooled", "published"]
LAYER_SETTINGS = ("block_size", "n_iter", "eps", "sampling_stride", "freeze_after", "refresh_every")
"""Settings of the configuration that belong to the deconvolution layers of the network."""


OUTPUT = "runs"
"""Folder of all runs, unless the command names another."""
CHECKPOINT_EVERY = 60.0
"""Seconds between two writings of a run's state, at most, unless it is told another number."""


@dataclass(frozen=True, repr=False)
class RunConfig(Recipe):
    """Configuration of a training run: data, network, and the recipe by which it is trained.

    The settings of the recipe are those of :class:`ndtools.training.recipe.Recipe`.

    Attributes
    ----------
    dataset : str
        Name of a data set or its folder; see :func:`ndtools.data.labelled.datasets.load_dataset`.
    arch : str
        Name of the network, of those that are made for the task.
    norm : str
        Arm of the comparison, such as "deconv" or "bn": what normalises the layers of the network.
    data_dir : str, optional
        Folder in which a name is looked for first.
    images : int, optional
        Number of training images, drawn at random; all by default.
    holdout : int
        Number of training images that are kept from training, for choosing between settings. Default 0: the
        evaluation after each epoch then uses the test images.
    constants : {"pooled", "published"}
        Constants that normalise the images: mean and standard deviation of all pixels of the training images, or those
        of the published code, where it has some for the data set.
    block_size : int, optional
        Channels that are decorrelated together. Like the following settings of deconvolution layers, it takes the
        place of the arm's own value, which is the default; a layer for which the arm has a value of its own, such as
        the first, keeps that.
    n_iter : int, optional
        Number of Newton-Schulz iterations.
    eps : float, optional
        Ridge added to covariances, above 0.
    sampling_stride : int, optional
        Stride of the patches whose covariance is taken.
    freeze_after : int, optional
        Number of batches after which mean and D no longer change.
    refresh_every : int, optional
        Number of batches for which one mean and D are used.
    jobs : int, optional
        Number of threads of torch's operators. The default is torch's own.
    device : {"auto", "cpu", "cuda", "mps"}
        Device that computes; "auto" is CUDA where there is a device.
    workers : int, optional
        Number of processes that read images ahead, where these are streamed from files; 0 reads them in the process
        that trains. The default is the number of processors, at most 8.
    strict : bool
        Whether a damaged image ends the run with an error. By default it is named in a warning and left out.
    """

    command: ClassVar[str] = "train"
    """Name of the command that makes such runs."""
    options: ClassVar[Mapping[str, str]] = {}
    """Names of the options of settings that have another name on the command line."""
    task: ClassVar[str] = "classification"
    """What the networks are trained for, "classification" or "segmentation"."""

    dataset: str = "glyphs"
    _: KW_ONLY
    arch: str = "vgg11"
    norm: str = "deconv"
    data_dir: str | None = None
    images: int | None = None
    holdout: int = 0
    constants: Constants = "pooled"
    block_size: int | None = None
    n_iter: int | None = None
    eps: float | None = None
    sampling_stride: int | None = None
    freeze_after: int | None = None
    refresh_every: int | None = None
    jobs: int | None = None
    device: str = "auto"
    workers: int | None = None
    strict: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "arch", EARLIER_NAMES.get(self.arch, self.arch))
        check_run(self)
        names = tuple(name for name, entry in CATALOGUE.items() if entry.task == self.task)
        if self.arch in CATALOGUE and self.arch not in names:
            other = "segment" if self.task == "classification" else "train"
            raise OptionError(
                "arch", f"must be one of {', '.join(names)}, got {self.arch!r}, which is a network of `ndtools {other}`"
            )
        check_choice("arch", self.arch, names)
        check_choice("norm", self.norm, tuple(NORMS))
        check_choice("constants", self.constants, get_args(Constants))
        check_positive(self, "images", "block_size", "n_iter", "sampling_stride", "freeze_after", "refresh_every")
        if self.layer_settings and not NORMS[self.norm].deconvolves:
            raise OptionError(
                next(iter(self.layer_settings)), f"is a setting of deconvolution layers, which `norm={self.norm}` lacks"
            )
        if self.workers is not None and self.workers < 0:
            raise OptionError("workers", f"must be at least 0, got {self.workers}")
        if self.holdout < 0:
            raise OptionError("holdout", f"must be at least 0, got {self.holdout}")
        if self.eps is not None:
            check_eps(self.eps)
            if self.eps == 0:
                raise OptionError("eps", "must be above 0, got 0")

    @property
    def recipe(self) -> Recipe:
        """The recipe alone, by which the network is trained."""
        return Recipe(**{field.name: getattr(self, field.name) for field in fields(Recipe)})

    @property
    def layer_settings(self) -> dict[str, int | float]:
        """Settings of deconvolution layers that take the place of those of the arm."""
        values = {name: getattr(self, name) for name in LAYER_SETTINGS}
        return {name: value for name, value in values.items() if value is not None}

    @property
    def stem(self) -> "Stem":
        """Form of the network, by the size of the images that are streamed."""
        raise NotImplementedError

    def find(self, folder: str) -> "StreamedSet":
        """Find the files of a streamed set in a folder."""
        raise NotImplementedError

    def view_of(self, found: "StreamedSet", size: tuple[int, int]) -> "View":
        """Return how streamed images are scaled and cut, given height and width of the first."""
        raise NotImplementedError

    def task_of(self, classes: int) -> "Task":
        """Return loss and measures for a number of classes."""
        raise NotImplementedError
