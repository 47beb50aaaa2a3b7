"""Configuration of ``ndtools segment``: classification of pixels. Imports nothing heavy."""

import os
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, ClassVar

from ndtools.errors import DataError, OptionError
from ndtools.models.catalogue import Stem
from ndtools.runs.config import RunConfig
from ndtools.text import printable
from ndtools.training.recipe import Schedule
from ndtools.validation import check_positive

if TYPE_CHECKING:
    from ndtools.data.labelled.streamed import StreamedSet
    from ndtools.data.labelled.views import Scenes
    from ndtools.training.segmentation import Segmentation

__all__ = ["SegmentConfig"]

_CITYSCAPES_BASE, _MOST_CROP = 520, 480  # pixels, of the published recipe


@dataclass(frozen=True, repr=False)
class SegmentConfig(RunConfig):
    """Configuration of a training run that labels the pixels of scenes.

    Defaults are those of the recipe of torchvision for DeepLabV3, which the published code follows. Further settings
    are those of :class:`ndtools.runs.config.RunConfig` and of :class:`ndtools.training.recipe.Recipe`.

    Attributes
    ----------
    image_dir, label_dir : str, optional
        Folders of images and of their label maps, below the folder of the data set or absolute. Default: those of the
        layout of Cityscapes or of CamVid.
    classes : int, optional
        Number of classes in the label maps of ``label_dir``. By default it is one more than the largest label.
    ignore : int
        Label of the pixels in ``label_dir`` that belong to no class, 0 to 255.
    base : int, optional
        Length to which the short side of images is scaled, pixels; in training, before it is scaled by 0.5 to 2 at
        random. Label maps of the evaluation keep their size. By default it is 520 for Cityscapes, as in the published
        code, and that of the images otherwise.
    crop : int, optional
        Side of the square that is cut out for training, pixels. By default it is 480 for Cityscapes, and that of the
        largest square in the first image otherwise, at most 480.
    auxiliary : float
        Weight of the loss of the auxiliary classifier, at least 0.
    auxiliary_lr : float
        Factor of the learning rate in the auxiliary classifier, above 0.
    """

    dataset: str = "scenes"
    _: KW_ONLY
    arch: str = "deeplabv3_resnet50"
    epochs: int = 30
    batch_size: int = 8
    lr: float = 0.01
    weight_decay: float = 1e-4
    sched: Schedule = "poly"
    image_dir: str | None = None
    label_dir: str | None = None
    classes: int | None = None
    ignore: int = 255
    base: int | None = None
    crop: int | None = None
    auxiliary: float = 0.5
    auxiliary_lr: float = 10.0

    command: ClassVar[str] = "segment"
    options: ClassVar[Mapping[str, str]] = {
        "images": "train-images",
        "image_dir": "images",
        "label_dir": "labels",
    }
    task: ClassVar[str] = "segmentation"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self, "classes", "base", "crop")
        if self.loss != "ce":
            raise OptionError("loss", f"must be ce for label maps, got {self.loss!r}")
        for name, folder in (("image_dir", self.image_dir), ("label_dir", self.label_dir)):
            if folder is None and (self.image_dir, self.label_dir) != (None, None):
                number = (self.image_dir or "").isdigit()
                meant = "; the number of training images is `images`" if number else ""
                raise OptionError(name, f"must be given, too: images and label maps are in two folders{meant}")
        if self.image_dir is not None and self.dataset == SegmentConfig.dataset:
            raise OptionError(
                "image_dir",
                "and `label_dir` are folders of a data set of your own: name the folder that holds both as DATASET, as"
                f" in ndtools segment FOLDER, since {self.dataset} is built in",
            )
        if self.label_dir is None and (self.classes is not None or self.ignore != SegmentConfig.ignore):
            name = "ignore" if self.classes is None else "classes"
            raise OptionError(name, "is for the label maps of `label_dir`; other layouts have classes of their own")
        if not 0 <= self.ignore <= 255:
            raise OptionError("ignore", f"must be at least 0 and at most 255, got {self.ignore}")
        if not self.auxiliary >= 0:
            raise OptionError("auxiliary", f"must be at least 0, got {self.auxiliary}")
        if not self.auxiliary_lr > 0:
            raise OptionError("auxiliary_lr", f"must be above 0, got {self.auxiliary_lr}")

    @property
    def stem(self) -> Stem:
        """Form of the network: that for ImageNet."""
        return "imagenet"

    def find(self, folder: str) -> "StreamedSet":
        """Find images and label maps in a folder."""
        from ndtools.data.labelled.label_maps import is_camvid, is_cityscapes
        from ndtools.data.labelled.streamed import load_streamed

        try:
            return load_streamed(
                folder, images=self.image_dir, labels=self.label_dir, classes=self.classes, ignore=self.ignore
            )
        except DataError:
            known = is_camvid(folder) or is_cityscapes(folder)
            if self.label_dir is not None or known or not os.path.isdir(folder):
                raise
            raise DataError(
                f"no images with label maps in {printable(folder)}: it has the layout neither of CamVid nor of"
                " Cityscapes; for another, name the two folders with `image_dir` and `label_dir`"
            ) from None

    def view_of(self, found: "StreamedSet", size: tuple[int, int]) -> "Scenes":
        """Return how scenes are scaled and cut, given height and width of the first."""
        from ndtools.data.labelled.views import Scenes

        base = self.base or (_CITYSCAPES_BASE if found.name == "cityscapes" else None)
        return Scenes(base=base, crop=self.crop or min(base or min(size), _MOST_CROP))

    def task_of(self, classes: int) -> "Segmentation":
        """Return loss and measures of the classification of pixels."""
        from ndtools.training.segmentation import Segmentation

        return Segmentation(classes, self.auxiliary, self.auxiliary_lr)
