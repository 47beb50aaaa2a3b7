"""Training passes through a layer, so that activation checkpointing repeats each one by its own statistics."""

import warnings
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ndtools.errors import NumericalWarning
from ndtools.layers.running import Statistics

__all__ = ["Pass", "Passes", "Source"]

Source = Literal["running", "last", "batch"]
"""Origin of the statistics that a training batch is whitened by, see `RunningStatistics.next_source`."""

MOST = 64  # passes that are remembered
VALUES = 256  # numbers of an input, about, by which it is recognised
ALIKE = 1e-2  # largest relative difference of an input that is computed again, perhaps by other kernels in bfloat16

AMBIGUOUS = (
    "the same input went through a deconvolution layer several times before activation checkpointing repeats one of"
    " these passes; which one is not known, so its statistics, and the gradient, may be those of another; exclude the"
    " layer from checkpointing, or run the backward pass before the next forward pass"
)


@dataclass(eq=False)
class Pass:
    """Training pass of one batch.

    Attributes
    ----------
    source : {"running", "last", "batch"}
        Origin of the statistics.
    turn : int
        Number of images that used the staggered grids before.
    values : Tensor
        Some of the input's numbers.
    kind : tuple
        Shape, dtype and device of the input.
    statistics : Statistics, optional
        Mean and D of an earlier batch that this pass used, if a later one has replaced them.
    repeated : bool
        Whether the pass was computed a second time already.
    """

    source: Source
    turn: int
    values: Tensor
    kind: tuple[torch.Size, torch.dtype, torch.device]
    statistics: Statistics | None = None
    repeated: bool = False


class Passes:
    """The newest training passes of a layer, each recognised by its input.

    Activation checkpointing computes a pass again during the backward pass, perhaps after others of the same layer. It
    does not say which, but gives the same input again.
    """

    def __init__(self) -> None:
        self._passes: deque[Pass] = deque(maxlen=MOST)

    def add(self, x: Tensor, source: Source, turn: int) -> Pass:
        """Remember and return a pass; forget the oldest one if there are too many."""
        self._passes.append(Pass(source, turn, _some_values(x), (x.shape, x.dtype, x.device)))
        return self._passes[-1]

    def again(self, x: Tensor) -> Pass:
        """Return the pass that is computed a second time.

        Parameters
        ----------
        x : Tensor
            Input of the layer.

        Returns
        -------
        Pass
            Pass of the same input; of several, the newest that was not repeated before.

        Warns
        -----
        NumericalWarning
            If several passes had this input, and other statistics: which of them is repeated cannot be known.

        Raises
        ------
        RuntimeError
            If no remembered pass had this input.
        """
        kind, values = (x.shape, x.dtype, x.device), _some_values(x)
        passes = [each for each in self._passes if each.kind == kind]
        if passes:
            far = (torch.stack([each.values for each in passes]) - values).abs().amax(-1)
            *distances, size = torch.cat([far, values.abs().amax(-1, keepdim=True)]).tolist()
            ranks = [
                (-distance, not each.repeated, i)
                for i, (distance, each) in enumerate(zip(distances, passes, strict=True))
            ]
            distance, _, i = max(ranks)
            if -distance <= ALIKE * size:
                alike = [
                    each
                    for near, each in zip(distances, passes, strict=True)
                    if near <= ALIKE * size and not each.repeated
                ]
                if any((each.source, each.turn) != (passes[i].source, passes[i].turn) for each in alike):
                    warnings.warn(AMBIGUOUS, NumericalWarning, stacklevel=2)
                passes[i].repeated = True
                return passes[i]
        raise RuntimeError(
            "activation checkpointing repeats a training pass whose statistics are no longer known: a deconvolution"
            f" layer remembers its newest {MOST} passes, and none from before the last refresh but one"
            " (refresh_every); run the backward pass sooner, or exclude the layer from checkpointing"
        )

    def replace_last(self, statistics: Callable[[], Statistics]) -> None:
        """Prepare for a refresh: passes by the statistics that it replaces keep a copy, older ones are forgotten.

        Parameters
        ----------
        statistics : callable
            Function that returns copies of the statistics, called only if they are needed.
        """
        by_last = [each for each in self._passes if each.source == "last"]
        if not by_last:
            return
        copies = statistics()
        for each in by_last:
            if each.statistics is not None:
                self._passes.remove(each)
            each.statistics = copies


def _some_values(x: Tensor) -> Tensor:
    """Return some of the numbers of a tensor, in one dimension."""
    each = max(1, round(VALUES ** (1 / max(1, x.dim()))))
    steps = [-(-n // each) for n in x.shape]
    values = x.detach()[tuple(slice(step // 2, None, step) for step in steps)]
    return values.flatten().clone().nan_to_num()
