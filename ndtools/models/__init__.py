"""The networks of Ye et al. 2020 for small images, with convolution, normalisation and linear layer passed in."""

from ndtools.models.catalogue import NAMES, build

__all__ = ["NAMES", "build"]
