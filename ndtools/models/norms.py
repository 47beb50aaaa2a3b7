"""The arms of a comparison: what stands in a network in place of batch normalisation, by name.

Nothing here imports torch until an arm is made, so that names can be listed without it.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from ndtools.errors import OptionError
from ndtools.layers.config import FIRST_LAYER, LINEAR_BLOCK, DeconvConfig
from ndtools.models.catalogue import CATALOGUE, EARLIER_NAMES, Entry, Stem, entry_of

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
        Function that takes the catalogue's entry of a network and settings of deconvolution layers, and returns the
        specifications of the layers by role.
    deconvolves : bool
        Whether its layers deconvolve, so that it takes settings of deconvolution layers.
    """

    description: str
    layers: "Callable[[Entry, Mapping[str, Any]], dict[str, LayerSpec]]"
    deconvolves: bool = False


def arm(norm: str, arch: str, stem: Stem = "cifar", **settings: Any) -> "Factories":  # noqa: ANN401
    """Return the makers of a network's layers in an arm of a comparison.

    Parameters
    ----------
    norm : str
        Name of the arm, one of ``NORMS``.
    arch : str
        Name of the network, one of ``NAMES``. Some arms have the settings that were published for it.
    stem : {"cifar", "imagenet"}
        Images that the network is made for, see `build`.
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
        If there is no such arm or network, if the network has no form for such images, if a setting is not valid, or if
        the layers of the arm do not deconvolve.

    Examples
    --------
    >>> makers = arm("deconv", "vgg11", n_iter=3)
    >>> makers.layers["conv"].deconv.n_iter, makers.layers["first"].deconv.n_iter
    (3, 15)
    """
    if norm not in NORMS:
        raise OptionError("norm", f"must be one of {', '.join(NORMS)}, got {norm!r}")
    if EARLIER_NAMES.get(arch, arch) not in CATALOGUE:
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
    entry = entry_of(arch, stem)
    from ndtools.models.factories import Factories

    return Factories(NORMS[norm].layers(entry, settings))


def prepare(network: "nn.Module", images: "Tensor") -> None:
    """Give a network what it must know of the images before it is trained.

    In the arm ``first-whitened`` the whitening of the first layer is computed from the images, and stays as it is.
    Without this call it is that of the first training batch. A network of another arm is left as it is, and so is one
    whose whitening is known already, as after reading it from a file.

    Parameters
    ----------
    network : torch.nn.Module
        Network of `build`, changed in place.
    images : Tensor of shape (N, C, H, W)
        Training images with their means and scales removed as in training. A few thousand are enough.

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

    if not len(images):
        raise OptionError("images", "must hold at least one image")
    for layer in network.modules():
        if not isinstance(layer, FastDeconv2d) or getattr(layer, "role", None) != "first":
            continue
        whitening = layer.whitening
        if whitening.config.freeze_after != 1 or whitening.frozen:
            continue
        whitening.average_all()
        try:
            with torch.no_grad():
                whitening.statistics(*layer.sampled_input(images.to(layer.weight)))
        finally:
            whitening.average_all(False)


def _deconv(entry: Entry, settings: Mapping[str, Any]) -> "dict[str, LayerSpec]":
    return _deconvolving(DeconvConfig.interleaved, {"first": FIRST_LAYER, "linear": _LINEAR}, settings)


def _reference(entry: Entry, settings: Mapping[str, Any]) -> "dict[str, LayerSpec]":
    from ndtools.models.factories import layer_in

    layers = _deconvolving(DeconvConfig.reference, _of_deconvolution(entry), settings)
    layers |= {role: replace(layer_in(layers, role), norm="batch_norm") for role in entry.also_normalised}
    # A network that keeps its normalisations in some roles has batch normalisation there.
    others = _batch_norm(entry, {}) if None in entry.published.values() else {}
    return layers | {role: own for role, own in others.items() if _left(role, entry.published)}


def _left(role: str, published: Mapping[str, Mapping[str, Any] | None]) -> bool:
    """Return whether layers in a role do not deconvolve in the published network."""
    from ndtools.models.factories import lineage

    named = [name for name in ("conv", *lineage(role)) if name in published]
    return role != "linear" and bool(named) and published[named[-1]] is None


def _successor(entry: Entry, settings: Mapping[str, Any]) -> "dict[str, LayerSpec]":
    defaults = {"conv": {}, **_of_deconvolution(entry)}
    # The linear layer of its code has no layer normalisation.
    normalised = {role: {"layer_norm": role != "linear", **own} for role, own in defaults.items()}
    return _deconvolving(DeconvConfig.reference, normalised, settings)


def _of_deconvolution(entry: Entry) -> dict[str, Mapping[str, Any]]:
    """Return the published settings of a network by role, of the roles that deconvolve."""
    return {"linear": _LINEAR} | {role: own for role, own in entry.published.items() if own is not None}


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


def _normalised(norm: "Norm") -> "Callable[[Entry, Mapping[str, Any]], dict[str, LayerSpec]]":
    def layers(entry: Entry, settings: Mapping[str, Any]) -> "dict[str, LayerSpec]":
        from ndtools.models.factories import LayerSpec

        common: dict[str, Any] = {"norm": norm, "bias": False}
        roles = {"conv": {}, **entry.normalised}
        return {role: LayerSpec(**common | dict(own)) for role, own in roles.items()} | {"linear": LayerSpec()}

    return layers


_batch_norm = _normalised("batch_norm")


def _first_whitened(entry: Entry, settings: Mapping[str, Any]) -> "dict[str, LayerSpec]":
    layers = _batch_norm(entry, settings)
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


def _plain(entry: Entry, settings: Mapping[str, Any]) -> "dict[str, LayerSpec]":
    from ndtools.models.factories import plain

    return dict(plain().layers)


NORMS: dict[str, Arm] = {
    "deconv": Arm("deconvolution in every layer, in this project's form, and no normalisation", _deconv, True),
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
