"""Specifications of networks whose layers were exchanged."""

from dataclasses import replace

from torch import nn

from ndtools.layers.config import DeconvConfig
from ndtools.layers.conv import FastDeconv2d
from ndtools.layers.linear import DeconvLinear
from ndtools.models.spec import NetworkSpec
from ndtools.surgery.replacing import whitening_of

__all__ = ["update_spec"]


def update_spec(model: nn.Module) -> None:
    """Make the specification of a network say what its layers are now.

    A network of :func:`ndtools.models.build` keeps a specification as long as one can say it: all convolutions, except
    the first, have one configuration, or none deconvolves, and no normalisation is left beside them. Otherwise its
    specification becomes None, and :func:`ndtools.save_network` refuses the network. Other networks have no
    specification, and are left alone.

    Parameters
    ----------
    model : Module
        Network whose layers were exchanged.
    """
    spec = getattr(model, "spec", None)
    if isinstance(spec, NetworkSpec):
        model.spec = _spec_now(model, spec)  # type: ignore[assignment]


def _spec_now(model: nn.Module, spec: NetworkSpec) -> NetworkSpec | None:
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d | FastDeconv2d)]
    linear = [m for m in model.modules() if isinstance(m, nn.Linear | DeconvLinear)]
    if any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules()):
        untouched = not any(isinstance(m, FastDeconv2d | DeconvLinear) for m in convolutions + linear)
        return spec if untouched else None
    settings = [_settings(module) for module in convolutions]
    rest = settings[1:] or settings
    linear_settings = [_settings(module) for module in linear]
    if len(set(rest)) > 1 or len(set(linear_settings)) > 1 or (settings[0] is None) != (rest[0] is None):
        return None
    if settings[0] is None:
        return None if linear_settings[0] else replace(spec, form="plain", config=None, first=None, linear=None)
    return replace(spec, form="deconv", config=rest[0], first=settings[0], linear=linear_settings[0])


def _settings(module: nn.Module) -> DeconvConfig | None:
    return whitening_of(module).config if isinstance(module, FastDeconv2d | DeconvLinear) else None
