"""Signals and volumes made in code, whose sources are known: a run of base calling, and beads under a microscope.

References
----------
Ye, Hsiao and Corrada Bravo 2014, "BlindCall: ultra-fast base-calling of high-throughput sequencing data by blind
deconvolution", Bioinformatics 30.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["BaseCalls", "BlurredVolume", "base_calls", "beads"]

BASES = "ACGT"
# How strongly each dye (column) shows in each channel (row). Two dyes each are excited by the same laser, so that the
# channels of A and C, and those of G and T, overlap; and the four channels are not equally sensitive.
CROSS_TALK = np.array(
    [[1.0, 0.6, 0.05, 0.0], [0.35, 0.7, 0.0, 0.035], [0.06, 0.0, 1.2, 0.72], [0.0, 0.085, 0.425, 0.85]]
)
SECOND = 0.2  # share of the molecules out of phase that are two cycles off


@dataclass(frozen=True, eq=False)
class BaseCalls:
    """Run of base calling with four dyes, and the bases that it should read.

    Attributes
    ----------
    signals : array of shape (reads, 4, cycles)
        Intensities in the channels of A, C, G and T, float32.
    bases : array of shape (reads, cycles)
        True bases, 0 to 3 for A, C, G and T, uint8.
    cross_talk : array of shape (4, 4)
        Intensity in each channel (row) of each dye (column).
    phasing : array of shape (5,)
        Share of the molecules of a cluster that are 2 and 1 cycles behind, in phase, and 1 and 2 cycles ahead.
    """

    signals: NDArray[np.float32]
    bases: NDArray[np.uint8]
    cross_talk: NDArray[np.float64]
    phasing: NDArray[np.float64]

    def error_rate(self, signals: NDArray[np.floating], margin: int = 0) -> float:
        """Return the share of wrong calls if each base is called by the channel with the largest value.

        Parameters
        ----------
        signals : array of shape (reads, 4, cycles - k + 1)
            Signals of all reads, or what a deconvolution with patches of k cycles made of them. If k > 1, (k - 1)/2
            cycles are missing at each end.
        margin : int
            Number of cycles at each end of the run that do not count, so that signals of several lengths are compared
            on the same bases. Default 0.

        Returns
        -------
        float
            Wrong calls, from 0 to 1. Chance is 0.75.

        Raises
        ------
        ValueError
            If the shape does not fit the bases, or no cycle is left.
        """
        cycles = self.bases.shape[1]
        lost, odd = divmod(cycles - np.shape(signals)[-1], 2)
        if np.shape(signals)[:2] != self.signals.shape[:2] or lost < 0 or odd:
            raise ValueError(f"signals must have shape {self.signals.shape}, or fewer cycles, got {np.shape(signals)}")
        start = max(margin, lost)
        if 2 * start >= cycles:
            raise ValueError(f"margin must leave some of the {cycles} cycles, got {margin}")
        calls = np.asarray(signals)[:, :, start - lost : cycles - start - lost].argmax(1)
        return float((calls != self.bases[:, start : cycles - start]).mean())


def base_calls(
    reads: int = 500,
    cycles: int = 60,
    *,
    lagging: float = 0.25,
    leading: float = 0.22,
    noise: float = 0.04,
    seed: int = 0,
) -> BaseCalls:
    """Make a run of base calling: sequencing by synthesis with four dyes, read by four channels.

    In each cycle, the molecules of a cluster should all add one base, whose dye is then seen. Two dyes overlap in each
    channel (cross-talk), and some of the molecules lag behind or run ahead (phasing), so that a cycle also shows the
    bases before and after. Shares that grow from cycle to cycle in a real run are constant here, as in a part of it.

    Parameters
    ----------
    reads, cycles : int
        Number of clusters, and of bases that are read from each.
    lagging, leading : float
        Shares of the molecules that are behind and ahead, each to 80 % by one cycle and to 20 % by two.
    noise : float
        Standard deviation of the noise of each intensity; the dye of a molecule in phase is about 1.
    seed : int
        Seed of the random bases, brightness of clusters (log-normal, 20 %), and noise.

    Returns
    -------
    BaseCalls
        Signals, true bases, and the mixing that lies between them.

    Raises
    ------
    ValueError
        If a number is out of range.
    """
    if reads < 1 or cycles < 1:
        raise ValueError(f"reads and cycles must be at least 1, got {reads} and {cycles}")
    if min(lagging, leading, noise) < 0 or lagging + leading > 1:
        raise ValueError("lagging, leading and noise must be at least 0, and lagging + leading at most 1")
    rng = np.random.default_rng(seed)
    bases = rng.integers(0, len(BASES), (reads, cycles)).astype(np.uint8)
    dyes = np.eye(len(BASES))[bases].transpose(0, 2, 1)  # (reads, 4, cycles)
    near = 1 - SECOND
    phasing = np.array([SECOND * lagging, near * lagging, 1 - lagging - leading, near * leading, SECOND * leading])
    reach = len(phasing) // 2
    padded = np.pad(dyes, ((0, 0), (0, 0), (reach, reach)))
    # Molecules that are behind show the base of an earlier cycle.
    seen = sum(share * padded[:, :, i : i + cycles] for i, share in enumerate(phasing))
    brightness = rng.lognormal(0, 0.2, (reads, 1, 1))
    signals = brightness * np.einsum("cd,ndt->nct", CROSS_TALK, seen)
    signals += noise * rng.standard_normal(signals.shape)
    return BaseCalls(signals.astype(np.float32), bases, CROSS_TALK, phasing)


@dataclass(frozen=True, eq=False)
class BlurredVolume:
    """Volume that was blurred, and the sharp one.

    Attributes
    ----------
    volume : array of shape (1, depth, height, width)
        Blurred volume, float32.
    sharp : array of shape (1, depth, height, width)
        Volume before the blur, float32.
    blur : tuple of array of shape (3,)
        Weights of the blur along z, y and x, which add up to 1; the blur is their product.
    """

    volume: NDArray[np.float32]
    sharp: NDArray[np.float32]
    blur: tuple[NDArray[np.float64], ...]


def beads(
    depth: int = 32,
    height: int = 64,
    width: int = 64,
    *,
    density: float = 0.02,
    blur: tuple[float, float, float] = (0.2, 0.14, 0.14),
    noise: float = 0.01,
    seed: int = 0,
) -> BlurredVolume:
    """Make a volume as of a microscope: bright beads at random voxels, blurred more along z than across.

    Parameters
    ----------
    depth, height, width : int
        Size of the volume in voxels.
    density : float
        Share of the voxels with a bead. The brightness of beads has an exponential distribution with mean 1.
    blur : (float, float, float)
        Share of the light that reaches each of the two neighbouring voxels along z, y and x, below 0.25.
    noise : float
        Standard deviation of the noise of a voxel.
    seed : int
        Seed of places, brightness and noise.

    Returns
    -------
    BlurredVolume
        Blurred and sharp volume.

    Raises
    ------
    ValueError
        If a number is out of range.
    """
    if min(depth, height, width) < 1:
        raise ValueError(f"depth, height and width must be at least 1, got {depth}, {height} and {width}")
    if not 0 < density <= 1 or noise < 0 or not all(0 <= share < 0.25 for share in blur):
        raise ValueError("density must be in (0, 1], noise at least 0, and each blur at least 0 and below 0.25")
    rng = np.random.default_rng(seed)
    shape = (depth, height, width)
    sharp = np.where(rng.random(shape) < density, rng.exponential(1.0, shape), 0.0)
    volume = sharp
    for axis, share in enumerate(blur):  # light that leaves at one side comes in at the other
        volume = (1 - 2 * share) * volume + share * (np.roll(volume, 1, axis) + np.roll(volume, -1, axis))
    volume = volume + noise * rng.standard_normal(shape)
    weights = tuple(np.array([share, 1 - 2 * share, share]) for share in blur)
    return BlurredVolume(volume[None].astype(np.float32), sharp[None].astype(np.float32), weights)
