"""Networks for segmentation: a dilated ResNet, and DeepLabV3 or fully convolutional heads behind it."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

from ndtools.errors import OptionError
from ndtools.layers.conv import FastDeconv2d
from ndtools.layers.iternorm import IterNorm
from ndtools.layers.processes import world_size
from ndtools.models.factories import Factories
from ndtools.models.initial import draw_convolutions
from ndtools.models.resnet import DilatedResNet

__all__ = [
    "ASPP",
    "DeepLabHead",
    "FCNHead",
    "Segmentation",
    "SegmentationOutput",
    "Unit",
    "segmentation",
]

_WIDTH = 256
"""Number of channels of the DeepLabV3 head."""
_RATES = (12, 24, 36)
"""Dilations of the 3×3 convolutions of the pyramid, pixels of the last stage."""


class SegmentationOutput(NamedTuple):
    """Logits of a network for segmentation in training.

    Attributes
    ----------
    logits : Tensor of shape (N, num_classes, H, W)
        Logits of each pixel of the images.
    auxiliary : Tensor of shape (N, num_classes, H, W)
        Logits of the auxiliary head, which sees the third stage. Their loss is added with a smaller weight.
    """

    logits: Tensor
    auxiliary: Tensor


class Unit(nn.Module):
    """A convolution, its normalisation and ReLU.

    Parameters
    ----------
    inputs, outputs : int
        Number of channels of the input and of the output.
    kernel_size : int
        Side of the kernel, pixels. The output has the size of the input.
    factories : Factories
        Makers of the network's layers.
    role : str
        Role of the convolution.
    dilation : int
        Distance of neighbouring pixels of the kernel.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel_size: int, factories: Factories, *, role: str, dilation: int = 1
    ) -> None:
        super().__init__()
        padding = dilation * (kernel_size // 2)
        self.conv = factories.conv(inputs, outputs, kernel_size, padding=padding, dilation=dilation, role=role)
        self.norm = factories.norm(outputs, role=role)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs, H, W)."""
        return relu(self.norm(self.conv(x)))


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: surroundings of a pixel at four scales, and the whole image (Chen et al. 2017).

    The branch of the whole image has one pixel for each image, so that a batch of few images has few samples there.
    Layers that deconvolve have a sample for each of the blocks that share one D: 32 for each image in ResNet-50. If
    there are fewer than three samples a feature, the shrinkage "auto" weakens the correlations, down to batch
    normalisation. Where an image is the only sample (with batch normalisation, or with blocks that share no D), it has
    no variance, and is refused.

    Parameters
    ----------
    inputs : int
        Number of input channels.
    factories : Factories
        Makers of the network's layers.
    """

    def __init__(self, inputs: int, factories: Factories) -> None:
        super().__init__()
        dilated = (Unit(inputs, _WIDTH, 3, factories, role="aspp", dilation=rate) for rate in _RATES)
        self.branches = nn.ModuleList([Unit(inputs, _WIDTH, 1, factories, role="aspp"), *dilated])
        self.pooled = Unit(inputs, _WIDTH, 1, factories, role="pooled")
        self.project = Unit((len(_RATES) + 2) * _WIDTH, _WIDTH, 1, factories, role="aspp")
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, 256, H, W); OptionError for a batch of one image that its normalisation cannot train on."""
        if len(x) == 1:
            _check_single_image(self.pooled)
        whole = self.pooled(x.mean((2, 3), keepdim=True)).expand(-1, -1, *x.shape[2:])
        out: Tensor = self.dropout(self.project(torch.cat([*(branch(x) for branch in self.branches), whole], 1)))
        return out


class DeepLabHead(nn.Module):
    """Head of DeepLabV3: the pyramid, a convolution 3×3, and the classifier of each pixel (Chen et al. 2017).

    Parameters
    ----------
    inputs : int
        Number of input channels.
    num_classes : int
        Number of outputs for each pixel.
    factories : Factories
        Makers of the network's layers.
    """

    def __init__(self, inputs: int, num_classes: int, factories: Factories) -> None:
        super().__init__()
        self.aspp = ASPP(inputs, factories)
        self.unit = Unit(_WIDTH, _WIDTH, 3, factories, role="head")
        self.classifier = factories.conv(_WIDTH, num_classes, 1, bias=True, role="classifier")

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, num_classes, H, W)."""
        logits: Tensor = self.classifier(self.unit(self.aspp(x)))
        return logits


