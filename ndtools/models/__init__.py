"""Networks whose convolution, normalisation and linear layer are passed in; arms of a comparison."""

from ndtools.models.catalogue import NAMES, SEGMENTATION_NAMES, build
from ndtools.models.norms import NORMS, arm, prepare

__all__ = ["NAMES", "NORMS", "SEGMENTATION_NAMES", "arm", "build", "prepare"]
