"""A small set of images and small networks, on which training is tested."""

import torch
from torch import nn

from ndtools.data.labelled.dataset import Dataset, Split
from ndtools.layers.config import DeconvConfig
from ndtools.models.factories import batch_norm, chain, deconv
from ndtools.models.norms import arm
from ndtools.training.data import TrainingData

FORMS = {
    "bn": batch_norm(),
    "deconv": deconv(DeconvConfig(block_size=4)),
    # Freezing and refreshing end at other steps than epochs do.
    "frozen": deconv(DeconvConfig(block_size=4, refresh_every=3), first=DeconvConfig(freeze_after=5)),
    "reference": deconv(DeconvConfig.reference(block_size=4)),
    **{name: arm(name, "vgg11") for name in ("nd++", "iternorm", "first-whitened", "gn")},
}


def small_set(n_train=70, n_test=20, channels=3, side=9, classes=3, seed=0, name="noise"):
    """Noise whose brightest quarter depends on the class."""
    generator = torch.Generator().manual_seed(seed)
    splits = []
    for n in (n_train, n_test):
        images = torch.randint(0, 160, (n, channels, side, side), generator=generator)
        labels = torch.randint(classes, (n,), generator=generator)
        for image, label in zip(images, labels.tolist(), strict=True):
            image[label % channels, : side // 2 + label] += 60
        splits.append(Split(images.to(torch.uint8), labels))
    return Dataset(name, *splits, tuple(map(str, range(classes))), True, "built in")


def small_data(**settings):
    return TrainingData.of(small_set(**settings))


def small_network(form="bn", dropout=0.0, classes=3, channels=3):
    factories = FORMS[form] if isinstance(form, str) else form
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return chain(
            factories.conv(channels, 4, 3, padding=1, role="first"),
            factories.norm(4, role="first"),
            nn.ReLU(),
            nn.MaxPool2d(2),
            factories.conv(4, 6, 3, padding=1),
            factories.norm(6),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(dropout) if dropout else nn.Identity(),
            factories.linear(6, classes),
        )
