"""Recalibration: new estimates of the statistics that evaluation uses."""

import warnings
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from ndtools.errors import NumericalWarning
from ndtools.layers.checks import check_model
from ndtools.layers.whitening import Whitening

__all__ = ["recalibrate"]


def recalibrate(model: nn.Module, batches: Iterable[Tensor | Sequence[Tensor]]) -> int:
    """Replace the running statistics of all deconvolution layers by those of all samples of some batches.

    Moving averages include batches from before the last changes of the weights, and give a last batch of 3 images the
    same weight as one of 128. Here the weights do not change, and every sample has equal weight in batches of any size.

    In evaluation an image is whitened as one of all images, not as one of its batch. The covariance is therefore that
    of all samples together, about their common mean: the average of the batches' covariances plus the covariance of
    the batches' means, both weighted by the number of samples. Without the second term it would be too small by a
    share of 1/n in batches of n independent samples, and by more where the pixels of an image are alike. All positions
    of the convolution are samples, whatever the sampling stride, a few images at a time. For inputs that do not depend
    on other samples, such as those of the first layer, the result does not depend on how samples are divided into
    batches. Wu and Johnson (2021, *Rethinking "batch" in BatchNorm*, sec. 3) compute the variances of
    batch normalisation in the same way.

    Where matrices D are averaged (``running="matrix"``, as in the published code), the result is the average of the
    batches' matrices, weighted by the number of samples. With the shrinkage "lw" or "oas", the covariances of the
    batches are shrunk; "auto" leaves them as they are. With "lw", which needs all samples of a batch at once, the
    sampling stride is that of training.

    Parameters
    ----------
    model : nn.Module
        Network, changed in place: only the statistics of its deconvolution layers change, also those of frozen layers.
        Meanwhile its other layers (dropout, batch normalisation) are in evaluation mode, no gradient is kept, and each
        deconvolution layer whitens a batch by that batch's own statistics, as in training.
    batches : iterable of Tensor, or of sequences that begin with one
        Batches of inputs, as a loader returns them; they are moved to the device of the model.

    Returns
    -------
    int
        Number of batches that were used.

    Warns
    -----
    NumericalWarning
        If no batch reaches some layers, because they are used in training only. Their statistics are not changed.

    Raises
    ------
    ValueError
        If the model has no deconvolution layers, or there is no batch. The statistics are not changed then.
    TypeError
        If the model is not a Module, or ``batches`` is a single tensor or holds no tensors. The statistics are not
        changed then.
    """
    check_model(model)
    if isinstance(batches, Tensor):
        raise TypeError(
            f"batches must be an iterable of batches, got one Tensor of shape {tuple(batches.shape)}: pass [x] for one"
            " batch x, or x.split(100) for batches of 100 samples"
        )
    given: object = batches
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise TypeError(f"batches must be an iterable of batches, such as a loader, got {type(batches).__name__}")
    layers = {name: module for name, module in model.named_modules() if isinstance(module, Whitening)}
    if not layers:
        raise ValueError(f"there is no deconvolution layer in this {type(model).__name__}")
    some = next(iter(layers.values())).num_batches_tracked
    device = next((tensor.device for tensor in model.parameters()), some.device)
    modes = {module: module.training for module in model.modules()}
    before = {
        layer: ({name: buffer.clone() for name, buffer in layer.named_buffers()}, layer.refreshed)
        for layer in layers.values()
    }
    count = 0
    try:
        model.eval()
        for layer in layers.values():
            layer.average_all()
        with torch.no_grad():
            for batch in batches:
                model(_inputs(batch).to(device))
                count += 1
        if not count:
            raise ValueError("there is no batch to take the statistics from")
        unreached = [name for name, layer in layers.items() if not layer.num_batches_tracked]
        for layer, (buffers, refreshed) in before.items():
            if not layer.num_batches_tracked:
                _restore(layer, buffers, refreshed)
            elif buffers["num_batches_tracked"]:
                layer.num_batches_tracked.copy_(buffers["num_batches_tracked"])
    except BaseException:
        for layer, (buffers, refreshed) in before.items():
            _restore(layer, buffers, refreshed)
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


def _inputs(batch: object) -> Tensor:
    inputs = batch[0] if isinstance(batch, Sequence) and len(batch) else batch
    if not isinstance(inputs, Tensor):
        raise TypeError(
            "batches must hold Tensors, or sequences that begin with one, such as (inputs, targets), got"
            f" {type(batch).__name__}"
        )
    return inputs


def _restore(layer: Whitening, buffers: dict[str, Tensor], refreshed: bool) -> None:
    for name, buffer in layer.named_buffers():
        buffer.copy_(buffers[name])
    layer.refreshed = refreshed
