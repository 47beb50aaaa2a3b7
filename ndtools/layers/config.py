"""Settings of the deconvolution in a layer."""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

from ndtools.errors import OptionError

__all__ = ["DeconvConfig"]


@dataclass(frozen=True, kw_only=True)
class DeconvConfig:
    """Settings of a deconvolution layer; the defaults follow the text of Ye et al. 2020 for layers within a network.

    Attributes
    ----------
    block_size : int, "auto" or None
        Number of channels that are decorrelated together, with all pixels of the kernel; channels left over form a
        smaller block. "auto" is 64, as in the paper, halved until a block has at most 576 features (channels times
        pixels of the kernel): 64 for kernels of up to 9 pixels, 16 for 5×5 and 3×3×3, 8 for 7×7. The cost of D grows
        with the cube of the features. None is all channels of the layer (of each group, in a grouped convolution).
    n_iter : int
        Number of coupled Newton-Schulz iterations: 5 in the paper, and 15 in a network's first layer.
    eps : float
        Ridge added to the diagonal of the covariance, above 0.
    momentum : float
        Weight of the newest batch in the moving averages, in (0, 1].
    sampling_stride : int
        Stride of the patches that the covariance is computed from, in steps of the convolution (sec. 4.5.2). On
        staggered grids it is lowered if it would leave fewer patches than features.
    grouping : {"contiguous", "interleaved"}
        "contiguous" makes blocks of neighbouring channels. "interleaved" puts every (C/B)-th of all (channel, pixel)
        features into a block, as the published code does. There the block size B is the greatest common divisor of
        ``block_size`` and the number of channels C.
    shared : bool
        Whether all blocks of a layer have one mean and one D, as if each block held further samples of one block.
    running : {"covariance", "matrix"}
        Statistic that is averaged for evaluation. "covariance" averages the covariance from zero and corrects for that
        start; "matrix" averages D, starting from the identity.
    grid : {"staggered", "corner"}
        Positions of the sampled patches. "staggered" shifts the grid from image to image, so that a batch samples each
        position of the convolution, padding included, equally often. "corner" starts in the padded corner, as the
        published code does; for 1×1 kernels it takes every S²-th pixel of all images in a row, for a sampling stride S.
    through_statistics : bool
        Whether the gradient flows through mean and D. First derivatives only; ``torch.func`` transforms are not
        supported there.
    freeze_after : int, optional
        Number of training batches after which mean and D no longer change, even in training. None is never.
    shrinkage : {"auto", "none", "lw", "oas"}
        Shrinkage of the covariance, see :mod:`ndtools.numerics.shrinkage`. "auto" reduces the correlations of a batch
        with fewer samples than features (`weakened`), at the extreme to batch normalisation, and leaves larger batches
        as they are.
    refresh_every : int
        Number of training batches for which one mean and D are used. Batches in between have no gradient through
        them: an approximation that saves time.
    sync : bool
        Whether a batch's statistics are computed over all processes of the default group of ``torch.distributed``.
        It cannot be combined with ``shrinkage="lw"``.
    """

    block_size: int | str | None = "auto"
    n_iter: int = 5
    eps: float = 1e-5
    momentum: float = 0.1
    sampling_stride: int = 3
    grouping: Literal["contiguous", "interleaved"] = "contiguous"
    shared: bool = False
    running: Literal["covariance", "matrix"] = "covariance"
    grid: Literal["staggered", "corner"] = "staggered"
    through_statistics: bool = True
    freeze_after: int | None = None
    shrinkage: Literal["auto", "none", "lw", "oas"] = "auto"
    refresh_every: int = 1
    sync: bool = False

    def __post_init__(self) -> None:
        for name in ("block_size", "n_iter", "sampling_stride", "freeze_after", "refresh_every"):
            value = getattr(self, name)
            if value is None and name in ("block_size", "freeze_after"):
                continue
            if name == "block_size" and value == "auto":
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise OptionError(name, f"must be a whole number of at least 1, got {value!r}")
            most = MOST_ITERATIONS if name == "n_iter" else MOST
            if value > most:
                raise OptionError(name, f"must be at most {most}, got {value}")
        for name in ("eps", "momentum"):
            if not isinstance(getattr(self, name), float | int):
                raise OptionError(name, f"must be a number, got {getattr(self, name)!r}")
        for name in ("shared", "through_statistics", "sync"):
            if not isinstance(getattr(self, name), bool):
                raise OptionError(name, f"must be True or False, got {getattr(self, name)!r}")
        if self.sync and self.shrinkage == "lw":
            raise OptionError("sync", "cannot be combined with shrinkage='lw', which needs all samples: use 'oas'")
        if not (self.eps > 0 and math.isfinite(self.eps)):
            raise OptionError("eps", f"must be above 0 and finite, got {self.eps}")
        if not 0 < self.momentum <= 1:
            raise OptionError("momentum", f"must be above 0 and at most 1, got {self.momentum}")
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise OptionError(name, f"must be one of {', '.join(allowed)}, got {getattr(self, name)!r}")

    @classmethod
    def paper(cls, **overrides: Any) -> "DeconvConfig":  # noqa: ANN401
        """Return the settings that the paper's text describes: the defaults, with some settings changed.

        Parameters
        ----------
        **overrides
            Values of the settings to change, by name.

        Returns
        -------
        DeconvConfig
            Settings with one mean and one D for each block of contiguous channels, and a running covariance.
        """
        return cls(**overrides)

    @classmethod
    def reference(cls, **overrides: Any) -> "DeconvConfig":  # noqa: ANN401
        """Return the settings of the published code (yechengxi/deconvolution, d221c22), with some settings changed.

        Parameters
        ----------
        **overrides
            Values of the settings to change, by name.

        Returns
        -------
        DeconvConfig
            Settings with interleaved blocks of 64 channels, for kernels of any size, that share one mean and D; with a
            running D, samples from the padded corner, and no shrinkage.
        """
        preset = cls(
            block_size=64, grouping="interleaved", shared=True, running="matrix", grid="corner", shrinkage="none"
        )
        return replace(preset, **overrides)

    def for_first_layer(self) -> "DeconvConfig":
        """Return these settings for a network's first layer: 15 iterations, frozen after 200 batches (A.2).

        Returns
        -------
        DeconvConfig
            These settings with ``n_iter`` and ``freeze_after`` changed.
        """
        return replace(self, n_iter=15, freeze_after=200)


MOST = 1_000_000_000
MOST_ITERATIONS = 1000  # Newton-Schulz iterations have converged after some tens, or never will
_CHOICES = {
    "grouping": ("contiguous", "interleaved"),
    "running": ("covariance", "matrix"),
    "grid": ("staggered", "corner"),
    "shrinkage": ("auto", "none", "lw", "oas"),
}
