"""The arms of a comparison: what stands in a network in place of batch normalisation, by name.

Nothing here imports torch until an arm is made, so that names can be listed without it.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ndtools.errors import OptionError
from ndtools.layers.config import FIRST_LAYER, LINEAR_BLOCK, DeconvConfig
from ndtools.models.catalogue import CATALOGUE

if TYPE_CHECKING:
    from ndtools.models.factories import Factories, LayerSpec, Norm

__all__ = ["NORMS", "Arm", "arm"]


class Arm(NamedTuple):
    """One arm of a comparison.

    Attributes
    ----------
    description : str
        The normalisation of the arm in words, which can follow a colon.
    layers : callable
        Function that takes the name of a network and settings of deconvolution layers, and returns the specifications
        of the layers by role.
    deconvolves : bool
        Whether its layers deconvolve, so that it takes settings of deconvolution layers.
    """

    description: str
    layers: "Callable[[str, Mapping[str, Any]], dict[str, LayerSpec]]"
    deconvolves: bool = False


def arm(norm: str, arch: str, **settings: Any) -> "Factories":  # noqa: ANN401
    """Return the makers of a network's layers in an arm of a comparison.

    Parameters
    ----------
    norm : str
        Name of the arm, one of ``NORMS``.
    arch : str
        Name of the network, one of ``NAMES``. Some arms have the settings that were published for it.
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

    return Factories(NORMS[norm].layers(arch, settings))


def _deconv(arch: str, settings: Mapping[str, Any]) -> "dict[str, LayerSpec]":
    defaults = {"first": FIRST_LAYER, "linear": {"block_size": LINEAR_BLOCK}}
    return _deconvolving(DeconvConfig.interleaved, defaults, settings)


def _reference(arch: str, settings: Mapping[str, Any]) -> "dict[str, LayerSpec]":
    published = CATALOGUE[arch].published
    # A network that keeps its normalisations in some roles has one with batch normalisation behind it.
    others = _batch_norm(arch, {}) if None in published.values() else {}
    deconvolving = {role: own for role, own in published.items() if own is not None}
    layers = _deconvolving(DeconvConfig.reference, {**deconvolving, "linear": {"block_size": LINEAR_BLOCK}}, settings)
    return layers | {role: own for role, own in others.items() if _left(role, published)}


def _left(role: str, published: Mapping[str, Mapping[str, Any] | None]) -> bool:
    """Return whether layers in a role do not deconvolve in the published network."""
    from ndtools.models.factories import lineage

    named = [name for name in ("conv", *lineage(role)) if name in published]
    return role != "linear" and bool(named) and published[named[-1]] is None


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


_KEPT = ("n_iter", "block_size")
"""Settings that a role with a value of its own keeps."""


def _normalised(norm: "Norm") -> "Callable[[str, Mapping[str, Any]], dict[str, LayerSpec]]":
    def layers(arch: str, settings: Mapping[str, Any]) -> "dict[str, LayerSpec]":
        from ndtools.models.factories import LayerSpec

        common: dict[str, Any] = {"norm": norm, "bias": False}
        roles = {"conv": {}, **CATALOGUE[arch].normalised}
        return {role: LayerSpec(**common | dict(own)) for role, own in roles.items()} | {"linear": LayerSpec()}

    return layers


_batch_norm = _normalised("batch_norm")


def _plain(arch: str, settings: Mapping[str, Any]) -> "dict[str, LayerSpec]":
    from ndtools.models.factories import plain

    return dict(plain().layers)


NORMS: dict[str, Arm] = {
    "deconv": Arm("deconvolution in every layer, in the default form, and no normalisation", _deconv, True),
    "deconv-reference": Arm(
        "deconvolution as in the published code, with its settings of each network", _reference, True
    ),
    "bn": Arm("batch normalisation", _batch_norm),
    "gn": Arm("group normalisation, in 32 groups of channels", _normalised("group_norm")),
    "ln": Arm("layer normalisation of each image over its channels and pixels", _normalised("layer_norm")),
    "none": Arm("no normalisation", _plain),
}
"""All arms by name."""
