"""The arms of a comparison: what stands in a network in place of batch normalisation, by name.

Nothing here imports torch until an arm is made, so that names can be listed without it.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from ndtools.errors import OptionError
from ndtools.layers.config import FIRST_LAYER, LINEAR_BLOCK, DeconvConfig
from ndtools.models.catalogue import CATALOGUE, EARLIER_NAMES, Entry, Stem, form_of

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ndtools.models.factories import Factories, LayerSpec, Norm

__all__ = ["NORMS", "Arm", "arm", "prepare"]


class Arm(NamedTuple):
    """One arm of a comparison.

    Attributes
    ----------
    description : str
        The normalisation of the arm in words, which can follow a colon.
    layers : callable
        Function that takes a network of the catalogue, its form, and settings of deconvolution layers, and returns the
        specifications of the layers by role.
    deconvolves : bool
        Whether its layers deconvolve, so that it takes settings of deconvolution layers.
    """

    description: str
    layers: "Callable[[Entry, Stem, Mapping[str, Any]], dict[str, LayerSpec]]"
    deconvolves: bool = False


def arm(norm: str, arch: str, *, stem: Stem | None = None, **settings: Any) -> "Factories":  # noqa: ANN401
    """Return the makers of a network's layers in an arm of a comparison.

    Parameters
    ----------
    norm : str
        Name of the arm, one of ``NORMS``.
    arch : str
        Name of the network, one of ``NAMES`` or ``SEGMENTATION_NAMES``. Some arms have the settings that were published
        for it.
    stem : {"cifar", "imagenet"}, optional
        Form of the network, as in `build`.
    **settings
        Settings of the deconvolution layers that differ from those of the arm, by their name in ``DeconvConfig``. A
        layer whose role has its own number of iterations or block size in this arm keeps them, as the 15 iterations of
        the first layer; other settings are those of all layers that deconvolve.

    Returns
    -------
    Factories
        Makers of layers for `build`.

    Raises
    ------
    OptionError
        If there is no such arm or network, or if a setting is not valid, or if the layers of the arm do not deconvolve.

    Examples
    --------
    >>> makers = arm("deconv", "vgg11", n_iter=3)
    >>> makers.layers["conv"].deconv.n_iter, makers.layers["first"].deconv.n_iter
    (3, 15)
    """
    if norm not in NORMS:
        raise OptionError("norm", f"must be one of {', '.join(NORMS)}, got {norm!r}")
    arch = EARLIER_NAMES.get(arch, arch)
    if arch not in CATALOGUE:
        raise OptionError("arch", f"must be one of {', '.join(CATALOGUE)}, got {arch!r}")
    for name in settings:
        if name not in DeconvConfig.__dataclass_fields__:
            raise OptionError(
                name, f"is no setting of deconvolution layers: {', '.join(DeconvConfig.__dataclass_fields__)}"
            )
        if not NORMS[norm].deconvolves:
            arms = ", ".join(name for name, other in NORMS.items() if other.deconvolves)
            raise OptionError(
                name, f"is a setting of deconvolution layers, which `norm={norm}` does not have; {arms} do"
            )
    from ndtools.models.factories import Factories

    return Factories(NORMS[norm].layers(CATALOGUE[arch], form_of(arch, stem), settings))


def prepare(network: "nn.Module", images: "Tensor | Callable[[], Tensor]") -> None:
    """Give a network what it must know of the images before it is trained.

    In the arm ``first-whitened`` the whitening of the first layer is computed from the images, and stays as it is.
    Without this call it is that of the first training batch. A network of another arm is left as it is, and so is one
    whose whitening is known already, as after reading it from a file.

    Parameters
    ----------
    network : torch.nn.Module
        Network of `build`, changed in place.
    images : Tensor of shape (N, C, H, W), or callable
        Training images with their means and scales removed as in training; or a function without arguments that
        returns them, which is called for networks that need them. A few thousand are enough.

    Raises
    ------
    OptionError
        If there are no images.

    Examples
    --------
    >>> import torch
    >>> from ndtools.models import build
    >>> network = build("vgg11", "first-whitened")
    >>> prepare(network, torch.randn(10, 3, 32, 32))
    >>> network.features[0].whitening.frozen
    True
    """
    import torch

    from ndtools.layers.conv import FastDeconv2d

    for layer in network.modules():
        if not isinstance(layer, FastDeconv2d) or getattr(layer, "role", None) != "first":
            continue
        whitening = layer.whitening
        if whitening.config != DeconvConfig(**_FROZEN) or whitening.frozen:
            continue
        seen = images() if callable(images) else images
        if not len(seen):
            raise OptionError("images", "must hold at least one image")
        whitening.average_all()
        try:
            with torch.no_grad():
                whitening.statistics(*layer.sampled_input(seen.to(layer.weight)))
        finally:
            whitening.average_all(False)


def _deconv(entry: Entry, stem: Stem, settings: Mapping[str, Any]) -> "dict[str, LayerSpec]":
    from ndtools.models.factories import LayerSpec

    # A linear layer that deconvolves learned less: see the page on layers.
    layers = _deconvolving(DeconvConfig.interleaved, {"first": FIRST_LAYER}, settings)
    return {**layers, "linear": LayerSpec()}


def _reference(entry: Entry, stem: Stem, settings: Mapping[str, Any]) -> "dict[str, LayerSpec]":
    from ndtools.models.factories import layer_in

    published = entry.published_for(stem)
    layers = _deconvolving(DeconvConfig.reference, {"linear": _LINEAR, **entry.deconvolving(stem)}, settings)
    also_normalised = entry.imagenet_norms if stem == "imagenet" else ()
    layers |= {role: replace(layer_in(layers, role), norm="batch_norm") for role in also_normalised}
    # A network that does not deconvolve in some roles has batch normalisation there.
    usual = _batch_norm(entry, stem, {})
    kept = [role for role in (*published, *usual) if _is_kept(role, published)]
    return layers | {role: layer_in(usual, role) for role in kept}


def _is_kept(role: str, published: Mapping[str, Mapping[str, Any] | None]) -> bool:
    """Return whether the published network does not deconvolve in a role, as that or one that it stands for says."""
    from ndtools.models.factories import lineage

    said = [name for name in ("conv", *lineage(role)) if name in published and (name, role) != ("conv", "linear")]
    return bool(said) and published[said[-1]] is None


def _successor(entry: Entry, stem: Stem, settings: Mapping[str, Any]) -> "dict[str, LayerSpec]":
    # The linear layer of its code has no layer normalisation.
    defaults = {role: {"layer_norm": True, **own} for role, own in {"conv": {}, **entry.deconvolving(stem)}.items()}
    return _deconvolving(DeconvConfig.reference, {**defaults, "linear": _LINEAR}, settings)


def _deconvolving(
    make: Callable[..., DeconvConfig], defaults: Mapping[str, Mapping[str, Any]], settings: Mapping[str, Any]
) -> "dict[str, LayerSpec]":
    from ndtools.models.factories import LayerSpec, lineage

    layers = {}
    for role in dict.fromkeys(["conv", "linear", *defaults]):
        own: dict[str, Any] = {}
        for name in lineage(role):
            own |= defaults.get(name, {})
        kept = {name: own[name] for name in _KEPT if name in own}
        layers[role] = LayerSpec(deconv=make(**{**own, **settings, **kept}))
    return layers


_LINEAR = {"block_size": LINEAR_BLOCK}
_KEPT = ("n_iter", "block_size")
"""Settings that a role with a value of its own keeps."""


def _normalised(norm: "Norm") -> "Callable[[Entry, Stem, Mapping[str, Any]], dict[str, LayerSpec]]":
    def layers(entry: Entry, stem: Stem, settings: Mapping[str, Any]) -> "dict[str, LayerSpec]":
        from ndtools.models.factories import LayerSpec

        common: dict[str, Any] = {"norm": norm, "bias": False}
        roles = {"conv": {}, **entry.normalised}
        return {role: LayerSpec(**common | dict(own)) for role, own in roles.items()} | {"linear": LayerSpec()}

    return layers


_batch_norm = _normalised("batch_norm")


def _first_whitened(entry: Entry, stem: Stem, settings: Mapping[str, Any]) -> "dict[str, LayerSpec]":
    layers = _batch_norm(entry, stem, settings)
    return layers | {"first": replace(layers.get("first", layers["conv"]), deconv=DeconvConfig(**_FROZEN))}


_FROZEN: dict[str, Any] = {
    "n_iter": 40,
    "eps": 5e-4,
    "block_size": None,
    "sampling_stride": 1,
    "through_statistics": False,
    "freeze_after": 1,
    "shrinkage": "none",
}
"""Settings of a whitening that is computed once, to convergence. Its ridge is that of the CIFAR-10 speed records."""


def _plain(entry: Entry, stem: Stem, settings: Mapping[str, Any]) -> "dict[str, LayerSpec]":
    from ndtools.models.factories import plain

    return dict(plain().layers)


NORMS: dict[str, Arm] = {
    "deconv": Arm("deconvolution in every convolution, in this project's form, and no normalisation", _deconv, True),
    "deconv-reference": Arm(
        "deconvolution as in the published code, with its settings of each network", _reference, True
    ),
    "nd++": Arm(
        "the successor of deconvolution, which normalises each image before each convolution", _successor, True
    ),
    "bn": Arm("batch normalisation", _batch_norm),
    "gn": Arm("group normalisation, in 32 groups of channels", _normalised("group_norm")),
    "ln": Arm("layer normalisation of each image over its channels and pixels", _normalised("layer_norm")),
    "none": Arm("no normalisation", _plain),
    "iternorm": Arm("iterative normalisation, which whitens the outputs of convolutions", _normalised("iter_norm")),
    "first-whitened": Arm(
        "batch normalisation, and a whitening of the images, computed once, in the first layer", _first_whitened
    ),
}
"""All arms by name."""
