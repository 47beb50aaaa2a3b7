"""Claims of Ye et al. 2020 about training: regression, perceptrons, and networks on CIFAR, ImageNet and Cityscapes."""

from ndtools.published.claim import Claim

__all__ = ["TRAINING"]

BOTH = ("paper-v1", "paper-v2")
_DECAY = (
    "the versions differ in the weaker decay: 0.001 in the first, 0.0005 in the second, which alone states repeats;"
    " each has a claim of its own"
)
_SEGMENTATION = {"arch": "deeplabv3_resnet50", "dataset": "cityscapes", "batch_size": 8}
_SEGMENTATION_CODE = (
    "the published code states a rate of 0.1, where the recipe of PyTorch has 0.01, and 30 epochs; its mean"
    " intersection over union is that of 21 rows, among them unlabelled pixels and a class that does not occur"
)
_CURVES = "there are curves only, without a number, and most settings are lost in the text at hand"

TRAINING: tuple[Claim, ...] = (
    Claim(
        id="claim/small-rate-of-plain-descent",
        documents=BOTH,
        where="sec. 6, regression",
        quote="it is important to use a small learning rate 0.02 - 0.1 for vanilla SGD training to prevent divergence",
        statement="On raw pixels, linear regression diverges unless the learning rate is small.",
        decided_by="fig5",
        conditions={"dataset": "fashion-mnist", "loss": "l2"},
        doubt="the limit depends on the scale of the pixels, which is not stated",
    ),
    Claim(
        id="claim/linear-five-iterations",
        documents=BOTH,
        where="sec. 6, fig. 5 a",
        quote="It takes ~ 5 iterations to get to a low cost under the mini-batch setting",
        statement="On deconvolved pixels, linear regression with rate 1 reaches a low loss in about five steps.",
        decided_by="fig5",
        conditions={"dataset": "fashion-mnist", "loss": "l2", "lr": 1.0},
        doubt="neither the low loss nor the batch size is stated",
    ),
    Claim(
        id="claim/logistic-five-iterations",
        documents=BOTH,
        where="sec. 6, fig. 5 b",
        quote="This even holds if we change the loss to logistic",
        statement="On deconvolved pixels, logistic regression with rate 1 reaches a low loss in about five steps.",
        decided_by="fig5",
        conditions={"dataset": "fashion-mnist", "loss": "logistic", "lr": 1.0},
        doubt="neither the low loss nor the batch size is stated",
    ),
    Claim(
        id="claim/rate-one",
        documents=BOTH,
        where="sec. 6, regression",
        quote="with deconvolution, it is possible to use the optimal learning rate 1.0 and get high accuracy as well",
        statement="On deconvolved pixels, regression with rate 1 ends with a high test accuracy.",
        decided_by="fig5",
        conditions={"dataset": "fashion-mnist", "lr": 1.0},
        doubt="no accuracy is stated",
    ),
    Claim(
        id="claim/perceptron",
        documents=BOTH,
        where="sec. 6, fig. 5 c, d",
        quote="applying deconvolution to MLP networks outperforms batch normalization",
        statement="A sigmoid perceptron with three hidden layers of 128 nodes learns MNIST better with deconvolution"
        " than with batch normalisation.",
        decided_by="fig5",
        conditions={"dataset": "mnist", "hidden": (128, 128, 128)},
        doubt="there are curves only; the published code builds two hidden layers where the caption has three",
    ),
    Claim(
        id="claim/every-network",
        documents=BOTH,
        where="table 1",
        quote="Every single model shows improved accuracy using network deconvolution.",
        statement="Each of the ten networks is more accurate with deconvolution than with batch normalisation, on"
        " CIFAR-10 and CIFAR-100, after 1, 20 and 100 epochs.",
        decided_by="table1",
        doubt="one run of each, without a spread",
    ),
    Claim(
        id="claim/first-epoch",
        documents=BOTH,
        where="sec. 6, CIFAR",
        quote="There is wide performance gap after the first epoch of training.",
        statement="After the first epoch, networks with deconvolution are far ahead of those with batch normalisation.",
        decided_by="table1",
        conditions={"epochs": 1},
        note="the lead in table 1 is 3.37 points (EfficientNet, CIFAR-100) to 60.06 points (VGG-16, CIFAR-10)",
    ),
    Claim(
        id="claim/twenty-epochs",
        documents=BOTH,
        where="sec. 6, CIFAR",
        quote="20-epoch training using deconvolution leads to results that are comparable to 100-epoch training using"
        " batch normalization",
        statement="Twenty epochs with deconvolution are about as good as a hundred with batch normalisation.",
        decided_by="table1",
        conditions={"epochs": 20},
        note="the difference in table 1 is -2.75 points (DPN-92, CIFAR-100) to +4.81 points (MobileNet v2, CIFAR-100)",
    ),
    Claim(
        id="claim/no-batch-normalisation",
        documents=BOTH,
        where="sec. 6, CIFAR",
        quote="we remove all batch normalization in the networks and replace them with deconvolution before each"
        " convolution/fully-connected layer",
        statement="The networks with deconvolution of table 1 have no batch normalisation.",
        decided_by="table1",
        conditions={"block_size": 64},
        doubt="the published EfficientNet with deconvolution keeps 50 batch normalisations, and the published ResNet-18"
        " for ImageNet keeps three",
    ),
    Claim(
        id="claim/few-iterations",
        documents=("paper-v2",),
        where="sec. 4.5",
        quote="We notice that only a few () iterations are necessary to achieve good performance.",
        statement="Five Newton-Schulz iterations are enough for the accuracies of table 1.",
        decided_by="table1",
        conditions={"n_iter": 5},
        note="the number is lost in the text at hand; five iterations are those of the middle layers in section A.3",
    ),
    Claim(
        id="claim/imagenet",
        documents=BOTH,
        where="sec. 6, ImageNet",
        quote="find significant improvements on both networks over the reference models",
        statement="VGG-11, ResNet-18 and DenseNet-121 are more accurate on ImageNet with deconvolution than with batch"
        " normalisation.",
        decided_by="table2",
        doubt='three networks are named before "both"; with the published code, a third party found DenseNet-121 less'
        " accurate (75.668 % against 75.884 %, ReScience, table 2)",
    ),
    Claim(
        id="claim/twice-the-gain",
        documents=BOTH,
        where="sec. 6, ImageNet",
        quote="The improvement introduced by network deconvolution is twice as large",
        statement="Over VGG-11 without normalisation, deconvolution gains twice as much as batch normalisation.",
        decided_by="table2",
        conditions={"arch": "vgg11"},
        note="2.93 and 1.36 points in table 2",
    ),
    Claim(
        id="claim/vgg11-beats-vgg13",
        documents=BOTH,
        where="sec. 6, ImageNet",
        quote="than 71.55%, reported by the reference VGG-13 model trained with batch normalization",
        statement="VGG-11 with deconvolution is more accurate on ImageNet than the reference VGG-13 with batch"
        " normalisation.",
        decided_by="table2",
        conditions={"arch": "vgg11"},
    ),
    Claim(
        id="claim/segmentation",
        documents=("paper-v2",),
        where="sec. A.2, fig. 6",
        quote="Network deconvolution significantly improves the training quality",
        statement="DeepLabV3 with a ResNet-50 ends with a higher mean intersection over union, and labels more pixels"
        " of Cityscapes correctly, with deconvolution than with batch normalisation.",
        decided_by="fig6",
        conditions=_SEGMENTATION,
        note=_SEGMENTATION_CODE,
        doubt=_CURVES,
    ),
    Claim(
        id="claim/segmentation-convergence",
        documents=("paper-v2",),
        where="sec. A.2, fig. 6",
        quote="and accelerates the convergence",
        statement="While DeepLabV3 with a ResNet-50 is trained on Cityscapes, its training loss is lower and its mean"
        " intersection over union higher with deconvolution than with batch normalisation.",
        decided_by="fig6",
        conditions=_SEGMENTATION,
        note=_SEGMENTATION_CODE,
        doubt=_CURVES,
    ),
    Claim(
        id="claim/weight-decay-v1",
        documents=("paper-v1",),
        where="fig. 7 a",
        quote="in our case with deconvolution, the final accuracy actually improves with increased weight decay (.001"
        " to .005)",
        statement="A decay of 0.005 instead of 0.001 makes VGG-13 on CIFAR-100 less accurate with batch"
        " normalisation, and more accurate with deconvolution.",
        decided_by="fig8",
        conditions={"arch": "vgg13", "dataset": "cifar100", "weight_decay": (0.001, 0.005), "n_iter": 5},
        doubt=_DECAY,
    ),
    Claim(
        id="claim/weight-decay-v2",
        documents=("paper-v2",),
        where="sec. A.4, fig. 8 a",
        quote="in our case with deconvolution, the final accuracy actually improves with increased weight decay"
        " (.0005 to .005). Each experiment is repeated 5 times.",
        statement="A decay of 0.005 instead of 0.0005 makes VGG-13 on CIFAR-100 less accurate with batch normalisation,"
        " and more accurate with deconvolution.",
        decided_by="fig8",
        conditions={"arch": "vgg13", "dataset": "cifar100", "weight_decay": (0.0005, 0.005), "repeats": 5},
        doubt=_DECAY,
    ),
    Claim(
        id="claim/training-loss",
        documents=BOTH,
        where="sec. A.6, fig. 7 b",
        quote="network deconvolution leads to significantly faster decay in training loss",
        statement="In the first 1000 iterations on ImageNet, the training loss of VGG-11 falls faster with"
        " deconvolution than with batch normalisation or without.",
        decided_by="fig8",
        conditions={"arch": "vgg11", "dataset": "imagenet", "max_steps": 1000},
        note="section A.7 and figure 8 b of the second version",
    ),
    Claim(
        id="claim/all-batch-sizes",
        documents=("paper-v2",),
        where="sec. A.9",
        quote="We notice network deconvolution works well under various batch sizes.",
        statement="Deconvolution reaches about the same accuracy with batches of 2 to 2048 images.",
        decided_by="table4",
        note="table 4 has 89.12 to 91.66 %",
        doubt="neither the network nor the data set is named, and the other settings change with the batch size",
    ),
    Claim(
        id="claim/small-batches",
        documents=("paper-v2",),
        where="sec. A.9",
        quote="When the batch size is small, to avoid overfitting the noise, the number of Newton-Schulz iterations"
        " should be reduced and the regularization factor should be raised.",
        statement="With batches of few images, two Newton-Schulz iterations and a large ridge are more accurate than"
        " five iterations and a small one.",
        decided_by="table4",
        conditions={"batch_size": (2, 8), "n_iter": 2, "eps": 0.01},
        doubt="table 4 has one setting for each batch size, and so no comparison",
    ),
)
"""Claims that training decides."""
