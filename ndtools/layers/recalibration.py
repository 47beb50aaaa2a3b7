"""Statistics of evaluation, taken anew."""

import warnings
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from ndtools.errors import NumericalWarning
from ndtools.layers.whitening import Whitening

__all__ = ["recalibrate"]


def recalibrate(model: nn.Module, batches: Iterable[Tensor | Sequence[Tensor]]) -> int:
    """Replace the running statistics of all deconvolution layers by plain averages over batches.

    Moving averages remember weights of some steps ago. Here the weights stand still, and all batches count alike.

    Parameters
    ----------
    model : nn.Module
        Network, changed in place: the statistics of its deconvolution layers, also of frozen ones, and nothing else.
        Its other layers (dropout, batch normalisation) are in evaluation meanwhile; no gradient is kept.
    batches : iterable of Tensor, or of sequences that begin with one
        Inputs, as a loader gives them; moved to the device of the model.

    Returns
    -------
    int
        How many batches there were.

    Warns
    -----
    NumericalWarning
        If some layers see none of the batches, as those that work in training only: they stay as they are.

    Raises
    ------
    ValueError
        If the model has no deconvolution layers, or there is no batch; the statistics are then as before.
    """
    layers = {name: module for name, module in model.named_modules() if isinstance(module, Whitening)}
    if not layers:
        raise ValueError(f"there is no deconvolution layer in this {type(model).__name__}")
    some = next(iter(layers.values())).num_batches_tracked
    device = next((tensor.device for tensor in model.parameters()), some.device)
    modes = {module: module.training for module in model.modules()}
    before = {layer: {name: buffer.clone() for name, buffer in layer.named_buffers()} for layer in layers.values()}
    count = 0
    try:
        model.eval()
        for layer in layers.values():
            layer.average_all()
        with torch.no_grad():
            for batch in batches:
                inputs = batch if isinstance(batch, Tensor) else batch[0]
                model(inputs.to(device))
                count += 1
        if not count:
            raise ValueError("there is no batch to take the statistics from")
        unreached = [name for name, layer in layers.items() if not layer.num_batches_tracked]
        for layer, buffers in before.items():
            if not layer.num_batches_tracked:
                _restore(layer, buffers)
            elif buffers["num_batches_tracked"]:
                layer.num_batches_tracked.copy_(buffers["num_batches_tracked"])
    except BaseException:
        for layer, buffers in before.items():
            _restore(layer, buffers)
        raise
    finally:
        for layer in layers.values():
            layer.average_all(False)
        for module, mode in modes.items():
            module.training = mode
    if unreached:
        warnings.warn(
            f"{len(unreached)} of {len(layers)} deconvolution layers see none of the batches in evaluation, and keep"
            f" their statistics: {', '.join(unreached)}",
            NumericalWarning,
            stacklevel=2,
        )
    return count


def _restore(layer: Whitening, buffers: dict[str, Tensor]) -> None:
    for name, buffer in layer.named_buffers():
        buffer.copy_(buffers[name])
