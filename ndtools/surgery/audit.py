"""Inspection of a network's deconvolution layers: blocks, samples, condition, residual and padding."""

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
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
from ndtools.surgery.fold import call, check_example, copied
from ndtools.surgery.replacing import copy_of, deconvolves, whitening_of
from ndtools.text import counted

__all__ = ["Audit", "AuditRow", "audit"]

MUCH_PADDING = 1 / 3  # share of the sampled pixels that is worth a note
_KEY = (
    "rows/f: samples of a training batch for each feature of a block; at most 1 is too few",
    "condition: of the covariance + eps; residual: distance of D from its inverse square root (0: exact)",
)
_MEANINGS = {
    "non-finite": "non-finite statistics: train again, or estimate them anew (ndtools.recalibrate)",
    "singular": "singular statistics: choose a larger eps, or take more samples",
}


@dataclass(frozen=True)
class AuditRow:
    """Findings on one deconvolution layer.

    Attributes
    ----------
    name : str
        Name of the layer in the network.
    kind : str
        Type of the layer.
    blocks : tuple of (int, int)
        Number of blocks and number of channels of each, for one or two sizes of blocks.
    features : int
        Number of features of a block: channels times pixels of the kernel. With two sizes of blocks, that of the size
        with fewer rows per feature.
    rows : int or None
        Number of samples of a block's covariance in one training batch of one process; the smallest number, if the
        layer is applied several times. None without an example, or if the example does not reach the layer.
    rows_per_feature : float or None
        Ratio of rows to features. The covariance is singular if it is not above 1.
    condition : float or None
        Condition number of the running covariance + eps, or of D where D is averaged instead; the largest of all
        blocks. Infinite if a block is singular to rounding, that is, if its smallest eigenvalue is at most √d times the
        precision of the statistics times the largest. NaN if a block is not finite. None before training.
    residual : float or None
        Distance of D from A^(-1/2): ‖D A D − I‖_F/√d for the running covariance + eps, A; the largest of all blocks.
        NaN if a block of A or D is not finite. None before training, and where D is averaged.
    padding_share : float or None
        Share of padding among the pixels of the sampled patches.
    frozen : bool
        Whether training leaves the statistics as they are, after the configured number of batches.
    batches : int
        Number of training batches in the statistics.
    shrinkage : str
        Shrinkage of the covariance, as in `DeconvConfig`.
    grid : str
        Positions of the sampled patches, as in `DeconvConfig`.
    """

    name: str
    kind: str
    blocks: tuple[tuple[int, int], ...]
    features: int
    rows: int | None
    rows_per_feature: float | None
    condition: float | None
    residual: float | None
    padding_share: float | None
    frozen: bool
    batches: int
    shrinkage: str
    grid: str

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes: "few samples" for at most one sample per feature, "much padding" for a share above a third."""
        few = self.rows_per_feature is not None and self.rows_per_feature <= 1
        padded = self.padding_share is not None and self.padding_share > MUCH_PADDING
        return ("few samples",) * few + ("much padding",) * padded

    @property
    def trouble(self) -> str:
        """Problem of the statistics: "non-finite", "singular", or "" for none."""
        numbers = [number for number in (self.condition, self.residual) if number is not None]
        if any(map(math.isnan, numbers)):
            return "non-finite"
        return "singular" if any(map(math.isinf, numbers)) else ""


@dataclass(frozen=True)
class Audit:
    """Findings on a network: its deconvolution layers, and the batch normalisations that it still has.

    Attributes
    ----------
    rows : tuple of AuditRow
        Findings on each deconvolution layer, in the order of the network.
    batch_norms : tuple of str
        Names of the batch normalisations.
    """

    rows: tuple[AuditRow, ...]
    batch_norms: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """Answer in a sentence to the question whether the statistics can be trusted; empty without such layers."""
        if not self.rows:
            return ""
        bad, few, new = (
            sum(map(found, self.rows))
            for found in (
                lambda row: row.trouble != "",
                lambda row: "few samples" in row.notes,
                lambda row: not row.batches,
            )
        )
        of = counted(len(self.rows), "layer")
        if bad:
            return f"the statistics of {bad} of {of} cannot be used"
        if new == len(self.rows):
            return "there are no statistics yet: no layer has seen a training batch"
        if few:
            return f"the statistics of {few} of {of} come from too few samples to be trusted"
        measured = "finite, nowhere singular" + (", of more samples than features" if self._counted else "")
        unseen = f"; {new} of {of} saw no training batch" if new else ""
        return f"the statistics can be trusted: {measured}{unseen}"

    @property
    def _counted(self) -> bool:
        return all(row.rows_per_feature is not None for row in self.rows)

    def warnings(self) -> tuple[str, ...]:
        """Return warnings about the layers, each with a remedy.

        Returns
        -------
        tuple of str
            One sentence for each problem; empty if there is none.
        """
        few, padded = ([r for r in self.rows if note in r.notes] for note in ("few samples", "much padding"))
        said = []
        for trouble, meaning in _MEANINGS.items():
            names = [row.name or "(model)" for row in self.rows if row.trouble == trouble]
            if names:
                more = f" and {len(names) - 3} more" if len(names) > 3 else ""
                said.append(f"{', '.join(names[:3])}{more}: {meaning}")
        if few:
            weakened = (
                " (shrinkage='auto' weakens their correlations)" if any(r.shrinkage == "none" for r in few) else ""
            )
            said.append(
                f"{_layers(few)} no more samples than features: take larger batches or smaller blocks{weakened}"
            )
        if padded:
            staggered = ", or grid='staggered' in place of 'corner'" if any(r.grid == "corner" for r in padded) else ""
            said.append(
                f"{_layers(padded)} more than a third of padding in the sampled patches: take larger images{staggered}"
            )
        return tuple(said)

    def numbers(self) -> dict[str, Any]:
        """Return the contents as plain values, for JSON.

        Returns
        -------
        dict
            The attributes and the verdict. Each row also has ``trouble``: "singular" if the condition is infinite, and
            "non-finite" if the condition or the residual is NaN. These numbers are None in the row, as JSON does not
            have them.
        """
        rows = [asdict(row) | {"trouble": row.trouble} for row in self.rows]
        for row in rows:
            row |= {key: None for key, value in row.items() if isinstance(value, float) and not math.isfinite(value)}
        return asdict(self) | {"rows": rows, "verdict": self.verdict}

    def __str__(self) -> str:
        lines = [_HEAD, *map(_cells, self.rows)]
        widths = [max(len(line[i]) for line in lines) for i in range(len(_HEAD))]
        numeric = range(_HEAD.index("features"), len(_HEAD) - 1)
        table = [
            "  ".join(
                c.rjust(w) if i in numeric else c.ljust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))
            )
            for line in lines
        ]
        left = f": {', '.join(self.batch_norms)}" if self.batch_norms else ""
        layers, norms = (
            counted(len(self.rows), "deconvolution layer"),
            counted(len(self.batch_norms), "batch normalisation"),
        )
        count = f"{layers}, {norms} left{left}"
        verdict = [*_KEY, count, f"verdict: {self.verdict}"] if self.rows else [count]
        return "\n".join([*(line.rstrip() for line in table), *verdict, *self.warnings()])


_HEAD = (*["name", "kind", "blocks", "features", "rows", "rows/f", "condition", "residual", "padding", "batches"], "")


def _cells(row: AuditRow) -> tuple[str, ...]:
    return (
        row.name or "(model)",
        row.kind,
        "+".join(f"{count}×{size}" for count, size in row.blocks),
        str(row.features),
        "-" if row.rows is None else str(row.rows),
        *map(_cell, (row.rows_per_feature, row.condition, row.residual)),
        "-" if row.padding_share is None else f"{row.padding_share:.0%}",
        f"{row.batches}{' frozen' if row.frozen else ''}",
        ", ".join(row.notes),
    )


def _layers(rows: list[AuditRow]) -> str:
    return "1 layer has" if len(rows) == 1 else f"{len(rows)} layers have"


def _cell(number: float | None) -> str:
    if number is None:
        return "-"
    if math.isinf(number):
        return "singular"
    return "non-finite" if math.isnan(number) else f"{number:.3g}"


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
