"""Mean, standard deviation and covariance of the channels of images: over all pixels, and image by image."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["BINS", "ChannelStatistics", "ChannelSums"]

BINS = 256
"""Number of bins of a histogram of pixels: one for each value of an 8-bit file."""
SD_BINS = 50  # of the standard deviations of images
ROUNDING = 1e-12  # of values: a smaller standard deviation is none
BLOCK = 2**20  # numbers that are converted to float64 at a time: 8 MiB

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ChannelStatistics:
    """Statistics of the C channels of a set of images. Variances and covariances divide by N - 1, as in torch.

    Attributes
    ----------
    images, pixels : int
        Number of images, and of their pixels.
    mean : array of shape (C,)
        Mean over all pixels.
    covariance : array of shape (C, C)
        Covariance of the channels over all pixels.
    image_mean : array of shape (C,)
        Mean over images of the mean of an image: each image counts alike, whatever its size.
    image_sd : array of shape (C,)
        Mean over images of the standard deviation within an image; 0 for an image of one pixel.
    between : array of shape (C,)
        Standard deviation over images of the mean of an image; 0 for a single image.
    low, high : array of shape (C,)
        Smallest and largest value.
    edges : array of shape (257,)
        Edges of the bins of values.
    counts : array of shape (C, 256), int64
        Number of pixels whose value is in each bin. Values beyond all bins count in the first or last.
    sd_edges : array of shape (51,)
        Edges of the bins of standard deviations within images.
    sd_counts : array of shape (C, 50), int64
        Number of images whose standard deviation is in each bin.
    """

    images: int
    pixels: int
    mean: Array
    covariance: Array
    image_mean: Array
    image_sd: Array
    between: Array
    low: Array
    high: Array
    edges: Array
    counts: NDArray[np.int64]
    sd_edges: Array
    sd_counts: NDArray[np.int64]

    @property
    def sd(self) -> Array:
        """Standard deviation over all pixels, (C,)."""
        return np.sqrt(self.covariance.diagonal())

    @property
    def varies(self) -> NDArray[np.bool_]:
        """Whether the standard deviation of each channel over all pixels is more than rounding, (C,)."""
        varies: NDArray[np.bool_] = self.sd > ROUNDING * np.maximum(np.abs(self.low), np.abs(self.high))
        return varies

    @property
    def correlation(self) -> Array:
        """Correlation of the channels over all pixels, (C, C); NaN for a channel without variance."""
        sd = np.where(self.varies, self.sd, np.nan)
        correlation: Array = self.covariance / np.outer(sd, sd)
        return correlation

    def axes(self) -> tuple[Array, Array]:
        """Return the principal axes of colour.

        Returns
        -------
        shares : array of shape (C,)
            Share of the variance of all channels along each axis, the largest first; NaN without variance.
        axes : array of shape (C, C)
            Unit vectors in rows, each with the sign that makes its first entry positive.
        """
        values, vectors = np.linalg.eigh(self.covariance)
        axes = vectors.T[::-1]
        axes = np.where(axes[:, :1] < 0, -axes, axes)
        total = values.sum()
        shares = values[::-1].clip(0) / total if total > 0 else np.full(len(values), np.nan)
        return shares, axes


@dataclass
class _Moments:
    """Count, mean and scatter about the mean, (C,) and (C, C), to which others are added (Chan et al. 1983)."""

    count: int
    mean: Array
    scatter: Array

    def add(self, count: int, mean: Array, scatter: Array) -> None:
        total = self.count + count
        if not total:
            return
        shift = mean - self.mean
        self.scatter = self.scatter + scatter + np.outer(shift, shift) * (self.count * count / total)
        self.mean = self.mean + shift * (count / total)
        self.count = total


@dataclass(eq=False)
class ChannelSums:
    """Accumulator of `ChannelStatistics`.

    Parameters
    ----------
    channels : int
        Number C of channels.
    reach : (float, float)
        Values at the middle of the first and of the last bin of the histogram. Default 0 and 1.
    """

    channels: int
    reach: tuple[float, float] = (0.0, 1.0)
    _pixels: _Moments = field(init=False)
    _means: _Moments = field(init=False)
    _sds: Array = field(init=False)
    _low: Array = field(init=False)
    _high: Array = field(init=False)
    _counts: NDArray[np.int64] = field(init=False)
    _sd_counts: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        c = self.channels
        self._pixels, self._means = (_Moments(0, np.zeros(c), np.zeros((c, c))) for _ in range(2))
        self._sds, self._low, self._high = np.zeros(c), np.full(c, np.inf), np.full(c, -np.inf)
        self._counts, self._sd_counts = np.zeros((c, BINS), np.int64), np.zeros((c, SD_BINS), np.int64)

    def update(self, images: NDArray[np.uint8 | np.float32]) -> None:
        """Add images of one size, (N, C, H, W): uint8 in 0..255 stands for [0, 1], and floats for themselves."""
        flat = images.reshape(len(images), self.channels, -1)
        several = max(1, BLOCK // max(1, flat[0].size)) if len(flat) else 1
        for start in range(0, len(flat), several):
            self._update(flat[start : start + several])

    def _update(self, flat: NDArray[np.uint8 | np.float32]) -> None:
        """Add images (N, C, pixels), of which a block of pixels is converted at a time."""
        n, c, pixels = flat.shape
        white = 255.0 if flat.dtype == np.uint8 else 1.0
        mean = flat.sum(2, dtype=np.float64) / (white * pixels)  # exact for uint8 but for the division
        scatter = np.zeros((n, c, c))
        width = max(1, BLOCK // (n * c))
        for start in range(0, pixels, width):
            block = flat[:, :, start : start + width]
            centred = block / white - mean[:, :, None]
            scatter += centred @ centred.transpose(0, 2, 1)
            self._count(block)
        low, high = (reduce(flat, axis=(0, 2)) / white for reduce in (np.min, np.max))
        self._low, self._high = np.minimum(self._low, low), np.maximum(self._high, high)
        variance = scatter.diagonal(axis1=1, axis2=2) / max(1, pixels - 1)
        sd = np.sqrt(variance)
        self._sds += sd.sum(0)
        about = mean.mean(0)
        shift = mean - about
        self._means.add(n, about, shift.T @ shift)
        self._pixels.add(n * pixels, about, scatter.sum(0) + pixels * shift.T @ shift)
        places = (sd / self._largest_sd * SD_BINS).astype(np.int64).clip(0, SD_BINS - 1)
        for i in range(c):
            self._sd_counts[i] += np.bincount(places[:, i], minlength=SD_BINS)

    def _count(self, block: NDArray[np.uint8 | np.float32]) -> None:
        """Count the values (N, C, pixels) of a block in bins about 0, 1, ..., 255."""
        if block.dtype == np.uint8 and self.reach == (0.0, 1.0):
            bins = block
        else:
            low, high = self.reach
            values = block / np.float32(255) if block.dtype == np.uint8 else block
            bins = np.rint((values - low) * ((BINS - 1) / (high - low))).clip(0, BINS - 1).astype(np.uint8)
        for i in range(self.channels):
            self._counts[i] += np.bincount(bins[:, i].ravel(), minlength=BINS)

    @property
    def _largest_sd(self) -> float:
        """End of the last bin of standard deviations, near the largest that numbers between the ends can have."""
        return (self.reach[1] - self.reach[0]) / 2

    def merge(self, other: "ChannelSums") -> None:
        """Add the sums of other images."""
        self._pixels.add(other._pixels.count, other._pixels.mean, other._pixels.scatter)
        self._means.add(other._means.count, other._means.mean, other._means.scatter)
        self._sds += other._sds
        self._low, self._high = np.minimum(self._low, other._low), np.maximum(self._high, other._high)
        self._counts += other._counts
        self._sd_counts += other._sd_counts

    def finish(self) -> ChannelStatistics:
        """Return the statistics of all images that were added, at least one."""
        images, pixels = self._means.count, self._pixels.count
        if not pixels:
            raise ValueError("statistics need at least one image with pixels")
        low, high = self.reach
        half = (high - low) / (BINS - 1) / 2
        return ChannelStatistics(
            images=images,
            pixels=pixels,
            mean=self._pixels.mean,
            covariance=self._pixels.scatter / max(1, pixels - 1),
            image_mean=self._means.mean,
            image_sd=self._sds / images,
            between=np.sqrt(self._means.scatter.diagonal() / max(1, images - 1)),
            low=self._low,
            high=self._high,
            edges=np.linspace(low - half, high + half, BINS + 1),
            counts=self._counts,
            sd_edges=np.linspace(0, self._largest_sd, SD_BINS + 1),
            sd_counts=self._sd_counts,
        )
