"""Statistics of evaluation, taken anew."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

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

    Raises
    ------
    ValueError
        If the model has no deconvolution layers, or there is no batch; the statistics are then as before.
    """
    layers = [module for module in model.modules() if isinstance(module, Whitening)]
    if not layers:
        raise ValueError(f"there is no deconvolution layer in this {type(model).__name__}")
    device = next((tensor.device for tensor in model.parameters()), layers[0].num_batches_tracked.device)
    modes = {module: module.training for module in model.modules()}
    before = [{name: buffer.clone() for name, buffer in layer.named_buffers()} for layer in layers]
    count = 0
    try:
        model.eval()
        for layer in layers:
            layer.average_all()
        with torch.no_grad():
            for batch in batches:
                inputs = batch if isinstance(batch, Tensor) else batch[0]
                model(inputs.to(device))
                count += 1
        if not count:
            raise ValueError("there is no batch to take the statistics from")
        for layer, buffers in zip(layers, before, strict=True):
            layer.keep_averages(int(buffers["num_batches_tracked"]))
    except BaseException:
        for layer, buffers in zip(layers, before, strict=True):
            layer.keep_averages()
            for name, buffer in layer.named_buffers():
                buffer.copy_(buffers[name])
        raise
    finally:
        for module, mode in modes.items():
            module.training = mode
    return count
