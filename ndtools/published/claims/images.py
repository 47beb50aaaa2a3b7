"""Claims of Ye et al. 2020 about images: kernels, covariances and sparse representations."""

from ndtools.published.claim import Claim

__all__ = ["IMAGES"]

BOTH = ("paper-v1", "paper-v2")

IMAGES: tuple[Claim, ...] = (
    Claim(
        id="claim/slow-kernel-estimation",
        documents=BOTH,
        where="sec. 4.4.1",
        quote="it takes tens or hundreds of gradient descent iterations to converge to a practically close enough"
        " solution",
        statement="Gradient descent on raw pixels needs tens or hundreds of iterations to find the kernel that"
        " blurred an image.",
        decided_by="fig1",
        doubt="neither the image, nor the blur, nor what is close enough is stated",
    ),
    Claim(
        id="claim/optimal-kernel-estimation",
        documents=BOTH,
        where="sec. 4.4.1",
        quote="our deconvolution processing is optimal for the kernel estimation, in contrast to all other"
        " normalization methods",
        statement="On deconvolved pixels, gradient descent with rate 1 finds the blurring kernel in one step.",
        decided_by="fig1",
        conditions={"loss": "l2"},
    ),
    Claim(
        id="claim/center-surround",
        documents=BOTH,
        where="fig. 2",
        quote="The kernels in R,G,B channels consistently show center-surround structures.",
        statement="The deconvolution kernel of each colour channel of photographs has a centre and a surround of"
        " opposite sign.",
        decided_by="fig2",
        conditions={"kernel_size": 15, "images": 128},
        doubt="the caption has 128 images, and section 4.3.2 has 1024; the ridge is not stated, and decides how far the"
        " surround reaches",
    ),
    Claim(
        id="claim/green-on-center",
        documents=BOTH,
        where="sec. 4.3.2",
        quote="The filter in the green channel is an on-center cell while the other two are off-center cells",
        statement="Of the deconvolution kernels, the green one is on-centre, and the red and blue ones are off-centre.",
        decided_by="fig2",
        conditions={"kernel_size": 15, "images": 1024},
        doubt="the inverse square root of a covariance is positive definite, so that each channel's kernel has a"
        " positive centre in that channel; the sentence fits the kernel of green alone, seen in the three channels",
    ),
    Claim(
        id="claim/brighter-diagonal-blocks",
        documents=BOTH,
        where="sec. 4.1, fig. 3",
        quote="natural images demonstrate stronger pixel-wise correlation than cross-channel correlation, as the"
        " diagonal blocks are brighter than the off diagonal blocks",
        statement="Covariances of pixels within a channel are larger than those between channels.",
        decided_by="fig3",
        conditions={"kernel_size": 3},
    ),
    Claim(
        id="claim/sparser-image",
        documents=BOTH,
        where="sec. 4.6, fig. 4",
        quote="the resulting representations (4(d)) are much sparser than the normalized image (4(b))",
        statement="The absolute values of a deconvolved image are sparser than those of the image minus its mean.",
        decided_by="fig4",
    ),
    Claim(
        id="claim/most-values-zero",
        documents=BOTH,
        where="fig. 9",
        quote="After applying deconvolution, the resulting data is much sparser, with most values being zero.",
        statement="Most pixels of deconvolved photographs are near zero.",
        decided_by="fig10",
        conditions={"images": 1000},
        note="figure 10 of the second version",
        doubt="which values count as zero is not stated, nor the ridge, which decides how many are near it",
    ),
    Claim(
        id="claim/heavy-tailed",
        documents=BOTH,
        where="sec. A.4, fig. 9",
        quote="The distribution after the deconvolution has a well-known heavy-tailed shape",
        statement="Deconvolved pixels of photographs have heavier tails than a Gaussian of their variance.",
        decided_by="fig10",
        conditions={"images": 1000},
        note="section A.5 and figure 10 of the second version",
    ),
    Claim(
        id="claim/sparser-features",
        documents=BOTH,
        where="sec. A.4, fig. 10",
        quote="The deconvolution operation removes the correlation between channels and nearby pixels, resulting in a"
        " sharper and sparser representation.",
        statement="The deconvolved inputs of the fifth convolution of VGG-11 are sparser than these inputs.",
        decided_by="fig11",
        conditions={"arch": "vgg11", "layer": 5},
        note="section A.5 and figure 11 of the second version, whose text has lost the number of the layer",
        doubt="the input is the output of a ReLU, which has exact zeros before deconvolution; neither the image nor the"
        " training of the network is stated",
    ),
)
"""Claims that are decided by images, without training a network."""
