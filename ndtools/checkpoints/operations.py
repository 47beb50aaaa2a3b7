"""Converting, folding and inspecting checkpoints of the project's networks."""

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ndtools.checkpoints.config import CheckpointConfig
from ndtools.checkpoints.files import Checkpoint, read_checkpoint
from ndtools.checkpoints.state_dicts import State, save_state
from ndtools.computing.operators import check_memory
from ndtools.errors import DataError, NumericalError, OptionError
from ndtools.layers.config import LINEAR_BLOCK
from ndtools.models.catalogue import Stem
from ndtools.models.factories import LayerSpec
from ndtools.models.spec import NetworkSpec
from ndtools.surgery.audit import audit
from ndtools.surgery.convert import convert
from ndtools.surgery.findings import Audit
from ndtools.surgery.fold import fold, poor_statistics
from ndtools.surgery.plan import Plan, PlanEntry
from ndtools.surgery.replacing import deconvolves
from ndtools.text import counted

__all__ = [
    "ConvertResult",
    "FoldResult",
    "audit_checkpoint",
    "convert_checkpoint",
    "fold_checkpoint",
]

_SIDES: dict[Stem, int] = {"cifar": 32, "imagenet": 224}
"""Side of the images that networks of each form are made for, pixels; those for segmentation have that for ImageNet."""
_EXAMPLES, _EXAMPLE_PIXELS = 8, 8 * 112**2  # that a folded network is compared for, at most


@dataclass(frozen=True, eq=False)
class ConvertResult:
    """A network that was turned into its deconvolution form.

    Attributes
    ----------
    network : NetworkSpec
        Specification of its network.
    state : dict of Tensor
        Weights and statistics of the network.
    plan : Plan
        Result of the conversion for each layer: converted, removed or kept.
    given : Checkpoint
        The checkpoint that was converted. One of the published code was translated, and computes the same function;
        any other became a network that must be trained.
    """

    network: NetworkSpec
    state: State
    plan: Plan
    given: Checkpoint

    def save(self, path: Path) -> None:
        """Write the checkpoint."""
        save_state(path, self.state, asdict(self.network))

    def numbers(self) -> dict[str, Any]:
        """Return the values of the command's JSON output by key."""
        counts = {name: getattr(self.plan, name) for name in ("converted", "removed", "kept")}
        entries = [asdict(entry) for entry in self.plan.entries]
        return {
            "network": asdict(self.network),
            "published": self.given.published,
            "settings_assumed": self.given.assumed,
            **counts,
            "layers": entries,
        }


@dataclass(frozen=True, eq=False)
class FoldResult:
    """A network whose deconvolution was merged into plain layers.

    Attributes
    ----------
    network : NetworkSpec
        Specification of its network, of the form "plain".
    state : dict of Tensor
        Weights of the network.
    max_difference : float
        Largest difference between its logits and those of the original network in evaluation mode, for random images.
    largest : float
        Largest absolute value of these logits.
    images, size : int
        Number of these images, and their side in pixels.
    layers : int
        Number of layers that were folded.
    given : Checkpoint
        The checkpoint that was folded.
    """

    network: NetworkSpec
    state: State
    max_difference: float
    largest: float
    images: int
    size: int
    layers: int
    given: Checkpoint

    def save(self, path: Path) -> None:
        """Write the checkpoint."""
        save_state(path, self.state, asdict(self.network))

    def numbers(self) -> dict[str, Any]:
        """Return the values of the command's JSON output by key."""
        return {
            "network": asdict(self.network),
            "max_difference": self.max_difference,
            "largest_output": self.largest,
            "images": self.images,
            "size": self.size,
            "layers": self.layers,
            "settings_assumed": self.given.assumed,
        }


def convert_checkpoint(config: CheckpointConfig) -> ConvertResult:
    """Translate a checkpoint into one with deconvolution layers.

    Checkpoints of the published code are translated exactly. Weights of networks without normalisation, or with batch
    normalisation, are carried over by the rules of :func:`ndtools.surgery.convert.convert`; such a network must
    then be trained.

    Parameters
    ----------
    config : CheckpointConfig
        The checkpoint, and what its user knows of it.

    Returns
    -------
    ConvertResult
        The network in its deconvolution form.

    Raises
    ------
    DataError
        If the file cannot be read, is not one of the network, or has deconvolution layers of this project already, or
        normalisations that a conversion keeps.
    OptionError
        If options contradict the file, or ``arch`` is needed.
    """
    given = read_checkpoint(config)
    network, state = given.network, given.state
    if given.published:
        return ConvertResult(network, state, _translation(network), given)
    if network.form == "deconv":
        raise DataError(f"{config.source}: it has deconvolution layers of ndtools already; nothing to convert")
    if network.form in _KEPT:
        raise DataError(
            f"{config.source}: the network has {_KEPT[network.form]}, which stays in a conversion: convert a network"
            " with batch normalisation or without normalisation"
        )
    settings = config.settings.by_role(block_sizes={"linear": LINEAR_BLOCK})
    layers = {role: LayerSpec(deconv=own) if own else network.layer(role) for role, own in settings.items()}
    target = replace(network, layers=layers)
    result = target.outline()
    converted, plan = convert(
        network.holding(state),
        lambda _, module: target.layer(str(module.role)).deconv,
        first=target.layer("first").deconv,
        inplace=True,
    )
    if not target.describes(converted):
        raise DataError(
            f"{config.source}: the layers that config leaves as they are have normalisations that no specification"
            " describes: convert the network in Python (ndtools.convert), and write its state_dict with torch.save"
        )
    pairs = zip(_deconvolving(converted), _deconvolving(result), strict=True)  # names differ where norms are gone
    renamed = {before: after for (before, _), (after, _) in pairs}
    tensors = dict(zip(result.state_dict(), converted.state_dict().values(), strict=True))
    return ConvertResult(target, tensors, _as_written(plan, renamed), given)


