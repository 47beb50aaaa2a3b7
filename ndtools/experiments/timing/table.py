"""Table 3 of Ye et al. 2020: what each stage of a deconvolution layer costs. Loads nothing heavy."""

from dataclasses import dataclass

from ndtools.published.layer_times import TABLE_3 as ROWS

__all__ = ["PUBLISHED_BATCH_SIZE", "TABLE_3", "TimedLayer"]

PUBLISHED_BATCH_SIZE = 128


@dataclass(frozen=True)
class TimedLayer:
    """One row: a layer and its published times, forward, on a CPU.

    Attributes
    ----------
    number : int
        From 1, in the order of the table.
    size : int
        Height and width of the images.
    in_channels, out_channels : int
        Numbers of input and output channels of the convolution.
    groups : int
        Blocks of channels that are decorrelated apart. Not groups of the convolution: its published time is the same
        for 8 and for 512 of them (0.23 and 0.22 s), and rows 1 to 5 have the default blocks of 64 channels.
    kernel_size : int
        Side of the kernel, odd.
    sampling_stride : int
        Between sampled patches.
    im2col, covariance, inverse, convolution : float
        Published seconds for 128 images.
    """

    number: int
    size: int
    in_channels: int
    out_channels: int
    groups: int
    kernel_size: int
    sampling_stride: int
    im2col: float
    covariance: float
    inverse: float
    convolution: float

    @property
    def id(self) -> str:
        """Name of the row, "T3-1" to "T3-22"."""
        return f"T3-{self.number}"

    @property
    def block_size(self) -> int:
        """Channels that are decorrelated together."""
        return self.in_channels // self.groups

    @property
    def features(self) -> int:
        """Channels of a block times the pixels of the kernel: the side of its covariance."""
        return self.block_size * self.kernel_size**2

    @property
    def label(self) -> str:
        """The layer in a few characters, such as "64² 128→256 k3 S3 B64"."""
        return (
            f"{self.size}² {self.in_channels}→{self.out_channels} k{self.kernel_size} S{self.sampling_stride}"
            f" B{self.block_size}"
        )


TABLE_3 = tuple(TimedLayer(number, *layer, *times) for number, (layer, times) in enumerate(ROWS, start=1))
