"""Networks for small images, and for segmentation, with convolution, normalisation and linear layer passed in; arms of a comparison."""

from ndtools.models.catalogue import NAMES, SEGMENTATION_NAMES, build
from ndtools.models.norms import NORMS, arm, prepare

__all__ = ["NAMES", "NORMS", "SEGMENTATION_NAMES", "arm", "build", "prepare"]
