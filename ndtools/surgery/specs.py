"""Specifications of networks whose layers were exchanged."""

from dataclasses import replace

from torch import nn

from ndtools.models.factories import LayerSpec
from ndtools.models.spec import NetworkSpec
from ndtools.surgery.replacing import deconvolves, whitening_of

__all__ = ["update_spec"]


def update_spec(model: nn.Module) -> None:
    """Make the specification of a network say what its layers are now.

    A network of :func:`ndtools.models.build` keeps a specification as long as all layers in a role have the same
    settings. Otherwise its specification becomes None, and :func:`ndtools.save_network` refuses the network. Other
    networks have no specification, and are left alone.

    Parameters
    ----------
    model : Module
        Network whose layers were exchanged.
    """
    spec = getattr(model, "spec", None)
    if isinstance(spec, NetworkSpec):
        model.spec = _spec_now(model, spec)  # type: ignore[assignment]


def _spec_now(model: nn.Module, spec: NetworkSpec) -> NetworkSpec | None:
    layered = (nn.Conv2d, nn.Linear, nn.Identity)
    normalised = {getattr(module, "role", None) for module in model.modules() if not isinstance(module, layered)}
    layers: dict[str, LayerSpec] = {}
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            role = str(getattr(module, "role", ""))
            settings = LayerSpec(
                deconv=whitening_of(module).config if deconvolves(module) else None,
                norm=spec.layer(role).norm if role in normalised else "none",
                bias=module.bias is not None,
            )
            if not role or layers.setdefault(role, settings) != settings:
                return None
    now = replace(spec, layers=layers)
    return now if now.describes(model) else None
