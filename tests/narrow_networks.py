"""Networks of few channels, so that tests and their files are small."""

from ndtools.models import densenet, dpn, efficientnet, mobilenet, pnasnet, resnet, resnext, segmentation, vgg
from ndtools.models.catalogue import CATALOGUE


def narrow(patch):
    """Give VGGs, ResNets (also for segmentation) and DenseNets a quarter of their channels or less, until undone.

    All layers are there.
    """
    patch.setattr(vgg, "_WIDTHS", (16, 16, 32, 32, 32))
    patch.setattr(vgg, "_HIDDEN", 32)
    patch.setattr(resnet, "_WIDTHS", (16, 24, 32, 48))
    patch.setattr(densenet, "_GROWTH", 4)
    patch.setattr(segmentation, "_WIDTH", 64)  # so that a group has two channels


def small(patch):
    """Give all networks few channels and at most two equal blocks in a stage, until the monkeypatch is undone."""
    narrow(patch)
    for depth in resnet.BLOCK_COUNTS:
        patch.setitem(resnet.BLOCK_COUNTS, depth, (1, 1, 1, 2) if depth < 50 else (1, 1, 1, 1))
    patch.setattr(densenet, "_COUNTS", (2, 1, 1, 2))
    patch.setitem(
        CATALOGUE, "resnext29_32x4d", CATALOGUE["resnext29_32x4d"]._replace(arguments={"groups": 8, "width": 2})
    )
    patch.setattr(resnext, "_BLOCKS", 2)
    patch.setattr(mobilenet, "_STAGES", tuple((e, c // 4, 1 if s == 2 else 2, s) for e, c, _, s in mobilenet._STAGES))
    patch.setattr(mobilenet, "_HEAD", 64)
    patch.setattr(dpn, "_GROUPS", 4)
    patch.setattr(dpn, "_STAGES", (dpn._Stage(2, 8, 16, 4),) * 4)
    stages = (
        stage._replace(outputs=16 + stage.outputs // 8, blocks=min(stage.blocks, 2)) for stage in efficientnet._STAGES
    )
    patch.setattr(efficientnet, "_STAGES", tuple(stages))
    patch.setattr(pnasnet, "_CELLS", 1)
    patch.setattr(pnasnet, "_NETWORKS", {name: (cell, 8) for name, (cell, _) in pnasnet._NETWORKS.items()})
