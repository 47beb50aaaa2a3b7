"""Statistics of evaluation, taken anew."""

import warnings
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from ndtools.errors import NumericalWarning
from ndtools.layers.whitening import Whitening

__all__ = ["recalibrate"]


def recalibrate(model: nn.Module, batches: Iterable[Tensor | Sequence[Tensor]]) -> int:
    """Replace the running statistics of all deconvolution layers by those of all samples of some batches.

    Moving averages remember weights of some steps ago, and weigh a last batch of 3 images like one of 128. Here the
    weights stand still and every sample counts alike, in a small batch as in a large one.

    In evaluation an image is whitened as one of all images, not as one of its batch. So the covariance is that of all
    samples together, about their common mean: the average of the batches' covariances and, besides, the covariance of
    their means, each weighed by its samples. Without the latter it would be too small by the share 1/n in batches of n
    independent samples, and by more where the pixels of an image are alike. For an input that does not depend on
    other samples, as that of the first layer, it does not matter how samples are dealt out to batches. Wu and Johnson
    (2021, *Rethinking "batch" in BatchNorm*, sec. 3) take the variances of batch normalisation alike.

    Where matrices D are averaged (``running="matrix"``, as in the published code), it is the average of the batches'
    matrices, weighed by their samples. With shrinkage, the covariances of batches are shrunk ones.

    Parameters
    ----------
    model : nn.Module
        Network, changed in place: the statistics of its deconvolution layers, also of frozen ones, and nothing else.
        Its other layers (dropout, batch normalisation) are in evaluation mode meanwhile; no gradient is kept. A
        deconvolution layer whitens each batch by that batch's own statistics meanwhile, as in training.
    batches : iterable of Tensor, or of sequences that begin with one
        Inputs, as a loader gives them; moved to the device of the model.

    Returns
    -------
    int
        Number of batches.

    Warns
    -----
    NumericalWarning
        If some layers see none of the batches, because they work in training only: they stay as they are.

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
