"""Networks of few channels, so that tests and their files are small; all layers are there."""

from ndtools.models import densenet, resnet, vgg


def narrow(patch):
    """Give VGGs, ResNets and DenseNets a quarter of their channels or less, until the monkeypatch is undone."""
    patch.setattr(vgg, "_WIDTHS", (16, 16, 32, 32, 32))
    patch.setattr(vgg, "_HIDDEN", 32)
    patch.setattr(resnet, "_WIDTHS", (16, 24, 32, 48))
    patch.setattr(densenet, "_GROWTH", 4)
