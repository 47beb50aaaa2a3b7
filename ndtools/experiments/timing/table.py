"""Table 3 of Ye et al. 2020: what each stage of a deconvolution layer costs. Loads nothing heavy."""

from dataclasses import dataclass

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


# The second version of the paper (the first has the first 15 rows, with the same digits). fmt: off
TABLE_3 = tuple(
    TimedLayer(number, *row)
    for number, row in enumerate(
        (
            (256, 3, 64, 1, 3, 3, 0.069, 0.0079, 0.00025, 0.50),
            (128, 64, 128, 1, 3, 3, 0.315, 0.3214, 0.02069, 0.67),
            (64, 128, 256, 2, 3, 3, 0.045, 0.0445, 0.00076, 0.55),
            (32, 256, 512, 4, 3, 3, 0.022, 0.0391, 0.00222, 0.48),
            (16, 512, 512, 8, 3, 3, 0.011, 0.0444, 0.01155, 0.23),
            (128, 64, 128, 64, 3, 3, 0.376, 0.0871, 0.00024, 0.66),
            (64, 128, 256, 128, 3, 3, 0.042, 0.0412, 0.00082, 0.53),
            (32, 256, 512, 256, 3, 3, 0.023, 0.0377, 0.00208, 0.47),
            (16, 512, 512, 512, 3, 3, 0.011, 0.0437, 0.01194, 0.22),
            (128, 64, 128, 32, 3, 3, 0.360, 0.0939, 0.00021, 0.67),
            (64, 128, 256, 32, 3, 3, 0.044, 0.0425, 0.00076, 0.55),
            (32, 256, 512, 32, 3, 3, 0.023, 0.0374, 0.00204, 0.46),
            (16, 512, 512, 32, 3, 3, 0.011, 0.0421, 0.01180, 0.22),
            (256, 3, 64, 1, 3, 5, 0.030, 0.0046, 0.00029, 0.49),
            (128, 64, 128, 1, 3, 5, 0.153, 0.1284, 0.01901, 0.66),
            (256, 3, 64, 1, 7, 3, 0.338, 0.1111, 0.00107, 0.69),
            (256, 3, 64, 1, 7, 5, 0.180, 0.0408, 0.00107, 0.69),
            (256, 3, 64, 1, 7, 7, 0.063, 0.0210, 0.00104, 0.70),
            (256, 3, 64, 1, 11, 3, 0.681, 0.4810, 0.00479, 0.99),
            (256, 3, 64, 1, 11, 5, 0.315, 0.1909, 0.00488, 1.00),
            (256, 3, 64, 1, 11, 7, 0.199, 0.1022, 0.00494, 0.99),
            (256, 3, 64, 1, 11, 11, 0.069, 0.0420, 0.00496, 1.00),
        ),
        start=1,
    )
)  # fmt: on
