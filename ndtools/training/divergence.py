"""Search for the reason why a loss is not finite: the first layer whose output is not, and the condition there."""

import math
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from ndtools.errors import TrainingDiverged
from ndtools.layers.moments import moments_of
from ndtools.layers.whitening import Whitening
from ndtools.numerics.products import ridged

__all__ = ["check_weights", "diverged"]

_REMEDY = "; lower `lr`, or use `warmup_epochs`"


def diverged(model: nn.Module, forward: Callable[[], object], step: int, loss: float) -> TrainingDiverged:
    """Return the error that says where a network's numbers cease to be finite.

    Parameters
    ----------
    model : Module
        Network, with the weights before the step.
    forward : callable
        Function that runs the network once more on the batch, in training mode.
    step : int
        Number of the step, from 1.
    loss : float
        Loss of the batch, NaN or infinite.

    Returns
    -------
    TrainingDiverged
        The error, with the name of the layer and the condition number of its covariance.
    """
    first = _first(model, forward)
    begin = f"training diverged at step {step}: the loss is {loss}"
    remedy = _REMEDY
    if first is None:
        return TrainingDiverged(f"{begin}, though the outputs of all layers are finite{remedy}", step=step)
    name, layer, x = first
    said = f"{begin}, and the first layer whose output is not finite is {name}"
    condition = None
    if not all(p.isfinite().all() for p in layer.parameters()):
        said += ", whose weights are not finite since an earlier step"
    if isinstance(getattr(layer, "whitening", None), Whitening) and isinstance(x, Tensor) and x.isfinite().all():
        condition = _condition(layer, x)
        said += f", whose covariance has the condition number {condition:.3g}"
        remedy += ", or raise `eps`"
    return TrainingDiverged(said + remedy, step=step, layer=name, condition=condition)


def check_weights(model: nn.Module, step: int) -> None:
    """Raise TrainingDiverged with the first weights that are not finite after a step, if there are any."""
    for name, weights in model.named_parameters():
        if not weights.isfinite().all():
            raise TrainingDiverged(
                f"training diverged at step {step}: after it, {name} is not finite{_REMEDY}",
                step=step,
                layer=name.rpartition(".")[0] or None,
            )


def _first(model: nn.Module, forward: Callable[[], object]) -> tuple[str, nn.Module, object] | None:
    """Run the network; return name, module and input of the first innermost layer whose output is not finite."""
    seen: list[tuple[str, nn.Module, object]] = []

    def hook(name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        def look(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ANN401
            if not seen and isinstance(output, Tensor) and not output.isfinite().all():
                seen.append((name, module, inputs[0] if inputs else None))

        return look

    with ExitStack() as stack, torch.no_grad():
        for name, module in model.named_modules():
            if hasattr(module, "whitening") or not any(True for _ in module.children()):
                stack.callback(module.register_forward_hook(hook(name or type(module).__name__)).remove)
        forward()
    return seen[0] if seen else None


@torch.no_grad()
def _condition(layer: Any, x: Tensor) -> float:  # noqa: ANN401
    """Return the condition number of Cov + eps I of a layer's input, the largest of all blocks, in float64."""
    whitening: Whitening = layer.whitening
    batch, sampler = layer.sampled_input(x.to(layer.weight.dtype) if hasattr(layer, "weight") else x)
    sampling = whitening.sampling(batch, sampler)
    _, _, moments = moments_of(batch.double(), sampling, whitening.parts, whitening.groups, torch.float64)
    largest = 0.0
    for _, covariance in moments:
        values = torch.linalg.eigvalsh(ridged(covariance, whitening.config.eps))
        least, most = values[..., 0].clamp(min=whitening.config.eps), values[..., -1]
        largest = max(largest, float((most / least).max()))
    return largest if math.isfinite(largest) else math.inf
