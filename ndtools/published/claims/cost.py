"""Claims of Ye et al. 2020 about the cost of deconvolution."""

from ndtools.published.claim import Claim

__all__ = ["COST"]

BOTH = ("paper-v1", "paper-v2")

COST: tuple[Claim, ...] = (
    Claim(
        id="claim/fast-covariance",
        documents=BOTH,
        where="sec. 4.5.2",
        quote="We propose a simple S = 3 - 5× subsampling technique that speeds up the computation of the covariance"
        " matrix by 10 - 20×.",
        statement="Sampling every third to fifth patch in each direction makes the covariance 10 to 20 times faster.",
        decided_by="table3",
        conditions={"sampling_stride": (3, 4, 5)},
        doubt="table 3 has no time without subsampling to compare with",
    ),
    Claim(
        id="claim/fraction-of-convolution",
        documents=BOTH,
        where="sec. 4.5",
        quote="We propose acceleration techniques to reduce the deconvolution cost to only a fraction of the"
        " convolution layer",
        statement="Patches, covariance and inverse square root together take less time than the convolution.",
        decided_by="table3",
        doubt="in table 3 itself, they take 98 % of the convolution's time in row 2, and 118 % in row 19",
    ),
    Claim(
        id="claim/slow-down",
        documents=BOTH,
        where="sec. A.5",
        quote="the slow down is tunable to be around ~ 10 - 30% on modern networks",
        statement="Training with deconvolution takes 10 to 30 % longer than with batch normalisation.",
        decided_by="cost",
        doubt="neither the networks nor the settings are stated; a third party measured 44 to 172 % with the published"
        " code on ImageNet (ReScience, table 2)",
    ),
    Claim(
        id="claim/training-speed",
        documents=BOTH,
        where="sec. 4.5, fig. 11",
        quote="our training speed is similar to training a network using batch normalization on the ImageNet dataset"
        " while achieving better accuracy",
        statement="At equal wall time, VGG-11 on ImageNet is more accurate with deconvolution than with batch"
        " normalisation.",
        decided_by="fig12",
        conditions={"arch": "vgg11", "dataset": "imagenet", "block_size": 16, "sampling_stride": 4},
        note="figure 12 of the second version, which has lost the settings",
        doubt='"without further optimization" stands before it, and "slower than convolution" in the sentence before'
        " that",
    ),
    Claim(
        id="claim/faster-testing",
        documents=BOTH,
        where="sec. 4.5.1",
        quote="makes a network with deconvolution perform faster at testing time",
        statement="With D folded into the weights, a network with deconvolution is as fast as a plain one.",
        decided_by="testing",
    ),
)
"""Claims that measured times decide."""
