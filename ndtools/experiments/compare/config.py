"""Configuration of ``ndtools compare``: its settings, with their defaults and limits. Imports nothing heavy."""

import os
from dataclasses import KW_ONLY, dataclass

from ndtools.errors import OptionError
from ndtools.validation import Configuration, check_count, check_run

__all__ = ["CompareConfig"]


@dataclass(frozen=True, repr=False)
class CompareConfig(Configuration):
    """Configuration of a comparison of training runs (Ye et al. 2020, figs. 8 and 12; at first 7 and 11).

    Attributes
    ----------
    runs : tuple of str
        Folders of training runs, folders that hold such folders, or glob patterns of them. One may be given alone, and
        becomes a tuple. The first run belongs to the arm that all others are compared with.
    loss_steps : int
        Number of training steps, from the first, whose loss is drawn. The paper has 1,000.
    smooth : int
        Number of steps over which the drawn loss is averaged, odd; 1 for the loss of each batch. The first
        averages are of fewer steps. The last, which would be too, are drawn only if the run diverged.
    seed : int
        Seed that is recorded with the result. It has no effect, since nothing is random.
    jobs : int, optional
        Number of threads that is recorded with the result. It has no effect.
    device : {"auto", "cpu", "cuda", "mps"}
        Device that is recorded with the result. It has no effect, since nothing is computed on it.
    """

    runs: tuple[str, ...] | str = ("runs",)  # a tuple once it is set
    _: KW_ONLY
    loss_steps: int = 1000
    smooth: int = 11
    seed: int = 0
    jobs: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        check_run(self)
        runs = (self.runs,) if isinstance(self.runs, str | os.PathLike) else self.runs  # also where it is a list
        object.__setattr__(self, "runs", tuple(str(path) for path in runs))
        if not self.runs:
            raise OptionError("runs", "must be one or more folders of training runs")
        check_count("loss_steps", self.loss_steps)
        check_count("smooth", self.smooth, 100_000)
        if self.smooth % 2 == 0:
            raise OptionError("smooth", f"must be odd, so that there is a middle step, got {self.smooth}")
