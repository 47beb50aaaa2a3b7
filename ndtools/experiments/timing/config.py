"""Configuration of ``ndtools timing``: its settings, with their defaults and limits. Imports nothing heavy."""

from dataclasses import dataclass

from ndtools.errors import OptionError
from ndtools.experiments.timing.table import TABLE_3
from ndtools.validation import Configuration, check_positive, check_run

__all__ = ["TimingConfig"]


@dataclass(frozen=True, kw_only=True, repr=False)
class TimingConfig(Configuration):
    """Configuration of the times of a layer's stages (Ye et al. 2020, table 3).

    Attributes
    ----------
    rows : tuple of int
        Rows of the table, counted from 1; all by default.
    batch_size : int
        Number of images in a batch. 128 in the paper, which takes some GB and minutes.
    repeats : int
        Number of measurements whose median is taken, after one that is discarded.
    backward : bool
        Whether the backward pass of each stage is timed, too.
    seed : int
        Seed of the random images and weights.
    jobs : int, optional
        Number of threads of torch's operators. The default is torch's own.
    device : {"auto", "cpu", "cuda", "mps"}
        Device that computes; "auto" is CUDA where there is a device.
    """

    rows: tuple[int, ...] = tuple(range(1, len(TABLE_3) + 1))
    batch_size: int = 4
    repeats: int = 3
    backward: bool = False
    seed: int = 0
    jobs: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        check_run(self)
        check_positive(self, "batch_size", "repeats")
        if not self.rows:
            raise OptionError("rows", f"must be one row or more, from 1 to {len(TABLE_3)}")
        for row in self.rows:
            if not 1 <= row <= len(TABLE_3):
                raise OptionError("rows", f"must be from 1 to {len(TABLE_3)}, the rows of table 3, got {row}")
        if len(set(self.rows)) < len(self.rows):
            raise OptionError("rows", "must name each row once")
