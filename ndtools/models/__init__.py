"""Networks for small images, with convolution, normalisation and linear layer passed in; arms of a comparison."""

from ndtools.models.catalogue import NAMES, build
from ndtools.models.norms import NORMS, arm, prepare

__all__ = ["NAMES", "NORMS", "arm", "build", "prepare"]