_KEPT = {
    "group_norm": "group normalisation",
    "layer_norm": "layer normalisation",
    "iter_norm": "iterative normalisation",
}


def _as_written(plan: Plan, renamed: dict[str, str]) -> Plan:
    """Return a plan with the names of the file that is written, and those of the source where they are others."""
    if all(before == after for before, after in renamed.items()):
        return plan
    entries = []
    for entry in plan.entries:
        name = renamed.get(entry.name, entry.name)
        said = "" if entry.name in renamed and name == entry.name else f"{entry.name} in the source"
        entries.append(replace(entry, name=name, reason="; ".join(filter(None, (entry.reason, said)))))
    return Plan(tuple(entries))


def _deconvolving(model: nn.Module) -> list[tuple[str, nn.Module]]:
    return [(name, module) for name, module in model.named_modules() if deconvolves(module)]


def _translation(network: NetworkSpec) -> Plan:
    entries = []
    for name, module in network.outline().named_modules():
        kind = type(module).__name__
        if deconvolves(module):
            was = "Delinear" if kind == "DeconvLinear" else "FastDeconv"
            entries.append(PlanEntry(name, was, kind, "converted", "translated from the published code"))
        elif module._parameters:
            does = "is there" if isinstance(module, nn.BatchNorm2d) else "does not deconvolve"
            entries.append(PlanEntry(name, kind, kind, "kept", f"{does} in the published network, too"))
    return Plan(tuple(entries))


def fold_checkpoint(config: CheckpointConfig, *, size: int | None = None, seed: int = 0) -> FoldResult:
    """Merge the deconvolution of a trained network into its weights.

    Parameters
    ----------
    config : CheckpointConfig
        The checkpoint, and what its user knows of it.
    size : int, optional
        Side of the example images, pixels. Default: 224 for networks for ImageNet and for segmentation, otherwise 32.
    seed : int
        Seed of the example images, whose pixels are independent and normal. There are eight of up to 112 pixels a side,
        and fewer of larger ones, at least one.

    Returns
    -------
    FoldResult
        The network of plain layers, built by :func:`ndtools.models.factories.plain`.

    Raises
    ------
    DataError
        If the file cannot be read, is not one of the network, or has nothing to fold, or is not of a trained network.
    NumericalError
        If its statistics are not finite or indefinite, or the outputs for the example are not finite.
    """
    given = read_checkpoint(config)
    network = given.network
    if network.form != "deconv":
        raise DataError(f"{config.source}: the network has no deconvolution layers: there is nothing to fold")
    model = network.holding(given.state).eval()
    side = size if size is not None else _SIDES[network.stem]
    count = max(1, min(_EXAMPLES, _EXAMPLE_PIXELS // max(1, side) ** 2))
    example = _images(given, count, side, seed)
    if poor := poor_statistics(model):
        raise NumericalError(f"{config.source}: {poor}")
    try:
        folded, difference = fold(model, example)
    except ValueError as error:
        raise DataError(f"{config.source}: {error}") from None
    with torch.no_grad():
        largest = float(folded(example).abs().max())
    if not math.isfinite(difference) or not math.isfinite(largest):
        raise NumericalError(f"{config.source}: outputs for random images are not finite; nothing is written")
    assert isinstance(folded.spec, NetworkSpec)  # all layers in a role are folded alike
    layers = len(_deconvolving(model))
    return FoldResult(folded.spec, folded.state_dict(), difference, largest, count, side, layers, given)


def audit_checkpoint(
    config: CheckpointConfig, *, batch_size: int = 128, size: int = 32, seed: int = 0
) -> tuple[Checkpoint, Audit]:
    """Inspect the deconvolution layers of a network.

    Parameters
    ----------
    config : CheckpointConfig
        The checkpoint, and what its user knows of it.
    batch_size : int
        Number of images in a training batch.
    size : int
        Side of the training images, pixels.
    seed : int
        Seed of the random images that stand in for a training batch; only their size matters.

    Returns
    -------
    given : Checkpoint
        Contents of the checkpoint.
    audit : Audit
        Properties of each deconvolution layer.

    Raises
    ------
    DataError
        If the file cannot be read, is not one of the network, or has no deconvolution layers.
    """
    given = read_checkpoint(config)
    findings = audit(given.network.holding(given.state), _images(given, batch_size, size, seed))
    if not findings.rows:
        norms = f" but {counted(len(findings.batch_norms), 'batch normalisation')}" if findings.batch_norms else ""
        raise DataError(
            f"{config.source}: the network has no deconvolution layers{norms}: there is nothing to inspect; see"
            " ndtools convert"
        )
    return given, findings


def _images(given: Checkpoint, count: int, size: int, seed: int) -> Tensor:
    if size < 32:
        raise OptionError("size", f"must be at least 32, got {size}: these networks halve images five times")
    if count < 1:
        raise OptionError("batch_size", f"must be at least 1, got {count}")
    dtype = next(value.dtype for value in given.state.values() if value.is_floating_point())
    # A network holds its input, the patches of the input, or 64 channels of features at full size.
    one = (given.network.in_channels + 64) * size**2 * dtype.itemsize
    check_memory("size", size, one, torch.device("cpu"))
    check_memory("batch_size", count, count * one, torch.device("cpu"))
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, given.network.in_channels, size, size, generator=generator, dtype=dtype)
