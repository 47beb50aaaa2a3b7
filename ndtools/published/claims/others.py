"""Claims of the other documents: the report of the University of Southampton, and the summary."""

from ndtools.published.claim import Claim

__all__ = ["OTHERS"]

_REPORT = ("report-2021",)

OTHERS: tuple[Claim, ...] = (
    Claim(
        id="claim/report-simple-networks",
        documents=_REPORT,
        where="caption of table 1",
        quote="The deconvolution has a bit higher accuracy than batch normalization no matter the beginning or the"
        " end.",
        statement="A simple network on CIFAR-10 is slightly more accurate with deconvolution than with batch"
        " normalisation, after 1 and after 20 epochs.",
        decided_by="report1",
        doubt="neither the network nor the images that the accuracy was measured on are described; the lead after 20"
        " epochs is 0.13 points of one run",
    ),
    Claim(
        id="claim/report-consistent",
        documents=_REPORT,
        where="sec. 4.1",
        quote="although our results are numerically different from the authors', the improvement by deconvolution is"
        " consistent",
        statement="In each of four networks, deconvolution is more accurate than batch normalisation after 1 and"
        " after 20 epochs.",
        decided_by="report2",
        note="table 2 of the report has no accuracies on CIFAR-100 after 20 epochs",
    ),
    Claim(
        id="claim/report-time",
        documents=_REPORT,
        where="caption of table 3",
        quote="The network deconvolution can make improvements in complex CNN models, but it is very time-consuming.",
        statement="ResNet-50 and ResNeXt-29 become more accurate with deconvolution, and take two and six times as long"
        " to train.",
        decided_by="report3",
    ),
    Claim(
        id="claim/report-optimiser",
        documents=_REPORT,
        where="sec. 4.2",
        quote="In such 20 epochs, SGD with a momentum equals 0.9 is better than Adam.",
        statement="After 20 epochs, networks with deconvolution are more accurate with SGD than with Adam.",
        decided_by="report4",
        conditions={"epochs": 20},
        doubt="the learning rate of 0.1 of SGD seems to have been used for Adam, too",
    ),
    Claim(
        id="claim/report-loss",
        documents=_REPORT,
        where="sec. 4.2",
        quote="According to the experimental result, CE has a little higher accuracy than L2",
        statement="Networks with deconvolution are slightly more accurate with cross-entropy than with the squared"
        " error.",
        decided_by="report4",
        conditions={"epochs": 20},
    ),
    Claim(
        id="claim/report-block-size",
        documents=_REPORT,
        where="sec. 4.2",
        quote="According to the verification on several CNN models, it will have a slight impact",
        statement="Blocks of 32, 64 or 128 channels change the accuracy only slightly.",
        decided_by="report4",
        conditions={"epochs": 20, "block_size": (32, 64, 128)},
        doubt="the convolutions within the published EfficientNet do not deconvolve, so that its accuracy cannot react",
    ),
    Claim(
        id="claim/report-batch-whitening",
        documents=_REPORT,
        where="sec. 5",
        quote="it is closer to batch whitening rather than normalization",
        statement="Deconvolution with 1×1 kernels and blocks of one channel is not batch normalisation.",
        decided_by="equivalence",
        conditions={"kernel_size": 1, "block_size": 1},
        doubt="whitening single channels is to normalise them; the report gives no reason",
    ),
    Claim(
        id="claim/summary-small-gain",
        documents=("summary",),
        where="summary",
        quote="This improvement is not very large however (less than top-5 1% accuracy on ImageNet).",
        statement="On ImageNet, deconvolution gains less than one point of top-5 accuracy over batch normalisation.",
        decided_by="table2",
        doubt="by table 2 of the paper, ResNet-18 gains 1.06 points (1.12 in the first version)",
    ),
)
"""Claims of documents other than the paper."""
