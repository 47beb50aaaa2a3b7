"""The networks of Ye et al. 2020 by name: how each is built, and its published settings.

Nothing here imports torch until a network is built, so that names can be listed without it.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from ndtools.errors import OptionError

if TYPE_CHECKING:
    from torch import nn

    from ndtools.models.factories import Factories

__all__ = [
    "CATALOGUE",
    "EARLIER_NAMES",
    "NAMES",
    "SEGMENTATION_NAMES",
    "Entry",
    "Stem",
    "Task",
    "build",
    "check_stem",
    "form_of",
]

Stem = Literal["cifar", "imagenet"]
"""Form of a network: for images of 32×32 pixels, or for those of ImageNet, of 224×224 pixels."""

Task = Literal["classification", "segmentation"]
"""What a network finds: the class of an image, or the class of each of its pixels."""


class Entry(NamedTuple):
    """How one network is built.

    Attributes
    ----------
    builder : str
        Module and class or function that make the network, as "module:name" within ``ndtools.models``.
    arguments : mapping
        Arguments beside the makers of layers and the numbers of channels and classes.
    published : mapping
        Settings of the published network's layers that differ from ``DeconvConfig.reference()``, by role (see
        :mod:`ndtools.models.factories`). The published ``freeze_iter`` of 100 freezes the statistics after the 101st
        batch. None for a role whose layers do not deconvolve in the published network, but are normalised.
    normalised : mapping
        Settings by role of a network whose convolutions are normalised, see `LayerSpec`, where they are not a
        normalisation and no bias: ``{"conv": {"bias": True}}`` for those that have a bias as well, as in VGG. Layers
        that no normalisation stands beside need no settings: the family itself gives them a bias.
    imagenet : mapping, optional
        Settings of the published network for ImageNet, as ``published``. None if the network has no form for images of
        that size. The builder of a network that has both forms takes the argument ``stem``.
    imagenet_norms : tuple of str
        Roles whose convolutions deconvolve in the published network for ImageNet, and are batch-normalised as well.
    task : {"classification", "segmentation"}
        Whether the network finds the class of an image or of each pixel; for the latter, its only form is "imagenet".
    """

    builder: str
    arguments: Mapping[str, Any]
    published: Mapping[str, Mapping[str, Any] | None]
    normalised: Mapping[str, Mapping[str, Any]] = {}
    imagenet: Mapping[str, Mapping[str, Any] | None] | None = None
    imagenet_norms: tuple[str, ...] = ()
    task: Task = "classification"

    @property
    def stems(self) -> tuple[Stem, ...]:
        """Forms that the network has; the first is that of `build` without ``stem``."""
        if self.task == "segmentation":
            return ("imagenet",)
        return ("cifar",) if self.imagenet is None else ("cifar", "imagenet")

    def published_for(self, stem: Stem) -> Mapping[str, Mapping[str, Any] | None]:
        """Return the published settings of the network in one of its forms."""
        return self.imagenet if stem == "imagenet" and self.imagenet is not None else self.published

    def deconvolving(self, stem: Stem) -> dict[str, Mapping[str, Any]]:
        """Return the published settings of the network in one of its forms, without roles that do not deconvolve."""
        return {role: own for role, own in self.published_for(stem).items() if own is not None}


def _first_frozen(n_iter: int) -> dict[str, dict[str, Any] | None]:
    return {"first": {"n_iter": n_iter, "freeze_after": 101}}


_RESNET_DEPTHS = (18, 34, 50, 101, 152)
_VGG_COUNTS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
# published linear layers have smaller blocks for ImageNet, where those of VGG have up to 25088 features
_IMAGENET = {**_first_frozen(n_iter=15), "linear": {"block_size": 64}}

# the published networks whiten all channels of the last convolution together
_SEGMENTATION = {**_first_frozen(n_iter=15), "classifier": {"block_size": None}}

CATALOGUE: dict[str, Entry] = {
    **{
        f"vgg{d}": Entry(
            "vgg:VGG",
            {"counts": counts},
            _first_frozen(n_iter=15),
            normalised={"conv": {"bias": True}},
            imagenet=_IMAGENET,
        )
        for d, counts in _VGG_COUNTS.items()
    },
    **{
        f"resnet{d}": Entry("resnet:resnet", {"depth": d}, {}, imagenet=_IMAGENET, imagenet_norms=("shortcut",))
        for d in _RESNET_DEPTHS
    },
    **{
        f"preact_resnet{d}": Entry("preact_resnet:preact_resnet", {"depth": d}, _first_frozen(n_iter=10))
        for d in _RESNET_DEPTHS
    },
    "densenet121": Entry("densenet:DenseNet", {}, {}, imagenet=_IMAGENET),
    "resnext29_32x4d": Entry(
        "resnext:ResNeXt", {"groups": 32, "width": 4}, {**_first_frozen(n_iter=10), "grouped": {"n_iter": 3}}
    ),
    "mobilenet_v2": Entry(
        "mobilenet:MobileNetV2",
        {},
        {
            **_first_frozen(n_iter=10),
            "depthwise": {"n_iter": 1},
            "projection": {"n_iter": 1},
            # the published blocks of a projection have as many channels as enter its inverted residual
            **{f"projection.{width}": {"block_size": width} for width in (32, 16, 24, 64, 96, 160)},
        },
    ),
    "dpn92": Entry("dpn:DPN", {}, _first_frozen(n_iter=10)),
    "pnasnet_a": Entry("pnasnet:PNASNet", {"variant": "a"}, _first_frozen(n_iter=10)),
    "pnasnet_b": Entry("pnasnet:PNASNet", {"variant": "b"}, _first_frozen(n_iter=10)),
    "senet18": Entry("senet:senet", {"depth": 18}, _first_frozen(n_iter=15)),
    # only the first layer deconvolves in the published code, and 50 batch normalisations are left
    "efficientnet_b0": Entry("efficientnet:EfficientNet", {}, {**_first_frozen(n_iter=10), "conv": None}),
    "simple_cnn": Entry("simple_cnn:SimpleCNN", {}, {}),
    **{
        f"{head}_resnet{depth}": Entry(
            "segmentation:segmentation",
            {"head": head, "depth": depth},
            {},
            imagenet=_SEGMENTATION,
            imagenet_norms=("shortcut",),
            task="segmentation",
        )
        for head in ("deeplabv3", "fcn")
        for depth in (50, 18)
    },
}
"""All networks by name."""

NAMES = tuple(name for name, entry in CATALOGUE.items() if entry.task == "classification")
"""Names of the networks that classify images."""

SEGMENTATION_NAMES = tuple(name for name, entry in CATALOGUE.items() if entry.task == "segmentation")
"""Names of the networks that classify each pixel of an image."""

EARLIER_NAMES = {f"preact{d}": f"preact_resnet{d}" for d in _RESNET_DEPTHS}
"""Names that networks had in ndtools 0.1, with their present names; `build`, files and commands accept them."""


def check_stem(name: str, stem: Stem) -> None:
    """Raise an OptionError if a network does not have a form, the ``stem`` of `build`."""
    if stem not in get_args(Stem):
        raise OptionError("stem", f"must be one of {', '.join(get_args(Stem))}, got {stem!r}")
    if stem not in CATALOGUE[name].stems:
        others = ""
        if stem == "imagenet":
            having = ", ".join(other for other, entry in CATALOGUE.items() if len(entry.stems) > 1)
            others = f"; these have 'imagenet', too: {having}"
        raise OptionError("stem", f"of {name} is {CATALOGUE[name].stems[0]!r}{others}")


def form_of(name: str, stem: Stem | None) -> Stem:
    """Return the form of a network: the given one, if `check_stem` accepts it, or else the first that it has."""
    if stem is None:
        return CATALOGUE[name].stems[0]
    check_stem(name, stem)
    return stem


def build(
    name: str,
    norm: "str | Factories" = "deconv",
    *,
    num_classes: int = 10,
    in_channels: int = 3,
    stem: Stem | None = None,
) -> "nn.Module":
    """Build a network by its name.

    Parameters
    ----------
    name : str
        Name of the network, one of ``NAMES``, ``SEGMENTATION_NAMES`` or ``EARLIER_NAMES``, for example ``"resnet18"``.
    norm : str or Factories
        Arm of a comparison, one of :data:`ndtools.models.norms.NORMS`, for example ``"bn"``; or makers of the network's
        layers, for example :func:`ndtools.models.factories.deconv`.
    num_classes : int
        Number of outputs, for each image or for each pixel.
    in_channels : int
        Number of channels of the images.
    stem : {"cifar", "imagenet"}, optional
        Form of the network: for images of 32×32 pixels, or of 224×224 pixels. For the latter ResNets and DenseNets
        begin with a convolution 7×7 of stride 2 and pooling, and VGGs end with three linear layers and dropout; initial
        weights are those that are usual for ImageNet. Other networks have no such form, and networks for segmentation
        have no other. By default "cifar", where the network has it.

    Returns
    -------
    torch.nn.Module
        The network, which maps images (N, in_channels, H, W) to logits (N, num_classes), or, for segmentation, to
        logits (N, num_classes, H, W); see :class:`ndtools.models.segmentation.Segmentation` for its outputs in
        training. Its attribute ``spec`` is a
        :class:`ndtools.models.spec.NetworkSpec`, from which the same network can be built again; it is None if a
        subclass of ``Factories`` makes the layers.

    Raises
    ------
    OptionError
        If there is no network or no arm of this name, if the network has no such form, or if it has no layers in a role
        that the makers have settings for.

    Examples
    --------
    >>> network = build("vgg11", "bn")
    >>> sum(p.numel() for p in network.parameters())
    9231114
    >>> network.spec.arch, network.spec.form
    ('vgg11', 'batch_norm')
    """
    name = EARLIER_NAMES.get(name, name)
    if name not in CATALOGUE:
        raise OptionError("name", f"must be one of {', '.join(CATALOGUE)}, got {name!r}")
    from ndtools.models.factories import Factories, roles_of
    from ndtools.models.norms import arm
    from ndtools.models.spec import NetworkSpec

    stem = form_of(name, stem)
    factories = arm(norm, name, stem=stem) if isinstance(norm, str) else norm
    entry = CATALOGUE[name]
    module, made = entry.builder.split(":")
    make = getattr(import_module(f"ndtools.models.{module}"), made)
    arguments = {**entry.arguments, **({"stem": stem} if len(entry.stems) > 1 else {})}
    network: nn.Module = make(factories=factories, num_classes=num_classes, in_channels=in_channels, **arguments)
    network.spec = None  # type: ignore[assignment]
    roles = roles_of(network) | {"first", "conv", "linear"}
    for role in factories.layers:
        if role not in roles:
            its = ", ".join(sorted(roles))
            raise OptionError("config", f"{name} has no layers in the role {role!r}; its roles are {its}")
    if type(factories) is Factories:  # a subclass makes layers that no specification describes
        spec = NetworkSpec(
            arch=name, num_classes=num_classes, in_channels=in_channels, layers=factories.layers, stem=stem
        )
        network.spec = spec  # type: ignore[assignment]
    return network
