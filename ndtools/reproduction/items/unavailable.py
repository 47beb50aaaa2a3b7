"""Table 2 and figure 6: what this package cannot run, and what that would take."""

from ndtools.published.registry import ENTRIES
from ndtools.reproduction.item import Item

__all__ = ["FIG_6", "TABLE_2"]

_TEXT = ("text/vgg13-reference", "text/gain-of-batch-normalisation", "text/gain-of-deconvolution")

TABLE_2 = Item(
    id="table2",
    title="three networks on ImageNet",
    where="table 2 of both versions, which differ",
    needs=("imagenet",),
    subjects=(
        "claim/imagenet",
        "claim/twice-the-gain",
        "claim/vgg11-beats-vgg13",
        "claim/summary-small-gain",
        *(name for name in ENTRIES if name.startswith("table2/")),
        *_TEXT,
    ),
    levels=lambda _: [],
    grade=lambda *_: [],
    lacks="It needs the 1.28 million training images of ImageNet (https://image-net.org, on application) and a GPU for"
    " weeks: a third party took 13 to 134 hours of an A100 for each network; ndtools train does not"
    " read images of 224 pixels. What can be done: build the networks with stem='imagenet', and train them with a"
    " script of one's own.",
)
"""Table 2."""

FIG_6 = Item(
    id="fig6",
    title="segmentation of Cityscapes",
    where="fig. 6 of the second version; the first has none",
    needs=("cityscapes",),
    subjects=("claim/segmentation",),
    levels=lambda _: [],
    grade=lambda *_: [],
    lacks="It needs Cityscapes (https://www.cityscapes-dataset.com, on application) and a GPU for 30 epochs of"
    " DeepLabV3, which ndtools does not have; the paper has curves and no number to compare with. What can be done:"
    " convert a segmentation network of one's own with ndtools.convert, and train it.",
)
"""Figure 6 of the second version."""
