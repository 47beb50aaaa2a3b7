"""Inspection of a network's deconvolution layers: blocks, samples, condition, residual and padding."""

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.nn.modules.batchnorm import _BatchNorm

from ndtools.errors import NumericalWarning
from ndtools.layers.checks import check_model
from ndtools.layers.conv import FastDeconvNd, WhitenedConvolution
from ndtools.layers.sampling import Vectors, ZeroStuffed
from ndtools.layers.whitening import Whitening
from ndtools.numerics.products import ridged
from ndtools.surgery.findings import Audit, AuditRow
from ndtools.surgery.fold import call, check_example, copied
from ndtools.surgery.replacing import copy_of, deconvolves, whitening_of

__all__ = ["audit"]


@torch.no_grad()
def audit(model: nn.Module, example: Any = None) -> Audit:  # noqa: ANN401
    """Inspect the deconvolution layers of a network.

    Parameters
    ----------
    model : Module
        Network to inspect. It is not changed.
    example : Tensor, tuple or dict, optional
        Training batch: the argument of the network, a tuple of arguments, or a dict of arguments by name. A copy of the
        network is applied to it in training mode, with batch normalisations in evaluation mode and without
        communication with other processes. Without an example, the findings that depend on the size of the batch are
        None.

    Returns
    -------
    Audit
        Findings with a row for each deconvolution layer; ``print`` shows a table.

    Raises
    ------
    TypeError
        If the model is not a Module, or the network does not accept the example.

    Examples
    --------
    >>> from ndtools.layers.conv import FastDeconv2d
    >>> net = nn.Sequential(FastDeconv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8))
    >>> found = audit(net, torch.randn(10, 3, 12, 12))
    >>> found.rows[0].rows, found.rows[0].features, found.batch_norms
    (160, 27, ('1',))
    """
    check_model(model)
    if example is not None:
        check_example(example)
    if isinstance(model, nn.parallel.DistributedDataParallel):
        model = model.module
    model = copy_of(model)
    layers = {name: module for name, module in model.named_modules() if deconvolves(module)}
    model.eval()
    measured = {name: _measure(whitening_of(module)) for name, module in layers.items()}
    counts = {name: int(whitening_of(module).num_batches_tracked) for name, module in layers.items()}
    frozen = {name: whitening_of(module).frozen for name, module in layers.items()}
    samples = {} if example is None else _samples(model, layers, example)
    rows = []
    for name, module in layers.items():
        whitening = whitening_of(module)
        least, padding = samples.get(name, (None, None))
        sizes = [
            (part.size * whitening.taps, None if least is None else least * (part.blocks if part.shared else 1))
            for part in whitening.parts
        ]
        features, count = min(sizes, key=lambda size: -size[0] if size[1] is None else size[1] / size[0])
        rows.append(
            AuditRow(
                name=name,
                kind=type(module).__name__,
                blocks=tuple((whitening.groups * part.blocks, part.size) for part in whitening.parts),
                features=features,
                rows=count,
                rows_per_feature=None if count is None else count / features,
                condition=measured[name][0],
                residual=measured[name][1],
                padding_share=padding,
                frozen=frozen[name],
                batches=counts[name],
                shrinkage=whitening.config.shrinkage,
                grid=whitening.config.grid,
            )
        )
    left = [name for name, module in model.named_modules() if isinstance(module, _BatchNorm)]
    return Audit(tuple(rows), tuple(left))


def _measure(whitening: Whitening) -> tuple[float | None, float | None]:
    """Return condition and residual of a layer, as in `AuditRow`."""
    if int(whitening.num_batches_tracked) == 0:
        return None, None
    statistics = whitening.running_statistics()
    if whitening.config.running == "matrix":
        return _largest(_conditions(matrix, matrix.dtype) for _, matrix in statistics), None
    conditions, residuals = [], []
    for covariance, (_, matrix) in zip(whitening.running_covariances(), statistics, strict=True):
        d = matrix.cpu().double()
        identity = torch.eye(d.shape[-1], dtype=d.dtype)
        a = ridged(covariance.cpu().double(), whitening.config.eps)
        conditions.append(_conditions(a, covariance.dtype))
        residuals.append((d @ a @ d - identity).norm(dim=(-2, -1)) / math.sqrt(d.shape[-1]))
    return _largest(conditions), _largest(torch.where(each.isfinite(), each, torch.nan) for each in residuals)


