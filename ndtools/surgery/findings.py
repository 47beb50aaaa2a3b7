"""What an audit finds on the deconvolution layers of a network: numbers, notes, a verdict and a table."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from ndtools.text import counted

__all__ = ["Audit", "AuditRow"]

MUCH_PADDING = 1 / 3  # share of the sampled pixels that is worth a note
PARTIAL = (
    0.5  # residual that is worth a note: few Newton-Schulz iterations leave directions of small variance as they are
)
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
        """Notes on what the numbers mean for the layer.

        They are "few samples" for at most one sample per feature, "much padding" for a share above a third, and
        "partial D" for a residual above a half.
        """
        partial = self.residual is not None and self.residual > PARTIAL
        few = self.rows_per_feature is not None and self.rows_per_feature <= 1
        padded = self.padding_share is not None and self.padding_share > MUCH_PADDING
        return ("few samples",) * few + ("much padding",) * padded + ("partial D",) * partial

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
        partial = sum("partial D" in row.notes for row in self.rows)
        removed = f"; D decorrelates only in part in {partial} of {of} (residual above {PARTIAL:g})" if partial else ""
        if few:
            return f"the statistics of {few} of {of} come from too few samples to be trusted{removed}"
        measured = "finite, nowhere singular" + (", of more samples than features" if self._counted else "")
        unseen = f"; {new} of {of} saw no training batch" if new else ""
        return f"the statistics can be trusted: {measured}{unseen}{removed}"

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
