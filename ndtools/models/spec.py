"""Specification of a network of this package, from which it can be built again; files store it."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from ndtools.models.catalogue import EARLIER_NAMES, Stem, build
from ndtools.models.factories import Factories, LayerSpec, layer_in

__all__ = ["NetworkSpec"]


@dataclass(frozen=True, kw_only=True)
class NetworkSpec:
    """Specification of a network: its architecture, its size, and the settings of its layers by their role.

    `ndtools.models.build` attaches it to the network as ``spec``; `ndtools.convert` and `ndtools.fold` attach that of
    the network they return; checkpoints store it.

    Attributes
    ----------
    arch : str
        Name of the architecture, one of :data:`ndtools.models.NAMES` or :data:`ndtools.models.SEGMENTATION_NAMES`. The
        name that it had in ndtools 0.1 becomes its present name.
    num_classes : int
        Number of outputs, for each image or for each pixel.
    in_channels : int
        Number of channels of the images.
    layers : mapping of str to LayerSpec
        Kind and settings of the layers by role, see :mod:`ndtools.models.factories`. "conv" and "linear" are always
        there; a role with the same settings as the role that stands in for it is left out, so that equal networks have
        equal specifications.
    stem : {"cifar", "imagenet"}
        Form of the network, as in `ndtools.models.build`.
    """

    arch: str
    num_classes: int
    in_channels: int
    layers: Mapping[str, LayerSpec]
    stem: Stem = "cifar"

    def __post_init__(self) -> None:
        object.__setattr__(self, "arch", EARLIER_NAMES.get(self.arch, self.arch))
        layers = {"conv": LayerSpec(), "linear": LayerSpec(), **self.layers}
        needed = {}
        for role, spec in layers.items():
            others = {name: other for name, other in layers.items() if name != role}
            if role in ("conv", "linear") or layer_in(others, role) != spec:
                needed[role] = spec
        object.__setattr__(self, "layers", needed)

    def layer(self, role: str) -> LayerSpec:
        """Return the kind and settings of the layers in a role."""
        return layer_in(self.layers, role)

    @property
    def form(self) -> str:
        """Kind of most networks in a word: "deconv", the normalisation of its layers, or "plain"."""
        if any(layer.deconv for layer in self.layers.values()):
            return "deconv"
        return next((layer.norm for layer in self.layers.values() if layer.norm != "none"), "plain")

    def build(self) -> nn.Module:
        """Build the network, untrained."""
        return build(
            self.arch,
            Factories(self.layers),
            num_classes=self.num_classes,
            in_channels=self.in_channels,
            stem=self.stem,
        )

    def outline(self) -> nn.Module:
        """Build the network on torch's meta device, where tensors have shapes but take no memory."""
        with torch.device("meta"):
            return self.build()

    def describes(self, model: nn.Module) -> bool:
        """Return whether a network has the layers of this specification, with the same hyperparameters."""
        return _layers(model) == _layers(self.outline())

    def holding(self, state: dict[str, torch.Tensor]) -> nn.Module:
        """Build the network around the tensors of a state dict, which it shares.

        Parameters
        ----------
        state : dict of Tensor
            State dict of such a network, whose floating-point tensors have one dtype.

        Returns
        -------
        Module
            The network, in training mode.
        """
        model = self.outline().to(next(value.dtype for value in state.values() if value.is_floating_point()))
        model.load_state_dict(state, assign=True)
        return model


def _layers(model: nn.Module) -> list[tuple[str, str]]:
    """Return the types and hyperparameters of a network's layers, without those that do nothing."""
    nothing = (nn.Sequential, nn.Identity)  # the published networks are numbered without them
    return [(type(m).__name__, m.extra_repr()) for m in model.modules() if not isinstance(m, nothing)]