def _conditions(matrices: Tensor, dtype: torch.dtype) -> Tensor:
    """Return condition numbers of matrices that were computed in ``dtype``: inf if singular, NaN if not finite."""
    matrices = matrices.cpu().double()
    finite = matrices.isfinite().all(-1).all(-1)
    identity = torch.eye(matrices.shape[-1], dtype=matrices.dtype)
    values = torch.linalg.eigvalsh(torch.where(finite[..., None, None], matrices, identity))
    least, largest = values[..., 0], values[..., -1]
    # In tests with rank-deficient covariances of 27 to 576 features, the ratio of the two was at most 1.1 eps.
    singular = least <= math.sqrt(matrices.shape[-1]) * torch.finfo(dtype).eps * largest
    conditions: Tensor = largest / least
    return conditions.masked_fill(singular, torch.inf).masked_fill(~finite, torch.nan)


def _largest(numbers: Iterable[Tensor]) -> float:
    """Return the largest of all numbers, or NaN if one of them is NaN."""
    return float(torch.cat([each.flatten() for each in numbers]).max())


_SampleCount = tuple[int, float | None]


def _samples(model: nn.Module, layers: dict[str, nn.Module], example: Any) -> dict[str, _SampleCount]:  # noqa: ANN401
    """Return the number of samples that each layer takes from a training batch, and the share of padding in them."""
    taken: dict[str, list[_SampleCount]] = {}

    def note(name: str) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], None]:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            taken.setdefault(name, []).append(_count_samples(module, *args, **kwargs))

        return hook

    model.train()
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.eval()  # SyncBatchNorm would call other processes, and none of them accepts a batch of one
    for name, module in layers.items():
        whitening = whitening_of(module)
        whitening.config = replace(whitening.config, sync=False)
        module.register_forward_pre_hook(note(name), with_kwargs=True)
    with _without_warnings(model):
        call(model, copied(example))
    return {name: min(calls, key=lambda samples: samples[0]) for name, calls in taken.items()}


def _count_samples(module: Any, *args: Any, **kwargs: Any) -> _SampleCount:  # noqa: ANN401
    """Return the number of samples that a layer takes from an input, and the share of padding in them."""
    batch, sampler = module.sampled_input(*args, **kwargs)
    sampling = whitening_of(module).sampling(batch, sampler)
    if isinstance(sampling, Vectors):
        return sampling.gather(batch[..., :1]).shape[-1], None
    sizes: Sequence[int] = batch.shape[2:]
    if isinstance(sampling, ZeroStuffed):  # zeros between pixels are no padding
        sizes = sampling.sizes(sizes)
        sampling = sampling.patches
    inside = torch.ones(len(batch), 1, *sizes, dtype=torch.float64)
    if not isinstance(module, WhitenedConvolution):
        return sampling.gather(inside).shape[-1], None
    if isinstance(module, FastDeconvNd) and module.padding_mode != "zeros":  # then the batch is padded already
        sides = [n for side in reversed(module.padding_sides) for n in side]
        inside = pad(pad(inside, [-n for n in sides]), sides)
    samples = sampling.gather(inside)
    return samples.shape[-1], 1 - float(samples.mean())


@contextmanager
def _without_warnings(model: nn.Module) -> Iterator[None]:
    """Suppress warnings of few samples, which the rows report, and restore the state of torch's random generators."""
    devices = sorted({t.device.index for t in model.parameters() if t.device.type == "cuda"})
    with warnings.catch_warnings(), torch.random.fork_rng(devices=devices):
        warnings.simplefilter("ignore", NumericalWarning)
        yield
