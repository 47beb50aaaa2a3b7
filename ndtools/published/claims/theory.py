"""Claims of Ye et al. 2020 that mathematics decides: propositions, equivalences, and Newton-Schulz iterations."""

from ndtools.published.claim import Claim

__all__ = ["THEORY"]

BOTH = ("paper-v1", "paper-v2")

THEORY: tuple[Claim, ...] = (
    Claim(
        id="claim/one-step-optimum",
        documents=BOTH,
        where="sec. 3.1, proposition 1",
        quote="Gradient descent converges to the optimal solution in one iteration if",
        statement="If the features have the identity as covariance, one step of gradient descent with rate 1 on all"
        " samples reaches the optimum of linear least squares.",
        decided_by="prop1",
        conditions={"lr": 1.0, "loss": "l2"},
    ),
    Claim(
        id="claim/whitened-covariance",
        documents=BOTH,
        where="sec. 4.2",
        quote="If computed perfectly, the transformed data has identity matrix as covariance",
        statement="Centred patches times the exact inverse square root of their covariance have the identity as"
        " covariance.",
        decided_by="fig3",
        note="with a ridge, or with few iterations of Newton-Schulz, the inverse square root is not exact",
    ),
    Claim(
        id="claim/deconvolution-identity",
        documents=BOTH,
        where="sec. 4.3.1, proposition 2",
        quote="Removal of pixel-wise correlation (or patch-based whitening) is a deconvolution operation.",
        statement="Whitening patches undoes the convolution with the kernel that is the centre column of the square"
        " root of their covariance, and gives the signal back.",
        decided_by="prop2",
    ),
    Claim(
        id="claim/near-optimality",
        documents=BOTH,
        where="sec. 4.4.2, proposition 3",
        quote="Network deconvolution is near-optimal if W is an orthogonal transform and if we connect the output y to"
        " the L_2 loss.",
        statement="If the weights of a layer are orthogonal and the loss is the squared error, gradient descent on a"
        " layer within a deconvolved network is nearly as good as on whitened features.",
        decided_by="prop3",
        doubt="weights are not kept orthogonal in training, as the paper says itself, and it does not say how near is"
        " near",
    ),
    Claim(
        id="claim/forward-backward",
        documents=BOTH,
        where="sec. A.7",
        quote="We have proved the equivalence between forward correction and the Newton's method-like backward"
        " correction.",
        statement="With D held fixed, a gradient step on the weights behind deconvolved inputs equals a step on the"
        " weights of the raw inputs whose gradient is multiplied by D², the inverse of the covariance.",
        decided_by="equivalence",
        note="section A.8 of the second version",
    ),
    Claim(
        id="claim/implicit-deconvolution",
        documents=BOTH,
        where="sec. 4.5.1",
        quote="this suggests us the deconvolution can be carried out implicitly by changing the model parameters,"
        " without explicitly deconvolving the data.",
        statement="A convolution of deconvolved inputs equals one convolution of the raw inputs, with the weights D·w"
        " and the bias b - μ·D·w.",
        decided_by="equivalence",
        note="zeros of the padding count as pixels: the mean is subtracted from them, too",
    ),
    Claim(
        id="claim/channel-decorrelation",
        documents=BOTH,
        where="sec. 5",
        quote="When we set the k = 1, the method becomes channel-wise decorrelation",
        statement="Deconvolution with 1×1 kernels is the whitening of channels.",
        decided_by="equivalence",
        conditions={"kernel_size": 1},
    ),
    Claim(
        id="claim/batch-normalisation",
        documents=BOTH,
        where="sec. 5",
        quote="When k = 1, B = 1, network deconvolution is Batch Normalization",
        statement="Deconvolution with 1×1 kernels and blocks of one channel is batch normalisation.",
        decided_by="equivalence",
        conditions={"kernel_size": 1, "block_size": 1},
        doubt="the report of 2021 disputes it; the published code takes one mean and one deviation of all channels, and"
        " the scale and shift that batch normalisation learns are missing",
    ),
    Claim(
        id="claim/natural-gradient",
        documents=BOTH,
        where="sec. 5",
        quote="If we apply the decorrelation on the gradient direction, network deconvolution is similar to SGD2 (Ye et"
        " al., 2017), natural gradient descent",
        statement="Decorrelating gradients instead of inputs is similar to natural gradient descent and to KFAC.",
        decided_by="equivalence",
        doubt='"similar" states no measure by which the claim could fail',
    ),
    Claim(
        id="claim/ns-vanilla-explodes",
        documents=BOTH,
        where="sec. 4.5.3",
        quote="the standard Newton-Schulz iterations suffer from severe numerical instability and explode after ~ 20"
        " iterations for simple matrices",
        statement="The vanilla Newton-Schulz iteration for the inverse square root diverges within some twenty"
        " iterations.",
        decided_by="fig7",
        conditions={"kernel_size": 3},
        doubt="the iteration at which it diverges depends on the condition number and on the precision, which are not"
        " stated",
    ),
    Claim(
        id="claim/ns-coupled-stable",
        documents=BOTH,
        where="sec. 4.5.3",
        quote="we found the coupled Newton-Schulz iterations are stable even if iterated for thousands of times",
        statement="The residual of the coupled Newton-Schulz iteration stays low for thousands of iterations.",
        decided_by="fig7",
        conditions={"kernel_size": 3},
        doubt="neither the precision nor the residual that counts as stable is stated",
    ),
    Claim(
        id="claim/ns-fifteen-iterations",
        documents=BOTH,
        where="sec. A.2",
        quote="From the curve we set the iteration number to 15 for the first layer of the network to thoroughly remove"
        " the correlation in the input data.",
        statement="Fifteen coupled Newton-Schulz iterations whiten 3×3 patches of a colour photograph thoroughly.",
        decided_by="fig7",
        conditions={"kernel_size": 3, "n_iter": 15, "freeze_after": 200},
        note="section A.3 of the second version",
        doubt="the text freezes the first layer after 200 iterations, and the listing of the first version has 100",
    ),
)
"""Claims that are decided by mathematics and by the arithmetic of one matrix."""
