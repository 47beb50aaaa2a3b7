"""How a layer deconvolves its input."""

from dataclasses import dataclass

from ndtools.errors import OptionError

__all__ = ["DeconvConfig"]


@dataclass(frozen=True, kw_only=True)
class DeconvConfig:
    """Settings of a deconvolution layer; the defaults are those of Ye et al. 2020 for layers within a network.

    Attributes
    ----------
    block_size : int, optional
        Features that are decorrelated together, contiguous ones; what is left over is a smaller block. All features
        by default.
    n_iter : int
        Iterations of coupled Newton-Schulz. 5 in the paper, 15 in its first layer.
    eps : float
        Ridge added to the covariance, above 0.
    momentum : float
        Share of the newest batch in the moving averages, in (0, 1].
    """

    block_size: int | None = None
    n_iter: int = 5
    eps: float = 1e-5
    momentum: float = 0.1

    def __post_init__(self) -> None:
        if self.block_size is not None and self.block_size < 1:
            raise OptionError("block_size", f"must be at least 1, got {self.block_size}")
        if self.n_iter < 1:
            raise OptionError("n_iter", f"must be at least 1, got {self.n_iter}")
        if not self.eps > 0:
            raise OptionError("eps", f"must be above 0, got {self.eps}")
        if not 0 < self.momentum <= 1:
            raise OptionError("momentum", f"must be above 0 and at most 1, got {self.momentum}")