class FCNHead(nn.Module):
    """Fully convolutional head: a convolution 3×3 to a quarter of the channels, dropout, and the classifier.

    Parameters
    ----------
    inputs : int
        Number of input channels.
    num_classes : int
        Number of outputs for each pixel.
    factories : Factories
        Makers of the network's layers.
    role : str
        Role of the convolution 3×3. That of the classifier is "classifier" in all heads.
    """

    def __init__(self, inputs: int, num_classes: int, factories: Factories, *, role: str = "head") -> None:
        super().__init__()
        self.unit = Unit(inputs, inputs // 4, 3, factories, role=role)
        self.dropout = nn.Dropout(0.1)
        self.classifier = factories.conv(inputs // 4, num_classes, 1, bias=True, role="classifier")

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, num_classes, H, W)."""
        logits: Tensor = self.classifier(self.dropout(self.unit(x)))
        return logits


class Segmentation(nn.Module):
    """A dilated ResNet, a head that classifies each pixel, and an auxiliary head that is used in training only.

    Parameters
    ----------
    backbone : DilatedResNet
        Network that the heads see.
    head : torch.nn.Module
        Head that sees the last stage.
    auxiliary : torch.nn.Module
        Head that sees the third stage. Its layers usually learn with a larger learning rate.
    """

    def __init__(self, backbone: DilatedResNet, head: nn.Module, auxiliary: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.auxiliary = auxiliary

    def forward(self, x: Tensor) -> Tensor | SegmentationOutput:
        """Classify each pixel of images.

        Parameters
        ----------
        x : Tensor of shape (N, C, H, W)
            Images of any size.

        Returns
        -------
        Tensor of shape (N, num_classes, H, W), or SegmentationOutput
            Logits of the classes, in training mode with those of the auxiliary head. Both are interpolated from an
            eighth of the size.

        Raises
        ------
        OptionError
            If a training batch has one image, which is too few for the normalisation of a DeepLabV3.
        """
        third, last = self.backbone(x)
        logits = _enlarged(self.head(last), x)
        return SegmentationOutput(logits, _enlarged(self.auxiliary(third), x)) if self.training else logits


def segmentation(
    head: Literal["deeplabv3", "fcn"], depth: int, factories: Factories, *, num_classes: int, in_channels: int
) -> Segmentation:
    """Build a DeepLabV3, or a fully convolutional network (Long et al. 2015) with the same dilated ResNet.

    Initial weights of the ResNet are those for ImageNet; its deconvolution layers keep theirs, as published.

    Parameters
    ----------
    head : {"deeplabv3", "fcn"}
        Head behind the last stage. The auxiliary one is fully convolutional in both.
    depth : {18, 34, 50, 101, 152}
        Depth of the ResNet, see :func:`ndtools.models.resnet.resnet`.
    factories : Factories
        Makers of the network's layers.
    num_classes : int
        Number of outputs for each pixel.
    in_channels : int
        Number of channels of the images.

    Returns
    -------
    Segmentation
        Network that maps (N, in_channels, H, W) to logits (N, num_classes, H, W).
    """
    backbone = DilatedResNet(depth, factories, in_channels=in_channels)
    draw_convolutions(backbone, deconvolving=False)
    third, last = backbone.channels
    auxiliary = FCNHead(third, num_classes, factories, role="auxiliary")
    of_last = DeepLabHead if head == "deeplabv3" else FCNHead
    return Segmentation(backbone, of_last(last, num_classes, factories), auxiliary)


def _enlarged(logits: Tensor, images: Tensor) -> Tensor:
    return interpolate(logits, size=images.shape[2:], mode="bilinear", align_corners=False)


def _check_single_image(pooled: nn.Module) -> None:
    """Refuse to take statistics from a batch whose single image is their only sample."""
    several = world_size() > 1
    for module in pooled.modules():
        if not module.training:
            continue
        name = ""
        if type(module) is nn.BatchNorm2d and not (several and "forward" in vars(module)):  # as `synchronised` sets it
            name = "batch normalisation"
        elif isinstance(module, IterNorm) and not (several and module.sync):
            name = "iterative normalisation"
        elif isinstance(module, FastDeconv2d) and not module.whitening.frozen:
            whitening = module.whitening
            single = any(not part.shared or part.blocks == 1 for part in whitening.parts)
            if single and not (several and whitening.config.sync):
                name = "deconvolution with one D for each block"
        if name:
            raise OptionError(
                "batch_size",
                f"must be at least 2 for a DeepLabV3 with {name}: its branch for the whole image has one sample for"
                " each image, and one sample has no variance; take larger batches, or the arm `norm=deconv`",
            )
