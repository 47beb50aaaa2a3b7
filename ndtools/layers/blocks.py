"""Layout of a layer's features in blocks. Features are decorrelated with those of their own block."""

import math
from dataclasses import dataclass

from torch import Tensor

from ndtools.layers.config import DeconvConfig

__all__ = ["Part", "block_channels", "parts_of"]


@dataclass(frozen=True)
class Part:
    """Blocks of equal size within each group of channels.

    Attributes
    ----------
    start : int
        Index of the first channel, counted within the group.
    blocks : int
        Number of blocks in each group.
    size : int
        Number of channels of a block.
    interleaved : bool
        Whether a block takes (channel, tap) features at regular distances, instead of neighbouring channels.
    shared : bool
        Whether the blocks of a group have one mean and one D in common.
    """

    start: int
    blocks: int
    size: int
    interleaved: bool
    shared: bool

    def rows(self, features: Tensor) -> Tensor:
        """Return features (G, C/G, taps, n) as (G, S, F, M): S stacks, each with M samples of F features."""
        groups, _, taps, n = features.shape
        mine = features[:, self.start : self.start + self.blocks * self.size]
        if self.interleaved:
            stacks = mine.reshape(groups, self.size * taps, self.blocks, n).transpose(1, 2)
        else:
            stacks = mine.reshape(groups, self.blocks, self.size * taps, n)
        if self.shared:
            return stacks.transpose(1, 2).reshape(groups, 1, self.size * taps, self.blocks * n)
        return stacks

    def features(self, rows: Tensor) -> Tensor:
        """Return stacks (G, S, F, M) as features (G, channels, taps, n): the inverse of `rows`."""
        groups, stacks, width, _ = rows.shape
        if self.shared:
            rows = rows.reshape(groups, width, self.blocks, -1).transpose(1, 2)
            stacks = self.blocks
        if self.interleaved:
            rows = rows.transpose(1, 2)
        return rows.reshape(groups, stacks * self.size, width // self.size, -1)

    def of_weight(self, weight: Tensor) -> Tensor:
        """Return a weight (G, o, C/G, taps) as (G, S, rows, F), with o rows for each block of a stack."""
        groups, outputs, _, taps = weight.shape
        mine = weight[:, :, self.start : self.start + self.blocks * self.size]
        if self.interleaved:
            rows = mine.reshape(groups, outputs, self.size * taps, self.blocks).transpose(2, 3)
        else:
            rows = mine.reshape(groups, outputs, self.blocks, self.size * taps)
        return rows.reshape(groups, 1, -1, self.size * taps) if self.shared else rows.transpose(1, 2)

    def to_weight(self, stacks: Tensor, taps: int) -> Tensor:
        """Return stacks (G, S, rows, F) as a weight (G, o, channels, taps): the inverse of `of_weight`."""
        groups, _, _, width = stacks.shape
        rows = stacks.reshape(groups, -1, self.blocks, width) if self.shared else stacks.transpose(1, 2)
        if self.interleaved:
            rows = rows.transpose(2, 3)
        return rows.reshape(groups, -1, self.blocks * self.size, taps)

    def of_mean(self, mean: Tensor, taps: int) -> Tensor:
        """Return means (G, S, F) as a weight (G, 1, channels, taps)."""
        rows = self.blocks if self.shared else 1
        return self.to_weight(mean[:, :, None].expand(-1, -1, rows, -1), taps)


def block_channels(channels: int, taps: int, config: DeconvConfig) -> int:
    """Return the number of channels of a full block.

    Parameters
    ----------
    channels : int
        Number of channels in each group.
    taps : int
        Number of pixels of the kernel.
    config : DeconvConfig
        Settings, of which ``block_size`` counts.

    Returns
    -------
    int
        The block size, at most ``channels``. If it is "auto", the largest power of two of at most 64 channels whose
        blocks have at most 576 features; at least 1.
    """
    if isinstance(config.block_size, int):
        return min(config.block_size, channels)
    if config.block_size is None:
        return channels
    size = MOST_CHANNELS
    while size > 1 and size * taps > MOST_FEATURES:
        size //= 2  # halves, as most layers have a multiple of a power of two of channels
    return min(size, channels)


def parts_of(channels: int, taps: int, groups: int, config: DeconvConfig) -> tuple[Part, ...]:
    """Lay out channels in blocks.

    Parameters
    ----------
    channels : int
        Number of channels in each group.
    taps : int
        Number of pixels of the kernel.
    groups : int
        Number of groups of channels.
    config : DeconvConfig
        Settings, of which ``block_size``, ``grouping`` and ``shared`` count.

    Returns
    -------
    tuple of Part
        One part, and a second one for channels that do not fill a block.
    """
    size = block_channels(channels, taps, config)
    if config.grouping == "published":
        size = channels if groups > 1 else math.gcd(size, channels)
    if config.grouping == "interleaved":
        size = max(divisor for divisor in range(1, size + 1) if channels % divisor == 0)
    if config.grouping != "contiguous":
        return (Part(0, channels // size, size, channels > size, config.shared),)
    full, rest = divmod(channels, size)
    parts = [Part(0, full, size, False, config.shared)]
    return tuple(parts + ([Part(full * size, 1, rest, False, config.shared)] if rest else []))


MOST_CHANNELS = 64
MOST_FEATURES = 576  # 64 channels of a 3×3 kernel, the paper's blocks
