"""VGG for images of 32×32 pixels: convolutions and pooling down to one pixel, then one linear layer."""

from torch import Tensor, nn

from ndtools.errors import OptionError
from ndtools.models.factories import Factories, chain

__all__ = ["VGG", "vgg"]

_WIDTHS = (64, 128, 256, 512, 512)
_COUNTS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""For each depth, the numbers of convolutions before each pooling."""


class VGG(nn.Module):
    """Stages of convolutions 3×3, each halving the image at its end (Simonyan and Zisserman 2015).

    Parameters
    ----------
    counts : tuple of int
        Number of convolutions in each of the five stages.
    factories : Factories
        Makers of the network's layers.
    num_classes : int
        Number of outputs.
    in_channels : int
        Number of channels of the images.
    """

    def __init__(self, counts: tuple[int, ...], factories: Factories, *, num_classes: int, in_channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        for width, count in zip(_WIDTHS, counts, strict=True):
            for _ in range(count):
                role = "conv" if layers else "first"
                conv = factories.conv(channels, width, 3, padding=1, role=role)
                layers += [conv, factories.norm(width, role=role), nn.ReLU()]
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = chain(*layers)
        self.classifier = factories.linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Classify images.

        Parameters
        ----------
        x : Tensor of shape (N, C, H, W)
            Images of at least 32×32 pixels. Larger images leave more than one pixel at the end, which are averaged.

        Returns
        -------
        Tensor of shape (N, num_classes)
            Logits of the classes.
        """
        logits: Tensor = self.classifier(self.features(x).mean((2, 3)))
        return logits


def vgg(depth: int, factories: Factories, *, num_classes: int = 10, in_channels: int = 3) -> VGG:
    """Build a VGG.

    Parameters
    ----------
    depth : {11, 13, 16, 19}
        Number of layers with weights of the original VGG, which has two more linear layers.
    factories : Factories
        Makers of the network's layers.
    num_classes : int
        Number of outputs.
    in_channels : int
        Number of channels of the images.

    Returns
    -------
    VGG
        Network that maps (N, in_channels, 32, 32) to logits (N, num_classes).

    Raises
    ------
    OptionError
        If there is no VGG of this depth.
    """
    if depth not in _COUNTS:
        raise OptionError("depth", f"of a VGG must be one of {', '.join(map(str, _COUNTS))}, got {depth}")
    return VGG(_COUNTS[depth], factories, num_classes=num_classes, in_channels=in_channels)
