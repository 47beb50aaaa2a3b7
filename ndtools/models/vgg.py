"""VGG: convolutions and pooling, then one linear layer (for images of 32×32 pixels) or three (for ImageNet)."""

from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from ndtools.layers.linear import DeconvLinear
from ndtools.models.catalogue import Stem
from ndtools.models.factories import Factories, chain
from ndtools.models.initial import draw_convolutions

__all__ = ["VGG"]

_WIDTHS = (64, 128, 256, 512, 512)
_HIDDEN = 4096
"""Number of hidden units in each of the first two linear layers for ImageNet."""
_SIDE = 7
"""Side of the features that the linear layers for ImageNet see, pixels: 1/32 of that of the images."""


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
    stem : {"cifar", "imagenet"}
        Images that the network is made for; with "imagenet" it has three linear layers.
    """

    def __init__(
        self,
        counts: tuple[int, ...],
        factories: Factories,
        *,
        num_classes: int,
        in_channels: int,
        stem: Stem = "cifar",
    ) -> None:
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
        self.classifier: nn.Module
        if stem == "imagenet":
            self.classifier = nn.Sequential(
                factories.linear(channels * _SIDE**2, _HIDDEN),
                nn.ReLU(),
                nn.Dropout(),
                factories.linear(_HIDDEN, _HIDDEN),
                nn.ReLU(),
                nn.Dropout(),
                factories.linear(_HIDDEN, num_classes),
            )
            _draw(self)
        else:
            self.classifier = factories.linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of the classes, (N, num_classes), of images (N, C, H, W)."""
        features = self.features(x)
        if isinstance(self.classifier, nn.Sequential):
            features = adaptive_avg_pool2d(features, _SIDE).flatten(1)
        else:
            features = features.mean((2, 3))
        logits: Tensor = self.classifier(features)
        return logits


def _draw(network: nn.Module) -> None:
    """Draw initial weights as for ImageNet; deconvolution layers that are linear keep theirs, as published."""
    draw_convolutions(network)
    for module in network.modules():
        if isinstance(module, nn.Linear) and not isinstance(module, DeconvLinear):
            nn.init.normal_(module.weight, 0, 0.01)
        elif not isinstance(module, nn.Conv2d):
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)
