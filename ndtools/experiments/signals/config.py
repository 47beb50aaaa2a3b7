"""Configuration of ``ndtools signals``: its settings, with their defaults and limits. Imports nothing heavy."""

import math
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from ndtools.errors import OptionError
from ndtools.validation import Configuration, Ridge, RootMethod, check_odd, check_run, check_whitening

__all__ = ["SignalsConfig"]

DEFAULT_SIZES = {"T": 15, "ZYX": 5}  # of patches along each axis


@dataclass(frozen=True, repr=False)
class SignalsConfig(Configuration):
    """Configuration of the deconvolution of signals or volumes.

    Attributes
    ----------
    source : str
        File, folder or glob of signals or volumes: .npy, .npz, .mat, .wav, TIFF of several pages, NIfTI; or a built-in
        set, "base-calls" (four channels over time) or "beads" (a volume).
    axes : str, optional
        Letters of the axes of arrays, in their order: T (time), or Z, Y and X (volumes), with C (channels) and N
        (several signals or volumes) where the array has them, as in "CT" or "CZYX". By default those that the format
        has, and of arrays those of one signal (time), or of (channels, time) with fewer channels than samples.
    key : str, optional
        Name of the array in .npz and .mat files. By default they hold one array.
    channels : tuple of str
        Names of the channels. Default: numbers from 1; "gray" for volumes of one channel.
    rate : float, optional
        Samples per second of signals, for the axes of figures. By default that of .wav files; otherwise lags are in
        samples.
    kernel_size : int or tuple of int, optional
        Length of the patches in samples, odd; for volumes, their side in voxels, or a side for each of z, y and x. By
        default 15 for signals, and 5 for volumes.
    eps : float, "paper" or "auto"
        Ridge added to the covariance, at least 0, in units of the mean variance. "paper" is 1e-5. "auto" chooses the
        ridge with which each half of the data gives the other the highest likelihood.
    absolute_eps : bool
        Whether a number ``eps`` is in squared units of the values instead.
    method : {"eigh", "coupled", "vanilla"}
        Method of the inverse square root: exact ("eigh"), or coupled or vanilla Newton-Schulz.
    iterations : int
        Number of Newton-Schulz iterations.
    seed : int
        Seed that is recorded with the result. It has no effect, since nothing is random.
    jobs : int, optional
        Number of threads; one for each processor by default.
    device : {"auto", "cpu", "cuda", "mps"}
        Device that computes the covariance; "auto" is CUDA where there is a device.
    """

    hints: ClassVar[Mapping[str, str]] = {
        "source": "nd.fit_deconvolution takes signals as arrays, with kernel_size=(15,) for patches of 15 samples"
    }
    source: str = "base-calls"
    _: KW_ONLY
    axes: str | None = None
    key: str | None = None
    channels: tuple[str, ...] = ()
    rate: float | None = None
    kernel_size: int | tuple[int, ...] | None = None
    eps: Ridge = 1e-3
    absolute_eps: bool = False
    method: RootMethod = "eigh"
    iterations: int = 15
    seed: int = 0
    jobs: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        check_run(self)
        check_whitening(self)
        if self.kernel_size is not None:
            sizes = self.kernel_size if isinstance(self.kernel_size, tuple | list) else (self.kernel_size,)
            if len(sizes) not in (1, 3):
                raise OptionError(
                    "kernel_size", f"must be one number, or three of volumes (z, y, x), got {len(sizes)} numbers"
                )
            for size in sizes:
                check_odd(size)
        if self.rate is not None and not (self.rate > 0 and math.isfinite(self.rate)):
            raise OptionError("rate", f"must be a positive number of samples per second, got {self.rate}")
        if not all(name.strip() for name in self.channels) or len(set(self.channels)) != len(self.channels):
            raise OptionError("channels", f"must be names that differ, got {','.join(self.channels)!r}")

    @property
    def relative_eps(self) -> bool:
        """Whether a number ``eps`` is in units of the mean variance."""
        return not self.absolute_eps

    def sides(self, axes: str) -> tuple[int, ...]:
        """Return the size of the patches along each of the axes "T" or "ZYX".

        Parameters
        ----------
        axes : str
            Letters of the axes.

        Returns
        -------
        tuple of int
            Number of samples or voxels along each axis.

        Raises
        ------
        OptionError
            If the configuration has sides of a volume, and the axes are those of a signal.
        """
        size = self.kernel_size or DEFAULT_SIZES[axes]
        if not isinstance(size, tuple | list):  # also a number of NumPy
            return (int(size),) * len(axes)
        sizes = tuple(map(int, size))
        if len(sizes) == 1:
            return sizes * len(axes)
        if len(sizes) != len(axes):
            raise OptionError("kernel_size", f"must be one number for signals, got {'x'.join(map(str, sizes))}")
        return sizes
