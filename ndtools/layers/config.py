"""Settings of the deconvolution in a layer."""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

from ndtools.errors import OptionError

__all__ = ["FIRST_LAYER", "LINEAR_BLOCK", "DeconvConfig"]


@dataclass(frozen=True, kw_only=True)
class DeconvConfig:
    """Settings of a deconvolution layer.

    The defaults, which :meth:`interleaved` spells out, are the form of the method that learned most in a given time
    (``benchmarks/learning.py``): interleaved blocks that share one mean and one D, as in the published code, with
    patches that meet the padding as often as the convolution does, and with running covariances. :meth:`paper` and
    :meth:`reference` are the forms of the paper's text and of the published code.

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
        Ridge added to the diagonal of the covariance, at least 1e-18.
    momentum : float
        Weight of the newest batch in the moving averages, in (0, 1].
    sampling_stride : int
        Stride of the patches whose covariance is taken, in steps of the convolution (sec. 4.5.2), at most 1000. On
        staggered grids it is lowered where D would have fewer samples than features; a patch is a sample for each of
        the blocks that share one D.
    grouping : {"interleaved", "published", "contiguous"}
        Layout of the blocks. "contiguous" makes blocks of neighbouring channels; channels left over form a smaller
        block. "interleaved" puts every (C/B)-th of all (channel, pixel) features of C channels into a block, where B is
        the largest divisor of C that is at most ``block_size``; linear layers have contiguous blocks, each with its own
        D. "published" is the layout of the published code: as "interleaved", where B is the greatest common divisor of
        C and ``block_size``, or all channels of a group in grouped convolutions; linear layers have contiguous blocks
        of B features.
    shared : bool
        Whether all blocks of a layer have one mean and one D, as if each block held further samples of one block.
    running : {"covariance", "matrix"}
        Statistic that is averaged for evaluation. "covariance" averages the covariance from zero and corrects for that
        start; "matrix" averages D, starting from the identity.
    grid : {"staggered", "corner"}
        Positions of the sampled patches. "staggered" shifts the grid from image to image, and from batch to batch, so
        that each position of the convolution, padding included, is sampled equally often. "corner" starts in the padded
        corner, as the published code does; for 1×1 kernels it takes every S²-th pixel of all images in a row, for a
        sampling stride S.
    through_statistics : bool
        Whether the gradient flows through mean and D. First derivatives only; ``torch.func`` transforms are not
        supported there.
    freeze_after : int, optional
        Number of training batches after which mean and D no longer change, even in training. None is never.
    shrinkage : {"auto", "none", "lw", "oas"}
        Shrinkage of the covariance, see :mod:`ndtools.numerics.shrinkage`. "auto" weakens the correlations of a batch
        with fewer than three samples a feature (`weakened`), down to batch normalisation, and changes nothing in larger
        ones.
    refresh_every : int
        Number of training batches for which one mean and D are used. Batches in between have no gradient through
        them: an approximation that saves time.
    sync : bool
        Whether a batch's statistics are computed over all processes of the default group of ``torch.distributed``.
        It cannot be combined with ``shrinkage="lw"``.
    layer_norm : bool
        Whether the mean of each sample over all its channels and pixels is subtracted from it, and it is divided by its
        standard deviation + eps, before its deconvolution, as in the first author's successor of the method (ND++, AAAI
        2022). No weight can do that, so that such a layer cannot be folded.
    """

    block_size: int | str | None = "auto"
    n_iter: int = 5
    eps: float = 1e-5
    momentum: float = 0.1
    sampling_stride: int = 3
    grouping: Literal["interleaved", "published", "contiguous"] = "interleaved"
    shared: bool = True
    running: Literal["covariance", "matrix"] = "covariance"
    grid: Literal["staggered", "corner"] = "staggered"
    through_statistics: bool = True
    freeze_after: int | None = None
    shrinkage: Literal["auto", "none", "lw", "oas"] = "auto"
    refresh_every: int = 1
    sync: bool = False
    layer_norm: bool = False

    def __post_init__(self) -> None:
        for name in ("block_size", "n_iter", "sampling_stride", "freeze_after", "refresh_every"):
            value = getattr(self, name)
            if value is None and name in ("block_size", "freeze_after"):
                continue
            if name == "block_size" and value == "auto":
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise OptionError(name, f"must be a whole number of at least 1, got {value!r}")
            most = _MOST.get(name, 1_000_000_000)
            if value > most:
                raise OptionError(name, f"must be at most {most}, got {value}")
        for name in ("eps", "momentum"):
            if not isinstance(getattr(self, name), float | int):
                raise OptionError(name, f"must be a number, got {getattr(self, name)!r}")
        for name in ("shared", "through_statistics", "sync", "layer_norm"):
            if not isinstance(getattr(self, name), bool):
                raise OptionError(name, f"must be True or False, got {getattr(self, name)!r}")
        if self.sync and self.shrinkage == "lw":
            raise OptionError("sync", "cannot be combined with shrinkage='lw', which needs all samples: use 'oas'")
        if not (self.eps > 0 and math.isfinite(self.eps)):
            raise OptionError("eps", f"must be above 0 and finite, got {self.eps}")
        if self.eps < _LEAST_RIDGE:
            raise OptionError(
                "eps", f"must be at least {_LEAST_RIDGE:g}, below which float32 overflows, got {self.eps}"
            )
        if not 0 < self.momentum <= 1:
            raise OptionError("momentum", f"must be above 0 and at most 1, got {self.momentum}")
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise OptionError(name, f"must be one of {', '.join(allowed)}, got {getattr(self, name)!r}")

    @classmethod
    def paper(cls, **overrides: Any) -> "DeconvConfig":  # noqa: ANN401
        """Return the form that the paper's text describes.

        Parameters
        ----------
        **overrides
            Settings that differ from it, by name.

        Returns
        -------
        DeconvConfig
            Settings with one mean and one D for each block of neighbouring channels.
        """
        return replace(cls(grouping="contiguous", shared=False), **overrides)

    @classmethod
    def interleaved(cls, **overrides: Any) -> "DeconvConfig":  # noqa: ANN401
        """Return the form that learned most in a given time, which is the default.

        Parameters
        ----------
        **overrides
            Settings that differ from it, by name.

        Returns
        -------
        DeconvConfig
            Settings with interleaved blocks that share one mean and one D; the sampled patches are staggered, and the
            covariance is averaged for evaluation.
        """
        return cls(**overrides)

    @classmethod
    def reference(cls, **overrides: Any) -> "DeconvConfig":  # noqa: ANN401
        """Return the form of the published code (yechengxi/deconvolution, commit d221c22).

        Parameters
        ----------
        **overrides
            Settings that differ from it, by name.

        Returns
        -------
        DeconvConfig
            Settings with interleaved blocks of 64 channels, for kernels of any size, that share one mean and one D. D
            is averaged for evaluation, patches are sampled from the padded corner, and covariances are not shrunk.
        """
        preset = cls(block_size=64, grouping="published", running="matrix", grid="corner", shrinkage="none")
        return replace(preset, **overrides)

    def for_first_layer(self) -> "DeconvConfig":
        """Return these settings for a network's first layer: 15 iterations, frozen after 200 batches (A.2).

        Returns
        -------
        DeconvConfig
            These settings with ``n_iter`` and ``freeze_after`` changed.
        """
        return replace(self, **FIRST_LAYER)


FIRST_LAYER: dict[str, Any] = {"n_iter": 15, "freeze_after": 200}
"""Settings of a network's first layer that differ from those of its other layers (Ye et al. 2020, appendix A.2)."""

LINEAR_BLOCK = 512
"""Block size of a network's linear layers, as in the published experiments; most layers have fewer features."""

_LEAST_RIDGE = 1e-18  # where the input does not vary, D is eps^(-1/2), and its derivative about eps^(-3/2)
_MOST = {
    "n_iter": 1000,  # Newton-Schulz iterations have converged after some tens, or never will
    "sampling_stride": 1000,  # more than the positions of most images
}
_CHOICES = {
    "grouping": ("interleaved", "published", "contiguous"),
    "running": ("covariance", "matrix"),
    "grid": ("staggered", "corner"),
    "shrinkage": ("auto", "none", "lw", "oas"),
}
